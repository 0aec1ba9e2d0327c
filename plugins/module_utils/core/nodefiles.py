# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of a node say: kernel settings, seccomp profile, id ranges, mounts.

Pure: text in, text out. Which of them are there, and which are missing, is core/machine.py's question.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from .errors import VpsError, shown
from .units import is_number

WRITTEN = "# Written by mainline.vps.vps_node; changes made here are undone by its next run.\n"


@dataclass(frozen=True)
class Sysctl:
    """One kernel setting of a node. A floor is raised to `value` and never lowered; otherwise the value is exact."""

    value: int
    why: str
    floor: bool = True


# Documents: admin-guide/sysctl/{fs,kernel,vm}.rst, networking/ip-sysctl.rst, security/keys/core.rst of the kernel.
SYSCTLS: dict[str, Sysctl] = {
    # All VPSs' namespaces are made by the node's root, and their inotify instances are charged to it as well: with the
    # kernel's 128, the 23rd of sixty systemd guests no longer boots, and nothing says why.
    "fs.inotify.max_user_instances": Sysctl(1_048_576, "systemd in every VPS holds several inotify instances"),
    "fs.inotify.max_user_watches": Sysctl(1_048_576, "and watches files with them"),
    "fs.inotify.max_queued_events": Sysctl(1_048_576, "a busy guest must not lose events"),
    "fs.aio-max-nr": Sysctl(524_288, "one pool of asynchronous requests for the databases of all VPSs"),
    # The kernel's 32768 on a small machine is for all VPSs together; the number is what systemd sets where it runs.
    "kernel.pid_max": Sysctl(4_194_304, "a number for each process of all VPSs"),
    # LXC opens a console and four terminals for each: with the kernel's 4096, of which it keeps 1024 back, the 615th VPS does not start.
    # A VPS may open 1024 itself (lxc.pty.max); a thousand that do leave each its own.
    "kernel.pty.max": Sysctl(1_048_576, "five terminals for every VPS, and those of its users"),
    "kernel.keys.maxkeys": Sysctl(2_000, "a session keyring for each service of a guest"),
    "kernel.keys.maxbytes": Sysctl(2_000_000, "the bytes that belong to them"),
    "net.ipv4.neigh.default.gc_thresh1": Sysctl(1_024, "every VPS is a neighbour of the node"),
    "net.ipv4.neigh.default.gc_thresh2": Sysctl(4_096, "every VPS is a neighbour of the node"),
    "net.ipv4.neigh.default.gc_thresh3": Sysctl(8_192, "every VPS is a neighbour of the node"),
    "vm.max_map_count": Sysctl(262_144, "databases and search engines map many files; guests cannot set it for themselves"),
    "net.ipv4.ip_forward": Sysctl(1, "the node routes its VPSs' packets", floor=False),
    "net.ipv6.conf.all.forwarding": Sysctl(1, "and those of IPv6", floor=False),
}
FORWARDING6 = "net.ipv6.conf.all.forwarding"  # with which the kernel listens no more to whoever tells it the way out: see accept_ra there

# A nested subvolume that a guest's root makes is in no qgroup, and so escapes the disk limit: the four ioctls that make
# one (linux/btrfs.h: SUBVOL_CREATE, SNAP_CREATE, SNAP_CREATE_V2, SUBVOL_CREATE_V2) are refused. The kernel looks at the
# low 32 bits of the number only, whatever a guest puts into the high ones: so does the rule.
_SUBVOLUME_IOCTLS = (1342215182, 1342215169, 1342215191, 1342215192)
# Root of a privileged VPS has CAP_SYS_ADMIN on the node, and with these could lift the disk limit through any directory of its own:
# QUOTA_CTL, _IOWR(0x94, 40) of 16 bytes; QGROUP_ASSIGN, _IOW(0x94, 41) of 24; QGROUP_CREATE, _IOW(0x94, 42) of 16; QGROUP_LIMIT,
# _IOR(0x94, 43) of 48; QUOTA_RESCAN, _IOW(0x94, 44) of 64. A number is direction << 30 | size << 16 | 0x94 << 8 | the last one
# (asm-generic/ioctl.h; _IOW is 1, _IOR is 2).
_QUOTA_IOCTLS = (3222311976, 1075352617, 1074828330, 2150667307, 1077974060)


_HEARS = "net/ipv6/conf/{}/accept_ra"  # with slashes, for an interface may have dots in its name (sysctl.d(5))
_HEARING = Sysctl(2, "the node still listens to who tells it the way out by this interface")


def row(key: str) -> Sysctl:
    """What a node wants of a kernel setting."""
    return SYSCTLS.get(key, _HEARING)


def wanted(*, ipv6: bool, hears: Iterable[str], before: Iterable[str]) -> list[str]:
    """The settings of a node, in the order in which they are made. `hears` are the interfaces by which it has learned its way out.

    `before` are those that we have raised already: they stay ours to hold.
    """
    held = {*before, *(key for key in SYSCTLS if ipv6 or key != FORWARDING6), *(_HEARS.format(interface) for interface in hears if ipv6)}
    return [*sorted(held - set(SYSCTLS)), *(key for key in SYSCTLS if key in held)]


def hearing(interfaces: Iterable[str]) -> list[str]:
    """The settings that say whether interfaces are heard."""
    return [_HEARS.format(interface) for interface in interfaces]


def raised(live: Mapping[str, int], before: Mapping[str, int], keys: Iterable[str]) -> dict[str, int]:
    """Those of the settings `keys` that are ours to hold, with the values that they had before.

    `live` is what the kernel holds, `before` what we recorded when we raised one. What the machine holds above our floor by
    somebody else's doing is not ours any more; what this kernel does not have is left out.
    """
    ours = {}
    for key in keys:
        if key not in live:
            continue
        one = row(key)
        lacking = live[key] < one.value if one.floor else live[key] != one.value
        if lacking or (key in before and live[key] == one.value):
            ours[key] = before.get(key, live[key])
    return ours


def sysctl_file(ours: Iterable[str], keys: Iterable[str], live: Iterable[str]) -> str:
    """The text for sysctl.d(5), with the reasons: what we raised, and what has to be exact whoever has set it for now."""
    held = {*ours, *(key for key in keys if key in live and not row(key).floor)}
    return WRITTEN + "".join(f"# {row(key).why}\n{key} = {row(key).value}\n" for key in keys if key in held)


def seccomp_profile(common: str) -> str:
    """LXC's own profile, and after it what a guest of ours must not do either (lxc.container.conf(5), lxc.seccomp.profile)."""
    lines = "".join(f"ioctl errno 1 [1,{number},SCMP_CMP_MASKED_EQ,4294967295]\n" for number in (*_SUBVOLUME_IOCTLS, *_QUOTA_IOCTLS))
    return common.rstrip("\n") + "\n" + lines


def fstab_line(pool: str, pool_file: str) -> str:
    """The line of fstab(5) that mounts the pool at boot; one that cannot be mounted stops its VPSs only, and not the boot."""
    return f"{pool_file} {pool} btrfs nofail,loop,noatime 0 0"


def fstab_lines_at(text: str | None, pool: str, pool_file: str | None) -> tuple[list[str], list[str]]:
    """The lines of fstab that mount something at the pool: its file, and anything else."""
    there = [line for line in lines(text) if line.split()[1:2] == [pool] and not line.lstrip().startswith("#")]
    return [line for line in there if line.split()[0] == pool_file], [line for line in there if line.split()[0] != pool_file]


def ids_line(id_start: int, id_count: int) -> str:
    """Root's line in subuid(5) and subgid(5)."""
    return f"root:{id_start}:{id_count}"


def covers(line: str, id_start: int, id_count: int) -> bool:
    """Whether a line gives root the whole range."""
    owner, first, count = _ids(line)
    return owner in ("root", "0") and first <= id_start and id_start + id_count <= first + count


def lines(text: str | None) -> list[str]:
    """The lines of somebody else's file: split where the programs that read it do, and nowhere else."""
    return (text or "").split("\n")


def edit_lines(text: str | None, *, drop: Collection[str] = (), add: Iterable[str] = ()) -> str:
    """A file of lines without some and with others at its end; everything else stays, character by character."""
    kept = "\n".join(line for line in lines(text) if line not in drop)
    added = "".join(f"{line}\n" for line in add)
    return kept + ("\n" if added and kept and not kept.endswith("\n") else "") + added


def refuse_overlap(path: str, text: str | None, id_start: int, id_count: int, *, ours: str) -> None:
    """Raise VpsError where somebody else has ids of the range: two owners of one id can read each other's files."""
    for number, line in enumerate(lines(text), 1):
        _owner, first, count = _ids(line)
        apart = first >= id_start + id_count or id_start >= first + count
        if not apart and line != ours and not covers(line, id_start, id_count):
            raise VpsError(
                f"id_start: {id_start} to {id_start + id_count - 1} overlaps line {number} of {path} ({shown(line)}); "
                "give id_start and id_count that are free."
            )


def _ids(line: str) -> tuple[str, int, int]:
    """A line of subuid(5), or an empty range for anything that is none."""
    fields = line.split(":")
    if len(fields) != 3 or not all(is_number(field.strip()) for field in fields[1:]):
        return "", 0, 0
    return fields[0], int(fields[1]), int(fields[2])
