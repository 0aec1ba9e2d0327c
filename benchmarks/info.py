# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What reading all VPSs of a node costs: seconds of CPU that one run of vps_info takes, `all` of them less those of Ansible's ping module in the same round.

Run as root on a node with a template `minimal`. CPU and not time, because that is what a run takes from VPSs, and what a busy machine does not change; the
programs that a run starts are counted, the kernel's work for it too. Beside the CPU there are the seconds of the whole process, and what it prints,
which Ansible sends back.
`read` is what the collection's own reading takes of it; the rest is loading the code, and what Ansible does to print the result.
Makes and removes VPSs named `benchmark-info-NUMBER`. Goal: 500 VPSs in well under a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

PREFIX = "benchmark-info-"
VPS = "ansible_collections.mainline.vps.plugins.modules."
PING = "ansible.modules.ping"
FEW = 100  # VPSs of one task that makes or removes some: a task on more tells more than we want to hear
LABELS = ("web", "db", "cache", "mail")
ASKED: dict[str, dict] = {
    "everything": {},
    "fields: usage": {"fields": ["usage"]},
    "fields: limits, disk_used, uptime": {"fields": ["limits", "disk_used", "uptime"]},
    "fields: state, addresses": {"fields": ["state", "addresses"]},
    "above: diskspace 80": {"above": {"diskspace": 80}},
    "above: memory 90": {"above": {"memory": 90}},
    "labels: tier web": {"labels": {"tier": "web"}},
    "one by its name": {"name": f"{PREFIX}0000"},
    "none": {"name": "-"},
}


# A module that says on its standard error what CPU time its reading took, with that of the programs that it started.
TIMED = """
import importlib, resource, sys
from ansible_collections.mainline.vps.plugins.module_utils import subjects
read = subjects.read_info
def cpu():
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
def timed(node, params):
    before = cpu()
    try:
        return read(node, params)
    finally:
        print(cpu() - before, file=sys.stderr)
subjects.read_info = timed
importlib.import_module(sys.argv.pop()).main()
"""


class Cost(NamedTuple):
    """Of one process: seconds of CPU, those of them that reading took, seconds, bytes printed."""

    cpu: float
    read: float
    seconds: float
    size: int


def run(module: str, **params: object) -> Cost:
    """One run of a module, as Ansible starts it; a failure ends the benchmark."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        timed = module == f"{VPS}vps_info"
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *(["-c", TIMED, module] if timed else ["-m", module])], stdin=subprocess.PIPE, stdout=output, stderr=errors)
        assert process.stdin
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": params}).encode())
        process.stdin.close()
        _pid, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            sys.exit(f"{module}: {output.read().decode()[-4000:]}")
        errors.seek(0)
        return Cost(used.ru_utime + used.ru_stime, float(errors.read()) if timed else 0.0, seconds, output.seek(0, os.SEEK_END))


def fleet(numbers: range, **defaults: object) -> None:
    """Have these VPSs be so."""
    for first in range(numbers.start, numbers.stop, FEW):
        some = range(first, min(first + FEW, numbers.stop))
        vpss = [{"name": f"{PREFIX}{number:04d}", "labels": {"tier": LABELS[number % len(LABELS)]}} for number in some]
        run(f"{VPS}vps_fleet", vps=vpss, defaults={"template": "minimal", "stop_timeout": 0, "limits": {"memory": "64M", "processes": "50"}, **defaults})


def measured(rounds: int) -> dict[str, list[tuple[Cost, Cost]]]:
    """Each, with a ping of the same round."""
    found: dict[str, list[tuple[Cost, Cost]]] = {title: [] for title in ASKED}
    for _round in range(rounds):
        for title, params in ASKED.items():
            ping = run(PING)
            found[title].append((run(f"{VPS}vps_info", **params), ping))
    return found


def show(title: str, found: dict[str, list[tuple[Cost, Cost]]], count: int) -> None:
    """A table of the medians."""
    print(f"{title:36} {'read, CPU s':>11} {'ms per VPS':>10} {'all, CPU s':>10} {'s':>7} {'× ping':>7} {'KiB':>6}")
    for asked, costs in found.items():
        read = statistics.median(cost.read for cost, _ping in costs)
        whole = statistics.median(cost.cpu - ping.cpu for cost, ping in costs)
        seconds = statistics.median(cost.seconds for cost, _ping in costs)
        ratio = statistics.median(cost.seconds / ping.seconds for cost, ping in costs)
        print(f"  {asked:34} {read:11.3f} {read / count * 1000:10.2f} {whole:10.3f} {seconds:7.2f} {ratio:7.1f} {costs[0][0].size / 1024:6.0f}")
    print(flush=True)


def main() -> None:
    """More and more VPSs, all stopped; then all of them running, and fewer and fewer."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("counts", type=int, nargs="*", default=[10, 100], help="numbers of VPSs (10 100)")
    options.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    options.add_argument("--storage", help="what their disks are on; the pool's own where not given")
    given = options.parse_args()
    counts = sorted(set(given.counts))
    storage = {"storage": given.storage} if given.storage else {}
    try:
        for before, count in zip([0, *counts], counts):
            fleet(range(before, count), state="stopped", **storage)
            show(f"{count} VPSs, stopped", measured(given.rounds), count)
        fleet(range(counts[-1]), state="started")
        for more, count in zip([counts[-1], *reversed(counts)], reversed(counts)):
            fleet(range(count, more), state="absent")
            show(f"{count} VPSs, running", measured(given.rounds), count)
    finally:
        fleet(range(counts[-1]), state="absent")


if __name__ == "__main__":
    main()
