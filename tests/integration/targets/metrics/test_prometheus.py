# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus asks a real node_exporter of this node: what they say is what vps_info says, and what is asked of them gets answers."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request
from datetime import datetime

import conftest
import pytest
import vps_kit as kit
from conftest import DOWN, PROGRAM, RUNS

OF = f'{{vps="{RUNS}"}}'
# What has no data on a machine where nothing of it is: its kernel tracks no connections, or nobody has limited that.
MAY_BE_EMPTY = ("node_nf_conntrack", "vps_node_overcommit_ratio", "vps_swap", "vps_memory_high_bytes", "node_pressure", "vps_pressure")


def metrics(site) -> str:
    """What the exporter answers."""
    with urllib.request.urlopen(f"{site.exporter}/metrics", timeout=30) as answer:
        return answer.read().decode()


def fresh(site, query: str, wanted, what: str):
    """Have the node tell, and wait until Prometheus has asked for that."""
    assert site.run().returncode == 0
    return kit.until(what, lambda: (found := site.number(query)) is not None and wanted(found) and (found,), seconds=60)[0]


def test_the_file_is_as_prometheus_wants_it(site):
    text = site.file.read_text(encoding="utf-8")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert site.file.stat().st_mode & 0o777 == 0o644


def test_no_secret_is_in_it(site):
    kit.container(RUNS, root_password_hash="$6$saltsalt$" + "a" * 86, authorized_keys=["ssh-ed25519 " + "A" * 68], description="do not tell")
    assert site.run().returncode == 0
    text = site.file.read_text(encoding="utf-8")
    assert RUNS in text
    assert not [word for word in ("saltsalt", "ssh-ed25519", "do not tell") if word in text]


def test_the_exporter_tells_all_of_it(site):
    assert site.run().returncode == 0
    told = metrics(site)
    ours, theirs = samples(site.file.read_text(encoding="utf-8")), samples(told)
    assert len(ours) > 50 and ours <= theirs, ours - theirs
    assert re.search(r"^node_textfile_scrape_error 0$", told, re.MULTILINE)


def samples(text: str) -> set[tuple[str, tuple[str, ...], float]]:
    """(metric, its labels, number) of each line: the exporter sorts labels, and writes numbers in its own way."""
    found = set()
    for line in text.splitlines():
        if line.startswith("vps_"):
            series, _space, number = line.rpartition(" ")
            found.add((series.partition("{")[0], tuple(sorted(re.findall(r'\w+="(?:[^"\\]|\\.)*"', series))), float(number)))
    return found


def test_no_program_is_run_for_each_vps(site, tmp_path):
    """LXC's monitors are asked themselves: once a minute a program for each of many would be the most of all that this costs."""
    mark, stub = tmp_path / "was-run", tmp_path / "lxc-info"
    stub.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n", encoding="utf-8")
    stub.chmod(0o755)
    done = site.run("unshare", "--mount", "sh", "-ec", 'mount --bind "$1" /usr/bin/lxc-info; shift; exec "$@"', "sh", str(stub))
    assert done.returncode == 0, done.stderr
    assert not mark.exists()
    told = {(name, labels): number for name, labels, number in samples(site.file.read_text(encoding="utf-8"))}
    assert [told["vps_running", (f'vps="{name}"',)] for name in (RUNS, DOWN)] == [1, 0]


def test_it_is_what_vps_info_says(site):
    assert site.run().returncode == 0
    vps = kit.ok("vps_info", name=RUNS)["vpss"][0]
    rows = {row["resource"]: row for row in vps["usage"]["rows"]}
    for name, value in (
        ("vps_running", 1),
        ("vps_memory_limit_bytes", 32 << 20),
        ("vps_processes_limit", 20),
        ("vps_cpu_limit_cores", 0.5),
        ("vps_disk_limit_bytes", 1 << 30),
    ):
        assert kit.until(name, lambda name=name, value=value: site.number(name + OF) == value, seconds=60)
    for name, row in (("vps_disk_bytes", "diskspace"), ("vps_processes", "processes")):
        assert site.number(name + OF) == rows[row]["held"], name
    for resource in ("numproc", "physpages"):
        for column, key in (("barrier", "barrier"), ("limit", "limit")):
            assert site.number(f'vps_beancounter_{column}{{vps="{RUNS}", resource="{resource}"}}') == rows[resource][key]
    assert site.number(f'vps_running{{vps="{DOWN}"}}') == 0 and site.number(f'vps_onboot{{vps="{DOWN}"}}') == 1
    assert site.number("vps_node_pool_size_bytes") == kit.ok("vps_info", name=RUNS)["node"]["pool_size"]


def test_figures_can_be_summed_by_template_and_label(site):
    query = 'sum by (template, label_tier) (vps_memory_limit_bytes * on (instance, vps) group_left (template, label_tier) vps_info{label_tier="gold"})'
    found = kit.until("it is told", lambda: site.ask(query), seconds=60)
    assert [(one["metric"], one["value"][1]) for one in found] == [({"template": "it-minimal", "label_tier": "gold"}, str(32 << 20))]


def test_what_is_refused_to_a_guest_is_counted(site):
    before = fresh(site, f"vps_processes_refused_total{OF}", lambda _found: True, "it is told")
    kit.shell(RUNS, "for n in $(seq 40); do sleep 20 & done; wait", check=False, timeout=60)
    assert fresh(site, f"vps_processes_refused_total{OF}", lambda found: found > before, "more forks were refused") > before


def test_the_newest_backup_is_told(site, tmp_path):
    told = kit.ok("vps_backup", name=RUNS, repository=str(tmp_path / "repository"), password="correct horse battery")
    made = datetime.fromisoformat(told["backup"]["time"]).timestamp()
    fresh(site, f"vps_backup_newest_timestamp_seconds{OF}", lambda found: found == made, "the time of that backup")
    assert site.ask(f"vps_backup_newest_timestamp_seconds{OF.replace(RUNS, DOWN)}") == []


def test_a_snapshot_is_counted(site):
    kit.ok("vps_snapshot", vps=RUNS, name="one")
    fresh(site, f"vps_snapshots{OF}", lambda found: found == 1, "one snapshot")
    fresh(site, f"time() - vps_snapshot_newest_timestamp_seconds{OF}", lambda found: 0 <= found < 600, "made a moment ago")


def test_a_guest_writes_nothing_into_it(site):
    """By cgroups of its own, whose names alone of all that is its own are met (the kernel takes no line break in them); nor does it make a series."""

    def series() -> set[str]:
        assert site.run().returncode == 0
        return {line.rpartition(" ")[0] for line in site.file.read_text(encoding="utf-8").splitlines() if RUNS in line}

    before = series()
    script = """
    mount -t tmpfs none /mnt; cd /mnt; mkdir -p a
    mount -t cgroup -o pids none a || mount -t cgroup2 none a || exit 1
    mkdir 'a/x"} 1 vps_evil{y="' a/1 a/2 a/3
    """
    made = kit.shell(RUNS, script, check=False)
    assert made.returncode == 0, made.stderr
    assert series() == before
    text = site.file.read_text(encoding="utf-8")
    assert "evil" not in text
    assert subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False).returncode == 0


def test_cpu_time_and_traffic_rise(site):
    names = ("vps_cpu_seconds_total", "vps_network_transmit_packets_total")
    before = {name: fresh(site, name + OF, lambda _found: True, "it is told") for name in names}
    kit.shell(RUNS, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; ping -c 3 -W 1 169.254.1.1", check=False, timeout=60)
    for name in names:
        fresh(site, name + OF, lambda found, name=name: found > before[name], name)


def test_what_it_gets_is_told_as_received_and_not_as_sent(site):
    """A port at which nobody listens: much comes, and of each a few bytes go back, if any do."""
    names = [f"vps_network_{which}_bytes_total{OF}" for which in ("receive", "transmit")]
    kit.container(RUNS, addresses=[kit.address(7)])
    assert site.run().returncode == 0
    before = told_of(site, names)

    def comes() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            for _time in range(50):
                sending.sendto(bytes(1400), (kit.address(7), 9))
        return site.run().returncode == 0 and told_of(site, names)[0] - before[0] >= 100 * 1400

    kit.until("much has come", comes, seconds=60)
    received, sent = (now - then for now, then in zip(told_of(site, names), before))
    assert received > 2 * sent


def told_of(site, names: list[str]) -> list[float]:
    """What the file says of some series."""
    lines = dict(line.rsplit(" ", 1) for line in site.file.read_text(encoding="utf-8").splitlines() if line[0] != "#")
    return [float(lines[name]) for name in names]


def test_prometheus_takes_each_rule_and_finds_what_is_wrong(site):
    """All but VpsDown are quiet here for certain, or not for a test to know; none is in error."""
    assert site.run().returncode == 0

    def pending() -> bool:
        rules = [rule for group in site.api("rules")["groups"] for rule in group["rules"]]
        assert all(rule["health"] in ("ok", "unknown") for rule in rules), rules
        down = next(rule for rule in rules if rule["name"] == "VpsDown")
        return {alert["labels"]["vps"] for alert in down["alerts"]} >= {DOWN} and all(rule["health"] == "ok" for rule in rules)

    kit.until("VpsDown waits for its five minutes", pending, seconds=60)
    rules = [rule for group in site.api("rules")["groups"] for rule in group["rules"] if rule["name"] == "VpsDown"]
    assert RUNS not in {alert["labels"]["vps"] for alert in rules[0]["alerts"]}


def test_figures_that_are_old_are_told_as_old(site):
    rule = conftest.expression("VpsMetricsStale")
    assert site.run().returncode == 0
    os.utime(site.file, (time.time() - 1000,) * 2)
    kit.until("it is told", lambda: site.ask(rule), seconds=60)
    assert site.run().returncode == 0
    kit.until("it is fresh again", lambda: not site.ask(rule), seconds=60)


def test_a_vps_whose_record_is_damaged_is_counted_and_hides_no_other(site):
    record = kit.pool() / "vps" / DOWN / "vps.json"
    whole = record.read_text(encoding="utf-8")
    before = fresh(site, "vps_node_unreadable_records", lambda _found: True, "it is told")
    try:
        record.write_text("{", encoding="utf-8")
        fresh(site, "vps_node_unreadable_records", lambda found: found > before, "it is counted")
        assert f'vps_running{{vps="{RUNS}"}} 1' in site.file.read_text(encoding="utf-8")
        assert DOWN not in site.file.read_text(encoding="utf-8")
    finally:
        record.write_text(whole, encoding="utf-8")


def test_a_packet_filter_that_is_gone_is_told(site):
    """In a network namespace of its own the program sees a kernel without our table."""
    assert site.run("unshare", "--net").returncode == 0
    assert "vps_node_packet_filter_in_force 0\n" in site.file.read_text(encoding="utf-8")
    assert site.run().returncode == 0
    assert "vps_node_packet_filter_in_force 1\n" in site.file.read_text(encoding="utf-8")


def test_an_lxcfs_that_is_gone_is_told(site):
    """Behind a mount of its own the program sees nothing of it."""
    assert site.run("unshare", "--mount", "--propagation", "private", "sh", "-c", f"umount --lazy /var/lib/lxcfs && exec {PROGRAM}").returncode == 0
    assert "vps_node_lxcfs_running 0\n" in site.file.read_text(encoding="utf-8")
    assert site.run().returncode == 0
    assert "vps_node_lxcfs_running 1\n" in site.file.read_text(encoding="utf-8")


def test_a_pool_that_is_not_mounted_is_told_and_nothing_old_with_it(site):
    script = f"mount -t tmpfs none {kit.pool()} && exec {PROGRAM}"
    done = site.run("unshare", "--mount", "--propagation", "private", "sh", "-c", script)
    assert done.returncode == 1 and done.stderr == f"vps-metrics: pool: {kit.pool()} is not mounted; mount it, or run the role mainline.vps.node.\n"
    assert re.sub("#.*\n", "", site.file.read_text(encoding="utf-8")) == "vps_metrics_interval_seconds 60\nvps_node_usable 0\n"
    assert site.run().returncode == 0


def test_whoever_reads_the_file_while_it_is_written_has_all_of_it(site):
    """Killed at any moment too."""
    whole = re.compile(r"\A# HELP vps_metrics_interval_seconds .*^vps_metrics_duration_seconds \S+\n\Z", re.DOTALL | re.MULTILINE)
    for delay in range(kit.kills(8)):
        process = subprocess.Popen([PROGRAM], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 0.1 + delay / 20
        while time.monotonic() < deadline:
            assert whole.match(site.file.read_text(encoding="utf-8"))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert whole.match(site.file.read_text(encoding="utf-8"))
    assert site.run().returncode == 0
    assert sorted(path.name for path in site.file.parent.iterdir()) == ["vps.prom"]


# -- the dashboard ------------------------------------------------------------------------------------------------------------


def dashboard() -> dict:
    return json.loads(conftest.DASHBOARD.read_text(encoding="utf-8"))


def expressions() -> list[tuple[str, str]]:
    """(panel, expression) of all panels."""
    return [(panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel.get("targets", ())]


def filled(text: str) -> str:
    """With what Grafana puts in the place of its variables."""
    return text.replace("$__rate_interval", "1m").replace("$node", ".*").replace("$vps", RUNS)


@pytest.mark.parametrize("panel", sorted({title for title, _expression in expressions()}))
def test_a_panel_has_something_to_show(site, panel):
    for title, expression in expressions():
        if title == panel:
            assert "$" not in filled(expression), expression
            if any(name in expression for name in MAY_BE_EMPTY):
                site.ask(filled(expression))  # Prometheus takes it
                continue
            kit.until(f"{panel}: {expression}", lambda expression=expression: site.ask(filled(expression)), seconds=60)


def test_the_variables_of_the_dashboard_find_the_nodes_and_their_vpss(site):
    variables = {one["name"]: one for one in dashboard()["templating"]["list"]}
    assert set(variables) == {"datasource", "node", "vps"} and variables["datasource"]["type"] == "datasource"
    for name, expected in (("node", None), ("vps", RUNS)):
        metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variables[name]["query"]["query"]).groups()
        found = {one["metric"][label] for one in site.ask(filled(metric))}
        assert found and (expected is None or expected in found)


def test_the_dashboard_is_one_that_grafana_reads():
    """By what Grafana's own documentation of the JSON model says; Grafana itself is not in Debian."""
    board = dashboard()
    assert board["schemaVersion"] >= 36 and board["uid"] and board["title"] and "id" not in board
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["type"] in ("row", "stat", "timeseries", "table", "bargauge")
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert max(x for x, _y in cells) < 24 and not cells & taken, panel["title"]
        taken |= cells
        letters = [target["refId"] for target in panel.get("targets", ())]
        assert len(letters) == len(set(letters))
        assert all(target["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for target in panel.get("targets", ()))


def test_the_texts_of_the_role_are_where_the_documentation_says():
    page = (conftest.ROLE.parents[1] / "docs/metrics.md").read_text(encoding="utf-8")
    for file in (conftest.RULES, conftest.DASHBOARD):
        assert str(pathlib.Path("roles/metrics/files") / file.name) in page
