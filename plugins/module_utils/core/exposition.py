# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus's text format: families of samples to a text that node_exporter reads.

Pure. One text that is wrong in one place is refused as a whole, so nothing of a value gets out of its quotes, and no line is there twice.
Document: "Text-based format" in "Exposition formats" of Prometheus's documentation, version 0.0.4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

GAUGE, COUNTER = "gauge", "counter"
LONGEST = 256  # characters of a label's value: a name has at most 63
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True)
class Family:
    """One metric: its name, what it counts, and a number for each combination of its labels' values; None is left out."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    samples: Mapping[tuple[str, ...], int | float | None] = field(default_factory=dict)


def render(families: Iterable[Family]) -> str:
    """The text. A family without a number is left out. Raises ValueError for a name that is none, or is there twice: a mistake of ours."""
    lines: list[str] = []
    seen: set[str] = set()
    for family in families:
        for name in (family.name, *family.labels):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a metric or a label")
        if family.name in seen or len(set(family.labels)) != len(family.labels):
            raise ValueError(f"{family.name} is told twice, or has a label twice")
        seen.add(family.name)
        samples = {_braced(family.labels, values): number for values, number in family.samples.items() if number is not None}
        if samples:
            lines += [f"# HELP {family.name} {_escaped(family.help, '')}", f"# TYPE {family.name} {family.kind}"]
            lines += [f"{family.name}{labels} {_written(number)}" for labels, number in samples.items()]
    return "".join(f"{line}\n" for line in lines)


def label_name(key: str) -> str:
    """The name that the label of a VPS has as one of Prometheus's: C(label_cost_center) of C(cost-center)."""
    return "label_" + re.sub(r"[^a-zA-Z0-9_]", "_", key)


def _braced(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if len(names) != len(values):
        raise ValueError(f"{names} are not the labels of {values}")
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str, quote: str = '"') -> str:
    """Within quotes, or in a HELP line, where a quote stands for itself. What is no UTF-8 would spoil all of the text."""
    text = value[:LONGEST].encode("utf-8", "replace").decode("utf-8")
    return text.translate(_ESCAPES) if quote else text.replace("\\", r"\\").replace("\n", r"\n")


def _written(number: int | float) -> str:
    if isinstance(number, float) and not math.isfinite(number):
        return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
    return repr(number)
