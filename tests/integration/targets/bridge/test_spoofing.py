# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS sends at a bridge that is not its own: each frame between two of its own that a stranger at the bridge is seen to get."""

from __future__ import annotations

import socket
import struct

import layer2
import net_packets as packets
import pytest
import vps_kit as kit
from conftest import A, B
from layer2 import NODE, STRANGER, Member

OTHER = "02:00:00:00:00:66"


def _icmp6(kind: int, body: bytes) -> bytes:
    return struct.pack("!BBH", kind, 0, 0) + body


def _to_all(me: Member, packet: tuple[int, bytes], *, mac: str | None = None) -> bytes:
    return packets.ethernet(mac or me.mac, packets.ALL_NODES_MAC, *packet)


def _local(mac: str) -> str:
    octets = [int(word, 16) for word in mac.split(":")]
    tail = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + bytes(6) + tail)


def _arp(me: Member, kind: int, sender: tuple[str, str], target: tuple[str, str], *, mac: str | None = None) -> bytes:
    return packets.ethernet(mac or me.mac, packets.EVERYBODY, packets.ARP, packets.arp(kind, sender=sender, target=target))


def _udp(me: Member, source: str, *, mac: str | None = None, port: int = 9, from_port: int = 9) -> bytes:
    target = STRANGER.six if ":" in source else STRANGER.four
    return packets.ethernet(mac or me.mac, STRANGER.mac, *packets.udp(source, target, port, b"spoofed", from_port=from_port))


def _probe(me: Member, address: str) -> bytes:
    """Duplicate address detection: nobody asks who has an address."""
    body = _icmp6(135, bytes(4) + socket.inet_pton(socket.AF_INET6, address))
    return _to_all(me, packets.ip("::", packets.ALL_NODES, packets.ICMP6, body))


def _fragment(me: Member, whole: tuple[int, bytes]) -> bytes:
    """The first fragment of a packet, with nothing in it that says what it is (RFC 7113)."""
    kind, packet = whole
    options = struct.pack("!BB", 44, 0) + b"\x01\x04" + bytes(4)  # destination options that pad, before the fragment header
    head = packet[:4] + struct.pack("!HBB", len(options) + 8, 60, 255) + packet[8:40]
    return _to_all(me, (kind, head + options + struct.pack("!BBHI", 60, 0, 1, 7)))


def _in_pieces(me: Member, whole: tuple[int, bytes]) -> bytes:
    kind, packet = whole
    payload = packet[40:]
    head = packet[:4] + struct.pack("!HBB", len(payload) + 8, 44, 255) + packet[8:40]
    return _to_all(me, (kind, head + struct.pack("!BBHI", packet[6], 0, 1, 7) + payload))


def _igmp(me: Member, kind: int) -> bytes:
    body = struct.pack("!BBH4s", kind, 10, 0, bytes(4))
    body = body[:2] + struct.pack("!H", packets.checksum(body)) + body[4:]
    start = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 1, 2, 0) + socket.inet_aton(me.four) + socket.inet_aton("224.0.0.1")
    start = start[:10] + struct.pack("!H", packets.checksum(start)) + start[12:]
    return packets.ethernet(me.mac, "01:00:5e:00:00:01", packets.IPV4, start + body)


def _tagged(me: Member, number: int) -> bytes:
    kind, packet = packets.udp(me.four, STRANGER.four, 9, b"tagged")
    return packets.ethernet(me.mac, STRANGER.mac, layer2.VLAN, struct.pack("!HH", number, kind) + packet)


SPOOFED = {
    "another hardware address": lambda me, it: _udp(me, me.four, mac=OTHER),
    "the neighbour's hardware address": lambda me, it: _udp(me, me.four, mac=it.mac),
    "the neighbour's IPv4 address": lambda me, it: _udp(me, it.four),
    "the neighbour's IPv6 address": lambda me, it: _udp(me, it.six),
    "all that is the neighbour's": lambda me, it: _udp(me, it.four, mac=it.mac),
    "the gateway's address": lambda me, it: _udp(me, NODE.four),
    "an address of nobody's": lambda me, it: _udp(me, "10.92.0.77"),
    "an IPv6 address of nobody's": lambda me, it: _udp(me, "fd92::77"),
    "its routed address": lambda me, it: _udp(me, "10.90.0.10"),
    "its own link-local address for data": lambda me, it: _udp(me, _local(me.mac)),
    "an answer that it has the gateway's address": lambda me, it: _arp(me, packets.REPLY, (me.mac, NODE.four), (STRANGER.mac, STRANGER.four)),
    "an answer that it has the neighbour's address": lambda me, it: _arp(me, packets.REPLY, (me.mac, it.four), (STRANGER.mac, STRANGER.four)),
    "an answer with another hardware address in it": lambda me, it: _arp(me, packets.REPLY, (OTHER, me.four), (STRANGER.mac, STRANGER.four)),
    "a question in the gateway's name": lambda me, it: _arp(me, packets.REQUEST, (me.mac, NODE.four), ("00:00:00:00:00:00", STRANGER.four)),
    "an ARP probe with another hardware address": lambda me, it: _arp(me, packets.REQUEST, (OTHER, "0.0.0.0"), ("00:00:00:00:00:00", "10.92.0.50")),
    "an answer without a sender": lambda me, it: _arp(me, packets.REPLY, (me.mac, "0.0.0.0"), (STRANGER.mac, STRANGER.four)),
    "an advertisement of the gateway's address": lambda me, it: _to_all(me, packets.advertisement(me.six, packets.ALL_NODES, NODE.six, me.mac)),
    "one of the neighbour's address": lambda me, it: _to_all(me, packets.advertisement(me.six, packets.ALL_NODES, it.six, me.mac)),
    "one of its own in the neighbour's name": lambda me, it: _to_all(me, packets.advertisement(it.six, packets.ALL_NODES, me.six, me.mac)),
    "one of the neighbour's link-local address": lambda me, it: _to_all(me, packets.advertisement(me.six, packets.ALL_NODES, _local(it.mac), me.mac)),
    "one of the gateway's address in pieces": lambda me, it: _in_pieces(me, packets.advertisement(me.six, packets.ALL_NODES, NODE.six, me.mac)),
    "a solicitation in the gateway's name": lambda me, it: _to_all(me, packets.solicitation(NODE.six, STRANGER.six, me.mac)),
    "one in the name of another link-local address": lambda me, it: _to_all(me, packets.solicitation("fe80::1", STRANGER.six, me.mac)),
    "a claim to the gateway's address": lambda me, it: _probe(me, NODE.six),
    "a claim to an address that somebody is about to take": lambda me, it: _probe(me, "fd92::50"),
    "a router": lambda me, it: _to_all(me, packets.router(_local(me.mac), me.mac, "fd66::")),
    "a router with its own global address": lambda me, it: _to_all(me, packets.router(me.six, me.mac, "fd66::")),
    "a router in pieces": lambda me, it: _in_pieces(me, packets.router(_local(me.mac), me.mac, "fd66::")),
    "a router behind options in pieces": lambda me, it: _fragment(me, packets.router(me.six, me.mac, "fd66::")),
    "a redirect": lambda me, it: _to_all(
        me, packets.ip(me.six, packets.ALL_NODES, packets.ICMP6, _icmp6(137, bytes(4) + socket.inet_pton(socket.AF_INET6, me.six) * 2))
    ),
    "an asker for groups of IPv6": lambda me, it: _to_all(
        me, packets.ip(_local(me.mac), packets.ALL_NODES, packets.ICMP6, _icmp6(130, struct.pack("!HH", 1000, 0) + bytes(16)))
    ),
    "an asker for groups": lambda me, it: _igmp(me, 0x11),
    "an answer of DHCP": lambda me, it: packets.ethernet(me.mac, packets.EVERYBODY, *packets.dhcp_offer(me.four, "10.92.0.200", STRANGER.mac)),
    "an answer of DHCP by another port": lambda me, it: _udp(me, me.four, port=68, from_port=1067),
    "an answer of DHCPv6 by another port": lambda me, it: _udp(me, me.six, port=546, from_port=1547),
    "an ARP probe for an address that somebody is about to take": lambda me, it: _arp(
        me, packets.REQUEST, (me.mac, "0.0.0.0"), ("00:00:00:00:00:00", "10.92.0.50")
    ),
    "an answer of DHCPv6": lambda me, it: _udp(me, me.six, port=546, from_port=547),
    "a VLAN": lambda me, it: _tagged(me, 5),
    "the VLAN of nobody": lambda me, it: _tagged(me, 0),
    "another protocol": lambda me, it: packets.ethernet(me.mac, STRANGER.mac, 0x1234, bytes(46)),
    "a frame of 802.3": lambda me, it: packets.ethernet(me.mac, STRANGER.mac, 46, b"\x42\x42\x03" + bytes(43)),
}
ALLOWED = {
    "its own address": lambda me: _udp(me, me.four),
    "its own IPv6 address": lambda me: _udp(me, me.six),
    "its own broadcast": lambda me: packets.ethernet(me.mac, packets.EVERYBODY, *packets.udp(me.four, "10.92.0.255", 9, b"all")),
    "an answer about itself": lambda me: _arp(me, packets.REPLY, (me.mac, me.four), (STRANGER.mac, STRANGER.four)),
    "a question": lambda me: _arp(me, packets.REQUEST, (me.mac, me.four), ("00:00:00:00:00:00", STRANGER.four)),
    "an ARP probe": lambda me: _arp(me, packets.REQUEST, (me.mac, "0.0.0.0"), ("00:00:00:00:00:00", me.four)),
    "an advertisement of itself": lambda me: _to_all(me, packets.advertisement(me.six, packets.ALL_NODES, me.six, me.mac)),
    "one of its link-local address": lambda me: _to_all(me, packets.advertisement(_local(me.mac), packets.ALL_NODES, _local(me.mac), me.mac)),
    "a solicitation": lambda me: _to_all(me, packets.solicitation(me.six, STRANGER.six, me.mac)),
    "one by its link-local address": lambda me: _to_all(me, packets.solicitation(_local(me.mac), STRANGER.six, me.mac)),
    "a claim to its own address": lambda me: _probe(me, me.six),
    "a question of DHCP's port": lambda me: _udp(me, me.four, port=67, from_port=68),
}


@pytest.mark.parametrize("frame", SPOOFED.values(), ids=SPOOFED)
def test_what_is_not_its_own_goes_nowhere(a, b, frame):
    assert not layer2.passes(frame(a, b), a, STRANGER)


@pytest.mark.parametrize("frame", ALLOWED.values(), ids=ALLOWED)
def test_what_is_its_own_arrives(a, frame):
    assert layer2.passes(frame(a), a, STRANGER)


def test_a_frame_for_the_bridge_itself_moves_no_address(a, b):
    """The packet filter does not see those; a bridge learns by them (802.1D's reserved addresses)."""
    with layer2.wire(a) as out:
        for last in ("00", "02", "03", "0e"):
            for mac in (b.mac, STRANGER.mac):
                out.send(packets.ethernet(mac, f"01:80:c2:00:00:{last}", 0x88CC, bytes(46)))
    held = kit.run("bridge", "fdb", "show", "br", "br-lan").splitlines()
    assert [line.split()[2] for line in held if line.startswith(b.mac)] == [kit.info(B)["interfaces"][0]["host_name"]]
    assert not any(line.startswith(STRANGER.mac) and " vps" in line for line in held)
    assert not layer2.passes(layer2.own(STRANGER, b), STRANGER, a, proof=(STRANGER, a))
    assert layer2.passes(layer2.own(STRANGER, b), STRANGER, b)


def test_a_vps_does_not_see_what_is_for_others(a, b):
    unknown = packets.ethernet(STRANGER.mac, OTHER, *packets.udp(STRANGER.four, "10.92.0.66", 9, b"for somebody else"))
    assert not layer2.passes(unknown, STRANGER, a)


def test_the_neighbours_see_nothing_of_each_other_until_one_lets_them(a, b):
    everybody = packets.ethernet(a.mac, packets.EVERYBODY, *packets.udp(a.four, "10.92.0.255", 9, b"neighbours"))
    for frame in (layer2.own(a, b), everybody, packets.ethernet(a.mac, b.mac, *packets.udp(a.six, b.six, 9, b"six"))):
        assert not layer2.passes(frame, a, b, proof=(STRANGER, b))
    kit.container(B, isolated=False)
    for frame in (layer2.own(a, b), everybody, packets.ethernet(a.mac, b.mac, *packets.udp(a.six, b.six, 9, b"six"))):
        assert layer2.passes(frame, a, b, proof=(STRANGER, b))


def test_a_rule_holds_at_the_bridge_as_elsewhere(a):
    rules = {"in": {"default": "reject", "rules": [{"proto": "udp", "ports": [9], "from": ["10.92.0.0/24"]}]}}
    kit.container(A, firewall=rules)
    other = packets.ethernet(STRANGER.mac, a.mac, *packets.udp(STRANGER.four, a.four, 10, b"another port"))
    six = packets.ethernet(STRANGER.mac, a.mac, *packets.udp(STRANGER.six, a.six, 9, b"of nobody named"))
    assert not layer2.passes(other, STRANGER, a) and not layer2.passes(six, STRANGER, a)
    question = packets.ethernet(STRANGER.mac, packets.ALL_NODES_MAC, *packets.solicitation(STRANGER.six, a.six, STRANGER.mac))
    assert layer2.passes(question, STRANGER, a), "no rule is about who has an address"
    kit.container(A, firewall={"out": {"default": "drop", "rules": [{"proto": "udp", "ports": [9]}]}})
    assert not layer2.passes(_udp(a, a.four, port=10), a, STRANGER)
    assert layer2.passes(_arp(a, packets.REPLY, (a.mac, a.four), (STRANGER.mac, STRANGER.four)), a, STRANGER)


def test_nobody_else_uses_its_address_at_another_interface(a):
    """The node does not route what comes with an address of a VPS's by another way."""
    with layer2.wire(Member("/proc/self/ns/net", "it-peer", "", "", "")) as out, layer2.wire(a) as into:
        for source in ("10.92.0.11", "10.78.0.2", "10.92.0.11"):
            mac = kit.run("ip", "-o", "link", "show", "it-eth").split("link/ether ")[1].split()[0]
            out.send(packets.ethernet("02:00:00:00:00:02", mac, *packets.udp(source, a.four, 9, source.encode())))
        last = layer2.own(STRANGER, a)
        with layer2.wire(STRANGER) as sure:
            sure.send(last)
        seen = layer2.arrived(into, last)
    assert any(b"10.78.0.2" in frame for frame in seen) and not any(b"10.92.0.11" in frame for frame in seen)


def test_the_node_is_closed_but_for_ping_until_a_rule_opens_it(a):
    with layer2.listening(NODE, 2222):
        for address in (NODE.four, NODE.six):
            assert not layer2.answers(a, address, 2222)
            assert layer2.connects(STRANGER, address, 2222)
        for address in (NODE.four, NODE.six):
            kit.inside(A, "ping", "-c", "1", "-W", "5", "-I", "eth1", address)
        kit.container(A, firewall={"out": {"rules": [{"to": ["node"], "proto": "tcp", "ports": [2222]}]}})
        assert layer2.connects(a, NODE.four, 2222) and layer2.connects(a, NODE.six, 2222)
