# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What filters are given, looked at before anything is made of it: the form of it, and one sentence for a wrong one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError, shown
from ansible_collections.mainline.vps.plugins.module_utils.core.parse import near


def vpss(given: object) -> Sequence[Mapping]:
    """A list of VPSs as M(vps_info) returns it in RV(vpss)."""
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence) or not all(isinstance(vps, Mapping) for vps in given):
        raise VpsError("give it a list of VPSs, as vps_info returns them in vpss.")
    return given


def limits(given: object, option: str = "plan") -> Mapping:
    """Limits, or what is said of as many resources, unread."""
    if not isinstance(given, Mapping):
        raise VpsError(f"{option}: {shown(given)} is no set of limits; write for example {{'memory': '512M'}}.")
    return given


def guess(word: object, known: Iterable[str]) -> str:
    """A question, before what else is said of a word that there is not; empty where nothing is like it."""
    found = near(word, known)
    return f"did you mean {shown(found)}? " if found else ""
