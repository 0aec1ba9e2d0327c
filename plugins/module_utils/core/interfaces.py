# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces that a VPS has in bridged networks: from a playbook to data, and back; what of them is its own on the whole node.

Pure. The link eth0, over which the node routes addresses, is not among them, unless one of them is called so and takes its place.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import parse
from .addresses import is_ipv6, refuse_subnets_own, within
from .errors import VpsError, shown, written
from .places import HOST_PREFIX, link_of
from .pools import Wanted, parse_wishes

if TYPE_CHECKING:
    from .model import Vps
    from .networks import Network

ROUTED = "eth0"  # what the link is called inside, over which the node routes addresses
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}", re.ASCII)
_HOST_NAME = re.compile(rf"{HOST_PREFIX}[A-Za-z0-9_-]{{1,12}}", re.ASCII)
_MADE_UP = re.compile(rf"{HOST_PREFIX}[0-9]+(?:-.*)?", re.ASCII)  # the node's own numbering of links
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII)
_KEYS = ("name", "network", "addresses", "mac", "vlan", "mtu", "host_name")
LEAST_MTU, LEAST_MTU6, MOST_MTU = 68, 1280, 65535  # bytes: RFC 791, RFC 8200, veth


class Interface(NamedTuple):
    """One link of a VPS: `name` inside, `host_name` on the node, which bridges it with the others of its network.

    `addresses` is the whole of what may be used on it. `vlan` is the network's on the bridge, `mtu` in bytes; None: the bridge's own. A `mac` and a
    `host_name` that nobody gave are chosen when the VPS takes its ids and addresses, and stay.
    """

    name: str
    network: str
    addresses: tuple[Any, ...] = ()  # texts; in a wish, also what a pool is to give
    mac: str | None = None
    vlan: int | None = None
    mtu: int | None = None
    host_name: str | None = None

    @property
    def named(self) -> dict[str, Any]:
        """As plain data, for a record and for people."""
        return {**{word: value for word, value in self._asdict().items() if value is not None}, "addresses": list(self.addresses)}


class Bridge(NamedTuple):
    """A bridged network's bridge on this machine: whether it keeps VLANs apart, and how large a packet may be (bytes)."""

    network: str
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    there: bool = True
    filtering: bool = False
    mtu: int = 1500


def parse_interfaces(values: Iterable[object]) -> tuple[Interface, ...]:
    """The section of a playbook; addresses that a pool is to give stay as they are asked for."""
    found: list[Interface] = []
    for number, section in enumerate(values):
        one = _parse(section, f"interfaces[{number}]")
        for other in found:
            for what in ("name", "mac", "host_name"):
                if getattr(one, what) is not None and getattr(one, what) == getattr(other, what):
                    raise VpsError(f"interfaces: {getattr(one, what)} is listed twice; give each interface another {what}.")
        found.append(one)
    return tuple(sorted(found, key=lambda one: (one.name != ROUTED, one.name)))


def read_interfaces(values: Iterable[object]) -> tuple[Interface, ...]:
    """What `Interface.named` gave; raises VpsError for something else."""
    found = parse_interfaces(values)
    for one in found:
        if one.mac is None or one.host_name is None or not all(isinstance(address, str) for address in one.addresses):
            raise VpsError(f"interfaces: {one.name} is not as it was recorded.")
    return found


def _parse(section: object, place: str) -> Interface:
    if not isinstance(section, Mapping):
        raise VpsError(f"{place}: {shown(section)} is no interface; write for example {{name: eth1, network: lan, addresses: [192.0.2.10]}}.")
    for key in section:
        if key not in _KEYS:
            raise VpsError(f"{place}: there is no key {shown(key)}; there are {', '.join(_KEYS)}.")
    name = written(section.get("name"))
    if not _NAME.fullmatch(name) or name in ("lo", "all", "default"):
        raise VpsError(f"{place}.name: {shown(name)} is no name for an interface in a VPS; write for example eth1.")
    if section.get("network") is None:
        raise VpsError(f"{place}.network: needed, a bridged network that vps_network has made.")
    network = parse.parse_name(written(section["network"]), option=f"{place}.network")
    addresses = _parse_addresses(section.get("addresses"), f"{place}.addresses")
    return Interface(
        name,
        network,
        addresses,
        _parse_mac(section.get("mac"), f"{place}.mac"),
        _parse_number(section.get("vlan"), 1, 4094, f"{place}.vlan"),
        _parse_mtu(section.get("mtu"), addresses, f"{place}.mtu"),
        _parse_host_name(section.get("host_name"), f"{place}.host_name"),
    )


def _parse_addresses(values: object, option: str) -> tuple[Any, ...]:
    if values is None:
        return ()
    if not isinstance(values, (list, tuple)):
        raise VpsError(f"{option}: {shown(values)} is no list of addresses; write for example [192.0.2.10].")
    return parse_wishes(values, option=option)


def _parse_mac(value: object, option: str) -> str | None:
    """The address of one host: not one of a group, nor nobody's."""
    if value is None:
        return None
    mac = written(value).lower().replace("-", ":")
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise VpsError(f"{option}: {shown(value)} is no hardware address of an interface; write for example 02:00:00:00:00:10.")
    return mac


def _parse_number(value: object, least: int, most: int, option: str) -> int | None:
    if value is None:
        return None
    text = written(value)
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,5}", text, re.ASCII) or not least <= int(text) <= most:
        raise VpsError(f"{option}: {shown(value)} is out of range; give {least} to {most}.")
    return int(text)


def _parse_mtu(value: object, addresses: Iterable[str | Wanted], option: str) -> int | None:
    six = any(address.family == 6 if isinstance(address, Wanted) else is_ipv6(address) for address in addresses)
    return _parse_number(value, LEAST_MTU6 if six else LEAST_MTU, MOST_MTU, option)


def _parse_host_name(value: object, option: str) -> str | None:
    if value is None:
        return None
    if not _HOST_NAME.fullmatch(written(value)):
        raise VpsError(f"{option}: {shown(value)} cannot be the node's end of it; it is '{HOST_PREFIX}' and up to 12 letters, digits, '-' and '_'.")
    return written(value)


# -- what is the VPS's own on the whole node --------------------------------------------------------------------------


def has_routed(vps: Vps) -> bool:
    """Whether a VPS has the link over which the node routes addresses."""
    return all(one.name != ROUTED for one in vps.interfaces)


def links_of(vps: Vps) -> tuple[str, ...]:
    """The node's ends of all links of a VPS, the one called eth0 first."""
    routed = (link_of(vps.id_base),) if has_routed(vps) else ()
    return (*routed, *(one.host_name for one in vps.interfaces if one.host_name is not None))


def keep(wishes: Sequence[Interface], recorded: Sequence[Interface]) -> tuple[Interface, ...]:
    """The wish, with the hardware addresses and host names that were chosen before for interfaces of the same names."""
    before = {one.name: one for one in recorded}
    taken = {what: {getattr(wish, what) for wish in wishes} for what in ("mac", "host_name")}

    def kept(wish: Interface, what: str) -> str | None:
        had = getattr(before.get(wish.name), what, None)
        return getattr(wish, what) or (None if had in taken[what] else had)

    return tuple(wish._replace(mac=kept(wish, "mac"), host_name=kept(wish, "host_name")) for wish in wishes)


def choose(vps: Vps, others: Iterable[Vps], there: Collection[str] = ()) -> tuple[Interface, ...]:
    """The interfaces of a VPS that has its ids, with names and hardware addresses that nobody else has. `there` are all links of the node."""
    others = [other for other in others if other.name != vps.name]
    macs = {one.mac for each in (*others, vps) for one in each.interfaces} | {mac_of(each.id_base) for each in (*others, vps)}
    names = {link for each in (*others, vps) for link in (*links_of(each), link_of(each.id_base))} | set(there)
    found = []
    for one in vps.interfaces:
        if one.host_name is None:
            own = link_of(vps.id_base)
            name = own if one.name == ROUTED else next(name for name in _numbered(own) if name not in names)
            one = one._replace(host_name=name)
            names.add(name)
        if one.mac is None:
            one = one._replace(mac=next(mac for number in range(1, 1 << 16) if (mac := mac_of(vps.id_base, number)) not in macs))
            macs.add(one.mac)
        found.append(one)
    return tuple(found)


def _numbered(link: str) -> Iterable[str]:
    return (f"{link}-{number}" for number in range(1, 1000))


def mac_of(id_base: int | None, number: int = 0) -> str:
    """A hardware address of our own making (locally administered): of the routed link, and of the others of that VPS by their number."""
    base, low = divmod(id_base or 0, 1 << 16)
    octets = base.to_bytes(2, "big") + ((low + number) % (1 << 16)).to_bytes(2, "big")
    return "02:76:" + ":".join(f"{byte:02x}" for byte in octets)


def check(
    interfaces: Sequence[Interface], name: str, others: Iterable[Vps], *, own: Collection[str | None] = (), hardware: Collection[str] = ()
) -> None:
    """Raise VpsError where another VPS has, or may get, a name on the node or a hardware address that is asked for, or the node has it itself.

    `own` are names that it has, `hardware` are the addresses of the node's links.
    """
    for other in others:
        if other.name == name:
            continue
        for place, one in enumerate(interfaces):
            if one.host_name in {*links_of(other), link_of(other.id_base), f"{link_of(other.id_base)}-out"}:
                raise VpsError(f"interfaces[{place}].host_name: {one.host_name} belongs to VPS {other.name}; give '{name}' another one.")
            if one.mac in {mac_of(other.id_base), *(each.mac for each in other.interfaces)}:
                raise VpsError(f"interfaces[{place}].mac: {one.mac} belongs to VPS {other.name}; give '{name}' another one.")
    for place, one in enumerate(interfaces):
        if one.mac in hardware:
            raise VpsError(f"interfaces[{place}].mac: {one.mac} belongs to a link of the node's; give '{name}' another one.")
        if one.host_name is not None and one.host_name not in own and _MADE_UP.fullmatch(one.host_name):
            raise VpsError(f"interfaces[{place}].host_name: {one.host_name} is for the node to give, which numbers links so; choose one that is no number.")


def check_bridges(interfaces: Sequence[Interface], bridges: Mapping[str, Bridge]) -> None:
    """Raise VpsError where an interface is in no bridged network, or has what its bridge cannot give. `bridges` are those of the networks, by their names."""
    for place, one in enumerate(interfaces):
        option = f"interfaces[{place}]"
        bridge = bridges.get(one.network)
        if bridge is None:
            known = ", ".join(sorted(bridges)) or "none; vps_network makes them"
            raise VpsError(f"{option}.network: there is no bridged network {shown(one.network)} on this node (there is: {known}).")
        if not bridge.there:
            raise VpsError(f"{option}.network: the bridge of network '{one.network}' is not there; run vps_network for it, or make it again.")
        if one.vlan is not None and not bridge.filtering:
            raise VpsError(f"{option}.vlan: the bridge of network '{one.network}' keeps no VLANs apart; switch its vlan_filtering on, or leave vlan out.")
        if one.mtu is not None and one.mtu > bridge.mtu:
            raise VpsError(f"{option}.mtu: {one.mtu} is more than the {bridge.mtu} bytes of the bridge of network '{one.network}'; ask for less.")
        _parse_mtu(one.mtu, one.addresses, f"{option}.mtu")  # a pool has said by now which family it gives
        for address in one.addresses:
            if not within(address, bridge.subnets):
                raise VpsError(f"{option}.addresses: {address} is not in network '{one.network}' ({', '.join(bridge.subnets)}).")
            if address in bridge.gateways:
                raise VpsError(f"{option}.addresses: {address} is the gateway of network '{one.network}'; give another one.")
            refuse_subnets_own(address, bridge.subnets, f"{option}.addresses")


def gateways(vps: Vps, networks: Iterable[Network]) -> dict[str, str]:
    """Where the ways out of a VPS lead that its routed link does not have: the gateway, and the name of the interface."""
    known = {network.name: network for network in networks}
    missing = {6, 4} - {6 if is_ipv6(address) else 4 for address in (vps.addresses if has_routed(vps) else ())}
    found: dict[str, str] = {}
    for one in vps.interfaces:
        for gateway in known[one.network].gateways if one.network in known else ():
            family = 6 if is_ipv6(gateway) else 4
            if family in missing and any(is_ipv6(address) == (family == 6) for address in one.addresses):
                found[gateway] = one.name
                missing.discard(family)
    return found


def link_local(mac: str) -> str:
    """The address that an interface gives itself (RFC 4291, appendix A)."""
    octets = [int(word, 16) for word in mac.split(":")]
    octets[0] ^= 2
    return str(ipaddress.IPv6Address(bytes([0xFE, 0x80, *bytes(6), *octets[:3], 0xFF, 0xFE, *octets[3:]])))
