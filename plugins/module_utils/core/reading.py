# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has been refused to VPSs since an earlier reading of the node, which comes back from a playbook.

Pure. Counters are the kernel's, and restart with their VPS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import VpsError, shown

_COUNT = re.compile(r"[0-9]{1,20}", re.ASCII)


@dataclass(frozen=True)
class Reading:
    """One VPS as it was told earlier: the `pid` of its init if that is known, and each resource's failcnt; none where it did not run."""

    pid: int | None = None
    failcnts: Mapping[str, int] = field(default_factory=dict)


def parse(vpss: object, *, option: str = "since") -> dict[str, Reading]:
    """The C(vpss) of an earlier C(vps_info), by their names. Raises VpsError."""
    if not isinstance(vpss, (list, tuple)):
        raise VpsError(f"{option}: {shown(vpss)} is not a list of VPSs; give it the vpss of an earlier vps_info.")
    found = {}
    for vps in vpss:
        name = vps.get("name") if isinstance(vps, Mapping) else None
        if not isinstance(name, str):
            raise VpsError(f"{option}: {shown(vps)} is no VPS with a name; give it the vpss of an earlier vps_info.")
        found[name] = _reading(vps, f"{option}: VPS {shown(name)}")
    return found


def add_since(rows: list[dict], pid: int | None, earlier: Reading) -> list[dict]:
    """The rows of a VPS, each with C(failcnt_since): how much its failcnt has risen. A counter that has restarted counts from zero."""
    same = earlier.pid in (pid, None)
    return [{**row, "failcnt_since": _risen(row["failcnt"], earlier.failcnts.get(row["resource"], 0) if same else 0)} for row in rows]


def _risen(now: int | None, before: int) -> int | None:
    if now is None:
        return None
    return now - before if now >= before else now


def _reading(vps: Mapping, whose: str) -> Reading:
    usage = vps.get("usage")
    rows = usage.get("rows") if isinstance(usage, Mapping) else None
    if not isinstance(rows, (list, tuple)):
        raise VpsError(f"{whose} has no usage with rows; give it the vpss of an earlier vps_info.")
    failcnts = {}
    for row in rows:
        if not isinstance(row, Mapping) or not isinstance(row.get("resource"), str):
            raise VpsError(f"{whose} has a row of usage without a resource; give it the vpss of an earlier vps_info.")
        count = _count(row.get("failcnt"), f"{whose} has the failcnt")
        if count is not None:
            failcnts[row["resource"]] = count
    return Reading(_count(vps.get("pid"), f"{whose} has the pid"), failcnts)


def _count(value: object, what: str) -> int | None:
    """A number, which may have become a text on its way through a template."""
    if value is None or value in ("", "None"):
        return None
    if isinstance(value, str) and _COUNT.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise VpsError(f"{what} {shown(value)}, which is no count; give it the vpss of an earlier vps_info.")
    return value
