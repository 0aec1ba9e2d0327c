# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the pool is: the mount, the file below it, and how both are made, enlarged and taken away.

Documents: mkfs.btrfs(8), mount(8), losetup(8), Documentation/filesystems/btrfs.rst of the kernel.
"""

from __future__ import annotations

import glob
import os
import stat
from contextlib import suppress

from ...core.errors import VpsError
from ...core.machine import DEFAULT_POOL_SIZE, FOLDERS, MAKING, MODE, REMOVING, Pool, PoolFile
from ...core.places import UNPRUNED
from .. import files, spares, tools
from ..mounts import mount_of
from .btrfs import filesystem_id

LABEL = "mainline-vps"  # by which a file is known as ours
_SUPERBLOCK, _MAGIC, _MAGIC_AT, _LABEL_AT, _LABEL_SIZE = 0x10000, b"_BHRfS_M", 0x40, 0x12B, 256


def read(path: str) -> Pool:
    """The place as it is. A directory that another mount covers shows what is mounted."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return Pool(path, parent=os.path.isdir(os.path.dirname(path)))
    if not stat.S_ISDIR(status.st_mode):
        raise VpsError(f"pool: {path} is not a directory; name another place.")
    kind, mount_point, source = mount_of(os.path.realpath(path))
    btrfs = kind == "btrfs"
    return Pool(
        path,
        directory=True,
        empty=not os.listdir(path),
        btrfs=btrfs,
        backing=_backing(source) if btrfs and mount_point == os.path.realpath(path) else None,
        quota=btrfs and _has_quota(path),
        mode=stat.S_IMODE(status.st_mode),
        size=_size(path),
        free=_free(path),
        kind=kind,
        folders=tuple(name for name in FOLDERS if _is_right(os.path.join(path, name))),
    )


def read_file(path: str, *, pool: Pool) -> PoolFile:
    """A pool's file as it is. Mounted, it is as large as the btrfs in it, which may lag behind the file."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        return PoolFile(path, folder=False)
    space = os.statvfs(folder)
    exists = os.path.lexists(path)
    return PoolFile(
        path,
        exists=exists,
        ours=exists and _label(path) == LABEL,
        size=_size(pool.path) if exists and pool.backing == path else os.lstat(path).st_size if exists else 0,
        room=space.f_bavail * space.f_frsize,
    )


def ensure(path: str, file: str | None, size: int | None) -> None:
    """Make what is missing; `file` None: only the folders. `size` in bytes enlarges, and is needed where there is no file."""
    if file is not None:
        backing = read(path).backing
        if backing == file + REMOVING:  # a killed run had begun to take it away
            remove(path, file, folder=False)
        if not os.path.lexists(file):
            _make(file, size or DEFAULT_POOL_SIZE)
        if backing != file:
            _mount(path, file)
        if size is not None and _size(path) < size:
            _grow(path, file, size)
        if not _has_quota(path):
            tools.run(["btrfs", "quota", "enable", path])
        os.chmod(path, MODE)
    for name in FOLDERS:
        folder = os.path.join(path, name)
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, MODE)


def _make(path: str, size: int) -> None:
    """Make the file under a staging name; one rename makes it real."""
    staging = path + MAKING
    _unlink(staging, path + REMOVING)
    try:
        os.close(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if tools.installed("chattr"):
            tools.attempt(["chattr", "+C", staging])  # on a btrfs, so that no block is copied on write twice; elsewhere unknown
        os.truncate(staging, size)
        tools.run(["mkfs.btrfs", "--quiet", "--label", LABEL, staging], timeout=600)
        descriptor = os.open(staging, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(descriptor)
        os.close(descriptor)
    except OSError as error:
        raise VpsError(f"pool_file: cannot make {path}: {error.strerror}.") from None
    os.rename(staging, path)


def _mount(path: str, file: str) -> None:
    """Mount the file, here and now."""
    if not os.path.isdir(path):
        os.mkdir(path)
    code, output = tools.attempt(["mount", "-t", "btrfs", "-o", "loop,noatime", file, path], timeout=300)
    if code != 0:
        raise VpsError(f"pool: {file} cannot be mounted at {path}: {tools.last_words(output)}; see also the kernel's log.", output=output)


def _grow(path: str, file: str, size: int) -> None:
    """Enlarge the file, its loop device and the mounted btrfs in it."""
    _kind, _mount_point, device = mount_of(os.path.realpath(path))
    if os.stat(file).st_size < size:
        os.truncate(file, size)
    tools.run(["losetup", "--set-capacity", device])
    tools.run(["btrfs", "filesystem", "resize", "max", path])


def remove(path: str, file: str | None, *, folder: bool) -> None:
    """Take away a pool that has nothing in it.

    First by a rename of its file, after which it does not count as a pool any more, whatever becomes of this run.
    """
    mounted = file is None or read(path).backing in (file, file + REMOVING)
    if mounted:
        for name in FOLDERS:
            _refuse_content(os.path.join(path, name))
    if file is None:
        for name in FOLDERS:
            _remove_empty(os.path.join(path, name))
        spares.drop(path)
        _unlink(*glob.glob(os.path.join(glob.escape(path), f"{UNPRUNED}*")))
        return
    if os.path.lexists(file) and _label(file) == LABEL:
        os.rename(file, file + REMOVING)
    if mounted:
        code, output = tools.attempt(["umount", path])
        if code != 0:
            raise VpsError(f"pool: {path} cannot be unmounted: {tools.last_words(output)}; end what uses it (fuser -vm {path}), then run this again.")
    _unlink(file + MAKING, file + REMOVING)
    if folder:
        _remove_empty(path)


def _refuse_content(folder: str) -> None:
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    if names:
        raise VpsError(f"state: {folder} is not empty ({', '.join(names[:5])}); another run may be at work there. Try again when it is done.")


def _backing(device: str) -> str | None:
    text = files.read(f"/sys/block/{os.path.basename(device)}/loop/backing_file")
    return None if text is None else text.rstrip("\n")


def _has_quota(path: str) -> bool:
    return os.path.isdir(f"/sys/fs/btrfs/{filesystem_id(path)}/qgroups")


def _size(path: str) -> int:
    status = os.statvfs(path)
    return status.f_blocks * status.f_frsize


def _free(path: str) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def _is_right(folder: str) -> bool:
    try:
        status = os.lstat(folder)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == MODE


def _label(path: str) -> str | None:
    """The label of the btrfs in a file; None where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(_SUPERBLOCK)
            block = file.read(4096)
    except OSError:
        return None
    if block[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
        return None
    return block[_LABEL_AT : _LABEL_AT + _LABEL_SIZE].split(b"\0")[0].decode(errors="replace")


def _unlink(*paths: str) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _remove_empty(folder: str) -> None:
    with suppress(OSError):  # not there, or somebody has put something into it
        os.rmdir(folder)
