# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A table of VPSs for people to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.plugin_utils import given

DOCUMENTATION = r"""
---
name: vps_table
short_description: Show VPSs as a table
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Makes a text of one line for each VPS, with aligned columns and a heading - name, addresses, memory, CPU, disk and state.
positional: _input
options:
  _input:
    description:
      - VPSs as M(mainline.vps.vps_info) returns them in RV(mainline.vps.vps_info#module:vpss).
    type: list
    elements: dict
    required: true
seealso:
  - module: mainline.vps.vps_info
"""

EXAMPLES = r"""
- name: Read the node
  mainline.vps.vps_info:
  register: node

- name: Show its VPSs, a line each
  ansible.builtin.debug:
    msg: "{{ (node.vpss | mainline.vps.vps_table).splitlines() }}"
"""

RETURN = r"""
_value:
  description: The lines, with newlines between them.
  type: str
  sample: |-
    NAME    ADDRESS     MEMORY  CPU   DISK            STATE
    quick1  10.90.0.11  256M    50%   214.2M of 2G    started
"""

UNLIMITED = "unlimited"
HEADING = ("NAME", "ADDRESS", "MEMORY", "CPU", "DISK", "STATE")


def vps_table(vpss: Sequence[Mapping]) -> str:
    """The table as text. Sorted as given; a VPS without addresses, or a limit that is not set, has a word for it."""
    try:
        rows = [HEADING, *(_row(vps) for vps in given.vpss(vpss))]
    except VpsError as error:
        raise AnsibleFilterError(f"vps_table: {error}") from None
    except KeyError as error:
        raise AnsibleFilterError(f"vps_table: one of the VPSs has no {error.args[0]}; give it those that vps_info returns in vpss.") from None
    except (TypeError, AttributeError, ValueError, OverflowError):
        raise AnsibleFilterError("vps_table: one of the VPSs is none; give it those that vps_info returns in vpss.") from None
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADING))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _row(vps: Mapping) -> tuple[str, ...]:
    limits = vps["limits"]
    return (
        vps["name"],
        ", ".join(vps["addresses"]) or "none",
        limits.get("memory", UNLIMITED),
        _cpu(limits),
        f"{_short(vps['disk_used'])} of {limits.get('diskspace', UNLIMITED)}",
        vps["state"],
    )


def _cpu(limits: Mapping[str, str]) -> str:
    """The limits on CPU time, of which the lesser counts; percents are of one CPU."""
    said = [limits["cpulimit"]] if limits.get("cpulimit", UNLIMITED) != UNLIMITED else []
    if limits.get("cpus", UNLIMITED) != UNLIMITED:
        said.append(f"{limits['cpus']} CPU{'' if limits['cpus'] == '1' else 's'}")
    return ", ".join(said) or UNLIMITED


def _short(size: int) -> str:
    """Bytes with one digit after the point: to read, not to calculate with."""
    value = float(size)
    for suffix in ("B", "K", "M", "G"):
        if value < 1024:
            return f"{value:.1f}".removesuffix(".0") + suffix
        value /= 1024
    return f"{value:.1f}".removesuffix(".0") + "T"


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable]:
        """Name and function of each filter."""
        return {"vps_table": vps_table}
