# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of the VPSs of a node: how one is made, and what is made of it, each in the order that a killed run can be finished from.

A backup is read from a snapshot, so that the VPS goes on, and nobody changes what is read; the VPS is locked for the moment of the snapshot only.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, cast

from ..core import backup as backups
from ..core import plan as steps
from ..core import retention
from ..core.backup import Backup, Wish
from ..core.errors import VpsError, shown
from ..core.model import FROZEN, OTHER_INIT, RUNNING, STOPPED, Actual, Vps
from ..core.places import BACKED_UP, UNPRUNED
from ..core.reinstall import refuse_protected
from ..core.restoring import for_test, read_record, reborn
from ..core.units import format_size
from . import files, guest, locks, restic, roots, sparse, vps_steps, waiting
from .again import given_back
from .holding import keep
from .node import Node
from .parts import node_nameservers
from .returning import give_back
from .sweep import erase
from .tree import Tree

ROOT, RECORD = "rootfs", "vps.json"  # what is in a backup
ORIGIN = "restored"  # beside the record of a VPS that was made of a backup: the id of that
_NEW = frozenset({"hostname", "nameservers", "search_domains"})  # of a VPS that gets another name: who it is, and not who may log in


@dataclass(frozen=True)
class Found:
    """What there is before anything is done: the VPS, whether there is a repository, the VPS's backups in it, and the one that is meant.

    `there`: the target was made of the one that is meant. `unpruned`: tasks of this node have removed backups and not deleted what only those had.
    """

    vps: Vps | None
    exists: bool
    backups: tuple[Backup, ...] = ()
    meant: Backup | None = None
    there: bool = False
    unpruned: bool = False
    warnings: tuple[str, ...] = ()


class Backups(Node):
    """This node, as far as backups of its VPSs go."""

    def look_at(self, wish: Wish, patience: int, writes: bool) -> Found:
        """See what there is; raises VpsError for what cannot be. Writes nothing, unless it may keep what it has read of the repository."""
        restic.require()
        self._refuse_place(wish)
        warnings = _see_password_file(wish)
        vps = self._parts.vps.load(wish.name)
        if vps is None and (wish.state == backups.PRESENT or wish.paths):
            gone = " Backups of one that is gone expire by state absent with keep." if wish.keep else ""
            raise VpsError(f"name: there is no VPS '{wish.name}' on this node; make it with vps_container, or restore all of it, first.{gone}")
        tool = restic.Restic(wish.repository, patience=patience)
        known = tool.backups(wish.name, writes=writes)
        exists, listed = known is not None, known or ()
        if not exists and wish.state != backups.PRESENT:
            raise VpsError("repository: there is none at that place; a backup (state present) makes one.")
        if wish.state not in (backups.RESTORED, backups.TESTED):
            return Found(vps, exists, listed, unpruned=os.path.exists(self._mark(wish)), warnings=warnings)
        meant = backups.find(listed, wish.backup, name=wish.name)
        there = wish.state == backups.RESTORED and not (wish.paths or wish.replace) and self._origin(wish.target) == meant.id
        if not wish.paths and not there:
            more = self._wanted(wish, read_record(tool.read(meant, f"/{RECORD}")))[2]
            warnings += () if writes else tuple(more)  # a run tells them itself
        return Found(vps, exists, listed, meant, there, warnings=warnings)

    def _origin(self, name: str) -> str | None:
        """The id of the backup that a VPS was made of; None where it was made otherwise, or is none."""
        return files.read(os.path.join(self._parts.vps.path(name), ORIGIN)) if self._parts.vps.load(name) is not None else None

    def _refuse_place(self, wish: Wish) -> None:
        """What a guest's root could write to, or what goes with its VPS, keeps no backups."""
        place = os.path.realpath(wish.repository.place) if wish.repository.place.startswith("/") else ""
        for folder in (self._parts.vps.folder, self._parts.templates.folder, self._parts.backups.folder):
            if f"{place}/".startswith(f"{os.path.realpath(folder)}/"):
                raise VpsError(f"repository: {folder} is where the pool has its VPSs and templates; keep backups elsewhere, best on another machine.")

    def _wanted(self, wish: Wish, record: Vps) -> tuple[Actual, Vps, list[str]]:
        """The VPS that has the name, the one that is to be, and warnings; raises VpsError for what cannot be."""
        if record.name != wish.name:  # who writes to the repository may have put another's into it
            raise VpsError(f"backup: the record in it is that of VPS {shown(record.name)}, and not of '{wish.name}'; restore another backup.")
        actual = self.read_vps(wish.target, asked=("interfaces", "publish"))
        there = actual.recorded or actual.vps
        if wish.state == backups.TESTED:
            if there is not None and dict(there.labels).get(backups.TEST_LABEL) != wish.name:
                raise VpsError(f"target: there is a VPS '{wish.target}' that is not of an earlier test; name another one for this test.")
            return actual, for_test(record, name=wish.target, node=actual.node), []
        if there is None:
            return actual, *reborn(record, name=wish.target, addresses=wish.addresses, node=actual.node)
        if not wish.replace:
            origin = self._origin(wish.target)
            made = f", made of the backup {origin[:10]} (to leave it as it is, give that as backup)" if origin else ""
            raise VpsError(f"target: there is a VPS '{wish.target}' already{made}; set replace to put the backup into its place, or name another target.")
        refuse_protected(there, "replaced by its backup")
        if wish.addresses is not None:
            raise VpsError(f"addresses: VPS '{wish.target}', which is replaced, keeps its own; change them with vps_container, and leave the option out.")
        return actual, there, []

    # -- making one -------------------------------------------------------------------------------------------------------

    def back_up(self, wish: Wish, found: Found, patience: int) -> dict[str, Any]:
        """Make a backup, then remove those that retention does not keep; gives what there is to tell."""
        tool = restic.Restic(wish.repository, timeout=wish.timeout, patience=patience)
        with self.lock("backup", wish.name, timeout=patience):
            warnings = self.sweep()
            if not found.exists:
                self._make_repository(tool, wish, patience)
            if wish.before is not None:
                self._run_before(wish, patience)
            parent = next((one for one in reversed(found.backups) if one.complete), None)
            with self._kept(wish.name, patience) as (folder, vps):
                self._refuse_endless(wish, vps, os.path.join(folder, ROOT))
                told, unread = tool.back_up(folder, (ROOT, RECORD), wish, parent)
            listed = tool.backups(wish.name) or ()
            made = listed[-1] if unread else backups.find(listed, told["id"], name=wish.name)
            told = {**told, **made.named}
            if unread:
                raise VpsError(
                    "name: a backup was made, but some files of the VPS could not be read, and are not in it; the result's output names them.",
                    changed=True, backup=told, output=unread[-4000:],
                )
            with suppress(FileNotFoundError):  # the VPS has been removed meanwhile
                files.write(os.path.join(self._parts.vps.path(wish.name), BACKED_UP), f"{made.named['time']}\n")
            beyond = retention.beyond(listed, wish.keep)
            pruned = self._expire(tool, beyond, wish, patience)
            if wish.verify:
                tool.check(wish.verify_data)
        return {"backup": told, **_left(listed, beyond, pruned), "warnings": warnings}

    def _make_repository(self, tool: restic.Restic, wish: Wish, patience: int) -> None:
        """One run at a time: restic lets two of them make one with two keys, which nobody opens any more (seen)."""
        with locks.hold("repository", _digest(wish), timeout=patience):
            if tool.backups(wish.name) is None:
                tool.create()

    def _run_before(self, wish: Wish, patience: int) -> None:
        command = wish.before
        if command is None:
            return
        outcome = self.run(command, self.look(command, patience=patience, writes=True), patience=patience)
        if outcome.rc != 0 or outcome.timed_out:
            how = "did not end in time" if outcome.timed_out else f"ended with exit code {outcome.rc}"
            raise VpsError(f"before: the program {how}, and no backup was made; the result's stderr has what it said.", stderr=outcome.stderr, rc=outcome.rc)

    @contextmanager
    def _kept(self, name: str, patience: int) -> Iterator[tuple[str, Vps]]:
        """A snapshot of a VPS, and its record beside it, for as long as they are read."""
        parts = self._parts
        with locks.hold("vps", name, timeout=patience) as lock:
            vps = parts.vps.load(name)
            if vps is None:
                raise VpsError(f"name: VPS '{name}' has been removed meanwhile; there is nothing to make a backup of.")
            folder, driver = self._begin(name), parts.driver(vps)
            try:
                keep(parts, vps, os.path.join(folder, ROOT), lock=lock)
                parts.vps.store(vps, folder)
            except BaseException:
                self._end(folder)
                raise
        try:
            with driver.opened(os.path.join(folder, ROOT), mapped=False):
                yield folder, vps
        finally:
            self._end(folder)

    def _begin(self, name: str) -> str:
        """A folder at the same place for each backup of a VPS. The one above it goes with the last that is made there."""
        while True:
            os.makedirs(self._parts.backups.folder, mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError):
                return self._parts.backups.begin(name)

    def _end(self, folder: str) -> None:
        erase(self._parts, folder)
        with suppress(OSError):  # others are at work in it
            os.rmdir(os.path.dirname(folder))

    def _refuse_endless(self, wish: Wish, vps: Vps, root: str) -> None:
        """A file of exabytes costs a guest nothing, and whoever reads it years."""
        status = os.statvfs(self._parts.settings.pool)
        most = self._parts.disk(vps).size or status.f_blocks * status.f_frsize
        for path in sparse.longer_than(root, most):
            if not any(path == out.rstrip("/") or path.startswith(f"{out.rstrip('/')}/") for out in wish.exclude):
                raise VpsError(
                    f"exclude: {shown(path, 200)} in the VPS has holes, and is longer than the whole disk ({format_size(most)}), so that reading it could "
                    "take for ever; exclude it, or make it shorter."
                )

    # -- what is made of it -----------------------------------------------------------------------------------------------

    def remove(self, wish: Wish, found: Found, patience: int) -> dict[str, Any]:
        """Remove one backup, or those that retention does not keep."""
        tool = restic.Restic(wish.repository, timeout=wish.timeout, patience=patience)
        doomed = backups.doomed(wish, found.backups, datetime.now(timezone.utc))
        return _left(found.backups, doomed, self._expire(tool, doomed, wish, patience))

    def prune(self, wish: Wish, patience: int) -> bool:
        """Delete what backups had that earlier tasks have removed; whether there was anything to do."""
        return self._expire(restic.Restic(wish.repository, timeout=wish.timeout, patience=patience), (), wish, patience)

    def _expire(self, tool: restic.Restic, doomed: Sequence[Backup], wish: Wish, patience: int) -> bool:
        """Remove backups; then what no other one needs, where that is asked and there is any. Gives whether that was done."""
        mark = self._mark(wish)
        if not doomed and not (wish.prune and os.path.exists(mark)):
            return False
        with locks.hold("repository", _digest(wish), timeout=patience):
            if doomed:
                files.write(mark, "")  # before: what a run that is killed has left is pruned by the next
                tool.remove(doomed)
            if not wish.prune or not os.path.exists(mark):
                return False
            tool.prune()
            os.unlink(mark)
        return True

    def _mark(self, wish: Wish) -> str:
        return os.path.join(self._parts.settings.pool, f"{UNPRUNED}{_digest(wish)}")

    def verify(self, wish: Wish, found: Found, patience: int) -> dict[str, Any]:
        """Look whether the repository is whole."""
        restic.Restic(wish.repository, timeout=wish.timeout, patience=patience).check(wish.verify_data)
        return {"backups": [one.named for one in found.backups]}

    def restore(self, wish: Wish, found: Found, patience: int) -> dict[str, Any]:
        """Make a VPS of a backup, or put it into the place of one, or give files of it back to the VPS that it is of."""
        tool, meant = restic.Restic(wish.repository, timeout=wish.timeout, patience=patience), cast(Backup, found.meant)  # look_at has found it
        told = {"backup": meant.named, "backups": [one.named for one in found.backups]}
        if wish.paths:
            self._give_back(tool, meant, wish, patience)
            return told
        with self.lock("vps", wish.target, timeout=patience):
            warnings = self.sweep()
            record = read_record(tool.read(meant, f"/{RECORD}"))
            actual, vps, more = self._wanted(wish, record)
            if actual.vps is None:
                self._make(tool, meant, vps, record)
                more = [*more, *self._parts.warnings]
            else:
                self._replace(tool, meant, actual, vps, record, wish)
        return {**told, "target": wish.target, **({"warnings": [*warnings, *more]} if warnings or more else {})}

    def _give_back(self, tool: restic.Restic, meant: Backup, wish: Wish, patience: int) -> None:
        with self.lock("backup", wish.name, timeout=patience):
            self.sweep()
            folder = self._begin(wish.name)
            try:
                root = os.path.join(folder, ROOT)
                self._parts.storage.create(root)
                tool.restore(meant, [f"/{ROOT}{path}" for path in wish.paths], folder, verify=False)
                give_back(wish.name, wish.paths, root, patience=patience, timeout=wish.timeout)
            finally:
                self._end(folder)

    def _make(self, tool: restic.Restic, meant: Backup, vps: Vps, record: Vps, *, verify: bool = False) -> None:
        def fill(kept: Vps, root: str) -> None:
            self._fill(tool, meant, kept, root, verify=verify)
            files.write(os.path.join(os.path.dirname(root), ORIGIN), meant.id, mode=0o600)
            if vps.name != record.name:
                with self._parts.driver(kept).opened(root), Tree(root) as tree:
                    self._parts.warnings += guest.clear(tree)
                    guest.apply(tree, vps, _NEW, node_nameservers())
                    guest.renew(tree)

        vps_steps.make(self._parts, vps, fill)

    def _fill(self, tool: restic.Restic, meant: Backup, vps: Vps, root: str, *, verify: bool) -> None:
        """Make a root file system, and write into it what a backup has of one."""
        driver, free = self._parts.driver(vps), self._parts.storage.free_bytes()
        if not tool.makes_holes and tool.size(meant) > free:
            raise VpsError(f"backup: its files have {format_size(tool.size(meant))}, and the pool has {format_size(free)} free; enlarge it, or remove a VPS.")
        driver.create(root, vps.limits)
        with driver.opened(root, mapped=False):
            tool.restore(meant, [f"/{ROOT}"], os.path.dirname(root), verify=verify)
            if not tool.makes_holes:
                sparse.make_holes(root)

    def _replace(self, tool: restic.Restic, meant: Backup, actual: Actual, vps: Vps, record: Vps, wish: Wish) -> None:
        """Make the disk beside the one that the VPS has, and exchange the two in one step, for which it is stopped."""
        parts, driver = self._parts, self._parts.driver(vps)
        folder = parts.vps.begin(vps.name)
        root = os.path.join(folder, ROOT)
        try:
            parts.vps.store(vps, folder)
            kept = parts.keepable(vps)
            self._fill(tool, meant, kept, root, verify=False)
            other = frozenset(option for option in guest.IDENTITY if getattr(record, option) != getattr(vps, option))
            if other:  # the record that it keeps says something else of it
                with driver.opened(root), Tree(root) as tree:
                    guest.apply(tree, vps, other, node_nameservers())
            driver.limit(root, kept.limits)
            with given_back(parts, vps.name, actual.run):
                self._exchange(actual, vps, record, meant, root, wish.stop_timeout)
        finally:
            erase(parts, folder)  # what was there before, or what has not come to be

    def _exchange(self, actual: Actual, vps: Vps, record: Vps, meant: Backup, root: str, stop_timeout: int) -> None:
        """Have a VPS stopped, its disk and the one that was made of a backup change places, and the VPS be again what it was."""
        parts, ran = self._parts, actual.run != STOPPED
        try:
            if actual.run == FROZEN:
                vps_steps.thaw(parts, steps.Thaw(vps.name))
            if ran:
                vps_steps.stop(parts, steps.Stop(vps.name, stop_timeout))
            origin = os.path.join(parts.vps.path(vps.name), ORIGIN)
            with suppress(FileNotFoundError):
                os.unlink(origin)  # until it is of the other: a run that is killed in between says nothing wrong
            parts.driver(vps).exchange(parts.root(vps.name), root)
            files.write(origin, meant.id, mode=0o600)
            parts.vps.store(replace(vps, template=record.template, init=record.init, build=record.build))
            roots.put(parts, parts.vps.known(vps.name))  # how a disk is mounted may depend on which it is
            parts.storage.sync()
        finally:
            if ran and vps_steps.status(vps.name).run == STOPPED:
                vps_steps.start(parts, steps.Start(vps.name))
            if actual.run == FROZEN and vps_steps.status(vps.name).run == RUNNING:
                vps_steps.freeze(parts, steps.Freeze(vps.name))

    def try_out(self, wish: Wish, found: Found, patience: int) -> dict[str, Any]:
        """Make a VPS of a backup, have all of it compared, boot it, and remove it again."""
        tool, meant = restic.Restic(wish.repository, timeout=wish.timeout, patience=patience), cast(Backup, found.meant)  # look_at has found it
        with self.lock("vps", wish.target, timeout=patience):
            warnings = self.sweep()
            record = read_record(tool.read(meant, f"/{RECORD}"))
            actual, vps, _none = self._wanted(wish, record)
            if actual.vps is not None:  # of a run that was killed
                self._remove(wish)
            self._make(tool, meant, vps, record, verify=True)
            try:
                vps_steps.start(self._parts, steps.Start(vps.name))
                until = "running" if vps.init == OTHER_INIT else "booted"
                reached = waiting.wait(self._parts, steps.Wait(vps.name, until, wish.wait_timeout))
            finally:
                self._remove(wish)
        told = {"backup": meant.named, "boot": reached.get("boot", "running"), "backups": [one.named for one in found.backups]}
        return {**told, **({"warnings": warnings} if warnings else {})}

    def _remove(self, wish: Wish) -> None:
        self._parts.found = None
        run = vps_steps.status(wish.target).run
        if run == FROZEN:
            vps_steps.thaw(self._parts, steps.Thaw(wish.target))
        if run != STOPPED:
            vps_steps.stop(self._parts, steps.Stop(wish.target, wish.stop_timeout))
        vps_steps.destroy(self._parts, steps.Destroy(wish.target))


def _digest(wish: Wish) -> str:
    """What a repository is called in the names of files."""
    return hashlib.sha256(wish.repository.place.encode()).hexdigest()[:16]


def _left(listed: Sequence[Backup], removed: Sequence[Backup], pruned: bool) -> dict[str, Any]:
    return {"removed": [one.id for one in removed], "pruned": pruned, "backups": [one.named for one in listed if one not in removed]}


def _see_password_file(wish: Wish) -> tuple[str, ...]:
    """Raise VpsError where there is no password in it, and warn of one that everybody on the node can read."""
    path = wish.repository.secrets.get("RESTIC_PASSWORD_FILE")
    if path is None:
        return ()
    try:
        status = os.stat(path)
    except OSError as error:
        raise VpsError(f"password_file: {shown(path)} on the node cannot be read ({error.strerror}); put one line with the password there.") from None
    if not stat.S_ISREG(status.st_mode) or not (files.read_start(path, 4096) or "").strip():
        raise VpsError(f"password_file: {shown(path)} on the node has no password in it; put one line with the password there.")
    if status.st_mode & stat.S_IROTH:
        return (f"password_file: every user of the node can read {path}, and with it all backups; give it mode 0600.",)
    return ()
