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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .addresses import is_ipv6
from .firewall import ACCEPT, DROP, ICMP, LABEL, NODE, TCP, UDP, VPS, Policy, Publish, Rule
from .interfaces import link_local, mac_of
from .model import Vps
from .networks import Network, bridges_of
from .nodefiles import WRITTEN
from .places import HOST_PREFIX, MARK, TABLE, link_of

FAMILIES = ("4", "6")
TYPE = {"4": "ipv4_addr", "6": "ipv6_addr"}
_IP = {"4": "ip", "6": "ip6"}
REFUSE = "goto refused"
_COMMENT = 120  # bytes; nft takes no more than 128
_NUMBER = {TCP: 6, UDP: 17}  # nft looks names up in /etc/protocols, which a small Debian does not have
_ICMP, _ICMP6 = 1, 58
_WAYS = ("from", "to", "asks")  # the maps that lead to a VPS's chains
UNDER_WAY = ["ct state established accept", "ct state related jump related"]
ISOLATED = [f"{_IP[family]} saddr @all{family} drop" for family in FAMILIES]  # no neighbour gets further
_NAMED = re.compile(r"^\t(chain|set|map) (\S+) \{", re.MULTILINE)


def no_rules(family: str) -> str:
    """The text that takes our table of a family away; it is added before, so that it is no error where it is gone."""
    return f"add table {family} {TABLE}\ndelete table {family} {TABLE}\n"


NO_RULES = no_rules("inet")


class Ruleset(NamedTuple):
    """The text for nft, and what tells whether the kernel has it: its mark, which is the name of a chain in it, and how many rules there are."""

    text: str
    mark: str
    rules: int


def ruleset(networks: Sequence[Network], vpss: Sequence[Vps]) -> Ruleset:
    """The table of what is routed. Tables of others are not named in it; what passes a bridge is core/bridging.py's."""
    vpss = sorted(vpss, key=lambda vps: vps.name)
    chains = _own_chains(vpss)
    own = (line for name, rules in chains.items() for line in chain_text(name, rules))
    hooks = _hooks(networks, bridged=any(vps.interfaces for vps in vpss))
    sets = _addresses(networks, vpss, chains)
    body = "\n".join([*peer_sets(vpss), *chain_text("isolated", ISOLATED), *own, *sets, *hooks, *_translation(networks, vpss)])
    return table_text("inet", body)


def table_text(family: str, body: str) -> Ruleset:
    """Our table of a family of nf_tables', marked by what is in it."""
    mark = MARK + hashlib.sha256(body.encode()).hexdigest()[:32]
    text = f"{WRITTEN}{no_rules(family)}table {family} {TABLE} {{\n\tchain {mark} {{\n\t}}\n{body}\n}}\n"
    return Ruleset(text, mark, rules_in(text))


def rules_in(text: str) -> int:
    """How many rules there are in a text that `ruleset` made."""
    others = ("\t\t\t", "\t\ttype ", "\t\ttypeof ", "\t\tcomment ", "\t\telements ", "\t\t}")
    return sum(line.startswith("\t\t") and not line.startswith(others) for line in text.split("\n"))


def in_place(text: str, there: Iterable[tuple[str, str]], *, family: str = "inet") -> str:
    """A text of `ruleset`, or of a bridge's table, for a kernel that has our table already, with these (kind, name): its chains stay, and get other rules.

    A packet that is on its way in the moment of the change meets a chain with its old rules or with its new ones, but one that is deleted
    lets it pass, as the one that comes for it did a moment before. What maps lead to goes after them.
    """
    kept, there = set(_NAMED.findall(text)), list(there)
    lists = [f"{'flush' if (kind, name) in kept else 'delete'} {kind} {family} {TABLE} {name}" for kind, name in there if kind != "chain"]
    chains = [f"delete {kind} {family} {TABLE} {name}" for kind, name in there if kind == "chain" and (kind, name) not in kept]
    return text.replace(no_rules(family), "\n".join([f"flush table {family} {TABLE}", *lists, *chains, ""]))


# -- whose an address is ----------------------------------------------------------------------------------------------


def _addresses(networks: Sequence[Network], vpss: Sequence[Vps], chains: Mapping[str, Sequence[str]]) -> Iterator[str]:
    bridges = bridges_of(networks)
    at = [(bridges[one.network], one) for vps in vpss for one in vps.interfaces if one.network in bridges]
    if any(vps.interfaces for vps in vpss):
        yield from elements_text("set homes", "ifname . ether_addr", sorted({f'"{bridge}" . {one.mac}' for bridge, one in at}))
    for family in FAMILIES:
        if any(vps.interfaces for vps in vpss):
            homes = (f'"{bridge}" . {address}' for bridge, one in at for address in of_family(one.addresses, family))
            yield from elements_text(f"set home{family}", f"ifname . {TYPE[family]}", homes)
        own = [(link_of(vps.id_base), address) for vps in vpss for address in of_family(vps.addresses, family)]
        yield from elements_text(f"set own{family}", f"ifname . {TYPE[family]}", (f'"{interface}" . {address}' for interface, address in own))
        yield from all_text(vpss, family)
        if family == "6":  # what a guest's kernel calls itself on its link; any it likes would each cost the node an entry among its neighbours
            links = (link_of(vps.id_base) for vps in vpss if of_family(vps.addresses, "6"))
            near = (link_local(mac_of(vps.id_base)) for vps in vpss if of_family(vps.addresses, "6"))
            yield from elements_text("set near6", f"ifname . {TYPE['6']}", (f'"{interface}" . {address}' for interface, address in zip(links, near)))
        for way in _WAYS:
            jumps = ((address, chain_of(way, vps, chains)) for vps in vpss for address in of_family(vps.all_addresses, family))
            yield from elements_text(f"map {way}{family}", f"{TYPE[family]} : verdict", (f"{address} : jump {chain}" for address, chain in jumps if chain))


def all_text(vpss: Iterable[Vps], family: str) -> Iterator[str]:
    """The set of the addresses of all VPSs, of one family."""
    yield from elements_text(f"set all{family}", TYPE[family], of_family((address for vps in vpss for address in vps.all_addresses), family))


def chain_of(way: str, vps: Vps, chains: Mapping[str, object]) -> str | None:
    """Where a VPS's packets go: to a chain of its own, to that of all who have asked for nothing, or nowhere."""
    own = f"{way}_{vps.name}"
    return own if own in chains else "isolated" if way == "to" and vps.isolated else None


def of_family(addresses: Iterable[str], family: str) -> list[str]:
    return [address for address in addresses if is_ipv6(address) == (family == "6")]


def elements_text(name: str, kind: str, elements: Iterable[str], *more: str) -> Iterator[str]:
    listed = ",\n\t\t\t".join(elements)
    yield f"\t{name} {{"
    yield f"\t\ttype {kind}"
    yield from (f"\t\t{line}" for line in more)
    if listed:
        yield f"\t\telements = {{\n\t\t\t{listed}\n\t\t}}"
    yield "\t}"


# -- what each VPS has asked for --------------------------------------------------------------------------------------


def _own_chains(vpss: Sequence[Vps]) -> dict[str, list[str]]:
    """The rules of each VPS that has asked for any, by the names of their chains."""
    found = {}
    for vps in vpss:
        found[f"from_{vps.name}"] = list(outgoing_rules(vps.firewall.outgoing))
        found[f"to_{vps.name}"] = list(incoming_rules(vps))
        found[f"asks_{vps.name}"] = list(_asking(vps.firewall.outgoing))
    return {name: rules for name, rules in found.items() if rules and rules != ISOLATED}


def peer_sets(vpss: Sequence[Vps]) -> Iterator[str]:
    """A set for each VPS and each label that a rule names, which may be nobody's."""
    named = sorted({peer for vps in vpss for peer in vps.firewall.peers if ":" in peer and peer.partition(":")[0] in (VPS, LABEL)})
    labelled: dict[str, list[str]] = {}
    for vps in vpss:
        for peer in (f"{VPS}:{vps.name}", *(f"{LABEL}:{key}={value}" for key, value in vps.labels)):
            labelled.setdefault(peer, []).extend(vps.all_addresses)
    for peer in named:
        for family in FAMILIES:
            yield from elements_text(f"set {_set_of(peer)}{family}", TYPE[family], of_family(labelled.get(peer, ()), family), f'comment "{peer[:_COMMENT]}"')


def _set_of(peer: str) -> str:
    """Its name: a label's value may have characters that nft's names may not."""
    return f"peer_{hashlib.sha256(peer.encode()).hexdigest()[:16]}_"


def outgoing_rules(policy: Policy) -> Iterator[str]:
    for rule in policy.rules:
        if rule.peers != (NODE,):  # on its way to somebody else it does not meet the node
            yield from _matches(rule, "daddr")
    yield from _default(policy)


def incoming_rules(vps: Vps) -> Iterator[str]:
    """After what is published and what a rule accepts: neighbours have to be let in by their own rule, whatever the default is."""
    for one in vps.publish:
        yield f"ct status dnat meta l4proto {_NUMBER[one.proto]} th dport {one.guest} return"
    for rule in vps.firewall.incoming.rules:
        yield from _matches(rule, "saddr")
    if vps.isolated:
        yield from ISOLATED
    yield from _default(vps.firewall.incoming)


def _asking(policy: Policy) -> Iterator[str]:
    """What it wants of the node itself: only what a rule says that names the node."""
    for rule in policy.rules:
        if NODE in rule.peers or (not rule.peers and rule.action != ACCEPT):
            yield from (f"{match}{_verdict(rule.action, final=True)}" for match in _ports(rule))


def _matches(rule: Rule, side: str) -> Iterator[str]:
    """The lines of a rule: one for each kind of peer and each family."""
    verdict = _verdict(rule.action)
    for ports in _ports(rule):
        yield from (f"{where}{ports}{verdict}" for where in (_where(rule.peers, side) if rule.peers else ("",)))


def _where(peers: Iterable[str], side: str) -> Iterator[str]:
    subnets = []
    for peer in peers:
        if peer.partition(":")[0] in (VPS, LABEL):
            yield from (f"{_IP[family]} {side} @{'all' if peer == VPS else _set_of(peer)}{family} " for family in FAMILIES)
        elif peer != NODE:
            subnets.append(ipaddress.ip_network(peer))
    for version, ip in ((4, "ip"), (6, "ip6")):
        listed = ipaddress.collapse_addresses([subnet for subnet in subnets if subnet.version == version])  # type: ignore[type-var]
        text = ", ".join(map(str, listed))  # none within another, for which nft has no place in a set
        if text:
            yield f"{ip} {side} {{ {text} }} "


def _ports(rule: Rule) -> Iterator[str]:
    if rule.ports:
        yield f"{rule.proto} dport {{ {', '.join(_apart(rule.ports))} }} "
    elif rule.proto == ICMP:
        yield f"meta l4proto {{ {_ICMP}, {_ICMP6} }} "
    else:
        yield f"meta l4proto {_NUMBER[rule.proto]} " if rule.proto else ""


def _apart(ports: Iterable[str]) -> list[str]:
    """Ranges that do not overlap, for which nft has no place in a set."""
    found: list[list[int]] = []
    for first, last in sorted((int(text.partition("-")[0]), int(text.rpartition("-")[2])) for text in ports):
        if found and first <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]


def _verdict(action: str, *, final: bool = False) -> str:
    """What the kernel does: who is let pass by one of the two sides still has to get past the other."""
    if action == ACCEPT:
        return "accept" if final else "return"
    return "drop" if action == DROP else REFUSE


def _default(policy: Policy) -> Iterator[str]:
    if policy.default != ACCEPT:
        yield _verdict(policy.default)


# -- where the kernel asks --------------------------------------------------------------------------------------------


def _hooks(networks: Sequence[Network], *, bridged: bool) -> Iterator[str]:
    ours = f'iifname "{HOST_PREFIX}*"'
    yield "\t# A reset for TCP: of what ICMP says, a client on this machine may take notice a second later only, when it tries again."
    yield from chain_text("refused", [f"meta l4proto {_NUMBER[TCP]} reject with tcp reset", "reject with icmpx admin-prohibited"])
    yield "\t# No spoofing: what comes by the link of a VPS has an address of that VPS. Neighbour discovery has others for itself."
    yield from chain_text("source", [
        "iifname . ip saddr @own4 return",
        "iifname . ip6 saddr @own6 return",
        f"ip6 saddr :: ip6 daddr {{ fe80::/10, ff02::/16 }} meta l4proto {_ICMP6} return",
        f"iifname . ip6 saddr @near6 ip6 daddr {{ fe80::/10, ff02::/16 }} meta l4proto {_ICMP6} return",
        "drop",
    ])
    from_outside = f'iifname != "lo" iifname != "{HOST_PREFIX}*"'
    yield from base_text("prerouting", "filter hook prerouting priority raw", [
        f"{ours} jump source",
        *(f"iifname . {_IP[family]} saddr @home{family} return" for family in FAMILIES if bridged),
        *(f"{from_outside} {_IP[family]} saddr @all{family} drop" for family in FAMILIES),
    ])
    yield "\t# What is under way already stays: a change of rules is for new connections."
    yield from related_text("own", *(["home"] if bridged else []))
    yield from base_text("sending", "filter hook forward priority filter - 10", [*UNDER_WAY, "ip saddr vmap @from4", "ip6 saddr vmap @from6"])
    yield "\t# What a network's router sends here, and no VPS that runs has, would go back to it by the way out, and come again."
    subnets = [(_IP["6" if is_ipv6(subnet) else "4"], subnet) for network in networks if network.uplink is network.bridge is None for subnet in network.subnets]
    lost = [f'oifname != "{HOST_PREFIX}*" {ip} daddr {subnet} reject with icmpx host-unreachable' for ip, subnet in subnets]
    yield from base_text("receiving", "filter hook forward priority filter - 5", [*lost, *UNDER_WAY, "ip daddr vmap @to4", "ip6 daddr vmap @to6"])
    yield "\t# The node is there for nobody whom it does not know, but for what tells whether the way is open."
    at_bridges = ["iifname . ether saddr @homes jump node"] if bridged else []
    yield from base_text("asking", "filter hook input priority filter - 10", [f"{ours} jump node", *at_bridges])
    yield from chain_text("node", [
        *UNDER_WAY,
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, echo-request } return",
        "icmp type echo-request return",
        "icmpv6 type { nd-router-advert, nd-redirect } drop",
        "ip saddr vmap @asks4",
        "ip6 saddr vmap @asks6",
        f"meta pkttype host {REFUSE}",
        "drop",
    ])


def related_text(*sets: str) -> Iterator[str]:
    """What the kernel takes to be about a connection, as errors of ICMP: a VPS has nothing to say of those of others.

    `sets` are those of interfaces and the addresses that may come by them.
    """
    yield "\t# An error is about a connection that somebody has; a VPS tells of its own, and whoever is on the way of any."
    yield from chain_text("related", [
        *(
            f"iifname . ct {way} {_IP[family]} saddr @{name}{family} accept"
            for name in sets for family in FAMILIES for way in ("original", "reply")
        ),
        *(f"{_IP[family]} saddr @all{family} return" for family in FAMILIES),
        "accept",
    ])


def base_text(name: str, hook: str, rules: Iterable[str]) -> Iterator[str]:
    return chain_text(name, [f"type {hook}; policy accept;", *rules])


def chain_text(name: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"\tchain {name} {{"
    yield from (f"\t\t{rule}" for rule in rules)
    yield "\t}"


# -- what the node's own addresses stand for --------------------------------------------------------------------------


def _translation(networks: Sequence[Network], vpss: Sequence[Vps]) -> Iterator[str]:
    published = [(one, guest) for vps in vpss for one in vps.publish for guest in _guests(one, vps)]
    for family in FAMILIES:
        there = [(one, guest) for one, guest in published if is_ipv6(guest) == (family == "6")]
        target = f"{TYPE[family]} . inet_service"
        anywhere = (f"{_NUMBER[one.proto]} . {one.host} : {guest} . {one.guest}" for one, guest in there if one.address is None)
        yield from elements_text(f"map ports{family}", f"inet_proto . inet_service : {target}", anywhere)
        at = (f"{one.address} . {_NUMBER[one.proto]} . {one.host} : {guest} . {one.guest}" for one, guest in there if one.address is not None)
        yield from elements_text(f"map ports_at{family}", f"{TYPE[family]} . inet_proto . inet_service : {target}", at)
    yield from base_text("published", "nat hook prerouting priority dstnat", _to_guests())
    yield "\t# And for who connects on the node itself."
    yield from base_text("published_here", "nat hook output priority -100", _to_guests())
    leaving = []
    for address in sorted({guest for _one, guest in published}):
        ip = _IP["6" if is_ipv6(address) else "4"]
        leaving.append(f"{ip} saddr {address} {ip} daddr {address} ct status dnat masquerade")  # a VPS that comes to itself by way of the node
    for network in networks:
        for subnet, chosen in network.translated:
            family = "6" if is_ipv6(subnet) else "4"
            # By a port that the guest does not choose: else it could take answers that are for a port that leads to another one.
            how = f"snat {_IP[family]} to {chosen} fully-random" if chosen else "masquerade fully-random"
            elsewhere = f'oifname != "{network.bridge}" ' if network.bridge else ""
            leaving.append(f'oifname != "{HOST_PREFIX}*" {elsewhere}{_IP[family]} saddr {subnet} {_IP[family]} daddr != @all{family} {how}')
    yield from base_text("leaving", "nat hook postrouting priority srcnat", leaving)


def _to_guests() -> list[str]:
    """Only what is for the node itself, and not for its loopback, whatever address somebody has a port published at."""
    rules = ["fib daddr type != local return", "ip daddr 127.0.0.0/8 return", "ip6 daddr ::1 return"]
    for family in FAMILIES:
        ip = _IP[family]
        rules.append(f"dnat {ip} to {ip} daddr . meta l4proto . th dport map @ports_at{family}")
        rules.append(f"dnat {ip} to meta l4proto . th dport map @ports{family}")
    return rules


def _guests(one: Publish, vps: Vps) -> Iterator[str]:
    """Where a published port leads: the VPS's first address of each family, or of that which the node's address is of."""
    for family in FAMILIES:
        if one.address is None or is_ipv6(one.address) == (family == "6"):
            yield from of_family(vps.all_addresses, family)[:1]
