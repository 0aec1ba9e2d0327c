# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A roll back that fails on the way, wherever that is: the VPS has the disk and the record that it had, and runs.

What fails is a program or the kernel, which does as told here only at this one place; all else is the real node.
"""

from __future__ import annotations

import os

import pytest
import vps_kit as kit
from ansible_collections.mainline.vps.plugins.module_utils import runner, snapshot_subject
from ansible_collections.mainline.vps.plugins.module_utils.core import snapshots
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.node import engine, guest, locks, snapshot_steps, vps_steps
from ansible_collections.mainline.vps.plugins.module_utils.node.node import Node

NAME = "it-snap-refused"
THEN = {"hostname": "then", "description": "then", "limits": {"diskspace": "200M", "processes": "50"}}
NOW = {"hostname": "now", "description": "now", "limits": {"diskspace": "300M", "processes": "60"}}
TASK = {
    "vps": NAME, "name": "one", "state": "rolled_back", "frozen": False, "restore_configuration": True, "keep_current": None, "stop_timeout": 0,
    "wait": "running", "wait_timeout": 60, "lock_timeout": 60,
}
# Who fails.
PLACES = {
    "the copy": (snapshot_steps, "_prepare"), "the stop": (engine, "stop"), "what is kept": (snapshot_steps, "take"),
    "a promise": (vps_steps, "refuse_promised"), "the kernel": (vps_steps, "_apply"),
}


@pytest.fixture(params=["btrfs", "image"])
def vps(request, minimal):
    """A VPS with another disk and another configuration than its snapshot."""
    kit.container(NAME, template=minimal, storage=request.param, state="stopped", **THEN)
    kit.ok("vps_snapshot", vps=NAME, name="one")
    kit.container(NAME, state="stopped", **NOW)
    kit.container(NAME, wait="booted")
    kit.shell(NAME, "echo mine >/mark; sync")


def roll_back(**more) -> dict:
    """In this process."""
    return runner.reconcile(snapshot_subject.SNAPSHOT, {**TASK, **more}, Node(), check=False)


def is_as_it_was() -> None:
    """It runs, on the disk that it had, with the record that it had; and nobody's remains are there."""
    assert kit.info(NAME)["state"] == "started" and kit.said(NAME, "cat", "/mark") == "mine"
    again = kit.ok("vps_container", name=NAME, **NOW)
    assert {change["before"] for change in again["changes"]} <= {"not applied"}, again["changes"]
    assert not kit.ok("vps_container", name=NAME, **NOW)["changed"]
    assert kit.said(NAME, "cat", "/etc/hostname") == "now"
    assert not [entry for entry in os.listdir(kit.pool() / "vps") if entry.startswith(".") and NAME in entry]
    assert [one["name"] for one in kit.ok("vps_snapshot", vps=NAME)["snapshots"]] == ["one"]


@pytest.mark.parametrize("place", PLACES)
def test_it_has_what_it_had(vps, monkeypatch, place):
    monkeypatch.setattr(*PLACES[place], _fails)
    with pytest.raises(VpsError, match="^test: "):
        roll_back(**({"keep_current": "two"} if place == "what is kept" else {}))
    monkeypatch.undo()
    is_as_it_was()
    roll_back()
    assert kit.shell(NAME, "test -e /mark", check=False).returncode == 1
    assert not kit.ok("vps_container", name=NAME, **THEN)["changed"]


def test_a_pool_that_fills_up_after_it_was_looked_at_leaves_all_as_it_is(vps, monkeypatch):
    monkeypatch.setattr(snapshots, "LEAST_FREE", 0)
    monkeypatch.setattr(guest, "apply", _full)
    monkeypatch.setattr(engine, "stop", _full)
    with pytest.raises(OSError, match="No space"):
        roll_back(restore_configuration=False)
    monkeypatch.undo()
    is_as_it_was()
    assert not locks.is_held("vps", NAME)


def _fails(*_arguments, **_more) -> None:
    raise VpsError("test: this fails.")


def _full(*_arguments, **_more) -> None:
    raise OSError(28, os.strerror(28))
