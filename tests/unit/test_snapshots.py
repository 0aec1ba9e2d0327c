# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VPS's snapshots: given these, when this is asked at this moment, then these changes and steps. Data in, data out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.mainline.vps.plugins.module_utils.core import snapshots
from ansible_collections.mainline.vps.plugins.module_utils.core.builds import Build
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import NOT_OURS, VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import FROZEN, RUNNING, STOPPED, Actual, NodeFacts, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import (
    Change,
    ChangeSnapshot,
    Freeze,
    Plan,
    RemoveSnapshot,
    RollBack,
    TakeSnapshot,
    Update,
    Wait,
)
from ansible_collections.mainline.vps.plugins.module_utils.core.snapshots import Snapshot, SnapshotsActual
from ansible_collections.mainline.vps.tests.unit.reading import sentence

DAY = 86_400
NOW = 1_000 * DAY
NODE = NodeFacts(templates={"minimal": "busybox"}, networks=("10.90.0.0/24",))
WEB = Vps(name="web", template="minimal", init="busybox", hostname="web", addresses=("10.90.0.9",), limits=Limits(processes=50), id_base=65536)
SPEC = {
    "vps": "web", "name": None, "state": "present", "frozen": False, "restore_configuration": False, "keep_current": None, "stop_timeout": 60,
    "wait": RUNNING, "wait_timeout": 120,
}


def parsed(**params) -> snapshots.Desired:
    """A task about the VPS `web`, now."""
    return snapshots.parse_snapshot({**SPEC, **params}, now=NOW)


def one(name: str, *, age: float = 1, vps: Vps = WEB, **more) -> Snapshot:
    """A snapshot of `web`, so many days old."""
    return Snapshot(name, NOW - age * DAY, vps, **more)


def there(*found: Snapshot, run: str = STOPPED, vps: Vps | None = WEB, node: NodeFacts = NODE, **more) -> SnapshotsActual:
    """`web` with these snapshots."""
    return SnapshotsActual(Actual(vps=vps, recorded=vps, run=run, node=node), tuple(sorted(found, key=lambda each: each.created)), **more)


def gone(plan: Plan) -> list[str]:
    """The snapshots that a plan removes."""
    return [step.name for step in plan.steps if isinstance(step, RemoveSnapshot)]


def test_one_that_is_not_there_is_taken():
    plan = snapshots.compare(parsed(name="a", description="first", expires="7d"), there())
    changes = (Change("state", "absent", "present"), Change("description", None, "first"), Change("expires", None, "7d"))
    assert plan == Plan(changes, (TakeSnapshot("web", "a", "first", None, 7 * DAY),))


def test_one_that_is_there_is_left_alone():
    assert snapshots.compare(parsed(name="a"), there(one("a", description="first", expires=NOW + 1))) == Plan()
    assert snapshots.compare(parsed(name="a", expires="2d"), there(one("a", expires=NOW + DAY))) == Plan()


def test_what_is_recorded_of_it_follows_the_task_and_expiry_counts_from_its_creation():
    plan = snapshots.compare(parsed(name="a", expires="14d", series="daily"), there(one("a", age=8, expires=NOW + DAY)))
    assert plan.changes == (Change("series", None, "daily"), Change("expires", "9d", "14d"))
    (step,) = plan.steps
    assert step == ChangeSnapshot(one("a", age=8, series="daily", expires=NOW + 6 * DAY))
    never = snapshots.compare(parsed(name="a", expires="never"), there(one("a", expires=NOW + DAY)))
    assert never.changes == (Change("expires", "2d", "never"),)


def test_any_run_removes_what_has_expired_and_says_which():
    for task in (parsed(), parsed(name="new"), parsed(name="old", state="absent"), parsed(name="kept", state="rolled_back")):
        plan = snapshots.compare(task, there(one("old", expires=NOW - 1), one("late", expires=NOW), one("kept", expires=NOW + 1)))
        assert {"late"} <= set(gone(plan)) <= {"old", "late"}
        assert Change("snapshots.late", "expired", "absent") in plan.changes


def test_one_that_has_expired_is_taken_anew_unless_the_task_gives_it_more_time():
    found = there(one("a", age=8, expires=NOW - DAY))
    assert snapshots.compare(parsed(name="a"), found).steps == (RemoveSnapshot("web", "a"), TakeSnapshot("web", "a"))
    assert gone(snapshots.compare(parsed(name="a", expires="9d"), found)) == []
    assert gone(snapshots.compare(parsed(name="a", state="rolled_back"), found)) == [], "who names it wants it"


def test_the_newest_of_a_series_are_kept_and_the_others_are_not_counted():
    found = there(*(one(f"d{age}", age=age, series="daily") for age in range(1, 6)), one("by-hand", age=9), one("w", age=8, series="weekly"))
    plan = snapshots.compare(parsed(name="d0", series="daily", keep=3), found)
    assert plan.steps[0] == TakeSnapshot("web", "d0", series="daily") and gone(plan) == ["d5", "d4", "d3"]
    assert plan.changes[-1] == Change("snapshots.d3", "beyond keep", "absent")
    assert gone(snapshots.compare(parsed(series="daily", keep=5), found)) == []
    assert gone(snapshots.compare(parsed(keep=1), there(one("a", age=2), one("b", age=1)))) == ["a"]
    assert gone(snapshots.compare(parsed(name="d5", keep=1), found)) == ["d4", "d3", "d2", "d1"], "the one that the task names is of its own series, and stays"


def test_what_is_removed_does_not_count():
    found = there(one("a", age=3), one("b", age=2), one("c", age=1, expires=NOW))
    assert gone(snapshots.compare(parsed(keep=2), found)) == ["c"]
    assert gone(snapshots.compare(parsed(name="b", state="absent", keep=1), found)) == ["c", "b"]


@given(
    found=some.lists(some.tuples(some.integers(-9, 30), some.sampled_from([None, "daily"]), some.integers(-5, 5)), max_size=8),
    keep=some.integers(1, 4), series=some.sampled_from([None, "", "daily"]), name=some.sampled_from([None, "new", "s0", "s3"]),
)
def test_after_a_run_there_is_nothing_left_to_do(found, keep, series, name):
    have = there(*(one(f"s{n}", age=age, series=word, expires=NOW + days * DAY if days else None) for n, (age, word, days) in enumerate(found)))
    task = parsed(keep=keep, name=name, **({} if series is None else {"series": series}))
    plan = snapshots.compare(task, have)
    left = {each.name: each for each in have.snapshots}
    for step in plan.steps:
        if isinstance(step, RemoveSnapshot):
            del left[step.name]
        elif isinstance(step, TakeSnapshot):
            left[step.name] = Snapshot(step.name, NOW, WEB, series=step.series)
        else:
            left[step.snapshot.name] = step.snapshot
    assert name is None or name in left
    assert snapshots.compare(snapshots.settled(task), there(*left.values())) == Plan()


def test_a_snapshot_is_removed():
    assert snapshots.compare(parsed(name="a", state="absent"), there(one("a"))) == Plan((Change("state", "present", "absent"),), (RemoveSnapshot("web", "a"),))
    assert snapshots.compare(parsed(name="a", state="absent"), there()) == Plan()
    assert snapshots.compare(parsed(name="a", state="absent"), there(vps=None)) == Plan(), "they have gone with it"


def test_only_a_running_vps_is_frozen_for_it():
    for run, freezes in ((RUNNING, True), (FROZEN, False), (STOPPED, False)):
        (step,) = snapshots.compare(parsed(name="a", frozen=True), there(run=run)).steps
        assert step.freeze is freezes


def test_a_stopped_vps_is_rolled_back_and_stays_stopped():
    plan = snapshots.compare(parsed(name="a", state="rolled_back"), there(one("a")))
    assert plan == Plan((Change("state", "present", "rolled_back"),), (RollBack(WEB, "a", frozenset(), None, None, False, 60),))


def test_one_that_runs_is_started_again_and_waited_for_and_a_frozen_one_is_frozen_again():
    plan = snapshots.compare(parsed(name="a", state="rolled_back", stop_timeout=5, wait="booted"), there(one("a"), run=RUNNING))
    assert plan.changes == (Change("state", "present", "rolled_back"), Change("vps", "started", "restarted"))
    assert plan.steps == (RollBack(WEB, "a", frozenset(), None, None, True, 5), Wait("web", "booted", 120))
    plan = snapshots.compare(parsed(name="a", state="rolled_back"), there(one("a"), run=FROZEN))
    assert plan.steps[1:] == (Wait("web", "running", 120), Freeze("web"))


def test_what_was_written_into_the_guest_since_then_is_written_again():
    before = replace(WEB, hostname="old", authorized_keys=("k",), unfinished=("nameservers", "limits"))
    (step,) = snapshots.compare(parsed(name="a", state="rolled_back"), there(one("a", vps=before))).steps
    assert step.identity == {"hostname", "authorized_keys", "nameservers"} and step.vps == WEB and step.update is None


def test_with_its_configuration_it_gets_back_what_was_recorded():
    before = replace(WEB, hostname="old", addresses=("10.90.0.8",), limits=Limits(processes=70), plan="small", description="then")
    task = parsed(name="a", state="rolled_back", restore_configuration=True)
    plan = snapshots.compare(task, there(one("a", vps=before), run=RUNNING))
    assert [(change.option, change.after, change.effect) for change in plan.changes[2:]] == [
        ("hostname", "old", "live"), ("addresses", ["10.90.0.8"], "live"), ("description", "then", "live"), ("limits.processes", "70", "live"),
        ("plan", "small", "live"),
    ]
    step = plan.steps[0]
    assert step.vps == before and step.identity == frozenset(), "the guest in the snapshot has it"
    assert step.update == Update(before, frozenset({"addresses", "description", "limits", "plan", "configuration"}))
    assert snapshots.compare(snapshots.settled(task), there(one("a", vps=before), vps=before, run=RUNNING)) == Plan()
    left = snapshots.compare(snapshots.settled(task), there(one("a", vps=before), vps=replace(before, hostname="web"), run=RUNNING))
    assert [change.option for change in left.changes] == ["hostname"]


def test_a_configuration_that_cannot_be_had_any_more_refuses_all_of_it():
    node = replace(NODE, taken={"10.90.0.8": "VPS other"})
    found = there(one("a", vps=replace(WEB, addresses=("10.90.0.8",))), node=node)
    told = sentence(lambda: snapshots.compare(parsed(name="a", state="rolled_back", restore_configuration=True), found), "restore_configuration")
    assert "10.90.0.8 belongs to VPS other" in told


def test_what_boots_is_what_is_in_the_snapshot():
    found = there(one("a", vps=replace(WEB, template="debian", init="systemd")))
    (step,) = snapshots.compare(parsed(name="a", state="rolled_back"), found).steps
    assert (step.vps.template, step.vps.init) == ("debian", "systemd")
    assert step.update == Update(step.vps, frozenset({"configuration"}))


def test_the_build_of_what_boots_is_that_of_the_snapshot():
    old, new = (Build(day, f"2026-01-0{day}T00:00:00+00:00") for day in (1, 2))
    for then, now in ((old, new), (None, new), (old, None)):
        found = there(one("a", vps=replace(WEB, build=then)), vps=replace(WEB, build=now))
        (step,) = snapshots.compare(parsed(name="a", state="rolled_back"), found).steps
        assert step.vps.build == then and step.update == Update(step.vps, frozenset({"configuration"}))


def test_a_stopped_vps_is_not_waited_for_and_its_init_need_not_tell_of_a_boot():
    found = there(one("a", vps=replace(WEB, init="other")))
    plan = snapshots.compare(parsed(name="a", state="rolled_back", wait="booted"), found)
    assert [type(step) for step in plan.steps] == [RollBack]


def test_what_is_kept_before_a_roll_back_takes_no_name_of_a_damaged_one():
    found = there(one("a"), one("b"), unread={"b-2": "…/b-2/snapshot.json: is damaged."})
    assert snapshots.compare(parsed(name="a", state="rolled_back", keep_current="b"), found).steps[0].keep.name == "b-3"
    found = there(one("a"), unread={"b": "…/b/snapshot.json: is damaged."})
    assert snapshots.compare(parsed(name="a", state="rolled_back", keep_current="b"), found).steps[0].keep.name == "b-2"


def test_the_state_before_is_kept_under_a_name_that_nothing_has():
    task = parsed(name="a", state="rolled_back", keep_current="b", expires="1d", keep=1)
    first = snapshots.compare(task, there(one("a"), one("z", age=9)))
    assert first.steps[0].keep == TakeSnapshot("web", "b", "before it was rolled back to a", None, DAY)
    assert gone(first) == ["z"], "neither what is rolled back to nor what is kept"
    second = snapshots.compare(task, there(one("a"), one("b"), one("b-2")))
    assert second.changes[1] == Change("snapshots.b-3", "absent", "present") and second.steps[0].keep.name == "b-3"
    assert snapshots.compare(snapshots.settled(task), there(one("a"), one("b", age=0))) == Plan()


def test_a_damaged_one_hides_no_other_and_can_be_removed():
    found = there(one("a"), unread={"b": "…/b/snapshot.json: is damaged."})
    plan = snapshots.compare(parsed(name="a"), found)
    assert plan.steps == () and plan.warnings == ("Snapshot 'b' of VPS 'web' is left as it is: …/b/snapshot.json: is damaged.",)
    assert gone(snapshots.compare(parsed(name="b", state="absent"), found)) == ["b"]
    for state in ("present", "rolled_back"):
        assert "is damaged" in sentence(lambda state=state: snapshots.compare(parsed(name="b", state=state), found), "name")


@pytest.mark.parametrize(
    ("task", "found", "option", "word"),
    [
        (parsed(name="a"), there(vps=None), "vps", "there is no VPS 'web'"),
        (parsed(name="a", state="absent"), there(node=replace(NODE, foreign="it is somebody's.")), "vps", "somebody's"),
        (parsed(name="a", state="rolled_back"), there(one("b")), "name", "has no snapshot 'a' (it has: b)"),
        (parsed(name="a", state="rolled_back"), there(one("a", vps=replace(WEB, storage="image"))), "name", "storage image"),
        (parsed(name="a"), there(node=replace(NODE, free_bytes=1 << 20)), "vps", "the pool is full (1M free)"),
        (parsed(name="a", state="rolled_back"), there(one("a"), node=replace(NODE, free_bytes=0)), "vps", "the pool is full"),
        (parsed(name="a", state="rolled_back", wait="booted"), there(one("a", vps=replace(WEB, init="other")), run=RUNNING), "wait", "no way to say"),
    ],
)
def test_what_cannot_be_is_refused(task, found, option, word):
    assert word in sentence(lambda: snapshots.compare(task, found), option)


def test_a_full_pool_keeps_nobody_from_removing():
    full = replace(NODE, free_bytes=0)
    assert gone(snapshots.compare(parsed(name="a", state="absent"), there(one("a"), node=full))) == ["a"]
    assert snapshots.compare(parsed(name="a"), there(one("old", expires=NOW), node=full)).steps[0] == RemoveSnapshot("web", "old")


@pytest.mark.parametrize(
    ("params", "option"),
    [
        ({"vps": "../x"}, "vps"), ({"name": ".new"}, "name"), ({"name": "a@b"}, "name"), ({"state": "absent"}, "name"), ({"state": "rolled_back"}, "name"),
        ({"name": "a", "keep_current": "b"}, "keep_current"), ({"name": "a", "restore_configuration": True}, "restore_configuration"),
        ({"expires": "7d"}, "expires"), ({"name": "a", "state": "rolled_back", "description": "x"}, "description"),
        ({"name": "a", "state": "absent", "series": "x"}, "series"), ({"series": "x"}, "series"),
        ({"name": "a", "expires": "7"}, "expires"), ({"name": "a", "expires": "0s"}, "expires"), ({"name": "a", "expires": "9999999d"}, "expires"),
        ({"name": "a", "expires": "1 fortnight"}, "expires"), ({"keep": 0}, "keep"), ({"name": "a", "series": "A B"}, "series"),
        ({"name": "a", "description": "two\nlines"}, "description"), ({"name": "a", "keep": -1}, "keep"),
        ({"name": "a", "state": "rolled_back", "keep_current": "/"}, "keep_current"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(params, option):
    sentence(lambda: parsed(**params), option)


def test_keep_counts_the_series_that_it_is_given_without_a_name():
    assert parsed(series="daily", keep=7).options == {"series": "daily"}


def test_a_record_is_read_as_it_was_written():
    made = one("a", run=RUNNING, description="ü", series="daily", expires=NOW + 0.5)
    assert Snapshot.from_record(made.to_record()) == made


@pytest.mark.parametrize(
    "spoil", [{"created": "now"}, {"created": True}, {"expires": "x"}, {"name": 1}, {"vps": {}}, {"vps": None}, {"description": None}, {"more": 1}, {"run": 3}]
)
def test_what_is_no_record_is_refused(spoil):
    with pytest.raises(NOT_OURS):
        Snapshot.from_record({**one("a").to_record(), **spoil})


def test_a_name_that_has_grown_too_long_is_refused():
    task = parsed(name="a", state="rolled_back", keep_current="b" * 63)
    with pytest.raises(VpsError, match="^keep_current: "):
        snapshots.compare(task, there(one("a"), one("b" * 63)))


@pytest.mark.parametrize("task", [{}, {"keep_current": "now"}, {"restore_configuration": True}])
def test_who_is_protected_is_not_rolled_back(task):
    """Whatever would be kept of what it has now, and whatever was recorded with the snapshot. All else is done."""
    guarded = replace(WEB, protected=True)
    for run in (STOPPED, RUNNING):
        message = sentence(lambda: snapshots.compare(parsed(name="a", state="rolled_back", **task), there(one("a"), run=run, vps=guarded)), "protected")
        assert message == "protected: VPS 'web' is protected, and is not rolled back to snapshot 'a'; set protected to false first, in a task of its own."
    assert snapshots.compare(parsed(name="a", state="absent"), there(one("a"), vps=guarded)).changed
    assert snapshots.compare(parsed(name="b"), there(one("a"), vps=guarded)).changed
    was = one("a", vps=guarded)
    assert snapshots.compare(parsed(name="a", state="rolled_back", restore_configuration=True), there(was)).changed, "it is not any more"
