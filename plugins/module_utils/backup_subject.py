# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a VPS as the runner wants them: how they are asked for, when there is no need, and who does it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from .core import backup
from .core.backup import ABSENT, PRESENT, RESTORED, TESTED, VERIFIED, Wish
from .node.backups import Backups, Found
from .runner import Action


def _needless(wish: Wish, found: Found) -> dict[str, Any] | None:
    told: dict[str, Any] = {"removed": [], "backups": [one.named for one in found.backups]}
    if wish.state == ABSENT and found.meant is None:
        return told
    young = backup.young(found.backups, wish.max_age, datetime.now(timezone.utc)) if wish.state == PRESENT else None
    return None if young is None else {**told, "backup": young.named}


def _act(node: Backups, wish: Wish, found: Found, patience: int) -> dict[str, Any]:
    do = {PRESENT: node.back_up, ABSENT: node.remove, RESTORED: node.restore, TESTED: node.try_out, VERIFIED: node.verify}
    return do[wish.state](wish, found, patience)


def _secrets(params: Mapping[str, Any]) -> tuple[str, ...]:
    password = backup.Repository(params["repository"], {}).password
    return () if password is None else (password,)


BACKUP = Action(
    parse=backup.parse_wish,
    look=lambda node, wish, patience, writes: node.look_at(wish, patience, writes),
    needless=_needless,
    act=_act,
    changes=lambda wish: wish.state not in (TESTED, VERIFIED),
    make_node=Backups,
    secrets=_secrets,
)
