# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that the modules do with a VPS's disk, on each storage: the same tasks, with the same results.

They run twice (runme.sh), on a pool on btrfs with all storages, and on one that is a plain directory on ext4, which has storage dir alone.
What one of them cannot do is refused before anything is touched, in check mode too. Runs are killed on storage dir, and with VPS_TEST_KILLS=20, as
often as that, on each; the seed of the moments is told with an error, and taken from VPS_TEST_SEED.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
import vps_kit as kit
import vps_trees as trees
from conftest import KIND

PLAIN = KIND == "dir"
STORAGES = ("dir",) if PLAIN else ("btrfs", "image", "dir")
NAME, COPY, TEMPLATE = (f"{kit.PREFIX}op{end}" for end in ("", "-copy", "-t"))
KILLED = ("rolled back", "replaced by its backup", "made anew", "copied", "backed up", "restored")
SEED = int(os.environ.get("VPS_TEST_SEED") or time.time_ns() % 1_000_000)
RESTART = {"restart_policy": "if_needed", "stop_timeout": 0}


@pytest.fixture(scope="module")
def template():
    """One of these tests' own."""
    kit.ok("vps_template", name=TEMPLATE, source="minimal")
    yield TEMPLATE
    kit.remove_all()
    kit.ok("vps_template", name=TEMPLATE, state="absent")


@pytest.fixture(params=STORAGES)
def storage(request) -> str:
    """Each."""
    return request.param


@pytest.fixture
def vps(template, storage):
    """One that is stopped, with a tree that has everything which is easily lost; what a copy of it is to have. Nothing is left of it."""
    kit.container(NAME, template=template, storage=storage, state="stopped", authorized_keys=[])
    with trees.opened(kit.rootfs(NAME)) as root:
        (root / "srv").mkdir()
        trees.fill(root / "srv/odd")
        (root / "etc/passwd").rename(root / "srv/passwd")  # of the template's own: another owner, another name, and less
        os.chown(root / "bin/busybox", 12, 13)
        (root / "bin/vi").unlink()
    yield content(NAME)
    if kit.info(NAME):
        kit.ok("vps_container", name=NAME, protected=False)
    kit.remove_all()
    kit.nothing_remains(seconds=60)
    assert not [path.name for path in (kit.pool() / "templates").iterdir() if path.name.startswith(".")]
    assert sorted(os.listdir(kit.pool() / "vps")) == []


def content(name: str) -> dict[str, tuple]:
    """All of the tree of a stopped VPS, but for what is its own as one among others."""
    with trees.opened(kit.rootfs(name)) as root:
        found = trees.listing(root)
    own = {"etc", "etc/hostname", "etc/hosts", "etc/machine-id", "etc/resolv.conf", "var", "var/lib", "run", "dev", "tmp", "root", "root/.ssh"}
    return {path: what for path, what in found.items() if path not in own and not path.startswith(("run/", "dev/", "proc", "sys", "root/.ssh/"))}


def same(found: dict, expected: dict) -> bool:
    """Whether two trees are; how they differ is told."""
    assert found == expected, kit.differences(expected, found)
    return "srv/odd/sparse" in found


def spoil() -> None:
    """Change the VPS, which is stopped, so that it is another one."""
    with trees.opened(kit.rootfs(NAME)) as root:
        trees.spoil(root / "srv/odd")
        (root / "bin/vi").write_text("other", encoding="ascii")
        (root / "srv/passwd").unlink()


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> dict:
    """The options of a task about backups. One for all, because making one takes seconds, in which restic tries how costly its password can be made."""
    return {"repository": str(tmp_path_factory.mktemp("backups") / "repository"), "password": "correct horse"}


# -- snapshots ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_brings_all_of_it_back(vps):
    kit.foretold("vps_snapshot", vps=NAME, name="one")
    spoil()
    assert content(NAME) != vps
    kit.foretold("vps_snapshot", settles=False, vps=NAME, name="one", state="rolled_back", keep_current="spoilt")
    assert same(content(NAME), vps)
    kit.container(NAME, state="started", wait="booted")


def test_a_vps_that_runs_is_kept_and_put_back(vps):
    kit.container(NAME, state="started", wait="booted")
    kit.shell(NAME, "echo before >/mark")
    init = kit.pid(NAME)
    kit.foretold("vps_snapshot", vps=NAME, name="one")
    assert kit.pid(NAME) == init and kit.info(NAME)["state"] == "started"
    kit.shell(NAME, "echo after >/mark; rm /bin/ls; echo more >/more")
    kit.ok("vps_snapshot", vps=NAME, name="one", state="rolled_back", stop_timeout=0, wait="booted")
    assert kit.shell(NAME, "cat /mark; ls -d /more || true").stdout == "before\n" and kit.said(NAME, "stat", "-c", "%u", "/bin/busybox") == "12"


def test_of_snapshots_as_many_as_asked_are_kept(vps):
    for number in range(4):
        kit.foretold("vps_snapshot", vps=NAME, name=f"d{number}", series="daily", keep=2)
    (told,) = kit.ok("vps_info", name=NAME)["vpss"]
    assert [one["name"] for one in told["snapshots"]] == ["d2", "d3"] and all(one["size"] < 32 << 20 for one in told["snapshots"])
    assert sorted(path.name for path in (kit.pool() / "vps" / NAME / "snapshots").iterdir()) == ["d2", "d3"]
    kit.foretold("vps_snapshot", vps=NAME, name="d3", state="absent")
    kit.ok("vps_snapshot", vps=NAME, name="d2", state="rolled_back")
    assert same(content(NAME), vps)


# -- copies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [False, True])
def test_a_copy_has_all_of_it_and_is_somebody_else(vps, runs):
    if runs:
        kit.container(NAME, state="started", wait="booted")
        kit.shell(NAME, "echo running >/srv/mark")
        init = kit.pid(NAME)
    told = kit.foretold("vps_container", name=COPY, clone_from=NAME, state="stopped")["vps"]
    found = content(COPY)
    if runs:
        assert (kit.info(NAME)["state"], kit.pid(NAME)) == ("started", init)
        assert found.pop("srv/mark")
        found["srv"] = vps["srv"]
    assert same(found, vps) and told["id_base"] != kit.info(NAME)["id_base"]
    kit.ok("vps_container", name=NAME, state="absent")
    kit.container(COPY, state="started", wait="booted")
    assert kit.said(COPY, "hostname") == COPY and kit.said(COPY, "stat", "-c", "%u:%g", "/srv/odd", "/bin/busybox").split() == ["1234:4321", "12:13"]


def test_what_a_killed_run_has_had_stand_still_goes_on(vps, storage, repository):
    kit.container(NAME, state="started", wait="booted")
    init, mark = kit.pid(NAME), kit.pool() / f"vps/.new-{NAME}@.hold/thaw-again"
    for module, task in (("vps_container", {"name": COPY, "clone_from": NAME}), ("vps_backup", {"name": NAME, **repository})):
        kit.kill_when(mark.exists, module, **task)  # where a copy takes no time nobody stands still, and the run ends
        assert mark.exists() is (storage == "dir")
        kit.ok("vps_container", name=NAME)
        assert (kit.info(NAME)["state"], kit.pid(NAME)) == ("started", init) and not mark.parent.exists()
        assert kit.said(NAME, "echo", "alive") == "alive"
        kit.ok("vps_container", name=COPY, state="absent")


def test_a_golden_image_has_the_owners_that_are_seen_inside(vps):
    kit.container(NAME, state="started", wait="booted")
    init, golden = kit.pid(NAME), f"{TEMPLATE}-golden"
    try:
        kit.ok("vps_template", name=golden, source="vps", vps=NAME)
        assert kit.pid(NAME) == init and kit.info(NAME)["state"] == "started"
        kit.container(COPY, template=golden, wait="booted")
        assert kit.said(COPY, "stat", "-c", "%u:%g", "/srv/odd", "/bin/busybox", "/etc").split() == ["1234:4321", "12:13", "0:0"]
    finally:
        kit.ok("vps_container", name=COPY, state="absent")
        kit.ok("vps_template", name=golden, state="absent")


# -- another root file system --------------------------------------------------------------------------------------------


def test_it_is_made_anew_with_what_is_kept_and_put_back(vps):
    kit.container(NAME, state="started", wait="booted")
    again = {"name": NAME, "reinstall": "always", **RESTART}
    told = kit.ok("vps_container", **again, keep_paths=["/srv/odd", "/srv/passwd", "/none"], wait="booted")
    assert told["kept_paths"] == ["/srv/odd", "/srv/passwd"] and told["vps"]["previous"]
    assert kit.said(NAME, "stat", "-c", "%u", "/bin/busybox") == "0" and kit.said(NAME, "ls", "/bin/vi") == "/bin/vi"
    kit.container(NAME, state="stopped")
    found = content(NAME)
    for path in vps:
        if path.startswith("srv/"):
            assert found[path] == vps[path]
    kit.container(NAME, state="started")
    assert kit.foretold("vps_container", name=NAME, reinstall="undo", **RESTART)["vps"]["previous"] is None
    kit.container(NAME, state="stopped")
    assert same(content(NAME), vps)
    kit.container(NAME, state="started", wait="booted")


def test_what_reinstalls_replace_is_kept_until_told_otherwise(vps):
    kit.container(NAME, state="started", wait="booted")
    again = {"name": NAME, "reinstall": "always", "wait": "booted", **RESTART}
    kit.ok("vps_container", **again)
    kit.shell(NAME, "echo second >/mark; sync")
    kit.container(NAME, hostname="later")
    for mark in ("vps", "second"):
        done = kit.foretold("vps_container", settles=False, **again)
        name = done["changes"][-2]["option"].partition("snapshots.")[2]  # the last is the restart
        (told,) = kit.ok("vps_info", name=NAME)["vpss"]
        assert (told["snapshots"][-1]["name"], told["snapshots"][-1]["series"]) == (name, "reinstall") and told["snapshots"][-1]["size"] > 0, mark
    names = [one["name"] for one in told["snapshots"]]
    assert len(names) == 2 and all(name.startswith("before-reinstall-2") for name in names) and told["previous"]
    kit.ok("vps_snapshot", vps=NAME, name=names[1], state="rolled_back", stop_timeout=0, wait="booted")
    assert kit.shell(NAME, "cat /mark /etc/hostname").stdout == "second\nlater\n"
    kit.container(NAME, state="stopped")
    kit.ok("vps_snapshot", vps=NAME, name=names[0], state="rolled_back", restore_configuration=True)
    assert same(content(NAME), vps) and kit.info(NAME)["hostname"] == NAME
    kit.container(NAME, reinstall="always", keep_previous=False, state="stopped")
    (told,) = kit.ok("vps_info", name=NAME)["vpss"]
    assert told["previous"] is None and [one["name"] for one in told["snapshots"]] == names
    kit.foretold("vps_snapshot", vps=NAME, series="reinstall", keep=1)
    kit.foretold("vps_snapshot", vps=NAME, name=names[1], state="absent")


def test_it_boots_in_rescue_with_its_disk_inside_and_back(vps):
    kit.container(NAME, state="started", wait="booted")
    if PLAIN:
        for check in (True, False):
            with kit.Untouched():
                message = kit.fails("vps_container", check=check, name=NAME, state="rescue", stop_timeout=0)
            assert message.startswith("state: rescue needs a pool on btrfs")
        return
    kit.foretold("vps_container", name=NAME, state="rescue", stop_timeout=0, wait="booted")
    assert kit.said(NAME, "stat", "-c", "%u:%g", "/mnt/disk/srv/odd", "/mnt/disk/bin/busybox").split() == ["1234:4321", "12:13"]
    kit.shell(NAME, "echo mended >/mnt/disk/srv/mark; chown 7:8 /mnt/disk/srv/mark; rm /mnt/disk/bin/ls; sync")
    kit.foretold("vps_container", name=NAME, state="started", stop_timeout=0, wait="booted")
    assert kit.shell(NAME, "cat /srv/mark; stat -c %u:%g /srv/mark; test ! -e /bin/ls").stdout == "mended\n7:8\n"


# -- backups -----------------------------------------------------------------------------------------------------------


def test_a_backup_is_restored_to_another_name_and_in_its_own_place(vps, repository):
    kit.container(NAME, state="started", wait="booted")
    init = kit.pid(NAME)
    kit.ok("vps_backup", name=NAME, **repository)
    assert (kit.info(NAME)["state"], kit.pid(NAME)) == ("started", init)
    kit.ok("vps_backup", name=NAME, state="restored", target=COPY, addresses=[], **repository)
    assert same(content(COPY), vps) and kit.info(COPY)["id_base"] != kit.info(NAME)["id_base"]
    kit.container(COPY, state="started", wait="booted")
    assert kit.said(COPY, "stat", "-c", "%u:%g", "/srv/odd", "/bin/busybox", "/etc/hostname").split() == ["1234:4321", "12:13", "0:0"]
    kit.ok("vps_container", name=COPY, state="absent")
    kit.container(NAME, state="stopped")
    spoil()
    kit.container(NAME, state="started", wait="booted")
    kit.ok("vps_backup", name=NAME, state="restored", paths=["/srv/passwd"], **repository)
    assert kit.said(NAME, "stat", "-c", "%u", "/srv/passwd") == "0"
    assert kit.ok("vps_backup", name=NAME, state="restored", replace=True, stop_timeout=0, **repository)["changed"]
    kit.ok("vps_container", name=NAME, wait="booted")
    kit.container(NAME, state="stopped")
    assert same(content(NAME), vps)
    assert kit.ok("vps_backup", name=NAME, state="tested", stop_timeout=0, **repository)["boot"] == "running"


# -- killed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", STORAGES if kit.kills(0) else ("dir",))  # that no other target kills runs on
@pytest.mark.parametrize("what", KILLED if kit.kills(0) or not PLAIN else KILLED[:2])
def test_killed_at_any_moment_the_next_run_gets_through(template, storage, repository, what):
    """And until then the VPS has one disk or the other, whole, and runs as it did."""
    kit.container(NAME, template=template, storage=storage, state="stopped")
    with trees.opened(kit.rootfs(NAME)) as root:
        (root / "srv").mkdir()
        trees.fill(root / "srv/odd")
        before = trees.listing(root / "srv")
    kit.ok("vps_snapshot", vps=NAME, name="one")
    kit.ok("vps_backup", name=NAME, **repository)
    kit.container(NAME, state="started", wait="booted")
    module, task = {
        "rolled back": ("vps_snapshot", {"vps": NAME, "name": "one", "state": "rolled_back", "keep_current": "before", "stop_timeout": 0}),
        "made anew": ("vps_container", {"name": NAME, "reinstall": "always", "keep_paths": ["/srv"], **RESTART}),
        "copied": ("vps_container", {"name": COPY, "clone_from": NAME, "state": "stopped"}),
        "backed up": ("vps_backup", {"name": NAME, **repository}),
        "replaced by its backup": ("vps_backup", {"name": NAME, "state": "restored", "replace": True, "stop_timeout": 0, **repository}),
        "restored": ("vps_backup", {"name": NAME, "target": COPY, "state": "restored", "addresses": [], **repository}),
    }[what]
    started = time.monotonic()
    told = kit.result(kit.launch(module, **task))
    assert not told.get("failed"), told["msg"]
    whole = time.monotonic() - started
    for moment in kit.moments(kit.kills(1), 0.25 * whole, whole, seed=SEED):
        where = f"seed {SEED}, {what} on {storage}, killed after {moment:.3f}"
        kit.ok("vps_container", name=COPY, state="absent")
        kit.shell(NAME, "echo mine >/mark; mkdir -p /far; echo mine >/far/mark; sync")
        run = kit.launch(module, **task)
        time.sleep(moment)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        kit.ok("vps_container", name=NAME, state="started", lock_timeout=120, wait="booted")
        assert kit.shell(NAME, "cat /mark /far/mark", check=False).stdout in ("mine\nmine\n", ""), where
        if what != "restored" or not kit.info(COPY):  # or it was through, and would not do it once more
            kit.ok(module, **task)
        kit.container(NAME, state="stopped")
        with trees.opened(kit.rootfs(COPY if task.get("target") or task.get("clone_from") else NAME)) as root:
            assert trees.listing(root / "srv") == before, where
        kit.container(NAME, state="started", wait="booted")
    kit.remove_all()
    kit.nothing_remains(seconds=60)
    assert not os.listdir(kit.pool() / "vps")
    assert not [path.name for path in (kit.pool() / "templates").iterdir() if path.name.startswith(".")]


# -- what is protected ---------------------------------------------------------------------------------------------------


def test_what_is_protected_keeps_the_disk_that_it_has(vps, repository):
    """Whatever would give it up is refused; what leaves it alone is done, and the word can be taken back."""
    kit.container(NAME, state="started", wait="booted", protected=True)
    init = kit.pid(NAME)
    kit.ok("vps_snapshot", vps=NAME, name="one")
    kit.ok("vps_backup", name=NAME, **repository)
    for module, task in (
        ("vps_container", {"name": NAME, "state": "absent"}),
        ("vps_container", {"name": NAME, "reinstall": "always", **RESTART}),
        ("vps_snapshot", {"vps": NAME, "name": "one", "state": "rolled_back"}),
        ("vps_snapshot", {"vps": NAME, "name": "one", "state": "rolled_back", "keep_current": "two", "restore_configuration": True}),
        ("vps_backup", {"name": NAME, "state": "restored", "replace": True, **repository}),
    ):
        for check in (True, False):
            with kit.Untouched():
                message = kit.fails(module, check=check, **task)
            assert message.startswith(f"protected: VPS '{NAME}' is protected, and is not ") and "set protected to false first" in message
    assert kit.pid(NAME) == init
    kit.ok("vps_backup", name=NAME, state="restored", paths=["/srv/passwd"], **repository)
    kit.ok("vps_snapshot", vps=NAME, name="two")
    kit.container(NAME, protected=False)
    kit.ok("vps_snapshot", vps=NAME, name="one", state="rolled_back", stop_timeout=0)
    assert not kit.info(NAME)["protected"]


# -- what is refused -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused_before_anything_is_touched(vps, template, storage, repository):
    kit.container(NAME, state="started", wait="booted")
    kit.ok("vps_backup", name=NAME, **repository)
    other = next(one for one in ("image", "dir", "btrfs") if one != storage)
    refused = [
        ("vps_container", {"name": NAME, "storage": other}, "storage: VPS"),
        ("vps_container", {"name": COPY, "clone_from": NAME, "storage": other}, "storage: "),
        ("vps_container", {"name": NAME, "reinstall": "always"}, "reinstall: VPS"),
        ("vps_container", {"name": NAME, "reinstall": "always", "template": "none-such", **RESTART}, "template: "),
        ("vps_container", {"name": NAME, "state": "rescue", "rescue_template": "none-such"}, "rescue_template: " if not PLAIN else "state: "),
        ("vps_snapshot", {"vps": NAME, "name": "none", "state": "rolled_back"}, "name: "),
        ("vps_backup", {"name": NAME, "state": "restored", **repository}, "target: there is a VPS"),
    ]
    if storage == "dir":
        refused.append(("vps_limits", {"name": NAME, "diskspace": "1G"}, "diskspace: "))
    if PLAIN:
        refused += [("vps_container", {"name": COPY, "template": template, "storage": one}, "storage: ") for one in ("btrfs", "image")]
    for module, task, start in refused:
        for check in (True, False):
            with kit.Untouched():
                message = kit.fails(module, check=check, **task)
            assert message.startswith(start), message
    assert kit.own_names() == [NAME] and kit.info(NAME)["state"] == "started"
