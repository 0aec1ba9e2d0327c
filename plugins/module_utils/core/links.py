# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS is asked to have on its links, routed and bridged: settled beside what it has, and checked against the node.

Pure. core/interfaces.py says what one interface is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import interfaces, pools
from .errors import VpsError
from .interfaces import Interface
from .model import NodeFacts, Vps


def settle(options: Mapping[str, Any], recorded: Vps | None, node: NodeFacts) -> dict[str, Any]:
    """The options of a task with what pools give for its addresses, and what was chosen for an interface before."""
    found = dict(options)
    left = {"addresses", "interfaces"} - set(options)  # of which the task says nothing: what they have, a pool may have given
    if len(left) == 2:
        return found
    wished = options.get("interfaces", recorded.interfaces if recorded else ())
    wishes = [options.get("addresses", recorded.addresses if recorded else ()), *(one.addresses for one in wished)]
    if wishes[0] and any(one.name == interfaces.ROUTED for one in wished):
        raise VpsError(f"addresses: they are routed over {interfaces.ROUTED}, which interfaces has in a network; give an empty list, and them there.")
    given, addresses = pools.settle_all(wishes, recorded, node.pools, node.taken)
    stay = {address for address in wishes[0] if "addresses" in left} | {address for each in wishes[1:] if "interfaces" in left for address in each}
    given.update({address: pool for address, pool in (recorded.pooled if recorded else ()) if address in stay})
    if "addresses" in options:
        found["addresses"] = addresses[0]
    if "interfaces" in options:
        wanted = [one._replace(addresses=own) for one, own in zip(wished, addresses[1:])]
        found["interfaces"] = interfaces.keep(wanted, recorded.interfaces if recorded else ())
    return {**found, "pooled": tuple(sorted(given.items()))}


def check(wanted: Sequence[Interface], name: str, node: NodeFacts, recorded: Vps | None) -> None:
    """Raise VpsError for interfaces that this node cannot give, or that are in part somebody else's."""
    interfaces.check_bridges(wanted, node.bridges)
    interfaces.check(wanted, name, node.linked, own={one.host_name for one in recorded.interfaces} if recorded else ())
    for number, one in enumerate(wanted):
        for address in one.addresses:
            owner = node.taken.get(address)
            if owner is not None and owner != f"VPS {name}":
                raise VpsError(f"interfaces[{number}].addresses: {address} belongs to {owner}; give '{name}' another one.")


def lacks_routed(vps: Vps, wanted: tuple[Interface, ...]) -> bool:
    """Whether the link that the node routes by, which is made at a start only, is to come back in the place of an interface."""
    return not interfaces.has_routed(vps) and interfaces.has_routed(replace(vps, interfaces=wanted))
