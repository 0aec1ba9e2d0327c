# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a VPS's cgroup that hold its limits: brought into force at each start, read, and written while it runs.

What they must hold is core/controls.py, where they are is node/cgroup.py, and which of them are its unit's too is node/unit.py.
Documents: admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/ of the kernel.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache

from ..core import controls, units
from ..core.errors import NothingDone, VpsError
from ..core.limits import Limits, memory_key
from ..core.model import Vps
from ..core.places import OWN
from . import cgroup, descent, files, resources, unit
from .cgroup import INNER, MOUNT, Folders, version

_V1_UNLIMITED = 1 << 62
_QUOTA, _PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"  # of v1
_RECLAIMS = 3
_PASSES = 20  # against a guest that gives its cgroups again what is taken from them
# Before a file is written, another is put out of its way, which gets its own value afterwards: memory and swap together may never be
# below memory alone, and a burst never above what it is saved from.
_OUT_OF_THE_WAY = {
    "memory.limit_in_bytes": ("memory.memsw.limit_in_bytes", "-1"), "cpu.max": ("cpu.max.burst", "0"), "cpu.cfs_quota_us": ("cpu.cfs_burst_us", "0"),
}


class _InUse(VpsError):
    """Memory that the kernel could not reclaim."""


def start_echoes(vps: Vps, device: str | None) -> list[tuple[str, str]]:
    """What brings the limits into force each time before init runs: a text and the file that takes it, in the hook's own cgroup.

    `device` is the disk that I/O limits are for, or a word of shell for it.
    """
    echoes = []
    for file, text in _at_start(vps).items():
        root = MOUNT if version() == 2 else os.path.join(MOUNT, file.split(".")[0])
        own = os.path.join(root, OWN)
        if file.startswith("cpuset.") and version() == 1:
            echoes.append((text, os.path.join(own, INNER, file)))  # no less than those below: they go first
        echoes.append((_line(file, text, device), os.path.join(own, _actual(os.path.join(root, cgroup.folder(vps.name)), file))))
    return echoes


def unit_echoes(vps: Vps) -> list[tuple[str, str]]:
    """The same for the cgroup between a VPS's own and its unit's."""
    above = os.path.dirname(os.path.join(MOUNT, cgroup.folder(vps.name)))
    return [(text, os.path.join(above, file)) for file, text in _at_start(vps).items() if file in unit.PROPERTIES and unit.competes()]


def _at_start(vps: Vps) -> dict[str, str]:
    unset = _unset()
    return {file: text for file, text in _wanted(vps).items() if text != unset[file] and not (unit.competes() and file in unit.ONLY_HERE)}


def read(vps: Vps, folders: Folders, device: str | None) -> dict[str, str]:
    """What the files of a running VPS's limits hold now. One that this kernel does not have holds what limits nothing."""
    wanted = _wanted(vps)
    found = {}
    for file, nothing in _unset().items():
        path = _path(folders, file)
        text = None if path is None else _read_if_there(path)
        if text is None or path is None:
            found[file] = nothing
        elif text == wanted[file]:
            found[file] = text
        else:
            found[file] = _normal(file, text, path, device, nothing)
    return found


def paths(folders: Folders) -> dict[str, str]:
    """The path of each file of a running VPS's limits that there is."""
    found = {file: _path(folders, file) for file in _unset()}
    return {file: path for file, path in found.items() if path is not None}


def pinned(folders: Folders) -> int:
    """Bytes of a running VPS that the kernel can take from it only by killing."""
    text = _read_if_there(os.path.join(folders["memory"], "memory.stat")) or ""
    counts = {key: int(number) for key, _space, number in (line.partition(" ") for line in text.splitlines()) if number.isdigit()}
    # v1 counts in the very cgroup, where nobody is, but for its totals, and does not tell the kernel's own.
    swappable, kept = (("anon", "shmem"), ("kernel_stack", "pagetables")) if version() == 2 else (("total_rss", "total_shmem"), ())
    told = sum(counts.get(key, 0) for key in kept) + max(sum(counts.get(key, 0) for key in swappable) - _swap_left(folders, counts), 0)
    # A kernel may lose the news of a CPU, and go on telling what ended long ago until that CPU has other news (Linux 6.18: one end of a
    # large process in forty, on a busy machine). What is charged is counted without that, and nothing is held that is not charged.
    return min(told, _charged(folders))


def _swap_left(folders: Folders, counts: Mapping[str, int]) -> int:
    """Bytes that the kernel could still swap out of a running VPS: what the VPS may, and the node has. As its limits are now, before they are written."""
    free = resources.meminfo().get("SwapFree", 0)
    if not free:
        return 0
    if version() == 2:
        most, used = (_read_if_there(os.path.join(folders["memory"], f"memory.swap.{name}")) for name in ("max", "current"))
        return free if most == "max" or most is None else max(min(int(most) - int(used or 0), free), 0)
    both, alone = (_read_if_there(os.path.join(folders["memory"], f"memory.{name}limit_in_bytes")) for name in ("memsw.", ""))
    return 0 if both is None or alone is None else max(min(int(both) - int(alone) - counts.get("total_swap", 0), free), 0)


def _charged(folders: Folders) -> int:
    """Bytes of a running VPS's memory, whatever they are."""
    text = _read_if_there(os.path.join(folders["memory"], "memory.current" if version() == 2 else "memory.usage_in_bytes"))
    return int(text or 0)


def write(vps: Vps, folders: Folders, device: str | None, *, force: bool = False) -> None:
    """Write the files that differ, and none else; raises NothingDone where the kernel does not take one of them.

    `force`: also where the kernel then has to kill in the VPS.
    """
    wanted, now = _wanted(vps), read(vps, folders, device)
    differing = {file for file, text in wanted.items() if now[file] != text}
    if not force and "memory.max" in differing:
        _refuse_to_kill(folders, wanted["memory.max"], now["memory.high"], memory_key(vps.limits))
    differing |= {other for file, (other, _text) in _OUT_OF_THE_WAY.items() if file in differing}
    try:
        _write_all(vps.name, folders, {file: text for file, text in wanted.items() if file in differing}, device)
    except VpsError as error:
        _write_all(vps.name, folders, {file: now[file] for file in wanted if file in differing}, device)  # all of them, or none
        said = f"limits.{memory_key(vps.limits)}: {error}" if isinstance(error, _InUse) else str(error)
        raise NothingDone(said, **error.details) from None


def _wanted(vps: Vps) -> Mapping[str, str]:
    return _made_of(vps.limits, version())


@lru_cache(maxsize=256)
def _made_of(limits: Limits, version_: int) -> Mapping[str, str]:
    """Of many VPSs most have the limits of a few plans."""
    return controls.cgroup_files(limits, version=version_)


def _unset() -> Mapping[str, str]:
    return _nothing(version())


@lru_cache
def _nothing(version_: int) -> Mapping[str, str]:
    """The same of every VPS that is read."""
    return controls.cgroup_files(Limits(), version=version_)


def _path(folders: Folders, file: str) -> str | None:
    """Where a file of a VPS's limits is."""
    folder = folders.get(file.split(".")[0])
    if folder is None:
        return None
    if file in unit.ONLY_HERE and unit.competes():
        folder = unit.folder(folder)
    return os.path.join(folder, _actual(folder, file))


def _actual(folder: str, file: str) -> str:
    """A weight of I/O is in another file where the scheduler bfq shares by it; v1 throttles only those who are in the very cgroup."""
    if ".throttle." in file:
        return os.path.join(INNER, file)
    return "io.bfq.weight" if file == "io.weight" and os.path.exists(os.path.join(folder, "io.bfq.weight")) else file


def _line(file: str, text: str, device: str | None) -> str:
    """What is written into a file: I/O limits are for a disk, and an empty text would write nothing at all."""
    if file == "io.max" or ".throttle." in file:
        return f"{device} {text}"
    return text or "\n"


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


def _write_all(name: str, folders: Folders, texts: dict[str, str], device: str | None) -> None:
    unset = _unset()
    unit.write(name, texts)
    for file in texts.keys() & _OUT_OF_THE_WAY.keys():
        other, text = _OUT_OF_THE_WAY[file]
        _write(os.path.join(folders[file.split(".")[0]], other), text, missing_ok=True)
    for file, text in texts.items():
        path, optional = _path(folders, file), text == unset[file]
        if unit.competes() and file in unit.ONLY_HERE:
            continue
        if path is None:
            if not optional:
                raise VpsError(f"limits: this kernel has no {file}; leave the limit out.")
            continue
        if unit.competes() and file in unit.PROPERTIES:
            _write(os.path.join(unit.folder(path), file), text, missing_ok=optional)  # between its own and its unit's
        if file.startswith("cpuset."):
            _write_cpuset(path, text)
            continue
        if file == _QUOTA and not optional:
            _write_quota(path, text)
            continue
        _write(path, _line(file, text, device), missing_ok=optional)


def _write_cpuset(path: str, text: str) -> None:
    """On v1 a cgroup has no more than the one above and no less than those below.

    So all get both, from the top down, and then what they are to have, from the bottom up.
    """
    wanted = text or _from_above(path)
    if version() == 2:
        _write(path, wanted, missing_ok=not text)
        return
    folder, file = os.path.split(path)
    both = f"{_read_if_there(path)},{wanted}"
    for above, name, entering in descent.walk(folder):
        try:
            descent.write(above, f"{name}/{file}", both if entering else wanted)
        except OSError as error:
            raise VpsError(f"limits: the kernel refused {wanted} for {file} of cgroup {name[:60]}: {error.strerror}.") from None


def _write_quota(path: str, text: str) -> None:
    """On v1 no cgroup may have more than those above it: what a guest has given its own goes where it is in the way."""
    folder, file = os.path.split(path)
    for _pass in range(_PASSES):
        try:
            files.overwrite(path, text)
            return
        except OSError as error:
            if error.errno != errno.EINVAL:
                break
        period = int(_read_if_there(os.path.join(folder, _PERIOD)) or 0)
        for above, name, entering in descent.walk(os.path.join(folder, INNER)):
            own, its = descent.read(above, f"{name}/{file}"), descent.read(above, f"{name}/{_PERIOD}")
            if entering and own and its and int(own) * period > int(text) * int(its):
                with suppress(OSError):
                    descent.write(above, f"{name}/{file}", "-1")
    _write(path, text, missing_ok=False)


def _from_above(path: str) -> str:
    """What a cpuset of nobody's choice has: an empty text is refused to a cgroup in which somebody is."""
    folder, file = os.path.split(path)
    return _read_if_there(os.path.join(os.path.dirname(folder), f"{file}.effective" if version() == 2 else file)) or ""


def _read_if_there(path: str) -> str | None:
    try:
        text = files.read_counter(path)
    except OSError as error:
        if error.errno != errno.ENODEV:  # as of a cgroup that goes while it is read
            raise
        text = None
    if text is None and not os.path.isdir(os.path.dirname(path)):
        raise ProcessLookupError(path)  # the VPS has gone
    return None if text is None else text.strip()


def _write(path: str, text: str, *, missing_ok: bool) -> None:
    try:
        files.overwrite(path, text)
    except FileNotFoundError:
        if not missing_ok:
            raise VpsError(f"limits: this kernel has no {os.path.basename(path)}; leave the limit out.") from None
    except OSError as error:
        if error.errno == errno.EBUSY and "memory" in os.path.basename(path):
            raise _InUse(
                f"the VPS uses more than {units.format_size(int(text))} now and the kernel could not reclaim it; "
                "stop something in it first, or ask for more."
            ) from None
        raise VpsError(f"limits: the kernel refused {text} for {os.path.basename(path)}: {error.strerror}.") from None


def _refuse_to_kill(folders: Folders, wanted: str, high: str, key: str) -> None:
    """v2 kills processes to get below a new memory.max; what no reclaim can free must fit first. `high` is what memory.high holds."""
    if wanted == "max":
        return
    bound = pinned(folders)
    if bound <= int(wanted):
        bound = _left(folders, wanted, high)
    if bound > int(wanted):
        raise NothingDone(
            f"limits.{key}: the VPS uses {units.format_size(bound)} that cannot be reclaimed, more than {units.format_size(int(wanted))}; "
            "stop something in it first, ask for more, or set force to have the kernel kill in it."
        )


def _left(folders: Folders, wanted: str, high: str) -> int:
    """Bytes that are charged once the kernel has reclaimed down to `wanted`, or could not: what its statistics do not tell counts too.

    By memory.high, which kills nobody. It stops at what a busy guest takes meanwhile, so that more than one try may be needed.
    """
    path, left = os.path.join(folders["memory"], "memory.high"), _charged(folders)
    for _try in range(_RECLAIMS):
        if left <= int(wanted):
            break
        try:
            _write(path, wanted, missing_ok=False)
            left = _charged(folders)
        finally:
            _write(path, high, missing_ok=False)
    return left
