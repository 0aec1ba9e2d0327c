# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that tells of itself, its exporter, and a Prometheus that asks it, all on loopback."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import vps_kit as kit
import yaml

kit.PREFIX = "it-metrics-"
ROLE = kit.collections_folder() / "ansible_collections/mainline/vps/roles/metrics"
RULES, DASHBOARD = ROLE / "files/vps-rules.yml", ROLE / "files/vps-dashboard.json"
PROGRAM = "/usr/local/lib/mainline-vps/metrics"
MARK = pathlib.Path("/var/lib/mainline-vps-metrics/installed")
RUNS, DOWN = "it-metrics-runs", "it-metrics-down"


def role(folder: pathlib.Path, *options: str, **variables) -> str:
    """Run the role; what Ansible printed."""
    given = {f"metrics_{key}": value for key, value in variables.items()}
    return kit.play(folder, [{"name": "Role", "ansible.builtin.include_role": {"name": "mainline.vps.metrics"}, "vars": given}], *options)


@pytest.fixture(scope="session", autouse=True)
def nothing_told(clean_node):
    """No run of these tests leaves anything of it."""
    kit.ok("vps_metrics", state="absent")
    yield
    kit.ok("vps_metrics", state="absent")


@pytest.fixture(scope="session")
def exporter(tmp_path_factory) -> Iterator[None]:
    """node_exporter, as the role installs it."""
    folder = tmp_path_factory.mktemp("role")
    role(folder)
    yield
    role(folder, state="absent")


@dataclass(frozen=True)
class Site:
    """What a test asks: the file that the node writes, the exporter, Prometheus."""

    file: pathlib.Path
    exporter: str
    prometheus: str

    def run(self, *wrap: str) -> subprocess.CompletedProcess:
        """Have the node tell, now."""
        return subprocess.run([*wrap, PROGRAM], capture_output=True, text=True, check=False, timeout=120)

    def api(self, path: str, **parameters: str) -> dict:
        """What Prometheus answers; an error of it is told."""
        try:
            with urllib.request.urlopen(f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None

    def ask(self, query: str) -> list[dict]:
        """What a query returns."""
        return self.api("query", query=query)["result"]

    def number(self, query: str) -> float | None:
        """The one number that it returns; None where there is none."""
        found = self.ask(query)
        assert len(found) < 2, f"{query}: {found}"
        return float(found[0]["value"][1]) if found else None


@pytest.fixture(scope="module")
def site(exporter, minimal, tmp_path_factory) -> Iterator[Site]:
    """A VPS that runs, one that does not and should, and who asks for them. Ports are free ones of loopback."""
    folder = tmp_path_factory.mktemp("site")
    file = folder / "text" / "vps.prom"
    file.parent.mkdir(mode=0o755)
    kit.container(RUNS, template=minimal, limits={"memory": "32M", "processes": 20, "cpulimit": 50, "diskspace": "1G"}, labels={"tier": "gold"})
    kit.container(DOWN, template=minimal, state="stopped", onboot=True)
    kit.ok("vps_metrics", file=str(file), labels=["tier"])
    ports = [free_port() for _number in range(2)]
    exporter_, prometheus = (f"http://127.0.0.1:{port}" for port in ports)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{ports[0]}"]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    with contextlib.ExitStack() as running:
        for command in (
            ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{ports[0]}", f"--collector.textfile.directory={file.parent}"],
            [
                "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{ports[1]}",
            ],
        ):
            log = running.enter_context(open(folder / f"{command[0]}.log", "wb"))
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            running.callback(process.wait)
            running.callback(process.terminate)
        here = Site(file, exporter_, prometheus)
        kit.until("Prometheus has asked", lambda: answers(prometheus) and here.number("vps_node_usable") == 1, seconds=120)
        yield here
    kit.ok("vps_metrics", state="absent")


def expression(alert: str) -> str:
    """What an alert asks."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return next(rule["expr"] for group in groups for rule in group["rules"] if rule["alert"] == alert)


def free_port() -> int:
    """A port of loopback at which nobody answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def answers(url: str) -> bool:
    """Whether Prometheus does."""
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=10):
            return True
    except OSError:
        return False
