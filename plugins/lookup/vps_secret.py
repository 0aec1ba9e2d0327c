# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords that are generated once and kept on the controller, and never by a check."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: vps_secret
short_description: Generate a password once, and keep it
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Returns what a file on the controller holds. Where there is no such file, it is made, with mode 0600, and a password of letters and digits in it.
  - It is P(ansible.builtin.password#lookup) but for check mode, in which it writes nothing and makes one up where there is none, and for a file that is
    empty, which is an error.
options:
  _terms:
    description:
      - The paths of the files.
    type: list
    elements: path
    required: true
  length:
    description:
      - How many characters one has that is generated.
    type: int
    default: 24
seealso:
  - plugin: ansible.builtin.password
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Set the password of an account, which has been generated the first time that this ran
  ansible.builtin.user:
    name: alice
    password: "{{ lookup('mainline.vps.vps_secret', 'secrets/alice') | password_hash('sha512', 'somesalt') }}"
"""

RETURN = r"""
_raw:
  description: The passwords.
  type: list
  elements: str
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """A password for each path."""
        self.set_options(var_options=variables, direct=kwargs)
        foreseen = bool((variables or {}).get("ansible_check_mode"))
        paths = [self._loader.path_dwim(str(term)) for term in terms]
        generator = lookup_loader.get("ansible.builtin.password", loader=self._loader, templar=self._templar)
        how = {"length": self.get_option("length"), "chars": ["ascii_letters", "digits"]}
        found = generator.run(["/dev/null" if foreseen and not os.path.isfile(path) else path for path in paths], variables, **how)
        for path, password in zip(paths, found, strict=True):
            if not password:  # a full disk, or a controller that was killed at that moment; nobody is to have an account without a password
                raise AnsibleLookupError(f"vps_secret: {path} is empty; write the password into it, or remove it, and another one is generated.")
        return found
