# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/user_beancounters of all VPSs, for people to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.plugin_utils import given

DOCUMENTATION = r"""
---
name: vps_beancounters
short_description: Show what VPSs use as /proc/user_beancounters does
version_added: 0.1.0
author:
  - mainline.vps contributors (@mainline-vps)
description:
  - Makes a text of one line for each resource of each VPS - how much is held now and was held at most, barrier, limit, and how often
    more was refused. OpenVZ's 21 resources come first, in its order and its units (C(kmemsize) bytes, C(...pages) pages of 4096 bytes,
    C(num...) counts), and then those of this collection in bytes, counts and percent of one CPU.
  - A number that the kernel does not have is C(-), and no limit is C(unlimited).
  - Has a last column C(since), how much the failcnt has risen, where the VPSs were read with O(mainline.vps.vps_info#module:since).
positional: _input
options:
  _input:
    description:
      - VPSs as M(mainline.vps.vps_info) returns them in RV(mainline.vps.vps_info#module:vpss). Of one that is stopped there is its disk.
    type: list
    elements: dict
    required: true
seealso:
  - module: mainline.vps.vps_info
  - plugin: mainline.vps.vps_table
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read one VPS
  mainline.vps.vps_info:
    name: web1
  register: node

- name: Show its beancounters, a line each
  ansible.builtin.debug:
    msg: "{{ (node.vpss | mainline.vps.vps_beancounters).splitlines() }}"

- name: Read all VPSs, with what has been refused to each since the reading above
  mainline.vps.vps_info:
    since: "{{ node.vpss }}"
  register: later

- name: Show all of their beancounters
  ansible.builtin.debug:
    msg: "{{ (later.vpss | mainline.vps.vps_beancounters).splitlines() }}"
"""

RETURN = r"""
_value:
  description: The lines, with newlines between them.
  type: str
  sample: |-
    name   resource       held  maxheld    barrier      limit  failcnt
    web1:  kmemsize    2121728        -  unlimited  unlimited        -
           lockedpages       0        -  unlimited  unlimited        -
           numproc          17       20         20         20        1
"""

HEADING = ("name", "resource", "held", "maxheld", "barrier", "limit", "failcnt")
SINCE = "since"
_LEFT = 2  # columns of words; the others are numbers, one below the other's end


def vps_beancounters(vpss: Sequence[Mapping]) -> str:
    """The table as text. Sorted as given."""
    try:
        lines = [line for vps in given.vpss(vpss) for line in _lines(vps)]
    except VpsError as error:
        raise AnsibleFilterError(f"vps_beancounters: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise AnsibleFilterError("vps_beancounters: one of the VPSs has no usage; give it those that vps_info returns in vpss.") from None
    since = any(len(line) > len(HEADING) for line in lines)
    table = [(*HEADING, SINCE) if since else HEADING, *lines]
    widths = [max(len(line[column]) for line in table if column < len(line)) for column in range(len(table[0]))]
    return "\n".join("  ".join(_aligned(line, widths)).rstrip() for line in table)


def _lines(vps: Mapping) -> Iterator[tuple[str, ...]]:
    """The name once, as there, and a line for each resource."""
    name = f"{vps['name']}:"
    for row in vps["usage"]["rows"]:
        words = (name, str(row["resource"]), _number(row["held"]), _number(row["peak"]), _limit(row["barrier"]), _limit(row["limit"]))
        counted = (_number(row["failcnt"]), *([_number(row["failcnt_since"])] if "failcnt_since" in row else []))
        yield (*words, *counted)
        name = ""


def _aligned(line: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    for column, (word, width) in enumerate(zip(line, widths)):
        yield word.ljust(width) if column < _LEFT else word.rjust(width)


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _limit(value: int | None) -> str:
    return "unlimited" if value is None else str(value)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable]:
        """Name and function of each filter."""
        return {"vps_beancounters": vps_beancounters}
