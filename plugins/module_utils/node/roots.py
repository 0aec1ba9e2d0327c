# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems of a VPS besides the one that it has: made from templates and other VPSs, put in its place, kept, and what a killed run left.

A reinstall makes the new one under a staging name, moves it to C(next) in the VPS's directory, with a note that says by what number it is
known, and has it change places with the old one in one step. By the number the next run knows whether that has happened: if so it does
the rest (the record, the old one to C(previous), the one that was there to the snapshots), and if not, there is nothing but remains.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone

from ..core import reinstall
from ..core import snapshots as core_snapshots
from ..core.builds import Build, read_build
from ..core.errors import NOT_OURS, GuestInTheWay, VpsError
from ..core.model import Kept, Rescue, Vps
from ..core.places import NEXT, PREVIOUS, RESCUE
from . import configuration, files, guest, locks, snapshots, tree
from .holding import keep
from .parts import Parts, node_nameservers
from .record import Shelf

_NOTE, _BACK = "root.json", "back.json"


@dataclass(frozen=True)
class Note:
    """What lies beside a root file system that takes, or has taken, a VPS's place for it.

    `identity` is its storage's number for the new one, `template`, `init` and `build` what that was made from; `was` is the old one; `keeps` it, or not.
    `vps` is the VPS's record as it was with the old one; None in the notes of older releases.
    """

    identity: int
    template: str
    init: str
    was: Kept
    keeps: bool
    build: Build | None = None
    vps: Vps | None = None


def clone(parts: Parts, vps: Vps, root: str) -> Build:
    """Copy its template's root file system; gives which build of it that is. What a driver needs for that is made once for each template.

    A template may be built anew meanwhile, and change places with this one at any moment: what was made of two of them is made again.
    """
    directory, driver = parts.templates.path(vps.template), parts.driver(vps)
    for _attempt in range(5):
        before, manifest = _number(directory), parts.templates.load(vps.template)
        if before is None or manifest is None:
            break
        try:
            _copy(parts, vps, os.path.join(directory, "rootfs"), root)
        except (VpsError, OSError):
            if _number(directory) == before:
                raise
        if _number(directory) == before:
            return manifest.build
        driver.delete(root)
        with suppress(OSError):  # none is left, or something that the next attempt will tell of
            os.rmdir(root)
    raise VpsError(f"template: '{vps.template}' has been removed meanwhile, or is built anew all the time; run this again.")


def _number(directory: str) -> int | None:
    """By which a directory is told from another of its name."""
    try:
        return os.stat(directory).st_ino
    except FileNotFoundError:
        return None


def _copy(parts: Parts, vps: Vps, source: str, root: str) -> None:
    driver = parts.driver(vps)
    if not driver.ready(source):
        with locks.hold("template", vps.template, timeout=parts.lock_timeout):
            if not driver.ready(source):  # another run has made it while this one waited
                driver.make_ready(source)
    driver.clone(source, root, vps.limits)


def fill(parts: Parts, vps: Vps, root: str) -> Build:
    """A root file system from its template, as its own; gives which build of it that is."""
    build = clone(parts, vps, root)
    with parts.driver(vps).opened(root), tree.Tree(root) as inside:
        parts.warnings += guest.prepare(inside, vps, node_nameservers())
    return build


def copy(parts: Parts, vps: Vps, source: str, root: str) -> Build | None:
    """A root file system from the disk of another VPS, running or not, as it is at this instant; then as its own. Gives the build that it goes back to.

    The lock of the source is held for the snapshot alone. Who waits for it makes a VPS that there is not yet, and nobody waits for that but
    who would make a copy of it: two runs do not wait for each other.
    """
    driver, kept = parts.driver(vps), os.path.join(os.path.dirname(root), "source")
    os.mkdir(kept, 0o700)
    with locks.hold("vps", source, timeout=parts.lock_timeout, again=True) as lock:
        other = parts.vps.load(source)
        if other is None:
            raise VpsError(f"clone_from: VPS '{source}' has been removed meanwhile; there is nothing to copy.")
        if other.storage != vps.storage:
            raise VpsError(f"clone_from: VPS '{source}' has been made anew on another storage meanwhile; run this again.")
        # Workers of one run have the lock of the source together, and none of them its descriptor.
        with locks.inside(parts.vps.path(source)) as ours:
            keep(parts, other, os.path.join(kept, "rootfs"), lock=lock if locks.is_at(lock, locks.path("vps", source)) else ours)
    driver.clone(os.path.join(kept, "rootfs"), root, vps.limits)
    driver.delete(os.path.join(kept, "rootfs"))
    shutil.rmtree(kept)
    with driver.opened(root), tree.Tree(root) as inside:
        parts.warnings += guest.scrub(inside)
        own = {option for option in guest.IDENTITY if getattr(vps, option) != getattr(other, option)}
        parts.warnings += guest.prepare(inside, vps, node_nameservers(), frozenset(own | {"hostname", "nameservers"}))
    return other.build


def path(parts: Parts, name: str, part: str) -> str:
    """A folder of a VPS's directory."""
    return os.path.join(parts.vps.path(name), part)


def previous(parts: Parts, name: str) -> tuple[Kept, str] | tuple[None, None]:
    """The root file system that a VPS had before, and the name of the snapshot that it becomes when another one is kept; None where it is not kept."""
    note = _read(path(parts, name, PREVIOUS), _NOTE)
    if note is None:
        return None, None
    return note.was, reinstall.name_of_snapshot(note.was, snapshots.SnapshotRecords(parts.vps, name).names())


def write(directory: str, note: Note, *, back: bool = False) -> None:
    """Put a note beside a root file system; it survives a power cut from here on."""
    Shelf(directory, _BACK if back else _NOTE).write(directory, {**asdict(note), "vps": None if note.vps is None else note.vps.to_record()})
    files.sync(directory)


def _read(directory: str, name: str) -> Note | None:
    shelf = Shelf(directory, name)
    record = shelf.read(directory)
    if record is None:
        return None
    try:
        vps = None if record.get("vps") is None else Vps.from_record(record["vps"])
        return Note(**{**record, "was": Kept.from_record(record["was"]), "build": read_build(record.get("build")), "vps": vps})
    except NOT_OURS as error:
        raise shelf.strange(directory, error) from None


def settle(parts: Parts, name: str) -> list[str]:
    """Do the rest of what a killed run has begun, or take it back; gives remains to erase."""
    remains = []
    vps = parts.vps.load(name)
    if vps is None:
        return []
    if os.path.lexists(path(parts, name, NEXT)):
        remains += finish(parts, vps)
    if vps.rescue is None and os.path.lexists(path(parts, name, RESCUE)):
        remains.append(parts.vps.discard(name, RESCUE))
    return remains


def change_places(parts: Parts, vps: Vps) -> list[str]:
    """Let the root file system in C(next) take the VPS's place for it, and do the rest; gives remains to erase."""
    files.sync(parts.vps.path(vps.name))
    parts.driver(vps).exchange(parts.root(vps.name), os.path.join(path(parts, vps.name, NEXT), "rootfs"))
    return finish(parts, vps)


def finish(parts: Parts, vps: Vps) -> list[str]:
    """What follows when they have changed places, or what is left when they have not; again and again."""
    directory = path(parts, vps.name, NEXT)
    back = _read(directory, _BACK)
    note = back or _read(directory, _NOTE)
    if note is None or parts.driver(vps).identity(parts.root(vps.name)) != note.identity:
        if back is None:
            return [parts.vps.discard(vps.name, NEXT)]
        os.rename(directory, path(parts, vps.name, PREVIOUS))
        return []
    parts.storage.sync()  # before the record says so
    if (vps.template, vps.init, vps.build) != (note.template, note.init, note.build) or back:
        again = reinstall.AGAIN if back else frozenset()  # the old one knows nothing of what was said since
        vps = replace(vps, template=note.template, init=note.init, build=note.build, unfinished=tuple(sorted({*vps.unfinished, *again})))
        parts.vps.store(vps)
    put(parts, vps)
    if not note.keeps:
        there = [part for part in (PREVIOUS, NEXT) if os.path.lexists(path(parts, vps.name, part))]
        return [parts.vps.discard(vps.name, part) for part in there]
    if os.path.lexists(path(parts, vps.name, PREVIOUS)):
        _make_snapshot(parts, vps)
    os.rename(directory, path(parts, vps.name, PREVIOUS))
    files.sync(parts.vps.path(vps.name))
    return []


def _make_snapshot(parts: Parts, vps: Vps) -> None:
    """Have the root file system in C(previous) be a snapshot: nobody has said that it may go. One rename; what is written before that says nothing yet.

    Of a disk of which no record says what its guest was told last, a roll back tells it everything. One without a note is a snapshot without a record.
    """
    directory, shelf = path(parts, vps.name, PREVIOUS), snapshots.SnapshotRecords(parts.vps, vps.name)
    note = _read(directory, _NOTE)
    was = Kept(vps.template, vps.init, datetime.now(timezone.utc).isoformat(timespec="seconds")) if note is None else note.was
    name = reinstall.name_of_snapshot(was, shelf.names())
    if note is not None:
        before = note.vps or replace(vps, template=was.template, init=was.init, build=was.build, unfinished=tuple(sorted(guest.IDENTITY)), leaving=())
        since = datetime.fromisoformat(was.since).timestamp()
        shelf.store(core_snapshots.Snapshot(name, since, before, description="before it was reinstalled", series=reinstall.SERIES), directory)
    shelf.adopt(name, directory)


def give_place(parts: Parts, name: str) -> None:
    """Make the place of the disk of a VPS in rescue anew, before a start: its guest may have removed it."""
    if not os.path.lexists(path(parts, name, RESCUE)):
        return
    vps = parts.vps.known(name)
    if vps.rescue is not None:
        make_place(vps, vps.rescue, os.path.join(path(parts, name, RESCUE), "rootfs"))


def make_place(vps: Vps, rescue: Rescue, root: str) -> None:
    """Make the place of a VPS's own disk in what it boots in rescue. Raises GuestInTheWay where a link, or a file, is on the way there."""
    try:
        with tree.Tree(root) as inside:
            inside.make_place(rescue.place)
    except GuestInTheWay as error:
        raise GuestInTheWay(
            f"state: VPS '{vps.name}' cannot have its disk at {rescue.place} in rescue, as something else is on the way there in what it boots; "
            "give another rescue_path, or end rescue with state started.", reason=str(error),
        ) from None


def put(parts: Parts, vps: Vps) -> None:
    """Have LXC's files say what the record says."""
    kept = parts.keepable(vps)
    configuration.write(kept, parts.vps.path(vps.name), parts.startup(kept), parts.networks)
