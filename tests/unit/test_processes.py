# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of processes without CAP_SYS_RESOURCE, tried on a process of our own: whoever runs the tests may do that."""

from __future__ import annotations

import os
import resource
import subprocess

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.plugins.module_utils.node import processes

HARD = 200
NORMAL = Bound(150, HARD)


@pytest.fixture
def init(monkeypatch):
    """A process that stands for a VPS's init, and whose parent has 150:200."""
    monkeypatch.setattr(processes, "read_normal_rlimits", lambda _pid: {"NOFILE": NORMAL})
    monkeypatch.setattr(processes, "read_shared_memory", lambda _pid: None)
    with subprocess.Popen(["sleep", "60"]) as child:
        resource.prlimit(child.pid, resource.RLIMIT_NOFILE, NORMAL)
        yield child.pid
        child.kill()


def limit(pid: int, *members: int, numfile: Bound | None) -> None:
    """Bring a limit into force, without the capability."""
    vps = Vps("web", "minimal", "busybox", "web", limits=Limits(numfile=numfile), id_base=65536)
    processes.write(vps, pid, lambda: (pid, *members), raises=False)


def held(pid: int) -> tuple[int, int]:
    """Soft and hard, as the kernel has them."""
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


@pytest.mark.parametrize(
    ("first", "second", "after"),
    [
        (None, Bound(70, None), (70, HARD)),  # an unlimited hard limit is what there is
        (Bound(70, None), None, NORMAL),  # what nobody asks for any more is given back
        (Bound(70, None), Bound(90, None), (90, HARD)),
        (Bound(70, 80), Bound(65, 80), (65, 80)),
        (Bound(65, 80), Bound(75, 80), (75, 80)),
        (Bound(70, 80), Bound(90, 100), (80, 80)),  # as far as the hard limit goes until a restart
        (Bound(70, 80), None, (80, 80)),
    ],
)
def test_a_soft_limit_goes_up_and_down_as_far_as_the_hard_one_that_there_is(init, first, second, after):
    limit(init, numfile=first)
    limit(init, numfile=second)
    assert held(init) == after
    limit(init, numfile=second)
    assert held(init) == after


def test_what_nobody_has_limited_stays_as_an_init_has_raised_it_for_itself(init):
    resource.prlimit(init, resource.RLIMIT_NOFILE, (HARD, HARD))
    limit(init, numfile=None)
    assert held(init) == (HARD, HARD)


def test_what_a_process_has_lowered_for_itself_stays_lowered(init):
    limit(init, numfile=Bound(70, None))
    with subprocess.Popen(["sleep", "60"]) as other:
        resource.prlimit(other.pid, resource.RLIMIT_NOFILE, (20, HARD))
        limit(init, other.pid, numfile=Bound(90, None))
        assert (held(init), held(other.pid)) == ((90, HARD), (20, HARD))
        other.kill()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may be somebody else")
def test_a_process_of_another_user_is_limited_too_and_we_are_root_again_afterwards(init):
    with subprocess.Popen(["sleep", "60"], user=1000, group=1000, extra_groups=[]) as other:
        resource.prlimit(init, resource.RLIMIT_NOFILE, NORMAL)
        limit(init, other.pid, numfile=Bound(70, 80))
        assert processes.read_rlimits(other.pid)["NOFILE"] == (70, 80)
        other.kill()
    assert (os.getresuid(), os.getresgid()) == ((0, 0, 0), (0, 0, 0))


def test_one_that_has_ended_stands_in_nobodys_way(init):
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    limit(init, gone.pid, numfile=Bound(70, None))
    assert held(init) == (70, HARD)
