# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role's scenario in extensions/molecule, or those that ROLES names."""

from __future__ import annotations

import os

import pytest
from scenario import ROOT, Scenario

PLACE = "extensions/molecule"
THERE = sorted(path.parent.name for path in (ROOT / PLACE).glob("*/molecule.yml"))
WANTED = os.environ.get("ROLES", "").split() or THERE


# Roles of a node, and what is a part of each of the others.
ELSEWHERE = {"metrics", "node", "packages"}


def test_there_is_a_scenario_for_each_role_for_the_inside_of_a_vps():
    assert {path.name for path in (ROOT / "roles").iterdir()} - ELSEWHERE <= set(THERE) and set(WANTED) <= set(THERE)


@pytest.mark.parametrize("role", [name for name in THERE if name in WANTED])
def test_a_role_does_what_its_scenario_says_and_leaves_no_vps(role):
    scenario = Scenario(ROOT, role, PLACE)
    assert scenario.run("test") == 0
    assert not scenario.vpss()
