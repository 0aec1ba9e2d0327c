# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a booted node tells Prometheus: by a timer, on cgroup v2, failed units too."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.tests.node.play import play

ADDRESS = "10.90.0.90"
FILE = "/var/lib/prometheus/node-exporter/vps.prom"
BROKEN = "/run/systemd/system/vps-broken.service"


@pytest.fixture(scope="module")
def told(node):
    """A node with a VPS that tells every 15 s."""
    limits = {"memory": "64M", "swap": 0, "processes": 50, "cpulimit": 50}
    made = {"name": "told", "template": "minimal", "addresses": [ADDRESS], "limits": limits, "wait": "booted"}
    play(node, [{"mainline.vps.vps_container": made}, {"mainline.vps.vps_metrics": {"interval": 15}}])
    yield node
    play(node, [{"mainline.vps.vps_metrics": {"state": "absent"}}, {"mainline.vps.vps_container": {"name": "told", "state": "absent"}}])
    left = "/etc/systemd/system/vps-metrics* /etc/systemd/system/*/vps-metrics* /etc/vps/metrics.json /usr/local/lib/mainline-vps"
    assert node.root(f"systemctl list-unit-files 'vps-metrics*' --no-legend || :; ls -d {FILE} {left} 2>/dev/null || :") == ""


def tell(node) -> None:
    """Have it tell what is from here on. A start joins a run of the timer's that is under way, and has read already; the one after that does not."""
    # So many starts in a few seconds are more than systemd lets a unit have.
    node.root("systemctl reset-failed vps-metrics || :; systemctl start vps-metrics || :; systemctl start vps-metrics")


def number(node, series: str) -> str:
    """The number of a series; nothing where there is none."""
    return node.root(f"sed -n 's/^{series} //p' {FILE}")


def test_a_timer_tells_again_and_again(told):
    assert told.root("systemctl is-enabled vps-metrics.timer; systemctl is-active vps-metrics.timer").split() == ["enabled", "active"]
    told.root(f"was=$(stat -c %Y {FILE}); for i in $(seq 300); do [ $(stat -c %Y {FILE}) -gt $was ] && exit; sleep 1; done; exit 1")
    assert play(told, [{"mainline.vps.vps_metrics": {"interval": 15}}]).changed == []


def test_what_cgroup_v2_counts_is_told(told):
    told.root(f"ping -c 2 -W 20 -q {ADDRESS}")
    tell(told)
    assert number(told, 'vps_running{vps="told"}') == "1"
    assert number(told, 'vps_memory_limit_bytes{vps="told"}') == str(64 << 20)
    assert number(told, 'vps_processes_limit{vps="told"}') == "50"
    assert float(number(told, 'vps_cpu_limit_cores{vps="told"}')) == 0.5
    for name in ("vps_memory_bytes", "vps_cpu_seconds_total", "vps_processes"):
        assert float(number(told, f'{name}{{vps="told"}}')) > 0, name
    for name in ("receive", "transmit"):
        assert float(number(told, f'vps_network_{name}_packets_total{{vps="told"}}')) >= 2, name
    assert number(told, "vps_node_packet_filter_in_force") == "1"


def test_a_unit_that_has_failed_is_counted(told):
    tell(told)
    before = int(number(told, "vps_node_failed_units"))
    told.root(f"printf '[Service]\\nType=oneshot\\nExecStart=/bin/false\\n' >{BROKEN}; systemctl daemon-reload; systemctl start vps-broken || :")
    tell(told)
    assert int(number(told, "vps_node_failed_units")) == before + 1
    told.root(f"systemctl reset-failed vps-broken; rm {BROKEN}; systemctl daemon-reload")
    tell(told)
    assert int(number(told, "vps_node_failed_units")) == before
    assert number(told, 'vps_failed{vps="told"}') == "0"


def test_what_the_program_complains_of_is_in_the_journal(told):
    start = "systemctl start vps-metrics"
    told.root(f"mv /etc/vps/metrics.json /root/; {start} || :; {start} && missed=yes || missed=; mv /root/metrics.json /etc/vps/; [ -z $missed ]")
    said = told.root("journalctl --sync; journalctl -u vps-metrics --no-pager")
    assert "vps-metrics: node: /etc/vps/metrics.json is missing" in said and "Finished" not in said
    tell(told)
    assert told.root("systemctl is-failed vps-metrics || :") != "failed"
