# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures that all integration targets share; a pytest plugin, named by run-pytest."""

from __future__ import annotations

import os
import signal

import pytest
import vps_kit as kit


def pytest_configure(config: pytest.Config) -> None:
    # Whoever started us with nohup, or in the background of a shell, must not have what we start ignore what ends it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    config.addinivalue_line("markers", "long: proves once more, on another storage or with another source, what shorter ones prove; run with VPS_TEST_LONG=1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """CI has no time for all of them; what it leaves out it says by name."""
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out and not os.environ.get("VPS_TEST_LONG"):
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        print("left out without VPS_TEST_LONG=1:", *(item.nodeid for item in left_out), sep="\n  ")


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
