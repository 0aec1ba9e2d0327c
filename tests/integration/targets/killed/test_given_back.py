# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed when it has stopped a VPS for a moment: the next run, whatever it is about, has the VPS again what it was."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
import vps_kit as kit

NAME, OTHER = f"{kit.PREFIX}again", f"{kit.PREFIX}other"


@pytest.fixture
def vpss(minimal):
    """A VPS that runs, and another one for tasks that are not about it."""
    kit.container(NAME, template=minimal, wait="booted")
    kit.container(OTHER, template=minimal, state="stopped")
    yield
    kit.remove_all()
    kit.nothing_remains()


def way(kind: str, folder) -> tuple[str, dict]:
    """A module and options by which it stops the VPS for a moment, and what that needs."""
    if kind == "restore":
        if shutil.which("restic") is None:
            pytest.skip("there is no restic here")
        repository = {"repository": str(folder / "repository"), "password": "correct horse battery"}
        kit.ok("vps_backup", name=NAME, **repository)
        return "vps_backup", {"name": NAME, "state": "restored", "replace": True, **repository}
    if kind == "roll back":
        kit.ok("vps_snapshot", vps=NAME, name="one")
        return "vps_snapshot", {"vps": NAME, "name": "one", "state": "rolled_back"}
    if kind == "rescue":
        return "vps_container", {"name": NAME, "state": "rescue"}
    if kind == "reinstall":
        return "vps_container", {"name": NAME, "state": "present", "reinstall": "always", "restart_policy": "if_needed"}
    return "vps_container", {"name": NAME, "state": "present", "restart_policy": "always"}


def state() -> str:
    """LXC's word for it."""
    return subprocess.run(["lxc-info", "-n", NAME, "-s", "-H"], capture_output=True, text=True, check=True).stdout.strip()


def mark() -> bool:
    """Whether the next run is told to give it back."""
    return (kit.pool() / "vps" / f".again-{NAME}").exists()


def kill_when_stopped(module: str, task: dict, before: str) -> None:
    """Kill runs as soon as they have stopped the VPS, until one was not through with it."""
    for number in range(20):
        more = {"description": f"number {number}"} if module == "vps_container" else {}
        init = kit.pid(NAME)
        kit.kill_when(lambda: not os.path.exists(f"/proc/{init}"), module, **task, stop_timeout=0, **more)
        kit.until("its last child is through", lambda: not kit.is_locked("vps", NAME))
        if state() == "STOPPED":
            return
        kit.container(NAME, state=before, wait="running")
    raise AssertionError("no run was killed while the VPS was stopped")


# A frozen VPS is neither restarted nor reinstalled but by a task that says what it is to be then.
WAYS = [("restart", "started"), ("reinstall", "started"), ("rescue", "started"),
        *((kind, before) for kind in ("restore", "roll back") for before in ("started", "frozen"))]


@pytest.mark.parametrize("kind, before", WAYS)
def test_the_next_run_has_it_as_it_was(vpss, tmp_path, kind, before):
    module, task = way(kind, tmp_path)
    if before == "frozen":
        kit.container(NAME, state="frozen")
    kill_when_stopped(module, task, before)
    assert mark()
    kit.ok("vps_limits", name=OTHER, memory="64M")
    assert state() == ("FROZEN" if before == "frozen" else "RUNNING") and not mark()
    done = kit.call(module, **task)  # and what was asked is done, where it is asked again
    assert not done.get("failed"), done.get("msg")
    assert state() == ("FROZEN" if before == "frozen" else "RUNNING") and not mark()


def test_one_that_is_to_be_stopped_by_now_is_stopped(vpss):
    """Nobody starts it again after that."""
    kill_when_stopped("vps_container", {"name": NAME, "state": "present", "restart_policy": "always"}, "started")
    kit.container(NAME, state="stopped", stop_timeout=0)
    assert state() == "STOPPED" and not mark()
    kit.ok("vps_limits", name=OTHER, memory="64M")
    assert state() == "STOPPED"


def test_one_that_is_removed_leaves_no_mark(vpss):
    kill_when_stopped("vps_container", {"name": NAME, "state": "present", "restart_policy": "always"}, "started")
    kit.ok("vps_container", name=NAME, state="absent")
    assert kit.info(NAME) is None and not mark()


def test_a_frozen_vps_is_frozen_again_when_its_backup_is_in_its_place(vpss, tmp_path):
    module, task = way("restore", tmp_path)
    kit.container(NAME, state="frozen")
    kit.ok(module, **task, stop_timeout=0)
    assert state() == "FROZEN" and not mark()


def test_a_restart_that_is_refused_leaves_no_mark(vpss):
    """What ends by itself has done what it could."""
    shutil.rmtree(kit.rootfs(NAME) / "sbin", ignore_errors=True)
    (kit.rootfs(NAME) / "sbin").write_text("no init is here\n", encoding="ascii")
    kit.fails("vps_container", name=NAME, state="present", restart_policy="always", description="other", stop_timeout=0)
    assert not mark()
