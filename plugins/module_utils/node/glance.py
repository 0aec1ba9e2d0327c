# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the machine is read once for all VPSs that are looked at, when it is first needed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property

from . import cgroup, devices, filtering, interfaces, network, rates


class Glance:
    """One look at the machine: short enough that what has been seen still holds.

    `many`: for more than one VPS, so that one program that tells of all is cheaper than one for each.
    """

    def __init__(self, *, many: bool = False) -> None:
        self._many = many
        self._folders: dict[tuple[str, int], Mapping[str, str]] = {}
        self._in_force: dict[bool, bool] = {}

    @cached_property
    def routed(self) -> dict[str, tuple[str, ...]]:
        """The addresses that the kernel routes to each link."""
        return network.routed()

    @cached_property
    def devices(self) -> devices.Counted:
        """What the node's links count, by their names; which costs less than all that there is to know of them."""
        return devices.counted()

    @cached_property
    def queues(self) -> Mapping[str, rates.Bucket] | None:
        """The token bucket of each link that has one; None where they are to be read one by one."""
        with suppress(ValueError):  # of somebody else's device tc says what is no JSON, as some releases do of some kinds of queues
            return rates.buckets() if self._many else None
        return None

    @cached_property
    def links(self) -> dict[str, interfaces.Link]:
        """The node's links."""
        return interfaces.links()

    def folders(self, name: str, pid: int) -> Mapping[str, str]:
        """Where the cgroups of a running VPS are, as cgroup.find() has them."""
        if (name, pid) not in self._folders:
            self._folders[name, pid] = cgroup.find(name, pid)
        return self._folders[name, pid]

    def in_force(self, *, bridged: bool) -> bool:
        """Whether the packet filter is as it was written down last; `bridged`: of what passes bridges too."""
        if bridged not in self._in_force:
            self._in_force[bridged] = filtering.in_force(bridged=bridged)
        return self._in_force[bridged]
