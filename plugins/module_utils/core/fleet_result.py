# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a task on all VPSs: what was changed, what was not, and why.

Pure. Of a VPS that failed the node is asked once more what is left to do: that was not done, and the rest of its plan was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import VpsError
from .fleet_plan import FleetPlan, Item, told
from .plan import Change

_MOST_TOLD = 3  # failures that the message tells itself
_MOST_NAMED = 8  # VPSs that it names


@dataclass
class Outcome:
    """What has become of the VPSs of a plan: why some failed, what was told of others, whose turn never came."""

    failed: dict[str, VpsError] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    not_begun: tuple[str, ...] = ()


def judge(plan: FleetPlan, outcome: Outcome, after: FleetPlan) -> tuple[FleetPlan, list[dict[str, Any]]]:
    """The plan as far as it was carried out, and what is to be told of those VPSs that failed. `after` is what is left to do of all."""
    left = {one.name: one.plan.changes for one in after.items}
    done: list[Item] = []
    failed: list[dict[str, Any]] = []
    for one in plan.items:
        if not one.plan.steps and one.name not in outcome.failed:
            done.append(one)
            continue
        missing = left.get(one.name, ())
        error = outcome.failed.get(one.name) or after.refused.get(one.name)
        if one.name in outcome.not_begun:
            done.append(_only(one, ()))
            continue
        if error is None and missing and one.plan.changed:
            what = "; ".join(f"{change.option} is {change.before!r} and not {change.after!r}" for change in missing)
            error = VpsError(f"{missing[0].option}: it was applied, but read again it does not hold: {what}.")
        if error is None:
            done.append(one)
            continue
        options = {change.option for change in missing} if one.name in left else {change.option for change in one.plan.changes}
        made = tuple(change for change in one.plan.changes if change.option not in options)
        done.append(_only(one, made))
        failed.append({
            "vps": one.name,
            "msg": str(error) if one.plan.changed else _unwell(error),
            "done": [_plain(change) for change in made],
            "not_done": [_plain(change) for change in (missing if one.name in left else one.plan.changes)],
            **error.details,
        })
    return FleetPlan(tuple(done), plan.unlisted), failed


def _unwell(error: VpsError) -> str:
    """What is said of one that this run has not changed."""
    option, _colon, why = str(error).partition(": ")
    return f"{option}: this VPS is already as asked, was not changed, and is not well: {why}"


def _only(one: Item, changes: Sequence[Change]) -> Item:
    return replace(one, plan=replace(one.plan, changes=tuple(changes)))


def _plain(change: Change) -> dict[str, Any]:
    return {"option": change.option, "before": change.before, "after": change.after, "effect": change.effect}


def result(plan: FleetPlan, *, listed: int) -> dict[str, Any]:
    """What the module returns of a plan that was carried out, or in check mode would be."""
    return {
        "changed": plan.changed,
        "diff": plan.diff(),
        "changes": told((one.name, change) for one in plan.items for change in one.plan.changes),
        "restart_required": any(one.plan.restart_required for one in plan.items),
        "to_restart": [one.name for one in plan.items if one.plan.restart_required],
        "unlisted": list(plan.unlisted),
        "failed_vpss": [],
        "not_begun": [],
        "summary": {"listed": listed, "changed": len(plan.at_work), "failed": 0, "not_begun": 0},
    }


def with_failures(found: Mapping[str, Any], failed: Sequence[Mapping[str, Any]], not_begun: Sequence[str]) -> dict[str, Any]:
    """The same with those that failed."""
    summary = {**found["summary"], "failed": len(failed), "not_begun": len(not_begun)}
    return {**found, "failed_vpss": list(failed), "not_begun": list(not_begun), "summary": summary}


def sentence(plan: FleetPlan, failed: Sequence[Mapping[str, Any]], not_begun: Sequence[str], max_failures: int | None) -> str:
    """The message of a task of which some VPSs failed. `plan` is what was to be done."""
    work = {one.name for one in plan.at_work}
    broken = sum(one["vps"] in work for one in failed)
    unwell = [one["vps"] for one in failed if one["vps"] not in work]
    done = len(work) - broken - len(not_begun)
    said = []
    if unwell:
        names = ", ".join(unwell[:_MOST_NAMED]) + (", …" if len(unwell) > _MOST_NAMED else "")
        said.append(f"{len(unwell)} VPSs that are already as asked are not well ({names})")
    if broken:
        said.append(f"{broken} of the {len(work)} VPSs that were to be changed failed")
    if not_begun and not broken and not done:
        said.append(f"nothing was changed, because max_failures allows {max_failures}")
    elif not_begun:
        said += [f"{done} were done"] if done else []
        said.append(f"{len(not_begun)} were not begun, because more failed than max_failures allows")
    elif done:
        said.append("the others were done" if broken else "those that were to be changed were done")
    told = " ".join(f"{one['vps']}: {one['msg']}" for one in failed[:_MOST_TOLD])
    more = f" And {len(failed) - _MOST_TOLD} more, see failed_vpss." if len(failed) > _MOST_TOLD else ""
    return f"vps: {'; '.join(said)}. {told}{more}"
