# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_snapshot killed at random moments: the VPS has the old or the new disk whole, the next run converges, nothing is left over.

The seed is printed, and taken from the environment (VPS_TEST_SEED) to try the same moments again.
Three runs of each kind are killed; VPS_TEST_KILLS=20 asks for more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
import vps_kit as kit

KILLS = kit.kills(3)
SEED = int(os.environ.get("VPS_TEST_SEED") or time.time_ns() % 1_000_000)
NAME = "it-snap-killed"
STORAGES = ("btrfs", "image")


@pytest.fixture(params=STORAGES)
def vps(request, minimal):
    """A VPS that runs, whose disk says twice whose it is."""
    kit.container(NAME, template=minimal, storage=request.param, limits={"diskspace": "200M"}, wait="booted")
    mark("old")
    return NAME


def mark(text: str) -> None:
    """Write it to two ends of the disk."""
    kit.shell(NAME, f"mkdir -p /far; echo {text} >/mark; echo {text} >/far/mark; sync")


def marks() -> str:
    """What both say, which is the same."""
    first, second = kit.said(NAME, "cat", "/mark"), kit.said(NAME, "cat", "/far/mark")
    assert first == second, f"half of one disk and half of another: {first}, {second}"
    return first


def staged() -> list[str]:
    """What a killed run has left beside the VPSs."""
    return [entry for entry in os.listdir(kit.pool() / "vps") if entry.startswith(".") and NAME in entry]


def kill_after(seconds: float, **params) -> bool:
    """Start vps_snapshot and kill its process after some time; whether it had not ended by then."""
    run = kit.launch("vps_snapshot", vps=NAME, **params)
    time.sleep(seconds)
    alive = run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.communicate()
    return alive


def duration(**params) -> float:
    """How long a run takes, that is to succeed."""
    started = time.monotonic()
    told = kit.result(kit.launch("vps_snapshot", vps=NAME, **params))
    assert not told.get("failed"), told["msg"]
    return time.monotonic() - started


def test_killed_while_it_rolls_back(vps):
    kit.ok("vps_snapshot", vps=NAME, name="one")
    task = {"name": "one", "state": "rolled_back", "keep_current": "before", "stop_timeout": 0, "lock_timeout": 120}
    whole = max(mark("new") or duration(**task) for _time in range(2))
    killed, found = 0, {"old": 0, "new": 0, "half": 0}
    for number, moment in enumerate(kit.moments(KILLS, 0.2 * whole, 1.2 * whole, seed=SEED)):
        mark("new")
        where = f"seed {SEED}, kill {number} after {moment:.3f} of {whole:.3f} s"
        if number % 3 == 2:  # with a disk that is ready and not yet in its place
            kit.kill_when(staged, "vps_snapshot", vps=NAME, **task)
        else:
            killed += kill_after(moment, **task)
        found["half"] += bool(staged())
        if number % 2:  # whoever comes next has it run again, with the one disk or the other
            kit.ok("vps_container", name=NAME, state="present", lock_timeout=120)
            assert kit.info(NAME)["state"] == "started" and not staged(), where
            found[marks()] += 1
        done = kit.ok("vps_snapshot", vps=NAME, **task)
        assert kit.info(NAME)["state"] == "started" and not staged(), where
        assert marks() == "old", where
        kept = [one["name"] for one in done["snapshots"] if one["name"] != "one"]
        assert kit.ok("vps_container", name=NAME, limits={"diskspace": "200M"})["changes"] == [], where
        # What it had is in one that was kept, by the killed run or by the next.
        contents = set()
        for name in kept:
            if number % 5 == 0:
                kit.ok("vps_snapshot", vps=NAME, name=name, state="rolled_back", stop_timeout=0)
                contents.add(marks())
        assert number % 5 or "new" in contents, f"{where}: {contents}"
        for name in kept:
            kit.ok("vps_snapshot", vps=NAME, name=name, state="absent")
    print(f"seed {SEED}: {killed} killed on the way, {found}")
    assert killed and found["half"], f"seed {SEED}: the moments were badly chosen: {killed}, {found}"
    kit.ok("vps_container", name=NAME, state="absent")
    kit.nothing_remains(seconds=10)


def test_killed_while_it_takes_and_removes_one(vps):
    wholes = [duration(name="s", frozen=True), duration(name="s", state="absent")]
    for number, part in enumerate(kit.moments(2 * KILLS, 0.2, 1.05, seed=SEED + 1)):
        removes = number % 2
        task = {"name": "s", "state": "absent"} if removes else {"name": "s", "frozen": True}
        moment = part * wholes[removes]
        where = f"seed {SEED}, kill {number} after {moment:.3f} s"
        kill_after(moment, **task)
        done = kit.ok("vps_snapshot", vps=NAME, **task)
        assert [one["name"] for one in done["snapshots"]] == ([] if removes else ["s"]), where
        assert not kit.ok("vps_snapshot", vps=NAME, **task)["changed"], where
        assert not staged() and kit.info(NAME)["state"] == "started", where
        if not removes:
            kit.shell(NAME, "echo more >/mark; sync")  # it is not frozen
    kit.ok("vps_container", name=NAME, state="absent")
    kit.nothing_remains(seconds=10)


def test_killed_while_the_vps_is_frozen_the_next_run_thaws_it(vps):
    """Whatever that is about."""
    place = kit.pool() / "vps" / f".new-{NAME}@s"
    for _time in range(30):
        run = kit.launch("vps_snapshot", vps=NAME, name="s", frozen=True)
        while run.poll() is None and state() != "FROZEN":
            pass
        run.send_signal(signal.SIGKILL)
        run.communicate()
        kit.until("its last child is through", lambda: not kit.is_locked("vps", NAME))
        frozen = state() == "FROZEN"
        assert not frozen or place.is_dir()
        kit.ok("vps_template", name="it-minimal", source="minimal")
        assert state() == "RUNNING" and not staged()
        kit.shell(NAME, "true")
        if frozen:
            return
        kit.ok("vps_snapshot", vps=NAME, name="s", state="absent")
    raise AssertionError("it was never killed while the VPS was frozen")


def state() -> str:
    """LXC's word for it."""
    return subprocess.run(["lxc-info", "-n", NAME, "-s", "-H"], capture_output=True, text=True, check=False).stdout.strip()
