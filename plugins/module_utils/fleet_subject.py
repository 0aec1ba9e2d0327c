# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All VPSs of a node in one task, as the runner wants it: read all at once, compare, lock those that differ, do them, read again.

What is different is the plans' word, and what is done the node's; this only says when: batch after batch, stage after stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from . import options, subjects
from .core import fleet, fleet_order, fleet_plan, fleet_result
from .core.errors import VpsError
from .core.fleet_plan import FleetActual, FleetPlan
from .core.fleet_result import Outcome
from .core.parse import parse_seconds
from .runner import kernel_said

_ATTEMPTS = 5


def parse(params: Mapping[str, Any]) -> fleet.Wish:
    """The wish of a task."""
    return fleet.parse_fleet(params, lambda given: options.fill(options.CONTAINER, given))


def reconcile(params: Mapping[str, Any], node: Any, *, check: bool) -> dict[str, Any]:
    """Make all VPSs as asked, or in check mode say what would be done; the module's result as plain data.

    Where a VPS failed, VpsError has all of that result in its details.
    """
    wish = parse(params)
    patience = parse_seconds(params["lock_timeout"], option="lock_timeout")
    node.require_usable()
    # First, so that nothing is refused because of what a killed run left.
    warnings = [] if check else node.sweep()
    actual = node.read_fleet(wish)
    plan = fleet_plan.compare(wish, actual)
    fleet_order.batches(plan.at_work, wish.batch)  # what cannot be put in order is refused in check mode too
    if check or not (plan.changed or plan.waiting or fleet_plan.to_ask(wish, plan)):
        return _told(node, wish, plan, actual, warnings)
    asked, actual, outcome, more = _under_locks(wish, node, plan, patience)
    warnings = list(dict.fromkeys((*warnings, *more, *outcome.warnings)))
    after = fleet_plan.compare_each(fleet.settled(wish), actual)
    done, failed = fleet_result.judge(asked, outcome, after)
    found = _told(node, wish, done, actual, warnings)
    if failed:
        raise VpsError(
            fleet_result.sentence(asked, failed, outcome.not_begun, wish.max_failures),
            **fleet_result.with_failures(found, failed, outcome.not_begun),
        )
    return {**found, **({"boot": boot} if (boot := {name: notes["boot"] for name, notes in outcome.notes.items() if "boot" in notes}) else {})}


def _told(node: Any, wish: fleet.Wish, plan: FleetPlan, actual: FleetActual, warnings: list[str]) -> dict[str, Any]:
    warnings = [*warnings, *plan.warnings()]
    if wish.unlisted == fleet.REPORT and plan.unlisted:
        warnings.append(f"unlisted: VPSs of this node that are not listed: {', '.join(plan.unlisted)}.")
    changed = {one.name for one in plan.at_work}
    wanted = [one.name for one in wish.vpss if wish.describe == fleet.ALL or (wish.describe == fleet.CHANGED and one.name in changed)]
    vpss = [subjects.describe_vps(node, actual.vpss[name]) for name in wanted if name in actual.vpss]
    return {
        **fleet_result.result(plan, listed=len(wish.vpss)),
        **({"vpss": vpss} if wish.describe != fleet.NONE else {}),
        **({"warnings": warnings} if warnings else {}),
    }


def _under_locks(wish: fleet.Wish, node: Any, plan: FleetPlan, patience: int) -> tuple[FleetPlan, FleetActual, Outcome, list[str]]:
    """Take the locks of those that differ, look again, and do what is still to be done; the plan that was done, and the node after it."""
    names = _touched(plan)
    for _attempt in range(_ATTEMPTS):
        with node.lock_all("vps", sorted(names), timeout=patience):
            warnings = node.sweep()
            actual = node.read_fleet(wish)
            plan = fleet_plan.compare(wish, actual)
            order = fleet_order.batches(plan.at_work, wish.batch)
            missing = _touched(plan) - names
            if not missing:
                outcome = _Run(node, wish, plan).carry_out(order)
                again = node.read_fleet(wish, only={one.name for one in plan.items if one.plan.steps})
                kept = {name: one for name, one in actual.vpss.items() if name not in again.looked_at}
                return plan, replace(again, vpss={**kept, **again.vpss}), outcome, warnings
        names |= missing  # somebody else has changed them since
    raise VpsError("vps: the VPSs of this node do not hold still, other runs change them all the time; run this again when they are through.")


def _touched(plan: FleetPlan) -> set[str]:
    """Those whose locks are needed: of VPSs that are changed, and of those that others are to be copies of."""
    sources = {one.desired.disk.clone_from for one in plan.at_work if one.before is None}
    return {one.name for one in plan.at_work} | {name for name in sources if name is not None}


class _Run:
    """One run of a plan: what has become of its VPSs so far."""

    def __init__(self, node: Any, wish: fleet.Wish, plan: FleetPlan) -> None:
        self.node, self.wish = node, wish
        self.items = {one.name: one for one in plan.items}
        self.work = {one.name: fleet_order.work_of(one.plan.steps) for one in plan.items}
        self.unchanged = [one.name for one in plan.items if not one.plan.changed]
        self.outcome = Outcome()
        self.done = 0  # VPSs that nothing is to be done to any more but to wait
        self.tell: Callable[[int, int], None] = lambda done, failed: None

    def carry_out(self, batches: tuple[fleet_order.Batch, ...]) -> Outcome:
        """Batch after batch, until more VPSs have failed than may.

        Those that are as asked already come first where they could hold the others back: what an earlier run has changed, and left ill, is among them.
        """
        first = self.wish.health is not None or self.wish.max_failures is not None
        with self.node.progress(sum(len(batch.names) for batch in batches)) as self.tell:
            if first:
                self._bring_up(self.unchanged)
                if self._stops(batches):
                    return self.outcome
            for number, batch in enumerate(batches):
                for stage in batch.stages:
                    self._do(stage.part, stage.names)
                self._bring_up(batch.names)
                if self._stops(batches[number + 1 :]):
                    return self.outcome
            if not first:
                self._bring_up(self.unchanged)
        return self.outcome

    def _stops(self, later: tuple[fleet_order.Batch, ...]) -> bool:
        """Whether more VPSs have failed than may; then those of later batches are not begun."""
        self.tell(self.done, len(self.outcome.failed))
        if self.wish.max_failures is None or len(self.outcome.failed) <= self.wish.max_failures:
            return False
        self.outcome.not_begun = tuple(name for batch in later for name in batch.names)
        return True

    def _do(self, part: str, names: tuple[str, ...]) -> None:
        steps = {name: getattr(self.work[name], part) for name in self._well(names)}
        for name in list(steps):
            failed = sorted(one for one in self.items[name].needs & set(self.outcome.failed) if self.items[one].plan.changed)
            if failed:
                self.outcome.failed[name] = VpsError(f"vps: it comes after VPS {failed[0]}, which failed; run this again when that is mended.")
                del steps[name]
        if steps:
            self._note(self.node.work(part, steps, parallel=self.wish.parallel, done=lambda name: self._count(name, part)))

    def _count(self, name: str, part: str) -> None:
        if part == ("run" if self.work[name].run else "prepare"):
            self.done += 1
            self.tell(self.done, len(self.outcome.failed))

    def _bring_up(self, names: Any) -> None:
        """Wait until all are what is asked, side by side; then see whether they are well."""
        waits = {name: wait for name in self._well(names) if (wait := self.work[name].wait) is not None}
        if waits:
            self._note(self.node.await_all(waits, parallel=self.wish.parallel))
        finish = {name: self.work[name].finish for name in self._well(names) if self.work[name].finish}
        if finish:
            self._note(self.node.work("finish", finish, parallel=self.wish.parallel))
        if self.wish.health is not None:
            up = [name for name in self._well(names) if self.items[name].runs]
            if up:
                self._note(self.node.check_health(self.wish.health, up, parallel=self.wish.parallel))

    def _well(self, names: Any) -> list[str]:
        return [name for name in names if name not in self.outcome.failed]

    def _note(self, results: Mapping[str, Any]) -> None:
        for name, found in results.items():
            if isinstance(found, OSError):
                found = VpsError(kernel_said(found))
            if isinstance(found, VpsError):
                self.outcome.failed[name] = found
            elif found:
                found = dict(found)
                self.outcome.warnings += [f"VPS '{name}': {warning}" for warning in found.pop("warnings", ())]
                self.outcome.notes.setdefault(name, {}).update(found)
