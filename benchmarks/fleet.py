# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one task for all VPSs costs: unchanged, beside a play without tasks; made and started, beside a shell that does nothing else.

Run as root on a node with a template `minimal` on btrfs. The shell is the floor: `btrfs subvolume snapshot`, and then `lxc-start` of the very same VPSs, as
many at once as there are cores; and the bare floor is the same of containers without limits, ids and network of their own. All take turns, so that a
machine that gets slower gets slower for all; compare ratios. Makes and removes VPSs named `benchmark-NUMBER`.
Goals: 100 unchanged VPSs in 1.5 times an empty play; made and started in 1.3 times the floor.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from tasks import seconds as play

TEMPLATE, PREFIX = "minimal", "benchmark"
FLEET = "mainline.vps.vps_fleet"
# One VPS of the floor: its root file system, a configuration that LXC starts, the start.
ONE = """
set -e
btrfs -q subvolume snapshot "$SOURCE" "$FOLDER/$1"
mkdir "$FOLDER/c/$1"
printf '%s\\n' "lxc.rootfs.path = dir:$FOLDER/$1" "lxc.uts.name = $1" 'lxc.include = /usr/share/lxc/config/common.conf' \
    'lxc.init.cmd = /sbin/init' 'lxc.net.0.type = veth' >"$FOLDER/c/$1/config"
lxc-start -P "$FOLDER/c" -n "$1" -d
"""


def names(count: int) -> list[str]:
    """Of the VPSs of the benchmark."""
    return [f"{PREFIX}-{number:04d}" for number in range(count)]


def task(count: int, **defaults: object) -> list[dict]:
    """A play's only task."""
    common = {"template": TEMPLATE, "limits": {"memory": "64M"}, "stop_timeout": 0, **defaults}
    return [{FLEET: {"vps": [{"name": name} for name in names(count)], "defaults": common}}]


def side_by_side(script: str, words: list[str], environment: dict[str, str]) -> float:
    """Seconds that a shell takes to run a script for each word, as many at once as there are cores."""
    command = ["xargs", "-P", str(os.cpu_count()), "-I{}", "sh", "-c", script, "sh", "{}"]
    started = time.perf_counter()
    subprocess.run(command, input="\n".join(words), text=True, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def floor(count: int, pool: pathlib.Path) -> float:
    """Seconds for as many copies of the template, and for starting as many VPSs of ours, which are there."""
    folder = pool / "benchmark"
    clear(folder)
    folder.mkdir()
    environment = {"SOURCE": str(pool / "templates" / TEMPLATE / "rootfs"), "FOLDER": str(folder)}
    try:
        copied = side_by_side('btrfs -q subvolume snapshot "$SOURCE" "$FOLDER/$1"', names(count), environment)
        return copied + side_by_side('lxc-start -n "$1" -d', names(count), {})
    finally:
        clear(folder)


def bare(count: int, pool: pathlib.Path) -> float:
    """Seconds for as many containers that are nothing but that."""
    folder = pool / "benchmark"
    clear(folder)  # of what a killed benchmark has left
    (folder / "c").mkdir(parents=True)
    environment = {"SOURCE": str(pool / "templates" / TEMPLATE / "rootfs"), "FOLDER": str(folder)}
    try:
        return side_by_side(ONE, [f"floor-{number:04d}" for number in range(count)], environment)
    finally:
        clear(folder)


def clear(folder: pathlib.Path) -> None:
    """Remove what the floors have made there."""
    for root in sorted(folder.glob("floor-*")):
        subprocess.run(["lxc-stop", "-k", "-P", str(folder / "c"), "-n", root.name], check=False, stderr=subprocess.DEVNULL)
    for root in sorted(path for path in (folder.iterdir() if folder.is_dir() else ()) if path.name != "c"):
        subprocess.run(["btrfs", "-q", "subvolume", "delete", str(root)], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)


def show(title: str, unit: str, rows: dict[str, list[float]], base: str) -> None:
    """A table: the median of each, and its ratio to the base of the same round."""
    print(f"{title:36} {'seconds':>8} {'× ' + unit:>14}")
    for name, taken in rows.items():
        ratios = [own / other for own, other in zip(taken, rows[base])]
        print(f"{name:36} {statistics.median(taken):8.3f} {statistics.median(ratios):7.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print()


def unchanged(counts: list[int], rounds: int, folder: pathlib.Path) -> None:
    """A task that finds nothing to do, whole playbooks."""
    rows: dict[str, list[float]] = {"an empty play": [], "ansible.builtin.ping": [], **{f"{count} unchanged": [] for count in counts}}
    play(task(max(counts)), folder)
    for _round in range(rounds):
        rows["an empty play"].append(play([], folder))
        rows["ansible.builtin.ping"].append(play([{"ansible.builtin.ping": {}}], folder))
        for count in counts:
            rows[f"{count} unchanged"].append(play(task(count), folder))
    play(task(max(counts), state="absent"), folder)
    show(f"a playbook, median of {rounds}", "an empty play", rows, "an empty play")


def made(counts: list[int], rounds: int, folder: pathlib.Path, pool: pathlib.Path) -> None:
    """VPSs that are made and started: what the task takes beside an unchanged one, for that is what each of them costs."""
    for count in counts:
        rows: dict[str, list[float]] = {"the floor": [], "bare containers": [], "made and started": [], "stopped and removed": []}
        for _round in range(rounds):
            rows["bare containers"].append(bare(count, pool))
            whole = play(task(count), folder)
            one = play(task(1), folder)  # nothing to do: what a task costs whatever it does
            rows["made and started"].append(whole - one)
            play(task(count, state="stopped"), folder)
            rows["the floor"].append(floor(count, pool))
            rows["stopped and removed"].append(play(task(count, state="absent"), folder) - one)
        show(f"{count} VPSs, median of {rounds}", "the floor", rows, "the floor")


def main() -> None:
    """Measure, and show."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--unchanged", type=int, nargs="*", default=[1, 10, 100])
    options.add_argument("--made", type=int, nargs="*", default=[20, 50])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--pool", type=pathlib.Path, default=pathlib.Path("/var/lib/vps"))
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if given.unchanged:
            unchanged(given.unchanged, given.rounds, pathlib.Path(name))
        if given.made:
            made(given.made, given.rounds, pathlib.Path(name), given.pool)


if __name__ == "__main__":
    main()
