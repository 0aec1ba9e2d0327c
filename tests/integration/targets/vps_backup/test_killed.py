# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs killed at random moments: the next one gets through, the repository is whole, and nothing is left over.

The seed is printed, and taken from the environment (VPS_TEST_SEED) to try the same moments again.
Two runs of each kind are killed; VPS_TEST_KILLS=20 asks for more.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
import vps_kit as kit
from conftest import COPY, NAME, backup, staged

KILLS = kit.kills(2)
SEED = int(os.environ.get("VPS_TEST_SEED") or time.time_ns() % 1_000_000)


def killed(seconds: float, **params) -> bool:
    """Start a run and kill it after some time; whether it had not ended by then."""
    run = kit.launch("vps_backup", **params)
    time.sleep(seconds)
    alive = run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.communicate()
    return alive


def attempts(params: dict):
    """Kill runs, each in a part of its own of the time that one takes; gives control after each."""
    started = time.monotonic()
    told = kit.result(kit.launch("vps_backup", **params))
    assert not told.get("failed"), told["msg"]
    whole = time.monotonic() - started
    yield
    count = 0
    for moment in kit.moments(KILLS, 0, whole, seed=SEED):
        count += killed(moment, **params)
        yield
    print(f"seed {SEED}: {count} of {KILLS} runs were killed on the way")
    assert count >= max(1, KILLS // 3), "hardly any was killed: they are faster than was measured"


def running() -> list[str]:
    """The programs that work for a backup of the tests."""
    return [line for line in kit.run("ps", "-eo", "args").splitlines() if line.startswith("restic ") and "/pytest-" in line]


@pytest.fixture(autouse=True)
def nothing_is_left(repository):
    """In the end no snapshot, mount, VPS, process or lock."""
    yield
    backup(repository, state="verified", verify_data="100%")
    assert staged() == []
    kit.remove_all()
    kit.until("nothing is left over", lambda: not kit.remains(), seconds=10)
    kit.until("restic has ended", lambda: not running())


@pytest.mark.parametrize("storage", ["btrfs", "image"])
def test_a_backup(minimal, repository, storage):
    kit.container(NAME, template=minimal, storage=storage, wait="booted")
    kit.shell(NAME, "head -c 20000000 /dev/urandom >/data", timeout=60)
    params = {"name": NAME, "keep": {"last": 2}, **repository}
    for number, _killed in enumerate(attempts(params)):
        kit.shell(NAME, f"head -c 2000000 /dev/urandom >/data{number % 3}", timeout=60)
    kit.shell(NAME, "echo whole >/last")
    told = backup(repository, keep={"last": 2})
    assert len(told["backups"]) == 2
    backup(repository, state="restored", target=COPY, addresses=[])
    kit.container(COPY, state="started", wait="booted")
    assert kit.said(COPY, "cat", "/last") == "whole"
    assert kit.said(COPY, "sha256sum", "/data") == kit.said(NAME, "sha256sum", "/data")


@pytest.mark.parametrize("storage", ["btrfs", "image"])
def test_a_restore_of_a_vps_that_there_is(minimal, repository, storage):
    """At any moment it is the one or the other, whole."""
    kit.container(NAME, template=minimal, storage=storage, state="stopped")
    kit.ok("vps_command", name=NAME, argv=["sh", "-c", "head -c 3000000 /dev/urandom >/data; echo old >/which"])
    backup(repository)
    params = {"name": NAME, "state": "restored", "replace": True, "stop_timeout": 0, **repository}
    for _killed in attempts(params):
        which = kit.ok("vps_command", name=NAME, argv=["cat", "/which"])["stdout"]
        assert which in ("old", "new")
        kit.ok("vps_command", name=NAME, argv=["sh", "-c", "echo new >/which"])
    backup(repository, state="restored", replace=True)
    assert kit.ok("vps_command", name=NAME, argv=["cat", "/which"])["stdout"] == "old"


@pytest.mark.long
def test_a_restore_and_a_test_of_one(minimal, repository):
    kit.container(NAME, template=minimal, state="stopped")
    (kit.rootfs(NAME) / "data").write_bytes(os.urandom(3 << 20))
    backup(repository)
    kit.ok("vps_container", name=NAME, state="absent")
    for _killed in attempts({"name": NAME, "state": "restored", **repository}):
        kit.ok("vps_container", name=NAME, state="absent", stop_timeout=0)
    backup(repository, state="restored")
    for _killed in attempts({"name": NAME, "state": "tested", "stop_timeout": 0, **repository}):
        pass
    backup(repository, state="tested", stop_timeout=0)
    assert kit.info(f"{NAME}-test") is None
