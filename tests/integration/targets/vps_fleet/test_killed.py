# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task on many VPSs that is killed at a random moment: its workers end with it, and the next run converges."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import time

import vps_kit as kit
from conftest import name, workers

SEED = int(os.environ.get("VPS_TEST_SEED") or time.time_ns() % 1_000_000)


def alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def killed_after(seconds: float, fleet, *vps: dict, **options) -> None:
    """Kill the run, and no other process; its workers go with it."""
    run = fleet.launch(*vps, **options)
    time.sleep(seconds)
    below = workers(run.pid)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    kit.until("its workers have ended", lambda: not [one for one in below if alive(one)])


def test_the_next_run_converges(fleet):
    chance = random.Random(SEED)
    first = [{"name": f"n{number}", "addresses": [f"10.90.0.{40 + number}"], "boot_order": number % 2} for number in range(4)]
    second = [{**one, "addresses": [f"10.90.0.{41 + number}" if number < 3 else "10.90.0.60"], "hostname": "moved"} for number, one in enumerate(first)]
    gone = [{"name": one["name"], "state": "absent"} for one in first]
    common = {"limits": {"memory": "64M", "diskspace": "100M"}, "wait": "booted"}
    wishes = {"made": first, "changed": second, "gone": gone}
    fleet.ok(*gone)
    times = {}
    for word, wish in wishes.items():
        begun = time.monotonic()
        fleet.ok(*wish, defaults=common)
        times[word] = time.monotonic() - begun
    for number in range(kit.kills(8)):
        word = ("made", "changed", "gone")[number % 3]
        moment = chance.uniform(0.1, 1) * times[word]
        where = f"seed {SEED}, kill {number} ({word}) after {moment:.3f} of {times[word]:.3f} seconds"
        killed_after(moment, fleet, *wishes[word], defaults=common)
        after = wishes[("made", "changed", "gone")[chance.randrange(3)]] if number % 2 else wishes[word]
        told = kit.call("vps_fleet", **fleet.given(*after, defaults=common))
        assert not told.get("failed"), f"{where}: {told['msg']}"
        again = fleet.ok(*after, defaults=common)
        assert not again["changed"], f"{where}: {again['changes']}"
        for one in after:
            if one.get("state") != "absent":
                inside = kit.said(name(one["name"]), "ip", "-4", "addr", "show", "dev", "eth0")
                assert f"{one['addresses'][0]}/32" in inside and inside.count("inet ") == 1, where
                assert not kit.ok("vps_container", **{**one, **common, "name": name(one["name"])})["changed"], where
    fleet.ok(*gone)
    assert not kit.remains(), f"seed {SEED}"
