# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, labels, keys and hashes, as playbooks have them and as they should not."""

from __future__ import annotations

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


def test_labels_are_texts_by_their_names():
    assert parse.parse_labels({"tier": "web", "paid": True, "floor": 3, "a/b": ""}) == (("a/b", ""), ("floor", "3"), ("paid", "true"), ("tier", "web"))


@pytest.mark.parametrize("labels", [["tier"], "tier=web", {"": "web"}, {"1": "web"}, {"a b": "c"}, {"a" * 64: "b"}])
def test_labels_may_not_be_like_this(labels):
    sentence(lambda: parse.parse_labels(labels), "labels")


@pytest.mark.parametrize("value", ["b c", "b" * 64, "b\n", ["b"], {"b": "c"}, "\"; drop"])
def test_the_value_of_a_label_may_not_be_like_this(value):
    sentence(lambda: parse.parse_labels({"tier": value}), "labels.tier")
