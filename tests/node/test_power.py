# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power fails while VPSs are made: the next run makes the rest, and nothing is left over or torn."""

from __future__ import annotations

import random
import time

import pytest

from ansible_collections.mainline.vps.tests.node.conftest import ROLE
from ansible_collections.mainline.vps.tests.node.play import finish, play, start

pytestmark = pytest.mark.long
NAMES = [f"vps{number}" for number in range(10)]
TASKS = [
    {
        "mainline.vps.vps_container": {
            "name": "{{ item }}", "template": "minimal", "addresses": ["10.90.1.{{ ansible_loop.index }}"], "onboot": True,
            "hostname": "{{ item }}.example.com", "limits": {"memory": "32M", "processes": "50", "diskspace": "50M"}, "wait": "booted",
        },
        "loop": NAMES,
        "loop_control": {"extended": True},
    }
]
CHECK = """
dmesg | grep -iE 'btrfs.*(error|corrupt|warn)|ext4.*error|i/o error' || true
btrfs scrub start -B /var/lib/vps | grep -iE 'no errors found' >/dev/null || echo scrub
btrfs device stats -c /var/lib/vps >/dev/null || echo stats
ls -A /var/lib/vps/vps /var/lib/vps/templates | grep '^\\.' || true
find /var/lib/vps/vps -maxdepth 2 -name '*.new' -o -maxdepth 2 -size 0 -type f ! -name '*.log'
ls -A /var/lib/lxc | grep '^\\.' || true
"""


def made(node) -> list[str]:
    """The VPSs that there are."""
    return node.root("ls /var/lib/vps/vps").split()


def test_ten_vpss_are_made_whenever_the_power_fails(vpss):
    node = vpss
    seed = random.randrange(1 << 16)
    chance = random.Random(seed)
    for enough in (2, 6):
        run = start(node, TASKS)
        deadline = time.monotonic() + 1200
        while len(made(node)) < enough:
            assert run.poll() is None and time.monotonic() < deadline, finish(node, run).output[-3000:]
        time.sleep(chance.uniform(0, 12))
        node.pull_the_plug()
        run.kill()
        finish(node, run)
        node.boot()
        assert node.root("systemctl --failed --no-legend") == "", f"seed {seed}"
    play(node, [ROLE, *TASKS])
    assert made(node) == NAMES, f"seed {seed}"
    assert node.root("lxc-ls --running -1 | sort").split() == NAMES
    assert node.root(CHECK, timeout=600) == "", f"seed {seed}"
    node.root("sleep 45")  # an older kernel lets go of a quota group when its cleaner has been there (node/storage/btrfs.py)
    assert play(node, [ROLE, *TASKS]).changed == []
    quota = node.root("btrfs qgroup show --raw /var/lib/vps | grep -c ^0/")
    subvolumes = node.root("btrfs subvolume list /var/lib/vps | wc -l")
    assert int(quota) == int(subvolumes) + 1, "a quota group without its subvolume, or the other way round"
    for index, name in enumerate(NAMES, 1):
        node.root(f"ping -c 1 -W 5 -q 10.90.1.{index} && grep -qx {name}.example.com /var/lib/vps/vps/{name}/rootfs/etc/hostname")


def test_what_was_reported_as_done_is_so_whenever_the_power_fails(vpss):
    """Each task ends, and in the next moment the power does."""
    node = vpss
    make = [{"mainline.vps.vps_container": {"name": name, "template": "minimal", "onboot": True, "limits": {"diskspace": "64M"}}} for name in NAMES[:3]]
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oyk me@example.com"
    change = [
        {"mainline.vps.vps_limits": {"name": NAMES[1], "diskspace": "40M"}},
        {"mainline.vps.vps_container": {"name": NAMES[0], "authorized_keys": [key], "root_password_hash": "!", "hostname": "other"}},
        {"mainline.vps.vps_container": {"name": NAMES[2], "state": "absent"}},
    ]
    play(node, make)
    node.root("sync")
    for task in change:
        play(node, [task])
        node.pull_the_plug()
        node.boot()
    guest = f"/var/lib/vps/vps/{NAMES[0]}/rootfs"
    assert node.root(f"cat {guest}/root/.ssh/authorized_keys {guest}/etc/hostname").splitlines() == [key, "other"]
    assert node.root(f"find {guest} -xdev -name '*.vps-new'") == ""
    assert str(40 << 20) in node.root("btrfs qgroup show -r --raw /var/lib/vps")
    assert made(node) == node.root("lxc-ls --running -1 | sort").split() == NAMES[:2]
    assert play(node, change).changed == []
