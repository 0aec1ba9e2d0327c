# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine can limit: read from files, never tried out.

Documents: capabilities(7), sysfs block/*/queue of the kernel, admin-guide/cgroup-v2.rst (io.cost.qos), proc(5) on mountinfo.
"""

from __future__ import annotations

import glob
import os
import re
import resource

from ..core.fidelity import Abilities
from . import files, tools
from .mounts import mount_of
from .syscalls import RLIMITS

_CAP_SYS_RESOURCE = 24


def read(pool: str, *, version: int, controllers: frozenset[str], swap: bool) -> Abilities:
    """All of it; what is of cgroups is told."""
    disk, raises = _disk(pool), _may_raise()
    return Abilities(
        version=version,
        controllers=controllers,
        swap=swap,
        io_device=disk,
        io_weights=disk is not None and _shares_by_weight(disk),
        raises=raises,
        cpus=(files.read("/sys/devices/system/cpu/online") or "").strip(),
        mems=(files.read("/sys/devices/system/node/online") or "0").strip(),
        units=tools.has_systemd(),
        quota=has_quota(),
        overlay=_has_overlay(),
        layers=_maps_layers(),
        most_files=int(files.read("/proc/sys/fs/nr_open") or 1 << 20),
        hard_limits={} if raises else _hard_limits(),
    )


def _disk(pool: str) -> str | None:
    """The number, C(MAJOR:MINOR), of the whole disk below the pool; None where there is no single one."""
    _kind, _point, source = mount_of(pool)
    try:
        number = os.stat(source).st_rdev
    except OSError:
        return None
    folder = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if os.path.exists(os.path.join(folder, "partition")):  # the kernel throttles whole disks
        folder = os.path.dirname(folder)
    return (files.read(os.path.join(folder, "dev")) or "").strip() or None


def _shares_by_weight(disk: str) -> bool:
    scheduler = files.read(f"/sys/dev/block/{disk}/queue/scheduler") or ""
    costs = files.read("/sys/fs/cgroup/io.cost.qos") or ""
    return "[bfq]" in scheduler or any(line.startswith(f"{disk} enable=1") for line in costs.splitlines())


def _may_raise() -> bool:
    """Whether we may give a process back more than it has."""
    for line in (files.read("/proc/self/status") or "").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False


def _hard_limits() -> dict[str, int]:
    """What LXC's monitor has from us, and a VPS from the monitor; those that are unlimited are not in it."""
    found = {name: resource.getrlimit(number)[1] for name, number in RLIMITS.items()}
    return {name: hard for name, hard in found.items() if hard != resource.RLIM_INFINITY}


def has_quota() -> bool:
    """Whether this kernel has the format of quota that ext4 keeps; loaded, built in, or as a module."""
    if os.path.isdir("/sys/module/quota_v2"):
        return True
    return _has_module("fs/quota/quota_v2")


def _has_overlay() -> bool:
    return "\toverlay\n" in (files.read("/proc/filesystems") or "") or _has_module("fs/overlayfs/overlay")


def _maps_layers() -> bool:
    """Whether overlayfs takes layers that are mounted with other ids (kernel 5.19)."""
    numbers = [int(word) for word in re.findall(r"[0-9]+", os.uname().release)[:2]]
    return numbers >= [5, 19]


def _has_module(name: str) -> bool:
    """Whether this kernel has a module of its own, by its path without an ending; built in or to be loaded."""
    modules = f"/lib/modules/{os.uname().release}"
    if f"/{name}.ko" in (files.read(f"{modules}/modules.builtin") or ""):
        return True
    return bool(glob.glob(f"{modules}/kernel/{name}.ko*"))
