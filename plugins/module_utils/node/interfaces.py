# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of VPSs that are ports of bridges. LXC makes them at a start; a running VPS gets them, and loses them, by `ip`.

A port learns no hardware address from its guest: its own is written down at the bridge, which so sends it what is for it, and nothing that is
for somebody unknown. What a guest says beside the packet filter, to the bridge itself (802.1D), moves nobody's address then. What the
packet filter holds a port to is core/bridging.py's. Documents: ip-link(8), bridge(8), lxc.container.conf(5) on veth.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..core.addresses import is_ipv6, with_prefix
from ..core.errors import GuestInTheWay, VpsError
from ..core.interfaces import Bridge, Interface, gateways, has_routed, links_of
from ..core.model import Vps
from ..core.networks import Network, bridges_of
from ..core.places import BRIDGED, BRIDGES, HOST_PREFIX, TABLE, link_of
from . import tools

_LARGEST = 1 << 26  # bytes
_BOUND = 1 << 20  # bytes of what a guest's own links are; it may make as many as it likes
ALONE = "learning off flood off guard on"  # what a port of a bridge is not to do for its guest


class Link(NamedTuple):
    """A link of the node, as the kernel has it. `peer` is the number of its other end, `space` that of the network namespace of it."""

    name: str
    number: int
    bridge: str | None = None
    mtu: int = 1500
    peer: int | None = None
    space: int | None = None
    kind: str = ""
    filtering: bool = False
    mac: str = ""


def config(vps: Vps, networks: Iterable[Network], *, ended: str) -> dict[str, str]:
    """The lines of LXC's configuration that make the links at a start. What goes over them comes by `start_batches`.

    `ended` is run when the first of a VPS's links goes, the others being there still: what all have carried is counted then.
    """
    bridges, lines = bridges_of(networks), {}
    first = 1 if has_routed(vps) else 0
    for number, one in enumerate(vps.interfaces, first):
        net = f"lxc.net.{number}"
        lines.update({f"{net}.type": "veth", f"{net}.link": bridges.get(one.network, "")})
        lines.update({f"{net}.veth.pair": one.host_name or "", f"{net}.name": one.name, f"{net}.hwaddr": one.mac or "", f"{net}.flags": "up"})
        if one.vlan is not None:
            lines[f"{net}.veth.vlan.id"] = str(one.vlan)
        if number == 0:
            lines[f"{net}.script.down"] = ended
    return {**({"lxc.hook.pre-start": BRIDGES} if lines and any(network.made for network in networks) else {}), **lines}


def start_checks() -> list[str]:
    """Lines of shell before a start: no VPS is at a bridge without the rules that hold it to its addresses."""
    return [f'case "$(nft list tables bridge 2>/dev/null)" in *"table bridge {TABLE}"*) ;; *) nft -f {BRIDGED} ;; esac']


def start_lines(vps: Vps) -> list[str]:
    """Lines of shell when the links are up."""
    lines = []
    for one in vps.interfaces:
        port = shlex.quote(one.host_name or "")
        lines += [f"ip link set dev {port} type bridge_slave {ALONE}", f"bridge fdb replace {one.mac} dev {port} master static sticky"]
    return lines


def start_batch(vps: Vps, networks: Sequence[Network]) -> list[str]:
    """Lines for `ip -batch` in the VPS's network namespace, in any state of it, after those of the routed link."""
    subnets = {network.name: network.subnets for network in networks}
    lines = [line for one in vps.interfaces for line in _inside(one, subnets.get(one.network, ()))]
    return lines + _ways_out(vps, networks)


def _ways_out(vps: Vps, networks: Iterable[Network]) -> list[str]:
    return [f"route replace default via {gateway} dev {name}" for gateway, name in gateways(vps, networks).items()]


# -- what there is ----------------------------------------------------------------------------------------------------


def links() -> dict[str, Link]:
    """The node's links, by their names."""
    return {link.name: link for link in map(_link, _told("ip", "-json", "-details", "link", "show"))}


def bridges(networks: Iterable[Network], found: Mapping[str, Link]) -> dict[str, Bridge]:
    """What is to be known of the bridges of the networks that have one, by the networks' names."""
    told = {}
    for network in networks:
        if network.bridge is not None:
            link = found.get(network.bridge)
            there = link is not None and link.kind == "bridge"
            told[network.name] = Bridge(
                network.name, network.subnets, network.gateways, there, bool(link and link.filtering), link.mtu if link is not None else 1500
            )
    return told


def addresses() -> dict[str, frozenset[str]]:
    """What the node itself has at each of the bridges that there are, with the lengths of the prefixes."""
    told = _told("ip", "-json", "address", "show", "type", "bridge")
    return {
        link["ifname"]: frozenset(f"{one['local']}/{one['prefixlen']}" for one in link.get("addr_info", ())) for link in told if "ifname" in link
    }


def present(vps: Vps, networks: Iterable[Network], found: Mapping[str, Link]) -> tuple[Interface, ...]:
    """The interfaces of a running VPS that are ports of the right bridges. What they are inside is their guest's to spoil."""
    at, vlans = bridges_of(networks), {}
    if any(one.vlan is not None for one in vps.interfaces):
        vlans = _vlans()

    def is_there(one: Interface) -> bool:
        link = found.get(one.host_name or "")
        return link is not None and link.bridge == at.get(one.network) and (one.vlan is None or vlans.get(link.name) == {one.vlan})

    return tuple(one for one in vps.interfaces if is_there(one))


def strays(vps: Vps, found: Mapping[str, Link]) -> list[str]:
    """Ports that a running VPS has and its record does not know: what a killed run has left, or not come to take away."""
    known = set(links_of(vps))
    spaces = {found[name].space for name in (*known, link_of(vps.id_base)) if name in found} - {None}
    return sorted(
        link.name for link in found.values() if link.name.startswith(HOST_PREFIX) and link.kind == "veth" and link.space in spaces and link.name not in known
    )


def _told(*argv: str) -> list[Any]:
    """What iproute2 tells as JSON; a link takes up to 2 KiB of it."""
    code, output = tools.attempt(argv, limit=_LARGEST)
    if code != 0:
        raise VpsError(f"{argv[0]}: failed with exit code {code}: {tools.last_words(output).rstrip('.')}.", command=list(argv))
    return list(json.loads(output or "[]"))


def _link(told: Mapping[str, Any]) -> Link:
    info = told.get("linkinfo") or {}
    return Link(
        told["ifname"],
        told["ifindex"],
        told.get("master"),
        told["mtu"],
        told.get("link_index"),
        told.get("link_netnsid"),
        info.get("info_kind", ""),
        bool((info.get("info_data") or {}).get("vlan_filtering")),
        told.get("address", ""),
    )


def _vlans() -> dict[str, set[int]]:
    """The VLANs of each port. `bridge` tells nothing where no bridge knows any."""
    told = _told("bridge", "-json", "vlan", "show")
    return {port["ifname"]: {vlan["vlan"] for vlan in port.get("vlans", ())} for port in told}


def waits(vps: Vps, found: Mapping[str, Link]) -> bool:
    """Whether a running VPS has an interface of a bridge in the place of the routed link, which LXC makes at a start only."""
    link = found.get(link_of(vps.id_base))
    return has_routed(vps) and (link is None or link.bridge is not None)


# -- bridges of our making --------------------------------------------------------------------------------------------


def make_bridges() -> None:
    """Have the kernel have those that are missing, as their script says."""
    if os.path.exists(BRIDGES):
        tools.run([BRIDGES])


def take_back(bridge: str, gateways_: Iterable[str]) -> None:
    """Take the node's own addresses away, each with its prefix, that it is not to have at a bridge any more."""
    for gateway in gateways_:
        tools.attempt(["ip", "address", "delete", gateway, "dev", bridge])


def remove_bridge(bridge: str) -> None:
    """Take a bridge away that nobody uses."""
    if bridge in links():
        tools.run(["ip", "link", "delete", bridge])


# -- changes of a running VPS -----------------------------------------------------------------------------------------


def taken_away(vps: Vps, pid: int, networks: Iterable[Network]) -> list[str]:
    """Ports of a running VPS that are not, or not as, its record wants them; they go, and those that are wanted are made anew by `bring`."""
    found, inside = links(), _seen_inside(pid)
    right = {one.host_name for one in present(vps, networks, found)}
    gone = strays(vps, found)
    for one in vps.interfaces:
        link = found.get(one.host_name or "")
        if link is not None and (one.host_name not in right or not _is_as_wanted(one, link, inside)):
            gone.append(link.name)
    return gone


def remove(ports: Iterable[str]) -> None:
    """Take ports of VPSs away, and with each its other end."""
    for port in ports:
        tools.attempt(["ip", "link", "delete", port])


def bring(vps: Vps, pid: int, networks: Sequence[Network]) -> None:
    """Make the links of a running VPS that are missing, and give all of them their addresses and no others of the VPS's; the rest stays up."""
    found, bridged = links(), bridges_of(networks)
    for one in vps.interfaces:
        if one.host_name not in found:
            _make(vps, one, found.get(bridged.get(one.network, "")), pid)
    for one in vps.interfaces:
        _hold(one)
    _give_addresses(vps, pid, networks)


def plug(vps: Vps, networks: Iterable[Network]) -> None:
    """Make ports again of the links of a running VPS whose bridge has gone and was made anew."""
    found, bridged = links(), bridges_of(networks)
    for one in vps.interfaces:
        link, bridge = found.get(one.host_name or ""), bridged.get(one.network, "")
        if link is not None and link.bridge is None and bridge in found:
            _plug(one, bridge)


def follow(vps: Vps, pid: int, before: Sequence[Network], networks: Sequence[Network]) -> None:
    """Have a running VPS's addresses be in the subnets that its networks have now, and its ways out lead where their gateways are."""
    had, have = ({network.name: network.subnets for network in each} for each in (before, networks))
    ends = [
        (one, with_prefix(address, had.get(one.network, ())), with_prefix(address, have.get(one.network, ())))
        for one in vps.interfaces for address in one.addresses
    ]
    lines = [f"address delete {was} dev {one.name}" for one, was, now in ends if was != now]
    left = gateways(vps, before).keys() - gateways(vps, networks).keys()
    lost = [f"route delete default via {gateway} dev {name}" for gateway, name in gateways(vps, before).items() if gateway in left]
    lines = [*lost, *lines, *(start_batch(vps, networks) if lines else _ways_out(vps, networks))]
    if lines:
        tools.attempt(tools.in_namespace(pid, "net", ["ip", "-force", "-batch", "-"]), stdin="\n".join(lines) + "\n")


def _make(vps: Vps, one: Interface, bridge: Link | None, pid: int) -> None:
    """One link: it is no port of the bridge before it has all that holds it."""
    if bridge is None:
        raise VpsError(f"interfaces: the bridge of network '{one.network}' is not there; run vps_network for it, or make it again.")
    port = one.host_name or ""
    mtu = ["mtu", str(bridge.mtu)]
    code, output = tools.attempt(
        ["ip", "link", "add", "name", port, *mtu, "type", "veth", "peer", "name", one.name, "address", one.mac or "", *mtu, "netns", str(pid)]
    )
    if code != 0:
        raise GuestInTheWay(f"interfaces: VPS '{vps.name}' cannot get {one.name}: {tools.last_words(output).rstrip('.')}; see 'ip link' in it, or restart it.")
    try:
        _plug(one, bridge.name)
        tools.run(["ip", "link", "set", "dev", port, "up"])
    except BaseException:
        remove([port])
        raise


def _plug(one: Interface, bridge: str) -> None:
    """Make a link a port of its bridge."""
    port = one.host_name or ""
    tools.run(["ip", "link", "set", "dev", port, "master", bridge])
    if one.vlan is not None:
        tools.attempt(["bridge", "vlan", "delete", "vid", "1", "dev", port])
        tools.run(["bridge", "vlan", "add", "vid", str(one.vlan), "dev", port, "pvid", "untagged"])
    _hold(one)


def _hold(one: Interface) -> None:
    """Have its bridge know where its hardware address is, and learn no other there."""
    tools.run(["ip", "link", "set", "dev", one.host_name or "", "type", "bridge_slave", *ALONE.split()])
    tools.run(["bridge", "fdb", "replace", one.mac or "", "dev", one.host_name or "", "master", "static", "sticky"])


def _give_addresses(vps: Vps, pid: int, networks: Sequence[Network]) -> None:
    subnets = {network.name: network.subnets for network in networks}
    lines = []
    for one in vps.interfaces:
        own = subnets.get(one.network, ())
        lines += [f"address delete {with_prefix(address, own)} dev {one.name}" for address in sorted(vps.claimed - set(one.addresses))]
    lines += start_batch(vps, networks)
    if not lines:
        return
    # The guest's side may be as its root left it, who may have renamed a link: carry on, and let the node's side decide.
    tools.attempt(tools.in_namespace(pid, "net", ["ip", "-force", "-batch", "-"]), stdin="\n".join(lines) + "\n")


def _seen_inside(pid: int) -> dict[int, tuple[str, str, int]]:
    """(name, hardware address, MTU in bytes) of a guest's links, by their numbers; nothing where it has too many to tell."""
    code, output = tools.attempt(tools.in_namespace(pid, "net", ["ip", "-json", "link", "show"]), limit=_BOUND)
    try:
        told = json.loads(output) if code == 0 else []
    except ValueError:
        return {}
    return {link["ifindex"]: (link["ifname"], link.get("address", ""), link["mtu"]) for link in told}


def _is_as_wanted(one: Interface, link: Link, inside: Mapping[int, tuple[str, str, int]]) -> bool:
    return inside.get(link.peer or 0) == (one.name, one.mac, one.mtu or link.mtu)


def _inside(one: Interface, subnets: Iterable[str]) -> list[str]:
    subnets = list(subnets)
    # Whether somebody else has an address is asked when it is given away.
    lines = [f"address replace {with_prefix(address, subnets)} dev {one.name}{' nodad' if is_ipv6(address) else ' brd +'}" for address in one.addresses]
    return [*([f"link set dev {one.name} mtu {one.mtu}"] if one.mtu else []), f"link set dev {one.name} up", *lines]
