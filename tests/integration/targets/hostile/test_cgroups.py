# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that make cgroups of their own to hide in, to hang, or to keep a limit from being set."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import time

import pytest
import vps_kit as kit

VPS, OTHER = "it-cgroups", "it-other"
V1 = pytest.mark.skipif(kit.V2, reason="cgroup v1 alone has this: v2 kills what is frozen, and lets nobody's CPU quota stand in the way")
# Root inside mounts its own part of each hierarchy, which takes no right that it does not have.
MOUNTS = """
for name in memory pids cpuset cpu freezer; do
    mkdir -p /mnt/$name; mount -t cgroup -o $name none /mnt/$name 2>/dev/null || mount -t cgroup2 none /mnt/$name
done
"""
DEEP = "cd /mnt/{0}; i=0; while [ $i -lt 1100 ]; do mkdir a && cd a || exit 0; i=$((i+1)); done"
# Beyond the 4096 bytes that a path may have.
LONG = "cd /mnt/{0}; name=$(printf %0250d 0); i=0; while [ $i -lt 19 ]; do mkdir $name && cd $name && {1}; i=$((i+1)); done"
FREEZE = """mkdir /mnt/freezer/z; sleep 1000 >/dev/null 2>&1 & sleep 0.3
echo $! >/mnt/freezer/z/cgroup.procs; echo FROZEN >/mnt/freezer/z/freezer.state; sleep 0.5"""


@pytest.fixture
def vps(minimal):
    """A running VPS, whose root has all of its cgroups at hand, beside another."""
    kit.container(OTHER, template=minimal)
    kit.container(VPS, template=minimal, limits={"memory": "256M", "processes": "100"}, wait="booted")
    kit.shell(VPS, MOUNTS)
    return VPS


def end_of_all(vps: str) -> None:
    """LXC's monitor and the guest's init are killed."""
    init = kit.pid(vps)
    monitor = int(pathlib.Path(f"/proc/{init}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    for process in (monitor, init):
        os.kill(process, signal.SIGKILL)
    time.sleep(0.5)


def everybody() -> set[str]:
    return {vps["name"] for vps in kit.ok("vps_info")["vpss"]}


def test_as_deep_as_it_likes(vps):
    for name in ("memory", "pids"):
        kit.shell(vps, DEEP.format(name), timeout=120)
    assert {VPS, OTHER} <= everybody()
    assert kit.foretold("vps_limits", name=vps, memory="128M", processes="90", numfile="100")["changed"]
    end_of_all(vps)
    kit.container(vps, state="started")
    kit.shell(vps, MOUNTS + DEEP.format("memory"), timeout=120)
    end_of_all(vps)
    kit.container(vps, state="absent")
    assert kit.foretold("vps_limits", name=OTHER, memory="64M")["changed"]


def test_a_process_that_hides_at_the_end_of_a_long_path(vps):
    hide = LONG.format("memory", "true") + "; sleep 1000 >/dev/null 2>&1 & sleep 0.3; echo $! >cgroup.procs; echo $!"
    kit.shell(vps, hide)
    kit.foretold("vps_limits", name=vps, memory="128M", numfile="90:100")
    hidden = [int(line) for line in kit.run("pgrep", "-f", "^sleep 1000$").split() if int(line) and in_vps(int(line), vps)]
    assert [kit.rlimit(process, "Max open files") for process in hidden] == [("90", "100")]


def in_vps(process: int, vps: str) -> bool:
    return f"/vps/{vps}/" in pathlib.Path(f"/proc/{process}/cgroup").read_text(encoding="ascii")


def test_a_mask_reaches_the_end_of_a_long_path(vps):
    kit.shell(vps, LONG.format("cpuset", "{ echo 0-1 >cpuset.cpus; echo 0 >cpuset.mems; } 2>/dev/null"), check=False)
    kit.foretold("vps_limits", name=vps, memory="128M", cpumask="0")
    assert kit.held(vps, "cpuset.cpus") == "0"


@V1
def test_a_quota_of_its_own_keeps_nobody_from_lowering_it(vps):
    kit.ok("vps_limits", name=vps, cpulimit="150")
    kit.shell(vps, "mkdir /mnt/cpu/much /mnt/cpu/little; echo 140000 >/mnt/cpu/much/cpu.cfs_quota_us; echo 10000 >/mnt/cpu/little/cpu.cfs_quota_us")
    kit.foretold("vps_limits", name=vps, cpulimit="50")
    folder = kit.cgroup(vps, "cpu.cfs_quota_us").parent
    assert [int((folder / below / "cpu.cfs_quota_us").read_text()) for below in (".", "guest/much", "guest/little")] == [50000, -1, 10000]


@V1
@pytest.mark.parametrize("then", [{"state": "started"}, {"state": "stopped"}, {"state": "absent"}], ids=lambda then: then["state"])
def test_one_that_freezes_something_and_ends_is_let_go(vps, then):
    kit.shell(vps, FREEZE + "; poweroff -f", check=False)
    assert {VPS, OTHER} <= everybody()
    assert kit.ok("vps_container", name=vps, stop_timeout=0, **then)["changed"] is (then["state"] != "stopped")
    assert (kit.pid(vps) is not None) is (then["state"] == "started")


@V1
def test_one_that_has_something_frozen_is_stopped(vps):
    kit.shell(vps, FREEZE)
    kit.ok("vps_container", name=vps, state="stopped", stop_timeout=5)
    assert kit.pid(vps) is None
    assert not [line for line in subprocess.run(["pgrep", "-f", "^sleep 1000$"], capture_output=True, text=True, check=False).stdout.split()
                if in_vps(int(line), vps)]
