# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vocabulary of limits as one table: our own words, and OpenVZ's, each with what it counts and what the kernel makes of it.

Pure. What a value means to the kernel is core/controls.py; what a machine lacks is core/fidelity.py. docs/limits.md is made
from this table. Sources: vzctl(8) and the UBC pages of OpenVZ; admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel;
getrlimit(2), proc(5), devpts, btrfs-qgroup(8), ext4(5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import parse, units
from .errors import VpsError, shown, written

EXACT, APPROXIMATE, UNSUPPORTED = "exact", "approximate", "unsupported"
V2, V1 = "cgroup v2", "cgroup v1"
BTRFS, IMAGE, DIR = "btrfs", "image", "dir"  # the storage drivers
PLAIN = "image without quota"  # where the node's kernel has no quota_v2
STORAGES = (BTRFS, IMAGE, DIR)
_UNBOUND = "a VPS with storage dir takes what it writes; one with storage btrfs or image has a limit"
_UNCOUNTED = "nobody counts on storage dir; a VPS with storage image has it"


class Bound(NamedTuple):
    """A value in two steps, as OpenVZ has them: barrier and limit, soft and hard. None is no limit."""

    barrier: int | None
    limit: int | None


@dataclass(frozen=True)
class Kind:
    """What a value counts, and how it is read and shown."""

    unit: str
    parse: Callable[..., Any]
    format: Callable[..., str]


SIZE = Kind("bytes", units.parse_size, units.format_size)
PAGES = Kind("pages of 4096 bytes", units.parse_pages, units.format_count)
COUNT = Kind("count", units.parse_count, units.format_count)
PERCENT = Kind("percent of one CPU", units.parse_percent, units.format_percent)
SECONDS = Kind("seconds", units.parse_count, units.format_count)
NUMBERS = Kind("list of numbers", parse.parse_numbers, units.format_text)


@dataclass(frozen=True)
class Fidelity:
    """How near the kernel comes to what a key means: one word, by which control, and what differs or is missing."""

    word: str
    by: str = ""
    why: str = ""


@dataclass(frozen=True)
class Key:
    """One limit. `pair`: it may have a barrier and a limit apart; `on`: its fidelity, by cgroup version or by storage driver.

    `bare` is the suffix that vzctl takes a number without one for, where that is another unit than bytes: nobody is to guess.
    """

    kind: Kind
    about: str
    on: Mapping[str, Fidelity]
    pair: bool = False
    bounds: Mapping[str, int] = field(default_factory=dict)
    bare: str = ""


def _exact(v2: str, v1: str | None = None) -> dict[str, Fidelity]:
    return {V2: Fidelity(EXACT, v2), V1: Fidelity(EXACT, v1 or v2)}


def _near(by: str, why: str) -> dict[str, Fidelity]:
    """Approximate, outside cgroups and so alike on both versions."""
    return dict.fromkeys((V2, V1), Fidelity(APPROXIMATE, by, why))


def _none(why: str) -> dict[str, Fidelity]:
    return dict.fromkeys((V2, V1), Fidelity(UNSUPPORTED, "", why))


_SIZE = "10G where nothing is asked; an image is made smaller only while the VPS is stopped"
_NOT_ROOT = "root of a privileged VPS has CAP_SYS_RESOURCE on the node, and quota does not stop it"
_RAISES = "root of a privileged VPS can raise it, where the node's can"
_NO_QUOTA = "the kernel had no quota_v2 when this image was made, or has none now"
_SOCKETS = "the kernel does not count the sockets of a VPS; numfile bounds them for each process"
_IN_MEMORY = "the kernel counts it as memory of the VPS, and bounds it with memory; there is no bound of its own"
_V1_IO = (
    "throttles direct and synchronous I/O and reads, not what is written through the page cache, nor in cgroups that the guest makes; "
    "root of a privileged VPS can lift it"
)
_SOFT_V1 = "only where to take memory from first when the node runs short"
_ALWAYS = "counts what a process has touched, not what it has asked for"
_SWAP_V1 = "memory and swap are bounded together: what is not used as memory may be used as swap"
_SHARED = (
    "counts System V segments, not tmpfs; root inside may make an IPC namespace of its own, which is not bound, and from Linux 6.11 on raise it"
)
_BOTH = "reads and writes are bounded apart, each by the whole of it"


def _throttle(v2: str, v1: str, why: str = "") -> dict[str, Fidelity]:
    return {
        V2: Fidelity(APPROXIMATE if why else EXACT, v2, why),
        V1: Fidelity(APPROXIMATE, v1, f"{why}; {_V1_IO}" if why else _V1_IO),
    }


KEYS: dict[str, Key] = {
    # -- memory
    "memory": Key(SIZE, "RAM", _exact("memory.max", "memory.limit_in_bytes"), bounds={"minimum": 4 << 20}),
    "swap": Key(
        SIZE, "Swap, besides memory",
        {V2: Fidelity(EXACT, "memory.swap.max"), V1: Fidelity(APPROXIMATE, "memory.memsw.limit_in_bytes", _SWAP_V1)},
    ),
    "memory_guarantee": Key(
        SIZE, "RAM that is not taken from the VPS when the node runs short",
        {V2: Fidelity(EXACT, "memory.min"), V1: Fidelity(APPROXIMATE, "memory.soft_limit_in_bytes", _SOFT_V1)},
    ),
    "memory_high": Key(
        SIZE, "RAM above which the VPS is slowed down and has to give back, before anything is killed",
        {V2: Fidelity(EXACT, "memory.high"), V1: Fidelity(UNSUPPORTED, "", "cgroup v1 has no such mark")},
        bounds={"minimum": 1 << 20},
    ),
    # -- CPU
    "cpuunits": Key(
        COUNT, "Share of the CPU under contention; a VPS without has 1000", _exact("cpu.weight", "cpu.shares"),
        bounds={"minimum": 10, "maximum": 100_000},
    ),
    "cpulimit": Key(
        PERCENT, "CPU time, in percent of one CPU", _exact("cpu.max", "cpu.cfs_quota_us"), bounds={"minimum": 1, "maximum": 1_000_000}
    ),
    "cpus": Key(
        COUNT, "CPU time, in whole CPUs; the lesser of this and cpulimit counts", _exact("cpu.max", "cpu.cfs_quota_us"),
        bounds={"minimum": 1, "maximum": 8192},
    ),
    "cpuburst": Key(
        PERCENT, "CPU time that may be saved up while the VPS is idle and used beyond its limit, at most that limit",
        _exact("cpu.max.burst", "cpu.cfs_burst_us"), bounds={"minimum": 1, "maximum": 1_000_000},
    ),
    "cpumask": Key(NUMBERS, "CPUs that the VPS may run on", _exact("cpuset.cpus"), bounds={"maximum": 8191}),
    "nodemask": Key(NUMBERS, "NUMA nodes that its memory may come from", _exact("cpuset.mems"), bounds={"maximum": 1023}),
    # -- counts
    "processes": Key(COUNT, "Processes and threads", _exact("pids.max"), bounds={"minimum": 8, "maximum": 4_194_304}),
    # -- disk
    "diskspace": Key(
        SIZE, "Disk space, the template's data included",
        {
            BTRFS: Fidelity(EXACT, "btrfs qgroup", "one value: there is no soft limit"),
            DIR: Fidelity(UNSUPPORTED, "", _UNBOUND),
            IMAGE: Fidelity(EXACT, "size of the image, and project quota for a soft limit", _SIZE),
            PLAIN: Fidelity(EXACT, "size of the image", f"{_SIZE}; one value: there is no soft limit"),
        },
        pair=True, bounds={"minimum": 1 << 20}, bare="K",
    ),
    "diskinodes": Key(
        COUNT, "Files, directories and other inodes",
        {
            BTRFS: Fidelity(UNSUPPORTED, "", "btrfs has no count of inodes; a VPS with storage image has"),
            DIR: Fidelity(UNSUPPORTED, "", _UNCOUNTED),
            IMAGE: Fidelity(EXACT, "ext4 project quota", _NOT_ROOT),
            PLAIN: Fidelity(APPROXIMATE, "inodes of the file system", "16 for each 128 MiB at a time, never more than asked; fixed when the VPS is made"),
        },
        pair=True, bounds={"minimum": 1000},
    ),
    "quotatime": Key(
        SECONDS, "Grace time: how long a soft limit of the disk may be exceeded",
        {
            BTRFS: Fidelity(UNSUPPORTED, "", "btrfs has no soft limits; a VPS with storage image has"),
            DIR: Fidelity(UNSUPPORTED, "", _UNCOUNTED),
            IMAGE: Fidelity(EXACT, "ext4 project quota", _NOT_ROOT),
            PLAIN: Fidelity(UNSUPPORTED, "", _NO_QUOTA),
        },
        bounds={"maximum": 1 << 31},
    ),
    "quotaugidlimit": Key(
        COUNT, "User and group quota inside the VPS, on where it is above 0; the node sets each one's limits",
        {
            BTRFS: Fidelity(UNSUPPORTED, "", "btrfs has no quota of users; a VPS with storage image has"),
            DIR: Fidelity(UNSUPPORTED, "", _UNCOUNTED),
            IMAGE: Fidelity(APPROXIMATE, "ext4 usrquota,grpquota", "how many users and groups are counted is not bounded"),
            PLAIN: Fidelity(UNSUPPORTED, "", _NO_QUOTA),
        },
    ),
    # -- I/O
    "ioprio": Key(
        COUNT, "Share of the pool's disk under contention, 0 to 7; a VPS without has 4",
        {
            V2: Fidelity(APPROXIMATE, "io.weight", "needs the scheduler bfq, or io.cost, at the pool's disk"),
            V1: Fidelity(APPROXIMATE, "blkio.bfq.weight", "needs the scheduler bfq at the pool's disk"),
        },
        bounds={"maximum": 7},
    ),
    "iolimit": Key(
        SIZE, "Bytes per second to and from the pool's disk",
        _throttle("io.max", "blkio.throttle.*_bps_device", _BOTH), bounds={"minimum": 4096}, bare="M",
    ),
    "iolimit_read": Key(
        SIZE, "Bytes per second from the pool's disk", _throttle("io.max rbps", "blkio.throttle.read_bps_device"), bounds={"minimum": 4096}, bare="M"
    ),
    "iolimit_write": Key(
        SIZE, "Bytes per second to the pool's disk", _throttle("io.max wbps", "blkio.throttle.write_bps_device"), bounds={"minimum": 4096}, bare="M"
    ),
    "iopslimit": Key(
        COUNT, "Operations per second at the pool's disk",
        _throttle("io.max", "blkio.throttle.*_iops_device", _BOTH), bounds={"minimum": 1, "maximum": (1 << 32) - 2},
    ),
    "iopslimit_read": Key(
        COUNT, "Reads per second from the pool's disk",
        _throttle("io.max riops", "blkio.throttle.read_iops_device"), bounds={"minimum": 1, "maximum": (1 << 32) - 2},
    ),
    "iopslimit_write": Key(
        COUNT, "Writes per second to the pool's disk",
        _throttle("io.max wiops", "blkio.throttle.write_iops_device"), bounds={"minimum": 1, "maximum": (1 << 32) - 2},
    ),
    # -- OpenVZ's user beancounters, barrier:limit
    "kmemsize": Key(SIZE, "Kernel memory", _none(_IN_MEMORY), pair=True),
    "lockedpages": Key(
        PAGES, "Memory that is locked in RAM", _near("RLIMIT_MEMLOCK", "counts each process apart; root of a privileged VPS is not bound"), pair=True
    ),
    "privvmpages": Key(
        PAGES, "Private memory that processes have asked for",
        {
            V2: Fidelity(APPROXIMATE, "memory.max, memory.high", _ALWAYS),
            V1: Fidelity(APPROXIMATE, "memory.limit_in_bytes", f"{_ALWAYS}; the barrier has no effect"),
        },
        pair=True, bounds={"minimum": 1024},
    ),
    "shmpages": Key(
        PAGES, "Shared memory", _near("kernel.shmall", _SHARED), pair=True
    ),
    "numproc": Key(COUNT, "Processes and threads", _exact("pids.max"), pair=True, bounds={"minimum": 8, "maximum": 4_194_304}),
    "physpages": Key(PAGES, "RAM", _exact("memory.max", "memory.limit_in_bytes"), pair=True, bounds={"minimum": 1024}),
    "vmguarpages": Key(
        PAGES, "Memory that can always be asked for, the barrier",
        {
            V2: Fidelity(APPROXIMATE, "memory.low", "keeps what the VPS uses from being taken; promises nothing that it does not use yet"),
            V1: Fidelity(APPROXIMATE, "memory.soft_limit_in_bytes", _SOFT_V1),
        },
        pair=True,
    ),
    "oomguarpages": Key(
        PAGES, "Memory below which nothing is killed for the node's sake, the barrier",
        {
            V2: Fidelity(APPROXIMATE, "memory.min", "keeps what the VPS uses from being taken; who is killed is the kernel's choice"),
            V1: Fidelity(APPROXIMATE, "memory.soft_limit_in_bytes", _SOFT_V1),
        },
        pair=True,
    ),
    "numtcpsock": Key(COUNT, "TCP sockets", _none(_SOCKETS), pair=True),
    "numflock": Key(COUNT, "File locks", _none("the kernel does not count the locks of a VPS"), pair=True),
    "numpty": Key(
        COUNT, "Pseudo-terminals", _near("devpts max", "of /dev/pts; root inside may mount another"), pair=True,
        bounds={"minimum": 1, "maximum": (1 << 20) - 5},  # NR_UNIX98_PTY_MAX, less those that LXC takes
    ),
    "numsiginfo": Key(COUNT, "Queued signals", _near("RLIMIT_SIGPENDING", f"counts each user apart; {_RAISES}"), pair=True, bounds={"minimum": 1}),
    "tcpsndbuf": Key(SIZE, "Buffers of TCP sockets, to send from", _none(_IN_MEMORY), pair=True),
    "tcprcvbuf": Key(SIZE, "Buffers of TCP sockets, to receive into", _none(_IN_MEMORY), pair=True),
    "othersockbuf": Key(SIZE, "Buffers of other sockets, to send from", _none(_IN_MEMORY), pair=True),
    "dgramrcvbuf": Key(SIZE, "Buffers of datagram sockets, to receive into", _none(_IN_MEMORY), pair=True),
    "numothersock": Key(COUNT, "Sockets other than TCP", _none(_SOCKETS), pair=True),
    "dcachesize": Key(SIZE, "Cached names and inodes of files in use", _none(_IN_MEMORY), pair=True),
    "numfile": Key(COUNT, "Open files", _near("RLIMIT_NOFILE", f"counts each process apart; {_RAISES}"), pair=True, bounds={"minimum": 64, "maximum": 1 << 30}),
    "numiptent": Key(COUNT, "Rules of the packet filter inside", _none("the kernel does not count rules; their memory counts as memory of the VPS"), pair=True),
    "swappages": Key(
        PAGES, "Swap", {V2: Fidelity(EXACT, "memory.swap.max"), V1: Fidelity(APPROXIMATE, "memory.memsw.limit_in_bytes", _SWAP_V1)}, pair=True
    ),
}
# OpenVZ's own, in the order of /proc/user_beancounters.
BEANCOUNTERS = (
    "kmemsize", "lockedpages", "privvmpages", "shmpages", "numproc", "physpages", "vmguarpages", "oomguarpages", "numtcpsock",
    "numflock", "numpty", "numsiginfo", "tcpsndbuf", "tcprcvbuf", "othersockbuf", "dgramrcvbuf", "numothersock", "dcachesize",
    "numfile", "numiptent", "swappages",
)
# Other words for the same.
ALIASES = {"ram": "memory", "mem": "memory"}


def parse_value(name: str, text: object, *, option: str) -> Any:
    """One key's value as written; None for no limit. Raises VpsError."""
    key = KEYS[name]
    words = written(text).split(":")
    for word in words if key.bare else ():
        number = word.strip()
        if units.is_number(number) and int(number) and not units.is_unlimited(number):
            raise VpsError(f"{option}: {shown(text)} has no unit, and vzctl takes it for {number}{key.bare}; write that, or {number}B for bytes.")
    if not key.pair:
        return key.kind.parse(text, option=option, **key.bounds)
    if len(words) > 2:
        raise VpsError(f"{option}: {shown(text)} is not barrier:limit; one value stands for both.")
    barrier = limit = key.kind.parse(words[-1], option=option, **key.bounds)
    if len(words) == 2:
        barrier = key.kind.parse(words[0], option=option)
        if limit is not None and (barrier is None or barrier > limit):
            raise VpsError(f"{option}: {shown(text)} has its barrier above its limit; write the lower one first, as barrier:limit.")
    return None if barrier is None and limit is None else Bound(barrier, limit)


def format_value(name: str, value: object | None) -> str:
    """A key's value as a person writes it."""
    key = KEYS[name]
    if isinstance(value, Bound):
        both = [key.kind.format(each) for each in value]
        return both[0] if both[0] == both[1] else ":".join(both)
    return key.kind.format(value)
