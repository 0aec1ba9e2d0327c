# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract: many VPSs in one task, on every node alike."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.contract.bench import PREFIX, TEMPLATE, A, B

C, D = f"{PREFIX}c", f"{PREFIX}d"
MIB = 1 << 20


class Fleet:
    """A bench on which tasks are about many VPSs."""

    def __init__(self, bench):
        self.bench = bench
        self.defaults = {"template": TEMPLATE, "stop_timeout": 0, **({"storage": bench.storage} if bench.storage else {})}

    def given(self, *vps, defaults=None, **options):
        return {"vps": list(vps), "defaults": {**self.defaults, **(defaults or {})}, **options}

    def task(self, *vps, **options):
        """The task, after its prediction, and then again with nothing to do."""
        return self.bench.converge("vps_fleet", **self.given(*vps, **options))

    def once(self, *vps, **options):
        return self.bench.once("vps_fleet", **self.given(*vps, **options))

    def refused(self, match, *vps, **options):
        """Refused in check mode and without, and nothing is touched."""
        before = self.bench.world.snapshot()
        for check in (True, False):
            with pytest.raises(VpsError, match=match) as caught:
                modules.reconcile(self.bench.node, "vps_fleet", check=check, **self.given(*vps, **options))
        assert self.bench.world.snapshot() == before
        return caught.value

    def fails(self, *vps, **options):
        with pytest.raises(VpsError) as caught:
            modules.reconcile(self.bench.node, "vps_fleet", **self.given(*vps, **options))
        return caught.value

    def address(self, number):
        return self.bench.world.address(number)


@pytest.fixture
def fleet(bench):
    return Fleet(bench)


@pytest.fixture
def remembered(memory):
    """On a node in memory: a test that turns its knobs, or that is about all VPSs of a node."""
    return Fleet(memory)


def changed(result):
    return [(change["vps"], change["option"]) for change in result["changes"]]


def test_vpss_are_made_in_the_order_of_the_list_and_the_second_run_changes_nothing(fleet):
    result = fleet.task({"name": B, "addresses": [fleet.address(1)]}, {"name": A, "state": "stopped"}, defaults={"limits": {"memory": "64M"}})
    assert [(name, option) for name, option in changed(result) if option == "state"] == [(B, "state"), (A, "state")]
    assert [one["after_header"] for one in result["diff"]] == [B, A]
    assert result["summary"] == {"listed": 2, "changed": 2, "failed": 0, "not_begun": 0}
    assert (fleet.bench.state(A), fleet.bench.state(B)) == ("stopped", "started")
    assert fleet.bench.seen(B)["routes"] == {fleet.address(1)}
    assert fleet.bench.seen(B)["files"] == fleet.bench.files(memory=64 * MIB)


def test_each_has_its_own_options_over_the_defaults(fleet):
    defaults = {"limits": {"memory": "64M", "processes": 50}, "labels": {"a": "1", "b": "2"}, "onboot": True, "state": "stopped"}
    fleet.task({"name": A, "limits": {"ram": "96M"}, "labels": {"b": None, "c": "3"}}, {"name": B, "onboot": False}, defaults=defaults)
    first, second = fleet.bench.world.record(A), fleet.bench.world.record(B)
    assert (first.limits.memory, first.limits.processes, dict(first.labels), first.onboot) == (96 * MIB, 50, {"a": "1", "c": "3"}, True)
    assert (second.limits.memory, dict(second.labels), second.onboot) == (64 * MIB, {"a": "1", "b": "2"}, False)


def test_what_differs_is_changed_and_nothing_else(fleet):
    fleet.task({"name": A}, {"name": B}, defaults={"limits": {"memory": "64M"}})
    init = fleet.bench.seen(A)["pid"]
    result = fleet.task({"name": A}, {"name": B, "limits": {"memory": "80M"}}, defaults={"limits": {"memory": "64M"}}, describe="changed")
    assert changed(result) == [(B, "limits.memory")]
    assert [vps["name"] for vps in result["vpss"]] == [B]
    assert fleet.bench.seen(A)["pid"] == init


def test_there_and_back(fleet):
    first = [{"name": A, "addresses": [fleet.address(1)]}, {"name": B, "hostname": "one"}]
    second = [{"name": A, "addresses": [fleet.address(2)], "hostname": "two"}, {"name": B, "hostname": "three", "limits": {"memory": "80M"}}]
    fleet.task(*first)
    seen = [fleet.bench.seen(name) for name in (A, B)]
    fleet.task(*second)
    fleet.task(*({"hostname": one["name"], "limits": {}, **one} for one in first))
    assert [fleet.bench.seen(name) for name in (A, B)] == seen


def test_what_is_asked_to_be_absent_goes_with_the_others(fleet):
    fleet.task({"name": A}, {"name": B})
    result = fleet.task({"name": A, "state": "absent"}, {"name": B, "state": "stopped"}, {"name": C})
    assert changed(result)[:2] == [(A, "state"), (B, "state")]
    assert [fleet.bench.state(name) for name in (A, B, C)] == ["absent", "stopped", "started"]
    assert fleet.bench.world.rules_follow()


def test_an_address_moves_from_one_to_another_whatever_the_order_of_the_list_is(fleet):
    fleet.task({"name": A, "addresses": [fleet.address(1)]}, {"name": B, "addresses": []})
    fleet.task({"name": B, "addresses": [fleet.address(1)]}, {"name": A, "addresses": [fleet.address(2)]})
    assert (fleet.bench.seen(A)["routes"], fleet.bench.seen(B)["routes"]) == ({fleet.address(2)}, {fleet.address(1)})
    fleet.task({"name": C, "addresses": [fleet.address(1)]}, {"name": B, "state": "absent"})
    assert fleet.bench.seen(C)["routes"] == {fleet.address(1)}
    assert fleet.bench.world.rules_follow()


def test_a_swap_of_addresses_is_refused(fleet):
    fleet.task({"name": A, "addresses": [fleet.address(1)]}, {"name": B, "addresses": [fleet.address(2)]})
    swapped = [{"name": A, "addresses": [fleet.address(2)]}, {"name": B, "addresses": [fleet.address(1)]}]
    fleet.refused(rf"^vps\[0\] \({A}\): addresses: .* task of its own first\.$", *swapped)


def test_two_of_the_list_cannot_have_one_address_nor_what_somebody_else_has(fleet):
    wish = {"addresses": [fleet.address(1)]}
    fleet.refused(rf"^vps\[1\] \({B}\): addresses: .* belongs to VPS {A}; ", {"name": A, **wish}, {"name": B, **wish})
    fleet.task({"name": C, **wish})
    fleet.refused(rf"^vps\[0\] \({A}\): addresses: .* belongs to VPS {C}; ", {"name": A, **wish})
    fleet.refused(r"\(.*\): addresses: .* belongs to the node; ", {"name": A, "addresses": [fleet.bench.world.own_address()]})


def test_a_published_port_moves_too(fleet):
    port = {"host": 40080, "guest": 80}
    fleet.task({"name": A, "publish": [port]}, {"name": B, "publish": []}, defaults={"state": "stopped"})
    fleet.task({"name": B, "publish": [{**port, "guest": 81}]}, {"name": A, "publish": []}, defaults={"state": "stopped"})
    fleet.refused(rf"^vps\[0\] \({A}\): publish: .* leads to VPS {B}; ", {"name": A, "publish": [port]}, defaults={"state": "stopped"})


def test_a_pool_gives_each_its_own_address_and_the_same_again(fleet):
    wish = {"addresses": [{"pool": "default"}], "state": "stopped"}
    fleet.task(*({"name": name} for name in (A, B, C)), defaults=wish)
    given = [fleet.bench.world.record(name).addresses for name in (A, B, C)]
    assert len(set(given)) == 3
    fleet.task(*({"name": name} for name in (C, B, A, D)), defaults=wish)
    assert [fleet.bench.world.record(name).addresses for name in (A, B, C)] == given


def test_a_copy_is_made_of_one_that_the_same_task_makes(fleet):
    fleet.task({"name": A, "state": "stopped"})
    bare = {"template": None}
    result = fleet.bench.once("vps_fleet", vps=[{"name": B, "clone_from": A, "state": "stopped"}, {"name": A, "state": "absent"}], defaults=bare)
    assert changed(result)[:2] == [(B, "state"), (B, "clone_from")]
    assert (fleet.bench.state(A), fleet.bench.state(B)) == ("absent", "stopped")


def test_a_copy_and_what_it_is_made_from_are_made_by_one_task(fleet):
    storage = {"storage": fleet.bench.storage} if fleet.bench.storage else {}
    wishes = [{"name": A, "template": TEMPLATE, "hostname": "first", **storage}, {"name": B, "clone_from": A}]
    fleet.bench.converge("vps_fleet", vps=wishes, defaults={"state": "stopped"})
    assert (fleet.bench.state(A), fleet.bench.state(B)) == ("stopped", "stopped")
    assert fleet.bench.world.record(B).build == fleet.bench.world.record(A).build


def test_one_bad_vps_refuses_the_task_and_is_named(fleet):
    error = fleet.refused(rf"^vps\[1\] \({B}\): limits\.physpages: ", {"name": A}, {"name": B, "limits": {"physpages": "many"}}, {"name": C})
    assert "\n" not in str(error)
    fleet.refused(r"^vps\[0\] \(Bad\): name: ", {"name": "Bad"})
    fleet.refused(rf"^vps\[2\] \({A}\): name: is listed twice, vps\[0\] is the other one", {"name": A}, {"name": B}, {"name": A})
    error = fleet.refused(rf"^vps\[0\] \({A}\): template: ", {"name": A, "template": "none-such"}, {"name": B}, {"name": C, "template": "none-such"})
    assert [text.split(":")[0] for text in error.details["refused"]] == [f"vps[0] ({A}), vps[2] ({C})"]


def test_plans_of_the_task_are_over_those_of_the_node(remembered):
    remembered.bench.node.plans = {"small": Limits(memory=32 * MIB), "other": Limits(memory=16 * MIB)}
    plans = {"small": {"memory": "64M"}, "large": {"plan": "small", "processes": 99}}
    remembered.task({"name": A, "limits": {"plan": "small"}}, {"name": B, "limits": {"plan": "large"}}, {"name": C, "limits": {"plan": "other"}}, plans=plans)
    kept = [remembered.bench.world.record(name).limits for name in (A, B, C)]
    assert kept == [Limits(memory=64 * MIB), Limits(memory=64 * MIB, processes=99), Limits(memory=16 * MIB)]


def test_one_whose_init_ends_does_not_stop_the_others(fleet):
    fleet.task({"name": A}, {"name": B}, {"name": C}, defaults={"state": "stopped"})
    fleet.bench.world.break_init(B)
    error = fleet.fails({"name": A}, {"name": B, "limits": {"memory": "64M"}}, {"name": C}, defaults={"wait": "booted"})
    assert [fleet.bench.state(name) for name in (A, B, C)] == ["started", "stopped", "started"]
    (failed,) = error.details["failed_vpss"]
    assert (failed["vps"], [change["option"] for change in failed["done"]]) == (B, ["limits.memory"])
    assert [change["option"] for change in failed["not_done"]] == ["state"]
    assert changed(error.details) == [(A, "state"), (B, "limits.memory"), (C, "state")]
    assert error.details["changed"] and error.details["summary"] == {"listed": 3, "changed": 3, "failed": 1, "not_begun": 0}
    assert str(error).startswith("vps: 1 of the 3 VPSs ") and B in str(error)


def test_what_comes_after_one_that_failed_is_not_begun_either(remembered):
    remembered.task({"name": A, "addresses": [remembered.address(1)]}, {"name": B})
    node = remembered.bench.node

    def refuse(step):
        raise VpsError(f"addresses: the kernel refused it for {step.vps.name}.")

    node._Update = refuse
    error = remembered.fails({"name": B, "addresses": [remembered.address(1)]}, {"name": A, "addresses": []})
    assert [one["vps"] for one in error.details["failed_vpss"]] == [B, A]
    assert f"comes after VPS {A}" in error.details["failed_vpss"][0]["msg"]


def test_starts_keep_the_boot_order(remembered):
    wishes = [{"name": A, "boot_order": 20}, {"name": B, "boot_order": 10}, {"name": C, "boot_order": 10}, {"name": D, "state": "stopped"}]
    remembered.once(*wishes)
    assert remembered.bench.node.stages == [("prepare", (D, B, C, A)), ("run", (B, C)), ("run", (A,)), ("wait", (B, C, A))]


def test_batches_are_done_one_after_the_other_and_stop_where_too_many_fail(remembered):
    remembered.task(*({"name": name} for name in (A, B, C, D)))
    node = remembered.bench.node
    node.ill, node.stages = {B}, []
    wish = [{"name": name, "limits": {"memory": "64M"}} for name in (A, B, C, D)]
    health = {"argv": ["true"]}
    error = remembered.fails(*wish, batch=2, health=health)
    assert node.stages == [("prepare", (A, B)), ("health", (A, B))]
    assert node.told[-3:] == [(1, 4, 0), (2, 4, 0), (2, 4, 1)], "how far it is"
    assert error.details["not_begun"] == [C, D] and error.details["summary"]["not_begun"] == 2
    assert [one["vps"] for one in error.details["failed_vpss"]] == [B]
    node.ill, node.stages = {C}, []
    error = remembered.fails(*wish, batch=1, max_failures=1, health=health)
    assert node.stages == [("health", (A, B)), ("prepare", (C,)), ("health", (C,)), ("prepare", (D,)), ("health", (D,))]
    assert error.details["not_begun"] == []


def test_a_rolling_change_that_is_run_again_does_not_go_past_what_it_has_left_ill(remembered):
    remembered.task(*({"name": name} for name in (A, B, C, D)))
    node, wish = remembered.bench.node, [{"name": name, "limits": {"memory": "64M"}} for name in (A, B, C, D)]
    node.ill = {B}
    remembered.fails(*wish, batch=2, health={"argv": ["true"]})
    node.stages = []
    before = remembered.bench.world.snapshot()
    error = remembered.fails(*wish, batch=2, health={"argv": ["true"]})
    assert node.stages == [("health", (A, B))] and remembered.bench.world.snapshot() == before
    assert str(error).startswith(f"vps: 1 VPSs that are already as asked are not well ({B}); nothing was changed, because max_failures allows 0. ")
    (failed,) = error.details["failed_vpss"]
    assert failed["vps"] == B and "was not changed, and is not well" in failed["msg"] and failed["done"] == failed["not_done"] == []
    assert error.details["not_begun"] == [C, D] and not error.details["changed"] and error.details["changes"] == []
    node.stages = []
    remembered.bench.check("vps_fleet", **remembered.given(*wish, batch=2, health={"argv": ["true"]}))
    assert node.stages == [], "check mode asks nobody"
    error = remembered.fails(*wish, batch=2, max_failures=1, health={"argv": ["true"]})
    assert changed(error.details) == [(C, "limits.memory"), (D, "limits.memory")]
    assert str(error).startswith(f"vps: 1 VPSs that are already as asked are not well ({B}); those that were to be changed were done. ")


def test_a_run_that_has_nothing_to_change_asks_for_their_health_too(remembered):
    remembered.task({"name": A}, {"name": B}, {"name": C, "state": "stopped"})
    node = remembered.bench.node
    node.ill, node.stages = {A, C, D}, []
    error = remembered.fails({"name": A}, {"name": B}, {"name": C, "state": "stopped"}, health={"argv": ["true"]})
    assert node.stages == [("health", (A, B))]
    assert str(error).startswith(f"vps: 1 VPSs that are already as asked are not well ({A}). {A}: health.argv: ") and not error.details["changed"]
    node.ill = set()
    assert not remembered.once({"name": A}, {"name": B}, health={"argv": ["true"]})["changed"]


def test_one_that_is_as_asked_and_does_not_come_up_holds_the_first_batch_back(remembered):
    remembered.task({"name": A}, {"name": B}, {"name": C}, defaults={"wait": "booted"})
    node = remembered.bench.node
    usual = node.await_all

    def late(waits, *, parallel):
        return {**usual(waits, parallel=parallel), **({A: VpsError(f"wait: VPS '{A}' runs, but was not booted.")} if A in waits else {})}

    node.await_all = late
    wish = [{"name": A}, {"name": B, "hostname": "x"}, {"name": C, "hostname": "x"}]
    error = remembered.fails(*wish, defaults={"wait": "booted"}, batch=1)
    assert error.details["not_begun"] == [B, C] and not error.details["changed"]
    error = remembered.fails(*wish, defaults={"wait": "booted"})
    assert changed(error.details) == [(B, "hostname"), (C, "hostname")], "without a bound it holds nobody back"


@pytest.mark.parametrize(("unlisted", "state"), [("ignore", "started"), ("report", "started"), ("stop", "stopped"), ("absent", "absent")])
def test_what_becomes_of_those_that_are_not_listed(remembered, unlisted, state):
    remembered.task(*({"name": name} for name in (A, B, C)))
    options = {"unlisted": unlisted, **({"unlisted_max": 2} if unlisted == "absent" else {})}
    result = remembered.once({"name": A}, **options)
    assert result["unlisted"] == [B, C]
    assert [remembered.bench.state(name) for name in (A, B, C)] == ["started", state, state]
    assert ("warnings" in result) == (unlisted == "report")
    assert result["changed"] == (unlisted in ("stop", "absent"))


def test_no_more_are_removed_than_the_bound_says(remembered):
    remembered.task(*({"name": name} for name in (A, B, C)))
    remembered.refused(r"^unlisted: 2 VPSs of this node are not listed \(.*\), and unlisted_max lets 1 ", {"name": A}, unlisted="absent", unlisted_max=1)
    remembered.refused(r"^unlisted_max: needed ", {"name": A}, unlisted="absent")
    remembered.bench.vps(C, protected=True)
    remembered.refused(rf"^unlisted \({C}\): protected: ", {"name": A}, unlisted="absent", unlisted_max=2)


def test_vpss_that_somebody_makes_meanwhile_do_not_make_a_run_fail_that_is_through(remembered):
    remembered.task({"name": A}, {"name": B})
    node = remembered.bench.node
    usual = node.work

    def work(part, work, **options):
        found = usual(part, work, **options)
        node.work = usual
        for name in (C, D):
            remembered.bench.new(name)
        return found

    node.work = work
    result = modules.reconcile(node, "vps_fleet", **remembered.given({"name": A, "hostname": "x"}, unlisted="absent", unlisted_max=1))
    assert changed(result) == [(A, "hostname"), (B, "state")] and result["unlisted"] == [B]
    assert [remembered.bench.state(name) for name in (A, B, C, D)] == ["started", "absent", "started", "started"]


def test_what_is_promised_is_summed_up_once_for_all(remembered):
    node = remembered.bench.node
    node.overcommit = {"memory": 100}  # of 8 GiB
    remembered.task({"name": A}, {"name": B}, defaults={"limits": {"memory": "4G"}})
    remembered.refused(rf"^vps\[2\] \({C}\): limits\.memory: with 1G for VPS ", {"name": A}, {"name": B}, {"name": C, "limits": {"memory": "1G"}},
                       defaults={"limits": {"memory": "4G"}})
    node.stages = []
    remembered.task({"name": C, "limits": {"memory": "1G"}}, {"name": B, "limits": {"memory": "3G"}}, {"name": A, "limits": {"memory": "4G"}})
    assert [stage for stage in node.stages if stage[0] == "prepare"] == [("prepare", (B,)), ("prepare", (C,))]
    remembered.task({"name": D, "limits": {"memory": "4G"}}, {"name": A, "state": "absent"}, {"name": B, "limits": {"memory": "3G"}})


def test_a_warning_names_the_vpss_that_it_is_about_and_is_given_once(remembered):
    rule = {"firewall": {"in": {"rules": [{"from": "vps:nobody"}]}}, "state": "stopped"}
    result = remembered.once(*({"name": name} for name in (A, B, C, D)), defaults=rule)
    assert [text.split(": ")[0] for text in result["warnings"]] == [f"{A}, {B}, {C} and 1 more"]
    remembered.bench.node.free_bytes = 5 << 30
    result = remembered.once({"name": A, "hostname": "x"}, {"name": B, "hostname": "x"})
    assert [text.split(": ")[0] for text in result["warnings"]] == ["pool"]


def test_what_cannot_be_done_for_all_is_an_error_of_each(remembered):
    remembered.task({"name": A}, {"name": B})
    node = remembered.bench.node

    def work(part, work, *, parallel, done=None):
        return dict.fromkeys(work, OSError(28, "No space left on device", "/pool/rules-changed"))

    node.work = work
    error = remembered.fails({"name": A, "hostname": "x"}, {"name": B})
    (failed,) = error.details["failed_vpss"]
    assert failed["msg"].startswith("pool: No space left on device") and [one["option"] for one in failed["not_done"]] == ["hostname"]


def test_only_those_that_differ_are_locked(remembered):
    remembered.task({"name": A}, {"name": B})
    remembered.bench.node.locked = []
    remembered.once({"name": A}, {"name": B, "hostname": "other"})
    assert remembered.bench.node.locked == [f"vps {B} 120"]


def test_what_the_kernel_did_not_take_is_a_failure_of_that_vps(remembered):
    remembered.task({"name": A}, {"name": B})
    remembered.bench.node.refused_files = {"pids.max"}
    error = remembered.fails({"name": A, "limits": {"processes": 50}}, {"name": B, "hostname": "x"})
    (failed,) = error.details["failed_vpss"]
    assert failed["vps"] == A and failed["msg"].startswith("limits.processes: it was applied, but read again it does not hold: ")
    assert changed(error.details) == [(B, "hostname")]


def test_what_somebody_changes_while_locks_are_awaited_is_looked_at_again(remembered):
    remembered.task({"name": A}, {"name": B}, {"name": C})
    node, first = remembered.bench.node, [True]
    lock_all = node.lock_all

    def late(kind, names, *, timeout):
        if first.pop() if first else False:
            modules.reconcile(node, "vps_container", name=A, hostname="wanted", limits={"memory": "64M"})
            modules.reconcile(node, "vps_container", name=B, hostname="theirs")
        return lock_all(kind, names, timeout=timeout)

    node.lock_all, node.locked = late, []
    result = modules.reconcile(node, "vps_fleet", **remembered.given(
        {"name": A, "hostname": "wanted"}, {"name": B, "hostname": B}, {"name": C, "hostname": "other"}
    ))
    assert changed(result) == [(B, "hostname"), (C, "hostname")], "what is done already is not done again, and not told"
    assert [line.split()[1] for line in node.locked if line.endswith(" 120")][-5:] == [A, C, A, B, C], "no VPS is changed without its lock"
    assert [remembered.bench.world.record(name).hostname for name in (A, B, C)] == ["wanted", B, "other"]
    assert remembered.bench.world.record(A).limits.memory == 64 * MIB, "and nothing of theirs is undone"


def test_a_damaged_record_is_told_of_the_vps_that_has_it(fleet):
    fleet.task({"name": A}, {"name": B}, defaults={"state": "stopped"})
    with fleet.bench.world.damaged(B, "{"):
        fleet.refused(r"^/.*vps.json: ", {"name": A}, {"name": B})
        error = fleet.refused(r"^/.*vps.json: ", {"name": C}, {"name": D})
    assert len(error.details["refused"]) == 1, "said once, however many cannot be made"


def test_what_the_module_returns_is_documented(remembered):
    import yaml

    documented = yaml.safe_load(modules.load("vps_fleet").RETURN)
    result = remembered.once({"name": A}, defaults={"wait": "booted"}, describe="all")
    assert set(result) - {"diff", "changed"} <= set(documented)
    assert set(documented["changes"]["contains"]) == set(result["changes"][0])
    assert set(documented["summary"]["sample"]) == set(result["summary"])
