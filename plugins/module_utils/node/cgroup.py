# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control group of a running VPS: found from its init, read and written as files.

Documents: admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/ of the kernel.
"""

from __future__ import annotations

import errno
import os

from ..core import controls, unitfiles, units
from ..core.errors import NothingDone, VpsError
from ..core.limits import Limits
from ..core.model import Vps
from . import tools

MOUNT = "/sys/fs/cgroup"
UNIFIED = "unified"  # on v1, where v2 may be mounted beside: without controllers, and with what the kernel tells of pressure
INNER = "guest"  # the guest's own cgroup namespace starts below the limits, so that even a privileged root cannot lift them
_V1_UNLIMITED = 1 << 62
# Those that count among siblings, or that nothing below has without its parents: where systemd runs the machine, they are
# its unit's as well, by these names of systemd's, which would undo anybody else's hand.
_OF_UNITS = {"cpu.weight": "CPUWeight", "io.weight": "IOWeight", "memory.min": "MemoryMin", "memory.low": "MemoryLow"}
# What is guaranteed to a cgroup holds for those below it, a guest's own, by this option of the mount. systemd sets it; lxcfs, which
# mounts the hierarchy for itself without, takes it away from all. A VPS's unit sets it again before each start.
_INHERIT = ["mount", "-o", f"remount,nsdelegate,{unitfiles.RECURSIVE}", MOUNT]
_ONLY_OF_UNITS = frozenset({"cpu.weight", "io.weight"})
_V1_CONTROLLERS = ("memory", "cpu", "pids", "cpuset", "blkio")
_NEEDED = ("memory", "cpu", "pids")


def version() -> int:
    """2 where the whole machine is on the unified hierarchy, else 1."""
    return 2 if os.path.exists(os.path.join(MOUNT, "cgroup.controllers")) else 1


def controllers() -> frozenset[str]:
    """The controllers that this machine has, by their names of v2."""
    if version() == 2:
        return frozenset(_read(os.path.join(MOUNT, "cgroup.controllers")).split())
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
    """Lines of shell that bring into force what is the unit's: see `_of_units`."""
    if not _of_units():
        return []
    unit, unset = unitfiles.unit_of(vps.name), controls.cgroup_files(Limits(), version=2)
    lines = []
    for file, text in files(vps).items():
        if file in _OF_UNITS:
            left = f"/run/systemd/system.control/{unit}.d/50-{_OF_UNITS[file]}.conf"  # by somebody, since the boot of the machine
            when = f"[ ! -e {left} ] || " if text == unset[file] else ""
            lines.append(f"{when}systemctl set-property --runtime {unit} {_OF_UNITS[file]}={text}")
    return lines


def start_echoes(vps: Vps, device: str | None) -> list[tuple[str, str]]:
    """What brings the other limits into force each time before init runs: a text and the file that takes it."""
    now_version = version()
    unset = controls.cgroup_files(Limits(), version=now_version)
    echoes = []
    for file, text in files(vps).items():
        if text == unset[file] or (_of_units() and file in _ONLY_OF_UNITS):
            continue
        root = MOUNT if now_version == 2 else os.path.join(MOUNT, file.split(".")[0])
        own = os.path.join(root, folder(vps.name))
        if file in _OF_UNITS and now_version == 2:
            echoes.append((text, os.path.join(os.path.dirname(own), file)))
        if file.startswith("cpuset.") and now_version == 1:
            echoes.append((text, os.path.join(own, INNER, file)))  # no less than those below: they go first
        echoes += [(line, os.path.join(own, _actual(own, file))) for line in _lines(file, text, device)]
    return echoes


def files(vps: Vps) -> dict[str, str]:
    """What the files of a VPS's cgroup must hold on this machine."""
    return controls.cgroup_files(vps.limits, version=version())


def read(vps: Vps, pid: int, device: str | None) -> dict[str, str]:
    """What the files of a running VPS's limits hold now. One that this kernel does not have holds what limits nothing."""
    where = _folders(vps.name, pid)
    unset, wanted = controls.cgroup_files(Limits(), version=version()), files(vps)
    found = {}
    for file, nothing in unset.items():
        path = _path(where, file)
        text = None if path is None else _read_if_there(path)
        if text is None or path is None:
            found[file] = nothing
        elif text == wanted[file]:
            found[file] = text
        else:
            found[file] = _normal(file, text, path, device, nothing)
    return found


def where(name: str, pid: int) -> dict[str, str]:
    """The path of each file of a running VPS's limits that there is."""
    folders = _folders(name, pid)
    paths = {file: _path(folders, file) for file in controls.cgroup_files(Limits(), version=version())}
    return {file: path for file, path in paths.items() if path is not None}


def folders(name: str, pid: int) -> dict[str, str]:
    """Controller → directory that counts a running VPS; on v1 also C(unified), its own of the hierarchy of v2 beside, if any."""
    found = _folders(name, pid)
    return found if version() == 1 else {**found, UNIFIED: found["memory"]}


def _of_units() -> bool:
    """Whether VPSs compete as systemd's units, whose weights only systemd may set (it sets them again at will).

    A weight counts among siblings, and within its unit a VPS has none.
    """
    return version() == 2 and tools.has_systemd()


def _properties(texts: dict[str, str]) -> list[str]:
    return [f"{_OF_UNITS[file]}={text}" for file, text in texts.items()]


def _path(where: dict[str, str], file: str) -> str | None:
    """Where a file of a VPS's limits is. That of its unit is two levels above its own, which is in `vps/NAME` below it."""
    folder = where.get(file.split(".")[0])
    if folder is None:
        return None
    if file in _ONLY_OF_UNITS and _of_units():
        folder = os.path.dirname(os.path.dirname(folder))
    return os.path.join(folder, _actual(folder, file))


def _actual(folder: str, file: str) -> str:
    """A weight of I/O is in another file where the scheduler bfq shares by it; v1 throttles only those who are in the very cgroup."""
    if ".throttle." in file:
        return os.path.join(INNER, file)
    return "io.bfq.weight" if file == "io.weight" and os.path.exists(os.path.join(folder, "io.bfq.weight")) else file


def _lines(file: str, text: str, device: str | None) -> list[str]:
    """What is written into a file: I/O limits are for a disk, and an empty text would write nothing at all."""
    if file == "io.max" or ".throttle." in file:
        return [f"{device} {text}"]
    return [text or "\n"]


def is_watched(name: str) -> bool:
    """Whether LXC's monitor of a VPS is there: between two of its starts, and for a moment after its end, it alone is."""
    root = MOUNT if version() == 2 else os.path.join(MOUNT, "memory")
    try:
        with open(os.path.join(root, monitor_folder(name), "cgroup.procs"), encoding="ascii") as file:
            return bool(file.read(16).strip())
    except OSError:
        return False


def write(vps: Vps, pid: int, device: str | None, *, force: bool = False) -> None:
    """Write the files that differ, and none else; raises NothingDone where the kernel does not take one of them.

    `force`: also where the kernel then has to kill in the VPS.
    """
    name, wanted = vps.name, files(vps)
    where = _folders(name, pid)
    now = read(vps, pid, device)
    differing = {file: text for file, text in wanted.items() if now[file] != text}
    if not force:
        _refuse_to_kill(where["memory"], differing.get("memory.max"))
    if "memory.limit_in_bytes" in differing:
        # Memory and swap together may never be below memory alone: out of the way first, then to its value.
        _write(os.path.join(where["memory"], "memory.memsw.limit_in_bytes"), "-1", missing_ok=True)
        differing["memory.memsw.limit_in_bytes"] = wanted["memory.memsw.limit_in_bytes"]
    try:
        _write_all(name, where, {file: wanted[file] for file in wanted if file in differing}, device)
    except VpsError as error:
        _write_all(name, where, {file: now[file] for file in wanted if file in differing}, device)  # all of them, or none
        raise NothingDone(str(error), **error.details) from None


def members(name: str, pid: int) -> list[int]:
    """Every process of a running VPS, as the node sees them."""
    found = []
    for folder, _below, _files in os.walk(os.path.join(_folders(name, pid)["memory"], INNER)):
        found += [int(word) for word in _read(os.path.join(folder, "cgroup.procs")).split()]
    return found


def protect(everybody: list[Vps]) -> None:
    """Give the cgroup above all VPSs what is guaranteed to them together: none below has more than its parent."""
    if version() == 1:
        return
    wanted = {file: str(sum(int(files(vps)[file]) for vps in everybody)) for file in ("memory.min", "memory.low")}
    above = os.path.join(MOUNT, unitfiles.SLICE if tools.has_systemd() else os.path.dirname(folder("x")))
    now = {file: _read_if_there(os.path.join(above, file)) if os.path.isdir(above) else None for file in wanted}
    if now == wanted or (not any(now.values()) and not any(int(text) for text in wanted.values())):
        return
    if tools.has_systemd():
        tools.run(["systemctl", "set-property", unitfiles.SLICE, *_properties(wanted)])
        if any(int(text) for text in wanted.values()) and unitfiles.RECURSIVE not in _read("/proc/mounts"):
            tools.run(_INHERIT)
        return
    for file, text in wanted.items():
        _write(os.path.join(above, file), text, missing_ok=True)


def guarantees(vps: Vps) -> bool:
    """Whether a VPS has a guarantee, which the cgroup above all VPSs must know of."""
    return version() == 2 and any(int(files(vps)[file]) for file in ("memory.min", "memory.low"))


def pinned(name: str, pid: int) -> int:
    """Bytes of a running VPS that the kernel can take from it only by killing, as long as there is no swap for them."""
    return _pinned(_folders(name, pid)["memory"])


def _write_all(name: str, where: dict[str, str], texts: dict[str, str], device: str | None) -> None:
    unset = controls.cgroup_files(Limits(), version=version())
    units_own = {file: text for file, text in texts.items() if file in _OF_UNITS} if _of_units() else {}
    if units_own:
        tools.run(["systemctl", "set-property", "--runtime", unitfiles.unit_of(name), *_properties(units_own)])
    for file, text in texts.items():
        path = _path(where, file)
        if file in units_own and file in _ONLY_OF_UNITS:
            continue
        if path is None:
            if text != unset[file]:
                raise VpsError(f"limits: this kernel has no {file}; leave the limit out.")
            continue
        if file in _OF_UNITS and version() == 2 and file not in _ONLY_OF_UNITS:
            _write(os.path.join(os.path.dirname(os.path.dirname(path)), file), text, missing_ok=text == unset[file])
        if file.startswith("cpuset.") and version() == 1:
            _write_v1_cpuset(os.path.dirname(path), file, text)
            continue
        if file.startswith("cpuset.") and not text:
            text = _from_above(path)
        for line in _lines(file, text, device):
            _write(path, line, missing_ok=text == unset[file])


def _write_v1_cpuset(folder: str, file: str, text: str) -> None:
    """On v1 a cgroup has no more than the one above and no less than those below.

    So all get both, from the top down, and then what they are to have, from the bottom up.
    """
    wanted = text or _from_above(os.path.join(folder, file))
    both = f"{_read(os.path.join(folder, file))},{wanted}"
    folders = [path for path, _below, _files in os.walk(folder)]
    for path in folders:
        _write(os.path.join(path, file), both, missing_ok=path != folder)
    for path in reversed(folders):
        _write(os.path.join(path, file), wanted, missing_ok=path != folder)


def _from_above(path: str) -> str:
    """What a cpuset of nobody's choice has: an empty text is refused to a cgroup in which somebody is."""
    above, file = os.path.dirname(os.path.dirname(path)), os.path.basename(path)
    return _read_if_there(os.path.join(above, f"{file}.effective" if version() == 2 else file)) or ""


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
                return dict.fromkeys((*_NEEDED, "cpuset", "io"), os.path.join(MOUNT, own))
            for controller in controllers.split(","):
                found[controller or UNIFIED] = os.path.join(MOUNT, controller or UNIFIED, own)
    missing = [controller for controller in _NEEDED if controller not in found]
    if missing:
        raise VpsError(f"limits: VPS '{name}' runs without the cgroup controller {missing[0]}; restart it to bring its limits into force.")
    return found


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read().strip()


def _read_if_there(path: str) -> str | None:
    try:
        return _read(path)
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(path)):
            raise ProcessLookupError(path) from None  # the VPS has gone
        return None


def _normal(file: str, text: str, path: str, device: str | None, unset: str) -> str:
    """What a file says, in the form of core/controls.py.

    v1 shows "no limit" of memory as the largest number of whole pages, and no limit of CPUs as those of the cgroup above.
    """
    if file.endswith("limit_in_bytes") and text.isdigit() and int(text) >= _V1_UNLIMITED:
        return "-1"
    if file.endswith(".weight"):
        return text.split()[-1]
    if file == "io.max" or ".throttle." in file:
        found = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        return found.get(device or "", unset)
    if file.startswith("cpuset.") and text == _from_above(path):
        return ""
    return text


def _write(path: str, text: str, *, missing_ok: bool) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except FileNotFoundError:
        if not missing_ok:
            raise VpsError(f"limits: this kernel has no {os.path.basename(path)}; leave the limit out.") from None
    except OSError as error:
        if error.errno == errno.EBUSY and "memory" in os.path.basename(path):
            raise VpsError(
                f"limits.memory: the VPS uses more than {units.format_size(int(text))} now and the kernel could not reclaim it; "
                "stop something in it first, or ask for more."
            ) from None
        raise VpsError(f"limits: the kernel refused {text} for {os.path.basename(path)}: {error.strerror}.") from None


def _refuse_to_kill(where: str, wanted: str | None) -> None:
    """v2 kills processes to get below a new memory.max; what no reclaim can free must fit first."""
    if wanted is None or wanted == "max":
        return
    bound = _pinned(where)
    if bound > int(wanted):
        raise NothingDone(
            f"limits.memory: the VPS uses {units.format_size(bound)} that cannot be reclaimed, more than {units.format_size(int(wanted))}; "
            "stop something in it first, ask for more, or set force to have the kernel kill in it."
        )


def _pinned(where: str) -> int:
    statistics = dict(line.split(" ", 1) for line in (_read_if_there(os.path.join(where, "memory.stat")) or "").splitlines() if " " in line)
    return sum(int(statistics.get(key, 0)) for key in ("anon", "shmem", "kernel_stack", "pagetables"))


def _remove_if_empty(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass
