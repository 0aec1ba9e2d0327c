# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_info on a real node: whom its filters take, and that what it tells is what the kernel's own tools say, whatever goes on meanwhile."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import vps_kit as kit
from conftest import DB, IMAGE, OLD, WEB

# A machine on which these two can be run no more, while all else is as it is.
WITHOUT = ["unshare", "--mount", "sh", "-c", 'for each in lxc-info lxc-ls; do mount --bind /bin/false "$(command -v $each)"; done; exec "$@"', "sh"]


def names(**given: Any) -> list[str]:
    """Who is told of."""
    return [vps["name"] for vps in kit.ok("vps_info", **given)["vpss"]]


def told(name: str, *fields: str) -> dict:
    """One VPS."""
    (vps,) = kit.ok("vps_info", name=name, **({"fields": fields} if fields else {}))["vpss"]
    return vps


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [DB, IMAGE, OLD, WEB]), ({"name": f"{WEB},{OLD}"}, [OLD, WEB]), ({"name": [f"{kit.PREFIX}[dw]*"]}, [DB, WEB]), ({"name": "-"}, []),
        ({"state": "started"}, [DB, IMAGE, WEB]), ({"state": "stopped,frozen"}, [OLD]), ({"hostname": "*.example.com"}, [WEB]), ({"plan": "small"}, [DB, WEB]),
        ({"plan": ""}, [IMAGE, OLD]), ({"labels": {"tier": "web"}, "state": "started"}, [WEB]), ({"labels": {"tier": ["web", "db"]}}, [DB, OLD, WEB]),
        ({"addresses": "10.90.0.0/28"}, [WEB]), ({"addresses": ["fd90::/64", "10.90.0.20"]}, [DB, WEB]), ({"template": "it-*"}, [DB, IMAGE, OLD, WEB]),
        ({"outdated": True}, []), ({"description": ["The shop,*"]}, [WEB]), ({"above": {"processes": 1}}, [DB]), ({"above": {"diskspace": 99}}, []),
    ],
    ids=str,
)
def test_filters_take_those_that_are_meant(four, given, expected):
    assert names(**given, check=True) == expected


def test_a_mistake_is_one_sentence_that_names_the_option():
    for option, value in {"state": "up", "addresses": "web", "labels": {"tier": {}}, "above": {"disk": 1}, "fields": "ip"}.items():
        assert kit.fails("vps_info", **{option: value}).startswith(option)


def test_who_has_filled_the_disk_is_found_by_that(four):
    assert names(above={"diskspace": 80}) == []
    kit.inside(WEB, "dd", "if=/dev/urandom", "of=/root/full", "bs=1M", "count=52")
    kit.run("btrfs", "filesystem", "sync", str(kit.pool()))  # what is not written yet is not counted either
    assert names(above={"diskspace": 80}) == [WEB]
    (vps,) = kit.ok("vps_info", above={"diskspace": 80, "memory": 101}, fields=["usage", "limits"])["vpss"]
    row = next(row for row in vps["usage"]["rows"] if row["resource"] == "diskspace")
    assert row["held"] > 0.8 * row["limit"] == 0.8 * (60 << 20) and vps["limits"]["diskspace"] == "60M"
    assert names(above={"memory": 0}) == [DB, WEB], "of the others nobody limits the memory"


def test_it_needs_no_program_for_vpss_that_stand_still(four):
    """Whether they run is LXC's monitors' word."""
    with_all, without = (kit.call("vps_info", wrap=wrap, fields=["state", "pid", "addresses", "limits", "rates"]) for wrap in ((), WITHOUT))
    assert without["vpss"] == with_all["vpss"] and [vps["name"] for vps in without["vpss"]] == four
    assert {vps["name"] for vps in without["vpss"] if vps["state"] == "started"} == {DB, IMAGE, WEB}


def test_what_was_refused_since_an_earlier_reading_is_told_and_that_reading_is_not_sent_back(four):
    before = kit.ok("vps_info", name=DB, fields=["pid", "usage"])
    kit.inside(DB, "sh", "-c", "i=0; while [ $i -lt 60 ]; do sleep 1 & i=$((i+1)); done", check=False)
    later = kit.ok("vps_info", name=DB, fields=["usage"], since=before["vpss"])
    (row,) = (row for row in later["vpss"][0]["usage"]["rows"] if row["resource"] == "processes")
    assert row["failcnt_since"] > 0 and row["limit"] == 50
    assert later["invocation"]["module_args"]["since"] == "a list of 1"


def test_uptime_is_that_of_the_init(four):
    vps = told(WEB, "pid", "uptime")
    since = int(kit.run("ps", "-o", "etimes=", "-p", str(vps["pid"])))
    assert since - 60 <= vps["uptime"] <= since + 1  # read later, on a machine that may be busy; by clocks of whole seconds
    assert told(OLD)["uptime"] is None


def test_device_is_where_the_image_is_mounted_from(four):
    device = told(IMAGE, "device")["device"]
    assert kit.run("losetup", "--noheadings", "--output", "BACK-FILE", device).strip() == str(kit.pool() / "vps" / IMAGE / "root.img")
    assert told(WEB)["device"] is None and told(OLD)["device"] is None


def test_rates_are_the_kernels_of_all_at_once(four):
    before = {vps["name"]: vps["rates"] for vps in kit.ok("vps_info", fields=["rates"])["vpss"]}
    assert (before[WEB], before[DB], before[OLD]) == ({"in": "20M", "out": "10M"}, {"out": "10M"}, {})
    link = told(WEB)["host_interface"]
    kit.run("tc", "qdisc", "replace", "dev", link, "root", "tbf", "rate", "5mbit", "burst", "32k", "latency", "50ms")
    after = {vps["name"]: vps["rates"] for vps in kit.ok("vps_info", fields=["rates"])["vpss"]}
    assert after[WEB] != before[WEB] and {name: rates for name, rates in after.items() if name != WEB} == {
        name: rates for name, rates in before.items() if name != WEB
    }
    assert kit.info(WEB) == kit.container(WEB), "the two modules read it by different ways"
    assert kit.container(WEB, rates={"in": "20M", "out": "10M"})["rates"] == before[WEB]


def test_what_the_links_have_carried_is_counted_whoever_asks(four):
    kit.run("ip", "route", "replace", "default", "via", "10.78.0.2")  # without a way out the node is nobody's gateway
    before = told(DB, "traffic")["traffic"]
    subprocess.run(["ping", "-c", "3", "-i", "0.2", "-W", "5", "10.90.0.20"], check=True, capture_output=True)
    after = {vps["name"]: vps["traffic"] for vps in kit.ok("vps_info", fields=["traffic"])["vpss"]}
    assert after[DB]["packets_in"] >= before["packets_in"] + 3 and after[DB]["packets_out"] >= before["packets_out"] + 3
    kit.ok("vps_container", name=DB, state="restarted", stop_timeout=0)
    again = told(DB, "traffic")["traffic"]
    assert all(again[key] >= after[DB][key] for key in again), "a restart has lost what was counted"


def test_vpss_that_come_and_go_meanwhile_hide_none(four, minimal):
    """Six are made, started, stopped and removed while others ask: they are told of or not, and nobody else is missing."""
    passing = [f"{kit.PREFIX}pass{number}" for number in range(6)]
    for state in ("started", "stopped", "absent"):
        run = kit.launch("vps_fleet", vps=[{"name": name} for name in passing], defaults={"template": minimal, "state": state, "stop_timeout": 0})
        asked = []
        while run.poll() is None or not asked:
            asked.append(kit.ok("vps_info"))
        assert not kit.result(run).get("failed")
        for answer in asked:
            found = {vps["name"]: vps["state"] for vps in answer["vpss"]}
            assert {name: found[name] for name in four} == {DB: "started", IMAGE: "started", OLD: "stopped", WEB: "started"}
            assert set(found) <= {*four, *passing} and set(found.values()) <= {"started", "stopped"}
            assert "warnings" not in answer
