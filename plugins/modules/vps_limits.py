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
  - Sets what an existing VPS may use, whatever it is doing; live where the kernel can. Kept over restarts of VPS and node.
  - The task lists all limits of the VPS. One that it does not list is removed - absent means absent.
  - Each limit is read back from the kernel; one that the kernel did not take is an error. RV(fidelity) says of each how near
    the kernel comes to it.
options:
  name:
    description:
      - The name of an existing VPS.
    type: str
    required: true
extends_documentation_fragment:
  - mainline.vps.limits
  - mainline.vps.limits.policy
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

- name: A plan of the node's, with more memory than it has
  mainline.vps.vps_limits:
    name: web1
    plan: small
    memory: 1G

- name: OpenVZ's words, where those that mainline's kernel does not have are only warned of
  mainline.vps.vps_limits:
    name: web1
    physpages: "0:512M"
    swappages: "0:256M"
    numproc: "240:240"
    numfile: "9312:9312"
    numtcpsock: "360:360"
    unsupported: warn

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
      description:
        - When it is felt - C(live) at once, C(start) when the stopped VPS starts, C(restart) when the running VPS restarts, C(none) never,
          for this node cannot keep the limit, and O(unsupported) says to go on.
      type: str
      sample: live
fidelity:
  description:
    - A word on each limit that the VPS is to have, those of its plan included, in the order of C(docs/limits.md). In check mode
      C(where) and C(held) are what was there before.
  returned: success, where limits are asked for
  type: list
  elements: dict
  contains:
    limit:
      description: The key.
      type: str
      sample: lockedpages
    asked:
      description: Its value, as written for a person.
      type: str
      sample: "16"
    fidelity:
      description: C(exact), C(approximate) or C(unsupported), on this node.
      type: str
      sample: approximate
    by:
      description: The kernel's control.
      type: str
      sample: RLIMIT_MEMLOCK
    why:
      description: What is not as OpenVZ has it, or why the limit cannot be kept; empty where there is nothing to say.
      type: str
      sample: counts each process apart; root of a privileged VPS is not bound
    where:
      description: The file that holds it, or the name of the call; empty where the VPS does not run.
      type: str
      sample: RLIMIT_MEMLOCK
    held:
      description: What the kernel holds there now, in its own units.
      type: str
      sample: 65536:65536
restart_required:
  description: Whether the running VPS must be restarted before all of it is felt.
  returned: success
  type: bool
  sample: false
vps:
  description: The VPS after the task, with its limits as the kernel holds them; as M(mainline.vps.vps_container) returns it.
  returned: success
  type: dict
  sample: {name: web1, limits: {memory: 1G}}
"""

from ansible_collections.mainline.vps.plugins.module_utils.core.container import LIMIT_OPTIONS
from ansible_collections.mainline.vps.plugins.module_utils.runner import run
from ansible_collections.mainline.vps.plugins.module_utils.subjects import LIMITS


def main() -> None:
    """Run the module."""
    run(
        LIMITS,
        {
            "name": {"type": "str", "required": True},
            **{name: {"type": "str"} for name in LIMIT_OPTIONS if name != "memory"},
            "memory": {"type": "str", "aliases": ["ram", "mem"]},
            "unsupported": {"type": "str", "choices": ["fail", "warn", "ignore"], "default": "fail"},
            "force": {"type": "bool", "default": False},
        },
    )


if __name__ == "__main__":
    main()
