# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS zones, forward and reverse, as files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.mainline.vps.plugins.plugin_utils import dns

DOCUMENTATION = r"""
---
name: dns_zones
short_description: Make zone files of zones, and of an inventory
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Gives each zone as a file, with the zones and the reverse zones of an inventory's hosts. The role P(mainline.vps.dns#role) uses it, where the
    options are described.
  - A serial rises when a zone is another than last time, and only then.
positional: _input
options:
  _input:
    description:
      - The zones that are listed, as in C(dns_zones) of the role.
    type: list
    elements: dict
    required: true
  defaults:
    description:
      - What zones have that do not say otherwise - C(nameservers), C(hostmaster), C(ttl), C(refresh), C(retry), C(expire), C(minimum), C(dnssec), C(primaries),
        C(secondaries).
    type: dict
    required: true
  inventory:
    description:
      - Domains, each with the hosts that have a name in it - C(domain), C(hosts).
    type: list
    elements: dict
    default: []
  reverse:
    description:
      - Networks whose addresses have a way back, as C(192.0.2.0/24), or with a zone of another name - C(network), C(zone).
    type: list
    elements: raw
    default: []
  known:
    description:
      - The addresses of hosts of the inventory.
    type: dict
    default: {}
  before:
    description:
      - The C(digest) and the C(serial) of each zone last time.
    type: dict
    default: {}
  now:
    description:
      - The time, in seconds since 1970. It is a serial that rises.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Reverse zones of some VPSs
  ansible.builtin.debug:
    msg: "{{ ([] | mainline.vps.dns_zones(now=1, defaults=defaults, inventory=hosts, reverse=['192.0.2.64/26'], known=known)).zones }}"
  vars:
    defaults: {nameservers: [ns1.example.net], ttl: 3600, refresh: 3600, retry: 900, expire: 1209600, minimum: 300}
    hosts: [{domain: vps.example.com, hosts: [web1]}]
    known: {web1: [192.0.2.70]}
"""

RETURN = r"""
_value:
  description: The zones.
  type: dict
  contains:
    zones:
      description:
        - Each zone with its C(name), C(file), C(text), C(digest), C(checksum) (SHA-1, as of Ansible's C(find)), C(serial), C(dnssec), C(primaries) and
          C(secondaries). One that has primaries has no text.
      type: list
      elements: dict
    remotes:
      description: The addresses of each of their primaries and secondaries.
      type: dict
    complaints:
      description: What cannot be done of what is asked for, a sentence each. With one, the zones are not to be used.
      type: list
      elements: str
"""


def dns_zones(
    zones: Any, defaults: Any, now: Any, inventory: Any = (), reverse: Any = (), known: Any = None, before: Any = None
) -> dict[str, Any]:
    """The zones, and what is wrong."""
    return dns.compiled(
        zones or [], defaults=defaults, inventory=inventory or [], reverse=reverse or [], known=known or {}, before=before or {}, now=int(now)
    )


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable]:
        """Name and function of each filter."""
        return {"dns_zones": dns_zones}
