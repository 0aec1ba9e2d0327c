# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes, counts, percentages and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core import backup, snapshots, template, units, usage
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.node import controls
from ansible_collections.mainline.vps.tests.unit.reading import sentence, value_or_sentence

PARSERS = {"size": units.parse_size, "count": units.parse_count, "percent": units.parse_percent}
NUMBERS = st.integers(1, 1 << 62)
SIZES = st.integers(1, units.LARGEST_SIZE)


@given(size=st.one_of(st.none(), st.just(0), SIZES))
def test_a_size_that_was_written_is_read_as_the_same_size(size):
    assert units.parse_size(units.format_size(size), option="memory") == size


@given(count=st.one_of(st.none(), st.just(0), NUMBERS))
def test_a_count_that_was_written_is_read_as_the_same_count(count):
    assert units.parse_count(units.format_count(count), option="processes") == count


@given(percent=st.one_of(st.none(), NUMBERS))
def test_a_percentage_that_was_written_is_read_as_the_same_percentage(percent):
    assert units.parse_percent(units.format_percent(percent), option="cpulimit") == percent


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        ("1000B", 1000),
        ("1 K", 1024),
        ("512M", 512 << 20),
        ("512m", 512 << 20),
        ("512MB", 512 << 20),
        ("512MiB", 512 << 20),
        (" 2g ", 2 << 30),
        ("1.5G", 3 << 29),
        ("1P", 4096),
        ("131072p", 512 << 20),
        ("0.000001T", (1 << 40) // 1_000_000),
        (str((1 << 63) - 1), None),
        ("3T", 3 << 40),
        ("UNLIMITED", None),
        (5, 5),
    ],
)
def test_a_size_reads_as_in_vzctl(text, size):
    assert units.parse_size(text, option="memory") == size


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (1, "1B"), (1000, "1000B"), (1024, "1K"), (1536, "1536B"), (5 << 20, "5M"), (3 << 29, "1536M"), (1 << 50, "1024T"), (None, "unlimited")],
)
def test_a_size_is_shown_in_its_largest_whole_unit(size, text):
    assert units.format_size(size) == text


ODD = ["", " ", "-1", "+1", "12Q", "M", "1e3", "0x10", "1,5G", "1.G", ".5G", "1 2", "1\n2", "12\nM", "no limit", "none", "١٢", "１２", "²", "1BB"]
ODD += ["5\u212a", "512M\u0131B", "1" * 5000, "1" * 5000 + "M", "9" * 30, "M" * 5000, "1\x00", "\x1b[31m1"]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("kind", PARSERS)
def test_what_is_no_number_gets_one_sentence_that_names_the_option(kind, text):
    assert "'" in sentence(lambda: PARSERS[kind](text, option="limits.x"), "limits.x")


@pytest.mark.parametrize("kind", ["count", "percent"])
def test_there_is_no_half_process_and_no_half_percent(kind):
    sentence(lambda: PARSERS[kind]("1.5", option="x"), "x")


@given(text=st.text(max_size=40), kind=st.sampled_from(sorted(PARSERS)))
def test_whatever_is_written_there_is_a_number_or_a_sentence(text, kind):
    number = value_or_sentence(lambda: PARSERS[kind](text, option="x"), "x")
    assert number is None or (isinstance(number, int) and 0 <= number <= 1 << 62)


@given(text=st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,3})?[ ]?[A-Za-z]{0,3}", fullmatch=True))
def test_what_looks_like_a_size_is_one_or_gets_a_sentence(text):
    size = value_or_sentence(lambda: units.parse_size(text, option="x"), "x")
    if size is not None:
        assert units.parse_size(units.format_size(size), option="x") == size


def test_a_number_may_be_as_small_as_the_least_and_no_smaller():
    assert units.parse_size("4M", option="memory", minimum=4 << 20) == 4 << 20
    assert "the least is 4M" in sentence(lambda: units.parse_size("4095K", option="memory", minimum=4 << 20), "memory")
    assert units.parse_percent("1", option="cpulimit") == 1
    assert "the least is 1%" in sentence(lambda: units.parse_percent("0", option="cpulimit"), "cpulimit")


def test_a_number_may_be_as_large_as_the_most_and_no_larger():
    assert units.parse_count("8192", option="cpus", maximum=8192) == 8192
    assert "the most is 8192" in sentence(lambda: units.parse_count("8193", option="cpus", maximum=8192), "cpus")
    assert units.parse_size("1048575T", option="memory") == units.LARGEST_SIZE
    for text in ("1048576T", str(1 << 60), str(1 << 62), f"{1 << 50}K", f"{1 << 48}P"):
        assert "the most is 1048575T" in sentence(lambda text=text: units.parse_size(text, option="memory"), "memory")
    assert "the most is 1048575T" in sentence(lambda: units.parse_pages(str(1 << 48), option="physpages"), "physpages")


def test_memory_and_swap_together_are_never_what_cgroup_v1_shows_as_no_limit():
    assert 2 * units.LARGEST_SIZE < min(controls._V1_UNLIMITED, usage._V1_UNLIMITED)


def test_unlimited_is_below_no_least():
    assert units.parse_size("unlimited", option="memory", minimum=1 << 40) is None


@given(st.text(max_size=12) | st.integers() | st.from_regex(r"[0-9]{1,5} ?[smhdwSMHDW]", fullmatch=True))
def test_a_duration_is_written_as_it_is_read(text):
    seconds = value_or_sentence(lambda: units.parse_duration(text, option="expires", endless=True), "expires")
    if seconds is not None:
        assert units.parse_duration(units.format_duration(seconds), option="expires") == seconds
    assert [units.format_duration(n) for n in (7 * 86_400, 5400, 61, None)] == ["7d", "90m", "61s", "never"]


@pytest.mark.parametrize("text", ["never", "7", "0s", "1y", "36501d", ""])
def test_a_duration_that_ends_has_a_unit_and_is_no_longer_than_a_century(text):
    assert units.ENDLESS not in sentence(lambda: units.parse_duration(text, option="max_age"), "max_age").partition(";")[2]
    assert units.parse_duration("Never", option="expires", endless=True) is None


@pytest.mark.parametrize("text", ["90m", "20h", "2 W", "7d", "60s", "", "7", "never", "1y", "0s", "1h30m", "99999999d"])
def test_every_age_is_read_by_the_same_rules(text):
    """That of a backup, that of a template, and, but for C(never), when a snapshot expires."""
    repository = {"repository": "/srv/b", "password": "p"}
    options = ("password_file", "environment", "ssh_arguments", "keep", "exclude", "before", "verify_data", "backup", "target", "addresses", "paths")
    task = {**dict.fromkeys(options), **repository, "name": "a", "state": "present", "replace": False, "prune": True, "verify": False}
    times = {"timeout": 60, "wait_timeout": 60, "stop_timeout": 60}
    shot = {"vps": "a", "name": "b", "state": "present", "frozen": False, "restore_configuration": False, "wait": "running", **times}
    readers = [
        lambda: backup.parse_wish({**task, **times, "max_age": text}).max_age,
        lambda: template.parse_template({"name": "t", "state": "latest", "max_age": text}).max_age,
        lambda: snapshots.parse_snapshot({**shot, "expires": text}, now=0).options["expires"],
    ]
    found = []
    for read in readers:
        try:
            found.append(read())
        except VpsError:
            found.append("refused")
    if text == "":  # which is nothing at all to a template's task
        found[1] = "refused"
    if text == "never":
        found[2] = "refused"
    assert len(set(found)) == 1, found
