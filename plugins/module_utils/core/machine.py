# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine as a VPS node: what is asked of it, what it is, and the steps that change it.

Pure data. Which steps a wish needs is decided in core/machine_plan.py; the node's part is node/machine.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import addresses, limits, parse, units
from .capacity import RESOURCES
from .errors import VpsError, shown
from .limits import Limits
from .model import ID_RANGE, Vps
from .settings import Settings

MAKING, REMOVING = ".new", ".del"  # a pool's file while it is being made, and from the moment that it no longer counts
FOLDERS = ("vps", "templates")
MODE = 0o711  # passable for an unprivileged VPS's root, which is nobody here; not readable
LEAST_POOL = 256 << 20  # bytes; below, a btrfs has no room for its own tables
# Of which overlays have no use as their upper layer, or which are somebody else's: they keep no trusted attributes, or no devices.
NO_OVERLAY = frozenset({"overlay", "nfs", "nfs4", "cifs", "smb3", "9p", "vfat", "exfat", "ntfs3", "fuse", "fuseblk", "squashfs", "iso9660", "ceph"})
DEFAULT_POOL_FILE = "/var/lib/vps.img"
DEFAULT_POOL_SIZE = 20 << 30
# What has to be installed, and the Debian packages that have it.
PROGRAMS = {
    "lxc-start": "lxc",
    "lxcfs": "lxcfs",
    "mkfs.btrfs": "btrfs-progs",
    "mke2fs": "e2fsprogs",
    "mount": "mount",
    "nft": "nftables",
    "newuidmap": "uidmap",
    "ip": "iproute2",
    "setpriv": "util-linux",
}
LONGEST_PATH = 200
_PATH = re.compile(r"(?:/[A-Za-z0-9_+][A-Za-z0-9._+-]*)+")


@dataclass(frozen=True)
class Desired:
    """What a playbook asks of the machine. `pool_size` is in bytes; None where it is not named, as with `plans`, `overcommit` and `pool_warning` (percent)."""

    state: str
    pool: str
    pool_file: str
    pool_size: int | None
    id_start: int
    id_count: int
    networks: tuple[str, ...]
    nat: bool
    plans: Mapping[str, Limits] | None = None
    overcommit: Mapping[str, int] | None = None
    pool_warning: int | None = None
    pool_kind: str | None = None
    name: str = "settings"  # of the lock: one run at a time changes a machine


@dataclass(frozen=True)
class Pool:
    """The place of a pool. `backing` is the file that is mounted there, where it is a file; `folders` those that are right.

    `size` is what its file system has, `free` what VPSs can still take of that; both in bytes; `kind` is that file system's.
    """

    path: str
    directory: bool = False
    empty: bool = True
    btrfs: bool = False
    backing: str | None = None
    quota: bool = False
    mode: int = 0
    folders: tuple[str, ...] = ()
    parent: bool = True
    size: int = 0
    free: int = 0
    kind: str = ""


@dataclass(frozen=True)
class PoolFile:
    """The file that a pool is in. `ours` says that this collection made it, `folder` that there is a directory for it.

    `size` is its own, `room` what the file system below it can still take; both in bytes.
    """

    path: str
    exists: bool = False
    ours: bool = False
    folder: bool = True
    size: int = 0
    room: int = 0


@dataclass(frozen=True)
class Boot:
    """What systemd says of our units: `enabled` for the next boot, `loaded` now and as their files say.

    `started`: the one that starts VPSs has done so, and so stops them in their order when the machine goes down.
    """

    enabled: bool = False
    loaded: bool = False
    started: bool = False


@dataclass(frozen=True)
class Barrier:
    """A chain of somebody else's that drops what the machine routes, and says nothing of VPSs. `owner`: ufw, firewalld, somebody."""

    chain: str
    owner: str = "somebody"


@dataclass(frozen=True)
class Actual:
    """The machine as it is.

    `pool` and `file` are those that are asked for. `vpss` and `templates` are those of the settings' pool, None where it is
    not mounted; `damaged` says why the record of one VPS cannot be read, which is then not among them.
    `texts` are the files by their short names, None where there is none; `rules` the mark and the number of rules of
    our nftables table, None without the table, and `passing` those of the one for what passes bridges; `links` are the machine's own
    interfaces; `routes` are (interface, subnet), `hears` the interfaces by which the machine has been told its way out of IPv6. `boot` is
    None where systemd does not run the machine.
    """

    settings: Settings | None
    pool: Pool
    file: PoolFile
    vpss: tuple[Vps, ...] | None = ()
    templates: tuple[str, ...] | None = ()
    texts: Mapping[str, str | None] = field(default_factory=dict)
    common_seccomp: str = ""
    sysctls: Mapping[str, int] = field(default_factory=dict)
    rules: tuple[str, int] | None = None
    passing: tuple[str, int] | None = None
    links: frozenset[str] = frozenset()
    hears: tuple[str, ...] = ()
    lxcfs: bool = False
    lxc_mode: int | None = None
    routes: tuple[tuple[str, str], ...] = ()
    boot: Boot | None = None
    barriers: tuple[Barrier, ...] = ()
    missing: tuple[str, ...] = ()
    damaged: str | None = None


@dataclass(frozen=True)
class SetFile:
    """Make a file say `text`, or remove it; an error where it no longer says `before`, which `text` was made from."""

    file: str
    before: str | None
    text: str | None


@dataclass(frozen=True)
class EnsurePool:
    """Make what is missing of a pool: its file with a btrfs, the mount, `size` bytes, quota, permissions, folders.

    `file` None: only our folders in a file system of somebody else's; `size` None: as large as it is.
    """

    pool: str
    file: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class RemovePool:
    """Take away a pool that has nothing in it, and the empty cgroups above all VPSs. `file` None: as above."""

    pool: str
    file: str | None
    folder: bool


@dataclass(frozen=True)
class SetSysctls:
    """Set kernel settings, now."""

    values: Mapping[str, int]


@dataclass(frozen=True)
class SetRules:
    """Give a text to nft, which takes it whole or not at all."""

    text: str


@dataclass(frozen=True)
class FollowVpss:
    """Have the packet filter, and its file for the next boot, follow the records of VPSs that are not known before the pool is mounted."""


@dataclass(frozen=True)
class SetPassing:
    """Give it the text for what passes bridges. One that the kernel does not take is found when all is read again: the rest is for everybody."""

    text: str


@dataclass(frozen=True)
class MakeBridges:
    """Make the bridges of our making that are missing."""


@dataclass(frozen=True)
class RemoveBridge:
    """Take one of them away."""

    bridge: str


@dataclass(frozen=True)
class SetLxcMode:
    """Set the permissions of LXC's folder."""

    mode: int


@dataclass(frozen=True)
class SetLxcfs:
    """Start lxcfs, for now and for the next boot, or stop it."""

    running: bool


@dataclass(frozen=True)
class SetBoot:
    """Enable our units for the next boot and load what they load now, or disable them.

    `autostart`: start the VPSs that start with the node as well, which only a node without any may be asked to.
    """

    enabled: bool
    autostart: bool = False


def parse_machine(params: Mapping[str, Any]) -> Desired:
    """The parameters of C(vps_node)."""
    pool = _path(params["pool"], "pool")
    pool_file = _path(params["pool_file"], "pool_file")
    if f"{pool_file}/".startswith(f"{pool}/"):
        raise VpsError(f"pool_file: {pool_file} lies in {pool}, where it is to be mounted; put it elsewhere.")
    size = params.get("pool_size")
    if size is not None:
        size = units.parse_size(size, option="pool_size", minimum=LEAST_POOL)
        if size is None:
            raise VpsError("pool_size: a file cannot be unlimited; write for example 20G.")
        size -= size % 4096  # a whole number of blocks
    start, count = int(params["id_start"]), int(params["id_count"])
    for option, value in (("id_start", start), ("id_count", count)):
        if value < ID_RANGE or value % ID_RANGE:
            raise VpsError(f"{option}: {value} is not a multiple of {ID_RANGE}, the ids of one VPS; write for example {ID_RANGE * 10_000}.")
    if start + count > 1 << 32:
        raise VpsError(f"id_count: {start} + {count} is beyond the last id of Linux, {(1 << 32) - 1}; ask for less.")
    return Desired(
        state=params["state"],
        pool=pool,
        pool_file=pool_file,
        pool_size=size,
        id_start=start,
        id_count=count,
        networks=addresses.parse_networks(params["networks"]),
        nat=bool(params["nat"]),
        plans=None if params.get("plans") is None else parse_plans(params["plans"]),
        overcommit=None if params.get("overcommit") is None else parse_overcommit(params["overcommit"]),
        pool_warning=None if params.get("pool_warning") is None else parse_warning(params["pool_warning"]),
        pool_kind=params.get("pool_kind"),
    )


def parse_warning(value: int) -> int:
    """Percent of the pool."""
    if not 0 <= value <= 90:
        raise VpsError(f"pool_warning: {value} is no such share of the pool; write a number of percent from 0 to 90.")
    return value


def settled(settings: Settings) -> Desired:
    """The wish for a machine that is as its settings say."""
    pool_file = settings.made.pool_file or DEFAULT_POOL_FILE
    return Desired("present", settings.pool, pool_file, None, settings.id_start, settings.id_count, settings.networks, settings.nat)


def parse_plans(plans: Mapping[str, Any], *, option: str = "plans") -> dict[str, Limits]:
    """Named sets of limits. A plan may be laid over another one of them, by its key C(plan)."""
    wishes = {}
    for name, section in plans.items():
        name = parse.parse_name(str(name), option=option)
        if not isinstance(section, Mapping):
            raise VpsError(f"{option}.{name}: {shown(section)} is no set of limits; write for example {{memory: 512M}}.")
        wishes[name] = limits.parse(section, prefix=f"{option}.{name}.")
    found: dict[str, Limits] = {}
    while len(found) < len(wishes):
        ready = [name for name, wish in wishes.items() if name not in found and (wish.plan is None or wish.plan in found)]
        if not ready:
            name = next(name for name in wishes if name not in found)
            below = shown(wishes[name].plan)
            reason = "is made from itself in the end" if wishes[name].plan in wishes else f"is made from {below}, and there is no such plan"
            raise VpsError(f"{option}.{name}: {reason}; name another one, or none.")
        found.update({name: limits.settle(wishes[name], found) for name in ready})
    return {name: found[name] for name in wishes}


def parse_overcommit(policy: Mapping[str, Any], *, option: str = "overcommit") -> dict[str, int]:
    """How much of each resource may be promised, in percent of what there is."""
    found = {}
    for name, value in policy.items():
        if name not in RESOURCES:
            raise VpsError(f"{option}: there is no resource {shown(name)}; there are {', '.join(RESOURCES)}.")
        percent = units.parse_percent(value, option=f"{option}.{name}", maximum=100_000)
        if percent is not None:
            found[name] = percent
    return found


def _path(value: object, option: str) -> str:
    """An absolute path that is safe as a word in fstab(5)."""
    text = str(value)
    if not _PATH.fullmatch(text) or len(text) > LONGEST_PATH:
        raise VpsError(
            f"{option}: {shown(text)} cannot be used; write an absolute path of letters, digits and ._+-, "
            "for example /var/lib/vps."
        )
    return text
