# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of the node that lead to a VPS: from everywhere, over IPv4 and IPv6, TCP and UDP; and what may not be published."""

from __future__ import annotations

import net_lab as lab
import pytest
import vps_kit as kit
from conftest import A, ADDRESSES, B


def published(*ports: dict, name: str = A) -> None:
    """Publish these ports of a VPS, live."""
    done = kit.foretold("vps_container", name=name, publish=list(ports))
    assert {(change["option"], change["effect"]) for change in done["changes"]} == {("publish", "live")}


def test_a_published_port_leads_to_the_vps_from_everywhere(hosts):
    published({"host": 8080, "guest": 80})
    lab.check(hosts, """
        out1 > node      tcp/8080 a
        out2 > node      tcp/8080 a
        out2 > 10.82.0.1 tcp/8080 a
        out2 > fd82::1   tcp/8080 a
        node > node      tcp/8080 a
        b    > node      tcp/8080 a
        a    > node      tcp/8080 a as node    # or its answer would go to itself directly
        b    > a         tcp/80   silent
        out1 > node      udp/8080 refused
        out1 > node      tcp/8081 refused
        out1 > node      tcp/22   node
        node > 127.0.0.1 tcp/8080 refused
        node > ::1       tcp/8080 refused
    """)
    published()
    lab.check(hosts, "out1 > node tcp/8080 refused\nnode > node tcp/8080 refused\nb > node tcp/8080 refused\nout1 > a tcp/80 a")


def test_a_port_at_one_address_is_at_no_other(hosts):
    published({"host": 8080, "guest": 80, "address": "10.82.0.1"}, {"host": 8080, "guest": 443, "address": "fd82::1"})
    lab.check(hosts, """
        out2 > 10.82.0.1 tcp/8080 a
        out2 > fd82::1   tcp/8080 a
        out1 > 10.82.0.1 tcp/8080 a
        b    > 10.82.0.1 tcp/8080 a
        node > 10.82.0.1 tcp/8080 a as 10.82.0.1
        node > fd82::1   tcp/8080 a as fd82::1
        out2 > node      tcp/8080 refused
        out1 > node      tcp/8080 refused
    """)


def test_a_port_of_udp_is_not_one_of_tcp(hosts):
    published({"host": 5353, "guest": 53, "proto": "udp"}, {"host": 53, "guest": 80})
    lab.check(hosts, """
        out1 > node udp/5353 a
        b    > node udp/5353 a
        node > node udp/5353 a
        a    > node udp/5353 a as node
        out1 > node tcp/5353 refused
        out1 > node udp/53   node
        out1 > node tcp/53   a
    """)


def test_one_port_moves_from_a_vps_to_another(hosts):
    published({"host": 8080, "guest": 80})
    assert "ap-net-a" in kit.fails("vps_container", name=B, publish=[{"host": 8080, "guest": 80}])
    published()
    published({"host": 8080, "guest": 443}, name=B)
    lab.check(hosts, "out1 > node tcp/8080 b\nout2 > node tcp/8080 b\na > node tcp/8080 b")
    published({"host": 8000}, name=B)
    lab.check(hosts, "out1 > node tcp/8000 b\nout1 > node tcp/8080 refused")


def test_what_is_published_is_open_whatever_the_rules_say_and_only_by_that_port(hosts):
    kit.container(A, firewall={"in": {"default": "drop"}}, publish=[{"host": 8080, "guest": 80}])
    lab.check(hosts, """
        out1 > node tcp/8080 a
        b    > node tcp/8080 a
        out1 > a    tcp/80   silent
        b    > a    tcp/80   silent
        out1 > a    tcp/443  silent
    """)


def test_a_neighbour_that_may_not_go_out_does_not_get_to_a_published_port_either(hosts):
    kit.container(A, publish=[{"host": 8080, "guest": 80}])
    kit.container(B, firewall={"out": {"default": "reject"}})
    lab.check(hosts, "b > node tcp/8080 refused\nc > node tcp/8080 a")


def test_a_port_follows_the_vps_to_its_new_address(hosts):
    published({"host": 8080, "guest": 80})
    kit.container(A, addresses=["10.90.0.20", "fd90::20"])
    try:
        lab.check(hosts, "out1 > node tcp/8080 a\nb > node tcp/8080 a\nout1 > fd90::20 tcp/80 a")
    finally:
        kit.container(A, addresses=ADDRESSES[A])


def test_a_vps_of_one_family_is_published_in_that_one(hosts):
    kit.container(A, addresses=ADDRESSES[A][:1], publish=[{"host": 8080, "guest": 80}])
    try:
        lab.check(hosts, "out1 > 10.81.0.1 tcp/8080 a\nout1 > fd81::1 tcp/8080 refused")
    finally:
        kit.container(A, addresses=ADDRESSES[A])


def test_a_stopped_vps_keeps_its_port_and_a_restarted_one_answers_at_it(hosts):
    published({"host": 8080, "guest": 80})
    kit.container(A, state="stopped")
    tries = [lab.Try(lab.OUT2, lab.NODE.at(family), "tcp/8080") for family in (4, 6)]
    assert set(lab.outcomes(tries, silent=range(len(tries)))) <= {"silent", "rejected"}
    kit.container(A, state="started")
    hosts["a"] = lab.vps(A)
    with lab.Servers() as servers:
        servers.listen(hosts["a"], "tcp/80")
        lab.check(hosts, "out1 > node tcp/8080 a\nb > node tcp/8080 a")


@pytest.mark.parametrize(
    ("option", "params"),
    [
        ("publish", {"publish": [{"host": 22, "guest": 80}]}),
        ("publish", {"publish": [{"host": 53, "proto": "udp"}]}),
        ("publish", {"publish": [{"host": 25, "address": "10.82.0.1"}]}),
        ("publish", {"publish": [{"host": 7000}]}),
        ("publish", {"publish": [{"host": 7000, "address": "10.81.0.1"}]}),
        ("publish", {"publish": [{"host": 80}, {"host": 80, "guest": 81}]}),
        ("publish[0].host", {"publish": [{"host": 65536}]}),
        ("publish[0].guest", {"publish": [{"host": 80, "guest": 0}]}),
        ("publish[0].address", {"publish": [{"host": 80, "address": "10.81.0.0/24"}]}),
        ("addresses", {"addresses": ["fd90::11"]}),
        ("addresses", {"addresses": ["fd90:0:0:0::11"]}),
        ("addresses", {"addresses": ["10.90.0.11/32"]}),
        ("addresses", {"addresses": ["10.81.0.1"]}),
        ("addresses", {"addresses": ["fd81::1"]}),
        ("addresses", {"addresses": ["192.0.2.1"]}),
        ("addresses", {"addresses": ["2001:db8::1"]}),
        ("addresses", {"addresses": ["fd90::/64"]}),
        ("addresses", {"addresses": ["fe80::1"]}),
        ("addresses", {"addresses": ["::ffff:10.90.0.14"]}),
        ("addresses", {"addresses": ["fd90::10", "fd90:0::10"]}),
        ("search_domains", {"search_domains": ["not a domain"]}),
        ("labels", {"labels": {"1": "x"}}),
        ("labels.tier", {"labels": {"tier": "a b"}}),
        ("firewall", {"firewall": {"input": {}}}),
        ("firewall.in", {"firewall": {"in": {"policy": "drop"}}}),
        ("firewall.in.default", {"firewall": {"in": {"default": "deny"}}}),
        ("firewall.in.rules", {"firewall": {"in": {"rules": {"proto": "tcp"}}}}),
        ("firewall.in.rules[0]", {"firewall": {"in": {"rules": [{"to": "vps"}]}}}),
        ("firewall.in.rules[0].proto", {"firewall": {"in": {"rules": [{"proto": "sctp"}]}}}),
        ("firewall.in.rules[0].proto", {"firewall": {"in": {"rules": [{"ports": 80}]}}}),
        ("firewall.in.rules[0].ports", {"firewall": {"in": {"rules": [{"proto": "tcp", "ports": "80; accept"}]}}}),
        ("firewall.in.rules[1].from", {"firewall": {"in": {"rules": [{}, {"from": "10.0.0.0/33"}]}}}),
        ("firewall.out.rules[0].to", {"firewall": {"out": {"rules": [{"to": "vps:../x"}]}}}),
        ("rates", {"rates": {"up": "10M"}}),
        ("rates.in", {"rates": {"in": "fast"}}),
        ("rates.out", {"rates": {"out": "1"}}),
        ("rates.burst", {"rates": {"in": "10M", "burst": "1"}}),
        ("rates.burst", {"rates": {"burst": "100K"}}),
    ],
)
def test_a_mistake_is_a_sentence_that_names_its_option_and_touches_nothing(hosts, option, params):
    if kit.info(B)["publish"] == []:
        kit.container(B, publish=[{"host": 7000, "guest": 80}])
    with kit.Untouched():
        message = kit.fails("vps_container", name=A, **params)
        assert kit.fails("vps_container", name=A, check=True, **params) == message
    assert message.startswith(f"{option}: "), message
