# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of this target: a node of its own, a bridged network that it makes, two VPSs and a stranger at the bridge."""

from __future__ import annotations

import pathlib

import layer2
import pytest
import vps_kit as kit

kit.PREFIX = "ap-br-"  # the control groups are the machine's: there may be other tests' VPSs in them
A, B, C = (f"{kit.PREFIX}{letter}" for letter in "abc")
LAN = {"name": "lan", "subnets": ["10.92.0.0/24", "fd92::/64"], "bridge": "br-lan", "gateways": ["10.92.0.1", "fd92::1"], "nat": True}
LINKS = {
    A: [{"name": "eth1", "network": "lan", "addresses": ["10.92.0.10", "fd92::10"]}],
    B: [{"name": "eth1", "network": "lan", "addresses": ["10.92.0.11", "fd92::11"]}],
}
ROUTED = {A: ["10.90.0.10", "fd90::10"], B: ["10.90.0.11", "fd90::11"]}
NEW = {"isolated": True, "firewall": {}, "publish": [], "rates": {}, "labels": {}, "state": "started"}


def pytest_sessionstart():
    """Before any fixture looks at the node."""
    kit.run("ip", "route", "add", "default", "via", "10.78.0.2")
    for word in ("iptables", "ip6tables", "arptables"):  # what passes a bridge is the bridge's alone, as where nobody has loaded br_netfilter
        path = pathlib.Path(f"/proc/sys/net/bridge/bridge-nf-call-{word}")
        if path.exists():
            path.write_text("0", encoding="ascii")
    kit.ok("vps_node", pool="/mnt/pool", pool_file="/mnt/pool.img", pool_size="1G", networks=["10.90.0.0/16", "fd90::/64"])
    kit.ok("vps_network", **LAN)


@pytest.fixture(scope="session", autouse=True)
def stranger(clean_node):
    """Somebody at the bridge who is no VPS."""
    with layer2.stranger("br-lan"):
        yield layer2.STRANGER


def as_new(minimal: str) -> None:
    """Make the two VPSs, or put them back to what they were."""
    for name in (A, B):
        kit.container(name, template=minimal, addresses=ROUTED[name], interfaces=LINKS[name], **NEW)


@pytest.fixture(scope="module")
def shared(minimal, stranger):
    """The VPSs of a module."""
    as_new(minimal)


@pytest.fixture
def a(shared, minimal):
    """The first of them at the bridge, both as new."""
    as_new(minimal)
    return layer2.vps(A)


@pytest.fixture
def b(a):
    """Its neighbour."""
    return layer2.vps(B)
