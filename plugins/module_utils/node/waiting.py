# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a VPS that is to come up, and what is said of one that does not."""

from __future__ import annotations

import math
import os
import time

from ..core import interfaces
from ..core import plan as steps
from ..core.errors import VpsError
from ..core.model import RUNNING, STOPPED, Vps
from . import engine, files, guest, network, tools
from .holding import status
from .parts import Parts


def wait(parts: Parts, step: steps.Wait) -> dict[str, object]:
    """Wait until it is what the task wants it to be; an init that ends on the way is an error."""
    vps = parts.vps.known(step.name)
    deadline = time.monotonic() + step.timeout
    pause = 0.05
    while True:
        told = awaited(parts, vps, step, status(step.name), deadline)
        if told is not None:
            return {"boot": told} if step.until == "booted" else {}
        time.sleep(pause)
        pause = min(0.5, pause * 1.5)


def awaited(parts: Parts, vps: Vps, step: steps.Wait, found: engine.Status, deadline: float, *, most: float = math.inf) -> str | None:
    """What one that is waited for says, once it is what it is to be; None as long as it may become that. Raises VpsError where it will not.

    `deadline` is a moment of time.monotonic(); a guest's own program has `most` s for an answer.
    """
    if found.run == STOPPED:
        raise has_ended(parts, step.name)
    told = reached(parts, vps, found, step.until, patience=max(1, min(most, deadline - time.monotonic())))
    if told is None and time.monotonic() > deadline:
        raise is_late(parts, step)
    return told


def has_ended(parts: Parts, name: str) -> VpsError:
    """The error for one that was to be up, and has stopped."""
    return VpsError(
        f"wait: VPS '{name}' was started and has stopped again; its init ended. The result's console has its last words.", console=_console(parts, name)
    )


def is_late(parts: Parts, step: steps.Wait) -> VpsError:
    """The error for one that has had its time."""
    return VpsError(
        f"wait: VPS '{step.name}' runs, but was not {step.until} within {step.timeout} seconds (wait_timeout); the result's console has its last words.",
        console=_console(parts, step.name),
    )


def reached(parts: Parts, vps: Vps, found: engine.Status, until: str, *, patience: float) -> str | None:
    """Whether a VPS is what it is waited for; what it says of that. A guest's own program has `patience` s for an answer."""
    if found.pid is None or found.run != RUNNING:
        return None
    if until == "running":
        return "running"
    if until == "network":
        ways_of = [*vps.addresses, *interfaces.gateways(vps, parts.networks)]
        return "running" if network.is_configured(found.pid, vps.all_addresses, ways_of) else None
    try:
        return guest.boot_state(vps, found.pid, lambda argv: engine.attach(vps.name, argv, timeout=min(30, patience)))
    except tools.TooLate:
        return None  # a guest that is busy booting may be slow to answer


def _console(parts: Parts, name: str) -> str:
    return (files.read_tail(os.path.join(parts.vps.path(name), "console.log")) or "")[-4000:]
