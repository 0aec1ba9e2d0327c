# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VPSs that a run stops and is to start again: a mark has the next run do it, should this one be killed in between.

The mark is a file beside the VPSs, on disk before anything is stopped, and gone when the VPS is what it was. It says what that is, and in
which boot of the node: what starts with the node is not for us to say. Who finds it holds the VPS's lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..core.errors import VpsError
from ..core.model import FROZEN, RUNNING, STOPPED
from . import cgroup, engine, files, roots, tools
from .holding import status
from .parts import Parts


@contextmanager
def given_back(parts: Parts, name: str, run: str) -> Iterator[None]:
    """Stop a VPS within, and have it again what it was, which is `run`. Whoever raises an Exception within has done what can be done."""
    if run == STOPPED:
        yield
        return
    # By no rename: another run's sweep takes each file of that beginning for a mark, and would remove the one to be renamed. Half of it says nothing, and
    # nothing has been stopped then.
    files.write_in_place(parts.vps.again(name), f"{run} {_boot()}\n")
    files.sync(parts.vps.folder)
    try:
        yield
    except Exception:
        forget(parts, name)
        raise
    forget(parts, name)


def forget(parts: Parts, name: str) -> None:
    """It is what it is to be."""
    with suppress(FileNotFoundError):
        os.unlink(parts.vps.again(name))


def start(parts: Parts, name: str, lock: int) -> None:
    """Start a VPS, in cgroups of its own name; LXC keeps its lock, which is `lock`, until it has."""
    roots.give_place(parts, name)
    if not tools.has_systemd():  # which does it, and may be starting the VPS right now
        cgroup.sweep(name)
    engine.start(name, parts.vps.path(name), keep_open=lock)


def give_back(parts: Parts, name: str, lock: int) -> list[str]:
    """Start, and freeze, a VPS that a killed run has stopped; under its lock. Gives warnings.

    What cannot be started is tried once, and keeps nobody from mending it.
    """
    run, _space, boot = (files.read(parts.vps.again(name)) or "").strip().partition(" ")
    try:
        vps = parts.vps.load(name)
        if boot != _boot() or vps is None:
            return []
        if status(name).run == STOPPED:
            roots.put(parts, vps)  # how its disk is mounted may depend on which it is by now
            start(parts, name, lock)
        if run == FROZEN and status(name).run == RUNNING:
            engine.freeze(name, keep_open=lock)
    except VpsError as error:
        return [f"A killed run had stopped VPS '{name}', and it cannot be started again: {error}"]
    finally:
        forget(parts, name)
    return []


def _boot() -> str:
    """Which boot of the node this is (random(4))."""
    return (files.read("/proc/sys/kernel/random/boot_id") or "").strip()
