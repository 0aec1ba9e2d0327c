# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order the VPSs of a task are done: who gives before who takes, the lowest boot order first, a few at a time where that is asked.

Pure. A batch is a list of stages, one after the other; the VPSs of one stage are done side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import VpsError
from .fleet_plan import Item
from .plan import Start, Stop, Wait


@dataclass(frozen=True)
class Work:
    """The steps of a VPS, in three parts: what is done before it starts, the start and what comes with it, and what comes after it is up.

    One that is stopped on the way is down for as short as it can be: all of that is done in one go, in its place among those that start.
    """

    prepare: tuple[object, ...] = ()
    run: tuple[object, ...] = ()
    wait: Wait | None = None
    finish: tuple[object, ...] = ()


@dataclass(frozen=True)
class Stage:
    """What is done side by side, by the VPSs' names: their C(prepare), or their C(run)."""

    part: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """VPSs that are changed before any other is; then those that were started are waited for."""

    names: tuple[str, ...]
    stages: tuple[Stage, ...]


def work_of(steps: Sequence[object]) -> Work:
    """The parts of a plan's steps."""
    place = next((number for number, step in enumerate(steps) if isinstance(step, Wait)), len(steps))
    before, after = tuple(steps[:place]), tuple(steps[place + 1 :])
    wait = next((step for step in steps if isinstance(step, Wait)), None)
    start = next((number for number, step in enumerate(before) if isinstance(step, Start)), None)
    if start is None:
        return Work(before, (), wait, after)
    if any(isinstance(step, Stop) for step in before):
        return Work((), before, wait, after)
    return Work(before[:start], before[start:], wait, after)


def batches(items: Sequence[Item], size: int | None) -> tuple[Batch, ...]:
    """The order of these; raises VpsError where each of some VPSs is to have what another one gives up."""
    levels = _levels(items)
    groups = {one.name: _group(one) for one in items}
    order = sorted(items, key=lambda one: (levels[one.name], groups[one.name]))  # a stable sort: then as in the list
    step = size or max(1, len(order))
    return tuple(_batch(order[first : first + step], levels, groups) for first in range(0, len(order), step))


def _group(one: Item) -> int:
    """When it starts among those that do; those that do not come before them."""
    starts = any(isinstance(step, Start) for step in one.plan.steps)
    return one.after.boot_order if starts and one.after is not None else -1


def _batch(items: Sequence[Item], levels: dict[str, int], groups: dict[str, int]) -> Batch:
    stages: list[Stage] = []
    work = {one.name: work_of(one.plan.steps) for one in items}
    for level in sorted({levels[one.name] for one in items}):
        here = [one.name for one in items if levels[one.name] == level]
        prepared = tuple(name for name in here if work[name].prepare)
        stages += [Stage("prepare", prepared)] if prepared else []
        for group in sorted({groups[name] for name in here}):
            started = tuple(name for name in here if groups[name] == group and work[name].run)
            stages += [Stage("run", started)] if started else []
    return Batch(tuple(one.name for one in items), tuple(stages))


def _levels(items: Sequence[Item]) -> dict[str, int]:
    """How many others have to come first, one after the other, for each VPS."""
    known = {one.name for one in items}
    left = {one.name: one.needs & known for one in items}
    takers: dict[str, list[str]] = {}
    for name, needs in left.items():
        for giver in needs:
            takers.setdefault(giver, []).append(name)
    waiting = {name: len(needs) for name, needs in left.items()}
    levels = {name: 0 for name, number in waiting.items() if not number}
    ready = list(levels)
    while ready:
        giver = ready.pop()
        for name in takers.get(giver, ()):
            levels[name] = max(levels.get(name, 0), levels[giver] + 1)
            waiting[name] -= 1
            if not waiting[name]:
                ready.append(name)
    stuck = [one for one in items if waiting[one.name]]
    if stuck:
        first = stuck[0]
        givers = ", ".join(sorted(name for name in first.needs if waiting.get(name)))
        new = first.after is not None and first.after.claimed - (first.before.claimed if first.before else frozenset())
        raise VpsError(
            f"{first.place}: {'addresses' if new else 'limits'}: VPS '{first.name}' is to have what '{givers}' gives up, and that one what comes from "
            f"'{first.name}' in the end; take it away from one of them in a task of its own first."
        )
    return levels
