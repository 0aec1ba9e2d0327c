# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is told of this node, read once for all VPSs, by the parts that tell modules too.

Once a minute, beside guests that want the CPU: nothing is read that takes a program for each VPS, and nothing that looks at files one by
one. Writes nothing, waits for nobody, holds no lock.
"""

from __future__ import annotations

import os

from ..core import usage
from ..core.beancounters import DIR
from ..core.errors import VpsError
from ..core.metrics import Metered, Reading, moment
from ..core.model import Actual, Vps
from ..core.places import BACKED_UP, unit_of
from . import boot, engine, files, filtering, lxcfs
from .glance import Glance
from .node import Node
from .snapshots import SnapshotRecords


class Meter(Node):
    """This node, as far as its numbers go."""

    def reading(self) -> Reading:
        """All of it. What cannot be read is counted, and hides nothing else."""
        unread: dict[str, str] = {}
        damaged: dict[str, str] = {}
        failed = boot.failed()
        vpss, found, glance = self._parts.vps.all(unread), [], Glance(many=True)
        users: dict[str, int] = {}
        for vps in vpss:
            users[vps.template] = users.get(vps.template, 0) + 1
            try:
                found.append(self._metered(vps, glance, None if failed is None else unit_of(vps.name) in failed))
            except FileNotFoundError:
                continue  # it has been removed while we looked
            except (VpsError, OSError) as error:
                unread[vps.name] = str(error)
        return Reading(
            summary=self.summary(),
            vpss=tuple(found),
            manifests=tuple(self.manifests(damaged)),
            users=users,
            unread=len(unread),
            unread_templates=len(damaged),
            packet_filter=filtering.in_force(bridged=any(vps.interfaces for vps in vpss)),
            lxcfs=lxcfs.running(),
            failed_units=None if failed is None else len(failed),
        )

    def _metered(self, vps: Vps, glance: Glance, failed: bool | None) -> Metered:
        status = engine.ask(vps.name) or engine.status(vps.name)  # as it is at this moment: nobody waits here for one that is between two states
        actual = Actual(vps=vps, run=status.run, pid=status.pid)
        # What a VPS of storage dir has on its disk is found by counting its files.
        counted = self.counters(actual, glance, disk=vps.storage != DIR)
        return Metered(
            vps=vps,
            run=status.run,
            # The limits are those that it is held to by its record; whether the kernel agrees is for playbooks to look at.
            used=usage.tell(counted, self._parts.keepable(vps).limits),
            traffic=self.traffic(actual, glance),
            snapshots=self._snapshots(vps.name),
            failed=failed,
            backed_up=moment(files.read_start(os.path.join(self._parts.vps.path(vps.name), BACKED_UP), 64)),
        )

    def _snapshots(self, name: str) -> tuple[float, ...]:
        """When they were made; of those that cannot be read nothing."""
        shelf, found = SnapshotRecords(self._parts.vps, name), []
        for each in shelf.names():
            try:
                one = shelf.load(each)
            except VpsError:
                continue
            if one is not None:
                found.append(one.created)
        return tuple(found)
