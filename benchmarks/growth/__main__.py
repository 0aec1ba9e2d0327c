# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How what our modules cost grows: with the VPSs of a task, with those of them that change, with addresses of a VPS, and with templates of the node.

Run as root on a node, `make benchmark-growth ARGS="1 5 20"`. Whole playbooks are timed, beside empty ones in the same run. Each series is measured at
the numbers that are asked for, of whatever it is a series of. Makes and removes VPSs and templates named `benchmark-growth-...`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

from ..kit import addresses, machine
from ..kit.drawing import Plot, draw
from ..kit.figures import Curve, Results, Spread, curves, less, table
from ..kit.playing import Failed, Stage
from ..kit.vpss import apply, has_fleet, own_names, remove

NAME = "benchmark-growth-"
SETTINGS = pathlib.Path("/etc/vps/node.json")
EMPTY = "empty play"
VPSS, CHANGED, ADDRESSES, TEMPLATES = SERIES = ("VPSs", "changed", "addresses", "templates")
TITLES = {VPSS: "VPSs of a task", CHANGED: "changed VPSs among the most", ADDRESSES: "addresses of a VPS", TEMPLATES: "templates of the node"}


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make benchmark-growth ARGS=...", description=str(__doc__).partition("\n")[0])
    parser.add_argument("counts", metavar="NUMBER", type=int, nargs="*", default=[1, 5, 20], help="at which each series is measured (1 5 20)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--series", default=",".join(SERIES), help=f"which, with commas between ({','.join(SERIES)})")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(".build/benchmark/growth"), help="the folder for report.md, growth.svg, data.json")
    asked = parser.parse_args()
    if min(asked.counts) < 1 or asked.rounds < 1 or not set(asked.series.split(",")) <= set(SERIES):
        parser.error("numbers are 1 or more, and the series are those that are listed")
    return asked


Times = Iterator[tuple[str, str, int, float]]


class Bench:
    """The node, and what has been made on it."""

    def __init__(self, stage: Stage, settings: dict) -> None:
        self.stage, self.pool = stage, pathlib.Path(settings["pool"])
        self.free = lambda number: addresses.free(settings, number)

    def names(self, count: int) -> list[str]:
        """The names of so many VPSs."""
        return [f"{NAME}{number:03}" for number in range(1, count + 1)]

    def apply(self, vpss: Sequence[dict], **common: object) -> float:
        """Seconds of a playbook after which these VPSs are as they are said to be."""
        return apply(self.stage, vpss, {"template": "minimal", **common}).seconds

    def clear(self) -> None:
        """Remove what was made."""
        remove(self.stage, own_names(self.pool, NAME))
        left = sorted(path.name for path in (self.pool / "templates").iterdir() if path.name.startswith(NAME))
        if left:
            self.stage.play([{"mainline.vps.vps_template": {"name": name, "state": "absent"}} for name in left])

    # -- the series -----------------------------------------------------------------------------------------------------

    def vpss(self, counts: Sequence[int]) -> Times:
        """Make so many, leave them as they are, change all, remove all."""
        for count in counts:
            those = [{"name": name} for name in self.names(count)]
            yield "create+start", VPSS, count, self.apply(those, limits={"memory": "64M"})
            yield "unchanged", VPSS, count, self.apply(those, limits={"memory": "64M"})
            yield "one limit of each", VPSS, count, self.apply(those, limits={"memory": "65M"})
            yield "remove", VPSS, count, self.apply(those, state="absent", stop_timeout=0)

    def changed(self, counts: Sequence[int]) -> Times:
        """So many that change, of the greatest number."""
        most = self.names(counts[-1])
        self.apply([{"name": name} for name in most], limits={"memory": "64M"})
        for count in (0, *counts):
            those = [{"name": name, "limits": {"memory": "66M" if place < count else "64M"}} for place, name in enumerate(most)]
            yield f"of {len(most)}", CHANGED, count, self.apply(those)
            self.apply([{"name": name} for name in most], limits={"memory": "64M"})
        self.clear()

    def addresses(self, counts: Sequence[int]) -> Times:
        """One VPS with so many, that are added at once, left alone, and taken away."""
        free, name = self.free(counts[-1]), self.names(1)[0]
        self.apply([{"name": name}], addresses=[])
        for count in counts:
            yield "add all", ADDRESSES, count, self.apply([{"name": name, "addresses": free[:count]}])
            yield "unchanged", ADDRESSES, count, self.apply([{"name": name, "addresses": free[:count]}])
            yield "remove all", ADDRESSES, count, self.apply([{"name": name, "addresses": []}])
        self.clear()

    def templates(self, counts: Sequence[int]) -> Times:
        """One VPS that is left alone, on a node with so many templates more; and one of those."""
        made = 0
        self.apply([{"name": self.names(1)[0]}])
        for count in counts:
            tasks = [{"mainline.vps.vps_template": {"name": f"{NAME}{number:03}", "source": "minimal"}} for number in range(made + 1, count + 1)]
            made = count
            if tasks:
                self.stage.play(tasks)
            yield "a VPS, unchanged", TEMPLATES, count, self.apply([{"name": self.names(1)[0]}])
            last = {"mainline.vps.vps_template": {"name": f"{NAME}{made:03}", "source": "minimal"}}
            yield "a template, unchanged", TEMPLATES, count, self.stage.play([last]).seconds
        self.clear()


def report(found: dict[str, Results], empties: Sequence[float], *, described: Sequence[str], rounds: int, plot: str) -> str:
    """Seconds of each series without an empty play, and what one more costs between the least number and the most."""
    nothing = Spread.of(empties)
    ours = "vps_fleet" if has_fleet() else "a list of vps_container tasks, for this checkout has no vps_fleet"
    parts = ["# How the cost grows\n\n", "\n".join(described), f"\n- median of {rounds}; an empty play: {nothing.text(2, ' s')}\n- by {ours}\n"]
    for series, results in found.items():
        counts = results.counts()
        rows = []
        for name in results.contestants():
            middles = []
            for count in counts:
                seconds = results.seconds(name, series, count)
                middles.append(Spread.of(less(seconds, [nothing.middle] * len(seconds))).middle if seconds else None)
            known = [(count, middle) for count, middle in zip(counts, middles) if middle is not None]
            slope = (known[-1][1] - known[0][1]) / (known[-1][0] - known[0][0]) * 1000 if len(known) > 1 else None
            cells = [f"{middle:.2f}" if middle is not None else "–" for middle in middles]
            rows.append([name, *cells, f"{slope:.1f}" if slope is not None else "–"])
        heading = ["seconds less an empty play", *map(str, counts), "one more, ms"]
        parts += [f"\n## {TITLES[series][0].upper()}{TITLES[series][1:]}\n\n", table(heading, rows)]
    return "".join([*parts, f"\n![Growth]({plot})\n"])


def main() -> None:
    """Measure each series in turn, show, remove."""
    asked = arguments()
    if os.geteuid() != 0 or not SETTINGS.exists():
        sys.exit("benchmark-growth runs as root, on a machine that is a node.")
    before, counts = machine.load(), sorted(set(asked.counts))
    times: dict[str, list[tuple[str, str, int, float]]] = {series: [] for series in asked.series.split(",")}
    empties: list[float] = []
    with machine.orderly(), tempfile.TemporaryDirectory(prefix="benchmark-") as scratch, contextlib.ExitStack() as stack:
        bench = Bench(Stage(pathlib.Path(scratch)), json.loads(SETTINGS.read_text(encoding="utf-8")))
        bench.clear()
        stack.callback(bench.clear)
        works: dict[str, Callable[[Sequence[int]], Times]] = {
            VPSS: bench.vpss, CHANGED: bench.changed, ADDRESSES: bench.addresses, TEMPLATES: bench.templates,
        }
        for turn in range(1, asked.rounds + 1):
            for series, measured in times.items():
                empties.append(bench.stage.play([]).seconds)
                measured += works[series](counts)
                print(f"round {turn} of {asked.rounds}: {series}", file=sys.stderr, flush=True)
    found = {series: Results.of(measured) for series, measured in times.items()}
    asked.output.mkdir(parents=True, exist_ok=True)
    data = {series: [[row.contestant, row.count, row.seconds] for row in results.rows] for series, results in found.items()}
    (asked.output / "data.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    draw([Plot(TITLES[series], "", "seconds, whole playbook", lines(results, series), logarithmic=False) for series, results in found.items()],
         asked.output / "growth.svg")
    text = report(found, empties, described=machine.described(before), rounds=asked.rounds, plot="growth.svg")
    (asked.output / "report.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"In {asked.output}: report.md, growth.svg, data.json", file=sys.stderr)


def lines(results: Results, series: str) -> list[Curve]:
    """The curves of a series, with its name where several have one of that name."""
    return [Curve(f"{series}: {curve.name}", curve.points) for curve in curves(results, series, each=False)]


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(f"benchmark-growth: {error}")
