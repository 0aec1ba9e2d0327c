# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control group of a running VPS: found from its init, read and written as files.

Documents: admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/ of the kernel.
"""

from __future__ import annotations

import errno
import os

from ..core import limits, unitfiles, units
from ..core.errors import NothingDone, VpsError
from ..core.model import Vps
from . import tools

MOUNT = "/sys/fs/cgroup"
INNER = "guest"  # the guest's own cgroup namespace starts below the limits, so that even a privileged root cannot lift them
_V1_UNLIMITED = 1 << 62
_WEIGHT = "cpu.weight"
_V1_CONTROLLERS = {"memory": "memory", "cpu": "cpu", "pids": "pids"}


def version() -> int:
    """2 where the whole machine is on the unified hierarchy, else 1."""
    return 2 if os.path.exists(os.path.join(MOUNT, "cgroup.controllers")) else 1


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
    return unitfiles.cgroup_of(name) if tools.has_systemd() else ""


def config(vps: Vps) -> dict[str, str]:
    """The lines of LXC's configuration that put the VPS into its cgroup. Its limits come by `start_echoes`."""
    return {
        "lxc.cgroup.relative": "0",
        "lxc.cgroup.dir.monitor": monitor_folder(vps.name),
        "lxc.cgroup.dir.container": folder(vps.name),
        "lxc.cgroup.dir.container.inner": INNER,
    }


def start_checks(vps: Vps) -> list[str]:
    """A line of shell that brings the share of the CPU into force, where that is the unit's: see `_weighs_units`."""
    if not _weighs_units():
        return []
    path, text = os.path.join(MOUNT, _unit(vps.name), _WEIGHT), files(vps)[_WEIGHT]
    return [f'[ "$(cat {path})" = {text} ] || {" ".join(_set_weight(vps.name, text))}']


def start_echoes(vps: Vps) -> list[tuple[str, str]]:
    """What brings the other limits into force each time before init runs: a text and the file that takes it."""
    now_version = version()
    unset = limits.cgroup_files(limits.Limits(), version=now_version)
    echoes = []
    for file, text in files(vps).items():
        if text != unset[file] and not (file == _WEIGHT and _weighs_units()):
            root = MOUNT if now_version == 2 else os.path.join(MOUNT, file.split(".")[0])
            echoes.append((text, os.path.join(root, folder(vps.name), file)))
    return echoes


def files(vps: Vps) -> dict[str, str]:
    """What the files of a VPS's cgroup must hold on this machine."""
    return limits.cgroup_files(vps.limits, version=version())


def read(name: str, pid: int, names: list[str]) -> dict[str, str]:
    """What the files of a running VPS hold now."""
    where = _folders(name, pid)
    return {file: _normal(file, _read(_path(where, file))) for file in names}


def _weighs_units() -> bool:
    """Whether VPSs compete for the CPU as systemd's units, whose weights only systemd may set (it sets them again at will).

    A weight counts among siblings, and within its unit a VPS has none.
    """
    return version() == 2 and tools.has_systemd()


def _set_weight(name: str, text: str) -> list[str]:
    """Until the next boot of the machine: each start of the VPS sets it again."""
    return ["systemctl", "set-property", "--runtime", unitfiles.unit_of(name), f"CPUWeight={text}"]


def _path(where: dict[str, str], file: str) -> str:
    """Where a file of a VPS's limits is. That of its unit is two levels above its own, which is in `vps/NAME` below it."""
    folder = where[file.split(".")[0]]
    if file == _WEIGHT and _weighs_units():
        folder = os.path.dirname(os.path.dirname(folder))
    return os.path.join(folder, file)


def is_watched(name: str) -> bool:
    """Whether LXC's monitor of a VPS is there: between two of its starts, and for a moment after its end, it alone is."""
    root = MOUNT if version() == 2 else os.path.join(MOUNT, "memory")
    try:
        with open(os.path.join(root, monitor_folder(name), "cgroup.procs"), encoding="ascii") as file:
            return bool(file.read(16).strip())
    except OSError:
        return False


def write(name: str, pid: int, wanted: dict[str, str]) -> None:
    """Write the files that differ, and none else; raises NothingDone where the kernel does not take one of them."""
    where = _folders(name, pid)
    now = read(name, pid, list(wanted))
    differing = {file: text for file, text in wanted.items() if now[file] != text}
    _refuse_to_kill(where["memory"], differing.get("memory.max"))
    if "memory.limit_in_bytes" in differing:
        # Memory and swap together may never be below memory alone: out of the way first, then to its value.
        _write(os.path.join(where["memory"], "memory.memsw.limit_in_bytes"), "-1", missing_ok=True)
        differing["memory.memsw.limit_in_bytes"] = wanted["memory.memsw.limit_in_bytes"]
    try:
        _write_all(name, where, {file: wanted[file] for file in wanted if file in differing})
    except VpsError as error:
        _write_all(name, where, {file: now[file] for file in wanted if file in differing})  # all of them, or none
        raise NothingDone(str(error), **error.details) from None


def _write_all(name: str, where: dict[str, str], texts: dict[str, str]) -> None:
    for file, text in texts.items():
        if file == _WEIGHT and _weighs_units():
            tools.run(_set_weight(name, text))
        else:
            _write(_path(where, file), text, missing_ok=text in ("-1", "max"))


def sweep(name: str) -> None:
    """Remove the empty cgroups that a killed VPS left; its next start would otherwise avoid them by another name."""
    for root in _roots():
        for path in (folder(name), monitor_folder(name)):
            for current, _below, _files in os.walk(os.path.join(root, path), topdown=False):
                _remove_if_empty(current)


def sweep_parents() -> None:
    """Remove the cgroups above all VPSs, once there are none. Never beside a start, which may be about to use them."""
    for root in _roots():
        for path in (os.path.dirname(folder("x")), os.path.dirname(monitor_folder("x"))):
            _remove_if_empty(os.path.join(root, path))


def _roots() -> list[str]:
    return [MOUNT] if version() == 2 else [os.path.join(MOUNT, hierarchy) for hierarchy in os.listdir(MOUNT)]


def _folders(name: str, pid: int) -> dict[str, str]:
    """Controller → directory with the limits.

    /proc/PID/cgroup names where init is now, which a guest may deepen and not leave: what counts is the part up to
    the VPS's own folder, at its first, outermost place.
    """
    mark = f"/vps/{name}/{INNER}"
    found = {}
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
        for line in file:
            _number, controllers, path = line.rstrip("\n").split(":", 2)
            head, separator, _rest = path.partition(mark)
            if not separator:
                continue
            own = f"{head}/vps/{name}".lstrip("/")
            if controllers == "" and version() == 2:
                return {controller: os.path.join(MOUNT, own) for controller in _V1_CONTROLLERS}
            for controller in controllers.split(","):
                found[controller] = os.path.join(MOUNT, controller, own)
    missing = [controller for controller in _V1_CONTROLLERS if controller not in found]
    if missing:
        raise VpsError(f"limits: VPS '{name}' runs without the cgroup controller {missing[0]}; restart it to bring its limits into force.")
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(path)):
            raise ProcessLookupError(path) from None  # the VPS has gone
        return "max" if path.endswith(".max") else "-1"  # a kernel without the counter limits nothing


def _normal(file: str, text: str) -> str:
    """v1 shows "no limit" of memory as the largest number of whole pages."""
    if file.endswith("limit_in_bytes") and text.isdigit() and int(text) >= _V1_UNLIMITED:
        return "-1"
    return text


def _write(path: str, text: str, *, missing_ok: bool) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except FileNotFoundError:
        if not missing_ok:
            raise VpsError(f"limits: this kernel has no {os.path.basename(path)}; leave the limit out.") from None
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise VpsError(
                f"limits.memory: the VPS uses more than {units.format_size(int(text))} now and the kernel could not reclaim it; "
                "stop something in it first, or ask for more."
            ) from None
        raise VpsError(f"limits: the kernel refused {text} for {os.path.basename(path)}: {error.strerror}.") from None


def _refuse_to_kill(where: str, wanted: str | None) -> None:
    """v2 kills processes to get below a new memory.max; what no reclaim can free must fit first."""
    if wanted is None or wanted == "max":
        return
    statistics = dict(line.split(" ", 1) for line in _read(os.path.join(where, "memory.stat")).splitlines() if " " in line)
    bound = sum(int(statistics.get(key, 0)) for key in ("anon", "shmem", "kernel_stack", "pagetables"))
    if bound > int(wanted):
        raise NothingDone(
            f"limits.memory: the VPS uses {units.format_size(bound)} that cannot be reclaimed, more than {units.format_size(int(wanted))}; "
            "stop something in it first, or ask for more."
        )


def _remove_if_empty(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass
