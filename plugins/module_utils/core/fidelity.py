# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How near this machine comes to each limit that is asked of it: a word on each key, and a refusal of what it cannot.

Pure. What the kernel in general makes of a key is core/beancounters.py; here is what one machine has of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from .beancounters import APPROXIMATE, BTRFS, IMAGE, KEYS, PLAIN, UNSUPPORTED, V1, V2, Bound, Fidelity, format_value
from .controls import RLIMITS, files_of, rlimits
from .errors import VpsError
from .limits import Limits

CONTROLLERS = frozenset({"memory", "cpu", "cpuset", "io", "pids"})
_ANY_DISK = "0:0"  # an image is a disk of its own, with a number as long as it is mounted
_NO_SOFT_LIMIT = {BTRFS: "btrfs has no soft limit", PLAIN: "an image without quota has no soft limit"}
_GUARANTEES = ("memory_guarantee", "vmguarpages", "oomguarpages")
_V1_NAMES = {"blkio": "io"}


@dataclass(frozen=True)
class Abilities:
    """What a machine can limit.

    `version` of its cgroups; `controllers` are those that it has, by their names of v2; `swap`: it accounts for swap; `io_device`
    is the number of the pool's disk, C(MAJOR:MINOR), None where it has none of its own; `io_weights`: that disk shares by weight;
    `raises`: we may give processes back more than they have (CAP_SYS_RESOURCE); `cpus` and `mems` are those that are online,
    as the kernel lists them, empty where that is unknown; `units`: each VPS is a unit of systemd's. `storage` is the driver of the
    VPS that is asked about; `quota`: an image is, or would be, made with quota. `most_files`: no process may have more open (fs.nr_open).
    `overlay`: the kernel has overlayfs, and `layers`: with ids that are not those on disk (storage dir).
    `hard_limits`, by getrlimit(2)'s names and in the kernel's units, are those that no VPS can go beyond; empty where `raises`.
    """

    version: int = 2
    controllers: frozenset[str] = CONTROLLERS
    swap: bool = True
    io_device: str | None = "0:0"
    io_weights: bool = True
    raises: bool = True
    cpus: str = ""
    mems: str = ""
    storage: str = BTRFS
    units: bool = False
    quota: bool = True
    most_files: int = 1 << 20
    overlay: bool = True
    layers: bool = True
    hard_limits: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def disk(self) -> str:
        """What limits the disk."""
        return PLAIN if self.storage == IMAGE and not self.quota else self.storage

    def on(self, storage: str) -> Abilities:
        """The same for a VPS that is to have a storage."""
        return replace(self, storage=storage, io_device=_ANY_DISK if storage == IMAGE else self.io_device)


@dataclass(frozen=True)
class Held:
    """What the kernel holds for a key now, and where: a file's path, or the name of a call. Empty where the VPS does not run."""

    where: str = ""
    value: str = ""


def fidelity(key: str, abilities: Abilities) -> Fidelity:
    """How near this machine comes to a key."""
    on = KEYS[key].on
    known = on.get(abilities.disk) or on[V2 if abilities.version == 2 else V1]
    if known.word == UNSUPPORTED:
        return known
    missing = _missing(key, abilities)
    return Fidelity(UNSUPPORTED, "", missing) if missing else known


def refused(limits: Limits, abilities: Abilities) -> dict[str, str]:
    """Those of the limits that this machine cannot keep, and why."""
    found = {}
    for name in limits.named:
        told = fidelity(name, abilities)
        if told.word == UNSUPPORTED:
            found[name] = told.why
    bound = limits.numfile
    if bound is not None and max(value or 0 for value in bound) > abilities.most_files:
        found["numfile"] = f"no process may have more than {abilities.most_files} files open here; ask for less, or raise fs.nr_open"
    for rlimit, bound in rlimits(limits).items():
        name, unit = RLIMITS[rlimit]
        hard = abilities.hard_limits.get(rlimit)
        if hard is not None and max(value or 0 for value in bound) > hard:  # an unlimited hard one is as much as there is
            found[name] = f"the node's own hard limit is {hard // unit} (RLIMIT_{rlimit}), and root here lacks CAP_SYS_RESOURCE to go beyond it; ask for less"
    return found


def softened(limits: Limits, abilities: Abilities) -> dict[str, str]:
    """Those of which this machine keeps the hard limit alone, and why."""
    why = _NO_SOFT_LIMIT.get(abilities.disk)
    pairs = [name for name in ("diskspace", "diskinodes") if getattr(limits, name) is not None]
    return {name: why for name in pairs if why and len(set(getattr(limits, name))) == 2 and fidelity(name, abilities).word != UNSUPPORTED}


@lru_cache(maxsize=256)  # of many VPSs most have the limits of a few plans
def enforced(limits: Limits, abilities: Abilities) -> Limits:
    """The limits without what this machine cannot keep of them."""
    without, soft = refused(limits, abilities), softened(limits, abilities)
    kept: dict[str, Any] = {name: value for name, value in limits.named.items() if name not in without}
    kept.update({name: Bound(kept[name].limit, kept[name].limit) for name in soft})
    return Limits(**kept)


def check(
    limits: Limits, abilities: Abilities, policy: str, *, prefix: str = "", own: Mapping[str, Any] | None = None, plan: str | None = None
) -> tuple[str, ...]:
    """Refuse limits that this machine cannot keep, or warn of them, as C(unsupported) says: fail, warn or ignore.

    `own` are the keys of the task; the others came by its `plan`.
    """
    _check_masks(limits, abilities, prefix)

    own = limits.named if plan is None or own is None else own
    without, soft = refused(limits, abilities), softened(limits, abilities)
    sentences = tuple(
        f"{prefix}{name}: {'' if name in own else f'of plan {plan!r}, '}{'cannot' if name in without else 'its soft limit cannot'} be kept on this node: {why}."
        for name, why in {**without, **soft}.items()
    )
    if sentences and policy == "fail":
        first = next(iter({**without, **soft}))
        instead = "leave it out" if first in without else "give one value"
        if first not in own:
            instead = "write another value beside the plan, such as unlimited"
        more = f" Likewise {', '.join(sentence.split(':')[0] for sentence in sentences[1:])}." if len(sentences) > 1 else ""
        raise VpsError(f"{sentences[0][:-1]}; {instead}, or set unsupported to warn or ignore.{more}")
    return sentences if policy == "warn" else ()


def report(limits: Limits, asked: Iterable[str], abilities: Abilities, held: Mapping[str, Held]) -> list[dict[str, str]]:
    """A word on each key that is asked, as modules return it."""
    without, soft = refused(limits, abilities), softened(limits, abilities)
    rows = []
    for name in asked:
        told = Fidelity(UNSUPPORTED, "", without[name]) if name in without else fidelity(name, abilities)
        if name in soft:
            told = Fidelity(APPROXIMATE, told.by, f"the soft limit has no effect: {soft[name]}")
        found = held.get(name, Held()) if told.word != UNSUPPORTED else Held()
        rows.append(
            {
                "limit": name,
                "asked": format_value(name, getattr(limits, name)),
                "fidelity": told.word,
                "by": told.by,
                "why": told.why,
                "where": found.where,
                "held": found.value,
            }
        )
    return rows


def _missing(key: str, abilities: Abilities) -> str:
    """Why this machine has not what a key needs; empty where it has."""
    if key in ("swap", "swappages") and not abilities.swap:
        return "this kernel does not account for swap; boot it with swapaccount=1"
    if key in ("cpuunits", "ioprio") and abilities.units and abilities.version == 1:
        return "each VPS is a unit of systemd's, and on cgroup v1 the share of that cannot be set; boot the node with cgroup v2"
    if key in _GUARANTEES and abilities.version == 2 and not abilities.units:
        return "on cgroup v2 systemd keeps what is guaranteed to all VPSs together, and it does not run this machine"
    if key == "ioprio" and not abilities.io_weights:
        return "the pool's disk does not share by weight; set its scheduler to bfq"
    if key.startswith("io") and abilities.io_device is None:
        return "the pool is not on a disk of its own that the kernel could throttle"
    if key in {name for name, _unit in RLIMITS.values()}:
        return ""
    for file in files_of(key, version=abilities.version):
        controller = file.split(".")[0]
        if _V1_NAMES.get(controller, controller) not in abilities.controllers:
            return f"this kernel, or its command line, has no cgroup controller {controller}"
    return ""


def _check_masks(limits: Limits, abilities: Abilities, prefix: str) -> None:
    for name, mask, there, what in (("cpumask", limits.cpumask, abilities.cpus, "CPUs"), ("nodemask", limits.nodemask, abilities.mems, "NUMA nodes")):
        if mask is None or not there:
            continue
        strange = numbers(mask) - numbers(there)
        if strange:
            raise VpsError(f"{prefix}{name}: this node has no number {min(strange)} of its {what}; it has {there}.")


def numbers(ranges: str) -> set[int]:
    """The numbers of a list such as C(0-3,5), as the kernel writes it."""
    found: set[int] = set()
    for part in ranges.split(","):
        first, _dash, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
