# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool that is a directory on a file system that is no btrfs, on a machine of its own (see kit/apart)."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time

import pytest
import vps_kit as kit

POOL = pathlib.Path("/mnt/plain/pool")
PLAIN = {"pool": str(POOL), "pool_kind": "dir", "networks": ["10.91.0.0/16"]}
MIB = 1 << 20
NAME, OTHER, TEMPLATE = (f"{kit.PREFIX}plain{end}" for end in ("", "2", "-t"))


@pytest.fixture(params=["ext4", "xfs", "tmpfs"], autouse=True)
def pool(request, tmp_path):
    """A file system of that kind, in which the pool is a directory."""
    point = POOL.parent
    point.mkdir()
    if request.param == "tmpfs":
        kit.run("mount", "-t", "tmpfs", "-o", "size=400M", "none", str(point))
    else:
        with open(tmp_path / "file", "wb") as file:
            file.truncate(400 * MIB)
        kit.run(f"mkfs.{request.param}", "-q", str(tmp_path / "file"))
        kit.run("mount", "-o", "loop", str(tmp_path / "file"), str(point))
    POOL.mkdir()
    yield POOL
    if os.path.exists("/etc/vps/node.json"):
        for path in (POOL / "vps").iterdir():
            if not path.name.startswith("."):
                kit.ok("vps_container", name=path.name, state="absent")
        kit.ok("vps_template", name=TEMPLATE, state="absent")
        kit.ok("vps_node", **PLAIN, state="absent")
    assert os.listdir(POOL) == [], "all that was made goes"
    kit.run("umount", str(point))
    point.rmdir()


def node() -> dict:
    """The node, with a template."""
    told = kit.ok("vps_node", **PLAIN)
    kit.settings.cache_clear()
    kit.ok("vps_template", name=TEMPLATE, source="minimal")
    return told


def test_a_directory_becomes_a_pool_whose_vpss_have_storage_dir():
    told = kit.ok("vps_node", check=True, **PLAIN)
    assert os.listdir(POOL) == []
    done = node()
    assert done["changes"] == told["changes"] and done["node"]["pool_kind"] == "dir" and done["node"]["pool_file"] is None
    again = kit.ok("vps_node", **{key: value for key, value in PLAIN.items() if key != "pool_kind"})
    assert not again["changed"], again["changes"]
    new = {"name": NAME, "template": TEMPLATE, "wait": "booted", "limits": {"memory": "64M"}}
    assert kit.foretold("vps_container", **new)["vps"]["storage"] == "dir"
    kit.foretold("vps_container", name=NAME, hostname="plain.example.com", root_password_hash="!")
    assert kit.said(NAME, "hostname") == "plain.example.com"
    kit.shell(NAME, "echo mine >/mine; rm /etc/inittab; sync")
    kit.container(NAME, state="restarted", wait="running")
    assert kit.said(NAME, "cat", "/mine") == "mine"
    told = kit.ok("vps_info", exclusive=True)
    assert 300 * MIB < told["node"]["pool_size"] <= 400 * MIB and told["vpss"][0]["disk_used"] > MIB > told["vpss"][0]["disk_exclusive"]
    for storage in ("btrfs", "image"):
        assert "is not to be had in this node's pool" in kit.fails("vps_container", name=OTHER, template=TEMPLATE, storage=storage)
    assert "diskspace" in kit.fails("vps_limits", name=NAME, diskspace="1G")


def test_a_template_is_built_anew_beside_the_vps_that_lies_on_it():
    node()
    kit.container(NAME, template=TEMPLATE, wait="booted")
    manifest = POOL / f"templates/{TEMPLATE}/template.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"checksum": "', '"checksum": "0'), encoding="utf-8")
    assert kit.ok("vps_template", name=TEMPLATE, source="minimal")["changed"]
    kit.container(OTHER, template=TEMPLATE, wait="booted")
    kit.container(NAME, state="restarted", wait="booted")
    assert len(list((POOL / "templates").glob(".layer-*"))) == 2
    for name in (NAME, OTHER):
        kit.container(name, state="absent")
    assert [path.name for path in (POOL / "templates").iterdir()] == [TEMPLATE]


def test_what_it_is_cannot_change_and_what_it_is_on_is_looked_at():
    before = sorted(os.listdir("/etc"))
    assert kit.fails("vps_node", **{**PLAIN, "pool": "/mnt/nowhere"}).startswith("pool: there is no directory")
    (POOL.parent / "below").mkdir()
    folders = ",".join(f"{name}={POOL.parent / 'below'}" for name in ("lowerdir",))
    kit.run("mount", "-t", "overlay", "-o", f"{folders}:{POOL}", "none", str(POOL))
    try:
        assert "is on overlay" in kit.fails("vps_node", **PLAIN)
    finally:
        kit.run("umount", str(POOL))
        (POOL.parent / "below").rmdir()
    assert sorted(os.listdir("/etc")) == before
    node()
    assert kit.fails("vps_node", **{**PLAIN, "pool_kind": "btrfs"}).startswith("pool_kind: the node's pool is dir")


def test_a_pool_that_is_not_mounted_is_not_made_anew():
    node()
    kit.container(NAME, template=TEMPLATE, state="stopped")
    kit.run("mount", "-t", "tmpfs", "none", str(POOL))
    try:
        assert "mount again what was there" in kit.fails("vps_node", **PLAIN)
        assert "is not mounted" in kit.fails("vps_node", **PLAIN, state="absent")
        assert "is not mounted" in kit.fails("vps_container", name=NAME)
        assert os.listdir(POOL) == []
    finally:
        kit.run("umount", str(POOL))
    assert not kit.ok("vps_node", **PLAIN)["changed"]


def test_in_a_full_one_limits_change_and_vpss_run():
    node()
    kit.container(NAME, template=TEMPLATE, wait="booted", limits={"memory": "64M"})
    for number, size in enumerate((MIB, 4096, 1)):
        with contextlib.suppress(OSError), open(POOL.parent / f"fill{number}", "wb", buffering=0) as file:
            while True:
                file.write(b"x" * size)
    for number in range(6):
        kit.ok("vps_limits", name=NAME, memory=f"{70 + number}M")
    assert kit.said(NAME, "echo", "alive") == "alive" and kit.info(NAME)["limits"]["memory"] == "75M"
    assert "the pool is full" in kit.fails("vps_container", name=OTHER, template=TEMPLATE)
    for number in range(3):
        (POOL.parent / f"fill{number}").unlink(missing_ok=True)
    kit.container(OTHER, template=TEMPLATE, wait="booted")


def test_killed_at_any_moment_the_next_run_converges():
    node()
    for moment in kit.moments(kit.kills(5), 0.15, 0.85, seed=1):
        run = kit.launch("vps_container", name=NAME, template=TEMPLATE, wait="booted")
        time.sleep(moment)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        kit.ok("vps_container", name=NAME, template=TEMPLATE, wait="booted")
        assert not kit.ok("vps_container", name=NAME, template=TEMPLATE, wait="booted")["changed"]
        run = kit.launch("vps_container", name=NAME, state="absent")
        time.sleep(0.075 + moment / 2)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        kit.ok("vps_container", name=NAME, state="absent")
        assert not list((POOL / "vps").iterdir()) and not list((POOL / "templates").glob(".*"))
