# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others do to a node, and what killed runs leave: it is found, told, and put right."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.tests.contract.bench import A, options

MIB = 1 << 20
LIMITS = {"memory": "64M", "processes": "50"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oyk"


def test_a_limit_that_somebody_echoed_is_found_and_mended(bench):
    bench.new(state="started", limits=LIMITS)
    bench.world.set_limits(A, Limits(memory=128 * MIB, processes=50, cpulimit=20))
    assert bench.limits(**LIMITS)["diff"] == {
        "before": {"limits.memory": "128M", "limits.cpulimit": "20%"},
        "after": {"limits.memory": "64M", "limits.cpulimit": "unlimited"},
    }
    assert bench.seen()["files"] == bench.files(memory=64 * MIB, processes=50)


def test_a_disk_limit_that_somebody_changed_is_found_and_mended(bench):
    bench.new(state="stopped", limits={"diskspace": "1G"})
    bench.world.set_quota(A, None)
    assert options(bench.limits(diskspace="1G")) == ["limits.diskspace"]
    assert bench.seen()["diskspace"] == 1024 * MIB


def test_a_route_that_somebody_removed_is_found_and_mended(bench):
    one, two = bench.world.address(1), bench.world.address(2)
    bench.new(state="started", addresses=[one, two])
    bench.world.unroute(A, one)
    assert bench.vps(addresses=[one, two])["diff"] == {"before": {"addresses": [two]}, "after": {"addresses": [one, two]}}
    assert bench.seen()["routes"] == {one, two}


def test_a_route_that_somebody_added_is_found_and_removed(bench):
    one, two = bench.world.address(1), bench.world.address(2)
    bench.new(state="started", addresses=[one])
    bench.world.route(A, two)
    assert options(bench.vps(addresses=[one])) == ["addresses"]
    assert bench.seen()["routes"] == {one}


def test_a_configuration_that_somebody_edited_is_written_again(bench):
    bench.new(state="stopped")
    bench.world.edit_config(A)
    assert options(bench.vps(state="stopped")) == ["configuration"]


def test_drift_in_what_a_task_does_not_name_is_told_and_left_alone(bench):
    address = bench.world.address(1)
    bench.new(state="started", addresses=[address], limits=LIMITS)
    bench.world.unroute(A, address)
    bench.world.set_limits(A, Limits(processes=70))

    result = bench.vps(description="something else")

    assert options(result) == ["description"]
    assert result["vps"]["addresses"] == []
    assert result["vps"]["limits"] == {"processes": "70"}


def test_drift_does_not_get_into_the_record_through_a_change_of_something_else(bench):
    address = bench.world.address(1)
    bench.new(state="started", addresses=[address], limits=LIMITS)
    bench.world.unroute(A, address)
    bench.world.set_limits(A, Limits(processes=70))
    bench.vps(description="something else")

    bench.once("vps_container", name=A, state="restarted", stop_timeout=0)

    assert bench.seen()["routes"] == {address}, "a restart brings back what was asked for"
    assert bench.seen()["files"] == bench.files(memory=64 * MIB, processes=50)


def test_what_somebody_set_and_a_task_then_asks_for_outlives_a_restart(bench):
    bench.new(state="started", limits=LIMITS)
    bench.world.set_limits(A, Limits(memory=64 * MIB, processes=70))
    bench.limits(memory="64M", processes="70")
    bench.once("vps_container", name=A, state="restarted", stop_timeout=0)
    assert bench.seen()["files"] == bench.files(memory=64 * MIB, processes=70)


@pytest.mark.parametrize("state", ["started", "stopped", "frozen"])
def test_what_a_killed_run_had_begun_is_finished_by_the_next_whatever_it_is_about(bench, state):
    address = bench.world.address(1)
    bench.new(state=state)
    begun = {
        "hostname": "new.example.org",
        "addresses": (address,),
        "nameservers": ("192.0.2.1",),
        "authorized_keys": (KEY,),
        "limits": Limits(processes=60, diskspace=Bound(1024 * MIB, 1024 * MIB)),
    }
    bench.world.interrupt(A, **begun)

    result = bench.vps(state="present")

    assert result["changed"]
    assert bench.world.record(A).unfinished == ()
    seen = bench.seen()
    assert (seen["hostname"], seen["nameservers"], seen["authorized_keys"]) == ("new.example.org", ("192.0.2.1",), (KEY,))
    cannot = bench.storage == "image" and state != "stopped"  # make a disk smaller that is in use: what cannot be is forgotten
    assert seen["diskspace"] == (None if cannot else 1024 * MIB)
    if state != "stopped":
        assert seen["live_hostname"] == "new.example.org"
        assert seen["routes"] == {address}
        assert seen["files"] == bench.files(processes=60)


@pytest.mark.parametrize("state", ["started", "stopped"])
def test_a_killed_run_is_finished_by_the_same_task_and_overruled_by_another(bench, state):
    bench.new(state=state, limits={"processes": 50}, hostname="a.example.org")
    bench.world.interrupt(A, hostname="b.example.org", limits=Limits(processes=60))
    assert bench.vps(state="present", limits={"processes": 70}, hostname="a.example.org")["changed"]
    assert bench.world.record(A).unfinished == ()
    seen = bench.seen()
    assert seen["hostname"] == "a.example.org"
    assert state == "stopped" or seen["files"] == bench.files(processes=70)
    assert bench.world.record(A).limits.processes == 70


def test_an_interrupted_change_of_privilege_is_due_at_the_restart(bench):
    bench.new(state="started")
    bench.world.interrupt(A, privileged=True)
    assert bench.vps(state="present")["restart_required"]
    bench.vps(restart_policy="if_needed", stop_timeout=0)
    assert bench.seen()["privileged"] is True
