# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: what a VPS takes when many run, how many there may be, and the report of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..kit.figures import Spread, table

MIB = float(1 << 20)
GOAL_MEMORY = 16.0  # MiB each
NOISE = "not measurable"


@dataclass(frozen=True)
class Sample:
    """What one VPS uses: bytes of memory, those of them that are file cache, and those of what LXC runs beside it; µs of CPU so far; processes."""

    memory: int
    cache: int
    monitor: int
    cpu: int
    processes: int


@dataclass(frozen=True)
class Bound:
    """Something of which there is not more than `most`, -1 for no bound; `used` is in use; `setting` says where it comes from."""

    what: str
    setting: str
    used: int
    most: int


@dataclass(frozen=True)
class Batch:
    """Some VPSs more: how many there are then, the seconds since the first was begun, and the bytes that the machine has left."""

    running: int
    seconds: float
    available: int


@dataclass(frozen=True)
class Census:
    """All that was measured of one kind of VPS.

    `before` and `after` are the bytes that the machine had to give; `idle` the seconds over which `idle_cpu` (µs of each VPS) and `idle_machine` (µs of
    everything more than with no VPS) were taken. `answers` of `asked` servers answered.
    """

    kind: str
    wanted: int
    batches: tuple[Batch, ...]
    before: int
    after: int
    samples: Mapping[str, Sample]
    idle: float
    idle_cpu: Mapping[str, int]
    idle_machine: float
    answers: Mapping[str, int]
    asked: int
    stopped: str = ""

    @property
    def running(self) -> int:
        """How many run."""
        return len(self.samples)

    def each(self) -> float:
        """MiB that one VPS has cost the machine, all of the kernel's and LXC's share included; nothing of use where others came and went meanwhile."""
        return (self.before - self.after) / MIB / max(self.running, 1)

    def measurable(self) -> bool:
        """Whether the machine has less than before. Where it has more, others gave memory back meanwhile, and the difference says nothing of VPSs."""
        return self.each() > 0

    def counted(self) -> float:
        """MiB that one VPS has by its own counters, without file cache, which goes where memory is wanted, and with LXC's monitor."""
        return sum(each.memory - each.cache + each.monitor for each in self.samples.values()) / MIB / max(self.running, 1)

    def met(self) -> bool:
        """Whether one takes no more than it should, by both."""
        return self.measurable() and self.each() <= GOAL_MEMORY and self.counted() <= GOAL_MEMORY


@dataclass(frozen=True)
class Outlook:
    """A bound, how much of it one VPS takes, and how many there may be by it; None for any number."""

    bound: Bound
    each: float
    fits: int | None


def outlook(before: Iterable[Bound], now: Iterable[Bound], vpss: int) -> list[Outlook]:
    """How far each bound is away, by what these VPSs have taken of it."""
    start = {bound.what: bound.used for bound in before}
    found = []
    for bound in now:
        others = start.get(bound.what, 0)
        each = (bound.used - others) / max(vpss, 1)
        found.append(Outlook(bound, each, int((bound.most - others) / each) if bound.most >= 0 and each > 0 else None))
    return found


def memory_holds(census: Census, reserve: int) -> int:
    """How many such VPSs the memory that there was would hold, with `reserve` bytes left; 0 where that cannot be said."""
    each = census.each() * MIB
    return int((census.before - reserve) / each) if each > 0 else 0


def report(censuses: Sequence[Census], outlooks: Sequence[Outlook], users: Sequence[Bound], *, machine: Iterable[str], reserve: int, plot: str | None) -> str:
    """The whole of it, as markdown."""
    parts = ["# Density\n\n", "\n".join(machine), "\n"]
    for census in censuses:
        parts += [f"\n## {census.running} of {census.wanted} × {census.kind}\n\n", table(["", "measured"], _rows(census, reserve))]
        if census.stopped:
            parts.append(f"\nStopped: {census.stopped}\n")
    if outlooks:
        rows = [
            [each.bound.what, each.bound.setting or "–", f"{each.bound.used:,}", f"{each.bound.most:,}" if each.bound.most >= 0 else "no bound",
             f"{each.each:.2f}", f"{each.fits:,}" if each.fits is not None else "any"]
            for each in outlooks
        ]
        parts += [f"\n## What bounds the number of them\n\nBy what `{censuses[0].kind}` takes.\n\n",
                  table(["of all together", "set by", "in use", "there are", "each takes", "VPSs that fit"], rows)]
        parts += ["\n", table(["of one VPS", "set by", "most in use", "there are"], [[b.what, b.setting, f"{b.used:,}", f"{b.most:,}"] for b in users])]
    if plot:
        parts.append(f"\n![Memory and time by the number of VPSs]({plot})\n")
    return "".join(parts)


def _judged(census: Census) -> str:
    """What is to be said of the goal. Counters that are above it have missed it, whatever the machine says."""
    if not census.measurable() and census.counted() <= GOAL_MEMORY:
        return NOISE
    return "met" if census.met() else "**not met**"


def _rows(census: Census, reserve: int) -> list[list[str]]:
    samples = list(census.samples.values())
    if not samples:
        return [["running", "0"]]
    idle = [taken / 1e4 / census.idle for taken in census.idle_cpu.values()]
    last = census.batches[-1].seconds if census.batches else 0.0
    return [
        ["memory of the machine for each, MiB", f"{census.each():.2f}" if census.measurable() else NOISE],
        ["memory of each by its own counters, without file cache, MiB", f"{census.counted():.2f}"],
        [f"goal: ≤ {GOAL_MEMORY:.0f} MiB each by both", _judged(census)],
        ["memory of its cgroup, MiB", Spread.of([each.memory / MIB for each in samples]).text()],
        ["of that without file cache, MiB", Spread.of([(each.memory - each.cache) / MIB for each in samples]).text()],
        ["LXC's monitor beside it, MiB", Spread.of([each.monitor / MIB for each in samples]).text()],
        ["processes", Spread.of([float(each.processes) for each in samples]).text(0)],
        [f"idle CPU of each over {census.idle:.0f} s, % of a core", Spread.of(idle).text(4)],
        ["idle CPU of the machine for each, % of a core", f"{census.idle_machine / 1e4 / census.idle / len(samples):.4f}"],
        ["all answered after, s", f"{last:.1f}"],
        ["for each, s", f"{last / len(samples):.2f}"],
        *([f"{server} answers", f"{count} of {census.asked}"] for server, count in census.answers.items()),
        [f"that many the memory holds, {reserve / 2**30:.1f} GiB left", f"{memory_holds(census, reserve):,}" if census.measurable() else NOISE],
    ]
