# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups: what is in them, when there is no need for one, which stay, and what stands in the way."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
import vps_kit as kit
from conftest import COPY, NAME, PASSWORD, backup, content, fill, tree
from vps_sshd import ssh_node  # noqa: F401  # pylint: disable=unused-import


def stopped(minimal: str, **params) -> str:
    """A VPS that has never run."""
    kit.container(NAME, template=minimal, state="stopped", **params)
    return NAME


def files_of(folder: str) -> dict[str, tuple]:
    """Every file below a folder, such that a change of any is seen."""
    found = {}
    for above, names, files in os.walk(folder):
        for name in (*names, *files):
            status = os.lstat(os.path.join(above, name))
            found[os.path.join(above, name)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


@pytest.mark.parametrize("storage", ["btrfs", "image"])
def test_a_copy_has_every_file_as_it_was(minimal, repository, tmp_path, storage):
    """Contents, owners, modes, times, links, hard links, devices, holes, capabilities, ACLs and other attributes, whatever the ids of the new VPS."""
    stopped(minimal, storage=storage)
    with tree(NAME, tmp_path) as root:
        fill(root)
        before = content(root)
    made = backup(repository)
    assert made["backup"]["complete"] and made["backups"] == [{key: made["backup"][key] for key in ("id", "time", "complete")}]
    base = kit.info(NAME)["id_base"]
    kit.ok("vps_container", name=NAME, state="absent")
    backup(repository, state="restored")
    with tree(NAME, tmp_path) as root:
        after = content(root)
        assert os.lstat(root / "all" / "sparse").st_blocks * 512 < 20 << 20
    assert kit.differences(before, after) == {}
    assert kit.info(NAME)["storage"] == storage
    kit.container(NAME, state="started", wait="booted")
    assert kit.said(NAME, "stat", "-c", "%u:%g %a", "/all/plain") == "33:34 640", f"with ids of its own, from {base}"


def test_a_backup_is_of_one_moment_while_the_vps_goes_on(minimal, repository, restic):
    """What is written first is in every backup that has what is written after it."""
    kit.container(NAME, template=minimal, wait="booted")
    script = "n=0; while :; do n=$((n+1)); echo $n >/first.new; mv /first.new /first; echo $n >/second.new; mv /second.new /second; done"
    writer = kit.background(NAME, script)
    try:
        kit.until("it writes", lambda: kit.inside(NAME, "test", "-e", "/second", check=False).returncode == 0)
        found = []
        for _attempt in range(3):
            told = backup(repository)["backup"]["id"]
            found.append(tuple(int(restic("dump", told, f"/rootfs/{name}")) for name in ("first", "second")))
    finally:
        kit.end(writer)
    assert all(first - second in (0, 1) for first, second in found) and len(set(found)) == 3, found


def test_little_is_read_and_little_moves_when_little_has_changed(minimal, repository):
    """A thousand small changes beside 96 MiB of other data."""
    kit.container(NAME, template=minimal, wait="booted")
    kit.shell(NAME, "mkdir /data /small; for n in 1 2 3 4 5 6; do head -c 16777216 /dev/urandom >/data/$n; done", timeout=120)
    kit.shell(NAME, "for n in $(seq 1000); do echo $n >/small/$n; done", timeout=120)
    first = backup(repository)["backup"]
    kit.shell(NAME, "for n in $(seq 1000); do echo changed $n >/small/$n; done", timeout=120)
    second = backup(repository)["backup"]
    assert first["added"] > 96 << 20 and first["size"] > 96 << 20
    assert second["size"] > 96 << 20
    assert second["files_changed"] >= 1000 and second["files_new"] == 0
    assert second["added"] < 2 << 20, second
    third = backup(repository)["backup"]
    assert third["files_changed"] <= 1, f"the record alone may be a new file: {third}"


def test_a_young_backup_is_enough(minimal, nowhere):
    stopped(minimal)
    first = backup(nowhere, max_age="1h")
    again = backup(nowhere, max_age="1h")
    assert first["changed"] and not again["changed"]
    assert again["backup"] == again["backups"][-1] and again["backup"]["id"] == first["backup"]["id"]
    assert backup(nowhere)["changed"]


def test_check_mode_writes_nothing_and_says_what_would_be_done(minimal, nowhere):
    """Neither into the pool nor into the repository, which it does not even make."""
    stopped(minimal)
    with kit.Untouched():
        assert backup(nowhere, check=True)["changed"]
        assert not os.path.exists(nowhere["repository"])
    backup(nowhere)
    before = files_of(nowhere["repository"])
    with kit.Untouched():
        assert backup(nowhere, check=True)["changed"]
        assert not backup(nowhere, check=True, max_age="1h")["changed"]
        assert backup(nowhere, check=True, state="restored", target=COPY)["changed"]
        assert not backup(nowhere, check=True, state="verified")["changed"]
    assert files_of(nowhere["repository"]) == before


def test_retention_keeps_what_it_says_of_this_vps_alone(minimal, repository):
    stopped(minimal)
    kit.container("it-bak-other", template=minimal, state="stopped")
    other = backup(repository, name="it-bak-other")["backup"]["id"]
    ids = [backup(repository)["backup"]["id"] for _number in range(3)]
    told = backup(repository, keep={"last": 2})
    assert sorted(told["removed"]) == sorted(ids[:2])
    assert [one["id"] for one in told["backups"]] == [ids[2], told["backup"]["id"]]
    assert [one["id"] for one in backup(repository, name="it-bak-other", max_age="1d")["backups"]] == [other]


def test_one_backup_is_removed_by_its_id(minimal, repository):
    stopped(minimal)
    first, second = (backup(repository)["backup"]["id"] for _number in range(2))
    told = backup(repository, state="absent", backup=first[:10])
    assert told["changed"] and told["removed"] == [first] and [one["id"] for one in told["backups"]] == [second]
    assert not backup(repository, state="absent", backup=first[:10])["changed"]


def test_what_is_excluded_is_not_in_it(minimal, repository, restic):
    stopped(minimal)
    for name in ("cache/one", "cache/two", "srv/cache"):
        path = kit.rootfs(NAME) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name, encoding="ascii")
    backup(repository, exclude=["/cache/*", "/srv/none"])
    listed = restic("ls", "latest").splitlines()
    assert "/rootfs/cache" in listed and "/rootfs/srv/cache" in listed
    assert not [line for line in listed if line.startswith("/rootfs/cache/")]


def test_a_program_runs_before(minimal, repository, restic):
    """One that fails leaves everything as it was."""
    kit.container(NAME, template=minimal, wait="booted")
    backup(repository, before=["sh", "-c", "echo dumped >/dump"])
    assert restic("dump", "latest", "/rootfs/dump") == "dumped\n"
    message = kit.fails("vps_backup", name=NAME, before=["sh", "-c", "echo no >&2; exit 3"], **repository)
    assert message.startswith("before: ") and "exit code 3" in message
    assert len(backup(repository, max_age="1d")["backups"]) == 1


def test_what_cannot_be_is_an_error_that_says_what_to_do(minimal, nowhere, tmp_path):
    stopped(minimal)
    assert "make it with vps_container" in kit.fails("vps_backup", name=COPY, **nowhere)
    assert kit.fails("vps_backup", name=NAME, state="restored", target=COPY, **nowhere).startswith("repository: there is none")
    backup(nowhere)
    wrong = {**nowhere, "password": "wrong"}
    message = kit.fails("vps_backup", name=NAME, **wrong)
    assert message.startswith("password: ") and "wrong" not in message
    assert "already" in kit.fails("vps_backup", name=NAME, state="restored", **nowhere)
    assert kit.fails("vps_backup", name=NAME, state="restored", target=COPY, backup="0123456789", **nowhere).startswith("backup: no backups")
    assert kit.fails("vps_backup", name="it-bak-none", state="tested", **nowhere).startswith("backup: there is no complete backup")
    inside = {**nowhere, "repository": str(kit.pool() / "vps" / NAME / "rootfs" / "repository")}
    assert "keep backups elsewhere" in kit.fails("vps_backup", name=NAME, **inside)
    (tmp_path / "link").symlink_to(kit.pool() / "vps" / NAME)
    assert "keep backups elsewhere" in kit.fails("vps_backup", name=NAME, **{**nowhere, "repository": str(tmp_path / "link" / "rootfs" / "x")})
    message = kit.fails("vps_backup", name=NAME, **{**nowhere, "repository": "sftp:nobody@127.0.0.1:/x"}, ssh_arguments=["-p", "1"])
    assert message.startswith("repository: restic could not open the repository")
    assert len(backup(nowhere, max_age="1d")["backups"]) == 1


def test_a_guest_leads_nobody_out_of_its_tree_and_keeps_nobody_waiting(minimal, repository, restic):
    """Links are links, pipes and devices are not opened, and a file of an exabyte is not read."""
    stopped(minimal)
    root = kit.rootfs(NAME)
    os.symlink("/etc", root / "out")
    os.mkfifo(root / "pipe")
    os.mknod(root / "zero", 0o666 | 0o020000, os.makedev(1, 5))
    before = kit.node_files()
    backup(repository)
    listed = json.loads("[" + ",".join(restic("ls", "--json", "latest").splitlines()) + "]")
    types = {each["path"]: each["type"] for each in listed if "path" in each}
    assert (types["/rootfs/out"], types["/rootfs/pipe"], types["/rootfs/zero"]) == ("symlink", "fifo", "chardev")
    assert not [path for path in types if path.startswith("/rootfs/out/")]
    with open(root / "bomb", "wb") as file:
        file.truncate(1 << 60)
    message = kit.fails("vps_backup", name=NAME, **repository)
    assert message.startswith("exclude: '/bomb' in the VPS has holes")
    assert backup(repository, exclude=["/bomb"])["changed"]
    assert kit.node_files() == before


def too_deep() -> None:
    """A path longer than the kernel takes: a guest makes one step by step."""
    folder = os.open(kit.rootfs(NAME), os.O_RDONLY)
    for _number in range(25):
        os.mkdir("d" * 200, dir_fd=folder)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)


def test_files_that_cannot_be_read_are_told_and_the_backup_is_not_taken_for_a_whole_one(minimal, repository):
    stopped(minimal)
    whole = backup(repository)["backup"]["id"]
    too_deep()
    told = kit.call("vps_backup", name=NAME, **repository)
    assert told["failed"] and told["changed"] and told["msg"].startswith("name: a backup was made, but some files")
    assert not told["backup"]["complete"] and told["output"]
    found = backup(repository, state="restored", target=COPY)
    assert found["backup"]["id"] == whole
    assert [one["complete"] for one in found["backups"]] == [True, False]


def test_retention_counts_whole_backups_alone(minimal, repository, restic):
    """One that lacks files is worth less than an older one, and goes with the next that has all."""
    stopped(minimal)
    first, second = (backup(repository)["backup"]["id"] for _number in range(2))
    too_deep()
    lacking = kit.call("vps_backup", name=NAME, keep={"last": 2}, **repository)
    assert not lacking["backup"]["complete"]
    assert len(json.loads(restic("snapshots", "--json"))) == 3, "nothing goes for one that lacks files"
    kit.run("rm", "-rf", str(kit.rootfs(NAME) / ("d" * 200)))
    told = backup(repository, keep={"last": 2})
    assert sorted(told["removed"]) == sorted([first, lacking["backup"]["id"]])
    assert [one["id"] for one in told["backups"]] == [second, told["backup"]["id"]]
    assert sorted(one["id"] for one in json.loads(restic("snapshots", "--json"))) == sorted(one["id"] for one in told["backups"])


def test_two_vpss_share_a_repository_at_the_same_time(minimal, repository):
    names = [f"it-bak-{number}" for number in range(3)]
    for name in names:
        kit.container(name, template=minimal, state="stopped")
    runs = [kit.launch("vps_backup", name=name, keep={"last": 1}, lock_timeout=300, **repository) for name in names]
    for run in runs:
        told = kit.result(run)
        assert not told.get("failed"), told["msg"]
    backup(repository, name=names[0], state="verified", verify_data="100%")


def test_another_machine_over_ssh_needs_an_ssh_server_and_nothing_else(minimal, ssh_node, tmp_path):  # noqa: F811
    stopped(minimal)
    there = {
        "repository": f"sftp://root@127.0.0.1:{ssh_node.port}/{tmp_path}/over ssh".replace(" ", "-"),
        "password": PASSWORD,
        "ssh_arguments": [
            "-F", "/dev/null", "-i", str(ssh_node.key), "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
        ],
    }
    made = backup(there, keep={"last": 1}, verify_data="100%")
    assert (pathlib.Path(tmp_path) / "over-ssh" / "config").exists()
    told = backup(there, state="restored", target=COPY)
    assert told["backup"]["id"] == made["backup"]["id"] and kit.info(COPY)
    assert ssh_node.logins() > 0


def test_the_examples_run_as_written(minimal, tmp_path):
    """Twice; the second time the backup is young enough."""
    if kit.info("web1") or os.path.exists("/srv/backups") or os.path.exists("/etc/vps/backup-password"):
        pytest.skip("this node has a VPS web1 or backups of somebody's, with which the examples would run")
    password = pathlib.Path("/etc/vps/backup-password")
    try:
        kit.container("web1", template=minimal, wait="booted")
        password.write_text("a password\n", encoding="ascii")
        password.chmod(0o600)
        tasks = kit.examples("vps_backup")
        assert "changed=3" in kit.play(tmp_path, tasks)
        kit.ok("vps_container", name="web1-copy", state="absent", stop_timeout=0)
        assert "changed=2" in kit.play(tmp_path, tasks)
        assert kit.said("web1", "cat", "/root/dump.sql") == "the dump of a database"
        told = kit.ok("vps_backup", name="web1", repository="/srv/backups", password_file=str(password))
        assert set(told) - {"changed", "diff", "invocation"} <= set(kit.documented_result("vps_backup"))
    finally:
        for name in ("web1", "web1-copy"):
            kit.ok("vps_container", name=name, state="absent", stop_timeout=0)
        password.unlink(missing_ok=True)
        kit.run("rm", "-rf", "/srv/backups")
