# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variables of a node are about the way to it.

The inventory plugin needs them while the inventory is read, from what is known by then; the connection plugin needs them at each task, from
C(hostvars), so that whatever says something of the node by that time counts: C(group_vars/), facts, extra variables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping

from ansible import constants as C
from ansible.plugins.loader import become_loader, connection_loader

from ansible_collections.mainline.vps.plugins.plugin_utils.node_shell import MEANT, PREFIX

_OURS = "mainline.vps.vps"
_LOCALS = ("local", "ansible.builtin.local")


def on_the_way(node: str, known: Container[str], value: Callable[[str], object]) -> dict[str, object]:
    """The variables of the node that its connection plugin and its become plugin read, with their values; not one that it has not.

    `known` are the names of those that it has, `value` gives one of them. What a play would take from the configuration is among them too.
    """

    def first(*names: str, otherwise: object = None) -> object:
        return next((found for name in names if name in known and (found := value(name)) not in (None, "")), otherwise)

    local = node in C.LOCALHOST
    kind = str(first("ansible_connection", otherwise=_LOCALS[0] if local else _configured()))
    found: dict[str, object] = {"ansible_connection": kind}
    if not local and kind != _OURS:
        found["ansible_host"] = first("ansible_host", "ansible_ssh_host", otherwise=node)
    become = first("ansible_become", otherwise=C.DEFAULT_BECOME)
    method = str(first("ansible_become_method", otherwise=C.DEFAULT_BECOME_METHOD))
    names = plugin_variables("connection", kind)
    root = first("ansible_user", "ansible_ssh_user") == "root" if kind not in _LOCALS else os.geteuid() == 0
    if become and (C.BECOME_ALLOW_SAME_USER or not root):  # as in any task: who is root already needs no sudo, which may not be there
        found.update(ansible_become=become, ansible_become_method=method)
        names += plugin_variables("become", method)
    for name in names:
        if name.startswith("ansible_") and name in known and name not in found:
            found[name] = value(name)
    return found


def known(way: Mapping[str, object]) -> list[str]:
    """The names of all variables that say something of a way to a node with these."""
    kind, method = str(way.get("ansible_connection") or _configured()), str(way.get("ansible_become_method") or C.DEFAULT_BECOME_METHOD)
    plugins = [*plugin_variables("connection", kind), *plugin_variables("connection", _configured()), *plugin_variables("become", method)]
    return [*plugins, "ansible_connection", "ansible_host", "ansible_become", "ansible_become_method", "ansible_become_user", "ansible_python_interpreter"]


def wires(node: str, known: Mapping[str, object], listed: bool) -> dict[str, object]:
    """The variables that lead a VPS's connection to its node: by its name where tasks find it in the inventory, else as they are written."""
    return {"ansible_vps_node": node, **({} if listed else of_vps({"ansible_host": node, **known}))}


def of_vps(variables: Mapping[str, object]) -> dict[str, object]:
    """A node's variables as a VPS has them."""
    return {PREFIX + name[len(MEANT) :]: value for name, value in variables.items()}


def from_hostvars(node: object, hostvars: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """What a play knows of the way to a node, as a VPS has it; nothing where the node is no host of the inventory."""
    if not isinstance(node, str) or node not in hostvars:
        return {}
    known = hostvars[node]
    return of_vps(on_the_way(node, known, known.__getitem__))


def plugin_variables(kind: str, name: str) -> list[str]:
    """The variables that a plugin reads; none where there is no such plugin, of which others complain."""
    loader = {"connection": connection_loader, "become": become_loader}[kind]
    plugin = loader.get(name, class_only=True)  # which reads its documentation
    return [] if plugin is None else C.config.get_plugin_vars(kind, plugin._load_name)


def interpreter(known: Mapping[str, object]) -> str:
    """The Python of a node, where its variables name one; Ansible's own search for one would cost a connection."""
    named = str(known.get("ansible_python_interpreter") or "")
    return named if os.path.isabs(named) else "/usr/bin/python3"


def _configured() -> str:
    """The connection of hosts that say nothing of it."""
    return "ssh" if C.DEFAULT_TRANSPORT == "smart" else C.DEFAULT_TRANSPORT
