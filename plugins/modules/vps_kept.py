#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_kept
short_description: Run a module of this collection by code that the node has kept
version_added: 0.1.0
description:
  - Not for playbooks. It is how this collection's modules reach a node - the first task of a module brings its code, the node keeps it
    in C(/run/vps.code), where root alone may write, until it boots, and the tasks after it bring this module instead, which is small.
  - The code is found by the hash of what the controller has, so another release of the collection, or a changed file of it, is brought anew.
  - Tasks with C(async), and all while C(ANSIBLE_KEEP_REMOTE_FILES) is set, bring their code with them.
options: {}
author:
  - mainline.vps contributors (@mainline-vps)
attributes:
  check_mode:
    description: Whether it can tell what it would do, and change nothing.
    support: full
  diff_mode:
    description: Whether it tells what changes.
    support: full
"""

EXAMPLES = r"""
[]  # a task that uses it fails
"""

RETURN = r"""
code_missing:
  description: The node has not got the code, and nothing has happened.
  returned: when that is so; the result is the other module's otherwise
  type: bool
  sample: true
"""

import json
import runpy
import sys

from ansible.module_utils import basic
from ansible.module_utils.common import arg_spec  # noqa: F401  # pylint: disable=unused-import  # which the modules' own code needs
from ansible_collections.mainline.vps.plugins.module_utils import loading

PLUGINS = "ansible_collections.mainline.vps.plugins"


def become(name: str, archive: str) -> None:
    """Run the module that the code is for, as if it had been sent; it ends the process."""
    for package in ("module_utils", "modules"):
        sys.modules[f"{PLUGINS}.{package}"].__path__.insert(0, "/".join([archive, *PLUGINS.split("."), package]))
    module = name.partition("-")[0]
    given = json.loads(basic._ANSIBLE_ARGS)
    given["ANSIBLE_MODULE_ARGS"]["_ansible_module_name"] = f"mainline.vps.{module}"  # what it calls itself in errors and in the node's log
    basic._ANSIBLE_ARGS = json.dumps(given).encode()
    runpy.run_module(f"{PLUGINS}.modules.{module}", run_name="__main__", alter_sys=True)


def main() -> None:
    """Run the module."""
    name, _digests = loading.asked()
    archive = loading.archive(name) if name else None
    if archive is not None:
        become(name, archive)
    if name:
        basic._ANSIBLE_ARGS = b'{"ANSIBLE_MODULE_ARGS": {}}'  # they are the other module's
    module = basic.AnsibleModule(argument_spec={}, supports_check_mode=True)
    if not name:
        module.fail_json(msg="vps_kept: this is how the modules of mainline.vps run, and nothing for a playbook; use those.")
    module.exit_json(code_missing=True)


if __name__ == "__main__":
    main()
