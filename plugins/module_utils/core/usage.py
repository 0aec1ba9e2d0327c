# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS uses: from the texts of the kernel's counter files to one row for each resource, as in /proc/user_beancounters.

Pure. Read by node/usage.py. A number that the kernel does not have is None, and so is one in a text that says something else:
a counter that cannot be read must not keep anybody from reading the others.
Kernel documents: admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1/{memory,pids,cpuacct,blkio-controller}.rst,
scheduler/sched-bwc.rst, accounting/psi.rst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from . import limits as limits_
from .beancounters import BEANCOUNTERS, KEYS, Bound
from .disk import Used
from .limits import Limits, least
from .units import PAGE

PRESSURES = ("cpu", "memory", "io")
# What is read of a VPS's cgroup, by the version of cgroups; the name's first part is the controller.
FILES = {
    2: (
        "memory.current", "memory.peak", "memory.stat", "memory.events", "memory.events.local", "memory.swap.current", "memory.swap.peak",
        "memory.swap.events", "pids.current", "pids.peak", "pids.events.local", "cpu.stat", "io.stat", *(f"{what}.pressure" for what in PRESSURES),
    ),
    1: (
        "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt", "memory.memsw.usage_in_bytes", "memory.memsw.max_usage_in_bytes",
        "memory.memsw.failcnt", "memory.kmem.usage_in_bytes", "memory.kmem.max_usage_in_bytes", "memory.kmem.failcnt",
        "memory.kmem.tcp.usage_in_bytes", "memory.kmem.tcp.limit_in_bytes", "memory.stat", "pids.current", "pids.peak", "cpuacct.usage",
        "cpuacct.usage_user", "cpuacct.usage_sys", "cpu.stat", "blkio.throttle.io_service_bytes_recursive",
        "blkio.throttle.io_serviced_recursive", *(f"{what}.pressure" for what in PRESSURES),
    ),
}
# Files that count only what happened in their very cgroup: all those below are read too, one text after the other, unless this
# kernel has the other file, which makes that needless. Up to Linux 6.10, and always on v1, a refused fork counts where it was tried.
WITH_THOSE_BELOW = {
    2: {"pids.events": "pids.events.local"},
    1: {
        "pids.events": "",
        "memory.oom_control": "",
        "blkio.throttle.io_service_bytes": "blkio.throttle.io_service_bytes_recursive",
        "blkio.throttle.io_serviced": "blkio.throttle.io_serviced_recursive",
    },
}
# Our own resources, after OpenVZ's: the row's name, and the key of core/beancounters.py whose unit it has.
OWN = {
    "memory": "memory", "swap": "swap", "processes": "processes", "cpu": "cpulimit", "diskspace": "diskspace", "diskinodes": "diskinodes",
    "io_read": "iolimit_read", "io_write": "iolimit_write",
}
_UNITS = {"io_read": "bytes per second", "io_write": "bytes per second"}
_T = TypeVar("_T")
_NUMBER = re.compile(r"[0-9]{1,20}")
_PRESSURE = re.compile(
    r"(some|full) avg10=([0-9]{1,3}\.[0-9]{1,2}) avg60=([0-9]{1,3}\.[0-9]{1,2}) avg300=([0-9]{1,3}\.[0-9]{1,2}) total=([0-9]{1,20})"
)
_V1_UNLIMITED = 1 << 62
_V2_IO = {"read_bytes": "rbytes", "written_bytes": "wbytes", "reads": "rios", "writes": "wios"}
_V1_IO = {"read_bytes": ("service_bytes", "Read"), "written_bytes": ("service_bytes", "Write"), "reads": ("serviced", "Read"), "writes": ("serviced", "Write")}


@dataclass(frozen=True)
class Counters:
    """What the kernel counts of one VPS, as it was read. Without `texts` it does not run.

    `texts` by the names in FILES and WITH_THOSE_BELOW; `disk`: what is on its disk; `device`: the number of the pool's disk.
    """

    version: int = 2
    texts: Mapping[str, str] = field(default_factory=dict)
    disk: Used = Used()
    device: str | None = None


class Amount(NamedTuple):
    """How much of a resource is held now, at most since the VPS has started, and how often more was refused."""

    held: int | None = None
    peak: int | None = None
    failcnt: int | None = None


_NOBODY_COUNTS, _UNLIMITED = Amount(), Bound(None, None)


class _Found(NamedTuple):
    """What both versions of cgroups tell, in bytes and counts. `both` is memory and swap together, refused where it killed."""

    memory: Amount
    swap: Amount
    both: Amount
    processes: Amount
    kernel: Amount
    shmem: int | None
    locked: int | None
    dcache: int | None
    parts: Mapping[str, int | None]
    cpu: Mapping[str, int | None]
    io: Mapping[str, int | None]


def tell(counters: Counters, limits: Limits) -> dict[str, Any]:
    """All of it, as C(vps_info) returns it. `limits` are those in force. Of a stopped VPS there is only the disk to tell."""
    found = (_v2 if counters.version == 2 else _v1)(counters.texts, counters.device)
    amounts = _amounts(found, counters.disk)
    names, whole = [*BEANCOUNTERS, *OWN] if counters.texts else ["diskspace", "diskinodes"], _whole(limits)
    return {
        "rows": [_row(name, amounts.get(name, _NOBODY_COUNTS), _bound(name, limits, whole)) for name in names],
        "memory": dict(found.parts),
        "cpu": dict(found.cpu),
        "io": dict(found.io),
        "pressure": {what: _pressure(counters.texts.get(f"{what}.pressure", "")) for what in PRESSURES},
    }


def _row(name: str, amount: Amount, bound: Bound) -> dict[str, object]:
    unit = _UNITS.get(name) or KEYS[OWN.get(name, name)].kind.unit
    return {
        "resource": name, "unit": unit, "held": amount.held, "peak": amount.peak, "barrier": bound.barrier, "limit": bound.limit, "failcnt": amount.failcnt,
    }


def _amounts(found: _Found, disk: Used) -> dict[str, Amount]:
    """By the rows' names. What is not here nobody counts: sockets, locks, files, terminals, signals, and memory that was only asked for."""
    return {
        "kmemsize": found.kernel,
        "lockedpages": _pages(Amount(found.locked)),
        "shmpages": _pages(Amount(found.shmem)),
        "numproc": found.processes,
        "physpages": _pages(found.memory),
        "oomguarpages": _pages(found.both),
        "dcachesize": Amount(found.dcache),
        "swappages": _pages(found.swap),
        "memory": found.memory,
        "swap": found.swap,
        "processes": found.processes,
        "cpu": Amount(failcnt=found.cpu["nr_throttled"]),
        "diskspace": Amount(disk.space),
        "diskinodes": Amount(disk.inodes),
    }


def _whole(limits: Limits) -> dict[str, int | None]:
    """The limit in force of each row of which several keys bound one thing, in the row's unit: the least of them counts."""
    memory, swap, processes = limits_.memory_bytes(limits), limits_.swap_bytes(limits), limits_.process_count(limits)
    return {
        "memory": memory,
        "physpages": _page_count(memory),
        "swappages": _page_count(swap),
        "numproc": processes,
        "swap": swap,
        "processes": processes,
        "cpu": limits_.cpu_percent(limits),
        "io_read": least(limits.iolimit_read, limits.iolimit),
        "io_write": least(limits.iolimit_write, limits.iolimit),
    }


def _bound(name: str, limits: Limits, whole: Mapping[str, int | None]) -> Bound:
    """Barrier and limit in force for a row, in its unit."""
    if name == "memory":
        return Bound(least(limits.memory_high, whole[name]), whole[name])
    own = getattr(limits, name, None)
    asked = own if isinstance(own, Bound) else _UNLIMITED
    if name in whole:
        return Bound(least(asked.barrier, whole[name]), whole[name])
    if name == "oomguarpages" and limits.memory_guarantee is not None:
        return Bound(max(limits.memory_guarantee // PAGE, asked.barrier or 0), asked.limit)
    return asked


# -- cgroup v2 ------------------------------------------------------------------------------------------------------------


def _v2(texts: Mapping[str, str], device: str | None) -> _Found:
    statistics, swap_events, cpu = (_flat(texts.get(file)) for file in ("memory.stat", "memory.swap.events", "cpu.stat"))
    events = _flat(texts.get("memory.events"))
    # What the guest's own limits below have refused is not of ours. Who is killed, though, is always somewhere below.
    local = _flat(texts.get("memory.events.local")) or events
    held, swapped = _number(texts.get("memory.current")), _number(texts.get("memory.swap.current"))
    kernel = _first(statistics.get("kernel"), _sum(statistics, "slab", "kernel_stack", "pagetables", "percpu"))  # the former from Linux 5.18 on
    return _Found(
        memory=Amount(held, _number(texts.get("memory.peak")), local.get("oom")),
        swap=Amount(swapped, _number(texts.get("memory.swap.peak")), swap_events.get("max")),
        both=Amount(None if held is None else held + (swapped or 0), None, events.get("oom_kill")),
        processes=Amount(_number(texts.get("pids.current")), _number(texts.get("pids.peak")), _refused_forks(texts)),
        kernel=Amount(kernel),
        shmem=statistics.get("shmem"),
        locked=statistics.get("unevictable"),
        dcache=statistics.get("slab_reclaimable"),
        parts={
            "anon": statistics.get("anon"),
            "file": statistics.get("file"),
            "shmem": statistics.get("shmem"),
            "kernel": kernel,
            "sock": statistics.get("sock"),
            "high": local.get("high"),
            "max": local.get("max"),
            "oom": local.get("oom"),
            "oom_kill": events.get("oom_kill"),
        },
        cpu={name: cpu.get(name) for name in ("usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec")},
        io=_v2_io(texts.get("io.stat"), device),
    )


def _v2_io(text: str | None, device: str | None) -> dict[str, int | None]:
    """C(7:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0), a line for each disk that it has used."""
    totals: dict[str, int | None] = dict.fromkeys(_V2_IO, None if text is None else 0)
    for line in (text or "").splitlines():
        disk, *words = line.split() or [""]
        if device is None or disk == device:
            values = {name: _number(number) for name, _equals, number in (word.partition("=") for word in words)}
            totals = {name: _add(total, values.get(_V2_IO[name])) for name, total in totals.items()}
    return totals


# -- cgroup v1 ------------------------------------------------------------------------------------------------------------


def _v1(texts: Mapping[str, str], device: str | None) -> _Found:
    numbers = {file: _number(text) for file, text in texts.items()}
    statistics, cpu = _flat(texts.get("memory.stat")), _flat(texts.get("cpu.stat"))
    kills = _flat(texts.get("memory.oom_control")).get("oom_kill")
    kernel = Amount(numbers.get("memory.kmem.usage_in_bytes"), numbers.get("memory.kmem.max_usage_in_bytes"), numbers.get("memory.kmem.failcnt"))
    # A charge that does not fit counts at one of both limits, and where they are alike, for there is no swap, never at memory's own. Linux
    # 6.18 has stopped counting at the other one, so that its 0 says nothing; what had to be killed for was refused for certain.
    met = _sum(numbers, "memory.failcnt", "memory.memsw.failcnt")
    met = met if met is None else max(met, kills or 0)
    # Buffers of TCP are counted from the moment on in which somebody limits them.
    counted = (_first(numbers.get("memory.kmem.tcp.limit_in_bytes"), _V1_UNLIMITED) or 0) < _V1_UNLIMITED
    return _Found(
        memory=Amount(numbers.get("memory.usage_in_bytes"), numbers.get("memory.max_usage_in_bytes"), met),
        swap=Amount(statistics.get("total_swap"), None, numbers.get("memory.memsw.failcnt") or None),
        both=Amount(numbers.get("memory.memsw.usage_in_bytes"), numbers.get("memory.memsw.max_usage_in_bytes"), kills),
        processes=Amount(numbers.get("pids.current"), numbers.get("pids.peak"), _refused_forks(texts)),
        kernel=kernel,
        shmem=statistics.get("total_shmem"),
        locked=statistics.get("total_unevictable"),
        dcache=None,
        parts={
            "anon": statistics.get("total_rss"),
            "file": statistics.get("total_cache"),
            "shmem": statistics.get("total_shmem"),
            "kernel": kernel.held,
            "sock": numbers.get("memory.kmem.tcp.usage_in_bytes") if counted else None,
            "high": None,
            "max": met,
            "oom": None,
            "oom_kill": kills,
        },
        cpu={
            "usage_usec": _microseconds(numbers.get("cpuacct.usage")),
            "user_usec": _microseconds(numbers.get("cpuacct.usage_user")),
            "system_usec": _microseconds(numbers.get("cpuacct.usage_sys")),
            "nr_periods": cpu.get("nr_periods"),
            "nr_throttled": cpu.get("nr_throttled"),
            "throttled_usec": _microseconds(cpu.get("throttled_time")),
        },
        io={name: _v1_io(texts, what, direction, device) for name, (what, direction) in _V1_IO.items()},
    )


def _v1_io(texts: Mapping[str, str], what: str, direction: str, device: str | None) -> int | None:
    """C(7:0 Read 4096), a line for each disk that it has used and each direction."""
    file = f"blkio.throttle.io_{what}"
    text = _first(texts.get(f"{file}_recursive"), texts.get(file))
    if text is None:
        return None
    total = 0
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] == direction and device in (None, words[0]):
            total += _number(words[2]) or 0
    return total


# -- texts ------------------------------------------------------------------------------------------------------------------


def _refused_forks(texts: Mapping[str, str]) -> int | None:
    return _flat(_first(texts.get("pids.events.local"), texts.get("pids.events"))).get("max")


def _pressure(text: str) -> dict[str, dict[str, float | int]] | None:
    """Shares of time in percent in which some, or all, of its tasks had to wait, and that time in µs since it has started."""
    found: dict[str, dict[str, float | int]] = {}
    for line in text.splitlines():
        match = _PRESSURE.fullmatch(line)
        if match:
            who, ten, sixty, three_hundred, total = match.groups()
            found[who] = {"avg10": float(ten), "avg60": float(sixty), "avg300": float(three_hundred), "total": int(total)}
    return found or None


def _flat(text: str | None) -> dict[str, int]:
    """The kernel's "flat keyed" files, C(max 3) in each line; of a name that is there several times, the sum."""
    found: dict[str, int] = {}
    for line in (text or "").splitlines():
        name, _space, value = line.partition(" ")
        number = _number(value)
        if number is not None:
            found[name] = found.get(name, 0) + number
    return found


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and _NUMBER.fullmatch(text) else None


def _sum(numbers: Mapping[str, int | None], *names: str) -> int | None:
    there = [number for name in names if (number := numbers.get(name)) is not None]
    return sum(there) if there else None


def _first(*values: _T | None) -> _T | None:
    """The first that there is."""
    return next((value for value in values if value is not None), None)


def _add(total: int | None, value: int | None) -> int | None:
    return total if value is None else (total or 0) + value


def _microseconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else nanoseconds // 1000


def _page_count(size: int | None) -> int | None:
    return None if size is None else size // PAGE


def _pages(amount: Amount) -> Amount:
    return Amount(_page_count(amount.held), _page_count(amount.peak), amount.failcnt)
