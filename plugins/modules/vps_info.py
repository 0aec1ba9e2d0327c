#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_info
short_description: Read the VPSs and templates of a node
version_added: 0.1.0
description:
  - Returns every VPS of the node as it is now, its limits as the kernel holds them, and the node's templates. Changes nothing.
options:
  name:
    description:
      - Only this VPS. One that does not exist is an empty list, not an error.
    type: str
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
  platform:
    description: Linux nodes with LXC 5 or newer that the role P(mainline.vps.node#role) has prepared.
    support: full
    platforms: linux
requirements:
  - root on the node (C(become))
seealso:
  - module: mainline.vps.vps_container
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: Everything on this node
  mainline.vps.vps_info:
  register: node

- name: One VPS
  mainline.vps.vps_info:
    name: web1
  register: web
"""

RETURN = r"""
vpss:
  description: The VPSs, sorted by name, each as M(mainline.vps.vps_container) returns it.
  returned: success
  type: list
  elements: dict
  sample: [{name: web1, state: started, addresses: [10.90.0.10], limits: {memory: 512M}}]
templates:
  description: The templates, sorted by name, each as M(mainline.vps.vps_template) returns it.
  returned: success
  type: list
  elements: dict
  sample: [{name: minimal, source: minimal, used_by: [web1]}]
node:
  description: The node.
  returned: success
  type: dict
  contains:
    pool:
      description: Where its pool is mounted.
      type: str
      sample: /var/lib/vps
    pool_free:
      description: Bytes that the pool can still take.
      type: int
      sample: 17179869184
    networks:
      description: The subnets that it routes to VPSs.
      type: list
      elements: str
      sample: [10.90.0.0/16]
    cgroup_version:
      description: 1 or 2.
      type: int
      sample: 2
    capacity:
      description:
        - What there is of each resource that VPSs are promised, what is promised to all of them, and what is used - V(memory) and
          V(swap) in bytes, V(cpu) in percent of one CPU, V(disk), which is the pool, in bytes, V(processes) as a number, threads included.
        - What each VPS is promised is its limit as the playbook set it.
      type: dict
      contains:
        memory:
          description: Of memory; V(swap), V(cpu), V(disk) and V(processes) have the same keys.
          type: dict
          contains:
            present:
              description: What the node has.
              type: int
              sample: 8589934592
            promised:
              description: The sum of all VPSs' limits; null where the record of one of them cannot be read.
              type: int
              sample: 6442450944
            unlimited:
              description: How many VPSs have no such limit. They are not counted in the sum.
              type: int
              sample: 0
            commitment:
              description: What is promised, in percent of what there is; null where that is unknown, or there is nothing.
              type: float
              sample: 75.0
            used:
              description: What is used now, by the node itself too; null where that is unknown, as with V(cpu).
              type: int
              sample: 2147483648
            utilisation:
              description: What is used, in percent of what there is.
              type: float
              sample: 25.0
            overcommit:
              description: The most that may be promised, in percent, by O(mainline.vps.vps_node#module:overcommit); null without such a bound.
              type: int
              sample: 100
"""

from ansible_collections.mainline.vps.plugins.module_utils.runner import run_info
from ansible_collections.mainline.vps.plugins.module_utils.subjects import read_info


def main() -> None:
    """Run the module."""
    run_info(read_info, {"name": {"type": "str"}})


if __name__ == "__main__":
    main()
