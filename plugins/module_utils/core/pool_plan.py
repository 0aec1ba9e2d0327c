# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool as asked and as it is: where it is made, mounted and enlarged. What machine_plan.py has of it.

Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from . import machine, nodefiles, units
from .beancounters import BTRFS, DIR
from .errors import VpsError, shown
from .machine import Actual, Desired, Pool, PoolFile
from .settings import DEFAULT_WARNING, Made, Settings

if TYPE_CHECKING:
    from .machine_plan import Items

_NONE = "absent"


def pool(items: Items, desired: Desired, actual: Actual, made: Made) -> Made:
    place, file = actual.pool, actual.file
    if kind(desired, actual.settings) == DIR:
        _plain_pool(items, place, known=actual.settings is not None)
        return made
    mounted = file.ours and place.backing == file.path
    if place.btrfs and not mounted and made.pool_file is None:
        _foreign_pool(items, place)
        return made
    size = desired.pool_size
    if not mounted:
        _refuse_pool(actual)
        if not file.exists:
            size = _new_size(desired, place, file)
    whole = mounted and place.quota and place.mode == machine.MODE and place.folders == machine.FOLDERS
    grows = size is not None and size > file.size
    if grows and file.exists and size is not None and size - file.size > file.room:
        raise _no_room(size, file.room + file.size, file)
    if not whole:
        items.add("pool", "incomplete" if mounted else "not mounted" if file.exists else _NONE, place.path)
    if grows:
        items.add("pool_size", units.format_size(file.size) if file.exists else None, units.format_size(size))
    if grows or not whole:
        items.steps.append(machine.EnsurePool(place.path, file.path, size if grows else None))
    _fstab(items, place.path, file.path)
    return replace(made, pool_file=file.path, pool_folder=made.pool_folder or not place.directory)


def kind(desired: Desired, old: Settings | None) -> str:
    """What the pool is: as asked for, or as it is. It cannot become another."""
    if old is None:
        return desired.pool_kind or BTRFS
    if desired.pool_kind not in (None, old.pool_kind):
        raise VpsError(f"pool_kind: the node's pool is {old.pool_kind}; make the machine no node first (state: absent), then a node again with the other pool.")
    return old.pool_kind


def _plain_pool(items: Items, pool: Pool, *, known: bool) -> None:
    """A directory of somebody's, on any file system that overlays can lie on.

    Nothing but its folders tells whether the right one is mounted: so they are made before the settings say that it is a pool.
    """
    if not pool.directory:
        raise VpsError(f"pool: there is no directory {pool.path}, which pool_kind dir uses as it is; make it, or name another one.")
    if pool.kind.split(".")[0] in machine.NO_OVERLAY:
        raise VpsError(
            f"pool: {pool.path} is on {pool.kind}, where VPSs of storage dir cannot write; name a directory on ext4, xfs or another file system of a disk."
        )
    _refuse_closed(pool)
    if known and not pool.folders:
        raise VpsError(f"pool: {pool.path} is empty, and is the node's pool; mount again what was there, then run this again.")
    if pool.folders != machine.FOLDERS:
        items.add("pool", _NONE, pool.path)
        items.before.append(machine.EnsurePool(pool.path))


def _refuse_closed(pool: Pool) -> None:
    if not pool.mode & 0o001:
        raise VpsError(f"pool: {pool.path} lets nobody but its owner pass, so no VPS could start; run 'chmod o+x {pool.path}'.")


def _foreign_pool(items: Items, pool: Pool) -> None:
    """A btrfs of somebody else's: used as it is. Switching quota on changes how it works, so that stays its owner's decision."""
    if not pool.quota:
        raise VpsError(
            f"pool: {pool.path} is on a btrfs without quota, which the disk limits of VPSs need; run 'btrfs quota enable {pool.path}', "
            "or name another pool."
        )
    _refuse_closed(pool)
    if pool.folders != machine.FOLDERS:
        items.add("pool", _NONE, pool.path, machine.EnsurePool(pool.path))


def _refuse_pool(actual: Actual) -> None:
    """A pool of our own that is not mounted must have its place and its file to itself."""
    old, pool, file = actual.settings, actual.pool, actual.file
    if old is not None and old.made.pool_file is None:
        raise VpsError(f"pool: {pool.path} was an existing btrfs and is not mounted now; mount it again, then run this again.")
    if not pool.empty and pool.backing != file.path + machine.REMOVING:
        raise VpsError(f"pool: {pool.path} has files in it, which a pool mounted there would hide; name an empty folder, or a btrfs.")
    if file.exists and not file.ours:
        raise VpsError(f"pool_file: {file.path} exists, and was not made by this collection; remove it, or name another one.")


def _new_size(desired: Desired, pool: Pool, file: PoolFile) -> int:
    """How large a pool's file is made, for which there must be a place."""
    size = desired.pool_size or machine.DEFAULT_POOL_SIZE
    if not pool.parent:
        raise VpsError(f"pool: there is no directory for {pool.path}; make the one above it, or name another place.")
    if not file.folder:
        raise VpsError(f"pool_file: there is no directory for {file.path}; make it, or name another file.")
    if size > file.room:
        raise _no_room(size, file.room, file)
    return size


def _no_room(size: int, room: int, file: PoolFile) -> VpsError:
    return VpsError(
        f"pool_size: {units.format_size(size)} is more than the {units.format_size(room >> 20 << 20)} that are free for {file.path}; "
        "ask for less, because a pool whose disk is full is damaged."
    )


def warning(items: Items, desired: Desired, old: Settings | None) -> int:
    """The share of the pool below which what is free is told: as asked for, or as it was where the playbook does not say."""
    before = old.pool_warning if old else DEFAULT_WARNING
    after = before if desired.pool_warning is None else desired.pool_warning
    if before != after:
        items.add("pool_warning", before, after)
    return after


def _fstab(items: Items, pool: str, file: str) -> None:
    text, wanted = items.texts.get("fstab"), nodefiles.fstab_line(pool, file)
    ours, others = nodefiles.fstab_lines_at(text, pool, file)
    if others:
        raise VpsError(f"pool: /etc/fstab mounts something else at {pool} ({shown(others[0])}); name another pool.")
    if ours != [wanted]:
        edited = nodefiles.edit_lines(text, drop=ours, add=[wanted])
        items.add("fstab", ours[0] if ours else None, wanted, items.set_file("fstab", edited))
