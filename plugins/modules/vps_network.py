#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_network
short_description: Make, change and remove networks that VPSs have addresses out of
version_added: 0.1.0
description:
  - A network is a set of subnets that the node routes to its VPSs, each address by itself; VPSs have no link in common, and see nothing of
    each other's. It is venet's heir. With O(bridge), it is a link that VPSs have in common, as veth's heir.
  - Every node has a network V(default), which the role P(mainline.vps.node#role) gives it (C(node_networks)). This module makes further ones -
    public addresses that are not translated, others that leave by an address of their own, addresses in the node's own LAN.
  - An option that the task does not name is left as it is. A list or a section that it does name is the whole of it.
  - What a VPS has of a network is an option of the VPS; see O(mainline.vps.vps_container#module:addresses).
options:
  name:
    description:
      - The name of the network, unique on its node. Up to 63 characters of C(a-z), C(0-9), C(-) and C(.).
    type: str
    required: true
  state:
    description:
      - V(absent) removes the network; while a VPS has an address out of it, that is an error.
    type: str
    choices: [present, absent]
    default: present
  subnets:
    description:
      - IPv4 and IPv6 subnets, none of which overlaps one of another network. Needed to make a network.
      - One that the machine reaches through an interface of its own is an error, unless that is O(uplink).
      - A subnet in which a VPS has an address cannot go.
    type: list
    elements: str
  nat:
    description:
      - Whether connections from the network to somewhere else leave with an address of the node. Those of global IPv6 addresses do not, unless
        O(nat_addresses) has one for them. A new network is not translated.
    type: bool
  nat_addresses:
    description:
      - The addresses of the node that they leave with, one of each family at most. Not given, or of a family that is not in it, the one of
        the interface that they leave by.
    type: list
    elements: str
  uplink:
    description:
      - The interface at which the node answers for the addresses of its running VPSs (ARP, neighbour discovery), for subnets that lie in the node's
        own LAN. Others there then send to the node what is for its VPSs. An empty text is none.
      - Before a VPS gets an address, the node asks there whether somebody has it, which takes a second; then it is refused.
    type: str
  pools:
    description:
      - Parts of the network with names, each a list of ranges C(FIRST-LAST), subnets and addresses. A VPS whose O(mainline.vps.vps_container#module:addresses)
        name a pool gets the first address of it that is free, and keeps it.
      - The network's own name is that of a pool with all of its addresses.
      - An address that a pool has given stays with its VPS, whatever becomes of the pool.
    type: dict
  bridge:
    description:
      - The bridge at which VPSs have interfaces in this network, which then share a link with each other and with whoever is at the bridge, instead of
        addresses that the node routes; see O(mainline.vps.vps_container#module:interfaces). An empty text is none.
      - A bridge that there is already is used as it is, and never changed nor removed. One that there is not is made, is there again after a boot,
        and goes with the network.
      - The name does not begin with C(vps). While a VPS has an interface in the network, another one is an error.
      - The kernel must have nf_tables for bridges, which holds VPSs to their own addresses there. Where it cannot track connections there
        (C(nf_conntrack_bridge)), a warning says what is different.
    type: str
  gateways:
    description:
      - The ways out of a bridged network, one address of each family at most. At a bridge that is made they are the node's own; at another one
        somebody has them already. Without one, the network leads nowhere else.
    type: list
    elements: str
  rates:
    description:
      - How fast each VPS goes that has an address out of the network or an interface in it, as with O(mainline.vps.vps_container#module:rates), unless
        it has a rate of its own for that direction. Of several networks, the lowest counts. The whole of it; an empty section is none. Changed live.
    type: dict
extends_documentation_fragment:
  - mainline.vps.common
seealso:
  - module: mainline.vps.vps_container
  - module: mainline.vps.vps_node
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: Public addresses, a part of which is given to whoever asks for one
  mainline.vps.vps_network:
    name: public
    subnets: [203.0.113.0/26, 2001:db8:1::/64]
    pools:
      customers: [203.0.113.10-203.0.113.50]
    rates: {in: 100M, out: 100M}

- name: A VPS with the next free one of them, and the same one for ever
  mainline.vps.vps_container:
    name: web1
    template: minimal
    addresses:
      - pool: customers
      - pool: public
        family: 6

- name: A private network whose connections leave with an address of the node's
  mainline.vps.vps_network:
    name: private
    subnets: [10.91.0.0/24]
    nat: true
    # nat_addresses: [203.0.113.2]  # one that is not the first of its interface

- name: A link that VPSs have to each other, at a bridge that the node makes; they leave by the node, with its address
  mainline.vps.vps_network:
    name: backend
    subnets: [10.96.0.0/24]
    bridge: br-backend
    gateways: [10.96.0.1]
    nat: true

- name: A VPS with an interface there, besides its routed link
  mainline.vps.vps_container:
    name: db1
    template: minimal
    interfaces:
      - {name: eth1, network: backend, addresses: [10.96.0.20], mtu: 1400}

- name: The network is gone, with its pools
  mainline.vps.vps_network:
    name: private
    state: absent
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be; empty where nothing is.
  returned: success
  type: list
  elements: dict
  contains:
    option:
      description: The option.
      type: str
      sample: subnets
    before:
      description: What was there.
      type: raw
      sample: [203.0.113.0/27]
    after:
      description: What is there now.
      type: raw
      sample: [203.0.113.0/26]
    effect:
      description: When it is felt, always C(live).
      type: str
      sample: live
restart_required:
  description: Always false, no change of a network waits for a restart.
  returned: success
  type: bool
  sample: false
network:
  description: The network after the task; null where there is none. In check mode, as it is now.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: public
    subnets:
      description: Its subnets.
      type: list
      elements: str
      sample: [203.0.113.0/26]
    nat:
      description: Whether it is translated.
      type: bool
      sample: false
    nat_addresses:
      description: The addresses that its connections leave with; empty where that is the interface's.
      type: list
      elements: str
      sample: []
    uplink:
      description: The interface at which the node answers for its addresses; null where there is none.
      type: str
      sample: eth0
    bridge:
      description: The bridge of a bridged network; null for a routed one.
      type: str
      sample: null
    gateways:
      description: Its ways out; empty for a routed network.
      type: list
      elements: str
      sample: []
    made:
      description: Whether the node has made the bridge.
      type: bool
      sample: false
    tracks:
      description: Whether the kernel knows at the bridge what belongs to a connection that is under way.
      type: bool
      sample: false
    pools:
      description: The ranges of each pool, by its name.
      type: dict
      sample: {customers: [203.0.113.10-203.0.113.50]}
    rates:
      description: How fast each of its VPSs goes that has no rates of its own, in bits per second.
      type: dict
      sample: {in: 100M}
    used:
      description: The name of the VPS that has an address, by the address.
      type: dict
      sample: {203.0.113.10: web1}
"""

from ansible_collections.mainline.vps.plugins.module_utils.network_subject import NETWORK
from ansible_collections.mainline.vps.plugins.module_utils.runner import run


def main() -> None:
    """Run the module."""
    run(
        NETWORK,
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "subnets": {"type": "list", "elements": "str"},
            "nat": {"type": "bool"},
            "nat_addresses": {"type": "list", "elements": "str"},
            "uplink": {"type": "str"},
            "pools": {"type": "dict"},
            "bridge": {"type": "str"},
            "gateways": {"type": "list", "elements": "str"},
            "rates": {"type": "dict"},
        },
    )


if __name__ == "__main__":
    main()
