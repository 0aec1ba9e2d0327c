# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces in bridged networks: what a task says of them, what the next one finds, and what may not be asked for."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.tests.contract.bench import A, B, options


def eth(number: int, network: str, **more: object) -> dict:
    """An interface with an address of its number."""
    return {"name": f"eth{number}", "network": network, "addresses": [f"10.92.0.{100 + number}"], **more}


def host_names(result: dict) -> list[str]:
    """The node's ends of a VPS's interfaces."""
    return [one["host_name"] for one in result["vps"]["interfaces"]]


def test_a_new_vps_gets_names_and_hardware_addresses_that_stay(bench):
    lan = bench.world.bridged()
    first = bench.new(state="started", interfaces=[eth(1, lan), eth(2, lan)])
    (one, two), seen = first["vps"]["interfaces"], bench.seen()
    assert seen["links"] == sorted([one["host_name"], two["host_name"]]) and one["mac"] != two["mac"]
    after = bench.vps(interfaces=[eth(2, lan)])["vps"]["interfaces"]
    assert after == [two] and bench.seen()["links"] == [two["host_name"]]
    bench.vps(state="stopped")
    assert bench.vps(state="started")["vps"]["interfaces"] == [two] and bench.seen()["links"] == [two["host_name"]]
    assert bench.world.rules_follow()


def test_interfaces_are_changed_live_and_told_whole(bench):
    lan = bench.world.bridged()
    bench.new(state="started", interfaces=[eth(1, lan)])
    pid = bench.seen()["pid"]
    result = bench.vps(interfaces=[eth(1, lan, addresses=["10.92.0.120"]), eth(2, lan, host_name="vps-contract", mac="02:00:00:00:47:11")])
    (change,) = result["changes"]
    assert change["option"] == "interfaces" and change["effect"] == "live" and not result["restart_required"]
    assert [one["addresses"] for one in change["before"]] == [["10.92.0.101"]]
    assert [one["addresses"] for one in change["after"]] == [["10.92.0.120"], ["10.92.0.102"]]
    assert "vps-contract" in bench.seen()["links"] and bench.seen()["pid"] == pid
    assert bench.vps(description="unrelated")["vps"]["interfaces"] == result["vps"]["interfaces"]
    assert options(bench.vps(interfaces=[])) == ["interfaces"] and bench.seen()["links"] == []
    assert bench.world.rules_follow()


def test_a_link_that_somebody_has_deleted_is_made_again(bench):
    lan = bench.world.bridged()
    (link,) = host_names(bench.new(state="started", interfaces=[eth(1, lan)]))
    bench.world.unlink(A, link)
    assert bench.once("vps_container", name=A)["vps"]["interfaces"] == []
    assert options(bench.vps(interfaces=[eth(1, lan)])) == ["interfaces"] and bench.seen()["links"] == [link]


def test_a_killed_run_is_finished_by_the_next(bench):
    lan = bench.world.bridged()
    bench.new(state="started", interfaces=[eth(1, lan)])
    bench.world.interrupt(A, interfaces=())
    assert "interfaces" in options(bench.once("vps_container", name=A))
    assert bench.seen()["links"] == []


def test_eth0_takes_the_place_of_the_routed_link(bench):
    lan, address = bench.world.bridged(), bench.world.address(1)
    bench.new(state="started", addresses=[address])
    with pytest.raises(VpsError, match="addresses: they are routed over eth0"):
        bench.check("vps_container", name=A, interfaces=[eth(0, lan)])
    result = bench.vps(addresses=[], interfaces=[eth(0, lan)])
    assert bench.seen()["routes"] == set() and host_names(result) == bench.seen()["links"] == [result["vps"]["host_interface"]]
    back = bench.vps(addresses=[address], interfaces=[], restart_policy="if_needed", stop_timeout=0)
    assert {change["option"]: change["effect"] for change in back["changes"]}["interfaces"] == "restart"
    assert bench.seen()["routes"] == {address} and bench.seen()["links"] == []


def test_what_pools_have_given_stays_whichever_list_is_named(bench):
    lan = bench.world.bridged()
    bench.new(state="stopped", addresses=[{"pool": "default"}], interfaces=[eth(1, lan, addresses=[{"pool": lan}])])
    pooled = bench.vps(state="stopped")["vps"]["pooled"]
    assert set(pooled.values()) == {lan, "default"}
    assert options(bench.vps(state="stopped", addresses=[])) == ["addresses", "pooled"]
    assert set(bench.vps(state="stopped")["vps"]["pooled"].values()) == {lan}
    assert options(bench.vps(state="stopped", interfaces=[])) == ["interfaces", "pooled"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"addresses": ["10.92.0.101"]}, "interfaces.*10.92.0.101 belongs to VPS contract-a"),
        ({"mac": "02:00:00:00:47:11"}, "mac: .* belongs to VPS contract-a"),
        ({"host_name": "vps-contract"}, "host_name: .* belongs to VPS contract-a"), ({"vlan": 5}, "vlan: .* keeps no VLANs apart"),
        ({"addresses": ["10.92.0.1"]}, "addresses: 10.92.0.1 "), ({"network": "default"}, "network: there is no bridged network 'default'"),
        ({"host_name": "vps4711"}, "host_name: vps4711 is for the node to give"),
    ],
)
def test_what_is_another_vpss_or_cannot_be_is_refused(bench, more, message):
    lan = bench.world.bridged()
    bench.new(state="stopped", interfaces=[eth(1, lan, host_name="vps-contract", mac="02:00:00:00:47:11")])
    with pytest.raises(VpsError, match=message):
        bench.check("vps_container", name=B, template="contract-minimal", interfaces=[{**eth(2, lan), **more}])
