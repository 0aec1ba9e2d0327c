# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many nodes: over SSH, with VPSs of one name, and those that are not as they should be; and the cache of what they answer."""

from __future__ import annotations

import json

import pytest
import vps_kit as kit
from site_kit import MARK, OURS, RUNS, STOPPED, answer, members, ours, record, says, variables
from vps_sshd import free_port

# -- many nodes ---------------------------------------------------------------------------------------------------------


def test_a_node_over_ssh_by_what_group_vars_say(site, ssh_node):
    """They are not among the variables of a host yet when the plugin runs."""
    site.source("hosts.yml", {"nodes": {"hosts": {"far": {"ansible_host": "127.0.0.1"}}}})
    site.write("group_vars/nodes.yml", {**ssh_node.variables(), "ansible_port": "{{ port_of_the_node }}"})
    site.write("host_vars/far.yml", {"port_of_the_node": ssh_node.port})
    site.vps(nodes=["nodes"])
    listed = site.listed()
    assert members(listed, "vps_node_far") == OURS and variables(listed, RUNS)["vps_node"] == "far"
    before = ssh_node.logins()
    done = site.run("ansible", f"{RUNS},{STOPPED}", "-m", "ansible.builtin.raw", "-a", "echo from $(hostname)")
    assert f"from {RUNS}" in done.stdout and f"from {STOPPED}" in done.stdout
    assert ssh_node.logins() - before <= 1


def test_a_node_that_no_other_source_has(site, ssh_node):
    described = {"name": "far", **ssh_node.variables(), "ansible_port": f"{{{{ {ssh_node.port - 1} + 1 }}}}"}
    site.vps(nodes=[described])
    listed = site.listed()
    assert members(listed, "vps_node_far") == OURS and "far" not in listed["_meta"]["hostvars"]
    assert f"from {RUNS}" in site.run("ansible", RUNS, "-m", "ansible.builtin.raw", "-a", "echo from $(hostname)").stdout


def test_two_nodes_whose_vpss_have_one_name(site, ssh_node):
    """Here it is one machine, asked in two ways."""
    site.source("hosts.yml", {"all": {"hosts": {"far": ssh_node.variables()}}})
    site.vps(nodes=["far", "localhost"])
    listed = site.listed()
    assert not ours(listed)
    assert {f"{name}@{node}" for name in OURS for node in ("far", "localhost")} <= set(listed["vps"]["hosts"])
    done = site.run("ansible", f"{RUNS}@far,{RUNS}@localhost", "-m", "ansible.builtin.raw", "-a", "echo from $(hostname)")
    assert done.stdout.count(f"from {RUNS}") == 2


def test_a_vps_called_as_a_node_does_not_take_its_place(site):
    site.source("hosts.yml", {"web": {"hosts": {RUNS: {"ansible_connection": "local", "ansible_python_interpreter": kit.NODE_PYTHON}}}})
    site.vps(nodes=["web"])
    listed = site.listed()
    assert variables(listed, RUNS)["ansible_connection"] == "local" and f"{RUNS}@{RUNS}" in listed["vps"]["hosts"]


def test_a_host_of_a_group_of_ones_own_stays_in_it(site):
    """Sources may name VPSs before they are found."""
    site.source("hosts.yml", {"shop": {"hosts": {RUNS: {"tier": "front"}}}})
    site.vps()
    told = site.listed()
    assert told["shop"]["hosts"] == [RUNS] and variables(told, RUNS)["tier"] == "front" and variables(told, RUNS)["vps_state"] == "started"


def test_an_unreachable_node_is_one_warning(site):
    site.source("hosts.yml", {"nodes": {"hosts": {"dead": {"ansible_host": "127.0.0.1", "ansible_port": free_port()}}}})
    site.vps(nodes=["nodes", "localhost"])
    listed, warnings = site.warned()
    assert ours(listed) == OURS and len(warnings) == 1
    assert warnings[0].startswith("nodes: dead is left out: ") and warnings[0].endswith(".") and "refused" in warnings[0]


def test_an_unreachable_node_is_an_error_where_it_is_asked_for(site):
    site.source("hosts.yml", {"nodes": {"hosts": {"dead": {"ansible_host": "127.0.0.1", "ansible_port": free_port()}}}})
    site.vps(nodes=["nodes", "localhost"], strict=True)
    listed, warnings = site.warned()
    assert not ours(listed) and "dead is left out" in str(warnings)
    site.environment = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}
    assert site.run("ansible-inventory", "--list", check=False).returncode != 0


@pytest.mark.parametrize(
    ("output", "before", "word"),
    [
        ("", "", "did not answer with a list"), (f"{MARK}{{", "", "no list of VPSs"), (f"{MARK}{{\"error\": \"it is ill\"}}", "", "it is ill."),
        ("", "sleep 1000", "within 3 seconds"),
        ("", "head -c 40000000 /dev/zero", "more than"), ("", "echo no >&2; exit 3", "ended with 3: no"), ("", "kill -9 $$", "137"),
    ],
)
def test_a_node_that_says_something_else_is_one_warning(site, tmp_path, output, before, word):
    site.vps(nodes=[says(tmp_path, "odd", output, before=before), "localhost"], timeout=3)
    listed, warnings = site.warned()
    assert ours(listed) == OURS and len(warnings) == 1, warnings
    assert warnings[0].startswith("nodes: odd is left out: ") and word in warnings[0] and warnings[0].endswith("."), warnings


def test_a_damaged_record_hides_no_other(site, tmp_path):
    site.vps(nodes=[says(tmp_path, "odd", answer(record("good1"), record("bad1", limits=7), record("../x"), record("good2", init=None)))])
    listed, warnings = site.warned()
    assert listed["vps"]["hosts"] == ["good1"] and len(warnings) == 3
    assert any(each.startswith("nodes: VPS 'bad1' of odd is left out: ") for each in warnings)


def test_plans_and_labels_are_groups(site, tmp_path):
    site.vps(nodes=[says(tmp_path, "odd", answer(record("a", plan="small", labels={"tier": "front-end"}), record("b")))])
    listed = site.listed()
    assert listed["vps_plan_small"]["hosts"] == listed["vps_label_tier_front_end"]["hosts"] == ["a"]


def test_vpss_called_as_what_there_is_already(site, tmp_path):
    names = ["localhost", "vps", "all", "ungrouped", "mine"]
    site.vps(nodes=[says(tmp_path, "odd", answer(*map(record, names)))], groups={"mine": "true"})
    assert set(site.listed()["vps"]["hosts"]) == {f"{name}@odd" for name in names}


def test_a_later_source_takes_no_vps_of_an_earlier_one(site, tmp_path):
    site.source("a.vps.yml", {"plugin": "mainline.vps.vps", "nodes": [says(tmp_path, "one", answer(record("a"), record("b")))]})
    site.source("b.vps.yml", {"plugin": "mainline.vps.vps", "nodes": [says(tmp_path, "two", answer(record("b")))]})
    site.source("c.vps.yml", {"plugin": "mainline.vps.vps", "nodes": [says(tmp_path, "one", answer(record("a"), record("b")))]})
    listed = site.listed()
    assert set(listed["vps"]["hosts"]) == {"a", "b", "b@two"} and variables(listed, "b")["ansible_vps_node"] == "one"


def test_an_empty_group_of_nodes_is_no_mistake(site):
    site.source("hosts.yml", {"nodes": {"hosts": {}}})
    site.vps(nodes=["nodes"])
    assert not ours(site.listed())


def test_a_vps_that_a_play_makes_is_there_when_it_asks_again(site, minimal):
    name = f"{kit.PREFIX}inv-new"
    site.vps()
    make = {"mainline.vps.vps_container": {"name": name, "template": minimal, "state": "started", "wait": "booted"}}
    tasks = [make, {"meta": "refresh_inventory"}]
    node = {"hosts": "localhost", "gather_facts": False, "vars": {"ansible_python_interpreter": kit.NODE_PYTHON}, "tasks": tasks}
    inside = {"hosts": "vps_state_started", "gather_facts": False, "tasks": [{"ansible.builtin.raw": "echo I am $(hostname)", "when": "vps_name == the_new"}]}
    site.write("book.yml", [node, inside])
    done = site.run("ansible-playbook", "-v", "-e", f"the_new={name}", "book.yml")
    assert f"I am {name}" in done.stdout and "WARNING" not in done.stderr, done.stderr


def test_a_login_that_is_not_root_is_said(site, tmp_path):
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups {kit.NODE_PYTHON} \"$@\"\n", encoding="utf-8")
    script.chmod(0o755)
    site.vps(nodes=[{"name": "odd", "ansible_connection": "local", "ansible_python_interpreter": str(script)}])
    _listed, warnings = site.warned()
    assert len(warnings) == 1 and "set ansible_become for the node" in warnings[0]


def test_root_is_what_the_node_is_asked_as(site):
    site.vps(nodes=[{"name": "odd", "ansible_connection": "local", "ansible_become": True, "ansible_python_interpreter": kit.NODE_PYTHON}])
    assert ours(site.listed()) == OURS


# -- the cache ----------------------------------------------------------------------------------------------------------


def test_the_cache_is_written_and_used(site, ssh_node):
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(site.folder / "cache")}
    site.source("hosts.yml", {"all": {"hosts": {"far": {**ssh_node.variables(), "ansible_ssh_args": "-o ControlMaster=no"}}}})
    site.vps(nodes=["far"], **cache)
    before = ssh_node.logins()
    first = site.listed()
    assert ssh_node.logins() == before + 1 and ours(first) == OURS
    assert site.listed() == first
    assert ssh_node.logins() == before + 1, "the node was asked although the cache has its answer"
    kept = "".join(path.read_text(encoding="utf-8") for path in (site.folder / "cache").iterdir())
    assert RUNS in kept and "password" not in kept and "authorized_keys" not in kept
    site.write("book.yml", [{"hosts": RUNS, "gather_facts": False, "tasks": []}])
    assert RUNS in site.run("ansible-playbook", "book.yml", "--list-hosts", "--flush-cache").stdout
    assert ssh_node.logins() == before + 2, "--flush-cache did not ask the node"
    site.vps(nodes=["far", "localhost"], states=["started"], **cache)
    assert f"{RUNS}@far" in site.listed()["vps"]["hosts"]
    assert ssh_node.logins() == before + 2, "one node more, and the others were asked again"


def test_a_damaged_cache_is_no_answer(site):
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(site.folder / "cache")}
    site.vps(**cache)
    site.listed()
    for path in (site.folder / "cache").iterdir():
        path.write_text(json.dumps({"localhost": ["x"]}), encoding="utf-8")
    assert ours(site.listed()) == OURS


def test_a_task_takes_what_the_node_is_known_by_then(site, ssh_node):
    """Files beside a playbook are read when it runs, and not for the inventory."""
    site.source("hosts.yml", {"nodes": {"hosts": {"far": ssh_node.variables()}}})
    site.vps(nodes=["far"], cache=True, cache_plugin="ansible.builtin.jsonfile", cache_connection=str(site.folder / "cache"))
    site.listed()
    site.write("hosts.yml", {"nodes": {"hosts": {"far": {"ansible_port": free_port()}}}})
    tasks = [{"ansible.builtin.raw": "echo from $(hostname)", "register": "told"}, {"ansible.builtin.debug": {"var": "told.stdout_lines"}}]
    site.write("plays/book.yml", [{"hosts": RUNS, "gather_facts": False, "tasks": tasks}])
    assert "UNREACHABLE" in site.run("ansible-playbook", "plays/book.yml", check=False).stdout
    site.write("plays/host_vars/far.yml", ssh_node.variables())
    assert f"from {RUNS}" in site.run("ansible-playbook", "plays/book.yml").stdout
