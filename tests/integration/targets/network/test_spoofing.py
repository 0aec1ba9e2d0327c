# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What root of a VPS, and a host outside, may try with addresses that are not theirs. Each test sees the same packet arrive where it is honest."""

from __future__ import annotations

import json
import socket
import uuid

import net_lab as lab
import net_packets as packets
import pytest
import vps_kit as kit
from conftest import A, ADDRESSES, B

FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])
GATEWAY = "169.254.1.1"  # what every VPS's way out is called
# By what each is to the node: a neighbour, the node, its other address, the gateway, hosts outside, nobody, this machine.
OTHERS = {
    4: ["10.90.0.11", "10.81.0.1", "10.82.0.1", "169.254.1.1", "10.81.0.2", "192.0.2.7", "10.90.0.99", "127.0.0.1", "0.0.0.0", "255.255.255.255"],
    6: ["fd90::11", "fd81::1", "fd82::1", "fe80::1", "fd81::2", "2001:db8::7", "fd90::99", "::1", "::", "ff02::1"],
}


@pytest.fixture
def gateway(hosts):
    """The hardware address of the node's end of a VPS's link."""
    return lab.hardware(lab.NODE, link())


def link(name: str = A) -> str:
    """The node's end of a VPS's link."""
    return kit.info(name)["host_interface"]


def token() -> bytes:
    """Bytes to know a packet by."""
    return uuid.uuid4().bytes


def frames(host: lab.Host, gateway: str, source: str, target: str, mark: bytes, *, hardware: str | None = None) -> list[bytes]:
    """A datagram of a host by way of the node."""
    kind, packet = packets.udp(source, target, 9, mark)
    return [packets.ethernet(hardware or lab.hardware(host), gateway, kind, packet)]


@FAMILIES
def test_a_vps_sends_with_its_own_address_and_no_other(hosts, gateway, family):
    kit.container(B, isolated=False)
    node = lab.Sniffer(lab.NODE, link())
    for target in (lab.OUT1, hosts["b"]):
        with lab.Sniffer(target) as sniffer:
            marks = {source: token() for source in OTHERS[family]}
            honest = token()
            for source, mark in marks.items():
                lab.send(hosts["a"], *frames(hosts["a"], gateway, source, target.at(family), mark))
                lab.send(hosts["a"], *frames(hosts["a"], gateway, source, target.at(family), mark, hardware=lab.hardware(hosts["b"])))
            lab.send(hosts["a"], *frames(hosts["a"], gateway, hosts["a"].at(family), target.at(family), honest))
            sniffer.wait(honest, "what it sent with its own address")
            assert {source: node.count(mark) for source, mark in marks.items()} == dict.fromkeys(marks, 2), "they were not sent"
            assert {source: sniffer.count(mark) for source, mark in marks.items()} == dict.fromkeys(marks, 0)


@FAMILIES
def test_a_vps_gets_no_packet_to_the_node_with_another_address(hosts, gateway, family):
    """Not even to a port that a rule has opened to the one whose address it takes."""
    for name in (A, B):
        kit.container(name, firewall={"out": {"rules": [{"proto": "udp", "ports": 9, "to": "node"}]}})
    with lab.made(lab.NODE, lab.family_of(family), socket.SOCK_DGRAM) as receiver:
        receiver.bind(("", 9))
        for source in (*OTHERS[family], hosts["a"].at(family)):
            lab.send(hosts["a"], *frames(hosts["a"], gateway, source, lab.NODE.at(family), source.encode()))
        got = []
        kit.until("its own arrives", lambda: got and got[-1][0] == hosts["a"].at(family).encode() or got.append(receive(receiver)), seconds=5)
        assert [data for data, _peer in filter(None, got)] == [hosts["a"].at(family).encode()]


def receive(receiver: socket.socket) -> tuple[bytes, str]:
    """What has come, and of whom."""
    try:
        data, peer = receiver.recvfrom(100)
    except BlockingIOError:
        return b"", ""
    return data, peer[0]


@FAMILIES
def test_a_vps_does_not_get_to_a_neighbour_by_its_hardware_address(hosts, gateway, family):
    kit.container(B, isolated=False)
    with lab.Sniffer(hosts["b"]) as sniffer:
        direct, honest = token(), token()
        for hardware in (lab.hardware(hosts["b"]), packets.EVERYBODY, packets.ALL_NODES_MAC):
            kind, packet = packets.udp(hosts["a"].at(family), hosts["b"].at(family), 9, direct)
            lab.send(hosts["a"], packets.ethernet(lab.hardware(hosts["a"]), hardware, kind, packet))
        lab.send(hosts["a"], *frames(hosts["a"], gateway, hosts["a"].at(family), hosts["b"].at(family), honest))
        sniffer.wait(honest, "what it sent by way of the node")
        assert sniffer.count(direct) == 0


@FAMILIES
def test_an_address_that_root_of_a_vps_gives_itself_is_of_no_use(hosts, family):
    kit.container(B, isolated=False)
    for address in (hosts["c"].at(family), OTHERS[family][6]):
        alone = f"{address}/{128 if family == 6 else 32}"
        lab.ip(hosts["a"], "address", "add", alone, "dev", "eth0", *(["nodad"] if family == 6 else []))
        try:
            for target, seen in ((lab.OUT1, lab.NODE), (hosts["b"], hosts["a"])):
                assert said_to(hosts["a"], hosts["a"].at(family), target) == f"{target.name} {seen.at(family)}"
                assert said_to(hosts["a"], address, target) is None
            if address == hosts["c"].at(family):
                lab.check(hosts, "out1 > c tcp/80 c\nnode > c tcp/80 c")
        finally:
            lab.ip(hosts["a"], "address", "delete", alone, "dev", "eth0")
    assert not kit.ok("vps_container", name=A, addresses=ADDRESSES[A])["changed"]


def said_to(host: lab.Host, source: str, target: lab.Host) -> str | None:
    """What is answered to a datagram from an address."""
    family = 6 if ":" in source else 4
    with lab.made(host, lab.family_of(family), socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.sendto(b"?", (target.at(family), 53))
        client.setblocking(True)
        client.settimeout(0.3)
        try:
            return client.recv(100).decode()
        except TimeoutError:
            return None


# -- neighbours of a link -------------------------------------------------------------------------------------------------


def known(address: str) -> list[dict]:
    """What the node believes about where an address is, on any link."""
    return [entry for entry in json.loads(kit.run("ip", "--json", "neighbour", "show")) if entry["dst"] == address and "lladdr" in entry]


@FAMILIES
def test_a_vps_cannot_say_that_somebody_else_is_at_its_link(hosts, gateway, family):
    lab.check(hosts, "node > a icmp reply\nnode > b icmp reply\nnode > out1 icmp reply")  # the node knows them all
    own, lie, honest = lab.hardware(hosts["a"]), "02:00:00:00:00:66", "02:00:00:00:00:77"
    before = {address: known(address) for address in (hosts["b"].at(family), lab.OUT1.at(family))}
    assert all(before.values())
    others = [*before, lab.NODE.at(family), "fe80::1" if family == 6 else GATEWAY]
    for address in others:
        claim(hosts["a"], family, address, lie, gateway)
    claim(hosts["a"], family, hosts["a"].at(family), honest, gateway)
    kit.until("what is its own is believed", lambda: [entry["lladdr"] for entry in known(hosts["a"].at(family))] == [honest], seconds=5)
    claim(hosts["a"], family, hosts["a"].at(family), own, gateway)
    assert {address: [(entry["dev"], entry["lladdr"]) for entry in known(address) if entry["dev"] != link()] for address in before} == {
        address: [(entry["dev"], entry["lladdr"]) for entry in entries] for address, entries in before.items()
    }
    lab.check(hosts, "node > b icmp reply\nout1 > b icmp reply\nnode > out1 icmp reply\nb > out1 icmp reply\nnode > a icmp reply\na > out1 icmp reply")


def claim(host: lab.Host, family: int, address: str, hardware: str, gateway: str) -> None:
    """Say that an address is at a hardware address: to the node, and to all."""
    own = lab.hardware(host)
    if family == 6:
        (shown,) = json.loads(lab.ip(host, "--json", "-6", "address", "show", "dev", "eth0"))
        link_local = next(each["local"] for each in shown["addr_info"] if each["scope"] == "link")
        for target, where in ((packets.ALL_NODES, packets.ALL_NODES_MAC), ("fe80::1", gateway)):
            for source in (link_local, address):
                kind, packet = packets.advertisement(source, target, address, hardware)
                lab.send(host, packets.ethernet(own, where, kind, packet))
        return
    for kind, where in ((packets.REPLY, gateway), (packets.REPLY, packets.EVERYBODY), (packets.REQUEST, packets.EVERYBODY)):
        body = packets.arp(kind, sender=(hardware, address), target=(where, address if where == packets.EVERYBODY else lab.NODE.at(4)))
        lab.send(host, packets.ethernet(own, where, packets.ARP, body))


def test_the_node_answers_for_the_gateway_and_not_for_neighbours(hosts):
    """So there is no way through a neighbour, which a VPS's root might want to go."""
    own = lab.hardware(hosts["a"])
    with lab.Sniffer(hosts["a"]) as sniffer:
        for address in (hosts["b"].at(4), "10.90.0.99", lab.OUT1.at(4), GATEWAY):
            lab.send(hosts["a"], packets.ethernet(own, packets.EVERYBODY, packets.ARP, packets.arp(
                packets.REQUEST, sender=(own, hosts["a"].at(4)), target=("00:00:00:00:00:00", address)
            )))
        told = packets.ARP.to_bytes(2, "big") + bytes.fromhex("0001080006040002")
        kit.until("the gateway answers", lambda: [frame for frame in sniffer.seen() if told in frame], seconds=5)
        sniffer.wait(told, "an answer")
        answered = {socket.inet_ntoa(frame[28:32]) for frame in sniffer.seen() if told in frame}
        assert answered == {GATEWAY}
    with lab.Sniffer(hosts["a"]) as sniffer:
        for address in (hosts["b"].at(6), "fd90::99", lab.OUT1.at(6), "fe80::1"):
            kind, packet = packets.solicitation(hosts["a"].at(6), address, own)
            lab.send(hosts["a"], packets.ethernet(own, packets.ALL_NODES_MAC, kind, packet))

        def told6() -> set[str]:
            return {socket.inet_ntop(socket.AF_INET6, frame[62:78]) for frame in sniffer.seen() if frame[12:14] == b"\x86\xdd" and frame[54] == 136}

        kit.until("the gateway answers", told6, seconds=5)
        assert told6() == {"fe80::1"}


def test_the_node_takes_no_way_out_from_a_vps(hosts, gateway):
    """A host outside sees that what is sent is what a node takes a way out from, where it listens to who tells it one."""
    def way(interface: str) -> bool:
        return any(route["dev"] == interface and route.get("protocol") == "ra" for route in json.loads(kit.run("ip", "--json", "-6", "route")))

    hears = "/proc/sys/net/ipv6/conf/{}/accept_ra"
    default, here = (open(hears.format(where), encoding="ascii").read() for where in ("default", "it-net2"))
    for where in ("default", "it-net2"):
        with open(hears.format(where), "w", encoding="ascii") as file:
            file.write("2")
    try:
        kit.container(A, state="restarted")  # with a link that is made while the node listens to all new ones
        vps = lab.vps(A)
        for host, interface in ((vps, link()), (lab.OUT2, "it-net2")):
            kind, packet = packets.router("fe80::66", lab.hardware(host), "fd66::")
            lab.send(host, packets.ethernet(lab.hardware(host), packets.ALL_NODES_MAC, kind, packet))
        kit.until("the one from outside is believed", lambda: way("it-net2"), seconds=5)
        assert not way(link())
        assert "fd66:" not in kit.run("ip", "-6", "address", "show", "dev", link())
    finally:
        for where, was in (("default", default), ("it-net2", here)):
            with open(hears.format(where), "w", encoding="ascii") as file:
                file.write(was)
        kit.run("ip", "-6", "route", "flush", "dev", "it-net2", "proto", "ra")
        kit.run("ip", "-6", "address", "flush", "dev", "it-net2", "dynamic")


def test_the_node_hears_no_offer_of_an_address_from_a_vps(hosts):
    with lab.made(lab.NODE, socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.bind(("", 68))
        offers = ((hosts["a"], hosts["a"].at(4)), (hosts["a"], "10.81.0.2"), (hosts["a"], "0.0.0.0"), (lab.OUT2, lab.OUT2.at(4)))
        for host, source in offers:
            kind, packet = packets.dhcp_offer(source, "10.66.0.9", "02:00:00:00:00:66")
            lab.send(host, packets.ethernet(lab.hardware(host), packets.EVERYBODY, kind, packet))
        got: list[str] = []
        kit.until("the one from outside arrives", lambda: got.append(receive_offer(client)) or lab.OUT2.at(4) in got, seconds=5)
        assert [peer for peer in got if peer] == [lab.OUT2.at(4)]


def receive_offer(client: socket.socket) -> str:
    """Who has sent an offer; empty where nobody has yet."""
    try:
        return client.recvfrom(2000)[1][0]
    except BlockingIOError:
        return ""


# -- from outside ---------------------------------------------------------------------------------------------------------


@FAMILIES
def test_a_host_outside_that_takes_a_vps_s_address_is_not_that_vps(hosts, family):
    rule = {"proto": "udp", "ports": 9, "from": ["vps:ap-net-b", "10.81.0.2", "fd81::2"]}
    kit.container(A, firewall={"in": {"default": "drop", "rules": [rule]}})
    gateway = lab.hardware(lab.NODE, "it-net1")
    with lab.Sniffer(hosts["a"]) as sniffer:
        lie, other, neighbour, honest = token(), token(), token(), token()
        lab.send(lab.OUT1, *frames(lab.OUT1, gateway, hosts["b"].at(family), hosts["a"].at(family), lie))
        lab.send(lab.OUT1, *frames(lab.OUT1, gateway, OTHERS[family][6], hosts["a"].at(family), other))
        lab.send(hosts["b"], *frames(hosts["b"], lab.hardware(lab.NODE, link(B)), hosts["b"].at(family), hosts["a"].at(family), neighbour))
        lab.send(lab.OUT1, *frames(lab.OUT1, gateway, lab.OUT1.at(family), hosts["a"].at(family), honest))
        sniffer.wait(neighbour, "what the neighbour sent")
        sniffer.wait(honest, "what it sent with its own address")
        assert (sniffer.count(lie), sniffer.count(other)) == (0, 0)


@FAMILIES
def test_a_host_outside_gets_nothing_out_of_an_address_that_nobody_has(hosts, family):
    """Where its router has a route to the node, and the node a way out to that router, a packet would go back and forth between the two."""
    with lab.Sniffer(lab.OUT1) as sniffer, lab.Sniffer(lab.NODE, link()) as honest:
        nobody, somebody = token(), token()
        gateway = lab.hardware(lab.NODE, "it-net1")
        lab.send(lab.OUT1, *frames(lab.OUT1, gateway, lab.OUT1.at(family), OTHERS[family][6], nobody))
        lab.send(lab.OUT1, *frames(lab.OUT1, gateway, lab.OUT1.at(family), hosts["a"].at(family), somebody))
        kit.until("what somebody has arrives", lambda: sum(somebody in frame for frame in honest.seen(sent=True)), seconds=5)
        kind, place = (packets.IPV4, 23) if family == 4 else (packets.IPV6, 20)  # where the protocol is; an error has it in ICMP
        back = [frame for frame in sniffer.seen() if nobody in frame and frame[12:14] == kind.to_bytes(2, "big") and frame[place] == packets.UDP]
        assert not back, "the node sent it back"
