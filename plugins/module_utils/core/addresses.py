# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks on IP addresses and subnets that come from a playbook, and what they have to do with each other.

Pure. Each takes the option's name and gives the value in its normal form, or raises one sentence.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from .errors import VpsError, shown

_SERVER = re.compile(r"[0-9A-Fa-f.:]+(?:%[0-9A-Za-z_.-]{1,15})?")  # ipaddress takes anything, even a line break, as a zone
_DOMAIN = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?", re.ASCII)
MOST_SERVERS, MOST_DOMAINS = 3, 6  # that resolv.conf(5) knows for certain


def is_ipv6(text: str) -> bool:
    """Whether a normal address or subnet is one of IPv6."""
    return ":" in text


def parse_address(text: object, *, option: str) -> str:
    """The address of a host, with or without the length of a prefix that is all of it."""
    try:
        if "%" in str(text):  # a zone, which is a link's name and no part of an address
            raise ValueError
        interface = ipaddress.ip_interface(str(text))
    except ValueError:
        raise VpsError(f"{option}: {shown(text)} is not an IP address; write for example 10.90.0.10 or 2001:db8::10.") from None
    address = interface.ip
    if interface.network.prefixlen != address.max_prefixlen:
        raise VpsError(f"{option}: '{text}' is a subnet; an address stands alone: write {address}.")
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    if mapped or address.is_loopback or address.is_multicast or address.is_unspecified or address.is_link_local or str(address) == "255.255.255.255":
        raise VpsError(f"{option}: {address} cannot be the address of a host.")
    return str(address)


def parse_addresses(values: Iterable[object], *, option: str = "addresses") -> tuple[str, ...]:
    """Addresses of hosts, each once, in the order given."""
    found: list[str] = []
    for value in values:
        address = parse_address(value, option=option)
        if address in found:
            raise VpsError(f"{option}: {address} is listed twice.")
        found.append(address)
    return tuple(found)


def parse_nameservers(values: Iterable[str], *, option: str = "nameservers") -> tuple[str, ...]:
    """Addresses of DNS servers, at most the three that resolv.conf(5) uses."""
    found = []
    for text in values:
        try:
            if not _SERVER.fullmatch(str(text)):
                raise ValueError
            found.append(str(ipaddress.ip_address(str(text))))
        except ValueError:
            raise VpsError(f"{option}: {shown(text)} is not an IP address.") from None
    if len(found) > MOST_SERVERS:
        raise VpsError(f"{option}: {len(found)} are listed, but a resolver asks three at most (resolv.conf(5)).")
    return tuple(found)


def parse_search_domains(values: Iterable[str], *, option: str = "search_domains") -> tuple[str, ...]:
    """Domains in which a resolver looks for short names, at most the six that every one of them knows (resolv.conf(5))."""
    found = tuple(str(text) for text in values)
    for text in found:
        if not _DOMAIN.fullmatch(text) or len(text) > 253:
            raise VpsError(f"{option}: {shown(text)} is not a domain; write for example example.com.")
    if len(found) > MOST_DOMAINS:
        raise VpsError(f"{option}: {len(found)} are listed, but a resolver searches six at most (resolv.conf(5)).")
    return found


def parse_subnet(text: object, *, option: str) -> str:
    """A subnet such as C(10.90.0.0/24) or C(2001:db8::/64)."""
    try:
        if "%" in str(text):  # a zone, which is a link's name and no part of a subnet
            raise ValueError("it has a zone")
        return str(ipaddress.ip_network(str(text)))
    except ValueError as error:
        raise VpsError(f"{option}: {shown(text)} is not a subnet ({shown(error, 100)}); write for example 10.90.0.0/24 or 2001:db8::/64.") from None


def parse_networks(values: Iterable[object], *, option: str = "networks") -> tuple[str, ...]:
    """Subnets of hosts that do not overlap, in the order given."""
    found: list[str] = []
    for value in values:
        text = parse_subnet(value, option=option)
        network = ipaddress.ip_network(text)
        widest = 8 if network.version == 4 else 16
        odd = network.is_loopback or network.is_multicast or network.is_link_local or network.is_reserved or network.network_address.is_unspecified
        if network.prefixlen < widest or odd:
            raise VpsError(f"{option}: {network} cannot be a network of hosts; write for example 10.90.0.0/16 or 2001:db8::/64.")
        for other in found:
            if overlap(text, other):
                raise VpsError(f"{option}: {text} and {other} overlap; list the larger one only.")
        found.append(text)
    return tuple(found)


def overlap(network: str, subnet: str) -> bool:
    """Whether two subnets have an address in common; never, where one is of IPv4 and one of IPv6."""
    return is_ipv6(network) == is_ipv6(subnet) and ipaddress.ip_network(network).overlaps(ipaddress.ip_network(subnet))


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address lies in one of the subnets."""
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks)


def subnets_own(text: str) -> tuple[str, ...]:
    """The addresses of a subnet that mean all of it, on a link that hosts share: the first and the last one of IPv4 (RFC 919)."""
    subnet = ipaddress.ip_network(text)
    return (str(subnet[0]), str(subnet[-1])) if subnet.version == 4 and subnet.prefixlen < 31 else ()


def refuse_subnets_own(address: str, subnets: Iterable[str], option: str) -> None:
    """Raise VpsError for one of those."""
    for text in subnets:
        if address in subnets_own(text):
            raise VpsError(f"{option}: {address} means the whole of {text}, and can be nobody's own; give another one.")


def with_prefix(address: str, subnets: Iterable[str] = ()) -> str:
    """An address with the length of its subnet's prefix; alone, where it is in none."""
    own = next((subnet for subnet in subnets if within(address, [subnet])), None)
    return f"{address}/{own.partition('/')[2] if own else (128 if is_ipv6(address) else 32)}"


def reverse_name(address: str) -> str:
    """The name that reverse DNS has for an address (RFC 1035, RFC 3596)."""
    return ipaddress.ip_address(address).reverse_pointer


def is_unique_local(subnet: str) -> bool:
    """Whether a subnet of IPv6 is one that nobody outside has a route to (RFC 4193)."""
    return overlap(subnet, "fc00::/7")
