# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory's parts: what a node is asked and answers, how hosts and groups are called, and which way leads to a node.

The plugin itself, by Ansible and on a node, is the integration target inventory_vps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ansible_collections.mainline.vps.plugins.inventory import vps as plugin
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.plugins.plugin_utils import listing, naming, node_listing, node_variables

WEB = Vps(
    name="web1", template="debian", init="systemd", hostname="web1.example.com", addresses=("10.90.0.10",), plan="small", description="a shop",
    limits=Limits(memory=512 << 20), root_password_hash="$6$secret", authorized_keys=("ssh-ed25519 AAAA me",),
)
HOSTILE = "{{ lookup('pipe', 'id') }}"


def record(**changes):
    return {**json.loads(json.dumps(WEB.to_record())), **changes}


def answer(*records, **more):
    return {"vpss": {each["name"]: each for each in records}, "unread": {}, "states": {}, **more}


def printed(told):
    return f"a banner\n{listing.MARK}{json.dumps(told)}\r\n"


def guest(**changes):
    return listing.Guest(Vps.from_record(record(**changes)), "started")


# -- on the node --------------------------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path):
    """The settings of a node whose pool has one VPS."""
    (tmp_path / "pool/vps/web1").mkdir(parents=True)
    (tmp_path / "pool/vps/web1/vps.json").write_text(json.dumps(record()), encoding="utf-8")
    (tmp_path / "node.json").write_text(json.dumps({"pool": str(tmp_path / "pool")}), encoding="utf-8")
    return str(tmp_path / "node.json")


@pytest.fixture(autouse=True)
def lxc(tmp_path, monkeypatch):
    """An lxc-ls that says what LXC's does."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/lxc-ls"
    program.write_text("#!/bin/sh\nprintf 'NAME  STATE\\nweb1  RUNNING\\nmail1 FROZEN\\n'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(node_listing, "PATH", str(tmp_path / "bin"))
    return program


def test_a_node_tells_its_vpss_and_their_states(node):
    told = node_listing.answer(node)
    assert told["states"] == {"web1": "RUNNING", "mail1": "FROZEN"} and not told["unread"]
    assert listing.parse(told).guests[0].variables() == {**guest().variables(), "vps_state": "started"}


def test_no_secret_leaves_the_node(node):
    told = json.dumps(node_listing.answer(node))
    assert "secret" not in told and "AAAA" not in told


def test_what_a_later_release_records_is_not_told_unless_it_is_known_here(node, tmp_path):
    (tmp_path / "pool/vps/web1/vps.json").write_text(json.dumps(record(private_key="of a later release")), encoding="utf-8")
    assert "of a later release" not in json.dumps(node_listing.answer(node))


@pytest.mark.parametrize("damage", ["", "{", "[]", "\udcff", "[" * 100000, " " * (node_listing.RECORD_LIMIT + 1)])
def test_a_damaged_record_hides_no_other(node, tmp_path, damage):
    (tmp_path / "pool/vps/mail1").mkdir()
    (tmp_path / "pool/vps/mail1/vps.json").write_text(damage, encoding="utf-8", errors="surrogateescape")
    told = node_listing.answer(node)
    assert list(told["vpss"]) == ["web1"] and list(told["unread"]) == ["mail1"] and told["unread"]["mail1"]


def test_a_record_that_is_no_file_is_not_waited_for(node, tmp_path):
    for name, make in (("pipe", os.mkfifo), ("link", lambda path: os.symlink("/etc/passwd", path)), ("folder", os.mkdir)):
        (tmp_path / "pool/vps" / name).mkdir()
        make(tmp_path / "pool/vps" / name / "vps.json")
    told = node_listing.answer(node)
    assert list(told["vpss"]) == ["web1"] and sorted(told["unread"]) == ["folder", "link", "pipe"]


def test_what_is_half_made_or_no_vps_is_not_told(node, tmp_path):
    (tmp_path / "pool/vps/.new-mail1").mkdir()
    (tmp_path / "pool/vps/empty").mkdir()
    told = node_listing.answer(node)
    assert list(told["vpss"]) == ["web1"] and not told["unread"]


def test_a_machine_that_is_no_node_says_so(tmp_path):
    assert "not a VPS node yet" in node_listing.answer(str(tmp_path / "none"))["error"]


@pytest.mark.parametrize("settings", ["", "[]", "{}", '{"pool": 1}'])
def test_settings_that_cannot_be_read_are_told(tmp_path, settings):
    (tmp_path / "node.json").write_text(settings, encoding="utf-8")
    assert "cannot be read" in node_listing.answer(str(tmp_path / "node.json"))["error"]


def test_a_pool_that_is_not_there_is_told(tmp_path):
    (tmp_path / "node.json").write_text(json.dumps({"pool": str(tmp_path / "gone")}), encoding="utf-8")
    assert "mount it" in node_listing.answer(str(tmp_path / "node.json"))["error"]


def test_an_lxc_that_fails_is_told(node, lxc):
    lxc.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    assert "LXC does not say" in node_listing.answer(node)["error"]


def test_the_program_runs_by_itself_from_standard_input():
    """With no site, no environment and no collection, as on a node."""
    program = Path(node_listing.__file__).read_bytes()
    done = subprocess.run([sys.executable, "-I", "-S", "-"], input=program, capture_output=True, timeout=60, check=True)
    told = done.stdout.decode("ascii").splitlines()[-1]
    assert told.startswith(listing.MARK) and isinstance(json.loads(told[len(listing.MARK) :]), dict)


# -- the answer ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_found_among_what_a_login_prints():
    assert listing.extract(printed(answer(record()))) == answer(record())


@pytest.mark.parametrize("output", ["", "bash: python3: not found", listing.MARK, f"{listing.MARK}[]", f"{listing.MARK}{'[' * 100000}", f"{listing.MARK}{{"])
def test_what_is_no_answer_is_one_sentence(output):
    with pytest.raises(VpsError, match=r"^its? .*\.$") as raised:
        listing.extract(output)
    assert len(str(raised.value)) < 200


def test_a_nodes_own_error_is_shown_without_control_characters():
    with pytest.raises(VpsError) as raised:
        listing.extract(printed({"error": "no\x1b[2J\nnode" * 500}))
    assert str(raised.value).isprintable() and len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "told", [[], {}, {"vpss": [1], "states": {}}, {"vpss": {}, "states": 1}, {"vpss": {}, "states": {}, "unread": []}, {"vpss": "x", "states": {}}]
)
def test_an_answer_of_another_form_is_one_sentence(told):
    with pytest.raises(VpsError, match="no list of VPSs"):
        listing.parse(told)
    assert not listing.is_answer(told) and listing.is_answer(answer(record()))


@pytest.mark.parametrize(
    "changes",
    [
        {"limits": 1}, {"limits": {"memory": "much"}}, {"onboot": "yes"}, {"addresses": "10.0.0.1"}, {"template": None}, {"labels": [1]},
        {"labels": {"a": "b c"}},
    ],
)
def test_a_record_of_another_form_hides_no_other(changes):
    found = listing.parse(answer(record(), record(name="mail1", **changes)))
    assert [each.vps.name for each in found.guests] == ["web1"] and list(found.unread) == ["mail1"]


@pytest.mark.parametrize("told", [1, None, "a text", [], {}, {"name": "web1"}])
def test_what_is_no_record_hides_no_other(told):
    found = listing.parse({"vpss": {"web1": record(), "mail1": told}, "states": {}})
    assert [each.vps.name for each in found.guests] == ["web1"] and list(found.unread) == ["mail1"]


@pytest.mark.parametrize("name", ["../../etc", "a b", HOSTILE, "x" * 200, "", "all,localhost"])
def test_a_name_that_no_vps_has_becomes_no_host(name):
    found = listing.parse(answer(record(name=name)))
    assert not found.guests and len(found.unread) == 1 and all(text.isprintable() for item in found.unread.items() for text in item)


def test_a_record_that_has_anothers_name_is_left_out():
    assert not listing.parse({"vpss": {"mail1": record()}, "states": {}}).guests


def test_texts_are_told_as_they_are_and_half_a_character_is_replaced():
    told = listing.extract(f'{listing.MARK}{json.dumps(answer(record(description=HOSTILE), record(name="b", description=chr(0xD800))))}')
    b, web = (each.variables()["vps_description"] for each in listing.parse(told).guests)
    assert web == HOSTILE and b == "?"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("RUNNING", "started"), ("STOPPED", "stopped"), ("FROZEN", "frozen"), ("STARTING", "stopped"), ("STOPPING", "stopped"), (None, "stopped"),
        ([], "stopped"),
    ],
)
def test_a_state_is_what_lxc_says(said, state):
    assert listing.parse(answer(record(), states={"web1": said})).guests[0].state == state


@pytest.mark.parametrize(("said", "state"), [("RUNNING", "rescue"), ("STOPPED", "stopped"), ("FROZEN", "frozen")])
def test_one_that_runs_in_rescue_is_not_simply_started(said, state):
    inside = {"template": "minimal", "init": "busybox", "place": "/mnt/disk"}
    assert listing.parse(answer(record(rescue=inside), states={"web1": said})).guests[0].state == state


def test_labels_are_told():
    found = listing.parse(answer(record(labels={"b": "2", "a": "1"}), record(name="mail1")))
    assert {each.vps.name: each.variables()["vps_labels"] for each in found.guests} == {"mail1": {}, "web1": {"a": "1", "b": "2"}}


def test_limits_are_told_as_a_person_writes_them():
    assert guest().variables()["vps_limits"] == {"memory": "512M"}


# -- names --------------------------------------------------------------------------------------------------------------

HOSTS = ("node1", "node2", "web1", "other")
GROUPS = {"all": [], "ungrouped": [], "nodes": ["node1", "node2"], "nothing": []}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("node1", ["node1"]), ("nodes", ["node1", "node2"]), ("node?", ["node1", "node2"]), ("node*", ["node1", "node2"]), ("all", list(HOSTS)),
        ("node[2-9]", ["node2"]), ("nothing", []), ("absent", []), ("", []), ("NODE1", []),
    ],
)
def test_nodes_are_picked_by_host_group_or_pattern(pattern, found):
    assert naming.pick(pattern, HOSTS, GROUPS) == found


def test_only_those_that_want_one_name_get_their_nodes():
    wanted = {("node1", "web1"): "web1", ("node2", "web1"): "web1", ("node2", "mail1"): "mail1"}
    assert list(naming.name_hosts(wanted, set()).values()) == ["web1@node1", "web1@node2", "mail1"]


def test_names_depend_on_no_order():
    wanted = {("node1", "web1"): "web1", ("node2", "web1"): "web1", ("node2", "mail1"): "mail1"}
    assert naming.name_hosts(dict(reversed(wanted.items())), set()) == naming.name_hosts(wanted, set())


@pytest.mark.parametrize("name", ["localhost", "node1", "vps", "all"])
def test_no_vps_takes_the_place_of_a_node_or_a_group(name):
    assert list(naming.name_hosts({("node1", name): name}, {"localhost", "node1", "vps", "all"}).values()) == [f"{name}@node1"]


def test_hosts_that_cannot_be_told_apart_are_an_error():
    with pytest.raises(VpsError, match=r"hostname: 'web1@node1' would be two things; use another, .*\.$"):
        naming.name_hosts({("node1", "web1"): "x", ("node2", "web1"): "x", ("node3", "web2"): "web1@node1"}, set())


@pytest.mark.parametrize("text", ["", " ", "a b", "a,b", "a/b", "{{ x }}", "a\nb", "@file", "-x", "x" * 256, None, [], {}])
def test_what_is_no_name_for_a_host_is_refused(text):
    with pytest.raises(VpsError, match=r"^hostname: .*\.$"):
        naming.parse_host(text)


@pytest.mark.parametrize("text", ["web1", "web1.node1", "web1@node1", "größe", "a:b", 12])
def test_others_are_names(text):
    assert naming.parse_host(text) == str(text)


def test_groups_are_of_node_state_template_plan_and_label():
    of = listing.Guest(replace(WEB, labels=(("tier", "front"), ("new", ""))), "frozen")
    assert list(naming.groups_of("node1", of, naming.GROUPED_BY)) == [
        "vps_node_node1", "vps_state_frozen", "vps_template_debian", "vps_plan_small", "vps_label_tier_front", "vps_label_new",
    ]


def test_groups_are_those_that_are_asked_for():
    assert list(naming.groups_of("node1", listing.Guest(WEB, "frozen"), ["state"])) == ["vps_state_frozen"]
    assert not list(naming.groups_of("node1", guest(plan=None), ["plan", "label"]))


# -- the way ------------------------------------------------------------------------------------------------------------


def way(node, **known):
    return node_variables.on_the_way(node, known, known.__getitem__)


def test_a_node_is_reached_by_its_name_unless_it_says_otherwise():
    assert way("node1") == {"ansible_connection": "ssh", "ansible_host": "node1"}
    assert way("node1", ansible_host="192.0.2.1")["ansible_host"] == "192.0.2.1"


def test_this_machine_is_reached_without_a_connection():
    assert way("localhost") == {"ansible_connection": "local"}


def test_what_the_connection_knows_goes_along_and_nothing_else():
    found = way("node1", ansible_port=2222, ansible_ssh_common_args="-o A='b c'", ansible_facts={"x": 1}, ansible_distribution="Debian", other="x")
    assert found == {"ansible_connection": "ssh", "ansible_host": "node1", "ansible_port": 2222, "ansible_ssh_common_args": "-o A='b c'"}


def test_becoming_root_goes_along_where_the_node_needs_it():
    asked = {"ansible_become": True, "ansible_become_password": "x'\"y"}
    assert way("node1", **asked).items() >= {**asked, "ansible_become_method": "sudo"}.items()
    assert "ansible_become_password" not in way("node1", ansible_become_password="x")


def test_who_is_root_already_becomes_nobody():
    assert "ansible_become" not in way("node1", ansible_become=True, ansible_user="root")
    assert ("ansible_become" in way("localhost", ansible_become=True)) == (os.geteuid() != 0)
    assert way("node1", ansible_become=True, ansible_user="admin")["ansible_become"]


def test_no_value_is_worked_out_that_is_not_needed():
    def value(name):
        assert name == "ansible_user", name
        return "admin"

    assert node_variables.on_the_way("node1", {"ansible_user", "ansible_facts", "broken"}, value)["ansible_user"] == "admin"


def test_a_vps_has_its_nodes_name_or_else_all_of_its_variables():
    assert node_variables.wires("node1", {"ansible_user": "admin"}, listed=True) == {"ansible_vps_node": "node1"}
    assert node_variables.wires("node1", {"ansible_user": "admin"}, listed=False) == {
        "ansible_vps_node": "node1", "ansible_vps_node_host": "node1", "ansible_vps_node_user": "admin",
    }


def test_what_is_no_host_of_the_inventory_says_nothing():
    assert not node_variables.from_hostvars("node9", {"node1": {}})
    assert not node_variables.from_hostvars(None, {})
    assert node_variables.from_hostvars("node1", {"node1": {"ansible_user": "x"}})["ansible_vps_node_user"] == "x"


@pytest.mark.parametrize(("given", "python"), [(None, "/usr/bin/python3"), ("auto_silent", "/usr/bin/python3"), ("/opt/python", "/opt/python")])
def test_a_nodes_own_python_is_asked(given, python):
    assert node_variables.interpreter({"ansible_python_interpreter": given}) == python


# -- documentation ------------------------------------------------------------------------------------------------------


def test_variables_are_documented():
    told = plugin.DOCUMENTATION
    for name in [*guest().variables(), "vps_node"]:
        assert f"C({name})" in told, name


def test_choices_are_those_that_there_are():
    options = yaml.safe_load(plugin.DOCUMENTATION)["options"]
    assert options["states"]["choices"] == list(listing.STATES) and options["group_by"]["choices"] == list(naming.GROUPED_BY)


@pytest.mark.parametrize("example", list(yaml.safe_load_all(plugin.EXAMPLES)))
def test_examples_name_the_plugin_and_its_options(example):
    own = set(yaml.safe_load(plugin.DOCUMENTATION)["options"]) | {"compose", "groups", "keyed_groups", "use_extra_vars", "leading_separator"}
    assert example["plugin"] == plugin.InventoryModule.NAME and not {name for name in example if not name.startswith("cache")} - own
