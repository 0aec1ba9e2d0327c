# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of limits made by arithmetic: a node divided among its VPSs, and a plan made larger or smaller.

Pure. What vzsplit and a pocket calculator did on an OpenVZ node. Everything is rounded down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import limits as limits_
from .beancounters import COUNT, KEYS, PERCENT, SIZE, Bound, Kind
from .capacity import RESOURCES, Present
from .errors import VpsError
from .limits import Limits
from .units import LARGEST, LARGEST_SIZE, PAGE

_MIB = 1 << 20
_UNTOUCHED = frozenset({"cpumask", "nodemask", "ioprio", "quotatime", "quotaugidlimit"})  # of which twice as much means nothing


def split(present: Present, count: int, *, margin: int = 10, keep: Mapping[str, int] | None = None, overcommit: Mapping[str, int] | None = None) -> Limits:
    """What each of `count` VPSs can be promised.

    `margin` is what the node keeps of everything, in percent; `keep` how much it keeps of a resource instead, in that resource's
    unit; `overcommit` how much of the rest is promised, in percent, 100 where it does not say. Raises VpsError where too little
    is left for so many.
    """
    if count < 1:
        raise VpsError("count: there is nobody to divide the node among; give 1 or more.")
    found: dict[str, Any] = {}
    for name, resource in RESOURCES.items():
        key, there = KEYS[resource.key], getattr(present, name)
        rest = max(0, there - keep[name]) if keep is not None and name in keep else there * (100 - margin) // 100
        share = rest * (100 if overcommit is None else overcommit.get(name, 100)) // 100 // count
        if key.kind is SIZE and share >= _MIB:
            share -= share % _MIB
        least, most = key.bounds.get("minimum", 0), key.bounds.get("maximum", _largest(key.kind))
        if share < least:
            raise VpsError(
                f"count: each of {count} VPSs would have {key.kind.format(share)} of {resource.word}, and {key.kind.format(least)} is the least; "
                "divide the node among fewer, or have it keep less for itself."
            )
        share = min(share, most)
        found[resource.key] = Bound(share, share) if key.pair else share
    return Limits(**found)


def scale(limits: Limits, numerator: int, denominator: int = 1) -> Limits:
    """The limits times a fraction, which is above 0. What is no quantity stays: masks, nodes, priorities, times.

    A size that is a whole number of MiB stays one. Nothing becomes less, or more, than its key allows, nor contradicts another.
    """
    found: dict[str, Any] = {}
    for name, value in limits.named.items():
        if isinstance(value, Bound):
            limit = None if value.limit is None else _scaled(name, value.limit, numerator, denominator, KEYS[name].bounds)
            barrier = None if value.barrier is None else limits_.least(_scaled(name, value.barrier, numerator, denominator, {}), limit)
            found[name] = Bound(barrier, limit)
        else:
            found[name] = value if name in _UNTOUCHED or not isinstance(value, int) else _scaled(name, value, numerator, denominator, KEYS[name].bounds)
    made = Limits(**found)
    if made.cpuburst is not None:
        made = replace(made, cpuburst=limits_.least(made.cpuburst, limits_.cpu_percent(made)))
    if made.memory_guarantee is not None:
        made = replace(made, memory_guarantee=limits_.least(made.memory_guarantee, limits_.memory_bytes(made)))
    most = limits_.memory_bytes(made)
    if made.oomguarpages is not None and most is not None:
        barrier, limit = made.oomguarpages
        made = replace(made, oomguarpages=Bound(limits_.least(barrier, most // PAGE), limit))
    return made


def _scaled(name: str, value: int, numerator: int, denominator: int, bounds: Mapping[str, int]) -> int:
    if name in _UNTOUCHED:
        return value
    kind = KEYS[name].kind
    result = min(value * numerator // denominator, bounds.get("maximum", _largest(kind)))
    if kind is SIZE:
        grain = next((grain for grain in (_MIB, PAGE) if value % grain == 0 and result >= 8 * grain), 1)
        result -= result % grain
    return max(result, bounds.get("minimum", 0))


def _largest(kind: Kind) -> int:
    """What core/units.py reads at most."""
    if kind in (COUNT, PERCENT):
        return LARGEST
    return LARGEST_SIZE if kind is SIZE else LARGEST_SIZE // PAGE
