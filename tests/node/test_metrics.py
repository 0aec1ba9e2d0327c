# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a booted node tells Prometheus: by a timer, on cgroup v2, failed units too."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.tests.node.play import play

FILE = "/var/lib/prometheus/node-exporter/vps.prom"
BROKEN = "/run/systemd/system/vps-broken.service"


@pytest.fixture(scope="module")
def told(node):
    """A node with a VPS that tells every 15 s."""
    made = {"name": "told", "template": "minimal", "limits": {"memory": "64M", "swap": 0, "processes": 50, "cpulimit": 50}, "wait": "booted"}
    play(node, [{"mainline.vps.vps_container": made}, {"mainline.vps.vps_metrics": {"interval": 15}}])
    yield node
    play(node, [{"mainline.vps.vps_metrics": {"state": "absent"}}, {"mainline.vps.vps_container": {"name": "told", "state": "absent"}}])
    assert node.root(f"systemctl list-unit-files 'vps-metrics*' --no-legend; ls {FILE} /etc/vps/metrics.json 2>/dev/null; true") == ""


def number(node, series: str) -> str:
    """The number of a series."""
    return node.root(f"sed -n 's/^{series} //p' {FILE}")


def test_a_timer_tells_again_and_again(told):
    assert told.root("systemctl is-enabled vps-metrics.timer; systemctl is-active vps-metrics.timer").split() == ["enabled", "active"]
    told.root(f"was=$(stat -c %Y {FILE}); for i in $(seq 300); do [ $(stat -c %Y {FILE}) -gt $was ] && exit; sleep 1; done; exit 1")
    assert play(told, [{"mainline.vps.vps_metrics": {"interval": 15}}]).changed == []


def test_what_cgroup_v2_counts_is_told(told):
    assert number(told, 'vps_running{vps="told"}') == "1"
    assert number(told, 'vps_memory_limit_bytes{vps="told"}') == str(64 << 20)
    for name in ("vps_memory_bytes", "vps_cpu_seconds_total", "vps_processes", "vps_network_transmit_packets_total"):
        assert float(number(told, f'{name}{{vps="told"}}')) > 0, name
    assert number(told, "vps_node_packet_filter_in_force") == "1"


def test_a_unit_that_has_failed_is_counted(told):
    before = int(number(told, "vps_node_failed_units"))
    told.root(f"printf '[Service]\\nType=oneshot\\nExecStart=/bin/false\\n' >{BROKEN}; systemctl daemon-reload; systemctl start vps-broken || :")
    told.root("systemctl start vps-metrics")
    assert int(number(told, "vps_node_failed_units")) == before + 1
    told.root(f"systemctl reset-failed vps-broken; rm {BROKEN}; systemctl daemon-reload; systemctl start vps-metrics")
    assert int(number(told, "vps_node_failed_units")) == before
    assert number(told, 'vps_failed{vps="told"}') == "0"


def test_what_the_program_complains_of_is_in_the_journal(told):
    told.root("mv /etc/vps/metrics.json /root/; systemctl start vps-metrics || :; mv /root/metrics.json /etc/vps/")
    said = told.root("journalctl -u vps-metrics --no-pager")
    assert "vps-metrics: node: /etc/vps/metrics.json is missing" in said and "Finished" not in said
    told.root("systemctl start vps-metrics")
