# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever is at a bridge: VPSs by their interfaces there, and a host that is no VPS. They send frames byte by byte, and see what arrives.

A socket belongs to the network namespace that its thread was in when it was made (network_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

import net_packets as packets
import vps_kit as kit

CLONE_NEWNET = 0x40000000
PATIENCE = 10  # s, for what is to arrive
_LIBC = ctypes.CDLL(None, use_errno=True)
STRANGER_SPACE = "it-stranger"
ALL = 3  # ETH_P_ALL of linux/if_ether.h
VLAN = 0x8100


class Member(NamedTuple):
    """Somebody at the bridge: the namespace, the interface in it, and what is its own."""

    space: str
    interface: str
    mac: str
    four: str
    six: str


def vps(name: str, interface: str = "eth1") -> Member:
    """A running VPS by its interface at the bridge."""
    told = kit.info(name)
    one = next(one for one in told["interfaces"] if one["name"] == interface)
    four = next((address for address in one["addresses"] if ":" not in address), "")
    six = next((address for address in one["addresses"] if ":" in address), "")
    return Member(f"/proc/{told['pid']}/ns/net", interface, one["mac"], four, six)


STRANGER = Member(f"/run/netns/{STRANGER_SPACE}", "eth0", "02:00:00:00:00:99", "10.92.0.99", "fd92::99")
NODE = Member("/proc/self/ns/net", "br-lan", "", "10.92.0.1", "fd92::1")


@contextlib.contextmanager
def stranger(bridge: str) -> Iterator[None]:
    """A host at a bridge that is no VPS."""
    kit.run("ip", "netns", "add", STRANGER_SPACE)
    try:
        kit.run("ip", "link", "add", "it-port", "type", "veth", "peer", "name", "eth0", "address", STRANGER.mac, "netns", STRANGER_SPACE)
        kit.run("ip", "link", "set", "it-port", "master", bridge, "up")
        for line in ("link set lo up", "link set eth0 up", f"address add {STRANGER.four}/24 dev eth0", f"address add {STRANGER.six}/64 dev eth0 nodad"):
            kit.run("ip", "-n", STRANGER_SPACE, *line.split())
        yield
    finally:
        kit.run("ip", "netns", "delete", STRANGER_SPACE)


@contextlib.contextmanager
def being(member: Member) -> Iterator[None]:
    """Make sockets there."""
    home, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(member.space, os.O_RDONLY)
    try:
        assert _LIBC.setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        yield
    finally:
        assert _LIBC.setns(home, CLONE_NEWNET) == 0
        os.close(home)
        os.close(there)


@contextlib.contextmanager
def wire(member: Member) -> Iterator[socket.socket]:
    """Its interface, for frames."""
    with being(member):
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
    with opened:
        opened.bind((member.interface, ALL))
        yield opened


def arrived(at: socket.socket, last: bytes) -> list[bytes]:
    """The frames that came in until one that is told came."""
    found, deadline = [], time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if select.select([at], [], [], 0.2)[0]:
            frame, (_interface, _protocol, kind, *_rest) = at.recvfrom(4096)
            if kind != socket.PACKET_OUTGOING:
                found.append(frame)
                if frame == last:
                    return found
    raise AssertionError(f"what is allowed did not arrive either: {[frame.hex() for frame in found]}")


_NUMBER = iter(range(1, 1 << 30))


def own(sender: Member, receiver: Member) -> bytes:
    """A frame that is all as it should be, and like no other."""
    return packets.ethernet(sender.mac, receiver.mac, *packets.udp(sender.four, receiver.four, 9, struct.pack("!I", next(_NUMBER))))


def passes(frame: bytes, sender: Member, receiver: Member, *, proof: tuple[Member, Member] | None = None) -> bool:
    """Whether a frame comes through, between two that surely do: from the same sender to the same receiver, or as is told."""
    sure, to = proof or (sender, receiver)
    first, last = own(sure, to), own(sure, to)
    with wire(sender) as out, wire(sure) as other, wire(receiver) as into:
        other.send(first)
        arrived(into, first)
        out.send(frame)
        time.sleep(0.02)  # by another way than the last one, where a proof is told
        other.send(last)
        return frame in arrived(into, last)


def connects(sender: Member, address: str, port: int, *, patience: float = 1.0) -> bool:
    """Whether a connection comes about, or is refused by whoever has the address: the packets went both ways."""
    with being(sender):
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    with client:
        client.settimeout(patience)
        try:
            client.connect((address, port))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return True


def answers(sender: Member, address: str, port: int) -> bool:
    """Whether a connection comes about: a refusal may be somebody else's."""
    with being(sender):
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    with client:
        client.settimeout(1.0)
        return client.connect_ex((address, port)) == 0


@contextlib.contextmanager
def listening(member: Member, port: int) -> Iterator[None]:
    """Somebody at a port there, of both families."""
    with being(member):
        server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    with server:
        yield
