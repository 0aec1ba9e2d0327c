# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VPS goes to which node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.module_utils.core import placement_input, placement_plan
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.options import CONTAINER

DOCUMENTATION = r"""
---
name: vps_place
short_description: Place VPSs on nodes
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Decides for each VPS of a list on which node it is to be, by what the nodes have and have promised, and says why. Changes nothing.
  - A VPS that is on a node stays there, whatever else is asked. So nothing has to be kept of earlier decisions, and another VPS or another node
    moves none. What is not where it should be is told in RV(_value.misplaced).
  - The others are taken in an order that does not depend on the order of the list, those with a C(node) first, then those of the largest
    clusters that are kept apart, then the largest. No node is promised more than it may; what its VPSs of the list are to have more than now is
    counted first, what they are to have less is not free before they have been changed.
  - The same VPSs and nodes give the same. Of equal nodes a hash of their names decides.
  - A VPS without a limit is promised nothing of that resource. A node whose own policy (O(mainline.vps.vps_node#module:overcommit)) bounds the resource
    takes no such VPS. One that is promised nothing that is bounded goes where there are fewest VPSs.
positional: _input, nodes
options:
  _input:
    description:
      - The VPSs, each as M(mainline.vps.vps_container) takes it, and no other options. What counts is C(name), C(limits), C(labels), C(state) (one that is
        to be V(absent) is not placed) and C(node), which that module does not know - the node that the VPS is to be on.
    type: list
    elements: dict
    required: true
  nodes:
    description:
      - By the names of the nodes what M(mainline.vps.vps_info) has returned for each.
      - A node that has not answered is null or empty, or what the failed task has returned (C(unreachable) or C(failed)). It takes no new VPS.
      - Give it all nodes; a VPS that is on one that is left out would be made again on another.
    type: dict
    required: true
  strategy:
    description:
      - V(spread) takes the node that has promised least, by the resource of which it has promised the largest share of what it may.
      - V(pack) fills one node after the other, beginning with the one that has promised most.
    type: str
    choices: [spread, pack]
    default: spread
  apart:
    description:
      - Names of labels. VPSs that have the same value of such a label are kept from sharing a node.
      - V(hard) never lets two share one. V(soft) lets as few as possible.
      - Labels of VPSs that are on the nodes and not in the list count too.
      - A label that no VPS has is refused, as a slip of the pen would let VPSs share a node, unless no VPS that is to be placed has any label.
    type: dict
    default: {}
  drained:
    description: Nodes that take no new VPSs.
    type: list
    elements: str
  plans:
    description: The plans that C(limits) name by C(plan), as O(mainline.vps.vps_node#module:plans) takes them.
    type: dict
    default: {}
  defaults:
    description:
      - Options of all VPSs of the list. What a VPS has itself counts instead, of C(limits) and C(labels) key by key; a key that is null takes the
        defaults' away. RV(_value.by_node) has the VPSs without them.
    type: dict
    default: {}
  overcommit:
    description:
      - How much may be promised of a resource, in percent of what a node has, as O(mainline.vps.vps_node#module:overcommit) takes it. A node's own
        policy counts too, the lesser of both. V(unlimited) is no bound beside the node's own.
      - Where neither says anything, V(memory) and V(disk) are promised once, V(100), and the others without bound.
    type: dict
    default: {}
  where:
    description:
      - By the names of VPSs the nodes that they are known to be on, from an inventory's cache for example. Counts for a VPS that no node has told of, whose
        node has not answered.
    type: dict
    default: {}
  missing:
    description:
      - What becomes of a VPS that no node has told of while a node has not answered, or cannot read one of its records, where it might be.
      - V(refuse) does not place it, unless it has a C(node). V(ignore) places it as a new one.
    type: str
    choices: [refuse, ignore]
    default: refuse
seealso:
  - module: mainline.vps.vps_info
  - module: mainline.vps.vps_container
  - module: mainline.vps.vps_node
"""

EXAMPLES = r"""
- name: Read a node
  mainline.vps.vps_info:
  register: info

- name: Place three VPSs on two nodes
  ansible.builtin.set_fact:
    placement: "{{ vpss | mainline.vps.vps_place({'node1': info, 'node2': {'node': info.node, 'vpss': []}}, apart={'cluster': 'hard'}) }}"
  vars:
    vpss:
      - {name: db1, template: debian, limits: {memory: 512M, diskspace: 10G}, labels: {cluster: acme}}
      - {name: db2, template: debian, limits: {memory: 512M, diskspace: 10G}, labels: {cluster: acme}}
      - {name: web, template: debian, limits: {memory: 256M, diskspace: 5G}, node: node1}

- name: Show where they go and why
  ansible.builtin.debug:
    msg: "{{ placement.placed }}"

- name: Go on only where each has a place
  ansible.builtin.assert:
    that: placement.refused | length == 0

- name: Show what one node is to have
  ansible.builtin.debug:
    msg: "{{ placement.by_node['node1'] }}"

# In a playbook, after a task `mainline.vps.vps_info` on all of the group `nodes` that has registered `node_now` (docs/placement.md):
#   nodes: "{{ dict(groups.nodes | zip(groups.nodes | map('extract', hostvars) | map(attribute='node_now', default={}))) }}"
"""

RETURN = r"""
_value:
  description: Where VPSs go.
  type: dict
  contains:
    by_node:
      description:
        - The VPSs of the list by the names of all nodes, each as it was given, without C(node), and in the order of the list. Those that are to be
          V(absent) are with the node that has them.
      type: dict
      sample: {node1: [{name: web, template: debian, limits: {memory: 256M, diskspace: 5G}}], node2: []}
    placed:
      description: Each VPS that has a node, in the order of the list.
      type: list
      elements: dict
      contains:
        name:
          description: Its name.
          type: str
        node:
          description: Its node.
          type: str
        new:
          description: Whether it is to be made there. Those that are there already are false.
          type: bool
        why:
          description: A sentence.
          type: str
      sample:
        - name: web
          node: node1
          new: true
          why: It is pinned to this node, which has room for it.
    refused:
      description: Each VPS that has none, in the order of the list.
      type: list
      elements: dict
      contains:
        name:
          description: Its name.
          type: str
        why:
          description: A sentence.
          type: str
        bounds:
          description:
            - What has said no - C(bound), which is C(overcommit.RESOURCE), C(unlimited.RESOURCE) (the node takes no VPS without that limit), C(guarantee) (of
              memory), C(apart.LABEL), C(drained), C(away) or C(damaged); C(count), on how many nodes; C(nodes), the first ten of them; C(left), the
              most that one of them has, as text; and C(best), which one. A node is counted for the first bound that it meets.
            - After the first hundred kinds of VPSs only the most that any node has is told.
          type: list
          elements: dict
      sample:
        - name: db2
          why: "No node takes it: 1 node (another VPS with the same cluster, by apart.cluster)."
          bounds:
            - {bound: apart.cluster, count: 1, nodes: [node1], left: null, best: null}
    misplaced:
      description: VPSs that stay where they are and should not, or cannot have there what they are to have.
      type: list
      elements: dict
      sample: [{name: web, node: node2, why: It is pinned to node1.}]
    nodes:
      description:
        - By their names what nodes will have - C(vpss), their number, null where the node has not answered; C(new), how many of them are new;
          C(promised), of each resource that is bounded what is promised in percent of what may be; C(shut), which is V(drained), V(away), V(damaged) or null.
      type: dict
      sample: {node1: {vpss: 2, new: 1, promised: {memory: 50.0, disk: 20.0}, shut: null}}
"""


def vps_place(
    vpss: Sequence[Mapping],
    nodes: Mapping[str, Mapping | None],
    strategy: str = "spread",
    apart: Mapping[str, str] | None = None,
    drained: Sequence[str] | None = None,
    plans: Mapping | None = None,
    defaults: Mapping | None = None,
    overcommit: Mapping | None = None,
    where: Mapping[str, str] | None = None,
    missing: str = "refuse",
) -> dict[str, Any]:
    """Where each goes, and why."""
    try:
        wanted = placement_input.read_vpss(vpss, plans, defaults, CONTAINER)
        there = placement_input.read_nodes(nodes, drained, overcommit)
        policy = placement_input.read_policy(strategy, apart, where, missing)
        placement_input.refuse_unused(policy, wanted, there)
        decision = placement_plan.decide(wanted, there, policy)
    except VpsError as error:
        raise AnsibleFilterError(f"vps_place: {error}") from None
    by_node: dict[str, list[dict]] = {name: [] for name in there}
    placed, refused = [], []
    for vps, entry in zip(wanted, vpss):
        name = vps.name
        node = decision.node.get(name)
        if node is not None:
            by_node[node].append({key: value for key, value in entry.items() if key != "node"})
            placed.append({"name": name, "node": node, "new": name in decision.new, "why": decision.why[name]})
        elif name in decision.refused:
            why, bounds = decision.refused[name]
            refused.append({"name": name, "why": why, "bounds": bounds})
    misplaced = [
        {"name": vps.name, "node": decision.node[vps.name], "why": " ".join(decision.misplaced[vps.name])} for vps in wanted if vps.name in decision.misplaced
    ]
    return {"by_node": by_node, "placed": placed, "refused": refused, "misplaced": misplaced, "nodes": decision.nodes}


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable]:
        """Name and function of each filter."""
        return {"vps_place": vps_place}
