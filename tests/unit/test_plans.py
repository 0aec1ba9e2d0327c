# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans made from a node, plans made from plans, and what is said of a plan."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core import capacity, limits, plans, validation
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.capacity import RESOURCES, Present, Room
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.units import PAGE
from ansible_collections.mainline.vps.tests.unit.random_limits import documents, proper
from ansible_collections.mainline.vps.tests.unit.reading import sentence, value_or_sentence

MIB, GIB = 1 << 20, 1 << 30
PRESENT = Present(memory=8 * GIB, swap=4 * GIB, cpu=400, disk=100 * GIB, processes=32768)
SMALL = {"memory": "512M", "swap": "256M", "cpulimit": "50", "processes": "300", "diskspace": "10G"}

presents = st.builds(
    Present, memory=st.integers(0, 1 << 42), swap=st.integers(0, 1 << 42), cpu=st.integers(1, 512).map(lambda cpus: 100 * cpus),
    disk=st.integers(0, 1 << 50), processes=st.integers(300, 1 << 22),
)
counts = st.integers(1, 40) | st.integers(1, 5000)
percents = st.integers(0, 99)
policies = st.dictionaries(st.sampled_from(sorted(RESOURCES)), st.integers(1, 1000))


def parsed(document: dict[str, object]) -> Limits:
    return limits.settle(limits.parse(document), {})


def said(plan: dict[str, object], node: dict | None = None) -> set[tuple[str, str]]:
    return {(finding.level, finding.limit) for finding in validation.validate(plan, node)}


def a_node(*promised: Limits, version: int = 2, **overcommit: int) -> dict:
    return {"cgroup_version": version, "capacity": capacity.report(Room(PRESENT, overcommit, promised), {})}


# -- a node divided -----------------------------------------------------------------------------------------------------


def test_a_node_is_divided_into_equal_parts_less_a_tenth_for_itself():
    assert limits.show(plans.split(PRESENT, 10)) == {"memory": "737M", "swap": "368M", "cpulimit": "36%", "processes": "2949", "diskspace": "9G"}


def test_what_the_node_keeps_may_be_said_of_each_resource_and_what_is_promised_too():
    part = plans.split(PRESENT, 4, margin=0, keep={"memory": 4 * GIB, "cpu": 200}, overcommit={"cpu": 400, "disk": 150})
    assert limits.show(part) == {"memory": "1G", "swap": "1G", "cpulimit": "200%", "processes": "8192", "diskspace": "38400M"}


def test_a_node_without_swap_gives_none():
    assert plans.split(Present(memory=GIB, swap=0, cpu=100, disk=GIB, processes=1000), 2).swap == 0


@pytest.mark.parametrize(("count", "word"), [(3000, "2M of memory, and 4M is the least"), (0, "1 or more")])
def test_a_node_is_not_divided_among_more_than_it_can_bear_or_nobody(count, word):
    assert word in sentence(lambda: plans.split(PRESENT, count), "count")


def test_a_node_that_keeps_all_for_itself_has_nothing_to_divide():
    assert "0 of memory" in sentence(lambda: plans.split(PRESENT, 2, keep={"memory": 9 * GIB}), "count")


@given(presents, counts, percents, policies)
def test_all_parts_together_are_never_more_than_there_is(present, count, margin, policy):
    part = value_or_sentence(lambda: plans.split(present, count, margin=margin, overcommit=policy), "count")
    if part is None:
        return
    for name, resource in RESOURCES.items():
        allowed = getattr(present, name) * (100 - margin) * policy.get(name, 100) / 100**2
        assert resource.promised(part) * count <= allowed
    assert parsed(limits.show(part)) == part


@given(presents, counts, policies)
def test_as_many_vpss_as_a_node_was_divided_among_find_room_on_it_and_their_plan_has_no_error(present, count, policy):
    part = value_or_sentence(lambda: plans.split(present, count, overcommit=policy), "count")
    if part is None:
        return
    bounds = {name: policy.get(name, 100) for name in RESOURCES}
    room = Room(present, bounds, (part,) * (count - 1))
    capacity.check(room, None, part, vps="last")
    node = {"cgroup_version": 2, "capacity": capacity.report(Room(present, bounds), {})}
    for told in (validation.validate(limits.show(part)), validation.validate(limits.show(part), node)):
        assert not [finding for finding in told if finding.level == validation.ERROR]


# -- a plan made larger or smaller ---------------------------------------------------------------------------------------


def test_a_plan_is_scaled_in_every_quantity_and_in_nothing_else():
    plan = parsed({**SMALL, "cpus": "2", "cpumask": "0-1", "nodemask": "0", "ioprio": "6", "cpuunits": "500", "physpages": "0:1G", "numfile": "1024:unlimited"})
    assert limits.show(plans.scale(plan, 3, 2)) == {
        "memory": "768M", "swap": "384M", "cpuunits": "750", "cpulimit": "75%", "cpus": "3", "cpumask": "0-1", "nodemask": "0", "processes": "450",
        "diskspace": "15G", "ioprio": "6", "numfile": "1536:unlimited", "physpages": "0:393216",
    }


def test_whole_mebibytes_stay_whole_until_there_are_few():
    assert [limits.show(plans.scale(Limits(iolimit=size * MIB), 1, 3))["iolimit"] for size in (512, 100, 10)] == ["170M", "33M", "3412K"]


def test_what_a_limit_must_be_at_least_or_may_be_at_most_bounds_it():
    tiny = plans.scale(parsed({"memory": "8M", "processes": "10", "cpus": "1", "cpuunits": "100000"}), 1, 100)
    assert (tiny.memory, tiny.processes, tiny.cpus, tiny.cpuunits) == (4 * MIB, 8, 1, 1000)
    huge = plans.scale(parsed({"cpuunits": "100000", "numproc": "1:4194304"}), 5)
    assert (huge.cpuunits, huge.numproc) == (100_000, Bound(5, 4194304))


def test_what_belongs_to_a_limit_stays_within_it():
    half = plans.scale(parsed({"memory": "101M", "memory_guarantee": "103420K", "cpus": "3", "cpuburst": "300"}), 1, 2)
    assert (half.memory_guarantee, half.cpuburst) == (half.memory, 100)
    half = plans.scale(parsed({"memory": "101M", "oomguarpages": "25856:unlimited"}), 1, 2)
    assert half.oomguarpages == Bound(half.memory // PAGE, None)


def test_nothing_becomes_larger_than_what_is_read():
    huge = plans.scale(parsed({"memory": "1048575T", "physpages": "0:1048575T"}), 9)
    assert limits.show(parsed(limits.show(huge))) == {"memory": "1048575T", "physpages": f"0:{(1048575 << 40) // PAGE}"}


@given(proper())
def test_scaled_by_one_a_plan_is_itself(document):
    plan = value_or_sentence(lambda: parsed(document), "memory_guarantee")
    if plan is not None:
        assert plans.scale(plan, 1) == plan
        assert plans.scale(plan, 7, 7) == plan


@given(proper(), st.integers(1, 1 << 40), st.integers(1, 1 << 40))
def test_a_scaled_plan_is_a_plan_and_no_less_than_a_smaller_one(document, numerator, denominator):
    plan = value_or_sentence(lambda: parsed(document), "memory_guarantee")
    if plan is None:
        return
    scaled = plans.scale(plan, numerator, denominator)
    assert parsed(limits.show(scaled)).named.keys() == plan.named.keys()
    assert limits.show(parsed(limits.show(scaled))).keys() == limits.show(scaled).keys()
    if numerator >= denominator:
        assert all((getattr(scaled, name) or 0) >= getattr(plan, name) for name in ("memory", "swap", "processes") if getattr(plan, name) is not None)


# -- what is said of a plan ---------------------------------------------------------------------------------------------


def test_of_a_good_plan_nothing_is_said():
    assert said(SMALL) == said(SMALL, a_node()) == set()


@pytest.mark.parametrize(
    ("change", "level", "limit"),
    [
        ({"memory": "many"}, "error", "memory"),
        ({"ram": "1G"}, "error", "memory"),
        ({"memry": "1G"}, "error", "memry"),
        ({"plan": "small"}, "error", "plan"),
        ({"numproc": "50:40"}, "error", "numproc"),
        ({"cpuburst": "60"}, "error", "cpuburst"),
        ({"memory_guarantee": "513M"}, "error", "memory_guarantee"),
        ({"memory_guarantee": "500M"}, "warning", "memory_guarantee"),
        ({"memory_high": "513M"}, "warning", "memory_high"),
        ({"oomguarpages": "513M"}, "error", "oomguarpages"),
        ({"oomguarpages": "513M:unlimited"}, "error", "oomguarpages"),
        ({"vmguarpages": "513M:unlimited"}, "warning", "vmguarpages"),
        ({"shmpages": "1G"}, "warning", "shmpages"),
        ({"lockedpages": "1G"}, "warning", "lockedpages"),
        ({"memory": "32M"}, "warning", "memory"),
        ({"memory": None, "physpages": "0:32M"}, "warning", "physpages"),
        ({"diskspace": "200M"}, "warning", "diskspace"),
        ({"diskspace": "9G:10G"}, "warning", "diskspace"),
        ({"processes": "20"}, "warning", "processes"),
        ({"processes": None, "numproc": "20"}, "warning", "numproc"),
        ({"cpulimit": "2"}, "warning", "cpulimit"),
        ({"numfile": "512"}, "warning", "numfile"),
        ({"numfile": "9600"}, "advice", "numfile"),
        ({"numpty": "2"}, "warning", "numpty"),
        ({"processes": None, "numproc": "240:250"}, "advice", "numproc"),
        ({"kmemsize": "10M"}, "warning", "kmemsize"),
        ({"numtcpsock": "360"}, "warning", "numtcpsock"),
        ({"physpages": "0:1G"}, "advice", "physpages"),
        ({"cpus": "2"}, "advice", "cpus"),
        ({"cpus": "1", "cpulimit": "150"}, "advice", "cpulimit"),
        ({"swap": None}, "advice", "swap"),
        ({"processes": "unlimited"}, "advice", "processes"),
        ({"diskspace": None}, "advice", "diskspace"),
        ({"memory": None, "swap": None}, "advice", "memory"),
    ],
)
def test_one_thing_that_is_amiss_is_the_one_thing_that_is_said(change, level, limit):
    assert said({**SMALL, **change}) == {(level, limit)}


def test_swap_without_memory_is_an_error_of_swap():
    assert said({**SMALL, "memory": None}) == {("error", "swap"), ("advice", "memory")}


def test_every_rule_of_the_table_can_be_broken_by_some_plan_and_is_not_by_a_good_one():
    good = parsed(SMALL)
    assert not [rule for rule in validation.RULES if rule.broken(good)]
    shown = {
        finding.text
        for change in (
            {"memory": "32M", "memory_high": "1G", "memory_guarantee": "31M", "vmguarpages": "1G", "shmpages": "1G",
             "lockedpages": "1G", "numfile": "9600", "numproc": "1:200", "diskspace": "1M:2M", "cpulimit": "1", "numpty": "1"},
            {"processes": "9", "numfile": "70", "swap": None, "diskspace": "2M"},
            {"memory": None, "swap": None, "processes": None, "diskspace": None},
        )
        for finding in validation.validate({**SMALL, **change})
    }
    assert {rule.text for rule in validation.RULES} <= shown


@pytest.mark.parametrize(
    ("change", "node", "level", "limit"),
    [
        ({"memory": "9G"}, a_node(), "warning", "memory"),
        ({"swap": "5G"}, a_node(), "warning", "swap"),
        ({"cpulimit": "500"}, a_node(), "warning", "cpulimit"),
        ({"diskspace": "200G"}, a_node(), "warning", "diskspace"),
        ({"processes": "40000"}, a_node(), "warning", "processes"),
        ({"memory": None, "physpages": "9G"}, a_node(), "warning", "physpages"),
        ({"memory_high": "500M"}, a_node(version=1), "warning", "memory_high"),
        ({"cpulimit": None}, a_node(cpu=100), "error", "cpulimit"),
        ({"diskspace": None}, a_node(disk=100), "error", "diskspace"),
        ({}, a_node(Limits(memory=8 * GIB), memory=100), "warning", "memory"),
        ({}, a_node(Limits(memory=8 * GIB), memory=50), "warning", "memory"),
    ],
)
def test_a_node_has_something_to_say_too(change, node, level, limit):
    assert (level, limit) in said({**SMALL, **change}, node)
    assert (level, limit) not in said({**SMALL, **change})


def test_the_worst_is_said_first_and_an_error_is_all_that_is_said_of_a_limit():
    told = validation.validate({"memory": "1", "processes": "3:2", "memory_high": "2G", "kmemsize": "1M", "swap": "1M", "numfile": "x"})
    assert [finding.level for finding in told] == sorted((finding.level for finding in told), key=validation.LEVELS.index)
    assert [finding.limit for finding in told if finding.level == "error"] == ["memory", "processes", "numfile"]
    assert not [finding for finding in told if finding.level != "error" and finding.limit in ("memory", "processes", "numfile")]


@given(documents())
def test_what_is_an_error_is_what_a_module_refuses(document):
    told = validation.validate(document)
    try:
        parsed(document)
    except VpsError:
        assert any(finding.level == validation.ERROR for finding in told)
    else:
        assert not any(finding.level == validation.ERROR for finding in told)
    for finding in told:
        assert finding.text.endswith((".", ")")), finding
        assert finding.limit.isprintable()
