# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module about snapshots is about, as the runner wants it."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any

from .core import snapshots
from .runner import Subject


def describe_snapshots(node: Any, name: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The snapshots of a VPS as modules return them, the oldest first; and why some are left out."""
    found, unread = node.snapshots(name)
    return [_describe(one, size) for one, size in found], [f"Snapshot '{each}' of VPS '{name}' is left out: {unread[each]}" for each in sorted(unread)]


def _describe(one: snapshots.Snapshot, size: int | None) -> dict[str, Any]:
    return {
        "name": one.name,
        "created": _written(one.created),
        "expires": _written(one.expires),
        "description": one.description,
        "series": one.series,
        "size": size,
        "state": "started" if one.run == "running" else one.run,
        "template": one.vps.template,
        "storage": one.vps.storage,
    }


def _written(moment: float | None) -> str | None:
    """ISO 8601, UTC."""
    return None if moment is None else datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds")


def _read(node: Any, desired: snapshots.Desired) -> snapshots.SnapshotsActual:
    rolls = desired.state == "rolled_back"
    return node.read_snapshots(desired.name, asked=snapshots.RESTORED if desired.restore else (), disk_of=desired.snapshot if rolls else None)


SNAPSHOT = Subject(
    lock="vps",
    parse=lambda params: snapshots.parse_snapshot(params, now=time.time()),
    read=_read,
    compare=snapshots.compare,
    result=lambda node, desired, _actual: {"snapshots": describe_snapshots(node, desired.name)[0]},
    settled=snapshots.settled,
)
