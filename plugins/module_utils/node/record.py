# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a node: which VPSs and templates there are, on disk, in the pool.

A thing is a directory with its record in it. It is made under a name that starts with C(.new-) and becomes real by one
rename; it is deleted by a rename to C(.del-). Whatever has such a name belongs to a run that works on it or was killed.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace

from ..core.errors import NOT_OURS, VpsError, shown
from ..core.model import Manifest, Vps
from . import files

NEW, DELETED = ".new-", ".del-"
AGAIN = ".again-"  # a mark, and no directory: of a VPS that is stopped for a moment (again.py)
SCRATCH = "tmp"  # beside the root file system of what is being made: what a killed run leaves there goes with it


class Shelf:
    """One folder of the pool with one directory a thing, and how to read and write the record in it."""

    way_out = "restore it from a backup"  # of a record that is damaged

    def __init__(self, folder: str, record: str) -> None:
        self.folder = folder
        self.record = record

    def path(self, name: str) -> str:
        """Where a finished thing is."""
        return os.path.join(self.folder, name)

    def staging(self, name: str) -> str:
        """Where it is while it is being made."""
        return os.path.join(self.folder, NEW + name)

    def names(self) -> list[str]:
        """The finished things."""
        return sorted(name for name in os.listdir(self.folder) if not name.startswith("."))

    def leftovers(self) -> Iterator[tuple[str, str]]:
        """(name, path) of what is half made or half deleted, and of marks."""
        try:
            entries = sorted(os.listdir(self.folder))
        except FileNotFoundError:  # that of backups is there only while one is made
            return
        for entry in entries:
            for prefix in (NEW, DELETED, AGAIN):
                if entry.startswith(prefix):
                    yield entry[len(prefix) :].split("@")[0], os.path.join(self.folder, entry)

    def begin(self, name: str) -> str:
        """Make the staging directory. Only root may pass: what is in it is a guest's, or about to be copied for one."""
        path = self.staging(name)
        os.mkdir(path, 0o700)
        return path

    def commit(self, name: str) -> None:
        """One rename: from here on the thing exists."""
        os.rename(self.staging(name), self.path(name))

    def discard(self, name: str, part: str | None = None) -> str:
        """One rename: from here on it does not, or that folder of it; gives where its remains are."""
        remains = os.path.join(self.folder, f"{DELETED}{name}@{os.urandom(4).hex()}")
        os.rename(self.path(name) if part is None else os.path.join(self.path(name), part), remains)
        return remains

    def read(self, directory: str) -> dict | None:
        """The record in a directory; None where there is none."""
        path = os.path.join(directory, self.record)
        try:
            text = files.read(path, errors="strict")
            if text is None:
                return None
            record = json.loads(text)
            if not isinstance(record, dict):
                raise ValueError("it is no JSON object")
        except (ValueError, RecursionError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise VpsError(f"{path}: is damaged ({reason}); {self.way_out}; nothing was touched.") from None
        return record

    def write(self, directory: str, record: dict) -> None:
        """Replace the record in a directory. Mode 0600: it may hold the hash of a password."""
        files.write(os.path.join(directory, self.record), json.dumps(record, indent=2, sort_keys=True) + "\n", mode=0o600)

    def strange(self, directory: str, error: Exception) -> VpsError:
        """The error for a record that is none of ours."""
        return VpsError(f"{os.path.join(directory, self.record)}: was not written by this release ({error}); {self.way_out}; nothing was touched.")


class VpsRecords(Shelf):
    """The VPSs of a pool."""

    way_out = "put the file back, each backup of the VPS has it (docs/backup.md), or remove the VPS with state absent"

    def __init__(self, pool: str) -> None:
        super().__init__(os.path.join(pool, "vps"), "vps.json")

    def again(self, name: str) -> str:
        """The file that is there while a VPS is stopped that is to run again."""
        return os.path.join(self.folder, AGAIN + name)

    def load(self, name: str) -> Vps | None:
        """A VPS as recorded; None where there is none."""
        return self._vps(name, self.path(name))

    def known(self, name: str) -> Vps:
        """One that there is; raises FileNotFoundError where somebody has removed it meanwhile."""
        vps = self.load(name)
        if vps is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path(name))
        return vps

    def all(self, unread: dict[str, str] | None = None) -> list[Vps]:
        """Every finished VPS. One that cannot be read raises VpsError, or is told in `unread`, by its name."""
        return self._all(((name, self.path(name)) for name in self.names()), unread)

    def staged(self, unread: dict[str, str] | None = None) -> list[Vps]:
        """Every VPS that is being made, or whose making was killed; likewise."""
        return self._all(((name, path) for name, path in self.leftovers() if os.path.basename(path).startswith(NEW)), unread)

    def _all(self, directories: Iterable[tuple[str, str]], unread: dict[str, str] | None) -> list[Vps]:
        found = []
        for name, directory in directories:
            try:
                vps = self._vps(name, directory)
            except VpsError as error:
                if unread is None:
                    raise
                unread[name] = str(error)
                continue
            if vps is not None:
                found.append(vps)
        return found

    def store(self, vps: Vps, directory: str | None = None) -> None:
        """Write a VPS's record, in its own directory or in the one given; it survives a power cut from here on."""
        self.write(directory or self.path(vps.name), vps.to_record())
        files.sync(directory or self.path(vps.name))

    def _vps(self, name: str, directory: str) -> Vps | None:
        record = self.read(directory)
        if record is None:
            return None
        try:
            vps = Vps.from_record(record)
            if vps.name != name:  # somebody has copied it here: what is done by it would be done to another
                raise ValueError(f"it is that of VPS {shown(vps.name)}")
            return vps
        except NOT_OURS as error:
            raise self.strange(directory, error) from None


class TemplateRecords(Shelf):
    """The templates of a pool."""

    def __init__(self, pool: str) -> None:
        super().__init__(os.path.join(pool, "templates"), "template.json")

    def load(self, name: str) -> Manifest | None:
        """A template's manifest; None where there is none."""
        record = self.read(self.path(name))
        if record is None:
            return None
        try:
            manifest = Manifest.from_record(record)
            if manifest.template.name != name:
                raise ValueError(f"it is that of template {shown(manifest.template.name)}")
            return manifest
        except NOT_OURS as error:
            raise self.strange(self.path(name), error) from None

    def all(self, unread: dict[str, str] | None = None) -> list[Manifest]:
        """Every finished template. One that cannot be read is told in `unread`, by its name, and stands in nobody else's way."""
        found = []
        for name in self.names():
            try:
                manifest = self.load(name)
            except VpsError as error:
                if unread is not None:
                    unread[name] = str(error)
                continue
            if manifest is not None:
                found.append(manifest)
        return found

    def store(self, manifest: Manifest, directory: str) -> None:
        """Write a manifest."""
        self.write(directory, asdict(replace(manifest, template=manifest.template.lasting)))
