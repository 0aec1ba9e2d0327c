# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces in bridged networks as playbooks have them and as they should not, what is chosen for them, and bridged networks' plans."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import bridging, interfaces, networks, ruleset
from ansible_collections.mainline.vps.plugins.module_utils.core.firewall import parse_firewall, parse_publish
from ansible_collections.mainline.vps.plugins.module_utils.core.interfaces import Bridge, Interface
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.networks import Network, NetworkActual
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import SetNetwork
from ansible_collections.mainline.vps.plugins.module_utils.core.pools import Wanted
from ansible_collections.mainline.vps.tests.unit.reading import sentence
from ansible_collections.mainline.vps.tests.unit.test_firewall import chains

LAN = Network("lan", ("10.92.0.0/24", "fd92::/64"), True, bridge="br-lan", gateways=("10.92.0.1", "fd92::1"), made=True, tracks=True)
DEFAULT = Network("default", ("10.90.0.0/16",), True)
ETH1 = Interface("eth1", "lan", ("10.92.0.10", "fd92::10"), "02:76:00:01:00:01", None, None, "vps1-1")


def vps(name: str = "web", number: int = 1, *links: Interface, **more: object) -> Vps:
    """A VPS with these interfaces."""
    return Vps(name, "minimal", "busybox", name, id_base=number << 16, interfaces=links, **more)


# -- as they are written ----------------------------------------------------------------------------------------------


def test_an_interface_is_kept_as_it_was_written():
    full = {"name": "eth1", "network": "lan", "addresses": ["10.92.0.10"], "mac": "02-00-00-00-00-AB", "vlan": "7", "mtu": 1400, "host_name": "vps-web"}
    (parsed,) = interfaces.parse_interfaces([full])
    assert parsed == Interface("eth1", "lan", ("10.92.0.10",), "02:00:00:00:00:ab", 7, 1400, "vps-web")
    assert interfaces.read_interfaces([parsed.named]) == (parsed,)
    assert interfaces.parse_interfaces([{"name": "eth1", "network": "lan", "addresses": [{"pool": "few", "family": 6}]}])[0].addresses == (Wanted("few", 6),)


def test_eth0_comes_first_and_the_others_by_their_names():
    wish = [{"name": name, "network": "lan"} for name in ("eth2", "a0", "eth0")]
    assert [one.name for one in interfaces.parse_interfaces(wish)] == ["eth0", "a0", "eth2"]


@pytest.mark.parametrize(
    ("more", "option"),
    [
        ({"name": ""}, "interfaces[0].name"), ({"name": "lo"}, "interfaces[0].name"), ({"name": "a b"}, "interfaces[0].name"),
        ({"name": "a.1"}, "interfaces[0].name"),
        ({"name": "x" * 16}, "interfaces[0].name"), ({"network": None}, "interfaces[0].network"), ({"network": "A b"}, "interfaces[0].network"),
        ({"addresses": "10.92.0.1"}, "interfaces[0].addresses"), ({"addresses": ["10.92.0.0/24"]}, "interfaces[0].addresses"),
        ({"mac": "02:00"}, "interfaces[0].mac"),
        ({"mac": "03:00:00:00:00:01"}, "interfaces[0].mac"), ({"mac": "00:00:00:00:00:00"}, "interfaces[0].mac"),
        ({"mac": "02:00:00:00:00:01\n"}, "interfaces[0].mac"),
        ({"vlan": 0}, "interfaces[0].vlan"), ({"vlan": 4095}, "interfaces[0].vlan"), ({"vlan": True}, "interfaces[0].vlan"),
        ({"vlan": "x"}, "interfaces[0].vlan"),
        ({"mtu": 67}, "interfaces[0].mtu"), ({"mtu": 1279, "addresses": ["fd92::1"]}, "interfaces[0].mtu"), ({"mtu": 65536}, "interfaces[0].mtu"),
        ({"host_name": "eth9"}, "interfaces[0].host_name"), ({"host_name": "vps"}, "interfaces[0].host_name"),
        ({"host_name": "vps-a.b"}, "interfaces[0].host_name"),
        ({"host_name": "vps" + "x" * 13}, "interfaces[0].host_name"), ({"host_name": 'vps";'}, "interfaces[0].host_name"), ({"color": "red"}, "interfaces[0]"),
    ],
)
def test_a_mistake_is_told_with_its_place(more, option):
    sentence(lambda: interfaces.parse_interfaces([{"name": "eth1", "network": "lan", **more}]), option)


def test_what_is_told_twice_is_refused():
    for same in ({}, {"name": "eth2", "mac": "02:00:00:00:00:01"}, {"name": "eth2", "host_name": "vps-x"}):
        one = {"name": "eth1", "network": "lan", "mac": "02:00:00:00:00:01", "host_name": "vps-x"}
        sentence(lambda one=one, same=same: interfaces.parse_interfaces([one, {"name": "eth1", "network": "lan", **same}]), "interfaces")
    sentence(lambda: interfaces.parse_interfaces(["eth1"]), "interfaces[0]")


def test_a_record_has_what_was_chosen():
    for damage in ({"mac": None}, {"host_name": None}, {"addresses": [{"pool": "few"}]}):
        with pytest.raises(ValueError):
            Vps.from_record({**vps("web", 1, ETH1).to_record(), "interfaces": [{**ETH1.named, **damage}]})
    assert Vps.from_record(vps("web", 1, ETH1).to_record()) == vps("web", 1, ETH1)


# -- what is chosen ---------------------------------------------------------------------------------------------------


def test_names_and_hardware_addresses_are_chosen_once():
    wish = interfaces.parse_interfaces([{"name": name, "network": "lan"} for name in ("eth0", "eth1", "eth2")])
    chosen = interfaces.choose(vps("web", 7, *wish), [vps("db", 8, ETH1._replace(host_name="vps7-1", mac="02:76:00:07:00:01"))], there=["vps7-2"])
    assert [one.host_name for one in chosen] == ["vps7", "vps7-3", "vps7-4"]
    assert [one.mac for one in chosen] == ["02:76:00:07:00:02", "02:76:00:07:00:03", "02:76:00:07:00:04"]
    assert interfaces.keep(wish[1:], chosen) == chosen[1:]
    moved = interfaces.parse_interfaces([{"name": "eth2", "network": "lan"}, {"name": "eth3", "network": "lan", "mac": chosen[2].mac}])
    assert interfaces.keep(moved, chosen)[0] == wish[2]._replace(host_name="vps7-4"), "a hardware address that is given to another one is chosen anew"


def test_the_hardware_address_of_the_routed_link_is_as_it_always_was():
    assert interfaces.mac_of(704643072) == "02:76:2a:00:00:00" and interfaces.mac_of(100000) == "02:76:00:01:86:a0"
    assert interfaces.mac_of(704643072, 1) == "02:76:2a:00:00:01"


def test_who_has_a_name_or_a_hardware_address_is_told():
    others = [vps("db", 2, ETH1._replace(host_name="vps2-1"))]
    for more, option in (
        ({"host_name": "vps2-1"}, "host_name"), ({"host_name": "vps2"}, "host_name"), ({"host_name": "vps2-out"}, "host_name"), ({"mac": ETH1.mac}, "mac"),
        ({"mac": "02:76:00:02:00:00"}, "mac"),
    ):
        wanted = [ETH1._replace(host_name=None, mac=None)._replace(**more)]
        assert "VPS db" in sentence(lambda wanted=wanted: interfaces.check(wanted, "web", others), f"interfaces[0].{option}")
        interfaces.check(wanted, "db", others, own=["vps2-1", "vps2", "vps2-out"])
    assert "for the node to give" in sentence(lambda: interfaces.check([ETH1], "web", []), "interfaces[0].host_name")
    own = [ETH1._replace(host_name=None)]
    assert "link of the node's" in sentence(lambda: interfaces.check(own, "web", [], hardware={ETH1.mac}), "interfaces[0].mac")


def test_a_small_mtu_is_refused_whoever_gives_the_address_of_ipv6():
    small = {"name": "eth1", "network": "lan", "mtu": 576}
    for six in ("fd92::10", {"pool": "lan", "family": 6}):
        sentence(lambda six=six: interfaces.parse_interfaces([{**small, "addresses": [six]}]), "interfaces[0].mtu")
    assert interfaces.parse_interfaces([{**small, "addresses": [{"pool": "lan"}]}])[0].mtu == 576
    given = ETH1._replace(mtu=576, addresses=("fd92::10",))  # by a pool that has addresses of IPv6 alone
    sentence(lambda: interfaces.check_bridges([given], {"lan": Bridge("lan", LAN.subnets, LAN.gateways)}), "interfaces[0].mtu")


def test_what_a_bridge_cannot_give_is_refused():
    bridges = {"lan": Bridge("lan", LAN.subnets, LAN.gateways), "tagged": Bridge("tagged", LAN.subnets, (), filtering=True, mtu=9000)}
    interfaces.check_bridges([ETH1, ETH1._replace(network="tagged", vlan=7, mtu=9000)], bridges)
    for more, option in (
        ({"network": "x"}, "network"), ({"vlan": 7}, "vlan"), ({"mtu": 1501}, "mtu"), ({"addresses": ("10.93.0.1",)}, "addresses"),
        ({"addresses": ("10.92.0.1",)}, "addresses"), ({"addresses": ("10.92.0.255",)}, "addresses"), ({"addresses": ("10.92.0.0",)}, "addresses"),
    ):
        sentence(lambda more=more: interfaces.check_bridges([ETH1._replace(**more)], bridges), f"interfaces[0].{option}")
    sentence(lambda: interfaces.check_bridges([ETH1], {"lan": bridges["lan"]._replace(there=False)}), "interfaces[0].network")


def test_the_way_out_is_the_routed_links_or_else_the_first_networks_that_has_one():
    other = Network("other", ("10.93.0.0/24",), bridge="br2", gateways=("10.93.0.1",))
    eth2 = Interface("eth2", "other", ("10.93.0.10",), "02:00:00:00:00:02", None, None, "vps-2")
    eth3 = Interface("eth3", "lan", (), "02:00:00:00:00:03", None, None, "vps-3")
    known = [DEFAULT, LAN, other]
    assert interfaces.gateways(vps("web", 1, ETH1, eth2), known) == {"10.92.0.1": "eth1", "fd92::1": "eth1"}
    assert interfaces.gateways(vps("web", 1, eth3, eth2), known) == {"10.93.0.1": "eth2"}
    assert interfaces.gateways(vps("web", 1, ETH1, eth2, addresses=("10.90.0.1",)), known) == {"fd92::1": "eth1"}
    assert interfaces.gateways(vps("web", 1), known) == {}


# -- what the packet filter gets --------------------------------------------------------------------------------------


def test_a_node_without_vpss_at_bridges_has_the_table_that_it_always_had():
    alone = [vps("web", 1, addresses=("10.90.0.1",))]
    assert bridging.bridging([DEFAULT, LAN], alone) is None
    assert "home" not in ruleset.ruleset([DEFAULT], alone).text


def test_a_port_has_its_own_and_nothing_else():
    text = bridging.bridging([LAN], [vps("web", 1, ETH1, isolated=False), vps("db", 2, addresses=("10.90.0.2",))]).text
    assert '"vps1-1" . 02:76:00:01:00:01 . 10.92.0.10' in text and '"vps1-1" . fe80::76:ff:fe01:1' in text
    assert '"vps1-1" . 0xfd920000000000000000000000000010' in text and "10.90.0.2" in text  # a neighbour, too
    assert '"vps1-1" : jump' not in text
    assert chains(text)["source"][-1] == "drop"


def test_a_vpss_rules_hold_at_its_ports_without_what_only_a_router_does():
    incoming = {"default": "reject", "rules": [{"proto": "tcp", "ports": [80]}]}
    rules = parse_firewall({"in": incoming, "out": {"rules": [{"action": "drop", "to": "192.0.2.0/24"}]}})
    found = bridging.bridging([LAN], [vps("web", 1, ETH1, firewall=rules, publish=parse_publish([{"host": 8080, "guest": 80}]))])
    assert chains(found.text)["to_web"] == ["tcp dport { 80 } return", "ip saddr @all4 drop", "ip6 saddr @all6 drop", "drop"]
    assert chains(found.text)["from_web"] == ["ip daddr { 192.0.2.0/24 } drop"]
    assert '"vps1-1" : jump to_web' in found.text and "reject" not in found.text
    assert "ct state" in found.text and "ct state" not in bridging.bridging([LAN._replace(tracks=False)], [vps("web", 1, ETH1)]).text


def test_what_is_routed_to_and_from_a_bridge_is_the_vpss_too():
    found = chains(ruleset.ruleset([DEFAULT, LAN], [vps("web", 1, ETH1)]).text)
    assert found["asking"] == ['iifname "vps*" jump node', "iifname . ether saddr @homes jump node"]
    assert found["prerouting"].index("iifname . ip saddr @home4 return") < found["prerouting"].index('iifname != "lo" iifname != "vps*" ip saddr @all4 drop')
    text = ruleset.ruleset([DEFAULT, LAN], [vps("web", 1, ETH1)]).text
    assert '"br-lan" . 10.92.0.10' in text and '"br-lan" . 02:76:00:01:00:01' in text and 'oifname != "br-lan" ip saddr 10.92.0.0/24' in text
    assert "10.92.0.10 : jump isolated" in text


def test_the_script_makes_the_bridges_of_our_making_and_no_others():
    assert bridging.script([DEFAULT, LAN._replace(made=False)]) is None
    lines = bridging.script([LAN, LAN._replace(name="own", bridge="br-own", made=False)])
    assert "br-own" not in lines and "ip address replace 10.92.0.1/24 dev br-lan\n" in lines and "fd92::1/64 dev br-lan nodad\n" in lines


# -- a bridged network's plan -----------------------------------------------------------------------------------------


NODE = NetworkActual(
    others=(DEFAULT,), used={}, routes=(("eth0", "192.0.2.0/24"), ("br0", "198.51.100.0/24")), own=frozenset({"192.0.2.1"}),
    interfaces=frozenset({"eth0", "br0"}), bridges={"br0": frozenset({"198.51.100.1"})},
)


def plan(actual: NetworkActual = NODE, **params: object):
    """What a task about the network `lan` comes to."""
    return networks.compare(networks.parse_network({"name": "lan", "state": "present", **params}), actual)


MADE = replace(NODE, network=LAN, interfaces=NODE.interfaces | {"br-lan"}, bridges={**NODE.bridges, "br-lan": frozenset(LAN.ends)})


def test_a_bridge_that_there_is_not_is_made_and_one_that_there_is_is_used():
    made = plan(subnets=["10.92.0.0/24", "fd92::/64"], bridge="br-lan", gateways=["10.92.0.1", "fd92::1"], nat=True)
    assert made.steps == (SetNetwork(LAN),)
    assert plan(subnets=["198.51.100.0/24"], bridge="br0").steps[0].network.made is False
    assert plan(MADE).changes == () and plan(MADE, bridge="br-lan").changes == ()
    wider = plan(MADE, subnets=["10.92.0.0/16", "fd92::/64"])
    assert wider.changes and plan(replace(MADE, network=wider.steps[0].network)).changes, "the node's end has another prefix then"


def test_a_bridge_of_our_making_that_is_gone_or_spoilt_is_made_again():
    gone = replace(MADE, interfaces=NODE.interfaces, bridges=NODE.bridges)
    assert [(change.option, change.before, change.after) for change in plan(gone).changes] == [("bridge", None, "br-lan")]
    bare = replace(MADE, bridges={"br-lan": frozenset()})
    assert [(change.option, change.after) for change in plan(bare).changes] == [("bridge", "br-lan")] and plan(bare).steps == (SetNetwork(LAN),)


def test_a_kernel_without_the_means_is_told():
    sentence(lambda: plan(replace(NODE, filters=False), subnets=["10.92.0.0/24"], bridge="br-lan"), "bridge")
    assert "nf_conntrack_bridge" in plan(replace(NODE, tracks=False), subnets=["10.92.0.0/24"], bridge="br-lan").warnings[0]
    assert plan(replace(NODE, tracks=False), subnets=["10.92.0.0/24"]).warnings == ()
    assert [change.option for change in plan(replace(MADE, tracks=False)).changes] == ["tracks"]


@pytest.mark.parametrize(
    ("params", "option"),
    [
        ({"bridge": "vps-br"}, "bridge"), ({"bridge": "a b"}, "bridge"), ({"bridge": "eth0"}, "bridge"), ({"bridge": "x" * 16}, "bridge"),
        ({"bridge": 'b"'}, "bridge"),
        ({"gateways": ["10.92.0.1"]}, "gateways"), ({"bridge": "b", "gateways": ["10.93.0.1"]}, "gateways"),
        ({"bridge": "b", "gateways": ["10.92.0.1", "10.92.0.2"]}, "gateways"),
        ({"bridge": "b", "uplink": "eth0"}, "uplink"), ({"bridge": "b", "subnets": ["198.51.100.0/25"]}, "subnets"),
    ],
)
def test_a_bridged_network_may_not_be_asked_for_like_this(params, option):
    sentence(lambda: plan(**{"subnets": ["10.92.0.0/24"], **params}), option)


def test_a_bridged_network_in_use_keeps_its_bridge():
    used = replace(MADE, used={"10.92.0.10": "web"}, attached=("web",))
    assert "VPS web" in sentence(lambda: plan(used, bridge="br0"), "bridge")
    assert "VPS web" in sentence(lambda: plan(replace(used, used={}), state="absent"), "name")
    assert "VPS web" in sentence(lambda: plan(used, gateways=["10.92.0.10"]), "gateways")
    other = replace(MADE, network=None, others=(LAN._replace(name="first"),))
    assert "'first'" in sentence(lambda: plan(other, subnets=["10.94.0.0/24"], bridge="br-lan"), "bridge")
    theirs = replace(NODE, network=LAN._replace(made=False, bridge="br9"))
    assert "somebody else's" in sentence(lambda: plan(theirs), "bridge")
