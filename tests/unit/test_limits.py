# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits: what each becomes on cgroup v1 and v2, and what is read back from there."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import limits
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits, cgroup_files, observed
from ansible_collections.mainline.vps.tests.unit.reading import sentence

MIB = 1 << 20


def random_limits(seed: int) -> Limits:
    """Something that a playbook can ask for; the same for the same seed."""
    dice = random.Random(seed)

    def maybe(least: int, most: int, unit: int = 1) -> int | None:
        return None if dice.random() < 0.3 else dice.choice([least, most, dice.randint(least, most), dice.randint(least, 9 * least + 99)]) * unit

    memory = maybe(1024, 1 << 30, 4096)
    return Limits(
        memory=memory,
        swap=None if memory is None else maybe(0, 1 << 30, 4096),
        cpuunits=maybe(10, 100_000),
        cpulimit=maybe(1, 1_000_000),
        cpus=maybe(1, 8192),
        processes=maybe(8, 4_194_304),
        diskspace=maybe(1, 1 << 30, MIB),
    )


MANY = [random_limits(seed) for seed in range(300)]
PAIRS = list(zip(MANY, MANY[1:]))
VERSIONS = pytest.mark.parametrize("version", [1, 2])


NOTHING = {
    1: {
        "memory.limit_in_bytes": "-1",
        "memory.memsw.limit_in_bytes": "-1",
        "cpu.shares": "1024",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "-1",
        "pids.max": "max",
    },
    2: {"memory.max": "max", "memory.swap.max": "max", "cpu.weight": "100", "cpu.max": "max 100000", "pids.max": "max"},
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
        (Limits(diskspace=MIB), {}, {}),
    ],
)
def test_a_limit_becomes_just_its_own_files(asked, v1, v2):
    assert cgroup_files(asked, version=1) == {**NOTHING[1], **v1}
    assert cgroup_files(asked, version=2) == {**NOTHING[2], **v2}


def test_memory_is_written_before_memory_and_swap_and_the_period_before_the_quota():
    order = list(cgroup_files(Limits(), version=1))
    assert order.index("memory.limit_in_bytes") < order.index("memory.memsw.limit_in_bytes")
    assert order.index("cpu.cfs_period_us") < order.index("cpu.cfs_quota_us")


@VERSIONS
def test_what_was_written_is_read_as_what_was_asked(version):
    for asked in MANY:
        assert observed(asked, cgroup_files(asked, version=version), version=version) == asked


@VERSIONS
def test_what_was_meant_for_another_is_seen_as_a_difference(version):
    for asked, there in PAIRS:
        expected, found = (cgroup_files(each, version=version) for each in (asked, there))
        seen = observed(asked, found, version=version)
        assert (seen == asked) == (found == expected)
        assert seen.diskspace == asked.diskspace, "the cgroup knows nothing of disks"


@VERSIONS
def test_limits_that_nobody_recorded_are_read_to_within_the_kernels_units(version):
    for there in MANY:
        seen = observed(Limits(), cgroup_files(there, version=version), version=version)
        assert (seen.memory, seen.swap, seen.processes) == (there.memory, there.swap, there.processes)
        whole = [there.cpulimit, None if there.cpus is None else 100 * there.cpus]
        assert seen.cpulimit == min((bound for bound in whole if bound is not None), default=None)
        assert seen.cpuunits is None or abs(seen.cpuunits - there.cpuunits) < 10


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


def test_what_is_not_listed_is_unlimited():
    assert limits.parse({"memory": "64M", "cpus": None}) == Limits(memory=64 * MIB)
    assert limits.parse({}) == limits.parse(dict.fromkeys(limits.TABLE, "unlimited")) == Limits()


def test_limits_that_were_shown_are_read_as_the_same_limits():
    for asked in MANY:
        assert limits.parse(limits.show(asked)) == asked


def test_memory_is_rounded_as_the_kernel_does():
    assert limits.parse({"memory": "5000001", "swap": "5000"}) == Limits(memory=5000001 // 4096 * 4096, swap=4096)


@pytest.mark.parametrize(
    ("limit", "least", "below"),
    [("memory", "4M", "4095K"), ("cpuunits", "10", "9"), ("cpulimit", "1", "0"), ("cpus", "1", "0"), ("processes", "8", "7"), ("diskspace", "1M", "1")],
)
def test_each_limit_has_a_least_value(limit, least, below):
    assert getattr(limits.parse({limit: least}), limit) is not None
    assert "is too small" in sentence(lambda: limits.parse({limit: below}, prefix="limits."), f"limits.{limit}")


@pytest.mark.parametrize(("limit", "most", "above"), [("cpuunits", "100000", "100001"), ("cpus", "8192", "8193"), ("processes", "4194304", "4194305")])
def test_counts_have_a_largest_value(limit, most, above):
    assert getattr(limits.parse({limit: most}), limit) == int(most)
    assert "is too large" in sentence(lambda: limits.parse({limit: above}), limit)


def test_swap_needs_memory():
    assert "give limits.memory too" in sentence(lambda: limits.parse({"swap": "1G"}, prefix="limits."), "limits.swap")
    assert "give memory too" in sentence(lambda: limits.parse({"swap": "0", "memory": "unlimited"}), "swap")
    assert limits.parse({"swap": "unlimited"}) == Limits()


def test_the_names_of_what_differs_are_all_that_differs():
    for before, after in PAIRS:
        names = limits.changed(before, after)
        assert replace(before, **{name: getattr(after, name) for name in names}) == after
        assert all(getattr(before, name) != getattr(after, name) for name in names)
