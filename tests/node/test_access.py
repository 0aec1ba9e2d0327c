# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory and connection plugin from a controller to VPSs of a stock machine, over SSH, as a login that is not root, running and stopped."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from ansible_collections.mainline.vps.tests.node.play import finish, play, start

pytestmark = pytest.mark.long

NAMES = ("one", "two")
# The node's own Python, in VPSs that have busybox and nothing else.
GIVE_PYTHON = """
cd $(dirname $(readlink -f /var/lib/lxc/{name}))/{name}/rootfs
mkdir -p usr/bin usr/lib lib64
cp -L /usr/bin/python3 usr/bin/
version=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
tar --create --directory=/usr/lib --exclude=__pycache__ --exclude=test --exclude=pydoc_data --exclude=lib2to3 $version |
    tar --extract --no-same-owner --directory=usr/lib
for file in /usr/bin/python3 /usr/lib/$version/lib-dynload/*.so; do ldd $file | grep -o '/[^ ]* (0x' | cut -d ' ' -f 1; done | sort -u |
    while read -r library; do mkdir -p .$(dirname $library); cp -L $library .$library; done
"""
SITE = {"plugin": "mainline.vps.vps", "nodes": ["node"], "timeout": 300, "keyed_groups": [{"key": "vps_labels.tier", "prefix": "tier"}]}
# Longer than a pipe holds, with bytes that are no text.
PAYLOAD = bytes(range(256)) * 2000
TASKS = [
    {"name": "facts", "ansible.builtin.setup": {"gather_subset": ["!all", "platform"]}},
    {"name": "ids", "ansible.builtin.raw": "id -u; cat /proc/self/uid_map"},
    {"name": "put", "ansible.builtin.copy": {"src": "payload ü", "dest": "/root/payload ü", "mode": "0640"}},
    {"name": "fetch", "ansible.builtin.fetch": {"src": "/root/payload ü", "dest": "fetched-{{ inventory_hostname }}", "flat": True}},
    {"name": "code", "ansible.builtin.command": "sh -c 'echo out; echo err >&2; exit 7'", "register": "ended", "failed_when": "ended.rc != 7"},
    {"name": "raw code", "ansible.builtin.raw": "cat; exit 9", "register": "told", "failed_when": "told.rc != 9"},
]


@pytest.fixture(scope="module")
def guests(node):
    """Two VPSs with a Python of their own, stopped; and a folder with an inventory that finds them."""
    tasks = [
        {"mainline.vps.vps_container": {"name": name, "template": "minimal", "state": "stopped", "hostname": f"{name}.example.com", "labels": {"tier": name}}}
        for name in NAMES
    ]
    play(node, tasks)
    for name in NAMES:
        node.root(GIVE_PYTHON.format(name=name))
    (node.folder / "payload ü").write_bytes(PAYLOAD)
    (node.folder / "site.vps.yml").write_text(json.dumps(SITE), encoding="utf-8")
    (node.folder / "host_vars").mkdir()
    (node.folder / "host_vars/node.yml").write_text(json.dumps({"ansible_become": True}), encoding="utf-8")  # as whom, the inventory does not say
    yield node
    shutil.rmtree(node.folder / "host_vars")
    play(node, [{"mainline.vps.vps_container": {"name": name, "state": "absent"}} for name in NAMES])


def inside(node, tasks: list[dict]) -> dict[str, list[dict]]:
    """Tasks on all VPSs that the inventory finds; each task's results, of one VPS after the other."""
    path = node.folder / "inside.yml"
    path.write_text(json.dumps([{"hosts": "vps", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    done = finish(node, start(node, path, "-i", str(node.folder / "site.vps.yml"), "-e", "ansible_python_interpreter=/usr/bin/python3"))
    assert done.code == 0, done.output[-6000:]
    found: dict[str, list[dict]] = {}
    for result in done.results:
        found.setdefault(result["task"], []).append(result["result"])
    return found


def as_asked(node, told: dict[str, list[dict]]) -> None:
    """What TASKS come to, wherever they run."""
    for task in TASKS:
        assert len(told[task["name"]]) == len(NAMES), told
    for name in NAMES:
        assert (node.folder / f"fetched-{name}").read_bytes() == PAYLOAD
    for ended in told["code"]:
        assert (ended["stdout"], ended["stderr"]) == ("out", "err")
    for ids in told["ids"]:
        user, mapped = ids["stdout"].splitlines()
        assert user == "0" and mapped.split()[1] != "0", "it is the node's root"
    for name in NAMES:  # inside, AppArmor tells of the VPS's own namespace only
        label = node.root(f"/etc/vps/enter {name} -- sleep 987 & sleep 15; cat /proc/$(pgrep -nxf 'sleep 987')/attr/current; pkill -xf 'sleep 987'; wait")
        assert label.startswith(f"lxc-{name}_") and label.endswith("(enforce)"), label


def test_tasks_run_in_all_vpss_of_a_node_stopped_and_running(guests):
    as_asked(guests, inside(guests, TASKS))
    for name in NAMES:
        assert guests.root(f"lxc-info -sH -n {name}") == "STOPPED"
    play(guests, [{"mainline.vps.vps_container": {"name": name}} for name in NAMES])
    seen = [{"name": "kept", "ansible.builtin.stat": {"path": "/root/payload ü", "checksum_algorithm": "sha256"}}, *TASKS]
    told = inside(guests, seen)
    as_asked(guests, told)
    assert {one["stat"]["checksum"] for one in told["kept"]} == {hashlib.sha256(PAYLOAD).hexdigest()}, "what was put there while it was stopped"
    assert sorted(one["ansible_facts"]["ansible_nodename"] for one in told["facts"]) == ["one.example.com", "two.example.com"]


def test_one_connection_to_the_node_is_enough_for_all(guests):
    counted = "journalctl -u ssh -o cat | grep -c 'Accepted publickey'"
    before = int(guests.root(counted))
    told = inside(guests, [{"name": "often", "ansible.builtin.raw": "echo {{ item }}", "loop": list(range(10))}])
    assert all(len(one["results"]) == 10 for one in told["often"])
    assert int(guests.root(counted)) - before <= 1
