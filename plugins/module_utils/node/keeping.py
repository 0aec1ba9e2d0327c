# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of an old root file system copied into a new one: owners, modes, times, ACLs, capabilities, hard links, holes and all.

Both are a guest's, and at rest: nobody changes them meanwhile. Every path is opened as the guest would see it, and `cp` is given what was
opened, so that no link leads out of either; of what it copies it follows no link. Document: cp(1).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack

from ..core.errors import GuestInTheWay, VpsError, shown
from . import tools
from .syscalls import open_in_root

_TIMEOUT = 12 * 3600  # s: there may be terabytes
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def copy(old: str, new: str, paths: Iterable[str], *, keep_open: int) -> list[str]:
    """Have these paths in `new` be what they are in `old`; gives those that there are. What `new` had there is gone.

    Should we be killed, the copying ends, and `keep_open`, a lock, is held until it has. Raises VpsError where one cannot be kept.
    """
    with ExitStack() as stack:
        old_root, new_root = (_held(stack, os.open(root, _FOLDER | os.O_CLOEXEC)) for root in (old, new))
        return [path for path in paths if _copy(old_root, new_root, path, keep_open)]


def _copy(old_root: int, new_root: int, path: str, keep_open: int) -> bool:
    folder, name = os.path.split(path)
    with ExitStack() as stack:
        try:
            source = _held(stack, open_in_root(old_root, folder, _FOLDER))
            os.stat(name, dir_fd=source, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise _refused(path, error.strerror) from None
        try:
            target = _held(stack, _folder_like(old_root, new_root, folder))
        except OSError as error:
            raise _refused(path, f"the template has something else than a folder on the way ({error.strerror})") from None
        place = _by_descriptor(target, name)
        for command in (
            ["rm", "-rf", "--one-file-system", "--", place],
            ["cp", "-dR", "--preserve=mode,ownership,timestamps,links,xattr", "--reflink=auto", "--no-target-directory", "--",
             _by_descriptor(source, name), place],
        ):
            # With us: what we have open it has by our number, which may be somebody else's afterwards.
            code, output = tools.attempt([*tools.WITH_US, *command], timeout=_TIMEOUT, keep_open=keep_open)
            if code != 0:
                raise _refused(path, tools.last_words(output, lines=1), output=output[-4000:])
    return True


def _folder_like(old_root: int, new_root: int, folder: str) -> int:
    """A folder of the new root file system, opened; where there is none, made with the owner and the mode that the old one has."""
    try:
        return open_in_root(new_root, folder, _FOLDER)
    except FileNotFoundError:
        above, name = os.path.split(folder)
        with ExitStack() as stack:
            old = os.fstat(_held(stack, open_in_root(old_root, folder, _FOLDER)))
            parent = _held(stack, _folder_like(old_root, new_root, above))
            os.mkdir(name, 0o700, dir_fd=parent)
            made = os.open(name, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        os.fchown(made, old.st_uid, old.st_gid)
        os.fchmod(made, stat.S_IMODE(old.st_mode))
        return made


def _held(stack: ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _by_descriptor(folder: int, name: str) -> str:
    """The path of an entry of a folder that is open, for a program that we start."""
    return f"/proc/{os.getpid()}/fd/{folder}/{name}"


def _refused(path: str, reason: str | None, **details: object) -> VpsError:
    return GuestInTheWay(f"keep_paths: {path} cannot be kept: {shown(reason, 200)}; nothing was changed.", **details)
