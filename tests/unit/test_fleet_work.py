# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done for many VPSs at once on a node, as far as it needs no kernel: read, locked, made real, looked after."""

from __future__ import annotations

import os
import resource
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils import fleet_subject
from ansible_collections.mainline.vps.plugins.module_utils.core.model import NodeFacts
from ansible_collections.mainline.vps.plugins.module_utils.core.command import Outcome as Ended
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.fleet_plan import FleetPlan, Item
from ansible_collections.mainline.vps.plugins.module_utils.core.fleet_result import Outcome, judge
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import RUNNING, Actual, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import Change, Destroy, Plan, Start, Update
from ansible_collections.mainline.vps.plugins.module_utils.core.settings import Settings
from ansible_collections.mainline.vps.plugins.module_utils.node import again, crew, files, filtering, fleet_steps, inside, locks, sweep
from ansible_collections.mainline.vps.plugins.module_utils.node import fleet as fleet_node
from ansible_collections.mainline.vps.plugins.module_utils.node.fleet import FleetNode
from ansible_collections.mainline.vps.plugins.module_utils.node.parts import Parts
from ansible_collections.mainline.vps.plugins.module_utils.node.survey import Survey
from ansible_collections.mainline.vps.tests.contract import modules


def wish(*vps, **given):
    return fleet_subject.parse(modules.parameters("vps_fleet", vps=list(vps), **given))


def vps(name: str, number: int = 0) -> Vps:
    return Vps(name, "minimal", "busybox", name, limits=Limits(), id_base=65536 * (number + 1))


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A node over an empty pool."""
    for folder in ("vps", "templates"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(locks, "FOLDER", str(tmp_path / "locks"))
    made = FleetNode()
    made._parts = Parts.of(Settings(str(tmp_path), 65536, 1 << 22, ()))
    return made


# -- judged ---------------------------------------------------------------------------------------------------------------


def item(name: str, *changes: Change) -> Item:
    return Item(wish({"name": name}).vpss[0], name, Plan(changes, (Start(name),)), vps(name), vps(name))


def test_what_was_applied_and_does_not_hold_is_a_failure_of_its_vps_alone():
    wanted = (Change("hostname", "a", "b"), Change("limits.memory", 1, 2))
    before = FleetPlan((item("a", *wanted), item("b", *wanted)))
    done, failed = judge(before, Outcome(), FleetPlan((item("a", wanted[1]), item("b"))))
    (one,) = failed
    assert one["vps"] == "a" and one["msg"].startswith("limits.memory: it was applied, but read again it does not hold: limits.memory is 1 and not 2")
    assert ([change["option"] for change in one["done"]], [change["option"] for change in one["not_done"]]) == (["hostname"], ["limits.memory"])
    assert [len(each.plan.changes) for each in done.items] == [1, 2]


def test_one_that_is_refused_when_it_is_read_again_has_failed_with_that():
    after = FleetPlan((item("b"),), refused={"a": VpsError("addresses: somebody else has it.")})
    done, failed = judge(FleetPlan((item("a", Change("x", 1, 2)), item("b", Change("x", 1, 2)))), Outcome(), after)
    assert [(one["vps"], one["msg"], len(one["not_done"])) for one in failed] == [("a", "addresses: somebody else has it.", 1)]
    assert [len(each.plan.changes) for each in done.items] == [0, 1]


# -- read -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [FileNotFoundError, ProcessLookupError])
def test_one_that_goes_while_it_is_looked_at_is_looked_at_again(node, monkeypatch, error):
    def gone(*_arguments, **_options):
        raise error

    node._parts.vps.store(vps("a"), node._parts.vps.begin("a"))
    node._parts.vps.commit("a")
    monkeypatch.setattr(node, "_facts_beside", lambda *_arguments: NodeFacts())
    monkeypatch.setattr(node, "read_known", gone)
    monkeypatch.setattr(node, "read_vps", lambda name, **_options: Actual(vps=vps(name), run="stopped"))
    found = node.read_fleet(wish({"name": "a"}))
    assert found.vpss["a"].run == "stopped" and not found.unread


def test_somebody_elses_container_is_in_the_way_of_a_vps_that_there_is_too(node, monkeypatch):
    node._parts.vps.store(vps("a"), node._parts.vps.begin("a"))
    node._parts.vps.commit("a")
    monkeypatch.setattr(node, "_facts_beside", lambda *_arguments: NodeFacts())
    monkeypatch.setattr(node, "read_known", lambda one, *_arguments, **_options: Actual(vps=one, run="stopped"))
    monkeypatch.setattr(fleet_node.engine, "foreign", lambda name, _path: f"'{name}' is another's.")
    assert node.read_fleet(wish({"name": "a"})).foreign == {"a": "'a' is another's."}


def test_one_whose_guest_has_removed_a_link_is_looked_at_twice_and_not_for_ever(node, monkeypatch):
    looked: list[str] = []
    survey = object.__new__(Survey)
    survey._node, survey._parts, survey._since, survey._glance = node, node._parts, float("-inf"), None

    def read_known(one, *_arguments, **_options):
        looked.append(one.name)
        return Actual(vps=replace(one, addresses=()), run="running")

    def look():
        survey._since = float("-inf")  # on a machine where a look takes its time

    monkeypatch.setattr(survey, "_look", look)
    monkeypatch.setattr(node, "read_known", read_known)
    assert survey.read(Actual(vps=replace(vps("a"), addresses=("10.0.0.1",)), run="running"), limits=False, disk=False).vps.addresses == ()
    assert looked == ["a", "a"]


def test_one_that_a_killed_run_has_stopped_runs_again_where_this_run_has_its_lock(node, monkeypatch):
    given: list[str] = []
    monkeypatch.setattr(sweep.again, "give_back", lambda _parts, name, _lock: given.append(name) or [])
    open(node._parts.vps.again("a"), "w", encoding="ascii").close()
    with locks.hold("vps", "a", timeout=0):
        assert sweep._give_back(node._parts, ["a"]) == []
    assert given == ["a"]


# -- locked ---------------------------------------------------------------------------------------------------------------


def in_child(do) -> object:
    """Limits of a process that are changed are a worker's own."""
    (told,) = crew.run([crew.Job(lambda _lock: do())], 1)
    return told


def test_as_many_locks_as_it_takes_are_open_and_guests_get_the_limit_that_was_there():
    def do():
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 2000))
        node, seen = FleetNode(), []
        for number in (100, 500):
            with node._enough_files(number):
                seen.append([resource.getrlimit(resource.RLIMIT_NOFILE)[0], node._soft_limit])
        return [*seen, [resource.getrlimit(resource.RLIMIT_NOFILE)[0], node._soft_limit]]

    assert in_child(do) == [[300, None], [700, 300], [300, None]]


def test_more_locks_than_there_can_be_are_refused():
    def do():
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 600))
        with FleetNode()._enough_files(500):
            return None

    told = in_child(do)
    assert isinstance(told, VpsError) and str(told).startswith("vps: 500 VPSs are to be changed at once, and this process may have 600 files open;")


def test_a_worker_has_the_lock_of_its_vps_alone_and_the_limit_of_before(node, tmp_path):
    node._locks = {name: os.open(tmp_path / f"lock-{name}", os.O_RDWR | os.O_CREAT) for name in "abc"}
    node._soft_limit = 123

    def seen():
        opened = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{number}")]
        held = sorted(os.path.basename(path) for path in opened if path.startswith(f"{tmp_path}/lock-"))
        return [held, os.path.basename(os.readlink(f"/proc/self/fd/{node._parts.lock}")), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]

    try:
        told = node._crew(dict.fromkeys("ab", seen), 2)
    finally:
        for lock in node._locks.values():
            os.close(lock)
    assert told == {name: [[f"lock-{name}"], f"lock-{name}", 123] for name in "ab"}


# -- made real ------------------------------------------------------------------------------------------------------------


def test_what_was_built_is_on_the_disk_before_it_is_real_and_again_before_anybody_uses_it(node, monkeypatch):
    done: list[str] = []
    parts = node._parts
    monkeypatch.setattr(parts, "storage", SimpleNamespace(sync=lambda: done.append("sync"), abilities=lambda _root, machine: machine))
    monkeypatch.setattr(parts.vps, "commit", lambda name: done.append(f"commit {name}"))
    monkeypatch.setattr(parts.vps, "store", lambda one: done.append(f"store {one.name}"))
    monkeypatch.setattr(fleet_steps.files, "sync", lambda path: done.append("links"))
    made = {name: (vps(name), f"/{name}") for name in "ab"}
    left = {fleet_steps.LEFT: {"synced": False, "records": [vps("c").to_record()]}}
    results = fleet_steps.settle(parts, made, {"a": {}, "b": VpsError("pool: is full."), "c": left})
    assert done == ["sync", "store c", "commit a", "links", "sync"]
    assert results["a"] == {} and results["c"] == {} and isinstance(results["b"], VpsError)


def test_what_new_ones_are_guaranteed_is_known_above_them_or_marked_for_the_next_run(node, monkeypatch):
    protected: list[list[str]] = []
    parts = node._parts
    monkeypatch.setattr(parts, "storage", SimpleNamespace(sync=lambda: None, abilities=lambda _root, machine: machine))
    monkeypatch.setattr(sweep.unit, "guarantees", lambda one: one.name == "a")
    monkeypatch.setattr(sweep.unit, "protect", lambda vpss: protected.append([one.name for one in vpss]))
    monkeypatch.setattr(fleet_steps.files, "sync", lambda path: None)
    made = {name: (vps(name, number), parts.vps.begin(name)) for number, name in enumerate("ab")}
    for one, directory in made.values():
        parts.vps.store(one, directory)
    commit = parts.vps.commit

    def marked(name):
        assert os.path.exists(os.path.join(parts.settings.pool, "guarantees-changed")), "a run that is killed here is not mended"
        commit(name)

    monkeypatch.setattr(parts.vps, "commit", marked)
    assert fleet_steps.settle(parts, made, {"a": {}, "b": {}}) == {"a": {}, "b": {}}
    assert protected == [["a", "b"]] and not os.path.exists(os.path.join(parts.settings.pool, "guarantees-changed"))


@pytest.mark.parametrize("step", [Destroy("gone"), Update(vps("gone"), frozenset())], ids=["ends", "gives"])
def test_what_is_guaranteed_follows_after_a_step_that_failed_too(node, monkeypatch, step):
    protected: list[list[str]] = []
    monkeypatch.setattr(sweep.unit, "protect", lambda vpss: protected.append([one.name for one in vpss]))
    mark = os.path.join(node._parts.settings.pool, "guarantees-changed")

    def fails(*_arguments):
        open(mark, "w", encoding="ascii").close()
        raise VpsError("name: it has gone.")

    monkeypatch.setattr(node, "apply", fails)
    monkeypatch.setattr(filtering, "following", lambda *_arguments, **_options: nullcontext())
    told = node.work("prepare", {"gone": (step,)}, parallel=1)
    assert "it has gone" in str(told["gone"]) and protected == [[]] and not os.path.exists(mark)


def test_those_that_were_done_before_the_nodes_lock_was_not_had_are_not_failed(node, monkeypatch):
    def held(_kind, _name, **_options):
        raise locks.Held("lock_timeout: node 'allocation' is being changed by another run.")

    monkeypatch.setattr(node, "_end", lambda work, _parallel: dict.fromkeys(work, {}))
    monkeypatch.setattr(filtering, "following", lambda *_arguments, **_options: nullcontext())
    monkeypatch.setattr(locks, "hold", held)
    told = node.work("prepare", {"gone": (Destroy("gone"),), "changed": (Update(vps("changed"), frozenset({"limits"})),)}, parallel=1)
    assert told["gone"] == {} and isinstance(told["changed"], locks.Held)


def test_while_a_mark_is_written_nothing_else_looks_like_one(node, monkeypatch):
    """The sweep of a run beside this one takes whatever begins so for the mark of a VPS, holds that one's lock, and removes it."""
    fill, seen = files._fill, []

    def look(*arguments):
        fill(*arguments)
        seen.append(os.listdir(node._parts.vps.folder))

    monkeypatch.setattr(files, "_fill", look)
    with again.given_back(node._parts, "a", RUNNING):
        assert seen == [[".again-a"]] and files.read(node._parts.vps.again("a")).startswith(f"{RUNNING} ")
    assert not os.listdir(node._parts.vps.folder)


# -- looked after -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codes", "well", "slept"), [((0,), True, []), ((1, 1, 0), True, [7, 7]), ((1, 1, 1, 0), False, [7, 7])])
def test_a_program_for_health_is_run_again_as_often_as_is_said(node, monkeypatch, codes, well, slept):
    left, pauses = list(codes), []
    monkeypatch.setattr(inside, "look", lambda *_arguments, **_options: SimpleNamespace(pid=2))
    monkeypatch.setattr(inside, "run", lambda *_arguments, **_options: Ended(left.pop(0), "", ""))
    monkeypatch.setattr(fleet_steps.time, "sleep", pauses.append)
    do = fleet_steps.health_of(node._parts, wish({"name": "a"}, health={"argv": ["true"], "retries": 2, "delay": 7}).health, "a")
    if well:
        assert do() == {}
    else:
        with pytest.raises(VpsError, match="^health.argv: VPS 'a' is not well, its program ended with exit code 1;"):
            do()
    assert pauses == slept
