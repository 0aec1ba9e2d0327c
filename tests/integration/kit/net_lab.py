# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts outside of a node, who talk to its VPSs, are talked to by them, and see what arrives. Run it in a network of its own (`apart`).

A socket belongs to the network namespace that its thread was in when it was made (network_namespaces(7)), so that one process is all
hosts: it makes each socket where it is to be. What is between them is the kernel's own.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import json
import os
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import net_packets as packets
import vps_kit as kit

CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_HOME = os.open("/proc/self/ns/net", os.O_RDONLY)
NETWORKS = ("10.90.0.0/16", "fd90::/64")
PATIENCE = 10  # s, for an answer that is expected
SILENCE = 0.4  # s without one, at least, and half of it after the last that was expected; one that comes takes a thousandth of it
_ERRORS = {errno.ECONNREFUSED: "refused", errno.EHOSTUNREACH: "rejected", errno.EACCES: "rejected"}


class Host(NamedTuple):
    """Somebody in a network namespace, with an address of each family."""

    name: str
    namespace: str
    addresses: tuple[str, str]

    def at(self, family: int) -> str:
        """Its address of a family, 4 or 6."""
        return self.addresses[family == 6]


NODE = Host("node", f"/proc/{os.getpid()}/fd/{_HOME}", ("10.81.0.1", "fd81::1"))
OUT1 = Host("out1", "/run/netns/it-out1", ("10.81.0.2", "fd81::2"))
OUT2 = Host("out2", "/run/netns/it-out2", ("10.82.0.2", "fd82::2"))
OUTSIDE = {"it-net1": (OUT1, ("10.81.0.1", "fd81::1")), "it-net2": (OUT2, ("10.82.0.1", "fd82::1"))}


def vps(name: str) -> Host:
    """A running VPS, by the last word of its name: C(a) of C(it-net-a)."""
    told = kit.info(name)
    first = (next((each for each in told["addresses"] if (":" in each) == six), "") for six in (False, True))
    return Host(name.rpartition("-")[2], f"/proc/{told['pid']}/ns/net", tuple(first))


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Two hosts, each on a link of its own; the first is the node's way out."""
    kit.run("ip", "link", "delete", "it-eth")
    for link, (host, here) in OUTSIDE.items():
        space = os.path.basename(host.namespace)
        kit.run("ip", "netns", "add", space)
        kit.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        kit.run("ip", "-n", space, "link", "set", "lo", "up")
        for where, interface, addresses in ((["ip"], link, here), (["ip", "-n", space], "eth0", host.addresses)):
            kit.run(*where, "link", "set", interface, "up")
            kit.run(*where, "address", "add", f"{addresses[0]}/24", "dev", interface)
            kit.run(*where, "address", "add", f"{addresses[1]}/64", "dev", interface, "nodad")
        for family, gateway in zip(("-4", "-6"), here):
            kit.run("ip", "-n", space, family, "route", "add", "default", "via", gateway)
    kit.run("ip", "route", "add", "default", "via", OUT1.at(4))
    kit.run("ip", "-6", "route", "add", "default", "via", OUT1.at(6))
    try:
        yield
    finally:
        for link, (host, _here) in OUTSIDE.items():
            kit.run("ip", "link", "delete", link)
            kit.run("ip", "netns", "delete", os.path.basename(host.namespace))


@contextlib.contextmanager
def entered(host: Host) -> Iterator[None]:
    """This thread is in the network of a host within."""
    descriptor = os.open(host.namespace, os.O_RDONLY)
    try:
        _set(descriptor)
        yield
    finally:
        _set(_HOME)
        os.close(descriptor)


def _set(descriptor: int) -> None:
    if _LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def made(host: Host, family: int, kind: int, proto: int = 0) -> socket.socket:
    """A socket of a host."""
    with entered(host):
        return socket.socket(family, kind | socket.SOCK_NONBLOCK, proto)


def family_of(family: int) -> int:
    """The kernel's number of a family, 4 or 6."""
    return socket.AF_INET6 if family == 6 else socket.AF_INET


# -- servers ------------------------------------------------------------------------------------------------------------


class Servers:
    """Who answers at ports, with their name and the address that they see; until the end of a `with`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._names: dict[int, str] = {}
        self._end, self._ended = os.pipe()
        self._selector.register(self._end, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Servers:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._ended)
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        os.close(self._end)

    def listen(self, host: Host, *ports: str) -> None:
        """Have a host answer at ports, as in C(tcp/80), at all its addresses of both families."""
        for port, family in itertools.product(ports, (4, 6)):
            proto, _slash, number = port.partition("/")
            listener = made(host, family_of(family), socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
            if family == 6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", int(number)))
            if proto == "tcp":
                listener.listen(256)
            self._names[listener.fileno()] = host.name
            self._selector.register(listener, selectors.EVENT_READ)

    def _serve(self) -> None:
        while True:
            for key, _events in self._selector.select():
                if key.fd == self._end:
                    return
                with contextlib.suppress(OSError):  # a client that has gone
                    self._answer(key.fileobj, self._names[key.fd])

    @staticmethod
    def _answer(listener: socket.socket, name: str) -> None:
        if listener.type == socket.SOCK_STREAM:
            connection, peer = listener.accept()
            with connection:
                connection.sendall(f"{name} {peer[0]}".encode())
        else:
            _data, peer = listener.recvfrom(100)
            listener.sendto(f"{name} {peer[0]}".encode(), peer)


# -- clients ------------------------------------------------------------------------------------------------------------


class Try(NamedTuple):
    """A client's attempt: who, to which address, and what, as in C(tcp/80), C(udp/53) or C(icmp)."""

    source: Host
    address: str
    what: str


_numbers = itertools.count(1)


def outcomes(tries: Iterable[Try], *, silent: Collection[int] = ()) -> list[str]:
    """What becomes of each, all at once: the name of who answers with the address that it saw (C(reply) of a ping), C(closed) where it gets
    through and nobody listens, C(rejected) where it is told that it may not, C(silent) where there is nothing, C(no way) without a route.

    `silent` are the numbers of those that nobody is expected to answer.
    """
    tries = list(tries)
    found: list[str | None] = [None] * len(tries)
    awaited = set(range(len(tries))) - set(silent)
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as sockets:
        for number, one in enumerate(tries):
            client, ident = sockets.enter_context(_socket(one)), next(_numbers) & 0xFFFF
            try:
                _begin(client, one, ident)
                selector.register(client, selectors.EVENT_READ, (number, ident))
            except OSError as error:
                found[number] = _ERRORS.get(error.errno, "no way")
        started = time.monotonic()
        deadline = started + PATIENCE
        while None in found and time.monotonic() < deadline:
            if deadline == started + PATIENCE and all(found[number] for number in awaited):
                deadline = max(started + SILENCE, time.monotonic() + SILENCE / 2)
            for key, _events in selector.select(max(0, deadline - time.monotonic())):
                number, ident = key.data
                word = _end(key.fileobj, tries[number], ident)
                if word is not None:
                    found[number] = word
                    selector.unregister(key.fileobj)
    return [word or "silent" for word in found]


def _socket(one: Try) -> socket.socket:
    six, proto = ":" in one.address, one.what.partition("/")[0]
    if proto == "icmp":
        return made(one.source, family_of(6 if six else 4), socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
    return made(one.source, family_of(6 if six else 4), socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)


def _begin(client: socket.socket, one: Try, ident: int) -> None:
    six, (proto, _slash, port) = ":" in one.address, one.what.partition("/")
    with contextlib.suppress(BlockingIOError):
        client.connect((one.address, int(port or 0)))
    if proto == "udp":
        client.send(b"?")
    elif proto == "icmp":
        echo = struct.pack("!BBHHH", 128 if six else 8, 0, 0, ident, 1)  # the kernel makes the checksum of IPv6
        client.send(echo if six else echo[:2] + struct.pack("!H", packets.checksum(echo)) + echo[4:])


def _end(client: socket.socket, one: Try, ident: int) -> str | None:
    try:
        data = client.recv(2000)
    except BlockingIOError:
        return None
    except OSError as error:
        return _ERRORS.get(error.errno, f"error {error.errno}")
    if one.what != "icmp":
        return data.decode()
    six = ":" in one.address
    body = data if six else data[(data[0] & 15) * 4 :]
    return "reply" if (body[0], *struct.unpack("!H", body[4:6])) == (129 if six else 0, ident) else None


# -- what arrives -------------------------------------------------------------------------------------------------------


class Sniffer:
    """Sees all frames of an interface of a host, until the end of a `with`."""

    def __init__(self, host: Host, interface: str = "eth0", kind: int = 3) -> None:
        self._socket = made(host, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        with entered(host):
            self._socket.bind((interface, kind))
        self._seen: list[bytes] = []

    def __enter__(self) -> Sniffer:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()

    def seen(self, *, sent: bool = False) -> list[bytes]:
        """What has come in so far, and what has gone out too if asked."""
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, place = self._socket.recvfrom(65536)
                if sent or place[2] != socket.PACKET_OUTGOING:
                    self._seen.append(frame)
        return self._seen

    def count(self, token: bytes) -> int:
        """How many frames with these bytes have come in."""
        return sum(token in frame for frame in self.seen())

    def wait(self, token: bytes, what: str) -> None:
        """Wait for a frame with these bytes; and for what was sent before it and takes longer."""
        kit.until(f"{what} arrives", lambda: self.count(token), seconds=5)
        time.sleep(0.05)


def send(host: Host, *frames: bytes, interface: str = "eth0") -> None:
    """Put frames on a link of a host as they are."""
    raw = made(host, socket.AF_PACKET, socket.SOCK_RAW)
    with raw:
        with entered(host):
            raw.bind((interface, 0))
        for frame in frames:
            raw.send(frame)


def hardware(host: Host, interface: str = "eth0") -> str:
    """The hardware address of an interface."""
    return json.loads(ip(host, "--json", "link", "show", interface))[0]["address"]


def ip(host: Host, *argv: str) -> str:
    """What `ip` says to a host."""
    return kit.run("nsenter", f"--net={host.namespace}", "ip", *argv)


# -- measuring ----------------------------------------------------------------------------------------------------------

_ports = itertools.count(20000)


@contextlib.contextmanager
def stream(client: Host, server: Host, family: int, *options: str, seconds: float) -> Iterator[subprocess.Popen]:
    """iperf3 from a client to a server, by the server's address; it runs while something is done within. See `result`."""
    port = str(next(_ports))
    listening = subprocess.Popen(
        ["nsenter", f"--net={server.namespace}", "iperf3", "-s", "-1", "-p", port, "--forceflush"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    kit.until("iperf3 listens", lambda: "listening" in listening.stdout.readline(), seconds=10)
    argv = ["iperf3", "--json", "-c", server.at(family), "-p", port, "-t", str(seconds), "-i", "0.5", "-l", "16K", *options]
    running = subprocess.Popen(["nsenter", f"--net={client.namespace}", *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield running
    finally:
        for process in (running, listening):
            process.kill()
            process.communicate()


def result(running: subprocess.Popen) -> dict:
    """What iperf3 tells at its end, which is to be a good one."""
    output, _none = running.communicate(timeout=60)
    told = json.loads(output)
    assert running.returncode == 0 and "error" not in told, f"iperf3: {told.get('error')}"
    return told


def rate(client: Host, server: Host, family: int, *options: str, seconds: float = 2) -> float:
    """Bit/s that a server gets of a client over TCP, after the first moment, which is the burst's."""
    with stream(client, server, family, "-O", "0.5", *options, seconds=seconds) as running:
        return result(running)["end"]["sum_received"]["bits_per_second"]


# -- sentences ----------------------------------------------------------------------------------------------------------


def check(hosts: dict[str, Host], table: str) -> None:
    """Each line of a table is a try and what is to become of it, over IPv4 and over IPv6; all are made at once.

    C(b > a tcp/80 a) is for a to answer. Instead of the host that is tried there may be an address. Who answers has to see the sender's
    address, or the one, or that of the host, which C(as) says after the rest.
    """
    wanted: list[tuple[str, Try, str]] = []
    for line in filter(None, (line.partition("#")[0].split() for line in table.splitlines())):
        source, _to, target, what, word, *seen = line
        for family in (4, 6):
            if target in hosts or (":" in target) == (family == 6):
                address = hosts[target].at(family) if target in hosts else target
                whom = seen[1] if seen else source
                expected = f"{word} {hosts[whom].at(family) if whom in hosts else whom}" if word in hosts else word
                wanted.append((f"{' '.join(line)} (IPv{family})", Try(hosts[source], address, what), expected))
    silent = [number for number, (_line, _one, expected) in enumerate(wanted) if expected == "silent"]
    found = outcomes((one for _line, one, _expected in wanted), silent=silent)
    wrong = [f"{line}: {word}" for (line, _one, expected), word in zip(wanted, found) if word != expected]
    assert not wrong, "\n".join(["it is otherwise:", *wrong])
