# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of this target's tests go with the test that made them; and a small root file system to make archives of."""

from __future__ import annotations

import pathlib
import shutil

import pytest
import vps_kit as kit

kit.PREFIX = "it-src-"  # other tests' VPSs and templates may be on the machine


@pytest.fixture(autouse=True)
def remove_templates():
    """What a test made, and the proof that it left nothing half made."""
    yield
    kit.remove_all()
    for path in (kit.pool() / "templates").iterdir():
        if path.name.startswith(kit.PREFIX):
            kit.ok("vps_template", name=path.name, state="absent")
    left = [path.name for path in (kit.pool() / "templates").iterdir() if kit.PREFIX in path.name]
    assert not left, left


@pytest.fixture
def system(tmp_path) -> pathlib.Path:
    """A root file system that boots: busybox, as the minimal template has it."""
    kit.ok("vps_template", name="it-minimal", source="minimal")
    root = tmp_path / "system"
    shutil.copytree(kit.pool() / "templates/it-minimal/rootfs", root, symlinks=True)
    return root
