# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control groups of VPSs: which hierarchies this machine has, where a VPS is in them, and what is left of one.

What its limits are there is node/controls.py. Documents: admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/ of the kernel, cgroups(7).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from ..core.errors import VpsError
from ..core.model import Vps
from ..core.places import STOPPED_CGROUP, STOPPED_MONITOR, cgroup_of
from . import files, tools
from .descent import read, walk, write

MOUNT = "/sys/fs/cgroup"
UNIFIED = "unified"  # on v1, where v2 may be mounted beside: without controllers, and with what the kernel tells of pressure
INNER = "guest"  # the guest's own cgroup namespace starts below the limits, so that even a privileged root cannot lift them
_V1_CONTROLLERS = ("memory", "cpu", "pids", "cpuset", "blkio")
_NEEDED = ("memory", "cpu", "pids")

Folders = Mapping[str, str]  # controller → directory with a VPS's limits


def version() -> int:
    """2 where the whole machine is on the unified hierarchy, else 1."""
    return 2 if os.path.exists(os.path.join(MOUNT, "cgroup.controllers")) else 1


def controllers() -> frozenset[str]:
    """The controllers that this machine has, by their names of v2."""
    if version() == 2:
        return frozenset((files.read(os.path.join(MOUNT, "cgroup.controllers")) or "").split())
    return frozenset({"blkio": "io"}.get(name, name) for name in _V1_CONTROLLERS if os.path.isdir(os.path.join(MOUNT, name)))


def swap_accounting() -> bool:
    """Whether this kernel can limit swap."""
    if version() == 2:
        # The root cgroup has no memory.swap.max; every kernel new enough for our other needs has it in the others.
        return os.path.exists("/proc/swaps")
    return os.path.exists(os.path.join(MOUNT, "memory", "memory.memsw.limit_in_bytes"))


def folder(name: str) -> str:
    """The cgroup of a VPS, from the root of the hierarchy."""
    return f"{_unit(name)}vps/{name}"


def monitor_folder(name: str) -> str:
    """The cgroup of the process that watches it."""
    return f"{_unit(name)}vps.monitor/{name}"


def _unit(name: str) -> str:
    """Where systemd runs the machine, a VPS stays within its own unit, which has the whole of its cgroup delegated to it.

    The path is absolute: one relative to the monitor would lead elsewhere after a reboot from inside, out of its limits.
    """
    return cgroup_of(name) if tools.has_systemd() else ""


def config(vps: Vps) -> dict[str, str]:
    """The lines of LXC's configuration that put the VPS into its cgroup."""
    return {
        "lxc.cgroup.relative": "0",
        "lxc.cgroup.dir.monitor": monitor_folder(vps.name),
        "lxc.cgroup.dir.container": folder(vps.name),
        "lxc.cgroup.dir.container.inner": INNER,
    }


def find(name: str, pid: int) -> dict[str, str]:
    """Where the cgroups of a running VPS are; on v1 also C(unified), its own of the hierarchy of v2 beside, if any.

    /proc/PID/cgroup names where init is now, which a guest may deepen and not leave: what counts is the part up to
    the VPS's own folder, at its first, outermost place.
    """
    mark = f"/vps/{name}/{INNER}"
    found = {}
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
        for line in file:
            _number, names, path = line.rstrip("\n").split(":", 2)
            head, separator, _rest = path.partition(mark)
            if not separator:
                continue
            own = f"{head}/vps/{name}".lstrip("/")
            if names == "" and version() == 2:
                return dict.fromkeys((*_NEEDED, "cpuset", "io", UNIFIED), os.path.join(MOUNT, own))
            for controller in names.split(","):
                found[controller or UNIFIED] = os.path.join(MOUNT, controller.removeprefix("name=") or UNIFIED, own)
    missing = [controller for controller in _NEEDED if controller not in found]
    if missing:
        raise VpsError(f"limits: VPS '{name}' runs without the cgroup controller {missing[0]}; restart it to bring its limits into force.")
    return found


def members(folders: Folders) -> list[int]:
    """Every process of a running VPS, as the node sees them."""
    found = []
    for above, name, entering in walk(os.path.join(folders["memory"], INNER)):
        if entering:
            found += [int(word) for word in read(above, f"{name}/cgroup.procs").split()]
    return found


def thaw(name: str) -> None:
    """Wake what is frozen of a VPS, by whomever: on v1 it does not even die. (On v2 it does.)"""
    for above, below, entering in walk(os.path.join(MOUNT, "freezer", folder(name))):
        if entering:
            with suppress(OSError):
                write(above, f"{below}/freezer.state", "THAWED")


def sweep_stopped(name: str) -> None:
    """Remove the empty cgroups of a program that ran in a VPS while it was stopped, and whose end nobody saw."""
    _remove(f"{STOPPED_CGROUP}{name}", f"{STOPPED_MONITOR}{name}")


def is_watched(name: str) -> bool:
    """Whether LXC's monitor of a VPS is there: between two of its starts, and for a moment after its end, it alone is."""
    root = MOUNT if version() == 2 else os.path.join(MOUNT, "memory")
    try:
        with open(os.path.join(root, monitor_folder(name), "cgroup.procs"), encoding="ascii") as file:
            return bool(file.read(16).strip())
    except OSError:
        return False


def sweep(name: str) -> None:
    """Remove the empty cgroups that a killed VPS left; its next start would otherwise avoid them by another name."""
    thaw(name)
    _remove(folder(name), monitor_folder(name))


def _remove(*folders: str) -> None:
    for root in _roots():
        for path in folders:
            for above, below, entering in walk(os.path.join(root, path)):
                if not entering:
                    with suppress(OSError):
                        os.rmdir(below, dir_fd=above)


def sweep_parents() -> None:
    """Remove the cgroups above all VPSs, once there are none. Never beside a start, which may be about to use them."""
    for root in _roots():
        for path in (os.path.dirname(folder("x")), os.path.dirname(monitor_folder("x"))):
            with suppress(OSError):
                os.rmdir(os.path.join(root, path))


def _roots() -> list[str]:
    return [MOUNT] if version() == 2 else [os.path.join(MOUNT, hierarchy) for hierarchy in os.listdir(MOUNT)]
