# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task costs a playbook, as a ratio to a task that does nothing, in the same run: what a user waits for.

Run as root on a node with a template `minimal`, `make benchmark`. Each kind of task stands many times in a playbook of its own. The
first of a kind in a playbook costs more, on the controller: Ansible reads all that the module imports, and makes one archive of it. That
is told apart, so a task is what each of the others costs. Playbooks take turns, so that a machine that gets slower gets slower for all.
Makes and removes a VPS named `benchmark`. Goal: one live change of one limit in less than 1.25 times the empty task.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

TASKS, ROUNDS = 12, 7
NAME = "benchmark"
CONTAINER, LIMITS = "mainline.vps.vps_container", "mainline.vps.vps_limits"
KINDS = {
    "ping (ansible.builtin)": lambda turn: {"ansible.builtin.ping": {}},
    "unchanged": lambda turn: {CONTAINER: {"name": NAME, "limits": {"memory": "64M"}}},
    "one limit, live": lambda turn: {LIMITS: {"name": NAME, "memory": f"{65 + turn}M"}},
    "ten limits, unchanged": lambda turn: {
        LIMITS: {
            "name": NAME, "memory": "64M", "cpuunits": "2000", "cpulimit": "50", "cpuburst": "10", "processes": "100", "numfile": "900",
            "lockedpages": "16", "shmpages": "100", "iolimit": "50M", "diskspace": "100M",
        }
    },
}


def playbook(tasks: list[dict], folder: pathlib.Path) -> pathlib.Path:
    """A playbook of these tasks."""
    path = folder / "play.yml"
    path.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    return path


def seconds(tasks: list[dict], folder: pathlib.Path) -> float:
    """How long a playbook of these tasks takes; a failure ends the benchmark."""
    command = ["ansible-playbook", "-i", "localhost,", "-e", "ansible_python_interpreter=/usr/bin/python3", str(playbook(tasks, folder))]
    started = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    took = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return took


def main() -> None:
    """Measure in turn, and show."""
    first: dict[str, list[float]] = {kind: [] for kind in KINDS}
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        seconds([{CONTAINER: {"name": NAME, "template": "minimal"}}], folder)
        for _round in range(ROUNDS):
            nothing = seconds([], folder)
            for kind, task in KINDS.items():
                one = seconds([task(TASKS)], folder)  # what is measured after it starts from the same state in each round
                first[kind].append(one - nothing)
                times[kind].append((seconds([task(turn) for turn in range(TASKS + 1)], folder) - one) / TASKS)
        seconds([{CONTAINER: {"name": NAME, "state": "absent"}}], folder)
    empty = times[next(iter(KINDS))]
    print(f"{f'a task, median of {ROUNDS}':24} {'seconds':>8} {'× ping':>7} {'':18} {'the first':>10}")
    for kind, taken in times.items():
        ratios = [own / other for own, other in zip(taken, empty)]
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{kind:24} {statistics.median(taken):8.3f} {statistics.median(ratios):7.2f} {spread:18} {statistics.median(first[kind]):10.3f}")


if __name__ == "__main__":
    main()
