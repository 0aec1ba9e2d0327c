# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reaches whom on a stock machine, in both families, before and after it has booted; the whole matrix is integration target `network`."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.tests.node.conftest import ROLE
from ansible_collections.mainline.vps.tests.node.play import play

BOTH = {**ROLE, "vars": {**ROLE["vars"], "node_networks": ["10.90.0.0/16", "fd90::/64"]}}
WEB = {
    "name": "web",
    "template": "minimal",
    "addresses": ["10.90.0.10", "fd90::10"],
    "onboot": True,
    "wait": "network",
    "rates": {"in": "20M", "out": "10M"},
    "publish": [{"host": 8080, "guest": 80}],
    "firewall": {
        "in": {"default": "drop", "rules": [{"proto": "tcp", "ports": 81, "from": "vps:friend"}, {"proto": "icmp", "from": "203.0.113.0/24"}]}
    },
}
OUTSIDE = """
ip netns add outside; ip link add outside0 type veth peer name eth0 netns outside
ip address add 203.0.113.1/24 dev outside0; ip address add 2001:db8:9::1/64 dev outside0 nodad; ip link set outside0 up
ip -n outside address add 203.0.113.2/24 dev eth0; ip -n outside address add 2001:db8:9::2/64 dev eth0 nodad; ip -n outside link set eth0 up
ip -n outside route add default via 203.0.113.1; ip -n outside -6 route add default via 2001:db8:9::1
"""
SERVE = "lxc-attach --name=web --clear-env -- /bin/busybox sh -c 'for port in 80 81 82; do /bin/busybox httpd -p $port -h /; done'"


@pytest.fixture(scope="module")
def lab(node):
    """A node with networks of both families, a VPS that serves, a neighbour that it knows and one that it does not, and a host outside."""
    neighbours = [
        {"name": name, "template": "minimal", "addresses": [f"10.90.0.{number}", f"fd90::{number}"], "onboot": True}
        for name, number in (("friend", 11), ("other", 12))
    ]
    tasks = [{"mainline.vps.vps_container": task} for task in (*neighbours, WEB)]
    ways = node.root("ip -6 route show default")
    assert set(play(node, [BOTH, *tasks]).changed) >= {"mainline.vps.node : Make the machine a node"}
    assert play(node, [BOTH, *tasks]).changed == []
    assert [line.split()[:5] for line in node.root("ip -6 route show default").splitlines()] == [line.split()[:5] for line in ways.splitlines()]
    node.root(OUTSIDE)
    node.root(SERVE)
    yield node
    node.root("ip netns delete outside; ip link delete outside0", check=False)
    play(node, [{"mainline.vps.vps_container": {"name": "{{ item }}", "state": "absent"}, "loop": ["web", "friend", "other"]}, ROLE])


def reached(node, who: str, address: str, port: int) -> bool:
    """Whether a VPS, the node or the host outside can connect."""
    inside = {"node": "", "outside": "ip netns exec outside "}.get(who, f"nsenter --net=/proc/$(lxc-info -pH -n {who})/ns/net ")
    return node.root(f"{inside}timeout 8 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null && echo yes", check=False) == "yes"


def expected(node) -> None:
    """All that the tasks above say, of both families."""
    for web, here in (("10.90.0.10", "203.0.113.1"), ("fd90::10", "2001:db8:9::1")):
        assert reached(node, "node", web, 80) and reached(node, "node", here, 8080), web
        assert reached(node, "friend", web, 81) and not reached(node, "friend", web, 82), web
        assert not reached(node, "other", web, 81) and reached(node, "other", here, 8080), web
        assert reached(node, "outside", here, 8080) and not reached(node, "outside", web, 81), web
        assert not reached(node, "web", here, 22), web
    queues = node.root("tc qdisc show")
    assert "rate 20Mbit" in queues and "rate 10Mbit" in queues
    assert node.root("ip netns exec outside ping -c 1 -W 5 -q 10.90.0.10 >/dev/null && echo yes", check=False) == "yes"


def test_rules_hold_in_both_families(lab):
    expected(lab)


@pytest.mark.long
def test_rules_hold_when_the_machine_has_booted(lab):
    lab.reboot()
    lab.root('for n in web friend other; do until [ "$(lxc-info -sH -n $n)" = RUNNING ]; do sleep 1; done; done', timeout=600)
    lab.root(OUTSIDE)
    lab.root(SERVE)
    expected(lab)
    assert play(lab, [BOTH, {"mainline.vps.vps_container": WEB}]).changed == []


@pytest.mark.long
def test_a_flush_of_everything_is_mended_by_the_next_task(lab):
    lab.root("nft flush ruleset")
    done = play(lab, [{"mainline.vps.vps_container": WEB}])
    assert [change["option"] for change in done.results[0]["result"]["changes"]] == ["packet_filter"]
    expected(lab)
