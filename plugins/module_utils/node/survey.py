# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All VPSs of the node at one look, for who tells of them: records once, the kernel's tables once, and no program for a VPS that stands still.

Holds no lock, and waits for nobody but a VPS that is between two states. How one VPS is read stays node.py's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ..core import usage
from ..core.beancounters import IMAGE
from ..core.builds import Build
from ..core.model import Actual, NodeFacts, Vps
from . import engine, processes, vps_steps
from .glance import Glance
from .parts import Parts

if TYPE_CHECKING:
    from ..core.snapshots import Snapshot
    from .node import Node

_FRESH = 0.05  # s for which what has been seen of all links is true of one that does not look as its record has it


class Survey:
    """`vpss` are those that are finished, by their names; `unread` says of what cannot be read why, by its name."""

    def __init__(self, node: Node, parts: Parts) -> None:
        self._node, self._parts = node, parts
        self._look()
        self.unread: dict[str, str] = {}
        making = parts.making(self.unread)  # first, so that one that is finished while we look is not missed
        self.vpss = parts.vps.all(self.unread)
        names = {vps.name for vps in self.vpss}
        self._making = [vps for vps in making if vps.name not in names]
        self._why = min(self.unread.values(), default=None)

    def _look(self) -> None:
        self._since, self._glance = time.monotonic(), Glance(many=True)

    def users(self) -> Mapping[str, Mapping[str, Build | None]]:
        """The VPSs, those being made included, and of which build they are, by the template that they came from."""
        found: dict[str, dict[str, Build | None]] = {}
        for vps in (*self.vpss, *self._making):
            found.setdefault(vps.template, {})[vps.name] = vps.build
        return found

    def summary(self) -> dict[str, object]:
        """What the node is made of."""
        return self._node.summary(self._parts.room((*self.vpss, *self._making) if self._why is None else (), self._why))

    def find(self, vps: Vps) -> Actual:
        """Whether a VPS runs, and nothing else of it."""
        status = vps_steps.status_of_many(vps.name)
        return Actual(vps=vps, run=status.run, pid=status.pid)

    def read(self, found: Actual, *, limits: bool, disk: bool) -> Actual:
        """All of one that has been found, without its `limits`, or those of its `disk`, if nobody asks for them; None of it where it is gone."""
        if found.vps is None:
            return found
        facts, status = NodeFacts(abilities=self._parts.abilities), engine.Status(found.run, found.pid)
        again = False
        while True:
            try:
                actual = self._node.read_known(found.vps, facts, (), self._glance, decides=False, status=status, limits=limits, disk=limits or disk)
            except (FileNotFoundError, ProcessLookupError):  # it has stopped, rebooted or gone while we looked
                return self._node.read_vps(found.vps.name, decides=False)
            if again or actual.vps is None or _linked(actual.vps) == _linked(found.vps) or time.monotonic() - self._since < _FRESH:
                return actual
            # Once: one that was started since the last time has links and routes that were not there. One whose guest has removed a link never has.
            again = True
            self._look()

    def counters(self, actual: Actual, *, kernel: bool) -> usage.Counters:
        """What the kernel counts of one; of what is on its disk alone, without `kernel`."""
        return self._node.counters(actual, self._glance, kernel=kernel)

    def traffic(self, actual: Actual) -> dict[str, int]:
        """What its links have carried."""
        return self._node.traffic(actual, self._glance)

    def uptime(self, actual: Actual) -> int | None:
        """Seconds since its init was started; None where it does not run."""
        if actual.pid is not None:
            with suppress(FileNotFoundError, ProcessLookupError):
                return processes.age(actual.pid)
        return None

    def device(self, vps: Vps) -> str | None:
        """The loop device of a disk that is in an image, as long as it is mounted."""
        if vps.storage != IMAGE:
            return None
        with suppress(OSError):
            return f"/dev/{os.path.basename(os.readlink(f'/sys/dev/block/{self._parts.abilities_of(vps).io_device}'))}"
        return None

    def snapshots(self, name: str) -> tuple[list[tuple[Snapshot, int | None]], dict[str, str]]:
        """Its snapshots, the oldest first, each with the bytes that are its own; and of those that cannot be read why."""
        return self._node.snapshots(name)


def _linked(vps: Vps) -> tuple[object, ...]:
    """What of a VPS is read of all at once."""
    return set(vps.addresses), vps.rates, vps.interfaces
