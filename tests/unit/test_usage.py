# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS uses, from counter files as kernels wrote them; tests/unit/counters says which."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core import reading, usage
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import BEANCOUNTERS, Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.disk import Used
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.usage import FILES, WITH_THOSE_BELOW, Counters
from ansible_collections.mainline.vps.plugins.module_utils.node import usage as reader
from ansible_collections.mainline.vps.tests.unit.reading import value_or_sentence

KERNELS = {"v1-6.18": 1, "v2-6.1": 2, "v2-6.12": 2}
LIMITS = Limits(memory=40 << 20, swap=0, processes=12, cpulimit=20)
COLUMNS = ("held", "peak", "failcnt")


def sections(kernel: str) -> dict[str, str]:
    """File → text, those of the cgroup below as C(guest/FILE)."""
    parts = (Path(__file__).parent / "counters" / f"{kernel}.txt").read_text(encoding="ascii").split("--- ")[1:]
    return {name: text for name, _newline, text in (part.partition("\n") for part in parts)}


def node(kernel: str, folder: Path) -> dict[str, str]:
    """A VPS's cgroup in a folder, with one below; the folders as cgroup.find() gives them."""
    (folder / "guest").mkdir(parents=True)
    for name, text in sections(kernel).items():
        (folder / name).write_text(text, encoding="ascii")
    return dict.fromkeys(("memory", "cpu", "cpuacct", "pids", "io", "blkio", "unified"), str(folder))


def read(kernel: str, folder: Path, **more) -> Counters:
    """What the node reads of it."""
    version = KERNELS[kernel]
    return Counters(version, reader.read(node(kernel, folder), version=version), **more)


def rows(told: dict) -> dict[str, dict]:
    return {row["resource"]: row for row in told["rows"]}


def counted(told: dict, *names: str) -> dict[str, tuple]:
    """held, peak and failcnt of rows."""
    found = rows(told)
    return {name: tuple(found[name][column] for column in COLUMNS) for name in names}


NAMES = ("kmemsize", "shmpages", "numproc", "physpages", "oomguarpages", "dcachesize", "swappages", "memory", "swap", "processes", "cpu", "diskspace")


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (
            "v2-6.1",
            {
                "kmemsize": (1683456, None, None), "shmpages": (0, None, None), "numproc": (11, 12, 1), "physpages": (5733, 10240, 2),
                "oomguarpages": (5733, None, 1), "dcachesize": (632544, None, None), "swappages": (0, None, 0), "memory": (23482368, 41943040, 2),
                "swap": (0, None, 0), "processes": (11, 12, 1), "cpu": (None, None, 827), "diskspace": (5, None, None),
            },
        ),
        (
            "v2-6.12",
            {
                "kmemsize": (1703936, None, None), "shmpages": (0, None, None), "numproc": (11, 12, 1), "physpages": (5823, 10240, 1),
                "oomguarpages": (5823, None, 1), "dcachesize": (632424, None, None), "swappages": (0, 0, 0), "memory": (23851008, 41943040, 1),
                "swap": (0, 0, 0), "processes": (11, 12, 1), "cpu": (None, None, 620), "diskspace": (5, None, None),
            },
        ),
        (
            "v1-6.18",
            {
                "kmemsize": (348160, 2215936, 0), "shmpages": (1281, None, None), "numproc": (1, 20, 1), "physpages": (8294, 12288, 586),
                "oomguarpages": (8294, 12352, 1), "dcachesize": (None, None, None), "swappages": (0, None, None), "memory": (33972224, 50331648, 586),
                "swap": (0, None, None), "processes": (1, 20, 1), "cpu": (None, None, 5), "diskspace": (5, None, None),
            },
        ),
    ],
)
def test_the_rows_are_what_the_kernel_has_counted(tmp_path, kernel, expected):
    told = usage.tell(read(kernel, tmp_path, disk=Used(5)), LIMITS)
    assert counted(told, *NAMES) == expected
    others = set(rows(told)) - set(NAMES) - {"lockedpages"}
    assert set(counted(told, *others).values()) == {(None, None, None)}, "nobody counts these"


def test_the_rest_of_a_v2_kernel(tmp_path):
    told = usage.tell(read("v2-6.12", tmp_path, device="254:0"), LIMITS)
    assert told["memory"] == {
        "anon": 1142784, "file": 21131264, "shmem": 0, "kernel": 1703936, "sock": 0, "high": 0, "max": 76, "oom": 1, "oom_kill": 1,
    }
    assert told["cpu"] == {
        "usage_usec": 11996586, "user_usec": 1565248, "system_usec": 10431338, "nr_periods": 634, "nr_throttled": 620, "throttled_usec": 75212108,
    }
    assert told["io"] == {"read_bytes": 1257472, "written_bytes": 20971520, "reads": 38, "writes": 20}
    assert told["pressure"]["cpu"]["full"] == {"avg10": 52.05, "avg60": 43.62, "avg300": 13.94, "total": 46148592}
    assert set(told["pressure"]["memory"]) == set(told["pressure"]["io"]) == {"some", "full"}


def test_the_rest_of_a_v1_kernel(tmp_path):
    told = usage.tell(read("v1-6.18", tmp_path, device="7:0"), LIMITS)
    texts = sections("v1-6.18")
    assert told["memory"]["oom_kill"] == 1 and told["memory"]["max"] == 586
    assert told["memory"]["sock"] is None, "nobody has limited it, so it is not counted"
    assert told["cpu"]["usage_usec"] == int(texts["cpuacct.usage"]) // 1000
    assert told["cpu"]["nr_throttled"] > 0 and told["cpu"]["throttled_usec"] > 0
    assert told["io"]["read_bytes"] > 0 and told["io"]["writes"] > 0
    assert told["pressure"]["cpu"]["some"]["total"] > 0


def test_io_of_other_disks_is_not_of_the_pool(tmp_path):
    """The loop device's own file, on another disk, would be counted twice."""
    for kernel in ("v1-6.18", "v2-6.12"):
        told = usage.tell(read(kernel, tmp_path / kernel, device="8:16"), LIMITS)
        assert set(told["io"].values()) == {0}


def test_a_v1_kernel_without_recursive_counters_has_those_below_added_up(tmp_path):
    where = node("v1-6.18", tmp_path)
    whole = usage.tell(Counters(1, reader.read(where, version=1), device="7:0"), LIMITS)["io"]
    for name in ("service_bytes", "serviced"):
        (tmp_path / f"blkio.throttle.io_{name}_recursive").unlink()
    assert usage.tell(Counters(1, reader.read(where, version=1), device="7:0"), LIMITS)["io"] == whole


def test_a_refused_fork_counts_once_whatever_the_kernel_counts_where(tmp_path):
    """Up to 6.10 where it was tried, below; from 6.11 on where the limit is."""
    assert "pids.events.local" in reader.read(node("v2-6.12", tmp_path / "new"), version=2)
    texts = reader.read(node("v2-6.1", tmp_path / "old"), version=2)
    assert texts["pids.events"].split() == ["max", "0", "max", "1"]


def test_memory_that_no_swap_is_there_for_is_refused_as_memory_on_v1():
    """With both limits alike, it is the one of memory and swap together that refuses; 6.18 does not count that (seen), but whom it kills."""
    texts = {"memory.usage_in_bytes": "1", "memory.failcnt": "0", "memory.memsw.failcnt": "9", "memory.oom_control": "oom_kill 2"}
    assert counted(usage.tell(Counters(1, texts), Limits()), "memory", "swap") == {"memory": (1, None, 9), "swap": (None, None, 9)}
    texts["memory.memsw.failcnt"] = "0"
    assert counted(usage.tell(Counters(1, texts), Limits()), "memory", "swap") == {"memory": (1, None, 2), "swap": (None, None, None)}


def test_what_the_guest_refuses_itself_below_is_not_of_its_own_limit():
    texts = {"memory.current": "1", "memory.events": "max 90\noom 9\noom_kill 9\n", "memory.events.local": "max 2\noom 1\noom_kill 0\n"}
    told = usage.tell(Counters(2, texts), Limits())
    assert counted(told, "memory", "oomguarpages") == {"memory": (1, None, 1), "oomguarpages": (0, None, 9)}


def test_the_barrier_and_the_limit_are_those_in_force():
    limits = Limits(
        memory=64 << 20, memory_high=48 << 20, swap=16 << 20, memory_guarantee=8 << 20, physpages=Bound(0, 1 << 20), numproc=Bound(10, 20),
        processes=15, cpus=2, cpulimit=150, iolimit=5 << 20, iolimit_write=1 << 20, privvmpages=Bound(1 << 15, 1 << 16), diskspace=Bound(1, 2),
    )
    found = rows(usage.tell(Counters(2, {"memory.current": "0"}), limits))
    assert {name: (row["barrier"], row["limit"]) for name, row in found.items() if row["limit"] is not None or row["barrier"] is not None} == {
        "privvmpages": (1 << 15, 1 << 16), "numproc": (10, 15), "physpages": (0, 16384), "oomguarpages": (2048, None), "swappages": (4096, 4096),
        "memory": (48 << 20, 64 << 20), "swap": (16 << 20, 16 << 20), "processes": (15, 15), "cpu": (150, 150), "diskspace": (1, 2),
        "io_read": (5 << 20, 5 << 20), "io_write": (1 << 20, 1 << 20),
    }
    assert all(row["unit"] for row in found.values())


def test_a_kernel_without_psi_has_no_pressure_and_still_has_the_rest(tmp_path):
    where = node("v2-6.1", tmp_path)
    for what in usage.PRESSURES:
        (tmp_path / f"{what}.pressure").unlink()
    told = usage.tell(Counters(2, reader.read(where, version=2)), LIMITS)
    assert told["pressure"] == {"cpu": None, "memory": None, "io": None}
    assert counted(told, "numproc") == {"numproc": (11, 12, 1)}


def test_a_kernel_before_5_19_has_no_peak(tmp_path):
    where = node("v2-6.1", tmp_path)
    for name in ("memory.peak", "pids.peak"):
        (tmp_path / name).unlink()
    assert counted(usage.tell(Counters(2, reader.read(where, version=2)), LIMITS), "memory", "numproc") == {
        "memory": (23482368, None, 2), "numproc": (11, None, 1),
    }


def test_a_vps_that_has_gone_meanwhile_has_nothing_left_to_read(tmp_path):
    for version in (1, 2):
        assert reader.read(dict.fromkeys(("memory", "pids"), str(tmp_path / "gone")), version=version) == {}
    told = usage.tell(Counters(2, {}, disk=Used(7, 8)), LIMITS)
    assert counted(told, "diskspace", "diskinodes") == {"diskspace": (7, None, None), "diskinodes": (8, None, None)} and len(told["rows"]) == 2


def test_reading_is_bounded(tmp_path):
    where = node("v2-6.1", tmp_path)
    (tmp_path / "memory.stat").write_text("anon 1\n" * 100_000, encoding="ascii")
    for number in range(1500):
        (tmp_path / "guest" / str(number)).mkdir()
        (tmp_path / "guest" / str(number) / "pids.events").write_text("max 1\n", encoding="ascii")
    texts = reader.read(where, version=2)
    assert len(texts["memory.stat"]) == 65536
    assert texts["pids.events"].count("max") == 1000


# -- whatever a file says -------------------------------------------------------------------------------------------------------

PRESSURE = "some avg10=1.00 avg60=2.00 avg300=3.00 total=4"
WORDS = st.sampled_from(["max", "oom", "oom_kill", "usage_usec", PRESSURE, "7:0 Read", "7:0 rbytes=5", "kernel", "total_swap"])
NUMBERS = st.sampled_from(["0", "17", "max", "-1", "9" * 25, "1.5", "٣", "", "0x10", "9223372036854771712"])
LINES = st.builds("{} {}".format, WORDS, NUMBERS) | NUMBERS | WORDS | st.text(max_size=30)
TEXTS = st.lists(LINES, max_size=5).map("\n".join)


@pytest.mark.parametrize("version", [1, 2])
def test_whatever_the_files_say_every_number_is_one_or_none(version):
    names = [*FILES[version], *WITH_THOSE_BELOW[version]]

    @given(st.dictionaries(st.sampled_from(names), TEXTS, min_size=1), st.sampled_from([None, "7:0", "8:0"]))
    def check(texts, device):
        told = usage.tell(Counters(version, texts, Used(1), device), Limits())
        assert [row["resource"] for row in told["rows"]][:21] == list(BEANCOUNTERS)
        values = [row[column] for row in told["rows"] for column in COLUMNS]
        values += [value for part in ("memory", "cpu", "io") for value in told[part].values()]
        assert all(value is None or (isinstance(value, int) and value >= 0) for value in values)
        assert all(value is None or set(value) <= {"some", "full"} for value in told["pressure"].values())

    check()


# -- since ------------------------------------------------------------------------------------------------------------------------


def told(failcnt, pid=7):
    """A VPS as vps_info returns it."""
    return {"name": "web", "pid": pid, "usage": {"rows": [{"resource": "numproc", "failcnt": failcnt}, {"resource": "numfile", "failcnt": None}]}}


@pytest.mark.parametrize(
    ("before", "now", "risen"),
    [
        (told(3), told(5), 2),
        (told(3), told(3), 0),
        (told("3"), told(5), 2),
        (told(3), told(1), 1),
        (told(3, pid=6), told(5), 5),
        (told(None), told(5), 5),
        ({**told(3), "pid": None}, told(5), 2),
    ],
)
def test_a_failcnt_rises_from_what_it_was_unless_it_has_restarted(before, now, risen):
    rows_now = reading.add_since(now["usage"]["rows"], now["pid"], reading.parse([before])["web"])
    assert [row["failcnt_since"] for row in rows_now] == [risen, None]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["numproc", "7", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "usage", "rows", "pid", "resource", "failcnt"]), inner, max_size=4),
    max_leaves=12,
)
ALMOST = st.builds(lambda name, pid, rows: {"name": name, "pid": pid, "usage": {"rows": rows}}, ANY | st.text(), ANY, ANY | st.lists(
    st.builds(lambda resource, failcnt: {"resource": resource, "failcnt": failcnt}, ANY | st.text(), ANY), max_size=3))


@given(ANY | st.lists(ANY | ALMOST, max_size=3))
def test_whatever_is_given_as_an_earlier_reading_is_taken_or_refused_in_a_sentence(given_since):
    found = value_or_sentence(lambda: reading.parse(given_since), "since")
    for earlier in (found or {}).values():
        assert [row["failcnt_since"] for row in reading.add_since(told(5)["usage"]["rows"], 7, earlier)][1] is None
