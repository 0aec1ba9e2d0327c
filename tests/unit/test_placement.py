# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VPS goes to which node: bounds are kept, nobody is moved, and the order in which things are told does not matter."""

from __future__ import annotations

import random

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.filter.vps_place import vps_place
from ansible_collections.mainline.vps.plugins.module_utils.core import capacity, placement, placement_input
from ansible_collections.mainline.vps.plugins.module_utils.core.capacity import RESOURCES, Present, Room
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits, parse, settle
from ansible_collections.mainline.vps.plugins.module_utils.core.openings import Openings

MIB, GIB = 1 << 20, 1 << 30
PRESENT = Present(memory=8 * GIB, swap=4 * GIB, cpu=400, disk=100 * GIB, processes=32768)


def read(section: dict) -> Limits:
    return settle(parse(section), {})


def node(*there: dict, present: Present = PRESENT, **overcommit: int) -> dict:
    """What vps_info returns of a node with these VPSs."""
    room = Room(present, overcommit, tuple(read(vps.get("limits") or {}) for vps in there))
    vpss = [{"name": vps["name"], "limits": vps.get("limits") or {}, "labels": vps.get("labels") or {}} for vps in there]
    return {"node": {"capacity": capacity.report(room, {})}, "vpss": vpss}


def vps(name: str, memory: str | None = "1G", **other) -> dict:
    return {"name": name, "limits": {} if memory is None else {"memory": memory}, **other}


def nodes_of(result: dict) -> dict[str, str]:
    return {one["name"]: one["node"] for one in result["placed"]}


def settled(fleet: list[dict], nodes: dict, result: dict) -> dict:
    """The nodes once everything has been made as it was decided."""
    listed = {one["name"] for one in fleet}
    after = {}
    for name, told in nodes.items():
        others = [one for one in told["vpss"] if one["name"] not in listed]
        own = {resource: each["overcommit"] for resource, each in told["node"]["capacity"].items() if each["overcommit"] is not None}
        present = Present(**{resource: each["present"] for resource, each in told["node"]["capacity"].items()})
        after[name] = node(*others, *result["by_node"][name], present=present, **own)
    return after


# -- one decision ------------------------------------------------------------------------------------------------------------


def test_spread_takes_the_node_that_has_promised_least_and_pack_the_one_that_has_promised_most():
    nodes = {"a": node(vps("x", "2G")), "b": node(vps("y", "4G")), "c": node()}
    assert nodes_of(vps_place([vps("new")], nodes)) == {"new": "c"}
    assert nodes_of(vps_place([vps("new")], nodes, "pack")) == {"new": "b"}
    assert nodes_of(vps_place([vps("new", "5G")], nodes, "pack")) == {"new": "a"}


def test_each_placed_vps_has_a_sentence():
    nodes = {"a": node(vps("old", "2G"))}
    told = {one["name"]: one for one in vps_place([vps("old", "2G"), vps("new"), vps("own", node="a"), vps("free", None)], nodes)["placed"]}
    assert (told["old"]["new"], told["old"]["why"]) == (False, "It is there already.")
    assert (told["new"]["new"], told["new"]["why"]) == (
        True, "Of the nodes with room for it this one had promised least, 37.5% of what it may of memory, to 2 VPSs.",
    )  # fmt: skip
    assert told["own"]["why"] == "It is pinned to this node, which has room for it."
    assert told["free"]["why"] == "It is promised nothing that is bounded; of the nodes with room for it this one has the fewest VPSs, 3."


def test_each_refused_vps_is_told_the_bound_of_each_node():
    nodes = {"a": node(vps("x", "6G")), "b": node(cpu=100), "c": node(), "d": node(vps("y", "7G")), "e": node(vps("z", "1G", labels={"k": "v"}))}
    result = vps_place([vps("new", "4G", labels={"k": "v"})], nodes, apart={"k": "hard"}, drained=["c"])
    (refused,) = result["refused"]
    assert refused["why"] == (
        "No node takes it: 2 nodes (2G of memory left at most, on a; 4G wanted, by overcommit.memory), 1 node (another VPS with the same k, by apart.k), "
        "1 node (drained), 1 node (no VPS without cpulimit, by the node's own overcommit.cpu)."
    )
    assert refused["bounds"][0] == {"bound": "overcommit.memory", "count": 2, "nodes": ["a", "d"], "left": "2G", "best": "a"}
    assert result["by_node"] == {name: [] for name in nodes}


def test_of_very_many_kinds_that_have_no_place_the_largest_room_is_told():
    fleet = [vps(f"v{number}", f"{9000 + number}M") for number in range(150)]
    refused = vps_place(fleet, {"a": node(), "b": node(vps("x"))})["refused"]
    assert len({one["why"] for one in refused}) == 150
    for one in refused:
        assert one["bounds"][0]["bound"] == "overcommit.memory"
        assert (one["bounds"][0]["left"], one["bounds"][0]["best"]) == ("8G", "a")


def test_what_is_on_a_node_stays_there_and_what_is_wrong_with_that_is_told():
    nodes = {"a": node(vps("one", labels={"k": "v"}), vps("two", labels={"k": "v"}), vps("big")), "b": node()}
    fleet = [vps("one", node="b"), vps("two"), vps("big", "7G")]
    result = vps_place(fleet, nodes, apart={"k": "hard"}, drained=["a"])
    assert nodes_of(result) == {"one": "a", "two": "a", "big": "a"}
    told = {one["name"]: one["why"] for one in result["misplaced"]}
    assert told["one"] == "It is pinned to b. This node is drained. Another VPS of k=v is here too (apart.k)."
    assert told["big"] == "This node is drained. limits.memory: this node has no room for 7G; give less, or move the VPS."
    assert all("node" not in entry for entry in result["by_node"]["a"])


def test_what_a_vps_is_to_have_more_is_counted_before_new_ones_and_what_it_is_to_have_less_is_not_free_yet():
    nodes = {"a": node(vps("old", "2G"), memory=100)}
    assert len(vps_place([vps("old", "6G"), vps("new", "3G")], nodes)["refused"]) == 1
    assert len(vps_place([vps("old", "1G"), vps("new", "7G")], nodes)["refused"]) == 1
    assert not vps_place([vps("old", "5G"), vps("new", "3G")], nodes)["refused"]


def test_one_that_is_to_be_absent_takes_no_place_and_goes_to_the_node_that_has_it():
    result = vps_place([vps("old", state="absent"), vps("never", state="absent")], {"a": node(vps("old")), "b": node()})
    assert [entry["name"] for entry in result["by_node"]["a"]] == ["old"]
    assert (nodes_of(result), result["refused"], result["by_node"]["b"]) == ({"old": "a"}, [], [])


def test_the_lesser_of_the_nodes_bound_and_the_option_counts_and_memory_and_disk_are_promised_once_without_either():
    def room(**own):
        return lambda **option: len(vps_place([vps(f"v{number}") for number in range(40)], {"a": node(**own)}, **option)["placed"])

    assert room()() == 8
    assert room(memory=200)() == 16
    assert room(memory=200)(overcommit={"memory": 150}) == 12
    assert room(memory=150)(overcommit={"memory": "unlimited"}) == 12
    assert room()(overcommit={"memory": "unlimited"}) == 40
    assert room()(overcommit={"memory": 50}) == 4


def test_no_more_memory_is_guaranteed_than_there_is():
    fleet = [{"name": name, "limits": {"memory": "6G", "memory_guarantee": "6G"}} for name in ("a1", "a2")]
    result = vps_place(fleet, {"a": node()}, overcommit={"memory": 400})
    assert result["refused"][0]["why"] == "No node takes it: 1 node (2G of memory left; 6G wanted, guaranteed)."


def test_a_plan_counts_as_what_it_says_and_defaults_are_for_those_without_limits():
    fleet = [{"name": "a", "limits": {"plan": "half"}}, {"name": "b"}, {"name": "c"}]
    result = vps_place(fleet, {"n": node()}, plans={"half": {"memory": "4G"}}, defaults={"limits": {"plan": "half"}})
    assert (len(result["placed"]), len(result["refused"])) == (2, 1)


def test_of_the_defaults_a_vps_has_what_it_does_not_say_itself_limits_and_labels_key_by_key():
    defaults = {"limits": {"plan": "half", "cpus": 1}, "labels": {"k": "v"}, "node": "b"}
    fleet = [{"name": "a1"}, {"name": "a2", "limits": {"memory": "1G"}, "node": None}, {"name": "a3", "labels": {"k": None}, "node": "a"}]
    result = vps_place(fleet, {"a": node(), "b": node()}, apart={"k": "hard"}, plans={"half": {"memory": "4G"}}, defaults=defaults, overcommit={"cpu": 25})
    assert nodes_of(result) == {"a2": "b", "a3": "a"}
    assert [one["bound"] for one in result["refused"][0]["bounds"]] == ["overcommit.cpu"]
    assert result["nodes"]["b"]["promised"] == {"memory": 12.5, "cpu": 100.0, "disk": 0.0}


def test_a_label_may_have_the_name_of_a_limit():
    fleet, nodes = [vps("a1", labels={"ram": "1"}), vps("a2", labels={"ram": "2"})], {"a": node(), "b": node()}
    defaults = {"labels": {"ram": "1", "memory": "x"}}
    places = [set(nodes_of(vps_place(fleet, nodes, "pack", apart={key: "hard"}, defaults=defaults)).values()) for key in ("ram", "memory")]
    assert [len(each) for each in places] == [1, 2]


def test_without_any_limit_each_goes_where_there_are_fewest():
    nodes = {name: node() for name in "abcd"}
    for strategy in ("spread", "pack"):
        result = vps_place([vps(f"v{number}", None) for number in range(40)], nodes, strategy)
        assert {told["vpss"] for told in result["nodes"].values()} == {10}


# -- nodes of which not all is known -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("silent", [None, {}, {"unreachable": True, "msg": "no"}, {"failed": True}])
def test_one_that_may_be_on_a_silent_node_is_not_made_again(silent):
    nodes = {"a": node(vps("known")), "b": silent}
    result = vps_place([vps("known"), vps("unknown"), vps("pinned", node="a")], nodes)
    assert nodes_of(result) == {"known": "a", "pinned": "a"}
    assert result["refused"][0]["why"].startswith("No node has told of it, and it may be on b, which did not answer")
    assert nodes_of(vps_place([vps("unknown")], nodes, missing="ignore")) == {"unknown": "a"}
    assert nodes_of(vps_place([vps("unknown")], nodes, where={"unknown": "b"})) == {"unknown": "b"}
    assert result["nodes"]["b"] == {"vpss": None, "new": 0, "promised": {}, "shut": "away"}


def test_one_that_may_be_the_damaged_record_of_a_node_is_not_made_again():
    damaged = node()
    for told in damaged["node"]["capacity"].values():
        told["promised"] = None
    result = vps_place([vps("unknown"), vps("pinned", node="b")], {"a": node(), "b": damaged})
    assert [one["name"] for one in result["refused"]] == ["unknown", "pinned"]
    assert result["refused"][1]["why"] == "It is pinned to b: a damaged record, so that nobody knows what is promised."


def test_one_that_was_on_a_node_that_is_no_longer_among_them_is_not_made_again():
    result = vps_place([vps("lost")], {"a": node()}, where={"lost": "gone"})
    assert result["refused"][0]["why"].startswith("It was on gone (where), which is not among nodes")


# -- labels ------------------------------------------------------------------------------------------------------------------


def test_soft_lets_as_few_share_a_node_as_possible():
    fleet = [vps(f"v{number}", "256M", labels={"k": "v"}) for number in range(10)]
    for strategy in ("spread", "pack"):
        result = vps_place(fleet, {name: node() for name in "abcd"}, strategy, apart={"k": "soft"})
        assert sorted(told["vpss"] for told in result["nodes"].values()) == [2, 2, 3, 3]


def test_labels_of_vpss_that_are_not_in_the_list_keep_others_away_too():
    nodes = {"a": node(), "b": node(vps("foreign", labels={"k": "v"}))}
    assert nodes_of(vps_place([vps("new", labels={"k": "v"})], nodes, "pack", apart={"k": "hard"})) == {"new": "a"}


def test_a_label_that_none_has_yet_is_refused_only_where_it_could_be_a_slip():
    there = {"a": node(vps("old", labels={"k": "v"}))}
    assert nodes_of(vps_place([vps("new", labels={"l": "v"})], there, apart={"k": "hard"})) == {"new": "a"}
    assert nodes_of(vps_place([vps("new")], there, apart={"c": "hard"})) == {"new": "a"}
    assert nodes_of(vps_place([vps("old", labels={"l": "v"})], there, apart={"c": "hard"})) == {"old": "a"}


@pytest.mark.parametrize(("strategy", "machines"), [(strategy, count) for strategy in ("pack", "spread") for count in (5, 6, 7)])
def test_the_last_of_a_large_cluster_finds_a_node_though_others_are_larger(strategy, machines):
    """Seven clusters of five and one of seven, of two plans, on nodes 73 % full: refused are those for whom there are no nodes at all."""
    fleet = []
    for cluster, members in enumerate([5] * 7 + [7]):
        fleet += [vps(f"c{cluster}-{number}", "1G" if (cluster + number) % 3 else "3G", labels={"cluster": str(cluster)}) for number in range(members)]
    fleet += [vps(f"alone{number}", "3G") for number in range(5)]
    nodes = {f"n{number}": node(present=Present(-(-116 * GIB // machines // GIB) * GIB, 0, 400, 1000 * GIB, 32768)) for number in range(machines)}
    refused = vps_place(fleet, nodes, strategy, apart={"cluster": "hard"})["refused"]
    assert len(refused) == max(0, 7 - machines), [one["name"] for one in refused]


def test_a_cluster_counts_with_those_of_it_that_are_on_nodes():
    nodes = {"a": node(vps("old", "1G", labels={"k": "v"})), "b": node(vps("x", "4G")), "c": node(vps("y", "8G"))}
    fleet = [vps("large", "4G"), vps("new", "1G", labels={"k": "v"})]
    result = vps_place(fleet, nodes, "pack", apart={"k": "hard"})
    assert nodes_of(result) == {"large": "a", "new": "b"}


def test_those_without_size_come_last_though_they_are_of_a_cluster():
    fleet = [*(vps(f"n{number}", None, labels={"k": "v"}) for number in range(3)), vps("large", "7G"), vps("small", "1G")]
    result = vps_place(fleet, {name: node() for name in "abc"}, "pack", apart={"k": "hard"})
    assert nodes_of(result)["large"] == nodes_of(result)["small"]


# -- whatever there is ---------------------------------------------------------------------------------------------------------

wishes = {"memory": st.sampled_from(["256M", "1G", "1500M", "3G"]), "diskspace": st.sampled_from(["5G", "30G"]), "cpulimit": st.sampled_from(["50%", "200%"])}
labels = st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["1", "2", "3"]), max_size=2)
entries = st.fixed_dictionaries({"limits": st.fixed_dictionaries({}, optional=wishes), "labels": labels})
fleets = st.lists(entries, max_size=25).map(lambda each: [{"name": f"v{number}", **one} for number, one in enumerate(each)])
machines = st.lists(
    st.tuples(st.sampled_from([2, 4, 8]), st.sampled_from([20, 100]), st.sampled_from([{}, {"memory": 100}, {"memory": 150, "cpu": 200}, {"disk": 50}])),
    min_size=1,
    max_size=6,
).map(lambda each: {f"n{number}": node(present=Present(gib * GIB, 0, 400, disk * GIB, 32768), **own) for number, (gib, disk, own) in enumerate(each)})
strategies = st.sampled_from(["spread", "pack"])


def held(apart: dict[str, str], fleet: list[dict]) -> dict[str, str]:
    """Of these labels those that a VPS has; the others are refused."""
    return {key: word for key, word in apart.items() if any(key in one["labels"] for one in fleet)}


aparts = st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["hard", "soft"]))


@given(fleets, machines, strategies, aparts)
def test_no_node_takes_more_than_it_may_and_none_refuses_what_was_decided(fleet, nodes, strategy, apart):
    result = vps_place(fleet, nodes, strategy, apart=held(apart, fleet))
    assert len(result["placed"]) + len(result["refused"]) == len(fleet)
    for name, listed in result["by_node"].items():
        told = nodes[name]["node"]["capacity"]
        for resource, each in told.items():
            bound = each["overcommit"] if each["overcommit"] is not None else {"memory": 100, "disk": 100}.get(resource)
            promised = [RESOURCES[resource].promised(read(one["limits"])) for one in listed]
            assert bound is None or sum(value or 0 for value in promised) <= each["present"] * bound // 100
        policy = {resource: each["overcommit"] for resource, each in told.items() if each["overcommit"] is not None}
        present = Present(**{resource: each["present"] for resource, each in told.items()})
        before: list[Limits] = []
        for one in listed:
            capacity.check(Room(present, policy, tuple(before)), None, read(one["limits"]), vps=one["name"])
            before.append(read(one["limits"]))


@given(fleets, machines, strategies, aparts, st.randoms(use_true_random=False))
def test_the_order_in_which_vpss_and_nodes_are_told_does_not_matter(fleet, nodes, strategy, apart, shuffled: random.Random):
    first = vps_place(fleet, nodes, strategy, apart=held(apart, fleet))
    others, names = list(fleet), list(nodes)
    shuffled.shuffle(others)
    shuffled.shuffle(names)
    again = vps_place(others, {name: nodes[name] for name in names}, strategy, apart=held(apart, fleet))
    assert {one["name"]: one for one in again["placed"]} == {one["name"]: one for one in first["placed"]}
    assert {one["name"]: one for one in again["refused"]} == {one["name"]: one for one in first["refused"]}
    assert again["nodes"] == first["nodes"]


@given(fleets, machines, strategies, aparts, entries)
def test_another_vps_or_another_node_moves_none_that_is_placed(fleet, nodes, strategy, apart, entry):
    first = vps_place(fleet, nodes, strategy, apart=held(apart, fleet))
    after = settled(fleet, nodes, first)
    here = [one for one in fleet if one["name"] in nodes_of(first)]
    for larger, more in ((here, after), ([{"name": "a-new", **entry}, *here], after), (here, {"a-new": node(), **after}), (here[1:], after)):
        again = nodes_of(vps_place(larger, more, strategy, apart=held(apart, fleet)))
        assert again.items() >= {name: place for name, place in nodes_of(first).items() if name in {one["name"] for one in larger}}.items()
    unchanged = vps_place(here, after, strategy, apart=held(apart, fleet))
    assert not any(one["new"] for one in unchanged["placed"])
    assert unchanged["misplaced"] == []


@given(fleets, machines, strategies)
def test_two_that_are_kept_apart_never_share_a_node(fleet, nodes, strategy):
    for listed in vps_place(fleet, nodes, strategy, apart=held({"k": "hard", "l": "hard"}, fleet))["by_node"].values():
        for key in "kl":
            values = [one["labels"][key] for one in listed if key in one["labels"]]
            assert len(values) == len(set(values))


@given(st.integers(0, 40), machines, strategies, st.sampled_from(["256M", "1G", "3G"]))
def test_of_equal_ones_all_are_placed_for_which_there_is_room(count, nodes, strategy, memory):
    fleet = [{"name": f"v{number}", "limits": {"memory": memory, "diskspace": "10G", "cpulimit": "100%"}} for number in range(count)]
    room = 0
    for told in nodes.values():
        there = []
        for resource, wanted in (("memory", read({"memory": memory}).memory), ("disk", 10 * GIB), ("cpu", 100)):
            each = told["node"]["capacity"][resource]
            bound = each["overcommit"] if each["overcommit"] is not None else {"memory": 100, "disk": 100}.get(resource)
            there.append(count if bound is None else each["present"] * bound // 100 // wanted)
        room += min(there)
    assert len(vps_place(fleet, nodes, strategy)["placed"]) == min(count, room)


# -- the tree --------------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40), st.data())
def test_the_tree_finds_what_a_plain_loop_finds_whatever_changes(places, data):
    keys, free = [(key, number) for number, (key, _one, _two) in enumerate(places)], [(one, two) for _key, one, two in places]
    tree = Openings(keys, free, 2)
    shut: set[int] = set()
    everywhere = st.integers(0, len(places) - 1)
    for _turn in range(8):
        wants, without = data.draw(st.tuples(st.integers(0, 9), st.integers(0, 9))), data.draw(st.sets(everywhere, max_size=5))
        fits = [at for at in range(len(places)) if at not in without | shut and all(want <= there for want, there in zip(wants, free[at]))]
        assert tree.find(wants, without.__contains__) == min(fits, key=lambda at: keys[at], default=None)
        change = data.draw(everywhere)
        if change not in shut:
            keys[change], free[change] = (data.draw(st.integers(0, 9)), change), data.draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))
            tree.change(change, keys[change], free[change])
        if data.draw(st.booleans()):
            shut = data.draw(st.sets(everywhere, max_size=9))
            tree.reopen("this")
            tree.shut(shut, "this")


@pytest.mark.parametrize("strategy", ["spread", "pack"])
@pytest.mark.parametrize("apart", [{}, {"k": "hard"}, {"k": "soft"}])
def test_many_of_many_kinds_are_placed_as_by_one_who_looks_at_all_nodes(strategy, apart):
    """Enough for nodes to be kept out of the way, and for the further numbers of the tree."""
    rng = random.Random(7)
    nodes = {f"n{number}": node(present=Present(rng.choice([8, 64]) * GIB, 0, 400, rng.choice([100, 900]) * GIB, 32768)) for number in range(150)}
    fleet = []
    for number in range(1600):
        size = {"memory": f"{rng.choice([rng.randint(8, 6000), 1024])}M", "diskspace": f"{rng.choice([rng.randint(1, 60), 20])}G"}
        fleet.append({"name": f"v{number}", "limits": size, "labels": {"k": str(number // 200)}})
    placed = nodes_of(vps_place(fleet, nodes, strategy, apart=apart))
    assert placed == by_looking_at_all(fleet, nodes, strategy, apart)
    assert 0 < len(placed) < len(fleet)


def by_looking_at_all(fleet: list[dict], nodes: dict, strategy: str, apart: dict) -> dict[str, str]:
    """The same decision by a plain loop, for VPSs with memory and disk on empty nodes."""
    there = placement_input.read_nodes(nodes)
    book, kinds = placement.Book(there), placement.Kinds(apart)
    holders: dict[tuple, dict[int, int]] = {}
    found = {}
    for new in placement.in_order(book, kinds, placement_input.read_vpss(fleet)):
        best = None
        for row in range(len(book.nodes)):
            if any(want > left for want, left in zip(new.wants, book.free(row))) or any(holders.get(label, {}).get(row) for label in new.hard):
                continue
            shared = max((holders.get(label, {}).get(row, 0) for label in new.soft), default=0)
            key = (shared, row) if strategy == "pack" else (shared, book.load(row)[0], book.count[row], row)
            if best is None or key < best[0]:
                best = (key, row)
        if best is not None:
            row = best[1]
            found[new.vps.name] = book.nodes[row].name
            book.take(row, new.wants)
            book.count[row] += 1
            for label in new.labels:
                if label[0] in apart:
                    holders.setdefault(label, {})[row] = holders.get(label, {}).get(row, 0) + 1
    return found


# -- what cannot be read -----------------------------------------------------------------------------------------------------

GOOD = {"a": node()}


@pytest.mark.parametrize(
    ("fleet", "nodes", "options", "told"),
    [
        ("web", GOOD, {}, "vps: give it a list of VPSs"),
        ({"name": "web"}, GOOD, {}, "vps: give it a list of VPSs"),
        (["web"], GOOD, {}, "vps[0]: is no VPS with a name"),
        ([vps("ok"), {"limits": {}}], GOOD, {}, "vps[1]: is no VPS with a name"),
        ([vps("Web")], GOOD, {}, "vps[0] (Web): name: 'Web' cannot be used"),
        ([vps("a"), vps("a")], GOOD, {}, "vps[1] (a): is in the list twice"),
        ([vps("a", "1X")], GOOD, {}, "vps[0] (a): limits.memory: '1X' is not a size"),
        *((
            [{"name": "a", "limits": {"ram": "1G", "memory": "2G"}}], GOOD, {"defaults": defaults},
            "vps[0] (a): limits.memory: is given twice, under two of its names (memory, ",
        ) for defaults in ({}, {"limits": {"cpus": 2}})),
        ([{"name": "a", "limits": "1G"}], GOOD, {}, "vps[0] (a): limits: '1G' is no set of limits"),
        ([{"name": "a", "limits": {"plan": "big"}}], GOOD, {}, "vps[0] (a): limits.plan: there is no plan 'big' in plans; give them in plans, "),
        ([{"name": "a", "limits": {"plan": "smal"}}], GOOD, {"plans": {"small": {}}}, "vps[0] (a): limits.plan: there is no plan 'smal' in plans; perhaps "),
        ([{"name": "a", "limits": {"plan": "x"}}], GOOD, {"plans": {"small": {}}}, "vps[0] (a): limits.plan: there is no plan 'x' in plans; there are small."),
        ([vps("a", limts={})], GOOD, {}, "vps[0] (a): limts: there is no such option; perhaps limits is meant."),
        ([vps("a", nod="a")], GOOD, {}, "vps[0] (a): nod: there is no such option; perhaps node is meant."),
        ([vps("a")], GOOD, {"defaults": {"limts": {}}}, "defaults.limts: there is no such option; perhaps limits is meant."),
        ([], GOOD, {"defaults": {"name": "x"}}, "defaults.name: there is no such option; "),
        ([{"name": "a"}], GOOD, {"defaults": {"limits": {"memry": 1}}}, "defaults.limits.memry: there is no such limit; perhaps memory is meant."),
        ([vps("a")], GOOD, {"defaults": {"limits": {"plan": "x"}}}, "defaults.limits.plan: there is no plan 'x' in plans; "),
        ([vps("a", labels={"cluster": "x"})], GOOD, {"apart": {"clstr": "hard"}}, "apart.clstr: no VPS has such a label; perhaps cluster is meant."),
        ([vps("a", labels={"tier": "x"})], GOOD, {"apart": {"k": "soft"}}, "apart.k: no VPS has such a label; leave it out until one has it."),
        ([vps("a", labels=["k"])], GOOD, {}, "vps[0] (a): labels: "),
        ([vps("a", node=5)], GOOD, {}, "vps[0] (a): node: '5' is no name of a node"),
        ([vps("a", node="z")], GOOD, {}, "vps (a): node: there is no node 'z' among nodes"),
        ([], {}, {}, "nodes: give it what vps_info has returned"),
        ([], ["a"], {}, "nodes: give it what vps_info has returned"),
        ([], {"a": 5}, {}, "nodes.a: is not what vps_info returns"),
        ([], {"a": GOOD["a"]["node"]}, {}, "nodes.a: is not what vps_info returns"),
        ([], {"a": {"node": {}, "vpss": []}}, {}, "nodes.a: is not one that vps_info returns"),
        ([], {"a": {**GOOD["a"], "vpss": [{}]}}, {}, "nodes.a: one of its VPSs is none"),
        ([], {"a": {**GOOD["a"], "vpss": ["web"]}}, {}, "nodes.a: one of its VPSs is none"),
        ([vps("a")], {"n": node(vps("a")), "m": node(vps("a"))}, {}, "nodes: VPS 'a' is on m and on n"),
        ([], GOOD, {"strategy": "random"}, "strategy: there is no 'random'; write spread or pack."),
        ([], GOOD, {"apart": "k"}, "apart: 'k' is no dictionary"),
        ([], GOOD, {"apart": {"k": True}}, "apart.k: 'True' is not a way"),
        ([], GOOD, {"apart": {"1": "hard"}}, "apart: '1' cannot be a label"),
        ([], GOOD, {"drained": "a"}, "drained: 'a' is no list of nodes"),
        ([], GOOD, {"drained": ["b"]}, "drained: there is no node 'b' among nodes"),
        ([], GOOD, {"plans": {"p": 1}}, "plans.p: '1' is no set of limits"),
        ([], GOOD, {"plans": "p"}, "plans: 'p' is no dictionary"),
        ([], GOOD, {"defaults": []}, "defaults: '[]' is no dictionary"),
        ([], GOOD, {"overcommit": {"ram": 1}}, "overcommit: there is no resource 'ram'"),
        ([], GOOD, {"overcommit": {"memory": "much"}}, "overcommit.memory: 'much' is not a percentage"),
        ([], GOOD, {"where": {"a": None}}, "where.a: 'None' is no name of a node"),
        ([], GOOD, {"missing": "make"}, "missing: there is no 'make'; write refuse or ignore."),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence_that_names_the_option(fleet, nodes, options, told):
    with pytest.raises(AnsibleFilterError) as caught:
        vps_place(fleet, nodes, **options)
    assert str(caught.value).startswith(f"vps_place: {told}")
    assert str(caught.value).endswith(".")


def test_of_two_nodes_that_have_a_vps_the_one_that_is_named_counts():
    nodes = {"n": node(vps("a")), "m": node(vps("a"))}
    assert nodes_of(vps_place([vps("a", node="n")], nodes)) == {"a": "n"}
    assert nodes_of(vps_place([vps("a")], nodes, where={"a": "m"})) == {"a": "m"}


@pytest.mark.parametrize("labels", [{"k": "v"}, {}, None])
def test_a_vps_that_its_node_has_told_of_in_another_way_is_read_as_far_as_it_can_be(labels):
    strange = node()
    strange["vpss"] = [{"name": "old", "limits": {"memory": "1G", "new_in_a_later_release": "5", "swap": "odd"}, "labels": labels}]
    assert nodes_of(vps_place([vps("old")], {"a": strange})) == {"old": "a"}
