# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rescue on the real kernel: another root file system with the VPS's own disk in it, its ids, its addresses, its limits."""

from __future__ import annotations

import os
import pathlib
import tempfile

import pytest
import vps_kit as kit

NAME = f"{kit.PREFIX}r"


@pytest.fixture
def vps(minimal, storage):
    """A VPS whose own init is broken, as its owner would know it, on either kind of disk."""
    made = kit.container(
        NAME, template=minimal, storage=storage, addresses=[kit.address(42)], limits={"memory": "64M", "diskspace": "300M"}, wait="booted"
    )
    kit.shell(NAME, "echo mine >/mine; chown 12:13 /mine; echo root:changed::::::: >/etc/other; rm /sbin/init; mkdir /sbin/init; sync")
    return made


@pytest.fixture
def outside():
    """A directory of the node that a VPS's root can get to and write to, if somebody takes it there."""
    with tempfile.TemporaryDirectory() as name:  # none of pytest's, which are root's alone to pass
        os.chmod(name, 0o777)
        yield pathlib.Path(name)


def rescued(**more) -> dict:
    """Into rescue."""
    return kit.ok("vps_container", **{"name": NAME, "state": "rescue", "stop_timeout": 0, "wait": "booted", **more})


def test_it_boots_with_its_own_disk_inside_and_back(vps, other):
    done = kit.foretold("vps_container", name=NAME, state="rescue", rescue_template=other, stop_timeout=0, wait="booted")
    assert done["vps"]["state"] == "rescue" and kit.info(NAME)["rescue"] == {"template": other, "path": "/mnt/disk"}
    assert kit.shell(NAME, "test -e /mine", check=False).returncode == 1
    assert kit.said(NAME, "stat", "-c", "%u:%g", "/mnt/disk/mine") == "12:13", "with the ids that it has in the VPS"
    assert kit.said(NAME, "hostname") == NAME and kit.address(42) in kit.said(NAME, "ip", "-4", "addr", "show", "dev", "eth0")
    assert kit.kernel_limits(NAME) == kit.limit_files(memory=64 << 20)
    kit.shell(NAME, "rmdir /mnt/disk/sbin/init; ln -s /bin/busybox /mnt/disk/sbin/init; echo mended >/mnt/disk/mine; chroot /mnt/disk /bin/true")
    done = kit.foretold("vps_container", name=NAME, state="started", stop_timeout=0, wait="booted")
    assert done["vps"]["state"] == "started" and done["vps"]["rescue"] is None
    assert kit.said(NAME, "cat", "/mine") == "mended"
    assert sorted(path.name for path in (kit.pool() / "vps" / NAME).iterdir() if path.is_dir()) == ["rootfs"]


def test_a_reboot_from_inside_stays_in_rescue(vps):
    rescued()
    init = kit.pid(NAME)
    kit.shell(NAME, "echo here >/here; sync; reboot", check=False)
    kit.until("it has rebooted", lambda: kit.pid(NAME) not in (None, init))
    kit.until("it has booted", lambda: kit.shell(NAME, "test -e /run/booted", check=False).returncode == 0)
    assert kit.shell(NAME, "cat /here /mnt/disk/mine").stdout == "here\nmine\n", "in the same one as before"
    assert not rescued()["changed"]


def test_its_limits_and_options_are_changed_as_ever(vps):
    rescued()
    init = kit.pid(NAME)
    kit.ok("vps_limits", name=NAME, memory="80M", diskspace="300M")
    kit.ok("vps_container", name=NAME, state="present", hostname="known", addresses=[kit.address(43)])
    assert kit.kernel_limits(NAME) == kit.limit_files(memory=80 << 20) and kit.said(NAME, "hostname") == "known"
    assert kit.pid(NAME) == init and kit.said(NAME, "cat", "/mnt/disk/etc/hostname") == "known"
    assert kit.ok("vps_command", name=NAME, argv=["cat", "/mnt/disk/mine"])["stdout"] == "mine"


def test_what_is_written_to_either_disk_is_bounded(vps):
    rescued()
    full = kit.shell(NAME, "dd if=/dev/zero of=/mnt/disk/fill bs=1M count=400", check=False)
    assert full.returncode and any(word in full.stderr for word in ("quota", "space"))
    assert kit.disk_limit(NAME, "rescue/rootfs") is not None


@pytest.mark.parametrize("link", ["/mnt/disk", "/mnt"])
def test_a_guest_in_rescue_does_not_lead_its_start_astray(vps, outside, link):
    """What it has put at the place of its disk, or on the way there, keeps it from starting; it neither gets nor makes anything of the node's."""
    before = kit.node_files()
    rescued()
    kit.shell(NAME, f"umount /mnt/disk; mv {link} {link}.old; ln -s /../../../../..{outside} {link}; sync")
    assert kit.said(NAME, "readlink", link) == f"/../../../../..{outside}"
    init = kit.pid(NAME)
    kit.shell(NAME, "reboot", check=False)
    kit.until("it has ended", lambda: kit.pid(NAME) != init)
    kit.until("its start has failed", lambda: kit.pid(NAME) is None)
    told = kit.fails("vps_container", name=NAME, state="rescue", stop_timeout=0)
    assert told.startswith(f"state: VPS '{NAME}' cannot have its disk at /mnt/disk in rescue"), told
    assert kit.node_files() == before and not list(outside.iterdir())
    rescued(rescue_path="/disk")
    assert kit.said(NAME, "cat", "/disk/mine") == "mine", "another one is a fresh one"


def test_a_guest_in_rescue_that_removes_the_place_of_its_disk_gets_it_back(vps):
    rescued(rescue_path="/srv/deep/disk")
    kit.shell(NAME, "umount /srv/deep/disk; rm -r /srv/deep; sync; poweroff", check=False)
    kit.until("it has ended", lambda: kit.pid(NAME) is None)
    rescued()
    assert kit.said(NAME, "cat", "/srv/deep/disk/mine") == "mine"


def test_one_that_is_removed_in_rescue_leaves_nothing(vps):
    rescued()
    kit.ok("vps_container", name=NAME, state="absent")
    kit.nothing_remains()
