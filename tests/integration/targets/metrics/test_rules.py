# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alert rules, by promtool's own unit tests: on a healthy node none fires, and on one with one thing wrong that one does, and no other."""

from __future__ import annotations

import json
import pathlib
import subprocess

import conftest
import pytest
import yaml

DAY, HOUR, MINUTE = 86400, 3600, 60
STEP = 60  # s between two samples
OWN = 'instance="n", job="node"'
WEB = f'{OWN}, vps="web"'
# The time of a test starts at 0, so what is old must have happened before that: Prometheus takes what it is told.
HEALTHY = {
    f"vps_node_usable{{{OWN}}}": "1x%",
    f"vps_node_packet_filter_in_force{{{OWN}}}": "1x%",
    f"vps_node_lxcfs_running{{{OWN}}}": "1x%",
    f"vps_node_unreadable_records{{{OWN}}}": "0x%",
    f"vps_node_failed_units{{{OWN}}}": "0x%",
    f"vps_node_pool_size_bytes{{{OWN}}}": "100e9x%",
    f"vps_node_pool_free_bytes{{{OWN}}}": "60e9x%",
    f'vps_node_commitment_ratio{{{OWN}, resource="memory"}}': "0.9x%",
    f'vps_node_overcommit_ratio{{{OWN}, resource="memory"}}': "1x%",
    f'vps_node_commitment_ratio{{{OWN}, resource="disk"}}': "7x%",
    f'vps_node_used{{{OWN}, resource="memory"}}': "5e9x%",
    f'vps_node_present{{{OWN}, resource="memory"}}': "8e9x%",
    f'vps_template_created_timestamp_seconds{{{OWN}, template="debian"}}': "0x%",
    f'node_textfile_mtime_seconds{{{OWN}, file="/a/vps.prom"}}': "0+60x%",
    f'node_textfile_mtime_seconds{{{OWN}, file="/a/other.prom"}}': "0x%",
    f"vps_metrics_interval_seconds{{{OWN}}}": "60x%",
    f"node_textfile_scrape_error{{{OWN}}}": "0x%",
    f"node_nf_conntrack_entries{{{OWN}}}": "100x%",
    f"node_nf_conntrack_entries_limit{{{OWN}}}": "1000x%",
    f"node_pressure_memory_stalled_seconds_total{{{OWN}}}": "0+1x%",
    f"node_pressure_io_stalled_seconds_total{{{OWN}}}": "0+20x%",
    f"vps_running{{{WEB}}}": "1x%",
    f"vps_frozen{{{WEB}}}": "0x%",
    f"vps_onboot{{{WEB}}}": "1x%",
    f"vps_rescue{{{WEB}}}": "0x%",
    f"vps_unfinished{{{WEB}}}": "0x%",
    f"vps_memory_bytes{{{WEB}}}": "500e6x%",
    f'vps_memory_part_bytes{{{WEB}, part="file"}}': "300e6x%",
    f'vps_memory_part_bytes{{{WEB}, part="anon"}}': "200e6x%",
    f"vps_memory_limit_bytes{{{WEB}}}": "500e6x%",
    f"vps_memory_oom_kills_total{{{WEB}}}": "7x%",
    f"vps_processes_refused_total{{{WEB}}}": "3x%",
    f'vps_beancounter_failcnt_total{{{WEB}, resource="kmemsize"}}': "9x%",
    f'vps_beancounter_failcnt_total{{{WEB}, resource="physpages"}}': "0+9x%",  # page cache that made room, on cgroup v1
    f"vps_disk_bytes{{{WEB}}}": "5e9x%",
    f"vps_disk_limit_bytes{{{WEB}}}": "10e9x%",
    f"vps_disk_inodes{{{WEB}}}": "5000x%",
    f"vps_disk_inodes_limit{{{WEB}}}": "10000x%",
    f'vps_pressure_stalled_seconds_total{{{WEB}, resource="memory"}}': "0+6x%",
    f'vps_pressure_stalled_seconds_total{{{WEB}, resource="io"}}': "0+6x%",
    f'vps_pressure_stalled_seconds_total{{{WEB}, resource="cpu"}}': "0+50x%",
    f"vps_cpu_periods_total{{{WEB}}}": "0+600x%",
    f"vps_cpu_throttled_periods_total{{{WEB}}}": "0+300x%",
    f"vps_network_transmit_bytes_total{{{WEB}}}": "0+6e8x%",  # 10 MB/s, as always
    f"vps_network_transmit_packets_total{{{WEB}}}": "0+600000x%",
    f"vps_backup_newest_timestamp_seconds{{{WEB}}}": "0x%",
    # Somebody else's: a machine that is no node, whose exporter is the same.
    'node_textfile_scrape_error{instance="other", job="node"}': "1x%",
    'node_nf_conntrack_entries{instance="other", job="node"}': "999x%",
    'node_nf_conntrack_entries_limit{instance="other", job="node"}': "1000x%",
    'node_pressure_io_stalled_seconds_total{instance="other", job="node"}': "0+60x%",
}
# What is wrong → which series are otherwise (None: it ends after ten minutes), and when that is to be told at the latest.
WRONG = {
    "VpsMetricsMissing": ({f"vps_node_usable{{{OWN}}}": None}, HOUR),
    "VpsMetricsStale": ({f'node_textfile_mtime_seconds{{{OWN}, file="/a/vps.prom"}}': "0x%"}, 10 * MINUTE),
    "VpsMetricsRefused": ({f"node_textfile_scrape_error{{{OWN}}}": "1x%"}, 10 * MINUTE),
    "VpsNodeUnusable": ({f"vps_node_usable{{{OWN}}}": "0x%"}, 10 * MINUTE),
    "VpsRecordUnreadable": ({f"vps_node_unreadable_records{{{OWN}}}": "1x%"}, 15 * MINUTE),
    "VpsPoolNearlyFull": ({f"vps_node_pool_free_bytes{{{OWN}}}": "9e9x%"}, 15 * MINUTE),
    "VpsPoolFull": ({f"vps_node_pool_free_bytes{{{OWN}}}": "2e9x%"}, 15 * MINUTE),
    "VpsPoolFillsUp": ({f"vps_node_pool_free_bytes{{{OWN}}}": "45e9-50e6x%"}, 3 * HOUR),
    "VpsNodeOvercommitted": ({f'vps_node_commitment_ratio{{{OWN}, resource="memory"}}': "1.1x%"}, 15 * MINUTE),
    "VpsNodeMemoryShort": ({f'vps_node_used{{{OWN}, resource="memory"}}': "7.9e9x%"}, 15 * MINUTE),
    "VpsNodeStalled": ({f"node_pressure_memory_stalled_seconds_total{{{OWN}}}": "0+20x%"}, 30 * MINUTE),
    "VpsPacketFilterMissing": ({f"vps_node_packet_filter_in_force{{{OWN}}}": "0x%"}, 5 * MINUTE),
    "VpsLxcfsStopped": ({f"vps_node_lxcfs_running{{{OWN}}}": "0x%"}, 10 * MINUTE),
    "VpsConntrackNearlyFull": ({f"node_nf_conntrack_entries{{{OWN}}}": "900x%"}, 10 * MINUTE),
    "VpsUnitFailed": ({f"vps_node_failed_units{{{OWN}}}": "2x%"}, 10 * MINUTE),
    "VpsTemplateOld": ({f'vps_template_created_timestamp_seconds{{{OWN}, template="debian"}}': f"-{95 * DAY}x%"}, 2 * HOUR),
    "VpsDown": ({f"vps_running{{{WEB}}}": "0x%"}, 10 * MINUTE),
    "VpsOutOfMemory": ({f"vps_memory_oom_kills_total{{{WEB}}}": "7x5 8x%"}, 10 * MINUTE),
    "VpsMemoryNearlyFull": ({f'vps_memory_part_bytes{{{WEB}, part="file"}}': "1e6x%"}, 15 * MINUTE),
    "VpsProcessesRefused": ({f"vps_processes_refused_total{{{WEB}}}": "3x5 9x%"}, 10 * MINUTE),
    "VpsBeancounterRefused": ({f'vps_beancounter_failcnt_total{{{WEB}, resource="kmemsize"}}': "9x5 10x%"}, 10 * MINUTE),
    "VpsDiskNearlyFull": ({f"vps_disk_bytes{{{WEB}}}": "9.5e9x%"}, 20 * MINUTE),
    "VpsDiskFull": ({f"vps_disk_bytes{{{WEB}}}": "9.95e9x%"}, 20 * MINUTE),
    "VpsInodesNearlyFull": ({f"vps_disk_inodes{{{WEB}}}": "9900x%"}, 20 * MINUTE),
    "VpsStalled": ({f'vps_pressure_stalled_seconds_total{{{WEB}, resource="io"}}': "0+40x%"}, 30 * MINUTE),
    "VpsCpuThrottled": ({f"vps_cpu_throttled_periods_total{{{WEB}}}": "0+590x%"}, 2 * HOUR),
    "VpsTrafficSpike": ({f"vps_network_transmit_bytes_total{{{WEB}}}": "0+6e5x600 6e8+6e8x%"}, 10 * HOUR + 30 * MINUTE),
    "VpsPacketFlood": ({f"vps_network_transmit_packets_total{{{WEB}}}": "0+6e6x%"}, 10 * MINUTE),
    "VpsBackupOld": ({f"vps_backup_newest_timestamp_seconds{{{WEB}}}": f"-{3 * DAY}x%"}, 2 * HOUR),
    "VpsUnfinished": ({f"vps_unfinished{{{WEB}}}": "1x%"}, 2 * HOUR),
    "VpsInRescue": ({f"vps_rescue{{{WEB}}}": "1x%"}, 25 * HOUR),
}
# What of this is no reason to tell anybody.
FINE = {
    "a VPS that is frozen, as somebody wanted": ({f"vps_running{{{WEB}}}": "0x%", f"vps_frozen{{{WEB}}}": "1x%"}, HOUR),
    "a VPS that is stopped, and need not start with the node": ({f"vps_running{{{WEB}}}": "0x%", f"vps_onboot{{{WEB}}}": "0x%"}, HOUR),
    "a restart, at which the counters begin anew": (
        {f"vps_memory_oom_kills_total{{{WEB}}}": "7x5 0x%", f"vps_processes_refused_total{{{WEB}}}": "3x5 0x%"}, 10 * MINUTE,
    ),
    "figures that are as old as somebody wants them": (
        {f'node_textfile_mtime_seconds{{{OWN}, file="/a/vps.prom"}}': "0x%", f"vps_metrics_interval_seconds{{{OWN}}}": "3600x%"}, HOUR,
    ),
    "a reboot of two minutes": ({f"vps_running{{{WEB}}}": "1x5 0x2 1x%"}, 10 * MINUTE),
    "a VPS without limits": ({f"vps_{name}{{{WEB}}}": "" for name in ("memory_limit_bytes", "disk_limit_bytes", "disk_inodes_limit")}, HOUR),
    "a node that goes on slowly to be full": ({f"vps_node_pool_free_bytes{{{OWN}}}": "45e9-1e6x%"}, 3 * HOUR),
    "a page that is a bit more popular": ({f"vps_network_transmit_bytes_total{{{WEB}}}": "0+6e8x600 3.6e11+18e8x%"}, 10 * HOUR + 30 * MINUTE),
}


def case(otherwise: dict[str, str | None], moment: int, expected: str | None) -> dict:
    """One test of promtool's: what fires at a moment."""
    count = moment // STEP
    series = {**HEALTHY, **{name: values if values is not None else "1x10 _x%" for name, values in otherwise.items()}}
    assert set(otherwise) <= set(HEALTHY), "the name of a series is not one that there is"
    return {
        "interval": f"{STEP}s",
        "input_series": [{"series": name, "values": values.replace("%", str(count))} for name, values in series.items() if values],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{moment}s",
                "exp_samples": [] if expected is None else [{"labels": f'{{alertname="{expected}"}}', "value": 1}],
            }
        ],
    }


def passes(folder: pathlib.Path, *tests: dict) -> None:
    """Have promtool try them."""
    file = folder / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(conftest.RULES)], "evaluation_interval": f"{STEP}s", "tests": list(tests)}), encoding="utf-8")
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules():
    done = subprocess.run(["promtool", "check", "rules", "--lint-fatal", str(conftest.RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_and_says_what_to_do():
    rules = [rule for group in yaml.safe_load(conftest.RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    assert {rule["alert"] for rule in rules} == set(WRONG)
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule["alert"]
        assert rule["annotations"]["description"].endswith(".") and "$labels.instance" in rule["annotations"]["summary"], rule["alert"]


@pytest.mark.parametrize("moment", [MINUTE, 15 * MINUTE, HOUR, 26 * HOUR])
def test_on_a_healthy_node_nothing_is_told(tmp_path, moment):
    passes(tmp_path, case({}, moment, None))


@pytest.mark.parametrize("alert", WRONG)
def test_what_is_wrong_is_told_and_nothing_else(tmp_path, alert):
    otherwise, moment = WRONG[alert]
    passes(tmp_path, case(otherwise, moment, alert), case(otherwise, 0, None))


@pytest.mark.parametrize("what", FINE)
def test_nobody_is_woken_up_for(tmp_path, what):
    otherwise, moment = FINE[what]
    passes(tmp_path, case(otherwise, moment, None))


def test_what_is_told_names_the_vps_and_the_node(tmp_path):
    otherwise, moment = WRONG["VpsDown"]
    told = case(otherwise, moment, "VpsDown")
    told["alert_rule_test"] = [
        {
            "alertname": "VpsDown",
            "eval_time": f"{moment}s",
            "exp_alerts": [
                {
                    "exp_labels": {"severity": "critical", "instance": "n", "job": "node", "vps": "web"},
                    "exp_annotations": {
                        "summary": "VPS web on node n does not run",
                        "description": "It is to start with the node (onboot). `journalctl -u vps@web` says why it has ended; vps_container starts it.",
                    },
                }
            ],
        }
    ]
    passes(tmp_path, told)
