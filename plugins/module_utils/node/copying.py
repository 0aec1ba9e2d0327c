# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of trees of files that a guest has made, and what they take on disk.

The guest is hostile and may be running: a directory is entered by its descriptor and never by a path, no link is followed, no special file
opened, and what lies too deep is refused. Documents: ioctl_ficlonerange(2), lseek(2), Documentation/filesystems/fiemap.rst of the kernel.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..core.errors import VpsError

DEEPEST = 250  # directories: each takes descriptors, of which a process has 1024
_FICLONE, _FIEMAP = 0x40049409, 0xC020660B
_SYNC, _LAST, _SHARED, _EXTENTS = 1, 1, 0x2000, 200
_CHUNK = 1 << 20
_NOT_SHARED = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ETXTBSY)


def copy(source: str, target: str, *, without: Callable[[str], bool] = lambda _xattr: False) -> None:
    """Copy a directory to a new one: owners, modes, times, xattrs, hard links, holes and special files too.

    Files share their blocks with the copy where the file system can. What goes away meanwhile is left out. Extended attributes
    whose names are `without` are, too. Raises VpsError for what lies too deep, OSError where there is no room.
    """
    os.mkdir(target, 0o700)
    with _opened(source) as old, _opened(target) as new:
        _copy_folder(old, new, new, "", {}, without)


def exclusive(path: str) -> int:
    """Bytes below a directory, itself included, that are in no block that somebody shares; the files' data is written for that."""
    seen: set[int] = set()

    def measure(folder: int, depth: int) -> int:
        total = 0
        for name, status in _entries(folder):
            if status.st_ino in seen and status.st_nlink > 1:
                continue
            if stat.S_ISDIR(status.st_mode):
                if depth < DEEPEST:
                    with suppress(OSError), _opened(name, folder) as below:
                        total += measure(below, depth + 1)
            elif stat.S_ISREG(status.st_mode):
                if status.st_nlink > 1:
                    seen.add(status.st_ino)
                with suppress(OSError), _reading(name, folder) as file:
                    total += status.st_blocks * 512 - _shared(file)
        return total

    with _opened(path) as folder:
        return max(0, measure(folder, 0))


def _copy_folder(old: int, new: int, top: int, path: str, links: dict[int, str], without: Callable[[str], bool]) -> None:
    if path.count("/") >= DEEPEST:
        raise VpsError(f"storage: what is in the VPS is more than {DEEPEST} directories deep, and is not copied; remove the deepest of {path[:60]}... first.")
    for name, status in _entries(old):
        kind = stat.S_IFMT(status.st_mode)
        below = f"{path}{name}"
        whiteout = kind == stat.S_IFCHR and status.st_rdev == 0  # of which overlays share one
        if kind != stat.S_IFDIR and status.st_nlink > 1 and not whiteout:
            if status.st_ino in links:
                os.link(links[status.st_ino], name, src_dir_fd=top, dst_dir_fd=new, follow_symlinks=False)
                continue
            links[status.st_ino] = below
        try:
            if kind == stat.S_IFDIR:
                with _opened(name, old) as source:
                    os.mkdir(name, 0o700, dir_fd=new)
                    with _opened(name, new) as target:
                        _copy_folder(source, target, top, f"{below}/", links, without)
            elif kind == stat.S_IFREG:
                with _reading(name, old) as source:
                    _copy_file(source, name, new)
            elif kind == stat.S_IFLNK:
                os.symlink(os.readlink(name, dir_fd=old), name, dir_fd=new)
            elif kind != stat.S_IFSOCK:  # nobody listens at a copy of one
                os.mknod(name, status.st_mode, status.st_rdev, dir_fd=new)
        except FileNotFoundError:
            links.pop(status.st_ino, None)
            continue
        if kind not in (stat.S_IFDIR, stat.S_IFSOCK) and not whiteout:
            _dress(old, name, new, name, status, without)
    _dress(old, ".", new, ".", os.fstat(old), without)


def _copy_file(source: int, name: str, folder: int) -> None:
    with _closing(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)) as target:
        try:
            fcntl.ioctl(target, _FICLONE, source)
            return
        except OSError as error:
            if error.errno not in _NOT_SHARED:
                raise
        size, here = os.fstat(source).st_size, 0
        os.ftruncate(target, size)
        while here < size:
            try:
                here = os.lseek(source, here, os.SEEK_DATA)
            except OSError:  # nothing but a hole
                return
            end = os.lseek(source, here, os.SEEK_HOLE)
            while here < end:
                data = os.pread(source, min(_CHUNK, end - here), here)
                if not data:
                    return
                here += os.pwrite(target, data, here)


def _dress(old: int, source: str, new: int, target: str, status: os.stat_result, without: Callable[[str], bool]) -> None:
    """Give a copy what its original has besides its content: by descriptors that open nothing, so that each is what it was."""
    with suppress(FileNotFoundError), _closing(os.open(source, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=old)) as one:
        with _closing(os.open(target, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=new)) as two:
            os.chown(f"/proc/self/fd/{two}", status.st_uid, status.st_gid)
            if not stat.S_ISLNK(status.st_mode):
                os.chmod(f"/proc/self/fd/{two}", stat.S_IMODE(status.st_mode))
            for name in os.listxattr(f"/proc/self/fd/{one}"):
                if not without(name):
                    _copy_xattr(one, two, name)
            os.utime(f"/proc/self/fd/{two}", ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_xattr(one: int, two: int, name: str) -> None:
    try:
        os.setxattr(f"/proc/self/fd/{two}", name, os.getxattr(f"/proc/self/fd/{one}", name))
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise


def _entries(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    """What is in a directory, one after the other: a guest's may have more than one would keep in mind."""
    with os.scandir(folder) as found:
        for entry in found:
            with suppress(FileNotFoundError):
                yield entry.name, os.stat(entry.name, dir_fd=folder, follow_symlinks=False)


def _shared(file: int) -> int:
    """Bytes of a file in blocks that another one has, too."""
    total, start = 0, 0
    while True:
        request = bytearray(struct.pack("=QQLLLL", start, (1 << 64) - 1 - start, _SYNC, 0, _EXTENTS, 0) + bytes(56 * _EXTENTS))
        try:
            fcntl.ioctl(file, _FIEMAP, request)
        except OSError:  # a file system that tells of no blocks shares none
            return 0
        count = struct.unpack_from("=L", request, 20)[0]
        for number in range(count):
            logical, _physical, length, _a, _b, flags = struct.unpack_from("=QQQQQL", request, 32 + 56 * number)
            total += length if flags & _SHARED else 0
            start = logical + length
            if flags & _LAST:
                return total
        if not count:
            return total


@contextmanager
def _opened(path: str, folder: int | None = None) -> Iterator[int]:
    """A directory."""
    with _closing(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)) as descriptor:
        yield descriptor


@contextmanager
def _reading(name: str, folder: int) -> Iterator[int]:
    """A regular file; what has become something else by now is taken for gone. Opening a device, or a pipe, would do something."""
    with _closing(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)) as found:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        with _closing(os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)) as descriptor:
            yield descriptor


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
