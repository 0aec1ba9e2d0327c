# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine has and uses of what VPSs are promised: a few small files, one statvfs.

Documents: proc(5) on meminfo, loadavg, sys/kernel/pid_max and threads-max; statvfs(3).
"""

from __future__ import annotations

import os

from ..core.capacity import Present
from . import files


def present(pool: str) -> Present:
    """What there is, in the units of core/capacity.py; the disk is the pool."""
    memory, disk = meminfo(), os.statvfs(pool)
    return Present(
        memory=memory["MemTotal"],
        swap=memory["SwapTotal"],
        cpu=100 * (os.cpu_count() or 1),
        disk=disk.f_blocks * disk.f_frsize,
        processes=min(int(files.read(f"/proc/sys/kernel/{name}") or 0) for name in ("pid_max", "threads-max")),
    )


def used(pool: str) -> dict[str, int]:
    """What is in use, the machine's own part included; the kernel does not say it of the CPU without being asked twice."""
    memory, disk = meminfo(), os.statvfs(pool)
    found = {
        "memory": memory["MemTotal"] - memory["MemAvailable"],
        "swap": memory["SwapTotal"] - memory["SwapFree"],
        "disk": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
    }
    load = (files.read("/proc/loadavg") or "").split()
    if len(load) > 3:
        found["processes"] = int(load[3].partition("/")[2])
    return found


def meminfo() -> dict[str, int]:
    """What the node has of memory and swap, by the kernel's names; bytes (proc_meminfo(5))."""
    found = {}
    for line in (files.read("/proc/meminfo") or "").splitlines():
        name, _colon, rest = line.partition(":")
        found[name] = int(rest.split()[0]) << 10
    return found
