# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots as SVG, by matplotlib, which nothing else of the collection needs."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

from .figures import Curve


@dataclass(frozen=True)
class Plot:
    """One plot. `logarithmic` is of both axes: what is a hundred times apart is seen side by side."""

    title: str
    across: str
    up: str
    curves: Sequence[Curve]
    logarithmic: bool = True


def draw(plots: Sequence[Plot], path: pathlib.Path, columns: int = 2) -> None:
    """Write a file with these plots side by side, with one legend."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "mainline.vps"  # the same file for the same figures
    from matplotlib import pyplot

    rows = -(-len(plots) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(6.5 * columns, 4.2 * rows), squeeze=False)
    flat = [axis for row in axes for axis in row]
    names: dict[str, object] = {}
    for axis, plot in zip(flat, plots):
        for number, curve in enumerate(plot.curves):
            across, middles, leasts, mosts = zip(*curve.points)
            below = [middle - least for middle, least in zip(middles, leasts)]
            above = [most - middle for middle, most in zip(middles, mosts)]
            marks = axis.errorbar(across, middles, yerr=[below, above], marker="osv^D*Px"[number % 8], capsize=3, label=curve.name)
            names.setdefault(curve.name, marks)
        axis.set_title(plot.title)
        axis.set_xlabel(plot.across)
        axis.set_ylabel(plot.up)
        axis.grid(True, which="both", alpha=0.25)
        if plot.logarithmic:
            axis.set_xscale("log")
            axis.set_yscale("log")
            ticks = sorted({point[0] for curve in plot.curves for point in curve.points})
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.minorticks_off()
        else:
            axis.set_ylim(bottom=0)
    for axis in flat[len(plots) :]:
        axis.set_visible(False)
    figure.legend(names.values(), names.keys(), loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.03 + 0.06 / rows * (1 + len(names) // 3) / 2, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
