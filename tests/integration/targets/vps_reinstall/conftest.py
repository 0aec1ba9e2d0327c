# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of this target's own, a second template, and the two kinds of disk."""

from __future__ import annotations

import pytest
import vps_kit as kit

kit.PREFIX = f"{kit.PREFIX}rei-"


@pytest.fixture(scope="session")
def other():
    """A second template; of the same content, which only its name tells from the first."""
    name = f"{kit.PREFIX}other"
    kit.ok("vps_template", name=name, source="minimal")
    yield name
    kit.remove_all()
    kit.ok("vps_template", name=name, state="absent")


@pytest.fixture(params=["btrfs", "image"])
def storage(request) -> str:
    """What the disk of a VPS is."""
    return request.param
