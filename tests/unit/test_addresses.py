# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and subnets of both families, as playbooks have them and as they should not."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core import addresses
from ansible_collections.mainline.vps.tests.unit.reading import sentence, value_or_sentence


def test_addresses_are_kept_in_their_order_and_without_their_prefix():
    assert addresses.parse_addresses(["10.90.0.12/32", "2001:DB8::0001/128", "10.90.0.2"]) == ("10.90.0.12", "2001:db8::1", "10.90.0.2")
    assert addresses.parse_addresses([]) == ()


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        (["10.90.0.1/24"], "is a subnet; an address stands alone: write 10.90.0.1"),
        (["10.90.0.1", "10.90.0.1/32"], "is listed twice"),
        (["2001:db8::1", "2001:DB8:0::1"], "is listed twice"),
        (["2001:db8::1/64"], "is a subnet; an address stands alone: write 2001:db8::1"),
        (["fe80::1"], "cannot be the address of a host"),
        (["fe80::1%eth0"], ""),
        (["2001:db8::1%eth0"], "is not an IP address"),
        (["::1"], "cannot be the address of a host"),
        (["::"], "cannot be the address of a host"),
        (["ff02::1"], "cannot be the address of a host"),
        (["::ffff:10.90.0.1"], "cannot be the address of a host"),
        (["255.255.255.255"], "cannot be the address of a host"),
        (["fe80::1%eth0\nx"], ""),
        (["fe80::1%" + "x" * 5000], ""),
        (["127.0.0.1"], "cannot be the address of a host"),
        (["224.0.0.1"], "cannot be the address of a host"),
        (["0.0.0.0"], "cannot be the address of a host"),
        (["169.254.1.1"], "cannot be the address of a host"),
        (["10.90.0.256"], "is not an IP address"),
        (["10.90.0.1\n"], "is not an IP address"),
        ([" 10.90.0.1"], "is not an IP address"),
        (["010.90.0.1"], "is not an IP address"),
        (["10.90.0.١"], "is not an IP address"),
        (["10.90.0.1/33"], "is not an IP address"),
        (["web1"], "is not an IP address"),
        ([""], "is not an IP address"),
        (["1" * 5000], "is not an IP address"),
    ],
)
def test_addresses_may_not_be_like_this(hosts, reason):
    assert reason in sentence(lambda: addresses.parse_addresses(hosts), "addresses")


@given(st.lists(st.ip_addresses(), unique=True, max_size=4))
def test_every_list_of_hosts_is_read_as_it_is_or_refused(hosts):
    written = [str(host) for host in hosts]
    assert value_or_sentence(lambda: addresses.parse_addresses(written), "addresses") in (None, tuple(written))


def test_nameservers_are_three_at_most_and_of_either_family():
    assert addresses.parse_nameservers(["192.0.2.1", "2001:DB8::1", "9.9.9.9"]) == ("192.0.2.1", "2001:db8::1", "9.9.9.9")
    assert "4 are listed" in sentence(lambda: addresses.parse_nameservers(["192.0.2.1"] * 4), "nameservers")
    assert addresses.parse_nameservers(["fe80::1%eth0"]) == ("fe80::1%eth0",)


@pytest.mark.parametrize("server", ["", "dns.example.org", "192.0.2.1\n", "192.0.2.1/32", "fe80::1%x\noptions rotate", "fe80::1% y", "fe80::1%" + "x" * 99])
def test_a_nameserver_is_an_address_and_nothing_besides(server):
    sentence(lambda: addresses.parse_nameservers([server]), "nameservers")


def test_a_subnet_is_a_whole_subnet():
    assert addresses.parse_subnet("10.90.0.0/16", option="networks") == "10.90.0.0/16"
    assert addresses.parse_subnet("2001:DB8::/32", option="networks") == "2001:db8::/32"
    for text in ("10.90.0.1/16", "10.90.0.0/33", "2001:db8::1/32", "2001:db8::/129", "", "x" * 500, "10.90.0.0/16\n"):
        sentence(lambda text=text: addresses.parse_subnet(text, option="networks"), "networks")


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_an_address_is_within_its_own_network_and_not_within_another(address, prefix):
    network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    assert addresses.within(str(address), ["192.0.2.0/32", str(network)])
    assert addresses.within(str(address), []) is False
    assert not addresses.within("10.90.1.0", ["10.90.0.0/24", "10.90.2.0/24"])
    assert not addresses.within("2001:db8::1", ["10.90.0.0/24", "2001:db9::/32"])


def test_networks_do_not_overlap_and_are_of_hosts():
    assert addresses.parse_networks(["10.90.0.0/16", "2001:db8::/64"]) == ("10.90.0.0/16", "2001:db8::/64")
    for networks in (["10.90.0.0/16", "10.90.1.0/24"], ["fd00::/32", "fd00::/64"], ["0.0.0.0/0"], ["::/0"], ["fe80::/64"], ["127.0.0.0/8"], ["ff02::/64"]):
        sentence(lambda networks=networks: addresses.parse_networks(networks), "networks")


def test_search_domains_are_six_at_most():
    assert addresses.parse_search_domains(["example.com", "a_b.example."]) == ("example.com", "a_b.example.")
    for domains in (["example.com\nnameserver 192.0.2.1"], ["a b"], [""], ["x" * 64], ["a"] * 7, ["exämple.com"]):
        sentence(lambda domains=domains: addresses.parse_search_domains(domains), "search_domains")
