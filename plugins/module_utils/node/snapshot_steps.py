# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that take and delete snapshots of a VPS and roll it back to one; and how they are read.

A roll back is prepared beside the VPS, while that may run on: the copy has its limit and its identity before the VPS is stopped. One
rename then has the old and the new disk change places. A run that is killed leaves the one or the other, and marks for the sweep, which
thaws what the run had frozen (holding.py), and starts again what it had stopped (again.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace

from ..core import plan as steps
from ..core.beancounters import Bound
from ..core.disk import Disk
from ..core.errors import VpsError
from ..core.limits import Limits
from ..core.model import FROZEN, IDENTITY, RUNNING, STOPPED, Actual
from ..core.snapshots import Snapshot, SnapshotsActual, refuse_full
from . import engine, guest, roots, tree, vps_steps
from .holding import standing_still
from .parts import Parts, node_nameservers
from .snapshots import SnapshotRecords
from .sweep import erase

ROLL_BACK = ".rollback"  # no snapshot has such a name


def read(parts: Parts, name: str, vps: Actual, asked: str | None) -> SnapshotsActual:
    """The snapshots of a VPS; with what the disk of the one that is `asked` for is held to."""
    found, unread = _all(parts, name)
    disk = Disk()
    if vps.recorded is not None and any(one.name == asked and one.vps.storage == vps.recorded.storage for one in found):
        disk = parts.driver(vps.recorded).read(SnapshotRecords(parts.vps, name).root(str(asked)))
    return SnapshotsActual(vps, tuple(found), unread, disk)


def sizes(parts: Parts, name: str) -> tuple[list[tuple[Snapshot, int | None]], dict[str, str]]:
    """The snapshots of a VPS, the oldest first, each with the bytes that would be free without it, None where that cannot be told; and of
    those that cannot be read why."""
    found, unread = _all(parts, name)
    shelf, told = SnapshotRecords(parts.vps, name), []
    for one in found:
        size = None
        with suppress(VpsError, OSError):  # it is being deleted, say
            size = parts.driver(one.vps).exclusive(shelf.root(one.name))
        if os.path.isdir(shelf.path(one.name)):
            told.append((one, size))
    return told, unread


def _all(parts: Parts, name: str) -> tuple[list[Snapshot], dict[str, str]]:
    shelf, found, unread = SnapshotRecords(parts.vps, name), [], {}
    for each in shelf.names():
        try:
            one = shelf.load(each)
        except VpsError as error:
            unread[each] = str(error)
            continue
        if one is not None:
            found.append(one)
        elif os.path.isdir(shelf.path(each)):  # and has not been deleted while we looked
            unread[each] = f"{shelf.path(each)}: has no record; remove it with state absent."
    return sorted(found, key=lambda one: (one.created, one.name)), unread


def take(parts: Parts, step: steps.TakeSnapshot) -> None:
    """Make it in a staging directory; one rename makes it real."""
    vps, shelf = parts.vps.known(step.vps), SnapshotRecords(parts.vps, step.vps)
    refuse_full(parts.storage.free_bytes(), step.vps)  # others write there meanwhile
    run = vps_steps.status(step.vps).run
    directory = shelf.begin(step.name)
    try:
        still = step.freeze or not parts.driver(vps).instant
        with standing_still(parts, step.vps, directory, parts.lock) if still and run == RUNNING else nullcontext():
            created = round(time.time(), 3)
            parts.driver(vps).snapshot(parts.root(vps.name), os.path.join(directory, "rootfs"))
        expires = None if step.lifetime is None else created + step.lifetime
        shelf.store(Snapshot(step.name, created, vps, run, step.description, step.series, expires), directory)
    except BaseException:
        erase(parts, directory)
        raise
    shelf.commit(step.name)
    parts.storage.sync()


def change(parts: Parts, step: steps.ChangeSnapshot) -> None:
    """The record, in one rename."""
    SnapshotRecords(parts.vps, step.snapshot.vps.name).store(step.snapshot)


def remove(parts: Parts, step: steps.RemoveSnapshot) -> None:
    """One rename, and it is gone; then its remains."""
    erase(parts, SnapshotRecords(parts.vps, step.vps).discard(step.name))


def roll_back(parts: Parts, step: steps.RollBack) -> None:
    """Prepare the new disk, stop the VPS, put it there, start the VPS; whatever fails on the way, a VPS that ran runs again."""
    directory = SnapshotRecords(parts.vps, step.vps.name).begin(ROLL_BACK)
    root = os.path.join(directory, "rootfs")
    try:
        _prepare(parts, step, root)
        try:
            _put(parts, step, root)
        except BaseException:
            if step.runs:
                with suppress(VpsError):  # the first error is the one to tell
                    _start(parts, step.vps.name)
            raise
        if step.runs:
            _start(parts, step.vps.name)
    finally:
        erase(parts, directory)  # with the disk that the VPS has not, be it the old one or the new one


def _prepare(parts: Parts, step: steps.RollBack, root: str) -> None:
    """A copy of the snapshot's disk as large as that was, and then what the VPS is to have of it."""
    vps, driver = step.vps, parts.driver(step.vps)
    source = SnapshotRecords(parts.vps, vps.name).root(step.snapshot)
    size = driver.read(source).size
    driver.clone(source, root, Limits() if size is None else Limits(diskspace=Bound(size, size)))
    if step.identity:
        with driver.opened(root), tree.Tree(root) as inside:
            guest.apply(inside, vps, step.identity, node_nameservers())
    driver.limit(root, parts.keepable(vps).limits)
    parts.storage.sync()  # all of it, before it is anybody's disk


def _put(parts: Parts, step: steps.RollBack, root: str) -> None:
    name, driver = step.vps.name, parts.driver(step.vps)
    if step.runs:
        if vps_steps.status(name).run == FROZEN:
            engine.thaw(name)  # cgroup v1 keeps even SIGKILL from a frozen process
        vps_steps.stop(parts, steps.Stop(name, step.stop_timeout))
    parts.found = None
    if vps_steps.status(name).run != STOPPED:  # by hand, or by a boot of the node, which ask for no lock
        raise VpsError(f"vps: VPS '{name}' was started while it was to be rolled back; run this again.")
    if step.keep is not None:
        take(parts, step.keep)
    before = parts.vps.known(name)
    # What the guest on the new disk has is what the VPS is to have. A run that is killed in between leaves the old record, which says
    # what of it is not so.
    unwritten = {option for option in (*IDENTITY, "limits") if getattr(step.vps, option) != getattr(before, option)}
    if unwritten:
        parts.vps.store(replace(before, unfinished=tuple(sorted({*before.unfinished, *unwritten}))))
    try:
        driver.exchange(parts.root(name), root)
    except BaseException:
        parts.vps.store(before)
        raise
    parts.storage.sync()
    if step.update is None:
        roots.put(parts, parts.vps.known(name))  # how a disk is mounted may depend on which it is
        return
    try:
        vps_steps.update(parts, step.update)
    except BaseException:  # an address that somebody answers at, say: all of it, or nothing
        driver.exchange(parts.root(name), root)
        now = parts.vps.known(name)
        parts.vps.store(replace(now, unfinished=tuple(sorted(set(now.unfinished) - (unwritten - set(before.unfinished))))))
        roots.put(parts, parts.vps.known(name))
        raise


def _start(parts: Parts, name: str) -> None:
    if vps_steps.status(name).run == STOPPED:
        vps_steps.start(parts, steps.Start(name))


APPLY: Mapping[type, Callable] = {
    steps.TakeSnapshot: take,
    steps.ChangeSnapshot: change,
    steps.RemoveSnapshot: remove,
    steps.RollBack: roll_back,
}
