# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the inventory share: a VPS in each state, and a folder for sources."""

from __future__ import annotations

import pytest
import vps_kit as kit
from site_kit import FROZEN, RUNS, STOPPED, Site

pytest_plugins = ["vps_sshd"]


@pytest.fixture(scope="module", autouse=True)
def vpss(minimal, tmp_path_factory):
    """One VPS in each state, one of which says of itself what must never be evaluated; the file that it would make."""
    made = tmp_path_factory.mktemp("evaluated") / "made"
    kit.container(RUNS, template=minimal, state="started", wait="booted", limits={"memory": "64M"}, addresses=[kit.address(7)], labels={"tier": "web"})
    kit.container(STOPPED, template=minimal, state="present", description=f"{{{{ lookup('pipe', 'touch {made}') }}}} it's \"all\" {{% raw %}}")
    kit.container(FROZEN, template=minimal, state="frozen")
    return made


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)
