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
from .core.plan import Plan, list_changes
from .node.backups import Backups, Found
from .runner import Action


_FOR_NOTHING = "It would have run, if not in check mode."


def _settled(wish: Wish, found: Found) -> dict[str, Any] | None:
    """The result where there is nothing to make, to restore or to remove; None where there is."""
    listed, now = [one.named for one in found.backups], datetime.now(timezone.utc)
    if wish.state == RESTORED and found.there and found.meant is not None:
        return {"backup": found.meant.named, "backups": listed, "target": wish.target}
    none: dict[str, Any] = {"removed": [], "pruned": False, "backups": listed}
    if wish.state == ABSENT and not backup.doomed(wish, found.backups, now):
        return none
    young = backup.young(found.backups, wish.max_age, now) if wish.state == PRESENT else None
    return None if young is None else {**none, "backup": young.named}


def _needless(wish: Wish, found: Found) -> dict[str, Any] | None:
    told = None if found.unpruned and wish.prune else _settled(wish, found)
    return None if told is None else _with_changes(wish, found, told)


def _act(node: Backups, wish: Wish, found: Found, patience: int) -> dict[str, Any]:
    settled = _settled(wish, found)
    if settled is not None:
        return _with_changes(wish, found, {**settled, "pruned": node.prune(wish, patience)})
    do = {PRESENT: node.back_up, ABSENT: node.remove, RESTORED: node.restore, TESTED: node.try_out, VERIFIED: node.verify}
    return _with_changes(wish, found, do[wish.state](wish, found, patience))


def _foretell(wish: Wish, found: Found) -> dict[str, Any]:
    """What a run would have told; C(backups) are those that there are."""
    told: dict[str, Any] = {"backups": [one.named for one in found.backups]}
    if wish.state in (TESTED, VERIFIED):
        return {**told, "skipped": True, "msg": _FOR_NOTHING}
    if wish.state == RESTORED:
        told |= {"backup": found.meant.named if found.meant else None, **({} if wish.paths else {"target": wish.target})}
    else:
        settled = _settled(wish, found)
        removed = [] if settled else [one.id for one in backup.doomed(wish, found.backups, datetime.now(timezone.utc))]
        told |= {**(settled or {}), "removed": removed, "pruned": wish.prune and (found.unpruned or bool(removed))}
    return _with_changes(wish, found, told)


def _with_changes(wish: Wish, found: Found, told: dict[str, Any]) -> dict[str, Any]:
    about = None if found.there else told.get("backup")
    plan = Plan(backup.changes(wish, about, told.get("removed", ()), pruned=told.get("pruned", False)))
    warnings = [*found.warnings, *told.get("warnings", ())]
    return {**told, "changes": list_changes(plan.changes), "diff": plan.diff(), **({"warnings": warnings} if warnings else {})}


def _secrets(params: Mapping[str, Any]) -> tuple[str, ...]:
    password = backup.Repository(params["repository"], {}).password
    return () if password is None else (password,)


BACKUP = Action(
    parse=backup.parse_wish,
    look=lambda node, wish, patience, writes: node.look_at(wish, patience, writes),
    needless=_needless,
    act=_act,
    foretell=_foretell,
    changes=lambda wish: wish.state not in (TESTED, VERIFIED),
    make_node=Backups,
    secrets=_secrets,
)
