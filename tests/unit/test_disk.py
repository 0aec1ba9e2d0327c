# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of a VPS: what limits become on each storage, what is observed, what is refused; and a superblock of ext4."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core import container, disk, fidelity
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import BTRFS, IMAGE, Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.container import Desired
from ansible_collections.mainline.vps.plugins.module_utils.core.disk import DEFAULT_SIZE, Disk, Quota
from ansible_collections.mainline.vps.plugins.module_utils.core.fidelity import Abilities
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits, Wish
from ansible_collections.mainline.vps.plugins.module_utils.core.model import RUNNING, STOPPED, Actual, NodeFacts, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import Start, Stop, Update, Wait
from ansible_collections.mainline.vps.plugins.module_utils.node import engine
from ansible_collections.mainline.vps.plugins.module_utils.node.configuration import START
from ansible_collections.mainline.vps.plugins.module_utils.node.storage import ext4
from ansible_collections.mainline.vps.tests.unit.reading import sentence

MIB, GIB = 1 << 20, 1 << 30
QUOTA, PLAIN = Abilities(storage=IMAGE), Abilities(storage=IMAGE, quota=False)


def space(size: int, soft: int | None = None) -> Limits:
    """A limit of space."""
    return Limits(diskspace=Bound(soft or size, size))


@given(count=st.integers(1000, 1 << 32), size=st.integers(64 * MIB, 1 << 44))
def test_a_file_system_never_has_more_inodes_than_asked_and_hardly_less(count, size):
    found = disk.inodes_of(count, size)
    groups = -(-size // disk.GROUP)
    assert 0 <= found <= count and found % (16 * groups) == 0
    assert found == 32768 * groups or count - found < 16 * groups


def test_an_image_has_what_is_asked_or_ten_gigabytes_or_what_it_had():
    assert disk.image_size(space(GIB + 5), None) == GIB
    assert disk.image_size(Limits(), None) == disk.image_size(Limits(), GIB) == DEFAULT_SIZE
    assert disk.image_size(Limits(), 20 * GIB) == 20 * GIB


@pytest.mark.parametrize(
    ("limits", "quota"),
    [
        (Limits(), Quota()),
        (space(GIB), Quota()),
        (space(GIB, 100 * MIB + 5), Quota(space=100 * MIB)),
        (Limits(diskspace=Bound(GIB, None)), Quota(space=GIB)),
        (Limits(diskinodes=Bound(0, 2000)), Quota(inodes=Bound(2000, 2000))),
        (Limits(diskinodes=Bound(1000, None), quotatime=60), Quota(inodes=Bound(1000, None), grace=60)),
        (Limits(quotaugidlimit=0), Quota()),
        (Limits(quotaugidlimit=10), Quota(owners=True)),
    ],
)
def test_what_quota_holds_is_what_was_asked_and_no_drift(limits, quota):
    assert disk.quota_of(limits) == quota
    there = Disk(size=disk.image_size(limits, None), quota=quota)
    assert disk.observed(limits, there, QUOTA) == {}
    assert disk.observed(limits, replace(there, quota=None), QUOTA) == {}, "nobody can read it while nothing is mounted"


def test_what_somebody_set_is_observed():
    limits = replace(space(GIB, 900 * MIB), diskinodes=Bound(1000, 2000), quotatime=60)
    there = Disk(2 * GIB, quota=Quota(inodes=Bound(5, 6), grace=7, owners=True))
    assert disk.observed(limits, there, QUOTA) == {
        "diskspace": Bound(2 * GIB, 2 * GIB), "diskinodes": Bound(5, 6), "quotatime": 7, "quotaugidlimit": 1,
    }
    assert disk.observed(Limits(), Disk(GIB), QUOTA) == {"diskspace": Bound(GIB, GIB)}, "less than an image has that nobody limits"
    assert disk.observed(Limits(), Disk(20 * GIB), QUOTA) == {}
    assert disk.observed(replace(space(GIB), diskinodes=Bound(5000, 5000)), Disk(GIB, 4992), PLAIN) == {}, "rounded"
    assert disk.observed(replace(space(GIB), diskinodes=Bound(5000, 5000)), Disk(GIB, 65536), PLAIN) == {"diskinodes": Bound(65536, 65536)}
    assert disk.observed(Limits(), Disk(), Abilities(storage=BTRFS)) == {}
    assert disk.observed(space(GIB), Disk(), Abilities(storage=BTRFS)) == {"diskspace": None}


@pytest.mark.parametrize(
    ("before", "after", "abilities", "runs", "reason"),
    [
        (space(GIB), space(GIB - MIB), QUOTA, True, "made smaller only while its VPS is stopped"),
        (space(GIB), space(2 * GIB), replace(QUOTA, raises=False), True, "CAP_SYS_RESOURCE"),
        (space(GIB), Limits(), replace(QUOTA, raises=False), True, "CAP_SYS_RESOURCE"),
        (space(GIB), space(MIB), QUOTA, False, "ask for 64M or more"),
        (space(GIB), replace(space(GIB), diskinodes=Bound(5000, 5000)), PLAIN, False, "made with (unlimited)"),
        (replace(space(GIB), diskinodes=Bound(5000, 5000)), replace(space(2 * GIB), diskinodes=Bound(5000, 5000)), PLAIN, False, "inodes would change"),
    ],
)
def test_what_an_image_cannot_take_is_refused(before, after, abilities, runs, reason):
    there = Disk(disk.image_size(before, None))
    option = "limits.diskinodes" if "made with" in reason else "limits.diskspace"
    assert reason in sentence(lambda: disk.check_change(before, after, there, abilities, runs=runs), option)


def test_what_it_can_take_is_not():
    there = Disk(GIB)
    disk.check_change(space(GIB), space(2 * GIB), there, QUOTA, runs=True)
    disk.check_change(space(GIB), space(500 * MIB), there, QUOTA, runs=False)
    disk.check_change(space(GIB), replace(space(GIB), diskinodes=Bound(5000, 6000)), there, QUOTA, runs=True)
    disk.check_change(Limits(), space(MIB), Disk(), Abilities(storage=BTRFS), runs=True)
    assert "errors" in sentence(lambda: disk.check_change(space(GIB), space(2 * GIB), Disk(GIB, damaged="/x"), QUOTA, runs=False), "limits.diskspace")


def test_a_new_image_is_not_too_small_for_what_is_asked():
    assert "ask for 64M" in sentence(lambda: disk.check_new(space(MIB), QUOTA), "limits.diskspace")
    assert "has 1280 or more" in sentence(lambda: disk.check_new(Limits(diskinodes=Bound(1000, 1000)), PLAIN), "limits.diskinodes")
    disk.check_new(space(MIB), Abilities(storage=BTRFS))


WEB = Vps("web", "minimal", "busybox", "web", storage=IMAGE, limits=space(GIB), id_base=65536)
NODE = NodeFacts(templates={"minimal": "busybox"}, abilities=QUOTA)


def test_what_a_killed_run_could_not_do_before_somebody_started_the_vps_keeps_nobody_from_stopping_it():
    there = Actual(WEB, RUNNING, node=NODE, recorded=WEB, stale=frozenset({"limits"}), disk=Disk(2 * GIB))
    plan = container.compare(Desired("web", "stopped", {}), there)
    update = next(step for step in plan.steps if isinstance(step, Update))
    assert update.vps.limits == space(2 * GIB), "it keeps what it has"
    plan = container.compare(Desired("web", "stopped", {}), replace(there, run=STOPPED))
    assert next(step for step in plan.steps if isinstance(step, Update)).vps.limits == space(GIB)
    other = replace(there, stale=frozenset({START}))
    assert next(step for step in container.compare(Desired("web", "stopped", {}), other).steps if isinstance(step, Update)).vps == WEB


def asked(state: str, size: int, **more) -> container.Plan:
    """The plan for another size of the disk of a VPS that runs."""
    wish = Desired("web", state, {"limits": Wish(space(size).named, prefix="limits.")}, **more)
    return container.compare(wish, Actual(WEB, RUNNING, node=NODE, recorded=WEB, disk=Disk(GIB)))


@pytest.mark.parametrize(
    ("state", "more", "kinds"),
    [
        ("stopped", {}, [Stop, Update]),
        ("restarted", {}, [Stop, Update, Start, Wait]),
        ("started", {"restart_policy": "if_needed"}, [Stop, Update, Start, Wait]),
        ("present", {"restart_policy": "always"}, [Stop, Update, Start, Wait]),
    ],
)
def test_a_disk_is_made_smaller_between_stop_and_start_by_a_task_that_stops_the_vps(state, more, kinds):
    plan = asked(state, 500 * MIB, **more)
    assert [type(step) for step in plan.steps] == kinds
    assert {change.option: change.effect for change in plan.changes}["limits.diskspace"] == "restart"
    assert not plan.restart_required


def test_a_task_that_may_not_stop_the_vps_is_refused_and_one_that_stops_it_changes_it_then():
    for state in ("started", "present", "frozen"):
        assert "stop it first" in sentence(lambda state=state: asked(state, 500 * MIB), "limits.diskspace")
    plan = asked("stopped", 2 * GIB)
    assert [type(step) for step in plan.steps] == [Stop, Update]


def test_a_damaged_disk_is_told_by_every_task():
    plan = container.compare(Desired("web", "present", {}), Actual(WEB, STOPPED, node=NODE, recorded=WEB, disk=Disk(GIB, damaged="/pool/root.img")))
    assert not plan.changed and "e2fsck -f /pool/root.img" in plan.warnings[0]


def test_a_new_vps_is_judged_by_the_storage_that_it_is_to_have():
    machine = Abilities(io_device=None, quota=False)
    image = machine.on(IMAGE)
    assert fidelity.refused(Limits(iolimit=4096), machine) and not fidelity.refused(Limits(iolimit=4096), image)
    assert set(fidelity.refused(Limits(quotatime=1, diskinodes=Bound(1000, 2000), diskspace=Bound(1, 2)), image)) == {"quotatime"}
    assert fidelity.fidelity("diskinodes", image).word == "approximate"
    assert fidelity.fidelity("diskinodes", replace(image, quota=True)).word == "exact"
    assert not fidelity.refused(Limits(quotatime=1, diskinodes=Bound(1000, 2000), diskspace=Bound(1, 2)), QUOTA)


def test_without_soft_limits_the_hard_ones_are_kept():
    asked = Limits(diskinodes=Bound(1000, 2000), diskspace=Bound(1, 2), numproc=Bound(3, 4))
    for storage, quota, kept in ((BTRFS, True, Limits(diskspace=Bound(2, 2))), (IMAGE, False, Limits(diskspace=Bound(2, 2), diskinodes=Bound(2000, 2000)))):
        can = Abilities(storage=storage, quota=quota)
        assert fidelity.enforced(asked, can) == replace(kept, numproc=Bound(3, 4))
        told = fidelity.check(asked, can, "warn")
        assert any(sentence.startswith("diskspace: its soft limit cannot be kept") for sentence in told)
        row = next(row for row in fidelity.report(asked, ["diskspace"], can, {}) if row["limit"] == "diskspace")
        assert row["fidelity"] == "approximate" and row["why"].startswith("the soft limit has no effect")
        assert "give one value" in sentence(lambda can=can: fidelity.check(Limits(diskspace=Bound(1, 2)), can, "fail"), "diskspace")
    assert fidelity.enforced(asked, Abilities(storage=IMAGE)) == asked


def test_what_a_plan_asks_and_a_node_cannot_is_told_as_the_plans():
    asked = Limits(kmemsize=Bound(1, 1), numtcpsock=Bound(2, 2))
    told = fidelity.check(asked, Abilities(), "warn", own={"numtcpsock": "2"}, plan="small")
    assert told[0].startswith("kmemsize: of plan 'small', cannot be kept") and told[1].startswith("numtcpsock: cannot be kept")
    assert "beside the plan, such as unlimited" in sentence(lambda: fidelity.check(asked, Abilities(), "fail", own={}, plan="small"), "kmemsize")


@pytest.mark.parametrize(
    ("text", "word"), [("$DISK rbps=5 wbps=max", '"$DISK "\'rbps=5 wbps=max\''), ("8:0 rbps=5", "'8:0 rbps=5'"), ("5", "5"), ("$(reboot) x", "'$(reboot) x'")]
)
def test_the_start_hook_fills_in_the_disk_and_nothing_else(text, word):
    hook = engine.render_start(group="vps/a", limits=[], limit_echoes=[], checks=[], echoes=[(text, "/file")], inside=[], outside=[])
    assert f"echo {word} >/file\n" in hook


@pytest.mark.skipif(shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin") is None, reason="needs e2fsprogs")
@pytest.mark.parametrize("quota", [False, True])
def test_a_superblock_is_read_as_it_was_made(tmp_path, quota):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"x" * 100_000)
    image = tmp_path / "image"
    image.touch()
    ext4.make(str(image), str(tmp_path / "tree"), quota=quota)
    found = ext4.read(str(image))
    assert replace(found, used=disk.Used()) == ext4.Superblock(64 * MIB, 8192, False, quota, disk.Used())
    assert 100_000 < found.used.space < 200_000 and found.used.inodes == 12 + quota, "ten that ext4 keeps, lost+found, the file; projects' quota"
    subprocess.run(["/sbin/debugfs", "-w", "-R", "ssv state 2", str(image)], check=True, capture_output=True)
    assert ext4.read(str(image)).errors
    ext4.make(str(image), str(tmp_path / "tree"), size=GIB, inodes=disk.inodes_of(5000, GIB), quota=quota)
    assert replace(ext4.read(str(image)), used=disk.Used()) == ext4.Superblock(GIB, 4992, False, quota, disk.Used())
    assert image.stat().st_blocks * 512 < 20 * MIB


@pytest.mark.parametrize("content", [b"", b"x" * 1500, bytes(5000)])
def test_what_is_no_ext4_has_no_superblock(tmp_path, content):
    (tmp_path / "image").write_bytes(content)
    assert ext4.read(str(tmp_path / "image")) is None
    assert ext4.read(str(tmp_path / "nothing")) is None


def test_the_structures_of_quotactl_have_the_kernels_sizes():
    assert struct.calcsize(ext4._BLOCK_FORMAT) == 72
    assert struct.calcsize(ext4._INFO_FORMAT) == 24
