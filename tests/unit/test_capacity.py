# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node has, what it has promised, and what it refuses to promise besides."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core import capacity, machine
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.capacity import Present, Room
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import Update
from ansible_collections.mainline.vps.plugins.module_utils.core.settings import Settings
from ansible_collections.mainline.vps.plugins.module_utils.core.units import PAGE
from ansible_collections.mainline.vps.plugins.module_utils.node import locks, resources, vps_steps
from ansible_collections.mainline.vps.plugins.module_utils.node.parts import Parts
from ansible_collections.mainline.vps.tests.unit.reading import sentence

GIB = 1 << 30
PRESENT = Present(memory=8 * GIB, swap=4 * GIB, cpu=400, disk=100 * GIB, processes=32768)
# Of each resource: limits that promise a quarter of it, a half, and all.
SHARES = {
    "memory": (Limits(memory=2 * GIB), Limits(physpages=Bound(0, 4 * GIB // PAGE)), Limits(memory=8 * GIB)),
    "swap": (Limits(memory=GIB, swap=GIB), Limits(memory=GIB, swap=2 * GIB), Limits(memory=GIB, swappages=Bound(0, 4 * GIB // PAGE))),
    "cpu": (Limits(cpus=1), Limits(cpulimit=200), Limits(cpulimit=400, cpus=8)),
    "disk": (Limits(diskspace=Bound(GIB, 25 * GIB)), Limits(diskspace=Bound(50 * GIB, 50 * GIB)), Limits(diskspace=Bound(100 * GIB, 100 * GIB))),
    "processes": (Limits(processes=8192), Limits(numproc=Bound(8, 16384)), Limits(processes=32768)),
}


def refused(room: Room, before: Limits | None, after: Limits) -> str:
    """The sentence of a refusal; none where there is no refusal."""
    try:
        capacity.check(room, before, after, vps="web")
    except VpsError as error:
        return str(error)
    return ""


def room(name: str, percent: int, *promised: Limits) -> Room:
    return Room(PRESENT, {name: percent}, promised)


def test_what_can_be_bounded_is_what_is_counted():
    assert set(SHARES) == set(machine.RESOURCES) == set(vars(PRESENT))


@pytest.mark.parametrize("name", SHARES)
def test_a_resource_is_promised_up_to_its_bound_and_not_beyond(name):
    quarter, half, whole = SHARES[name]
    assert not refused(room(name, 100, half, quarter), None, quarter)
    assert refused(room(name, 100, half, half), None, quarter).startswith(f"limits.{capacity.RESOURCES[name].key}: ")
    assert not refused(room(name, 150, half, half), None, half)
    assert refused(room(name, 150, half, half), None, whole)


@pytest.mark.parametrize("name", SHARES)
def test_without_a_bound_of_its_own_a_resource_is_promised_as_often_as_one_likes(name):
    whole = SHARES[name][2]
    others = {other: 100 for other in SHARES if capacity.RESOURCES[other].promised(whole) is None}
    assert not refused(Room(PRESENT, {}, (whole, whole)), None, whole)
    assert not refused(Room(PRESENT, others, (whole, whole)), Limits(), whole)


@pytest.mark.parametrize("name", SHARES)
def test_a_vps_without_a_limit_of_a_bounded_resource_is_refused(name):
    assert refused(room(name, 100_000), None, Limits()).startswith(f"limits.{capacity.RESOURCES[name].key}: VPS 'web' would have no limit")
    assert refused(room(name, 100_000), SHARES[name][0], Limits())


@pytest.mark.parametrize("name", SHARES)
def test_who_gives_some_back_is_never_refused_however_much_is_promised(name):
    quarter, half, whole = SHARES[name]
    full = room(name, 10, whole, whole)
    for before, after in ((whole, half), (half, quarter), (half, half), (Limits(), Limits())):
        assert not refused(full, before, after)
    assert refused(full, quarter, half)


@pytest.mark.parametrize("name", SHARES)
def test_who_had_no_limit_was_promised_nothing_that_could_be_counted(name):
    quarter, _half, whole = SHARES[name]
    assert not refused(room(name, 100, quarter, quarter), Limits(), quarter)
    assert "at most" in refused(room(name, 100, quarter, quarter), Limits(), whole)


def test_a_refusal_has_the_numbers_in_it():
    told = sentence(lambda: capacity.check(room("memory", 150, Limits(memory=10 * GIB), Limits()), None, Limits(memory=4 * GIB), vps="web"), "limits.memory")
    assert told == (
        "limits.memory: with 4G for VPS 'web' this node would have promised 14G of memory, 10G of it to the others, and it promises no more than "
        "12G (150% of the 8G that it has, by overcommit.memory of vps_node); at most 2G is left for it."
    )
    told = sentence(lambda: capacity.check(room("cpu", 100, Limits(cpus=4)), None, Limits(), vps="web"), "limits.cpulimit")
    assert told == (
        "limits.cpulimit: VPS 'web' would have no limit of CPU time, of which this node promises no more than 400% (100% of the 400% that it has, "
        "by overcommit.cpu of vps_node), and has promised 400% to the others; nothing more is left for it."
    )


def test_no_swap_is_a_promise_that_a_node_without_swap_can_keep():
    bare = Room(replace(PRESENT, swap=0), {"swap": 100})
    assert not refused(bare, None, Limits(memory=GIB, swap=0))
    assert refused(bare, None, Limits(memory=GIB, swap=4096))


def test_where_a_promise_is_unknown_no_other_is_given_and_any_may_be_taken_back():
    dark = replace(room("memory", 100), unknown="/pool/vps/a/vps.json: is damaged.")
    assert refused(dark, None, Limits(memory=GIB)) == dark.unknown
    assert not refused(dark, Limits(memory=GIB), Limits(memory=GIB, processes=9))
    assert not refused(dark, Limits(memory=2 * GIB), Limits(memory=GIB))


limits = st.builds(
    lambda memory, processes: Limits(memory=memory, processes=processes), st.none() | st.integers(0, 64 * GIB), st.none() | st.integers(8, 1 << 22)
)


@given(st.lists(limits, max_size=6), st.none() | limits, limits, st.dictionaries(st.sampled_from(["memory", "processes"]), st.integers(1, 500)))
def test_what_is_not_refused_raises_nothing_above_its_bound(others, before, after, policy):
    where = Room(PRESENT, policy, tuple(others))
    told = refused(where, before, after)
    if told:
        sentence(lambda: capacity.check(where, before, after, vps="web"), told.partition(":")[0])
        return
    for name, percent in policy.items():
        was, now = (0 if before is None else getattr(before, name)), getattr(after, name)
        total = sum(getattr(other, name) or 0 for other in others)
        assert was is None or (now is not None and (now <= was or (total + now) * 100 <= percent * getattr(PRESENT, name)))


def test_the_report_of_a_pool_has_what_is_left_beside_promises():
    room = Room(replace(PRESENT, disk=20 * GIB), {}, (Limits(diskspace=Bound(None, 15 * GIB)), Limits(diskspace=Bound(None, 8 * GIB)), Limits()))
    assert capacity.report_pool(room, 4 * GIB, 16 * GIB) == {
        "pool_size": 20 * GIB, "pool_used": 4 * GIB, "pool_free": 16 * GIB, "pool_unpromised": -3 * GIB,
    }
    assert capacity.report_pool(replace(room, unknown="why"), 0, 0)["pool_unpromised"] is None


@pytest.mark.parametrize("size, free, percent, told", [(100, 10, 10, False), (100, 9, 10, True), (100, -1, 10, True), (0, 0, 10, False), (100, 0, 0, False)])
def test_what_is_free_is_told_below_a_share_of_a_pool_that_there_is(size, free, percent, told):
    assert bool(capacity.nearly_full(size << 20, free << 20, percent)) is told


def test_the_report_has_promises_and_use_in_percent():
    told = capacity.report(Room(PRESENT, {"memory": 150}, (Limits(memory=2 * GIB, cpus=6), Limits(memory=4 * GIB))), {"memory": GIB, "swap": 0})
    assert told["memory"] == {
        "present": 8 * GIB, "promised": 6 * GIB, "unlimited": 0, "commitment": 75.0, "used": GIB, "utilisation": 12.5, "overcommit": 150,
    }
    assert told["cpu"] == {"present": 400, "promised": 600, "unlimited": 1, "commitment": 150.0, "used": None, "utilisation": None, "overcommit": None}
    assert set(told) == set(SHARES)
    assert json.loads(json.dumps(told)) == told


def test_percents_of_nothing_are_nothing_or_unknown():
    told = capacity.report(Room(Present(), promised=(Limits(memory=GIB),)), {"swap": 0})
    assert (told["memory"]["commitment"], told["swap"]["commitment"], told["swap"]["utilisation"]) == (None, 0.0, 0.0)


def test_unknown_promises_are_told_as_such():
    told = capacity.report(Room(PRESENT, unknown="one is damaged."), {"memory": GIB})["memory"]
    assert (told["present"], told["promised"], told["unlimited"], told["commitment"], told["utilisation"]) == (8 * GIB, None, None, None, 12.5)


def test_this_machine_has_something_and_uses_no_more_than_that(tmp_path):
    present, used = resources.present(str(tmp_path)), resources.used(str(tmp_path))
    assert present.cpu == 100 * os.cpu_count()
    assert "cpu" not in used
    for name, value in used.items():
        assert 0 <= value <= getattr(present, name), name
    assert min(present.memory, present.disk, present.processes) > 0


# -- two playbooks at once: each has compared before the other wrote ------------------------------------------------------


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A node's parts over an empty pool, in which half of 100 % of the memory is left after the VPS `first`."""
    for folder in ("vps", "templates"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(locks, "FOLDER", str(tmp_path / "locks"))
    made = Parts.of(Settings(str(tmp_path), 65536, 10 * 65536, (), overcommit={"memory": 100}))
    made.present = PRESENT
    os.mkdir(made.vps.path("first"))
    made.vps.store(vps("first", 4), made.vps.path("first"))
    return made


def vps(name: str, gib: int) -> Vps:
    return Vps(name, "minimal", "busybox", name, limits=Limits(memory=gib * GIB), id_base=65536)


def test_of_two_that_are_made_at_once_the_second_is_refused_what_the_first_has_got(parts):
    with locks.hold("vps", "a", timeout=0), locks.hold("vps", "b", timeout=0):
        vps_steps._reserve(parts, vps("a", 3))
        with pytest.raises(VpsError, match="^limits.memory: with 3G for VPS 'b' this node would have promised 10G .* at most 1G is left"):
            vps_steps._reserve(parts, vps("b", 3))
        assert not os.path.exists(parts.vps.staging("b"))
        vps_steps._reserve(parts, vps("b", 1))


def test_one_that_is_enlarged_is_refused_what_another_has_got_since_and_keeps_its_record(parts):
    with locks.hold("vps", "a", timeout=0):
        vps_steps._reserve(parts, vps("a", 3))
        with pytest.raises(VpsError, match="^limits.memory: "):
            vps_steps.update(parts, Update(vps("first", 6), frozenset({"limits"})))
    assert parts.vps.load("first") == vps("first", 4)


def test_without_a_bound_no_other_record_is_read(parts):
    parts.settings = replace(parts.settings, overcommit={})
    os.mkdir(parts.vps.path("damaged"))
    with open(os.path.join(parts.vps.path("damaged"), "vps.json"), "w", encoding="utf-8") as file:
        file.write("{")
    vps_steps.refuse_promised(parts, None, vps("a", 300))
