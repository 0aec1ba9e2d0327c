# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples in the documentation of vps_snapshot, run as they are written, but for the name of the VPS."""

from __future__ import annotations

import vps_kit as kit

NAME = "it-snap-web1"


def test_examples_run_as_written(tmp_path, minimal):
    kit.container(NAME, template=minimal)
    tasks = [
        {**task, "mainline.vps.vps_snapshot": {**task["mainline.vps.vps_snapshot"], "vps": NAME}} for task in kit.examples("vps_snapshot")
    ]
    output = kit.play(tmp_path, tasks)
    assert f"changed={len(tasks) - 1}" in output, output  # nothing has expired yet
    names = [one["name"] for one in kit.ok("vps_snapshot", vps=NAME)["snapshots"]]
    assert names[0] == "after-upgrade" and names[1].startswith("daily-2") and len(names) == 2


def test_what_it_returns_is_what_is_documented(minimal):
    kit.container(NAME, template=minimal, state="stopped")
    told = kit.ok("vps_snapshot", vps=NAME, name="one")
    documented = kit.documented_result("vps_snapshot")
    assert set(documented["snapshots"]["contains"]) == set(told["snapshots"][0])
    assert set(documented["changes"]["contains"]) == set(told["changes"][0])
