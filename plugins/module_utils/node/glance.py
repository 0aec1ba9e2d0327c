# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the machine is read once for all VPSs that are looked at, when it is first needed."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

from . import devices, filtering, interfaces, network


class Glance:
    """One look at the machine: short enough that what has been seen still holds."""

    def __init__(self) -> None:
        self._in_force: dict[bool, bool] = {}

    @cached_property
    def routed(self) -> dict[str, tuple[str, ...]]:
        """The addresses that the kernel routes to each link."""
        return network.routed()

    @cached_property
    def devices(self) -> Collection[str]:
        """The names of the node's links, which cost less than all of them."""
        return devices.counters().keys()

    @cached_property
    def links(self) -> dict[str, interfaces.Link]:
        """The node's links."""
        return interfaces.links()

    def in_force(self, *, bridged: bool) -> bool:
        """Whether the packet filter is as it was written down last; `bridged`: of what passes bridges too."""
        if bridged not in self._in_force:
            self._in_force[bridged] = filtering.in_force(bridged=bridged)
        return self._in_force[bridged]
