# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's packet filter: the text of our one table, made whole from the records of all VPSs.

Pure. Nobody edits it: a change is a new text, which nft takes whole or not at all. What no record knows of is dropped, so a VPS
whose rules are not there yet, or not any more, talks to nobody.

A packet of a VPS has to come with an address of that VPS, and by its own link; after that its address tells whose it is. On its way
to somebody else it passes the sender's chain and then the receiver's: both must let it pass. Documents: nft(8).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .addresses import is_ipv6
from .firewall import ACCEPT, DROP, ICMP, LABEL, NODE, REJECT, VPS, Policy, Publish, Rule
from .model import Vps
from .networks import Network
from .nodefiles import WRITTEN
from .places import HOST_PREFIX, TABLE, link_of

NO_RULES = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"  # added before, so that it is no error where it is gone
_FAMILIES = ("4", "6")
_TYPE = {"4": "ipv4_addr", "6": "ipv6_addr"}
_IP = {"4": "ip", "6": "ip6"}
_REFUSE = "goto refused"
MARK = "is_"
_NAMED = re.compile(r"^\t(chain|set|map) (\S+) \{", re.MULTILINE)
_MARKED = re.compile(rf"^\tchain {MARK}([0-9a-f]+) ", re.MULTILINE)


class Ruleset(NamedTuple):
    """The text for nft, and what tells whether the kernel has it: its mark, which is the name of a chain in it, and how many rules there are."""

    text: str
    mark: str
    rules: int


def ruleset(networks: Sequence[Network], vpss: Sequence[Vps]) -> Ruleset:
    """The one table of a node. Tables of others are not named in it."""
    vpss = sorted(vpss, key=lambda vps: vps.name)
    body = "\n".join([*_addresses(vpss), *_own_chains(vpss), *_hooks(networks), *_translation(networks, vpss)])
    mark = MARK + hashlib.sha256(body.encode()).hexdigest()[:32]
    text = f"{WRITTEN}{NO_RULES}table inet {TABLE} {{\n\tchain {mark} {{\n\t}}\n{body}\n}}\n"
    return Ruleset(text, mark, rules_in(text))


def rules_in(text: str) -> int:
    """How many rules there are in a text that `ruleset` made."""
    return sum(line.startswith("\t\t") and not line.startswith(("\t\t\t", "\t\ttype ", "\t\telements ", "\t\t}")) for line in text.split("\n"))


def in_place(text: str, there: Iterable[tuple[str, str]]) -> str:
    """A text of `ruleset` for a kernel that has our table already, with these (kind, name): its chains stay, and get other rules.

    A packet that is on its way in the moment of the change meets a chain with its old rules or with its new ones, but one that is deleted
    lets it pass, as the one that comes for it did a moment before. What maps lead to goes after them.
    """
    kept, there = set(_NAMED.findall(text)), list(there)
    lists = [f"{'flush' if (kind, name) in kept else 'delete'} {kind} inet {TABLE} {name}" for kind, name in there if kind != "chain"]
    chains = [f"delete {kind} inet {TABLE} {name}" for kind, name in there if kind == "chain" and (kind, name) not in kept]
    return text.replace(NO_RULES, "\n".join([f"flush table inet {TABLE}", *lists, *chains, ""]))


def mark_of(text: str | None) -> str | None:
    """The mark of a text that `ruleset` made; None for another."""
    found = _MARKED.search(text or "")
    return MARK + found.group(1) if found else None


# -- whose an address is ----------------------------------------------------------------------------------------------


def _addresses(vpss: Sequence[Vps]) -> Iterator[str]:
    for family in _FAMILIES:
        own = [(link_of(vps.id_base), address) for vps in vpss for address in _of(vps.addresses, family)]
        yield from _elements(f"set own{family}", f"ifname . {_TYPE[family]}", (f'"{interface}" . {address}' for interface, address in own))
        yield from _elements(f"set all{family}", _TYPE[family], (address for _interface, address in own))
        for way in ("from", "to", "asks"):
            jumps = (f"{address} : jump {way}_{vps.name}" for vps in vpss for address in _of(vps.addresses, family))
            yield from _elements(f"map {way}{family}", f"{_TYPE[family]} : verdict", jumps)


def _of(addresses: Iterable[str], family: str) -> list[str]:
    return [address for address in addresses if is_ipv6(address) == (family == "6")]


def _elements(name: str, kind: str, elements: Iterable[str], *more: str) -> Iterator[str]:
    listed = ",\n\t\t\t".join(elements)
    yield f"\t{name} {{"
    yield f"\t\ttype {kind}"
    yield from (f"\t\t{line}" for line in more)
    if listed:
        yield f"\t\telements = {{\n\t\t\t{listed}\n\t\t}}"
    yield "\t}"


# -- what each VPS has asked for --------------------------------------------------------------------------------------


def _own_chains(vpss: Sequence[Vps]) -> Iterator[str]:
    for vps in vpss:
        yield from _chain(f"from_{vps.name}", _outgoing(vps.firewall.outgoing, vpss))
        yield from _chain(f"to_{vps.name}", _incoming(vps, vpss))
        yield from _chain(f"asks_{vps.name}", _asking(vps.firewall.outgoing))


def _outgoing(policy: Policy, everybody: Sequence[Vps]) -> Iterator[str]:
    for rule in policy.rules:
        if rule.peers != (NODE,):  # on its way to somebody else it does not meet the node
            yield from _matches(rule, everybody, "daddr")
    yield from _default(policy)


def _incoming(vps: Vps, everybody: Sequence[Vps]) -> Iterator[str]:
    """After what is published and what a rule accepts: neighbours have to be let in by their own rule, whatever the default is."""
    for one in vps.publish:
        yield f"ct status dnat meta l4proto {one.proto} th dport {one.guest} return"
    for rule in vps.firewall.incoming.rules:
        yield from _matches(rule, everybody, "saddr")
    if vps.isolated:
        yield from (f"{_IP[family]} saddr @all{family} drop" for family in _FAMILIES)
    yield from _default(vps.firewall.incoming)


def _asking(policy: Policy) -> Iterator[str]:
    """What it wants of the node itself: only what a rule says that names the node."""
    for rule in policy.rules:
        if NODE in rule.peers or (not rule.peers and rule.action != ACCEPT):
            yield from (f"{match}{_verdict(rule.action, final=True)}" for match in _ports(rule))


def _matches(rule: Rule, everybody: Sequence[Vps], side: str) -> Iterator[str]:
    """The lines of a rule: one for each family that its peers are of."""
    verdict = _verdict(rule.action)
    for ports in _ports(rule):
        if not rule.peers:
            yield f"{ports}{verdict}"
            continue
        for family in _FAMILIES:
            peers = ", ".join(_of(_peers(rule.peers, everybody), family))
            if peers:
                yield f"{_IP[family]} {side} {{ {peers} }} {ports}{verdict}"


def _ports(rule: Rule) -> Iterator[str]:
    if rule.ports:
        yield f"{rule.proto} dport {{ {', '.join(_apart(rule.ports))} }} "
    elif rule.proto == ICMP:
        yield "meta l4proto { icmp, ipv6-icmp } "
    else:
        yield f"meta l4proto {rule.proto} " if rule.proto else ""


def _apart(ports: Iterable[str]) -> list[str]:
    """Ranges that do not overlap, for which nft has no place in a set."""
    found: list[list[int]] = []
    for first, last in sorted((int(text.partition("-")[0]), int(text.rpartition("-")[2])) for text in ports):
        if found and first <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]


def _peers(peers: Iterable[str], everybody: Sequence[Vps]) -> list[str]:
    """The subnets that they stand for, none within another, for which nft has no place in a set."""
    found: list[str] = []
    for peer in peers:
        kind, _colon, rest = peer.partition(":")
        if peer == VPS:
            found += [address for vps in everybody for address in vps.addresses]
        elif kind == VPS:
            found += [address for vps in everybody if vps.name == rest for address in vps.addresses]
        elif kind == LABEL:
            found += [address for vps in everybody if rest in _labels(vps) for address in vps.addresses]
        elif peer != NODE:
            found.append(peer)
    networks = [ipaddress.ip_network(text) for text in found]
    versions = ([network for network in networks if network.version == version] for version in (4, 6))
    return [str(network) for one in versions for network in ipaddress.collapse_addresses(one)]  # type: ignore[type-var]


def _labels(vps: Vps) -> set[str]:
    return {f"{key}={value}" for key, value in vps.labels}


def _verdict(action: str, *, final: bool = False) -> str:
    """What the kernel does: who is let pass by one of the two sides still has to get past the other."""
    if action == ACCEPT:
        return "accept" if final else "return"
    return "drop" if action == DROP else _REFUSE


def _default(policy: Policy) -> Iterator[str]:
    if policy.default != ACCEPT:
        yield _verdict(policy.default)


# -- where the kernel asks --------------------------------------------------------------------------------------------


def _hooks(networks: Sequence[Network]) -> Iterator[str]:
    ours = f'iifname "{HOST_PREFIX}*"'
    yield "\t# A reset for TCP: of what ICMP says, a client on this machine may take notice a second later only, when it tries again."
    yield from _chain("refused", ["meta l4proto tcp reject with tcp reset", "reject with icmpx admin-prohibited"])
    yield "\t# No spoofing: what comes by the link of a VPS has an address of that VPS. Neighbour discovery has others for itself."
    yield from _chain("source", [
        "iifname . ip saddr @own4 return",
        "iifname . ip6 saddr @own6 return",
        "ip6 saddr { ::, fe80::/10 } ip6 daddr { fe80::/10, ff02::/16 } meta l4proto ipv6-icmp return",
        "drop",
    ])
    from_outside = f'iifname != "lo" iifname != "{HOST_PREFIX}*"'
    yield from _base("prerouting", "filter hook prerouting priority raw", [
        f"{ours} jump source",
        *(f"{from_outside} {_IP[family]} saddr @all{family} drop" for family in _FAMILIES),
    ])
    yield "\t# What is under way already stays: a change of rules is for new connections."
    established = "ct state established,related accept"
    yield from _base("sending", "filter hook forward priority filter - 10", [established, "ip saddr vmap @from4", "ip6 saddr vmap @from6"])
    yield "\t# What a network's router sends here, and no VPS that runs has, would go back to it by the way out, and come again."
    subnets = [(_IP["6" if is_ipv6(subnet) else "4"], subnet) for network in networks for subnet in network.subnets]
    lost = [f'oifname != "{HOST_PREFIX}*" {ip} daddr {subnet} reject with icmpx host-unreachable' for ip, subnet in subnets]
    yield from _base("receiving", "filter hook forward priority filter - 5", [*lost, established, "ip daddr vmap @to4", "ip6 daddr vmap @to6"])
    yield "\t# The node is there for nobody whom it does not know, but for what tells whether the way is open."
    yield from _base("asking", "filter hook input priority filter - 10", [f"{ours} jump node"])
    yield from _chain("node", [
        established.replace("accept", "return"),
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, echo-request } return",
        "icmp type echo-request return",
        "icmpv6 type { nd-router-advert, nd-redirect } drop",
        "ip saddr vmap @asks4",
        "ip6 saddr vmap @asks6",
        f"meta pkttype host {_REFUSE}",
        "drop",
    ])


def _base(name: str, hook: str, rules: Iterable[str]) -> Iterator[str]:
    return _chain(name, [f"type {hook}; policy accept;", *rules])


def _chain(name: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"\tchain {name} {{"
    yield from (f"\t\t{rule}" for rule in rules)
    yield "\t}"


# -- what the node's own addresses stand for --------------------------------------------------------------------------


def _translation(networks: Sequence[Network], vpss: Sequence[Vps]) -> Iterator[str]:
    published = [(one, guest) for vps in vpss for one in vps.publish for guest in _guests(one, vps)]
    for family in _FAMILIES:
        there = [(one, guest) for one, guest in published if is_ipv6(guest) == (family == "6")]
        target = f"{_TYPE[family]} . inet_service"
        anywhere = (f"{one.proto} . {one.host} : {guest} . {one.guest}" for one, guest in there if one.address is None)
        yield from _elements(f"map ports{family}", f"inet_proto . inet_service : {target}", anywhere)
        at = (f"{one.address} . {one.proto} . {one.host} : {guest} . {one.guest}" for one, guest in there if one.address is not None)
        yield from _elements(f"map ports_at{family}", f"{_TYPE[family]} . inet_proto . inet_service : {target}", at)
    yield from _base("published", "nat hook prerouting priority dstnat", _to_guests())
    yield "\t# And for who connects on the node itself; what is bound to the loopback stays there."
    yield from _base("published_here", "nat hook output priority -100", ["ip daddr 127.0.0.0/8 return", "ip6 daddr ::1 return", *_to_guests()])
    leaving = []
    for address in sorted({guest for _one, guest in published}):
        ip = _IP["6" if is_ipv6(address) else "4"]
        leaving.append(f"{ip} saddr {address} {ip} daddr {address} ct status dnat masquerade")  # a VPS that comes to itself by way of the node
    for network in networks:
        for subnet in network.translated:
            family = "6" if is_ipv6(subnet) else "4"
            leaving.append(f'oifname != "{HOST_PREFIX}*" {_IP[family]} saddr {subnet} {_IP[family]} daddr != @all{family} masquerade')
    yield from _base("leaving", "nat hook postrouting priority srcnat", leaving)


def _to_guests() -> list[str]:
    rules = []
    for family in _FAMILIES:
        ip = _IP[family]
        rules.append(f"dnat {ip} to {ip} daddr . meta l4proto . th dport map @ports_at{family}")
        rules.append(f"fib daddr type local dnat {ip} to meta l4proto . th dport map @ports{family}")
    return rules


def _guests(one: Publish, vps: Vps) -> Iterator[str]:
    """Where a published port leads: the VPS's first address of each family, or of that which the node's address is of."""
    for family in _FAMILIES:
        if one.address is None or is_ipv6(one.address) == (family == "6"):
            yield from _of(vps.addresses, family)[:1]
