# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridged networks on a stock machine: what its kernel has and a container's may not (connections at a bridge, VLANs), network daemons, a boot.

What VPSs at a bridge may send is integration target `bridge`.
"""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.tests.node.conftest import ROLE
from ansible_collections.mainline.vps.tests.node.play import play

pytestmark = pytest.mark.long
LAN = {"name": "lan", "subnets": ["10.92.0.0/24", "fd92::/64"], "bridge": "br-lan", "gateways": ["10.92.0.1", "fd92::1"]}
TRUNK = {"name": "trunk", "subnets": ["10.93.0.0/24"], "bridge": "br-trunk"}
CLOSED = {"in": {"default": "drop", "rules": [{"proto": "tcp", "ports": 81}]}}
# Whoever is at the bridge and is no VPS; and a bridge of the administrator's that keeps VLANs apart, with a host in one of them.
OUTSIDE = """
ip netns add stranger; ip link add lan-port type veth peer name eth0 netns stranger; ip link set lan-port master br-lan up
ip -n stranger address add 10.92.0.99/24 dev eth0; ip -n stranger address add fd92::99/64 dev eth0 nodad; ip -n stranger link set eth0 up
"""
VLANS = """
ip link add br-trunk type bridge vlan_filtering 1; ip link set br-trunk up
ip netns add tagged; ip link add trunk-port type veth peer name eth0 netns tagged; ip link set trunk-port master br-trunk up
bridge vlan add vid 20 dev trunk-port; ip -n tagged link set eth0 up
ip -n tagged link add link eth0 name eth0.20 type vlan id 20; ip -n tagged link set eth0.20 up; ip -n tagged address add 10.93.0.99/24 dev eth0.20
"""
SERVE = "lxc-attach --name={name} --clear-env -- /bin/busybox sh -c 'for port in 80 81; do /bin/busybox httpd -p $port -h /; done'"


def vps(name: str, number: int, **more: object) -> dict:
    """A VPS with an interface in the LAN."""
    link = {"name": "eth1", "network": "lan", "addresses": [f"10.92.0.{number}", f"fd92::{number}"]}
    return {"name": name, "template": "minimal", "addresses": [f"10.90.0.{number}"], "interfaces": [link], "onboot": True, "wait": "network", **more}


WEB, FRIEND = vps("web", 10, firewall=CLOSED), vps("friend", 11, isolated=False)
TASKS = [{"mainline.vps.vps_network": LAN}, *({"mainline.vps.vps_container": task} for task in (WEB, FRIEND))]


@pytest.fixture(scope="module")
def lab(node):
    """A node with a bridged network, two VPSs there, and a host that is none."""
    done = play(node, [ROLE, *TASKS])
    assert not [warning for result in done.results for warning in result["result"].get("warnings", ())], "this kernel knows connections at a bridge"
    assert play(node, [ROLE, *TASKS]).changed == []
    outside(node)
    yield node
    node.root("ip netns delete stranger; ip link delete lan-port", check=False)
    gone = {"mainline.vps.vps_container": {"name": "{{ item }}", "state": "absent"}, "loop": ["web", "friend"]}
    play(node, [gone, {"mainline.vps.vps_network": {"name": "lan", "state": "absent"}}])
    assert "br-lan" not in node.root("ip link")


def outside(node) -> None:
    """What a boot takes away."""
    node.root(OUTSIDE)
    for name in ("web", "friend"):
        node.root(SERVE.format(name=name))
    node.root("ip netns exec stranger bash -c 'busybox httpd -p 80 -h / || python3 -m http.server 80 >/dev/null 2>&1 &'")


def reached(node, who: str, address: str, port: int) -> bool:
    """Whether somebody can connect: a VPS, the node, or a network namespace."""
    inside = {"node": "", "stranger": "ip netns exec stranger ", "tagged": "ip netns exec tagged "}.get(
        who, f"nsenter --net=/proc/$(lxc-info -pH -n {who})/ns/net "
    )
    return node.root(f"{inside}timeout 8 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null && echo yes", check=False) == "yes"


def expected(node) -> None:
    """What the tasks above say. The answers of what is closed are let in, which takes a kernel that knows connections at a bridge."""
    for web, friend, stranger in (("10.92.0.10", "10.92.0.11", "10.92.0.99"), ("fd92::10", "fd92::11", "fd92::99")):
        assert reached(node, "stranger", web, 81) and not reached(node, "stranger", web, 80), web
        assert reached(node, "web", stranger, 80) and reached(node, "web", friend, 80), web
        assert not reached(node, "friend", web, 80) and reached(node, "friend", web, 81), web
        assert reached(node, "node", web, 80), web


def test_connections_are_known_at_a_bridge(lab):
    expected(lab)


def test_network_daemons_leave_bridge_and_ports_alone(lab):
    ours = "ip -br address show br-lan; ip -br link show master br-lan | grep ^vps"
    before = lab.root(ours)
    lab.root("printf '[Match]\\nName=*\\n[Network]\\nDHCP=yes\\nLinkLocalAddressing=ipv6\\n' > /etc/systemd/network/50-all.network")
    try:
        lab.root("networkctl reload; systemctl restart systemd-networkd; sleep 5")
        assert "unmanaged" in lab.root("networkctl list br-lan")
        assert lab.root(ours) == before
    finally:
        lab.root("rm /etc/systemd/network/50-all.network; networkctl reload; systemctl restart systemd-networkd")
        lab.root("ip link set lan-port master br-lan up")  # the test's own, which the file took away


def test_vlans_of_a_bridge_that_keeps_them_apart(lab):
    """Live and over a restart; the VPS knows nothing of it."""
    lab.root(VLANS)
    asked = []
    for task, number, vlan in ((WEB, 10, 20), (FRIEND, 11, 30)):
        link = {"name": "eth2", "network": "trunk", "addresses": [f"10.93.0.{number}"], "vlan": vlan}
        asked.append({"mainline.vps.vps_container": {**task, "firewall": {}, "isolated": False, "interfaces": [*task["interfaces"], link]}})
    try:
        play(lab, [{"mainline.vps.vps_network": TRUNK}, *asked])
        assert play(lab, asked).changed == []
        for _time in range(2):
            assert reached(lab, "tagged", "10.93.0.10", 80) and not reached(lab, "tagged", "10.93.0.11", 80)
            assert not reached(lab, "web", "10.93.0.11", 80)
            play(lab, [{"mainline.vps.vps_container": {"name": "{{ item }}", "state": "restarted", "wait": "network"}, "loop": ["web", "friend"]}])
            for name in ("web", "friend"):
                lab.root(SERVE.format(name=name))
        assert play(lab, asked).changed == []
    finally:
        play(lab, [*TASKS, {"mainline.vps.vps_network": {"name": "trunk", "state": "absent"}}])
        assert "br-trunk" in lab.root("ip link"), "it is the administrator's"
        lab.root("ip netns delete tagged; ip link delete br-trunk")


def test_all_is_there_again_when_the_machine_has_booted(lab):
    lab.reboot()
    lab.root("for n in web friend; do until [ \"$(lxc-info -sH -n $n)\" = RUNNING ]; do sleep 1; done; done", timeout=600)
    assert "10.92.0.1/24" in lab.root("ip address show br-lan") and "fd92::1/64" in lab.root("ip address show br-lan")
    outside(lab)
    expected(lab)
    assert play(lab, [ROLE, *TASKS]).changed == []


def test_a_flush_of_everything_is_mended_by_the_next_task(lab):
    lab.root("nft flush ruleset")
    play(lab, TASKS)
    expected(lab)
