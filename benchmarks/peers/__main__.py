# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our modules cost beside those that others use, and beside LXC and btrfs alone: everything in one run, in turn.

Run as root on a node whose pool is btrfs, with a template `minimal`: `make benchmark-peers ARGS="10 50"`. The numbers are those of containers. Makes and
removes VPSs and containers named `benchmark-...`, a folder `benchmark-peers` in the pool, and a Docker daemon with networks of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from ..kit import machine
from ..kit.drawing import Plot, draw
from ..kit.figures import Results, curves
from ..kit.playing import Failed, Stage
from ..kit.vpss import has_fleet, own_names, remove
from . import contestants as who
from .dockerd import daemon
from .report import EMPTY, Names, report

FOLDER = "benchmark-peers"  # in the pool
SETTINGS = pathlib.Path("/etc/vps/node.json")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make benchmark-peers ARGS=...", description=str(__doc__).partition("\n")[0])
    parser.add_argument("counts", metavar="NUMBER", type=int, nargs="*", default=[10, 50], help="of containers; more than one to see how it grows (10 50)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--only", metavar="WORDS", action="append", help="contestants with these words in their names; may be given more than once")
    parser.add_argument("--template", default="minimal", help="the template of ours that all have the files of (minimal)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(".build/benchmark/peers"), help="the folder for report.md, peers.svg, data.json")
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path(".build/benchmark/debian"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if min(asked.counts) < 1 or max(asked.counts) > 900 or asked.rounds < 1:
        parser.error("numbers of containers are 1 to 900, and there is one round at least")
    return asked


@contextlib.contextmanager
def removed_at_the_end(folder: pathlib.Path) -> Iterator[None]:
    """A folder in the pool for the others' containers. What a killed run has left goes first."""
    sweep(folder)
    folder.mkdir(mode=0o711)
    (folder / "floor").mkdir(mode=0o711)
    try:
        yield
    finally:
        sweep(folder)


def sweep(folder: pathlib.Path) -> None:
    """Stop and remove all that is in it."""
    for place in (folder / "lxc", folder / "floor"):
        names = sorted(entry.name for entry in place.iterdir() if (entry / "config").exists()) if place.exists() else []
        for name in names:
            wrap = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /var/lib/lxc; exec lxc-stop -n "$1" -k', str(place), name]
            quiet(wrap if place.name == "lxc" else ["lxc-stop", "-P", str(place), "-n", name, "-k"])
            quiet(["btrfs", "subvolume", "delete", str(place / name / "rootfs")])
    shutil.rmtree(folder, ignore_errors=True)
    groups = pathlib.Path("/sys/fs/cgroup")
    for name in ("benchmark-floor", "benchmark-floor.monitor"):
        for top in [groups / name, *groups.glob(f"*/{name}")]:
            for path, _folders, _files in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)


def quiet(argv: Sequence[str]) -> None:
    """Run a program that may fail."""
    subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def left(pool: pathlib.Path) -> list[str]:
    """The VPSs that this benchmark has made."""
    return [name for name in own_names(pool, f"{who.NAME}-") if name[len(who.NAME) + 1 :].isdigit()]


def measure(stage: Stage, those: Sequence[who.Contestant], counts: Sequence[int], rounds: int) -> Iterator[tuple[str, str, int, float]]:
    """Everything in turn, every other round backwards, an empty play before each; what has been measured is told as it comes."""
    for count in sorted(set(counts)):
        for turn in range(1, rounds + 1):
            for contestant in those if turn % 2 else those[::-1]:
                nothing = who.empty(stage)
                yield EMPTY, contestant.name, count, nothing
                told = [f"nothing {nothing:.2f}"]
                for operation in who.OPERATIONS:
                    seconds = contestant.work(operation, count)
                    told.append(f"{operation} {seconds:.2f}")
                    yield contestant.name, operation, count, seconds
                print(f"{count} containers, round {turn} of {rounds}, {contestant.name}: {', '.join(told)} s", file=sys.stderr, flush=True)


def main() -> None:
    """Make what is measured, measure it, show it, remove it."""
    asked = arguments()
    if os.geteuid() != 0 or not SETTINGS.exists():
        sys.exit("benchmark-peers runs as root, on a machine that is a node.")
    settings = json.loads(SETTINGS.read_text(encoding="utf-8"))
    pool = pathlib.Path(settings["pool"])
    root = pool / "templates" / asked.template / "rootfs"
    if settings.get("pool_kind", "btrfs") != "btrfs" or not root.exists():
        sys.exit(f"benchmark-peers needs a pool that is btrfs, and a template {asked.template}: both are what the floor is made from.")
    programs, before, folder = asked.programs.resolve(), machine.load(), pool / FOLDER
    missing: list[str] = []
    times: list[tuple[str, str, int, float]] = []
    those: list[who.Contestant] = []
    try:
        with machine.orderly(), tempfile.TemporaryDirectory(prefix="benchmark-") as scratch, contextlib.ExitStack() as stack:
            stage = Stage(pathlib.Path(scratch))
            stack.callback(lambda: remove(stage, left(pool)))
            stack.enter_context(removed_at_the_end(folder))
            remove(stage, left(pool))
            those += who.ours(stage, asked.template)
            if not has_fleet():
                missing.append("this checkout has no vps_fleet.")
            those += who.lxc(stage, folder, root, programs)
            try:
                docker = stack.enter_context(daemon(programs))
                docker.load(root, who.IMAGE)
                those += who.docker(stage, docker, programs)
            except Failed as error:
                missing.append(f"docker_container, for {error}")
            those += who.floors(folder / "floor", root, settings["id_start"])
            those = [each for each in those if not asked.only or any(words in each.name for words in asked.only)]
            for time in measure(stage, those, asked.counts, asked.rounds):
                times.append(time)
    finally:  # what was measured before something went wrong was measured
        if times:
            finish(Results.of(times), Names({each.name: each.kind for each in those}), asked, missing, before)


def finish(results: Results, names: Names, asked: argparse.Namespace, missing: Sequence[str], before: float) -> None:
    """Write and show the report."""
    asked.output.mkdir(parents=True, exist_ok=True)
    data = [{"contestant": row.contestant, "operation": row.operation, "count": row.count, "seconds": row.seconds} for row in results.rows]
    (asked.output / "data.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    plots = [Plot(operation, "containers", "seconds, whole playbook", curves(results, operation, each=False)) for operation in who.OPERATIONS]
    draw(plots, asked.output / "peers.svg")
    text = report(results, names, machine=machine.described(before), rounds=asked.rounds, missing=missing, plots="peers.svg")
    (asked.output / "report.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"In {asked.output}: report.md, peers.svg, data.json", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(f"benchmark-peers: {error}")
