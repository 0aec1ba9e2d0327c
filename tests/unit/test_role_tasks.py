# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks of a role rely on: what they run is installed, and what a run leaves undone the next one finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROLES = sorted(path for path in (Path(__file__).parents[2] / "roles").iterdir())
# Those for a node; `metrics` has a handler, and flushes it at once.
ON_A_NODE = {"metrics", "node"}
# Those that end what users run, for which not every Debian has the program.
ENDING = [role for role in ROLES if any("[pkill," in path.read_text(encoding="utf-8") for path in role.glob("tasks/*.yml"))]


def test_there_are_roles_that_end_processes():
    assert {"app", "base", "web"} <= {role.name for role in ENDING}


@pytest.mark.parametrize("role", ENDING, ids=lambda role: role.name)
def test_a_role_that_ends_processes_installs_what_does(role):
    text = (role / "vars/main.yml").read_text(encoding="utf-8")
    (packages,) = re.findall(rf"^__{role.name}_packages:(.*?)(?=^\S)", text, re.MULTILINE | re.DOTALL)
    assert "'procps'" in packages


@pytest.mark.parametrize("role", [role for role in ROLES if role.name not in ON_A_NODE], ids=lambda role: role.name)
def test_no_role_inside_a_vps_has_handlers_for_those_of_a_run_that_fails_are_lost(role):
    assert not list(role.rglob("handlers/*"))
    assert not [path for path in role.glob("tasks/*.yml") if re.search(r"^\s*notify:", path.read_text(encoding="utf-8"), re.MULTILINE)]
