# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of a node say: kernel settings, packet filter, seccomp profile, id ranges, mounts.

Pure: text in, text out. Which of them are there, and which are missing, is core/machine.py's question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from .errors import VpsError, shown
from .places import HOST_PREFIX, TABLE
from .units import is_number

NO_RULES = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"  # added before, so that it is no error where it is gone
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
    "kernel.keys.maxkeys": Sysctl(2_000, "a session keyring for each service of a guest"),
    "kernel.keys.maxbytes": Sysctl(2_000_000, "the bytes that belong to them"),
    "net.ipv4.neigh.default.gc_thresh1": Sysctl(1_024, "every VPS is a neighbour of the node"),
    "net.ipv4.neigh.default.gc_thresh2": Sysctl(4_096, "every VPS is a neighbour of the node"),
    "net.ipv4.neigh.default.gc_thresh3": Sysctl(8_192, "every VPS is a neighbour of the node"),
    "vm.max_map_count": Sysctl(262_144, "databases and search engines map many files; guests cannot set it for themselves"),
    "net.ipv4.ip_forward": Sysctl(1, "the node routes its VPSs' packets", floor=False),
}

# A nested subvolume that a guest's root makes is in no qgroup, and so escapes the disk limit: the four ioctls that make
# one (linux/btrfs.h: SUBVOL_CREATE, SNAP_CREATE, SNAP_CREATE_V2, SUBVOL_CREATE_V2) are refused. The kernel looks at the
# low 32 bits of the number only, whatever a guest puts into the high ones: so does the rule.
_SUBVOLUME_IOCTLS = (1342215182, 1342215169, 1342215191, 1342215192)
# Root of a privileged VPS has CAP_SYS_ADMIN on the node, and with these could lift the disk limit through any directory of its own:
# QUOTA_CTL, _IOWR(0x94, 40) of 16 bytes; QGROUP_ASSIGN, _IOW(0x94, 41) of 24; QGROUP_CREATE, _IOW(0x94, 42) of 16; QGROUP_LIMIT,
# _IOR(0x94, 43) of 48; QUOTA_RESCAN, _IOW(0x94, 44) of 64. A number is direction << 30 | size << 16 | 0x94 << 8 | the last one
# (asm-generic/ioctl.h; _IOW is 1, _IOR is 2).
_QUOTA_IOCTLS = (3222311976, 1075352617, 1074828330, 2150667307, 1077974060)


def raised(live: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """The settings that are ours to hold, with the values that they had before.

    `live` is what the kernel holds, `before` what we recorded when we raised one. What the machine holds above our floor by
    somebody else's doing is not ours any more; what this kernel does not have is left out.
    """
    ours = {}
    for key, row in SYSCTLS.items():
        if key not in live:
            continue
        lacking = live[key] < row.value if row.floor else live[key] != row.value
        if lacking or (key in before and live[key] == row.value):
            ours[key] = before.get(key, live[key])
    return ours


def sysctl_file(ours: Iterable[str], live: Iterable[str]) -> str:
    """The text for sysctl.d(5), with the reasons: what we raised, and what has to be exact whoever has set it for now."""
    held = {*ours, *(key for key in live if not SYSCTLS[key].floor)}
    return WRITTEN + "".join(f"# {row.why}\n{key} = {row.value}\n" for key, row in SYSCTLS.items() if key in held)


def seccomp_profile(common: str) -> str:
    """LXC's own profile, and after it what a guest of ours must not do either (lxc.container.conf(5), lxc.seccomp.profile)."""
    lines = "".join(f"ioctl errno 1 [1,{number},SCMP_CMP_MASKED_EQ,4294967295]\n" for number in (*_SUBVOLUME_IOCTLS, *_QUOTA_IOCTLS))
    return common.rstrip("\n") + "\n" + lines


@dataclass(frozen=True)
class Ruleset:
    """Our nftables table: its text, and the mark that each of its rules carries in the kernel."""

    text: str
    mark: str
    rules: int


def ruleset(networks: Iterable[str], *, nat: bool) -> Ruleset:
    """The one table of a node. `nft -f` replaces it in one step; tables of others are not named in it.

    Every rule has the text's SHA-256 in its comment, because not every nft shows the comment of a table.
    """
    prerouting = [f'iifname "{HOST_PREFIX}*" fib saddr . iif oif missing drop']
    postrouting = [f'oifname != "{HOST_PREFIX}*" ip saddr {network} masquerade' for network in networks] if nat else []
    mark = f"mainline.vps {hashlib.sha256(repr((1, prerouting, postrouting)).encode()).hexdigest()[:32]}"
    text = (
        f"{WRITTEN}"
        f"{NO_RULES}"
        f"table inet {TABLE} {{\n"
        "\t# No spoofing: what comes from a VPS and does not route back to the same VPS is not its own.\n"
        "\tchain prerouting {\n"
        "\t\ttype filter hook prerouting priority raw; policy accept;\n"
        f"{_rules(prerouting, mark)}"
        "\t}\n"
        "\t# What leaves the node has the node's address.\n"
        "\tchain postrouting {\n"
        "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
        f"{_rules(postrouting, mark)}"
        "\t}\n"
        "}\n"
    )
    return Ruleset(text, mark, len(prerouting) + len(postrouting))


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


def _rules(rules: Iterable[str], mark: str) -> str:
    return "".join(f'\t\t{rule} comment "{mark}"\n' for rule in rules)


def _ids(line: str) -> tuple[str, int, int]:
    """A line of subuid(5), or an empty range for anything that is none."""
    fields = line.split(":")
    if len(fields) != 3 or not all(is_number(field.strip()) for field in fields[1:]):
        return "", 0, 0
    return fields[0], int(fields[1]), int(fields[2])
