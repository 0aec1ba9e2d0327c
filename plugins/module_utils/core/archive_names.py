# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in an archive that a stranger has made, and where its links lead.

Pure.
"""

from __future__ import annotations

_LONGEST_NAME = 255  # bytes of one component
_LONGEST_PATH = 4000  # bytes; the kernel takes 4095
DEEPEST = 256  # directories within each other: what works on templates and their VPSs may recurse


class ArchiveError(Exception):
    """What is wrong with an archive: the entry, or nothing where it is none's, and a sentence about it without its end."""

    def __init__(self, entry: str, reason: str) -> None:
        super().__init__(entry, reason)
        self.entry = entry
        self.reason = reason


def components(name: str) -> tuple[str, ...]:
    """A name's components below the root; none for the root itself. Raises ArchiveError for one that leads elsewhere, or that no file can have."""
    if name.startswith("/") and name.strip("/."):  # umoci calls the root itself so
        raise ArchiveError(name, "has an absolute name")
    found = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in found:
        raise ArchiveError(name, "has '..' in its name")
    if "\0" in name or len(name.encode("utf-8", "surrogateescape")) > _LONGEST_PATH:
        raise ArchiveError(name, "has a name that no file can have")
    if any(len(part.encode("utf-8", "surrogateescape")) > _LONGEST_NAME for part in found):
        raise ArchiveError(name, "has a name that is too long")
    if len(found) > DEEPEST:
        raise ArchiveError(name, f"is deeper than {DEEPEST} directories")
    return found


def leaves(place: tuple[str, ...], target: str) -> bool:
    """Whether a symbolic link at a place, read as it is written, leads out of the root. An absolute target is the guest's own root."""
    depth = 0 if target.startswith("/") else len(place) - 1
    for part in target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False
