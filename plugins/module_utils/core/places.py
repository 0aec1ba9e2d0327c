# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things of a node and of its VPSs are, and what they are called: what several parts, and the files that they write, agree on."""

from __future__ import annotations

FOLDER = "/etc/vps"  # of the files that are ours alone
SETTINGS = f"{FOLDER}/node.json"
SECCOMP = f"{FOLDER}/seccomp"
NETWORK = f"{FOLDER}/network.nft"
BRIDGED = f"{FOLDER}/bridged.nft"  # the same for what passes a bridge
BRIDGES = f"{FOLDER}/bridges"  # makes the bridges of our making, where they are missing
BOOT = f"{FOLDER}/boot"
ENTER = f"{FOLDER}/enter"  # NAME -- ARGV...: runs a program in a VPS
METRICS = f"{FOLDER}/metrics.json"  # what is told to Prometheus, and where
METER = "/usr/local/lib/mainline-vps/metrics"  # the program that does
METRICS_UNIT, METRICS_TIMER = "vps-metrics.service", "vps-metrics.timer"
TABLE = "mainline_vps"  # in the packet filter
PACKET_FILTER = "packet_filter"  # what a plan calls a table that is not there, or not ours
FILTER = "packet-filter"  # the lock without which nobody changes it
MARK = "is_"  # that the name of a chain in it begins with, which says whose text the table is of
HOST_PREFIX = "vps"  # what the node's ends of all VPSs' links are called, and nothing else

LXCPATH = "/var/lib/lxc"
SNAPSHOTS, SNAPSHOT = "snapshots", "snapshot.json"  # the folder, in a VPS's directory, of its snapshots; the record of each
LAYER = ".layer-"  # before the name of what VPSs of storage dir lie on, beside the templates
BACKED_UP = "backed-up"  # the file, in a VPS's directory, that says when its newest whole backup was made
DISK = "disk"  # the hook, in a VPS's directory, that mounts what its storage has to have mounted
# Folders in it: with what it boots in rescue, with what is to take the place of its disk, with what was there before.
RESCUE, NEXT, PREVIOUS = "rescue", "next", "previous"
# In the configuration of a VPS that starts with the node. LXC's own boot service starts containers of other groups.
ORDER_KEY, GROUP = "lxc.start.order", "mainline-vps"

OWN = "$OWN"  # in the start hook: the VPS's cgroup, from the root of the hierarchy

SLICE = "vps.slice"  # of all VPSs: they share the CPU with the node's own services as one
NETWORK_UNIT, BOOT_UNIT = "vps-network.service", "vps-boot.service"
LOCKS = "/run/vps.lock"  # of runs; root alone makes folders in /run: in /run/lock anybody may, and would own what root writes to
OFFLINE = "/run/vps.offline"  # with a folder for each stopped VPS in which a program runs
STOPPED_CGROUP, STOPPED_MONITOR = "vps/.", "vps.monitor/."  # before its name: the cgroups of those, which no VPS's own can be
GROUP_VARIABLE = "VPS_GROUP"  # tells the start hook the cgroup of such a program, in place of the VPS's own
UNPRUNED = ".unpruned-"  # in the pool, before a digest of a repository: backups were removed there, and what only they had is still there
RUNTIME = "/run/vps"  # with a folder for each VPS whose unit is not through with it
STOP_TIMEOUT = 60  # s, for a VPS's init when the node goes down
RECURSIVE = "memory_recursiveprot"  # see node/unit.py


def unit_of(name: str) -> str:
    """The unit of a VPS."""
    return f"vps@{name}.service"


def link_of(id_base: int | None) -> str:
    """The node's end of a VPS's link, numbered like its id range: unique, short, and the same for ever."""
    return f"{HOST_PREFIX}{(id_base or 0) >> 16}"


def cgroup_of(name: str) -> str:
    """The cgroup of that unit, from the root of the hierarchy, with a slash at its end."""
    return f"{SLICE}/{unit_of(name)}/"
