# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts of the benchmarks: statistics, ratios, tables, what is drawn, what fits. Nothing is measured here."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.benchmarks.density.report import Batch, Bound, Census, Sample, memory_holds, outlook
from ansible_collections.mainline.vps.benchmarks.density.report import report as density
from ansible_collections.mainline.vps.benchmarks.kit.figures import Curve, Results, Row, Spread, curves, less, ratio, table
from ansible_collections.mainline.vps.benchmarks.peers.report import (
    EMPTY, FLEET, FLOOR, OURS, PEER, Names, against_floor, against_nothing, against_peer, goals, report,
)

MIB = 1 << 20
NAMES = Names({FLEET: OURS, "vps_container, loop": OURS, "slow": PEER, "fast": PEER, "shell": FLOOR, "shell, 2 at once": FLOOR})
OPERATIONS = ("create+start", "unchanged")
# Seconds of each round, at 10 and at 100 containers.
TIMES = {
    (EMPTY, FLEET): {10: (1.0, 1.0, 1.0), 100: (1.0, 1.0, 2.0)},
    (EMPTY, "fast"): {10: (1.0, 1.0, 1.0), 100: (1.0, 1.0, 1.0)},
    (FLEET, "create+start"): {10: (1.5, 1.6, 1.4), 100: (5.0, 6.0, 4.0)},
    (FLEET, "unchanged"): {10: (1.2, 1.2, 1.2), 100: (1.4, 1.4, 2.8)},
    ("vps_container, loop", "unchanged"): {10: (4.0, 4.0, 4.0), 100: (40.0, 40.0, 40.0)},
    ("slow", "create+start"): {10: (20.0, 20.0, 20.0), 100: (200.0, 200.0, 200.0)},
    ("fast", "create+start"): {10: (10.0, 10.0, 10.0), 100: (100.0, 90.0, 110.0)},
    ("slow", "unchanged"): {10: (5.0, 5.0, 5.0), 100: (50.0, 50.0, 50.0)},
    ("fast", "unchanged"): {10: (6.0, 6.0, 6.0), 100: (70.0, 70.0, 140.0)},
    ("shell", "create+start"): {10: (0.8, 0.8, 0.8), 100: (8.0, 8.0, 8.0)},
    ("shell, 2 at once", "create+start"): {10: (0.4, 0.4, 0.4), 100: (4.0, 4.0, 4.0)},
}
RESULTS = Results.of(
    (contestant, operation, count, rounds[turn]) for turn in range(3) for (contestant, operation), counts in TIMES.items() for count, rounds in counts.items()
)


def written(results: Results = RESULTS, names: Names = NAMES, **options) -> str:
    """The report."""
    return report(results, names, **{"machine": ["- a machine"], "rounds": 3, "missing": [], "plots": None, **options})


# -- figures ------------------------------------------------------------------------------------------------------------


def test_a_spread_is_the_middle_of_its_values_and_how_far_apart_they_are():
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([])


@pytest.mark.parametrize("spread, text", [
    (Spread(2.0, 1.0, 3.0), "2.00 (1.00–3.00)"),
    (Spread(2.0, 2.0, 2.0), "2.00"),
    (Spread(123.4, 99.5, 2345.6), "123 (99.50–2,346)"),
])
def test_a_spread_is_told_with_the_digits_that_say_something(spread, text):
    assert spread.text() == text


def test_single_times_become_rows_in_the_order_in_which_they_were_measured():
    found = Results.of([("b", "x", 3, 1.0), ("a", "x", 3, 2.0), ("b", "x", 3, 3.0), ("b", "y", 1, 4.0)])
    assert found.rows == (Row("b", "x", 3, (1.0, 3.0)), Row("a", "x", 3, (2.0,)), Row("b", "y", 1, (4.0,)))
    assert (found.contestants(), found.operations(), found.counts()) == (["b", "a"], ["x", "y"], [1, 3])
    assert found.seconds("a", "y", 1) == ()


def test_the_faster_is_the_one_whose_median_is_least_where_both_were_measured():
    assert RESULTS.faster(["slow", "fast"], "create+start", 10) == "fast"
    assert RESULTS.faster(["slow", "fast"], "unchanged", 10) == "slow"
    assert RESULTS.faster(["slow", "nobody"], "unchanged", 10) == "slow"
    assert RESULTS.faster(["nobody"], "unchanged", 10) is None


def test_a_ratio_is_of_times_of_one_round():
    assert ratio((2.0, 30.0, 4.0), (1.0, 10.0, 4.0)) == Spread(2.0, 1.0, 3.0)


@pytest.mark.parametrize("own, other", [((), (1.0,)), ((1.0,), ()), ((1.0, 2.0), (1.0, 0.0)), ((1.0, -0.1), (1.0, 1.0))])
def test_there_is_no_ratio_of_what_was_not_measured_or_is_lost_in_noise(own, other):
    assert ratio(own, other) is None


def test_what_two_have_in_common_is_taken_off_round_by_round():
    assert less((3.0, 5.0), (1.0, 2.0)) == (2.0, 3.0)


def test_a_table_has_its_columns_below_each_other_and_numbers_to_the_right():
    assert table(["what", "ms"], [["a", "1.0"], ["longer", "10.0"]]).splitlines() == [
        "| what   |   ms |",
        "| ------ | ---: |",
        "| a      |  1.0 |",
        "| longer | 10.0 |",
    ]
    with pytest.raises(ValueError, match="a row of 1"):
        table(["what", "ms"], [["a"]])


def test_a_curve_has_a_point_for_each_number_that_was_measured():
    assert curves(RESULTS, "unchanged", each=False)[0] == Curve(FLEET, ((10.0, 1.2, 1.2, 1.2), (100.0, 1.4, 1.4, 2.8)))
    assert curves(RESULTS, "unchanged", each=True)[0].points[1] == pytest.approx((100.0, 0.014, 0.014, 0.028))
    assert [curve.name for curve in curves(RESULTS, "create+start", each=False)] == [FLEET, "slow", "fast", "shell", "shell, 2 at once"]


# -- beside the peers ---------------------------------------------------------------------------------------------------


def test_ours_is_compared_with_the_faster_peer_of_each_operation():
    assert against_peer(RESULTS, NAMES, FLEET, "create+start", 100) == (Spread(20.0, 15.0, 27.5), "fast")
    assert against_peer(RESULTS, NAMES, FLEET, "unchanged", 10)[1] == "slow"
    spread, _peer = against_peer(RESULTS, NAMES, FLEET, "create+start", 10, net=True)
    assert spread.middle == pytest.approx(18.0)
    assert against_peer(RESULTS, Names({FLEET: OURS}), FLEET, "unchanged", 10) == (None, "")


def test_the_floor_has_no_playbook_so_ours_is_compared_without_an_empty_one():
    assert against_floor(RESULTS, NAMES, FLEET, "create+start", 100).middle == pytest.approx(1.0)
    assert against_floor(RESULTS, NAMES, FLEET, "unchanged", 100) is None, "the floor was not measured there"
    assert against_nothing(RESULTS, FLEET, "unchanged", 100).middle == pytest.approx(1.4)


def test_goals_are_those_of_the_fleet_at_the_greatest_number():
    found = {goal.text: goal for goal in goals(RESULTS, NAMES)}
    assert [goal.met for goal in found.values()] == [True, False, True, True]
    assert all("100" in text for text in found)
    assert [goal.met for goal in goals(Results.of([("slow", "unchanged", 3, 1.0)]), NAMES)] == [None] * 4
    assert goals(Results(()), NAMES) == []


def test_the_report_begins_with_the_machine_and_the_ratios_and_ends_with_what_is_not_equal():
    text = written(missing=["docker_container, for dockerd did not start."], plots="peers.svg")
    places = [text.index(each) for each in (
        "- a machine", "- not measured: docker_container, for dockerd did not start.", "## Goals of `vps_fleet`", "## Ratios of `vps_fleet`",
        "## Ratios of `vps_container, loop`", "## Times", "![Times by the number of containers](peers.svg)", "## What is not equal",
    )]
    assert places == sorted(places)
    assert "an empty play: 1.00 s (1.00–2.00)" in text


def test_the_report_says_where_nothing_was_measured():
    text = written(Results.of([("slow", "unchanged", 3, 1.5)]), Names({"slow": PEER}))
    assert "| not measured" in text and "## Ratios" not in text
    assert "500" in text, "ms of each of three"


# -- density ------------------------------------------------------------------------------------------------------------


def counted(**changed) -> Census:
    """Two VPSs that were measured."""
    sample = Sample(memory=20 * MIB, cache=8 * MIB, monitor=MIB // 2, cpu=5_000_000, processes=9)
    return Census(**{
        "kind": "debian", "wanted": 2, "batches": (Batch(2, 4.0, 70 * MIB),), "before": 100 * MIB, "after": 72 * MIB, "samples": {"a": sample, "b": sample},
        "idle": 60.0, "idle_cpu": {"a": 6_000, "b": 12_000}, "idle_machine": 60_000.0, "answers": {"web server": 1}, "asked": 2, **changed,
    })


def test_a_vps_takes_what_the_machine_has_less_and_what_its_own_counters_say():
    assert counted().each() == pytest.approx(14.0)
    assert counted().counted() == pytest.approx(12.5)
    assert counted().met()


@pytest.mark.parametrize("changed", [{"after": 60 * MIB}, {"after": 101 * MIB}])
def test_the_goal_is_not_met_where_the_machine_has_less_or_others_gave_memory_back(changed):
    assert not counted(**changed).met()


def test_memory_holds_as_many_as_fit_beside_the_reserve():
    assert memory_holds(counted(), 30 * MIB) == 5
    assert memory_holds(counted(after=101 * MIB), 30 * MIB) == 0


def test_a_bound_is_as_far_away_as_what_each_takes_of_it_says():
    before = [Bound("terminals", "kernel.pty.max", 10, 3072), Bound("routes", "", 5, -1), Bound("requests", "", 0, 100)]
    now = [Bound("terminals", "kernel.pty.max", 20, 3072), Bound("routes", "", 7, -1), Bound("requests", "", 0, 100)]
    assert [(each.each, each.fits) for each in outlook(before, now, 2)] == [(5.0, 612), (1.0, None), (0.0, None)]


def test_the_report_of_density_tells_each_kind_and_each_bound():
    far = outlook([Bound("terminals", "kernel.pty.max", 10, 3072)], [Bound("terminals", "kernel.pty.max", 20, 3072)], 2)
    keys = [Bound("keys", "kernel.keys.maxkeys", 15, 2000)]
    text = density([counted(stopped="too little is left.")], far, keys, machine=["- a machine"], reserve=0, plot=None)
    for part in ("## 2 of 2 × debian", "14.00", "12.50", "| web server answers", "1 of 2", "Stopped: too little is left.", "kernel.pty.max", "| keys"):
        assert part in text, part
    assert "0.0150 (0.0100–0.0200)" in text, "percent of a core: µs of CPU over µs of time"


def test_the_report_of_density_says_of_a_machine_that_has_more_than_before_that_it_cannot_be_measured():
    sample = Sample(memory=40 * MIB, cache=0, monitor=0, cpu=1, processes=1)
    text = density([counted(after=101 * MIB)], [], [], machine=[], reserve=0, plot=None)
    assert text.count("not measurable") == 3 and "-0.50" not in text and "met**" not in text, text
    text = density([counted(after=101 * MIB, samples={"a": sample, "b": sample})], [], [], machine=[], reserve=0, plot=None)
    assert text.count("not measurable") == 2 and "**not met**" in text


def test_the_report_of_density_says_when_none_runs():
    assert "| running |" in density([counted(samples={}, idle_cpu={}, batches=())], [], [], machine=[], reserve=0, plot=None)
