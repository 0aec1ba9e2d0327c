# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS zones as files: those that are listed, those that follow from an inventory, and the reverse zones of its addresses.

Pure. A zone's serial rises when its content is another than last time, and only then; what was last time, and what time it is, the caller says.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

SOA = ("refresh", "retry", "expire", "minimum")
TARGETS = {"CNAME", "DNAME", "MX", "NS", "PTR", "SRV"}  # types whose value ends with a name
_ZONE = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_/-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_/-]{0,61}[a-z0-9_])?")
_OWNER = re.compile(r"@|(?:\*|(?:\*\.)?(?:[A-Za-z0-9_](?:[A-Za-z0-9_/-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_/-]{0,61}[A-Za-z0-9_])?)\.?")
# Those that knot knows by name, but for those that it makes itself where a zone is signed.
TYPES = frozenset(
    "A AAAA AFSDB APL CAA CDNSKEY CDS CERT CNAME CSYNC DHCID DNAME DNSKEY DS EUI48 EUI64 HINFO HTTPS IPSECKEY KEY KX L32 L64 LOC LP MINFO MX NAPTR NID NS "
    "OPENPGPKEY PTR RP RT SMIMEA SPF SRV SSHFP SVCB TLSA TXT URI ZONEMD".split()
)
_TYPE = re.compile(r"TYPE[0-9]{1,5}")
_STRING = 255  # bytes, the most of one in a TXT record
_SERIALS = 2**32


@dataclass(frozen=True)
class Record:
    """A line of a zone. Its name is as in a file: relative to the zone, or with a dot at its end."""

    name: str
    type: str
    value: str
    ttl: int | None = None


@dataclass
class Zone:
    """A zone, and what is wrong with it."""

    name: str
    settings: Mapping[str, Any]
    records: list[Record] = field(default_factory=list)
    calculated: list[Record] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """All but the SOA. What is listed takes the place of what is calculated, of the same name and type."""
        listed = {(absolute(one.name, self.name), one.type) for one in self.records}
        own = [one for one in dict.fromkeys(self.calculated) if (absolute(one.name, self.name), one.type) not in listed]
        for one in self.records + own:
            yield f"{one.name}\t{'' if one.ttl is None else one.ttl}\tIN\t{one.type}\t{one.value}".replace("\t\t", "\t")
        yield from str(self.settings.get("text") or "").splitlines()


def compiled(
    zones: Sequence[Mapping[str, Any]],
    *,
    defaults: Mapping[str, Any],
    inventory: Sequence[Mapping[str, Any]],
    reverse: Sequence[Any],
    known: Mapping[str, Sequence[str]],
    before: Mapping[str, Any],
    now: int,
) -> dict[str, Any]:
    """The C(zones), each with its file's C(text) where this server is its primary, the addresses of C(remotes) that they have, and C(complaints), a sentence
    each about what cannot be done.

    C(known) has the addresses of hosts of the inventory, by which they can be named wherever an address can. C(before) has the C(digest) and the C(serial)
    that a zone had last time; C(now) is in seconds.
    """
    complaints: list[str] = []
    made = _listed(zones, defaults, known, complaints)
    hosts = _hosts(inventory, known, made, defaults, complaints)
    _reverse(reverse, hosts, made, defaults, complaints)
    for zone in made.values():
        if not zone.settings.get("primaries"):
            _name_servers(zone, known, complaints)
    found = [_finished(zone, known, before, now, complaints) for zone in made.values()]
    named = dict.fromkeys(one for zone in found for one in zone["primaries"] + zone["secondaries"])
    return {"zones": found, "remotes": {one: resolved([one], known) for one in named}, "complaints": list(dict.fromkeys(complaints))}


def _listed(
    zones: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any], known: Mapping[str, Sequence[str]], complaints: list[str]
) -> dict[str, Zone]:
    """The zones that are listed, by their names."""
    made: dict[str, Zone] = {}
    seen: set[str] = set()
    for given in zones:
        name = str(given.get("name", "")).lower().rstrip(".")
        if not _ZONE.fullmatch(name) or len(name) > 253:
            complaints.append(f"dns_zones: '{given.get('name')}' is no name of a zone; write for example example.com.")
            continue
        if name in seen:
            complaints.append(f"dns_zones: '{name}' is there twice; list it once, with all its records.")
        seen.add(name)
        if given.get("state") == "absent":
            continue
        made[name] = zone = Zone(name, {**defaults, **{key: value for key, value in given.items() if value is not None}})
        for record in given.get("records") or ():
            zone.records += _records(record, name, complaints)
        _aliases(zone, complaints)
    return made


def wrong(zone: Mapping[str, Any]) -> list[str]:
    """What is wrong with a zone's name and records, a sentence each."""
    complaints: list[str] = []
    _listed([zone], {}, {}, complaints)
    return complaints


def _aliases(zone: Zone, complaints: list[str]) -> None:
    """A name with a CNAME has nothing else (RFC 1034, 3.6.2), and the zone itself has its SOA."""
    there: dict[str, list[str]] = {f"{zone.name}.": ["SOA"]}
    for one in zone.records:
        there.setdefault(absolute(one.name, zone.name), []).append(one.type)
    for name, kinds in there.items():
        if "CNAME" in kinds and len(kinds) > 1:
            others = ", ".join(sorted({*kinds} - {"CNAME"})) or "another one"
            complaints.append(f"dns_zones: '{name}' in '{zone.name}' has a CNAME, and {others} beside it; a name with a CNAME has nothing else.")


def _records(given: Mapping[str, Any], zone: str, complaints: list[str]) -> Iterator[Record]:
    name, kind = str(given.get("name", "@") or "@"), str(given.get("type", "")).upper()
    values = given.get("value")
    where = f"dns_zones: {kind or 'a record'} of '{name}' in '{zone}'"
    if not _OWNER.fullmatch(name):
        complaints.append(f"dns_zones: '{name}' in '{zone}' is no name; write www, or @ for the zone itself.")
    elif name.endswith(".") and not _within(name.rstrip(".").lower(), zone):
        complaints.append(f"dns_zones: '{name}' is not in '{zone}'; leave out the dot at its end if it is meant to be.")
    if kind not in TYPES and not _TYPE.fullmatch(kind):
        complaints.append(f"dns_zones: '{kind}' of '{name}' in '{zone}' is no type; write for example A or MX" + "; the SOA is made." * (kind == "SOA"))
        return
    values = values if isinstance(values, (list, tuple)) else [values]
    if not values:
        complaints.append(f"{where} has no value; write it as in a zone file.")
    for value in values:
        text = "" if value is None else str(value).strip()
        if not text or "\n" in text:
            complaints.append(f"{where} has no value, or one of several lines; write it as in a zone file.")
            continue
        why = _why_not(kind, text, zone)
        if why:
            complaints.append(f"{where}: '{text}' {why}")
            continue
        ttl = given.get("ttl")
        if ttl is not None and seconds(ttl) is None:
            complaints.append(f"{where}: the ttl '{ttl}' is no number of seconds.")
            continue
        yield Record(name, kind, quoted(text) if kind in ("TXT", "SPF") else text, seconds(ttl))


def _why_not(kind: str, value: str, zone: str) -> str:
    if kind in ("A", "AAAA"):
        found = address(value)
        if found is None or found.version != (4 if kind == "A" else 6):
            return f"is no address of IPv{4 if kind == 'A' else 6}."
    last = value.split()[-1]
    if kind in TARGETS and not last.endswith(".") and _within(last.lower(), zone):
        return f"would be {last}.{zone}; put a dot at its end."
    return ""


def quoted(text: str) -> str:
    """The value of a TXT record: as it is where it has quotes, else in strings of 255 bytes."""
    if text.startswith('"'):
        return text
    raw = text.encode()
    parts = [raw[at : at + _STRING] for at in range(0, len(raw), _STRING)]
    return " ".join('"' + "".join(chr(one) if 32 <= one < 127 and one not in b'"\\' else f"\\{one:03d}" for one in part) + '"' for part in parts)


def _hosts(
    inventory: Sequence[Mapping[str, Any]],
    known: Mapping[str, Sequence[str]],
    made: dict[str, Zone],
    defaults: Mapping[str, Any],
    complaints: list[str],
) -> list[tuple[str, Address]]:
    """A name for each host of some groups, in a zone that is listed or one of its own. The names and their addresses, for the way back."""
    found: list[tuple[str, Address]] = []
    for entry in inventory:
        domain = str(entry["domain"]).lower().rstrip(".")
        if not _ZONE.fullmatch(domain):
            complaints.append(f"dns_inventory: '{entry['domain']}' is no domain; write for example vps.example.com.")
            continue
        parents = [name for name in made if _within(domain, name)]
        zone = made[max(parents, key=len)] if parents else made.setdefault(domain, Zone(domain, dict(defaults)))
        owners: dict[str, str] = {}
        for host in entry["hosts"]:
            name = label_of(host, domain)
            if not name:
                complaints.append(f"dns_inventory: '{host}' cannot be a name in '{domain}'; it has none of a-z and 0-9.")
                continue
            if name in owners:
                complaints.append(f"dns_inventory: '{host}' and '{owners[name]}' would both be {name}.{domain}; give one another name in the inventory.")
            owners[name] = host
            for text in known.get(host, ()):
                one = address(text)
                if one is not None:
                    zone.calculated.append(Record(f"{name}.{domain}.", "A" if one.version == 4 else "AAAA", str(one)))
                    found.append((f"{name}.{domain}.", one))
    return found


def label_of(host: str, domain: str) -> str:
    """What a host of the inventory is called in a domain: without the domain, or with the first part of its name."""
    name = host.lower().rstrip(".")
    name = name[: -len(domain) - 1] if name.endswith("." + domain) else name.split(".")[0]
    parts = [re.sub("[^a-z0-9]+", "-", part).strip("-")[:63].strip("-") for part in name.split(".")]
    return ".".join(part for part in parts if part)


def _reverse(
    networks: Sequence[Any], hosts: Iterable[tuple[str, Address]], made: dict[str, Zone], defaults: Mapping[str, Any], complaints: list[str]
) -> None:
    """The way back for the addresses in some networks."""
    hosts = list(hosts)
    for given in networks:
        entry = given if isinstance(given, Mapping) else {"network": given}
        try:
            network = ipaddress.ip_network(str(entry.get("network")))
        except ValueError as error:
            complaints.append(f"dns_reverse: {error}; write for example 192.0.2.0/24.")
            continue
        if network.prefixlen < (8 if network.version == 4 else 16):
            complaints.append(f"dns_reverse: '{network}' is too much for one server; list the networks that are yours.")
            continue
        parts = reverse_zones(network)
        name = str(entry.get("zone") or "").lower().rstrip(".")
        if name and (len(parts) > 1 or not _ZONE.fullmatch(name)):
            complaints.append(f"dns_reverse: '{entry['zone']}' cannot be the zone of '{network}'; leave it out.")
            continue
        for own, part in parts:
            zone = made.setdefault(name or own, Zone(name or own, dict(defaults)))
            inside = sorted(((one, target) for target, one in hosts if one.version == part.version and one in part), key=lambda pair: int(pair[0]))
            zone.calculated += [Record(_pointer(one, part), "PTR", target) for one, target in inside]


def reverse_zones(network: Network) -> list[tuple[str, Network]]:
    """The zones of a network, and what is in each: one, or as many as it takes where it does not end at a dot; one of RFC 2317 beyond IPv4's last dot."""
    step = 8 if network.version == 4 else 4
    if network.version == 4 and network.prefixlen > 24:
        octets = str(network.network_address).split(".")
        return [(f"{octets[3]}/{network.prefixlen}.{'.'.join(reversed(octets[:3]))}.in-addr.arpa", network)]
    whole = -(-network.prefixlen // step) * step
    return [(_arpa(part), part) for part in network.subnets(new_prefix=whole)]


def _arpa(network: Network) -> str:
    parts = network.network_address.reverse_pointer.split(".")
    step = 8 if network.version == 4 else 4
    return ".".join(parts[(network.max_prefixlen - network.prefixlen) // step :])


def _pointer(one: Address, network: Network) -> str:
    """The name of an address in the zone of its network."""
    parts = one.reverse_pointer.split(".")
    step = 8 if one.version == 4 else 4
    return ".".join(parts[: max(1, (network.max_prefixlen - network.prefixlen) // step)])


def _name_servers(zone: Zone, known: Mapping[str, Sequence[str]], complaints: list[str]) -> None:
    """The zone's NS records, and addresses of those that are in it."""
    servers = zone.settings.get("nameservers") or []
    if not servers:
        complaints.append(f"dns_nameservers: '{zone.name}' has no name server; name those that are asked, as in ns1.example.com.")
    for server in reversed(servers):
        entry = server if isinstance(server, Mapping) else {"name": server}
        name = str(entry.get("name", "")).lower().rstrip(".")
        if not _ZONE.fullmatch(name) or "/" in name:
            complaints.append(f"dns_nameservers: '{entry.get('name')}' is no name; write for example ns1.example.com.")
            continue
        if _within(name, zone.name):
            for text in resolved(entry.get("addresses") or (), known):
                one = address(text)
                if one is None:
                    complaints.append(f"dns_nameservers: '{text}' of '{name}' is no address, and no host of the inventory that has one.")
                else:
                    zone.calculated.insert(0, Record(name + ".", "A" if one.version == 4 else "AAAA", str(one)))
        zone.calculated.insert(0, Record("@", "NS", name + "."))


def _finished(zone: Zone, known: Mapping[str, Sequence[str]], before: Mapping[str, Any], now: int, complaints: list[str]) -> dict[str, Any]:
    """A zone as the server's configuration takes it."""
    settings = zone.settings
    remotes = {which: [str(one) for one in settings.get(which) or ()] for which in ("primaries", "secondaries")}
    for which, named in remotes.items():
        for one in named:
            if any(address(text.partition("@")[0]) is None for text in resolved([one], known)):
                complaints.append(f"dns_{which}: '{one}' of '{zone.name}' is no address, and no host of the inventory that has one.")
    made: dict[str, Any] = {"name": zone.name, "file": zone.name.replace("/", "+") + ".zone", "dnssec": bool(settings.get("dnssec")), **remotes}
    if remotes["primaries"]:
        return {**made, "text": None, "dnssec": False}
    for key in (*SOA, "ttl"):
        if seconds(settings[key]) is None:
            complaints.append(f"dns_zones: {key} of '{zone.name}' is {settings[key]}; it is a number of seconds.")
    first = (settings.get("nameservers") or ["invalid"])[0]
    primary = str(first.get("name") if isinstance(first, Mapping) else first).lower().rstrip(".")
    mail = str(settings.get("hostmaster") or f"hostmaster.{zone.name}").rstrip(".")
    local, at, domain = mail.partition("@")
    contact = local.replace(".", "\\.") + "." + domain if at else mail
    if not re.fullmatch(r"[A-Za-z0-9_+/\\.-]+", contact):
        complaints.append(f"dns_hostmaster: '{settings.get('hostmaster')}' is no mail address; write for example hostmaster@example.com.")

    def text(serial: int) -> str:
        times = " ".join(str(seconds(settings[key])) for key in SOA)
        head = [f"$ORIGIN {zone.name}.", f"$TTL {seconds(settings['ttl'])}", f"@\tIN\tSOA\t{primary}. {contact}. {serial} {times}"]
        return "\n".join(["; Written by the role mainline.vps.dns.", *head, *zone.lines(), ""])

    digest = hashlib.sha256(text(0).encode()).hexdigest()
    last = before.get(zone.name) or {}
    serial = int(last.get("serial") or 0)
    if last.get("digest") != digest or not serial:
        serial = max(now, serial + 1) % _SERIALS or 1
    whole = text(serial)
    # As Ansible sums up files: whether one is as it should be.
    return {**made, "text": whole, "digest": digest, "serial": serial, "checksum": hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest()}


def resolved(named: Iterable[Any], known: Mapping[str, Sequence[str]]) -> list[str]:
    """Addresses, for hosts of the inventory as well. One that is neither stays as it is."""
    return [text for one in named for text in (known.get(str(one)) or [str(one)])]


def seconds(given: Any) -> int | None:
    """A number of seconds as DNS has it, or None."""
    text = str(given)
    return int(text) if re.fullmatch(r"[0-9]{1,10}", text) and int(text) < 2**31 else None


def address(text: str) -> Address | None:
    """An address, or None."""
    try:
        return ipaddress.ip_address(str(text))
    except ValueError:
        return None


def absolute(name: str, zone: str) -> str:
    """A record's name, whole and in small letters."""
    name = name.lower()
    return name if name.endswith(".") else f"{zone}." if name == "@" else f"{name}.{zone}."


def _within(name: str, zone: str) -> bool:
    return name == zone or name.endswith("." + zone)
