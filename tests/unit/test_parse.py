# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, addresses, keys and hashes, as playbooks have them and as they should not."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core import parse
from ansible_collections.mainline.vps.tests.unit.reading import sentence, value_or_sentence

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oyk"


@pytest.mark.parametrize("name", ["a", "1", "web1", "web-1.example.org", "a" * 63, "xn--bcher-kva"])
def test_a_name_may_be_like_this(name):
    assert parse.parse_name(name) == name


NO_NAMES = ["", ".", "..", "../etc", "a/b", "/etc", "a..b", "-web", "web-", ".web", "web.", "web 1", "web\n", "\nweb", "Web", "bücher"]
NO_NAMES += ["a" * 64, "a" * 200, "web\x00", "web@1", "web_1", "web%n", "$(id)", "a.-b", "\u212a", "web١", "\ud800"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_may_not_be_like_this(name):
    assert "cannot be used" in sentence(lambda: parse.parse_name(name), "name")


@given(st.text(max_size=70))
def test_a_name_that_passes_is_safe_in_a_path_a_unit_and_a_cgroup(text):
    name = value_or_sentence(lambda: parse.parse_name(text), "name")
    assert name is None or (0 < len(name) < 64 and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.") and name[0] not in "-." and ".." not in name)


def test_a_template_is_named_as_the_option_that_names_it():
    sentence(lambda: parse.parse_name("a/b", option="template"), "template")


def test_a_host_name_may_have_capitals_and_one_character_more():
    assert parse.parse_hostname("WWW.Example.org") == "WWW.Example.org"
    assert parse.parse_hostname("a" * 30 + "." + "b" * 33) == "a" * 30 + "." + "b" * 33


@pytest.mark.parametrize("name", ["", "a" * 65, "a_b", "-a", "a\n", "a b", "web\u212a", "İ", "a;b", "../x", "a" * 5000])
def test_a_host_name_may_not_be_like_this(name):
    assert "is not a host name" in sentence(lambda: parse.parse_hostname(name), "hostname")


def test_addresses_are_kept_in_their_order_and_without_their_prefix():
    assert parse.parse_addresses(["10.90.0.12/32", "10.90.0.2"]) == ("10.90.0.12", "10.90.0.2")
    assert parse.parse_addresses([]) == ()


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        (["10.90.0.1/24"], "is a subnet; a routed address stands alone: write 10.90.0.1"),
        (["10.90.0.1", "10.90.0.1/32"], "is listed twice"),
        (["fe80::1"], "IPv6"),
        (["2001:db8::1/128"], "IPv6"),
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
def test_addresses_may_not_be_like_this(addresses, reason):
    assert reason in sentence(lambda: parse.parse_addresses(addresses), "addresses")


@given(st.lists(st.ip_addresses(v=4), unique=True, max_size=4))
def test_every_list_of_hosts_is_read_as_it_is_or_refused(addresses):
    written = [str(address) for address in addresses]
    assert value_or_sentence(lambda: parse.parse_addresses(written), "addresses") in (None, tuple(written))


def test_nameservers_are_three_at_most_and_of_either_family():
    assert parse.parse_nameservers(["192.0.2.1", "2001:DB8::1", "9.9.9.9"]) == ("192.0.2.1", "2001:db8::1", "9.9.9.9")
    assert "4 are listed" in sentence(lambda: parse.parse_nameservers(["192.0.2.1"] * 4), "nameservers")
    assert parse.parse_nameservers(["fe80::1%eth0"]) == ("fe80::1%eth0",)


@pytest.mark.parametrize("server", ["", "dns.example.org", "192.0.2.1\n", "192.0.2.1/32", "fe80::1%x\noptions rotate", "fe80::1% y", "fe80::1%" + "x" * 99])
def test_a_nameserver_is_an_address_and_nothing_besides(server):
    sentence(lambda: parse.parse_nameservers([server]), "nameservers")


def test_a_subnet_is_a_whole_subnet():
    assert parse.parse_subnet("10.90.0.0/16", option="networks") == "10.90.0.0/16"
    for text in ("10.90.0.1/16", "10.90.0.0/33", "2001:db8::/32", "", "x" * 500, "10.90.0.0/16\n"):
        sentence(lambda text=text: parse.parse_subnet(text, option="networks"), "networks")


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_an_address_is_within_its_own_network_and_not_within_another(address, prefix):
    network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    assert parse.within(str(address), ["192.0.2.0/32", str(network)])
    assert parse.within(str(address), []) is False
    assert not parse.within("10.90.1.0", ["10.90.0.0/24", "10.90.2.0/24"])


@pytest.mark.parametrize("text", ["!", "*", "$6$saltsalt$" + "a" * 86, "$y$j9T$saltsalt$" + "b" * 43, "$2b$12$" + "c" * 53])
def test_a_hash_is_taken_as_it_is(text):
    assert parse.parse_password_hash(text) == text


@pytest.mark.parametrize("secret", ["correct horse", "hunter2", "$6$salt$x:0:0\nroot2", "x" * 500, "$6$saltsalt$" + "a" * 86 + "\n", "!!"])
def test_a_password_in_clear_is_refused_and_never_repeated(secret):
    assert secret.strip() not in sentence(lambda: parse.parse_password_hash(secret), "root_password_hash")


@given(st.text(min_size=4, max_size=300))
def test_no_text_gets_a_colon_or_a_new_line_into_the_shadow_file(text):
    value = value_or_sentence(lambda: parse.parse_password_hash(text), "root_password_hash")
    assert value is None or not set(value) & set(":\n\r\x00")


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        f"{KEY} me@example.com",
        f'no-pty,command="/bin/true -v" {KEY} me at home',
        KEY.replace("ssh-ed25519", "ecdsa-sha2-nistp256"),
        KEY.replace("ssh-ed25519", "sk-ssh-ed25519@openssh.com"),
    ],
)
def test_a_public_key_is_taken_as_it_is(key):
    assert parse.parse_authorized_keys([f" {key}\n"]) == (key,)


def test_a_key_that_is_listed_twice_is_kept_once():
    assert parse.parse_authorized_keys([KEY, f"{KEY} b", KEY]) == (KEY, f"{KEY} b")


@pytest.mark.parametrize("key", ["", "# mine", "ssh-ed25519", "ssh-ed25519 short", f"{KEY}\n{KEY}", f"{KEY} a\nb", "x" * 5000, "ssh-rsa " + "!" * 40])
def test_what_is_no_key_is_named_by_its_place_in_the_list(key):
    assert "entry 2 (" in sentence(lambda: parse.parse_authorized_keys([KEY, key]), "authorized_keys")


def test_a_private_key_that_was_given_by_mistake_is_not_repeated():
    private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ==\n-----END OPENSSH PRIVATE KEY-----"
    assert "b3Blbn" not in sentence(lambda: parse.parse_authorized_keys([private]), "authorized_keys")


def test_a_description_is_one_line():
    assert parse.parse_description("Shop of Ünal & Söhne") == "Shop of Ünal & Söhne"
    assert parse.parse_description("") == ""
    for text in ("a\nb", "a\tb", "x" * 256, "\x00"):
        sentence(lambda text=text: parse.parse_description(text), "description")
