# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel counts of VPSs, and how much of what it bounds is in use: read only.

Documents: admin-guide/cgroup-v1 and cgroup-v2.rst, admin-guide/sysctl, filesystems/proc.rst, security/keys/core.rst of the kernel.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator

from .report import Bound, Sample

CGROUPS = pathlib.Path("/sys/fs/cgroup")
V2 = (CGROUPS / "cgroup.controllers").exists()


def number(path: pathlib.Path | str, word: int = 0) -> int:
    """A number in a file; -1 where there is none, for "max" and for a file that this kernel has not."""
    try:
        return int(pathlib.Path(path).read_text(encoding="ascii").split()[word])
    except (OSError, ValueError, IndexError):
        return -1


def _groups(name: str, controller: str) -> tuple[pathlib.Path, pathlib.Path]:
    """The cgroups of a VPS and of what LXC runs beside it, with systemd on the node or without."""
    top = CGROUPS if V2 else CGROUPS / controller
    unit = top / "vps.slice" / f"vps@{name}.service"
    return next((found for found in ((unit / "guest", unit), (top / "vps" / name, top / "vps.monitor" / name)) if found[0].exists()), (unit, unit))


def sample(name: str) -> Sample:
    """What a VPS uses."""
    own, beside = _groups(name, "memory")
    current = "memory.current" if V2 else "memory.usage_in_bytes"
    held, together = number(own / current), number(beside / current)
    monitor = together - held if own.is_relative_to(beside) else together
    cache = 0
    with contextlib.suppress(OSError, ValueError):
        lines = (line.split() for line in (own / "memory.stat").read_text(encoding="ascii").splitlines())
        cache = sum(int(value) for key, value in lines if key in (("inactive_file", "active_file") if V2 else ("total_inactive_file", "total_active_file")))
    return Sample(memory=held, cache=cache, monitor=max(monitor, 0), cpu=cpu(name), processes=number(_groups(name, "pids")[0] / "pids.current"))


def cpu(name: str) -> int:
    """Microseconds of CPU that a VPS has had."""
    if not V2:
        return number(_groups(name, "cpuacct")[0] / "cpuacct.usage") // 1000
    return number(_groups(name, "cpu")[0] / "cpu.stat", 1)


def machine_cpu() -> int:
    """Microseconds of CPU that everything on this machine has had, the kernel's own work included."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text(encoding="ascii").split()[1:9])
    return (user + nice + system + irq + softirq + steal) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def _handles() -> Iterator[str]:
    """All files that processes have open."""
    for process in pathlib.Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                for handle in os.scandir(process / "fd"):
                    with contextlib.suppress(OSError):
                        yield os.readlink(handle.path)


def _tasks() -> int:
    """Processes and threads, from /proc/loadavg."""
    return int(pathlib.Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])


def _most_keys() -> tuple[int, int]:
    """The most keys and bytes of them that one user has, root of the node left out, who has bounds of its own."""
    keys, size = 0, 0
    for line in pathlib.Path("/proc/key-users").read_text(encoding="ascii").splitlines():
        uid, _usage, _keys, counts, quota = line.replace(":", " ").split()[:5]
        if uid != "0":
            keys, size = max(keys, int(counts.partition("/")[0])), max(size, int(quota.partition("/")[0]))
    return keys, size


def bounds(pool: pathlib.Path, ids: tuple[int, int], addresses: int) -> list[Bound]:
    """What is bounded for all VPSs together, in use now. `ids` are used and in all, in ranges; `addresses` are those of the network."""
    disk = os.statvfs(pool)
    sysctl = pathlib.Path("/proc/sys")
    inotify = sum(what == "anon_inode:inotify" for what in _handles())  # all are charged to the node's root, who has made the namespaces
    found = [
        Bound("inotify instances", "fs.inotify.max_user_instances", inotify, number(sysctl / "fs/inotify/max_user_instances")),
        Bound("processes and threads", "kernel.threads-max", _tasks(), number(sysctl / "kernel/threads-max")),
        Bound("process numbers", "kernel.pid_max", _tasks(), number(sysctl / "kernel/pid_max")),
        Bound("open files", "fs.file-max", number(sysctl / "fs/file-nr"), number(sysctl / "fs/file-max")),
        Bound("terminals", "kernel.pty.max", number(sysctl / "kernel/pty/nr"), number(sysctl / "kernel/pty/max") - number(sysctl / "kernel/pty/reserve")),
        Bound("asynchronous requests", "fs.aio-max-nr", number(sysctl / "fs/aio-nr"), number(sysctl / "fs/aio-max-nr")),
        Bound("neighbours, IPv4", "net.ipv4.neigh.default.gc_thresh3", _lines("/proc/net/arp") - 1, number(sysctl / "net/ipv4/neigh/default/gc_thresh3")),
        Bound("routes, IPv4", "", _lines("/proc/net/route") - 1, -1),
        Bound("interfaces", "", _lines("/proc/net/dev") - 2, -1),
        Bound("room in the pool, MiB", "node_pool_size", (disk.f_blocks - disk.f_bfree) * disk.f_frsize >> 20, disk.f_blocks * disk.f_frsize >> 20),
        Bound("id ranges", "node_id_count", *ids),
        Bound("addresses", "node_networks", ids[0], addresses),
    ]
    if not V2:
        for line in pathlib.Path("/proc/cgroups").read_text(encoding="ascii").splitlines():
            if line.startswith("memory\t"):
                found.append(Bound("cgroups of memory", "", int(line.split()[2]), 65535))
    return found


def per_user() -> list[Bound]:
    """What is bounded for each VPS by itself, for its ids are its own."""
    keys, size = _most_keys()
    sysctl = pathlib.Path("/proc/sys/kernel/keys")
    return [
        Bound("keys of one VPS's user", "kernel.keys.maxkeys", keys, number(sysctl / "maxkeys")),
        Bound("bytes of keys of one VPS's user", "kernel.keys.maxbytes", size, number(sysctl / "maxbytes")),
    ]


def _lines(path: str) -> int:
    return len(pathlib.Path(path).read_text(encoding="ascii").splitlines())


def samples(names: Iterable[str]) -> dict[str, Sample]:
    """What each VPS uses."""
    return {name: sample(name) for name in names}
