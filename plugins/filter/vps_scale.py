# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan that is as many times as large."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.module_utils.core import limits, plans
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError, shown, written
from ansible_collections.mainline.vps.plugins.plugin_utils import given

DOCUMENTATION = r"""
---
name: vps_scale
short_description: Make a plan larger or smaller
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Multiplies every limit of a plan that is a quantity - sizes, counts, percents, rates, and the share C(cpuunits). C(cpumask),
    C(nodemask), C(ioprio), C(quotatime) and C(quotaugidlimit) stay as they are, and so does what is unlimited.
  - Rounded down; a size of whole M stays one where it is 8M or more. No limit becomes less than its least value, or more than
    its greatest. A guarantee and a burst stay within what they belong to.
positional: _input, factor
options:
  _input:
    description:
      - A plan, with the keys of M(mainline.vps.vps_limits). One that is laid over another (its key C(plan)) is an error.
    type: dict
    required: true
  factor:
    description:
      - A number above 0, V(2) or V(0.5), or percents, V(150%).
    type: str
    required: true
seealso:
  - module: mainline.vps.vps_node
  - module: mainline.vps.vps_limits
"""

EXAMPLES = r"""
- name: A plan, one of twice its size, and one of three quarters
  mainline.vps.vps_node:
    plans:
      medium: "{{ medium }}"
      large: "{{ medium | mainline.vps.vps_scale(2) }}"
      small: "{{ medium | mainline.vps.vps_scale('75%') }}"
  vars:
    medium: {memory: 1G, swap: 512M, cpulimit: 100, cpumask: 0-1, processes: 400, diskspace: 20G}
"""

RETURN = r"""
_value:
  description: The plan, each limit as a person writes it; without those that are unlimited.
  type: dict
  sample: {memory: 2G, swap: 1G, cpulimit: 200%, cpumask: 0-1, processes: "800", diskspace: 40G}
"""

_FACTOR = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?( *%)?", re.ASCII)


def vps_scale(plan: Mapping, factor: object) -> dict[str, str]:
    """The plan times the factor."""
    try:
        wish = limits.parse(given.limits(plan))
        if wish.plan is not None:
            raise VpsError(f"plan: names another plan, {shown(wish.plan)}, which is not known here; give the limits of both in one.")
        return limits.show(plans.scale(limits.settle(wish, {}), *_fraction(factor)))
    except VpsError as error:
        raise AnsibleFilterError(f"vps_scale: {error}") from None


def _fraction(factor: object) -> tuple[int, int]:
    """Numerator and denominator, exact: 0.1 is a tenth."""
    match = _FACTOR.fullmatch(written(factor).strip())
    if not match or isinstance(factor, bool):
        raise VpsError(f"factor: {shown(factor)} is not a number above 0; write for example 2, 0.5 or 150%.")
    whole, digits, percent = match.groups()
    numerator, denominator = int(whole + (digits or "")), 10 ** len(digits or "") * (100 if percent else 1)
    if not numerator:
        raise VpsError("factor: 0 would leave nothing; give a number above 0.")
    return numerator, denominator


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable]:
        """Name and function of each filter."""
        return {"vps_scale": vps_scale}
