# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many VPSs in one task: what each is asked to have, what is compared with what, and in which order they are done."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.mainline.vps.plugins.module_utils import fleet_subject, options, runner
from ansible_collections.mainline.vps.plugins.module_utils.core import fleet, fleet_order, fleet_plan, fleet_result, fleet_room
from ansible_collections.mainline.vps.plugins.module_utils.core.capacity import Present, Room
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.fleet_plan import FleetActual, Item
from ansible_collections.mainline.vps.plugins.module_utils.core.fidelity import Abilities
from ansible_collections.mainline.vps.plugins.module_utils.core.interfaces import Bridge, Interface
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import RUNNING, Actual, NodeFacts, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import Change, Create, Destroy, Freeze, Plan, Start, Stop, Update, Wait
from ansible_collections.mainline.vps.plugins.module_utils.core.pools import beyond
from ansible_collections.mainline.vps.tests.contract import modules

GIB = 1 << 30


def wish(*vps, **given):
    return fleet_subject.parse(modules.parameters("vps_fleet", vps=list(vps), **given))


def vps(name, number=1, **given):
    return Vps(name=name, template="t", init="busybox", hostname=name, id_base=number << 20, **given)


def actual(*vpss, **given):
    """A node with these, which all run."""
    node = NodeFacts(
        templates={"t": "busybox"}, networks=("10.0.0.0/16",), pools={"default": ("10.0.0.1-10.0.255.254",)}, free_id_ranges=5000,
        taken={address: f"VPS {one.name}" for one in vpss for address in one.claimed}, room=Room(promised=tuple(one.limits for one in vpss)),
    )
    there = {one.name: Actual(vps=one, recorded=one, run=RUNNING, pid=2, node=NodeFacts()) for one in vpss}
    return FleetActual(replace(node, **given), there, vpss, tuple(one.name for one in vpss))


def options_of(plan):
    return [(one.name, change.option) for one in plan.items for change in one.plan.changes]


# -- what each is asked to have -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("defaults", "own", "found"),
    [
        ({"hostname": "a"}, {}, {"hostname": "a"}),
        ({"hostname": "a"}, {"hostname": "b"}, {"hostname": "b"}),
        ({"hostname": "a"}, {"hostname": None}, {"hostname": "a"}),
        ({"onboot": True}, {"onboot": False}, {"onboot": False}),
        ({"addresses": ["1"]}, {"addresses": []}, {"addresses": []}),
        ({"labels": {"a": "1", "b": "2"}}, {"labels": {"b": "3"}}, {"labels": {"a": "1", "b": "3"}}),
        ({"labels": {"a": "1"}}, {"labels": {"a": None}}, {"labels": {}}),
        ({"limits": {"memory": "1G", "cpus": 2}}, {"limits": {"ram": "2G"}}, {"limits": {"memory": "2G", "cpus": 2}}),
        ({"limits": {"plan": "small"}}, {"limits": {"cpus": 2}}, {"limits": {"plan": "small", "cpus": 2}}),
        ({"firewall": {"in": {"default": "drop"}, "out": {"rules": []}}}, {"firewall": {"in": {}}}, {"firewall": {"in": {}, "out": {"rules": []}}}),
        ({}, {"rates": {"in": "1M"}}, {"rates": {"in": "1M"}}),
        ({"template": "t"}, {"clone_from": "a"}, {"clone_from": "a"}),
        ({"clone_from": "a"}, {"template": "t"}, {"template": "t"}),
        ({"template": "t"}, {"clone_from": None}, {"template": "t"}),
        ({"limits": {"memory": "1G"}}, {"limits": {"memory": "2G", "ram": None}}, {"limits": {"memory": "2G"}}),
        ({"limits": {"memory": "1G"}}, {"limits": {"ram": None, "memory": "2G"}}, {"limits": {"memory": "2G"}}),
        ({"limits": {"memory": "1G"}}, {"limits": {"ram": None}}, {"limits": {}}),
        ({"labels": {"ram": "1"}}, {"labels": {"memory": "2"}}, {"labels": {"ram": "1", "memory": "2"}}),
    ],
)
def test_what_a_vps_names_takes_the_place_of_the_defaults(defaults, own, found):
    assert fleet.merge(defaults, own) == found


@pytest.mark.parametrize("defaults", [{}, {"limits": {"cpus": 2}}, {"limits": {"memory": "4G"}}], ids=["alone", "beside others", "over the same"])
def test_a_limit_under_two_names_is_one_error_with_and_without_defaults(defaults):
    with pytest.raises(VpsError, match=r"^vps\[0\] \(a\): limits\.memory: is given twice, under two of its names \(memory, "):
        wish({"name": "a", "limits": {"ram": "1G", "memory": "2G"}}, defaults=defaults)


def test_a_copy_among_vpss_of_one_template_is_a_copy():
    first, second = wish({"name": "a"}, {"name": "b", "clone_from": "a"}, defaults={"template": "t"}).vpss
    assert (first.options["template"], second.disk.clone_from) == ("t", "a") and "template" not in second.options


def test_the_defaults_of_vps_container_are_beneath_both():
    first, second = wish({"name": "a"}, {"name": "b", "state": "stopped"}, defaults={"wait": "booted", "state": "present"}).vpss
    assert (first.state, first.wait, first.wait_timeout) == ("present", "booted", 120)
    assert second.state == "stopped"
    assert wish({"name": "a"}).vpss[0].state == "started"


def test_an_element_has_every_option_of_a_vps_and_no_default():
    spec = options.FLEET["vps"]["options"]
    assert set(spec) == set(options.CONTAINER)
    assert not [name for name, option in spec.items() if "default" in option]
    assert set(options.FLEET["defaults"]["options"]) == set(spec) - {"name"}


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"unlisted": "absent"}, "^unlisted_max: needed"),
        ({"batch": 0}, "^batch: 0 is out of range"),
        ({"parallel": 1000}, "^parallel: 1000 is out of range; give 1 to 256"),
        ({"max_failures": -1, "batch": 1}, "^max_failures: -1 is out of range"),
        ({"max_failures": 1}, "^max_failures: bounds nothing where all VPSs are changed at once; give batch or health too, or leave it out\\.$"),
        ({"unlisted_max": 1}, "^unlisted_max: bounds how many VPSs are removed, and with unlisted ignore none are; "),
        ({"unlisted_max": 1, "unlisted": "stop"}, "^unlisted_max: bounds how many VPSs are removed, and with unlisted stop none are; "),
        ({"health": {}}, "^health.argv: "),
        ({"health": {"argv": ["true"], "timeout": 0}}, "^health.timeout: "),
        ({"health": {"argv": ["true"], "retries": -1}}, "^health.retries: "),
        ({"plans": {"a": {"memory": "x"}}}, r"^plans.a.memory: "),
        ({"defaults": {"labels": {"1": "x"}}}, r"^defaults\.labels: "),
    ],
)
def test_what_is_wrong_is_named(given, match):
    with pytest.raises(VpsError, match=match):
        wish({"name": "a"}, **given)


def misread(**given):
    """What is said of what Ansible takes no words from, once it has put nulls and defaults between them."""
    spec = modules.argument_spec("vps_fleet")
    found = ArgumentSpecValidator(spec).validate(given)
    assert found.error_messages
    return list(runner.misread(spec, found.validated_parameters))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"adresses": []}, "adresses: there is no such option; perhaps addresses is meant."),
        ({"adresses": None}, "adresses: there is no such option; perhaps addresses is meant."),
        ({"publish": [{"hst": 80}]}, "publish[0].hst: there is no such option; perhaps host is meant."),
        ({"publish": [{"host": 80}, {"guest": 80}]}, "publish[1].host: is needed; say it."),
        ({"publish": [{"host": 1, "?": 2}]}, "publish[0].?: there is no such option; there are address, guest, host, proto."),
        ({"interfaces": [{"name": "eth1"}]}, "interfaces[0].network: is needed; say it."),
    ],
)
def test_a_word_that_is_no_option_of_a_vps_is_one_sentence_with_its_place(part, said):
    assert misread(vps=[{"name": "ok"}, {"name": "a", **part}]) == [f"vps[1] (a): {said}"]
    assert misread(vps=[{"state": "stopped"}]) == ["vps[0] (without a name): name: is needed; say it."]


def test_all_vpss_with_such_a_word_are_told_and_other_parts_too():
    found = misread(vps=[{"name": "a", "limts": {}}, {"name": "b", "state": "up"}, {"name": "c"}], defaults={"limts": {}}, health={"argv": ["x"], "retrys": 1})
    assert found[:3] == [
        "defaults.limts: there is no such option; perhaps limits is meant.",
        "health.retrys: there is no such option; perhaps retries is meant.",
        "vps[0] (a): limts: there is no such option; perhaps limits is meant.",
    ]
    assert found[3].startswith("vps[1] (b): value of state must be one of") and found[3].endswith(", got: up.") and len(found) == 4


def test_what_is_wrong_with_each_vps_is_told_and_the_first_is_the_message():
    with pytest.raises(VpsError) as caught:
        wish({"name": "a", "limits": {"physpages": "many"}}, {"name": "b"}, {"name": "B"}, *({"name": name, "limits": {"memry": 1}} for name in "cd"))
    first, second, third = caught.value.details["refused"]
    assert str(caught.value) == first and first.startswith("vps[0] (a): limits.physpages: ")
    assert second.startswith("vps[2] (B): name: ")
    assert third == "vps[3] (c), vps[4] (d): limits.memry: there is no such limit; perhaps memory is meant."
    with pytest.raises(VpsError, match=r"^vps\[1\] \(without a name\): name: is needed; say it\.$"):
        wish({"name": "a"}, {"name": None})


def test_the_sample_of_what_is_told_is_a_true_one():
    sample = yaml.safe_load(modules.load("vps_fleet").RETURN)["refused"]["sample"]
    with pytest.raises(VpsError) as caught:
        wish(*({"name": name} for name in "abc"), {"name": "web7", "limits": {"physpages": "many"}})
    assert caught.value.details["refused"] == sample


@pytest.mark.parametrize("own", [{}, {"limits": {"cpus": 1}}])
@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"memry": "1M"}, "defaults.limits.memry: there is no such limit; perhaps memory is meant."),
        ({"memory": "1X"}, "defaults.limits.memory: '1X' is not a size"),
        ({"memory": "1G", "memory_guarantee": "2G"}, "defaults.limits.memory_guarantee: "),
    ],
)
def test_what_is_wrong_in_the_defaults_is_told_of_them_and_once(own, limits, said):
    with pytest.raises(VpsError) as caught:
        wish({"name": "a", **own}, {"name": "b", **own}, {"name": "C"}, defaults={"limits": limits})
    assert str(caught.value).startswith(said)
    assert [text.split(":")[0] for text in caught.value.details["refused"]] == [said.split(":")[0], "vps[2] (C)"]


def test_a_plan_that_there_is_not_is_told_of_who_names_it():
    asked = wish({"name": "a"}, {"name": "b", "limits": {"plan": "larg"}}, {"name": "c", "limits": {"cpus": 1}}, defaults={"limits": {"plan": "smal"}})
    with pytest.raises(VpsError) as caught:
        fleet_plan.compare(asked, actual(vps("a"), vps("b", 2), vps("c", 3)))
    first, second = caught.value.details["refused"]
    assert str(caught.value) == first and first.startswith("defaults.limits.plan: there is no plan 'smal' on this node")
    assert second.startswith("vps[1] (b): limits.plan: there is no plan 'larg' ")


def test_what_a_vps_says_itself_is_not_told_of_the_defaults():
    with pytest.raises(VpsError, match=r"^vps\[1\] \(b\): limits\.memory: '1X' "):
        wish({"name": "a"}, {"name": "b", "limits": {"memory": "1X"}}, defaults={"limits": {"memory": "64M"}})


def test_a_bound_that_may_be_needed_later_or_now_is_taken():
    assert wish({"name": "a"}, unlisted="report", unlisted_max=2).unlisted_max == 2
    assert wish({"name": "a"}, unlisted="absent", unlisted_max=0).unlisted_max == 0
    assert wish({"name": "a"}, max_failures=2, health={"argv": ["true"]}).max_failures == 2


def test_a_batch_bears_no_failure_unless_told_so():
    assert wish({"name": "a"}).max_failures is None
    assert wish({"name": "a"}, batch=2).max_failures == 0
    assert wish({"name": "a"}, batch=2, max_failures=3).max_failures == 3


# -- compared with what the others will have ----------------------------------------------------------------------------


def test_who_takes_needs_who_gives():
    plan = fleet_plan.compare(
        wish({"name": "b", "addresses": ["10.0.0.1"]}, {"name": "a", "addresses": []}), actual(vps("a", addresses=("10.0.0.1",)), vps("b", 2))
    )
    assert options_of(plan) == [("b", "addresses"), ("a", "addresses")]
    assert [one.needs for one in plan.items] == [frozenset({"a"}), frozenset()]


def test_what_a_vps_keeps_nobody_else_gets():
    with pytest.raises(VpsError, match=r"^vps\[0\] \(b\): addresses: 10.0.0.1 belongs to VPS a; "):
        fleet_plan.compare(wish({"name": "b", "addresses": ["10.0.0.1"]}, {"name": "a"}), actual(vps("a", addresses=("10.0.0.1",)), vps("b", 2)))


def test_pools_give_each_new_vps_another_address_without_looking_through_all_for_each():
    taken = vps("old", addresses=("10.0.0.1", "10.0.0.3"))
    plan = fleet_plan.compare(wish(*({"name": f"n{number}", "template": "t", "addresses": [{"pool": "default"}]} for number in range(3))), actual(taken))
    assert [one.after.addresses for one in plan.items] == [("10.0.0.2",), ("10.0.0.4",), ("10.0.0.5",)]
    assert beyond(("10.0.0.1-10.0.0.9", "10.0.1.1-10.0.1.9", "fd00::1-fd00::9"), "10.0.1.3") == ("10.0.0.10-10.0.0.9", "10.0.1.4-10.0.1.9", "fd00::1-fd00::9")


def test_there_are_only_so_many_ids():
    with pytest.raises(VpsError, match=r"^vps\[1\] \(b\): name: all id ranges") as caught:
        fleet_plan.compare(wish({"name": "a"}, {"name": "b"}, {"name": "c"}, defaults={"template": "t"}), actual(free_id_ranges=1))
    assert [text.partition(": ")[0] for text in caught.value.details["refused"]] == ["vps[1] (b), vps[2] (c)"]


def test_comparing_costs_as_much_for_each_whatever_their_number():
    """Counted in calls of functions, which no busy machine changes."""

    def calls(count):
        there = actual(*(vps(f"n{number}", number, addresses=(f"10.0.{number // 250}.{number % 250 + 1}",)) for number in range(count)))
        asked = wish(*({"name": f"n{number}", "hostname": "x"} for number in range(count)), defaults={"labels": {"a": "b"}, "limits": {"memory": "64M"}})
        counted = 0

        def count_it(_frame, event, _argument):
            nonlocal counted
            counted += event == "call"

        sys.setprofile(count_it)
        try:
            plan = fleet_plan.compare(asked, there)
            fleet_order.batches(plan.at_work, 10)
        finally:
            sys.setprofile(None)
        assert len(plan.at_work) == count
        return counted / count

    calls(1)
    assert calls(400) < 1.3 * calls(40)


def test_a_copy_of_one_that_the_list_makes_comes_after_it():
    plan = fleet_plan.compare(wish({"name": "a", "template": "t"}, {"name": "b", "clone_from": "a"}), actual())
    assert [one.needs for one in plan.items] == [frozenset(), frozenset({"a"})]
    assert [batch.names for batch in fleet_order.batches(plan.at_work, 1)] == [("a",), ("b",)]
    with pytest.raises(VpsError, match=r"^vps\[0\] \(b\): clone_from: "):
        fleet_plan.compare(wish({"name": "b", "clone_from": "a"}, {"name": "a", "template": "t"}), actual())


def test_a_hardware_address_that_another_one_has_or_gets_is_refused():
    lan = {"name": "lan", "network": "lan", "mac": "02:00:00:00:00:07"}
    has = vps("a", interfaces=(Interface(name="lan", network="lan", mac=lan["mac"], host_name="lan0"),))
    wishes = [{"name": "a", "interfaces": [lan]}, {"name": "b", "interfaces": [lan]}]
    for one, wished in ((has, wishes[1:]), (vps("a"), wishes)):
        there = actual(one, vps("b", 2), bridges={"lan": Bridge("br0")})
        with pytest.raises(VpsError, match=rf"\(b\): interfaces.*mac: {lan['mac']} belongs to VPS a;"):
            fleet_plan.compare(wish(*wished), there)


def test_each_is_compared_with_what_this_machine_can_limit_of_its_own_disk():
    there = actual(vps("a"), vps("b", 2))
    plain = replace(there.vpss["b"], node=NodeFacts(abilities=Abilities(swap=False)))
    told = {"defaults": {"limits": {"memory": "64M", "swap": "64M"}, "unsupported": "fail"}}
    assert not fleet_plan.compare_each(wish({"name": "a"}, {"name": "b"}, **told), there).refused
    refused = fleet_plan.compare_each(wish({"name": "a"}, {"name": "b"}, **told), replace(there, vpss={**there.vpss, "b": plain})).refused
    assert list(refused) == ["b"] and str(refused["b"]).startswith("limits.swap: ")


def test_those_that_are_not_listed_have_the_time_to_stop_that_the_defaults_give():
    plan = fleet_plan.compare(wish({"name": "a"}, unlisted="stop", defaults={"stop_timeout": 7}), actual(vps("a"), vps("b", 2)))
    assert [step.timeout for step in plan.items[1].plan.steps if isinstance(step, Stop)] == [7]


# -- promised -----------------------------------------------------------------------------------------------------------


def promises(*changes):
    return [fleet_room.Promise(name, before and Limits(memory=before * GIB), after and Limits(memory=after * GIB)) for name, before, after in changes]


def room(*promised, percent=100):
    return Room(Present(memory=8 * GIB), {"memory": percent}, tuple(Limits(memory=each * GIB) for each in promised))


def test_what_all_get_together_has_to_fit():
    refused, _givers = fleet_room.check_promises(room(4), promises(("a", None, 2), ("b", None, 2), ("c", None, 1)))
    assert list(refused) == ["c"] and "7G" not in str(refused["c"]) and "9G" in str(refused["c"])
    assert fleet_room.check_promises(room(4), promises(("a", None, 2), ("b", None, 2))) == ({}, {})


def test_who_gives_back_comes_first_where_there_is_no_room_otherwise():
    assert fleet_room.check_promises(room(4, 4), promises(("a", 4, 6), ("b", 4, 2))) == ({}, {"a": frozenset({"b"})})
    assert fleet_room.check_promises(room(4, 4), promises(("a", None, 3), ("b", 4, None))) == ({}, {"a": frozenset({"b"})})
    assert fleet_room.check_promises(room(2, 2), promises(("a", 2, 3), ("b", 2, 1))) == ({}, {})


def test_one_without_a_limit_is_refused_where_there_is_a_bound():
    refused, _givers = fleet_room.check_promises(room(1), [fleet_room.Promise("a", None, Limits())])
    assert "would have no limit of memory" in str(refused["a"])


def test_nothing_more_is_promised_while_it_is_unknown_what_is():
    unknown = replace(room(1), unknown="pool: a record cannot be read; mend it.")
    refused, _givers = fleet_room.check_promises(unknown, promises(("a", 2, 1), ("b", 1, 2)))
    assert {name: str(error) for name, error in refused.items()} == {"b": "pool: a record cannot be read; mend it."}
    assert fleet_room.check_promises(unknown, promises(("a", 2, 1), ("c", 2, None))) == ({}, {})


# -- in order -----------------------------------------------------------------------------------------------------------


def item(name, *steps, needs=(), order=0):
    made = vps(name, boot_order=order)
    desired = wish({"name": name}).vpss[0]
    return Item(desired, name, Plan((Change("x", 1, 2),), steps), None, made, frozenset(needs))


def test_the_parts_of_a_plan():
    update, wait = Update(vps("a"), frozenset()), Wait("a", "booted", 9)
    assert fleet_order.work_of([update, Start("a"), wait, Freeze("a")]) == fleet_order.Work((update,), (Start("a"),), wait, (Freeze("a"),))
    assert fleet_order.work_of([Stop("a", 1), update, Start("a"), wait]) == fleet_order.Work((), (Stop("a", 1), update, Start("a")), wait)
    assert fleet_order.work_of([Stop("a", 1), Destroy("a")]) == fleet_order.Work((Stop("a", 1), Destroy("a")))


def test_stages_follow_needs_first_and_then_the_boot_order():
    items = [
        item("a", Create(vps("a")), Start("a"), order=9), item("b", Create(vps("b")), Start("b")), item("c", Update(vps("c"), frozenset())),
        item("d", Update(vps("d"), frozenset()), needs={"c"}), item("e", Stop("e", 1), Start("e"), order=9),
    ]
    (batch,) = fleet_order.batches(items, None)
    assert [(stage.part, stage.names) for stage in batch.stages] == [
        ("prepare", ("c", "b", "a")), ("run", ("b",)), ("run", ("a", "e")), ("prepare", ("d",)),
    ]
    assert [one.names for one in fleet_order.batches(items, 2)] == [("c", "b"), ("a", "e"), ("d",)]


@pytest.mark.parametrize("order", list(itertools.permutations("abcdx"))[::7], ids="".join)
def test_who_needs_several_comes_after_the_last_of_them(order):
    needs = {"a": "", "b": "a", "c": "b", "d": "xc", "x": ""}
    (batch,) = fleet_order.batches([item(name, Update(vps(name), frozenset()), needs=set(needs[name])) for name in order], None)
    assert [set(stage.names) for stage in batch.stages] == [{"a", "x"}, {"b"}, {"c"}, {"d"}]


def test_who_is_needed_and_has_nothing_to_do_is_not_waited_for():
    (batch,) = fleet_order.batches([item("a", Start("a"), needs={"elsewhere"})], None)
    assert batch.names == ("a",)


def test_needs_that_lead_back_are_refused():
    with pytest.raises(VpsError, match=r"^a: addresses|^a: limits"):
        fleet_order.batches([item("a", needs={"b"}), item("b", needs={"c"}), item("c", needs={"a"})], None)


def test_nothing_to_do_is_no_batch():
    assert fleet_order.batches([], None) == ()


# -- what is told -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "not_begun", "told"),
    [
        ("b", "", "vps: 1 of the 3 VPSs that were to be changed failed; the others were done. b: why."),
        ("abc", "", "vps: 3 of the 3 VPSs that were to be changed failed. a: why. b: why. c: why."),
        ("a", "bc", "vps: 1 of the 3 VPSs that were to be changed failed; 2 were not begun, because more failed than max_failures allows. a: why."),
        ("b", "c", "vps: 1 of the 3 VPSs that were to be changed failed; 1 were done; 1 were not begun, because more failed than max_failures allows. b: why."),
        ("z", "abc", "vps: 1 VPSs that are already as asked are not well (z); nothing was changed, because max_failures allows 0. z: why."),
    ],
)
def test_a_message_says_of_the_others_what_has_become_of_them(failed, not_begun, told):
    change = Plan((Change("hostname", "a", "b"),), (Start("x"),))
    items = tuple(Item(fleet_plan.Desired(name, "present", {}), name, Plan() if name == "z" else change, None, None) for name in "abcz")
    entries = [{"vps": name, "msg": "why."} for name in failed]
    assert fleet_result.sentence(fleet_plan.FleetPlan(items), entries, not_begun, 0) == told
