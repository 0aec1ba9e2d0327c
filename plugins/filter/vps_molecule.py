# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of a Molecule scenario as VPSs."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.plugin_utils import molecule

DOCUMENTATION = r"""
---
name: vps_molecule
short_description: Make VPSs of the platforms of a Molecule scenario
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Gives each platform's VPS as M(mainline.vps.vps_fleet) takes it, and the label by which all VPSs of the scenario are found again.
    The playbooks C(mainline.vps.molecule_create) and C(mainline.vps.molecule_destroy) use it; see C(docs/molecule.md).
  - A platform may have each option of M(mainline.vps.vps_container) but C(state), and Molecule's own C(groups) and C(children). Another key is an error.
  - An instance has a free address of the node's network C(default), its name as host name, and a firewall that lets the other instances of the
    scenario in, where the platform does not say otherwise.
positional: _input
options:
  _input:
    description:
      - The C(platforms) of a C(molecule.yml).
    type: list
    elements: dict
    required: true
  scenario:
    description:
      - The name of the scenario.
    type: str
    required: true
  directory:
    description:
      - A path that this scenario of this checkout has alone, such as Molecule's C(molecule_scenario_directory).
    type: str
    required: true
  owner:
    description:
      - Who keeps the scenario's VPSs apart from those of other controllers on the node. The host name of the controller, when this is not given.
    type: str
  template:
    description:
      - The template of those that name none.
    type: str
    default: molecule-bookworm
seealso:
  - module: mainline.vps.vps_fleet
"""

EXAMPLES = r"""
- name: What a scenario's VPSs are called
  ansible.builtin.debug:
    msg: "{{ (platforms | mainline.vps.vps_molecule('default', '/home/me/shop/molecule/default')).instances }}"
  vars:
    platforms:
      - name: web
        groups: [servers]
        limits: {memory: 512M}
      - name: client
"""

RETURN = r"""
_value:
  description: The scenario's VPSs.
  type: dict
  contains:
    label:
      description: The value of the label C(molecule) of all of them.
      type: str
      sample: 0d6e4079e367
    instances:
      description: The name of each platform (C(instance)), and its VPS (C(vps)).
      type: list
      elements: dict
"""


def vps_molecule(
    platforms: Any, scenario: str, directory: str, owner: str | None = None, template: str = "molecule-bookworm"
) -> dict[str, Any]:
    """The label and the instances."""
    scenario, directory, owner = str(scenario), str(directory), str(owner or platform.node())
    try:
        found = molecule.instances(platforms, scenario=scenario, directory=directory, owner=owner, template=str(template))
    except VpsError as error:
        raise AnsibleFilterError(f"vps_molecule: {error}") from None
    return {"label": molecule.label_of(scenario, directory, owner), "instances": found}


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable]:
        """Name and function of each filter."""
        return {"vps_molecule": vps_molecule}
