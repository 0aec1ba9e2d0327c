# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VPS whose record cannot be read: it stands in nobody else's way, and nothing is given away that may be its own."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.contract.bench import PREFIX, TEMPLATE, A, B, options
from ansible_collections.mainline.vps.tests.contract.memory_node import MemoryNode, MemorySurvey

# What has become of some of a record's fields; or of the whole: a text, or None for a directory in its place.
EDITED = {
    "addresses": {"addresses": [["x"]]},
    "memory": {"limits": {"memory": "512M"}},
    "diskspace": {"limits": {"diskspace": ["a", "b"]}},
    "a word": {"boot_order": "first"},
    "a field": {"colour": "red"},
    "empty": "",
    "brackets": "[" * 100_000,
    "a directory": None,
}


# Reading is the same code on both nodes, and a VPS of the real one takes its time: it tries one of each kind.
ON_THE_REAL_ONE = ("memory", "empty", "a directory")


@pytest.fixture(params=EDITED)
def half(bench, request):
    """A bench with the VPSs `A`, and `B`, whose record cannot be read."""
    if not isinstance(bench.node, MemoryNode) and request.param not in ON_THE_REAL_ONE:
        pytest.skip("tried on the node in memory")
    bench.new(A, limits={"memory": "64M"})
    bench.new(B)
    edited = EDITED[request.param]
    if isinstance(edited, dict):
        edited = json.dumps({**bench.world.record(B).to_record(), **edited})
    with bench.world.damaged(B, edited):
        yield bench


def told(bench, name=None):
    """What vps_info says, of this suite's VPSs."""
    result = modules.subjects.read_info(bench.node, {"name": name})
    (template,) = [template for template in result["templates"] if template["name"] == TEMPLATE]
    warnings = [warning for warning in result.get("warnings", ()) if PREFIX in warning]
    return [vps["name"] for vps in result["vpss"] if vps["name"].startswith(PREFIX)], template["used_by"], warnings, result["node"]["capacity"]


@pytest.mark.parametrize("name", [None, A])
def test_vps_info_tells_of_the_others_and_has_a_warning(half, name):
    names, used_by, warnings, capacity = told(half, name)
    assert (names, used_by) == ([A], [A])
    (warning,) = warnings
    assert warning.startswith(f"VPS '{B}' is left out: ") and warning.endswith("nothing was touched.") and "vps.json: " in warning
    assert {resource["promised"] for resource in capacity.values()} == {None}


def test_vps_info_of_the_very_one_is_the_error(half):
    with pytest.raises(VpsError, match="vps.json: .* nothing was touched"):
        told(half, B)


def test_the_others_are_changed_started_and_stopped_all_the_same(half):
    assert options(half.limits(memory="128M", processes="50")) == ["limits.memory", "limits.processes"]
    for state in ("stopped", "started"):
        assert half.vps(state=state)["changed"]
    assert half.vps(state="absent")["changed"]


@pytest.mark.parametrize(
    "task",
    [
        {"name": f"{PREFIX}c", "template": TEMPLATE},
        {"name": B, "state": "started"},
    ],
)
def test_what_may_be_its_own_is_given_to_nobody_and_it_is_left_alone(half, task):
    with pytest.raises(VpsError, match="vps.json: .* nothing was touched"):
        modules.reconcile(half.node, "vps_container", **task)


def test_it_is_removed_by_the_plain_word_and_then_all_is_as_ever(half):
    """Which is the way out: from then on it is known again what is whose."""
    done = half.vps(B, state="absent")
    assert (done["changed"], done["vps"], done["diff"]["before"]) == (True, None, {"state": "damaged"})
    assert told(half)[:3] == ([A], [A], [])
    assert half.vps(addresses=[half.world.address(1)])["changed"] and half.new(B)


def test_an_address_is_given_to_nobody(half):
    with pytest.raises(VpsError, match="vps.json: .* nothing was touched"):
        modules.reconcile(half.node, "vps_container", name=A, addresses=[half.world.address(1)])


def test_a_template_is_not_removed(half):
    with pytest.raises(VpsError, match="vps.json: .* nothing was touched"):
        modules.reconcile(half.node, "vps_template", name=TEMPLATE, state="absent")


def test_one_vps_that_stands_in_the_way_of_being_counted_hides_no_other(memory, monkeypatch):
    for name in (A, B):
        memory.new(name)
    count = MemorySurvey.counters

    def stubborn(survey, actual, **asked):
        if actual.vps.name == B:
            raise failure
        return count(survey, actual, **asked)

    monkeypatch.setattr(MemorySurvey, "counters", stubborn)
    for failure in (VpsError("disk: is not to be counted."), PermissionError(13, "Permission denied", "/pool/b")):
        names, used_by, warnings, _capacity = told(memory)
        assert (names, used_by, warnings) == ([A], [A, B], [f"VPS '{B}' is left out: {failure}"])
        with pytest.raises(type(failure)):
            told(memory, B)
        assert told(memory, A)[:3] == ([A], [A, B], [])
