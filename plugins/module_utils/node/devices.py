# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network devices of the node, and what they count (proc(5), /proc/net/dev)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from . import files


@dataclass(frozen=True)
class Counted:
    """What all devices have counted, and from which moment on they may have counted more, in ns since 1970."""

    devices: Mapping[str, list[int]]
    since: int


def counted() -> Counted:
    """All of them now."""
    now = time.time_ns()
    return Counted(counters(), now)


def counters() -> dict[str, list[int]]:
    """Device → its sixteen numbers: eight of what it has got, bytes and packets first, and eight of what it has sent."""
    lines = (line.partition(":") for line in (files.read("/proc/net/dev") or "").splitlines()[2:])
    return {name.strip(): [int(word) for word in numbers.split()] for name, _colon, numbers in lines}


def has(name: str) -> bool:
    """Whether there is a device of this name."""
    return name in counters()
