# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of a backup: the same VPS, a copy, the VPS as it was, some files of it, or the knowledge that all of that would work."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
import vps_kit as kit
from conftest import COPY, NAME, backup

TEST = f"{NAME}-test"


def record(name: str) -> dict:
    """A VPS's record, without what it has from its node."""
    found = json.loads((kit.pool() / "vps" / name / "vps.json").read_text(encoding="utf-8"))
    return {key: value for key, value in found.items() if key != "id_base"}


def test_a_node_needs_nothing_but_the_repository(repository):
    """Neither the template that the VPS was made from, nor anything else that was there; limits, addresses and all are as they were."""
    kit.ok("vps_template", name="it-bak-minimal", source="minimal")
    try:
        kit.container(
            NAME, template="it-bak-minimal", addresses=[kit.address(20)], labels={"tier": "web"}, onboot=True, boot_order=7, description="One", hostname="one",
            limits={"memory": "64M", "diskspace": "200M"}, wait="booted", nameservers=["192.0.2.1"], firewall={"in": {"default": "drop"}},
        )
        before = record(NAME)
        identity = kit.said(NAME, "cat", "/etc/machine-id")
        backup(repository)
    finally:
        kit.ok("vps_container", name=NAME, state="absent", stop_timeout=0)
        kit.ok("vps_template", name="it-bak-minimal", state="absent")
    backup(repository, state="restored")
    assert record(NAME) == before
    assert not kit.ok("vps_container", name=NAME, state="present", addresses=[kit.address(20)], limits={"memory": "64M", "diskspace": "200M"})["changed"]
    assert kit.disk_limit(NAME) == 200 << 20
    assert kit.container(NAME, state="started", wait="network")["addresses"] == [kit.address(20)]
    assert (kit.said(NAME, "cat", "/etc/machine-id"), kit.said(NAME, "hostname")) == (identity, "one")


def test_a_copy_is_somebody_else(minimal, repository):
    kit.container(NAME, template=minimal, addresses=[kit.address(21)], publish=[{"host": 8089, "guest": 80}], wait="booted")
    backup(repository)
    message = kit.fails("vps_backup", name=NAME, state="restored", target=COPY, **repository)
    assert message.startswith("publish: ") or f"addresses: {kit.address(21)} belongs to VPS {NAME}" in message
    assert kit.info(COPY) is None
    told = backup(repository, state="restored", target=COPY, addresses=[kit.address(22)])
    assert told["target"] == COPY and [warning for warning in told["warnings"] if warning.startswith("publish: ")]
    copy = kit.container(COPY, state="started", wait="network")
    assert (copy["addresses"], copy["publish"], copy["hostname"]) == ([kit.address(22)], [], COPY)
    assert kit.said(COPY, "cat", "/etc/machine-id") != kit.said(NAME, "cat", "/etc/machine-id")
    assert copy["id_base"] != kit.info(NAME)["id_base"]


def test_an_address_that_somebody_has_is_told_with_the_name(minimal, repository):
    kit.container(NAME, template=minimal, state="stopped", addresses=[kit.address(23)])
    backup(repository)
    kit.ok("vps_container", name=NAME, state="absent")
    kit.container("it-bak-other", template=minimal, state="stopped", addresses=[kit.address(23)])
    for check in (True, False):
        message = kit.fails("vps_backup", check=check, name=NAME, state="restored", **repository)
        assert message == f"addresses: {kit.address(23)} belongs to VPS it-bak-other; give '{NAME}' another one."
    backup(repository, state="restored", addresses=[])
    assert kit.info(NAME)["addresses"] == []


@pytest.mark.parametrize("storage", ["btrfs", "image"])
def test_a_vps_is_put_back_to_what_it_was(minimal, repository, storage):
    """It keeps what it is besides its files; it is up again, as it was."""
    kit.container(NAME, template=minimal, storage=storage, addresses=[kit.address(24)], limits={"diskspace": "200M"}, wait="booted")
    kit.shell(NAME, "echo old >/file; sync")
    backup(repository)
    kit.shell(NAME, "echo new >/file; echo more >/other")
    limits = {"memory": "96M", "diskspace": "300M" if storage == "btrfs" else "200M"}  # an image is not enlarged in use everywhere
    kit.container(NAME, addresses=[kit.address(25)], limits=limits)
    before = kit.info(NAME)
    assert backup(repository, state="restored", replace=True, stop_timeout=1)["changed"]
    after = kit.info(NAME)
    changing = ("pid", "disk_used")
    assert {key: after[key] for key in after if key not in changing} == {key: before[key] for key in before if key not in changing}
    kit.container(NAME, wait="booted")
    assert kit.said(NAME, "cat", "/file") == "old" and kit.inside(NAME, "test", "-e", "/other", check=False).returncode == 1
    assert kit.held(NAME, "memory.max" if kit.V2 else "memory.limit_in_bytes") == str(96 << 20)
    if storage == "btrfs":
        assert kit.disk_limit(NAME) == 300 << 20
    assert not kit.ok("vps_container", name=NAME, state="started", limits=limits)["changed"]


def test_a_stopped_one_stays_stopped(minimal, repository):
    kit.container(NAME, template=minimal, state="stopped")
    (kit.rootfs(NAME) / "file").write_text("old", encoding="ascii")
    backup(repository)
    (kit.rootfs(NAME) / "file").write_text("new", encoding="ascii")
    backup(repository, state="restored", replace=True)
    assert (kit.rootfs(NAME) / "file").read_text(encoding="ascii") == "old" and kit.pid(NAME) is None


@pytest.mark.parametrize("runs", [True, False])
def test_files_go_back_into_a_vps_by_its_own_hands(minimal, repository, runs):
    """Whatever it has made of the way there, it writes into itself alone."""
    kit.container(NAME, template=minimal, state="stopped")
    root = kit.rootfs(NAME)
    (root / "srv/a*[b]").mkdir(parents=True)
    (root / "srv/a*[b]/file").write_text("old", encoding="ascii")
    os.chown(root / "srv/a*[b]/file", 33, 33)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nold:x:33:33::/:/bin/sh\n", encoding="ascii")
    backup(repository)
    kit.run("rm", "-r", str(root / "srv"))
    kit.run("rm", "-r", str(root / "etc/passwd"))
    os.symlink("/etc", root / "srv")  # in the VPS its own; to whoever follows it on the node, the node's
    if runs:
        kit.container(NAME, state="started", wait="running")
    before = kit.node_files()
    assert backup(repository, state="restored", paths=["/etc/passwd"])["changed"]
    assert "old:x:33" in (root / "etc/passwd").read_text(encoding="ascii")
    kit.call("vps_backup", name=NAME, state="restored", paths=["/srv/a*[b]/file"], **repository)
    assert kit.node_files() == before and not pathlib.Path("/etc/a*[b]").exists()
    (root / "srv").unlink(missing_ok=True)
    backup(repository, state="restored", paths=["/srv"])
    status = os.stat(root / "srv/a*[b]/file")
    assert ((root / "srv/a*[b]/file").read_text(encoding="ascii"), status.st_uid) == ("old", 33)
    assert (kit.pid(NAME) is not None) is runs
    message = kit.fails("vps_backup", name=NAME, state="restored", paths=["/none"], **repository)
    assert message.startswith("paths: the backup has no '/none'")


def test_a_backup_is_tried_out_and_nothing_is_left(minimal, repository):
    kit.container(NAME, template=minimal, addresses=[kit.address(26)], publish=[{"host": 8089, "guest": 80}], onboot=True, wait="booted")
    backup(repository)
    with kit.Untouched():
        told = backup(repository, state="tested", stop_timeout=1)
    assert told["boot"] == "running" and not told["changed"]
    assert kit.info(TEST) is None


def test_a_backup_that_is_damaged_does_not_pass(minimal, repository):
    kit.container(NAME, template=minimal, state="stopped")
    (kit.rootfs(NAME) / "data").write_bytes(os.urandom(4 << 20))
    backup(repository)
    largest = max((path for path in (pathlib.Path(repository["repository"]) / "data").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    with open(largest, "r+b") as file:
        file.seek(1000)
        found = file.read(1)
        file.seek(1000)
        file.write(bytes([found[0] ^ 1]))
    message = kit.fails("vps_backup", name=NAME, state="tested", **repository)
    assert message.startswith("repository: restic could not restore the backup")
    assert kit.fails("vps_backup", name=NAME, state="verified", verify_data="100%", **repository).startswith("repository: restic could not verify")
    assert kit.fails("vps_backup", name=NAME, state="restored", target=COPY, **repository).startswith("repository: restic could not restore")
    assert kit.info(TEST) is None and kit.info(COPY) is None and kit.info(NAME) is not None
    kit.ok("vps_container", name=NAME, state="absent")
    assert kit.remains() == []


def test_a_backup_that_does_not_boot_does_not_pass(minimal, repository):
    kit.container(NAME, template=minimal, state="stopped")
    (kit.rootfs(NAME) / "etc/inittab").write_text("::sysinit:/bin/true\n", encoding="ascii")
    backup(repository)
    assert kit.fails("vps_backup", name=NAME, state="tested", wait_timeout=3, stop_timeout=0, **repository).startswith("wait: ")
    assert kit.info(TEST) is None


def test_what_a_killed_test_has_left_goes_and_nobody_elses(minimal, repository):
    kit.container(NAME, template=minimal, state="stopped")
    backup(repository)
    kit.container(TEST, template=minimal, state="stopped")
    assert "not of an earlier test" in kit.fails("vps_backup", name=NAME, state="tested", **repository)
    kit.container(TEST, labels={"mainline.vps/test-of": NAME}, state="started")
    backup(repository, state="tested", stop_timeout=0)
    assert kit.info(TEST) is None
