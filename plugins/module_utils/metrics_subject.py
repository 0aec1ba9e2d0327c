# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics as the runner wants them. Apart from the other subjects, so that their modules need not load what they take."""

from __future__ import annotations

from . import metrics_program
from .core import metrics_plan
from .node.metering import Metering
from .runner import Subject

METRICS = Subject(
    lock="node",
    parse=metrics_plan.parse_metrics,
    read=lambda node, desired: node.read(desired),
    compare=metrics_plan.compare,
    result=lambda node, _desired, actual: {"metrics": node.describe(actual)},
    # Imported for its name, so that Ansible sends it, and all that it needs, along.
    make_node=lambda: Metering(metrics_program.__name__.rpartition(".")[2]),
)
