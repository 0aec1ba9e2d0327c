# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets as no kernel would send them: with somebody else's addresses. Bytes only; what sends and sees them is net_lab.

Documents: RFC 768, 791, 826, 2131, 4443, 4861, 8200.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
REQUEST, REPLY = 1, 2
EVERYBODY = "ff:ff:ff:ff:ff:ff"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
UDP, TCP, ICMP, ICMP6 = 17, 6, 1, 58


def mac(text: str) -> bytes:
    """The six bytes of a hardware address."""
    return bytes.fromhex(text.replace(":", ""))


def ethernet(source: str, target: str, kind: int, payload: bytes) -> bytes:
    """A frame."""
    return mac(target) + mac(source) + struct.pack("!H", kind) + payload


def checksum(data: bytes) -> int:
    """That of the internet (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(source: str, target: str, protocol: int, payload: bytes) -> tuple[int, bytes]:
    """(type of frame, packet) of either family, with a checksum in the payload where its protocol has one."""
    first, second = ipaddress.ip_address(source), ipaddress.ip_address(target)
    payload = _summed(first.packed, second.packed, protocol, payload)
    if first.version == 4:
        start = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + first.packed + second.packed
        return IPV4, start[:10] + struct.pack("!H", checksum(start)) + start[12:] + payload
    return IPV6, struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255) + first.packed + second.packed + payload


def _summed(source: bytes, target: bytes, protocol: int, payload: bytes) -> bytes:
    place = {UDP: 6, TCP: 16, ICMP: 2, ICMP6: 2}[protocol]
    pseudo = b"" if protocol == ICMP else source + target + struct.pack("!II", len(payload), protocol)
    return payload[:place] + struct.pack("!H", checksum(pseudo + payload) or 0xFFFF) + payload[place + 2 :]


def udp(source: str, target: str, port: int, data: bytes, *, from_port: int = 9) -> tuple[int, bytes]:
    """A datagram, in its packet."""
    return ip(source, target, UDP, struct.pack("!HHHH", from_port, port, 8 + len(data), 0) + data)


def syn(source: str, target: str, port: int) -> tuple[int, bytes]:
    """The first packet of a connection."""
    return ip(source, target, TCP, struct.pack("!HHIIBBHHH", 4711, port, 1, 0, 5 << 4, 2, 1024, 0, 0))


def arp(kind: int, *, sender: tuple[str, str], target: tuple[str, str]) -> bytes:
    """A question or an answer about who has an address; each side is (hardware address, address)."""
    sides = b"".join(mac(hardware) + socket.inet_aton(address) for hardware, address in (sender, target))
    return struct.pack("!HHBBH", 1, IPV4, 6, 4, kind) + sides


def advertisement(source: str, target: str, address: str, hardware: str) -> tuple[int, bytes]:
    """A neighbour advertisement: `address` is at `hardware`, whatever was known before (override, solicited)."""
    body = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + socket.inet_pton(socket.AF_INET6, address) + b"\x02\x01" + mac(hardware)
    return ip(source, target, ICMP6, body)


def solicitation(source: str, address: str, hardware: str) -> tuple[int, bytes]:
    """A neighbour solicitation to all nodes: who has `address`?"""
    body = struct.pack("!BBHI", 135, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, address) + b"\x01\x01" + mac(hardware)
    return ip(source, ALL_NODES, ICMP6, body)


def router(source: str, hardware: str, prefix: str) -> tuple[int, bytes]:
    """A router advertisement: a way out, and a prefix to make addresses of."""
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + b"\x01\x01" + mac(hardware)
    body += struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + socket.inet_pton(socket.AF_INET6, prefix)
    return ip(source, ALL_NODES, ICMP6, body)


def dhcp_offer(source: str, offered: str, hardware: str) -> tuple[int, bytes]:
    """An address for whoever has asked for one, with the sender as its way out."""
    body = struct.pack("!BBBBIHH", 2, 1, 6, 0, 0x4711, 0, 0x8000) + bytes(4) + socket.inet_aton(offered) + socket.inet_aton(source) + bytes(4)
    body += mac(hardware) + bytes(10 + 64 + 128) + b"\x63\x82\x53\x63" + b"\x35\x01\x02" + b"\x03\x04" + socket.inet_aton(source) + b"\xff"
    return udp(source, "255.255.255.255", 68, body, from_port=67)


def unreachable(source: str, target: str, about: bytes) -> tuple[int, bytes]:
    """An error that says that nobody listens at a port; `about` is the packet that it was for."""
    kind, head = (ICMP6, b"\x01\x04") if ":" in source else (ICMP, b"\x03\x03")
    return ip(source, target, kind, head + bytes(6) + about)
