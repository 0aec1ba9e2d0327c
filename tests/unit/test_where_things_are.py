# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/architecture.md says of every file where it is, on a short line, and names none that there is not."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "plugins/module_utils"
SECTION = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Where things are\n")[2].partition("\n## ")[0]
ROWS = [line for line in SECTION.splitlines() if line.startswith("| `")]
NAMED = Counter(name for row in ROWS for name in re.findall(r"`([^`]+)`", row.split("|")[1]))
HOUSE_FILES = sorted(str(path.relative_to(HOUSE).with_suffix("")) for path in HOUSE.rglob("*.py") if path.name != "__init__.py")
CONTROLLER_FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "plugins/plugin_utils").glob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("name", [*HOUSE_FILES, *CONTROLLER_FILES])
def test_every_file_has_its_place_in_the_list(name):
    assert NAMED[name] == 1, f"docs/architecture.md, 'Where things are', names {name} {NAMED[name]} times"


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_name_in_the_list_is_there(name):
    assert (HOUSE / f"{name}.py").is_file() or ("/" in name and (ROOT / name).exists())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("`")[1])
def test_a_line_is_short_so_that_two_changes_seldom_meet_in_one(row):
    assert len(row) <= 160 and row.count("|") == 3
