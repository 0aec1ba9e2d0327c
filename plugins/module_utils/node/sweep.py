# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deleting things of a node for good, and what killed runs left half made or half deleted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..core.errors import VpsError
from ..core.model import FROZEN, Vps
from ..core.places import LAYER, NEXT, OFFLINE, RESCUE, SNAPSHOTS
from . import again, cgroup, engine, filtering, locks, roots, spares, unit
from .holding import THAW_AGAIN
from .mounts import points_below
from .parts import Parts
from .record import AGAIN
from .storage import directory


def sweep(parts: Parts) -> list[str]:
    """Remove what killed runs left. What another run works on is locked, and left to it.

    Gives what could not be removed of others, as warnings: nobody's remains keep a run from its own work.
    """
    warnings: list[str] = []
    stopped: list[str] = []
    for kind, shelf in (("vps", parts.vps), ("template", parts.templates), ("backup", parts.backups)):
        for name, path in list(shelf.leftovers()):
            if os.path.basename(path).startswith(AGAIN):
                stopped.append(name)
                continue
            if locks.is_at(parts.lock, locks.path(kind, name)):
                warnings += _sweep_one(parts, kind, name, path)
                continue
            try:
                with locks.hold(kind, name, timeout=0, again=True):
                    warnings += _sweep_one(parts, kind, name, path)
            except locks.Held:
                continue
            except Exception as error:  # of whatever kind
                warnings.append(f"What a killed run left of {kind} '{name}' cannot be removed yet: {error}")
    with suppress(FileNotFoundError):
        for name in os.listdir(OFFLINE):
            _sweep_offline(parts, name)
    for point in points_below(parts.vps.folder):
        if os.path.basename(point) == "rootfs":
            _release(parts, point)
    warnings += _settle_roots(parts)
    _drop_layers(parts)
    warnings += [f"What is guaranteed to all VPSs together stays as it is, until this is mended: {reason}" for reason in protect_left(parts).values()]
    if filtering.was_left(parts):
        warnings += [f"The packet filter stays as it is, whatever is changed, until this is mended: {reason}" for reason in _finish_rules(parts)]
    warnings += _give_back(parts, stopped)
    spares.keep(parts.settings.pool)
    if parts.storage.recount():
        warnings.append("pool: the kernel had lost count of what the VPSs keep on disk, and no disk limit held; it is counting again now.")
    return warnings


def _settle_roots(parts: Parts) -> list[str]:
    """The root file systems of which a killed run was about to change one for the other."""
    warnings = []
    for name in parts.vps.names():
        if not any(os.path.lexists(os.path.join(parts.vps.path(name), folder)) for folder in (NEXT, RESCUE)):  # two looks for each VPS
            continue
        try:
            with locks.hold("vps", name, timeout=0, again=True):
                for remains in roots.settle(parts, name):
                    erase(parts, remains)
        except locks.Held:
            continue
        except (VpsError, OSError) as error:
            warnings.append(f"What a killed run left in VPS '{name}' cannot be finished yet: {error}")
    return warnings


def _finish_rules(parts: Parts) -> list[str]:
    """Why the packet filter cannot follow the records; nothing, where it has done."""
    try:
        return sorted(filtering.refresh(parts).values())
    except (VpsError, OSError) as error:  # what the node's own disk has no room for, say
        return [str(error)]


@contextmanager
def protecting(parts: Parts, *vpss: Vps | None) -> Iterator[None]:
    """Change records of these VPSs within: what is guaranteed to all together follows, after a run that is killed by the next one. None: an unknown one."""
    if not any(vps is None or unit.guarantees(vps) for vps in vpss):
        yield
        return
    with open(_mark(parts), "w", encoding="ascii"):
        pass
    yield
    if parts.together is None:
        protect(parts)


def protect_left(parts: Parts) -> dict[str, str]:
    """Where a run has changed such a record, and not come to that. Gives likewise why not."""
    return protect(parts) if os.path.exists(_mark(parts)) else {}


def protect(parts: Parts) -> dict[str, str]:
    """Have the cgroup above all VPSs say what the records say. As long as one cannot be read, it stays as it is; gives why, by the VPS's name."""
    unread: dict[str, str] = {}
    with locks.hold("node", "allocation", timeout=parts.lock_timeout, again=True):
        vpss = parts.vps.all(unread)
        if unread:
            return unread
        unit.protect([parts.keepable(vps) for vps in vpss])
        with suppress(FileNotFoundError):
            os.unlink(_mark(parts))
    return unread


def _mark(parts: Parts) -> str:
    return os.path.join(parts.settings.pool, "guarantees-changed")


def _sweep_offline(parts: Parts, name: str) -> None:
    """What a program in a stopped VPS, whose caller was killed, has left beside its disk."""
    with suppress(locks.Held), locks.hold("vps", name, timeout=0, again=True):
        cgroup.sweep_stopped(name)
        shutil.rmtree(os.path.join(OFFLINE, name), ignore_errors=True)


def _release(parts: Parts, root: str) -> None:
    """Let go of the disk of a VPS that does not run, and that no run works on: a killed run held it, or a killed monitor."""
    name = os.path.relpath(root, parts.vps.folder).split(os.sep)[0]  # it may lie deeper: one that is kept
    if name.startswith(".") or engine.has_monitor(name) or engine.is_in_hand(name):
        return
    with suppress(locks.Held), locks.hold("vps", name, timeout=0, again=True):
        if not engine.has_monitor(name):
            for driver in parts.drivers.values():
                driver.release(root)


def _drop_layers(parts: Parts) -> None:
    """Of templates that are gone, or are others by now, what no VPS lies on any more."""
    if not any(entry.startswith(LAYER) for entry in os.listdir(parts.templates.folder)):
        return  # most nodes: no need to load that driver
    for remains in directory.Directory(parts.settings.pool).unused():
        erase(parts, remains)


def _sweep_one(parts: Parts, kind: str, name: str, path: str) -> list[str]:
    """Under the lock of what it is of. Gives warnings."""
    if not os.path.exists(path):  # its own run came first
        return []
    if kind != "vps":
        erase(parts, path)
        return []
    warnings = _thaw(name, path)
    erase_vps(parts, name, path)
    return warnings


def _thaw(name: str, path: str) -> list[str]:
    """Thaw a VPS that a killed run has frozen for a moment."""
    try:
        if os.path.exists(os.path.join(path, THAW_AGAIN)) and engine.status(name).run == FROZEN:
            engine.thaw(name)
    except VpsError as error:
        return [f"A killed run had frozen VPS '{name}', and it cannot be thawed: {error}"]
    return []


def _give_back(parts: Parts, names: list[str]) -> list[str]:
    """Have VPSs run again that killed runs have stopped for a moment; last of all, when their disks are whole."""
    warnings = []
    for name in names:
        try:
            with locks.hold("vps", name, timeout=0, again=True) as lock:
                if os.path.exists(parts.vps.again(name)):  # its own run has not come to its end
                    warnings += again.give_back(parts, name, lock)
        except locks.Held:
            continue
        except OSError as error:
            warnings.append(f"A killed run had stopped VPS '{name}', and it cannot be started again yet: {error}")
    return warnings


def erase_vps(parts: Parts, name: str, remains: str) -> None:
    """Delete what is left of a VPS, in the pool and outside it."""
    if not os.path.exists(parts.vps.path(name)):
        engine.unlink(name, parts.vps.path(name))
        cgroup.sweep(name)
    erase(parts, remains)  # last: as long as it is there, the next run knows what to sweep
    _drop_layers(parts)


def erase(parts: Parts, folder: str) -> None:
    """Delete the directory of one thing, its root file system first and its record last."""
    inner = [entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False) and entry.name != "rootfs"]
    for place in (folder, *inner):
        for driver in parts.drivers.values():
            driver.delete(os.path.join(place, "rootfs"))
        if not any(driver is parts.storage for driver in parts.drivers.values()):  # a pool that is no driver of VPSs has templates all the same
            parts.storage.delete(os.path.join(place, "rootfs"))
    for name in _entries(os.path.join(folder, SNAPSHOTS)):
        erase(parts, os.path.join(folder, SNAPSHOTS, name))
    for entry in sorted(os.listdir(folder), key=lambda name: name.endswith(".json")):
        path = os.path.join(folder, entry)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)  # what a killed builder had in its scratch; the node's own files
        else:
            os.unlink(path)
    try:
        os.rmdir(folder)
    except OSError as error:
        raise VpsError(f"pool: {folder} cannot be removed: {error.strerror}.") from None


def _entries(folder: str) -> list[str]:
    """What is in a folder of ours, if there is one."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
