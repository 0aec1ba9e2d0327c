# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each thing that a module does costs, as a ratio to Ansible's own ping module in the same run.

Run as root on a node with a template `minimal`, `make benchmark`. Whole processes are timed, as Ansible starts them:
interpreter, imports, work. Absolute times are this machine's; compare ratios. Makes and removes a VPS named `benchmark`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

ROUNDS = 9
VPS = "ansible_collections.mainline.vps.plugins.modules."
NAME = "benchmark"


def module(module_name: str, **params: object) -> float:
    """Seconds that one run of a module takes; a failure ends the benchmark."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", module_name],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": params}),
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"{module_name} {params}: {done.stdout}{done.stderr}")
    return took


def main() -> None:
    """Measure in turn, so that a machine that gets slower gets slower for all."""
    container = f"{VPS}vps_container"
    steps = {
        "ping (ansible.builtin)": lambda turn: module("ansible.modules.ping"),
        "create, start, booted": lambda turn: module(container, name=NAME, template="minimal", limits={"memory": "64M"}, wait="booted"),
        "unchanged": lambda turn: module(container, name=NAME, template="minimal", limits={"memory": "64M"}),
        "unchanged, booted": lambda turn: module(container, name=NAME, template="minimal", wait="booted"),
        "one limit, live": lambda turn: module(f"{VPS}vps_limits", name=NAME, memory=f"{65 + turn}M"),
        "stop, remove": lambda turn: module(container, name=NAME, state="absent"),
    }
    times: dict[str, list[float]] = {step: [] for step in steps}
    for turn in range(ROUNDS):
        for step, run in steps.items():
            times[step].append(run(turn))
    least = statistics.median(times["ping (ansible.builtin)"])
    print(f"{'median of ' + str(ROUNDS):24} {'seconds':>8} {'× ping':>7}")
    for step, taken in times.items():
        print(f"{step:24} {statistics.median(taken):8.3f} {statistics.median(taken) / least:7.2f}")


if __name__ == "__main__":
    main()
