# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network devices of the node, and what they count (proc(5), /proc/net/dev; ABI/testing/sysfs-class-net-statistics of the kernel)."""

from __future__ import annotations

from . import files

_CARRIED = ("rx_bytes", "rx_packets", "tx_bytes", "tx_packets")


def counters() -> dict[str, list[int]]:
    """Device → its sixteen numbers: eight of what it has got, bytes and packets first, and eight of what it has sent."""
    lines = (line.partition(":") for line in (files.read("/proc/net/dev") or "").splitlines()[2:])
    return {name.strip(): [int(word) for word in numbers.split()] for name, _colon, numbers in lines}


def has(name: str) -> bool:
    """Whether there is a device of this name."""
    return name in counters()


def carried(name: str) -> tuple[int, ...] | None:
    """Bytes and packets that one of them has got, and has sent, without a look at all others; None where there is none of this name."""
    try:
        texts = [files.read(f"/sys/class/net/{name}/statistics/{each}") for each in _CARRIED]
    except OSError:  # EINVAL: it is going away at this moment
        return None
    return None if None in texts else tuple(int(text) for text in texts if text)
