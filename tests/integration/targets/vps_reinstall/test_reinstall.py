# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk made anew on the real kernel: what stays, what is kept of the old one, the way back; a copy of another one's disk."""

from __future__ import annotations

import json
import os

import guest_tree
import pytest
import vps_kit as kit

NAME, COPY = (f"{kit.PREFIX}{letter}" for letter in "ab")
AGAIN = {"name": NAME, "reinstall": "always", "restart_policy": "if_needed", "stop_timeout": 0, "wait": "booted"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oyk one@example.com"


@pytest.fixture
def vps(minimal, storage):
    """A VPS that runs, on either kind of disk."""
    return kit.container(
        NAME, template=minimal, storage=storage, addresses=[kit.address(40)], authorized_keys=[KEY], labels={"tier": "web"},
        limits={"memory": "64M", "diskspace": "300M", "processes": "100"}, wait="booted",
    )


def machine_id(name: str) -> str:
    """Who a guest's init takes itself for."""
    return kit.said(name, "cat", "/etc/machine-id")


def test_all_that_is_recorded_stays_and_the_disk_is_new(vps, other):
    before, who = kit.info(NAME), machine_id(NAME)
    kit.shell(NAME, "echo mine >/mine; rm /root/.ssh/authorized_keys")
    done = kit.foretold("vps_container", name=NAME, template=other, reinstall="if_template_differs", restart_policy="if_needed", stop_timeout=0)
    assert [change["option"] for change in done["changes"]] == ["template", "root", "previous", "state"]
    after = kit.info(NAME)
    changed = {key for key in after if after[key] != before[key]}
    assert changed <= {"template", "template_build", "previous", "pid", "disk_used"} and after["template"] == other
    kit.until("it has booted", lambda: kit.shell(NAME, "test -e /run/booted", check=False).returncode == 0)
    assert kit.shell(NAME, "test -e /mine", check=False).returncode == 1
    assert (kit.said(NAME, "hostname"), kit.said(NAME, "cat", "/root/.ssh/authorized_keys")) == (NAME, KEY)
    assert machine_id(NAME) != who and kit.address(40) in kit.said(NAME, "ip", "-4", "addr", "show", "dev", "eth0")
    assert kit.kernel_limits(NAME) == kit.limit_files(memory=64 << 20, processes=100)


def test_what_is_kept_is_kept_to_the_last_bit(vps):
    guest_tree.plant(kit.rootfs(NAME) / "srv/site")
    kit.shell(NAME, "mkdir -p /home/me/data; chown 1000:1000 /home/me; chmod 700 /home/me; echo x >/home/me/data/x; echo y >/home/me/y; echo 1 >/etc/own")
    before = guest_tree.taken(kit.rootfs(NAME) / "srv")
    done = kit.ok("vps_container", **AGAIN, keep_paths=["/srv", "/home/me/data/", "/not/there", "/etc/own"])
    assert done["kept_paths"] == ["/srv", "/home/me/data", "/etc/own"]
    assert guest_tree.taken(kit.rootfs(NAME) / "srv") == before
    assert kit.said(NAME, "stat", "-c", "%u:%g %a", "/home/me") == "1000:1000 700", "a folder on the way is as it was"
    assert kit.shell(NAME, "test -e /home/me/y", check=False).returncode == 1
    assert kit.shell(NAME, "cat /home/me/data/x /etc/own; test ! -e /not").stdout == "x\n1\n"
    assert kit.shell(NAME, "touch /srv/site/new && chown 1000 /srv/site/new").returncode == 0, "the guest's root is its root"


def test_a_guest_does_not_lead_the_node_astray(vps):
    """Its links lead to its own files, whatever they say; and what cannot be kept leaves it as it was, running."""
    before = kit.node_files()
    kit.shell(NAME, """
        echo guest >/etc/secret; ln -s / /srv; ln -s ../../../../../../../../etc /opt; ln -s /etc /data; mkdir /var/lib; ln -s /etc /var/lib/x
    """)
    done = kit.ok("vps_container", **AGAIN, keep_paths=["/srv/etc/secret", "/opt/shadow", "/data", "/var/lib"])
    assert done["kept_paths"] == ["/srv/etc/secret", "/opt/shadow", "/data", "/var/lib"]
    assert kit.shell(NAME, "cat /srv/etc/secret; readlink /data; readlink /var/lib/x; test ! -L /opt && cat /opt/shadow").stdout.startswith(
        "guest\n/etc\n/etc\nroot:*:19000"
    )
    assert kit.node_files() == before
    kit.shell(NAME, "i=0; cd /; mkdir deep; cd deep; while [ $i -lt 60 ]; do d=$(printf %0100d 0); mkdir $d; cd $d; i=$((i+1)); done; echo 1 >/mark")
    message = kit.fails("vps_container", **AGAIN, keep_paths=["/deep"])
    assert message.startswith("keep_paths: /deep cannot be kept: ")
    assert kit.shell(NAME, "cat /mark").stdout == "1\n" and kit.info(NAME)["previous"]
    assert not list((kit.pool() / "vps").glob(f".*{kit.PREFIX}*"))


def test_what_is_kept_has_to_fit(minimal):
    """A subvolume's limit may be below what is in it already, which nobody can make anew; the VPS runs on as it was."""
    kit.container(NAME, template=minimal, limits={"diskspace": "300M"}, wait="booted")
    kit.shell(NAME, "mkdir /srv; dd if=/dev/urandom of=/srv/big bs=1M count=150 2>/dev/null; sync")
    kit.ok("vps_limits", name=NAME, diskspace="100M")
    message = kit.fails("vps_container", **AGAIN, keep_paths=["/srv"])
    assert message.startswith("keep_paths: with what is kept the disk of VPS") and "more than limits.diskspace (100M)" in message
    assert kit.info(NAME)["state"] == "started" and kit.shell(NAME, "test -s /srv/big").returncode == 0
    assert not list((kit.pool() / "vps").glob(f".*{kit.PREFIX}*"))
    assert kit.ok("vps_container", **AGAIN)["changed"]


def test_there_is_a_way_back(vps, other):
    kit.shell(NAME, "echo old >/mark")
    who = machine_id(NAME)
    kit.ok("vps_container", **{**AGAIN, "template": other})
    kit.container(NAME, hostname="later", limits={"memory": "64M", "diskspace": "400M"}, restart_policy="if_needed")
    kit.shell(NAME, "echo new >/mark")
    done = kit.foretold("vps_container", name=NAME, reinstall="undo", restart_policy="if_needed", stop_timeout=0)
    assert done["vps"]["template"] == vps["template"] and done["vps"]["previous"] is None
    assert (kit.said(NAME, "cat", "/mark"), machine_id(NAME)) == ("old", who)
    assert (kit.said(NAME, "hostname"), kit.said(NAME, "cat", "/etc/hostname")) == ("later", "later")
    assert kit.info(NAME)["limits"] == {"memory": "64M", "diskspace": "400M"}
    assert not (kit.pool() / "vps" / NAME / "previous").exists()


def test_what_was_before_takes_room_until_it_is_told_to_go(vps):
    kept = kit.pool() / "vps" / NAME / "previous"
    kit.ok("vps_container", **AGAIN)
    assert kept.exists() and kit.run("stat", "-c", "%a", str(kept)).strip() == "700"
    kit.ok("vps_container", **AGAIN)
    assert len(list((kit.pool() / "vps" / NAME).glob("previous"))) == 1, "one is kept, the last"
    kit.shell(NAME, "sync")
    kit.run("btrfs", "filesystem", "sync", str(kit.pool()))
    assert 0 < kit.info(NAME)["previous"]["disk_used"] < 64 << 20
    kit.foretold("vps_container", name=NAME, keep_previous=False)
    assert not kept.exists()
    assert not kit.ok("vps_container", **{**AGAIN, "keep_previous": False})["vps"]["previous"] and not kept.exists()
    kit.ok("vps_container", **AGAIN)
    kit.ok("vps_container", name=NAME, state="absent")
    kit.nothing_remains()


@pytest.mark.parametrize("runs", [True, False])
def test_a_copy_is_of_this_instant_and_nobody_else_s_twin(vps, runs):
    guest_tree.plant(kit.rootfs(NAME) / "srv/site")
    before = guest_tree.taken(kit.rootfs(NAME) / "srv")
    who, shadow = machine_id(NAME), kit.said(NAME, "cat", "/etc/shadow")
    kit.shell(NAME, "mkdir -p /var/lib/systemd /etc/ssh; echo seed >/var/lib/systemd/random-seed; echo key >/etc/ssh/ssh_host_ed25519_key; sync")
    if not runs:
        kit.container(NAME, state="stopped")
    made = kit.foretold("vps_container", name=COPY, clone_from=NAME, addresses=[kit.address(41)], wait="network", limits={"diskspace": "350M"})["vps"]
    assert made["id_base"] != vps["id_base"] and made["storage"] == vps["storage"] and made["addresses"] == [kit.address(41)]
    assert guest_tree.taken(kit.rootfs(COPY) / "srv") == before
    assert machine_id(COPY) not in (who, "") and kit.said(COPY, "hostname") == COPY and kit.said(COPY, "cat", "/etc/shadow") == shadow
    assert kit.said(COPY, "cat", "/root/.ssh/authorized_keys") == KEY
    assert kit.shell(COPY, "ls /var/lib/systemd /etc/ssh").stdout.split() == ["/etc/ssh:", "/var/lib/systemd:"]
    kit.shell(COPY, "echo copy >/srv/site/text")
    assert kit.info(NAME)["state"] == ("started" if runs else "stopped")
    assert not list((kit.pool() / "vps" / COPY).glob("source"))
    kit.ok("vps_container", name=NAME, state="absent")
    assert kit.said(COPY, "cat", "/srv/site/text") == "copy"


def test_several_copies_are_made_at_once(vps):
    """While their source is changed, too: each waits for it only as long as its disk is looked at."""
    names = [f"{kit.PREFIX}c{number}" for number in range(4)]
    runs = [kit.launch("vps_container", name=name, clone_from=NAME, limits={"diskspace": "350M"}) for name in names]
    runs.append(kit.launch("vps_container", name=NAME, hostname="other", state="restarted", stop_timeout=0))
    told = [kit.result(run) for run in runs]
    assert not [each["msg"] for each in told if each.get("failed")]
    assert len({each["vps"]["id_base"] for each in told}) == 5 and {kit.said(name, "hostname") for name in names} == set(names)


def test_a_copy_needs_the_room_that_its_source_takes(vps):
    kit.shell(NAME, "dd if=/dev/urandom of=/fill bs=1M count=120 2>/dev/null; sync")
    kit.run("btrfs", "filesystem", "sync", str(kit.pool()))
    assert kit.fails("vps_container", name=COPY, clone_from=NAME, limits={"diskspace": "100M"}).startswith("limits.diskspace: ")
    assert kit.info(COPY) is None


def test_what_a_guest_has_put_in_the_way_of_its_copy_is_moved_aside_there(vps):
    kit.shell(NAME, "rm /etc/machine-id; mkdir /etc/machine-id; echo mine >/etc/machine-id/file; sync")
    told = kit.ok("vps_container", name=COPY, clone_from=NAME, wait="booted")
    assert "/etc/machine-id" in told["warnings"][0], told["warnings"]
    assert kit.said(COPY, "cat", "/etc/machine-id.vps-old/file") == "mine" and len(kit.said(COPY, "cat", "/etc/machine-id")) == 32
    assert kit.said(NAME, "cat", "/etc/machine-id/file") == "mine", "the living one's own stays where it is"


def test_the_record_of_a_vps_without_any_of_this_is_read_as_before(vps):
    """A record of an earlier release has neither field."""
    path = kit.pool() / "vps" / NAME / "vps.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert (record.pop("protected"), record.pop("rescue")) == (False, None)
    staging = path.with_name("vps.json.new")
    staging.write_text(json.dumps(record), encoding="utf-8")
    os.replace(staging, path)
    assert not kit.ok("vps_container", name=NAME)["changed"]
