# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vps_info tells of a VPS's use, and of what has been refused to it since an earlier reading."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import BEANCOUNTERS
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.subjects import read_info
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.contract.bench import A, B

OWN = ("memory", "swap", "processes", "cpu", "diskspace", "diskinodes", "io_read", "io_write")
EMPTY = {"cpu": None, "memory": None, "io": None}


def info(bench, name=None, **given):
    """The VPSs as vps_info tells them."""
    return read_info(bench.node, modules.parameters("vps_info", name=name, **given))["vpss"]


def rows(vps):
    """Its rows by their names."""
    return {row["resource"]: row for row in vps["usage"]["rows"]}


def test_a_running_vps_has_every_row_in_the_order_of_openvz(bench):
    bench.new(A, state="started", limits={"memory": "64M", "processes": "50", "cpulimit": "50", "diskspace": "100M"})
    (vps,) = info(bench, A)
    assert tuple(row["resource"] for row in vps["usage"]["rows"]) == (*BEANCOUNTERS, *OWN)
    found = rows(vps)
    assert found["memory"]["held"] > 0 and found["numproc"]["held"] >= 1 and found["diskspace"]["held"] > 0
    limits = {name: (found[name]["barrier"], found[name]["limit"]) for name in ("memory", "physpages", "numproc", "processes", "cpu", "diskspace")}
    assert limits == {
        "memory": (64 << 20, 64 << 20), "physpages": (16384, 16384), "numproc": (50, 50), "processes": (50, 50), "cpu": (50, 50),
        "diskspace": (100 << 20, 100 << 20),
    }
    assert found["processes"]["failcnt"] == 0
    assert {name for row in found.values() for name in row} == {"resource", "unit", "held", "peak", "barrier", "limit", "failcnt"}


def test_a_stopped_vps_uses_its_disk_and_nothing_else(bench):
    bench.new(A, state="stopped", limits={"memory": "64M"})
    (vps,) = info(bench, A)
    assert [row["resource"] for row in vps["usage"]["rows"]] == ["diskspace", "diskinodes"]
    assert vps["usage"]["pressure"] == EMPTY
    for part in ("memory", "cpu", "io"):
        assert set(vps["usage"][part].values()) == {None}


def test_what_takes_a_restart_is_told_as_it_is_until_then(bench):
    bench.new(A, state="started", limits={"numpty": "7"})
    bench.limits(numpty="5")
    assert rows(*info(bench, A))["numpty"]["limit"] == 7
    bench.vps(state="stopped")
    bench.vps(state="started")
    assert rows(*info(bench, A))["numpty"]["limit"] == 5


def test_nothing_is_refused_to_a_vps_that_does_nothing(bench):
    bench.new(A, state="started", limits={"processes": "50"})
    before = info(bench, A)
    found = rows(*info(bench, A, since=before))
    assert {row["failcnt_since"] for row in found.values()} <= {0, None}
    assert found["processes"]["failcnt_since"] == 0
    assert found["numtcpsock"]["failcnt_since"] is None and found["diskspace"]["failcnt_since"] is None


def test_an_earlier_reading_is_refused_in_a_sentence_before_the_node_is_asked(bench):
    bench.new(A, state="started")
    for wrong in ({}, {"name": A}, {"name": A, "usage": {"rows": [{"resource": "numproc", "failcnt": "many"}]}}):
        with pytest.raises(VpsError, match="^since: .* give it the vpss of an earlier vps_info"):
            info(bench, A, since=[wrong])


def test_what_has_been_refused_since_an_earlier_reading_is_told(memory):
    for name in (A, B):
        memory.new(name, state="started")
    kernels = memory.node.kernels
    kernels[A].counters["pids.events"] = "max 3"
    before = info(memory)
    kernels[A].counters["pids.events"] = kernels[B].counters["pids.events"] = "max 5"
    now = {vps["name"]: rows(vps)["numproc"] for vps in info(memory, since=before)}
    assert {name: (row["failcnt"], row["failcnt_since"]) for name, row in now.items()} == {A: (5, 2), B: (5, 5)}


def test_the_counters_of_a_vps_that_has_restarted_count_from_zero(memory):
    memory.new(A, state="started")
    memory.node.kernels[A].counters["pids.events"] = "max 3"
    before = info(memory, A)
    memory.once("vps_container", name=A, state="restarted")
    memory.node.kernels[A].counters["pids.events"] = "max 4"
    assert rows(*info(memory, A, since=before))["numproc"]["failcnt_since"] == 4


def test_a_vps_that_was_not_in_the_earlier_reading_counts_from_zero(memory):
    memory.new(A, state="started")
    memory.node.kernels[A].counters["pids.events"] = "max 3"
    assert rows(*info(memory, A, since=[]))["numproc"]["failcnt_since"] == 3


def test_a_limit_that_this_node_does_not_keep_is_none_in_force(memory):
    memory.new(A, state="started", limits={"numtcpsock": "100", "numproc": "40:60"}, unsupported="ignore")
    found = rows(*info(memory, A))
    assert (found["numtcpsock"]["limit"], found["numproc"]["barrier"], found["numproc"]["limit"]) == (None, 40, 60)
