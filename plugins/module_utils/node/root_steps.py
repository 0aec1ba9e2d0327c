# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that give a stopped VPS another root file system: reinstall, back again, rescue."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone

from ..core import plan as steps
from ..core import units
from ..core.beancounters import Bound
from ..core.errors import VpsError
from ..core.limits import Limits
from ..core.model import Kept, Vps
from ..core.places import NEXT, PREVIOUS, RESCUE
from ..core.reinstall import NO_RESCUE
from . import configuration, keeping, roots
from .parts import Parts
from .storage.btrfs import Btrfs
from .sweep import erase

RESCUE_ROOM = 1 << 30  # bytes that may be written to what a VPS boots in rescue, besides what the template has


def reinstall(parts: Parts, step: steps.Reinstall) -> dict[str, object]:
    """Make the new one, with what is to be kept of the old one, beside it; then they change places."""
    vps = parts.vps.known(step.name)
    kept, driver = parts.keepable(replace(vps, template=step.template, init=step.init)), parts.driver(vps)
    _erase(parts, roots.settle(parts, vps.name))
    directory = parts.vps.begin(vps.name)
    root = os.path.join(directory, "rootfs")
    there: list[str] = []
    try:
        build = roots.fill(parts, kept, root)
        if step.keep_paths:
            with driver.opened(parts.root(vps.name), mapped=False), driver.opened(root, mapped=False):
                there = keeping.copy(parts.root(vps.name), root, step.keep_paths, keep_open=parts.lock)
        driver.limit(root, kept.limits)
        parts.storage.sync()  # all of it, before it is anybody's disk; and counted from here on
        _refuse_too_much(driver.usage(root), kept, there)
        was = Kept(vps.template, vps.init, datetime.now(timezone.utc).isoformat(timespec="seconds"), vps.build)
        roots.write(directory, roots.Note(driver.identity(root), step.template, step.init, was, step.keep_previous, build, vps))
    except BaseException:
        erase(parts, directory)
        raise
    os.rename(directory, roots.path(parts, vps.name, NEXT))
    _erase(parts, roots.change_places(parts, vps))
    return {"kept_paths": there} if step.keep_paths else {}


def _refuse_too_much(used: int, vps: Vps, kept: list[str]) -> None:
    """A subvolume takes more than its limit as long as the node writes to it; the VPS could not even delete some of it."""
    room = vps.limits.disk_bytes()
    if kept and room is not None and used > room:
        raise VpsError(
            f"keep_paths: with what is kept the disk of VPS '{vps.name}' has {units.format_size(-(-used >> 20) << 20)}, more than limits.diskspace "
            f"({units.format_size(room)}); ask for more, or keep less."
        )


def go_back(parts: Parts, step: steps.GoBack) -> None:
    """The same with the one that was kept, which is there already."""
    vps, driver = parts.vps.known(step.name), parts.driver(parts.vps.known(step.name))
    _erase(parts, roots.settle(parts, vps.name))
    directory, (was, _becomes) = roots.path(parts, vps.name, PREVIOUS), roots.previous(parts, vps.name)
    if was is None:
        raise VpsError(f"reinstall: what VPS '{vps.name}' had before its last reinstall has been deleted meanwhile; there is nothing to go back to.")
    now = Kept(vps.template, vps.init, was.since, vps.build)
    note = roots.Note(driver.identity(os.path.join(directory, "rootfs")), was.template, was.init, now, False, was.build)
    roots.write(directory, note, back=True)
    os.rename(directory, roots.path(parts, vps.name, NEXT))
    _erase(parts, roots.change_places(parts, vps))


def drop_previous(parts: Parts, step: steps.DropPrevious) -> None:
    """One rename, and it is gone; then its remains."""
    if os.path.lexists(roots.path(parts, step.name, PREVIOUS)):
        _erase(parts, [parts.vps.discard(step.name, PREVIOUS)])


def enter_rescue(parts: Parts, step: steps.EnterRescue) -> None:
    """Always a subvolume, whatever the VPS's own disk is: it costs nothing, and nothing has to be mounted for it."""
    vps = parts.vps.known(step.name)
    if not isinstance(parts.storage, Btrfs):
        raise VpsError(NO_RESCUE)
    _erase(parts, roots.settle(parts, vps.name))
    made = replace(vps, template=step.rescue.template, init=step.rescue.init, storage=parts.storage.name, rescue=None)
    directory = parts.vps.begin(vps.name)
    root = os.path.join(directory, "rootfs")
    try:
        roots.fill(parts, made, root)
        room = parts.storage.usage(root) + RESCUE_ROOM
        parts.storage.limit(root, Limits(diskspace=Bound(room, room)))
        roots.make_place(vps, step.rescue, root)
        configuration.let_in(vps, directory)
        parts.storage.sync()
    except BaseException:
        erase(parts, directory)
        raise
    remains = []
    if os.path.lexists(roots.path(parts, vps.name, RESCUE)):
        remains.append(parts.vps.discard(vps.name, RESCUE))
    os.rename(directory, roots.path(parts, vps.name, RESCUE))
    _record(parts, replace(vps, rescue=step.rescue))
    _erase(parts, remains)


def leave_rescue(parts: Parts, step: steps.LeaveRescue) -> None:
    """First the record: what it boots then is its own disk, whatever becomes of this run."""
    _record(parts, replace(parts.vps.known(step.name), rescue=None))
    _erase(parts, roots.settle(parts, step.name))


def _record(parts: Parts, vps: Vps) -> None:
    parts.vps.store(vps)
    roots.put(parts, vps)


def _erase(parts: Parts, remains: list[str]) -> None:
    for directory in remains:
        erase(parts, directory)


APPLY: Mapping[type, Callable] = {
    steps.Reinstall: reinstall,
    steps.GoBack: go_back,
    steps.DropPrevious: drop_previous,
    steps.EnterRescue: enter_rescue,
    steps.LeaveRescue: leave_rescue,
}
