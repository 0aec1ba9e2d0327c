# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS is asked to have on its links, routed and bridged: settled beside what it has, and checked against the node.

Pure. core/interfaces.py says what one interface is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import firewall, interfaces, pools
from .addresses import is_ipv6, within
from .errors import VpsError
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


def check(options: Mapping[str, Any], name: str, node: NodeFacts, recorded: Vps | None = None) -> None:
    """Raise VpsError for what of a VPS's new options this node cannot give, or is somebody else's."""
    if node.damaged and any(options.get(option) for option in ("addresses", "interfaces", "firewall", "publish", "labels")):
        raise VpsError(node.damaged)  # who has what is unknown, and so are the rules
    _check_ports(options.get("publish", ()), name, node)
    wanted = options.get("interfaces", ())
    interfaces.check_bridges(wanted, node.bridges)
    interfaces.check(wanted, name, node.linked, own={one.host_name for one in recorded.interfaces} if recorded else (), hardware=node.hardware)
    for number, one in enumerate(wanted):
        _refuse_taken(one.addresses, f"interfaces[{number}].addresses", name, node)
    _refuse_taken(options.get("addresses", ()), "addresses", name, node)
    for address in options.get("addresses", ()):
        if not within(address, node.networks):
            known = ", ".join(node.networks) or "none; the role mainline.vps.node sets them"
            raise VpsError(f"addresses: {address} is in no network that this node routes to its VPSs ({known}).")


def _refuse_taken(addresses: Iterable[str], option: str, name: str, node: NodeFacts) -> None:
    for address in addresses:
        owner = node.taken.get(address)
        if owner is not None and owner != f"VPS {name}":
            raise VpsError(f"{option}: {address} belongs to {owner}; give '{name}' another one.")


def _check_ports(ports: Sequence[firewall.Publish], name: str, node: NodeFacts) -> None:
    """A port leads to one VPS, and not away from what the node itself serves, such as the login of who runs this."""
    firewall.refuse_published(ports, node.published, vps=name)
    for one in ports:
        owner = node.taken.get(one.address or "")
        if owner is not None and owner.startswith("VPS "):
            raise VpsError(f"publish: {one.address} belongs to {owner}, and what is for it is not for '{name}'; give an address of the node's own.")
        if f"{one.proto}/{one.host}" in node.listening:
            raise VpsError(f"publish: the node itself listens at {one.proto} port {one.host}; give '{name}' another one.")


def warnings(wanted: Vps, node: NodeFacts) -> Iterator[str]:
    """What is asked, and comes to nothing."""
    named = {peer.partition(":")[2] for peer in wanted.firewall.peers if peer.startswith(f"{firewall.VPS}:")}
    for name in sorted(named - {*node.neighbours, wanted.name}):
        yield f"firewall: a rule names VPS '{name}', and there is none on this node; it fits nobody until there is."
    for one in wanted.publish:
        if one.address is not None and one.address not in node.taken:
            yield f"publish: {one} leads nowhere as long as {one.address} is no address of this machine's."
        if not any(one.address is None or is_ipv6(address) == is_ipv6(one.address) for address in wanted.all_addresses):
            yield f"publish: {one} leads nowhere, because VPS '{wanted.name}' has no address that it could lead to."


def lacks_routed(vps: Vps, wanted: tuple[interfaces.Interface, ...]) -> bool:
    """Whether the link that the node routes by, which is made at a start only, is to come back in the place of an interface."""
    return not interfaces.has_routed(vps) and interfaces.has_routed(replace(vps, interfaces=wanted))
