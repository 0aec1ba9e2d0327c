# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks for whole sites, run as they are, on a site of one node."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
import vps_kit as kit
from conftest import name, state


@pytest.fixture
def site(fleet, tmp_path):
    """Run one of the playbooks with the variables of a site; its exit code, and what it printed."""

    def run(playbook: str, **variables) -> tuple[int, str]:
        node = {"ansible_connection": "local", "ansible_python_interpreter": kit.NODE_PYTHON}
        inventory = tmp_path / "inventory.json"
        site = {"fleet_defaults": fleet.defaults, **variables}
        inventory.write_text(json.dumps({"all": {"vars": site, "children": {"nodes": {"hosts": {"node1": node}}}}}), encoding="utf-8")
        book = kit.collections_folder() / f"ansible_collections/mainline/vps/playbooks/{playbook}.yml"
        done = subprocess.run(
            ["ansible-playbook", "-i", str(inventory), str(book)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600, env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_fleet_is_what_its_list_says(site):
    wish = {"fleet_vpss": [{"name": name("a"), "limits": {"plan": "small"}}, {"name": name("b")}], "fleet_plans": {"small": {"memory": "64M"}}}
    code, output = site("fleet", **wish)
    assert code == 0 and [state(word) for word in "ab"] == ["started"] * 2, output
    assert kit.kernel_limits(name("a")) == kit.limit_files(memory=64 << 20)
    code, output = site("fleet", **wish)
    assert code == 0 and re.search(r"node1 .*changed=0 ", output), output


def test_what_is_placed_on_a_node_is_made_there_in_one_task_and_nothing_else_is_touched(site, fleet):
    fleet.ok({"name": "other"})
    small = {"name": name("a"), "labels": {"cluster": "acme"}, "hostname": "placed", "node": "node1"}
    wish = {"fleet": [small, {"name": name("b"), "limits": {"memory": "32M"}}], "fleet_plans": {"small": {"memory": "64M"}}}
    wish["fleet_defaults"] = {**fleet.defaults, "limits": {"plan": "small", "diskspace": "100M"}}
    code, output = site("place", **wish)
    assert code == 0 and [state(word) for word in ("a", "b", "other")] == ["started"] * 3, output
    assert kit.said(name("a"), "hostname") == "placed"
    assert kit.kernel_limits(name("a")) == kit.limit_files(memory=64 << 20)
    assert kit.kernel_limits(name("b")) == kit.limit_files(memory=32 << 20)
    assert name("other") in output, "who is not listed is told"
    assert output.count("TASK [All of this node's VPSs in one task]") == 1
    code, output = site("place", **wish)
    assert code == 0 and re.search(r"node1 .*changed=0 ", output), output


def test_one_that_has_no_place_keeps_no_other_from_its_own(site):
    code, output = site("place", fleet=[{"name": name("a"), "limits": {"memory": "32M"}}, {"name": name("b"), "limits": {"memory": "900G"}}])
    assert code != 0 and f"{name('b')}: no place" in output, output
    assert [state(word) for word in "ab"] == ["started", "absent"]
