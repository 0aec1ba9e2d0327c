# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and limits: each there and back, what is no longer listed, and what is not named."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.container import PARSERS
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.tests.contract.bench import A, options

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oyk"
HASHES = ("$6$saltsalt$" + "a" * 86, "$y$j9T$saltsalt$" + "b" * 43)
MIB = 1 << 20

# Option → two values; addresses stand as their numbers.
OPTIONS = {
    "hostname": ("one.example.org", "two.example.org"),
    "addresses": ([1, 2], [2, 3]),
    "nameservers": (["192.0.2.1"], ["192.0.2.2", "192.0.2.3"]),
    "root_password_hash": HASHES,
    "authorized_keys": ([f"{KEY} one"], [f"{KEY} two", f"{KEY} three"]),
    "onboot": (True, False),
    "boot_order": (10, 20),
    "description": ("one", "two"),
    "search_domains": (["one.example"], ["two.example", "three.example"]),
    "labels": ({"tier": "web"}, {"tier": "db", "paid": "yes"}),
    "isolated": (False, True),
    "firewall": (
        {"in": {"default": "drop"}},
        {"out": {"rules": [{"action": "reject", "proto": "tcp", "ports": [25], "to": ["192.0.2.0/24", "label:tier=web"]}]}},
    ),
    "publish": ([{"host": 40080, "guest": 80}], [{"host": 40080, "guest": 81}, {"host": 40053, "proto": "udp"}]),
    "rates": ({"in": "10M"}, {"in": "20M", "out": "5M", "burst": "128K"}),
    "privileged": (True, False),
}
# Limit → two values as written, and as numbers.
LIMITS = {
    "memory": (("64M", 64 * MIB), ("0.1G", 107372544)),
    "cpuunits": (("500", 500), ("3001", 3001)),
    "cpulimit": (("50%", 50), ("133", 133)),
    "cpus": (("1", 1), ("3", 3)),
    "processes": (("40", 40), ("unlimited", None)),
    "diskspace": (("200M", 200 * MIB), ("1G", 1024 * MIB)),
}


def _asked(bench, option, value):
    return [bench.world.address(number) for number in value] if option == "addresses" else value


def _is(bench, option, value):
    """Whether an option is so for those who never look at the record."""
    assert bench.world.rules_follow()
    seen = bench.seen()
    running = seen["pid"] is not None
    if option == "rates":
        return seen["rates"] == (value if running else None)
    if option in ("description", "boot_order", "labels", "isolated", "firewall", "publish"):
        # Which nobody else's files have: the order before the VPS starts with the node, and what only the rules are made from.
        return getattr(bench.node.read_vps(A).vps, option) == PARSERS[option](value)
    if option == "addresses":
        return not running or seen["routes"] == set(value)
    if option == "hostname":
        return seen["hostname"] == value and seen["live_hostname"] == (value if running else None)
    if option == "privileged":
        return seen["privileged"] == (value if running else None)
    return seen[option] == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize("state", ["started", "stopped"])
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_goes_there_and_back(bench, option, state):
    one, two = (_asked(bench, option, value) for value in OPTIONS[option])
    task = {"state": state, "restart_policy": "if_needed", "stop_timeout": 0}
    bench.new(**task, **{option: one})
    assert _is(bench, option, one)
    for value in (two, one):
        result = bench.vps(**task, **{option: value})
        assert set(options(result)) - {"state"} == {option}
        assert _is(bench, option, value)


@pytest.mark.parametrize("state", ["started", "stopped", "frozen"])
@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_goes_there_and_back(bench, limit, state):
    (one, first), (two, second) = LIMITS[limit]
    bench.new(state=state, limits={limit: one})
    if limit == "diskspace" and state != "stopped":
        bench.enlarge_running()
    there_only = bench.grows_only and limit == "diskspace" and state != "stopped"
    for text, number in ((two, second), (one, first))[: 1 if there_only else 2]:
        result = bench.limits(**{limit: text})
        assert options(result) == [f"limits.{limit}"]
        seen = bench.seen()
        assert seen["diskspace"] == (number if limit == "diskspace" else None)
        assert seen["files"] == ({} if state == "stopped" else bench.files(**({} if limit == "diskspace" else {limit: number})))


@pytest.mark.parametrize("state", ["started", "stopped"])
def test_swap_is_a_limit_beside_memory(bench, state):
    if not bench.node.read_vps(A).node.abilities.swap:
        pytest.skip("this kernel does not account for swap")
    bench.new(state="started", limits={"memory": "64M", "swap": "32M"})
    for swap in ("0", "16M", "unlimited", "32M"):
        assert bench.limits(memory="64M", swap=swap)["changed"]
    assert bench.seen()["files"] == bench.files(memory=64 * MIB, swap=32 * MIB)
    assert options(bench.limits(memory="128M", swap="16M")) == ["limits.memory", "limits.swap"], "one up, one down"
    assert options(bench.limits(memory="32M", swap="64M")) == ["limits.memory", "limits.swap"], "and the other way"


def test_limits_are_kept_over_a_restart(bench):
    bench.new(state="started", limits={"diskspace": "200M"})
    bench.enlarge_running()
    bench.limits(memory="64M", cpuunits="2000", cpulimit="70", processes="60", diskspace="300M")
    before = bench.seen()["files"]
    bench.once("vps_container", name=A, state="restarted", stop_timeout=0)
    assert bench.seen()["files"] == before == bench.files(memory=64 * MIB, cpuunits=2000, cpulimit=70, processes=60)
    assert bench.seen()["diskspace"] == 300 * MIB


def test_a_limit_that_left_the_playbook_leaves_the_kernel(bench):
    bench.new(state="started", limits={"memory": "64M", "processes": "50", "diskspace": "1G"})
    bench.enlarge_running()
    assert bench.limits(processes="50")["diff"] == {
        "before": {"limits.memory": "64M", "limits.diskspace": "1G"},
        "after": {"limits.memory": "unlimited", "limits.diskspace": "unlimited"},
    }
    assert bench.seen()["files"] == bench.files(processes=50)
    assert bench.seen()["diskspace"] is None


def test_an_empty_section_of_limits_removes_all(bench):
    bench.new(state="started", limits={"memory": "64M", "cpus": 1})
    bench.vps(limits={})
    assert bench.seen()["files"] == bench.files()


def test_both_modules_mean_the_same_limits(bench):
    limits = {"memory": "64M", "cpulimit": "50", "processes": "50"}
    bench.new(state="started", limits=limits)
    assert not bench.limits(**limits)["changed"]
    bench.limits(memory="32M")
    assert not bench.vps(limits={"memory": "32M"})["changed"]


def test_what_is_no_longer_listed_is_removed(bench):
    address = bench.world.address
    lists = {"addresses": [address(1), address(2)], "nameservers": ["192.0.2.1"], "authorized_keys": [KEY]}
    bench.new(state="started", **lists)
    assert bench.seen()["routes"] == {address(1), address(2)}

    assert options(bench.vps(addresses=[address(2)])) == ["addresses"]
    assert bench.seen()["routes"] == {address(2)}

    assert options(bench.vps(addresses=[], nameservers=[], authorized_keys=[])) == list(lists)
    seen = bench.seen()
    assert seen["routes"] == set()
    assert "192.0.2.1" not in seen["nameservers"]
    assert seen["authorized_keys"] == ()


def test_what_is_not_named_is_left_alone(bench):
    everything = {
        "hostname": "one.example.org",
        "addresses": [bench.world.address(1)],
        "nameservers": ["192.0.2.1"],
        "root_password_hash": HASHES[0],
        "authorized_keys": [KEY],
        "onboot": True,
        "description": "mine",
        "limits": {"memory": "64M", "processes": "50", "diskspace": "1G"},
    }
    bench.new(state="started", **everything)
    before = bench.seen()
    assert not bench.vps()["changed"]
    assert options(bench.vps(description="yours")) == ["description"]
    assert bench.seen() == before
    assert not bench.vps(**{**everything, "description": "yours"})["changed"]


def test_a_new_vps_has_what_it_is_given_and_the_rest_by_default(bench):
    vps = bench.new(state="present")["vps"]
    assert (vps["hostname"], vps["addresses"], vps["onboot"], vps["privileged"]) == (A, [], False, False)
    assert vps["limits"] == {}
    assert vps["pid"] is None


def test_one_address_moves_from_one_vps_to_another(bench):
    address = bench.world.address(1)
    bench.new("contract-a", state="started", addresses=[address])
    bench.vps("contract-a", addresses=[])
    bench.new("contract-b", state="started", addresses=[address])
    assert bench.seen("contract-a")["routes"] == set()
    assert bench.seen("contract-b")["routes"] == {address}


def test_the_order_of_addresses_may_change(bench):
    one, two = bench.world.address(1), bench.world.address(2)
    bench.new(state="started", addresses=[one, two])
    assert bench.vps(addresses=[two, one])["vps"]["addresses"] == [two, one]


def test_a_password_is_set_and_never_shown(bench):
    result = bench.new(state="present", root_password_hash=HASHES[0])
    assert bench.seen()["root_password_hash"] == HASHES[0]
    for told in (result, bench.vps(state="present", root_password_hash=HASHES[1])):
        assert not any(word in repr(told) for word in HASHES)
        assert "root_password_hash" in options(told)


def test_many_options_change_in_one_task(bench):
    bench.new(state="started", addresses=[bench.world.address(1)], limits={"memory": "64M"})
    result = bench.vps(hostname="b.example.org", addresses=[bench.world.address(2)], limits={"processes": "80"}, state="frozen")
    assert options(result) == ["hostname", "addresses", "limits.memory", "limits.processes", "state"]
    assert bench.state() == "frozen"
    assert bench.seen()["live_hostname"] == "b.example.org"
    assert bench.seen()["files"] == bench.files(processes=80)


def test_an_address_out_of_a_pool_stays(bench):
    wish = {"addresses": [{"pool": "default"}], "state": "stopped"}
    first = bench.new(**wish)["vps"]["addresses"]
    assert bench.vps(**wish)["changes"] == [] and bench.vps("contract-b", template="contract-minimal", **wish)["vps"]["addresses"] != first
    assert options(bench.vps(addresses=first, state="stopped")) == ["pooled"] and options(bench.vps(**wish)) == ["pooled"]
    assert options(bench.vps(addresses=[], state="stopped")) == ["addresses", "pooled"]


def test_rules_that_somebody_has_taken_away_are_put_back(bench):
    bench.new(state="started", addresses=[bench.world.address(1)])
    bench.world.flush_rules()
    assert options(bench.once("vps_container", name=A)) == ["packet_filter"]
    assert bench.world.rules_follow() and bench.vps()["changes"] == []


def test_a_published_port_is_one_vpss(bench):
    bench.new(state="stopped", publish=[{"host": 40080, "guest": 80}])
    with pytest.raises(VpsError, match="publish: tcp port 40080 leads to VPS contract-a"):
        bench.new("contract-b", state="stopped", publish=[{"host": 40080}])
    bench.vps(publish=[])
    bench.new("contract-b", state="stopped", publish=[{"host": 40080}])


def test_a_port_at_which_the_node_listens_is_not_published(bench):
    with bench.world.listening() as port, pytest.raises(VpsError, match=f"publish: the node itself listens at tcp port {port}"):
        bench.new(state="stopped", publish=[{"host": port}])


def test_a_rule_for_nobody_is_a_warning(bench):
    result = bench.once("vps_container", name=A, template="contract-minimal", state="stopped", firewall={"in": {"rules": [{"from": "vps:contract-never"}]}})
    assert "contract-never" in result["warnings"][0]
