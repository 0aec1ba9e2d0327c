# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: the report, ratios first, and what its plots show. It says as well what was not equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..kit.figures import Results, Spread, less, ratio, table

CREATE, UNCHANGED = "create+start", "unchanged"
OURS, PEER, FLOOR, EMPTY = "ours", "peer", "floor", "empty play"
FLEET = "vps_fleet"  # whose goals these are
NOTHING = "–"

NOT_EQUAL = """\
- All have the files of our template `minimal` (BusyBox, with its init), one machine that is controller and node, one ansible-core, pipelining, five forks, no
  facts. All are killed at once when they stop.
- A VPS has an id range of its own, a qgroup, a link into the node's network with a packet filter before it, and a record on disk that survives a power cut.
- A container of `docker_container` has no network here, no init system that could stop it (it is killed), and runs with capabilities dropped
  but without ids of its own. Its daemon is running before the first task.
- A container of `lxc_container` is privileged and has no network. The module sleeps for a second after each start and each removal, and changes a limit
  by a restart.
- *A host each* makes every container a host of the inventory, so that five tasks run side by side; a user has to write the inventory that way.
- The floor has the link, the id range and the limit, set by LXC; no packet filter, no record, nothing that waits for the disk. It remembers nothing:
  unchanged is one `lxc-info` each.
"""


@dataclass(frozen=True)
class Names:
    """Who is who: the kind of each contestant, in the order in which they are shown."""

    kinds: Mapping[str, str]

    def of(self, kind: str) -> list[str]:
        """Those of a kind."""
        return [name for name, own in self.kinds.items() if own == kind]


def against_peer(results: Results, names: Names, own: str, operation: str, count: int, *, net: bool = False) -> tuple[Spread | None, str]:
    """How many times as fast as the faster peer, and which that is; `net`: both without an empty play."""
    peer = results.faster(names.of(PEER), operation, count)
    if peer is None:
        return None, ""
    theirs, mine = results.seconds(peer, operation, count), results.seconds(own, operation, count)
    if net:
        theirs, mine = less(theirs, results.seconds(EMPTY, peer, count)), less(mine, results.seconds(EMPTY, own, count))
    return ratio(theirs, mine), peer


def against_floor(results: Results, names: Names, own: str, operation: str, count: int) -> Spread | None:
    """How many times as long as the faster floor, without an empty play, which the floor has none of."""
    floor = results.faster(names.of(FLOOR), operation, count)
    if floor is None:
        return None
    mine = less(results.seconds(own, operation, count), results.seconds(EMPTY, own, count))
    return ratio(mine, results.seconds(floor, operation, count))


def against_nothing(results: Results, own: str, operation: str, count: int) -> Spread | None:
    """How many times as long as the empty play that was measured just before it."""
    return ratio(results.seconds(own, operation, count), results.seconds(EMPTY, own, count))


@dataclass(frozen=True)
class Goal:
    """One of the goals: `least` or `most` is the bound; `measured` is None where it could not be."""

    text: str
    measured: Spread | None
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the middle is on the right side of the bound."""
        if self.measured is None:
            return None
        return (self.least is None or self.measured.middle >= self.least) and (self.most is None or self.measured.middle <= self.most)


def goals(results: Results, names: Names) -> list[Goal]:
    """The goals, with what was measured of vps_fleet at the greatest number of containers."""
    if not results.counts():
        return []
    own, count = FLEET, results.counts()[-1]
    return [
        Goal(f"{count} unchanged: whole playbook ≤ 1.5 × an empty play", against_nothing(results, own, UNCHANGED, count), most=1.5),
        Goal(f"{count} unchanged: ≥ 40 × faster than the faster peer", against_peer(results, names, own, UNCHANGED, count)[0], least=40),
        Goal(f"create+start of {count}: ≤ 1.3 × the floor at once", against_floor(results, names, own, CREATE, count), most=1.3),
        Goal(f"create+start of {count}: ≥ 10 × faster than the faster peer", against_peer(results, names, own, CREATE, count)[0], least=10),
    ]


def _text(spread: Spread | None, digits: int = 2) -> str:
    return NOTHING if spread is None else spread.text(digits)


def _ratios(results: Results, names: Names, own: str) -> str:
    rows = []
    for operation in _operations(results):
        for count in results.counts():
            whole, peer = against_peer(results, names, own, operation, count)
            net, _peer = against_peer(results, names, own, operation, count, net=True)
            floor, nothing = against_floor(results, names, own, operation, count), against_nothing(results, own, operation, count)
            rows.append([operation, str(count), _text(whole, 1), _text(net, 1), peer or NOTHING, _text(floor), _text(nothing)])
    heading = ["operation", "containers", "× as fast as the faster peer", "the same, less an empty play", "which is", "× the floor's time, less an empty play",
               "× an empty play's time"]
    return table(heading, rows)


def _operations(results: Results) -> list[str]:
    return list(dict.fromkeys(row.operation for row in results.rows if row.contestant != EMPTY))


def _seconds(results: Results, names: Names, count: int) -> str:
    operations = _operations(results)
    rows = []
    for name in names.kinds:
        times = [results.seconds(name, operation, count) for operation in operations]
        rows.append([name, *(_text(Spread.of([each / count * 1000 for each in seconds]), 1) if seconds else NOTHING for seconds in times)])
    return table([f"ms of each of {count}", *operations], rows)


def report(results: Results, names: Names, *, machine: Iterable[str], rounds: int, missing: Sequence[str], plots: str | None) -> str:
    """The whole of it, as markdown. `missing` are sentences on who could not be measured, and why."""
    empties = [each for row in results.rows if row.contestant == EMPTY for each in row.seconds]
    parts = ["# Beside the peers\n\n", "\n".join(machine), "\n", f"- median of {rounds}, least and most in brackets; contestants take turns in each round\n"]
    if empties:
        parts.append(f"- an empty play: {Spread.of(empties).text(2, ' s')}\n")
    parts += [f"- not measured: {sentence}\n" for sentence in missing]
    words = {True: "met", False: "**not met**", None: "not measured"}
    rows = [[goal.text, _text(goal.measured), words[goal.met]] for goal in goals(results, names)]
    if rows:
        parts += [f"\n## Goals of `{FLEET}`\n\n", table(["goal", "measured", ""], rows)]
    for own in names.of(OURS):
        parts += [f"\n## Ratios of `{own}`\n\n", _ratios(results, names, own)]
    parts.append("\n## Times\n")
    for count in results.counts():
        parts += ["\nWhole playbooks, an empty play included:\n\n", _seconds(results, names, count)]
    if plots:
        parts.append(f"\n![Times by the number of containers]({plots})\n")
    return "".join([*parts, "\n## What is not equal\n\n", NOT_EQUAL])
