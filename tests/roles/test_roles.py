# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role's scenario in extensions/molecule, or those that ROLES names."""

from __future__ import annotations

import os

import pytest
from scenario import ROOT, Scenario, changed

PLACE = "extensions/molecule"
THERE = sorted(path.parent.name for path in (ROOT / PLACE).glob("*/molecule.yml"))
WANTED = os.environ.get("ROLES", "").split() or THERE


# Roles of a node, and what is a part of each of the others.
ELSEWHERE = {"metrics", "node", "packages"}


def test_there_is_a_scenario_for_each_role_for_the_inside_of_a_vps():
    assert {path.name for path in (ROOT / "roles").iterdir()} - ELSEWHERE <= set(THERE) and set(WANTED) <= set(THERE)


@pytest.mark.parametrize("role", [name for name in THERE if name in WANTED])
def test_a_role_does_what_its_scenario_says_and_leaves_no_vps(role):
    """And twice the same is once: Molecule looks at that after converge alone; here also in check mode, and after the change."""
    scenario = Scenario(ROOT, role, PLACE)
    code = None
    try:
        code, said = scenario.says("test")
    finally:
        if code != 0:
            scenario.run("destroy")  # what Molecule does by itself, unless it was killed
    assert code == 0
    new, old = changed(said, "check")
    assert new, "a check of a new VPS has foreseen nothing"
    assert not old, old
    first, second = changed(said, "side_effect")[:2]
    assert first and not second, second
    assert not scenario.vpss()
