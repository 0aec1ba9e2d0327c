# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking many nodes at once is bounded in time, in size and in number, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.mainline.vps.plugins.plugin_utils import asking


def ask(questions, *, timeout=60.0, at_once=8, limit=1000):
    return asking.ask(questions, timeout=timeout, at_once=at_once, limit=limit)


def fail(words):
    raise RuntimeError(words)


def test_every_question_gets_its_answer():
    questions = {f"node{number}": (lambda number=number: b"%d" % number) for number in range(30)}
    assert ask(questions, at_once=4) == {f"node{number}": b"%d" % number for number in range(30)}
    assert ask({}) == {}


def test_questions_are_asked_together():
    started = time.monotonic()
    ask({str(number): lambda: time.sleep(1) or b"" for number in range(20)}, at_once=20)
    assert time.monotonic() - started < 15


def test_no_more_are_asked_at_once_than_may_be(tmp_path):
    def count():
        mine = tmp_path / str(os.getpid())
        mine.write_text("", encoding="ascii")
        time.sleep(0.05)
        there = len(list(tmp_path.glob("[0-9]*")))
        mine.unlink()
        return b"%d" % there

    assert max(int(each) for each in ask({str(number): count for number in range(12)}, at_once=3).values()) <= 3


def test_who_does_not_answer_is_ended_and_keeps_nobody_waiting(tmp_path):
    """And so is what it has started."""

    def hang():
        child = subprocess.Popen(["sleep", "1000"])
        (tmp_path / "child").write_text(str(child.pid), encoding="ascii")
        time.sleep(1000)

    answers = ask({"dead": hang, "good": lambda: b"here"}, timeout=3)
    assert answers["good"] == b"here" and "did not answer within 3 seconds" in str(answers["dead"])
    child = Path("/proc") / (tmp_path / "child").read_text(encoding="ascii") / "stat"
    assert not child.exists() or child.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"


def test_an_answer_that_is_too_large_is_cut_off():
    answers = ask({"big": lambda: b"x" * (10 << 20), "good": lambda: b"here"}, limit=1 << 20)
    assert "larger than 1048576 bytes" in str(answers["big"]) and answers["good"] == b"here"


def test_errors_of_others_are_one_sentence():
    answers = ask({"node1": lambda: fail("no\nroute.\n"), "node2": lambda: os._exit(3), "node3": lambda: fail("x" * 99999)})
    assert str(answers["node1"]) == "it cannot be asked: no route."
    assert str(answers["node2"]) == "it cannot be asked: the process that asked it has died."
    assert len(str(answers["node3"])) < 3000


def test_nothing_is_left_of_a_question():
    before = len(os.listdir("/proc/self/fd"))
    ask({"a": lambda: b"", "b": lambda: fail("no"), "c": lambda: time.sleep(100)}, timeout=1)
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
