# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role makes of a stock machine that systemd runs, and that a second run finds nothing to do."""

from __future__ import annotations

from ansible_collections.mainline.vps.tests.node.conftest import ROLE
from ansible_collections.mainline.vps.tests.node.play import play


def test_the_machine_is_in_order_and_a_second_run_changes_nothing(node):
    assert node.root("systemctl is-system-running") == "running", node.root("systemctl --failed")
    assert node.root("stat -fc %T /sys/fs/cgroup") == "cgroup2fs"
    assert play(node, [ROLE]).changed == []
    assert play(node, [ROLE], "--check", "--diff").changed == []


def test_what_must_be_there_after_a_boot_is_in_units(node):
    enabled = node.root("systemctl is-enabled vps-boot vps-network lxcfs; systemctl is-active vps-boot vps-network lxcfs")
    assert enabled.split() == ["enabled"] * 3 + ["active"] * 3
    mount = dict(line.split("=", 1) for line in node.root("systemctl show -p ActiveState,FragmentPath,What var-lib-vps.mount").splitlines())
    assert mount["ActiveState"] == "active" and "fstab" in node.root("systemctl cat var-lib-vps.mount | head -3")
    assert "RequiresMountsFor=/var/lib/vps" in node.root("systemctl cat vps@any.service")


def test_nobody_got_a_bridge_that_nobody_asked_for(node):
    node.root("systemctl restart lxc-net lxc")
    assert "lxcbr0" not in node.root("ip link") and "table inet lxc" not in node.root("nft list tables")
