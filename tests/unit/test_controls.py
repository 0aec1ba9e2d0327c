# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What limits are to the kernel: what each becomes on cgroup v1 and v2, and what is read back from there."""

from __future__ import annotations

import pytest
from hypothesis import assume, given

from ansible_collections.mainline.vps.plugins.module_utils.core import controls
from ansible_collections.mainline.vps.plugins.module_utils.core import limits as limits_
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.controls import cgroup_files, observed
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.node import controls as node_controls
from ansible_collections.mainline.vps.tests.unit.random_limits import proper

MIB = 1 << 20
VERSIONS = pytest.mark.parametrize("version", [1, 2])


def taken(document: dict) -> Limits:
    """What a document asks for."""
    try:
        return limits_.settle(limits_.parse(document), {})
    except VpsError:
        assume(False)  # more memory is guaranteed than there may be, say
        raise


NOTHING = {
    1: {
        "memory.limit_in_bytes": "-1",
        "memory.memsw.limit_in_bytes": "-1",
        "memory.soft_limit_in_bytes": "-1",
        "cpu.shares": "1024",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "-1",
        "cpu.cfs_burst_us": "0",
        "cpuset.cpus": "",
        "cpuset.mems": "",
        "blkio.bfq.weight": "100",
        "blkio.throttle.read_bps_device": "0",
        "blkio.throttle.write_bps_device": "0",
        "blkio.throttle.read_iops_device": "0",
        "blkio.throttle.write_iops_device": "0",
        "pids.max": "max",
    },
    2: {
        "memory.high": "max",
        "memory.max": "max",
        "memory.swap.max": "max",
        "memory.min": "0",
        "memory.low": "0",
        "cpu.weight": "100",
        "cpu.max": "max 100000",
        "cpu.max.burst": "0",
        "cpuset.cpus": "",
        "cpuset.mems": "",
        "io.weight": "100",
        "io.max": "rbps=max wbps=max riops=max wiops=max",
        "pids.max": "max",
    },
}


@pytest.mark.parametrize("version", NOTHING)
def test_no_limits_are_what_the_kernel_gives_a_new_cgroup(version):
    assert cgroup_files(Limits(), version=version) == NOTHING[version]


@pytest.mark.parametrize(
    ("asked", "v1", "v2"),
    [
        (Limits(memory=64 * MIB), {"memory.limit_in_bytes": "67108864"}, {"memory.max": "67108864"}),
        (
            Limits(memory=64 * MIB, swap=MIB),
            {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "68157440"},
            {"memory.max": "67108864", "memory.swap.max": "1048576"},
        ),
        (
            Limits(memory=64 * MIB, swap=0),
            {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864"},
            {"memory.max": "67108864", "memory.swap.max": "0"},
        ),
        (Limits(cpuunits=10), {"cpu.shares": "10"}, {"cpu.weight": "1"}),
        (Limits(cpuunits=500), {"cpu.shares": "512"}, {"cpu.weight": "50"}),
        (Limits(cpuunits=1000), {}, {}),
        (Limits(cpuunits=100_000), {"cpu.shares": "102400"}, {"cpu.weight": "10000"}),
        (Limits(cpulimit=1), {"cpu.cfs_quota_us": "1000"}, {"cpu.max": "1000 100000"}),
        (Limits(cpulimit=50), {"cpu.cfs_quota_us": "50000"}, {"cpu.max": "50000 100000"}),
        (Limits(cpus=3), {"cpu.cfs_quota_us": "300000"}, {"cpu.max": "300000 100000"}),
        (Limits(cpus=1, cpulimit=50), {"cpu.cfs_quota_us": "50000"}, {"cpu.max": "50000 100000"}),
        (Limits(cpus=1, cpulimit=150), {"cpu.cfs_quota_us": "100000"}, {"cpu.max": "100000 100000"}),
        (Limits(processes=200), {"pids.max": "200"}, {"pids.max": "200"}),
        (Limits(numproc=Bound(200, 300)), {"pids.max": "300"}, {"pids.max": "300"}),
        (Limits(processes=200, numproc=Bound(300, 300)), {"pids.max": "200"}, {"pids.max": "200"}),
        (Limits(physpages=Bound(0, 16384)), {"memory.limit_in_bytes": "67108864"}, {"memory.max": "67108864"}),
        (
            Limits(privvmpages=Bound(8192, 16384)),
            {"memory.limit_in_bytes": "67108864"},
            {"memory.max": "67108864", "memory.high": "33554432"},
        ),
        (Limits(memory=MIB, physpages=Bound(1, 16384)), {"memory.limit_in_bytes": "1048576"}, {"memory.max": "1048576"}),
        (
            Limits(physpages=Bound(1, 16384), swappages=Bound(0, 256)),
            {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "68157440"},
            {"memory.max": "67108864", "memory.swap.max": "1048576"},
        ),
        (Limits(memory_guarantee=MIB), {"memory.soft_limit_in_bytes": "1048576"}, {"memory.min": "1048576"}),
        (Limits(oomguarpages=Bound(256, None)), {"memory.soft_limit_in_bytes": "1048576"}, {"memory.min": "1048576"}),
        (Limits(vmguarpages=Bound(256, None)), {"memory.soft_limit_in_bytes": "1048576"}, {"memory.low": "1048576"}),
        (Limits(memory_high=MIB), {}, {"memory.high": "1048576"}),
        (
            Limits(cpulimit=50, cpuburst=20),
            {"cpu.cfs_quota_us": "50000", "cpu.cfs_burst_us": "20000"},
            {"cpu.max": "50000 100000", "cpu.max.burst": "20000"},
        ),
        (Limits(cpumask="0-1"), {"cpuset.cpus": "0-1"}, {"cpuset.cpus": "0-1"}),
        (Limits(nodemask="0"), {"cpuset.mems": "0"}, {"cpuset.mems": "0"}),
        (Limits(ioprio=0), {"blkio.bfq.weight": "20"}, {"io.weight": "20"}),
        (Limits(ioprio=7), {"blkio.bfq.weight": "160"}, {"io.weight": "160"}),
        (
            Limits(iolimit=MIB),
            {"blkio.throttle.read_bps_device": "1048576", "blkio.throttle.write_bps_device": "1048576"},
            {"io.max": "rbps=1048576 wbps=1048576 riops=max wiops=max"},
        ),
        (
            Limits(iolimit=MIB, iolimit_write=4096, iopslimit_read=7),
            {
                "blkio.throttle.read_bps_device": "1048576", "blkio.throttle.write_bps_device": "4096", "blkio.throttle.read_iops_device": "7",
            },
            {"io.max": "rbps=1048576 wbps=4096 riops=7 wiops=max"},
        ),
        (
            Limits(iopslimit=9),
            {"blkio.throttle.read_iops_device": "9", "blkio.throttle.write_iops_device": "9"},
            {"io.max": "rbps=max wbps=max riops=9 wiops=9"},
        ),
        (Limits(diskspace=Bound(MIB, MIB)), {}, {}),
        (Limits(numfile=Bound(9, 9), lockedpages=Bound(9, 9), shmpages=Bound(9, 9), numpty=Bound(9, 9)), {}, {}),
    ],
)
def test_a_limit_becomes_just_its_own_files(asked, v1, v2):
    assert cgroup_files(asked, version=1) == {**NOTHING[1], **v1}
    assert cgroup_files(asked, version=2) == {**NOTHING[2], **v2}


def test_what_is_no_cgroups_is_in_the_kernels_units():
    asked = Limits(numfile=Bound(1024, 4096), lockedpages=Bound(16, 16), numsiginfo=Bound(10, None), shmpages=Bound(5, 6), numpty=Bound(3, 4))
    assert controls.rlimits(asked) == {"NOFILE": (1024, 4096), "MEMLOCK": (65536, 65536), "SIGPENDING": (10, None)}
    assert (controls.shared_memory_pages(asked), controls.terminals(asked)) == (6, 4)
    assert (controls.rlimits(Limits()), controls.shared_memory_pages(Limits()), controls.terminals(Limits())) == ({}, None, 1023)


def test_memory_is_written_before_memory_and_swap_and_the_period_before_the_quota():
    order = list(cgroup_files(Limits(), version=1))
    assert order.index("memory.limit_in_bytes") < order.index("memory.memsw.limit_in_bytes")
    assert order.index("cpu.cfs_period_us") < order.index("cpu.cfs_quota_us") < order.index("cpu.cfs_burst_us")


@VERSIONS
@given(document=proper())
def test_what_was_written_is_read_as_what_was_asked(version, document):
    asked = taken(document)
    assert observed(asked, cgroup_files(asked, version=version), version=version) == asked


@VERSIONS
@given(first=proper(), second=proper())
def test_what_was_meant_for_another_is_seen_as_a_difference(version, first, second):
    asked, there = taken(first), taken(second)
    expected, found = (cgroup_files(each, version=version) for each in (asked, there))
    seen = observed(asked, found, version=version)
    assert (seen == asked) == (found == expected)
    assert seen.diskspace == asked.diskspace, "the cgroup knows nothing of disks"
    limits_.show(seen)


@VERSIONS
@given(document=proper())
def test_one_file_that_says_something_else_is_told_as_a_key_that_lives_in_it(version, document):
    asked = taken(document)
    files = cgroup_files(asked, version=version)
    other = {
        "cpu.max": "12000 100000", "cpuset.cpus": "7", "cpuset.mems": "3", "io.max": "rbps=max wbps=77777 riops=max wiops=max",
        **dict.fromkeys(("cpu.weight", "io.weight", "blkio.bfq.weight", "cpu.shares"), "55"),
    }
    for file, text in files.items():
        strange = other.get(file, "8192")
        if strange != text and file != "cpu.cfs_period_us":  # which means nothing without a quota
            seen = observed(asked, {**files, file: strange}, version=version)
            assert seen != asked and set(limits_.changed(asked, seen)) <= set(controls.keys_of(file))


@VERSIONS
@given(document=proper())
def test_limits_that_nobody_recorded_are_read_to_within_the_kernels_units(version, document):
    there = taken(document)
    seen = observed(Limits(), cgroup_files(there, version=version), version=version)
    assert limits_.memory_bytes(seen) == limits_.memory_bytes(there)
    assert limits_.swap_bytes(seen) == limits_.swap_bytes(there)
    assert limits_.process_count(seen) == limits_.process_count(there)
    assert limits_.cpu_percent(seen) == limits_.cpu_percent(there)
    assert (seen.cpumask, seen.nodemask) == (there.cpumask, there.nodemask)
    assert seen.cpuunits is None or abs(seen.cpuunits - there.cpuunits) < 10
    assert seen.ioprio == (None if there.ioprio == 4 else there.ioprio)


@pytest.mark.parametrize(
    ("version", "echoed", "told"),
    [
        (2, {"memory.max": "1048576"}, Limits(memory=MIB, swap=MIB, cpus=2, processes=50)),
        (2, {"memory.max": "max", "memory.swap.max": "max"}, Limits(cpus=2, processes=50)),
        (2, {"memory.swap.max": "0"}, Limits(memory=64 * MIB, swap=0, cpus=2, processes=50)),
        (2, {"cpu.weight": "33"}, Limits(memory=64 * MIB, swap=MIB, cpuunits=330, cpus=2, processes=50)),
        (2, {"cpu.max": "10000 50000"}, Limits(memory=64 * MIB, swap=MIB, cpulimit=20, processes=50)),
        (2, {"cpu.max": "max 100000"}, Limits(memory=64 * MIB, swap=MIB, processes=50)),
        (2, {"pids.max": "max"}, Limits(memory=64 * MIB, swap=MIB, cpus=2)),
        (1, {"memory.limit_in_bytes": "-1", "memory.memsw.limit_in_bytes": "-1"}, Limits(cpus=2, processes=50)),
        (1, {"memory.memsw.limit_in_bytes": "-1"}, Limits(memory=64 * MIB, cpus=2, processes=50)),
        (1, {"memory.memsw.limit_in_bytes": "67108864"}, Limits(memory=64 * MIB, swap=0, cpus=2, processes=50)),
        (1, {"cpu.shares": "512"}, Limits(memory=64 * MIB, swap=MIB, cpuunits=500, cpus=2, processes=50)),
        (1, {"cpu.cfs_quota_us": "-1"}, Limits(memory=64 * MIB, swap=MIB, processes=50)),
        (1, {"cpu.cfs_period_us": "50000"}, Limits(memory=64 * MIB, swap=MIB, cpulimit=400, processes=50)),
        (1, {"pids.max": "7"}, Limits(memory=64 * MIB, swap=MIB, cpus=2, processes=7)),
    ],
)
def test_what_somebody_echoed_is_told_in_the_words_of_a_playbook(version, echoed, told):
    recorded = Limits(memory=64 * MIB, swap=MIB, cpus=2, processes=50)
    assert observed(recorded, {**cgroup_files(recorded, version=version), **echoed}, version=version) == told


@pytest.mark.parametrize(
    ("version", "statistics", "charged"),
    [
        (1, "rss 0\ntotal_rss 40\ntotal_shmem 2\n", "memory.usage_in_bytes"),
        (2, "anon 30\nfile 99\nkernel_stack 7\npagetables 3\nshmem 2\n", "memory.current"),
    ],
)
def test_what_ended_long_ago_is_not_held_though_the_kernels_statistics_still_tell_of_it(tmp_path, monkeypatch, version, statistics, charged):
    monkeypatch.setattr(node_controls, "version", lambda: version)
    (tmp_path / "memory.stat").write_text(statistics, encoding="ascii")
    (tmp_path / charged).write_text("100\n", encoding="ascii")
    assert node_controls.pinned({"memory": str(tmp_path)}) == 42
    (tmp_path / charged).write_text("9\n", encoding="ascii")
    assert node_controls.pinned({"memory": str(tmp_path)}) == 9


@pytest.mark.parametrize(
    ("version", "files", "free", "held"),
    [
        (2, {"memory.swap.max": "max", "memory.swap.current": "0"}, 0, 42),
        (2, {"memory.swap.max": "max", "memory.swap.current": "0"}, 30, 12),
        (2, {"memory.swap.max": "max", "memory.swap.current": "0"}, 1000, 2),
        (2, {"memory.swap.max": "15", "memory.swap.current": "5"}, 1000, 32),
        (2, {"memory.swap.max": "5", "memory.swap.current": "9"}, 1000, 42),
        (2, {"memory.swap.max": "0", "memory.swap.current": "0"}, 1000, 42),
        (1, {"memory.memsw.limit_in_bytes": "70", "memory.limit_in_bytes": "60"}, 1000, 32),
        (1, {"memory.memsw.limit_in_bytes": "60", "memory.limit_in_bytes": "60"}, 1000, 42),
        (1, {"memory.limit_in_bytes": "60"}, 1000, 42),  # a kernel that does not account for swap
    ],
)
def test_what_the_vps_has_swap_for_is_not_held(tmp_path, monkeypatch, version, files, free, held):
    monkeypatch.setattr(node_controls, "version", lambda: version)
    monkeypatch.setattr(node_controls.resources, "meminfo", lambda: {"SwapFree": free})
    told = {1: "total_rss 40\ntotal_shmem 2\ntotal_swap 0\n", 2: "anon 30\nshmem 10\nkernel_stack 2\npagetables 0\n"}[version]
    charged = {1: "memory.usage_in_bytes", 2: "memory.current"}[version]
    for name, text in {"memory.stat": told, charged: "100", **files}.items():
        (tmp_path / name).write_text(f"{text}\n", encoding="ascii")
    assert node_controls.pinned({"memory": str(tmp_path)}) == held
