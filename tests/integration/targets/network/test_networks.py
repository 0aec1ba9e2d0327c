# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks besides the node's own: which address others see, who gets which address, and who has it already."""

from __future__ import annotations

import json
import pathlib
import signal

import net_lab as lab
import pytest
import vps_kit as kit
from conftest import A, B, C

PUBLIC = {"name": "it-public", "subnets": ["203.0.113.0/28", "2001:db8:1::/64"], "pools": {"it-few": ["203.0.113.4-203.0.113.5"]}}
PRIVATE = {"name": "it-private", "subnets": ["10.91.0.0/24", "fd91::/64"], "nat": True}
LAN = {"name": "it-lan", "subnets": ["10.81.0.0/24", "fd81::/64"], "uplink": "it-net1"}


@pytest.fixture
def networks(vpss):
    """Gives a network to the node, twice and in check mode; all go with the test, and what VPSs have of them."""

    def give(**network) -> dict:
        return kit.foretold("vps_network", **network)

    yield give
    for name in kit.own_names():
        kit.ok("vps_container", name=name, state="absent")
    for network in (PUBLIC, PRIVATE, LAN):
        kit.ok("vps_network", name=network["name"], state="absent")


def new(name: str, *addresses: object, **options) -> dict:
    """A VPS with these addresses and no others."""
    return kit.foretold("vps_container", name=name, template="it-minimal", addresses=list(addresses), **options)["vps"]


def seen(source: lab.Host, address: str) -> str:
    """What a server outside says to it: its name, and the address that it sees."""
    return lab.outcomes([lab.Try(source, address, "tcp/80")])[0]


def test_a_network_goes_there_and_back(networks):
    assert networks(**PUBLIC)["network"]["used"] == {}
    assert networks(**{**PUBLIC, "nat": True})["changes"] == [{"option": "nat", "before": False, "after": True, "effect": "live"}]
    networks(**PUBLIC, nat=False)
    assert networks(name="it-public", pools={})["network"]["pools"] == {}
    assert networks(name="it-public", state="absent")["network"] is None


@pytest.mark.parametrize("family", [4, 6])
def test_others_see_the_address_that_is_chosen_for_them(networks, family):
    with lab.Servers() as servers:
        servers.listen(lab.OUT1, "tcp/80")
        networks(**PRIVATE)
        networks(**PUBLIC)
        private, public = [("10.91.0.2", "203.0.113.2"), ("fd91::2", "2001:db8:1::2")][family == 6]
        new(A, private)
        new(B, public)
        target, node = lab.OUT1.at(family), lab.NODE.at(family)
        chosen = {4: "10.81.0.77", 6: "fd81::77"}[family]
        lab.ip(
            lab.NODE,
            "address",
            "add",
            f"{chosen}/{24 if family == 4 else 64}",
            "dev",
            "it-net1",
            *(["nodad", "preferred_lft", "0"] if family == 6 else []),
        )
        try:
            assert seen(lab.vps(A), target) == f"out1 {node}"
            assert seen(lab.vps(B), target) == f"out1 {public}"
            networks(name="it-private", nat_addresses=[chosen])
            assert seen(lab.vps(A), target) == f"out1 {chosen}"
            networks(name="it-private", nat_addresses=[])
            assert seen(lab.vps(A), target) == f"out1 {node}"
        finally:
            lab.ip(lab.NODE, "address", "delete", f"{chosen}/{24 if family == 4 else 64}", "dev", "it-net1")


def test_a_pool_gives_each_an_address_of_his_own_and_the_same_one_again(networks):
    networks(**PUBLIC)
    first, second = (new(name, {"pool": "it-few"}, state="stopped")["addresses"] for name in (A, B))
    assert sorted([*first, *second]) == ["203.0.113.4", "203.0.113.5"]
    assert "it-few" in kit.fails("vps_container", name=C, addresses=[{"pool": "it-few"}])
    assert kit.ok("vps_container", name=A, addresses=[{"pool": "it-few"}])["vps"]["addresses"] == first
    kit.ok("vps_container", name=A, state="absent")
    assert new(C, {"pool": "it-few"}, state="stopped")["addresses"] == first


def test_two_playbooks_at_once_get_two_addresses(networks):
    networks(**PUBLIC)
    wish = {"template": "it-minimal", "state": "present", "addresses": [{"pool": "it-public"}]}
    for name in (A, B, C):
        kit.ok("vps_container", name=name, state="absent")
    made = [kit.result(run) for run in [kit.launch("vps_container", name=name, **wish) for name in (A, B, C)]]
    assert len({told["vps"]["addresses"][0] for told in made}) == 3


def test_a_network_in_use_does_not_go_nor_lose_what_is_used(networks):
    networks(**PUBLIC)
    new(A, "203.0.113.9", state="stopped")
    with kit.Untouched():
        assert A in kit.fails("vps_network", name="it-public", state="absent")
        assert A in kit.fails("vps_network", name="it-public", subnets=["203.0.113.0/29"])


@pytest.mark.parametrize("family", [4, 6])
def test_the_node_answers_in_its_lan_for_those_that_run(networks, family):
    networks(**LAN)
    address = {4: "10.81.0.50", 6: "fd81::50"}[family]
    new(A, address)
    ping = [lab.Try(lab.OUT1, address, "icmp")]
    assert lab.outcomes(ping) == ["reply"]
    assert address in lab.ip(lab.NODE, "neighbour", "show", "proxy")
    kit.ok("vps_container", name=A, state="stopped", stop_timeout=0)
    assert address not in lab.ip(lab.NODE, "neighbour", "show", "proxy")
    kit.ok("vps_container", name=A, state="started")
    assert lab.outcomes(ping) == ["reply"]
    new(A)
    assert address not in lab.ip(lab.NODE, "neighbour", "show", "proxy")


@pytest.mark.parametrize("family", [4, 6])
def test_an_address_that_somebody_in_the_lan_has_is_refused_with_who_it_is(networks, family):
    networks(**LAN)
    new(A, state="stopped")
    with kit.Untouched():
        message = kit.fails("vps_container", name=A, addresses=[lab.OUT1.at(family)])
    assert lab.hardware(lab.OUT1) in message


@pytest.mark.parametrize(
    ("wish", "option"),
    [
        ({"name": "it-public"}, "subnets"),
        ({"name": "default", "subnets": ["10.99.0.0/24"]}, "name"),
        ({"name": "it-public", "subnets": ["10.90.1.0/24"]}, "subnets"),
        ({"name": "it-public", "subnets": ["10.81.0.0/24"]}, "subnets"),
        ({**PUBLIC, "uplink": "never0"}, "uplink"),
        ({**PUBLIC, "nat_addresses": ["192.0.2.9"]}, "nat_addresses"),
        ({**PUBLIC, "pools": {"x": ["192.0.2.1"]}}, "pools.x"),
    ],
)
def test_a_mistake_is_told_before_anything_is_touched(vpss, wish, option):
    with kit.Untouched():
        assert kit.fails("vps_network", **wish).startswith(f"{option}: ")


# -- rates of a network ---------------------------------------------------------------------------------------------------


def buckets() -> list[int]:
    """Bit/s of this machine's token buckets."""
    told = json.loads(kit.run("tc", "-json", "qdisc", "show"))
    return sorted(one["options"]["rate"] * 8 for one in told if one["kind"] == "tbf")


def test_a_network_has_rates_for_those_that_have_none(networks):
    networks(**PUBLIC)
    new(A, "203.0.113.2")
    new(B, "203.0.113.3", rates={"in": "30M"})
    assert buckets() == [30_000_000]
    networks(name="it-public", rates={"in": "20M", "out": "10M"})
    assert buckets() == [10_000_000, 10_000_000, 20_000_000, 30_000_000]
    assert kit.settle(lambda: lab.rate(lab.OUT1, lab.vps(A), 4), near=20e6 * 0.955, within=0.1)
    kit.ok("vps_container", name=A, state="restarted")
    assert buckets() == [10_000_000, 10_000_000, 20_000_000, 30_000_000], "they are there again after a start"
    assert not kit.ok("vps_container", name=A, rates={})["changed"], "the network's are not its own"
    kit.foretold("vps_container", name=A, rates={"in": "unlimited"})
    assert buckets() == [10_000_000, 10_000_000, 30_000_000]
    kit.foretold("vps_container", name=A, rates={})
    kit.run("tc", "qdisc", "delete", "dev", kit.info(A)["host_interface"], "root")
    kit.foretold("vps_container", name=A, addresses=["203.0.113.2"])
    assert buckets() == [10_000_000, 10_000_000, 20_000_000, 30_000_000], "who took one away does not take it from the network"
    kit.foretold("vps_container", name=A, addresses=["10.90.0.10"])
    assert buckets() == [10_000_000, 30_000_000], "it has left the network"
    kit.foretold("vps_container", name=A, addresses=["10.90.0.10", "203.0.113.2"])
    networks(name="it-public", rates={"out": "10M"})
    networks(name="it-public", rates={})
    assert buckets() == [30_000_000]


def test_a_killed_change_of_a_network_reaches_its_vpss_with_the_next_run(networks):
    networks(**PUBLIC)
    new(A, "203.0.113.2")
    settings = pathlib.Path("/etc/vps/node.json")
    for asked in ({"in": "20M"}, {"in": "10M"}):
        run = kit.launch("vps_network", name="it-public", rates=asked)
        while run.poll() is None and asked["in"] not in settings.read_text(encoding="utf-8"):
            pass
        run.send_signal(signal.SIGKILL)
        run.communicate()
        behind = json.loads(settings.read_text(encoding="utf-8"))["followed"] is not None
        assert kit.ok("vps_network", name="it-public", rates=asked)["changed"] == behind
        assert buckets() == [int(asked["in"][:-1]) * 1_000_000]
        assert not kit.ok("vps_network", name="it-public", rates=asked)["changed"]
