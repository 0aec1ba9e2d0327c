# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage dir on this machine's kernel: what it lies on, whose the files are, what a hostile guest can do with it, and another file system below."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import stat
import subprocess
import threading
import time

import pytest
import test_drivers as contract
import vps_kit as kit
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.node import copying
from ansible_collections.mainline.vps.plugins.module_utils.node.storage.directory import Directory
from test_storage import listing

MIB = 1 << 20
NAME, OTHER = f"{kit.PREFIX}dir", f"{kit.PREFIX}dir2"


def new(name: str, template: str, **params) -> dict:
    """A VPS that runs."""
    return kit.container(name, template=template, storage="dir", **{"wait": "booted", **params})


def own(name: str, *path: str) -> pathlib.Path:
    """A place in a VPS's directory."""
    return kit.pool().joinpath("vps", name, *path)


def layers() -> set[str]:
    """Those that there are."""
    return {path.name for path in (kit.pool() / "templates").glob(".layer-*")}


def layer_of(name: str) -> pathlib.Path:
    """What a VPS lies on."""
    known = json.loads(own(name, "changes/lower").read_text(encoding="ascii"))
    return kit.pool() / f"templates/.layer-{known['id']}"


@pytest.fixture
def template():
    """One of the test's own."""
    name = f"{kit.PREFIX}dir-t"
    kit.ok("vps_template", name=name, source="minimal")
    yield name
    kit.remove_all()
    kit.ok("vps_template", name=name, state="absent")


def build_anew(name: str) -> None:
    """As a release does that makes it otherwise."""
    manifest = kit.pool() / f"templates/{name}/template.json"
    told = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**told, "checksum": "another"}), encoding="utf-8")
    assert kit.ok("vps_template", name=name, source="minimal")["changed"]


# -- what it cannot do ---------------------------------------------------------------------------------------------------


def test_limits_of_the_disk_are_refused_before_anything_is_touched(minimal):
    for limits in ({"diskspace": "1G"}, {"diskinodes": "5000"}, {"quotatime": "60"}, {"quotaugidlimit": "10"}):
        with kit.Untouched():
            message = kit.fails("vps_container", name=NAME, template=minimal, storage="dir", limits=limits)
        assert message.startswith(f"limits.{next(iter(limits))}: cannot be kept") and "storage dir" in message
    new(NAME, minimal)
    with kit.Untouched():
        assert "storage dir" in kit.fails("vps_limits", name=NAME, diskspace="1G")
    told = kit.foretold("vps_limits", name=NAME, diskspace="1G", unsupported="warn")
    assert "diskspace" in told["warnings"][0] and told["fidelity"][0]["fidelity"] == "unsupported"


# -- whose the files are -------------------------------------------------------------------------------------------------


def test_root_inside_is_root_on_disk_and_nobody_on_the_node(minimal):
    told = new(NAME, minimal)
    kit.shell(NAME, "echo mine >/mine; chown 7:8 /mine; mkdir /folder; chmod 4755 /bin/busybox")
    for path, owner in (("mine", (7, 8)), ("folder", (0, 0)), ("bin/busybox", (0, 0))):
        status, seen = own(NAME, "changes/upper", path).stat(), own(NAME, "rootfs", path).stat()
        assert (status.st_uid, status.st_gid) == owner
        assert (seen.st_uid, seen.st_gid) == tuple(told["id_base"] + number for number in owner)
    assert stat.S_IMODE(own(NAME).stat().st_mode) == 0o710
    assert kit.said(NAME, "stat", "-c", "%u:%g", "/mine") == "7:8"


def test_what_the_node_writes_is_of_the_guests_root_whether_it_runs_or_not(minimal):
    new(NAME, minimal)
    kit.shell(NAME, "chown 0:7 /etc/shadow; chown 9:9 /; chmod g+s /etc; chgrp 5 /etc")
    for number, state in enumerate(("started", "stopped", "started")):
        kit.container(NAME, state=state)
        kit.foretold("vps_container", name=NAME, state=state, hostname=f"host{number}", root_password_hash=f"$6$salt{number}${'a' * 86}")
    assert kit.said(NAME, "cat", "/etc/hostname") == "host2" and "salt2$" in kit.said(NAME, "cat", "/etc/shadow")
    assert kit.said(NAME, "stat", "-c", "%u:%g", "/etc/shadow", "/etc/hostname", "/").split() == ["0:7", "0:0", "9:9"]


def test_a_vps_becomes_privileged_and_back_with_the_same_files(minimal):
    told = new(NAME, minimal)
    kit.shell(NAME, "echo mine >/mine; chown 7:8 /mine")
    for privileged in (True, False):
        kit.container(NAME, privileged=privileged, restart_policy="if_needed", wait="booted")
        assert kit.said(NAME, "stat", "-c", "%u:%g", "/mine", "/etc/hosts").split() == ["7:8", "0:0"]
        assert own(NAME, "rootfs/mine").stat().st_uid == 7 + (0 if privileged else told["id_base"])
        kit.foretold("vps_container", name=NAME, hostname="while-it-runs" if privileged else "again")


def test_a_program_runs_in_a_stopped_one(minimal):
    new(NAME, minimal, state="stopped")
    told = kit.ok("vps_command", name=NAME, argv=["/bin/sh", "-c", "echo $(id -u) >/said; cat /said"])
    assert told["stdout"] == "0" and not kit.mounts()
    assert kit.ok("vps_command", name=NAME, argv=["true"], creates="/said")["changed"] is False
    assert not kit.mounts()


def test_a_root_directory_that_changes_its_owner_all_the_time_gives_no_file_away(minimal):
    told = new(NAME, minimal)
    writer = kit.background(NAME, "while :; do chown 65535 /; chown 0 /; done")
    try:
        for number in range(10):
            done = kit.call("vps_container", name=NAME, hostname=f"host{number}")
            assert not done.get("failed") or done["msg"].startswith("guest: "), done["msg"]
            assert own(NAME, "rootfs/etc/hostname").stat().st_uid == told["id_base"]
    finally:
        kit.end(writer)


# -- what it lies on -----------------------------------------------------------------------------------------------------


def test_a_vps_keeps_what_it_was_made_of_and_the_last_one_takes_it_along(template):
    before = layers()
    new(NAME, template)
    (first,) = layers() - before
    new(OTHER, template, state="stopped")
    assert layers() - before == {first}, "those of one template share it"
    kit.run("btrfs", "property", "set", "-ts", str(kit.pool() / f"templates/{template}/rootfs"), "ro", "false")
    (kit.pool() / f"templates/{template}/rootfs/new").touch()
    assert kit.inside(NAME, "cat", "/new", check=False).returncode, "it lies on the template as it was"
    build_anew(template)
    kit.shell(NAME, "cat /bin/busybox >/dev/null && rm /bin/vi && ls /etc")
    kit.container(NAME, state="restarted", wait="booted")
    kit.container(OTHER, state="started", wait="booted")
    third = f"{kit.PREFIX}dir3"
    new(third, template)
    assert layer_of(NAME).name == layer_of(OTHER).name == first != layer_of(third).name
    kit.container(NAME, state="absent")
    assert first in layers()
    kit.container(OTHER, state="absent")
    assert first not in layers() and len(layers() - before) == 1
    kit.container(third, state="absent")
    assert layers() == before and not list((kit.pool() / "templates").glob(".*layer-*"))


def test_all_of_a_layer_is_on_disk_before_it_has_its_name(template, tmp_path):
    """What VPSs lie on is never written again: a power cut must not leave files of it empty."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace here")
    calls = tmp_path / "calls"
    traced = ["strace", "--follow-forks", "--output", str(calls), "--trace", "syncfs,rename,renameat,renameat2", "--decode-fds=path", "--string-limit=200"]
    assert not kit.call("vps_container", wrap=traced, name=NAME, template=template, storage="dir", state="stopped").get("failed")
    order = [line for line in calls.read_text(encoding="utf-8").splitlines() if "syncfs(" in line or f'/{layer_of(NAME).name}"' in line]
    named = next(number for number, line in enumerate(order) if "rename" in line)
    assert any("syncfs(" in line and "/templates>" in line for line in order[:named]), order


def test_what_a_killed_run_left_of_a_layer_goes(minimal):
    new(NAME, minimal, state="stopped")
    layer = layer_of(NAME)
    left = layer.with_name(".layer-" + "0" * 16)
    half = layer.with_name(".new-layer-" + "1" * 16)
    for path in (left, half):
        path.mkdir()
        kit.run("cp", "--archive", "--reflink=auto", str(layer / "rootfs"), str(path / "rootfs"))
        (path / "layer.json").write_text("{}", encoding="ascii")
    kit.ok("vps_container", name=NAME, state="stopped")
    assert not left.exists() and not half.exists() and layer.exists()


def test_killed_while_it_makes_a_layer_it_leaves_none(template):
    def halves() -> list:
        return list((kit.pool() / "templates").glob(".new-layer-*/rootfs/*"))

    for _time in range(3):
        before = layers()
        kit.kill_when(halves, "vps_container", name=NAME, template=template, storage="dir", state="stopped")
        kit.ok("vps_container", name=OTHER, state="absent")
        assert not halves() and layers() - before in (set(), {layer_of(NAME).name} if own(NAME).exists() else set())
        build_anew(template)
    new(NAME, template)


def test_two_that_come_at_once_share_one(template):
    before = layers()
    names = [f"{NAME}-{number}" for number in range(4)]
    runs = [kit.launch("vps_container", name=name, template=template, storage="dir", state="stopped") for name in names]
    for run in runs:
        assert not kit.result(run).get("failed")
    assert len(layers() - before) == 1
    runs = [kit.launch("vps_container", name=name, state="absent") for name in names]
    for run in runs:
        assert not kit.result(run).get("failed")
    kit.ok("vps_container", name=NAME, state="absent")
    kit.ok("vps_template", name=template, source="minimal")
    assert layers() == before


# -- a hostile guest -----------------------------------------------------------------------------------------------------


def test_what_is_removed_and_replaced_inside_stays_so(minimal):
    new(NAME, minimal)
    kit.shell(NAME, "rm /etc/passwd; rm -r /sbin; mkdir /sbin; ln -s /bin/busybox /sbin/init; mv /mnt /moved; ln /etc/group /group; sync")
    kit.container(NAME, state="restarted", wait="booted")
    assert kit.said(NAME, "ls", "/sbin") == "init"
    assert kit.shell(NAME, "[ ! -e /etc/passwd ] && [ ! -e /mnt ] && [ -d /moved ] && [ /etc/group -ef /group ] && echo so").stdout == "so\n"


def test_links_of_the_guest_lead_the_node_nowhere(minimal):
    new(NAME, minimal)
    before = kit.node_files()
    kit.shell(NAME, "mv /etc /real; ln -s ../../../../../../../../etc /etc; ln -s /real /inside")
    for state in ("started", "stopped"):
        kit.call("vps_container", name=NAME, state=state, hostname=f"evil-{state}", root_password_hash="!", stop_timeout=0)
        kit.call("vps_container", name=NAME, state=state, stop_timeout=0)
    assert kit.node_files() == before
    kit.container(NAME, state="absent")
    assert kit.node_files() == before


def test_the_kernels_own_marks_cannot_be_planted_from_inside(minimal):
    """Not even by root of a privileged VPS, who may set trusted attributes: through an overlay those of overlays are other ones."""
    new(NAME, minimal, privileged=True)
    kit.shell(NAME, "mkdir /folder; echo mine >/file; mkdir /d")
    for path, mark in (("folder", "trusted.overlay.redirect"), ("file", "trusted.overlay.metacopy"), ("d", "trusted.overlay.opaque")):
        with contextlib.suppress(OSError):
            os.setxattr(own(NAME, "rootfs", path), mark, b"/etc")
        found = own(NAME, "changes/upper", path)
        told = {name: os.getxattr(found, name) for name in os.listxattr(found)}
        assert told.get(mark) in (None, b"y"), told
    assert kit.shell(NAME, "mknod /null c 0 0", check=False).returncode, "a whiteout of its own"
    before = kit.said(NAME, "ls", "/bin")
    os.setxattr(own(NAME, "rootfs/bin"), "user.overlay.opaque", b"y")  # which anybody may set, and nobody looks at
    kit.container(NAME, state="restarted", wait="booted")
    assert kit.said(NAME, "ls", "/bin") == before


def test_deep_and_immutable_trees_are_deleted_and_the_deepest_not_copied(minimal):
    new(NAME, minimal)
    kit.shell(NAME, "cd /; i=0; while [ $i -lt 1500 ]; do mkdir d; cd d; i=$((i+1)); done; echo bottom >file", timeout=120)
    assert kit.info(NAME)["disk_used"] > 0
    driver, folder = Directory(str(kit.pool())), kit.pool() / f"{kit.PREFIX}copy"
    folder.mkdir()
    try:
        with pytest.raises(VpsError, match="directories deep"):
            driver.snapshot(str(own(NAME, "rootfs")), str(folder / "rootfs"))
        driver.delete(str(folder / "rootfs"))
        assert not list(folder.iterdir())
    finally:
        shutil.rmtree(folder)
    (own(NAME, "changes/upper/etc/fixed")).write_text("", encoding="ascii")
    kit.run("chattr", "+i", str(own(NAME, "changes/upper/etc/fixed")))
    kit.container(NAME, state="absent")
    assert not own(NAME).exists() and not kit.mounts()


def test_a_copy_never_follows_what_the_guest_swaps_meanwhile(tmp_path):
    """A directory that becomes a link to the node's, again and again, while it is copied."""
    source, secret = tmp_path / "source", tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("the node's", encoding="ascii")
    for number in range(50):
        (source / f"{number}/folder").mkdir(parents=True)
        (source / f"{number}/folder/file").write_text("the guest's", encoding="ascii")
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            for number in range(50):
                folder = source / f"{number}/folder"
                with contextlib.suppress(OSError):
                    folder.rename(source / f"{number}/away")
                    folder.symlink_to(secret)
                    folder.unlink()
                    (source / f"{number}/away").rename(folder)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(20):
            with contextlib.suppress(NotADirectoryError):  # which it refuses to enter
                copying.copy(str(source), str(tmp_path / f"copy{number}"))
    finally:
        ended.set()
        thread.join()
    copies = [path for path in tmp_path.glob("copy*/*/folder/file") if not path.parent.is_symlink()]
    assert copies and all(path.read_text(encoding="ascii") == "the guest's" for path in copies)


# -- copies --------------------------------------------------------------------------------------------------------------


def test_a_snapshot_and_its_clone_have_everything_that_a_tree_can_have(minimal):
    new(NAME, minimal)
    kit.shell(NAME, "mkdir -p /odd/below; echo a >/odd/one; ln /odd/one /odd/two; ln -s /nowhere /odd/link; mkfifo /odd/pipe; rm -r /etc; mkdir /etc")
    upper = own(NAME, "changes/upper/odd")
    os.setxattr(upper / "one", "user.mine", b"\0value")
    os.setxattr(upper / "below", "trusted.mine", b"y" * 2000)
    os.chown(upper / "link", 5, 6, follow_symlinks=False)
    os.mknod(upper / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (upper / "sparse").write_bytes(b"x")
    os.truncate(upper / "sparse", 64 * MIB)
    os.chmod(upper / "one", 0o6711)
    os.utime(upper / "below", ns=(1, 123456789))
    driver, folder = Directory(str(kit.pool())), kit.pool() / f"{kit.PREFIX}copy"
    root, kept, again = own(NAME, "rootfs"), folder / "kept/rootfs", folder / "again/rootfs"
    kept.parent.mkdir(parents=True)
    again.parent.mkdir()
    try:
        driver.snapshot(str(root), str(kept))
        driver.clone(str(kept), str(again), Limits())
        original = listing(own(NAME, "changes/upper"))
        assert "odd/two" in original and original["odd/below"][6]
        for copy in (kept, again):
            assert listing(copy.with_name("changes") / "upper") == original
            assert (copy.with_name("changes") / "upper/odd/sparse").stat().st_blocks < 100
        with driver.opened(str(again)):
            assert os.listdir(again / "etc") == [] and (again / "odd/two").read_text(encoding="ascii") == "a\n"
    finally:
        for one in (kept, again):
            driver.delete(str(one))
        shutil.rmtree(folder)


def test_two_change_places_by_one_rename(minimal):
    driver, folder = Directory(str(kit.pool())), kit.pool() / f"{kit.PREFIX}copy"
    one, two = (str(folder / name / "rootfs") for name in ("one", "two"))
    try:
        for root in (one, two):
            pathlib.Path(root).parent.mkdir(parents=True)
            driver.clone(contract.template(minimal), root, Limits())
            contract.write(driver, root, root)
        known = driver.identity(one), driver.identity(two)
        driver.exchange(one, two)
        assert (driver.identity(two), driver.identity(one)) == known
        assert (contract.read(driver, two), contract.read(driver, one)) == (one, two)
    finally:
        for root in (one, two):
            driver.delete(root)
        shutil.rmtree(folder)


@pytest.fixture(params=("ext4", "tmpfs"))
def elsewhere(request, tmp_path, minimal):
    """A pool of plain directories on another file system, with a template."""
    pool = tmp_path / "pool"
    pool.mkdir()
    if request.param == "ext4":
        file = tmp_path / "file"
        with open(file, "wb") as image:
            image.truncate(300 * MIB)
        kit.run("mke2fs", "-q", "-t", "ext4", str(file))
        kit.run("mount", "-o", "loop", str(file), str(pool))
    else:
        kit.run("mount", "-t", "tmpfs", "-o", "size=300M", "none", str(pool))
    try:
        (pool / f"templates/{minimal}").mkdir(parents=True)
        kit.run("cp", "-a", contract.template(minimal), str(pool / f"templates/{minimal}/rootfs"))
        yield pool
    finally:
        kit.run("umount", str(pool))


def test_it_needs_nothing_of_the_file_system(elsewhere, minimal):
    first = 704643072
    driver, shared = Directory(str(elsewhere), first_id=first), Directory(str(elsewhere))
    template, one, two, kept = elsewhere / f"templates/{minimal}/rootfs", *(elsewhere / f"{name}/rootfs" for name in ("one", "two", "kept"))
    for root in (one, two, kept):
        root.parent.mkdir()
    driver.clone(str(template), str(one), Limits())
    shared.clone(str(template), str(two), Limits())
    assert len(list(elsewhere.glob("templates/.layer-*"))) == 1
    assert (template / "bin/busybox").stat().st_nlink >= 2, "the layer is other names for the same files"
    with driver.opened(str(one)):
        (one / "mark").write_text("before", encoding="ascii")
        (one / "etc/passwd").write_text("changed", encoding="ascii")
        assert (one / "mark").stat().st_uid == (one / "bin").stat().st_uid == first
        driver.snapshot(str(one), str(kept))
        (one / "mark").write_text("after", encoding="ascii")
        (one / "big").write_bytes(os.urandom(16 * MIB))
    assert (one.with_name("changes") / "upper/mark").stat().st_uid == 0
    assert "changed" not in (template / "etc/passwd").read_text(encoding="ascii")
    assert driver.exclusive(str(one)) >= 16 * MIB > driver.exclusive(str(kept))
    assert driver.usage(str(one)) >= 16 * MIB + driver.usage(str(two)) > 17 * MIB
    with shared.opened(str(kept)):
        assert (kept / "mark").read_text(encoding="ascii") == "before" and (kept / "bin").stat().st_uid == 0
    shutil.rmtree(template.parent)
    with shared.opened(str(two)):
        assert os.access(two / "bin/busybox", os.X_OK), "the template may go"
    for root in (one, two, kept):
        driver.delete(str(root))
        driver.delete(str(root))
        assert not os.listdir(root.parent)
    (remains,) = driver.unused()
    driver.delete(f"{remains}/rootfs")
    assert sorted(os.listdir(remains)) == ["layer.json"]


def test_a_copy_that_finds_no_room_says_so_before(elsewhere, minimal):
    driver, template = Directory(str(elsewhere)), elsewhere / f"templates/{minimal}/rootfs"
    one, kept = elsewhere / "one/rootfs", elsewhere / "kept/rootfs"
    one.parent.mkdir()
    kept.parent.mkdir()
    driver.clone(str(template), str(one), Limits())
    with driver.opened(str(one)):
        (one / "big").write_bytes(os.urandom(160 * MIB))
    with pytest.raises(VpsError, match="there is no room for a copy of the 16.M"):
        driver.snapshot(str(one), str(kept))
    assert not os.listdir(kept.parent)


# -- mounts --------------------------------------------------------------------------------------------------------------


def test_a_mount_that_somebody_left_goes_with_the_next_run(minimal):
    new(NAME, minimal)
    os.kill(kit.pid(NAME), 9)
    kit.until("it has stopped", lambda: kit.pid(NAME) is None)
    kit.ok("vps_container", name=NAME, state="stopped")
    kit.until("it is unmounted", lambda: not kit.mounts(), seconds=10)
    subprocess.run([str(own(NAME, "disk")), NAME, "lxc", "pre-start"], check=True)
    assert kit.mounts() == [str(own(NAME, "rootfs"))]
    kit.ok("vps_container", name=NAME, state="stopped")
    assert not kit.mounts()


def test_why_it_cannot_be_mounted_is_told(minimal):
    new(NAME, minimal, state="stopped")
    own(NAME, "changes/work").rename(own(NAME, "changes/elsewhere"))
    message = kit.fails("vps_container", name=NAME, state="started")
    assert "did not start" in message and "workdir" in message, message
    own(NAME, "changes/elsewhere").rename(own(NAME, "changes/work"))
    kit.container(NAME, state="started", wait="booted")


def test_a_clone_costs_next_to_nothing(minimal):
    new(NAME, minimal, state="stopped")
    driver, folder = Directory(str(kit.pool())), kit.pool() / f"{kit.PREFIX}copy"
    folder.mkdir()
    try:
        started = time.monotonic()
        driver.clone(contract.template(minimal), str(folder / "rootfs"), Limits())
        print(f"a clone: {1000 * (time.monotonic() - started):.1f} ms")
        os.sync()
        assert driver.exclusive(str(folder / "rootfs")) == 0
    finally:
        driver.delete(str(folder / "rootfs"))
        shutil.rmtree(folder)
