# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage drivers on this machine's kernel: what a guest feels, what is shared, and that nothing is left.

What needs the kernel's quota is in tests/node/test_quota.py. The seed of the kills is printed, and taken from the
environment (VPS_TEST_SEED) to try the same moments again.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import random
import re
import signal
import stat
import struct
import subprocess
import time

import pytest
import vps_kit as kit

MIB = 1 << 20
SEED = int(os.environ.get("VPS_TEST_SEED") or time.time_ns() % 1_000_000)
FULL = {"btrfs": "quota exceeded", "image": "No space left"}
ALL = (*FULL, "dir")  # which nothing bounds
MAY_GROW = int(kit.run("sh", "-c", "sed -n 's/^CapEff:\t//p' /proc/self/status"), 16) >> 24 & 1  # CAP_SYS_RESOURCE


def new(name: str, template: str, storage: str, **params) -> dict:
    """A VPS that runs."""
    return kit.container(name, template=template, storage=storage, **{"wait": "booted", **params})


def image(name: str) -> pathlib.Path:
    """The file of a VPS's disk."""
    return kit.pool() / "vps" / name / "root.img"


def free_inside(name: str) -> int:
    """Bytes that a guest's df says are free."""
    return int(kit.said(name, "df", "-k", "/").splitlines()[-1].split()[-3]) << 10


def size_inside(name: str) -> int:
    """Bytes that a guest's df says its disk has."""
    return int(kit.said(name, "df", "-k", "/").splitlines()[-1].split()[-5]) << 10


def _size(storage: str, size: str) -> dict[str, str]:
    """Limits with a size of the disk, where that has one."""
    return {"diskspace": size} if storage in FULL else {}


def nothing_is_left() -> None:
    """Neither of VPSs, nor of their mounts and loop devices; a file system goes some time after its last mount."""
    kit.nothing_remains(seconds=10)


# -- all -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", FULL)
def test_a_full_disk_is_full_inside_and_can_be_emptied_again(minimal, storage):
    new("it-storage", minimal, storage, limits={"diskspace": "100M"})
    done = kit.shell("it-storage", "dd if=/dev/zero of=/big bs=1M count=200; sync; rm /big; sync; echo again >/small && cat /small", check=False)
    assert FULL[storage] in done.stdout + done.stderr and done.stdout.endswith("again\n")
    kit.run("dd", "if=/dev/zero", f"of={kit.pool()}/it-own", "bs=1M", "count=120", "status=none")
    (kit.pool() / "it-own").unlink()


@pytest.mark.parametrize("storage", FULL)
def test_a_full_disk_keeps_nobody_from_changing_the_password(minimal, storage):
    new("it-storage", minimal, storage, limits={"diskspace": "100M"})
    kit.shell("it-storage", "dd if=/dev/zero of=/big bs=1M count=200; sync", check=False)
    kit.foretold("vps_container", name="it-storage", root_password_hash="!", hostname="full.example.com", nameservers=["192.0.2.1"])
    assert "full.example.com" in kit.said("it-storage", "cat", "/etc/hostname")


@pytest.mark.parametrize("storage", ALL)
def test_what_is_in_it_outlives_reboot_restart_and_stop(minimal, storage):
    new("it-storage", minimal, storage, limits=_size(storage, "100M"))
    kit.shell("it-storage", "echo mine >/mine; sync")
    init = kit.pid("it-storage")
    kit.inside("it-storage", "reboot", check=False)
    kit.until("another init", lambda: kit.pid("it-storage") not in (None, init))
    assert kit.call("vps_container", name="it-storage", wait="booted")["changed"] is False
    assert kit.said("it-storage", "cat", "/mine") == "mine"
    kit.container("it-storage", state="restarted")
    assert kit.said("it-storage", "cat", "/mine") == "mine"
    kit.container("it-storage", state="stopped")
    assert kit.mounts() == kit.loops() == []
    by_hand = ["systemctl", "start", "vps@it-storage"] if kit.SYSTEMD else ["lxc-start", "-n", "it-storage"]
    kit.run(*by_hand)
    kit.until("it runs", lambda: kit.pid("it-storage"))
    kit.ok("vps_container", name="it-storage", wait="booted")
    assert kit.said("it-storage", "cat", "/mine") == "mine"
    kit.container("it-storage", state="absent")
    nothing_is_left()


@pytest.mark.parametrize("storage", ALL)
def test_it_can_be_written_to_after_a_reboot_from_inside(minimal, storage):
    new("it-storage", minimal, storage)
    init = kit.pid("it-storage")
    kit.inside("it-storage", "reboot", check=False)
    kit.until("another init", lambda: kit.pid("it-storage") not in (None, init))
    kit.ok("vps_container", name="it-storage", wait="booted")
    kit.shell("it-storage", "echo mine >/mine")


@pytest.mark.parametrize("storage", ALL)
def test_a_limit_of_io_is_for_the_disk_that_the_vps_writes_to(minimal, storage):
    """At start, changed live, and at the next start. Never faster than asked: a busy machine makes it slower only."""
    new("it-storage", minimal, storage, limits={"iolimit_write": "5M"})
    assert _seconds_for_20_mib("it-storage") > 3.4
    kit.foretold("vps_limits", name="it-storage", iolimit_write="10M")
    assert 1.7 < _seconds_for_20_mib("it-storage")
    kit.container("it-storage", state="restarted", wait="booted")
    assert 1.7 < _seconds_for_20_mib("it-storage")
    kit.foretold("vps_limits", name="it-storage")
    assert min(_seconds_for_20_mib("it-storage") for _time in range(3)) < 1.5


def _seconds_for_20_mib(name: str) -> float:
    started = time.monotonic()
    kit.shell(name, "dd if=/dev/zero of=/z bs=1M count=20 oflag=direct")
    return time.monotonic() - started


@pytest.mark.parametrize("storage", ALL)
def test_a_vps_keeps_its_storage(minimal, storage):
    new("it-storage", minimal, storage, state="stopped")
    other = next(each for each in ALL if each != storage)
    with kit.Untouched():
        assert f"has its disk on {storage} and cannot change to {other}" in kit.fails("vps_container", name="it-storage", storage=other)
    assert kit.foretold("vps_container", name="it-storage", state="stopped")["vps"]["storage"] == storage


@pytest.mark.parametrize("storage", ALL)
def test_killed_at_any_moment_the_next_run_converges_and_nothing_is_left(minimal, storage):
    """Made, changed and removed, each killed at random moments."""
    chance = random.Random(SEED)
    task = {"name": "it-storage", "template": minimal, "storage": storage, "hostname": "one", "limits": _size(storage, "100M"), "wait": "booted"}
    changed = {**task, "hostname": "two", "state": "stopped", "stop_timeout": 0, "limits": _size(storage, "150M")}
    kit.ok("vps_container", **task)
    kit.ok("vps_container", name="it-storage", state="absent")
    wholes = {}
    for number, (before, wanted) in enumerate([(None, task), (task, changed), (task, {"name": "it-storage", "state": "absent"})] * 5):
        if before is not None:
            kit.ok("vps_container", **before)
        moment = chance.uniform(0.2, 1) * wholes.get(number % 3, 0.6)
        started = time.monotonic()
        run = kit.launch("vps_container", **wanted)
        if number < 3:
            kit.result(run)
            wholes[number] = time.monotonic() - started
            continue
        time.sleep(moment)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        where = f"seed {SEED}, kill {number} after {moment:.3f} s"
        kit.ok("vps_container", **{**wanted, "stop_timeout": 0})
        again = kit.ok("vps_container", **{**wanted, "stop_timeout": 0})
        assert not again["changed"], f"{where}: {again['changes']}"
        if wanted.get("state") == "absent":
            assert not kit.info("it-storage"), where
            try:
                nothing_is_left()
            except AssertionError as error:
                raise AssertionError(f"{where}: {kit.remains()}") from error
        elif wanted is changed:
            kit.ok("vps_container", **task)
            assert kit.said("it-storage", "true") == "", where
            kit.ok("vps_container", name="it-storage", state="absent")
    kit.ok("vps_container", name="it-storage", state="absent")
    nothing_is_left()


# -- image: space and inodes ---------------------------------------------------------------------------------------------


def test_without_a_limit_an_image_has_ten_gigabytes_of_which_it_takes_what_is_written(minimal):
    told = new("it-storage", minimal, "image")
    assert told["limits"] == {} and image("it-storage").stat().st_size == 10 << 30
    assert 9 << 30 < size_inside("it-storage") < 10 << 30
    assert told["disk_used"] < 16 * MIB
    kit.shell("it-storage", "dd if=/dev/urandom of=/big bs=1M count=30; sync")
    assert kit.info("it-storage")["disk_used"] > told["disk_used"] + 29 * MIB
    runs = {row["resource"]: row for row in kit.ok("vps_info", name="it-storage")["vpss"][0]["usage"]["rows"]}
    space, inodes = (int(kit.said("it-storage", "sh", "-c", f"df {how} / | tail -n 1").split()[2]) for how in ("-k", "-i"))
    assert abs(runs["diskspace"]["held"] - (space << 10)) < MIB and runs["diskinodes"]["held"] == inodes
    kit.container("it-storage", state="stopped", stop_timeout=0)
    stopped = {row["resource"]: row for row in kit.ok("vps_info", name="it-storage")["vpss"][0]["usage"]["rows"]}
    assert abs(stopped["diskspace"]["held"] - runs["diskspace"]["held"]) < MIB and stopped["diskinodes"]["held"] == inodes
    kit.container("it-storage", state="started", wait="booted")
    kit.shell("it-storage", "rm /big; sync")
    kit.until("what is deleted inside leaves the pool", lambda: kit.info("it-storage")["disk_used"] < told["disk_used"] + 8 * MIB)


def test_a_stopped_vps_has_its_image_made_larger_and_smaller_as_long_as_what_is_in_it_fits(minimal):
    new("it-storage", minimal, "image", limits={"diskspace": "200M"})
    kit.shell("it-storage", "dd if=/dev/urandom of=/big bs=1M count=80; sha256sum /big >/sum; sync")
    kit.container("it-storage", state="stopped")
    for size in ("1G", "3G", "180M"):
        kit.foretold("vps_limits", name="it-storage", diskspace=size)
        assert image("it-storage").stat().st_size == {"1G": 1024, "3G": 3072, "180M": 180}[size] * MIB
    before = kit.written()
    assert re.search(r"goes down to 1\d\dM, and does not fit into 90M", kit.fails("vps_limits", name="it-storage", diskspace="90M"))
    assert kit.differences(before, kit.written()).keys() <= {str(image("it-storage").parent), str(image("it-storage").with_name("vps.json"))}
    kit.container("it-storage", wait="booted")
    message = kit.fails("vps_container", name="it-storage", state="started", restart_policy="if_needed", stop_timeout=0, limits={"diskspace": "90M"})
    assert "does not fit into 90M" in message and kit.pid("it-storage"), "it is started again where it was stopped in vain"
    kit.until("it has booted", lambda: kit.inside("it-storage", "true", check=False).returncode == 0)
    assert kit.said("it-storage", "sh", "-c", "sha256sum -c /sum") == "/big: OK"
    checked = subprocess.run(["e2fsck", "-fn", _unmounted("it-storage")], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _unmounted(name: str) -> pathlib.Path:
    kit.container(name, state="stopped")
    return image(name)


def test_what_a_running_vps_cannot_take_is_refused_before_anything_is_touched(minimal):
    new("it-storage", minimal, "image", limits={"diskspace": "500M"})
    with kit.Untouched():
        assert "made smaller only while its VPS is stopped" in kit.fails("vps_limits", name="it-storage", diskspace="200M")
        assert "too small for an image" in kit.fails("vps_limits", name="it-storage", diskspace="10M")
        if not MAY_GROW:
            assert "CAP_SYS_RESOURCE" in kit.fails("vps_limits", name="it-storage", diskspace="1G")


@pytest.mark.skipif(not MAY_GROW, reason="root of this machine lacks CAP_SYS_RESOURCE; tests/node/test_quota.py grows one")
def test_it_grows_while_it_runs(minimal):
    new("it-storage", minimal, "image", limits={"diskspace": "200M"})
    init = kit.pid("it-storage")
    done = kit.foretold("vps_limits", name="it-storage", diskspace="3G")
    assert [change["effect"] for change in done["changes"]] == ["live"]
    assert size_inside("it-storage") > 2900 * MIB and kit.pid("it-storage") == init


def test_without_quota_inodes_are_bounded_by_the_file_system(minimal):
    if not _plain("it-storage", minimal):
        pytest.skip("this kernel has quota; tests/node/test_quota.py tries it")
    limits = {"diskspace": "1G", "diskinodes": "5000"}
    kit.foretold("vps_container", name="it-storage", template=minimal, storage="image", limits=limits, wait="booted")
    told = kit.ok("vps_container", name="it-storage", limits=limits)
    word = next(row for row in told["fidelity"] if row["limit"] == "diskinodes")
    assert word["fidelity"] == "approximate" and 4800 < int(word["held"]) <= 5000
    fill = "mkdir /many; i=0; while [ $i -lt 5200 ]; do touch /many/$i || break; i=$((i+1)); done; ls /many | wc -l"
    said = kit.shell("it-storage", fill, check=False, timeout=120)
    assert "No space left" in said.stderr and 3000 < int(said.stdout) < 5000
    assert free_inside("it-storage") > 800 * MIB
    with kit.Untouched():
        assert "keeps the inodes that it was made with (5000)" in kit.fails("vps_limits", name="it-storage", diskspace="1G", diskinodes="6000")
        assert "diskinodes" in kit.fails("vps_limits", name="it-storage", diskspace="1G")
    kit.container("it-storage", state="stopped")
    with kit.Untouched():
        assert "the inodes would change with it" in kit.fails("vps_limits", name="it-storage", diskspace="2G", diskinodes="5000")


def _plain(name: str, template: str) -> bool:
    """Whether images are made without quota here."""
    said = kit.call("vps_container", check=True, name=name, template=template, storage="image", limits={"quotatime": "60"})
    return "quota_v2" in said.get("msg", "")


def test_without_quota_soft_limits_are_refused_with_the_reason(minimal):
    if not _plain("it-storage", minimal):
        pytest.skip("this kernel has quota")
    for limits, word in (({"diskspace": "1G:2G"}, "soft limit"), ({"quotatime": "60"}, "quota_v2"), ({"quotaugidlimit": "10"}, "quota_v2")):
        assert word in kit.fails("vps_container", name="it-storage", template=minimal, storage="image", limits=limits)


# -- image: what is in it ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd():
    """A template with all that is easily lost in a copy, and 24 MiB that nothing compresses."""
    kit.ok("vps_template", name="it-odd", source="minimal")
    root = kit.pool() / "templates/it-odd/rootfs"
    kit.run("btrfs", "property", "set", "-ts", str(root), "ro", "false")
    folder = root / "odd"
    folder.mkdir(mode=0o2750)
    os.chown(folder, 1234, 4321)
    (folder / "file").write_text("content\n", encoding="ascii")
    os.link(folder / "file", folder / "hard link")
    (folder / "link").symlink_to("/nowhere\n")
    os.mknod(folder / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mkfifo(folder / "fifo")
    (folder / "sparse").write_bytes(b"x")
    os.truncate(folder / "sparse", 64 * MIB)
    (folder / "random").write_bytes(os.urandom(24 * MIB))
    os.chown(folder / "random", 65534, 65533)
    os.chmod(folder / "random", 0o6711)
    os.setxattr(folder / "file", "user.mine", b"\x00value")
    os.setxattr(folder, "trusted.overlay", b"y" * 2000)
    os.setxattr(folder / "random", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    nobody = 0xFFFFFFFF
    entries = ((1, 6, nobody), (2, 4, 1000), (4, 4, nobody), (16, 4, nobody), (32, 0, nobody))  # owner, user 1000, group, mask, others
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(folder / "sparse", "system.posix_acl_access", acl)
    kit.run("btrfs", "property", "set", "-ts", str(root), "ro", "true")
    yield "it-odd"
    for name in kit.own_names():
        kit.ok("vps_container", name=name, state="absent")
    kit.ok("vps_template", name="it-odd", state="absent")


def listing(root: pathlib.Path) -> dict[str, tuple]:
    """Everything that a tree is; hard links by the first of their names."""
    found, names = {}, {}
    for folder, folders, files in os.walk(root):
        for entry in sorted((*folders, *files)):
            path = pathlib.Path(folder, entry)
            name = str(path.relative_to(root))
            if name == "lost+found":
                continue
            status = os.lstat(path)
            special = os.readlink(path) if path.is_symlink() else status.st_rdev
            if stat.S_ISREG(status.st_mode):
                special = hashlib.sha256(path.read_bytes()).hexdigest()
            xattrs = {} if path.is_symlink() else {key: os.getxattr(path, key) for key in sorted(os.listxattr(path)) if not key.startswith("btrfs.")}
            first = names.setdefault(status.st_ino, name)
            links = None if stat.S_ISDIR(status.st_mode) else (first, status.st_nlink)
            found[name] = (status.st_mode, status.st_uid, status.st_gid, int(status.st_mtime), special, links, xattrs)
    return found


def test_a_template_and_its_image_are_the_same(odd, tmp_path):
    new("it-storage", odd, "image", state="stopped")
    template = kit.pool() / "templates/it-odd"
    kit.run("mount", "-t", "ext4", "-o", "loop,ro,noload", str(template / "root.img"), str(tmp_path))
    try:
        original, copy = listing(template / "rootfs"), listing(tmp_path)
        assert copy == original and original["odd/random"][6]
        assert (tmp_path / "odd/sparse").stat().st_blocks < 100
        assert stat.S_IMODE(tmp_path.stat().st_mode) == stat.S_IMODE((template / "rootfs").stat().st_mode)
    finally:
        kit.run("umount", str(tmp_path))
    assert not os.path.ismount(kit.rootfs("it-storage"))


def test_two_vpss_of_one_template_share_its_blocks_and_have_other_names(odd):
    for name in ("it-storage", "it-storage2"):
        new(name, odd, "image", state="stopped")
    rows = kit.run("btrfs", "filesystem", "du", "-s", "--raw", str(image("it-storage")), str(image("it-storage2"))).splitlines()[1:]
    print(rows)
    for row in rows:
        total, exclusive = (int(word) for word in row.split()[:2])
        assert total > 24 * MIB and exclusive < 2 * MIB
    uuids = {kit.run("tune2fs", "-l", str(image(name))).split("Filesystem UUID:")[1].split()[0] for name in ("it-storage", "it-storage2")}
    assert len(uuids) == 2


def test_a_template_has_its_image_made_once_and_removed_with_it(odd):
    new("it-storage", odd, "image", state="stopped")
    first = (kit.pool() / "templates/it-odd/root.img").stat().st_ino
    new("it-storage2", odd, "image", state="stopped")
    assert (kit.pool() / "templates/it-odd/root.img").stat().st_ino == first, "made once"
    kit.ok("vps_template", name="it-odd2", source="minimal")
    new("it-storage3", "it-odd2", "image", state="stopped")
    assert (kit.pool() / "templates/it-odd2/root.img").exists()
    kit.ok("vps_container", name="it-storage3", state="absent")
    kit.ok("vps_template", name="it-odd2", state="absent")
    assert not (kit.pool() / "templates/it-odd2").exists()


# -- image: mounts -------------------------------------------------------------------------------------------------------


def test_a_mount_that_somebody_left_goes_with_the_next_run_unless_he_still_uses_it(minimal):
    new("it-storage", minimal, "image", state="stopped")
    kit.run("mount", "-o", "loop", str(image("it-storage")), str(kit.rootfs("it-storage")))
    with subprocess.Popen(["sleep", "60"], cwd=kit.rootfs("it-storage")) as busy:
        kit.ok("vps_container", name="it-storage", state="stopped")
        assert kit.mounts(), "it was in use"
        busy.kill()
    kit.ok("vps_container", name="it-storage", state="stopped")
    kit.until("it is unmounted", lambda: not kit.mounts() and not kit.loops(), seconds=5)


def test_a_mount_of_a_running_vps_stays_whoever_sweeps(minimal):
    new("it-storage", minimal, "image")
    new("it-storage2", minimal, "image", state="stopped")
    kit.ok("vps_container", name="it-storage2", state="absent")
    assert [pathlib.Path(point).parent.name for point in kit.mounts()] == ["it-storage"]
    kit.shell("it-storage", "echo still >/works && cat /works")


def test_deleted_in_use_it_is_gone_at_once_and_freed_when_it_is_let_go(minimal):
    new("it-storage", minimal, "image", state="stopped")
    kit.run("mount", "-o", "loop", str(image("it-storage")), str(kit.rootfs("it-storage")))
    with subprocess.Popen(["sleep", "60"], cwd=kit.rootfs("it-storage")) as busy:
        kit.ok("vps_container", name="it-storage", state="absent")
        assert not list((kit.pool() / "vps").glob("*it-storage*"))
        busy.kill()
    nothing_is_left()


def test_the_node_never_runs_what_is_damaged_without_a_word(minimal):
    new("it-storage", minimal, "image", state="stopped")
    kit.run("debugfs", "-w", "-R", "ssv state 2", str(image("it-storage")))
    told = kit.ok("vps_container", name="it-storage", state="stopped")
    assert not told["changed"] and "e2fsck" in told["warnings"][0] and str(image("it-storage")) in told["warnings"][0]
    assert "errors" in kit.fails("vps_limits", name="it-storage", diskspace="1G")
    kit.ok("vps_container", name="it-storage", state="absent")
