# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power fails while VPSs are made: the next run makes the rest, and nothing is left over or torn."""

from __future__ import annotations

import random
import time

from ansible_collections.mainline.vps.tests.node.conftest import ROLE
from ansible_collections.mainline.vps.tests.node.play import finish, play, start

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


def test_ten_vpss_are_made_whenever_the_power_fails(vpss, request):
    node = vpss
    seed = random.randrange(1 << 16)
    chance = random.Random(seed)
    for enough in (4,) if request.config.getoption("short") else (2, 6):
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
