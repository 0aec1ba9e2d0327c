# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/place.yml decides by what nodes have told of themselves: two nodes and one that has not answered, in an inventory of made-up facts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.mainline.vps.plugins.module_utils.core import capacity
from ansible_collections.mainline.vps.plugins.module_utils.core.capacity import Present, Room
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits

ROOT = Path(__file__).parents[2]
GIB = 1 << 30
PRESENT = Present(memory=4 * GIB, swap=0, cpu=400, disk=100 * GIB, processes=32768)
FLEET = [
    {"name": "web", "template": "minimal", "limits": {"memory": "1G"}},
    {"name": "db1", "template": "minimal", "limits": {"plan": "large"}, "labels": {"cluster": "acme"}},
    {"name": "db2", "template": "minimal", "limits": {"plan": "large"}, "labels": {"cluster": "acme"}},
    {"name": "huge", "template": "minimal", "limits": {"memory": "8G"}, "node": "node1"},
]


def told(*there: str) -> dict:
    """What vps_info returns of a node with VPSs of 1 GiB."""
    room = Room(PRESENT, {"memory": 100}, tuple(Limits(memory=GIB) for _name in there))
    return {"node": {"capacity": capacity.report(room, {})}, "vpss": [{"name": name, "limits": {"memory": "1G"}, "labels": {}} for name in there]}


@pytest.fixture
def inventory(tmp_path):
    """A group `nodes` whose hosts have been read, and the list of VPSs, as a site has them."""

    def written(**nodes: dict | None) -> Path:
        hosts = {name: {} if told is None else {"node_now": told} for name, told in nodes.items()}
        site = {"fleet": FLEET, "fleet_plans": {"large": {"memory": "2G"}}, "fleet_apart": {"cluster": "hard"}}
        path = tmp_path / "hosts.yml"
        path.write_text(yaml.safe_dump({"all": {"vars": site, "children": {"nodes": {"hosts": hosts}}}}), encoding="utf-8")
        return path

    return written


def play(inventory: Path, tmp_path: Path) -> tuple[int, dict]:
    """The exit code, and what each task has returned, by its name; without the tasks that ask nodes, and those that change them."""
    live = os.environ.get("ANSIBLE_COLLECTIONS_PATH") or str(ROOT / ".build/live")
    own = {"ANSIBLE_HOME": str(tmp_path), "ANSIBLE_COLLECTIONS_PATH": live, "LC_ALL": "C.UTF-8", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), "--tags", "place", str(ROOT / "playbooks/place.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **own}, timeout=300)
    return done.returncode, results(done.stdout)


def results(output: str) -> dict:
    """What Ansible's own callback has shown as JSON, by the names of the tasks."""
    found: dict = {}
    for task in output.split("\nTASK [")[1:]:
        name, _bracket, rest = task.partition("]")
        _before, arrow, shown = rest.partition(" => ")
        if arrow:
            found[name], _end = json.JSONDecoder().raw_decode(shown)
    return found


def test_each_vps_goes_where_there_is_room_and_one_that_has_none_is_told_and_fails_the_play(inventory, tmp_path):
    code, shown = play(inventory(node1=told("web"), node2=told()), tmp_path)
    new = {one["name"]: one["node"] for one in shown["Where those go that are new, and why"]["msg"]}
    assert new.keys() == {"db1", "db2"}
    assert set(new.values()) == {"node1", "node2"}
    (huge,) = shown["Those that have no place"]["msg"]
    assert huge["why"] == "It is pinned to node1: 1G of memory left; 8G wanted, by overcommit.memory."
    assert code != 0
    assert shown["Fail if a VPS has no place"]["msg"].startswith("huge: no place")


def test_while_a_node_has_not_answered_nothing_is_made_that_may_be_on_it(inventory, tmp_path):
    code, shown = play(inventory(node1=told("web"), node2=told(), node3=None), tmp_path)
    assert shown["Where those go that are new, and why"]["msg"] == []
    refused = {one["name"]: one["why"] for one in shown["Those that have no place"]["msg"]}
    assert refused.keys() == {"db1", "db2", "huge"}
    assert refused["db1"].startswith("No node has told of it, and it may be on node3, which did not answer")
    assert code != 0
