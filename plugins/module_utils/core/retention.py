# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups stay: the rules of C(restic forget), of whole backups alone.

Pure, so that check mode says what a run removes. Of restic's rules one is another here: a backup that lacks files counts for none, and
goes once there is a whole one after it. Hours, days and so on are those of UTC, wherever a node is. Document: the page "Removing backup
snapshots" of restic's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backup import Backup

WITHIN = "within"
# Of two backups with the same of these, the newer one stays.
_PERIODS: dict[str, Callable[[datetime], object]] = {
    "hourly": lambda time: (time.date(), time.hour),
    "daily": lambda time: time.date(),
    "weekly": lambda time: time.isocalendar()[:2],
    "monthly": lambda time: (time.year, time.month),
    "yearly": lambda time: time.year,
}


def beyond(backups: Iterable[Backup], keep: Sequence[tuple[str, str]]) -> tuple[Backup, ...]:
    """Those that retention does not keep, the oldest first. Without any word of it, all stay."""
    listed = sorted(backups, key=lambda backup: (backup.time, backup.id))
    whole = [backup for backup in reversed(listed) if backup.complete]
    if not keep or not whole:
        return ()
    kept = {id(backup) for word, value in keep for backup in _kept(whole, word, value)}
    return tuple(one for one in listed if id(one) not in kept and (one.complete or one.time < whole[0].time))


def _kept(whole: Sequence[Backup], word: str, value: str) -> list[Backup]:
    """What one word keeps of backups, of which the newest comes first."""
    if word == WITHIN:
        since = _before(whole[0].time, value)
        return [backup for backup in whole if since is None or backup.time > since or backup is whole[0]]
    found: list[Backup] = []
    period, last = _PERIODS.get(word), object()
    for backup in whole:
        of = backup.id if period is None else period(backup.time)
        # As in restic 0.16 and later, the oldest one stays as long as there are not enough, so that there is one to become the next month's or year's.
        if len(found) < int(value) and (of != last or backup is whole[-1]):
            found.append(backup)
            last = of
    return found


def _before(time: datetime, duration: str) -> datetime | None:
    """The moment that lies so long before, as in 1y6m14d2h; None where there was none. The 31st of a month that is shorter is in the next one."""
    years, months, days, hours = (
        int(found.group(1)) if (found := re.search(rf"([0-9]+){unit}", duration)) else 0 for unit in ("y", "m", "d", "h")
    )
    month = time.year * 12 + time.month - 1 - 12 * years - months
    try:
        first = time.replace(year=month // 12, month=month % 12 + 1, day=1)
        return first + timedelta(days=time.day - 1) - timedelta(days=days, hours=hours)
    except (ValueError, OverflowError):
        return None
