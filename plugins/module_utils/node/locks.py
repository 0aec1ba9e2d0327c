# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between runs: one file each under /run, held by flock(2), gone when the run is.

A run that is killed drops its locks with its last descriptor; nothing has to be swept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..core.errors import VpsError
from ..core.places import LOCKS as FOLDER

_MINE: dict[str, int] = {}  # the files that this run holds, and their descriptors


class Held(VpsError):
    """Somebody else has the lock, and kept it for as long as we waited."""


def path(kind: str, name: str) -> str:
    """The file of one thing's lock."""
    return os.path.join(FOLDER, f"{kind}-{name}")


@contextmanager
def hold(kind: str, name: str, *, timeout: float, again: bool = False) -> Iterator[int]:
    """Hold the lock of one thing; gives its descriptor, for a child that shall keep it held. Waits `timeout` seconds.

    `again`: where this run has it already, that is enough.
    """
    file = path(kind, name)
    if again and file in _MINE:
        yield _MINE[file]
        return
    os.makedirs(FOLDER, mode=0o700, exist_ok=True)
    descriptor = _acquire(file, f"{kind} '{name}'", time.monotonic() + timeout, timeout)
    _MINE[file] = descriptor
    try:
        yield descriptor
    finally:
        del _MINE[file]
        os.unlink(file)  # while still held: whoever waits on the old file sees that it is no longer the one at its path
        os.close(descriptor)


@contextmanager
def inside(directory: str) -> Iterator[int]:
    """Hold a directory that there is anyway, against those who do so too; gives its descriptor. Waits as long as it takes, and leaves no file."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(kind: str, name: str) -> bool:
    """Whether a run is at work on something, this one included. Writes nothing."""
    try:
        descriptor = os.open(path(kind, name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)


def _acquire(file: str, what: str, deadline: float, timeout: float) -> int:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                os.close(descriptor)
                raise
            holder = os.pread(descriptor, 200, 0).decode(errors="replace")
            os.close(descriptor)
            if time.monotonic() >= deadline:
                raise Held(
                    f"lock_timeout: {what} is being changed by {holder or 'another run'}; waited {timeout:g} seconds. "
                    "Try again when it is done."
                ) from None
            time.sleep(0.05)
            continue
        if is_at(descriptor, file):
            with suppress(OSError):  # where /run is full nobody learns who it is
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} ({os.path.basename(sys.argv[0])})".encode(), 0)
            return descriptor
        os.close(descriptor)


def is_at(descriptor: int, file: str) -> bool:
    """Whether a descriptor, -1 for none, is that of the file that is at a path now."""
    if descriptor == -1:
        return False
    try:
        there, mine = os.stat(file), os.fstat(descriptor)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EBADF):  # the latter in a worker, which has closed the locks of others
            raise
        return False
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
