# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quickstart on a stock machine, as README has it for a machine that is reached over SSH, and back again."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.tests.node.play import PLAYBOOKS, play

STATE = """
dpkg-query --show --showformat '${db:Status-Status} ${Package}\\n' | grep ^installed | sort
find /etc/systemd /etc/vps /etc/udev /etc/sysctl.d /etc/fstab /etc/subuid /etc/subgid /var/lib/vps* /var/lib/lxc -type f 2>/dev/null | sort
cat /etc/fstab /etc/subuid /etc/subgid; ls /etc/default /etc/systemd/system /etc/systemd/system/*.wants
nft list tables 2>/dev/null || true; systemctl --failed --no-legend; systemctl is-system-running || true; ip -br link | cut -d ' ' -f 1
"""


@pytest.mark.long
def test_from_a_stock_machine_to_two_web_servers_and_back(stock):
    before = stock.root(STATE)
    first = play(stock, PLAYBOOKS / "quickstart.yml", "-e", "quickstart_hosts=all", seconds=3600)
    assert "VPS node, and both VPSs answer" in first.output
    assert stock.root("systemctl is-system-running") == "running"
    second = play(stock, PLAYBOOKS / "quickstart.yml", "-e", "quickstart_hosts=all", seconds=1200)
    assert second.changed == [] and "Nothing had to be changed" in second.output
    assert len(stock.root("lxc-ls --running -1").split()) == 2
    stock.reboot()
    assert stock.root("lxc-ls --running -1") == "", "neither was asked to start with the node"
    play(stock, PLAYBOOKS / "quickstart-clean.yml", "-e", "quickstart_hosts=all", seconds=1800)
    assert stock.root(STATE) == before
    assert play(stock, PLAYBOOKS / "quickstart-clean.yml", "-e", "quickstart_hosts=all", seconds=1800).changed == []
