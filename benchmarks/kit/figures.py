# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure: medians with their spread, ratios of what was measured side by side, tables of it as markdown.

Nothing here measures, reads or writes. Seconds are seconds; a ratio is of two times of one round, so that a machine that gets
slower in between gets slower for both.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Some values: the one in the middle, and how far apart they are."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ValueError where there are none."""
        if not values:
            raise ValueError("nothing was measured")
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int = 2, unit: str = "") -> str:
        """As people read it: the middle, and the spread where there is one."""
        middle = f"{_number(self.middle, digits)}{unit}"
        if self.least == self.most:
            return middle
        return f"{middle} ({_number(self.least, digits)}–{_number(self.most, digits)})"


def _number(value: float, digits: int) -> str:
    """With the digits that say something: of a hundred and more nobody reads decimals."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}f}"


@dataclass(frozen=True)
class Row:
    """What one contestant took for one operation on `count` containers: the seconds of each round."""

    contestant: str
    operation: str
    count: int
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Results:
    """All that one run has measured, in the order in which it was."""

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, times: Iterable[tuple[str, str, int, float]]) -> Results:
        """From single times: contestant, operation, count, seconds."""
        rounds: dict[tuple[str, str, int], list[float]] = {}
        for contestant, operation, count, taken in times:
            rounds.setdefault((contestant, operation, count), []).append(taken)
        return cls(tuple(Row(*key, tuple(values)) for key, values in rounds.items()))

    def counts(self) -> list[int]:
        """The numbers of containers, from the least."""
        return sorted({row.count for row in self.rows})

    def contestants(self) -> list[str]:
        """Their names, in the order in which they were measured."""
        return list(dict.fromkeys(row.contestant for row in self.rows))

    def operations(self) -> list[str]:
        """What was done, in the order in which it was."""
        return list(dict.fromkeys(row.operation for row in self.rows))

    def seconds(self, contestant: str, operation: str, count: int) -> tuple[float, ...]:
        """The rounds of one row; none where it was not measured."""
        for row in self.rows:
            if (row.contestant, row.operation, row.count) == (contestant, operation, count):
                return row.seconds
        return ()

    def faster(self, contestants: Iterable[str], operation: str, count: int) -> str | None:
        """The one of these that takes least for an operation; None where none was measured."""
        measured = {name: self.seconds(name, operation, count) for name in contestants}
        times = {name: statistics.median(seconds) for name, seconds in measured.items() if seconds}
        return min(times, key=lambda name: times[name]) if times else None


def less(seconds: Sequence[float], besides: Sequence[float]) -> tuple[float, ...]:
    """Times without what they have in common, a play that does nothing; the noise of both may make that less than nothing."""
    return tuple(one - other for one, other in zip(seconds, besides))


def ratio(own: Sequence[float], other: Sequence[float]) -> Spread | None:
    """How many times as long, round by round; None where no round has both, or the noise has left nothing of one."""
    pairs = list(zip(own, other))
    if not pairs or any(min(pair) <= 0 for pair in pairs):
        return None
    return Spread.of([above / below for above, below in pairs])


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as markdown, its columns below each other in a terminal too. The first is text, the others are numbers."""
    lines = [list(heading), *(list(row) for row in rows)]
    for line in lines:
        if len(line) != len(heading):
            raise ValueError(f"{len(heading)} columns, and a row of {len(line)}: {line}")
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(heading))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_lines([lines[0], rule, *lines[1:]], widths)) + "\n"


def _lines(lines: Iterable[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    for line in lines:
        cells = [cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(zip(line, widths))]
        yield f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class Curve:
    """One line of a plot: points (x, middle, least, most)."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]


def curves(results: Results, operation: str, *, each: bool) -> list[Curve]:
    """How the seconds of an operation grow with the number of containers, for each contestant; `each`: of one container."""
    found = []
    for name in results.contestants():
        points = []
        for count in results.counts():
            seconds = results.seconds(name, operation, count)
            if seconds:
                spread, share = Spread.of(seconds), count if each else 1
                points.append((float(count), spread.middle / share, spread.least / share, spread.most / share))
        if points:
            found.append(Curve(name, tuple(points)))
    return found
