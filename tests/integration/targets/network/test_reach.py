# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reaches whom: VPSs, their neighbours, the node, hosts outside; with every kind of rule, over IPv4 and IPv6, seen by real clients."""

from __future__ import annotations

import socket

import net_lab as lab
import pytest
import vps_kit as kit
from conftest import A, B


def given(name: str = A, **params) -> None:
    """Change a VPS while it runs, as its check mode said; twice is the same as once."""
    done = kit.foretold("vps_container", name=name, **params)
    assert done["changed"] and not done["restart_required"]
    assert {change["effect"] for change in done["changes"]} == {"live"}


def incoming(*rules: dict, default: str = "drop") -> None:
    """Give a VPS these rules for who comes in."""
    given(firewall={"in": {"default": default, "rules": list(rules)}})


def outgoing(*rules: dict, default: str = "drop") -> None:
    """Give a VPS these rules for where it goes."""
    given(firewall={"out": {"default": default, "rules": list(rules)}})


def test_without_a_rule_a_vps_is_open_to_the_world_and_closed_to_its_neighbours(hosts):
    lab.check(hosts, """
        a    > a    tcp/80  a
        a    > b    tcp/80  silent
        a    > b    udp/53  silent
        a    > b    icmp    silent
        a    > node icmp    reply
        a    > node tcp/22  refused
        a    > node udp/53  rejected
        a    > out1 tcp/80  out1 as node
        a    > out1 udp/53  out1 as node
        a    > out1 icmp    reply
        a    > 10.82.0.1 tcp/22 refused   # the node's other address
        a    > fd82::1   tcp/22 refused
        b    > a    tcp/80  silent
        b    > a    icmp    silent
        node > a    tcp/80  a
        node > a    udp/53  a
        node > a    icmp    reply
        node > out1 tcp/80  out1
        out1 > a    tcp/80  a
        out1 > a    udp/53  a
        out1 > a    icmp    reply
        out2 > a    tcp/80  a
        out1 > node tcp/22  node
        out1 > node icmp    reply
        out1 > out2 tcp/80  out2
        out1 > a    tcp/99  refused
    """)


def test_who_is_not_isolated_is_open_to_its_neighbours_and_does_not_open_them(hosts):
    given(isolated=False)
    lab.check(hosts, """
        b > a tcp/80 a
        b > a udp/53 a
        b > a icmp   reply
        a > b tcp/80 silent
        b > c tcp/80 silent
    """)
    given(isolated=True)
    lab.check(hosts, "b > a tcp/80 silent\nout1 > a tcp/80 a")


@pytest.mark.parametrize(("default", "tcp", "other"), [("drop", "silent", "silent"), ("reject", "refused", "rejected")])
def test_a_closed_vps_is_closed_to_all_but_the_node_and_still_gets_answers(hosts, default, tcp, other):
    incoming(default=default)
    lab.check(hosts, f"""
        out1 > a    tcp/80 {tcp}
        out1 > a    udp/53 {other}
        out1 > a    icmp   {other}
        b    > a    tcp/80 silent
        node > a    tcp/80 a
        node > a    udp/53 a
        node > a    icmp   reply
        a    > out1 tcp/80 out1 as node
        a    > out1 udp/53 out1 as node
        a    > out1 icmp   reply
    """)


def test_a_rule_opens_what_it_says_and_nothing_else(hosts):
    incoming({"proto": "tcp", "ports": [80, "8000-8100"]}, {"proto": "udp", "ports": 53})
    lab.check(hosts, """
        out1 > a tcp/80   a
        out1 > a tcp/8000 a
        out1 > a tcp/8100 a
        out1 > a tcp/8050 refused
        out1 > a tcp/443  silent
        out1 > a udp/53   a
        out1 > a udp/8000 silent
        out1 > a icmp     silent
        b    > a tcp/80   a
        b    > a tcp/443  silent
        out1 > b tcp/443  b
    """)
    incoming({"proto": "icmp"})
    lab.check(hosts, "out1 > a icmp reply\nout1 > a tcp/80 silent\nb > a icmp reply\nout1 > a udp/53 silent")
    incoming({"proto": "udp"})
    lab.check(hosts, "out1 > a icmp silent\nout1 > a tcp/80 silent\nout1 > a udp/8000 a\nout1 > a udp/53 a")


def test_the_first_rule_that_fits_counts(hosts):
    incoming(
        {"action": "reject", "proto": "tcp", "ports": 80, "from": ["10.81.0.0/24", "fd81::/64"]},
        {"proto": "tcp", "ports": [80, 443]},
        {"action": "drop", "proto": "tcp"},
        default="accept",
    )
    lab.check(hosts, """
        out1 > a tcp/80   refused
        out2 > a tcp/80   a
        out1 > a tcp/443  a
        out1 > a tcp/8000 silent
        out1 > a udp/53   a
        b    > a tcp/80   a
        b    > a udp/53   silent    # isolated
    """)


@pytest.mark.parametrize(
    ("peers", "out1", "out2", "b", "c"),
    [
        (["10.81.0.2", "fd81::2"], True, False, False, False),
        (["10.82.0.0/24", "fd82::/64"], False, True, False, False),
        (["10.80.0.0/14", "fd80::/12"], True, True, False, False),
        (["vps:ap-net-b"], False, False, True, False),
        (["vps"], False, False, True, True),
        (["label:tier=web"], False, False, False, True),
        (["vps:ap-net-b", "label:tier=web", "10.81.0.2", "fd81::/64"], True, False, True, True),
        (["vps:ap-net-nobody", "label:tier=none"], False, False, False, False),
        (["10.90.0.11", "fd90::/124"], False, False, None, False),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)
def test_a_rule_lets_in_whom_it_names(hosts, peers, out1, out2, b, c):
    kit.container("ap-net-c", labels={"tier": "web"})
    incoming({"proto": "tcp", "ports": 80, "from": peers})
    words = {"out1": out1, "out2": out2, "b": b, "c": c}
    lab.check(hosts, "\n".join(
        f"{who} > a tcp/80 {'a' if let_in else 'silent'}\n{who} > a tcp/443 silent" for who, let_in in words.items() if let_in is not None
    ) + "\nnode > a tcp/80 a")
    if b is None:  # the address of one family, and of the other a subnet that it is not in
        lab.check(hosts, "b > 10.90.0.10 tcp/80 a\nb > fd90::10 tcp/80 silent")


def test_a_label_that_comes_and_goes_takes_its_rules_along(hosts):
    incoming({"proto": "tcp", "from": "label:tier=web"})
    lab.check(hosts, "b > a tcp/80 silent")
    given(B, labels={"tier": "web", "more": "x"})
    lab.check(hosts, "b > a tcp/80 a\nc > a tcp/80 silent")
    given(B, labels={"tier": "db"})
    lab.check(hosts, "b > a tcp/80 silent")


def test_a_neighbour_that_is_removed_takes_its_rules_along(hosts, minimal):
    incoming({"proto": "tcp", "from": "vps:ap-net-d"})
    kit.container("ap-net-d", template=minimal, addresses=["10.90.0.13", "fd90::13"])
    hosts["d"] = lab.vps("ap-net-d")
    lab.check(hosts, "d > a tcp/80 a")
    kit.container("ap-net-d", state="absent")
    kit.container("ap-net-e", template=minimal, addresses=["10.90.0.13", "fd90::13"])
    hosts["d"] = lab.vps("ap-net-e")
    lab.check(hosts, "d > a tcp/80 silent")


@pytest.mark.parametrize(("default", "tcp", "other"), [("drop", "silent", "silent"), ("reject", "refused", "rejected")])
def test_a_vps_that_may_go_nowhere_goes_nowhere_and_still_answers(hosts, default, tcp, other):
    kit.container(B, isolated=False)
    outgoing(default=default)
    lab.check(hosts, f"""
        a    > out1 tcp/80 {tcp}
        a    > out1 udp/53 {other}
        a    > out1 icmp   {other}
        a    > b    tcp/80 {tcp}
        a    > node icmp   reply
        a    > node tcp/22 refused
        out1 > a    tcp/80 a
        out1 > a    udp/53 a
        out1 > a    icmp   reply
        node > a    tcp/80 a
    """)


def test_a_rule_lets_out_to_whom_it_names(hosts):
    kit.container(B, isolated=False)
    kit.container("ap-net-c", isolated=False, labels={"tier": "web"})
    outgoing(
        {"proto": "tcp", "ports": 80, "to": ["10.81.0.0/24", "fd81::/64"]},
        {"proto": "udp", "to": "vps:ap-net-b"},
        {"proto": "tcp", "ports": 443, "to": "label:tier=web"},
        {"action": "reject", "proto": "tcp", "to": "vps"},
    )
    lab.check(hosts, """
        a > out1 tcp/80  out1 as node
        a > out1 tcp/443 silent
        a > out2 tcp/80  silent
        a > b    udp/53  b
        a > b    tcp/80  refused
        a > c    tcp/443 c
        a > c    tcp/80  refused
        a > c    udp/53  silent
    """)


def test_both_sides_have_to_agree(hosts):
    kit.container(B, firewall={"in": {"default": "drop", "rules": [{"proto": "tcp", "ports": 80, "from": "vps:ap-net-a"}]}})
    outgoing({"proto": "tcp", "ports": 443})
    lab.check(hosts, "a > b tcp/80 silent\na > b tcp/443 silent")
    outgoing({"proto": "tcp", "ports": [80, 443]})
    lab.check(hosts, "a > b tcp/80 b\na > b tcp/443 silent\nc > b tcp/80 silent")


def test_a_rule_that_names_the_node_opens_one_port_of_it(hosts):
    outgoing({"proto": "tcp", "ports": 22, "to": "node"}, default="accept")
    lab.check(hosts, """
        a > node tcp/22 node
        a > node tcp/25 refused
        a > node udp/53 rejected
        b > node tcp/22 refused
        a > 10.82.0.1 tcp/22 node
        a > fd82::1   tcp/22 node
        a > out1 tcp/80 out1 as node
    """)
    outgoing({"proto": "udp", "ports": 53, "to": ["node"]}, {"action": "drop", "proto": "tcp", "ports": 25, "to": "node"})
    lab.check(hosts, "a > node udp/53 node\na > node tcp/22 refused\na > node tcp/25 silent\na > out1 udp/53 silent\na > b udp/53 silent")
    given(firewall={})
    lab.check(hosts, "a > node udp/53 rejected\na > out1 tcp/80 out1 as node")


def test_the_node_s_address_on_the_link_itself_is_closed_too(hosts):
    """Which a VPS may ask where its gateway is, and nothing else."""
    with lab.entered(hosts["a"]):
        link = socket.if_nametoindex("eth0")
    for source in (hosts["a"].at(6), "::"):  # its own address; and what the kernel takes for it, which is its own of this link
        with lab.made(hosts["a"], socket.AF_INET6, socket.SOCK_STREAM) as client:
            client.setblocking(True)
            client.settimeout(1.5)
            client.bind((source, 0))
            with pytest.raises(OSError, match="refused|timed out"):
                client.connect(("fe80::1", 22, 0, link))
    assert kit.run("nsenter", f"--net={hosts['a'].namespace}", "ping", "-6", "-c1", "-W5", "fe80::1%eth0")


def test_a_datagram_in_pieces_is_let_in_where_a_whole_one_is(hosts):
    """Only the first piece says which port it is for."""
    incoming({"proto": "udp", "ports": 53})
    for family in (4, 6):
        with lab.made(lab.OUT1, lab.family_of(family), socket.SOCK_DGRAM) as client:
            client.setblocking(True)
            client.settimeout(5)
            client.connect((hosts["a"].at(family), 53))
            client.send(bytes(4000))
            assert client.recv(100).decode() == f"a {lab.OUT1.at(family)}"


def test_a_restart_keeps_all_of_it(hosts):
    incoming({"proto": "tcp", "ports": 80, "from": ["vps:ap-net-b", "10.81.0.2", "fd81::2"]})
    kit.container(A, state="restarted")
    hosts["a"] = lab.vps(A)
    with lab.Servers() as servers:
        servers.listen(hosts["a"], "tcp/80", "tcp/443")
        lab.check(hosts, "b > a tcp/80 a\nout1 > a tcp/80 a\nout2 > a tcp/80 silent\nc > a tcp/80 silent\nout1 > a tcp/443 silent")
