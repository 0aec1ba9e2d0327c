# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node promises to many VPSs at once: one sum for all, and who has to give back before others can be given more.

Pure. What may be promised, and the sentence where that is too much, is core/capacity.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from . import capacity
from .capacity import RESOURCES, Room
from .errors import VpsError
from .limits import Limits, guaranteed_bytes


@dataclass(frozen=True)
class Promise:
    """The limits of a VPS, before and after; None where there is none."""

    name: str
    before: Limits | None
    after: Limits | None


def check_promises(room: Room, changes: Sequence[Promise]) -> tuple[dict[str, VpsError], dict[str, frozenset[str]]]:
    """Why the node may not promise that much, by the name of the VPS that is too much; and for VPSs that get more, those that have to give back first.

    `room` has what is promised to all VPSs before.
    """
    if not changes:
        return {}, {}
    bounds: list[tuple[Callable[[Limits], int | None], int, str | None]] = [
        (RESOURCES[name].promised, getattr(room.present, name) * percent // 100, name) for name, percent in room.overcommit.items() if name in RESOURCES
    ]
    bounds.append((guaranteed_bytes, room.present.memory, None))
    givers: dict[str, frozenset[str]] = {}
    for promised, allowed, resource in bounds:
        more = [one for one in changes if _raised(room, resource, one)]
        if not more:
            continue
        if room.unknown is not None:
            return {more[0].name: VpsError(room.unknown)}, {}
        total = sum(promised(limits) or 0 for limits in room.promised)
        less = [(one, _grows(promised, one)) for one in changes if _grows(promised, one) < 0]
        left = total + sum(number for _one, number in less)
        for one in more:
            left += _grows(promised, one)
            # What has no limit is promised nothing that could be counted, and is too much whatever that is.
            if left > allowed or (one.after is not None and promised(one.after) is None):
                return {one.name: _refused(room, changes, one)}, {}
        if total + sum(_grows(promised, one) for one in more) > allowed:
            first = frozenset(one.name for one, _number in less)
            givers.update({one.name: givers.get(one.name, frozenset()) | first - {one.name} for one in more})
    return {}, givers


def _raised(room: Room, resource: str | None, one: Promise) -> bool:
    """Whether a VPS is to be promised more of a resource, or None: of what is guaranteed."""
    if one.after is None:
        return False
    if resource is not None:
        return resource in capacity.raised(room.overcommit, one.before, one.after)
    return guaranteed_bytes(one.after) > (0 if one.before is None else guaranteed_bytes(one.before))


def _grows(promised: Callable[[Limits], int | None], one: Promise) -> int:
    before, after = (0 if limits is None else promised(limits) or 0 for limits in (one.before, one.after))
    return after - before


def _refused(room: Room, changes: Sequence[Promise], last: Promise) -> VpsError:
    """The sentence, as the one VPS would get it alone once all others have what they are to have that come before it, or give something back."""
    promised = list(room.promised)
    for one in changes:
        if one.before is not None:
            promised.remove(one.before)
        if one is last:
            break
        promised += [one.after] if one.after is not None else []
    seen = changes.index(last)
    for one in changes[seen + 1 :]:  # those that give something back come first, wherever they are in the list
        if one.before is not None and (one.after is None or not capacity.raised(room.overcommit, one.before, one.after)):
            promised.remove(one.before)
            promised += [one.after] if one.after is not None else []
    if last.after is None:
        raise AssertionError("what goes is not promised more")
    try:
        capacity.check(replace(room, promised=tuple(promised)), last.before, last.after, vps=last.name)
    except VpsError as error:
        return error
    return VpsError(f"limits: this node may not promise as much as VPS '{last.name}' and those before it in the list are to have together; ask for less.")
