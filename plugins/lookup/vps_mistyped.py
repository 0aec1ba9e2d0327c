# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which options of a role are of another type than its specification says."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: vps_mistyped
short_description: Tell which options of a role are of another type than its specification says
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Returns a sentence about each variable, or value in it, that is of another type than the specification (C(meta/argument_specs.yml)) of a role says.
  - Ansible looks at that too when a role begins, but lets pass what could be made the right type, and leaves it as it is. Then a text that stands where a
    list should is read letter by letter, and V("no") is true. The roles of this collection ask this before they do anything.
  - Numbers may be texts, and so may a boolean that is a variable of its own, as with C(-e) on the command line.
options:
  _terms:
    description:
      - The folders of the roles.
    type: list
    elements: path
    required: true
"""

EXAMPLES = r"""
- name: Refuse what is of another type than this role needs
  ansible.builtin.assert:
    that: mistyped | length == 0
    fail_msg: "{{ mistyped | first | default('') }}"
  vars:
    mistyped: "{{ query('mainline.vps.vps_mistyped', role_path) }}"
"""

RETURN = r"""
_raw:
  description: A sentence for each, which begins with the name of the option and does not have the value.
  type: list
  elements: str
"""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import yaml
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.mainline.vps.plugins.plugin_utils.mistyped import mistyped


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The sentences of all roles, one after the other."""
        self.set_options(var_options=variables, direct=kwargs)
        there = variables or {}
        told = []
        for folder in terms:
            options = _options(os.path.join(str(folder), "meta", "argument_specs.yml"))
            told += mistyped(options, {name: self._templar.template(there[name]) for name in options if name in there})
        return told


@cache
def _options(path: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            entries = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["argument_specs"]
    except OSError as error:
        raise AnsibleLookupError(f"vps_mistyped: {path}: {error.strerror}.") from error
    return {name: option for entry in entries.values() for name, option in (entry.get("options") or {}).items()}
