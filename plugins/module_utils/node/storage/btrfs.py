# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""btrfs: subvolumes as root file systems, qgroups as disk limits.

Reads go through one ioctl and sysfs, so that finding nothing changed starts no process; writes go through `btrfs`.
Documents: btrfs-subvolume(8), btrfs-qgroup(8), Documentation/ABI/testing/sysfs-fs-btrfs of the kernel.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ...core.beancounters import BTRFS
from ...core.disk import Disk, Used
from ...core.errors import VpsError
from ...core.fidelity import Abilities
from ...core.limits import Limits
from .. import tools
from ..syscalls import exchange, sync_filesystem
from .driver import Startup

_ROOM = 4 << 20  # bytes, for the few small files of a guest that the node writes
ROOT_INODE = 256  # the inode number of every subvolume's root directory


def _ioctl(number: int, size: int, *, direction: int) -> int:
    return (direction << 30) | (size << 16) | (0x94 << 8) | number


_INO_LOOKUP = _ioctl(18, 4096, direction=3)
_GET_SUBVOL_ROOTREF = _ioctl(61, 4096, direction=3)
_FS_INFO = _ioctl(31, 1024, direction=2)


class Btrfs:
    """The storage of a pool that is, or lies on, a btrfs with quota enabled; and the pool itself, whatever else is in it."""

    name = BTRFS
    instant = True

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self._uuid: str | None = None

    def create(self, path: str, _limits: Limits | None = None) -> None:
        """An empty, writable root file system."""
        tools.run(["btrfs", "subvolume", "create", path])

    def ready(self, _source: str) -> bool:
        """A template is a subvolume, of which another is made in no time."""
        return True

    def make_ready(self, source: str) -> None:
        """It is."""

    def clone(self, source: str, root: str, _limits: Limits | None = None) -> None:
        """A writable copy that shares every block with its source."""
        tools.run(["btrfs", "subvolume", "snapshot", source, root])

    def snapshot(self, root: str, into: str) -> None:
        """A read-only subvolume; the kernel first writes what waits to be written."""
        _require_subvolume(root)
        tools.run(["btrfs", "subvolume", "snapshot", "-r", root, into])

    def identity(self, root: str) -> int:
        """The number of the subvolume."""
        _require_subvolume(root)
        return subvolume_id(root)

    def exclusive(self, root: str) -> int:
        """As its qgroup counts them."""
        if not is_subvolume(root):
            return 0
        return int(_read(os.path.join(self._qgroup(root), "exclusive")) or 0)

    def exchange(self, root: str, other: str) -> None:
        """One rename, of both; each keeps its number, and with that its limit."""
        for path in (root, other):
            _require_subvolume(path)
        exchange(root, other)

    def seal(self, path: str) -> None:
        """Make a root file system read-only, and all of it safe from a power cut: VPSs will be copies of it."""
        self.sync()
        tools.run(["btrfs", "property", "set", "-ts", path, "ro", "true"])

    def delete(self, path: str) -> None:
        """Delete a root file system, and any subvolume that was made inside it."""
        if not os.path.lexists(path) or (not is_subvolume(path) and not os.listdir(path)):
            return  # none of this driver's: where another one mounts something, say
        _require_subvolume(path)
        self._count_what_is_dropped()
        for number in _subvolumes_in(path):  # by number: a guest's tree can be deeper, and its names stranger, than a walk bears
            tools.run(["btrfs", "subvolume", "delete", "--subvolid", str(number), self.pool])
        tools.run(["btrfs", "subvolume", "delete", path])
        self.drop_stale_qgroups()

    def is_there(self, root: str) -> bool:
        """It is always at its place."""
        return os.path.isdir(root)

    @contextmanager
    def opened(self, root: str, *, mapped: bool = True) -> Iterator[None]:
        """It is always at its place. A VPS that has filled its disk must not keep the node from it: a little more, for the moment.

        Who is killed meanwhile has to have the limit set again by the next run.
        """
        size = self.read_limit(root)
        if size is None:
            yield
            return
        self.set_limit(root, max(size, self.usage(root)) + _ROOM)
        try:
            yield
        finally:
            self.set_limit(root, size)

    def limit(self, root: str, limits: Limits) -> None:
        """Hold the VPS to the limits of its disk."""
        if limits.disk_bytes() != self.read_limit(root):
            self.set_limit(root, limits.disk_bytes())

    def read(self, root: str) -> Disk:
        """What it is held to."""
        return Disk(size=self.read_limit(root))

    def abilities(self, _root: str, machine: Abilities) -> Abilities:
        """Those of the machine."""
        return machine.on(BTRFS)

    def startup(self, _root: str, _limits: Limits, machine: Abilities, *, made_in: str | None = None) -> Startup:
        """Nothing has to be done; I/O limits are for the pool's disk."""
        return Startup(machine.io_device)

    def release(self, root: str) -> None:
        """Nothing is mounted."""

    def set_limit(self, path: str, size: int | None) -> None:
        """Limit what a root file system refers to, in bytes, its template's shared data included.

        By the qgroup's number and the pool's root: once a VPS is over its limit, its own path refuses even this.
        """
        _require_subvolume(path)
        group = f"0/{subvolume_id(path)}"
        if not os.path.isdir(self._qgroup(path)):
            tools.run(["btrfs", "qgroup", "create", group, self.pool])
        tools.run(["btrfs", "qgroup", "limit", "none" if size is None else str(size), group, self.pool])

    def read_limit(self, path: str) -> int | None:
        """The limit that the kernel holds, in bytes."""
        if not is_subvolume(path):
            return None
        folder = self._qgroup(path)
        flags = int(_read(os.path.join(folder, "limit_flags")) or "0", 0)
        return int(_read(os.path.join(folder, "max_referenced"))) if flags & 1 else None

    def usage(self, path: str) -> int:
        """Bytes that the root file system refers to."""
        if not is_subvolume(path):
            return 0
        return int(_read(os.path.join(self._qgroup(path), "referenced")) or 0)

    def used(self, path: str) -> Used:
        """The bytes alone: btrfs counts no inodes."""
        return Used(self.usage(path))

    def sync(self) -> None:
        """Have everything in the pool, whatever subvolume it is in, survive a power cut from here on.

        After an fsync of one file alone, the next mount may have that file's new state beside another's old one.
        """
        sync_filesystem(self.pool)

    def free_bytes(self) -> int:
        """Bytes that the pool can still take."""
        status = os.statvfs(self.pool)
        return status.f_bavail * status.f_frsize

    def _qgroup(self, path: str) -> str:
        return self._quota(f"0_{subvolume_id(path)}")

    def _filesystem(self) -> str:
        if self._uuid is None:
            self._uuid = filesystem_id(self.pool)
        return self._uuid

    def recount(self) -> bool:
        """Have the kernel count again where it has given up counting, and with that holds nobody to a limit; whether it had."""
        if _read(self._quota("inconsistent")) != "1":
            return False
        code, _output = tools.attempt(["btrfs", "quota", "rescan", self.pool])  # in the background; refused while one is under way
        return code == 0

    def drop_stale_qgroups(self) -> None:
        """Drop the counters of subvolumes that are gone.

        A kernel before 6.12 keeps them for ever, and refuses until its cleaner, which runs every half minute, is through with
        the subvolume: this deletion's own counter goes with the next one, or with the role's next run. A later kernel does not
        refuse, but gives up counting when one goes that still counts something: hence only those at nothing. Counters are listed
        before subvolumes: one that has no subvolume then never gets one, for numbers are not given twice.
        """
        folder = self._quota("")
        counters = os.listdir(folder) if os.path.isdir(folder) else []
        listed = tools.run(["btrfs", "subvolume", "list", self.pool])
        living = {line.split()[1] for line in listed.splitlines() if line.startswith("ID ")}
        for entry in counters:
            level, _separator, number = entry.partition("_")
            if level != "0" or not number.isdigit() or int(number) < ROOT_INODE or number in living:
                continue
            if _read(os.path.join(folder, entry, "referenced")) == _read(os.path.join(folder, entry, "exclusive")) == "0":
                tools.attempt(["btrfs", "qgroup", "destroy", f"0/{number}", self.pool])

    def _count_what_is_dropped(self) -> None:
        """Since 6.1 the kernel rather gives up counting than count a large subvolume down, unless told how large is too large."""
        with suppress(FileNotFoundError), open(self._quota("drop_subtree_threshold"), "w", encoding="ascii") as file:
            file.write("8")  # deeper than any tree is

    def _quota(self, name: str) -> str:
        return f"/sys/fs/btrfs/{self._filesystem()}/qgroups/{name}"


def is_subvolume(path: str) -> bool:
    """Whether a path is the root directory of a subvolume."""
    return os.lstat(path).st_ino == ROOT_INODE


def _require_subvolume(path: str) -> None:
    """What is done to a subvolume would be done to the one around it, where somebody has put a plain directory into its place."""
    if not is_subvolume(path):
        raise VpsError(f"pool: {path} is no subvolume, somebody has put something else into its place; move it away, or a subvolume there.")


def subvolume_id(path: str) -> int:
    """The number of the subvolume that a path is in (BTRFS_IOC_INO_LOOKUP)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        buffer = bytearray(struct.pack("QQ", 0, ROOT_INODE) + bytes(4080))
        fcntl.ioctl(descriptor, _INO_LOOKUP, buffer)
        return struct.unpack_from("Q", buffer)[0]
    finally:
        os.close(descriptor)


def _subvolumes_in(path: str) -> list[int]:
    """The numbers of the subvolumes right below that of a path (BTRFS_IOC_GET_SUBVOL_ROOTREF; at most 255 are told)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        buffer = bytearray(4096)
        fcntl.ioctl(descriptor, _GET_SUBVOL_ROOTREF, buffer)
    finally:
        os.close(descriptor)
    return [struct.unpack_from("Q", buffer, 8 + 16 * index)[0] for index in range(buffer[4088])]


def filesystem_id(path: str) -> str:
    """The UUID of the btrfs that a path is on (BTRFS_IOC_FS_INFO), as sysfs writes it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        buffer = bytearray(1024)
        fcntl.ioctl(descriptor, _FS_INFO, buffer)
    finally:
        os.close(descriptor)
    text = bytes(buffer[16:32]).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):  # the latter where the kernel drops a counter while it is read (seen)
            raise
        return ""
