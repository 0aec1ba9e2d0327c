# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run that makes a template is at, for whoever asks meanwhile: a small file in its staging directory, and what its programs print there."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import datetime, timezone

from ..core.errors import printable
from . import files, locks
from .record import NEW, SCRATCH, Shelf

FILE = "progress.json"
OUTPUT, FETCHED = "output", "archive"  # in the scratch directory: what a builder prints, what is being fetched
_TAIL = 4096  # bytes


def tell(directory: str, step: str) -> None:
    """Say what is being done from now on."""
    path = os.path.join(directory, FILE)
    since = (_read(path) or {}).get("since") or datetime.now(timezone.utc).isoformat(timespec="seconds")
    staging = path + ".new"
    with open(staging, "w", encoding="utf-8") as file:  # for a reader's sake; a power cut ends the run as well
        json.dump({"since": since, "step": step}, file)
    os.rename(staging, path)


def done(directory: str) -> None:
    """Say nothing any more: what is in the directory is about to be real."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, FILE))


def running(shelf: Shelf) -> list[dict[str, object]]:
    """What is being made just now. What a killed run has left is not."""
    found: list[dict[str, object]] = []
    for name, path in shelf.leftovers():
        told = _read(os.path.join(path, FILE)) if os.path.basename(path).startswith(NEW) else None
        if told is not None and locks.is_held("template", name):
            found.append({**told, "name": name, "line": _line(os.path.join(path, SCRATCH))})
    return found


def _read(path: str) -> dict[str, str] | None:
    try:
        return json.loads(files.read(path) or "null")
    except ValueError:
        return None


def _line(scratch: str) -> str | None:
    """The last that a builder has printed, or how much has been fetched; a package's script may print anything."""
    output = files.read_tail(os.path.join(scratch, OUTPUT), _TAIL)
    for line in reversed((output or "").replace("\r", "\n").splitlines()):
        if line.strip():
            return printable(line.strip(), 200)
    with suppress(OSError):
        return f"{os.stat(os.path.join(scratch, FETCHED)).st_size} bytes fetched"
    return None
