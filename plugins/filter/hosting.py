# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider's customers, as the lists that VPSs and roles are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.plugin_utils import hosting as made_of

DOCUMENTATION = r"""
---
name: hosting
short_description: Make VPSs, and the lists of roles, of a list of customers
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Gives the VPSs of a provider's customers as M(mainline.vps.vps_fleet) takes them, and what the roles C(mariadb), C(mail), C(dns), C(wordpress) and
    C(proxy) take. The playbook C(mainline.vps.hosting) uses it; see C(docs/hosting.md).
  - What cannot be is one sentence, RV(_value.complaint), that names the customer and the option. All lists are empty then.
positional: _input, provider
options:
  _input:
    description:
      - The customers. Each has a C(name) and a C(domain), and may have C(plan), C(title), C(locale), C(email), C(mailboxes), C(aliases), C(quota), C(records)
        and C(state), which is V(present) or V(absent). Another key is an error.
    type: list
    elements: dict
    required: true
  provider:
    description:
      - What is everybody's, each key as the variable C(hosting_KEY) of the playbook - C(domain), C(public_address) and C(email), which are needed, and C(name),
        C(node_address), C(template), C(pool), C(mail), C(plans), C(services), C(labels) and C(secrets).
    type: dict
    required: true
  there:
    description:
      - The VPSs of the node, as M(mainline.vps.vps_info) returns them in RV(mainline.vps.vps_info#module:vpss). A customer who has one of them and is not
        listed is an error, and so is a VPS of somebody else that has a name that is needed.
    type: list
    elements: dict
    default: []
  addresses:
    description:
      - The addresses of VPSs, by their names. Of those that have none yet, nothing is in the lists that need it.
    type: dict
    default: {}
  records:
    description:
      - What is to be known of mail, by domains, as the role C(mail) has it in C(mail_dns_records).
    type: dict
    default: {}
seealso:
  - module: mainline.vps.vps_fleet
"""

EXAMPLES = r"""
- name: What the VPSs of a provider are called
  ansible.builtin.debug:
    msg: "{{ (hosting_customers | mainline.vps.hosting(provider)).vpss | map(attribute='name') }}"
  vars:
    provider: {domain: hosting.example, public_address: 192.0.2.1, email: hostmaster@hosting.example, template: debian}
    hosting_customers:
      - name: bakery
        domain: bakery.example
        mailboxes: [info]
"""

RETURN = r"""
_value:
  description: The lists. Those that have the name of a role's option are what it takes.
  type: dict
  contains:
    complaint:
      description: What cannot be done of what is asked for. Empty, if all can.
      type: str
      sample: "hosting_customers[bakery].domian: there is no such option; did you mean 'domain'?"
    vpss:
      description: The VPSs that are to be there.
      type: list
      elements: dict
    leaving:
      description: The names of those that are there, of customers who are to be V(absent).
      type: list
      elements: str
    forgotten:
      description: Patterns of the files on the controller that have what was generated for these.
      type: list
      elements: str
    hosts:
      description: The C(name) of each VPS that is to be there, its C(part) (C(db), C(mail), C(dns), C(proxy) or C(site)) and its C(role).
      type: list
      elements: dict
    mariadb_databases:
      description: A database for each customer.
      type: list
      elements: dict
    mariadb_users:
      description: Who may do all with it, from the customer's VPS.
      type: list
      elements: dict
    mail_domains:
      description: The domains that have mail.
      type: list
      elements: dict
    mail_mailboxes:
      description: The mailboxes.
      type: list
      elements: dict
    mail_aliases:
      description: The aliases.
      type: list
      elements: dict
    dns_nameservers:
      description: The provider's name server.
      type: list
      elements: dict
    dns_zones:
      description: A zone for the provider and each customer.
      type: list
      elements: dict
    proxy_sites:
      description: Which domain leads to which VPS.
      type: list
      elements: dict
    wordpress_sites:
      description: By the names of customers' VPSs what is in each. The password that their mail is sent with is not there.
      type: dict
"""


def hosting(customers: Any, provider: Any, there: Any = None, addresses: Any = None, records: Any = None) -> dict[str, Any]:
    """The lists, or what is wrong."""
    try:
        return {"complaint": "", **made_of.made(customers, provider, there=there or [], addresses=addresses, records=records)}
    except VpsError as error:
        return {"complaint": str(error), **made_of.nothing()}


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable]:
        """Name and function of each filter."""
        return {"hosting": hosting}
