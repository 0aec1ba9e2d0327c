# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network of a node, out of which its VPSs have addresses.

Pure.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .addresses import is_ipv6, is_unique_local

DEFAULT = "default"  # the network that the role gives to a node


class Network(NamedTuple):
    """Subnets that the node routes to its VPSs. `nat`: what leaves the node has an address of the node's."""

    name: str
    subnets: tuple[str, ...] = ()
    nat: bool = False

    @property
    def translated(self) -> tuple[str, ...]:
        """The subnets whose addresses nobody outside sees. A global one of IPv6 is never translated: it needs none."""
        return tuple(subnet for subnet in self.subnets if self.nat and (not is_ipv6(subnet) or is_unique_local(subnet)))


class Given(Protocol):
    """Who says which networks the node itself has: its settings, or the wish for others."""

    @property
    def networks(self) -> tuple[str, ...]:
        """Its subnets."""

    @property
    def nat(self) -> bool:
        """Whether they are translated."""


def networks_of(settings: Given) -> tuple[Network, ...]:
    """Those of a node."""
    return (Network(DEFAULT, settings.networks, settings.nat),)
