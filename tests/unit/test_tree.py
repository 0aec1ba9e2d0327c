# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's tree, made by a guest that wants the node's files. Needs no root: what only root may do is taken out."""

from __future__ import annotations

import errno
import os
import socket
import stat

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.plugins.module_utils.node import guest
from ansible_collections.mainline.vps.plugins.module_utils.node import tree as tree_module
from ansible_collections.mainline.vps.plugins.module_utils.node.tree import READ_LIMIT, Tree

SECRET = "the node's own"


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A machine with a guest in it, and outside of the guest a file that must be neither read nor changed."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(SECRET)
    for folder in ("guest/etc", "guest/root", "guest/tmp"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "guest/etc/passwd").write_text("the guest's")
    monkeypatch.setattr(tree_module.os, "fchown", lambda *_: None)  # the guest's files are root's; the test need not be
    yield tmp_path
    outside = {path.relative_to(tmp_path).as_posix() for path in tmp_path.iterdir()}
    assert outside == {"secret", "etc", "guest"}, "something was made on the node"
    assert (tmp_path / "secret").read_text() == (tmp_path / "etc/passwd").read_text() == SECRET
    assert os.listdir(tmp_path / "etc") == ["passwd"]


@pytest.fixture
def tree(node):
    """That guest's tree, as the node sees it."""
    with Tree(str(node / "guest")) as opened:
        yield opened


def plant(node, path, target):
    """A symbolic link in the guest."""
    link = node / "guest" / path
    if link.exists():
        link.unlink()
    link.symlink_to(target)


def test_a_directory_in_the_way_of_a_file_is_moved_aside_with_what_is_in_it(node, tree):
    (node / "guest/etc/hostname").mkdir()
    (node / "guest/etc/hostname/mine").write_text("x")
    (node / "guest/etc/hostname.vps-old").write_text("taken")
    assert tree.move_aside("/etc/hostname") == "hostname.vps-old-1"
    assert (node / "guest/etc/hostname.vps-old-1/mine").read_text() == "x" and (node / "guest/etc/hostname.vps-old").read_text() == "taken"
    tree.write("/etc/hostname", "web\n")
    assert tree.move_aside("/etc/hostname") is None and tree.move_aside("/none/x") is None and tree.move_aside("/etc/passwd/x") is None


def test_and_not_through_a_link(node, tree):
    """A link to a directory is replaced by the file; one among those above leads nowhere out of the guest."""
    plant(node, "etc/hostname", "/tmp")
    assert tree.move_aside("/etc/hostname") is None and (node / "guest/etc/hostname").is_symlink()
    (node / "guest/way").symlink_to(node)
    assert tree.move_aside("/way/etc") is None


def test_a_fresh_copy_becomes_its_own_whatever_has_the_names_of_its_files(node, tree):
    """Its owner could otherwise keep the node from making a copy of it."""
    for path in (
        "etc/hostname", "etc/hosts", "etc/machine-id", "etc/resolv.conf", "etc/.hostname.vps-new", "etc/ssh/ssh_host_rsa_key", "var/lib/dbus/machine-id",
    ):
        (node / "guest" / path / "x").mkdir(parents=True)
    guest.scrub(tree)
    guest.prepare(tree, Vps("web", "minimal", "busybox", "web"), ("192.0.2.1",), frozenset({"hostname", "nameservers"}))
    assert (node / "guest/etc/hostname").read_text() == "web\n" and len((node / "guest/etc/machine-id").read_text()) == 33
    assert (node / "guest/etc/hostname.vps-old/x").is_dir()


# Where a hostile guest may point: at the node's file by its real path, up and out, through a link to the root.
WAYS_OUT = ["{node}/secret", "../../secret", "/../../../../../../..{node}/secret", "/proc/self/root{node}/secret", "../../../../../../../../..{node}/secret"]


@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_link_that_leads_out_is_not_read_through(node, tree, way):
    plant(node, "etc/hosts", way.format(node=node))
    assert tree.read("/etc/hosts") is None
    assert not tree.exists("/etc/hosts")


@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_link_that_leads_out_is_replaced_and_not_written_through(node, tree, way):
    plant(node, "etc/hosts", way.format(node=node))
    tree.write("/etc/hosts", "ours")
    assert not (node / "guest/etc/hosts").is_symlink()
    assert (node / "guest/etc/hosts").read_text() == "ours"


@pytest.mark.parametrize("way", ["{node}", "../..", "..", "/..", "/../..", "{node}/etc"])
def test_a_directory_that_is_a_link_out_is_not_written_in(node, tree, way):
    plant(node, "root/.ssh", way.format(node=node))
    for act in (
        lambda: tree.write("/root/.ssh/secret", "ours"),
        lambda: tree.symlink("/x", "/root/.ssh/secret"),
        lambda: tree.make_directory("/root/.ssh/new"),
        lambda: tree.remove("/root/.ssh/secret"),
    ):
        try:
            act()
        except VpsError:
            pass  # or it was done inside the guest; that nothing was done outside, the fixture looks at
    assert tree.read("/root/.ssh/../../secret") in (None, "ours")
    assert tree.read("/etc/passwd") == "the guest's"


def test_an_absolute_link_is_one_from_the_guests_own_root(node, tree):
    plant(node, "etc/hosts", "/etc/passwd")
    assert tree.read("/etc/hosts") == "the guest's"
    plant(node, "etc/up", "../../../../../../etc/passwd")
    assert tree.read("/etc/up") == "the guest's"
    assert tree.read("/../../etc/passwd") == "the guest's"


def test_a_pipe_is_neither_read_nor_waited_for(node, tree):
    os.mkfifo(node / "guest/etc/hosts")
    assert tree.read("/etc/hosts") is None
    tree.write("/etc/hosts", "ours")
    assert tree.read("/etc/hosts") == "ours"


def test_a_socket_is_not_read(node, tree, monkeypatch):
    monkeypatch.chdir(node / "guest/etc")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("hosts")
    assert tree.read("/etc/hosts") is None


def test_nothing_but_a_regular_file_is_ever_opened_for_reading(node, tree, monkeypatch):
    """Opening a device does something on the node: a watchdog's would reboot it."""
    os.mkfifo(node / "guest/etc/hosts")
    opened = []
    really = tree_module.open_in_root

    def watched(root, path, flags, mode=0):
        opened.append(flags)
        return really(root, path, flags, mode)

    monkeypatch.setattr(tree_module, "open_in_root", watched)
    tree.read("/etc/hosts")
    assert opened
    assert all(flags & os.O_PATH for flags in opened)


def test_a_directory_in_a_files_place_is_nothing_to_read_and_an_error_to_write(node, tree):
    (node / "guest/etc/hosts/full").mkdir(parents=True)
    assert tree.read("/etc/hosts") is None
    for act in (lambda: tree.write("/etc/hosts", "x"), lambda: tree.remove("/etc/hosts"), lambda: tree.symlink("/x", "/etc/hosts")):
        with pytest.raises(VpsError, match="^guest: cannot (write|remove) /etc/hosts in the VPS: "):
            act()
    assert sorted(os.listdir(node / "guest/etc")) == ["hosts", "passwd"], "and nothing is left beside it"


def test_a_file_in_a_directorys_place_is_an_error_to_write_below(tree):
    assert tree.read("/etc/passwd/x") is None
    tree.remove("/etc/passwd/x")
    with pytest.raises(VpsError, match="^guest: cannot write /etc/passwd/x in the VPS: Not a directory"):
        tree.write("/etc/passwd/x", "x")
    with pytest.raises(VpsError, match="^guest: cannot make /etc/passwd/x in the VPS: Not a directory"):
        tree.make_directory("/etc/passwd/x")


def test_a_loop_of_links_ends(node, tree):
    plant(node, "etc/a", "b")
    plant(node, "etc/b", "a")
    plant(node, "etc/c", "c/c/c")
    assert tree.read("/etc/a") is None
    assert not tree.exists("/etc/c")
    with pytest.raises(VpsError, match="^guest: cannot write /etc/a/x in the VPS"):
        tree.write("/etc/a/x", "x")
    tree.write("/etc/a", "no loop any more")
    assert tree.read("/etc/b") == "no loop any more"


def test_a_huge_file_is_refused_rather_than_written_back_cut_short(node, tree):
    with open(node / "guest/etc/hosts", "wb") as file:
        file.truncate(READ_LIMIT)
    assert len(tree.read("/etc/hosts")) == READ_LIMIT
    with open(node / "guest/etc/hosts", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(VpsError, match="^guest: /etc/hosts in the VPS is larger"):
        tree.read("/etc/hosts")


def test_a_file_in_no_encoding_is_read_and_written_back_as_it_was(node, tree):
    mess = bytes(range(128, 256)) + b"\r\n\x00"
    (node / "guest/etc/hosts").write_bytes(mess)
    tree.write("/etc/hosts", tree.read("/etc/hosts"))
    assert (node / "guest/etc/hosts").read_bytes() == mess


def test_a_file_is_replaced_by_another_and_not_written_into(node, tree):
    os.link(node / "guest/etc/passwd", node / "guest/etc/other")
    tree.write("/etc/passwd", "ours", mode=0o640)
    assert (node / "guest/etc/other").read_text() == "the guest's"
    assert stat.S_IMODE((node / "guest/etc/passwd").stat().st_mode) == 0o640


def test_what_a_killed_run_left_of_a_file_is_in_nobodys_way(node, tree):
    (node / "guest/etc/.hosts.vps-new").write_text("half")
    tree.write("/etc/hosts", "ours")
    assert sorted(os.listdir(node / "guest/etc")) == ["hosts", "passwd"]


def test_a_mode_that_is_kept_is_a_files_and_has_no_special_bits(node, tree):
    (node / "guest/etc/shadow").write_text("x")
    (node / "guest/etc/shadow").chmod(0o4604)
    tree.write("/etc/shadow", "y", mode=0o640, keep_owner=True)
    assert stat.S_IMODE((node / "guest/etc/shadow").stat().st_mode) == 0o604
    plant(node, "etc/shadow", "passwd")
    tree.write("/etc/shadow", "z", mode=0o640, keep_owner=True)
    assert stat.S_IMODE((node / "guest/etc/shadow").stat().st_mode) == 0o640, "a link's 0777 is nobody's wish"


def test_directories_are_made_down_to_the_last(node, tree):
    tree.make_directory("/root/.ssh/a/b", mode=0o700)
    assert stat.S_IMODE((node / "guest/root/.ssh/a/b").stat().st_mode) == 0o700
    tree.make_directory("/root/.ssh/a/b")
    assert tree.names("/root/.ssh/a") == ["b"]
    assert tree.names("/root/none") == []


def test_links_are_made_told_and_removed(node, tree):
    tree.symlink("/bin/busybox", "/etc/init")
    tree.symlink("/lib/systemd/systemd", "/etc/init")
    assert tree.link_target("/etc/init") == "/lib/systemd/systemd"
    assert tree.link_target("/etc/passwd") is None
    assert tree.link_target("/none/x") is None
    tree.remove("/etc/init")
    tree.remove("/etc/init")
    assert not os.path.lexists(node / "guest/etc/init")


def test_a_file_that_may_not_be_read_is_an_error_that_names_it(tree, monkeypatch):
    def refuse(root, path, flags, mode=0):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(tree_module, "open_in_root", refuse)
    with pytest.raises(VpsError, match="^guest: cannot read /etc/hosts in the VPS: Input/output error"):
        tree.read("/etc/hosts")


def test_the_files_of_a_folder_go_and_its_folders_stay(node, tree):
    for place in ("guest/var/log/a", "guest/var/log/deep/er/b"):
        (node / place).parent.mkdir(parents=True, exist_ok=True)
        (node / place).write_text("x")
    os.mkfifo(node / "guest/var/log/pipe")
    os.symlink(node / "etc", node / "guest/var/log/etc")
    os.symlink("../../etc", node / "guest/var/log/up")
    tree.remove_files("/var/log")
    tree.remove_files("/none")
    assert [str(path.relative_to(node / "guest/var/log")) for path in (node / "guest/var/log").rglob("*")] == ["deep", "deep/er"]
    assert os.listdir(node / "guest/etc") == ["passwd"]


@pytest.mark.parametrize("target", ["/etc", "../etc", "../../etc", "etc"])
def test_a_folder_that_is_a_link_is_not_emptied(node, tree, target):
    os.symlink(target, node / "guest/logs")
    os.symlink(target, node / "guest/tmp/logs")
    for path in ("/logs", "/tmp/logs", "/logs/.", "/logs/x"):
        tree.remove_files(path)
    assert os.listdir(node / "guest/etc") == ["passwd"]


def test_what_is_no_file_goes_wherever_it_is(node, tree):
    os.mkfifo(node / "guest/tmp/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(node / "guest/root/socket"))
    os.symlink("passwd", node / "guest/etc/link")
    tree.remove_special()
    left = {str(path.relative_to(node / "guest")) for path in (node / "guest").rglob("*")}
    assert left == {"etc", "root", "tmp", "etc/passwd", "etc/link"}


def test_a_tree_that_is_too_deep_is_an_error(node, tree):
    (node / "guest" / "/".join(["d"] * 300)).mkdir(parents=True)
    with pytest.raises(VpsError, match="^guest: '/+d/.* is deeper than 256 directories"):
        tree.remove_special()


def test_only_an_empty_directory_is_removed_as_one(node, tree):
    tree.remove_empty("/tmp")
    tree.remove_empty("/etc")
    tree.remove_empty("/etc/passwd")
    tree.remove_empty("/none/none")
    assert sorted(os.listdir(node / "guest")) == ["etc", "root"] and os.listdir(node / "guest/etc") == ["passwd"]


def test_a_place_for_a_mount_is_made_without_following_a_link(node, tree):
    tree.make_place("/mnt/deep/disk")
    tree.make_place("/mnt/deep/disk")
    assert (node / "guest/mnt/deep/disk").is_dir()
    for number, target in enumerate((str(node / "etc"), "../../etc", "/etc", "tmp")):
        os.symlink(target, node / f"guest/link{number}")
        for path in (f"/link{number}", f"/link{number}/disk", f"/link{number}/a/disk"):
            with pytest.raises(VpsError, match="^guest: cannot make /link"):
                tree.make_place(path)
    with pytest.raises(VpsError, match="^guest: cannot make /etc/passwd in the VPS: Not a directory"):
        tree.make_place("/etc/passwd")
    assert os.listdir(node / "guest/etc") == ["passwd"] and os.listdir(node / "guest/tmp") == []


def test_a_directory_is_dated_and_none_outside(node, tree):
    before = os.stat(node / "etc").st_mtime
    plant(node, "tmp/out", "../../etc")
    for path in ("/etc", "/tmp/out", "/nowhere", "/etc/passwd"):
        tree.date(path, 0)
    assert os.stat(node / "guest/etc").st_mtime == 0 and os.stat(node / "etc").st_mtime == before
    assert os.stat(node / "guest/etc/passwd").st_mtime > 0
