# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of a template something was made from.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import shown


@dataclass(frozen=True)
class Build:
    """One build of a template. `version` counts those of its name, `created` is UTC in ISO 8601.

    `content` is the SHA-256 of what is in it, the same on every node; None where an older release has made it.
    """

    version: int
    created: str
    content: str | None = None


def read_build(record: Mapping[str, Any] | None) -> Build | None:
    """As it was recorded; raises one of errors.NOT_OURS for what is none."""
    if record is None:
        return None
    build = Build(**record)
    whole = isinstance(build.version, int) and not isinstance(build.version, bool)
    if not whole or not isinstance(build.created, str) or not isinstance(build.content, (str, type(None))):
        raise TypeError(f"build: {shown(record)} is none")
    return build


def outdated(now: Build, users: Mapping[str, Build | None]) -> tuple[str, ...]:
    """The VPSs that were made from something else than what a template is now.

    One of which no build is known was made by a release that knew of none, and so before any build whose content is known.
    """
    return tuple(name for name, build in users.items() if not _same(now, build))


def _same(now: Build, build: Build | None) -> bool:
    if build is None:
        return now.content is None
    return build.content == now.content if now.content is not None else build == now
