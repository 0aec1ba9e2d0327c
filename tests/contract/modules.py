# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules without Ansible around them: their own argument specs, then the runner.

What a task would pass is validated by ansible-core's own validator, so that defaults and types are the real ones.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import Any
from unittest import mock

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.mainline.vps.plugins.module_utils import fleet_subject, machine_subject, network_subject, runner, snapshot_subject, subjects
from ansible_collections.mainline.vps.plugins.module_utils import template_subject

SUBJECTS = {
    "vps_container": subjects.CONTAINER,
    "vps_limits": subjects.LIMITS,
    "vps_network": network_subject.NETWORK,
    "vps_node": machine_subject.MACHINE,
    "vps_snapshot": snapshot_subject.SNAPSHOT,
    "vps_template": template_subject.TEMPLATE,
}


class _Captured(Exception):
    """Raised in place of starting a module."""


def load(module: str) -> ModuleType:
    """A module as Python imports it."""
    return importlib.import_module(f"ansible_collections.mainline.vps.plugins.modules.{module}")


@cache
def argument_spec(module: str) -> dict[str, Any]:
    """The argument spec that a module gives to AnsibleModule."""
    with mock.patch.object(runner.AnsibleModule, "__init__", side_effect=_Captured) as started:
        try:
            load(module).main()
        except _Captured:
            pass
    return started.call_args.kwargs["argument_spec"]


def parameters(module: str, **given: object) -> dict[str, Any]:
    """What a task that gives these options passes to the module."""
    validated = ArgumentSpecValidator(argument_spec(module)).validate(given)
    assert not validated.error_messages, validated.error_messages
    return validated.validated_parameters


def reconcile(node: Any, module: str, *, check: bool = False, **given: object) -> dict[str, Any]:
    """One run of a module against a node; its result."""
    if module == "vps_fleet":
        return fleet_subject.reconcile(parameters(module, **given), node, check=check)
    return runner.reconcile(SUBJECTS[module], parameters(module, **given), node, check=check)
