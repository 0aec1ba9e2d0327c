# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may talk to a VPS and whom it may talk to, and which ports of the node lead to it: from a playbook to data, and back.

Pure. What the packet filter makes of it is core/ruleset.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from . import addresses, parse
from .errors import VpsError, shown, written

ACCEPT, DROP, REJECT = "accept", "drop", "reject"
IN, OUT = "in", "out"
TCP, UDP, ICMP = "tcp", "udp", "icmp"  # icmp is that of IPv4 and that of IPv6
NODE = "node"  # as a peer: the node itself; VPS alone is any of its VPSs, VPS:NAME one
VPS, LABEL = "vps", "label"
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_WORD = {IN: "from", OUT: "to"}


class Rule(NamedTuple):
    """What is done with a new connection that fits. No `proto` is any, no `ports` are all, no `peers` anybody.

    `ports` are those that are connected to, C(80) or C(8000-8100); `peers` subnets, C(node), C(vps), C(vps:NAME), C(label:KEY=VALUE).
    """

    action: str = ACCEPT
    proto: str | None = None
    ports: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()


class Policy(NamedTuple):
    """One direction: the first rule that fits counts, and the default where none does."""

    default: str = ACCEPT
    rules: tuple[Rule, ...] = ()


class Firewall(NamedTuple):
    """Both directions, as the VPS sees them."""

    incoming: Policy = Policy()
    outgoing: Policy = Policy()

    @property
    def named(self) -> dict[str, Any]:
        """As plain data, with what a playbook calls it, and without what is as it would be anyway."""
        return {word: _named(policy, _WORD[word]) for word, policy in zip((IN, OUT), self) if policy != Policy()}

    @property
    def peers(self) -> frozenset[str]:
        """Everybody that a rule names."""
        return frozenset(peer for policy in self for rule in policy.rules for peer in rule.peers)


class Publish(NamedTuple):
    """A port of the node that leads to one of a VPS. `address` is the node's that it is at; None: all that it has."""

    proto: str
    host: int
    guest: int
    address: str | None = None

    @property
    def named(self) -> dict[str, Any]:
        """As plain data."""
        return {word: value for word, value in self._asdict().items() if value is not None}

    def clashes(self, other: Publish) -> bool:
        """Whether both want the same port of the node."""
        return (self.proto, self.host) == (other.proto, other.host) and (None in (self.address, other.address) or self.address == other.address)

    def __str__(self) -> str:
        return f"{self.proto} port {self.host}" + (f" of {self.address}" if self.address else "")


def refuse_published(ports: Iterable[Publish], published: Mapping[str, tuple[Publish, ...]], *, vps: str) -> None:
    """Raise VpsError where one leads to another VPS already. `published` are those of the others, by their names."""
    for one in ports:
        owner = next((name for name, others in published.items() for other in others if one.clashes(other)), None)
        if owner is not None:
            raise VpsError(f"publish: {one} leads to VPS {owner}; give '{vps}' another one.")


def _named(policy: Policy, word: str) -> dict[str, Any]:
    rules = [{word if key == "peers" else key: _plain(value) for key, value in rule._asdict().items() if value} for rule in policy.rules]
    return {"default": policy.default, **({"rules": rules} if rules else {})}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def parse_firewall(section: object, *, option: str = "firewall") -> Firewall:
    """The section of a playbook, or what `Firewall.named` gave."""
    policies = {}
    for direction, given in _mapping(section, (IN, OUT), option).items():
        policies[direction] = _parse_policy(given, direction, f"{option}.{direction}")
    return Firewall(policies.get(IN, Policy()), policies.get(OUT, Policy()))


def _parse_policy(section: object, direction: str, option: str) -> Policy:
    given = _mapping(section, ("default", "rules"), option)
    rules = () if given.get("rules") is None else given["rules"]
    if not isinstance(rules, (list, tuple)):
        raise VpsError(f"{option}.rules: {shown(rules)} is no list of rules; write for example [{{proto: tcp, ports: [80, 443]}}].")
    default = _choice(given.get("default", ACCEPT), (ACCEPT, DROP, REJECT), f"{option}.default")
    return Policy(default, tuple(_parse_rule(rule, direction, f"{option}.rules[{number}]") for number, rule in enumerate(rules)))


def _parse_rule(section: object, direction: str, option: str) -> Rule:
    word = _WORD[direction]
    given = _mapping(section, ("action", "proto", "ports", word), option)
    proto = given.get("proto")
    if proto is not None:
        proto = _choice(proto, (TCP, UDP, ICMP), f"{option}.proto")
    ports = tuple(_parse_ports(each, f"{option}.ports") for each in _listed(given.get("ports")))
    if ports and proto not in (TCP, UDP):
        raise VpsError(f"{option}.proto: ports are those of tcp or udp; name one of them.")
    peers = tuple(_parse_peer(each, f"{option}.{word}") for each in _listed(given.get(word)))
    if word in given and not peers:
        raise VpsError(f"{option}.{word}: the list is empty, so the rule would fit nobody; leave it out for anybody.")
    return Rule(_choice(given.get("action", ACCEPT), (ACCEPT, DROP, REJECT), f"{option}.action"), proto, ports, peers)


def _parse_ports(value: object, option: str) -> str:
    match = _PORTS.fullmatch(written(value))
    if match is None:
        raise VpsError(f"{option}: {shown(value)} is no port; write for example 443 or 8000-8100.")
    first = parse_port(match.group(1), option=option)
    last = parse_port(match.group(2) or match.group(1), option=option)
    if last < first:
        raise VpsError(f"{option}: {shown(value)} is no range of ports, the lower one comes first.")
    return str(first) if first == last else f"{first}-{last}"


def parse_port(value: object, *, option: str) -> int:
    """A port, 1 to 65535."""
    text = written(value)
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise VpsError(f"{option}: {shown(value)} is no port; ports are 1 to 65535.")
    return int(text)


def _parse_peer(value: object, option: str) -> str:
    text = written(value)
    kind, colon, rest = text.partition(":")
    if text in (NODE, VPS):
        return text
    if colon and kind == VPS:
        return f"{VPS}:{parse.parse_name(rest, option=option)}"
    if colon and kind == LABEL:
        key, equals, label = rest.partition("=")
        if not equals:
            raise VpsError(f"{option}: {shown(text)} is no label with its value; write for example label:tier=web.")
        ((key, label),) = parse.parse_labels({key: label}, option=option)
        return f"{LABEL}:{key}={label}"
    try:
        return addresses.parse_subnet(text, option=option)
    except VpsError:
        raise VpsError(
            f"{option}: {shown(text)} is no address, no subnet, and none of node, vps, vps:NAME and label:KEY=VALUE."
        ) from None


def parse_publish(values: Iterable[object], *, option: str = "publish") -> tuple[Publish, ...]:
    """The ports of the node that lead to a VPS, or what `Publish.named` gave; each once, in the order given."""
    found: list[Publish] = []
    for number, section in enumerate(values):
        place = f"{option}[{number}]"
        given = _mapping(section, ("host", "guest", "proto", "address"), place)
        if given.get("host") is None:
            raise VpsError(f"{place}.host: needed, the port of the node; write for example {{host: 8080, guest: 80}}.")
        host = parse_port(given["host"], option=f"{place}.host")
        guest = host if given.get("guest") is None else parse_port(given["guest"], option=f"{place}.guest")
        address = None if given.get("address") is None else addresses.parse_address(given["address"], option=f"{place}.address")
        one = Publish(_choice(given.get("proto") or TCP, (TCP, UDP), f"{place}.proto"), host, guest, address)
        for other in found:
            if one.clashes(other):
                raise VpsError(f"{option}: {one} is listed twice.")
        found.append(one)
    return tuple(found)


def _mapping(section: object, keys: tuple[str, ...], option: str) -> Mapping[str, Any]:
    if not isinstance(section, Mapping):
        raise VpsError(f"{option}: {shown(section)} is no set of keys; there are {', '.join(keys)}.")
    for key in section:
        if key not in keys:
            raise VpsError(f"{option}: there is no key {shown(key)}; there are {', '.join(keys)}.")
    return section


def _listed(value: object) -> Iterable[object]:
    """A list, or one thing that stands for a list of it."""
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


def _choice(value: object, choices: tuple[str, ...], option: str) -> str:
    if value not in choices:
        raise VpsError(f"{option}: {shown(value)} is none of {', '.join(choices)}.")
    return str(value)
