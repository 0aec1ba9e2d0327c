# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VPSs of some nodes as hosts of the inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: vps
short_description: The VPSs of nodes as hosts
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Asks nodes for their VPSs and makes a host of each, wired to the connection plugin P(mainline.vps.vps#connection), so that tasks run in
    it through its node. Nothing is needed in a VPS, and a stopped one is a host too.
  - The source is a file named C(vps.yml) or C(SOMETHING.vps.yml) (or C(.yaml)).
  - All nodes are asked at once, with one command each, over their own connections, as root by C(ansible_become) where the login is not root.
  - A node that cannot be asked, or a VPS whose record is damaged, is one warning. The others are there.
  - "A host has these variables, none of which is ever evaluated as a template - C(vps_name), C(vps_node) (the node's name in the inventory),
    C(vps_state) (V(started), V(stopped), V(frozen) or V(rescue)), C(vps_template), C(vps_plan) (null without one), C(vps_labels), C(vps_hostname),
    C(vps_addresses), C(vps_interfaces), C(vps_nameservers), C(vps_description), C(vps_privileged), C(vps_onboot), C(vps_boot_order), C(vps_limits) (text by
    limit) and C(vps_storage), as M(mainline.vps.vps_info) returns them without C(vps_)."
  - A VPS is called as O(hostname) says. Where two VPSs would have one name, or one would have the name of a node or of a group or
    C(localhost), each such VPS is called C(VPS@NODE).
  - What is said of a node in the inventory sources before this one, and in C(group_vars/) and C(host_vars/) beside any of them, counts
    when it is asked. When a task runs in a VPS, all that is known of its node counts.
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: Marks the file as a source of this plugin.
    type: str
    required: true
    choices: [mainline.vps.vps]
  nodes:
    description:
      - The nodes. Each is the name of a host or of a group of an inventory source that is read before this one, a pattern of either with
        C(*), C(?) or C([]), V(localhost), or a dictionary for a node that is in no other source.
      - A dictionary has the node's C(name) and its connection variables, as C(ansible_host) and C(ansible_user).
    type: list
    elements: raw
    default: [localhost]
  hostname:
    description: A Jinja2 expression for the name of a host, made of the host's variables.
    type: str
    default: vps_name
  states:
    description: Only VPSs in these states are hosts. What tasks do in one in V(rescue) is done to what that has booted, and goes with it.
    type: list
    elements: str
    choices: [started, stopped, frozen, rescue]
    default: [started, stopped, frozen, rescue]
  group_by:
    description:
      - Makes groups C(vps_node_NODE), C(vps_state_STATE), C(vps_template_TEMPLATE), C(vps_plan_PLAN) and C(vps_label_KEY_VALUE), with C(_) for
        what no group's name can have in it. They are below the group C(vps), in which all VPSs are.
    type: list
    elements: str
    choices: [node, state, template, plan, label]
    default: [node, state, template, plan, label]
  timeout:
    description: How long a node may take to answer, in seconds.
    type: int
    default: 30
  strict:
    description:
      - A node that cannot be asked, or a VPS whose record is damaged, is an error, and so are invalid entries in O(compose), O(groups) and
        O(keyed_groups). Without it, the former are warnings, and the latter are left out.
      - With an error nothing of this source is in the inventory. Ansible goes on with other sources unless
        C(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED) is set.
notes:
  - The cache keeps what nodes have answered. One that did not is asked again.
  - Passwords that are asked for at the start (C(--ask-become-pass)) are not known while the inventory is read; put the node's
    C(ansible_become_password) into a vault.
seealso:
  - plugin: mainline.vps.vps
    plugin_type: connection
  - module: mainline.vps.vps_info
"""

EXAMPLES = r"""
---
# The VPSs of this machine.
plugin: mainline.vps.vps
---
# Of all nodes in the group `nodes` of an inventory file that is read before this one, those that run.
plugin: mainline.vps.vps
nodes: [nodes]
states: [started]
---
# Always with the node's name, in groups of one's own, and with a variable more.
plugin: mainline.vps.vps
hostname: vps_name ~ '.' ~ vps_node
group_by: [node]
groups:
  small: vps_limits.memory | default('1G') | human_to_bytes <= 536870912
keyed_groups:
  - key: vps_storage
    prefix: storage
compose:
  first_address: vps_addresses | first | default('')
---
# Nodes that no other source has; kept for ten minutes. The folder is made where there is none.
plugin: mainline.vps.vps
nodes:
  - name: node1
    ansible_host: 192.0.2.11
    ansible_user: admin
    ansible_become: true
  - name: node2
    ansible_host: 192.0.2.12
    ansible_user: root
timeout: 5
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: .cache/inventory
cache_timeout: 600
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import ansible.template
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.helpers import get_group_vars
from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.vars import combine_vars
from ansible.vars.plugins import get_vars_from_inventory_sources

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError, shown
from ansible_collections.mainline.vps.plugins.plugin_utils import asking, listing, naming, node_listing, node_variables
from ansible_collections.mainline.vps.plugins.plugin_utils.node_connection import NodeConnection, brief

_AT_ONCE = 20
_LIMIT = 32 << 20  # bytes of a node's answer: some ten thousand VPSs with long descriptions
_NAMES = ("vps.yml", "vps.yaml")

if hasattr(ansible.template, "trust_as_template"):  # ansible-core 2.19: nothing is a template unless somebody says so

    def _text_only(value: Any) -> Any:
        return value

else:
    from ansible.utils.unsafe_proxy import wrap_var as _text_only  # type: ignore[no-redef]


@dataclass(frozen=True)
class Node:
    """`known` are its variables, as they are written; `listed` says that it is a host of the inventory, which tasks look up by themselves."""

    known: Mapping[str, Any]
    listed: bool


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """What Ansible looks for."""

    NAME = "mainline.vps.vps"

    def verify_file(self, path: str) -> bool:
        """Whether the file is named as one of ours."""
        name = os.path.basename(path)
        return (name in _NAMES or name.endswith(tuple(f".{end}" for end in _NAMES))) and super().verify_file(path)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Ask the nodes, or the cache, and make the hosts. Nothing is made before all that can be an error is behind us."""
        super().parse(inventory, loader, path, cache=cache)
        given = self._read_config_data(path)
        try:
            for key in sorted(set(given) - {"plugin", *self._options}):
                raise VpsError(f"{shown(key)}: there is no such option; `ansible-doc -t inventory mainline.vps.vps` has those that there are.")
            if not 1 <= self.get_option("timeout") <= 86400:
                raise VpsError(f"timeout: {self.get_option('timeout')} is no time to answer in; give a second at least, and a day at most.")
            nodes = self._nodes(path)
            told = self._told(nodes, path, cache)
            guests = {node: self._guests(node, told[node]) for node in nodes if node in told}
            self._add(guests, nodes)
        except VpsError as error:
            raise AnsibleParserError(to_text(error)) from None

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _nodes(self, path: str) -> dict[str, Node]:
        """Every node, once."""
        hosts = [name for name, host in self.inventory.hosts.items() if "ansible_vps_name" not in host.vars]
        groups = {name: [host.name for host in group.get_hosts() if host.name in hosts] for name, group in self.inventory.groups.items()}
        nodes: dict[str, Node] = {}
        for wanted in self.get_option("nodes"):
            if isinstance(wanted, Mapping):
                name, known = _described(wanted)
                nodes[name] = Node(known, listed=False)
                continue
            found = naming.pick(str(wanted), hosts, groups) or (["localhost"] if wanted == "localhost" else [])
            if not found and wanted not in groups:
                self._complain(f"nodes: there is no host and no group {shown(wanted)} in the inventory sources before {path}; put them first.")
            nodes.update({name: Node(self._inventory_variables(name, path), listed=True) for name in found})
        return nodes

    def _inventory_variables(self, name: str, path: str) -> dict[str, Any]:
        """What is known of a host so far. The manager puts files of group_vars/ to their groups only when all sources have been read."""
        host, sources = self.inventory.hosts.get(name), [*self.inventory.processed_sources, path]
        groups = list(dict.fromkeys([self.inventory.groups["all"], *(host.get_groups() if host else [])]))
        known = get_group_vars(groups)
        known = combine_vars(known, get_vars_from_inventory_sources(self.loader, sources, groups, "all"))
        if host:
            known = combine_vars(known, host.get_vars())
            known = combine_vars(known, get_vars_from_inventory_sources(self.loader, sources, [host], "all"))
        else:
            known = {key: value for key, value in known.items() if key != "ansible_connection"}  # an implicit localhost is local
        return combine_vars(known, self._vars)

    # -- answers ------------------------------------------------------------------------------------------------------

    def _told(self, nodes: Mapping[str, Node], path: str, cache: bool) -> dict[str, dict]:
        """What each node answers, from the cache where it is there; a node that does not is not among them."""
        kept: dict[str, dict] = {}
        key = self.get_cache_key(path)
        if self.get_option("cache") and cache:
            with suppress(KeyError):
                kept = {node: told for node, told in dict(self._cache[key]).items() if node in nodes and listing.is_answer(told)}
        told = {**kept, **self._asked({name: node for name, node in nodes.items() if name not in kept})}
        if self.get_option("cache") and told != kept:
            self._cache[key] = told
        return told

    def _asked(self, nodes: Mapping[str, Node]) -> dict[str, dict]:
        questions, told = {}, {}
        for name, node in nodes.items():
            try:
                questions[name] = self._question(name, node.known)
            except AnsibleError as error:
                self._left_out(name, f"it cannot be asked: {_short(error)}.")
        answers = asking.ask(questions, timeout=self.get_option("timeout"), at_once=_AT_ONCE, limit=_LIMIT)
        for name in questions:
            answer = answers[name]
            try:
                if isinstance(answer, VpsError):
                    raise answer
                told[name] = listing.extract(answer.decode("utf-8", "replace"))
            except VpsError as error:
                self._left_out(name, to_text(error).replace(f"node {name}: ", "", 1))
        return told

    def _question(self, name: str, known: Mapping[str, Any]) -> Callable[[], bytes]:
        """What asks a node, in a process of its own."""
        self.templar.available_variables = {"inventory_hostname": name, **known}
        way = node_variables.on_the_way(name, known, lambda variable: self.templar.template(known[variable]))
        python = node_variables.interpreter({"ansible_python_interpreter": self.templar.template(known.get("ansible_python_interpreter"))})
        return partial(_ask, NodeConnection(way, name=name), python)

    def _guests(self, node: str, told: dict) -> list[listing.Guest]:
        """A node's VPSs that are wanted."""
        try:
            found = listing.parse(told)
        except VpsError as error:
            self._left_out(node, to_text(error))
            return []
        for name, why in sorted(found.unread.items()):
            self._complain(f"nodes: VPS '{name}' of {node} is left out: its record {why}; restore it from a backup.")
        return [guest for guest in found.guests if guest.state in self.get_option("states")]

    # -- hosts --------------------------------------------------------------------------------------------------------

    def _add(self, guests: Mapping[str, list[listing.Guest]], nodes: Mapping[str, Node]) -> None:
        facts = {(node, guest.vps.name): _text_only({**guest.variables(), "vps_node": node}) for node in guests for guest in guests[node]}
        reserved = {"localhost", naming.ALL, *nodes, *self.inventory.groups, *map(self._sanitize_group_name, self.get_option("groups"))}
        wanted = {key: self._wanted_name(known) for key, known in facts.items()}
        names = naming.name_hosts(wanted, reserved | {name for key, name in wanted.items() if self._is_another(name, key)})
        self.inventory.add_group(naming.ALL)
        for node, found in guests.items():
            ways = node_variables.wires(node, nodes[node].known, nodes[node].listed)
            for guest in found:
                wires = {"ansible_connection": self.NAME, "ansible_vps_name": guest.vps.name, **ways}
                self._add_host(names[node, guest.vps.name], node, guest, {**wires, **facts[node, guest.vps.name]})

    def _is_another(self, name: str, key: tuple[str, str]) -> bool:
        """Whether an earlier source has made a host of that name of another VPS."""
        host = self.inventory.hosts.get(name)
        return host is not None and "vps_node" in host.vars and (host.vars["vps_node"], host.vars.get("vps_name")) != key

    def _wanted_name(self, known: dict[str, Any]) -> str:
        if self.get_option("hostname") == "vps_name":
            return known["vps_name"]
        try:
            return naming.parse_host(self._compose(self.get_option("hostname"), known))
        except AnsibleError as error:
            raise VpsError(f"hostname: cannot be made of {shown(known['vps_name'])}: {_short(error)}.") from None

    def _add_host(self, host: str, node: str, guest: listing.Guest, variables: dict[str, Any]) -> None:
        self.inventory.add_host(host, group=naming.ALL)
        for key, value in variables.items():
            self.inventory.set_variable(host, key, value)
        for name in naming.groups_of(node, guest, self.get_option("group_by")):
            group = self.inventory.add_group(self._sanitize_group_name(name))
            self.inventory.add_child(naming.ALL, group)
            self.inventory.add_child(group, host)
        strict, known = self.get_option("strict"), self.inventory.get_host(host).get_vars()
        self._set_composite_vars(self.get_option("compose"), known, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), known, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), known, host, strict=strict)

    # -- what goes wrong ----------------------------------------------------------------------------------------------

    def _left_out(self, node: str, why: str) -> None:
        self._complain(f"nodes: {node} is left out: {why}")

    def _complain(self, sentence: str) -> None:
        """One warning; an error where the source is strict."""
        if self.get_option("strict"):
            raise VpsError(sentence)
        self.display.warning(sentence)


def _described(node: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and the variables of a node that the source itself describes; raises VpsError."""
    name = node.get("name")
    if not isinstance(name, str) or not name:
        raise VpsError("nodes: one that is described here has no name; write for example {name: node1, ansible_host: 192.0.2.11}.")
    for variable in node:
        if variable != "name" and not str(variable).startswith("ansible_"):
            raise VpsError(f"nodes: {name} has {shown(variable)}, which is no variable of a connection; they start with ansible_.")
    return name, {variable: value for variable, value in node.items() if variable != "name"}


def _ask(connection: NodeConnection, python: str) -> bytes:
    """Have a node's Python read the program from its standard input; what it printed."""
    with open(node_listing.__file__, "rb") as file:
        program = file.read()
    answer = connection.run([python, "-I", "-S", "-"], stdin=program, most=_LIMIT)
    if answer.code != 0:
        raise AnsibleError(f"{python} ended with {answer.code}: {brief(answer.errors)}")
    return answer.output


def _short(error: AnsibleError) -> str:
    return brief(error.message).rstrip(".")
