# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far runs are that work on many VPSs: a file each, which is gone when the run is. A module cannot say anything before it ends."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import datetime, timezone
from types import TracebackType

FOLDER = "/run/vps.fleet"  # root's alone, as the locks are


class Progress:
    """The file of this run."""

    def __init__(self, of: int) -> None:
        self._path = os.path.join(FOLDER, str(os.getpid()))
        self._of, self._since = of, datetime.now(timezone.utc).isoformat(timespec="seconds")

    def __enter__(self) -> Progress:
        os.makedirs(FOLDER, mode=0o700, exist_ok=True)
        self.tell(0, 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def tell(self, done: int, failed: int) -> None:
        """By a rename: whoever reads it has the old or the new one."""
        with open(f"{self._path}.new", "w", encoding="ascii") as file:
            json.dump({"done": done, "of": self._of, "failed": failed, "since": self._since, "pid": os.getpid()}, file)
        os.rename(f"{self._path}.new", self._path)


def running() -> list[dict[str, object]]:
    """How far each of those runs is that there are now. What a killed run has left goes."""
    found = []
    with suppress(FileNotFoundError):
        for name in sorted(name for name in os.listdir(FOLDER) if name.isdigit()):
            with suppress(OSError, ValueError):
                if os.path.isdir(f"/proc/{name}"):
                    with open(os.path.join(FOLDER, name), encoding="ascii") as file:
                        found.append(json.load(file))
    return found
