# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routed addresses: the node's host routes, and a running VPS's own addresses. No shared layer 2.

Reads come from /proc; a change costs one `ip` in each of the two network namespaces.
Documents: ip-route(8), ip-address(8), lxc.container.conf(5) on veth.mode = router.
"""

from __future__ import annotations

import re
import socket
import struct

from ..core.errors import VpsError
from ..core.model import Vps
from ..core.places import HOST_PREFIX, NETWORK, TABLE
from . import tools

GATEWAY = "169.254.1.1"  # answered by every veth for itself: a VPS needs no address of the node's
INTERFACE = "eth0"
_LOCAL = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")


def host_interface(vps: Vps) -> str:
    """The node's end of a VPS's link, numbered like its id range: unique, short, and the same for ever."""
    return f"{HOST_PREFIX}{(vps.id_base or 0) >> 16}"


def config(vps: Vps) -> dict[str, str]:
    """The lines of LXC's configuration that make the link. What goes over it comes by `start_batches`."""
    base = (vps.id_base or 0).to_bytes(4, "big")
    return {
        "lxc.net.0.type": "veth",
        "lxc.net.0.veth.mode": "router",
        "lxc.net.0.veth.pair": host_interface(vps),
        "lxc.net.0.name": INTERFACE,
        "lxc.net.0.hwaddr": "02:76:" + ":".join(f"{byte:02x}" for byte in base),
        "lxc.net.0.flags": "up",
    }


# One line of shell for a VPS's start: after a boot of the machine, or a flush by somebody else, the packet filter comes back first.
START_CHECK = f"nft list table inet {TABLE} >/dev/null 2>&1 || nft -f {NETWORK}"


def start_echoes(vps: Vps) -> list[tuple[str, str]]:
    """Texts and the files that take them, before the link is used: answer for the gateway at once, not after up to 0.8 s."""
    return [("0", f"/proc/sys/net/ipv4/neigh/{host_interface(vps)}/proxy_delay")]


def start_batches(vps: Vps) -> tuple[list[str], list[str]]:
    """Lines for `ip -batch` that bring a link up: in the VPS's network namespace, and on the node."""
    host = host_interface(vps)
    inside = [f"address replace {address}/32 dev {INTERFACE}" for address in vps.addresses]
    inside += [f"route replace {GATEWAY} dev {INTERFACE} scope link", f"route replace default via {GATEWAY} dev {INTERFACE}"]
    outside = [f"neighbour replace proxy {GATEWAY} dev {host}"]
    outside += [f"route replace {address}/32 dev {host} scope link" for address in vps.addresses]
    return inside, outside


def routed() -> dict[str, tuple[str, ...]]:
    """Host interface → the addresses that the kernel routes to it, now (proc(5), /proc/net/route)."""
    found: dict[str, tuple[str, ...]] = {}
    with open("/proc/net/route", encoding="ascii") as file:
        next(file, None)
        for line in file:
            fields = line.split()
            if fields[0].startswith(HOST_PREFIX) and fields[7] == "FFFFFFFF":
                found[fields[0]] = (*found.get(fields[0], ()), _address(fields[1]))
    return found


def own_addresses() -> set[str]:
    """The node's own IPv4 addresses (/proc/net/fib_trie)."""
    with open("/proc/net/fib_trie", encoding="ascii") as file:
        return set(_LOCAL.findall(file.read()))


def is_configured(pid: int, addresses: tuple[str, ...]) -> bool:
    """Whether a running VPS has its addresses and, if it has any, a way out."""
    try:
        with open(f"/proc/{pid}/net/fib_trie", encoding="ascii") as file:
            have = set(_LOCAL.findall(file.read(1 << 20)))
        with open(f"/proc/{pid}/net/route", encoding="ascii") as file:
            way_out = any(line.split()[1:2] == ["00000000"] for line in file.read(1 << 20).splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return False
    return (way_out or not addresses) and set(addresses) <= have


def set_addresses(vps: Vps, pid: int) -> None:
    """Give a running VPS its addresses and take those that are no longer its own; the others are not touched.

    What leaves is taken inside even if the node routes it no more, or not yet: a killed run may have come as far as that.
    """
    interface = host_interface(vps)
    routed_now = set(routed().get(interface, ()))
    wanted = set(vps.addresses)
    inside, outside = [], []
    for address in sorted(wanted):
        inside.append(f"address replace {address}/32 dev {INTERFACE}")
        outside.append(f"route replace {address}/32 dev {interface} scope link")
    for address in sorted((routed_now | set(vps.leaving)) - wanted):
        inside.append(f"address delete {address}/32 dev {INTERFACE}")
    for address in sorted(routed_now - wanted):
        outside.append(f"route delete {address}/32 dev {interface}")
    if wanted:
        # With its last address an interface has lost its routes; where they are still there, these two fail and are passed over.
        inside.append(f"route add {GATEWAY} dev {INTERFACE} scope link")
        inside.append(f"route add default via {GATEWAY} dev {INTERFACE}")
    # The guest's side may be as its root left it (an address already gone): carry on, and let the node's side decide.
    code, output = tools.attempt(tools.in_namespace(pid, "net", ["ip", "-force", "-batch", "-"]), stdin="\n".join(inside) + "\n")
    if code != 0 and "Cannot find device" in output:
        raise VpsError(f"addresses: VPS '{vps.name}' has no {INTERFACE} any more; restart it.")
    if outside:
        tools.run(["ip", "-batch", "-"], stdin="\n".join(outside) + "\n")


def _address(little_endian_hex: str) -> str:
    return socket.inet_ntoa(struct.pack("<L", int(little_endian_hex, 16)))
