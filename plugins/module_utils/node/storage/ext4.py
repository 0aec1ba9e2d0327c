# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ext4 in a file: made from a tree, read from its superblock, enlarged while it is mounted, and its quota.

Documents: ext4(5), mke2fs(8), Documentation/filesystems/ext4/ of the kernel, quotactl(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from dataclasses import dataclass

from ...core.beancounters import Bound
from ...core.disk import BLOCK, GROUP, LEAST_SIZE, MOST_INODES, QUOTA_UNIT, Quota, Used
from ...core.errors import VpsError
from .. import tools

JOURNAL = 16  # MiB
RESERVED = 128  # blocks for the node's root, in an image that is full; below 1 % of any, or the kernel would add as it grows
_USUAL_INODES = 8192  # of a group: one for 16 KiB, as mke2fs(8) has it
_LARGEST = 1 << 28  # blocks that the table of groups has room for: 1 TiB; beyond, the kernel makes another
_MAGIC, _HAS_ERRORS = 0xEF53, 2
_QUOTA, _PROJECT = 0x0100, 0x2000  # s_feature_ro_compat
_RESIZE = 0x40086610  # EXT4_IOC_RESIZE_FS
PREEN_FINE = 3  # bits of e2fsck(8)'s exit code: nothing wrong, or mended without anybody's word
_MAKE_TIMEOUT = 1800  # s


@dataclass(frozen=True)
class Superblock:
    """What a file system says of itself. `size` is in bytes; `errors`: the kernel has found some; `used` is without its own tables.

    `mounted`: it has been, at least once.
    """

    size: int
    inodes: int
    errors: bool
    quota: bool
    used: Used
    mounted: bool = False


def read(path: str) -> Superblock | None:
    """The superblock of a file, or of the device of one that is mounted; None where there is no ext4."""
    try:
        with open(path, "rb") as file:
            file.seek(1024)
            block = file.read(1024)
    except OSError:
        return None
    if len(block) < 1024 or struct.unpack_from("<H", block, 0x38)[0] != _MAGIC:
        return None
    inodes, low = struct.unpack_from("<II", block, 0)
    scale, state = struct.unpack_from("<I", block, 0x18)[0], struct.unpack_from("<H", block, 0x3A)[0]
    features, high = struct.unpack_from("<I", block, 0x64)[0], struct.unpack_from("<I", block, 0x150)[0]
    free_low, free_inodes = struct.unpack_from("<II", block, 0x0C)
    free_high, tables = struct.unpack_from("<I", block, 0x158)[0], struct.unpack_from("<I", block, 0x248)[0]
    both, size = _QUOTA | _PROJECT, 1024 << scale
    blocks, free = low | high << 32, free_low | free_high << 32
    used = Used((blocks - tables - free) * size, inodes - free_inodes)
    return Superblock(blocks * size, inodes, bool(state & _HAS_ERRORS), features & both == both, used, block[0x2C:0x30] != bytes(4))


def make(path: str, tree: str, *, size: int | None = None, inodes: int | None = None, quota: bool) -> None:
    """Make a file into an ext4 with a copy of a tree in it. The file is there, and empty.

    Without a size in bytes it is as large as the tree needs. Nothing is mounted: a run that is killed leaves nothing but the file.
    Raises VpsError with what mke2fs says.
    """
    needed_inodes, needed = _measure(tree)
    for attempt in range(4):
        bytes_ = size or _rounded(needed << attempt, needed_inodes)
        groups = -(-bytes_ // GROUP)
        number = inodes or max(_USUAL_INODES, min(MOST_INODES, -(-needed_inodes * 2 // groups))) * groups
        os.truncate(path, 0)
        os.truncate(path, bytes_)
        code, output = tools.attempt(_command(path, tree, number, quota), timeout=_MAKE_TIMEOUT)
        if code == 0:
            break
        if size is not None or attempt == 3:
            raise VpsError(f"storage: no image can be made of {tree}: {tools.last_words(output)}.", output=output[-4000:])
    tools.run(["tune2fs", "-r", str(RESERVED), path])
    check(path)  # mke2fs counts for the quota before it copies; and only what was checked can be resized


def _command(path: str, tree: str, inodes: int, quota: bool) -> list[str]:
    features = ["metadata_csum_seed", *(["quota", "project"] if quota else [])]  # the former for another UUID at no cost
    options = ["lazy_itable_init=1", "lazy_journal_init=1", "root_owner=0:0", f"resize={_LARGEST}"]
    if quota:
        options.append("quotatype=usrquota:grpquota:prjquota")
    return [
        "mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", "256", "-m", "0", "-N", str(inodes), "-J", f"size={JOURNAL}",
        "-O", ",".join(features), "-E", ",".join(options), "-d", tree, path,
    ]


def check(path: str) -> None:
    """Have e2fsck look at a file system that is not mounted, and mend what needs nobody's word. Raises VpsError otherwise."""
    code, output = tools.attempt(["e2fsck", "-f", "-p", path], timeout=_MAKE_TIMEOUT)
    if code & ~PREEN_FINE:
        raise VpsError(f"storage: {path} has errors that only a person may mend, with e2fsck -f: {tools.last_words(output)}.", output=output[-4000:])


def _measure(tree: str) -> tuple[int, int]:
    """(inodes, bytes) of a tree; each hard link once."""
    seen: set[int] = set()
    total = 0
    for _folder, names, filenames, descriptor in os.fwalk(tree):
        for name in (*names, *filenames):
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += -(-max(status.st_blocks * 512, 1) // BLOCK) * BLOCK
    return len(seen), total


def _rounded(needed: int, inodes: int) -> int:
    """Bytes of a file system for so many of content, in whole MiB."""
    whole = needed + needed // 16 + inodes * 256 + (JOURNAL + 16 << 20)
    return max(LEAST_SIZE, -(-whole >> 20) + 1 << 20)


def grow(root: str, size: int) -> None:
    """Enlarge the file system that is mounted at `root`, in use or not; raises OSError."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _RESIZE, struct.pack("Q", size // BLOCK))
    finally:
        os.close(descriptor)


# -- quota: everything in an image counts for project 0, which a guest's root cannot change ----------------------------

_USER, _GROUP, _PROJECTS = 0, 1, 2
_ON, _OFF, _GETINFO, _SETINFO, _GETQUOTA, _SETQUOTA = 0x800002, 0x800003, 0x800005, 0x800006, 0x800007, 0x800008
_XGETQSTAT = (ord("X") << 8) + 5
_FORMAT = 4  # QFMT_VFS_V1
_LIMITS_VALID, _GRACE_VALID = 1 | 4, 1 | 2  # QIF_BLIMITS | QIF_ILIMITS, IIF_BGRACE | IIF_IGRACE
_ENFORCED = 1 << 1 | 1 << 3  # FS_QUOTA_UDQ_ENFD | FS_QUOTA_GDQ_ENFD
_BLOCK_FORMAT, _INFO_FORMAT = "8QI4x", "2Q2I"  # struct if_dqblk, struct if_dqinfo


def read_quota(device: str) -> Quota:
    """What the quota of a mounted file system holds."""
    hard_space, soft_space, _space, hard, soft, _inodes, *_rest = struct.unpack(
        _BLOCK_FORMAT, _quotactl(_GETQUOTA, _PROJECTS, device, bytearray(struct.calcsize(_BLOCK_FORMAT)))
    )
    grace, _inode_grace, _flags, _valid = struct.unpack(_INFO_FORMAT, _quotactl(_GETINFO, _PROJECTS, device, bytearray(struct.calcsize(_INFO_FORMAT))))
    flags = struct.unpack_from("H", _quotactl(_XGETQSTAT, _USER, device, bytearray(256)), 2)[0]
    bound = None if not hard and not soft else Bound(soft or hard or None, hard or None)
    return Quota(space=min(soft_space, hard_space or soft_space) * QUOTA_UNIT or None, inodes=bound, grace=grace, owners=flags & _ENFORCED == _ENFORCED)


def write_quota(device: str, quota: Quota) -> None:
    """Make it hold that."""
    inodes = quota.inodes or Bound(None, None)
    soft = 0 if inodes.barrier in (None, inodes.limit) else inodes.barrier
    block = struct.pack(_BLOCK_FORMAT, 0, (quota.space or 0) // QUOTA_UNIT, 0, inodes.limit or 0, soft, 0, 0, 0, _LIMITS_VALID)
    _quotactl(_SETQUOTA, _PROJECTS, device, bytearray(block))
    _quotactl(_SETINFO, _PROJECTS, device, bytearray(struct.pack(_INFO_FORMAT, quota.grace, quota.grace, 0, _GRACE_VALID)))
    now = read_quota(device).owners
    if now != quota.owners:
        for kind in (_USER, _GROUP):
            try:
                _quotactl(_ON if quota.owners else _OFF, kind, device, bytearray(1), number=_FORMAT)
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.EEXIST, errno.ESRCH):  # one of the two is so already
                    raise


def _quotactl(command: int, kind: int, device: str, buffer: bytearray, *, number: int = 0) -> bytearray:
    """quotactl(2) for project 0, or for a number that the command wants; gives the buffer as the kernel leaves it."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    if libc.quotactl(ctypes.c_uint(command << 8 | kind), os.fsencode(device), number, place) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), device)
    return buffer
