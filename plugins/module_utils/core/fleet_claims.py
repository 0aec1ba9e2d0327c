# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has addresses and ports, for many VPSs that are given theirs one after the other: found by the thing, and not by a look at every VPS for every VPS.

Pure. Whether one may have what it is to have is said by those who are given the others that this finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .model import Vps


class Claims:
    """What some VPSs have, of which there is one only."""

    def __init__(self, vpss: Iterable[Vps]) -> None:
        self._vpss: dict[str, Vps] = {}
        self._things: set[object] = set()
        for vps in vpss:
            self.add(vps)

    def add(self, vps: Vps) -> None:
        """One more, whose name none of them has."""
        self._vpss[vps.name] = vps
        self._things.update(vps.claimed)
        self._things.update(_ports(vps))

    def beside(self, vps: Vps) -> list[Vps]:
        """Those that have to be looked at before a new VPS gets what it is to have: none as long as nothing of that is anybody's, else all of them.

        All of them too for one that is to have interfaces, whose names and hardware addresses are chosen beside theirs.
        """
        free = not vps.interfaces and self._things.isdisjoint((*vps.all_addresses, *_ports(vps)))
        return [] if free else list(self._vpss.values())


def _ports(vps: Vps) -> Iterator[tuple[str, int]]:
    """Those that lead to it, whatever address of the node they are at."""
    return ((one.proto, one.host) for one in vps.publish)
