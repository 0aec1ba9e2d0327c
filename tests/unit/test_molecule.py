# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Molecule scenario's platforms as VPSs: who is called what, what they have, and what is refused. All of it together runs in tests/roles."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.filter.vps_molecule import vps_molecule
from ansible_collections.mainline.vps.plugins.module_utils.core.parse import parse_name
from ansible_collections.mainline.vps.tests.contract import modules

HERE = {"scenario": "default", "directory": "/home/me/shop/molecule/default", "owner": "laptop"}


def made(*platforms, **where):
    """The VPSs of some platforms, by their instances."""
    return {one["instance"]: one["vps"] for one in vps_molecule(list(platforms), **{**HERE, **where})["instances"]}


def test_an_instance_is_a_vps_that_vps_fleet_takes():
    vpss = list(made({"name": "web", "groups": ["servers"], "children": ["all_servers"], "limits": {"memory": "512M"}}, {"name": "client"}).values())
    (web, client) = modules.parameters("vps_fleet", vps=vpss)["vps"]
    assert (web["state"], web["hostname"], web["template"], web["wait"], web["limits"]) == ("started", "web", "molecule-bookworm", "booted", {"memory": "512M"})
    assert client["addresses"] == [{"pool": "default"}] and client["limits"] is None
    assert modules.SUBJECTS["vps_container"].parse(modules.parameters("vps_container", **vpss[0])).name == web["name"]


def test_a_platform_says_otherwise():
    said = {"template": "trixie", "addresses": [], "hostname": "www.example.com", "firewall": {}, "wait": "running", "labels": {"tier": "web"}}
    web = made({"name": "web", **said})["web"]
    assert (web["template"], web["addresses"], web["hostname"], web["firewall"], web["wait"]) == ("trixie", [], "www.example.com", {}, "running")
    assert web["labels"] == {"tier": "web", "molecule": vps_molecule([], **HERE)["label"]}


def test_no_address_is_added_where_a_bridge_takes_the_place_of_the_link():
    assert made({"name": "web", "interfaces": [{"name": "eth0", "network": "lan"}]})["web"]["addresses"] == []


def test_instances_of_a_scenario_let_each_other_in_and_nobody_else():
    label = vps_molecule([], **HERE)["label"]
    assert made({"name": "web"})["web"]["firewall"] == {"in": {"rules": [{"from": [f"label:molecule={label}"]}]}}


def test_nothing_is_remembered_so_the_same_scenario_finds_its_vpss_again():
    assert vps_molecule([{"name": "web"}], **HERE) == vps_molecule([{"name": "web"}], **HERE)


@pytest.mark.parametrize("where", [{"scenario": "other"}, {"directory": "/elsewhere"}, {"owner": "ci"}])
def test_another_scenario_checkout_or_controller_has_other_vpss(where):
    there = {**HERE, **where}
    assert vps_molecule([], **HERE)["label"] != vps_molecule([], **there)["label"]
    assert made({"name": "web"})["web"]["name"] != made({"name": "web"}, **where)["web"]["name"]


@pytest.mark.parametrize("name", ["web", "Debian_12.5", "-", "ünï", "x" * 200, "a-" * 40])
@pytest.mark.parametrize("scenario", ["default", "appliance_vlans/merged", "y" * 200])
def test_whatever_they_are_called_a_vps_can_be_called_so(name, scenario):
    vps = made({"name": name}, scenario=scenario)[name]
    assert parse_name(vps["name"]).startswith("mo-")
    modules.SUBJECTS["vps_container"].parse(modules.parameters("vps_container", **vps))


def test_names_that_are_cut_or_written_alike_stay_two():
    long = [{"name": "x" * 100 + end} for end in "ab"]
    alike = [{"name": "web_1"}, {"name": "web-1"}]
    assert len({vps["name"] for vps in made(*long, *alike).values()}) == 4


@pytest.mark.parametrize(
    ("platforms", "told"),
    [
        ([{"name": "web", "tmplate": "x"}], r"platforms\[web\]\.tmplate: there is no such option of a VPS; did you mean 'template'\? `ansible-doc"),
        ([{"name": "web", "image": "debian:12"}], r"platforms\[web\]\.image: there is no such option of a VPS; .*`ansible-doc mainline.vps.vps_container`"),
        ([{"name": "web", "state": "stopped"}], r"platforms\[web\]\.state: an instance is started when it is made"),
        ([{"name": "web", "labels": "web"}], r"platforms\[web\]\.labels: 'web' is no set of labels"),
        ([{"name": "web"}, {"name": "web"}], "platforms: 2 are called 'web'; give each a name of its own."),
        ([{"groups": ["web"]}], "platforms: one of them has no name"),
        ("web", "platforms: give a list of platforms"),
        ([["web"]], "platforms: give a list of platforms"),
    ],
)
def test_what_is_no_platform_is_refused_in_a_sentence(platforms, told):
    with pytest.raises(AnsibleFilterError, match=f"vps_molecule: {told}") as refused:
        vps_molecule(platforms, **HERE)
    assert str(refused.value).endswith(".")
