# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network's plan, and which address a pool gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import networks, pools
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.networks import Network, NetworkActual
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import Plan, RemoveNetwork, SetNetwork
from ansible_collections.mainline.vps.plugins.module_utils.core.rates import Rates
from ansible_collections.mainline.vps.tests.unit.reading import sentence

DEFAULT = Network("default", ("10.90.0.0/16",), True)
PUBLIC = Network("public", ("203.0.113.0/26", "2001:db8:1::/64"), pools=(("few", ("203.0.113.10-203.0.113.11",)),))
NODE = NetworkActual(
    others=(DEFAULT,),
    used={},
    routes=(("eth0", "192.0.2.0/24"), ("eth0", "2001:db8::/64")),
    own=frozenset({"192.0.2.1"}),
    interfaces=frozenset({"eth0", "eth1"}),
)


def wish(**params):
    """A task about the network `public`."""
    return networks.parse_network({"name": "public", "state": "present", **params})


def plan(actual=NODE, **params) -> Plan:
    """What it comes to."""
    return networks.compare(wish(**params), actual)


def told(made: Plan) -> dict:
    """Option → (before, after)."""
    return {change.option: (change.before, change.after) for change in made.changes}


def there(network=PUBLIC, **more) -> NetworkActual:
    """The node with this network."""
    return replace(NODE, network=network, **more)


def test_a_network_is_made_of_what_is_given():
    made = plan(subnets=["203.0.113.0/26"], pools={"few": "203.0.113.10-203.0.113.11"})
    assert made.steps == (SetNetwork(Network("public", ("203.0.113.0/26",), pools=PUBLIC.pools)),)
    assert told(made) == {
        "state": ("absent", "present"),
        "subnets": (None, ["203.0.113.0/26"]),
        "pools": (None, {"few": ["203.0.113.10-203.0.113.11"]}),
    }


def test_a_network_has_rates_for_its_vpss():
    made = plan(there(), rates={"in": "100M"})
    assert told(made) == {"rates": ({}, {"in": "100M"})} and made.steps == (SetNetwork(PUBLIC._replace(rates=Rates(100_000_000))),)
    fast, slow = PUBLIC._replace(rates=Rates(9_000_000)), Network("lan", ("10.80.0.0/24",), rates=Rates(1_000_000), bridge="br0")
    own = ["203.0.113.10"]
    for addresses, linked, rate in ((own, [], 9_000_000), ([], ["lan"], 1_000_000), (own, ["lan"], 1_000_000), (["10.90.0.1"], [], None)):
        assert networks.rates_of(Rates(), addresses, linked, [DEFAULT, fast, slow]) == Rates(rate)


def test_what_a_killed_run_has_left_is_done_by_the_next():
    for name in ({}, {"nat": False}):
        made = plan(there(behind=True), **name)
        assert told(made) == {"VPSs": ("not followed", "followed")} and made.steps == (SetNetwork(PUBLIC),)
    gone = networks.compare(wish(state="absent"), replace(NODE, behind=True))
    assert told(gone) == {"VPSs": ("not followed", "followed")} and gone.steps == (RemoveNetwork("public"),)


def test_what_is_not_named_is_left_as_it_is():
    assert plan(there()) == Plan() and plan(there(), pools={"few": ["203.0.113.10/31"]}) == Plan()
    assert told(plan(there(), nat=True)) == {"nat": (False, True)}
    assert told(plan(there(), pools={})) == {"pools": ({"few": ["203.0.113.10-203.0.113.11"]}, {})}


def test_a_network_in_use_keeps_what_is_used():
    used = there(used={"203.0.113.40": "web", "10.90.0.1": "db"})
    assert "VPS web (203.0.113.40)" in sentence(lambda: plan(used, subnets=["203.0.113.0/27"]), "subnets")
    assert "VPS web" in sentence(lambda: plan(used, state="absent"), "name")
    assert plan(there(used={"10.90.0.1": "db"}), state="absent").steps == (RemoveNetwork("public"),)
    assert plan(state="absent") == Plan()
    sentence(lambda: plan(there(used=None), state="absent"), "name")


@pytest.mark.parametrize(
    ("params", "option"),
    [
        ({}, "subnets"),
        ({"subnets": []}, "subnets"),
        ({"subnets": ["203.0.113.1/26"]}, "subnets"),
        ({"subnets": ["10.90.5.0/24"]}, "subnets"),
        ({"subnets": ["192.0.2.64/26"]}, "subnets"),
        ({"subnets": ["2001:db8::/48"]}, "subnets"),
        ({"name": "default"}, "name"),
        ({"name": "A b"}, "name"),
        ({"subnets": ["10.1.0.0/24"], "nat_addresses": ["192.0.2.2"]}, "nat_addresses"),
        ({"subnets": ["10.1.0.0/24"], "nat_addresses": ["192.0.2.1"], "nat": False}, "nat_addresses"),
        ({"subnets": ["10.1.0.0/24"], "nat_addresses": ["192.0.2.1", "192.0.2.3"]}, "nat_addresses"),
        ({"subnets": ["10.1.0.0/24"], "uplink": "eth9"}, "uplink"),
        ({"subnets": ["10.1.0.0/24"], "uplink": "a b"}, "uplink"),
        ({"subnets": ["10.1.0.0/24"], "pools": {"few": ["10.2.0.1"]}}, "pools.few"),
        ({"subnets": ["10.1.0.0/24"], "pools": {"few": ["10.1.0.9-10.1.0.1"]}}, "pools.few"),
        ({"subnets": ["10.1.0.0/24"], "pools": {"few": []}}, "pools.few"),
        ({"subnets": ["10.1.0.0/24"], "pools": {"default": ["10.1.0.1"]}}, "pools"),
        ({"subnets": ["10.1.0.0/24"], "pools": {"few": ["10.1.0.1-fd00::1"]}}, "pools.few"),
        ({"subnets": ["10.1.0.0/24"], "pools": {"few": ["x" * 500]}}, "pools.few"),
        ({"subnets": ["10.1.0.0/24"], "pools": ["few"]}, "pools"),
        ({"subnets": ["fd77::%lo/64"]}, "subnets"),
        ({"subnets": ["::ffff:0:0/96"]}, "subnets"),
        ({"subnets": ["255.255.255.255/32"]}, "subnets"),
        ({"subnets": ["240.0.0.0/8"]}, "subnets"),
        ({"subnets": ["10.1.0.0/24"], "rates": {"in": "fast"}}, "rates.in"),
        ({"subnets": ["10.1.0.0/24"], "bridge": "br-lan", "gateways": ["10.1.0.0"]}, "gateways"),
        ({"subnets": ["10.1.0.0/24"], "bridge": "br-lan", "gateways": ["10.1.0.255"]}, "gateways"),
    ],
)
def test_a_network_may_not_be_asked_for_like_this(params, option):
    sentence(lambda: plan(**params), option)


def test_a_subnet_of_the_lan_is_answered_for_at_its_uplink():
    made = plan(subnets=["192.0.2.64/26"], uplink="eth0")
    assert made.steps[0].network.uplink == "eth0"
    assert networks.uplinks(["192.0.2.65", "10.90.0.1"], [DEFAULT, made.steps[0].network]) == {"192.0.2.65": "eth0"}
    assert told(plan(there(made.steps[0].network), subnets=["203.0.113.0/26"], uplink="")) == {
        "subnets": (["192.0.2.64/26"], ["203.0.113.0/26"]),
        "uplink": ("eth0", None),
    }


def test_a_network_is_what_its_record_says():
    assert Network.from_record(PUBLIC.named) == PUBLIC


def test_global_addresses_of_ipv6_leave_as_they_are_but_for_where_an_address_is_named():
    both = ("10.1.0.0/24", "fd00::/64", "2001:db8:2::/64")
    assert Network("x", both).translated == ()
    assert Network("x", both, True).translated == (("10.1.0.0/24", None), ("fd00::/64", None))
    assert Network("x", both, True, ("192.0.2.1",)).translated[0] == ("10.1.0.0/24", "192.0.2.1")
    assert Network("x", both, True, ("2001:db8::1",)).translated[2] == ("2001:db8:2::/64", "2001:db8::1")


# -- pools ------------------------------------------------------------------------------------------------------------


POOLS = networks.pools_of([DEFAULT, PUBLIC])


def test_an_unused_network_may_have_another_bridge_or_none():
    """What the machine reaches through the bridge of its own making is the network itself."""
    lan = Network("public", ("10.1.0.0/24",), bridge="br-lan", gateways=("10.1.0.1",), made=True)
    own = {"br-lan": frozenset({"10.1.0.1/24"})}
    here = replace(there(lan), interfaces=NODE.interfaces | {"br-lan"}, bridges=own, routes=(*NODE.routes, ("br-lan", "10.1.0.0/24")))
    assert plan(here, bridge="br-new").steps[0].network.bridge == "br-new"
    assert plan(here, bridge="", gateways=[]).steps[0].network.bridge is None


def test_a_pool_gives_nothing_that_means_a_whole_subnet_or_its_router():
    lan = Network("lan", ("10.2.0.0/30", "fd02::/126"), bridge="br0", gateways=("10.2.0.1",))
    assert set(networks.reserved([lan])) == {"10.2.0.0", "10.2.0.3", "10.2.0.1", "fd02::"}
    wide = {"all": ("10.2.0.0-10.2.0.3", "fd02::-fd02::3")}
    assert pools.free(pools.Wanted("all"), wide, networks.reserved([lan])) == "10.2.0.2"
    assert pools.free(pools.Wanted("all", 6), wide, networks.reserved([lan])) == "fd02::1"
    assert networks.reserved([lan._replace(bridge=None, gateways=())]) == {}, "where each address is routed by itself, all are as good"


def given(*wishes, has=(), pooled=(), taken=()):
    """The addresses that a VPS gets."""
    recorded = Vps("web", "minimal", "busybox", "web", addresses=tuple(has), pooled=tuple((address, pool) for address, pool in pooled))
    return pools.settle(pools.parse_wishes(wishes), recorded, POOLS, taken)[1]


def test_a_pool_gives_the_first_address_that_nobody_has():
    assert given({"pool": "few"}) == ("203.0.113.10",)
    assert given({"pool": "few"}, taken={"203.0.113.10"}) == ("203.0.113.11",)
    assert given({"pool": "few"}, {"pool": "few"}) == ("203.0.113.10", "203.0.113.11")
    assert given({"pool": "few"}, "203.0.113.10") == ("203.0.113.11", "203.0.113.10")
    assert given({"pool": "default"}) == ("10.90.0.1",)
    assert given({"pool": "public", "family": 6}, {"pool": "public"}) == ("2001:db8:1::1", "203.0.113.1")


def test_who_has_addresses_of_several_kinds_keeps_first_what_that_pool_has_given():
    assert given({"pool": "few"}, has=["203.0.113.10", "203.0.113.11"], pooled=[("203.0.113.11", "few")]) == ("203.0.113.11",)


def test_who_has_one_keeps_it():
    had = {"has": ["203.0.113.11"], "pooled": [("203.0.113.11", "few")]}
    assert given({"pool": "few"}, **had) == ("203.0.113.11",)
    assert given({"pool": "few"}, {"pool": "few"}, **had) == ("203.0.113.11", "203.0.113.10")
    assert given({"pool": "few"}, has=["203.0.113.11"]) == ("203.0.113.11",)  # given by hand before
    assert given({"pool": "public"}, **had) == ("203.0.113.1",)


@pytest.mark.parametrize(
    "wishes",
    [
        [{"pool": "never"}],
        [{"pool": "few", "family": 6}],
        [{"pool": "few", "family": 5}],
        [{}],
        [{"pool": "few", "x": 1}],
        [{"pool": "few"}] * 3,
        [{"pool": "A b"}],
    ],
)
def test_what_no_pool_can_give_is_refused(wishes):
    sentence(lambda: given(*wishes), "addresses")
