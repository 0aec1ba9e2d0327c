# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of this target: a node of its own, two hosts outside, three VPSs that most tests share, and who answers at their ports."""

from __future__ import annotations

import net_lab as lab
import pytest
import vps_kit as kit

kit.PREFIX = "ap-net-"  # the control groups are the machine's: there may be other tests' VPSs in them
A, B, C = "ap-net-a", "ap-net-b", "ap-net-c"
ADDRESSES = {A: ["10.90.0.10", "fd90::10"], B: ["10.90.0.11", "fd90::11"], C: ["10.90.0.12", "fd90::12"]}
# What a VPS has that has been told nothing.
NEW = {"isolated": True, "firewall": {}, "publish": [], "rates": {}, "labels": {}}
PORTS = ("tcp/80", "tcp/443", "tcp/8000", "tcp/8100", "udp/53", "udp/8000")
NODE_PORTS = ("tcp/22", "tcp/25", "udp/53")


def pytest_sessionstart():
    """Before any fixture looks at the node."""
    kit.ok("vps_node", pool="/mnt/pool", pool_file="/mnt/pool.img", pool_size="1G", networks=list(lab.NETWORKS))


@pytest.fixture(scope="session", autouse=True)
def outside(clean_node):
    """The hosts outside."""
    with lab.outside():
        yield


@pytest.fixture(scope="session")
def started(minimal, outside):
    """Makes the three VPSs, or puts them back to what they were."""

    def start() -> None:
        for name, addresses in ADDRESSES.items():
            kit.container(name, template=minimal, addresses=addresses, **NEW)

    return start


@pytest.fixture(scope="module")
def vpss(started):
    """The three VPSs of a module."""
    started()


@pytest.fixture
def hosts(vpss, started):
    """All by their names, as new, each with somebody at its ports."""
    started()
    found = {host.name: host for host in (lab.NODE, lab.OUT1, lab.OUT2, *map(lab.vps, ADDRESSES))}
    with lab.Servers() as servers:
        for host in found.values():
            servers.listen(host, *(NODE_PORTS if host == lab.NODE else PORTS))
        yield found
