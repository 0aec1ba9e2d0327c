# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots, on every node: what is taken, what goes, and what a VPS has after it has been rolled back."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.subjects import read_info
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.contract.bench import A, options


def names(result) -> list[str]:
    """The snapshots that a result tells, the oldest first."""
    return [one["name"] for one in result["snapshots"]]


def test_a_snapshot_is_taken_once_and_told(bench):
    bench.new(A, state="stopped")
    taken = bench.converge("vps_snapshot", vps=A, name="one", description="first", expires="7d")
    assert options(taken) == ["state", "description", "expires"] and names(taken) == ["one"]
    (told,) = read_info(bench.node, {"name": A})["vpss"][0]["snapshots"]
    assert (told["name"], told["description"], told["state"]) == ("one", "first", "stopped") and told["expires"] > told["created"]
    assert options(bench.converge("vps_snapshot", vps=A, name="one", state="absent")) == ["state"]


def test_the_newest_are_kept(bench):
    bench.new(A, state="stopped")
    for number in range(4):
        told = bench.converge("vps_snapshot", vps=A, name=f"s{number}", keep=2)
    assert names(told) == ["s2", "s3"]


def test_rolled_back_it_runs_again_with_what_is_recorded_of_it(bench):
    bench.new(A, state="started", hostname="old", limits={"processes": "50"})
    bench.converge("vps_snapshot", vps=A, name="one")
    bench.vps(A, hostname="new", limits={"processes": "60"})
    done = bench.once("vps_snapshot", vps=A, name="one", state="rolled_back", stop_timeout=0)
    assert options(done) == ["state", "vps"] and bench.state(A) == "started"
    assert bench.vps(A, hostname="new", limits={"processes": "60"})["changed"] is False
    assert bench.seen(A)["files"] == bench.files(processes=60)


def test_rolled_back_with_its_configuration_it_has_that_too(bench):
    bench.new(A, state="started", hostname="old", limits={"processes": "50"}, description="then")
    bench.converge("vps_snapshot", vps=A, name="one")
    bench.vps(A, hostname="new", limits={}, description="now", addresses=[bench.world.address(1)])
    done = bench.once("vps_snapshot", vps=A, name="one", state="rolled_back", restore_configuration=True, keep_current="two", stop_timeout=0)
    assert options(done) == ["state", "vps", "snapshots.two", "hostname", "addresses", "description", "limits.processes"]
    assert names(done) == ["one", "two"]
    told = bench.vps(A, hostname="old", limits={"processes": "50"}, description="then", addresses=[])
    assert told["changed"] is False


def test_with_the_vps_its_snapshots_go(bench):
    bench.new(A, state="stopped")
    bench.converge("vps_snapshot", vps=A, name="one")
    bench.vps(A, state="absent")
    with pytest.raises(VpsError, match="^vps: there is no VPS"):
        modules.reconcile(bench.node, "vps_snapshot", vps=A, name="one")
    bench.new(A, state="stopped")
    assert names(bench.converge("vps_snapshot", vps=A)) == []


def test_where_the_pool_is_full_nothing_is_touched(memory):
    memory.new(state="started")
    memory.node.free_bytes = 1 << 20
    before = memory.world.snapshot()
    with pytest.raises(VpsError, match="^vps: the pool is full"):
        modules.reconcile(memory.node, "vps_snapshot", vps=A, name="one")
    assert memory.world.snapshot() == before
