# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules killed at random moments: the next run converges, and in the end nothing is left over.

The seed is printed, and taken from the environment (VPS_TEST_SEED) to try the same moments again.
"""

from __future__ import annotations

import os
import pathlib
import random
import signal
import time

import pytest
import vps_kit as kit

KILLS = 50
SEED = int(os.environ.get("VPS_TEST_SEED") or time.time_ns() % 1_000_000)
NAME = "it-killed"


def wanted(minimal: str) -> dict:
    """A VPS with something of everything."""
    return {
        "name": NAME, "template": minimal, "addresses": [kit.address(30), kit.address(31)], "hostname": "killed.example.com",
        "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oyk one@example.com"],
        "limits": {"memory": "64M", "processes": "50", "diskspace": "100M"}, "wait": "booted", "stop_timeout": 0,
    }


def kill_after(seconds: float, module: str, **params) -> bool:
    """Start a module and kill its process after some time; whether it had not ended by then."""
    run = kit.launch(module, **params)
    time.sleep(seconds)
    alive = run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.communicate()
    return alive


def duration(module: str, **params) -> float:
    """How long a run takes."""
    started = time.monotonic()
    told = kit.result(kit.launch(module, **params))
    assert not told.get("failed"), told["msg"]
    return time.monotonic() - started


def is_as_wanted(task: dict) -> None:
    """The VPS is up, as the kernel and the guest tell it."""
    assert kit.said(NAME, "hostname") == task["hostname"]
    assert kit.kernel_limits(NAME) == kit.limit_files(memory=64 << 20, processes=50)
    assert kit.disk_limit(NAME) == 100 << 20
    routes = kit.run("ip", "route")
    for address in task["addresses"]:
        assert f"{address} dev " in routes and address in kit.said(NAME, "ip", "-4", "addr", "show", "dev", "eth0")


def nothing_is_left() -> None:
    """No directory, link, cgroup, veth, lock, monitor; and, once the file system has cleaned up, no subvolume and qgroup."""
    deadline = time.monotonic() + 5
    while left := kit.remains():
        assert time.monotonic() < deadline, f"left over: {left}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def strays_before():
    """Qgroups of deleted subvolumes that others have left on this node."""
    return kit.stray_qgroups()


def test_killed_while_it_makes_and_starts_a_vps(minimal, strays_before):
    """Fifty times, at a random moment between the start of the run and its end."""
    chance = random.Random(SEED)
    task = wanted(minimal)
    durations = []
    for _time in range(4):
        durations.append(duration("vps_container", **task))
        kit.ok("vps_container", name=NAME, state="absent")
    whole = min(durations)
    bases, killed, found = set(), 0, {"nothing": 0, "half": 0, "stopped": 0, "started": 0}
    for number in range(KILLS):
        moment = chance.uniform(0.2, 1) * whole
        where = f"seed {SEED}, kill {number}, after {moment:.3f} of {whole:.3f} seconds"
        try:
            killed += kill_after(moment, "vps_container", **task)
            staged = any(path.name.startswith(".new-it-") for path in (kit.pool() / "vps").iterdir())
            real = (kit.pool() / "vps" / NAME).exists()
            found["half" if staged else "nothing" if not real else "stopped" if kit.pid(NAME) is None else "started"] += 1
            if number % 2:  # the next run wants it: it is made whole
                done = kit.ok("vps_container", **task)
                is_as_wanted(task)
                assert not kit.ok("vps_container", **task)["changed"], "it has not converged"
                bases.add(done["vps"]["id_base"])
            # the next run does not want it: whatever there is goes
            kit.ok("vps_container", name=NAME, state="absent")
            nothing_is_left()
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
    print(f"seed {SEED}: {killed} of {KILLS} runs killed on the way, which left {found}")
    assert killed > KILLS // 2 and found["half"], f"seed {SEED}: the moments were badly chosen: {found}"
    assert len(bases) == 1, f"an id range was lost each time: {bases}"
    kit.until("the file system has cleaned up", lambda: not kit.stray_qgroups() - strays_before, seconds=90)


def test_killed_while_it_changes_one(minimal):
    """Between two sets of options, there and back; whoever asks next for either gets it whole, without a restart."""
    chance = random.Random(SEED + 1)
    first = wanted(minimal)
    second = {
        **first, "hostname": "other", "addresses": [kit.address(32)], "nameservers": ["192.0.2.1"],
        "limits": {"memory": "96M", "cpulimit": "70", "diskspace": "150M"},
    }
    kit.ok("vps_container", **first)
    init = kit.pid(NAME)
    whole = duration("vps_container", **second)
    for number in range(24):
        asked, other = (first, second) if number % 2 else (second, first)
        kit.ok("vps_container", **other)
        moment = chance.uniform(0.2, 1) * whole
        kill_after(moment, "vps_container", **asked)
        where = f"seed {SEED}, kill {number}, after {moment:.3f} of {whole:.3f} seconds"
        kit.ok("vps_container", **first)
        is_as_wanted(first)
        assert kit.said(NAME, "ip", "-4", "addr", "show", "dev", "eth0").count("inet ") == len(first["addresses"]), where
        assert not kit.ok("vps_container", **first)["changed"], where
        assert kit.pid(NAME) == init, f"{where}: it was restarted"
    kit.ok("vps_container", name=NAME, state="absent")
    nothing_is_left()


def test_killed_while_it_writes_to_its_disk(minimal):
    """A VPS may have a little more disk for that moment: the next run takes it back, whatever its playbook names."""
    kit.container(NAME, template=minimal, limits={"diskspace": "100M"})
    subvolume = kit.run("btrfs", "inspect-internal", "rootid", str(kit.rootfs(NAME))).strip()
    (limit,) = pathlib.Path("/sys/fs/btrfs").glob(f"*/qgroups/0_{subvolume}/max_referenced")
    for number in range(20):
        run = kit.launch("vps_container", name=NAME, hostname=f"host{number}")
        while run.poll() is None and limit.read_text(encoding="ascii").strip() == str(100 << 20):
            pass
        run.send_signal(signal.SIGKILL)
        run.communicate()
        lifted = kit.disk_limit(NAME)
        assert kit.ok("vps_container", name=NAME, description=f"number {number}")["changed"]
        assert kit.disk_limit(NAME) == 100 << 20
        if lifted != 100 << 20:
            assert lifted and lifted < 110 << 20
            return
    raise AssertionError("it was never killed at the moment that this is about")


def test_killed_while_it_removes_one(minimal):
    """Asked again, it is gone; asked for the same name, there is a new one."""
    chance = random.Random(SEED + 2)
    task = wanted(minimal)
    kit.ok("vps_container", **task)
    whole = duration("vps_container", name=NAME, state="absent")
    for number in range(12):
        kit.ok("vps_container", **task)
        kill_after(chance.uniform(0.2, 1) * whole, "vps_container", name=NAME, state="absent")
        if number % 2:
            kit.ok("vps_container", **task)
            is_as_wanted(task)
        kit.ok("vps_container", name=NAME, state="absent")
        kit.ok("vps_template", name="it-sweeps", source="minimal")  # any changing run sweeps what is left
        kit.ok("vps_template", name="it-sweeps", state="absent")
        try:
            nothing_is_left()
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}, kill {number}: {error}") from error
