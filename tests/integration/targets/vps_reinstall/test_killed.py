# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killed at random moments, a VPS has the old root file system or the new one, whole, and the next run converges.

The seed is printed, and taken from the environment (VPS_TEST_SEED) to try the same moments again.
Three runs of each kind are killed; VPS_TEST_KILLS=20 asks for more.
"""

from __future__ import annotations

import os
import signal
import time

import guest_tree
import vps_kit as kit

KILLS = kit.kills(3)
SEED = int(os.environ.get("VPS_TEST_SEED") or time.time_ns() % 1_000_000)
NAME, COPY = (f"{kit.PREFIX}{letter}" for letter in "kl")


def kill_after(seconds: float, **params) -> None:
    """Start vps_container and kill its process after some time."""
    run = kit.launch("vps_container", **params)
    time.sleep(seconds)
    run.send_signal(signal.SIGKILL)
    run.communicate()


def duration(**params) -> float:
    """How long a run takes."""
    started = time.monotonic()
    told = kit.result(kit.launch("vps_container", **params))
    assert not told.get("failed"), told["msg"]
    return time.monotonic() - started


def left() -> list[str]:
    """What is neither a VPS nor a part of one that is finished."""
    folder = kit.pool() / "vps"
    return [str(path) for path in (*folder.glob(f".*{kit.PREFIX}*"), *(path for part in ("next", "source") for path in folder.glob(f"{kit.PREFIX}*/{part}")))]


def test_while_a_disk_is_made_anew_and_put_back(minimal, other, storage):
    kit.container(NAME, template=minimal, storage=storage, limits={"diskspace": "300M"}, wait="booted")
    guest_tree.plant(kit.rootfs(NAME) / "srv/site")
    kept = guest_tree.taken(kit.rootfs(NAME) / "srv")
    folder, record = kit.pool() / "vps" / NAME, kit.pool() / "vps" / NAME / "vps.json"
    base = {"name": NAME, "restart_policy": "if_needed", "stop_timeout": 0, "wait": "booted"}
    anew = {**base, "reinstall": "if_template_differs", "keep_paths": ["/srv"]}
    times = [duration(**anew, template=name) for name in (other, minimal)]
    whole, back = min(times), duration(**base, reinstall="undo")  # it is of `other` now
    found = {"old": 0, "new": 0}
    for number, part in enumerate(kit.moments(KILLS, 0.3, 1.2, seed=SEED)):
        where = f"seed {SEED}, kill {number} of {storage}"
        before = kit.info(NAME)["template"]
        wanted = minimal if before == other else other
        kit.shell(NAME, f"echo {number} >/generation; sync")
        if number % 4 == 1:
            kit.kill_when((folder / "next").exists, "vps_container", **anew, template=wanted)
        elif number % 4 == 2:  # its record is of the new one
            kit.kill_when(lambda: f'"template": "{wanted}"' in record.read_text(encoding="utf-8"), "vps_container", **anew, template=wanted)
        else:
            kill_after(part * whole, **anew, template=wanted)
        now = kit.ok("vps_container", name=NAME, state="started", stop_timeout=0, wait="booted")["vps"]  # a task that knows nothing of it
        new = now["template"] == wanted
        found["new" if new else "old"] += 1
        assert now["template"] in (before, wanted) and (now["previous"] is not None or not new), where
        mark = kit.shell(NAME, "cat /generation", check=False).stdout
        assert mark == ("" if new else f"{number}\n"), f"{where}: {'new' if new else 'old'} by its record, and not by its disk: {mark!r}"
        assert guest_tree.taken(kit.rootfs(NAME) / "srv") == kept, where
        assert left() == [], where
        kit.ok("vps_container", **anew, template=wanted)
        assert not kit.ok("vps_container", **anew, template=wanted)["changed"], where
        assert guest_tree.taken(kit.rootfs(NAME) / "srv") == kept, where
        if number % 2:
            if number % 4 == 1:
                kit.kill_when((folder / "next").exists, "vps_container", **base, reinstall="undo")
            else:
                kill_after(min(part, 1) * back, **base, reinstall="undo")
            kit.ok("vps_container", **base, reinstall="undo")
            assert (kit.info(NAME)["template"], kit.info(NAME)["previous"]) == (before, None), where
            assert kit.said(NAME, "cat", "/generation") == str(number), f"{where}: it did not come back"
        assert left() == [], where
    print(f"seed {SEED}: {found}")
    assert all(found.values()), f"seed {SEED}: the moments were badly chosen: {found}"
    kit.ok("vps_container", name=NAME, state="absent")
    kit.nothing_remains()


def test_nothing_that_was_replaced_is_lost(minimal, storage):
    """Runs that have a disk made anew each time, killed at the moments around what becomes of the one that was kept: each disk that there was is somewhere."""
    kit.container(NAME, template=minimal, storage=storage, limits={"diskspace": "300M"}, wait="booted")
    folder, base = kit.pool() / "vps" / NAME, {"name": NAME, "restart_policy": "if_needed", "stop_timeout": 0, "wait": "booted"}
    anew = {**base, "reinstall": "always"}
    count, kept, left_of = 0, folder / "snapshots", {}
    moments = (
        (folder / "previous").exists, (folder / "previous/snapshot.json").exists, lambda: not (folder / "previous").exists(),
        lambda: len(list(kept.glob("before-*"))) > count, lambda: not (folder / "next").exists() and len(list(kept.glob("before-*"))) > count,
    )
    for number, moment in enumerate(moments):
        count = len(list(kept.glob("before-*")))
        kit.shell(NAME, f"echo {number} >/generation; sync")
        kit.kill_when(moment, "vps_container", **anew)
        kit.ok("vps_container", **anew)  # which makes one more, whatever has become of the other
        assert left() == [] and kit.info(NAME)["previous"], number
    (told,) = kit.ok("vps_info", name=NAME)["vpss"]
    kit.ok("vps_container", **base, reinstall="undo")
    for name in (None, *(one["name"] for one in told["snapshots"])):
        if name is not None:
            kit.ok("vps_snapshot", vps=NAME, name=name, state="rolled_back", stop_timeout=0, wait="booted")
        left_of[name] = kit.shell(NAME, "cat /generation", check=False).stdout.strip()
    assert {str(number) for number in range(len(moments))} <= set(left_of.values()), left_of
    kit.ok("vps_container", name=NAME, state="absent")
    kit.nothing_remains()


def test_on_the_way_into_rescue_and_out_of_it(minimal, storage):
    kit.container(NAME, template=minimal, storage=storage, limits={"diskspace": "300M"}, wait="booted")
    kit.shell(NAME, "echo mine >/mine; sync")
    task = {"name": NAME, "stop_timeout": 0, "wait": "booted"}
    there, back = duration(**task, state="rescue"), duration(**task, state="started")
    for number, part in enumerate(kit.moments(KILLS, 0.25, 1, seed=SEED + 1)):
        where = f"seed {SEED}, kill {number} of {storage}"
        kill_after(part * there, **task, state="rescue")
        if number % 2:
            kit.ok("vps_container", **task, state="rescue")
            assert kit.said(NAME, "cat", "/mnt/disk/mine") == "mine", where
            assert not kit.ok("vps_container", **task, state="rescue")["changed"], where
            kill_after(part * back, **task, state="started")
        kit.ok("vps_container", **task, state="started")
        assert kit.said(NAME, "cat", "/mine") == "mine" and kit.info(NAME)["state"] == "started", where
        assert not kit.ok("vps_container", **task, state="started")["changed"], where
        assert left() == [] and not (kit.pool() / "vps" / NAME / "rescue").exists(), where
    kit.ok("vps_container", name=NAME, state="absent")
    kit.nothing_remains()


def test_while_a_copy_is_made(minimal, storage):
    kit.container(NAME, template=minimal, storage=storage, wait="booted")
    kit.shell(NAME, "echo mine >/mine; sync")
    task = {"name": COPY, "clone_from": NAME, "stop_timeout": 0, "wait": "booted"}
    whole = duration(**task)
    kit.ok("vps_container", name=COPY, state="absent")
    for number, part in enumerate(kit.moments(KILLS, 0.25, 1, seed=SEED + 2)):
        where = f"seed {SEED}, kill {number} of {storage}"
        kill_after(part * whole, **task)
        if number % 2:
            kit.ok("vps_container", **task)
            assert kit.said(COPY, "cat", "/mine") == "mine" and kit.said(COPY, "hostname") == COPY, where
        kit.ok("vps_container", name=COPY, state="absent")
        assert left() == [] and kit.said(NAME, "cat", "/mine") == "mine", where
    kit.ok("vps_container", name=NAME, state="absent")
    kit.nothing_remains()
