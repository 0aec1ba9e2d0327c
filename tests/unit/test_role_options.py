# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role can be told: its specification, its defaults and its README agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROLES = sorted(path for path in (Path(__file__).parents[2] / "roles").iterdir())


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def options(role):
    (entry,) = load(role / "meta/argument_specs.yml")["argument_specs"].values()
    return entry["options"]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_readme_has_each_option(role):
    readme = (role / "README.md").read_text(encoding="utf-8")
    assert options(role) and not [name for name in options(role) if f"`{name}`" not in readme]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_documented_defaults_are_those_that_are_used(role):
    used = load(role / "defaults/main.yml")
    assert set(used) <= set(options(role))
    documented = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert documented == {name: used.get(name) for name in documented}
