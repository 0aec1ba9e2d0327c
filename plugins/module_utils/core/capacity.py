# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node has against what it has promised to all its VPSs, and how much it may promise.

Pure. As OpenVZ's vzmemcheck and vzcpucheck told it: commitment is what is promised, utilisation what is used, both in percent
of what there is. A VPS without a limit is promised nothing that could be counted; how many there are is told beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import limits
from .beancounters import COUNT, KEYS, PERCENT, SIZE, Kind
from .errors import NOT_OURS, VpsError, written
from .limits import Limits

_MIB = 1 << 20
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.0)?")


@dataclass(frozen=True)
class Present:
    """What a machine has: bytes of memory, of swap and of its pool's disk; CPU in percent of one; processes and threads at a time."""

    memory: int = 0
    swap: int = 0
    cpu: int = 0
    disk: int = 0
    processes: int = 0


@dataclass(frozen=True)
class Resource:
    """Something that is promised by limits: the key that asks for it, its word in a sentence, and what limits promise, None without bound."""

    key: str
    word: str
    kind: Kind
    promised: Callable[[Limits], int | None]

    def show(self, value: int) -> str:
        """To read: what there is, rounded down, so that one may ask for that much."""
        return self.kind.format(value - value % _MIB if self.kind is SIZE and value >= _MIB else value)

    def show_up(self, value: int) -> str:
        """To read: what is promised, rounded up, so that what is too much looks like it."""
        return self.kind.format(value + -value % _MIB if self.kind is SIZE and value >= _MIB else value)


RESOURCES = {
    "memory": Resource("memory", "memory", SIZE, limits.memory_bytes),
    "swap": Resource("swap", "swap", SIZE, limits.swap_bytes),
    "cpu": Resource("cpulimit", "CPU time", PERCENT, limits.cpu_percent),
    "disk": Resource("diskspace", "disk space", SIZE, Limits.disk_bytes),
    "processes": Resource("processes", "processes", COUNT, limits.process_count),
}


@dataclass(frozen=True)
class Room:
    """What decides whether a node may promise more.

    `overcommit` bounds resources, in percent of what is `present`; `promised` are the limits of the other VPSs, `unknown` why
    those are not all known.
    """

    present: Present = Present()
    overcommit: Mapping[str, int] = field(default_factory=dict)
    promised: tuple[Limits, ...] = ()
    unknown: str | None = None


def present_of(node: Any) -> Present:
    """What a node has that is given as M(vps_info) returns it; raises VpsError for something else."""
    try:
        return Present(**{name: _number(node["capacity"][name]["present"]) for name in RESOURCES})
    except NOT_OURS:
        raise _no_node() from None


def promises_of(node: Any) -> dict[str, tuple[int | None, int | None]]:
    """Of each resource of such a node what it has promised and what it may promise in percent, None where that is unknown; raises VpsError."""
    try:
        return {name: (_known(node["capacity"][name], "promised"), _known(node["capacity"][name], "overcommit")) for name in RESOURCES}
    except NOT_OURS:
        raise _no_node() from None


def _known(told: Mapping, word: str) -> int | None:
    return None if told.get(word) is None else _number(told[word])


def _number(value: Any) -> int:
    """A number of a node, which may have become a text or a fraction on its way through a template; raises ValueError for none that there could be."""
    text = written(value)
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text.partition(".")[0])


def _no_node() -> VpsError:
    return VpsError("node: is not one that vps_info returns in node, with what it has in capacity; give it that.")


def raised(overcommit: Mapping[str, int], before: Limits | None, after: Limits) -> tuple[str, ...]:
    """The bounded resources of which a VPS would be promised more than before; None before: there is no such VPS yet."""
    found = []
    for name, resource in RESOURCES.items():
        old = 0 if before is None else resource.promised(before)
        new = resource.promised(after)
        # What has no limit is promised nothing that could be counted: any number is more.
        if name in overcommit and new != old and (new is None or new > (old or 0)):
            found.append(name)
    return tuple(found)


def check(room: Room, before: Limits | None, after: Limits, *, vps: str) -> None:
    """Raise VpsError where a VPS with the limits `after` in place of `before` would break the node's policy.

    What is not raised is not looked at: a node that has promised too much already may always promise less.
    """
    _check_guarantees(room, before, after, vps=vps)
    for name in raised(room.overcommit, before, after):
        if room.unknown is not None:
            raise VpsError(room.unknown)
        resource, present, percent = RESOURCES[name], getattr(room.present, name), room.overcommit[name]
        allowed = present * percent // 100
        others, _unlimited = _sum(name, room.promised)
        wanted = resource.promised(after)
        if wanted is not None and others + wanted <= allowed:
            continue
        had = (before is not None and resource.promised(before)) or 0
        policy = f"{percent}% of the {resource.show(present)} that it has, by overcommit.{name} of vps_node"
        least = max(had + 1, KEYS[resource.key].bounds.get("minimum", 0))
        left = f"at most {resource.show(allowed - others)}" if allowed - others >= least else "nothing more"
        if wanted is None:
            raise VpsError(
                f"limits.{resource.key}: VPS '{vps}' would have no limit of {resource.word}, of which this node promises no more than "
                f"{resource.show(allowed)} ({policy}), and has promised {resource.show_up(others)} to the others; {left} is left for it."
            )
        raise VpsError(
            f"limits.{resource.key}: with {resource.show_up(wanted)} for VPS '{vps}' this node would have promised "
            f"{resource.show_up(others + wanted)} of {resource.word}, {resource.show_up(others)} of it to the others, and it promises no more than "
            f"{resource.show(allowed)} ({policy}); {left} is left for it."
        )


def _check_guarantees(room: Room, before: Limits | None, after: Limits, *, vps: str) -> None:
    """What is guaranteed nobody gets back: more than there is would leave nothing to the node itself."""
    wanted = limits.guaranteed_bytes(after)
    if wanted <= (0 if before is None else limits.guaranteed_bytes(before)):
        return
    if room.unknown is not None:
        raise VpsError(room.unknown)
    others = sum(limits.guaranteed_bytes(other) for other in room.promised)
    if others + wanted > room.present.memory:
        resource = RESOURCES["memory"]
        key = "memory_guarantee" if after.memory_guarantee else "oomguarpages"
        raise VpsError(
            f"limits.{key}: with {resource.show_up(wanted)} for VPS '{vps}' this node would have guaranteed {resource.show_up(others + wanted)}, and has "
            f"{resource.show(room.present.memory)} of memory; guarantee less."
        )


def nearly_full(size: int, free: int, percent: int) -> tuple[str, ...]:
    """What is to be said of a pool of `size` bytes of which fewer than `percent` are `free`; nothing of one that nobody has seen."""
    if size <= 0 or free * 100 >= size * percent:
        return ()
    disk = RESOURCES["disk"]
    return (
        f"pool: {disk.show(max(0, free))} of {disk.show(size)} is free, less than {percent}% (pool_warning of vps_node); "
        "enlarge the pool or remove something, because VPSs in a full one cannot write.",
    )


def report_pool(room: Room, used: int, free: int) -> dict[str, int | None]:
    """The pool as M(vps_info) returns it, in bytes; what is left of it beside promises is less than nothing where too much is promised."""
    promised = None if room.unknown is not None else _sum("disk", room.promised)[0]
    size = room.present.disk
    return {"pool_size": size, "pool_used": used, "pool_free": free, "pool_unpromised": None if promised is None else size - promised}


def report(room: Room, used: Mapping[str, int]) -> dict[str, dict[str, int | float | None]]:
    """Each resource as M(vps_info) returns it; `room` has all VPSs, `used` those resources of which that is known, in their units."""
    told: dict[str, dict[str, int | float | None]] = {}
    for name in RESOURCES:
        present = getattr(room.present, name)
        promised, unlimited = (None, None) if room.unknown is not None else _sum(name, room.promised)
        told[name] = {
            "present": present,
            "promised": promised,
            "unlimited": unlimited,
            "commitment": _percent(promised, present),
            "used": used.get(name),
            "utilisation": _percent(used.get(name), present),
            "overcommit": room.overcommit.get(name),
        }
    return told


def _sum(name: str, promised: Iterable[Limits]) -> tuple[int, int]:
    """What is promised of a resource, and to how many VPSs without bound."""
    each = [RESOURCES[name].promised(vps) for vps in promised]
    return sum(value for value in each if value is not None), each.count(None)


def _percent(part: int | None, whole: int) -> float | None:
    """With one digit after the point; None where it is unknown, or something of nothing."""
    if part is None or (part and not whole):
        return None
    return round(100 * part / whole, 1) if whole else 0.0
