# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All VPSs of a node in one task, on the real kernel."""

from __future__ import annotations

import fcntl
import os
import pathlib
import signal
import time

import vps_kit as kit
from conftest import name, state, workers

LIMITS = {"limits": {"memory": "64M", "processes": "50", "diskspace": "100M"}}


def changed(result: dict) -> list[tuple[str, str]]:
    return [(change["vps"].removeprefix(kit.PREFIX), change["option"]) for change in result["changes"]]


def test_many_are_made_as_one_would_be(fleet):
    wish = [{"name": f"n{number}", "addresses": [f"10.90.0.{20 + number}"]} for number in range(6)]
    told = fleet.foretold(*wish, defaults={**LIMITS, "wait": "booted"})
    assert [one for one, option in changed(told) if option == "state"] == [f"n{number}" for number in range(6)]
    assert told["boot"] == {name(f"n{number}"): "running" for number in range(6)}
    bases = set()
    for number in range(6):
        word = name(f"n{number}")
        assert kit.said(word, "hostname") == word
        assert f"10.90.0.{20 + number}/32" in kit.said(word, "ip", "-4", "addr", "show", "dev", "eth0")
        assert kit.kernel_limits(word) == kit.limit_files(memory=64 << 20, processes=50)
        assert kit.disk_limit(word) == 100 << 20
        bases.add(kit.info(word)["id_base"])
    assert len(bases) == 6
    rules = kit.run("nft", "list", "set", "inet", "mainline_vps", "own4")
    assert all(f'"{kit.info(name(one["name"]))["host_interface"]}" . {one["addresses"][0]}' in rules for one in wish)
    # One by one they are as they are to be, too: the packet filter and all files are as those of vps_container.
    for number in range(6):
        assert not kit.ok("vps_container", name=name(f"n{number}"), **LIMITS, addresses=[f"10.90.0.{20 + number}"])["changed"]
    fleet.foretold(*({"name": one["name"]} for one in wish), defaults={"state": "absent"})
    assert not kit.remains()


def test_there_and_back(fleet):
    first = {**LIMITS, "hostname": "first", "nameservers": ["192.0.2.1"], "labels": {"tier": "a"}, "onboot": True}
    second = {"limits": {"memory": "80M"}, "hostname": "second", "nameservers": ["192.0.2.2"], "labels": {}, "onboot": False}
    words = [{"name": word} for word in ("a", "b", "c")]
    fleet.foretold(*words, defaults=first)
    pids = [kit.pid(name(one["name"])) for one in words]
    before = [kit.info(name(one["name"])) for one in words]
    fleet.foretold(*words, defaults=second)
    assert [kit.said(name(one["name"]), "cat", "/etc/resolv.conf") for one in words] == ["nameserver 192.0.2.2"] * 3
    fleet.foretold(*words, defaults=first)
    assert [{**kit.info(name(one["name"])), "disk_used": 0} for one in words] == [{**one, "disk_used": 0} for one in before]
    assert [kit.pid(name(one["name"])) for one in words] == pids, "one was restarted"


def test_one_bad_vps_of_five_refuses_all(fleet):
    words = [{"name": word} for word in "abcde"]
    words[3]["limits"] = {"physpages": "many"}
    with kit.Untouched():
        told = fleet.fails(*words)
    assert told["msg"].startswith(f"vps[3] ({name('d')}): limits.physpages: ") and told["msg"].endswith(".")
    with kit.Untouched():
        message = fleet.fails({"name": "a"}, {"name": "b", "boot_order": "soon"})["msg"]
    assert message.startswith(f"vps[1] ({name('b')}): ") and "boot_order" in message
    with kit.Untouched():
        message = fleet.fails({"name": "a"}, {"name": "b", "memroy": "1G"})["msg"]
    assert message.startswith(f"vps[1] ({name('b')}): memroy: there is no such option; ") and message.endswith(".")
    with kit.Untouched():
        message = fleet.fails({"name": "a"}, {"name": "b", "publish": [{"hst": 80}]})["msg"]
    assert message == f"vps[1] ({name('b')}): publish[0].hst: there is no such option; perhaps host is meant."
    for wrong in ("a", 5, None, ["a"], []):
        with kit.Untouched():
            message = kit.call("vps_fleet", vps=[{"name": name("a")}, wrong])["msg"]
        assert message.startswith("vps[1]: ") and "is no dictionary" in message and message.endswith("."), message
    assert kit.call("vps_fleet", vps="a")["msg"].startswith("vps[0]: 'a' is no dictionary; ")


def test_one_that_does_not_start_lets_the_others_go_on(fleet):
    fleet.ok(*({"name": word} for word in "abc"), defaults={"state": "stopped"})
    init = kit.rootfs(name("b")) / "sbin" / "init"
    init.unlink()
    init.write_text("#!/bin/false\n", encoding="ascii")
    init.chmod(0o755)
    told = fleet.fails(*({"name": word} for word in "abc"), defaults={"wait": "booted", "description": "all"})
    assert [state(word) for word in "abc"] == ["started", "stopped", "started"]
    (failed,) = told["failed_vpss"]
    assert failed["vps"] == name("b") and "console" in failed
    assert ([one["option"] for one in failed["done"]], [one["option"] for one in failed["not_done"]]) == (["description"], ["state"])
    assert told["summary"]["failed"] == 1 and told["changed"]
    assert name("b") in told["msg"] and "Traceback" not in told["msg"]


def test_starts_keep_the_boot_order(fleet):
    wish = [{"name": "late", "boot_order": 20}, {"name": "early", "boot_order": 1}, {"name": "middle", "boot_order": 10}]
    fleet.foretold(*wish)
    began = {one["name"]: int(pathlib.Path(f"/proc/{kit.pid(name(one['name']))}/stat").read_text().rpartition(")")[2].split()[19]) for one in wish}
    assert began["early"] < began["middle"] < began["late"]


def test_an_address_moves_whatever_the_order_of_the_list_is(fleet):
    fleet.foretold({"name": "a", "addresses": ["10.90.0.30"]}, {"name": "b", "addresses": []})
    fleet.foretold({"name": "b", "addresses": ["10.90.0.30"]}, {"name": "a", "addresses": ["10.90.0.31"]})
    assert "10.90.0.30/32" in kit.said(name("b"), "ip", "-4", "addr", "show", "dev", "eth0")
    assert "10.90.0.30" not in kit.said(name("a"), "ip", "-4", "addr", "show", "dev", "eth0")
    with kit.Untouched():
        assert "addresses" in fleet.fails({"name": "a", "addresses": ["10.90.0.30"]}, {"name": "b", "addresses": ["10.90.0.31"]})["msg"]
    fleet.foretold({"name": "c", "addresses": ["10.90.0.30"]}, {"name": "b", "state": "absent"})


def test_what_becomes_of_those_that_are_not_listed(fleet):
    fleet.ok(*({"name": word} for word in "abc"))
    assert fleet.ok({"name": "a"})["unlisted"] == [name("b"), name("c")]
    reported = fleet.ok({"name": "a"}, unlisted="report")
    assert not reported["changed"] and any(name("b") in warning for warning in reported["warnings"])
    assert [state(word) for word in "abc"] == ["started"] * 3
    fleet.foretold({"name": "a"}, unlisted="stop")
    assert [state(word) for word in "abc"] == ["started", "stopped", "stopped"]
    with kit.Untouched():
        assert "unlisted_max" in fleet.fails({"name": "a"}, unlisted="absent", unlisted_max=1)["msg"]
        assert fleet.fails({"name": "a"}, unlisted="absent")["msg"].startswith("unlisted_max: ")
    told = fleet.ok({"name": "a"}, unlisted="absent", unlisted_max=2)
    assert changed(told) == [("b", "state"), ("c", "state")]
    assert [state(word) for word in "abc"] == ["started", "absent", "absent"]


def test_a_rolling_change_stops_where_one_is_not_well(fleet):
    words = [{"name": word} for word in "abcd"]
    fleet.ok(*words, defaults={"wait": "booted"})
    kit.shell(name("b"), "touch /ill")
    health = {"script": "[ ! -e /ill ]", "timeout": 20}
    told = fleet.fails(*words, defaults={"limits": {"memory": "80M"}}, batch=2, health=health)
    assert told["not_begun"] == [name("c"), name("d")]
    assert [one["vps"] for one in told["failed_vpss"]] == [name("b")] and told["failed_vpss"][0]["rc"] == 1
    assert [kit.info(name(word))["limits"] for word in "abcd"] == [{"memory": "80M"}] * 2 + [{}] * 2
    told = fleet.fails(*words, defaults={"limits": {"memory": "80M"}}, batch=2, health=health)
    assert told["msg"].startswith(f"vps: 1 VPSs that are already as asked are not well ({name('b')}); nothing was changed, ")
    assert not told["changed"] and told["not_begun"] == [name("c"), name("d")]
    kit.shell(name("b"), "rm /ill")
    assert changed(fleet.ok(*words, defaults={"limits": {"memory": "80M"}}, batch=2, health=health)) == [("c", "limits.memory"), ("d", "limits.memory")]


def test_a_restart_is_done_in_one_go_and_the_rules_are_there_after_it(fleet):
    fleet.ok({"name": "a"}, {"name": "b"}, defaults={"wait": "booted"})
    pids = [kit.pid(name(word)) for word in "ab"]
    told = fleet.ok({"name": "a"}, {"name": "b"}, defaults={"privileged": True, "labels": {"a": "b"}, "restart_policy": "if_needed", "wait": "booted"})
    assert ("a", "state") in changed(told) and told["to_restart"] == []
    assert all(kit.pid(name(word)) not in (*pids, None) for word in "ab")
    assert not fleet.ok({"name": "a"}, {"name": "b"}, defaults={"privileged": True, "labels": {"a": "b"}})["changed"]


def test_disks_of_every_kind_are_made_side_by_side(fleet):
    kinds = {"a": "image", "b": "image", "c": "dir", "d": "btrfs"}
    fleet.foretold(*({"name": word, "storage": kind} for word, kind in kinds.items()), defaults={"wait": "booted"})
    fleet.foretold(*({"name": word} for word in "abcd"), defaults={"state": "absent"})
    assert not kit.remains()


def test_two_at_once_do_not_stand_in_each_others_way(fleet):
    ours, theirs = ([{"name": f"{word}{number}", "addresses": [{"pool": "default"}]} for number in range(2)] for word in "xy")
    both = [{"name": "z", "addresses": [{"pool": "default"}]}]
    runs = [fleet.launch(*ours, *both), fleet.launch(*both, *theirs)]
    for run in runs:
        told = kit.result(run)
        assert not told.get("failed"), told["msg"]
    assert not fleet.ok(*ours, *theirs, *both)["changed"]


def test_others_are_given_ids_and_addresses_while_new_vpss_are_built(fleet):
    """The run is stopped in the middle of that, and what it has been given stays its own."""
    fleet.ok({"name": "there", "addresses": []})
    wish = [{"name": f"n{number}", "storage": "image", "addresses": [{"pool": "default"}]} for number in range(5)]
    run = fleet.launch(*wish, {"name": "there", "limits": {"memory": "64M"}}, parallel=1)

    def building() -> list[pathlib.Path]:
        """Of those to come at least one is in its staging directory, and another one has begun to be filled."""
        folders = list((kit.pool() / "vps").glob(".new-*"))
        return folders if len(folders) > 2 and any((folder / "rootfs").exists() for folder in folders) else []

    kit.until("it builds", building)
    stopped = [run.pid, *workers(run.pid)]
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        assert building(), "it was faster"
        pooled = {"state": "stopped", "addresses": [{"pool": "default"}]}
        alone = kit.call("vps_container", name=name("alone"), template=fleet.defaults["template"], **pooled, lock_timeout=5)
        changed_alone = kit.call("vps_limits", name=name("alone"), memory="32M", lock_timeout=5)
        more = kit.call("vps_fleet", **fleet.given({"name": "more", **pooled}, lock_timeout=5))
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
    told = kit.result(run)
    for one in (alone, changed_alone, more, told):
        assert not one.get("failed"), one["msg"]
    found = [kit.info(name(word)) for word in ("alone", "more", *(one["name"] for one in wish))]
    assert len({one["addresses"][0] for one in found}) == len({one["id_base"] for one in found}) == 7
    assert not fleet.ok(*wish)["changed"]


def test_two_that_have_settled_on_the_same_ids_and_addresses_do_not_both_get_them(fleet):
    """They share no VPS: the node's lock alone keeps them apart. We hold it until both know what they want."""
    lists = [[{"name": f"{word}{number}", "addresses": [{"pool": "default"}]} for number in range(12)] for word in "xy"]
    names = [name(one["name"]) for some in lists for one in some]
    with open(kit.LOCKS / "node-allocation", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        runs = [fleet.launch(*some, defaults={"state": "stopped"}) for some in lists]
        kit.until("both have locked their VPSs", lambda: _ended(runs) or all(kit.is_locked("vps", one) for one in names), seconds=120)
        time.sleep(2)  # in which whoever does not ask for the lock is through
        assert not kit.own_names() and not _ended(runs)
    told = [kit.result(run) for run in runs]
    assert not [one["msg"] for one in told if one.get("failed")]
    found = [kit.info(one) for one in names]
    assert len({one["addresses"][0] for one in found}) == len({one["id_base"] for one in found}) == len(names)


def _ended(runs):
    return any(run.poll() is not None for run in runs)


def test_the_holder_of_a_lock_is_named(fleet):
    fleet.ok({"name": "a"}, {"name": "b"})
    with open(kit.LOCKS / f"vps-{name('b')}", "w", encoding="ascii") as lock:
        lock.write("somebody")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = fleet.fails({"name": "a", "hostname": "x"}, {"name": "b", "hostname": "x"}, lock_timeout=0)
        assert not fleet.ok({"name": "a"}, {"name": "b"}, lock_timeout=0)["changed"], "what is as it is to be takes no lock"
    (kit.LOCKS / f"vps-{name('b')}").unlink()
    assert told["msg"].startswith("lock_timeout: ") and name("b") in told["msg"] and "somebody" in told["msg"]
    assert kit.said(name("a"), "hostname") == name("a"), "it was begun without all locks"


def test_a_damaged_record_of_another_vps_is_in_the_way_of_what_it_is_of_one_vps(fleet):
    fleet.ok({"name": "a", "addresses": ["10.90.0.70"]}, {"name": "b"}, {"name": "c"})
    record = kit.pool() / "vps" / name("c") / "vps.json"
    whole = record.read_text(encoding="utf-8")
    record.write_text("{", encoding="utf-8")
    try:
        wish = [{"name": "a", "addresses": []}, {"name": "b", "limits": {"memory": "80M"}}]
        foretold = kit.ok("vps_fleet", check=True, **fleet.given(*wish))
        assert changed(foretold) == changed(fleet.ok(*wish)) == [("a", "addresses"), ("b", "limits.memory")]
        assert kit.ok("vps_container", name=name("a"), limits={"memory": "80M"}, publish=[])["changed"]
        for check in (True, False):
            asked = {"addresses": ["10.90.0.71"]}
            alone = kit.call("vps_container", check=check, name=name("a"), **asked)
            together = kit.call("vps_fleet", check=check, **fleet.given({"name": "a", **asked}))
            assert alone["failed"] and together["failed"] and alone["msg"] == together["msg"], (alone["msg"], together["msg"])
            assert alone["msg"].startswith(str(record))
    finally:
        record.write_text(whole, encoding="utf-8")


def test_copies_of_one_that_runs_are_made_one_after_the_other_while_it_stands_still(fleet):
    """On a storage where a copy takes its time. The source is far down the list of what the run has locked."""
    written = "mkdir -p /srv; cd /srv; for i in $(seq 2000); do echo $i > $i; done"
    fleet.ok({"name": "source"}, defaults={"storage": "dir", "wait": "booted"})
    kit.ok("vps_command", name=name("source"), argv=["sh", "-c", written])
    others = [{"name": f"p{number}", "state": "absent"} for number in range(8)]
    copies = [{"name": f"copy{number}", "clone_from": name("source"), "storage": "dir", "state": "stopped"} for number in range(3)]
    told = fleet.ok(*others, {"name": "source"}, *copies, parallel=3)
    assert told["changed"] and state("source") == "started"
    for copy in copies:
        there = kit.pool() / "vps" / name(copy["name"])
        assert len(list(next(path for path in there.rglob("srv") if path.is_dir()).iterdir())) == 2000, copy
    assert not list((kit.pool() / "vps").glob(".new-*"))


def test_what_is_moved_out_of_the_way_in_a_copy_is_told_with_the_name_of_the_copy(fleet):
    fleet.ok({"name": "source"}, defaults={"wait": "booted"})
    kit.ok("vps_command", name=name("source"), argv=["sh", "-c", "rm /etc/hosts; mkdir /etc/hosts"])
    told = fleet.ok(*({"name": f"copy{number}", "clone_from": name("source"), "state": "stopped"} for number in range(2)), parallel=1)
    for number in range(2):
        assert [f"'{name(f'copy{number}')}'" in warning and "/etc/hosts" in warning for warning in told["warnings"]].count(True) == 1, told["warnings"]


def test_how_far_it_is_is_told(fleet):
    run = fleet.launch(*({"name": f"n{number}"} for number in range(6)), batch=1)
    seen = kit.until("somebody tells how far it is", lambda: kit.ok("vps_info", name=name("n0"))["node"]["fleets"])
    assert not kit.result(run).get("failed")
    assert (seen[0]["of"], seen[0]["failed"]) == (6, 0) and 0 <= seen[0]["done"] <= 6
    assert kit.ok("vps_info")["node"]["fleets"] == []


def test_examples_run_as_written(fleet, tmp_path):
    """One after the other, through ansible-playbook; the first settles."""
    kit.ok("vps_template", name="minimal", source="minimal")
    tasks = kit.examples("vps_fleet")
    try:
        kit.play(tmp_path, tasks)
        assert "changed=0" in kit.play(tmp_path, tasks[1:2])
    finally:
        kit.ok("vps_fleet", vps=[{"name": word} for word in ("db1", "web1", "web2")], defaults={"state": "absent"})
