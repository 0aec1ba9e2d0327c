# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures that all integration targets share; a pytest plugin, named by run-pytest."""

from __future__ import annotations

import pytest
import vps_kit as kit


@pytest.fixture(scope="session", autouse=True)
def clean_node():
    """Nothing of an earlier run is on the node, and nothing of this one stays, but for the templates."""
    kit.remove_all()
    yield
    kit.remove_all()


@pytest.fixture(scope="module", autouse=True)
def clean_module():
    """What the tests of a module share ends with it."""
    yield
    kit.remove_all()


@pytest.fixture(autouse=True)
def clean_test(request):
    """A test removes the VPSs that it made; those of its module's fixtures stay."""
    before = set(kit.own_names())
    yield
    kit.remove_all(keep=before)


@pytest.fixture(scope="session")
def minimal() -> str:
    """The template of most tests: busybox."""
    kit.ok("vps_template", name="it-minimal", source="minimal")
    return "it-minimal"


@pytest.fixture(scope="session")
def debian() -> str:
    """A Debian with systemd, nginx and sshd, as in the documentation; built once, and used by all targets."""
    kit.ok("vps_template", name="debian", source="debian", suite="bookworm", packages=["nginx-light", "openssh-server"], lock_timeout=300)
    return "debian"
