# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far runs are that work on many VPSs: a file each, which is gone when the run is. A module cannot say anything before it ends.

A run has a file under a lock of its own, by the number of its process: what a killed one has left is told from that, whoever has the number by now.
No run ends because it cannot tell how far it is.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from types import TracebackType

from . import locks

FOLDER = "/run/vps.fleet"  # root's alone, as the locks are
_LOCK = "fleet"
_PATIENCE = 1  # s: whoever asks whether it is held holds it for a moment


class Progress:
    """The file of this run."""

    def __init__(self, of: int) -> None:
        self._name = str(os.getpid())
        self._path = os.path.join(FOLDER, self._name)
        self._of, self._since = of, datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._held, self._tells = ExitStack(), False

    def __enter__(self) -> Progress:
        with suppress(OSError, locks.Held):
            os.makedirs(FOLDER, mode=0o700, exist_ok=True)
            _sweep()
            self._held.enter_context(locks.hold(_LOCK, self._name, timeout=_PATIENCE))
            self._tells = True
        self.tell(0, 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._tells:
            _remove(self._name)
        with suppress(OSError):
            self._held.close()

    def tell(self, done: int, failed: int) -> None:
        """By a rename: whoever reads it has the old or the new one."""
        if not self._tells:
            return
        with suppress(OSError):  # of a full /run, say
            with open(f"{self._path}.new", "w", encoding="ascii") as file:
                json.dump({"done": done, "of": self._of, "failed": failed, "since": self._since, "pid": os.getpid()}, file)
            os.rename(f"{self._path}.new", self._path)


def _sweep() -> None:
    """What killed runs have left, and their locks with it."""
    for name in sorted({name.split(".")[0] for name in os.listdir(FOLDER)}):
        with suppress(OSError, locks.Held), locks.hold(_LOCK, name, timeout=0):
            _remove(name)


def _remove(name: str) -> None:
    for path in (os.path.join(FOLDER, name), os.path.join(FOLDER, f"{name}.new")):
        with suppress(OSError):
            os.unlink(path)


def running() -> list[dict[str, object]]:
    """How far each of those runs is that there are now. What a killed run has left is not told."""
    found = []
    with suppress(FileNotFoundError):
        for name in sorted(name for name in os.listdir(FOLDER) if name.isdigit()):
            with suppress(OSError, ValueError):
                if locks.is_held(_LOCK, name):
                    with open(os.path.join(FOLDER, name), encoding="ascii") as file:
                        found.append(json.load(file))
    return found
