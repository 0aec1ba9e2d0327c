# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a template's tree holds: written down beside it when it is built, and looked at again when somebody asks.

The tree may be a stranger's: directories are entered by their descriptors, no link is followed, no special file opened.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator

from ..core import content
from ..core.archive_names import DEEPEST
from ..core.errors import VpsError, shown
from . import files

LISTING = "content.mtree"  # beside the root file system
_CHUNK = 1 << 20
_KINDS = {stat.S_IFDIR: "dir", stat.S_IFLNK: "link", stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}
_LEFT_OUT = "./lost+found"  # which a file system makes, and no archive has


def write(root: str) -> str:
    """Write the listing of a tree beside it; gives its SHA-256, which is that of the content. Survives a power cut with the next sync of the pool."""
    digest = hashlib.sha256()
    with open(os.open(_path(root), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        for text in _lines(root):
            digest.update(text)
            file.write(text)
    return digest.hexdigest()


def differences(root: str, wanted: str | None) -> content.Differences | None:
    """What of a tree is not as it was when the content `wanted` was written down; None where nobody knows, the listing being gone or another."""
    text = files.read(_path(root))
    if text is None or wanted is None or hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() != wanted:
        return None
    return content.compare(text.split("\n")[:-1], (found.decode("ascii") for found in _lines(root, lenient=True)))


def _path(root: str) -> str:
    return os.path.join(os.path.dirname(root), LISTING)


def _lines(root: str, *, lenient: bool = False) -> Iterator[bytes]:
    yield content.HEAD.encode()
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for entry in _entries(descriptor, ".", {}, lenient):
            yield content.line(entry).encode()
    finally:
        os.close(descriptor)


def _entries(folder: int, path: str, names: dict[int, str], lenient: bool) -> Iterator[content.Entry]:
    """A directory and all below it, in an order that is always the same. `names` are the first names of files with several, by their inodes."""
    if path.count("/") > DEEPEST:
        raise VpsError(f"source: {shown(path, 80)} is deeper than {DEEPEST} directories; nothing was made of it.")
    here = os.fstat(folder)
    yield content.Entry(path, "dir", stat.S_IMODE(here.st_mode), here.st_uid, here.st_gid, xattrs=_xattrs(folder))
    for name in sorted(os.listdir(folder), key=os.fsencode):
        below = f"{path}/{name}"
        if below == _LEFT_OUT:
            continue
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            try:
                descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            except OSError as error:
                if not lenient or error.errno != errno.EIO:
                    raise
                continue
            try:
                yield from _entries(descriptor, below, names, lenient)
            finally:
                os.close(descriptor)
        elif status.st_nlink > 1 and status.st_ino in names:
            yield content.Entry(below, _kind(status), 0, 0, 0, first=names[status.st_ino])
        else:
            names[status.st_ino] = below
            yield _entry(folder, name, below, status, lenient)


def _entry(folder: int, name: str, path: str, status: os.stat_result, lenient: bool) -> content.Entry:
    kind, mode = _kind(status), stat.S_IMODE(status.st_mode)
    if kind == "link":
        return content.Entry(path, kind, mode, status.st_uid, status.st_gid, target=os.readlink(name, dir_fd=folder))
    if kind != "file":
        return content.Entry(path, kind, mode, status.st_uid, status.st_gid)
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        return content.Entry(
            path, kind, mode, status.st_uid, status.st_gid, size=status.st_size, digest=_digest(descriptor, lenient), xattrs=_xattrs(descriptor),
        )
    finally:
        os.close(descriptor)


def _kind(status: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(status.st_mode), "file")


def _digest(descriptor: int, lenient: bool) -> str:
    """What a disk does not give any more is a difference, where one is looked for."""
    digest = hashlib.sha256()
    try:
        while piece := os.read(descriptor, _CHUNK):
            digest.update(piece)
    except OSError as error:
        if not lenient or error.errno != errno.EIO:
            raise
        return content.UNREADABLE
    return digest.hexdigest()


def _xattrs(descriptor: int) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, os.getxattr(descriptor, name)) for name in os.listxattr(descriptor) if content.belongs(name))
