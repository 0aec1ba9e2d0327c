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
"""

from ansible_collections.mainline.vps.plugins.module_utils.runner import run_info
from ansible_collections.mainline.vps.plugins.module_utils.subjects import read_info


def main() -> None:
    """Run the module."""
    run_info(read_info, {"name": {"type": "str"}})


if __name__ == "__main__":
    main()
