# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network of a node, out of which its VPSs have addresses: what it is, and from a wish and the network as it is to a plan.

Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import addresses, parse
from .addresses import is_ipv6, is_unique_local, refuse_subnets_own, within
from .errors import VpsError, shown, written
from .places import HOST_PREFIX
from .plan import Change, Plan, RemoveNetwork, SetNetwork
from .rates import Rates, parse_rates

DEFAULT = "default"  # the network that the role gives to a node
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}", re.ASCII)
_BRIDGE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}", re.ASCII)


class Network(NamedTuple):
    """Subnets that the node routes to its VPSs, or that lie at a bridge, out of which `pools` are parts with names.

    `nat`: what leaves the node has an address of the node's; `nat_addresses` says which, one for each family, else that of the way it
    takes. `uplink` is the interface at which the node answers for its VPSs' addresses, because others take them to be there.
    `bridge` is what VPSs have interfaces at, instead of routed addresses; `made`: by us, with the `gateways` as the node's own addresses.
    `tracks`: the kernel knows there what belongs to a connection that is under way. `rates` are those of each of its VPSs that names none.
    """

    name: str
    subnets: tuple[str, ...] = ()
    nat: bool = False
    nat_addresses: tuple[str, ...] = ()
    uplink: str | None = None
    pools: tuple[tuple[str, tuple[str, ...]], ...] = ()
    bridge: str | None = None
    gateways: tuple[str, ...] = ()
    made: bool = False
    tracks: bool = False
    rates: Rates = Rates()

    @property
    def translated(self) -> tuple[tuple[str, str | None], ...]:
        """(subnet, address that it leaves with) of those whose addresses nobody outside sees.

        A global subnet of IPv6 is translated only where an address is named for that.
        """
        chosen = {is_ipv6(address): address for address in self.nat_addresses}
        return tuple(
            (subnet, chosen.get(is_ipv6(subnet)))
            for subnet in self.subnets
            if self.nat and (not is_ipv6(subnet) or is_unique_local(subnet) or True in chosen)
        )

    @property
    def ends(self) -> tuple[str, ...]:
        """The gateways with the lengths of their subnets' prefixes."""
        return tuple(addresses.with_prefix(gateway, self.subnets) for gateway in self.gateways)

    @property
    def named(self) -> dict[str, Any]:
        """As plain data, for a record and for people."""
        lists = {word: list(getattr(self, word)) for word in ("subnets", "nat_addresses", "gateways")}
        return {**self._asdict(), **lists, "pools": {name: list(ranges) for name, ranges in self.pools}, "rates": self.rates.named}

    @classmethod
    def from_record(cls, record: Mapping) -> Network:
        """From what `named` gave; raises one of errors.NOT_OURS for anything else."""
        lists = {word: tuple(str(each) for each in record[word]) for word in ("subnets", "nat_addresses")}
        lists["gateways"] = tuple(str(each) for each in record.get("gateways") or ())
        pools = tuple((str(name), tuple(str(each) for each in ranges)) for name, ranges in record["pools"].items())
        return cls(**{**record, **lists, "pools": pools, "rates": parse_rates(record.get("rates") or {})})


@dataclass(frozen=True)
class Desired:
    """What a playbook asks of one network. `options` holds what it names and nothing else: the rest is left alone."""

    name: str
    state: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkActual:
    """A network as it is, None where there is none, and what stands beside it.

    `others` are the node's other networks; `used` maps an address out of any to the VPS that has it; `routes` are (interface, subnet) of those that the
    node is in itself; `own` are its addresses and `interfaces` its links. `bridges` are those of them that are bridges, with the addresses
    that the node has there and the lengths of their prefixes; `attached` are VPSs that have an interface in this network.
    `filters`: the kernel can hold VPSs at a bridge to
    their addresses; `tracks`: and knows connections there. `behind`: a run was killed before the VPSs had followed a change of the networks.
    """

    network: Network | None = None
    others: tuple[Network, ...] = ()
    used: Mapping[str, str] | None = None
    routes: tuple[tuple[str, str], ...] = ()
    own: frozenset[str] = frozenset()
    interfaces: frozenset[str] = frozenset()
    bridges: Mapping[str, frozenset[str]] = field(default_factory=dict)
    attached: tuple[str, ...] = ()
    filters: bool = True
    tracks: bool = True
    behind: bool = False


def parse_network(params: Mapping[str, Any]) -> Desired:
    """The parameters of C(vps_network)."""
    name = parse.parse_name(params["name"])
    if name == DEFAULT:
        raise VpsError("name: the network 'default' is the node's own; give the role mainline.vps.node other node_networks, or choose another name.")
    if params["state"] == "absent":
        return Desired(name, "absent")
    return Desired(name, "present", {option: check(params[option]) for option, check in PARSERS.items() if params.get(option) is not None})


def _parse_outgoing(values: Iterable[object]) -> tuple[str, ...]:
    return _one_of_each(values, "nat_addresses", "a connection leaves with one address")


def _one_of_each(values: Iterable[object], option: str, why: str) -> tuple[str, ...]:
    found = addresses.parse_addresses(values, option=option)
    for family in (False, True):
        if sum(is_ipv6(address) == family for address in found) > 1:
            raise VpsError(f"{option}: {why}; give one of each family at most.")
    return found


def _parse_bridge(text: str) -> str | None:
    if text and (not _BRIDGE.fullmatch(text) or text.startswith(HOST_PREFIX) or text in ("all", "default", "lo")):
        raise VpsError(
            f"bridge: {shown(text)} is no name for a bridge; it has up to 15 letters, digits, '-', '_' and '.', and does not begin with '{HOST_PREFIX}'."
        )
    return text or None


def _parse_uplink(text: str) -> str | None:
    if text and not _INTERFACE.fullmatch(text):
        raise VpsError(f"uplink: {shown(text)} is not the name of an interface; write for example eth0, or an empty text for none.")
    return text or None


def _parse_pools(pools: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(pools, Mapping):
        raise VpsError(f"pools: {shown(pools)} is no set of pools; write for example {{public: [203.0.113.10-203.0.113.20]}}.")
    found = {}
    for name, ranges in pools.items():
        name = parse.parse_name(written(name), option="pools")
        listed = ranges if isinstance(ranges, (list, tuple)) else (ranges,)
        found[name] = tuple(_parse_range(each, f"pools.{name}") for each in listed)
        if not found[name]:
            raise VpsError(f"pools.{name}: has no addresses; write for example [203.0.113.10-203.0.113.20].")
    return tuple(sorted(found.items()))


def _parse_range(value: object, option: str) -> str:
    """C(FIRST-LAST), from that, from a subnet, or from one address."""
    text = written(value).replace(" ", "")
    try:
        if "-" in text:
            first, last = (ipaddress.ip_address(word) for word in text.split("-", 1))
        else:
            network = ipaddress.ip_network(text)
            first, last = network[0], network[-1]
    except ValueError:
        raise VpsError(f"{option}: {shown(value)} is no range; write for example 203.0.113.10-203.0.113.20 or 203.0.113.16/29.") from None
    if first.version != last.version or int(first) > int(last):
        raise VpsError(f"{option}: {shown(value)} is no range, the lower address comes first.")
    return f"{first}-{last}"


PARSERS: dict[str, Callable[[Any], Any]] = {
    "subnets": lambda values: addresses.parse_networks(values, option="subnets"),
    "nat": bool,
    "nat_addresses": _parse_outgoing,
    "uplink": _parse_uplink,
    "pools": _parse_pools,
    "bridge": _parse_bridge,
    "gateways": lambda values: _one_of_each(values, "gateways", "there is one way out of a network"),
    "rates": parse_rates,
}


def _wanted(desired: Desired, actual: NetworkActual) -> Network:
    """The network as it is to be: what is asked over what there is."""
    before = actual.network
    named = dict(desired.options)
    if named.get("nat_addresses"):
        named.setdefault("nat", True)
    wanted = (before or Network(desired.name))._replace(**named)
    if not wanted.subnets:
        raise VpsError("subnets: needed to make a network; write for example [203.0.113.0/26, 2001:db8:1::/64].")
    if wanted.nat_addresses and not wanted.nat:
        raise VpsError("nat_addresses: they have no effect without nat; give an empty list, or set nat to true.")
    wanted = _bridged(wanted, actual)
    for name, ranges in wanted.pools:
        for text in ranges:
            ends = text.split("-")
            if not any(all(within(end, [subnet]) for end in ends) for subnet in wanted.subnets):
                raise VpsError(f"pools.{name}: {text} is in none of the network's subnets ({', '.join(wanted.subnets)}).")
    return wanted


def _bridged(wanted: Network, actual: NetworkActual) -> Network:
    """With what the machine has to say of its bridge: whether that is, or is to be, of our making."""
    before, name = actual.network, wanted.bridge
    if name is None:
        if wanted.gateways:
            raise VpsError("gateways: they are those of a bridge; name the bridge, or give an empty list.")
        return wanted._replace(made=False, tracks=False)
    if wanted.uplink is not None:
        raise VpsError("uplink: VPSs at a bridge answer for their addresses themselves; give an empty text, or no bridge.")
    if not actual.filters:
        raise VpsError(
            f"bridge: this machine's kernel cannot hold VPSs at a bridge to their own addresses (nf_tables has no family bridge); "
            f"boot one that can, or make network '{wanted.name}' a routed one."
        )
    for gateway in wanted.gateways:
        refuse_subnets_own(gateway, wanted.subnets, "gateways")
        if not within(gateway, wanted.subnets):
            raise VpsError(f"gateways: {gateway} is in none of the network's subnets ({', '.join(wanted.subnets)}).")
        if gateway in (actual.used or {}):
            raise VpsError(f"gateways: {gateway} belongs to VPS {(actual.used or {})[gateway]}; give another one.")
    for other in actual.others:
        if other.bridge == name and (other.made or name not in actual.interfaces):
            raise VpsError(f"bridge: {name} was made for network '{other.name}'; name another one.")
    there = name in actual.bridges
    if name in actual.interfaces and not there:
        raise VpsError(f"bridge: {name} is an interface of this machine, and no bridge; name another one.")
    kept = before is not None and before.bridge == name
    if kept and before is not None and not before.made and not there:
        raise VpsError(f"bridge: {name} is gone, which was somebody else's; make it again, or remove network '{wanted.name}'.")
    return wanted._replace(made=before.made if kept and before is not None else not there, tracks=actual.tracks)


def _standing(network: Network, actual: NetworkActual) -> str | None:
    """How the bridge of our making is: its name, where all is as it should be."""
    if not network.made or network.bridge is None:
        return network.bridge
    if network.bridge not in actual.bridges:
        return None
    return network.bridge if set(network.ends) <= actual.bridges[network.bridge] else f"{network.bridge} without its addresses"


def compare(desired: Desired, actual: NetworkActual) -> Plan:
    """The plan that gives the node the network as asked, or takes it away; raises VpsError for what cannot be."""
    before = actual.network
    if desired.state == "absent":
        if before is None:
            return Plan((_BEHIND,), (RemoveNetwork(desired.name),)) if actual.behind else Plan()
        _refuse_to_strand(before, Network(desired.name), actual)
        return Plan((Change("state", "present", "absent"),), (RemoveNetwork(desired.name),))
    wanted = _wanted(desired, actual)
    _check_beside_others(wanted, actual)
    _check_machine(wanted, actual)
    if before is not None:
        _refuse_to_strand(before, wanted, actual)
    stands = before is None or _standing(before, actual) == before.bridge
    warnings = () if wanted.bridge is None or wanted.tracks else (_UNTRACKED,)
    if wanted == before and stands and not actual.behind:
        return Plan(warnings=warnings)
    old, new = before.named if before else {}, wanted.named
    changes = [] if before else [Change("state", "absent", "present")]
    changes += [Change(key, old.get(key), value) for key, value in new.items() if key != "name" and old.get(key, _empty(value)) != value]
    if before is not None and not stands and before.bridge == wanted.bridge:
        changes.append(Change("bridge", _standing(before, actual), wanted.bridge))
    changes += [_BEHIND] if actual.behind else []
    return Plan(tuple(changes), (SetNetwork(wanted),), warnings=warnings)


_BEHIND = Change("VPSs", "not followed", "followed")

_UNTRACKED = (
    "bridge: this machine's kernel does not know there what belongs to a connection that is under way (it has no nf_conntrack_bridge); between "
    "hosts at the bridge, rules of a VPS's firewall hold for answers too, so that they need rules of their own."
)


def _empty(value: Any) -> Any:
    return None if value is None else type(value)()


def _check_beside_others(wanted: Network, actual: NetworkActual) -> None:
    names = {name for other in actual.others for name in (other.name, *dict(other.pools))}
    for name in (wanted.name, *dict(wanted.pools)):
        if name in names:
            raise VpsError(f"{'name' if name == wanted.name else 'pools'}: another network, or its pool, is called '{name}' already; choose another name.")
    for subnet in wanted.subnets:
        for other in actual.others:
            for taken in other.subnets:
                if addresses.overlap(subnet, taken):
                    raise VpsError(f"subnets: {subnet} overlaps {taken} of network '{other.name}'; give one that is free.")


def _check_machine(wanted: Network, actual: NetworkActual) -> None:
    if wanted.uplink is not None and wanted.uplink not in actual.interfaces:
        raise VpsError(f"uplink: this machine has no interface {shown(wanted.uplink)}; there are {', '.join(sorted(actual.interfaces))}.")
    for address in wanted.nat_addresses:
        if address not in actual.own:
            raise VpsError(f"nat_addresses: {address} is no address of this machine's; give it to an interface first.")
    for subnet in wanted.subnets:
        for interface, reached in actual.routes:
            if interface not in (wanted.uplink, *(one.bridge for one in (wanted, actual.network) if one is not None)) and addresses.overlap(subnet, reached):
                raise VpsError(
                    f"subnets: {subnet} overlaps {reached}, which this machine reaches through {interface}; give one that is free, or "
                    f"set uplink to {interface} to have the node answer there for its VPSs."
                )


def _refuse_to_strand(before: Network, after: Network, actual: NetworkActual) -> None:
    """VPSs keep their addresses, and what a pool has given."""
    if actual.used is None:
        raise VpsError("name: it is unknown which VPSs use the network, because the record of one cannot be read; see vps_info.")
    for address, vps in sorted(actual.used.items()):
        if within(address, before.subnets) and not within(address, after.subnets):
            what = f"network '{before.name}' is in use by VPS {vps} ({address})"
            raise VpsError(f"{'subnets' if after.subnets else 'name'}: {what}; take the address away from it first.")
        if within(address, before.subnets) and after.bridge != before.bridge:
            raise VpsError(f"bridge: network '{before.name}' is in use by VPS {vps} ({address}); take the address away from it first.")
    if actual.attached and after.bridge != before.bridge:
        option = "bridge" if after.subnets else "name"
        raise VpsError(f"{option}: network '{before.name}' is in use by VPS {actual.attached[0]}; take the interface away from it first.")


# -- those of a node --------------------------------------------------------------------------------------------------


def networks_of(subnets: tuple[str, ...], nat: bool, others: Iterable[Network]) -> tuple[Network, ...]:
    """All of a node: the one that the role gives it, and the others."""
    return (Network(DEFAULT, subnets, nat), *others)


def bridges_of(networks: Iterable[Network], *, made: bool = False) -> dict[str, str]:
    """The bridges of the networks that have one, by the networks' names; those of our making alone, where they are asked for."""
    return {network.name: network.bridge for network in networks if network.bridge is not None and (network.made or not made)}


def of_address(address: str, networks: Iterable[Network]) -> Network | None:
    """The network that an address is out of."""
    return next((network for network in networks if within(address, network.subnets)), None)


def uplinks(given: Iterable[str], networks: Iterable[Network]) -> dict[str, str]:
    """Of some addresses, those for which the node answers, and the interfaces at which it does."""
    found = ((address, of_address(address, networks)) for address in sorted(given))
    return {address: network.uplink for address, network in found if network is not None and network.uplink is not None}


def rates_of(own: Rates, addresses: Collection[str], linked: Collection[str], networks: Iterable[Network]) -> Rates:
    """How fast a VPS goes that has these rates of its own, addresses, and interfaces in the networks `linked`."""
    theirs = (one for one in networks if any(one.rates) and (one.name in linked or any(within(address, one.subnets) for address in addresses)))
    return own.over([one.rates for one in theirs])


def pools_of(networks: Iterable[Network]) -> dict[str, tuple[str, ...]]:
    """The ranges of each pool, by its name. A whole network is one too: all its addresses but those that mean the subnet itself."""
    found: dict[str, tuple[str, ...]] = {}
    for network in networks:
        found[network.name] = tuple(_hosts(subnet) for subnet in network.subnets)
        found.update(network.pools)
    return found


def reserved(networks: Iterable[Network]) -> dict[str, str]:
    """Addresses in the networks that no VPS can have, and what they are."""
    found = {}
    for one in networks:
        for text in one.subnets if one.bridge is not None else ():
            subnet = ipaddress.ip_network(text)
            anycast = [str(subnet[0])] if subnet.version == 6 and subnet.prefixlen < 127 else []  # any router answers to it (RFC 4291, 2.6.1)
            found.update({address: f"the whole of {text}" for address in (*addresses.subnets_own(text), *anycast)})
        found.update({gateway: f"the gateway of network '{one.name}'" for gateway in one.gateways})
    return found


def _hosts(subnet: str) -> str:
    network = ipaddress.ip_network(subnet)
    if network.num_addresses <= 2:
        return f"{network[0]}-{network[-1]}"
    return f"{network[1]}-{network[-2] if network.version == 4 else network[-1]}"
