# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits section of a VPS: read, laid over a plan, shown; each key in the words of OpenVZ."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core import controls, limits, validation
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import BEANCOUNTERS, KEYS, NUMBERS, Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.tests.unit.random_limits import documents, proper
from ansible_collections.mainline.vps.tests.unit.reading import sentence

MIB = 1 << 20


def settled(section: dict, prefix: str = "", **plans: Limits) -> Limits:
    """What a section asks for."""
    return limits.settle(limits.parse(section, prefix=prefix), plans)


@settings(max_examples=1000)
@given(document=documents())
def test_any_document_is_read_and_shown_as_the_same_or_refused_with_one_sentence(document):
    try:
        asked = settled(document, "limits.")
    except VpsError as error:
        event("refused")
        message = str(error)
        assert message.startswith("limits.") and message.endswith(".") and "\n" not in message and len(message) < 1200
        assert message.removeprefix("limits.").split(":")[0] in {*KEYS, "ram"}
        return
    event("taken")
    shown = limits.show(asked)
    assert settled(shown) == asked
    assert limits.show(settled(shown)) == shown
    assert Limits.from_record({name: list(value) if isinstance(value, Bound) else value for name, value in asked.named.items()}) == asked


LOOKS_LIKE_A_NUMBER = ["²", "1²", "٣", "４", "9" * 21, "9" * 5000, f"{'1' * 5000}:{'1' * 5000}", "²:³", 10**5000, [10**5000], "0" * 5000]


@pytest.mark.parametrize("name", KEYS)
def test_what_only_looks_like_a_number_is_refused_in_a_sentence_by_every_key(name):
    for text in LOOKS_LIKE_A_NUMBER:
        sentence(lambda text=text: settled({name: text}, "limits."), f"limits.{name}")


def test_a_plan_or_a_key_that_no_text_can_be_made_of_is_refused_in_a_sentence_too():
    assert "a number too long to write" in sentence(lambda: settled({"plan": 10**5000}), "plan")
    assert "no such limit" in sentence(lambda: settled({10**5000: 1}), "a number too long to write")


@given(first=proper(), second=proper())
def test_the_names_of_what_differs_are_all_that_differs(first, second):
    try:
        before, after = settled(first), settled(second)
    except VpsError:
        assume(False)
    names = limits.changed(before, after)
    assert replace(before, **{name: getattr(after, name) for name in names}) == after
    assert all(getattr(before, name) != getattr(after, name) for name in names)


def test_there_are_21_beancounters_each_of_two_values():
    assert len(BEANCOUNTERS) == len(set(BEANCOUNTERS)) == 21
    assert all(KEYS[name].pair for name in BEANCOUNTERS)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("numproc", "240:240", Bound(240, 240)),
        ("numproc", "240", Bound(240, 240)),
        ("physpages", "0:65536", Bound(0, 65536)),
        ("physpages", "0:256M", Bound(0, 65536)),
        ("physpages", "65536P", Bound(65536, 65536)),
        ("physpages", "4099K", Bound(1024, 1024)),
        ("kmemsize", "14372700:14790164", Bound(14372700, 14790164)),
        ("kmemsize", "14M:1P", None),
        ("privvmpages", "65536:69632", Bound(65536, 69632)),
        ("oomguarpages", "26112:9223372036854775807", Bound(26112, None)),
        ("oomguarpages", "26112:unlimited", Bound(26112, None)),
        ("numfile", "unlimited", None),
        ("numfile", "9223372036854775807:9223372036854775807", None),
        ("memory", "131072P", 512 * MIB),
        ("memory", "536870912B", 512 * MIB),
        ("diskspace", "1G:1T", Bound(1 << 30, 1 << 40)),
        ("diskspace", "1G", Bound(1 << 30, 1 << 30)),
        ("cpumask", "3,1,2,0", "0-3"),
        ("cpumask", "all", None),
        ("nodemask", "0-1", "0-1"),
    ],
)
def test_values_read_as_in_vzctl(key, text, value):
    if value is None and text == "14M:1P":
        assert "barrier above its limit" in sentence(lambda: settled({key: text}), key)
    else:
        assert getattr(settled({key: text}), key) == value


@pytest.mark.parametrize("text", ["1:2:3", "200:100", "unlimited:100", "x:100", "100:x", ":", "100:"])
@pytest.mark.parametrize("key", [name for name, key in KEYS.items() if key.pair])
def test_a_pair_that_is_none_gets_a_sentence(key, text):
    sentence(lambda: settled({key: text}, "limits."), f"limits.{key}")


def test_there_is_one_word_on_which_keys_bound_the_same():
    assert {tuple(keys) for _counts, keys in validation._SEVERAL} <= set(limits.SAME)


def test_what_is_not_listed_is_unlimited():
    assert settled({"memory": "64M", "cpus": None}) == Limits(memory=64 * MIB)
    assert settled({}) == settled(dict.fromkeys(KEYS, "unlimited")) == Limits()


def test_memory_is_rounded_as_the_kernel_does():
    assert settled({"memory": "5000001", "swap": "5000"}) == Limits(memory=5000001 // 4096 * 4096, swap=4096)


@pytest.mark.parametrize(("word", "meant"), [("memroy", "memory"), ("cpu_units", "cpuunits"), ("numprocs", "numproc"), ("disk_space", "diskspace")])
def test_a_misspelt_key_is_told_what_was_meant(word, meant):
    assert f"perhaps {meant} is meant" in sentence(lambda: settled({word: "1"}, "limits."), f"limits.{word}")


def test_a_key_that_is_nothing_like_any_is_told_where_they_are():
    assert "documentation of vps_limits" in sentence(lambda: settled({"xyzzy": "1"}), "xyzzy")


def test_one_limit_under_two_names_is_an_error():
    assert "leave one of them out" in sentence(lambda: settled({"ram": "64M", "memory": "64M"}), "memory")


def test_the_least_value_counts():
    for name, key in KEYS.items():
        least = key.bounds.get("minimum", 0)
        if key.kind is NUMBERS or not least:
            continue
        beside = {"cpulimit": "100"} if name == "cpuburst" else {}
        unit = "B" if key.bare else ""
        assert getattr(settled({name: f"{least}{unit}", **beside}), name) is not None
        assert "is too small" in sentence(lambda name=name, less=f"{least - 1}{unit}": settled({name: less}, "limits."), f"limits.{name}")


@pytest.mark.parametrize(("name", "text", "meant"), [("diskspace", "10485760:10485760", "10485760K"), ("iolimit", 10, "10M"), ("iolimit_read", " 7 ", "7M")])
def test_a_bare_number_is_refused_where_vzctl_counts_in_another_unit(name, text, meant):
    said = sentence(lambda: settled({name: text}, "limits."), f"limits.{name}")
    assert f"vzctl takes it for {meant};" in said and f"{meant[:-1]}B for bytes" in said
    assert getattr(settled({name: "unlimited"}), name) is None and getattr(settled({name: str((1 << 63) - 1)}), name) is None


def test_the_largest_value_counts():
    for name, key in KEYS.items():
        most = key.bounds.get("maximum")
        if key.kind is NUMBERS or not most:
            continue
        assert "is too large" in sentence(lambda name=name, most=most: settled({name: str(most + 1)}), name)


def test_swap_needs_memory():
    assert "give limits.memory too" in sentence(lambda: settled({"swap": "1G"}, "limits."), "limits.swap")
    assert "give memory too" in sentence(lambda: settled({"swap": "0", "memory": "unlimited"}), "swap")
    assert "give memory too" in sentence(lambda: settled({"swappages": "5"}), "swappages")
    assert settled({"swap": "1G", "physpages": "0:1G"}).swap == 1 << 30


def test_a_burst_needs_a_limit_that_it_goes_beyond():
    assert "cpulimit or limits.cpus" in sentence(lambda: settled({"cpuburst": "50"}, "limits."), "limits.cpuburst")
    sentence(lambda: settled({"cpuburst": "51", "cpulimit": "50"}), "cpuburst")
    assert settled({"cpuburst": "50", "cpus": "1"}).cpuburst == 50


def test_nobody_is_guaranteed_more_than_he_may_have():
    assert "above what the VPS may have" in sentence(lambda: settled({"memory": "64M", "memory_guarantee": "65M"}), "memory_guarantee")


@pytest.mark.parametrize("barrier", ["65M", "65M:unlimited", "16641:16641"])
@pytest.mark.parametrize("memory", [{"memory": "64M"}, {"physpages": "0:64M"}, {"memory": "1G", "privvmpages": "64M"}])
def test_nor_by_a_beancounter(memory, barrier):
    assert "than the VPS may have at all (limits.memory)" in sentence(lambda: settled({**memory, "oomguarpages": barrier}, "limits."), "limits.oomguarpages")
    settled({**memory, "vmguarpages": barrier})  # promises nothing that is not used, and so is no guarantee


@pytest.mark.parametrize("text", ["0:unlimited", "0:9223372036854775807", "64M:unlimited", "16384", "0:1T", "unlimited"])
def test_what_openvz_has_for_guarantees_is_taken(text):
    assert settled({"physpages": "0:64M", "swappages": "0:128M", "oomguarpages": text, "vmguarpages": text}).physpages == Bound(0, 16384)


VALUES = {"memory": ("64M", "1G"), "swap": ("64M", "1G"), "memory_guarantee": ("5M", "6M"), "iolimit": ("5M", "6M"), "iopslimit": ("5", "6")}


def values(first: str) -> tuple[str, str]:
    """Two values of the keys that bound the same as this one, the lesser first."""
    return VALUES.get(first, ("50", "60"))


@pytest.mark.parametrize(("there", "own"), [(there, own) for names in limits.SAME for there in names for own in names])
@pytest.mark.parametrize("more", [False, True])
def test_a_key_takes_the_place_of_all_that_the_plan_has_for_the_same(there, own, more):
    (first,) = [names[0] for names in limits.SAME if own in names]
    less, much = values(first)
    beside = {} if first == "memory" else {"memory": "2G"}
    base = settled({**beside, there: less if more else much})
    wanted = settled({**beside, own: much if more else less})
    assert settled({"plan": "base", own: much if more else less}, base=base) == wanted
    assert settled({"plan": "base", own: "unlimited"}, base=base) == settled(beside)


@pytest.mark.parametrize("whole", limits.HALVES)
def test_a_key_of_one_half_leaves_the_plans_other_half_as_it_is(whole):
    read, write = limits.HALVES[whole]
    less, much = values(whole)
    base = settled({whole: less})
    assert settled({"plan": "base", read: much}, base=base) == settled({read: much, write: less})
    assert settled({"plan": "base", write: "unlimited"}, base=base) == settled({read: less})
    assert settled({"plan": "base", whole: much}, base=settled({read: less, write: less})) == settled({whole: much})
    assert settled({"plan": "base", read: much}, base=settled({read: less, write: less})) == settled({read: much, write: less})


def test_a_high_mark_takes_the_place_of_the_plans():
    assert settled({"plan": "base", "memory_high": "1G"}, base=settled({"privvmpages": "64M:128M"})) == settled({"privvmpages": "128M", "memory_high": "1G"})
    assert settled({"plan": "base", "memory_high": "1G"}, base=settled({"privvmpages": "64M:unlimited"})) == settled({"memory_high": "1G"})
    assert settled({"plan": "base", "privvmpages": "64M:128M"}, base=settled({"memory_high": "32M"})) == settled({"privvmpages": "64M:128M"})
    assert settled({"plan": "base", "privvmpages": "128M"}, base=settled({"memory_high": "32M"})) == settled({"privvmpages": "128M", "memory_high": "32M"})
    assert settled({"plan": "base", "memory": "1G"}, base=settled({"memory_high": "32M"})) == settled({"memory": "1G", "memory_high": "32M"})


@pytest.mark.parametrize("version", [1, 2])
@given(plan=proper(), own=proper())
def test_over_any_plan_the_kernel_is_asked_for_what_the_section_itself_asks_for(version, plan, own):
    try:
        base, alone, both = settled(plan), settled(own), settled({"plan": "base", **own}, base=settled(plan))
    except VpsError:
        assume(False)
    asked = controls.cgroup_files(alone, version=version)
    for file, text in controls.cgroup_files(both, version=version).items():
        keys = [name for name in controls.keys_of(file) if alone.named.get(name) is not None]
        if keys and file not in ("io.max", "memory.high", "memory.low", "memory.soft_limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.max.burst"):
            assert text == asked[file], (file, keys, base)


def test_a_plan_holds_where_the_section_names_nothing_else():
    small = Limits(memory=64 * MIB, processes=100, numproc=Bound(5, 9))
    assert settled({"plan": "small"}, small=small) == small
    assert settled({"plan": "small", "memory": "1G", "cpus": "2"}, small=small) == replace(small, memory=1 << 30, cpus=2)
    assert settled({"plan": "small", "processes": "unlimited"}, small=small) == replace(small, processes=None, numproc=None)


def test_a_plan_may_be_what_a_key_needs():
    assert settled({"plan": "small", "swap": "1M"}, small=Limits(memory=64 * MIB)).swap == MIB
    assert "give memory too" in sentence(lambda: settled({"plan": "small", "memory": "unlimited"}, small=Limits(memory=64 * MIB, swap=0)), "swap")


def test_a_plan_that_the_node_does_not_have_is_told_with_those_that_it_has():
    assert "(there is: big, small)" in sentence(lambda: settled({"plan": "smal"}, "limits.", small=Limits(), big=Limits()), "limits.plan")
    assert "give the node some with vps_node" in sentence(lambda: settled({"plan": "small"}), "plan")


@given(text=st.text(max_size=20))
def test_whatever_a_plan_is_called_there_is_a_sentence(text):
    sentence(lambda: settled({"plan": text}), "plan")
