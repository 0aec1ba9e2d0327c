# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VPSs vps_info is asked for, and what of each: what filters take, what they refuse to be, and what has to be read for them."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import selection, usage
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import BEANCOUNTERS, Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.disk import Used
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.interfaces import Interface
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.plugins.module_utils.subjects import describe_vps
from ansible_collections.mainline.vps.tests.contract.bench import BESIDES
from ansible_collections.mainline.vps.tests.contract.memory_node import MemoryNode

WEB = Vps(
    name="web1", template="debian-12", init="systemd", hostname="www.example.com", addresses=("203.0.113.7", "2001:db8::7"), plan="small",
    description="The old shop", labels=(("tier", "web"), ("since", "2024")),
)
BRIDGED = Vps(name="lan1", template="minimal", init="busybox", hostname="lan1", interfaces=(Interface(name="eth1", network="lan", addresses=("192.0.2.5",)),))


def takes(vps: Vps = WEB, *, old: bool = False, **given: object) -> bool:
    """Whether these options, by themselves, take a VPS; `old`: one whose template has been built anew."""
    return selection.parse(given).takes(vps, outdated=old)


def refused(**given: object) -> str:
    """Why these options are refused."""
    with pytest.raises(VpsError) as error:
        selection.parse(given)
    return str(error.value)


def test_without_a_filter_every_vps_is_meant():
    assert takes() and takes(BRIDGED) and takes(old=True)


@pytest.mark.parametrize(
    "given",
    [
        {"name": ["web1"]}, {"name": "web1"}, {"name": ["mail*", "web?"]}, {"name": ["web[0-9]"]}, {"hostname": ["*.example.com"]}, {"template": ["debian*"]},
        {"plan": ["small", "large"]}, {"description": ["*shop*"]}, {"labels": {"tier": "web"}}, {"labels": {"tier": ["db", "w*"], "since": 2024}},
        {"labels": {"tier": "*"}}, {"labels": {}}, {"addresses": ["203.0.113.0/24"]}, {"addresses": ["192.0.2.1", "203.0.113.7"]},
        {"addresses": ["2001:db8::/32"]}, {"addresses": ["203.0.113.99/24"]}, {"outdated": False},
    ],
    ids=str,
)
def test_a_filter_takes_what_one_of_its_values_says(given):
    assert takes(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"name": ["web"]}, {"name": ["Web1"]}, {"name": []}, {"name": ["-"]}, {"hostname": ["www"]}, {"template": ["debian"]}, {"plan": [""]},
        {"description": ["shop"]}, {"labels": {"tier": "db"}}, {"labels": {"tier": "web", "env": "*"}}, {"labels": {"tier": []}}, {"addresses": []},
        {"addresses": ["203.0.113.8"]}, {"addresses": ["0.0.0.0/1"]}, {"outdated": True},
    ],
    ids=str,
)
def test_and_no_other(given):
    assert not takes(**given)


def test_all_filters_have_to_hold():
    held = {"name": ["web*"], "plan": ["small"], "labels": {"tier": "web"}, "addresses": ["203.0.113.0/24"], "outdated": True}
    assert takes(old=True, **held)
    for name, other in {"name": ["mail*"], "plan": ["large"], "labels": {"tier": "db"}, "addresses": ["192.0.2.0/24"], "outdated": False}.items():
        assert not takes(old=True, **{**held, name: other}), name


def test_no_plan_is_an_empty_text_and_addresses_in_bridged_networks_count():
    assert takes(BRIDGED, plan=[""]) and not takes(BRIDGED, plan=["?*"])
    assert takes(BRIDGED, addresses=["192.0.2.0/24"])


def test_a_vps_is_insisted_on_by_its_very_name_alone():
    wish = selection.parse({"name": ["web1", "mail*"]})
    assert wish.insists_on("web1") and not wish.insists_on("mail1") and not selection.parse({}).insists_on("web1")


def rows(limits: Limits, **texts: str) -> list[dict]:
    """What a VPS uses, as it is told."""
    return usage.tell(usage.Counters(2, {name.replace("_", ".", 1): text for name, text in texts.items()}, Used(81)), limits)["rows"]


@pytest.mark.parametrize(
    ("above", "taken"),
    [
        ({"diskspace": 80}, True), ({"diskspace": "80 %"}, True), ({"diskspace": 81}, False), ({"diskspace": "80.5%"}, True), ({"memory": 50}, False),
        ({"memory": 49, "diskspace": 99}, True), ({"memory": 99, "diskspace": 99}, False), ({"swap": 0}, False), ({"numproc": 0}, False), ({}, False),
    ],
    ids=str,
)
def test_above_takes_who_uses_that_much_of_one_of_them(above, taken):
    """Of memory half, of the disk 81 percent; nobody limits its swap, and nobody has told of its processes."""
    found = rows(Limits(memory=8192, processes=10, diskspace=Bound(100, 100)), memory_current="4096")
    assert selection.parse({"above": above}).takes_use(found) is taken


def test_of_a_stopped_vps_the_disk_can_be_full_and_nothing_else():
    stopped = rows(Limits(memory=1, diskspace=Bound(100, 100)))
    assert selection.parse({"above": {"diskspace": 80}}).takes_use(stopped)
    assert not selection.parse({"above": {"memory": 0}}).takes_use(stopped)


def test_what_can_be_full_are_rows_of_which_the_kernel_tells_what_is_held():
    assert {"memory", "diskspace", "numproc"} < set(selection.FILLED) <= {*BEANCOUNTERS, *usage.OWN}
    texts = {file: "7" for file in usage.FILES[2]} | {"memory.stat": "shmem 1\nunevictable 1\nslab_reclaimable 1\nkernel 1"}
    held = {row["resource"] for row in usage.tell(usage.Counters(2, texts, Used(1, 1)), Limits())["rows"] if row["held"] is not None}
    assert held - {"oomguarpages"} == set(selection.FILLED), "oomguarpages alone has a guarantee and no limit"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"state": ["runing"]}, "state: 'runing' is not a state of a VPS; there are started, stopped, frozen, rescue."),
        ({"state": ["stoped"]}, "state: 'stoped' is not a state of a VPS; perhaps stopped is meant."),
        ({"fields": ["adresses"]}, "fields: 'adresses' is not a field of a VPS; perhaps addresses is meant."),
        ({"addresses": ["web1"]}, "addresses: 'web1' is neither an address nor a network; write for example 10.90.0.10 or 2001:db8::/64."),
        ({"addresses": ["fe80::1%eth0"]}, "addresses: 'fe80::1%eth0' is neither an address nor a network; write for example 10.90.0.10 or 2001:db8::/64."),
        ({"labels": ["tier=web"]}, "labels: '['tier=web']' is no set of labels; write for example {tier: web}."),
        ({"labels": {"tier": {"a": 1}}}, "labels.tier: '{'a': 1}' is no value of a label; write it, a pattern such as '*', or a list of those."),
        ({"above": {"disk": 80}}, "above: 'disk' is not a resource of which a VPS holds a part; perhaps diskspace is meant."),
        ({"above": {"memory": "80M"}}, "above.memory: '80M' is no share of its limit; write percent, for example 80."),
        ({"above": {"memory": -1}}, "above.memory: '-1' is no share of its limit; write percent, for example 80."),
        ({"above": {"memory": True}}, "above.memory: 'True' is no share of its limit; write percent, for example 80."),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_in_a_sentence_that_names_the_option(given, sentence):
    assert refused(**given) == sentence


def test_everything_is_told_but_what_takes_long_unless_it_is_named():
    everything, some = selection.parse({}), selection.parse({"fields": ["usage"]})
    assert {field for field in selection.FIELDS if not everything.wants(field)} == {"disk_exclusive"}
    assert selection.parse({"exclusive": True}).wants("disk_exclusive") and selection.parse({"fields": ["disk_exclusive"]}).wants("disk_exclusive")
    assert some.tell({"name": "a", "pid": 1, "usage": {}}) == {"name": "a", "usage": {}}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({}, (True, True, True)), ({"fields": []}, (False, False, False)), ({"fields": ["addresses", "uptime"]}, (False, False, False)),
        ({"fields": ["limits"]}, (True, False, False)), ({"fields": ["usage"]}, (True, True, True)),
        ({"fields": [], "above": {"memory": 1}}, (True, True, True)), ({"fields": [], "above": {"diskspace": 1}}, (False, True, False)),
    ],
    ids=str,
)
def test_what_nobody_asks_for_is_not_read(given, read):
    """Limits; what is used at all; what the kernel counts in memory."""
    wish = selection.parse(given)
    assert (wish.limits, wish.uses, wish.counts) == read


def test_the_fields_are_what_is_told():
    node = MemoryNode()
    vps = Vps(name="a", template="t", init="busybox", hostname="a", id_base=1 << 16)
    told = describe_vps(node, node.read_vps("a").__class__(vps=vps))
    assert {*told, *BESIDES, "disk_exclusive"} == set(selection.FIELDS)
