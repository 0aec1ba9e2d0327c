# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a VPS's disk: given this VPS, when this is asked, then these changes, and these steps in this order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import container, reinstall
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.container import Desired
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import FROZEN, RUNNING, STOPPED, Actual, Kept, NodeFacts, Rescue, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import (
    Create, DropPrevious, EnterRescue, Freeze, GoBack, LeaveRescue, Plan, Reinstall, Start, Stop, Thaw, Update, Wait,
)
from ansible_collections.mainline.vps.plugins.module_utils.core.reinstall import Wish
from ansible_collections.mainline.vps.tests.unit.reading import sentence

NODE = NodeFacts(templates={"minimal": "busybox", "debian": "systemd", "odd": "other"}, networks=("10.90.0.0/24",))
WEB = Vps(name="web", template="minimal", init="busybox", hostname="web", id_base=65536)
BEFORE = Kept("debian", "systemd", "2026-01-01T00:00:00+00:00")
STOP, START, WAIT = Stop("web", 60), Start("web"), Wait("web", "running", 120)
ANEW = Reinstall("web", "minimal", "busybox")
INSIDE = Rescue("debian", "systemd", "/mnt/disk")
PARAMS = {"clone_from": None, "template": None, "reinstall": "never", "keep_paths": [], "keep_previous": None, "rescue_template": None, "rescue_path": None}


def plan(state: str, run: str = STOPPED, vps: Vps | None = WEB, *, policy: str = "never", node: NodeFacts = NODE, previous=None, wait="running", options=None,
         **wish) -> Plan:
    """The plan of a task about the VPS `web` as it is."""
    desired = Desired("web", state, options or {}, disk=Wish(**wish), restart_policy=policy, wait=wait)
    becomes = previous and reinstall.name_of_snapshot(previous, ())
    return container.compare(desired, Actual(vps=vps, run=run, node=node, previous=previous, previous_becomes=becomes))


@pytest.mark.parametrize(
    ("state", "run", "steps"),
    [
        ("present", STOPPED, [ANEW]),
        ("stopped", STOPPED, [ANEW]),
        ("started", STOPPED, [ANEW, START, WAIT]),
        ("started", RUNNING, [STOP, ANEW, START, WAIT]),
        ("present", RUNNING, [STOP, ANEW, START, WAIT]),
        ("restarted", RUNNING, [STOP, ANEW, START, WAIT]),
        ("stopped", RUNNING, [STOP, ANEW]),
        ("started", FROZEN, [Thaw("web"), STOP, ANEW, START, WAIT]),
        ("stopped", FROZEN, [Thaw("web"), STOP, ANEW]),
    ],
)
def test_a_vps_is_at_rest_while_its_disk_is_made_anew_and_then_as_asked(state, run, steps):
    assert list(plan(state, run, reinstall="always", policy="if_needed").steps) == steps


@pytest.mark.parametrize("state", ["present", "started"])
def test_it_is_not_stopped_without_leave(state):
    with pytest.raises(VpsError, match="^reinstall: VPS 'web' runs, and has to be stopped for it; set restart_policy to if_needed, or state to "):
        plan(state, RUNNING, reinstall="always")
    assert plan("restarted", RUNNING, reinstall="always").changed


def test_what_else_the_task_asks_is_done_to_the_new_disk_before_it_starts():
    made = plan("started", RUNNING, policy="if_needed", reinstall="if_template_differs", options={"template": "debian", "hostname": "b"})
    after = replace(WEB, template="debian", init="systemd", hostname="b")
    assert list(made.steps) == [STOP, Reinstall("web", "debian", "systemd"), Update(after, frozenset({"hostname"})), START, WAIT]
    assert [change.option for change in made.changes] == ["template", "root", "previous", "hostname", "state"]


def test_it_is_waited_for_as_the_new_init_can_tell():
    with pytest.raises(VpsError, match="^wait: "):
        plan("started", reinstall="if_template_differs", options={"template": "odd"}, wait="booted")
    with pytest.raises(VpsError, match="^wait: "):
        plan("rescue", rescue_template="odd", wait="booted")


@pytest.mark.parametrize(
    ("previous", "keep", "changes"),
    [(None, None, [(None, "minimal")]), (None, False, []), (BEFORE, True, [("debian", "minimal")]), (BEFORE, False, [("debian", None)])],
)
def test_what_was_there_is_kept_unless_the_task_says_otherwise(previous, keep, changes):
    made = plan("stopped", previous=previous, reinstall="always", keep_previous=keep)
    assert [(change.before, change.after) for change in made.changes if change.option == "previous"] == changes
    assert made.steps == (replace(ANEW, keep_previous=keep is not False),)


@pytest.mark.parametrize(("previous", "keep", "after"), [(BEFORE, None, ["present"]), (BEFORE, True, ["present"]), (BEFORE, False, []), (None, None, [])])
def test_what_an_earlier_one_had_kept_becomes_a_snapshot_unless_the_task_says_otherwise(previous, keep, after):
    made = plan("stopped", previous=previous, reinstall="always", keep_previous=keep)
    assert [change.after for change in made.changes if change.option == "snapshots.before-reinstall-20260101-000000"] == after
    assert len([change for change in made.changes if change.option.startswith("snapshots.")]) == len(after)


def test_that_snapshot_has_a_name_that_nothing_has():
    name = "before-reinstall-20260101-000000"
    assert [reinstall.name_of_snapshot(BEFORE, taken) for taken in ((), (name,), (name, f"{name}-2"), (f"{name}-2",))] == [name, f"{name}-2", f"{name}-3", name]


@pytest.mark.parametrize("since", ["", "yesterday", None, 7])
def test_a_note_without_a_time_is_not_ours(since):
    with pytest.raises((TypeError, ValueError)):
        Kept.from_record({"template": "a", "init": "b", "since": since})


def test_what_is_kept_goes_in_a_task_of_its_own_without_a_stop():
    assert plan("started", RUNNING, previous=BEFORE, keep_previous=False).steps == (DropPrevious("web"),)
    for keep in (None, True):
        assert plan("started", RUNNING, previous=BEFORE, keep_previous=keep) == Plan()


def test_the_way_back_tells_the_old_disk_what_was_said_since():
    made = plan("started", RUNNING, previous=BEFORE, policy="if_needed", reinstall="undo")
    after = replace(WEB, template="debian", init="systemd")
    assert list(made.steps) == [STOP, GoBack("web"), Update(after, reinstall.AGAIN), START, WAIT]
    assert plan("started", RUNNING, reinstall="undo") == Plan(), "there is nothing to go back to"


def test_a_vps_is_not_stopped_without_leave_for_the_way_back_either():
    for state in ("present", "started"):
        with pytest.raises(VpsError, match="^reinstall: VPS 'web' runs, and has to be stopped for it; set restart_policy to if_needed, or state to "):
            plan(state, RUNNING, previous=BEFORE, reinstall="undo")
    for state in ("restarted", "stopped"):
        assert GoBack("web") in plan(state, RUNNING, previous=BEFORE, reinstall="undo").steps


@pytest.mark.parametrize(("wish", "what"), [("always", "reinstalled"), ("undo", "put back to what it was")])
def test_who_is_protected_is_neither_made_anew_nor_put_back(wish, what):
    for run in (STOPPED, RUNNING):
        told = sentence(lambda run=run: plan("restarted", run, replace(WEB, protected=True), previous=BEFORE, reinstall=wish), "protected")
        assert told == f"protected: VPS 'web' is protected, and is not {what}; set protected to false first, in a task of its own."
    assert plan("started", RUNNING, replace(WEB, protected=True), previous=BEFORE) == Plan()


@pytest.mark.parametrize("wish", [{}, {"reinstall": "undo"}])
def test_another_template_is_an_error_unless_the_disk_is_to_be_made_from_it(wish):
    with pytest.raises(VpsError, match="^template: VPS 'web' was made from 'minimal' and cannot change to 'debian'; set reinstall to if_template_differs"):
        plan("stopped", options={"template": "debian"}, **wish)


@pytest.mark.parametrize(
    ("state", "run", "steps"),
    [
        ("rescue", STOPPED, [EnterRescue("web", INSIDE), START, WAIT]),
        ("rescue", RUNNING, [STOP, EnterRescue("web", INSIDE), START, WAIT]),
        ("rescue", FROZEN, [Thaw("web"), STOP, EnterRescue("web", INSIDE), START, WAIT]),
    ],
)
def test_into_rescue(state, run, steps):
    made = plan(state, run, rescue_template="debian")
    assert list(made.steps) == steps and made.changes[-1].after == "rescue"


@pytest.mark.parametrize(
    ("state", "run", "steps"),
    [
        ("rescue", RUNNING, []),
        ("present", RUNNING, []),
        ("rescue", STOPPED, [START, WAIT]),
        ("present", STOPPED, []),
        ("started", RUNNING, [STOP, LeaveRescue("web"), START, WAIT]),
        ("restarted", RUNNING, [STOP, LeaveRescue("web"), START, WAIT]),
        ("stopped", RUNNING, [STOP, LeaveRescue("web")]),
        ("stopped", STOPPED, [LeaveRescue("web")]),
        ("frozen", RUNNING, [STOP, LeaveRescue("web"), START, WAIT, Freeze("web")]),
    ],
)
def test_out_of_rescue_and_what_stays_in_it(state, run, steps):
    assert list(plan(state, run, replace(WEB, rescue=INSIDE)).steps) == steps


def test_a_vps_in_rescue_can_be_removed():
    assert plan("absent", RUNNING, replace(WEB, rescue=INSIDE)).changes[0].before == "rescue"


def test_rescue_needs_no_restart_policy_and_is_no_reason_for_another_restart():
    made = plan("rescue", RUNNING, policy="always", options={"hostname": "b"})
    assert sum(isinstance(step, Stop) for step in made.steps) == 1 and not made.restart_required


def test_a_full_pool_takes_no_more_root_file_systems():
    full = replace(NODE, free_bytes=1 << 20)
    for state, wish in (("stopped", {"reinstall": "always"}), ("rescue", {})):
        with pytest.raises(VpsError, match="^(reinstall|state): the pool is full"):
            plan(state, node=full, **wish)
    assert plan("started", node=full, vps=replace(WEB, rescue=INSIDE)).changed, "out of rescue needs no room"


def test_a_copy_has_what_is_on_the_disk_and_nothing_else():
    source = replace(
        WEB, name="a", authorized_keys=("k",), nameservers=("192.0.2.1",), storage="image", limits=Limits(processes=5), labels=(("a", "b"),), onboot=True
    )
    made = plan("stopped", vps=None, node=replace(NODE, source=source), clone_from="a")
    assert made.steps == (
        Create(Vps("web", "minimal", "busybox", "web", authorized_keys=("k",), nameservers=("192.0.2.1",), storage="image"), source="a"),
    )


def test_a_copy_has_room_for_what_is_on_the_disk():
    node = replace(NODE, source=replace(WEB, name="a"), source_size=200 << 20)
    with pytest.raises(VpsError, match="^limits.diskspace: VPS 'a' has 200M on its disk"):
        plan("stopped", vps=None, node=node, clone_from="a", options={"limits": Limits(diskspace=Bound(100 << 20, 100 << 20))})
    assert plan("stopped", vps=None, node=node, clone_from="a", options={"limits": Limits(diskspace=Bound(200 << 20, 200 << 20))}).changed


@pytest.mark.parametrize("path", ["srv", "/", "", "//", "/a/../b", "/a/./b", "/a//b", "/a\nb", "/" + "a" * 1024])
def test_paths_to_keep_are_whole_and_lead_nowhere_else(path):
    sentence(lambda: reinstall.parse_wish({**PARAMS, "keep_paths": [path]}), "keep_paths")


def test_paths_to_keep_do_not_lie_in_each_other():
    sentence(lambda: reinstall.parse_wish({**PARAMS, "keep_paths": ["/srv", "/srv/www"]}), "keep_paths")
    sentence(lambda: reinstall.parse_wish({**PARAMS, "keep_paths": [f"/{number}" for number in range(65)]}), "keep_paths")
    assert reinstall.parse_wish({**PARAMS, "keep_paths": ["/srv/", "/srv", "/srvs", "/a b"]}).keep_paths == ("/srv", "/srvs", "/a b")


@pytest.mark.parametrize("path", ["mnt", "/", "/a b", "/../etc", "/mnt/", "/mnt/.."])
def test_the_place_of_the_disk_in_rescue_is_a_path(path):
    sentence(lambda: reinstall.parse_wish({**PARAMS, "rescue_path": path}), "rescue_path")


@pytest.mark.parametrize("path", ["/etc", "/usr", "/usr/local/disk", "/lib", "/lib64", "/libx32/a", "/var/lib", "/run", "/dev/disk", "/root", "/tmp/a"])
def test_the_disk_in_rescue_hides_nothing_that_the_rescue_system_needs(path):
    assert "would hide" in sentence(lambda: reinstall.parse_wish({**PARAMS, "rescue_path": path}), "rescue_path")


@pytest.mark.parametrize("path", ["/mnt", "/mnt/disk", "/media/a/b", "/srv/disk", "/opt/disk", "/disk", "/etcetera", "/roots/a"])
def test_these_are_places_for_it(path):
    assert reinstall.parse_wish({**PARAMS, "rescue_path": path}).rescue_path == path


@pytest.mark.parametrize(
    "record", [{"template": "a"}, {"template": 1, "init": "x", "place": "/"}, "text", {"template": "a", "init": "b", "place": "/", "more": 1}]
)
def test_a_record_with_a_strange_rescue_is_not_ours(record):
    with pytest.raises((TypeError, ValueError)):
        Vps.from_record({**WEB.to_record(), "rescue": record})


def test_a_record_keeps_rescue():
    vps = replace(WEB, rescue=INSIDE, protected=True)
    assert Vps.from_record(vps.to_record()) == vps and vps.boots == "systemd"


def test_rescue_is_refused_where_the_pool_is_no_btrfs():
    plain = replace(NODE, storages=("dir",))
    for run in (STOPPED, RUNNING):
        assert "needs a pool on btrfs" in sentence(lambda: plan("rescue", run, replace(WEB, storage="dir"), node=plain), "state")
    assert plan("rescue", vps=replace(WEB, storage="dir")).changed
