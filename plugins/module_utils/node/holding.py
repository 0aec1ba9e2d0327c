# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a VPS runs, and how it is had to stand still while what it has on its disk is copied.

A run that is killed meanwhile leaves a mark among the VPS's half made snapshots, by which the next one thaws it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from ..core.errors import VpsError
from ..core.model import FROZEN, RUNNING, STOPPED, Vps
from . import cgroup, engine, files, processes
from .parts import Parts
from .syscalls import sync_filesystem

SETTLE_TIMEOUT = 30  # s, for LXC's monitor between two states
THAW_AGAIN = "thaw-again"  # in a staging directory, as long as a VPS is frozen for its sake
_HOLD = ".hold"  # no snapshot, which has such a staging directory too, has this name


def status(name: str, *, before: engine.Status | None = None) -> engine.Status:
    """Whether a VPS runs. One that is between two states, such as a reboot from inside, is waited for.

    One whose init has ended, and which does not go, has something in it that is frozen; it is let go. `before` is what this run has
    seen, and done nothing about: as long as that init runs, LXC is not asked again.
    """
    if before is not None and before.pid is not None and not processes.is_ending(before.pid):
        return before
    deadline = time.monotonic() + SETTLE_TIMEOUT
    while True:
        found = engine.status(name)
        if found.pid is not None and processes.is_ending(found.pid):
            cgroup.thaw(name)
            if time.monotonic() > deadline:
                raise VpsError(f"state: the init of VPS '{name}' has ended, but something in the VPS does not end; see the kernel's log on the node.")
        elif found.run != STOPPED or time.monotonic() > deadline or not (engine.is_in_hand(name) or cgroup.is_watched(name)):
            return found
        time.sleep(0.02)


def keep(parts: Parts, vps: Vps, into: str, *, lock: int) -> None:
    """Keep a VPS's root file system as it is at this instant at another place; under the VPS's lock, which is `lock`.

    A VPS that runs on a storage whose copy takes its time stands still until it is made.
    """
    driver = parts.driver(vps)
    with nullcontext() if driver.instant else held_still(parts, vps.name, lock):
        driver.snapshot(parts.root(vps.name), into)


@contextmanager
def held_still(parts: Parts, name: str, lock: int) -> Iterator[None]:
    """Have a VPS frozen, if it runs."""
    if status(name).run != RUNNING:
        yield
        return
    directory = parts.vps.begin(f"{name}@{_HOLD}")
    try:
        with standing_still(parts, name, directory, lock):
            yield
    finally:
        os.rmdir(directory)


@contextmanager
def standing_still(parts: Parts, name: str, directory: str, lock: int) -> Iterator[None]:
    """Have a running VPS frozen. Should we be killed meanwhile, the next run thaws it, by a mark in a staging directory."""
    sync_filesystem(parts.root(name))  # what waits to be written is not waited for while the VPS stands still
    mark = os.path.join(directory, THAW_AGAIN)
    files.write(mark, "")
    try:
        engine.freeze(name, keep_open=lock)
        yield
    finally:
        if engine.status(name).run == FROZEN:
            engine.thaw(name)
        os.unlink(mark)
