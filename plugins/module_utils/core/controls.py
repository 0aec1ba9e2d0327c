# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What limits are to the kernel: files of cgroup v1 and v2, rlimits, a sysctl, an option of devpts; and back again.

Pure. Disk limits are not here: the storage driver has them.
Kernel documents: admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1/{memory,pids,cpusets,blkio-controller}.rst,
scheduler/sched-bwc.rst; getrlimit(2), proc(5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from . import limits as limits_
from .beancounters import KEYS, Bound
from .limits import Limits, least
from .units import PAGE

PERIOD = 100_000  # µs: the kernel's own default period of a CPU quota
UNSET_SHARES = 1024  # cpu.shares of a cgroup that nobody has set; 1000 cpuunits, vzctl's default, are the same share
UNSET_WEIGHT = 100
UNSET_PRIORITY = 4  # ioprio of a VPS without, which is UNSET_WEIGHT
UNSET_TERMINALS = 1023  # what LXC's own lxc.pty.max of 1024 leaves to the guest
DIRECTIONS = {"rbps": "iolimit_read", "wbps": "iolimit_write", "riops": "iopslimit_read", "wiops": "iopslimit_write"}
_V1_THROTTLE = {
    "rbps": "blkio.throttle.read_bps_device",
    "wbps": "blkio.throttle.write_bps_device",
    "riops": "blkio.throttle.read_iops_device",
    "wiops": "blkio.throttle.write_iops_device",
}
# Which keys become which file, the one first that what somebody else wrote there is told as.
_KEYS_OF = {
    "memory.max": ("memory", "physpages", "privvmpages"),
    "memory.limit_in_bytes": ("memory", "physpages", "privvmpages"),
    "memory.swap.max": ("swap", "swappages"),
    "memory.memsw.limit_in_bytes": ("swap", "swappages"),
    "memory.high": ("memory_high", "privvmpages"),
    "memory.min": ("memory_guarantee", "oomguarpages"),
    "memory.low": ("vmguarpages",),
    "memory.soft_limit_in_bytes": ("memory_guarantee", "oomguarpages", "vmguarpages"),
    "cpu.weight": ("cpuunits",),
    "cpu.shares": ("cpuunits",),
    "cpu.max": ("cpulimit", "cpus"),
    "cpu.cfs_quota_us": ("cpulimit", "cpus"),
    "cpu.cfs_period_us": ("cpulimit", "cpus"),
    "cpu.max.burst": ("cpuburst",),
    "cpu.cfs_burst_us": ("cpuburst",),
    "cpuset.cpus": ("cpumask",),
    "cpuset.mems": ("nodemask",),
    "pids.max": ("processes", "numproc"),
    "io.max": ("iolimit", "iolimit_read", "iolimit_write", "iopslimit", "iopslimit_read", "iopslimit_write"),
    _V1_THROTTLE["rbps"]: ("iolimit_read", "iolimit"),
    _V1_THROTTLE["wbps"]: ("iolimit_write", "iolimit"),
    _V1_THROTTLE["riops"]: ("iopslimit_read", "iopslimit"),
    _V1_THROTTLE["wiops"]: ("iopslimit_write", "iopslimit"),
    "io.weight": ("ioprio",),
    "blkio.bfq.weight": ("ioprio",),
}
# Limits of each process, by getrlimit(2)'s names: the key, and how many units of the kernel's its own is.
RLIMITS = {"NOFILE": ("numfile", 1), "MEMLOCK": ("lockedpages", PAGE), "SIGPENDING": ("numsiginfo", 1)}
# What the kernel takes only when the VPS starts.
AT_START_ONLY = frozenset({"numpty"})


def keys_of(file: str) -> tuple[str, ...]:
    """The keys that a file of a cgroup holds."""
    return _KEYS_OF[file]


@lru_cache(maxsize=None)
def files_of(key: str, *, version: int) -> tuple[str, ...]:
    """The files of a cgroup that hold a key."""
    return tuple(file for file in cgroup_files(Limits(), version=version) if key in _KEYS_OF[file])


def cgroup_files(limits: Limits, *, version: int) -> dict[str, str]:
    """What the files of the VPS's cgroup must hold, in the order in which they are written.

    The name's first part is the controller, as everywhere in cgroups. I/O limits are without the number of the disk, which
    the machine knows: C(rbps=… wbps=…) on v2, a number on v1, 0 for none. An empty text takes a cpuset from above.
    On v1 the swap file counts memory and swap together, and may never be below memory's: it is lifted first, set last.
    """
    memory, swap = limits_.memory_bytes(limits), limits_.swap_bytes(limits)
    percent = limits_.cpu_percent(limits)
    quota = None if percent is None else percent * PERIOD // 100
    burst = str(0 if limits.cpuburst is None else limits.cpuburst * PERIOD // 100)
    rates = _rates(limits)
    weight = str(((UNSET_PRIORITY if limits.ioprio is None else limits.ioprio) + 1) * UNSET_WEIGHT // (UNSET_PRIORITY + 1))
    guarantee = limits_.guaranteed_bytes(limits)
    if version == 2:
        return {
            "memory.high": _text(least(limits.memory_high, _below(limits.privvmpages))),
            "memory.max": _text(memory),
            "memory.swap.max": _text(swap),
            "memory.min": str(guarantee),
            "memory.low": str(_barrier(limits.vmguarpages)),
            "cpu.weight": str(UNSET_WEIGHT if limits.cpuunits is None else max(1, min(10_000, limits.cpuunits // 10))),
            "cpu.max": f"{_text(quota)} {PERIOD}",
            "cpu.max.burst": burst,
            "cpuset.cpus": limits.cpumask or "",
            "cpuset.mems": limits.nodemask or "",
            "io.weight": weight,
            "io.max": " ".join(f"{name}={_text(rate)}" for name, rate in rates.items()),
            "pids.max": _text(limits_.process_count(limits)),
        }
    together = None if memory is None or swap is None else memory + swap
    soft = max(guarantee, _barrier(limits.vmguarpages))
    return {
        "memory.limit_in_bytes": _text(memory, "-1"),
        "memory.memsw.limit_in_bytes": _text(together, "-1"),
        "memory.soft_limit_in_bytes": str(soft) if soft else "-1",
        "cpu.shares": str(UNSET_SHARES if limits.cpuunits is None else max(2, limits.cpuunits * 1024 // 1000)),
        "cpu.cfs_period_us": str(PERIOD),
        "cpu.cfs_quota_us": _text(quota, "-1"),
        "cpu.cfs_burst_us": burst,
        "cpuset.cpus": limits.cpumask or "",
        "cpuset.mems": limits.nodemask or "",
        "blkio.bfq.weight": weight,
        **{_V1_THROTTLE[name]: _text(rate, "0") for name, rate in rates.items()},
        "pids.max": _text(limits_.process_count(limits)),
    }


def rlimits(limits: Limits) -> dict[str, Bound]:
    """The limits of each process, soft and hard, in the kernel's units; those that are unlimited are not in it."""
    found = {}
    for name, (key, unit) in RLIMITS.items():
        bound = getattr(limits, key)
        if bound is not None:
            soft, hard = (None if value is None else value * unit for value in bound)
            found[name] = Bound(soft, hard)
    return found


def shared_memory_pages(limits: Limits) -> int | None:
    """kernel.shmall of the VPS: pages of all System V segments together."""
    return None if limits.shmpages is None else limits.shmpages.limit


def terminals(limits: Limits) -> int:
    """The option C(max) of the VPS's devpts; LXC's own where nothing is asked."""
    return UNSET_TERMINALS if limits.numpty is None or limits.numpty.limit is None else limits.numpty.limit


def observed(recorded: Limits, files: Mapping[str, str], *, version: int) -> Limits:
    """The limits that the kernel holds now.

    A file that says what the record makes of it confirms the record's own numbers; one that says something else is
    decoded. So a number that the kernel keeps in a coarser unit is no difference, and somebody's `echo` is.
    """
    expected = cgroup_files(recorded, version=version)
    strange = [name for name, text in files.items() if name in expected and text != expected[name]]
    if not strange:
        return recorded
    whole = {**expected, **files}
    found: dict[str, Any] = {}
    for name in strange:
        owners = [key for key in _KEYS_OF[name] if key != "cpus"]  # no whole number of CPUs is what somebody echoed
        owner = next((key for key in owners if getattr(recorded, key) is not None), owners[0])
        if name == "io.max":
            found.update(_decode_io_max(whole[name]))
            continue
        found.update(dict.fromkeys(_KEYS_OF[name]))  # several that live in one file are told as one
        value = _as_value(owner, _DECODE[name](whole), getattr(recorded, owner))
        found[owner] = None if value == getattr(recorded, owner) else value  # a coarser unit must not hide a difference
    return replace(recorded, **found)


def _as_value(key: str, number: Any, recorded: object) -> Any:
    """A number of the kernel's in the unit and the form of a key."""
    if number is None or not KEYS[key].pair:
        return number
    count = number // PAGE if key.endswith("pages") else number
    barrier = recorded.barrier if isinstance(recorded, Bound) else None
    if key in ("vmguarpages", "oomguarpages"):
        return Bound(count, max(count, recorded.limit) if isinstance(recorded, Bound) and recorded.limit is not None else None)
    return Bound(count if barrier is None else min(barrier, count), count)


def _rates(limits: Limits) -> dict[str, int | None]:
    """Bytes and operations per second, each direction its own."""
    return {
        name: least(getattr(limits, key), limits.iolimit if name.endswith("bps") else limits.iopslimit) for name, key in DIRECTIONS.items()
    }


def _barrier(bound: Bound | None) -> int:
    """Bytes that a barrier in pages guarantees."""
    return 0 if bound is None or bound.barrier is None else bound.barrier * PAGE


def _below(bound: Bound | None) -> int | None:
    """Bytes of a barrier in pages that is below its limit."""
    return bound.barrier * PAGE if bound is not None and bound.barrier is not None and bound.barrier != bound.limit else None


def _decode_io_max(text: str) -> dict[str, int | None]:
    rates = dict(word.split("=", 1) for word in text.split())
    return {"iolimit": None, "iopslimit": None, **{key: _number(rates.get(name, "max")) for name, key in DIRECTIONS.items()}}


def _percent_v2(files: Mapping[str, str]) -> int | None:
    quota, period = files["cpu.max"].split()
    return None if quota == "max" else int(quota) * 100 // int(period)


def _percent_v1(files: Mapping[str, str]) -> int | None:
    quota = int(files["cpu.cfs_quota_us"])
    return None if quota < 0 else quota * 100 // int(files["cpu.cfs_period_us"])


def _swap_v1(files: Mapping[str, str]) -> int | None:
    together, memory = _number(files["memory.memsw.limit_in_bytes"]), _number(files["memory.limit_in_bytes"])
    return None if together is None else max(0, together - (memory or 0))


def _plain(file: str) -> Callable[[Mapping[str, str]], int | None]:
    return lambda files: _number(files[file])


def _nothing(file: str) -> Callable[[Mapping[str, str]], int | None]:
    """Of files in which 0 is none."""
    return lambda files: _number(files[file]) or None


def _list(file: str) -> Callable[[Mapping[str, str]], str | None]:
    return lambda files: files[file] or None


def _burst(file: str) -> Callable[[Mapping[str, str]], int | None]:
    return lambda files: max(1, int(files[file]) * 100 // PERIOD) if int(files[file]) else None


def _priority(file: str) -> Callable[[Mapping[str, str]], int | None]:
    return lambda files: None if int(files[file]) == UNSET_WEIGHT else int(files[file]) * (UNSET_PRIORITY + 1) // UNSET_WEIGHT - 1


def _weight_v2(files: Mapping[str, str]) -> int | None:
    return None if int(files["cpu.weight"]) == UNSET_WEIGHT else int(files["cpu.weight"]) * 10


def _shares(files: Mapping[str, str]) -> int | None:
    return None if int(files["cpu.shares"]) == UNSET_SHARES else int(files["cpu.shares"]) * 1000 // 1024


_DECODE: dict[str, Callable[[Mapping[str, str]], object]] = {
    **{file: _plain(file) for file in ("memory.max", "memory.limit_in_bytes", "memory.swap.max", "memory.high", "memory.soft_limit_in_bytes", "pids.max")},
    **{file: _nothing(file) for file in ("memory.min", "memory.low", *_V1_THROTTLE.values())},
    **{file: _list(file) for file in ("cpuset.cpus", "cpuset.mems")},
    **{file: _burst(file) for file in ("cpu.max.burst", "cpu.cfs_burst_us")},
    **{file: _priority(file) for file in ("io.weight", "blkio.bfq.weight")},
    "memory.memsw.limit_in_bytes": _swap_v1,
    "cpu.weight": _weight_v2,
    "cpu.shares": _shares,
    "cpu.max": _percent_v2,
    "cpu.cfs_quota_us": _percent_v1,
    "cpu.cfs_period_us": _percent_v1,
}


def _text(value: int | None, none: str = "max") -> str:
    return none if value is None else str(value)


def _number(text: str) -> int | None:
    return None if text in ("max", "-1") else int(text)
