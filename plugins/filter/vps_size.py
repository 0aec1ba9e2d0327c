# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a VPS is, by its facts, and what of it is for a service."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError, shown
from ansible_collections.mainline.vps.plugins.module_utils.core.units import parse_size

DOCUMENTATION = r"""
---
name: vps_size
short_description: Tell how large a VPS is, from inside it
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Reads the facts of a VPS, which lxcfs makes tell its limits, and says how many cores and how much memory a service has that is set up in it.
    The roles for the inside of a VPS size themselves by it.
positional: _input, memory
options:
  _input:
    description:
      - The C(ansible_facts) of the VPS, of the subset C(hardware) at least.
    type: dict
    required: true
  memory:
    description:
      - How much of the memory is for the service, as a share, V(75%), or as a size, V(512M).
    type: str
    default: 100%
"""

EXAMPLES = r"""
- name: Read how large this VPS is
  ansible.builtin.setup:
    gather_subset: ["!all", "!min", hardware]

- name: Take three quarters of it for a service
  ansible.builtin.set_fact:
    size: "{{ ansible_facts | mainline.vps.vps_size('75%') }}"

- name: Say what each of its workers may use
  ansible.builtin.debug:
    msg: "{{ size.cores }} workers with {{ size.budget // size.cores }} MiB each"
"""

RETURN = r"""
_value:
  description: The sizes.
  type: dict
  contains:
    cores:
      description:
        - How many cores there are, those of a V(cpumask) or of a V(cpulimit), whichever are fewer. 1 at least.
      type: int
      sample: 2
    memory:
      description: The memory of the VPS, in MiB.
      type: int
      sample: 512
    budget:
      description: What of it is for the service, in MiB. It can be more than there is, where a size was given.
      type: int
      sample: 384
"""


def vps_size(facts: Mapping[str, Any], memory: str = "100%") -> dict[str, int]:
    """Cores, memory and budget (MiB)."""
    try:
        total = int(facts["memtotal_mb"])
        processors, allowed = facts["processor"], int(facts["processor_nproc"])
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"vps_size: the facts do not have {shown(str(error.args[0]))}; gather the subset hardware of this VPS first.") from None
    # Those of /proc/cpuinfo, which lxcfs shows, and those that a process may use. The fact processor_vcpus does not do: it multiplies the former by what
    # one of them says of the whole chip.
    shown_cores = sum(1 for text in processors if str(text).isdigit())
    return {"cores": min(filter(None, (shown_cores, allowed)), default=1), "memory": total, "budget": _budget(str(memory), total)}


def _budget(memory: str, total: int) -> int:
    share = re.fullmatch(r"(100|[1-9][0-9]?)%", memory)
    if share:
        return int(share.group(1)) * total // 100
    try:
        size = None if memory.endswith("%") else parse_size(memory, option="memory")
    except VpsError:
        size = None
    if size is None:
        raise AnsibleFilterError(f"vps_size: memory: {shown(memory)} is neither a share of the memory, as 75% is, nor a size, as 512M is.")
    return size >> 20


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable]:
        """Name and function of each filter."""
        return {"vps_size": vps_size}
