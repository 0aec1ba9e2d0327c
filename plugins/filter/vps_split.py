# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan for each of so many VPSs that share a node: what vzsplit did."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.module_utils.core import limits, machine, plans, units
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import KEYS
from ansible_collections.mainline.vps.plugins.module_utils.core.capacity import RESOURCES, present_of
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError, shown
from ansible_collections.mainline.vps.plugins.plugin_utils import given

DOCUMENTATION = r"""
---
name: vps_split
short_description: Divide a node among its VPSs
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Makes a plan of what a node has - the C(memory), C(swap), C(cpulimit), C(diskspace) and C(processes) that each of a number of VPSs
    can be promised, as OpenVZ's vzsplit did. All of them together are never promised more than there is, less what the node
    keeps, times O(overcommit).
  - Rounded down, sizes of 1M and more to whole M. It is an error where less would be left for a VPS than a limit can be.
  - Divides the whole node; what it has promised already is not taken off.
positional: _input, count
options:
  _input:
    description:
      - A node as M(mainline.vps.vps_info) returns it in RV(mainline.vps.vps_info#module:node).
    type: dict
    required: true
  count:
    description:
      - The number of VPSs.
    type: int
    required: true
  margin:
    description:
      - What the node keeps of each resource for itself, in percent, 0 to 99.
    type: str
    default: 10%
  keep:
    description:
      - What the node keeps of one resource instead, in its own unit - V(memory), V(swap) and V(disk) in bytes or with a suffix, V(cpu) in
        percent of one CPU, V(processes) as a number.
    type: dict
    default: {}
  overcommit:
    description:
      - How much is promised of a resource, in percent of what is left when the node has kept its part; V(100) for those not listed.
        The resources are those of O(keep).
    type: dict
    default: {}
seealso:
  - module: mainline.vps.vps_info
  - module: mainline.vps.vps_node
"""

EXAMPLES = r"""
- name: Read the node
  mainline.vps.vps_info:
  register: info

- name: Let twenty share it, with 1 GiB of memory for the node itself, and the CPU promised four times
  ansible.builtin.set_fact:
    share: "{{ info.node | mainline.vps.vps_split(20, margin='5%', keep={'memory': '1G'}, overcommit={'cpu': 400}) }}"

- name: Make it a plan of the node's
  mainline.vps.vps_node:
    plans:
      share: "{{ share }}"
"""

RETURN = r"""
_value:
  description: A plan, as O(mainline.vps.vps_node#module:plans) takes it.
  type: dict
  sample: {memory: 358M, swap: 194M, cpulimit: 76%, processes: "1556", diskspace: 4864M}
"""


def vps_split(node: Mapping, count: int, margin: object = "10%", keep: Mapping | None = None, overcommit: Mapping | None = None) -> dict[str, str]:
    """The plan, each limit as a person writes it."""
    try:
        part = plans.split(
            present_of(node),
            _number(units.parse_count(count, option="count", minimum=1), "count"),
            margin=_number(units.parse_percent(margin, option="margin", minimum=0, maximum=99), "margin"),
            keep=_keep({} if keep is None else keep),
            overcommit=_overcommit({} if overcommit is None else overcommit),
        )
    except VpsError as error:
        raise AnsibleFilterError(f"vps_split: {error}") from None
    return limits.show(part)


def _number(value: int | None, option: str) -> int:
    if value is None:
        raise VpsError(f"{option}: cannot be unlimited; give a number.")
    return value


def _keep(kept: object) -> dict[str, int]:
    """What the node keeps, by resource, in its unit."""
    found = {}
    for name, value in given.limits(kept, "keep").items():
        if name not in RESOURCES:
            raise VpsError(f"keep: there is no resource {shown(name)}; there are {', '.join(RESOURCES)}.")
        option = f"keep.{name}"
        found[name] = _number(KEYS[RESOURCES[name].key].kind.parse(value, option=option, minimum=0), option)
    return found


def _overcommit(bounds: object) -> dict[str, int]:
    percents = given.limits(bounds, "overcommit")
    policy = machine.parse_overcommit(percents)
    for name in percents:
        _number(policy.get(name), f"overcommit.{name}")
    return policy


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable]:
        """Name and function of each filter."""
        return {"vps_split": vps_split}
