# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines for the tests: of each release that is asked for, a stock one for whoever needs one, and a node that all share."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import sys
from collections.abc import Iterator

import pytest

from ansible_collections.mainline.vps.tests.node import machine
from ansible_collections.mainline.vps.tests.node.image import RELEASES, image
from ansible_collections.mainline.vps.tests.node.machine import Machine
from ansible_collections.mainline.vps.tests.node.play import play

NEEDED = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mke2fs", "ssh", "ssh-keygen", *(() if os.geteuid() == 0 else ("unshare", "newuidmap")))
ROLE = {"ansible.builtin.include_role": {"name": "mainline.vps.node"}, "vars": {"node_pool_size": "8G"}}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--release", action="append", choices=RELEASES, help="a Debian to test on; may be given more than once; all without")
    parser.addoption("--short", action="store_true", help="without the tests that are marked long")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes many minutes, such as building a whole Debian in an emulated machine")
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        raise pytest.UsageError(f"not installed: {', '.join(missing)}; `make deps-node` installs them on a Debian")
    if platform.machine() != "x86_64":
        raise pytest.UsageError(f"the test machines are amd64, and this one is {platform.machine()}")
    # Whoever ends us, say a CI whose time is over, ends the machines and their folders too.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    if not hasattr(config, "workerinput"):  # before any worker makes a machine
        machine.sweep()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "release" in metafunc.fixturenames:
        metafunc.parametrize("release", metafunc.config.getoption("release") or list(RELEASES), scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("short"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="module")
def stock(release: str) -> Iterator[Machine]:
    """A machine as its distribution installs it, for the tests of one file."""
    with Machine(image(release), name=f"stock {release}") as fresh:
        yield fresh.resume()


@pytest.fixture(scope="session")
def node(release: str) -> Iterator[Machine]:
    """A machine that the role has made a node, with a template; the tests remove what they make."""
    with Machine(image(release), name=f"node {release}") as made:
        made.resume()
        play(made, [ROLE, {"mainline.vps.vps_template": {"name": "minimal", "source": "minimal"}}])
        yield made


@pytest.fixture
def vpss(node: Machine) -> Iterator[Machine]:
    """The node, on, and without any VPS before and after."""
    _remove_all(node)
    yield node
    _remove_all(node)


def _remove_all(node: Machine) -> None:
    """Whatever a test has left, which may be a machine that is off."""
    if not node.is_on:
        node.boot()
    node.root("for n in $(ls /var/lib/vps/vps); do systemctl stop vps@$n; done")
    names = node.root("ls /var/lib/vps/vps").split()
    if names:
        play(node, [{"mainline.vps.vps_container": {"name": "{{ item }}", "state": "absent"}, "loop": names}])
