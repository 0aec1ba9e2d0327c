# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of VPSs on this machine's kernel, with both storages: what they keep, what a roll back gives, what goes when."""

from __future__ import annotations

import json
import os
import pathlib
import stat

import pytest
import vps_kit as kit
import vps_trees as trees

NAME, OTHER = "it-snap-a", "it-snap-b"
MIB = 1 << 20
KEYS = [f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oy{n} {n}@example.com" for n in "kl"]


@pytest.fixture(params=["btrfs", "image"])
def storage(request) -> str:
    """Each storage."""
    return request.param


@pytest.fixture
def vps(minimal, storage):
    """Makes the VPS."""

    def make(**params) -> dict:
        return kit.container(NAME, template=minimal, storage=storage, **({"wait": "booted"} if params.get("state", "started") == "started" else {}), **params)

    return make


def snapshot(name: str | None, **params) -> dict:
    """Run vps_snapshot, after its prediction, and then again."""
    return kit.foretold("vps_snapshot", vps=NAME, **({"name": name} if name else {}), **params)


def roll_back(name: str, **params) -> dict:
    """The same; asked again it would roll back again."""
    return kit.foretold("vps_snapshot", settles=False, vps=NAME, name=name, state="rolled_back", **{"stop_timeout": 0, **params})


def told() -> dict[str, dict]:
    """The VPS's snapshots as vps_info tells them."""
    return {one["name"]: one for one in kit.ok("vps_info", name=NAME)["vpss"][0]["snapshots"]}


def folder(name: str) -> pathlib.Path:
    """Where a snapshot is."""
    return kit.pool() / "vps" / NAME / "snapshots" / name


def test_all_that_a_tree_is_comes_back(vps):
    vps(state="stopped", limits={"diskspace": "300M"})
    with trees.opened(kit.rootfs(NAME)) as root:
        trees.fill(root / "odd")
        before = trees.listing(root)
    snapshot("one")
    with trees.opened(kit.rootfs(NAME)) as root:
        trees.spoil(root / "odd")
        assert len(kit.differences(before, trees.listing(root))) > 6
    done = roll_back("one")
    assert [change["option"] for change in done["changes"]] == ["state"]
    with trees.opened(kit.rootfs(NAME)) as root:
        after = trees.listing(root)
    assert after == before, kit.differences(before, after)
    assert before["odd/sparse"][4][1] and before["odd/random"][6] and before["odd/file"][5][1] == 2
    assert not kit.ok("vps_container", name=NAME, state="stopped", limits={"diskspace": "300M"})["changed"]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_vps_that_runs_is_kept_as_it_is_and_runs_again(vps, frozen):
    vps(addresses=[kit.address(40)])
    kit.shell(NAME, "echo before >/mark; sync")
    init = kit.pid(NAME)
    snapshot("one", frozen=frozen)
    assert kit.pid(NAME) == init and kit.info(NAME)["state"] == "started" and told()["one"]["state"] == "started"
    kit.shell(NAME, "echo after >/mark; echo more >/more; sync")
    done = roll_back("one", wait="booted")
    assert [change["option"] for change in done["changes"]] == ["state", "vps"] and done["boot"] == "running"
    assert kit.pid(NAME) != init and kit.said(NAME, "cat", "/mark") == "before"
    assert kit.shell(NAME, "test -e /more", check=False).returncode == 1
    assert kit.address(40) in kit.said(NAME, "ip", "addr")
    assert list(told()) == ["one"], "it stays"
    kit.shell(NAME, "echo written >/mark && sync")
    roll_back("one")
    assert kit.said(NAME, "cat", "/mark") == "before"


def test_snapshots_are_roots_alone_and_cannot_be_written_to(vps, storage):
    vps(state="stopped")
    snapshot("one", description="ünïcode", expires="1h")
    assert stat.S_IMODE(folder("one").parent.stat().st_mode) == stat.S_IMODE(folder("one").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder("one") / "snapshot.json").stat().st_mode) == 0o600
    if storage == "btrfs":
        assert kit.run("btrfs", "property", "get", "-ts", str(folder("one") / "rootfs"), "ro").strip() == "ro=true"
    one = told()["one"]
    assert (one["description"], one["state"], one["storage"], one["size"] < MIB) == ("ünïcode", "stopped", storage, True)


def test_a_frozen_vps_is_kept_and_is_frozen_again(vps):
    vps()
    kit.shell(NAME, "echo before >/mark; sync")
    kit.container(NAME, state="frozen")
    snapshot("one", frozen=True)
    assert told()["one"]["state"] == "frozen" and kit.info(NAME)["state"] == "frozen"
    roll_back("one")
    assert kit.info(NAME)["state"] == "frozen"
    kit.container(NAME, state="started")
    assert kit.said(NAME, "cat", "/mark") == "before"


def test_what_the_node_has_written_into_the_guest_since_then_is_there_after_a_roll_back(vps):
    vps(hostname="old", authorized_keys=KEYS, limits={"diskspace": "200M"})
    kit.shell(NAME, "echo 'root:$1$owner$/owners0wn:1:0:99999:7:::' >/etc/shadow; sync")
    snapshot("one")
    kit.container(NAME, hostname="new", authorized_keys=KEYS[:1], limits={"processes": "77", "diskspace": "200M"})
    roll_back("one", wait="booted")
    assert kit.said(NAME, "hostname") == kit.said(NAME, "cat", "/etc/hostname") == "new"
    assert KEYS[1] not in kit.said(NAME, "cat", "/root/.ssh/authorized_keys"), "a key that was taken away is back"
    assert "owners0wn" in kit.said(NAME, "cat", "/etc/shadow"), "what the owner has changed is as it was then"
    limits = {"processes": "77", "diskspace": "200M"}
    assert not kit.ok("vps_container", name=NAME, hostname="new", authorized_keys=KEYS[:1], limits=limits)["changed"]


def test_its_disk_has_the_limit_that_it_is_to_have(vps, storage):
    vps(state="stopped", limits={"diskspace": "200M"})
    snapshot("small")
    kit.container(NAME, state="stopped", limits={"diskspace": "400M"})
    snapshot("large")
    with trees.opened(kit.rootfs(NAME)) as root:
        (root / "big").write_bytes(b"x" * 250 * MIB)
    snapshot("full")
    for name, size in (("small", 400), ("large", 400), ("full", 400)):
        roll_back(name)
        assert held(storage) == size * MIB
    roll_back("small", restore_configuration=True)
    assert held(storage) == 200 * MIB and kit.info(NAME)["limits"] == {"diskspace": "200M"}
    if storage == "image":  # what does not fit is refused, and the VPS has what it had
        with kit.Untouched(inodes=False):
            assert "does not fit" in kit.fails("vps_snapshot", vps=NAME, name="full", state="rolled_back")
    kit.container(NAME, state="started", wait="booted")


def held(storage: str) -> int | None:
    """Bytes of the disk's limit."""
    return kit.disk_limit(NAME) if storage == "btrfs" else kit.rootfs(NAME).with_name("root.img").stat().st_size


def test_the_configuration_of_then_comes_back_when_it_is_asked_for(vps):
    vps(hostname="old", addresses=[kit.address(40)], limits={"memory": "64M", "processes": "50"}, description="then", labels={"tier": "web"})
    snapshot("one")
    now = {"hostname": "new", "addresses": [kit.address(41)], "limits": {"memory": "96M"}, "description": "now", "labels": {}, "onboot": True}
    kit.container(NAME, **now)
    done = roll_back("one", restore_configuration=True, wait="booted")
    assert {change["option"] for change in done["changes"]} == {
        "state", "vps", "hostname", "addresses", "limits.memory", "limits.processes", "description", "labels", "onboot",
    }
    assert kit.said(NAME, "hostname") == "old" and kit.address(40) in kit.said(NAME, "ip", "addr") and kit.address(41) not in kit.run("ip", "route")
    assert kit.kernel_limits(NAME) == kit.limit_files(memory=64 * MIB, processes=50)
    then = {"hostname": "old", "addresses": [kit.address(40)], "limits": {"memory": "64M", "processes": "50"}, "labels": {"tier": "web"}, "onboot": False}
    assert not kit.ok("vps_container", name=NAME, **then)["changed"]


def test_a_configuration_that_somebody_else_has_by_now_refuses_all_of_it(vps, minimal):
    vps(addresses=[kit.address(40)])
    snapshot("one")
    kit.container(NAME, addresses=[])
    kit.container(OTHER, template=minimal, state="stopped", addresses=[kit.address(40)])
    with kit.Untouched():
        message = kit.fails("vps_snapshot", vps=NAME, name="one", state="rolled_back", restore_configuration=True)
    assert message.startswith("restore_configuration: ") and OTHER in message


def test_what_it_had_before_is_kept_when_it_is_asked_for(vps):
    vps()
    snapshot("one")
    kit.shell(NAME, "echo precious >/mark; sync")
    roll_back("one", keep_current="before", series="kept", expires="1d")
    assert told()["before"]["series"] == "kept" and told()["before"]["expires"] and told()["before"]["state"] == "stopped"
    kit.shell(NAME, "echo second >/mark; sync")
    done = roll_back("one", keep_current="before")
    assert [one["name"] for one in done["snapshots"]] == ["one", "before", "before-2"]
    for name, content in (("before", "precious"), ("before-2", "second")):
        roll_back(name)
        assert kit.said(NAME, "cat", "/mark") == content


def test_as_many_as_asked_are_kept_and_what_has_expired_goes(vps):
    vps(state="stopped")
    snapshot("by-hand")
    for number in range(4):
        done = snapshot(f"d{number}", series="daily", keep=2)
    assert list(told()) == ["by-hand", "d2", "d3"]
    assert {"option": "snapshots.d1", "before": "beyond keep", "after": "absent", "effect": "live"} in done["changes"]
    snapshot("d3", expires="1h")
    record = folder("d3") / "snapshot.json"
    said = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps({**said, "created": said["created"] - 3601, "expires": said["expires"] - 3601}), encoding="utf-8")
    done = snapshot(None)
    assert done["changes"] == [{"option": "snapshots.d3", "before": "expired", "after": "absent", "effect": "live"}]
    snapshot("d2", state="absent")
    assert list(told()) == ["by-hand"] and os.listdir(folder("")) == ["by-hand"]


def test_what_changes_afterwards_is_what_it_costs(vps):
    vps(state="stopped")
    with trees.opened(kit.rootfs(NAME)) as root:
        (root / "big").write_bytes(os.urandom(16 * MIB))
    snapshot("one")
    kit.run("btrfs", "filesystem", "sync", str(kit.pool()))
    assert told()["one"]["size"] < MIB
    with trees.opened(kit.rootfs(NAME)) as root, open(root / "big", "r+b") as file:  # in place, whatever is below
        file.write(os.urandom(16 * MIB))
    kit.run("btrfs", "filesystem", "sync", str(kit.pool()))
    assert 15 * MIB < told()["one"]["size"] < 20 * MIB


def test_its_snapshots_go_with_the_vps_and_nothing_is_left(vps):
    vps()
    snapshot("one")
    roll_back("one", keep_current="two")
    kit.ok("vps_container", name=NAME, state="absent")
    kit.nothing_remains(seconds=10)
    assert "there is no VPS" in kit.fails("vps_snapshot", vps=NAME, name="one")
    vps(state="stopped")
    assert told() == {}, "another one of its name has none of them"


def test_a_damaged_snapshot_hides_no_other_and_can_be_removed(vps):
    vps(state="stopped")
    snapshot("one")
    snapshot("bad")
    (folder("bad") / "snapshot.json").write_text("{", encoding="ascii")
    told_ = kit.ok("vps_info", name=NAME)
    assert [one["name"] for one in told_["vpss"][0]["snapshots"]] == ["one"] and "'bad'" in told_["warnings"][0]
    for state in ("present", "rolled_back"):
        assert "is damaged" in kit.fails("vps_snapshot", vps=NAME, name="bad", state=state)
    roll_back("one")
    snapshot("bad", state="absent")
    assert not folder("bad").exists()


def test_a_guest_in_the_way_is_refused_before_it_is_stopped(vps):
    vps(hostname="old")
    kit.shell(NAME, "rm -f /etc/hosts; mkdir /etc/hosts; sync")
    snapshot("one")
    kit.shell(NAME, "rmdir /etc/hosts; sync")
    kit.container(NAME, hostname="new")
    init = kit.pid(NAME)
    with kit.Untouched():
        kit.fails("vps_snapshot", vps=NAME, name="one", state="rolled_back", keep_current="two")
    assert kit.pid(NAME) == init
