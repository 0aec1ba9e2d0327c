# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshots of one VPS on disk: a directory each, in a folder of the VPS's own directory, with a root file system and a record.

They are made and deleted beside the VPSs, under names that start as those of half made and half deleted VPSs do and go on with `@`:
one look into one folder finds what a killed run has left of either.
"""

from __future__ import annotations

import os

from ..core.errors import NOT_OURS
from ..core.places import SNAPSHOT, SNAPSHOTS
from ..core.snapshots import Snapshot
from . import files
from .record import DELETED, Shelf


class SnapshotRecords(Shelf):
    """The snapshots of one VPS; `around` are the VPSs."""

    def __init__(self, around: Shelf, vps: str) -> None:
        super().__init__(os.path.join(around.path(vps), SNAPSHOTS), SNAPSHOT)
        self._around, self._vps = around, vps

    def staging(self, name: str) -> str:
        """Where one is while it is being made."""
        return self._around.staging(f"{self._vps}@{name}")

    def names(self) -> list[str]:
        """The finished ones; none where there has never been one."""
        try:
            return super().names()
        except FileNotFoundError:
            return []

    def commit(self, name: str) -> None:
        """One rename, into a folder that root alone may pass: what set-id files a guest has made is in there."""
        if not os.path.isdir(self.folder):
            os.mkdir(self.folder, 0o700)
        super().commit(name)

    def adopt(self, name: str, directory: str) -> None:
        """The same for a directory of the VPS's own that has become one, with its record in it."""
        if not os.path.isdir(self.folder):
            os.mkdir(self.folder, 0o700)
        os.rename(directory, self.path(name))
        files.sync(self.folder)

    def discard(self, name: str, part: str | None = None) -> str:
        """One rename: from here on there is none, or that folder of it; gives where its remains are."""
        remains = os.path.join(self._around.folder, f"{DELETED}{self._vps}@{os.urandom(4).hex()}")
        os.rename(os.path.join(self.path(name), part or ""), remains)
        files.sync(self.folder)
        return remains

    def root(self, name: str) -> str:
        """The root file system that it keeps."""
        return os.path.join(self.path(name), "rootfs")

    def load(self, name: str) -> Snapshot | None:
        """One; None where there is none, or its record is missing."""
        record = self.read(self.path(name))
        if record is None:
            return None
        try:
            snapshot = Snapshot.from_record(record)
            if (snapshot.name, snapshot.vps.name) != (name, self._vps):
                raise ValueError("it is of another name")
        except NOT_OURS as error:
            raise self.strange(self.path(name), error) from None
        return snapshot

    def store(self, snapshot: Snapshot, directory: str | None = None) -> None:
        """Write the record of one, in its own directory or in the one given; it survives a power cut from here on."""
        self.write(directory or self.path(snapshot.name), snapshot.to_record())
        files.sync(directory or self.path(snapshot.name))
