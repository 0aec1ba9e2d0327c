# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VPS's plan: given this VPS, when this is asked, then these changes and steps. Data in, data out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import container
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.container import Desired
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.fidelity import Abilities
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits, Wish
from ansible_collections.mainline.vps.plugins.module_utils.core.model import FROZEN, RUNNING, STOPPED, Actual, NodeFacts, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import (
    Change,
    Create,
    Destroy,
    Freeze,
    Plan,
    Start,
    Stop,
    Thaw,
    Update,
    Wait,
)
from ansible_collections.mainline.vps.tests.unit.reading import sentence

NODE = NodeFacts(templates={"minimal": "busybox", "odd": "other"}, taken={"10.90.0.1": "the node"}, networks=("10.90.0.0/24",))
WEB = Vps(name="web", template="minimal", init="busybox", hostname="web", addresses=("10.90.0.9",), limits=Limits(processes=50), id_base=65536)
START, WAIT = Start("web"), Wait("web", "running", 120)


def desired(state="present", **options) -> Desired:
    """A task about the VPS `web`."""
    if isinstance(options.get("limits"), Limits):
        options["limits"] = Wish(options["limits"].named, prefix="limits.")
    return Desired("web", state, options)


def actual(run=STOPPED, vps=WEB, **more) -> Actual:
    """The VPS `web` as it is."""
    return Actual(vps=vps, run=run, node=NODE, **more)


ABSENT = actual(vps=None)


def test_a_new_vps_is_made_from_what_is_named_and_started():
    plan = container.compare(desired("started", template="minimal", onboot=True, limits=Limits(memory=4 << 20)), ABSENT)
    made = Vps("web", "minimal", "busybox", "web", onboot=True, limits=Limits(memory=4 << 20))
    assert plan == Plan(
        (
            Change("state", "absent", "started"),
            Change("template", None, "minimal"),
            Change("onboot", None, True),
            Change("limits.memory", "unlimited", "4M"),
        ),
        (Create(made), START, WAIT),
    )


@pytest.mark.parametrize(
    ("state", "word", "steps"),
    [
        ("present", "stopped", []),
        ("stopped", "stopped", []),
        ("started", "started", [START, WAIT]),
        ("restarted", "started", [START, WAIT]),
        ("frozen", "frozen", [START, WAIT, Freeze("web")]),
    ],
)
def test_a_new_vps_ends_in_its_state(state, word, steps):
    plan = container.compare(desired(state, template="minimal"), ABSENT)
    assert plan.changes[0] == Change("state", "absent", word)
    assert list(plan.steps[1:]) == steps


def test_what_is_as_asked_gives_an_empty_plan():
    same = {option: getattr(WEB, option) for option in container.PARSERS}
    for run in (STOPPED, RUNNING, FROZEN):
        assert container.compare(desired(**same), actual(run)) == Plan()
    assert container.compare(desired("absent"), ABSENT) == Plan()


def test_a_record_that_cannot_be_read_keeps_addresses_from_being_given_and_nothing_else():
    unknown = NodeFacts(templates={"minimal": "busybox"}, networks=("10.0.0.0/8",), damaged="x/vps.json: is damaged; restore it.")
    broken = replace(actual(RUNNING), node=unknown)
    assert container.compare(desired("stopped"), broken).changed
    for wish, found in ((desired(addresses=("10.0.0.9",)), broken), (desired(template="minimal"), replace(broken, vps=None, recorded=None))):
        with pytest.raises(VpsError, match="^x/vps.json: is damaged"):
            container.compare(wish, found)


def test_a_running_vps_is_waited_for_even_if_nothing_changes_unless_running_is_all_that_is_asked():
    assert container.compare(desired("started"), actual(RUNNING)) == Plan()
    plan = container.compare(replace(desired("started"), wait="booted"), actual(RUNNING))
    assert plan == Plan((), (replace(WAIT, until="booted"),))


@pytest.mark.parametrize("run", [RUNNING, FROZEN, STOPPED])
def test_a_change_is_told_with_when_it_is_felt(run):
    plan = container.compare(desired(hostname="b", privileged=True), actual(run))
    live, at_restart = ("start", "start") if run == STOPPED else ("live", "restart")
    assert plan.changes == (Change("hostname", "web", "b", live), Change("privileged", False, True, at_restart))
    assert plan.steps == (Update(replace(WEB, hostname="b", privileged=True), frozenset({"hostname", "privileged"})),)
    assert plan.restart_required == (run != STOPPED)


def test_an_update_names_what_differs_and_nothing_else():
    plan = container.compare(desired(hostname="b", addresses=WEB.addresses, limits=WEB.limits), actual())
    assert plan.steps == (Update(replace(WEB, hostname="b"), frozenset({"hostname"})),)


def test_a_limits_section_is_told_limit_by_limit():
    plan = container.compare(desired(limits=Limits(memory=4 << 20)), actual())
    assert [change.option for change in plan.changes] == ["limits.memory", "limits.processes"]
    assert plan.diff() == {
        "before": {"limits.memory": "unlimited", "limits.processes": "50"},
        "after": {"limits.memory": "4M", "limits.processes": "unlimited"},
    }


def test_lists_are_shown_as_lists_and_hashes_not_at_all():
    plan = container.compare(desired(addresses=("10.90.0.8",), root_password_hash="$6$secret$secret"), actual())
    assert plan.diff() == {
        "before": {"addresses": ["10.90.0.9"], "root_password_hash": None},
        "after": {"addresses": ["10.90.0.8"], "root_password_hash": "(hidden) new"},
    }
    assert "secret" not in repr(plan)
    again = container.compare(desired(root_password_hash="!"), actual(vps=replace(WEB, root_password_hash="$6$secret$secret")))
    assert again.changes[0].before != again.changes[0].after
    assert "secret" not in repr(again)


def test_what_a_killed_run_left_is_applied_again_from_the_record():
    recorded = replace(WEB, limits=Limits(processes=70), unfinished=("limits",))
    plan = container.compare(desired(), actual(RUNNING, stale=frozenset({"limits"}), recorded=recorded))
    assert plan.changes == (Change("limits", "not applied", "applied"),)
    assert plan.steps == (Update(recorded, frozenset({"limits"})),)


def test_what_is_asked_goes_before_what_a_killed_run_left():
    plan = container.compare(desired(hostname="c"), actual(stale=frozenset({"hostname"}), recorded=replace(WEB, hostname="b")))
    assert plan.changes == (Change("hostname", "web", "c", "start"),)
    assert plan.steps == (Update(replace(WEB, hostname="c"), frozenset({"hostname"})),)


def test_drift_in_what_is_not_named_stays_out_of_the_update():
    drifted = replace(WEB, addresses=(), limits=Limits())
    plan = container.compare(desired(hostname="b"), actual(RUNNING, vps=drifted, recorded=WEB))
    assert plan.steps == (Update(replace(WEB, hostname="b"), frozenset({"hostname"})),)


def test_what_the_kernel_has_already_is_still_to_be_recorded():
    drifted = replace(WEB, limits=Limits(processes=70))
    plan = container.compare(desired(limits=Limits(processes=70)), actual(RUNNING, vps=drifted, recorded=WEB))
    assert plan.changes == (Change("limits.processes", "50", "70"),)
    assert plan.steps == (Update(drifted, frozenset({"limits"})),)


RESTART = (Stop("web", 60), START, WAIT)


@pytest.mark.parametrize(
    ("policy", "options", "at_restart", "steps"),
    [
        ("never", {"privileged": True}, (), ()),
        ("if_needed", {"privileged": True}, (), RESTART),
        ("always", {"privileged": True}, (), RESTART),
        ("never", {"hostname": "b"}, (), ()),
        ("if_needed", {"hostname": "b"}, (), ()),
        ("always", {"hostname": "b"}, (), RESTART),
        ("never", {}, ("privileged",), ()),
        ("if_needed", {}, ("privileged",), RESTART),
        ("always", {}, ("privileged",), RESTART),
        ("always", {}, (), ()),
    ],
)
def test_the_restart_policy_decides_who_is_restarted(policy, options, at_restart, steps):
    plan = container.compare(replace(desired(**options), restart_policy=policy), actual(RUNNING, at_restart=frozenset(at_restart)))
    assert tuple(step for step in plan.steps if not isinstance(step, Update)) == steps
    assert (Change("state", "started", "restarted") in plan.changes) == bool(steps)
    assert plan.restart_required == (not steps and ("privileged" in options or bool(at_restart)))


def test_a_restart_that_was_asked_for_is_not_asked_for_again():
    plan = container.compare(replace(desired("restarted", privileged=True), restart_policy="always"), actual(RUNNING))
    assert [type(step) for step in plan.steps] == [Stop, Update, Start, Wait]
    assert not plan.restart_required


def test_what_a_guest_has_done_to_itself_keeps_nobody_from_stopping_it():
    """What its node cannot change while it runs, it changes when it has stopped."""
    stuck = actual(RUNNING, stale=frozenset({"addresses", "interfaces"}))
    assert [type(step) for step in container.compare(desired("stopped"), stuck).steps] == [Stop, Update]


def test_addresses_of_a_guest_without_a_link_wait_for_its_restart():
    plan = container.compare(desired(addresses=["10.90.0.77"]), actual(RUNNING, at_restart=frozenset({"addresses"})))
    assert [(change.option, change.effect) for change in plan.changes] == [("addresses", "restart")] and plan.restart_required


def test_the_update_comes_before_the_start_and_the_thaw_before_the_stop():
    assert [type(step) for step in container.compare(desired("started", hostname="b"), actual(STOPPED)).steps] == [Update, Start, Wait]
    assert container.compare(desired("stopped"), actual(FROZEN)).steps == (Thaw("web"), Stop("web", 60))
    assert container.compare(desired("restarted"), actual(FROZEN)).steps == (Thaw("web"), *RESTART)


@pytest.mark.parametrize(
    ("run", "steps"),
    [
        (STOPPED, (Destroy("web"),)),
        (RUNNING, (Stop("web", 0), Destroy("web"))),
        (FROZEN, (Thaw("web"), Stop("web", 0), Destroy("web"))),
    ],
)
def test_a_vps_that_shall_be_gone_is_not_asked_to_stop(run, steps):
    assert container.compare(desired("absent"), actual(run)).steps == steps


def test_a_wish_for_a_restart_is_settled_by_a_started_vps():
    assert container.compare(container.settled(desired("restarted")), actual(RUNNING)).changes == ()
    assert container.settled(desired("stopped")) == desired("stopped")


@pytest.mark.parametrize(
    ("option", "wish", "there", "reason"),
    [
        ("template", desired(), ABSENT, "needed, because there is no VPS 'web' yet"),
        ("template", desired(template="no"), ABSENT, "(there is: minimal, odd)"),
        ("template", desired(template="no"), Actual(), "none yet; make one with vps_template"),
        ("template", desired(template="odd"), actual(), "was made from 'minimal' and cannot change to 'odd'"),
        ("name", replace(desired(), must_exist=True), ABSENT, "there is no VPS 'web' on this node"),
        ("name", desired("absent"), replace(actual(), node=replace(NODE, foreign="not ours.")), "not ours"),
        ("name", desired(template="minimal"), replace(ABSENT, node=replace(NODE, free_bytes=(32 << 20) - 1)), "the pool is full"),
        ("name", desired(template="minimal"), replace(ABSENT, node=replace(NODE, free_id_ranges=0)), "all id ranges"),
        ("addresses", desired(addresses=("10.90.0.1",)), actual(), "10.90.0.1 belongs to the node; give 'web' another one"),
        ("addresses", desired(addresses=("10.91.0.1",)), actual(), "is in no network that this node routes to its VPSs (10.90.0.0/24)"),
        ("addresses", desired(template="minimal", addresses=("10.90.0.1",)), ABSENT, "belongs to the node"),
        ("limits.swap", desired(limits=Limits(4 << 20, 0)), replace(actual(), node=replace(NODE, abilities=Abilities(swap=False))), "swapaccount=1"),
        ("wait", replace(desired("started", template="odd"), wait="booted"), ABSENT, "no way to say"),
        ("wait", replace(desired("frozen"), wait="booted"), actual(vps=replace(WEB, init="other")), "no way to say"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(option, wish, there, reason):
    assert reason in sentence(lambda: container.compare(wish, there), option)


def test_a_pool_with_little_left_is_told_whatever_is_asked():
    node = replace(NODE, free_bytes=9 << 30, pool_warning=10, room=replace(NODE.room, present=replace(NODE.room.present, disk=100 << 30)))
    for wish, there in ((desired(template="minimal"), replace(ABSENT, node=node)), (desired(hostname="b"), replace(actual(), node=node))):
        (told,) = container.compare(wish, there).warnings
        assert told.startswith("pool: 9G of 100G is free")


def test_a_new_vps_has_what_its_pool_is_for():
    plain = replace(ABSENT, node=replace(NODE, storages=("dir",)))
    (create, *_rest) = container.compare(desired(template="minimal"), plain).steps
    assert create.vps.storage == "dir"
    assert "pool_kind" in sentence(lambda: container.compare(desired(template="minimal", storage="image"), plain), "storage")
    limited = desired(template="minimal", limits=Limits(diskspace=Bound(1 << 30, 1 << 30)))
    assert "storage dir" in sentence(lambda: container.compare(limited, plain), "limits.diskspace")


def test_dir_is_refused_where_the_kernel_has_not_what_it_needs():
    for able, privileged, word in ((Abilities(overlay=False), True, "overlayfs"), (Abilities(layers=False), False, "5.19")):
        there = replace(ABSENT, node=replace(NODE, abilities=able))
        wish = desired(template="minimal", storage="dir", privileged=privileged)
        assert word in sentence(lambda wish=wish, there=there: container.compare(wish, there), "storage")
    old = replace(NODE, abilities=Abilities(layers=False, storage="dir"))
    assert container.compare(desired(template="minimal", storage="dir", privileged=True), replace(ABSENT, node=old)).changed
    runs = replace(actual(vps=replace(WEB, storage="dir", privileged=True)), node=old)
    assert "5.19" in sentence(lambda: container.compare(desired(privileged=False), runs), "storage")


def test_what_need_not_be_asked_is_not_refused():
    odd = actual(vps=replace(WEB, init="other"))
    assert container.compare(replace(desired("stopped"), wait="booted"), odd) == Plan()
    full = replace(actual(), node=replace(NODE, free_bytes=0, free_id_ranges=0))
    assert container.compare(desired(hostname="b"), full).changed
    moved = replace(actual(), node=replace(NODE, networks=("192.0.2.0/24",)))
    assert container.compare(desired(addresses=WEB.addresses), moved) == Plan(), "what is as asked is not looked at again"


def test_seconds_have_bounds():
    params = {
        "name": "web", "state": "started", "wait": "running", "restart_policy": "never", "wait_timeout": 0, "stop_timeout": 86400,
        "unsupported": "fail", "force": False, "template": None, "clone_from": None, "reinstall": "never", "keep_paths": [], "keep_previous": None,
        "rescue_template": None, "rescue_path": None,
    }
    assert container.parse_container(params).stop_timeout == 86400
    for option in ("wait_timeout", "stop_timeout"):
        for value in (-1, 86401):
            sentence(lambda option=option, value=value: container.parse_container({**params, option: value}), option)
