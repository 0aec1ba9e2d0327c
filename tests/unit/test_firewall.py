# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules and published ports, as playbooks have them and as they should not, and the text that the packet filter gets of them."""

from __future__ import annotations

import re

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import firewall, networks, ruleset
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.tests.unit.reading import sentence

SECTION = {
    "in": {
        "default": "drop",
        "rules": [{"proto": "tcp", "ports": [22, "8000-8100"], "from": ["192.0.2.7", "vps:db.1", "label:tier=web"]}, {"proto": "icmp"}],
    },
    "out": {"default": "reject", "rules": [{"to": "node", "proto": "udp", "ports": 53}, {"action": "drop", "to": ["vps"]}]},
}


def vps(name: str, number: int, *addresses: str, **options) -> Vps:
    """A VPS with these addresses."""
    return Vps(name, "minimal", "busybox", name, addresses=addresses, id_base=number << 16, **options)


def chains(text: str) -> dict[str, list[str]]:
    """The rules of each chain of a table."""
    found, current = {}, None
    for line in text.splitlines():
        if line.startswith("\tchain "):
            current = found.setdefault(line.split()[1], [])
        elif line == "\t}":
            current = None
        elif current is not None and not line.startswith("\t\ttype "):
            current.append(line.strip())
    return found


def table(*vpss: Vps, nat: bool = True):
    """The chains of a node with these VPSs."""
    return chains(ruleset.ruleset([networks.Network("default", ("10.90.0.0/24", "fd90::/64", "2001:db8::/64"), nat)], vpss).text)


def named(*vpss: Vps) -> dict[str, set[str]]:
    """The addresses in the set of each VPS and label that rules name."""
    text = ruleset.ruleset([], vpss).text
    found: dict[str, set[str]] = {}
    for kind, comment, elements in re.findall(r'type (ipv._addr)\n\t\tcomment "([^"]+)"\n(?:\t\telements = \{([^}]*)\})?', text):
        assert kind
        found.setdefault(comment, set()).update(word.strip(" ,\n\t") for word in elements.split(",") if word.strip())
    return found


def test_a_section_is_kept_as_it_was_written():
    parsed = firewall.parse_firewall(SECTION)
    assert firewall.parse_firewall(parsed.named) == parsed
    assert parsed.named["out"]["rules"][0] == {"action": "accept", "proto": "udp", "ports": ["53"], "to": ["node"]}
    assert parsed.incoming.rules[0].peers == ("192.0.2.7/32", "vps:db.1", "label:tier=web")
    assert firewall.parse_firewall({}).named == {}


@pytest.mark.parametrize(
    ("section", "option"),
    [
        ([], "firewall"),
        ({"inn": {}}, "firewall"),
        ({"in": []}, "firewall.in"),
        ({"in": {"default": "allow"}}, "firewall.in.default"),
        ({"in": {"policy": "drop"}}, "firewall.in"),
        ({"in": {"rules": {}}}, "firewall.in.rules"),
        ({"in": {"rules": ["x"]}}, "firewall.in.rules[0]"),
        ({"in": {"rules": [{"to": "node"}]}}, "firewall.in.rules[0]"),
        ({"out": {"rules": [{"from": "node"}]}}, "firewall.out.rules[0]"),
        ({"in": {"rules": [{"ports": [80]}]}}, "firewall.in.rules[0].proto"),
        ({"in": {"rules": [{"proto": "icmp", "ports": [8]}]}}, "firewall.in.rules[0].proto"),
        ({"in": {"rules": [{"proto": "tcp", "ports": [0]}]}}, "firewall.in.rules[0].ports"),
        ({"in": {"rules": [{"proto": "tcp", "ports": ["90-80"]}]}}, "firewall.in.rules[0].ports"),
        ({"in": {"rules": [{"proto": "tcp", "ports": ["80; drop"]}]}}, "firewall.in.rules[0].ports"),
        ({"in": {"rules": [{"from": []}]}}, "firewall.in.rules[0].from"),
        ({"in": {"rules": [{}, {"from": "10.0.0.1/8"}]}}, "firewall.in.rules[1].from"),
        ({"in": {"rules": [{"from": "vps:A b"}]}}, "firewall.in.rules[0].from"),
        ({"in": {"rules": [{"from": "label:x"}]}}, "firewall.in.rules[0].from"),
        ({"in": {"rules": [{"from": "web1"}]}}, "firewall.in.rules[0].from"),
        ({"in": {"rules": [{"action": "pass"}]}}, "firewall.in.rules[0].action"),
        ({"in": {"rules": [{"proto": "sctp"}]}}, "firewall.in.rules[0].proto"),
    ],
)
def test_a_mistake_is_told_with_its_place(section, option):
    sentence(lambda: firewall.parse_firewall(section), option)


def test_published_ports_are_of_the_node_once():
    one, other = firewall.parse_publish([{"host": 8080, "guest": 80}, {"host": "53", "proto": "udp", "address": "2001:DB8::1"}])
    assert (one, other) == (firewall.Publish("tcp", 8080, 80), firewall.Publish("udp", 53, 53, "2001:db8::1"))
    assert firewall.parse_publish([one.named, other.named]) == (one, other)
    assert one.clashes(firewall.Publish("tcp", 8080, 1, "192.0.2.1")) and not one.clashes(firewall.Publish("udp", 8080, 80))
    for values, option in (
        ([{}], "publish[0].host"),
        ([{"host": 0}], "publish[0].host"),
        ([{"host": True}], "publish[0].host"),
        ([{"host": 80, "guest": 70000}], "publish[0].guest"),
        ([{"host": 80, "proto": "icmp"}], "publish[0].proto"),
        ([{"host": 80, "address": "web"}], "publish[0].address"),
        ([{"port": 80}], "publish[0]"),
        ([{"host": 80}, {"host": 80, "address": "192.0.2.1"}], "publish"),
        (["80"], "publish[0]"),
    ):
        sentence(lambda values=values: firewall.parse_publish(values), option)


def test_rules_name_others_by_the_addresses_that_they_have_now():
    web = vps(
        "web",
        1,
        "10.90.0.10",
        "fd90::10",
        firewall=firewall.parse_firewall({"in": {"rules": [{"from": ["vps:db", "label:tier=front", "192.0.2.0/24", "192.0.2.1"]}]}}),
    )
    db, proxy = vps("db", 2, "10.90.0.11"), vps("proxy", 3, "10.90.0.12", "fd90::12", labels=(("tier", "front"),))
    rules = [rule for rule in table(web, db, proxy)["to_web"] if rule.endswith("return")]
    assert "ip saddr { 192.0.2.0/24 } return" in rules and len(rules) == 5
    assert named(web, db, proxy) == {"vps:db": {"10.90.0.11"}, "label:tier=front": {"10.90.0.12", "fd90::12"}}
    assert named(web, db) == {"vps:db": {"10.90.0.11"}, "label:tier=front": set()}
    assert named(db, proxy) == {}


def test_a_rule_whose_peers_have_no_address_fits_nobody():
    web = vps(
        "web",
        1,
        "10.90.0.10",
        isolated=False,
        firewall=firewall.parse_firewall({"in": {"default": "drop", "rules": [{"from": "vps:never"}, {"from": "label:no=where"}]}}),
    )
    assert table(web)["to_web"][-1] == "drop" and named(web) == {"vps:never": set(), "label:no=where": set()}


def test_who_has_asked_for_nothing_has_no_chain_of_its_own():
    text = ruleset.ruleset([], [vps("web", 1, "10.90.0.10"), vps("open", 2, "10.90.0.11", isolated=False)]).text
    assert not {name for name in chains(text) if name.endswith(("_web", "_open"))}
    assert "10.90.0.10 : jump isolated" in text and "10.90.0.11 : jump" not in text


def test_the_table_grows_with_the_number_of_vpss_and_not_with_its_square():
    def size(number: int) -> int:
        rules = firewall.parse_firewall({"in": {"rules": [{"from": "label:tier=web"}]}})
        each = [vps(f"v{one}", one, f"10.90.{one // 250}.{one % 250 + 1}", labels=(("tier", "web"),), firewall=rules) for one in range(1, number + 1)]
        return len(ruleset.ruleset([], each).text)

    assert size(400) < 4.5 * size(100)


def test_neighbours_are_kept_out_after_what_is_accepted_and_before_the_default():
    rules = firewall.parse_firewall({"in": {"rules": [{"proto": "tcp", "ports": [80, 81, "81-90"]}]}})
    web = vps("web", 1, "10.90.0.10", firewall=rules, publish=firewall.parse_publish([{"host": 8080, "guest": 80}]))
    assert table(web)["to_web"] == [
        "ct status dnat meta l4proto 6 th dport 80 return",
        "tcp dport { 80-90 } return",
        "ip saddr @all4 drop",
        "ip6 saddr @all6 drop",
    ]


def test_only_a_rule_that_names_the_node_opens_it():
    rules = {
        "out": {
            "default": "drop",
            "rules": [{"proto": "tcp", "ports": 443}, {"to": ["node"], "proto": "udp", "ports": 53}, {"action": "drop", "proto": "icmp"}],
        }
    }
    asks = table(vps("web", 1, "10.90.0.10", firewall=firewall.parse_firewall(rules)))["asks_web"]
    assert asks == ["udp dport { 53 } accept", "meta l4proto { 1, 58 } drop"]


def test_who_is_refused_is_told_at_once_by_what_he_listens_to():
    chains = table(
        vps(
            "web",
            1,
            "10.90.0.10",
            firewall=firewall.parse_firewall({"in": {"default": "reject"}, "out": {"rules": [{"action": "reject", "to": "node"}]}}),
        )
    )
    assert chains["to_web"][-1] == "goto refused" and chains["asks_web"] == ["goto refused"] and "meta pkttype host goto refused" in chains["node"]
    assert chains["refused"] == ["meta l4proto 6 reject with tcp reset", "reject with icmpx admin-prohibited"]


def test_what_nobody_has_is_not_sent_back_to_who_sent_it():
    lost = table(vps("web", 1, "10.90.0.10"))["receiving"][:2]
    assert lost == [f'oifname != "vps*" {match} reject with icmpx host-unreachable' for match in ("ip daddr 10.90.0.0/24", "ip6 daddr fd90::/64")]


def test_private_addresses_are_translated_and_public_ones_of_ipv6_never():
    leaving = table(vps("web", 1, "10.90.0.10"))["leaving"]
    assert len(leaving) == 2 and "10.90.0.0/24" in leaving[0] and "fd90::/64" in leaving[1]
    assert table(vps("web", 1, "10.90.0.10"), nat=False)["leaving"] == []


def test_a_table_that_is_there_is_changed_in_place():
    text = ruleset.ruleset([], [vps("web", 1, "10.90.0.10", publish=firewall.parse_publish([{"host": 80}]))]).text
    there = [("set", "own4"), ("set", "gone"), ("map", "to4"), ("chain", "is_old"), ("chain", "to_web"), ("chain", "to_gone")]
    changed = ruleset.in_place(text, there)
    first = "inet mainline_vps"
    assert changed.partition("table inet mainline_vps {")[0].splitlines()[1:] == [
        f"flush table {first}",
        f"flush set {first} own4",
        f"delete set {first} gone",
        f"flush map {first} to4",
        f"delete chain {first} is_old",
        f"delete chain {first} to_gone",
    ]
    assert changed.partition("table inet mainline_vps {")[2] == text.partition("table inet mainline_vps {")[2]


def test_the_mark_says_which_text_it_is_of():
    first, second = (ruleset.ruleset([], [vps("web", number, "10.90.0.10")]) for number in (1, 2))
    assert first.mark != second.mark and f"\tchain {first.mark} {{\n" in first.text
    both = [vps("web", 1, "10.90.0.10"), vps("db", 2, "10.90.0.11")]
    assert ruleset.ruleset([], both) == ruleset.ruleset([], both[::-1])
