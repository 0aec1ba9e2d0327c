# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS's disk is: a copy, made anew, as it was before, or put aside for rescue; and protected from all of that."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.subjects import read_info
from ansible_collections.mainline.vps.tests.contract.bench import TEMPLATE, A, B, options

OTHER = "contract-other"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oyk one@example.com"
STAYS = ("addresses", "hostname", "limits", "labels", "id_base", "storage", "description")


@pytest.fixture
def other(bench):
    """A second template."""
    bench.template(OTHER, source="minimal")
    yield OTHER
    for name in (A, B):
        bench.vps(name, state="absent", stop_timeout=0)
    bench.template(OTHER, state="absent")


def full(bench) -> dict:
    """A VPS with something of everything, up."""
    given = {"addresses": [bench.world.address(1)], "hostname": "x", "labels": {"a": "b"}, "limits": {"processes": 50}, "authorized_keys": [KEY]}
    return bench.new(state="started", stop_timeout=0, **given)["vps"]


def test_a_disk_is_made_anew_from_another_template_and_all_else_stays(bench, other):
    before, root = full(bench), bench.seen()["root"]
    done = bench.vps(template=other, reinstall="if_template_differs", restart_policy="if_needed", stop_timeout=0)
    assert options(done) == ["template", "root", "previous", "state"] and done["diff"]["after"]["state"] == "restarted"
    after, seen = done["vps"], bench.seen()
    assert (after["template"], after["previous"]["template"], after["state"]) == (other, TEMPLATE, "started")
    assert {name: before[name] for name in STAYS} == {name: after[name] for name in STAYS}
    assert seen["root"] != root and (seen["hostname"], seen["authorized_keys"], seen["booted"]) == ("x", (KEY,), "disk")


def test_it_is_not_unless_the_task_says_so(bench, other):
    full(bench)
    with pytest.raises(VpsError, match="^template: VPS '.*' was made from .*; set reinstall to"):
        bench.once("vps_container", name=A, template=other)
    with pytest.raises(VpsError, match="^reinstall: VPS '.*' runs, and has to be stopped for it; set restart_policy to"):
        bench.once("vps_container", name=A, template=other, reinstall="if_template_differs")
    with pytest.raises(VpsError, match="^template: there is no template 'contract-never'"):
        bench.once("vps_container", name=A, template="contract-never", reinstall="always", state="restarted")
    assert not bench.vps(template=TEMPLATE, reinstall="if_template_differs")["changed"]


def test_each_time_where_it_is_asked_each_time(bench):
    bench.new(state="stopped")
    roots = {bench.seen()["root"]}
    for _time in range(2):
        assert options(bench.once("vps_container", name=A, state="stopped", reinstall="always", keep_previous=False)) == ["root"]
        roots.add(bench.seen()["root"])
    assert len(roots) == 3 and bench.vps(state="stopped")["vps"]["previous"] is None


def test_what_was_before_comes_back_and_learns_what_was_said_since(bench, other):
    full(bench)
    root = bench.seen()["root"]
    bench.vps(template=other, reinstall="if_template_differs", state="stopped", stop_timeout=0)
    bench.vps(hostname="later", authorized_keys=[], state="stopped")
    done = bench.vps(reinstall="undo")
    assert (done["vps"]["template"], done["vps"]["previous"], done["vps"]["state"]) == (TEMPLATE, None, "started")
    seen = bench.seen()
    assert (seen["root"], seen["hostname"], seen["authorized_keys"]) == (root, "later", ())


def test_what_was_before_goes_when_it_is_told_to(bench, other):
    bench.new(state="stopped")
    assert bench.vps(template=other, reinstall="if_template_differs", state="stopped")["vps"]["previous"]
    (told,) = read_info(bench.node, {"name": A})["vpss"]
    assert told["previous"]["template"] == TEMPLATE and told["previous"]["disk_used"] >= 0
    assert options(bench.vps(state="stopped", keep_previous=False)) == ["previous"]
    assert not bench.vps(state="stopped", reinstall="undo")["changed"]


def test_what_each_reinstall_replaces_is_kept_and_comes_back(bench):
    bench.new(state="stopped", hostname="first")
    root = bench.seen()["root"]
    again = {"name": A, "state": "stopped", "reinstall": "always"}
    assert options(bench.once("vps_container", **again)) == ["root", "previous"]
    bench.vps(hostname="second", state="stopped")
    done = bench.once("vps_container", **again)
    name = options(done)[-1].partition(".")[2]
    assert options(done) == ["root", f"snapshots.{name}"] and name.startswith("before-reinstall-")
    (told,) = read_info(bench.node, {"name": A})["vpss"]
    assert [one["name"] for one in told["snapshots"]] == [name] and told["previous"] and root != bench.seen()["root"]
    bench.once("vps_snapshot", vps=A, name=name, state="rolled_back")
    assert bench.seen()["hostname"] == "second", "what was said since is told again"
    assert options(bench.once("vps_container", **again, keep_previous=False)) == ["root", "previous"]
    (told,) = read_info(bench.node, {"name": A})["vpss"]
    assert [one["name"] for one in told["snapshots"]] == [name] and told["previous"] is None


@pytest.mark.parametrize("before", ["stopped", "started", "frozen"])
def test_rescue_is_a_state_into_which_and_out_of_which_there_is_a_way(bench, before):
    bench.new(state=before, stop_timeout=0)
    root = bench.seen()["root"]
    done = bench.vps(state="rescue", stop_timeout=0)
    assert done["diff"]["before"]["state"] == before and done["diff"]["after"]["state"] == "rescue"
    assert (bench.state(), bench.seen()["booted"], done["vps"]["rescue"]) == ("rescue", "rescue", {"template": TEMPLATE, "path": "/mnt/disk"})
    assert not bench.vps(state="present")["changed"]
    bench.limits(processes=60)
    after = {"stopped": "stopped", "started": "started", "frozen": "frozen"}[before]
    done = bench.vps(state=after, stop_timeout=0)
    assert (bench.state(), done["vps"]["rescue"], bench.seen()["root"]) == (after, None, root)
    assert bench.seen()["booted"] in (None, "disk")


def test_rescue_with_another_template_is_another_one(bench, other):
    bench.new(state="stopped")
    bench.vps(state="rescue", stop_timeout=0)
    done = bench.vps(state="rescue", rescue_template=other, rescue_path="/disk", stop_timeout=0)
    assert options(done) == ["rescue", "state"] and done["vps"]["rescue"] == {"template": other, "path": "/disk"}
    assert not bench.vps(state="rescue")["changed"], "what is not named stays"
    with pytest.raises(VpsError, match="^reinstall: VPS '.*' is in rescue"):
        bench.once("vps_container", name=A, state="rescue", reinstall="always")
    done = bench.vps(state="started", template=other, reinstall="if_template_differs", restart_policy="if_needed", stop_timeout=0)
    assert (done["vps"]["template"], done["vps"]["rescue"], bench.seen()["booted"]) == (other, None, "disk")


def test_a_vps_that_there_is_not_has_no_rescue(bench):
    with pytest.raises(VpsError, match="^state: there is no VPS"):
        bench.once("vps_container", name=A, template=TEMPLATE, state="rescue")


def test_a_copy_has_the_disk_and_is_somebody_else(bench):
    first = full(bench)
    done = bench.vps(B, clone_from=A, addresses=[bench.world.address(2)])
    second, seen = done["vps"], bench.seen(B)
    assert done["diff"]["after"]["clone_from"] == A and second["state"] == "started"
    assert (second["template"], second["storage"]) == (first["template"], first["storage"])
    assert second["id_base"] != first["id_base"] and second["limits"] == {} and second["labels"] == {} and second["hostname"] == B
    assert (seen["hostname"], seen["authorized_keys"], seen["routes"]) == (B, (KEY,), {bench.world.address(2)})
    assert not bench.vps(B, clone_from=B)["changed"], "who is there is left as he is"


def test_a_copy_needs_somebody_to_be_a_copy_of(bench):
    for source in (A, B):
        with pytest.raises(VpsError, match=f"^clone_from: there is no VPS '{source}'"):
            bench.once("vps_container", name=B, clone_from=source)
    bench.new(state="stopped")
    with pytest.raises(VpsError, match="^clone_from: a copy has the template of its source"):
        bench.once("vps_container", name=B, clone_from=A, template=TEMPLATE)
    other_storage = "btrfs" if bench.storage else "image"
    with pytest.raises(VpsError, match="^storage: VPS '.*' has its disk on"):
        bench.once("vps_container", name=B, clone_from=A, storage=other_storage)


def test_who_is_protected_is_neither_removed_nor_made_anew(bench):
    bench.new(state="stopped", protected=True)
    for task in ({"state": "absent"}, {"state": "absent", "protected": False}, {"state": "stopped", "reinstall": "always"}):
        with pytest.raises(VpsError, match=f"^protected: VPS '{A}' is protected, and is not (removed|reinstalled); set protected to false"):
            bench.once("vps_container", name=A, **task)
    assert options(bench.vps(state="stopped", protected=False)) == ["protected"]
    assert bench.vps(state="absent")["changed"]
