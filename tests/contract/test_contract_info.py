# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_info: which VPSs it tells of, what of them, and that it reads no more than that takes."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.selection import FIELDS
from ansible_collections.mainline.vps.plugins.module_utils.subjects import read_info
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.contract.bench import PREFIX, TEMPLATE, A, B

OURS = f"{PREFIX}*"  # a real node may have others


def info(bench, **given):
    """The module's result."""
    return read_info(bench.node, modules.parameters("vps_info", **given))


def names(bench, **given):
    """Who is told of."""
    return [vps["name"] for vps in info(bench, **{"name": OURS, **given})["vpss"]]


@pytest.fixture
def two(bench):
    """One that runs and one that does not, which have little in common."""
    bench.new(
        A, state="started", hostname="www.example.com", addresses=[bench.world.address(1)], labels={"tier": "web"}, description="The shop",
        limits={"memory": "64M", "diskspace": "400M"},
    )
    bench.new(B, state="stopped", labels={"tier": "db"})
    return bench


def test_each_filter_tells_one_from_the_other(two):
    address = two.world.address(1)
    assert names(two) == [A, B]
    for given in (
        {"name": A}, {"name": [f"{PREFIX}[a]", "nobody"]}, {"state": "started"}, {"state": ["started", "frozen"]}, {"hostname": "*.example.com"},
        {"labels": {"tier": "web"}}, {"description": "*shop*"}, {"addresses": address}, {"addresses": f"{address}/30"},
    ):
        assert names(two, **given) == [A], given
    for given in ({"state": "stopped"}, {"labels": {"tier": ["db", "cache"]}}, {"description": ""}, {"name": B}):
        assert names(two, **given) == [B], given
    for given in ({"state": "rescue"}, {"plan": "small"}, {"name": []}, {"state": "stopped", "hostname": "www*"}, {"template": "nobody*"}):
        assert names(two, **given) == [], given
    assert names(two, template=TEMPLATE, plan="") == [A, B]


def test_what_is_told_besides_the_vpss_is_of_the_same_ones_or_of_all(two):
    told, left = info(two, name=A, fields=[]), info(two, name=B)
    assert [one["vps"] for one in told["reverse"]] == [A] and left["reverse"] == []
    assert [template["used_by"] for template in left["templates"] if template["name"] == TEMPLATE] == [[A, B]]
    assert {key for key in told if key != "warnings"} == {"vpss", "reverse", "templates", "building", "node"}


def test_fields_are_told_and_no_others(two):
    assert info(two, name=OURS, fields=["state", "hostname"])["vpss"] == [
        {"name": A, "state": "started", "hostname": "www.example.com"}, {"name": B, "state": "stopped", "hostname": B},
    ]
    (everything,) = info(two, name=A)["vpss"]
    assert set(everything) == set(FIELDS) - {"disk_exclusive"}
    for field in FIELDS:
        (told,) = info(two, name=A, fields=[field])["vpss"]
        assert set(told) == {"name", field}
        if field in everything and field not in ("usage", "uptime", "traffic"):  # which go on
            assert told[field] == everything[field], field
    assert set(info(two, name=A, fields=["name"], exclusive=True)["vpss"][0]) == {"name", "disk_exclusive"}


def test_how_full_something_is_decides(two):
    """The template takes some of the disk, and nobody takes all of it."""
    assert names(two, above={"diskspace": 99, "memory": 99}) == []
    assert names(two, above={"diskspace": 0}) == [A]  # the other has no limit
    assert names(two, above={"diskspace": 99, "memory": 0}) == [A]
    (told,) = info(two, name=OURS, above={"diskspace": 0}, fields=["state"])["vpss"]
    assert set(told) == {"name", "state"}


def test_a_template_that_has_been_built_anew_leaves_old_ones_behind(memory):
    memory.new(A)
    assert names(memory, outdated=True) == [] and info(memory, name=A)["vpss"][0]["outdated"] is False
    modules.reconcile(memory.node, "vps_template", name=TEMPLATE, state="latest")
    memory.new(B)
    assert (names(memory, outdated=True), names(memory, outdated=False)) == ([A], [B])
    assert info(memory, name=A)["vpss"][0]["outdated"] is True


def test_uptime_begins_with_a_start(bench):
    bench.new(A, state="stopped")
    assert info(bench, name=A)["vpss"][0]["uptime"] is None
    bench.vps(state="started")
    assert 0 <= info(bench, name=A)["vpss"][0]["uptime"] < 600
    assert info(bench, name=A)["vpss"][0]["device"] is None or bench.storage == "image"


def test_who_was_started_after_the_others_were_read_has_what_it_has_now(bench):
    """A look at all links is older than that one's."""
    for name, number in ((A, 1), (B, 2)):
        bench.new(name, state="stopped", addresses=[bench.world.address(number)], rates={"out": "10M"})
    bench.vps(A, state="started")
    survey = bench.node.survey()
    first, second = (vps for vps in survey.vpss if vps.name in (A, B))
    assert survey.read(survey.find(first), limits=False, disk=False).vps.addresses == (bench.world.address(1),)
    modules.reconcile(bench.node, "vps_container", name=B, state="started")
    seen = survey.read(survey.find(second), limits=False, disk=False)
    assert (seen.run, seen.vps.addresses, seen.vps.rates.outgoing) == ("running", (bench.world.address(2),), 10_000_000)


def test_a_mistake_is_told_before_the_node_is_asked(two):
    for given, option in (({"state": "up"}, "state"), ({"addresses": "web"}, "addresses"), ({"above": {"disk": 1}}, "above"), ({"fields": "ip"}, "fields")):
        with pytest.raises(VpsError, match=f"^{option}: .*[.]$"):
            info(two, **given)


def test_it_writes_nothing(two):
    before = two.world.snapshot()
    two.world.read_only(True)
    info(two)
    two.world.read_only(False)
    assert two.world.snapshot() == before


def test_who_is_left_out_by_its_record_is_not_looked_at(memory):
    for name in (A, B):
        memory.new(name, state="started", labels={"own": name[-1]})
    for given in ({"name": A}, {"labels": {"own": "a"}}, {"hostname": "*-a"}):
        info(memory, **given)
        assert {name for name, _what in memory.node.surveyed} == {A}, given


def test_who_is_in_another_state_is_read_no_further(memory):
    memory.new(A, state="started")
    memory.new(B, state="stopped")
    info(memory, state="started")
    assert [what for name, what in memory.node.surveyed if name == B] == ["state"]


def test_what_nobody_asks_for_is_not_read(memory):
    memory.new(A, state="started", limits={"diskspace": "100M"})
    expected = {
        "hostname": ["state", "rest"], "limits": ["state", "limits"], "usage": ["state", "limits", "counters"], "traffic": ["state", "rest", "traffic"],
    }
    for field, read in expected.items():
        info(memory, fields=[field])
        assert [what for _name, what in memory.node.surveyed] == read, field
    assert info(memory, above={"diskspace": 99})["vpss"] == []
    assert [what for _name, what in memory.node.surveyed] == ["state", "disk limits", "disk"]
