# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes the contract is tried on: always the one in memory, with each cgroup version; with --real-node this machine too."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.tests.contract.bench import TEMPLATE, Bench
from ansible_collections.mainline.vps.tests.contract.memory_node import Memory, MemoryNode
from ansible_collections.mainline.vps.tests.contract.real_node import Real, real_node

# The cgroup version, and the storage of VPSs.
MEMORY = {"memory-v1": (1, None), "memory-v2": (2, None), "memory-image": (2, "image")}
REAL = {"real": None, "real-image": "image"}


def pytest_addoption(parser):
    """The real node is asked for by name; nothing is skipped in silence."""
    parser.addoption("--real-node", action="store_true", help="try the contract on this machine, which must be a VPS node, too")


def pytest_configure(config):
    """Whoever asks for the real node gets it, or is told why not."""
    if config.getoption("--real-node"):
        try:
            real_node()
        except VpsError as error:
            raise pytest.UsageError(f"--real-node: {error}") from None


def pytest_terminal_summary(terminalreporter, config):
    """Say what this run has not shown."""
    if not config.getoption("--real-node"):
        terminalreporter.write_line("contract: tried on the node in memory; the integration target 'contract' tries it on the real one.")


def pytest_generate_tests(metafunc):
    """`bench` stands on every node; `memory` on those of which the test needs to turn knobs that a real one does not have."""
    if "bench" in metafunc.fixturenames:
        real = list(REAL) if metafunc.config.getoption("--real-node") else []
        metafunc.parametrize("bench", [*MEMORY, *real], indirect=True)
    if "memory" in metafunc.fixturenames:
        metafunc.parametrize("memory", list(MEMORY), indirect=True)


@pytest.fixture
def bench(request):
    """A node with a template and no VPS of ours, and again with none afterwards."""
    if request.param in REAL:
        storage = REAL[request.param]
        node = request.getfixturevalue("prepared_real_node")
        world = Real(node)
    else:
        version, storage = MEMORY[request.param]
        node = MemoryNode(version=version)
        world = Memory(node)
    made = Bench(node, world, storage)
    world.clean()
    made.template(source="minimal")
    yield made
    world.clean()


@pytest.fixture
def memory(request):
    """A bench whose node is in memory."""
    version, storage = MEMORY[request.param]
    node = MemoryNode(version=version)
    made = Bench(node, Memory(node), storage)
    made.template(source="minimal")
    return made


@pytest.fixture(scope="session")
def prepared_real_node():
    """This machine; the template that the tests make on it goes with the last of them."""
    node = real_node()
    yield node
    Real(node).clean()
    Real(node).remove_template(TEMPLATE)
