# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_info: what a guest uses, as the kernel's own files have it, and each refusal that it runs into."""

from __future__ import annotations

import json
import os

import pytest
import vps_kit as kit

MIB = 1 << 20
PAGE = 4096
SWAP = kit.V2 or (kit.CGROUPS / "memory/memory.memsw.limit_in_bytes").exists()
PSI = os.path.exists("/proc/pressure/cpu") and (kit.V2 or (kit.CGROUPS / "unified").is_dir())
NAME = "it-usage"
TABLE = "{{ (later.vpss | mainline.vps.vps_beancounters).splitlines() | to_json }}"
LIMITS = {"memory": "48M", **({"swap": "0"} if SWAP else {}), "processes": "30", "cpulimit": "40", "diskspace": "30M", "iolimit_write": "100M"}


@pytest.fixture(scope="module")
def vps(minimal):
    """A running guest with limits, that all tests here run into."""
    kit.container(NAME, template=minimal, limits=LIMITS, wait="booted")
    return NAME


def read(**since) -> list[dict]:
    """The guest as vps_info tells it."""
    return kit.ok("vps_info", name=NAME, **since)["vpss"]


def rows(vpss: list[dict]) -> dict[str, dict]:
    """Its rows by their names."""
    return {row["resource"]: row for row in vpss[0]["usage"]["rows"]}


def risen(before: list[dict], *names: str) -> list[int]:
    """How much the failcnt of these rows has risen since, told both ways."""
    earlier, now = rows(before), rows(read(since=before))
    found = [now[name]["failcnt_since"] for name in names]
    assert found == [now[name]["failcnt"] - earlier[name]["failcnt"] for name in names]
    return found


def test_the_limits_in_force_stand_beside_what_is_held(vps):
    """In the units of OpenVZ's names and of ours; held as the kernel's files have it."""
    found = rows(read())
    assert len(found) == 29 and list(found)[0] == "kmemsize" and list(found)[20] == "swappages"
    limits = {name: row["limit"] for name, row in found.items() if row["limit"] is not None}
    swap = {"swap": 0, "swappages": 0} if SWAP else {}
    assert limits == {
        "numproc": 30, "processes": 30, "memory": 48 * MIB, "physpages": 48 * MIB // PAGE, "cpu": 40, "diskspace": 30 * MIB, "io_write": 100 * MIB, **swap,
    }
    held = int(kit.held(vps, "memory.current" if kit.V2 else "memory.usage_in_bytes"))
    assert abs(found["memory"]["held"] - held) < 2 * MIB
    assert found["physpages"]["held"] == found["memory"]["held"] // PAGE
    assert found["numproc"]["held"] == int(kit.held(vps, "pids.current"))
    assert found["kmemsize"]["held"] > 0
    assert found["diskspace"]["held"] == kit.info(vps)["disk_used"]


def shared(vps: str) -> int:
    """Pages of shared memory that are held, once each CPU has had something to tell: what Linux 6.18 has lost of one comes with its next news."""
    kit.shell(vps, "for i in 1 2 3 4; do cat /proc/self/stat | cat; done >/dev/null")
    return rows(read())["shmpages"]["held"]


def test_shared_memory_is_held_and_given_back(vps):
    """tmpfs is shared memory, and is memory."""
    before = rows(read())
    kit.shell(vps, "dd if=/dev/zero of=/run/shared bs=1M count=10")
    try:
        kit.until("10M more are shared", lambda: shared(vps) - before["shmpages"]["held"] >= 10 * MIB // PAGE)
        assert rows(read())["memory"]["held"] - before["memory"]["held"] >= 9 * MIB
    finally:
        kit.shell(vps, "rm /run/shared")
    kit.until("they are given back", lambda: abs(shared(vps) - before["shmpages"]["held"]) < MIB // PAGE)


def test_a_process_that_wants_more_memory_is_counted(vps):
    """The limit that was met, in bytes and in pages, and the process that was killed for it."""
    before, kills = read(), kit.oom_kills(vps)
    assert kit.inside(vps, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1", check=False).returncode != 0
    memory, physpages, oomguarpages = risen(before, "memory", "physpages", "oomguarpages")
    assert oomguarpages == kit.oom_kills(vps) - kills > 0
    assert memory == physpages >= oomguarpages
    found = rows(read())
    assert found["memory"]["peak"] in (None, 48 * MIB)
    assert kit.ok("vps_info", name=vps)["vpss"][0]["usage"]["memory"]["oom_kill"] >= oomguarpages


def test_a_full_page_cache_is_no_refusal_on_cgroup_v2(vps):
    """The kernel makes room in it; on v1 it does not tell the two apart."""
    before = read()
    kit.shell(vps, "for number in 1 2 3 4 5; do dd if=/dev/zero of=/root/cached bs=1M count=20 conv=fsync; done; rm /root/cached")
    refused = risen(before, "memory")[0]
    assert refused == 0 or not kit.V2
    assert risen(before, "oomguarpages") == [0]


def test_a_refused_fork_is_counted(vps):
    """By both of its names; the peak is the limit."""
    before, refused = read(), kit.pids_refused(vps)
    crowd = "number=0; while [ $number -lt 40 ]; do sleep 300 & number=$((number+1)); done"
    done = kit.shell(vps, f"({crowd}) </dev/null >/dev/null 2>&1", check=False)
    assert done.returncode != 0
    try:
        numproc, processes = risen(before, "numproc", "processes")
        assert numproc == processes == kit.pids_refused(vps) - refused > 0
        found = rows(read())["processes"]
        assert found["peak"] in (None, 30)
        assert found["held"] > 20
    finally:
        for number in guests(vps, "sleep"):
            os.kill(number, 9)
    kit.until("they are gone", lambda: rows(read())["processes"]["held"] < 20)


def guests(name: str, program: str) -> list[int]:
    """The pids, on the node, of a program in a guest."""
    space, found = kit.pid_namespace(kit.pid(name)), []
    for number in kit.processes():
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[0].decode("utf-8", "replace").rpartition("/")[2] == program and kit.pid_namespace(number) == space:
            found.append(number)
    return found


def test_a_full_disk_is_told_by_what_it_holds(vps):
    """btrfs does not count what it refuses."""
    done = kit.shell(vps, "dd if=/dev/zero of=/root/fill bs=1M count=60 conv=fsync", check=False)
    assert done.returncode != 0 and "quota exceeded" in done.stderr.lower()
    try:
        found = rows(read(since=read()))["diskspace"]
        assert 28 * MIB < found["held"] <= found["limit"] == 30 * MIB
        assert found["failcnt"] is None and found["failcnt_since"] is None
    finally:
        kit.shell(vps, "rm /root/fill")


def test_cpu_time_pressure_and_io_are_told(vps):
    """A busy loop for two seconds at 40 % of a CPU: it is throttled, waits, and has used that much."""
    before = read()
    loop = kit.background(vps, "while :; do :; done")
    try:
        kit.until("it is throttled", lambda: risen(before, "cpu")[0] > 10)
    finally:
        kit.end(loop)
    kit.shell(vps, "dd if=/dev/zero of=/root/file bs=1M count=8 conv=fsync && rm /root/file")
    was, now = before[0]["usage"], read()[0]["usage"]
    assert abs(now["cpu"]["usage_usec"] / 1e6 - kit.cpu_seconds(vps)) < 1
    assert now["cpu"]["throttled_usec"] > was["cpu"]["throttled_usec"]
    assert now["io"]["written_bytes"] - was["io"]["written_bytes"] >= 8 * MIB and now["io"]["writes"] > was["io"]["writes"]
    if PSI:
        assert now["pressure"]["cpu"]["some"]["total"] > was["pressure"]["cpu"]["some"]["total"]
    else:
        assert now["pressure"] == {"cpu": None, "memory": None, "io": None}


def test_counters_restart_with_the_vps(vps):
    """After a reboot from inside, what is counted since is what has been counted from zero on; nothing is negative."""
    kit.inside(vps, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1", check=False)
    before, init = read(), kit.pid(vps)
    assert rows(before)["oomguarpages"]["failcnt"] > 0
    kit.inside(vps, "reboot", check=False)
    kit.until("another init", lambda: kit.pid(vps) not in (None, init))
    kit.until("its limits are in force", lambda: rows(read())["memory"]["limit"] == 48 * MIB)
    now = rows(read(since=before))
    assert (now["oomguarpages"]["failcnt"], now["oomguarpages"]["failcnt_since"]) == (0, 0)
    assert all(row["failcnt_since"] == row["failcnt"] for row in now.values())
    kit.inside(vps, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1", check=False)
    assert rows(read(since=before))["oomguarpages"]["failcnt_since"] > 0


def test_a_frozen_vps_is_told_as_a_running_one_and_a_stopped_one_by_its_disk(vps):
    """And a wrong reading is refused in a sentence."""
    kit.container(vps, state="frozen")
    assert rows(read())["numproc"]["held"] > 0
    kit.container(vps, state="stopped")
    told = read()[0]["usage"]
    assert [row["resource"] for row in told["rows"]] == ["diskspace", "diskinodes"] and told["rows"][0]["held"] > 0
    assert told["pressure"] == {"cpu": None, "memory": None, "io": None} and set(told["cpu"].values()) == {None}
    assert kit.fails("vps_info", since=[{"name": vps}]).startswith("since: ")
    kit.container(vps)


def test_people_read_it_as_openvz_has_shown_it(vps, tmp_path):
    """The filter, in a playbook, after a reading with since."""
    out = tmp_path / "out.json"
    kit.play(
        tmp_path,
        [
            {"mainline.vps.vps_info": {"name": vps}, "register": "before"},
            {"mainline.vps.vps_info": {"name": vps, "since": "{{ before.vpss }}"}, "register": "later"},
            {"ansible.builtin.copy": {"dest": str(out), "mode": "0600", "content": TABLE}},
        ],
    )
    lines = [line.split() for line in json.loads(out.read_text(encoding="utf-8"))]
    assert lines[0] == ["name", "resource", "held", "maxheld", "barrier", "limit", "failcnt", "since"]
    assert lines[1][:2] == [f"{vps}:", "kmemsize"] and len(lines) == 30
    numproc = next(line for line in lines if "numproc" in line)
    assert numproc[-4:] == ["30", "30", "0", "0"]
