# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin by Ansible's own programs: this node's VPSs, locally and over SSH, and nodes that are not as they should be."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import time

import pytest
import vps_kit as kit
import yaml
from vps_sshd import free_port, ssh_node  # noqa: F401, a fixture

RUNS, STOPPED, FROZEN = (f"{kit.PREFIX}inv-{what}" for what in ("runs", "stopped", "frozen"))
OURS = {RUNS, STOPPED, FROZEN}
MARK = "mainline.vps inventory "


@pytest.fixture(scope="module", autouse=True)
def vpss(minimal, tmp_path_factory):
    """One VPS in each state, one of which says of itself what must never be evaluated; the file that it would make."""
    made = tmp_path_factory.mktemp("evaluated") / "made"
    kit.container(RUNS, template=minimal, state="started", wait="booted", limits={"memory": "64M"}, addresses=[kit.address(7)])
    kit.container(STOPPED, template=minimal, state="present", description=f"{{{{ lookup('pipe', 'touch {made}') }}}} it's \"all\" {{% raw %}}")
    kit.container(FROZEN, template=minimal, state="frozen")
    return made


class Site:
    """A folder with inventory sources, and Ansible's programs on it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.sources: list[str] = []
        self.environment: dict[str, str] = {}

    def source(self, name: str, content: object) -> None:
        """Write an inventory source, which is read after those before it."""
        self.write(name, content)
        self.sources.append(name)

    def vps(self, **options: object) -> None:
        """Write a source of the plugin's, in the place of an earlier one."""
        self.write("site.vps.yml", {"plugin": "mainline.vps.vps", **options})
        if "site.vps.yml" not in self.sources:
            self.sources.append("site.vps.yml")

    def write(self, name: str, content: object) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run one of Ansible's programs."""
        sources = [word for source in self.sources for word in ("-i", source)]
        done = subprocess.run(
            [argv[0], *sources, *argv[1:]], cwd=self.folder, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DEPRECATION_WARNINGS": "0", "COLUMNS": "10000", **self.environment},
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def listed(self, *options: str) -> dict:
        """The inventory, without a warning."""
        done = self.run("ansible-inventory", "--list", *options)
        assert "WARNING" not in done.stderr, done.stderr
        return read(done.stdout)

    def warned(self, *options: str) -> tuple[dict, list[str]]:
        """The inventory, and its warnings."""
        done = self.run("ansible-inventory", "--list", *options)
        return read(done.stdout), [" ".join(each.split()) for each in re.split(r"\[WARNING\]: ", done.stderr)[1:]]


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)


def read(output: str) -> dict:
    """What ansible-inventory lists; from 2.19 on it marks each text that is no template."""
    return json.loads(output, object_hook=lambda found: found["__ansible_unsafe"] if set(found) == {"__ansible_unsafe"} else found)


def variables(listed: dict, host: str) -> dict:
    return listed["_meta"]["hostvars"][host]


def members(listed: dict, group: str) -> set[str]:
    """The hosts in a group that are ours."""
    return set(listed.get(group, {}).get("hosts", [])) & OURS


def ours(listed: dict) -> set[str]:
    """Which of our hosts there are."""
    return OURS & set(listed["_meta"]["hostvars"])


def says(folder: pathlib.Path, name: str, output: str, *, before: str = "") -> dict:
    """A node that answers so: its Python is a script."""
    script = folder / f"python-{name}"
    (folder / f"answer-{name}").write_text(output, encoding="utf-8")
    script.write_text(f"#!/bin/sh\ncat >/dev/null\n{before}\ncat '{folder}/answer-{name}'\n", encoding="utf-8")
    script.chmod(0o755)
    return {"name": name, "ansible_connection": "local", "ansible_python_interpreter": str(script)}


def record(name: str, **more: object) -> dict:
    return {"name": name, "template": "debian", "init": "systemd", "hostname": name, "limits": {}, **more}


def answer(*records: dict) -> str:
    return f"{MARK}{json.dumps({'vpss': {each['name']: each for each in records}, 'unread': {}, 'states': {}})}\n"


# -- this node ----------------------------------------------------------------------------------------------------------


def test_the_vpss_of_this_machine_are_hosts(site):
    site.vps()
    listed = site.listed()
    assert ours(listed) == OURS
    assert members(listed, "vps") == members(listed, "vps_node_localhost") == OURS
    assert members(listed, "vps_template_it_minimal") == OURS
    assert members(listed, "vps_state_started") == {RUNS}
    assert members(listed, "vps_state_stopped") == {STOPPED}
    assert members(listed, "vps_state_frozen") == {FROZEN}
    assert {"vps_node_localhost", "vps_state_started"} <= set(listed["vps"]["children"])


def test_a_host_knows_what_vps_info_says(site):
    site.vps()
    told = variables(site.listed(), RUNS)
    info = kit.info(RUNS)
    for name in ("name", "state", "template", "plan", "hostname", "addresses", "nameservers", "description", "privileged", "onboot", "boot_order", "limits", "storage"):
        assert told[f"vps_{name}"] == info[name], name
    assert told["vps_node"] == "localhost" and told["vps_labels"] == {} and told["ansible_connection"] == "mainline.vps.vps"
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
        compose={"told": "vps_description ~ '!'", "same": "vps_description"}, keyed_groups=[{"key": "vps_description", "prefix": "d"}], groups={"odd": "'pipe' in vps_description"}
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
        ({"hostname": "nothing.at_all"}, "hostname"), ({"hostname": "'a b'"}, "hostname: 'a b'"), ({"hostname": "'same'"}, None), ({"states": ["up"]}, "states"),
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


# -- many nodes ---------------------------------------------------------------------------------------------------------


def test_a_node_over_ssh_by_what_group_vars_say(site, ssh_node):  # noqa: F811
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


def test_a_node_that_no_other_source_has(site, ssh_node):  # noqa: F811
    described = {"name": "far", **ssh_node.variables(), "ansible_port": f"{{{{ {ssh_node.port - 1} + 1 }}}}"}
    site.vps(nodes=[described])
    listed = site.listed()
    assert members(listed, "vps_node_far") == OURS and "far" not in listed["_meta"]["hostvars"]
    assert f"from {RUNS}" in site.run("ansible", RUNS, "-m", "ansible.builtin.raw", "-a", "echo from $(hostname)").stdout


def test_two_nodes_whose_vpss_have_one_name(site, ssh_node):  # noqa: F811
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
        ("", "", "did not answer with a list"), (f"{MARK}{{", "", "no list of VPSs"), (f"{MARK}{{\"error\": \"it is ill\"}}", "", "it is ill."), ("", "sleep 1000", "within 3 seconds"),
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
    site.vps(nodes=[says(tmp_path, "odd", answer(record("a", plan="small", labels={"tier": "front end"}), record("b")))])
    listed = site.listed()
    assert listed["vps_plan_small"]["hosts"] == listed["vps_label_tier_front_end"]["hosts"] == ["a"]


def test_vpss_called_as_what_there_is_already(site, tmp_path):
    names = ["localhost", "vps", "all", "ungrouped", "mine"]
    site.vps(nodes=[says(tmp_path, "odd", answer(*map(record, names)))], groups={"mine": "true"})
    assert set(site.listed()["vps"]["hosts"]) == {f"{name}@odd" for name in names}


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


def test_the_cache_is_written_and_used(site, ssh_node):  # noqa: F811
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


def test_a_task_takes_what_the_node_is_known_by_then(site, ssh_node):  # noqa: F811
    """Files beside a playbook are read when it runs, and not for the inventory."""
    site.source("hosts.yml", {"nodes": {"hosts": {"far": ssh_node.variables()}}})
    site.vps(nodes=["far"], cache=True, cache_plugin="ansible.builtin.jsonfile", cache_connection=str(site.folder / "cache"))
    site.listed()
    site.write("hosts.yml", {"nodes": {"hosts": {"far": {"ansible_port": free_port()}}}})
    site.write("plays/book.yml", [{"hosts": RUNS, "gather_facts": False, "tasks": [{"ansible.builtin.raw": "echo from $(hostname)", "register": "told"}, {"ansible.builtin.debug": {"var": "told.stdout_lines"}}]}])
    assert "UNREACHABLE" in site.run("ansible-playbook", "plays/book.yml", check=False).stdout
    site.write("plays/host_vars/far.yml", ssh_node.variables())
    assert f"from {RUNS}" in site.run("ansible-playbook", "plays/book.yml").stdout
