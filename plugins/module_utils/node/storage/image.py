# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""image: one ext4 in a sparse file per VPS, on a loop device while the VPS runs or is worked on.

The file is a reflink copy of its template's, which is made when the first VPS wants it. Loop devices free themselves when they
are unmounted (autoclear), so that there is nothing to leak but mounts. Documents: ioctl_ficlone(2), mount(8), loop(4).
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace

from ...core import disk as disk_
from ...core import units
from ...core.beancounters import IMAGE
from ...core.disk import BLOCK, GROUP, Disk, Used
from ...core.errors import NothingDone, VpsError
from ...core.fidelity import Abilities
from ...core.limits import Limits
from .. import files, tools
from ..syscalls import exchange, sync_filesystem
from . import ext4
from .driver import Startup, image_of

DEVICE = "$DISK"  # in the start hook: the loop device's number is known at the start only
MAKING = ".new"
_PROGRAMS = ("mke2fs", "e2fsck", "resize2fs", "tune2fs", "losetup", "mountpoint", "flock")
# Read by the kernel alone. nodev: a privileged guest's devices are nobody's on the node; discard: what is deleted inside leaves the pool.
_OPTIONS = ("loop", "nodev", "noatime", "discard", "noinit_itable", "errors=remount-ro")
_LOOP_MAJOR = 7
_FICLONE, _GETFLAGS, _SETFLAGS, _NO_COW = 0x40049409, 0x80086601, 0x40086602, 0x00800000
_DROPPED = 16 << 20  # bytes: ext4 leaves out a last group of blocks that is hardly larger than its own tables
_RESIZE_TIMEOUT = 1800  # s


class Image:
    """The storage of VPSs whose disks are files in the pool."""

    name = IMAGE
    instant = True

    def __init__(self, *, quota: bool) -> None:
        self.quota = quota  # whether the kernel has it; an image is made for the one or the other

    def ready(self, source: str) -> bool:
        """Whether the template has an image that is as this kernel can mount it."""
        found = ext4.read(image_of(source))
        return found is not None and found.quota == self.quota

    def make_ready(self, source: str) -> None:
        """Make the template's image: under another name, and a rename."""
        tools.require(_PROGRAMS)
        image = image_of(source)
        staging = _empty(image + MAKING)
        ext4.make(staging, source, quota=self.quota)
        _rename(staging, image)

    def create(self, root: str, limits: Limits) -> None:
        """An image of the size that the limits ask for, made from the empty directory at which it will be mounted."""
        tools.require(_PROGRAMS)
        size, most = disk_.image_size(limits, None), None if limits.diskinodes is None else limits.diskinodes.limit
        os.mkdir(root)
        inodes = None if most is None or self.quota else disk_.inodes_of(most, size)
        ext4.make(_empty(image_of(root)), root, size=size, inodes=inodes, quota=self.quota)

    def clone(self, source: str, root: str, limits: Limits) -> None:
        """A copy of the template's image that shares its blocks, of the size that the limits ask for.

        One that has to be made with another number of inodes is made from the template's tree, and shares nothing.
        """
        tools.require(_PROGRAMS)
        size, image, quota = disk_.image_size(limits, None), image_of(root), self.quota
        os.mkdir(root)
        if limits.diskinodes is not None and limits.diskinodes.limit is not None and not quota:
            with nullcontext() if os.listdir(source) else self.opened(source):  # a template's tree is at its place, a VPS's may not be
                ext4.make(_empty(image), source, size=size, inodes=disk_.inodes_of(limits.diskinodes.limit, size), quota=False)
            return
        least = os.stat(image_of(source)).st_size
        if size < least:
            raise VpsError(f"limits.diskspace: an image of this template has {units.format_size(least)} or more; ask for as much.")
        _copy(image_of(source), image)
        found = ext4.read(image)
        if found is not None and found.mounted:  # of a VPS: its journal has the last of it, and resize2fs wants to know that all is well
            ext4.check(image)
        tools.run(["tune2fs", "-U", "random", image])
        if size > least:
            os.truncate(image, size)
            tools.run(["resize2fs", image], timeout=_RESIZE_TIMEOUT)

    def snapshot(self, root: str, into: str) -> None:
        """A copy of the image that shares its blocks; its journal has what a mount needs to make it whole."""
        image, copy = image_of(root), image_of(into)
        if _mounted(root):
            sync_filesystem(root)
        _copy(image, copy + MAKING)  # under the file's lock, which the loop device's writes take, too: at one instant
        os.mkdir(into)
        _rename(copy + MAKING, copy)

    def identity(self, root: str) -> int:
        """The inode of the image's file."""
        return os.stat(image_of(root)).st_ino

    def exclusive(self, root: str) -> int:
        """Of its blocks those that no other file shares."""
        told = tools.run(["btrfs", "filesystem", "du", "--raw", "--summarize", image_of(root)])
        return int(told.splitlines()[-1].split()[1])

    def exchange(self, root: str, other: str) -> None:
        """One rename, of both files. What somebody has left mounted would stay what it was."""
        for path in (root, other):
            if _mounted(path):
                _unmount(path)
        exchange(image_of(root), image_of(other))

    def delete(self, root: str) -> None:
        """Unmount and unlink. Where somebody has a file open in it, its blocks are freed when he has closed it."""
        if _mounted(root) and tools.attempt(["umount", root])[0] != 0:
            tools.run(["umount", "--lazy", root])
        for path in (image_of(root), image_of(root) + MAKING):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def is_there(self, root: str) -> bool:
        """Where it is mounted."""
        return _mounted(root)

    @contextmanager
    def opened(self, root: str, *, mapped: bool = True) -> Iterator[None]:
        """Mount it, unless it is; blocks are reserved for the node's root."""
        if _mounted(root):
            yield
            return
        image = image_of(root)
        code, output = tools.attempt(["mount", "-t", "ext4", "-o", ",".join(_options(image, owners=False)), image, root], timeout=300)
        if code != 0:
            raise VpsError(f"storage: {image} cannot be mounted: {tools.last_words(output)}; see also the kernel's log.", output=output)
        try:
            yield
        finally:
            _unmount(root)

    def limit(self, root: str, limits: Limits) -> None:
        """Grow it, in use or not; make it smaller if it is not; and set its quota."""
        now = self.read(root)
        size = disk_.image_size(limits, now.size)
        if size != now.size:
            self._resize(root, size, now)
        found = ext4.read(image_of(root))
        if found is not None and found.quota:
            with self.opened(root):
                ext4.write_quota(_device_path(os.stat(root).st_dev), disk_.quota_of(limits))

    def read(self, root: str) -> Disk:
        """From the superblock; what is mounted is read through its device, where the kernel has it."""
        image = image_of(root)
        device = _device_path(os.stat(root).st_dev) if _mounted(root) else None
        found = ext4.read(device or image)
        if found is None:
            return Disk()
        length = os.stat(image).st_size
        return Disk(
            size=length if 0 <= length - found.size < _DROPPED and found.size % GROUP == 0 else found.size,
            inodes=found.inodes,
            quota=ext4.read_quota(device) if device and found.quota else None,
            damaged=image if found.errors else None,
        )

    def usage(self, root: str) -> int:
        """Bytes of the pool that the image's file refers to."""
        return os.stat(image_of(root)).st_blocks * 512

    def used(self, root: str) -> Used:
        """As the guest's df(1) has it; of what is mounted the kernel knows, of what is not the superblock."""
        if not _mounted(root):
            found = ext4.read(image_of(root))
            return Used() if found is None else found.used
        now = os.statvfs(root)
        return Used((now.f_blocks - now.f_bfree) * now.f_frsize, now.f_files - now.f_ffree)

    def abilities(self, root: str, machine: Abilities) -> Abilities:
        """The disk that I/O limits are for is the loop device; whether there is quota was decided when the image was made."""
        found = ext4.read(image_of(root))
        can = replace(machine.on(IMAGE), quota=machine.quota if found is None else found.quota)
        if not _mounted(root):
            return can
        number = os.stat(root).st_dev
        return replace(can, io_device=f"{os.major(number)}:{os.minor(number)}")

    def startup(self, root: str, limits: Limits, machine: Abilities, *, made_in: str | None = None) -> Startup:
        """A hook that mounts it on the node before the VPS starts and unmounts it when the VPS has stopped.

        With systemd the VPS's unit runs it too, before LXC does: AppArmor has no mounting of ours in LXC's hooks. At a reboot from
        inside it stays: LXC may hold it until it has started again. Mounting what is in use once more gives the same file system:
        mount(8) takes the loop device that a file has. Why it cannot be mounted goes where LXC says why it does not start.

        LXC calls a VPS stopped, and another start may begin, before it runs the last hook: whoever listens for the VPS by then is
        that start, which found it mounted. The lock keeps the two from looking at the same moment.
        """
        image, place, log = (shlex.quote(path) for path in (image_of(root), root, os.path.join(os.path.dirname(root), "lxc.log")))
        options = ",".join(_options(image_of(made_in or root), owners=bool(limits.quotaugidlimit)))
        hook = f"""#!/bin/sh -e
# Written by mainline.vps from vps.json beside it.
exec 9<{image}
flock 9
case $3 in
pre-start)
    mountpoint -q {place} && exit
    said=$(mount -t ext4 -o {options} {image} {place} 2>&1) || {{ echo "disk $1 now ERROR storage - mount:0 - $said" >>{log}; exit 1; }}
    ;;
post-stop) [ "$LXC_TARGET" = reboot ] || grep -q " 00010000 .*@.*/$1/command$" /proc/net/unix || ! mountpoint -q {place} || umount {place} ;;
esac
"""
        return Startup(DEVICE, hook, (f"DISK=$(mountpoint -d {place})",))

    def release(self, root: str) -> None:
        """Unmount it, if nobody works in it."""
        tools.attempt(["umount", root])

    def _resize(self, root: str, size: int, now: Disk) -> None:
        if not _mounted(root) and not _has_device(image_of(root)):
            _resize_copy(image_of(root), size, now)
        elif size < (now.size or 0):
            raise NothingDone(f"limits.diskspace: {image_of(root)} is in use, and is made smaller only while it is not; stop the VPS first.")
        else:
            with self.opened(root):
                _grow(root, size, now.size or 0)


def _grow(root: str, size: int, before: int) -> None:
    """The file, the loop device, the file system: in use."""
    image, device = image_of(root), _device_path(os.stat(root).st_dev)
    os.truncate(image, size)
    tools.run(["losetup", "--set-capacity", device])
    try:
        ext4.grow(root, size)
    except OSError as error:
        os.truncate(image, before)
        tools.run(["losetup", "--set-capacity", device])
        raise NothingDone(f"limits.diskspace: the kernel does not enlarge the mounted {image}: {error.strerror}; stop the VPS first.") from None


def _resize_copy(image: str, size: int, now: Disk) -> None:
    """Resize a copy that shares its blocks, and put it in place by a rename: a run that is killed leaves the image as it was."""
    tools.require(_PROGRAMS)
    if now.damaged:
        raise NothingDone(f"limits.diskspace: {image} has errors, and is left as it is until somebody has looked with e2fsck -f.")
    staging = image + MAKING
    try:
        _copy(image, staging)
        ext4.check(staging)
        if size > (now.size or 0):
            os.truncate(staging, size)
        code, output = tools.attempt(["resize2fs", staging, f"{size // 1024}K"], timeout=_RESIZE_TIMEOUT)
        if code != 0:
            raise NothingDone(f"limits.diskspace: {_least(output, size)}; remove something in the VPS, or ask for more.", output=output[-4000:])
        os.truncate(staging, size)
        found = ext4.read(staging)
        if found is not None and found.quota:
            ext4.check(staging)  # resize2fs moves blocks, and does not count those that it adds
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(staging)
        raise
    _rename(staging, image)


def _least(output: str, size: int) -> str:
    """What resize2fs says, which takes some more for the least size than there would have to be."""
    found = re.search(r"smaller than minimum \((\d+)\)", output)
    least = f" goes down to {units.format_size(-(-int(found.group(1)) * BLOCK >> 20) << 20)}, and" if found else ""
    return f"what is in the image{least} does not fit into {units.format_size(size)}"


def _options(image: str, *, owners: bool) -> tuple[str, ...]:
    found = ext4.read(image)
    if found is None or not found.quota:
        return _OPTIONS
    return (*_OPTIONS, "prjquota", *(("usrquota", "grpquota") if owners else ()))


def _mounted(root: str) -> bool:
    """Whether something on a loop device is mounted at a place: two calls, no reading of lists."""
    try:
        number = os.stat(root).st_dev
    except FileNotFoundError:
        return False
    return os.major(number) == _LOOP_MAJOR and number != os.stat(os.path.dirname(root)).st_dev


def _device_path(number: int) -> str:
    return f"/dev/loop{os.minor(number)}"


def _has_device(image: str) -> bool:
    """Whether a loop device has a file, mounted where we see it or not."""
    for name in os.listdir("/sys/block"):
        if name.startswith("loop") and (files.read(f"/sys/block/{name}/loop/backing_file") or "").rstrip("\n") == os.path.realpath(image):
            return True
    return False


def _unmount(root: str) -> None:
    for pause in (0.05, 0.2, 1, 0):
        code, output = tools.attempt(["umount", root])
        if code == 0:
            return
        time.sleep(pause)
    raise VpsError(f"storage: {root} cannot be unmounted: {tools.last_words(output)}; end what uses it (fuser -vm {root}), then run this again.")


def _empty(path: str) -> str:
    """A new empty file in which no block is copied on write twice; gives its path."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        flags = int.from_bytes(fcntl.ioctl(descriptor, _GETFLAGS, bytes(8)), "little")
        fcntl.ioctl(descriptor, _SETFLAGS, (flags | _NO_COW).to_bytes(8, "little"))
    finally:
        os.close(descriptor)
    return path


def _copy(source: str, target: str) -> None:
    """A file that shares every block with its source (FICLONE)."""
    with open(source, "rb") as old, open(_empty(target), "r+b") as new:
        fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())


def _rename(staging: str, image: str) -> None:
    descriptor = os.open(staging, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(staging, image)
    files.sync(os.path.dirname(image))
