# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run is: told for as long as it is there, and never a reason for it to end."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.node import fleet_progress, locks

RUN = """
import sys
from ansible_collections.mainline.vps.plugins.module_utils.node import fleet_progress, locks
fleet_progress.FOLDER, locks.FOLDER = sys.argv[1:]
with fleet_progress.Progress(5) as progress:
    progress.tell(2, 1)
    print("told", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Folders of our own, which are not there yet: of what is told, and of locks."""
    found = (tmp_path / "fleet", tmp_path / "locks")
    monkeypatch.setattr(fleet_progress, "FOLDER", str(found[0]))
    monkeypatch.setattr(locks, "FOLDER", str(found[1]))
    return found


@contextmanager
def another_run(folders):
    """Another run, which has told how far it is; it is killed at the end."""
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, folders)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as process:
        assert process.stdout.readline() == "told\n"
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def full_disk():
    """Nothing can be written to any file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_how_far_runs_are_is_told_for_as_long_as_they_are_there(folders):
    with another_run(folders) as other, fleet_progress.Progress(7) as progress:
        progress.tell(3, 0)
        told = {one["pid"]: (one["done"], one["of"], one["failed"]) for one in fleet_progress.running()}
        assert told == {other.pid: (2, 5, 1), os.getpid(): (3, 7, 0)}
    assert [one["pid"] for one in fleet_progress.running()] == []


def test_what_a_killed_run_has_left_is_not_told_whoever_has_its_number_and_goes_with_the_next_run(folders):
    with another_run(folders) as other:
        pass
    assert os.listdir(folders[0]) == [str(other.pid)]
    os.rename(folders[0] / str(other.pid), folders[0] / "1")  # init has that number
    (folders[0] / "2.new").write_text("{", encoding="ascii")
    assert fleet_progress.running() == []
    with fleet_progress.Progress(1):
        assert os.listdir(folders[0]) == [str(os.getpid())]
    assert os.listdir(folders[0]) == []
    assert set(os.listdir(folders[1])) <= {f"fleet-{other.pid}"}, "a lock is left"


def test_a_run_does_not_take_what_another_one_tells(folders):
    with another_run(folders) as other:
        with fleet_progress.Progress(1):
            pass
        assert [one["pid"] for one in fleet_progress.running()] == [other.pid]


def test_a_run_that_cannot_tell_how_far_it_is_goes_on(folders):
    with full_disk(), fleet_progress.Progress(1) as progress, locks.hold("vps", "web", timeout=0):
        progress.tell(1, 0)
    assert os.listdir(folders[0]) == os.listdir(folders[1]) == []
    with fleet_progress.Progress(1) as progress, full_disk():
        progress.tell(1, 0)
    os.rmdir(folders[0])
    folders[0].write_text("", encoding="ascii")
    with fleet_progress.Progress(1) as progress:
        progress.tell(1, 0)
