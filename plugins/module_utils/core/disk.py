# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of a VPS: what its limits become there, what is observed of it, and which changes it cannot take.

Pure. What holds it is a storage driver's, in node/storage/. Documents: ext4(5), btrfs-qgroup(8), quotactl(2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import units
from .beancounters import BTRFS, IMAGE, Bound, format_value
from .errors import VpsError
from .fidelity import Abilities, Held
from .limits import Limits

DEFAULT_SIZE = 10 << 30  # bytes of an image that nobody has limited; it takes what is written into it
LEAST_SIZE = 64 << 20  # bytes: a file system, its journal, and the smallest of templates
BLOCK = 4096
GROUP = 32768 * BLOCK  # bytes of ext4 that have inodes of their own, 16 of them in a block
MOST_INODES = 32768  # of a group
QUOTA_UNIT = 1024  # bytes that quota counts in
GRACE = 7 * 86400  # s, the kernel's own


@dataclass(frozen=True)
class Quota:
    """What the quota of an image holds: bytes, numbers of inodes and seconds; None is no limit.

    `owners`: users and groups inside may be limited too.
    """

    space: int | None = None
    inodes: Bound | None = None
    grace: int = GRACE
    owners: bool = False


@dataclass(frozen=True)
class Disk:
    """What the storage of a VPS holds it to. `size` is in bytes, `inodes` those that its file system was made with.

    `quota` is None where there is none, or nobody can read it because nothing is mounted. `damaged` says where a file system
    is in which the kernel has found errors.
    """

    size: int | None = None
    inodes: int | None = None
    quota: Quota | None = None
    damaged: str | None = None


@dataclass(frozen=True)
class Used:
    """What a VPS has on its disk: bytes, its template's included, and inodes; None where nobody counts them."""

    space: int | None = None
    inodes: int | None = None


def image_size(limits: Limits, now: int | None) -> int:
    """Bytes that an image is to have: what is asked; where nothing is, the default, or what it has if that is more."""
    asked = limits.disk_bytes()
    return max(DEFAULT_SIZE, now or 0) if asked is None else asked - asked % BLOCK


def inodes_of(count: int, size: int) -> int:
    """The most inodes, not above `count`, that a file system of so many bytes can be made with; 0 where that is none."""
    groups = -(-size // GROUP)
    return min(count // groups // 16 * 16, MOST_INODES) * groups


def quota_of(limits: Limits) -> Quota:
    """What the quota of an image must hold. Its size is the hard limit of space."""
    space, inodes = limits.diskspace, limits.diskinodes
    soft = 0 if space is None or space.barrier in (None, space.limit) else space.barrier - space.barrier % QUOTA_UNIT
    return Quota(
        space=soft or None,
        inodes=None if inodes is None else Bound(inodes.barrier or inodes.limit, inodes.limit),
        grace=GRACE if limits.quotatime is None else limits.quotatime,
        owners=bool(limits.quotaugidlimit),
    )


def observed(kept: Limits, disk: Disk, abilities: Abilities) -> dict[str, object]:
    """Those of the disk's limits that are not what the record says. What a number is rounded to is no difference."""
    if abilities.storage != IMAGE:
        return {} if disk.size == kept.disk_bytes() else {"diskspace": None if disk.size is None else Bound(disk.size, disk.size)}
    found: dict[str, object] = {}
    if disk.size != image_size(kept, disk.size):
        found["diskspace"] = None if disk.size is None else Bound(disk.size, disk.size)
    if not abilities.quota:
        if kept.diskinodes is not None and disk.inodes is not None and disk.inodes != _inodes(kept, disk.size):
            found["diskinodes"] = Bound(disk.inodes, disk.inodes)
        return found
    now, wanted = disk.quota, quota_of(kept)
    if now is None:
        return found
    if now.space != wanted.space:
        found["diskspace"] = Bound(disk.size if now.space is None else now.space, disk.size)
    if now.inodes != wanted.inodes:
        found["diskinodes"] = now.inodes
    if now.grace != wanted.grace:
        found["quotatime"] = None if now.grace == GRACE else now.grace
    if now.owners != wanted.owners:
        found["quotaugidlimit"] = 1 if now.owners else None
    return found


def held(limits: Limits, disk: Disk, abilities: Abilities) -> dict[str, Held]:
    """What is held for each of the disk's limits, and where."""
    found = {}
    if disk.size is not None:
        found["diskspace"] = Held("qgroup" if abilities.storage == BTRFS else "root.img", str(disk.size))
    if disk.quota is not None:
        if disk.quota.space is not None:
            found["diskspace"] = Held("root.img, project quota", f"{disk.size}, soft {disk.quota.space}")
        found["diskinodes"] = Held("project quota", format_value("diskinodes", disk.quota.inodes))
        found["quotatime"] = Held("project quota", str(disk.quota.grace))
        found["quotaugidlimit"] = Held("usrquota,grpquota", "on" if disk.quota.owners else "off")
    elif disk.inodes is not None and not abilities.quota:
        found["diskinodes"] = Held("file system", str(disk.inodes))
    return {name: value for name, value in found.items() if name in limits.named}


def check_new(limits: Limits, abilities: Abilities, *, least: int = 0, prefix: str = "limits.") -> None:
    """Refuse limits that no new image can be made with; `least` bytes are in the template."""
    if abilities.storage != IMAGE:
        return
    size = image_size(limits, None)
    if size < LEAST_SIZE:
        raise VpsError(f"{prefix}diskspace: {units.format_size(size)} is too small for an image; ask for {units.format_size(LEAST_SIZE)} or more.")
    if size < least:
        raise VpsError(f"{prefix}diskspace: an image of this template has {units.format_size(-(-least >> 20) << 20)} or more; ask for as much.")
    if not abilities.quota and limits.diskinodes is not None and _inodes(limits, size) == 0:
        least = 16 * -(-size // GROUP)
        raise VpsError(f"{prefix}diskinodes: a file system of {units.format_size(size)} has {least} or more; ask for as many.")


def check_change(before: Limits, after: Limits, disk: Disk, abilities: Abilities, *, runs: bool, prefix: str = "limits.") -> None:
    """Refuse a change of limits that an image cannot take, or not while the VPS runs. `before` and `after` are kept ones."""
    if abilities.storage != IMAGE:
        return
    check_new(after, abilities, prefix=prefix)
    now = disk.size or 0
    size = image_size(after, now)
    if size != now and disk.damaged:
        raise VpsError(f"{prefix}diskspace: {_damage(disk)}; its size is left alone until that is mended.")
    if size < now and runs:
        raise VpsError(
            f"{prefix}diskspace: an image is made smaller only while its VPS is stopped; stop it first, or ask for {units.format_size(now)} or more."
        )
    if size > now and runs and not abilities.raises:
        raise VpsError(
            f"{prefix}diskspace: root of this node may not enlarge a mounted file system (it lacks CAP_SYS_RESOURCE); stop the VPS first."
        )
    if abilities.quota:
        return
    if before.diskinodes != after.diskinodes:
        raise VpsError(
            f"{prefix}diskinodes: without project quota an image keeps the inodes that it was made with "
            f"({format_value('diskinodes', before.diskinodes)}); remove the VPS and make it anew, or leave the value as it is."
        )
    if size != now and after.diskinodes is not None:
        raise VpsError(f"{prefix}diskspace: the inodes would change with it, which diskinodes forbids on a node without project quota.")


def attainable(limits: Limits, disk: Disk, abilities: Abilities, *, runs: bool) -> Limits:
    """The limits with the size that the image has, where it cannot get another one now.

    A run may have been killed before it resized the image of a VPS that was stopped, and somebody may have started that: this must
    not keep the next run from stopping it.
    """
    if abilities.storage != IMAGE or not runs or disk.size is None:
        return limits
    size = image_size(limits, disk.size)
    if size < disk.size or (size > disk.size and not abilities.raises):
        return replace(limits, diskspace=Bound(disk.size, disk.size))
    return limits


def warnings(disk: Disk) -> tuple[str, ...]:
    """What somebody should know of a disk."""
    return (f"storage: {_damage(disk)}.",) if disk.damaged else ()


def _damage(disk: Disk) -> str:
    return (
        f"the kernel has found errors in {disk.damaged}, and writes nothing there from the moment when it finds one; "
        f"stop the VPS, keep a copy, and look with e2fsck -f {disk.damaged}"
    )


def _inodes(limits: Limits, size: int | None) -> int | None:
    count = None if limits.diskinodes is None else limits.diskinodes.limit
    return None if count is None or size is None else inodes_of(count, size)
