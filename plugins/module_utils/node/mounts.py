# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted where, as this process sees it. Document: proc(5), /proc/pid/mountinfo."""

from __future__ import annotations

from . import files


def mount_of(path: str) -> tuple[str, str, str]:
    """(file system, mount point, source) of what a path is on: the longest mount point above it, the latest of those."""
    best = ("", "", "")
    for line in (files.read("/proc/self/mountinfo") or "").splitlines():
        fields, _separator, rest = line.partition(" - ")
        point = fields.split(" ")[4].encode(errors="surrogateescape").decode("unicode_escape")  # a space is \040 there
        if f"{path}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(best[1]):
            kind, source, *_options = rest.split(" ")
            best = (kind, point, source)
    return best


def points_below(folder: str) -> list[str]:
    """The mount points below a folder, the innermost and latest first."""
    found = []
    for line in (files.read("/proc/self/mountinfo") or "").splitlines():
        point = line.split(" ")[4].encode(errors="surrogateescape").decode("unicode_escape")
        if point.startswith(f"{folder.rstrip('/')}/"):
            found.append(point)
    return found[::-1]
