# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routed addresses: the node's routes to a VPS, and a running VPS's own addresses. No shared layer 2.

Reads come from /proc; a change costs one `ip` in each of the two network namespaces.
Documents: ip-route(8), ip-address(8), lxc.container.conf(5) on veth.mode = router.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from ..core.addresses import is_ipv6, with_prefix
from ..core.interfaces import ROUTED, has_routed, links_of, mac_of
from ..core.model import Vps
from ..core.places import BRIDGED, HOST_PREFIX, MARK, NETWORK, TABLE, link_of
from . import devices, files, netlink, tools

# Answered by every link for itself: a VPS needs no address of the node's.
GATEWAY, GATEWAY6 = "169.254.1.1", "fe80::1"
INTERFACE = ROUTED
_LOCAL = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")
_MARKED = re.compile(rf"^\tchain ({MARK}[0-9a-f]+) ", re.MULTILINE)
_VIA, _TAUGHT = 0x2, 0x40000  # RTF_GATEWAY of linux/route.h, RTF_ADDRCONF of linux/ipv6_route.h
_HERE_OR_NOWHERE = 0x80000000 | 0x200  # RTF_LOCAL, RTF_REJECT
_LOOPBACK6 = "00000000000000000000000001000000"
_BOUND = 1 << 20  # bytes of a guest's own tables; it may fill them as it likes


def config(vps: Vps, *, ended: str) -> dict[str, str]:
    """The lines of LXC's configuration that make the link. What goes over it comes by `start_batches`. `ended` is run when it goes."""
    if not has_routed(vps):
        return {}
    return {
        "lxc.net.0.type": "veth",
        "lxc.net.0.veth.mode": "router",
        "lxc.net.0.veth.pair": link_of(vps.id_base),
        "lxc.net.0.name": INTERFACE,
        "lxc.net.0.hwaddr": mac_of(vps.id_base),
        "lxc.net.0.flags": "up",
        "lxc.net.0.script.down": ended,
    }


# -- at a start -------------------------------------------------------------------------------------------------------


# One line of shell for a VPS's start: after a boot of the machine, or a flush by somebody else, the packet filter comes back first.
# By its name alone: all of it is the longer to list the more VPSs there are.
START_CHECK = f'case "$(nft list tables inet 2>/dev/null)" in *"table inet {TABLE}"*) ;; *) nft -f {NETWORK} ;; esac'


def rules_in_force(*, bridged: bool) -> bool:
    """Whether the packet filter has the table that it was given last; `bridged`: for what passes bridges too."""
    texts = {"inet": NETWORK, **({"bridge": BRIDGED} if bridged else {})}
    marks = {family: _MARKED.search(files.read(path) or "") for family, path in texts.items()}
    return all(mark is not None and has_rules(mark.group(1), family) for family, mark in marks.items())


def has_rules(mark: str, family: str = "inet") -> bool:
    """Whether the packet filter's table of a family is the one with this mark."""
    return netlink.has_chain(TABLE, mark, family)


def start_answers(uplinks: Mapping[str, str]) -> list[str]:
    """Lines of shell that have the node answer for addresses where others take them to be. A VPS starts without that, too."""
    return [f"ip {line} || :" for line in _answers("replace", uplinks)] + [f"echo 1 >{path} || :" for path in _asked6(uplinks)]


def end_answers(uplinks: Mapping[str, str]) -> list[str]:
    """And no more, when a VPS ends: it may start on another node."""
    return [f"ip {line} 2>/dev/null || :" for line in _answers("delete", uplinks)]


def start_echoes(vps: Vps) -> list[tuple[str, str]]:
    """Texts and the files that take them, before the link is used: answer for the gateway at once, not after up to 0.8 s."""
    if not has_routed(vps):
        return []
    host = link_of(vps.id_base)
    # Whoever asks from an address that does not lead back here is not answered, nor remembered as a neighbour.
    echoes = [("0", f"/proc/sys/net/ipv4/neigh/{host}/proxy_delay"), ("1", f"/proc/sys/net/ipv4/conf/{host}/rp_filter")]
    if any(map(is_ipv6, vps.addresses)):
        # The node learns no routes from its guests, however it learns those of others.
        echoes += [("0", f"/proc/sys/net/ipv6/conf/{host}/disable_ipv6"), ("0", f"/proc/sys/net/ipv6/conf/{host}/accept_ra")]
    return echoes


def start_batches(vps: Vps) -> tuple[list[str], list[str]]:
    """Lines for `ip -batch` that bring a link up: in the VPS's network namespace, and on the node."""
    if not has_routed(vps):
        return [], []
    host = link_of(vps.id_base)
    inside = [_give(address) for address in vps.addresses]
    inside += [f"route replace {GATEWAY} dev {INTERFACE} scope link", f"route replace default via {GATEWAY} dev {INTERFACE}"]
    outside = [f"neighbour replace proxy {GATEWAY} dev {host}"]
    if any(map(is_ipv6, vps.addresses)):
        inside.append(f"route replace default via {GATEWAY6} dev {INTERFACE}")
        outside.append(_gateway6(host))
    outside += [_route(address, host) for address in vps.addresses]
    return inside, outside


# -- what there is ----------------------------------------------------------------------------------------------------


def routed() -> dict[str, tuple[str, ...]]:
    """Host interface → the addresses that the kernel routes to it, now (proc(5), /proc/net/route and ipv6_route)."""
    found: dict[str, tuple[str, ...]] = {}
    with open("/proc/net/route", encoding="ascii") as file:
        next(file, None)
        for line in file:
            fields = line.split()
            if fields[0].startswith(HOST_PREFIX) and fields[7] == "FFFFFFFF":
                found[fields[0]] = (*found.get(fields[0], ()), _address(fields[1]))
    for route in _routes6("/proc/net/ipv6_route"):
        if route.interface.startswith(HOST_PREFIX) and route.prefix == 128 and not route.address.startswith(("fe80", "ff")):
            found[route.interface] = (*found.get(route.interface, ()), route.address)
    return found


def interfaces() -> set[str]:
    """The node's own links, without its ends of VPSs'."""
    return {name for name in devices.counters() if name != "lo" and not name.startswith(HOST_PREFIX)}


def is_up(vps: Vps) -> bool:
    """Whether there is a link to a VPS: it runs."""
    there = devices.counters()
    return any(link in there for link in links_of(vps))


def is_cut_off(vps: Vps, there: Collection[str]) -> bool:
    """Whether the guest of a running VPS has taken away the link that is routed to it, which it has again at its next start. `there` are all links."""
    return has_routed(vps) and link_of(vps.id_base) not in there


def own_addresses() -> set[str]:
    """The node's own addresses (/proc/net/fib_trie, if_inet6)."""
    with open("/proc/net/fib_trie", encoding="ascii") as file:
        return {*_LOCAL.findall(file.read()), *_addresses6("/proc/net/if_inet6")}


def connected() -> Iterator[tuple[str, str]]:
    """(interface, subnet) of every network that the machine is in itself.

    A subnet wider than /8, or /16 of IPv6, is a tunnel's way of saying "everything", as a default route is.
    """
    with open("/proc/net/route", encoding="ascii") as file:
        next(file, None)
        for fields in (line.split() for line in file):
            prefix = bin(int(fields[7], 16)).count("1")
            if fields[2] == "00000000" and prefix >= 8 and not fields[0].startswith(HOST_PREFIX):
                yield fields[0], f"{_address(fields[1])}/{prefix}"
    for route in _routes6("/proc/net/ipv6_route"):
        ours = route.interface.startswith(HOST_PREFIX) or route.interface == "lo"
        if not route.flags & _VIA and 16 <= route.prefix < 128 and not ours and not route.address.startswith(("fe80", "ff")):
            yield route.interface, f"{route.address}/{route.prefix}"


def taught() -> set[str]:
    """The interfaces by which a router has told the kernel the way out (RFC 4861)."""
    return {route.interface for route in _routes6("/proc/net/ipv6_route") if route.prefix == 0 and route.flags & _TAUGHT}


def listening() -> frozenset[str]:
    """The ports at which the node itself is reached from outside, as in C(tcp/22) (proc(5), /proc/net/tcp)."""
    found = set()
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first, last = map(int, file.read().split())
    for proto, state in (("tcp", "0A"), ("udp", "07")):  # TCP_LISTEN; UDP knows no such thing: bound, and connected to nobody
        for name in (proto, f"{proto}6"):
            for fields in (line.split() for line in (files.read(f"/proc/net/{name}") or "").splitlines()[1:]):
                address, port = fields[1].split(":")
                of_a_client = proto == "udp" and first <= int(port, 16) <= last
                if fields[3] == state and not of_a_client and not address.endswith("7F") and address != _LOOPBACK6:
                    found.add(f"{proto}/{int(port, 16)}")
    return frozenset(found)


def is_configured(pid: int, addresses: Iterable[str], ways_of: Iterable[str]) -> bool:
    """Whether a running VPS has its addresses and, for each kind of those that have one, a way out."""
    net = f"/proc/{pid}/net"
    try:
        have = _inside(pid)
        with open(f"{net}/route", encoding="ascii") as file:
            way_out = any(line.split()[1:2] == ["00000000"] for line in file.read(_BOUND).splitlines())
        way_out6 = any(route.prefix == 0 and route.flags & _VIA for route in _routes6(f"{net}/ipv6_route"))
    except (FileNotFoundError, ProcessLookupError):
        return False
    ways = all(way_out6 if is_ipv6(address) else way_out for address in ways_of)
    return ways and set(addresses) <= have


def _inside(pid: int) -> set[str]:
    """The addresses that a running VPS has, wherever it has put them."""
    with open(f"/proc/{pid}/net/fib_trie", encoding="ascii") as file:
        return {*_LOCAL.findall(file.read(_BOUND)), *_addresses6(f"/proc/{pid}/net/if_inet6")}


# -- changes of a running VPS -----------------------------------------------------------------------------------------


def answer(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Have the node answer for addresses where others take them to be, and for no others any more."""
    gone = {address: uplink for address, uplink in before.items() if after.get(address) != uplink}
    if gone:
        tools.attempt(["ip", "-force", "-batch", "-"], stdin="\n".join(_answers("delete", gone)) + "\n")
    if after:
        tools.run(["ip", "-batch", "-"], stdin="\n".join(_answers("replace", after)) + "\n")
    for path in _asked6(after):
        files.overwrite(path, "1")


def set_addresses(vps: Vps, pid: int) -> None:
    """Give a running VPS its addresses and take those that are no longer its own; the others are not touched.

    What leaves is taken inside even if the node routes it no more, or not yet: a killed run may have come as far as that.
    """
    if not has_routed(vps) or is_cut_off(vps, devices.counters()):
        return
    interface = link_of(vps.id_base)
    routed_now = set(routed().get(interface, ()))
    wanted = set(vps.addresses)
    has = _inside(pid) & routed_now  # at this link: what is routed to it nowhere else
    inside = [_give(address) for address in sorted(wanted - has)]
    inside += [f"address delete {with_prefix(address)} dev {INTERFACE}" for address in sorted((routed_now | set(vps.claimed)) - wanted)]
    outside = [_route(address, interface) for address in sorted(wanted - routed_now)]
    outside += [f"route delete {with_prefix(address)} dev {interface}" for address in sorted(routed_now - wanted)]
    if wanted:
        # With its last address an interface has lost its routes; where they are still there, these two fail and are passed over.
        verb = "replace" if vps.interfaces else "add"  # the way out may have led by one of those
        inside.append(f"route {verb} {GATEWAY} dev {INTERFACE} scope link")
        inside.append(f"route {verb} default via {GATEWAY} dev {INTERFACE}")
    if any(map(is_ipv6, wanted)):
        inside.append(f"route {verb} default via {GATEWAY6} dev {INTERFACE}")
    if any(map(is_ipv6, wanted - routed_now)):
        for text, path in start_echoes(vps):
            files.overwrite(path, text)
        outside.insert(0, _gateway6(interface))
    # The guest's side may be as its root left it (an address gone, or the link renamed): carry on, and let the node's side decide.
    tools.attempt(tools.in_namespace(pid, "net", ["ip", "-force", "-batch", "-"]), stdin="\n".join(inside) + "\n")
    if outside:
        tools.run(["ip", "-batch", "-"], stdin="\n".join(outside) + "\n")


# -- words ------------------------------------------------------------------------------------------------------------


def _answers(verb: str, uplinks: Mapping[str, str]) -> list[str]:
    return [f"neighbour {verb} proxy {address} dev {uplink}" for address, uplink in uplinks.items()]


def _asked6(uplinks: Mapping[str, str]) -> list[str]:
    """The files that say that neighbours of IPv6 are answered."""
    return sorted({f"/proc/sys/net/ipv6/conf/{uplink}/proxy_ndp" for address, uplink in uplinks.items() if is_ipv6(address)})


def _give(address: str) -> str:
    # Nobody else is on the link who could have it: no waiting for duplicate address detection.
    return f"address replace {with_prefix(address)} dev {INTERFACE}{' nodad' if is_ipv6(address) else ''}"


def _route(address: str, interface: str) -> str:
    return f"route replace {with_prefix(address)} dev {interface}{'' if is_ipv6(address) else ' scope link'}"


def _gateway6(interface: str) -> str:
    return f"address replace {GATEWAY6}/64 dev {interface} nodad"


def _address(little_endian_hex: str) -> str:
    return socket.inet_ntoa(struct.pack("<L", int(little_endian_hex, 16)))


def _address6(hexadecimal: str) -> str:
    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(hexadecimal))


def _addresses6(path: str) -> Iterable[str]:
    """Those of an if_inet6; none where the kernel has no IPv6."""
    text = files.read_start(path, _BOUND) or ""
    return [_address6(line.split()[0]) for line in text.splitlines() if len(line.split()) == 6]


class _Route6(NamedTuple):
    interface: str
    prefix: int
    address: str
    flags: int


def _routes6(path: str) -> Iterator[_Route6]:
    """Those of an ipv6_route, without what is the kernel's own way of saying that an address is here, or nowhere."""
    text = files.read_start(path, _BOUND) or ""
    for fields in (line.split() for line in text.splitlines()):
        if len(fields) == 10 and not int(fields[8], 16) & _HERE_OR_NOWHERE:
            yield _Route6(fields[9], int(fields[1], 16), _address6(fields[0]), int(fields[8], 16))
