# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridged networks and the interfaces of VPSs in them: made, changed and removed live, kept over starts, refused where they cannot be."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import signal
import socket
import subprocess

import layer2
import pytest
import vps_kit as kit
from conftest import A, B, C, LAN, LINKS, ROUTED
from layer2 import NODE, STRANGER


def eth(number: int, **more: object) -> dict:
    """An interface in the network of these tests, with addresses of its number."""
    return {"name": f"eth{number}", "network": "lan", "addresses": [f"10.92.0.{20 + number}", f"fd92::{20 + number}"], **more}


def given(*interfaces: dict, name: str = A, **more: object) -> dict:
    """Give a VPS these interfaces, as check mode said; twice is the same as once."""
    return kit.foretold("vps_container", name=name, interfaces=list(interfaces), stop_timeout=0, **more)


def links(name: str = A) -> dict[str, dict]:
    """The interfaces of a VPS as the module tells them, by their names."""
    return {one["name"]: one for one in kit.info(name)["interfaces"]}


def inside(name: str = A) -> dict[str, tuple[str, set[str]]]:
    """Interface → (hardware address, global addresses with their prefixes) as a guest's kernel has them."""
    told = json.loads(kit.run("nsenter", f"--net=/proc/{kit.pid(name)}/ns/net", "ip", "-json", "address", "show"))
    return {
        link["ifname"]: (link["address"], {f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global"})
        for link in told
        if link["ifname"] != "lo"
    }


def refused(**params: object) -> str:
    """vps_container, which is to fail and to touch nothing; its message."""
    with kit.Untouched():
        told = kit.call("vps_container", **{"name": A, **params})
    assert told.get("failed"), told
    assert re.match(r"[a-z_]+(\[\d\]\.[a-z_]+)?: \S", told["msg"]) and told["msg"].endswith("."), told["msg"]
    return told["msg"]


def ports(bridge: str = "br-lan") -> set[str]:
    """The ports of a bridge that are VPSs'."""
    told = json.loads(kit.run("ip", "-json", "link", "show", "master", bridge) or "[]")
    return {link["ifname"] for link in told if link.get("ifname", "").startswith("vps")}


def ways(name: str = A) -> dict[str, str]:
    """Where a VPS's ways out lead, by the family: the interface."""
    found = {}
    for family in ("-4", "-6"):
        told = kit.run("nsenter", f"--net=/proc/{kit.pid(name)}/ns/net", "ip", family, "route", "show", "default")
        found[family] = told.split(" dev ")[1].split()[0] if " dev " in told else ""
    return found


# -- what they are for ------------------------------------------------------------------------------------------------


def test_a_vps_reaches_the_bridge_and_by_its_routed_link_everything_else(a, b):
    assert inside()["eth1"] == (a.mac, {"10.92.0.10/24", "fd92::10/64"})
    assert ports() == {one["host_name"] for each in (A, B) for one in links(each).values()}
    with layer2.listening(STRANGER, 80), layer2.listening(a, 80):
        for mine, other in ((a.four, STRANGER.four), (a.six, STRANGER.six)):
            assert layer2.connects(a, other, 80) and layer2.connects(STRANGER, mine, 80) and layer2.connects(NODE, mine, 80)
    assert ways() == {"-4": "eth0", "-6": "eth0"}
    kit.inside(A, "ping", "-c", "1", "-W", "5", "-s", "3000", STRANGER.four)
    kit.inside(A, "ping", "-c", "1", "-W", "5", "-s", "3000", STRANGER.six)


def test_the_ways_out_are_the_routed_links_or_else_the_networks(a):
    kit.foretold("vps_container", name=A, addresses=["10.90.0.10"])
    assert ways() == {"-4": "eth0", "-6": "eth1"}
    kit.foretold("vps_container", name=A, addresses=[])
    assert ways() == {"-4": "eth1", "-6": "eth1"}
    kit.container(A, state="restarted", wait="network")
    assert ways() == {"-4": "eth1", "-6": "eth1"}
    kit.foretold("vps_container", name=A, addresses=ROUTED[A])
    assert ways() == {"-4": "eth0", "-6": "eth0"}


def test_a_running_vps_follows_the_gateway_of_its_network(a):
    kit.container(A, addresses=[])
    space = f"--net=/proc/{kit.pid(A)}/ns/net"
    kit.ok("vps_network", **{**LAN, "gateways": ["10.92.0.2", "fd92::2"]})
    try:
        assert "via 10.92.0.2 " in kit.run("nsenter", space, "ip", "route", "show", "default")
        assert "via fd92::2 " in kit.run("nsenter", space, "ip", "-6", "route", "show", "default")
        kit.inside(A, "ping", "-c", "1", "-W", "5", "10.78.0.1")
        assert not kit.ok("vps_container", name=A)["changed"]
    finally:
        kit.ok("vps_network", **LAN)


def test_a_running_vps_follows_the_subnets_of_its_network(a):
    """Another length of the prefix, and a gateway that is no more."""
    try:
        kit.foretold("vps_network", name="lan", subnets=["10.92.0.0/16", "fd92::/48"])
        assert inside()["eth1"][1] == {"10.92.0.10/16", "fd92::10/48"}
        here = json.loads(kit.run("ip", "-json", "address", "show", "dev", "br-lan"))[0]["addr_info"]
        assert {f"{one['local']}/{one['prefixlen']}" for one in here if one["scope"] == "global"} == {"10.92.0.1/16", "fd92::1/48"}
        kit.run("ip", "address", "delete", "10.92.0.1/16", "dev", "br-lan")
        assert kit.ok("vps_network", name="lan")["changed"], "what somebody has taken away is given back"
        given({"name": "eth0", "network": "lan", "addresses": ["10.92.0.10", "fd92::10"]}, addresses=[], restart_policy="if_needed")
        kit.foretold("vps_network", name="lan", gateways=["10.92.0.1"])
        ways = kit.run("nsenter", f"--net=/proc/{kit.pid(A)}/ns/net", "ip", "-6", "route", "show", "default")
        assert ways == "", "no way leads to a gateway that is gone"
    finally:
        kit.ok("vps_network", **LAN)
        kit.container(A, addresses=ROUTED[A], interfaces=LINKS[A], restart_policy="if_needed")  # its routed link comes with a start


def test_what_leaves_by_the_node_has_its_address(a):
    """A network that is made has the node as its way out, which translates."""
    kit.container(A, addresses=[])
    with layer2.wire(layer2.Member("/proc/self/ns/net", "it-peer", "", "", "")) as outside:
        kit.run("ip", "neighbour", "replace", "10.78.0.2", "lladdr", "02:00:00:00:00:02", "dev", "it-eth")
        kit.inside(A, "ping", "-c", "1", "-W", "1", "10.78.0.2", check=False)
        outside.settimeout(layer2.PATIENCE)
        frame = outside.recv(4096)
        while frame[12:14] != b"\x08\x00":
            frame = outside.recv(4096)
    assert socket.inet_ntoa(frame[26:30]) == "10.78.0.1" and socket.inet_ntoa(frame[30:34]) == "10.78.0.2"


# -- live -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def busy(seconds: int):
    """A connection over eth0 that is never idle; at its end, nothing of it was lost for long."""
    server = subprocess.Popen(
        ["nsenter", f"--net=/proc/{kit.pid(A)}/ns/net", "iperf3", "-s", "-1", "--forceflush"], stdout=subprocess.PIPE, text=True
    )
    kit.until("iperf3 listens", lambda: "listening" in server.stdout.readline())
    client = subprocess.Popen(
        ["iperf3", "-c", "10.90.0.10", "-b", "50M", "-t", str(seconds), "-i", "0.5", "-J"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield
        output, _none = client.communicate(timeout=seconds + 60)
        told = json.loads(output)
        assert client.returncode == 0 and "error" not in told, told.get("error")
        sent = [each["sum"]["bytes"] for each in told["intervals"]]
        assert len(sent) >= seconds and min(sent[:-1]) > 0, sent
        assert told["end"]["sum_received"]["bytes"] > 0
    finally:
        client.kill()
        server.kill()
        server.wait(10)


def test_interfaces_come_change_and_go_while_a_connection_goes_on(a):
    before = links()["eth1"]
    with busy(15):
        done = given(LINKS[A][0], eth(2))
        assert [(change["option"], change["effect"]) for change in done["changes"]] == [("interfaces", "live")]
        assert links()["eth1"] == before, "what nobody changed is as it was"
        assert inside()["eth2"] == (links()["eth2"]["mac"], {"10.92.0.22/24", "fd92::22/64"})
        with layer2.listening(layer2.vps(A, "eth2"), 81):
            assert layer2.connects(STRANGER, "10.92.0.22", 81) and layer2.connects(STRANGER, "fd92::22", 81)
        number = kit.run("nsenter", f"--net=/proc/{kit.pid(A)}/ns/net", "ip", "-o", "link", "show", "eth2").split(":")[0]
        given(LINKS[A][0], eth(2, addresses=["10.92.0.30"]))
        assert inside()["eth2"] == (links()["eth2"]["mac"], {"10.92.0.30/24"})
        assert number == kit.run("nsenter", f"--net=/proc/{kit.pid(A)}/ns/net", "ip", "-o", "link", "show", "eth2").split(":")[0], "it was made anew"
        given(LINKS[A][0], eth(2, mac="02:00:00:00:02:02", mtu=1400, host_name="vps-second"))
        assert inside()["eth2"] == ("02:00:00:00:02:02", {"10.92.0.22/24", "fd92::22/64"})
        assert "mtu 1400" in kit.run("nsenter", f"--net=/proc/{kit.pid(A)}/ns/net", "ip", "link", "show", "eth2")
        assert "vps-second" in ports()
        given(LINKS[A][0], {**eth(3), "mac": "02:00:00:00:02:02", "host_name": "vps-second"})
        assert set(inside()) == {"eth0", "eth1", "eth3"}
        given(LINKS[A][0])
        assert set(inside()) == {"eth0", "eth1"} and "vps-second" not in ports()
    assert layer2.vps(A) == a


def test_without_any_a_vps_is_as_it_was_before(a):
    given()
    assert set(inside()) == {"eth0"} and ports() == {links(B)["eth1"]["host_name"]}
    given(name=B)
    assert not pathlib.Path("/etc/vps/bridged.nft").exists()
    assert "table bridge" not in kit.run("nft", "list", "tables")
    given(*LINKS[A])
    assert "table bridge mainline_vps" in kit.run("nft", "list", "tables")
    assert layer2.passes(layer2.own(layer2.vps(A), STRANGER), layer2.vps(A), STRANGER)


def test_an_interface_takes_the_place_of_the_routed_link_and_gives_it_back_at_a_restart(a):
    assert "eth0" in refused(interfaces=[eth(0)])
    given(eth(0), addresses=[])
    assert set(inside()) == {"eth0"} and inside()["eth0"][1] == {"10.92.0.20/24", "fd92::20/64"}
    assert ways() == {"-4": "eth0", "-6": "eth0"}
    me = layer2.vps(A, "eth0")
    assert layer2.passes(layer2.own(me, STRANGER), me, STRANGER)
    kit.container(A, state="restarted", wait="network")
    assert inside()["eth0"][1] == {"10.92.0.20/24", "fd92::20/64"} and layer2.vps(A, "eth0").mac == me.mac
    done = kit.ok("vps_container", name=A, interfaces=[], addresses=ROUTED[A], restart_policy="if_needed", stop_timeout=0)
    assert "restart" in {change["effect"] for change in done["changes"]} and not done["restart_required"]
    assert inside()["eth0"][1] == {"10.90.0.10/32", "fd90::10/128"}
    given(*LINKS[A])


def test_a_pool_gives_an_address_of_the_bridge_and_the_same_one_again(a, b):
    kit.ok("vps_network", **LAN, pools={"few": ["10.92.0.50-10.92.0.51"]})
    given({"name": "eth1", "network": "lan", "addresses": [{"pool": "few"}]})
    assert links()["eth1"]["addresses"] == ["10.92.0.50"] and kit.info(A)["pooled"] == {"10.92.0.50": "few"}
    given({"name": "eth1", "network": "lan", "addresses": [{"pool": "few"}]}, {"name": "eth2", "network": "lan", "addresses": [{"pool": "few"}]})
    assert [one["addresses"] for one in links().values()] == [["10.92.0.50"], ["10.92.0.51"]]
    kit.foretold("vps_container", name=A, addresses=["10.90.0.10"])
    assert set(kit.info(A)["pooled"]) == {"10.92.0.50", "10.92.0.51"}
    assert "few" in refused(name=B, interfaces=[{"name": "eth1", "network": "lan", "addresses": [{"pool": "few"}]}])
    kit.container(A, interfaces=LINKS[A])
    kit.ok("vps_network", **LAN, pools={})


def test_rates_and_counters_are_of_all_links(a):
    before = kit.ok("vps_info", name=A)["vpss"][0]["traffic"]
    given(*LINKS[A], eth(2))
    second = layer2.vps(A, "eth2")
    for _each in range(5):
        assert layer2.passes(layer2.own(second, STRANGER), second, STRANGER) and layer2.passes(layer2.own(a, STRANGER), a, STRANGER)
    grown = kit.ok("vps_info", name=A)["vpss"][0]["traffic"]
    assert grown["packets_out"] >= before["packets_out"] + 30
    given(*LINKS[A])
    assert kit.ok("vps_info", name=A)["vpss"][0]["traffic"]["packets_out"] >= grown["packets_out"], "what a link had carried went with it"
    kit.container(A, state="stopped")
    assert kit.ok("vps_info", name=A)["vpss"][0]["traffic"]["packets_out"] >= grown["packets_out"]
    kit.container(A, rates={"in": "8M", "out": "8M"}, state="started")
    given(*LINKS[A], eth(2))
    queues = kit.run("tc", "qdisc", "show")
    for one in links().values():
        assert re.search(rf"qdisc tbf \w+: dev {one['host_name']} root .* rate 8Mbit", queues) and f"ingress ffff: dev {one['host_name']}" in queues


# -- over starts ------------------------------------------------------------------------------------------------------


def test_all_is_there_again_after_a_restart_and_a_reboot_from_inside(a):
    given(LINKS[A][0], eth(2, mtu=1400))
    names = {one["name"]: (one["host_name"], one["mac"]) for one in links().values()}
    seen = inside()
    kit.container(A, state="restarted", wait="network")
    assert inside() == seen and {one["name"]: (one["host_name"], one["mac"]) for one in links().values()} == names
    before = kit.pid(A)
    kit.inside(A, "reboot", check=False)
    kit.until("another init", lambda: kit.pid(A) not in (None, before), seconds=60)
    kit.ok("vps_container", name=A, wait="network")
    assert inside() == seen and "mtu 1400" in kit.run("nsenter", f"--net=/proc/{kit.pid(A)}/ns/net", "ip", "link", "show", "eth2")
    me = layer2.vps(A, "eth2")
    assert layer2.passes(layer2.own(me, STRANGER), me, STRANGER)
    port = kit.run("ip", "-details", "link", "show", me.mac and links()["eth2"]["host_name"])
    assert "learning off flood off" in port and "guard on" in port


def test_a_start_brings_bridge_and_rules_that_a_boot_has_taken_away(minimal):
    """What is left of a machine after its boot are files."""
    kit.ok("vps_network", name="boot", subnets=["10.93.0.0/24"], bridge="br-boot", gateways=["10.93.0.1"])
    kit.container(C, template=minimal, interfaces=[{"name": "eth1", "network": "boot", "addresses": ["10.93.0.10"]}], state="stopped")
    kit.run("ip", "link", "delete", "br-boot")
    kit.run("nft", "delete", "table", "bridge", "mainline_vps")
    kit.run("lxc-start", "-n", C)
    try:
        assert ports("br-boot") == {links(C)["eth1"]["host_name"]}
        assert "10.93.0.1/24" in kit.run("ip", "address", "show", "br-boot")
        assert "table bridge mainline_vps" in kit.run("nft", "list", "tables")
        assert not kit.ok("vps_container", name=C)["changed"]
    finally:
        kit.container(C, state="absent")
        kit.ok("vps_network", name="boot", state="absent")
    assert "br-boot" not in kit.run("ip", "link")


def test_no_vps_starts_at_a_bridge_without_its_rules(a):
    kit.container(A, state="stopped")
    rules = pathlib.Path("/etc/vps/bridged.nft")
    text = rules.read_text(encoding="utf-8")
    try:
        rules.write_text("table bridge what { what }\n", encoding="utf-8")
        kit.run("nft", "delete", "table", "bridge", "mainline_vps")
        assert subprocess.run(["lxc-start", "-n", A], check=False, capture_output=True).returncode != 0
        assert kit.pid(A) is None
    finally:
        rules.write_text(text, encoding="utf-8")
    kit.container(A, state="started")
    assert "table bridge mainline_vps" in kit.run("nft", "list", "tables")


@pytest.mark.parametrize("spoil", ["the link is deleted", "it is taken from its bridge", "the rules are flushed", "the guest deletes it"])
def test_what_somebody_has_spoilt_is_mended(a, spoil):
    port = links()["eth1"]["host_name"]
    if spoil == "the link is deleted":
        kit.run("ip", "link", "delete", port)
    elif spoil == "it is taken from its bridge":
        kit.run("ip", "link", "set", port, "nomaster")
    elif spoil == "the rules are flushed":
        kit.run("nft", "delete", "table", "bridge", "mainline_vps")
    else:
        kit.inside(A, "ip", "link", "delete", "eth1")
    done = given(*LINKS[A])
    assert done["changed"]
    assert layer2.passes(layer2.own(a, STRANGER), a, STRANGER) and ports() >= {port}


# -- networks ---------------------------------------------------------------------------------------------------------


def test_a_bridge_of_somebody_elses_is_used_and_stays_as_it_is(a):
    kit.run("ip", "link", "add", "it-own", "type", "bridge")
    kit.run("ip", "address", "add", "10.94.0.7/24", "dev", "it-own")
    kit.run("ip", "link", "set", "it-own", "up")
    before = kit.run("ip", "-details", "address", "show", "it-own")
    made = kit.ok("vps_network", name="own", subnets=["10.94.0.0/24"], bridge="it-own", gateways=["10.94.0.254"])
    try:
        assert made["network"]["made"] is False
        given(*LINKS[A], {"name": "eth2", "network": "own", "addresses": ["10.94.0.20"]})
        me = layer2.vps(A, "eth2")
        assert layer2.connects(layer2.Member("/proc/self/ns/net", "it-own", "", "", ""), me.four, 80)
        assert f"is in use by VPS {A}" in kit.call("vps_network", name="own", state="absent")["msg"]
        assert "gateway" in refused(interfaces=[{"name": "eth2", "network": "own", "addresses": ["10.94.0.254"]}])
        given(*LINKS[A])
    finally:
        kit.container(A, interfaces=LINKS[A])
        kit.ok("vps_network", name="own", state="absent")
    after = kit.run("ip", "-details", "address", "show", "it-own")
    assert [line.split(" state ")[0] for line in after.splitlines() if "inet " in line] == [line for line in before.splitlines() if "inet " in line]
    kit.run("ip", "link", "delete", "it-own")


def test_a_bridge_that_is_made_is_kept_and_goes_with_its_network():
    wish = {"name": "more", "subnets": ["10.95.0.0/24", "fd95::/64"], "bridge": "br.more", "gateways": ["10.95.0.1"]}
    check = kit.ok("vps_network", check=True, **wish)
    assert "br.more" not in kit.run("ip", "link")
    made = kit.ok("vps_network", **wish)
    assert made["changes"] == check["changes"] and made["network"]["made"] and not kit.ok("vps_network", **wish)["changed"]
    assert "10.95.0.1/24" in kit.run("ip", "address", "show", "br.more")
    kit.run("ip", "link", "delete", "br.more")
    mended = kit.ok("vps_network", **wish)
    assert [change["option"] for change in mended["changes"]] == ["bridge"] and "10.95.0.1/24" in kit.run("ip", "address", "show", "br.more")
    kit.ok("vps_network", **{**wish, "gateways": ["10.95.0.2", "fd95::1"]})
    held = kit.run("ip", "address", "show", "br.more")
    assert "10.95.0.1/24" not in held and "10.95.0.2/24" in held and "fd95::1/64" in held
    assert not kit.ok("vps_node", pool="/mnt/pool", pool_file="/mnt/pool.img", networks=["10.90.0.0/16", "fd90::/64"])["changed"]
    assert kit.ok("vps_network", name="more", state="absent")["changed"]
    assert "br.more" not in kit.run("ip", "link") and "br.more" not in pathlib.Path("/etc/vps/bridges").read_text(encoding="utf-8")


def test_a_bridge_that_is_made_anew_has_its_ports_again(a):
    wish = {"name": "more", "subnets": ["10.95.0.0/24"], "bridge": "br-more", "gateways": ["10.95.0.1"]}
    kit.ok("vps_network", **wish)
    given(*LINKS[A], {"name": "eth2", "network": "more", "addresses": ["10.95.0.10"]})
    kit.run("ip", "link", "delete", "br-more")
    assert "eth2" not in links()
    kit.ok("vps_network", **wish)
    assert "eth2" in links() and not kit.ok("vps_container", name=A)["changed"]
    assert layer2.connects(layer2.Member("/proc/self/ns/net", "br-more", "", "", ""), "10.95.0.10", 80)
    assert "learning off flood off" in kit.run("ip", "-details", "link", "show", links()["eth2"]["host_name"])
    given(*LINKS[A])
    kit.ok("vps_network", name="more", state="absent")


def test_a_kernel_that_cannot_track_connections_at_a_bridge_is_told():
    rules = "table bridge x {\n\tchain y {\n\t\tct state established accept\n\t}\n}\n"
    tracks = subprocess.run(["nft", "--check", "-f", "-"], input=rules, text=True, check=False, capture_output=True).returncode == 0
    told = kit.ok("vps_network", **LAN)
    assert told["network"]["tracks"] == tracks
    assert tracks or "nf_conntrack_bridge" in told["warnings"][0]


def test_a_kernel_that_does_not_take_the_rules_keeps_back_those_at_bridges_and_no_others(minimal, a):
    """As when another kernel was booted, without a module that the one before had."""
    if kit.ok("vps_network", **LAN)["network"]["tracks"]:
        pytest.skip("this kernel takes all that there is")
    settings = pathlib.Path("/etc/vps/node.json")
    settings.write_text(settings.read_text(encoding="utf-8").replace('"tracks": false', '"tracks": true'), encoding="utf-8")
    kit.container(C, template=minimal, addresses=["10.90.0.12"])
    kit.container(C, addresses=["10.90.0.13"], firewall={"in": {"default": "drop"}})
    assert "10.90.0.13" in kit.run("nft", "list", "table", "inet", "mainline_vps")
    told = kit.call("vps_container", name=A, isolated=False)
    assert told["failed"] and told["msg"].startswith("interfaces: the kernel does not take"), told
    told = kit.call("vps_node", pool="/mnt/pool", pool_file="/mnt/pool.img", networks=["10.90.0.0/16", "fd90::/64"])
    assert told["failed"] and told["msg"].startswith("firewall_bridged: "), told
    assert [change["option"] for change in kit.ok("vps_network", **LAN)["changes"]] == ["tracks"]
    kit.ok("vps_container", name=A, isolated=True)
    assert not kit.ok("vps_node", pool="/mnt/pool", pool_file="/mnt/pool.img", networks=["10.90.0.0/16", "fd90::/64"])["changed"]
    assert layer2.passes(layer2.own(a, STRANGER), a, STRANGER)


# -- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interface", "word"),
    [
        ({"network": "never"}, "[0].network"), ({"network": "default"}, "[0].network"), ({"addresses": ["10.90.0.30"]}, "[0].addresses"),
        ({"addresses": ["10.92.0.1"]}, "[0].addresses"), ({"addresses": ["10.92.0.255"]}, "[0].addresses"), ({"addresses": ["10.92.0.11"]}, f"VPS {B}"),
        ({"vlan": 7}, "[0].vlan"), ({"vlan": 4095}, "[0].vlan"), ({"mtu": 9000}, "[0].mtu"), ({"host_name": "eth0"}, "[0].host_name"),
        ({"host_name": "vps99999-1"}, "[0].host_name"),
        ({"mac": "01:00:5e:00:00:01"}, "[0].mac"), ({"name": "a/b"}, "[0].name"), ({"addresses": ["10.92.0.99"]}, STRANGER.mac),
    ],
)
def test_what_cannot_be_is_refused_and_touches_nothing(a, interface, word):
    assert word in refused(interfaces=[{**eth(1), **interface}])


def test_a_name_or_hardware_address_of_another_vps_is_refused(a, b):
    other = links(B)["eth1"]
    assert f"VPS {B}" in refused(interfaces=[eth(1, mac=other["mac"])])
    assert f"VPS {B}" in refused(interfaces=[eth(1, host_name=other["host_name"])])
    assert f"VPS {B}" in refused(interfaces=[eth(1, host_name=kit.info(B)["host_interface"])])


# -- killed -----------------------------------------------------------------------------------------------------------


def test_the_hardware_address_of_the_bridge_is_nobody_elses(a, b):
    for link in ("br-lan", "it-port", b_port()):
        mac = json.loads(kit.run("ip", "-json", "link", "show", link))[0]["address"]
        assert refused(interfaces=[eth(1, mac=mac)]).startswith("interfaces[0].mac: ")


def b_port() -> str:
    """The node's end of the other VPS's link."""
    return links(B)["eth1"]["host_name"]


def test_a_killed_run_is_finished_by_the_next(a):
    """At many moments; what the next run finds is never in its way, and none of it stays."""
    wishes = [[*LINKS[A], eth(2)], LINKS[A], [*LINKS[A], eth(2, mac="02:00:00:00:02:07")], [*LINKS[A], eth(3, host_name="vps-third")], [eth(2)], LINKS[A]]
    for attempt in range(24):
        wish = wishes[attempt % len(wishes)]
        run = kit.launch("vps_container", name=A, interfaces=wish)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(0.4 + 0.05 * attempt)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        if attempt % 3 == 2:  # else the next one comes upon what this one left
            kit.ok("vps_container", name=A, interfaces=wish)
            assert not kit.ok("vps_container", name=A, interfaces=wish)["changed"]
            told = links()
            assert set(inside()) == {"eth0", *told}
            assert {one["name"]: set(one["addresses"]) for one in told.values()} == {
                name: {address.split("/")[0] for address in held} for name, (_mac, held) in inside().items() if name != "eth0"
            }
            assert ports() == {one["host_name"] for one in (*told.values(), *links(B).values())}
    given(*LINKS[A])
    assert layer2.passes(layer2.own(layer2.vps(A), STRANGER), layer2.vps(A), STRANGER)
