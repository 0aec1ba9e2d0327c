# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin by Ansible's own programs: this node's VPSs, and the files that are sources."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
import vps_kit as kit
from site_kit import FROZEN, OURS, RUNS, STOPPED, members, ours, variables

# -- this node ----------------------------------------------------------------------------------------------------------


def test_the_vpss_of_this_machine_are_hosts(site):
    site.vps()
    listed = site.listed()
    assert ours(listed) == OURS
    assert members(listed, "vps") == members(listed, "vps_node_localhost") == OURS
    assert members(listed, "vps_template_it_minimal") == OURS
    assert members(listed, "vps_state_started") == members(listed, "vps_label_tier_web") == {RUNS}
    assert members(listed, "vps_state_stopped") == {STOPPED}
    assert members(listed, "vps_state_frozen") == {FROZEN}
    assert {"vps_node_localhost", "vps_state_started"} <= set(listed["vps"]["children"])


def test_a_host_knows_what_vps_info_says(site):
    site.vps()
    told = variables(site.listed(), RUNS)
    info = kit.info(RUNS)
    same = {name for name in told if name.removeprefix("vps_") in info}
    assert len(same) == 15 and {name: told[name] for name in same} == {name: info[name.removeprefix("vps_")] for name in same}
    assert told["vps_node"] == "localhost" and told["vps_labels"] == {"tier": "web"} and told["ansible_connection"] == "mainline.vps.vps"
    assert not [name for name in told if "password" in name or "key" in name]


def test_a_graph_shows_them_below_their_group(site):
    site.vps()
    graph = site.run("ansible-inventory", "--graph", "vps").stdout
    assert graph.startswith("@vps:\n") and f"|--{RUNS}\n" in graph


def test_tasks_run_in_them_running_or_stopped(site):
    site.vps()
    done = site.run("ansible", f"{RUNS},{STOPPED}", "-m", "ansible.builtin.raw", "-a", "hostname; echo $container")
    assert f"{RUNS}\nlxc" in done.stdout and f"{STOPPED}\nlxc" in done.stdout


def test_states_can_be_chosen(site):
    site.vps(states=["stopped", "frozen"])
    assert ours(site.listed()) == {STOPPED, FROZEN}


def test_groups_can_be_chosen(site):
    site.vps(group_by=["state"])
    listed = site.listed()
    assert members(listed, "vps") == OURS and "vps_state_started" in listed and "vps_node_localhost" not in listed
    site.vps(group_by=[])
    assert not [name for name in site.listed() if name.startswith("vps_")]


def test_what_is_made_of_the_variables(site):
    site.vps(
        hostname="vps_name ~ '.' ~ vps_node", compose={"memory": "vps_limits.memory | default('all')"}, groups={"off": "vps_state != 'started'"},
        keyed_groups=[{"key": "vps_storage", "prefix": "on"}, {"key": "extra", "separator": ""}], use_extra_vars=True,
    )
    listed = site.listed("-e", "extra=more")
    assert variables(listed, f"{RUNS}.localhost")["memory"] == "64M" and variables(listed, f"{STOPPED}.localhost")["memory"] == "all"
    assert {f"{STOPPED}.localhost", f"{FROZEN}.localhost"} <= set(listed["off"]["hosts"]) and f"{RUNS}.localhost" not in listed["off"]["hosts"]
    assert f"{RUNS}.localhost" in listed["on_btrfs"]["hosts"] and f"{RUNS}.localhost" in listed["more"]["hosts"]
    assert "it works" in site.run("ansible", f"{RUNS}.localhost", "-m", "ansible.builtin.raw", "-a", "echo it works").stdout


def test_a_separator_in_front_can_be_left_out(site):
    site.vps(keyed_groups=[{"key": "vps_storage"}], leading_separator=False)
    assert RUNS in site.listed()["btrfs"]["hosts"]


def test_nothing_that_a_record_says_is_evaluated(site, vpss):
    site.vps(
        compose={"told": "vps_description ~ '!'", "same": "vps_description"}, keyed_groups=[{"key": "vps_description", "prefix": "d"}],
        groups={"odd": "'pipe' in vps_description"},
    )
    listed = site.listed()
    assert str(vpss) in variables(listed, STOPPED)["vps_description"] and members(listed, "odd") == {STOPPED}
    book = [{"hosts": STOPPED, "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "{{ vps_description }}|{{ told }}|{{ same }}"}}]}]
    site.write("book.yml", book)
    assert str(vpss) in site.run("ansible-playbook", "book.yml").stdout
    site.vps(hostname="vps_description")
    site.run("ansible-inventory", "--list")
    assert not vpss.exists()


def test_it_is_quick(site):
    """Beside an inventory without a node; the rest is the start of the program."""
    site.vps()
    site.source("hosts.yml", {"all": {"hosts": {"other": {}}}})
    took = {}
    for sources in (["hosts.yml"], ["site.vps.yml"]):
        site.sources = sources
        started = time.monotonic()
        site.run("ansible-inventory", "--list")
        took[sources[0]] = time.monotonic() - started
    assert took["site.vps.yml"] - took["hosts.yml"] < 5


# -- files --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vps.yml", "vps.yaml", "my.vps.yml"])
def test_files_of_these_names_are_ours(site, name):
    site.source(name, {"plugin": "mainline.vps.vps"})
    assert ours(site.listed()) == OURS


@pytest.mark.parametrize("name", ["hosts.yml", "myvps.yml", "vps.ini", "my.vps"])
def test_files_of_others_are_not(site, name):
    site.source(name, {"plugin": "mainline.vps.vps"})
    found, warnings = site.warned()
    assert not ours(found) and warnings


def test_another_plugins_file_is_not_ours(site):
    site.source("vps.yml", {"plugin": "ansible.builtin.constructed"})
    assert not ours(site.listed())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"nodes": [{"ansible_host": "x", "ansible_password": "s3cret"}]}, "has no name"), ({"nodes": [{"name": "n", "user": "x"}]}, "start with ansible_"),
        ({"hostname": "nothing.at_all"}, "hostname"), ({"hostname": "'a b'"}, "hostname: 'a b'"), ({"hostname": "'same'"}, None),
        ({"states": ["up"]}, "states"), ({"timeout": 0}, "timeout: 0 is"),
        ({"group_by": ["moon"]}, "group_by"), ({"timeout": "soon"}, "timeout"), ({"nodes": ["nowhere"]}, "no host and no group 'nowhere'"),
    ],
)
def test_a_wrong_option_is_said(site, options, word):
    site.vps(**options)
    found, warnings = site.warned()
    assert not ours(found) and "s3cret" not in str(warnings)
    assert word is None or word in str(warnings)


def test_examples_are_taken_as_written(site):
    told = subprocess.run(["ansible-doc", "-t", "inventory", "-j", "mainline.vps.vps"], capture_output=True, text=True, check=True, timeout=60).stdout
    examples = json.loads(told)["mainline.vps.vps"]["examples"].split("---\n")[1:]
    assert len(examples) >= 4
    site.source("hosts.yml", {"nodes": {"hosts": {"node1": {"ansible_connection": "local", "ansible_python_interpreter": kit.NODE_PYTHON}}}})
    site.sources.append("vps.yml")
    for number, example in enumerate(examples):
        (site.folder / "vps.yml").write_text(example, encoding="utf-8")
        done = site.run("ansible-inventory", "--list")
        if "192.0.2." in example:
            assert done.stderr.count("is left out") == 2, done.stderr
            continue
        assert "WARNING" not in done.stderr, done.stderr
        assert RUNS in done.stdout, number
