# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be said of a plan before anybody gets it: what vzcfgvalidate did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.module_utils.core import validation
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.plugin_utils import given

DOCUMENTATION = r"""
---
name: vps_validate
short_description: Say what is wrong with a plan, and what might be better
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Looks through a plan as OpenVZ's vzcfgvalidate did, by those of its rules that have a meaning without beancounters, and more.
  - An error is what the modules refuse; a warning is what they take, and what will not work well, or not on every node; advice is
    the rest.
positional: _input, node
options:
  _input:
    description:
      - A plan, with the keys of M(mainline.vps.vps_limits).
    type: dict
    required: true
  node:
    description:
      - A node as M(mainline.vps.vps_info) returns it in RV(mainline.vps.vps_info#module:node), to look whether the plan is one for it -
        whether it has as much, can keep each of the limits with its control groups, and may promise it.
    type: dict
seealso:
  - module: mainline.vps.vps_info
  - module: mainline.vps.vps_limits
"""

EXAMPLES = r"""
- name: Read the node
  mainline.vps.vps_info:
  register: info

- name: Show what is to be said of a plan
  ansible.builtin.debug:
    msg: "{{ plan | mainline.vps.vps_validate(info.node) }}"
  vars:
    plan: {memory: 512M, memory_high: 1G, processes: 300, diskspace: 10G}

- name: Go on only where nothing is wrong with it
  ansible.builtin.assert:
    that: plan | mainline.vps.vps_validate | selectattr('level', '==', 'error') | list | length == 0
  vars:
    plan: {memory: 512M, swap: 256M, processes: 300, diskspace: 10G}
"""

RETURN = r"""
_value:
  description: What is to be said, errors first, then warnings, then advice; an empty list where there is nothing.
  type: list
  elements: dict
  contains:
    level:
      description: V(error), V(warning) or V(advice).
      type: str
    limit:
      description: The key that it is about.
      type: str
    text:
      description: The rest of the sentence that begins with the key.
      type: str
  sample:
    - level: warning
      limit: memory_high
      text: is above memory, which the VPS never gets past; give less, or leave it out.
"""


def vps_validate(plan: Mapping, node: Mapping | None = None) -> list[dict[str, str]]:
    """All that is to be said."""
    try:
        return [asdict(finding) for finding in validation.validate(given.limits(plan), node)]
    except VpsError as error:
        raise AnsibleFilterError(f"vps_validate: {error}") from None


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable]:
        """Name and function of each filter."""
        return {"vps_validate": vps_validate}
