# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool that is a directory on whatever file system: what Btrfs is where that is btrfs. Templates are directories; VPSs have storage dir."""

from __future__ import annotations

import os

from .. import tools
from ..syscalls import sync_filesystem

_LONG = 1800  # s


class Plain:
    """The pool itself. It counts nothing, and bounds nothing."""

    def __init__(self, pool: str) -> None:
        self.pool = pool

    def create(self, path: str) -> None:
        """An empty root file system."""
        os.mkdir(path, 0o755)

    def seal(self, _path: str) -> None:
        """Nobody but us writes to a template; all of it is safe from a power cut from here on."""
        self.sync()

    def delete(self, path: str) -> None:
        """Delete a template's root file system; those of VPSs are their driver's, and have been by now."""
        if os.path.lexists(path):
            tools.run(["rm", "-rf", "--one-file-system", "--", path], timeout=_LONG)

    def sync(self) -> None:
        """Have everything in the file system survive a power cut from here on."""
        sync_filesystem(self.pool)

    def free_bytes(self) -> int:
        """Bytes that the pool can still take."""
        status = os.statvfs(self.pool)
        return status.f_bavail * status.f_frsize

    def recount(self) -> bool:
        """Nothing is counted."""
        return False

    def drop_stale_qgroups(self) -> None:
        """There are none."""
