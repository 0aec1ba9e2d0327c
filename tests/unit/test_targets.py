# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test copies each integration target alone, with what its C(aliases) name: all that its tests use has to be there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

INTEGRATION = Path(__file__).parents[1] / "integration"
KIT = {path.name for path in (INTEGRATION / "kit").iterdir() if path.is_file()}
TARGETS = [path.parent for path in sorted((INTEGRATION / "targets").glob("*/runme.sh"))]


def used(file: Path) -> set[str]:
    """Which files of the kit one file uses itself: modules that it imports, commands that it names."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return set(re.findall(r"kit/([\w-]+)", text)) & KIT
    imports = {name.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for name in node.names}
    imports |= {str(node.module) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    return {f"{name}.py" for name in imports} & KIT


def needed(target: Path) -> set[str]:
    """The same of a whole target, and of what it uses."""
    found: set[str] = set()
    left = set().union(*(used(file) for file in target.rglob("*") if file.suffix in (".py", ".sh")))
    while left:
        name = left.pop()
        found.add(name)
        left |= used(INTEGRATION / "kit" / name) | ({"vps_fixtures.py"} if name == "run-pytest" else set())
        left -= found
    return found


@pytest.mark.parametrize("target", TARGETS, ids=lambda path: path.name)
def test_a_target_names_what_it_needs(target):
    named = re.findall("needs/file/tests/integration/kit/(.*)", (target / "aliases").read_text(encoding="utf-8"))
    assert needed(target) <= set(named)


@pytest.mark.parametrize("target", TARGETS, ids=lambda path: path.name)
def test_those_that_run_apart_say_so(target):
    """The others are left alone by them, and run at the same time."""
    assert ("apart" in (target / "aliases").read_text(encoding="utf-8").split()) == ("kit/apart" in (target / "runme.sh").read_text(encoding="utf-8"))
