# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that bounds what it promises: what it refuses, in check mode too, what it never refuses, and what it tells of itself."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.contract.bench import TEMPLATE, A, B, options

GIB = 1 << 30


def refused(bench, match, module="vps_container", **task):
    """Refused in check mode and in earnest, by the same sentence, and nothing was written."""
    before = bench.world.snapshot()
    with pytest.raises(VpsError, match=match) as predicted:
        bench.check(module, **task)
    with pytest.raises(VpsError) as happened:
        modules.reconcile(bench.node, module, **task)
    assert str(happened.value) == str(predicted.value)
    assert bench.world.snapshot() == before


@pytest.fixture
def bounded(memory):
    """A node of 8 GiB that promises no more than that, and has promised 6 to a VPS."""
    memory.node.overcommit = {"memory": 100}
    memory.new(A, limits={"memory": "6G"})
    return memory


def test_a_new_vps_gets_what_is_left_and_no_more(bounded):
    refused(bounded, "^limits.memory: with 3G .* would have promised 9G .* at most 2G is left", name=B, template=TEMPLATE, limits={"memory": "3G"})
    bounded.new(B, limits={"memory": "2G"})


def test_a_new_vps_without_a_limit_is_refused(bounded):
    refused(bounded, "^limits.memory: VPS 'contract-b' would have no limit of memory", name=B, template=TEMPLATE)
    refused(bounded, "^limits.memory: ", name=B, template=TEMPLATE, limits={"processes": 50})


@pytest.mark.parametrize("state", ["started", "stopped"])
def test_limits_go_up_to_the_bound_and_back(bounded, state):
    bounded.vps(state=state)
    for value in ("8G", "6G", "8G"):
        assert options(bounded.limits(memory=value)) == ["limits.memory"]
    refused(bounded, "^limits.memory: .* nothing more is left", "vps_limits", name=A, memory="9G")
    refused(bounded, "^limits.memory: VPS 'contract-a' would have no limit", "vps_limits", name=A)
    assert bounded.seen()["files"] == (bounded.files(memory=8 * GIB) if state == "started" else {})


def test_a_key_counts_in_place_of_its_plans_whatever_word_that_has_for_it(bounded):
    bounded.node.plans = {"small": Limits(physpages=Bound(0, 25600), numproc=Bound(100, 100))}
    result = bounded.new(B, limits={"plan": "small", "memory": "1G"})
    assert [(row["limit"], row["asked"]) for row in result["fidelity"]] == [("memory", "1G"), ("numproc", "100")]
    bounded.vps(B, state="started")
    assert bounded.seen(B)["files"] == bounded.files(memory=GIB, processes=100)
    refused(bounded, "^limits.memory: with 3G ", "vps_limits", name=B, plan="small", memory="3G")


def test_the_largest_memory_and_swap_hold(memory):
    memory.new(state="started", limits={"memory": "1048575T", "swap": "1048575T"})
    refused(memory, "^swap: .* the most is 1048575T", "vps_limits", name=A, memory="1048575T", swap=str(1 << 62))


def test_what_one_vps_gives_back_another_gets(bounded):
    refused(bounded, "^limits.memory: ", name=B, template=TEMPLATE, limits={"memory": "4G"})
    bounded.limits(memory="4G")
    bounded.new(B, limits={"memory": "4G"})
    bounded.vps(B, state="absent")
    bounded.limits(memory="8G")


def test_a_plan_is_counted_as_its_limits(bounded):
    bounded.node.plans = {"small": Limits(memory=GIB), "large": Limits(memory=4 * GIB)}
    refused(bounded, "^limits.memory: with 4G ", name=B, template=TEMPLATE, limits={"plan": "large"})
    bounded.new(B, limits={"plan": "small"})
    bounded.limits(B, plan="large", memory="2G")


def test_where_more_is_promised_than_may_be_everything_else_still_goes_on(bounded):
    bounded.node.overcommit = {"memory": 50, "processes": 100}
    assert bounded.vps(hostname="elsewhere", limits={"memory": "6G"})["changed"]
    assert bounded.limits(memory="5G")["changed"]
    assert bounded.limits(memory="5G", cpus="2")["changed"]
    bounded.once("vps_container", name=A, state="restarted")
    assert bounded.vps(state="absent")["changed"]


def test_a_limit_that_somebody_lowered_by_hand_is_put_back_whatever_is_promised(bounded):
    bounded.node.overcommit = {"memory": 10}
    bounded.world.set_limits(A, Limits(memory=GIB))
    assert options(bounded.limits(memory="6G")) == ["limits.memory"]


def test_the_node_tells_what_it_has_and_has_promised(bounded):
    bounded.node.overcommit = {}
    bounded.new(B, limits={"cpus": 2})
    told = modules.subjects.read_info(bounded.node, {"name": None})["node"]["capacity"]
    assert told["memory"] == {
        "present": 8 * GIB, "promised": 6 * GIB, "unlimited": 1, "commitment": 75.0, "used": 2 * GIB, "utilisation": 25.0, "overcommit": None,
    }
    assert (told["cpu"]["promised"], told["cpu"]["unlimited"], told["cpu"]["commitment"]) == (200, 1, 50.0)


def test_what_a_node_tells_is_what_is_documented(bench):
    bench.new(limits={"memory": "64M"})
    told = modules.subjects.read_info(bench.node, {"name": A})["node"]
    documented = yaml.safe_load(modules.load("vps_info").RETURN)["node"]["contains"]
    assert set(told) == set(documented)
    assert set(documented["capacity"]["contains"]["memory"]["contains"]) == set(told["capacity"]["memory"])
    for resource in told["capacity"].values():
        assert set(resource) == set(told["capacity"]["memory"])
        assert resource["present"] >= 0
    assert told["capacity"]["memory"]["promised"] >= 64 << 20
