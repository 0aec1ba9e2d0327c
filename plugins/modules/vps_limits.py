#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_limits
short_description: Set the limits of a VPS, live
version_added: 0.1.0
description:
  - Sets what an existing VPS may use, whatever it is doing, without a restart. Kept over restarts of VPS and node.
  - The task lists all limits of the VPS. One that it does not list is removed - absent means absent.
  - Each limit is read back from the kernel; one that the kernel did not take is an error.
options:
  name:
    description:
      - The name of an existing VPS.
    type: str
    required: true
  memory:
    description:
      - RAM in bytes, or with one of the suffixes K, M, G, T, P (powers of 1024; V(512M), V(512MB) and V(512MiB)
        are the same). At least 4M.
      - Less than the VPS uses and the kernel cannot reclaim is refused.
    type: str
  swap:
    description:
      - Swap in bytes, besides O(memory), which it needs. V(0) forbids swapping.
    type: str
  cpuunits:
    description:
      - Share of the CPU under contention, 10 to 100000; a VPS without has 1000.
    type: str
  cpulimit:
    description:
      - CPU time in percent of one CPU, V(50) or V(50%) is half of one.
    type: str
  cpus:
    description:
      - CPU time in whole CPUs; the lesser of this and O(cpulimit) counts.
    type: str
  processes:
    description:
      - Processes and threads, at least 8.
    type: str
  diskspace:
    description:
      - Bytes that the root file system refers to, its template's data included. At least 1M.
    type: str
notes:
  - Every limit may be V(unlimited), which is the same as leaving it out.
extends_documentation_fragment:
  - mainline.vps.common
seealso:
  - module: mainline.vps.vps_container
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: All limits of a VPS
  mainline.vps.vps_limits:
    name: web1
    memory: 512M
    swap: 256M
    cpuunits: 2000
    cpulimit: 150
    cpus: 2
    processes: 300
    diskspace: 10G

- name: Only memory is limited from now on
  mainline.vps.vps_limits:
    name: web1
    memory: 1G
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be; empty where nothing is.
  returned: success
  type: list
  elements: dict
  contains:
    option:
      description: The option, a limit as C(limits.NAME).
      type: str
      sample: limits.memory
    before:
      description: What was there.
      type: raw
      sample: 512M
    after:
      description: What is there now.
      type: raw
      sample: 1G
    effect:
      description: When it is felt - C(live) at once, C(start) when the stopped VPS starts, C(restart) when the running VPS restarts.
      type: str
      sample: live
restart_required:
  description: Whether the running VPS must be restarted before all of it is felt.
  returned: success
  type: bool
  sample: false
vps:
  description: The VPS after the task, with its limits as the kernel holds them; as M(mainline.vps.vps_container) returns it.
  returned: success
  type: dict
  sample: {name: web1, limits: {memory: 1G, swap: unlimited}}
"""

from ansible_collections.mainline.vps.plugins.module_utils.runner import run
from ansible_collections.mainline.vps.plugins.module_utils.subjects import LIMITS


def main() -> None:
    """Run the module."""
    run(
        LIMITS,
        {
            "name": {"type": "str", "required": True},
            "memory": {"type": "str"},
            "swap": {"type": "str"},
            "cpuunits": {"type": "str"},
            "cpulimit": {"type": "str"},
            "cpus": {"type": "str"},
            "processes": {"type": "str"},
            "diskspace": {"type": "str"},
        },
    )


if __name__ == "__main__":
    main()
