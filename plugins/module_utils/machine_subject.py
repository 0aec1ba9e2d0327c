# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine itself as the runner wants it. Apart from the other subjects, so that their modules need not load it."""

from __future__ import annotations

from .core import machine, machine_plan
from .node.machine import Machine
from .runner import Subject

MACHINE = Subject(
    lock="node",
    parse=machine.parse_machine,
    read=lambda node, desired: node.read(desired),
    compare=machine_plan.compare,
    result=lambda node, _desired, actual: {"node": node.describe(actual)},
    make_node=Machine,
)
