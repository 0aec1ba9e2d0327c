# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots, reinstalls, rescue, copies and backups on a stock machine with systemd, on each storage; and what its reboots and power cuts leave."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.tests.node.play import finish, play, start

pytestmark = pytest.mark.long

CONTAINER, SNAPSHOT, BACKUP = "mainline.vps.vps_container", "mainline.vps.vps_snapshot", "mainline.vps.vps_backup"
STORAGES = ("btrfs", "image", "dir")
REPOSITORY = {"repository": "/var/backups/vps", "password_file": "/root/password"}
# What no run of ours may leave: names of things in the making, mounts of disks that nobody runs, errors of a file system.
LEFT = """
find /var/lib/vps/vps /var/lib/vps/templates /var/lib/vps/backups -maxdepth 3 \\( -name '.new-*' -o -name '.del-*' \\) 2>/dev/null || true
dmesg | grep -iE 'btrfs.*(error|corrupt|warn)|ext4.*error|i/o error' || true
systemctl --failed --no-legend
"""


def write(node, name: str, word: str) -> None:
    """Have a word in a file of a VPS, on its disk, running or not."""
    node.root(f"/etc/vps/enter {name} -- /bin/sh -c 'echo {word} >/root/word; sync'")


def word(node, name: str) -> str:
    """What is in that file."""
    return node.root(f"/etc/vps/enter {name} -- /bin/sh -c 'cat /root/word 2>/dev/null || echo none'")


@pytest.fixture(params=STORAGES)
def vps(request, vpss):
    """The node with one VPS, which starts with it and has a word."""
    play(vpss, [{CONTAINER: {"name": "own", "template": "minimal", "storage": request.param, "onboot": True, "limits": {"memory": "64M"}, "wait": "booted"}}])
    write(vpss, "own", "first")
    yield vpss
    play(vpss, [{CONTAINER: {"name": "own", "state": "absent"}}])
    assert vpss.root(LEFT) == ""


def test_rescue_lasts_over_a_reboot_and_what_was_before_a_reinstall_can_be_had_back(vps):
    node = vps
    play(node, [{SNAPSHOT: {"vps": "own", "name": "then"}}])
    write(node, "own", "second")
    reinstall = {CONTAINER: {"name": "own", "template": "minimal", "reinstall": "always", "keep_paths": ["/etc/hostname"], "restart_policy": "always"}}
    play(node, [reinstall])
    assert word(node, "own") == "none"
    play(node, [{CONTAINER: {"name": "own", "reinstall": "undo", "restart_policy": "always"}}])
    assert word(node, "own") == "second"
    play(node, [{CONTAINER: {"name": "own", "state": "rescue"}}])
    node.reboot()
    assert node.root("/etc/vps/enter own -- cat /mnt/disk/root/word") == "second", "it is in rescue, and its disk is mounted there"
    assert play(node, [{CONTAINER: {"name": "own", "state": "rescue"}}]).changed == []
    play(node, [{CONTAINER: {"name": "own", "state": "started"}}])
    assert word(node, "own") == "second"
    play(node, [{SNAPSHOT: {"vps": "own", "name": "then", "state": "rolled_back"}}])
    assert word(node, "own") == "first"
    node.reboot()
    assert word(node, "own") == "first"
    assert node.root("grep -o '^lxc-[^ ]*' /proc/$(lxc-info -n own -pH)/attr/current").startswith("lxc-own_"), "confined as ever"


def test_what_was_reported_as_done_to_a_disk_is_so_whenever_the_power_fails(vps):
    """Each task ends, and in the next moment the power does."""
    node = vps
    node.root("umask 077; printf secret >/root/password; sync")

    def cut(task: dict) -> None:
        play(node, [task])
        node.pull_the_plug()
        node.boot()

    cut({SNAPSHOT: {"vps": "own", "name": "then"}})
    write(node, "own", "second")
    cut({BACKUP: {"name": "own", **REPOSITORY}})
    cut({SNAPSHOT: {"vps": "own", "name": "then", "state": "rolled_back"}})
    assert word(node, "own") == "first"
    cut({BACKUP: {"name": "own", "state": "restored", "replace": True, **REPOSITORY}})
    assert word(node, "own") == "second"
    cut({CONTAINER: {"name": "copy", "clone_from": "own"}})
    assert word(node, "copy") == "second"
    cut({CONTAINER: {"name": "own", "template": "minimal", "reinstall": "always", "keep_paths": ["/root/word"], "restart_policy": "always"}})
    assert word(node, "own") == "second", "a path that was to be kept"
    play(node, [{BACKUP: {"name": "own", "state": "verified", "verify_data": "100%", **REPOSITORY}}, {CONTAINER: {"name": "copy", "state": "absent"}}])
    node.root("rm -r /var/backups/vps /root/password")


def test_the_power_fails_while_disks_are_changed(vps):
    node = vps
    play(node, [{SNAPSHOT: {"vps": "own", "name": "then"}}])
    tasks = [
        {SNAPSHOT: {"vps": "own", "name": "then", "state": "rolled_back", "keep_current": "before"}},
        {CONTAINER: {"name": "own", "template": "minimal", "reinstall": "always", "keep_paths": ["/root"], "restart_policy": "always"}},
        {CONTAINER: {"name": "copy", "clone_from": "own", "state": "stopped"}},
        {CONTAINER: {"name": "copy", "state": "absent"}},
    ]
    for pause in (8, 14, 20):
        run = start(node, tasks * 3)
        node.root(f"sleep {pause}")
        node.pull_the_plug()
        run.kill()
        finish(node, run)
        node.boot()
        assert word(node, "own") == "first", f"{pause} s"
        play(node, tasks)
    assert word(node, "own") == "first"
