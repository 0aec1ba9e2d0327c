# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether somebody on a link has an address already: asked before it is given away.

Documents: RFC 5227 (IPv4 address conflict detection), RFC 4862 section 5.4 (duplicate address detection), packet(7).
"""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack

from ..core.addresses import is_ipv6

TRIES, PAUSE = 3, 0.3  # s that somebody has to answer each
_ARP, _IPV6 = 0x0806, 0x86DD
_SOLICITATION, _ADVERTISEMENT = 135, 136
_NOBODY = bytes(6)


def holders(interface: str, addresses: Collection[str]) -> dict[str, str]:
    """Address → the hardware address of who has it on this link. Nobody is told by a link that is down, or is none of Ethernet's kind."""
    found: dict[str, str] = {}
    with ExitStack() as opened:
        sockets = {}
        try:
            for protocol, wanted in ((_ARP, False), (_IPV6, True)):
                asked = [address for address in addresses if is_ipv6(address) == wanted]
                if asked:
                    one = opened.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol)))
                    one.bind((interface, protocol))
                    sockets[one] = asked
            for _try in range(TRIES):
                for one, asked in sockets.items():
                    for address in asked:
                        one.send(_question(one.getsockname()[4], address))
                for answer in _answers(list(sockets), time.monotonic() + PAUSE):
                    address, hardware = _said(answer)
                    if address in addresses:
                        found[address] = hardware
        except OSError:
            return found
    return found


def _answers(sockets: list[socket.socket], deadline: float) -> Iterator[bytes]:
    while True:
        ready, _write, _other = select.select(sockets, [], [], max(0.0, deadline - time.monotonic()))
        if not ready or time.monotonic() > deadline:
            return
        for one in ready:
            data, (_interface, _protocol, kind, *_rest) = one.recvfrom(2048)
            if kind != socket.PACKET_OUTGOING:
                yield data


def _question(mac: bytes, address: str) -> bytes:
    """A frame that asks who has an address, from nobody's: it changes nobody's mind about where anything is."""
    target = ipaddress.ip_address(address).packed
    if not is_ipv6(address):
        return b"\xff" * 6 + mac + struct.pack("!HHHBBH", _ARP, 1, 0x0800, 6, 4, 1) + mac + bytes(4) + _NOBODY + target
    group = bytes.fromhex("ff0200000000000000000001ff") + target[-3:]
    body = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + target
    body = body[:2] + struct.pack("!H", _checksum(bytes(16) + group + struct.pack("!II", len(body), 58) + body)) + body[4:]
    return b"\x33\x33" + group[-4:] + mac + struct.pack("!HIHBB", _IPV6, 6 << 28, len(body), 58, 255) + bytes(16) + group + body


def _checksum(data: bytes) -> int:
    """The Internet's own (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _said(frame: bytes) -> tuple[str, str]:
    """(address, hardware address of who says that it is theirs) of a frame; two empty texts where it says no such thing."""
    kind = frame[12:14]
    if kind == struct.pack("!H", _ARP) and len(frame) >= 42:
        return str(ipaddress.IPv4Address(frame[28:32])), frame[22:28].hex(":")
    if kind == struct.pack("!H", _IPV6) and len(frame) >= 78 and frame[20] == 58 and frame[54] == _ADVERTISEMENT:
        return str(ipaddress.IPv6Address(frame[62:78])), frame[6:12].hex(":")
    return "", ""
