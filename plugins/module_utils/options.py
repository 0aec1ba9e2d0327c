# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task may say of one VPS: of vps_container, and of each VPS of vps_fleet. Their documentation is vps_container's.

Data for Ansible's own checks of a task; what the values mean is core/container.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .core.beancounters import STORAGES
from .core.errors import printable
from .core.parse import no_such_option

CONTAINER: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {
        "type": "str",
        "choices": ["present", "started", "stopped", "restarted", "frozen", "rescue", "absent"],
        "default": "started",
    },
    "template": {"type": "str"},
    "clone_from": {"type": "str"},
    "reinstall": {"type": "str", "choices": ["never", "if_template_differs", "always", "undo"], "default": "never"},
    "keep_paths": {"type": "list", "elements": "str", "default": []},
    "keep_previous": {"type": "bool", "no_log": False},
    "rescue_template": {"type": "str"},
    "rescue_path": {"type": "str"},
    "protected": {"type": "bool"},
    "storage": {"type": "str", "choices": list(STORAGES)},
    "hostname": {"type": "str"},
    "addresses": {"type": "list", "elements": "raw"},
    "interfaces": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "network": {"type": "str", "required": True},
            "addresses": {"type": "list", "elements": "raw", "default": []},
            "mac": {"type": "str"},
            "vlan": {"type": "int"},
            "mtu": {"type": "int"},
            "host_name": {"type": "str"},
        },
    },
    "nameservers": {"type": "list", "elements": "str"},
    "root_password_hash": {"type": "str", "no_log": True},
    "authorized_keys": {"type": "list", "elements": "str", "no_log": False},
    "onboot": {"type": "bool"},
    "boot_order": {"type": "int"},
    "description": {"type": "str"},
    "labels": {"type": "dict"},
    "search_domains": {"type": "list", "elements": "str"},
    "isolated": {"type": "bool"},
    "firewall": {"type": "dict"},
    "publish": {
        "type": "list",
        "elements": "dict",
        "options": {
            "host": {"type": "int", "required": True},
            "guest": {"type": "int"},
            "proto": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
            "address": {"type": "str"},
        },
    },
    "rates": {"type": "dict"},
    "privileged": {"type": "bool"},
    "limits": {"type": "dict"},
    "unsupported": {"type": "str", "choices": ["fail", "warn", "ignore"], "default": "fail"},
    "force": {"type": "bool", "default": False},
    "wait": {"type": "str", "choices": ["running", "network", "booted"], "default": "running"},
    "wait_timeout": {"type": "int", "default": 120},
    "stop_timeout": {"type": "int", "default": 60},
    "restart_policy": {"type": "str", "choices": ["never", "if_needed", "always"], "default": "never"},
}


def within(options: dict[str, Any], *, without: Iterable[str] = ()) -> dict[str, Any]:
    """The same as options of a part of a task, which tells what was given from what was not: without defaults. Those of lists' elements stay."""
    left_out = {name: option for name, option in options.items() if name not in without}
    return {name: {key: value for key, value in option.items() if key != "default"} for name, option in left_out.items()}


def fill(options: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What was given in such a part, with the defaults of what was not."""
    return {name: option.get("default") if given.get(name) is None else given[name] for name, option in options.items()}


def mistake(options: Mapping[str, Any], given: Mapping[Any, Any], *, within: str = "") -> str | None:
    """A sentence on the first word of such a part that is no option of it, or else on the first option that it lacks; None where there is neither.

    `within` is what comes before an option's name. Where Ansible has begun to read the part, what was not given is null.
    """
    for word in given:
        if word not in options:
            return f"{within}{printable(word, 60)}: {no_such_option(word, options)}"
    for name, option in options.items():
        value = given.get(name)
        if value is None and option.get("required"):
            return f"{within}{name}: is needed; say it."
        if "options" not in option:
            continue
        parts = [(f"{within}{name}[{number}].", each) for number, each in enumerate(value)] if isinstance(value, list) else [(f"{within}{name}.", value)]
        for place, part in parts:
            found = mistake(option["options"], part, within=place) if isinstance(part, Mapping) else None
            if found is not None:
                return found
    return None


FLEET: dict[str, Any] = {
    "vps": {"type": "list", "elements": "dict", "required": True, "options": within(CONTAINER)},
    "defaults": {"type": "dict", "options": within(CONTAINER, without=["name"])},
    "plans": {"type": "dict", "default": {}},
    "unlisted": {"type": "str", "choices": ["ignore", "report", "stop", "absent"], "default": "ignore"},
    "unlisted_max": {"type": "int"},
    "parallel": {"type": "int"},
    "batch": {"type": "int"},
    "max_failures": {"type": "int"},
    "health": {
        "type": "dict",
        "options": {
            "argv": {"type": "list", "elements": "str"},
            "script": {"type": "str"},
            "user": {"type": "str", "default": "root"},
            "timeout": {"type": "int", "default": 30},
            "retries": {"type": "int", "default": 0},
            "delay": {"type": "int", "default": 5},
        },
    },
    "describe": {"type": "str", "choices": ["none", "changed", "all"], "default": "none"},
}
