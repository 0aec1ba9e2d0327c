# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run states: every one from every other, waiting, and restarts."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.tests.contract.bench import TEMPLATE, A, options

FROM = ("absent", "stopped", "started", "frozen")
# What is asked → what it ends as, for each of FROM.
ENDS = {
    "present": ("stopped", "stopped", "started", "frozen"),
    "started": ("started", "started", "started", "started"),
    "stopped": ("stopped", "stopped", "stopped", "stopped"),
    "restarted": ("started", "started", "started", "started"),
    "frozen": ("frozen", "frozen", "frozen", "frozen"),
    "absent": ("absent", "absent", "absent", "absent"),
}


@pytest.mark.parametrize("before", FROM)
@pytest.mark.parametrize("state", ENDS)
def test_every_state_is_reached_from_every_state(bench, before, state):
    pid = None
    if before != "absent":
        bench.new(state=before, stop_timeout=0)
        pid = bench.seen()["pid"]
    end = ENDS[state][FROM.index(before)]

    task = {"name": A, "template": TEMPLATE, "state": state, "stop_timeout": 0}
    result = bench.once("vps_container", **task) if state == "restarted" else bench.converge("vps_container", **task)

    assert bench.state() == end
    assert (result["vps"] or {"state": "absent"})["state"] == end
    assert result["changed"] == (before != end or state == "restarted")
    if pid and end in ("started", "frozen"):
        stays = state != "restarted"
        assert (bench.seen()["pid"] == pid) == stays, "init is another process exactly if a restart was asked for"


def test_restarted_restarts_every_time(bench):
    bench.new(state="started")
    pids = {bench.seen()["pid"]}
    for _time in range(2):
        assert bench.once("vps_container", name=A, state="restarted", stop_timeout=0)["changed"]
        pids.add(bench.seen()["pid"])
    assert len(pids) == 3


def test_the_change_of_state_is_told_in_the_words_of_the_playbook(bench):
    chosen = {"storage": bench.storage} if bench.storage else {}
    assert bench.new(state="started")["diff"] == {
        "before": {"state": "absent", "template": None, **dict.fromkeys(chosen)},
        "after": {"state": "started", "template": TEMPLATE, **chosen},
    }
    assert bench.vps(state="frozen")["diff"] == {"before": {"state": "started"}, "after": {"state": "frozen"}}
    assert bench.vps(state="stopped", stop_timeout=0)["diff"] == {"before": {"state": "frozen"}, "after": {"state": "stopped"}}
    assert bench.vps(state="absent")["diff"] == {"before": {"state": "stopped"}, "after": {"state": "absent"}}


def test_a_vps_that_was_waited_for_says_that_it_has_booted(bench):
    assert bench.new(wait="booted", addresses=[bench.world.address(1)])["boot"] == "running"
    assert "boot" not in bench.vps(wait="network"), "nobody asked"


def test_an_init_that_ends_at_once_is_an_error_and_not_a_started_vps(bench):
    bench.new(state="present")
    bench.world.break_init(A)
    with pytest.raises(VpsError, match=f"VPS '{A}'"):
        bench.once("vps_container", name=A, state="started", wait="booted")
    assert bench.state() == "stopped"


def test_a_vps_that_died_is_started_again(bench):
    bench.new(state="started", limits={"processes": 50})
    bench.world.die(A)
    assert bench.state() == "stopped"
    assert options(bench.vps(state="started")) == ["state"]
    assert bench.seen()["files"] == bench.files(processes=50), "its limits are back"


def test_a_vps_that_is_gone_can_be_made_again(bench):
    first = bench.new(state="started", addresses=[bench.world.address(1)])["vps"]
    bench.vps(state="absent")
    again = bench.new(state="stopped")["vps"]
    assert again["addresses"] == []
    assert again["id_base"] == first["id_base"], "its id range is free again"


def test_two_vpss_have_nothing_in_common(bench):
    one = bench.new("contract-a", state="started")["vps"]
    two = bench.new("contract-b", state="started")["vps"]
    for what in ("id_base", "host_interface", "directory", "pid"):
        assert one[what] != two[what]


def test_frozen_vpss_take_their_changes_frozen(bench):
    bench.new(state="frozen", addresses=[bench.world.address(1)])
    bench.limits(memory="64M", processes="40")
    bench.vps(state="present", addresses=[bench.world.address(2)])
    assert bench.state() == "frozen"
    assert bench.seen()["files"] == bench.files(memory=64 << 20, processes=40)
    assert bench.seen()["routes"] == {bench.world.address(2)}


@pytest.mark.parametrize("policy", ["never", "if_needed", "always"])
def test_only_who_may_restart_does(bench, policy):
    bench.new(state="started")
    pid = bench.seen()["pid"]

    result = bench.vps(privileged=True, restart_policy=policy, stop_timeout=0)

    restarted = policy != "never"
    assert (bench.seen()["pid"] != pid) == restarted
    assert bench.seen()["privileged"] == restarted
    assert result["restart_required"] == (not restarted)
    assert options(result) == ["privileged", *(["state"] if restarted else [])]
    assert result["changes"][0]["effect"] == "restart"


@pytest.mark.parametrize("policy", ["never", "if_needed", "always"])
def test_a_live_change_restarts_only_where_everything_does(bench, policy):
    bench.new(state="started")
    pid = bench.seen()["pid"]
    result = bench.vps(hostname="live.example.org", restart_policy=policy, stop_timeout=0)
    assert (bench.seen()["pid"] != pid) == (policy == "always")
    assert bench.seen()["live_hostname"] == "live.example.org"
    assert not result["restart_required"]


def test_a_restart_that_is_due_stays_due_until_it_is_done(bench):
    bench.new(state="started")
    bench.vps(privileged=True)
    assert bench.vps(privileged=True)["restart_required"], "an unchanged task still says so"
    assert bench.vps(state="present")["restart_required"], "so does one that is about something else"

    result = bench.vps(restart_policy="if_needed", stop_timeout=0)

    assert options(result) == ["state"]
    assert not result["restart_required"]
    assert bench.seen()["privileged"] is True


def test_a_change_taken_back_before_the_restart_needs_none(bench):
    bench.new(state="started")
    pid = bench.seen()["pid"]
    bench.vps(privileged=True)
    result = bench.vps(privileged=False, restart_policy="if_needed")
    assert not result["restart_required"]
    assert bench.seen()["pid"] == pid


@pytest.mark.parametrize("policy", ["never", "if_needed", "always"])
def test_a_stopped_vps_needs_no_restart(bench, policy):
    bench.new(state="stopped")
    result = bench.vps(state="stopped", privileged=True, restart_policy=policy)
    assert options(result) == ["privileged"]
    assert not result["restart_required"]
    assert not bench.vps(state="started", restart_policy=policy)["restart_required"]
    assert bench.seen()["privileged"] is True


def test_a_frozen_vps_that_shall_run_is_restarted_where_it_must_and_may(bench):
    bench.new(state="frozen")
    result = bench.vps(state="started", privileged=True, restart_policy="if_needed", stop_timeout=0)
    assert not result["restart_required"]
    assert bench.seen()["privileged"] is True


def test_a_frozen_vps_that_shall_stay_so_is_not_restarted(bench):
    bench.new(state="frozen")
    pid = bench.seen()["pid"]
    assert bench.vps(state="frozen", privileged=True, restart_policy="always")["restart_required"]
    assert bench.seen()["pid"] == pid
