# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Golden images: a VPS of the node as a template, running or not, whatever its disk is; and nothing in it that was that VPS's alone."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import archives
import pytest
import vps_kit as kit
from archives import NAME, root

GOLD, COPY = "it-src-gold", "it-src-copy"
# What a VPS that has lived has, by the places that it has it in.
OWN = (
    "var/log/messages", "var/log/deep/er/log.1", "var/lib/dhcp/dhclient.leases", "var/lib/systemd/random-seed", "root/.bash_history", "home/ann/.bash_history",
    "home/ann/.ssh/id_ed25519", "root/.ssh/known_hosts", "etc/ssh/ssh_host_rsa_key", "tmp/left", "var/tmp/left", "var/mail/root", "etc/shadow-",
    "srv/people/bob/.bash_history", "srv/people/bob/.ssh/authorized_keys", "var/log/journal/0123456789abcdef0123456789abcdef/system.journal",
)


def live(name: str) -> None:
    """Have a VPS live a little."""
    for place in OWN:
        kit.shell(name, f"mkdir -p /{os.path.dirname(place)}; echo own >/{place}")
    kit.shell(name, "echo bob:x:1001:1001::/srv/people/bob:/bin/sh >>/etc/passwd")
    kit.shell(name, "mkdir -p /srv /home/ann; echo wanted >/srv/wanted; echo wanted >/home/ann/wanted; mkfifo /srv/fifo; chown 1000:1000 /home/ann/wanted")
    kit.shell(name, "ln /srv/wanted /srv/hard; chmod 4755 /srv/wanted; ln -s ../../../../etc/passwd /srv/over; ln -s /etc /var/log/etc; sync")


@pytest.fixture(params=["btrfs", "image"])
def gold(request, minimal) -> str:
    """A VPS that runs and has lived, on either kind of disk."""
    kit.container(GOLD, template=minimal, storage=request.param, root_password_hash="$6$saltsalt$" + "a" * 86, authorized_keys=["ssh-ed25519 " + "A" * 68])
    live(GOLD)
    return GOLD


def test_what_it_is_stays_and_who_it_is_goes(gold):
    """Of a running VPS, foretold, which runs on; the template has what was put into it, and nothing of its own."""
    pid = kit.pid(gold)
    done = kit.foretold("vps_template", name=NAME, source="vps", vps=gold)
    assert kit.pid(gold) == pid and done["template"]["options"] == {"vps": gold}
    assert (root() / "srv/wanted").read_text(encoding="ascii") == "wanted\n" and (root() / "srv/hard").samefile(root() / "srv/wanted")
    assert (root() / "srv/wanted").stat().st_mode & 0o7777 == 0o4755 and (root() / "home/ann/wanted").stat().st_uid == 1000
    assert os.readlink(root() / "srv/over") == "../../../../etc/passwd"
    assert [place for place in OWN if os.path.lexists(root() / place)] == []
    assert list((root() / "var/log/journal").iterdir()) == []
    assert not os.path.lexists(root() / "srv/fifo") and not os.path.lexists(root() / "lost+found")
    assert (root() / "var/log/deep/er").is_dir(), "a service wants to find its folder"
    assert (root() / "etc/inittab").exists(), "a link in its logs was followed"
    assert "a" * 86 not in (root() / "etc/shadow").read_text(encoding="ascii") and not (root() / "etc/hostname").exists()
    assert (root() / "etc/machine-id").read_bytes() == b""


def test_a_vps_of_it_is_another_one(gold):
    """It boots, on either disk, and has what was wanted; the old one keeps all that is its own."""
    kit.ok("vps_template", name=NAME, source="vps", vps=gold)
    for storage in ("btrfs", "image"):
        name = f"{COPY}-{storage}"
        assert kit.ok("vps_container", name=name, template=NAME, storage=storage, wait="booted")["boot"] == "running"
        assert kit.said(name, "cat", "/srv/wanted") == "wanted" and kit.said(name, "hostname") == name
        assert kit.said(name, "cat", "/etc/machine-id") != kit.said(gold, "cat", "/etc/machine-id")
    assert kit.said(gold, "cat", f"/{OWN[0]}") == "own"


def test_it_is_made_once(gold):
    """Whatever becomes of the VPS; and gone it is no reason to touch the template."""
    kit.ok("vps_template", name=NAME, source="vps", vps=gold)
    kit.shell(gold, "echo later >/srv/later")
    with kit.Untouched():
        assert not kit.ok("vps_template", name=NAME, source="vps", vps=gold)["changed"]
    kit.ok("vps_container", name=gold, state="absent")
    assert not kit.ok("vps_template", name=NAME, source="vps", vps=gold)["changed"]
    assert kit.fails("vps_template", name="it-src-u", source="vps", vps=gold).startswith("vps: ")


def test_of_a_stopped_vps(gold):
    """It is not started, and its disk is let go of."""
    kit.ok("vps_container", name=gold, state="stopped", stop_timeout=0)
    kit.ok("vps_template", name=NAME, source="vps", vps=gold)
    assert kit.pid(gold) is None and (root() / "srv/wanted").exists() and not kit.mounts()
    assert not [line for line in open("/proc/self/mountinfo", encoding="utf-8") if "/templates/" in line]


def test_device_nodes_of_a_privileged_vps_are_nobodys(minimal):
    """Its root can make some; in a template they would be every VPS's."""
    kit.container(GOLD, template=minimal, privileged=True, state="stopped")
    os.mknod(kit.rootfs(GOLD) / "mnt/sda", 0o666 | 0o060000, os.makedev(8, 0))
    kit.ok("vps_template", name=NAME, source="vps", vps=GOLD)
    assert not os.path.lexists(root() / "mnt/sda")


def test_killed_at_any_moment(gold):
    """Three times, or VPS_TEST_KILLS: the next run has nothing of it left, neither a subvolume nor a mount nor a loop device, and makes it."""
    count = kit.kills(3)
    for number in range(count):
        run = kit.launch("vps_template", name=NAME, source="vps", vps=gold)
        time.sleep(0.1 + 1.2 * number / count)
        run.send_signal(signal.SIGKILL)
        run.communicate()
    kit.ok("vps_template", name=NAME, source="vps", vps=gold)
    kit.ok("vps_template", name="it-src-other", source="minimal")
    assert (root() / "srv/wanted").exists()
    assert not [line for line in open("/proc/self/mountinfo", encoding="utf-8") if "/templates/" in line]
    assert not [path for path in kit.subvolumes().values() if path.startswith("templates/.") and kit.PREFIX in path]
    used = subprocess.run(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"], capture_output=True, text=True, check=True).stdout
    assert "/templates/" not in used
    assert archives.fingerprint(root())["srv/wanted"]
