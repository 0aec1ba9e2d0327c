# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking many nodes at once, each in a bounded time and for a bounded answer.

A connection plugin waits for as long as the other side likes, and nothing can end a thread that waits. So each question is a process of
its own, as a task is, and with it goes what it has started. It has no terminal: nobody is asked for a password in the middle of an inventory.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError

_FAILED, _ANSWERED = b"-", b"+"
_ERROR_LIMIT = 2000  # bytes


@dataclass
class _Asked:
    """A question that is being asked: its process, the end of its pipe, what it has said, and the (monotonic) time when it is too late."""

    name: str
    pid: int
    pipe: int
    said: bytearray
    until: float


def ask(questions: Mapping[str, Callable[[], bytes]], *, timeout: float, at_once: int, limit: int) -> dict[str, bytes | VpsError]:
    """The answer to each question, or why there is none: a sentence without its name. At most `timeout` seconds and `limit` bytes each."""
    answers: dict[str, bytes | VpsError] = {}
    waiting, open_ = list(questions), selectors.DefaultSelector()
    try:
        while waiting or open_.get_map():
            while waiting and len(open_.get_map()) < at_once:
                name = waiting.pop(0)
                asked = _start(name, questions[name], timeout)
                open_.register(asked.pipe, selectors.EVENT_READ, asked)
            soonest = min(key.data.until for key in open_.get_map().values())
            for key, _events in open_.select(max(0.0, soonest - time.monotonic())):
                _read(key.data, answers, open_, limit)
            for key in list(open_.get_map().values()):
                if key.data.until <= time.monotonic():
                    answers[key.data.name] = VpsError(f"it did not answer within {timeout:g} seconds; see whether it is up, or raise timeout.")
                    _end(key.data, open_)
    finally:  # an interrupt ends them all
        for key in list(open_.get_map().values()):
            _end(key.data, open_)
        open_.close()
    return answers


def _start(name: str, question: Callable[[], bytes], timeout: float) -> _Asked:
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()  # closed in all that either side executes
    pid = os.fork()
    if not pid:
        _answer(question, writing)
    os.close(writing)
    return _Asked(name, pid, reading, bytearray(), time.monotonic() + timeout)


def _answer(question: Callable[[], bytes], writing: int) -> NoReturn:
    """In the process: ask, and write what is said. It does not come back, whatever happens."""
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        try:
            said = _ANSWERED + question()
        except Exception as error:  # of anybody's connection plugin
            said = _FAILED + str(error).encode("utf-8", "replace")[:_ERROR_LIMIT]
        with open(writing, "wb") as pipe:
            pipe.write(said)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)


def _read(asked: _Asked, answers: dict[str, bytes | VpsError], open_: selectors.BaseSelector, limit: int) -> None:
    data = os.read(asked.pipe, 1 << 16)
    asked.said += data
    if len(asked.said) > limit:
        answers[asked.name] = VpsError(f"its answer is larger than {limit} bytes, which is no list of VPSs.")
    elif data:
        return
    elif asked.said.startswith(_ANSWERED):
        answers[asked.name] = bytes(asked.said[1:])
    else:
        why = asked.said[1:].decode("utf-8", "replace") or "the process that asked it has died"
        answers[asked.name] = VpsError(f"it cannot be asked: {' '.join(why.split()).rstrip('.')}.")
    _end(asked, open_)


def _end(asked: _Asked, open_: selectors.BaseSelector) -> None:
    """Let go of a question, and of all that it has started but what has made itself independent, as SSH's shared connection does."""
    open_.unregister(asked.pipe)
    os.close(asked.pipe)
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(asked.pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(asked.pid, 0)
