# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What VPSs at a bridge may send, and to whom: the text of our table of nf_tables' family bridge; and the script that makes our bridges.

Pure. What the node routes, to and from these VPSs too, is core/ruleset.py's. The two tables are two files and two transactions, so that a
kernel that does not take this one keeps back the VPSs at bridges, and no others.

Each port has one hardware address and the IP addresses of its interface. Neighbour discovery is held to them by what it says, not only by whom it
comes from: the target of an advertisement, the sender of an ARP packet. Documents: nft(8), RFC 826, RFC 4861, RFC 6980 (fragments), RFC 3810.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .addresses import is_ipv6, with_prefix
from .interfaces import Interface, link_local
from .model import Vps
from .networks import Network
from .nodefiles import WRITTEN
from .places import HOST_PREFIX, TABLE
from .ruleset import (
    FAMILIES, ISOLATED, REFUSE, UNDER_WAY, Ruleset, all_text, base_text, chain_of,
    chain_text, elements_text, incoming_rules, no_rules, of_family, outgoing_rules, peer_sets, related_text, table_text,
)

NO_RULES = no_rules("bridge")
# What a kernel has to take for that; the second, to know what is under way already, is nf_conntrack_bridge's.
FILTERS = f'table bridge {TABLE}_try {{\n\tchain try {{\n\t\tiifname . arp saddr ip {{ "lo" . 192.0.2.1 }} drop\n\t}}\n}}\n'
TRACKS = (
    f"table bridge {TABLE}_try {{\n\tchain try {{\n\t\tct state established accept\n"
    '\t\tct state related iifname . ct original ip saddr { "lo" . 192.0.2.1 } accept\n\t}\n}\n'
)
_IP, _IP6, _ARP = "0x0800", "0x86dd", "0x0806"


def bridging(networks: Sequence[Network], vpss: Sequence[Vps]) -> Ruleset | None:
    """The table of what passes bridges; None for a node without VPSs there."""
    vpss = sorted(vpss, key=lambda vps: vps.name)
    if not any(vps.interfaces for vps in vpss):
        return None
    chains = _own_chains([vps for vps in vpss if vps.interfaces])
    own = (line for name, rules in chains.items() for line in chain_text(name, rules))
    tracks = all(network.tracks for network in networks if network.bridge)
    everybody = (line for family in FAMILIES for line in all_text(vpss, family))
    body = "\n".join([*peer_sets(vpss), *everybody, *chain_text("isolated", ISOLATED), *own, *_ports(vpss, chains), *_source(), *_hooks(tracks)])
    return table_text("bridge", body)


def _own_chains(vpss: Iterable[Vps]) -> dict[str, list[str]]:
    """The rules of each VPS, by the names of their chains.

    No port of the node leads here. The kernel answers nobody whom it only bridges: what is to be rejected is dropped.
    """
    found = {}
    for vps in vpss:
        found[f"from_{vps.name}"] = list(outgoing_rules(vps.firewall.outgoing))
        found[f"to_{vps.name}"] = [rule for rule in incoming_rules(vps) if not rule.startswith("ct ")]
    return {
        name: [rule.replace(REFUSE, "drop") for rule in rules]
        for name, rules in found.items()
        if rules and rules != ISOLATED
    }


def _ports(vpss: Iterable[Vps], chains: Mapping[str, object]) -> Iterator[str]:
    """Whose a port is: everything that may come by it, and the chains of its VPS."""
    each = [(vps, _at_home(vps, one)) for vps in vpss for one in vps.interfaces]
    yield from elements_text("set ports", "ifname . ether_addr", (f'"{one.host_name}" . {one.mac}' for _vps, one in each))
    fours = [(one, address) for _vps, one in each for address in of_family(one.addresses, "4")]
    sixes = [(one, address) for _vps, one in each for address in of_family(one.addresses, "6")]
    locals_ = [(one, link_local(one.mac or "")) for _vps, one in each if of_family(one.addresses, "6")]
    senders = (f'"{one.host_name}" . {one.mac} . {address}' for one, address in fours)
    yield from elements_text("set speakers", "ifname . ether_addr . ipv4_addr", senders)
    yield from elements_text("set own4", "ifname . ipv4_addr", map(_at, fours))
    yield from elements_text("set own6", "ifname . ipv6_addr", map(_at, sixes))
    yield from elements_text("set near6", "ifname . ipv6_addr", map(_at, [*sixes, *locals_]))
    # Of the same addresses, as the bytes that a message of neighbour discovery has its target in.
    targets = (f'"{one.host_name}" . 0x{int(ipaddress.IPv6Address(address)):032x}' for one, address in [*sixes, *locals_])
    yield from _typeof("set targets", "iifname . @th,64,128", targets)
    for way in ("from", "to"):
        jumps = ((one.host_name, chain_of(way, vps, chains)) for vps, one in each)
        yield from elements_text(f"map {way}_ports", "ifname : verdict", (f'"{port}" : jump {chain}' for port, chain in jumps if chain))


def _at_home(vps: Vps, one: Interface) -> Interface:
    """With all addresses that its VPS has in that network: a guest with two links there answers by either."""
    return one._replace(addresses=tuple(address for each in vps.interfaces if each.network == one.network for address in each.addresses))


def _at(pair: tuple[Interface, str]) -> str:
    return f'"{pair[0].host_name}" . {pair[1]}'


def _typeof(name: str, kind: str, elements: Iterable[str]) -> Iterator[str]:
    """A set of what has no name among nft's types."""
    for line in elements_text(name, kind, elements):
        yield line.replace("\t\ttype ", "\t\ttypeof ", 1)


def _source() -> Iterator[str]:
    yield "\t# Whatever is not a port's own ends here: what it claims to be, and what only routers and servers say."
    yield from chain_text("source", [
        "iifname . ether saddr != @ports drop",
        f"@ll,96,16 {_ARP} jump source_arp",
        f"@ll,96,16 {_IP} jump source_ip4",
        f"@ll,96,16 {_IP6} jump source_ip6",
        "drop",  # other protocols, and VLANs of a guest's own making
    ])
    yield from chain_text("source_arp", [
        "iifname . arp saddr ether . arp saddr ip @speakers accept",
        # Who asks before it takes an address (RFC 5227) says that it is about to; another one who is would let go of it.
        "arp operation request arp saddr ip 0.0.0.0 iifname . arp saddr ether @ports iifname . arp daddr ip @own4 accept",
        "drop",
    ])
    yield from chain_text("source_ip4", [
        "udp sport 67 drop",
        "udp dport 68 drop",  # a client does not look by which port its answer has left
        "igmp type membership-query drop",  # who asks is taken for a router, and sent all groups
        "iifname . ip saddr @own4 accept",
        "drop",
    ])
    yield from chain_text("source_ip6", [
        "udp sport 547 drop",
        "udp dport 546 drop",
        # A fragment hides what it is; none of neighbour discovery's may be one, and it alone has this hop limit.
        "ip6 hoplimit 255 exthdr frag exists drop",
        "icmpv6 type { nd-router-advert, nd-redirect, mld-listener-query } drop",
        "icmpv6 type { nd-neighbor-advert, nd-neighbor-solicit } goto source_nd",
        "iifname . ip6 saddr @own6 accept",
        "ip6 saddr != :: iifname . ip6 saddr != @near6 drop",
        # Without these a bridge that listens to them sends no neighbour discovery here.
        "ip6 daddr ff02::/16 icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report, nd-router-solicit } accept",
        "drop",
    ])
    yield from chain_text("source_nd", [
        "icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @targets drop",
        "iifname . ip6 saddr @near6 accept",
        "icmpv6 type nd-neighbor-solicit ip6 saddr :: iifname . @th,64,128 @targets accept",
        "drop",
    ])


def _hooks(tracks: bool) -> Iterator[str]:
    ours = f'iifname "{HOST_PREFIX}*"'
    yield from base_text("prerouting", "filter hook prerouting priority -300", [f"{ours} jump source"])
    if tracks:
        yield from related_text("own")
    first = [
        *(UNDER_WAY if tracks else []),
        "meta protocol arp accept",
        "meta protocol ip6 meta l4proto 58 @th,0,8 { 133, 134, 135, 136, 137 } accept",  # which the ports are held to already
    ]
    yield from base_text("sending", "filter hook forward priority -10", [*first, "iifname vmap @from_ports"])
    yield from base_text("receiving", "filter hook forward priority -5", [*first, "oifname vmap @to_ports"])


# -- the bridges of our making ----------------------------------------------------------------------------------------


def script(networks: Iterable[Network]) -> str | None:
    """The script that has the kernel have them, in whatever state they are; None where there is none. It fails where one cannot be made.

    A bridge's hardware address and MTU would otherwise be those of some port, and change when a VPS starts or ends.
    """
    made = [network for network in networks if network.made and network.bridge]
    if not made:
        return None
    lines = [f"#!/bin/sh -e\n{WRITTEN}"]
    for network in made:
        name = network.bridge
        there = f"[ -e /proc/sys/net/ipv4/conf/{name} ]"
        make = f'ip link add name {name} address "02:77$(od -An -N4 -tx1 /dev/urandom | tr \' \' :)" mtu 1500 type bridge stp_state 0 forward_delay 0'
        lines.append(f"{there} || {make} 2>/dev/null || {there}\n")
        lines.append(f"ip link set dev {name} up\n")
        if any(map(is_ipv6, network.gateways)):
            lines += [f"echo {value} >/proc/sys/net/ipv6/conf/{name}/{key}\n" for key, value in (("disable_ipv6", 0), ("accept_ra", 0))]
        for gateway in network.gateways:
            lines.append(f"ip address replace {with_prefix(gateway, network.subnets)} dev {name}{' nodad' if is_ipv6(gateway) else ''}\n")
    return "".join(lines)
