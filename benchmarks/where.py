# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of a playbook with one task goes: what Ansible takes for any task, what its code takes on the way, and what is read.

Run as root on a node with a template `minimal`, `make benchmark`. Processor time counts the controller's and the node's processes, which are one machine
here, and but for that of VPSs; it is the better measure where the machine has other work. Rows take turns. Makes and removes VPSs named `benchmark-NUMBER`.
Goals: one unchanged VPS in 1.3 times a ping; a hundred in 1.5 times an empty play.
"""

from __future__ import annotations

import collections
import pathlib
import re
import resource
import shutil
import statistics
import sys
import tempfile

from kit import machine, playing

ROUNDS, MANY = 7, 100
KEPT = pathlib.Path("/run/vps.code")  # what loading.py keeps
PING: list[dict] = [{"ansible.builtin.ping": {}}]
WRAPPER = f"#!/bin/sh\nexec {playing.INTERPRETER} -X importtime \"$@\" 2>>'{{}}'\n"


def fleet(count: int, **defaults: object) -> list[dict]:
    """One task for so many VPSs."""
    common = {"template": "minimal", "stop_timeout": 0, **defaults}
    return [{"mainline.vps.vps_fleet": {"vps": [{"name": f"benchmark-{number}"} for number in range(count)], "defaults": common}}]


ONE: list[dict] = [{"mainline.vps.vps_container": {"name": "benchmark-0"}}]
ROWS = {
    "an empty play": [], "ansible.builtin.ping": PING, "vps_container, its code brought": ONE, "vps_container, its code kept": ONE,
    f"vps_fleet of {MANY}": fleet(MANY),
}


def used() -> float:
    """Seconds of processor time of all that has run for us and has ended."""
    all_ = resource.getrusage(resource.RUSAGE_CHILDREN)
    return all_.ru_utime + all_.ru_stime


def imports(stage: playing.Stage) -> dict[str, float]:
    """Milliseconds that the node's Python takes to load what an unchanged task loads, by whose it is."""
    log, wrapper = stage.folder / "imports", stage.folder / "python"
    wrapper.write_text(WRAPPER.format(log), encoding="utf-8")
    wrapper.chmod(0o755)
    stage.play([{**ONE[0], "vars": {"ansible_python_interpreter": str(wrapper)}}])
    found: dict[str, float] = collections.Counter()
    for own, name in re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", log.read_text(encoding="utf-8")):
        whose = "this collection's" if name.startswith("ansible_collections.mainline") else "Ansible's" if name.startswith("ansible") else "Python's"
        found[whose] += int(own) / 1000
    log.unlink()
    return found


def main() -> None:
    """Measure, and show."""
    walls: dict[str, list[float]] = {row: [] for row in ROWS}
    cpus: dict[str, list[float]] = {row: [] for row in ROWS}
    with machine.orderly(), tempfile.TemporaryDirectory() as name:
        stage = playing.Stage(pathlib.Path(name))
        try:
            stage.play(fleet(MANY, limits={"memory": "64M"}))
            for _round in range(ROUNDS):
                for row, tasks in ROWS.items():
                    if "brought" in row:
                        for archive in KEPT.glob("vps_container-*.zip"):
                            archive.unlink()
                    before = used()
                    walls[row].append(stage.play(tasks).seconds)
                    cpus[row].append(used() - before)
            loaded = imports(stage)
        finally:
            stage.play(fleet(MANY, state="absent"))
            shutil.rmtree(stage.folder, ignore_errors=True)
    print(f"{f'a playbook, median of {ROUNDS}':36} {'wall s':>8} {'× empty':>8} {'× ping':>8} {'CPU s':>8} {'× empty':>8} {'× ping':>8}")
    for row in ROWS:
        print(f"{row:36}", *(f"{number:8.2f}" for taken in (walls, cpus) for number in numbers(taken, row)))
    print("\nOf the node's Python, ms to load what an unchanged VPS needs:", ", ".join(f"{whose} {taken:.0f}" for whose, taken in loaded.items()))


def numbers(taken: dict[str, list[float]], row: str) -> list[float]:
    """The median of a row, and of its ratios to the first two in the same round."""
    ratios = [[own / other for own, other in zip(taken[row], taken[base])] for base in list(ROWS)[:2]]
    return [statistics.median(values) for values in (taken[row], *ratios)]


if __name__ == "__main__":
    sys.exit(main())
