# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forked workers: what they do, what they tell, and that they end."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.node import crew


@contextmanager
def at_most(seconds):
    """TimeoutError, and again in all that waits after it, so that workers that hang do not keep the tests from telling so."""

    def ring(_number, _frame):
        raise TimeoutError(f"it took more than {seconds} s")

    handler = signal.signal(signal.SIGALRM, ring)
    around = signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *around)
        signal.signal(signal.SIGALRM, handler)


@pytest.fixture(autouse=True)
def bound():
    """For a busy machine."""
    with at_most(120):
        yield


def jobs(*functions):
    return [crew.Job(function) for function in functions]


def raises(error):
    def do(_lock):
        raise error

    return do


def test_each_job_is_done_once_and_answers_in_its_place():
    told = crew.run([crew.Job(lambda _lock, number=number: {"number": number, "pid": os.getpid()}) for number in range(20)], 3)
    assert [one["number"] for one in told] == list(range(20))
    assert os.getpid() not in {one["pid"] for one in told} and len({one["pid"] for one in told}) <= 3


def test_an_error_is_told_with_all_that_belongs_to_it_and_stops_nobody_else():
    wrong = VpsError("name: is wrong.", log="x" * 200_000)
    told = crew.run(jobs(raises(wrong), raises(FileNotFoundError(2, "No such file", "/x")), raises(KeyError("mine")), lambda _lock: None), 1)
    assert str(told[0]) == "name: is wrong." and told[0].details == {"log": "x" * 200_000}
    assert isinstance(told[1], FileNotFoundError) and told[1].filename == "/x"
    assert isinstance(told[2], VpsError) and "KeyError('mine')" in str(told[2]) and "raise error" in told[2].details["trace"]
    assert told[3] == {}


def test_a_worker_that_is_killed_fails_its_job_and_no_other():
    told = crew.run(jobs(*(lambda _lock, number=number: os.kill(os.getpid(), 9) if number == 1 else number for number in range(4))), 1)
    assert [one for one in told if not isinstance(one, VpsError)] == [0, 2, 3]
    assert "was killed" in str(told[1])


def test_a_worker_that_is_killed_while_it_has_nothing_to_do_is_missed_by_nobody(tmp_path):
    idle = tmp_path / "pid"

    def ends_at_once(_lock):
        idle.write_text(str(os.getpid()), encoding="ascii")
        return {"number": 0}

    def outlives_it(_lock):
        while not idle.exists() or not idle.read_text(encoding="ascii"):
            time.sleep(0.01)
        time.sleep(0.3)  # until its answer is read
        os.kill(int(idle.read_text(encoding="ascii")), signal.SIGKILL)
        time.sleep(0.3)
        return {"number": 1}

    through: list[int] = []
    assert crew.run(jobs(ends_at_once, outlives_it), 2, done=through.append) == [{"number": 0}, {"number": 1}]
    assert through == [0, 1]


def test_a_worker_has_the_lock_of_its_job_and_no_other(tmp_path):
    files = [os.open(tmp_path / word, os.O_RDWR | os.O_CREAT) for word in "ab"]

    def seen(lock):
        opened = [_target(number) for number in os.listdir("/proc/self/fd")]
        return [_target(lock), sum(str(tmp_path) in path for path in opened)]

    try:
        told = crew.run([crew.Job(seen, file) for file in files for _time in range(3)], 2, foreign=files)
    finally:
        for file in files:
            os.close(file)
    assert told == [[str(tmp_path / word), 1] for word in "aaabbb"]


def test_a_worker_has_no_more_files_than_the_run_had_before():
    assert crew.run(jobs(lambda _lock: resource.getrlimit(resource.RLIMIT_NOFILE)[0]), 1, soft_limit=77) == [77]


def test_a_run_that_is_ended_does_not_wait_for_what_its_workers_are_at(tmp_path):
    def slow(_lock):
        (tmp_path / "begun").touch()
        time.sleep(20)
        (tmp_path / "through").touch()

    def quick(_lock):
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)

    def ended(_number):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crew.run(jobs(slow, quick), 2, done=ended)
    assert not (tmp_path / "through").exists(), "it was waited for"
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def _target(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:  # that of the listing itself
        return ""


@pytest.mark.parametrize("hang", [lambda _lock: time.sleep(600), lambda _lock: signal.pause()])
def test_who_waits_for_a_worker_that_hangs_can_be_ended(hang):
    with pytest.raises(TimeoutError), at_most(0.5):
        crew.run(jobs(lambda _lock: None, hang), 2)


def test_no_worker_is_left_behind():
    crew.run(jobs(*[lambda _lock: None] * 5), 4)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_workers_end_with_who_made_them(tmp_path):
    script = """
import os, sys, time
from ansible_collections.mainline.vps.plugins.module_utils.node import crew
def work(_lock):
    open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
    time.sleep(600)
crew.run([crew.Job(work)] * 3, 3)
"""
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    deadline = time.monotonic() + 60
    while len(os.listdir(tmp_path)) < 3:
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(_runs(pid) for pid in os.listdir(tmp_path)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
