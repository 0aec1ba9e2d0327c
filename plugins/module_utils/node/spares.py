# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room for records in a full pool: small files whose blocks are there already, which become what has to be written.

What a guest could take, were it only free, nobody takes: a spare file is written where it lies, and renamed. On btrfs even a text
that needs no block of its own cannot be written once all blocks for data are in use (seen: no limit could be changed). Document: fallocate(2).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

FOLDER = ".spare"  # of a pool
SIZE = 16 << 10  # bytes of each; no file of a VPS's is larger, but one with some hundred rules
COUNT = 64  # a change of a limit takes two to six
LEAST_FREE = 32 << 20  # bytes in the pool: who has less is not to lose them to this
FULL = (errno.ENOSPC, errno.EDQUOT)


def keep(pool: str) -> None:
    """Have as many as there should be, if there is room for them."""
    folder = os.path.join(pool, FOLDER)
    try:
        missing = COUNT - len(os.listdir(folder))
    except FileNotFoundError:
        os.mkdir(folder, 0o700)
        missing = COUNT
    status = os.statvfs(pool) if missing > 0 else None
    if status is None or status.f_bavail * status.f_frsize < LEAST_FREE:
        return
    for _number in range(missing):
        path = os.path.join(folder, os.urandom(6).hex())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, SIZE)
        except OSError:  # somebody else was faster, or the file system cannot
            os.unlink(path)
            return
        finally:
            os.close(descriptor)


def take(path: str, size: int) -> bool:
    """Put a spare file to a path in a pool, for a text of that many bytes; False where there is none."""
    folder = _folder_for(path)
    if folder is None or size > SIZE:
        return False
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):  # another run has it
            spare = os.path.join(folder, name)
            if os.stat(spare).st_blocks * 512 < SIZE:  # a run was killed that made it
                os.unlink(spare)
                continue
            os.rename(spare, path)
            return True
    return False


def drop(pool: str) -> None:
    """Take them all away."""
    folder = os.path.join(pool, FOLDER)
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


def _folder_for(path: str) -> str | None:
    above = os.path.dirname(path)
    while above not in ("/", ""):
        found = os.path.join(above, FOLDER)
        if os.path.isdir(found):
            return found
        above = os.path.dirname(above)
    return None
