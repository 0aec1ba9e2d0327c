# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What else root of a VPS may try against its node and its neighbours, and what runs at once do to each other."""

from __future__ import annotations

import json
import socket
import time

import net_lab as lab
import net_packets as packets
import pytest
import vps_kit as kit
from conftest import A, ADDRESSES, B, C

FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])


# -- a guest that spoils its own link ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [("set", "eth0", "name", "evil"), ("delete", "eth0")], ids=["renamed", "deleted"])
def test_a_guest_without_its_link_is_changed_limited_frozen_stopped_and_restarted(hosts, how):
    lab.ip(hosts["c"], "link", "set", "eth0", "down")
    lab.ip(hosts["c"], "link", *how)
    wanted = [*ADDRESSES[C], "10.90.0.77", "fd90::77"]
    kit.ok("vps_container", name=C, addresses=wanted)
    assert kit.ok("vps_limits", name=C, memory="100M")["changed"]
    for state in ("frozen", "started", "stopped", "started", "restarted"):
        kit.ok("vps_container", name=C, state=state, stop_timeout=0)
    assert not kit.ok("vps_container", name=C, addresses=wanted)["changed"]
    kit.until("it is reached again", lambda: lab.outcomes([lab.Try(lab.NODE, each, "icmp") for each in wanted]) == ["reply"] * 4, seconds=10)
    kit.ok("vps_limits", name=C, memory="unlimited")


@FAMILIES
def test_no_neighbour_is_remembered_who_does_not_belong_to_the_link(hosts, family):
    """Each would cost the node one of the few thousand entries that its table has for all."""
    link, me = kit.info(A)["host_interface"], lab.hardware(hosts["a"])
    foreign = [f"10.66.0.{number}" if family == 4 else f"fe80::66:{number:x}" for number in range(1, 60)]
    with lab.Sniffer(lab.NODE, link) as sniffer:
        for address in foreign:
            if family == 4:
                asked = packets.arp(packets.REQUEST, sender=(me, address), target=("00:00:00:00:00:00", "169.254.1.1"))
                lab.send(hosts["a"], packets.ethernet(me, packets.EVERYBODY, packets.ARP, asked))
            else:
                lab.send(hosts["a"], packets.ethernet(me, packets.ALL_NODES_MAC, *packets.solicitation(address, "fe80::1", me)))
        kit.until("they have come", lambda: len(sniffer.seen()) >= len(foreign), seconds=5)
    time.sleep(0.1)
    known = {entry["dst"] for entry in json.loads(kit.run("ip", "--json", "neighbour", "show", "dev", link))}
    assert not known & set(foreign)
    lab.check(hosts, "a > out1 tcp/80 out1 as node")


# -- what is about somebody else's connection ---------------------------------------------------------------------------------


@FAMILIES
def test_nobody_tells_of_errors_of_a_neighbours_connection(hosts, family):
    gateway = lab.hardware(lab.NODE, kit.info(A)["host_interface"])
    victim, attacker, server = hosts["b"], hosts["a"], lab.OUT1
    with lab.made(victim, lab.family_of(family), socket.SOCK_DGRAM) as client:
        client.connect((server.at(family), 53))
        client.send(b"?")
        kit.until("it is answered", lambda: answered(client), seconds=5)
        _kind, about = packets.udp(victim.at(family), server.at(family), 53, b"", from_port=client.getsockname()[1])
        with lab.Sniffer(lab.NODE, kit.info(A)["host_interface"]) as sniffer:
            forged = packets.unreachable(attacker.at(family), victim.at(family), about)
            lab.send(attacker, packets.ethernet(lab.hardware(attacker), gateway, *forged))
            sniffer.wait(about[-20:], "the error")
        time.sleep(0.1)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        client.connect((server.at(family), 4711))  # where nobody listens: the server's own error comes through
        client.send(b"?")
        kit.until("the error of who may tell of it", lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), seconds=5)


def answered(client: socket.socket) -> bool:
    """Whether something has come."""
    try:
        return bool(client.recv(100))
    except BlockingIOError:
        return False


def test_nobody_chooses_the_port_that_he_leaves_by(hosts):
    """Who does takes the answers that are for a port which leads to somebody else."""
    kit.container(B, publish=[{"host": 18053, "guest": 53, "proto": "udp"}])
    with lab.made(lab.OUT1, socket.AF_INET, socket.SOCK_DGRAM) as server, lab.made(hosts["a"], socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.bind(("", 7000))
        client.bind(("", 18053))
        client.sendto(b"mine", (lab.OUT1.at(4), 7000))
        got: list[tuple[bytes, tuple]] = []
        kit.until("it arrives", lambda: received(server, got), seconds=5)
        assert got[0][0] == b"mine" and got[0][1][1] != 18053
        server.sendto(b"?", (lab.NODE.at(4), 18053))
        kit.until("who has the port answers", lambda: received(server, got), seconds=5)
        assert got[1][0].startswith(b"b "), got


def received(server: socket.socket, got: list) -> bool:
    """Whether something has come; it is added to what has."""
    try:
        got.append(server.recvfrom(100))
    except BlockingIOError:
        return False
    return True


# -- what is the node's -------------------------------------------------------------------------------------------------------


def test_a_port_is_published_at_the_nodes_addresses_and_at_nobody_elses(hosts):
    told = kit.call("vps_container", name=A, publish=[{"host": 8080, "guest": 80, "address": hosts["b"].at(4)}])
    assert told["failed"] and told["msg"].startswith(f"publish: {hosts['b'].at(4)} belongs to VPS {B}")
    ports = [{"host": 8080, "guest": 80, "address": "198.51.100.8"}, {"host": 8081, "guest": 80, "address": lab.NODE.at(4)}]
    told = kit.ok("vps_container", name=A, publish=ports)
    assert any("198.51.100.8" in warning for warning in told["warnings"])
    lab.check(hosts, f"out1 > {lab.NODE.at(4)} tcp/8081 a")
    tries = [lab.Try(who, "198.51.100.8", "tcp/8080") for who in (lab.OUT2, hosts["c"], lab.NODE)]
    assert not any(word.startswith("a ") for word in lab.outcomes(tries, silent=range(3)))
    assert not lab.outcomes([lab.Try(hosts["c"], "127.0.0.1", "tcp/8081")])[0].startswith("a ")


def test_runs_at_once_do_not_take_each_others_moment_for_a_fault(hosts):
    """Each makes the packet filter anew; its file and the kernel differ for a moment."""
    for number in range(6):
        runs = [kit.launch("vps_container", name=name, labels={"turn": str(number)}, lock_timeout=60) for name in (A, B, C)]
        runs.append(kit.launch("vps_network", name="it-turn", subnets=["10.99.0.0/24"], nat=bool(number % 2), lock_timeout=60))
        told = [kit.result(run) for run in runs]
        assert not [one["msg"] for one in told if one.get("failed")]
    kit.ok("vps_network", name="it-turn", state="absent")
