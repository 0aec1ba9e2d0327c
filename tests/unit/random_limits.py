# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits that a playbook may ask for, in the words of a playbook: what hypothesis draws for the tests of the core."""

from __future__ import annotations

from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import COUNT, KEYS, NUMBERS, PAGES, PERCENT, SECONDS, SIZE

SUFFIXES = {SIZE: ("", "B", "K", "M", "G", "T", "P", "k", "MB", "GiB"), PAGES: ("", "P", "K", "M", "G", "T")}
ODD = st.sampled_from(["", "-1", "0", "1:2:3", "2:1", "many", "9" * 25, "unlimited:1", "1.5", "0-", "3-1", ":", "5:", "١", "1\n2", None, True, [], {}])
# What is a digit to str.isdigit() and str.isdecimal(), or to a person, and none to a parser of sizes; and numbers of more digits than int() takes.
DIGITS = st.text(st.characters(categories=("Nd", "Nl", "No")) | st.sampled_from("²³¹⁵₂٣４９①½Ⅻ05"), min_size=1, max_size=12)
LONG = st.builds(str.__mul__, st.sampled_from("1929７٩²"), st.sampled_from([19, 20, 21, 30, 4300, 4301, 5000]))
NUMERALS = DIGITS | LONG | st.sampled_from([10**5000, -(10**5000), 10**400])
STRANGE = st.one_of(st.text(max_size=12), ODD, st.integers(), st.floats(), NUMERALS, st.builds("{}{}".format, DIGITS | LONG, st.sampled_from("KMGTPB%")))


def _number(kind: object, least: int, most: int) -> st.SearchStrategy[str]:
    numbers = st.integers(least, min(most, 10 * least + 4096)) | st.integers(least, most)
    if kind in SUFFIXES:
        return st.integers(least, 1 << 40).map(str) | st.builds("{}{}".format, st.integers(1, 1 << 20), st.sampled_from(SUFFIXES[kind]))
    return numbers.map(str) if kind is not PERCENT else numbers.map(lambda number: f"{number}%" if number % 2 else str(number))


def value(name: str) -> st.SearchStrategy[object]:
    """Something that may be written for a key: mostly right, now and then not."""
    key = KEYS[name]
    if key.kind is NUMBERS:
        ranges = st.lists(st.integers(0, 9).map(str) | st.just("1-3"), min_size=1, max_size=4).map(",".join)
        return ranges | st.just("all") | STRANGE
    assert key.kind in (SIZE, PAGES, COUNT, PERCENT, SECONDS)
    number = _number(key.kind, key.bounds.get("minimum", 0), key.bounds.get("maximum", 1 << 40)) | st.just("unlimited")
    pair = st.builds("{}:{}".format, number, number) if key.pair else number
    strange = st.builds("{}:{}".format, number | DIGITS | LONG, number | DIGITS | LONG) | STRANGE if key.pair else STRANGE
    return number | number | pair | strange


def proper() -> st.SearchStrategy[dict[str, object]]:
    """A limits section that is right in itself."""
    names = st.lists(st.sampled_from(sorted(KEYS)), max_size=12, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: _proper(name) for name in chosen})).map(_complete)


def _proper(name: str) -> st.SearchStrategy[str]:
    key = KEYS[name]
    if key.kind is NUMBERS:
        return st.sampled_from(["0", "0-1", "1,3", "all"])
    least = key.bounds.get("minimum", 0)
    number = st.integers(least, min(key.bounds.get("maximum", 1 << 40), 1 << 40)) | st.integers(least, min(key.bounds.get("maximum", 1 << 40), least + 9))
    unit = "B" if key.bare else ""
    one = number.map(lambda value: f"{value}{unit}")
    if not key.pair:
        return one
    return one | st.tuples(number, number).map(lambda both: f"{min(both)}{unit}:{max(both)}{unit}") | one.map("{}:unlimited".format)


def _complete(document: dict[str, object]) -> dict[str, object]:
    """With what one key needs of another."""
    if {"swap", "swappages"} & set(document):
        document.setdefault("memory", "1T")
    if "cpuburst" in document:
        document.update(cpulimit="1000000", cpuburst=str(min(int(document["cpuburst"]), 800)), cpus="8")
    if "memory_guarantee" in document:
        document.update(memory_guarantee="4M")
    if "oomguarpages" in document:
        document.update(oomguarpages="1024:unlimited")
    return document


def documents() -> st.SearchStrategy[dict[str, object]]:
    """A limits section."""
    names = st.lists(st.sampled_from([*KEYS, "ram"]), max_size=12, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: value("memory" if name == "ram" else name) for name in chosen}))
