# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples in the documentation of vps_container, vps_limits and vps_info, run as they are written."""

from __future__ import annotations

import pytest
import vps_kit as kit

NAMES = ("web1", "web2", "mail1")


def test_examples_run_as_written(tmp_path):
    """One after the other, through ansible-playbook; those that settle change nothing when they run again."""
    if any(kit.info(name) for name in NAMES):
        pytest.skip("this node has a VPS web1, web2 or mail1 of somebody's, which the examples would change and remove")
    tasks = kit.examples("vps_template")[:1] + kit.examples("vps_container")[:1] + kit.examples("vps_limits") + kit.examples("vps_info")
    tasks += kit.examples("vps_container")[1:]
    try:
        with kit.plans({"small": {"memory": "512M", "processes": "300"}}):
            kit.play(tmp_path, [{**task, "register": task.get("register", "told")} for task in tasks])
        assert kit.info("web1") is None, "the last example did not remove it"
    finally:
        for name in NAMES:
            if kit.info(name):
                kit.ok("vps_container", name=name, state="present", protected=False)
            kit.ok("vps_container", name=name, state="absent")


def test_check_and_diff_through_ansible(tmp_path, minimal):
    """`--check --diff` shows the change, writes nothing, and the run changes what it said."""
    task = {"name": "A VPS", "mainline.vps.vps_container": {"name": "it-play", "template": minimal, "hostname": "played"}}
    with kit.Untouched():
        foretold = kit.play(tmp_path, [task], "--check", "--diff")
    assert "+" in foretold and "played" in foretold and "changed=1" in foretold
    done = kit.play(tmp_path, [task], "--diff")
    assert "changed=1" in done
    assert "changed=0" in kit.play(tmp_path, [task], "--diff")
