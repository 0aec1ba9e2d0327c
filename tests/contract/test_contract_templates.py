# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates: made, left alone, in use, gone."""

from __future__ import annotations

import ipaddress

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.subjects import read_info
from ansible_collections.mainline.vps.tests.contract.bench import BESIDES, TEMPLATE, A, B, options

NAME = "contract-t"


def test_a_template_is_made_and_removed(bench):
    made = bench.template(NAME, source="minimal")
    assert made["diff"] == {"before": {"state": "absent", "source": None}, "after": {"state": "present", "source": "minimal"}}
    assert (made["template"]["init"], made["template"]["used_by"]) == ("busybox", [])
    gone = bench.template(NAME, state="absent")
    assert (options(gone), gone["template"]) == (["state"], None)


def test_a_template_that_is_not_there_is_absent(bench):
    assert not bench.template("contract-never", state="absent")["changed"]


def test_a_template_in_use_stays(bench):
    bench.new(A, state="stopped")
    bench.new(B, state="stopped")
    with pytest.raises(VpsError, match=f"name: template '{TEMPLATE}' is in use by {A}, {B}; "):
        bench.once("vps_template", name=TEMPLATE, state="absent")
    assert TEMPLATE in [manifest.template.name for manifest in bench.node.manifests()]
    assert bench.template(source="minimal")["template"]["used_by"] == [A, B]


def test_the_info_module_tells_all_and_changes_nothing(bench):
    bench.new(A, state="started", addresses=[bench.world.address(1)])
    bench.new(B, state="stopped")
    before = bench.world.snapshot()
    told = read_info(bench.node, {"name": None})
    ours = {vps["name"]: vps["state"] for vps in told["vpss"] if vps["name"].startswith("contract-")}
    assert ours == {A: "started", B: "stopped"}
    ours = [entry for entry in told["reverse"] if entry["vps"] == A]
    address = bench.world.address(1)
    assert ours == [{"record": ipaddress.ip_address(address).reverse_pointer, "address": address, "name": A, "vps": A}]
    assert [template["used_by"] for template in told["templates"] if template["name"] == TEMPLATE] == [[A, B]]
    assert bench.world.snapshot() == before


def test_the_info_module_tells_of_one_what_the_other_module_does(bench):
    result = bench.new(A, state="started", limits={"memory": "64M"})
    told = read_info(bench.node, {"name": A})["vpss"]
    assert [{**vps, "disk_used": 0} for vps in told] == [{**result["vps"], "disk_used": 0, **{key: told[0][key] for key in BESIDES}}]
    assert read_info(bench.node, {"name": "contract-never"})["vpss"] == []


def test_a_template_with_other_inputs_is_built_again(memory):
    memory.template(NAME, source="debian", packages=["nginx", "bash"])
    before = memory.node.templates[NAME].checksum
    changed = memory.template(NAME, source="debian", packages=["nginx"], suite="trixie")
    assert changed["diff"] == {
        "before": {"suite": "bookworm", "packages": ["bash", "nginx"]},
        "after": {"suite": "trixie", "packages": ["nginx"]},
    }
    assert memory.node.templates[NAME].checksum != before


def test_packages_that_left_the_playbook_are_what_the_diff_shows(memory):
    memory.template(NAME, source="debian", packages=["nginx"])
    assert options(memory.template(NAME, source="debian")) == ["packages"]


def test_vpss_outlive_their_templates_next_edition(memory):
    memory.template(NAME, source="debian", suite="bookworm")
    memory.vps(A, template=NAME)
    pid = memory.seen()["pid"]
    memory.template(NAME, source="debian", suite="trixie")
    assert memory.seen()["pid"] == pid
    assert not memory.vps(A, template=NAME)["changed"]


def test_a_node_that_lacks_the_builder_says_so_before_it_starts(memory):
    memory.node.missing_tool = "'debian' needs the package mmdebstrap on the node"
    with pytest.raises(VpsError, match="source: 'debian' needs the package mmdebstrap"):
        memory.once("vps_template", name=NAME, source="debian")
    assert NAME not in memory.node.templates
    assert not memory.template(source="minimal")["changed"], "what is there needs no builder"


def test_the_latest_is_one_more_build_and_vpss_know_which_is_theirs(bench):
    bench.once("vps_template", name=NAME, source="minimal")
    made = bench.vps(A, template=NAME, state="stopped")["vps"]["template_build"]
    assert made["version"] == 1
    again = bench.once("vps_template", name=NAME, state="latest")
    assert (options(again), again["template"]["version"], again["template"]["used_by"]) == (["version"], 2, [A])
    assert bench.vps(A, description="x")["vps"]["template_build"] == made
    assert not bench.once("vps_template", name=NAME, state="latest", max_age="1d")["changed"]
    bench.vps(A, state="absent")
    assert bench.template(NAME, state="absent")["changed"]


def test_what_was_exported_is_imported_and_both_once(memory):
    memory.template(NAME, source="debian", packages=["nginx"])
    memory.template(NAME, state="exported", path="/srv/t.tar.zst")
    assert memory.template("contract-u", state="imported", path="/srv/t.tar.zst")["template"]["content"] == memory.node.templates[NAME].content
    assert not memory.template("contract-u", source="debian", packages=["nginx"])["changed"]


def test_what_is_not_as_it_was_is_mended_once(memory):
    memory.template(NAME, source="minimal")
    memory.node.damaged_templates[NAME] = ["/etc/evil"]
    done = memory.template(NAME, verify=True)
    assert done["changes"][0]["before"]["extra"] == ["/etc/evil"] and done["differences"]["count"] == 0


def test_what_nobody_uses_is_pruned_once(memory):
    memory.template(NAME, source="minimal")
    memory.vps(A, template=TEMPLATE)
    assert options(memory.converge("vps_template", state="pruned")) == [f"templates.{NAME}"]
    assert list(memory.node.templates) == [TEMPLATE]
