# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones as files: what is listed, what follows from an inventory, the way back, and serials. A server loads them in extensions/molecule/dns."""

from __future__ import annotations

import ipaddress
import re

import pytest

from ansible_collections.mainline.vps.plugins.filter.dns_zones import dns_zones
from ansible_collections.mainline.vps.plugins.plugin_utils import dns

DEFAULTS = {"nameservers": ["ns1.example.net"], "ttl": 3600, "refresh": 3600, "retry": 900, "expire": 1209600, "minimum": 300}
KNOWN = {"web1": ["192.0.2.70", "2001:db8::70"], "web2.example.com": ["192.0.2.71"], "ns1": ["192.0.2.53"]}
HOSTS = [{"domain": "vps.example.com", "hosts": ["web1", "web2.example.com"]}]


def made(*zones, **more):
    """What the filter gives."""
    return dns_zones(list(zones), **{"defaults": DEFAULTS, "now": 1000, "known": KNOWN, **more})


def lines(zone, *zones, **more):
    """The lines of one zone's file, after the SOA, as words."""
    found = made(*zones, **more)
    assert found["complaints"] == []
    (text,) = [one["text"] for one in found["zones"] if one["name"] == zone]
    return [" ".join(line.split()) for line in text.splitlines()[4:]]


def complaint(*zones, **more):
    """The first one."""
    return made(*zones, **more)["complaints"][0]


def zone(*records, **more):
    """A zone with some records."""
    return {"name": "example.com", "records": list(records), **more}


def test_a_zone_is_written_as_a_zone_file():
    records = [{"name": "www", "type": "a", "value": ["192.0.2.80", "192.0.2.81"], "ttl": 60}, {"type": "MX", "value": "10 mail"}]
    (one,) = made(zone(*records, text="sub IN NS ns.elsewhere.example."))["zones"]
    assert one["text"].splitlines() == [
        "; Written by the role mainline.vps.dns.",
        "$ORIGIN example.com.",
        "$TTL 3600",
        "@\tIN\tSOA\tns1.example.net. hostmaster.example.com. 1000 3600 900 1209600 300",
        "www\t60\tIN\tA\t192.0.2.80",
        "www\t60\tIN\tA\t192.0.2.81",
        "@\tIN\tMX\t10 mail",
        "@\tIN\tNS\tns1.example.net.",
        "sub IN NS ns.elsewhere.example.",
    ]


def test_a_serial_rises_when_the_zone_is_another_and_only_then():
    first = made(zone({"type": "A", "value": "192.0.2.1"}))["zones"][0]
    before = {"example.com": {"digest": first["digest"], "serial": first["serial"]}}
    same = made(zone({"type": "A", "value": "192.0.2.1"}), before=before, now=2000)["zones"][0]
    other = made(zone({"type": "A", "value": "192.0.2.2"}), before=before, now=2000)["zones"][0]
    assert (first["serial"], same["serial"], other["serial"]) == (1000, 1000, 2000)
    assert same["text"] == first["text"] and other["digest"] != first["digest"]


def test_it_rises_even_where_the_clock_has_gone_back():
    assert made(zone(), before={"example.com": {"digest": "another", "serial": 5000}}, now=2000)["zones"][0]["serial"] == 5001


@pytest.mark.parametrize(
    ("mail", "written"), [("", "hostmaster.example.com."), ("a.b@example.org", "a\\.b.example.org."), ("noc.example.org.", "noc.example.org.")]
)
def test_who_sees_to_a_zone_is_written_as_a_name(mail, written):
    assert f" {written} " in made(zone(hostmaster=mail))["zones"][0]["text"]


def test_a_long_text_is_in_several_strings_and_what_has_quotes_stays():
    assert dns.quoted("x" * 300) == f'"{"x" * 255}" "{"x" * 45}"'
    assert dns.quoted('a "b" \\ ü') == '"a \\034b\\034 \\092 \\195\\188"'
    assert dns.quoted('"a" "b"') == '"a" "b"'


def test_hosts_of_the_inventory_are_in_the_zone_that_their_domain_is_in():
    found = lines("example.com", zone(), inventory=HOSTS)
    assert "web1.vps.example.com. IN A 192.0.2.70" in found and "web1.vps.example.com. IN AAAA 2001:db8::70" in found
    assert "web2.vps.example.com. IN A 192.0.2.71" in found


def test_or_in_one_of_their_own():
    assert lines("vps.example.com", inventory=HOSTS)[1:] == [
        "web1.vps.example.com. IN A 192.0.2.70",
        "web1.vps.example.com. IN AAAA 2001:db8::70",
        "web2.vps.example.com. IN A 192.0.2.71",
    ]


@pytest.mark.parametrize(
    ("host", "name"), [("web1", "web1"), ("web1.example.org", "web1"), ("a.b.vps.example.com", "a.b"), ("Web_1", "web-1"), ("-", ""), ("_x_", "x")]
)
def test_a_host_is_called_as_a_name_can_be(host, name):
    assert dns.label_of(host, "vps.example.com") == name


def test_addresses_lead_back_in_the_zone_of_their_network():
    assert lines("2.0.192.in-addr.arpa", inventory=HOSTS, reverse=["192.0.2.0/24"]) == [
        "@ IN NS ns1.example.net.",
        "70 IN PTR web1.vps.example.com.",
        "71 IN PTR web2.vps.example.com.",
    ]
    six = lines("1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", inventory=HOSTS, reverse=["2001:db8:1::/48"])
    assert six == ["@ IN NS ns1.example.net."], "that address is in another network"
    six = lines("0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", inventory=HOSTS, reverse=["2001:db8::/48"])
    assert six[1] == "0.7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 IN PTR web1.vps.example.com."


@pytest.mark.parametrize(
    ("network", "zones"),
    [
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("192.0.2.0/24", ["2.0.192.in-addr.arpa"]),
        ("198.51.100.0/23", ["100.51.198.in-addr.arpa", "101.51.198.in-addr.arpa"]),
        ("172.16.0.0/12", [f"{number}.172.in-addr.arpa" for number in range(16, 32)]),
        ("192.0.2.64/26", ["64/26.2.0.192.in-addr.arpa"]),
        ("192.0.2.9/32", ["9/32.2.0.192.in-addr.arpa"]),
        ("2001:db8::/32", ["8.b.d.0.1.0.0.2.ip6.arpa"]),
        ("2001:db8:8::/47", ["8.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "9.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"]),
        ("2001:db8::/64", ["0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"]),
    ],
)
def test_a_network_has_as_many_zones_as_it_takes(network, zones):
    assert [name for name, part in dns.reverse_zones(ipaddress.ip_network(network))] == zones


@pytest.mark.parametrize("network", ["10.0.0.0/8", "192.0.0.0/13", "192.0.2.0/23", "192.0.2.64/26", "192.0.2.70/32", "2001:db8::/31", "2001:db8::/64"])
def test_an_address_is_in_one_of_them_and_its_name_is_that_of_the_address(network):
    whole = ipaddress.ip_network(network)
    for one in (whole[0], whole[-1]):
        ((name, part),) = [(name, part) for name, part in dns.reverse_zones(whole) if one in part]
        found = made(inventory=[{"domain": "x.example", "hosts": ["h"]}], known={"h": [str(one)]}, reverse=[network])
        (text,) = [zone["text"] for zone in found["zones"] if zone["name"] == name]
        owner = next(line.split("\t")[0] for line in text.splitlines() if "\tPTR\t" in line)
        if whole.version == 4 and whole.prefixlen > 24:  # which the provider's zone leads to
            assert owner == str(one).rpartition(".")[2]
        else:
            assert f"{owner}.{name}" == one.reverse_pointer


def test_what_is_listed_takes_the_place_of_what_is_calculated():
    listed = {"name": "2.0.192.in-addr.arpa", "records": [{"name": "70", "type": "PTR", "value": "mail.example.com."}]}
    found = lines("2.0.192.in-addr.arpa", listed, inventory=HOSTS, reverse=["192.0.2.0/24"])
    assert "70 IN PTR mail.example.com." in found and "71 IN PTR web2.vps.example.com." in found and len(found) == 3
    own = zone({"name": "WEB1.vps", "type": "A", "value": "192.0.2.99"})
    assert [line for line in lines("example.com", own, inventory=HOSTS) if line.lower().startswith("web1.vps")] == [
        "WEB1.vps IN A 192.0.2.99",
        "web1.vps.example.com. IN AAAA 2001:db8::70",
    ]


def test_a_name_server_in_the_zone_has_its_address_there_and_may_be_a_host():
    servers = [{"name": "ns1.example.com", "addresses": ["ns1", "2001:db8::53"]}, "ns2.example.net"]
    assert lines("example.com", zone(nameservers=servers)) == [
        "@ IN NS ns1.example.com.",
        "ns1.example.com. IN AAAA 2001:db8::53",
        "ns1.example.com. IN A 192.0.2.53",
        "@ IN NS ns2.example.net.",
    ]


def test_a_secondary_has_no_file_and_its_remotes_are_addresses():
    found = made(zone(), defaults={**DEFAULTS, "primaries": ["ns1", "198.51.100.1@5353"], "dnssec": True})
    assert (found["zones"][0]["text"], found["zones"][0]["dnssec"]) == (None, False)
    assert found["remotes"] == {"ns1": ["192.0.2.53"], "198.51.100.1@5353": ["198.51.100.1@5353"]} and found["complaints"] == []


def test_a_zone_that_is_to_be_gone_is_none():
    assert made({"name": "example.com", "state": "absent"})["zones"] == []


def test_a_zone_of_a_few_addresses_may_have_another_name_and_has_a_file_whatever_its_name():
    entry = {"network": "192.0.2.64/26", "zone": "64-26.2.0.192.in-addr.arpa"}
    assert "70 IN PTR web1.vps.example.com." in lines("64-26.2.0.192.in-addr.arpa", inventory=HOSTS, reverse=[entry])
    files = [one["file"] for one in made(reverse=["192.0.2.64/26"])["zones"]]
    assert files == ["64+26.2.0.192.in-addr.arpa.zone"]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"type": "A", "value": "2001:db8::1"}, "'2001:db8::1' is no address of IPv4"),
        ({"type": "A", "value": "192.0.2.1/24"}, "is no address of IPv4"),
        ({"type": "AAAA", "value": "192.0.2.1"}, "is no address of IPv6"),
        ({"name": "www", "type": "CNAME", "value": "web.example.com"}, "would be web.example.com.example.com; put a dot at its end"),
        ({"name": "www.", "type": "A", "value": "192.0.2.1"}, "'www.' is not in 'example.com'; leave out the dot"),
        ({"name": "w w", "type": "A", "value": "192.0.2.1"}, "'w w' in 'example.com' is no name"),
        ({"type": "SOA", "value": "x"}, "is no type; .*; the SOA is made"),
        ({"type": "A B", "value": "x"}, "is no type"),
        ({"type": "AA", "value": "x"}, "is no type"),
        ({"type": "CNAME", "value": "x."}, "'example.com.' in 'example.com' has a CNAME, and SOA beside it"),
        ({"name": "www", "type": "CNAME", "value": ["x.", "y."]}, "'www.example.com.' in 'example.com' has a CNAME, and another one beside it"),
        ({"type": "A"}, "has no value"),
        ({"type": "A", "value": []}, "has no value"),
        ({"type": "TXT", "value": "a\n@ IN NS evil."}, "one of several lines"),
    ],
)
def test_a_record_that_cannot_be_is_one_sentence(record, told):
    assert re.search(told, complaint(zone(record)))


@pytest.mark.parametrize(
    ("zones", "more", "told"),
    [
        ([zone(), zone()], {}, "dns_zones: 'example.com' is there twice"),
        ([{"name": "a b"}], {}, "dns_zones: 'a b' is no name of a zone"),
        ([{"name": "../etc"}], {}, "dns_zones: '../etc' is no name of a zone"),
        ([zone(nameservers=[])], {}, "dns_nameservers: 'example.com' has no name server"),
        ([zone(nameservers=[{"name": "ns.example.com", "addresses": ["ns9"]}])], {}, "dns_nameservers: 'ns9' of 'ns.example.com' is no address"),
        ([zone(secondaries=["ns9"])], {}, "dns_secondaries: 'ns9' of 'example.com' is no address"),
        ([zone(ttl=-1)], {}, "dns_zones: ttl of 'example.com' is -1"),
        ([zone(refresh="1h")], {}, "dns_zones: refresh of 'example.com' is 1h; it is a number of seconds."),
        ([zone(records=[{"type": "A", "value": "192.0.2.1", "ttl": "1h"}])], {}, "dns_zones: A of '@' in 'example.com': the ttl '1h' is no number"),
        ([zone(hostmaster="a b@example.com")], {}, "dns_hostmaster: 'a b@example.com' is no mail address"),
        ([], {"reverse": ["192.0.2.1/24"]}, "dns_reverse: 192.0.2.1/24 has host bits set"),
        ([], {"reverse": ["0.0.0.0/0"]}, "dns_reverse: '0.0.0.0/0' is too much"),
        ([], {"reverse": [{"network": "192.0.2.0/23", "zone": "x.example"}]}, "dns_reverse: 'x.example' cannot be the zone of '192.0.2.0/23'"),
        ([], {"inventory": [{"domain": "a b", "hosts": []}]}, "dns_inventory: 'a b' is no domain"),
        ([], {"inventory": [{"domain": "x.example", "hosts": ["web1.a", "web1.b"]}]}, "dns_inventory: 'web1.b' and 'web1.a' would both be web1.x.example"),
    ],
)
def test_what_else_cannot_be_is_one_sentence(zones, more, told):
    assert complaint(*zones, **more).startswith(told)
