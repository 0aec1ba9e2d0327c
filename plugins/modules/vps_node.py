#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_node
short_description: Make a machine a VPS node, or no node
version_added: 0.1.0
description:
  - Makes what VPSs need of a machine - a pool for their data, id ranges, kernel settings, a packet filter table, a seccomp
    profile, lxcfs. Each is compared with what the kernel holds, and with its file.
  - Where systemd runs the machine, each VPS is a unit C(vps@NAME.service) in C(vps.slice), C(vps-boot.service) starts those
    that start with the node in their order, C(vps-network.service) brings the packet filter table back, and
    systemd-networkd and NetworkManager are told to leave the interfaces of VPSs alone.
  - Writes the script C(/etc/vps/enter), by which M(mainline.vps.vps_command), the connection plugin C(mainline.vps.vps) and root of the node run
    programs in VPSs.
  - Tables of others in the packet filter stay as they are. One that drops what the machine routes is told as a warning, with
    the command that lets VPSs pass.
  - Does not install packages; the role P(mainline.vps.node#role) does that and then uses this module.
  - Remembers in C(/etc/vps/node.json) what it made and what it changed, and O(state=absent) takes exactly that away.
options:
  state:
    description:
      - V(absent) is an error while there are VPSs or templates on the node.
    type: str
    choices: [present, absent]
    default: present
  pool:
    description:
      - The directory of all VPSs and templates.
      - With O(pool_kind=btrfs), a directory on a btrfs is used as it is; its quota has to be enabled. Elsewhere a pool is made in O(pool_file) and
        mounted there, now and at boot.
      - Cannot change. Make the machine no node first (O(state=absent)), then a node again with the other pool.
    type: str
    default: /var/lib/vps
  pool_file:
    description:
      - The file that a pool is made in, where O(pool) is not on a btrfs. Sparse - it takes the space that is used. Cannot
        change either.
    type: str
    default: /var/lib/vps.img
  pool_size:
    description:
      - How large such a pool is, in bytes or with one of the suffixes K, M, G, T (powers of 1024) and P (pages of 4096).
        V(20G) where one is made and this is not given.
      - A larger value enlarges the pool while it is in use, where the file system that O(pool_file) is on has room for it. A smaller one changes
        nothing.
    type: str
  pool_kind:
    description:
      - V(btrfs) is a pool with all that VPSs can have. V(dir) uses O(pool) as it is, a directory on ext4, xfs or another file system of a disk; its VPSs
        have O(mainline.vps.vps_container#module:storage=dir), so that nothing of their disks is limited, and templates are directories.
      - Not given, it stays as it is, and is V(btrfs) on a new node. Cannot change.
    type: str
    choices: [btrfs, dir]
  pool_warning:
    description:
      - Have this module, M(mainline.vps.vps_container), M(mainline.vps.vps_limits) and M(mainline.vps.vps_info) warn when less of the pool is free
        than this, in percent. V(0) is never.
      - Not given, it stays as it is, and is 10 on a new node.
    type: int
  id_start:
    description:
      - The first uid and gid of all VPSs, a multiple of 65536. The range must belong to nobody else in C(/etc/subuid) and
        C(/etc/subgid), where it is written as root's.
    type: int
    default: 704643072
  id_count:
    description:
      - How many uids and gids, a multiple of 65536. Each VPS takes 65536, whatever it uses.
    type: int
    default: 655360000
  networks:
    description:
      - IPv4 and IPv6 subnets whose addresses the node routes to its VPSs. An empty list is none. They are the network C(default); see
        M(mainline.vps.vps_network) for more.
      - With one of IPv6 the node forwards IPv6. Where it has learned its way out from a router's advertisements, it still listens to them.
      - A subnet that the machine reaches through an interface of its own is an error.
    type: list
    elements: str
    default: [10.90.0.0/16]
  nat:
    description:
      - Whether connections from O(networks) to somewhere else leave with the address of the node. Those of IPv6 do from unique local addresses
        (C(fc00::/7\)) only.
    type: bool
    default: true
  plans:
    description:
      - Named sets of limits, by name, each with the keys of M(mainline.vps.vps_limits), for the key C(plan) of a VPS's limits. A plan
        may have a key C(plan) too, and is then laid over that one.
      - The list is the whole of it; one that is no longer listed goes. Not given, the node's plans stay as they are.
      - A VPS has what the plan said when its limits were last set; a task that names its limits again brings a changed plan in.
    type: dict
  overcommit:
    description:
      - How much may be promised to all VPSs together, in percent of what the node has - C(memory), C(swap), C(cpu) (100 is one time
        all CPUs), C(disk) and C(processes). A VPS that would break it is refused, in check mode too, and so is one that has no limit of
        such a resource.
      - A resource that is not listed may be promised without bound. Not given, the node's policy stays as it is.
    type: dict
extends_documentation_fragment:
  - mainline.vps.common
seealso:
  - module: mainline.vps.vps_template
  - module: mainline.vps.vps_container
  - module: mainline.vps.vps_network
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: A node with a pool of 50 GiB in a file
  mainline.vps.vps_node:
    pool_size: 50G

- name: A node with its pool on a btrfs of its own, and public addresses for its VPSs
  mainline.vps.vps_node:
    pool: /srv/vps
    networks: [203.0.113.0/26, 2001:db8:1::/64]
    nat: false

- name: Plans to sell, and no more memory sold than there is
  mainline.vps.vps_node:
    plans:
      small: {memory: 512M, swap: 256M, cpulimit: 50, processes: 300, diskspace: 10G}
      large: {plan: small, memory: 4G, cpulimit: 400, diskspace: 80G}
    overcommit: {memory: 100, disk: 200}

- name: No node any more
  mainline.vps.vps_node:
    state: absent
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be; empty where nothing is.
  returned: success
  type: list
  elements: dict
  contains:
    option:
      description: The option, or the part of the machine.
      type: str
      sample: networks
    before:
      description: What was there.
      type: raw
      sample: [10.90.0.0/24]
    after:
      description: What is there now.
      type: raw
      sample: [10.90.0.0/16]
    effect:
      description: When it is felt, always C(live).
      type: str
      sample: live
restart_required:
  description: Always false, no change of a machine waits for a restart.
  returned: success
  type: bool
  sample: false
node:
  description: The node after the task; null where the machine is none. In check mode, as it is now.
  returned: success
  type: dict
  contains:
    pool:
      description: The directory of all VPSs and templates.
      type: str
      sample: /var/lib/vps
    pool_file:
      description: The file that the pool was made in; null where it is on a btrfs that was there.
      type: str
      sample: /var/lib/vps.img
    pool_size:
      description: How large the file system of the pool is.
      type: str
      sample: 20G
    pool_kind:
      description: C(btrfs), or C(dir) for a directory on any file system.
      type: str
      sample: btrfs
    pool_free:
      description: How much of it VPSs can still take.
      type: str
      sample: 17G
    pool_warning:
      description: Below how many percent of it that is a warning.
      type: int
      sample: 10
    id_start:
      description: The first uid and gid of all VPSs.
      type: int
      sample: 704643072
    id_count:
      description: How many there are.
      type: int
      sample: 655360000
    networks:
      description: The subnets that are routed to VPSs.
      type: list
      elements: str
      sample: [10.90.0.0/16]
    nat:
      description: Whether connections leave with the node's address.
      type: bool
      sample: true
    cgroup_version:
      description: Which control groups the machine has, 1 or 2.
      type: int
      sample: 2
"""

from ansible_collections.mainline.vps.plugins.module_utils.machine_subject import MACHINE
from ansible_collections.mainline.vps.plugins.module_utils.runner import run


def main() -> None:
    """Run the module."""
    run(
        MACHINE,
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "pool": {"type": "str", "default": "/var/lib/vps"},
            "pool_file": {"type": "str", "default": "/var/lib/vps.img"},
            "pool_size": {"type": "str"},
            "pool_kind": {"type": "str", "choices": ["btrfs", "dir"]},
            "pool_warning": {"type": "int"},
            "id_start": {"type": "int", "default": 704643072},
            "id_count": {"type": "int", "default": 655360000},
            "networks": {"type": "list", "elements": "str", "default": ["10.90.0.0/16"]},
            "nat": {"type": "bool", "default": True},
            "plans": {"type": "dict"},
            "overcommit": {"type": "dict"},
        },
    )


if __name__ == "__main__":
    main()
