# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work side by side: forked processes, each of which does one job after the other and says what came of it as plain data.

A fork costs a few milliseconds and loads nothing anew. A worker ends with the process that made it, however that ends; it has no lock but that
of the job in its hands, which it is given with the job (unix(7), SCM_RIGHTS).
"""

from __future__ import annotations

import errno
import json
import os
import resource
import selectors
import socket
import struct
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..core.errors import VpsError
from . import syscalls

_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Job:
    """`do(lock)` does it and gives plain data; `lock` is a descriptor that it is to have, -1 for none."""

    do: Callable[[int], object]
    lock: int = -1


@dataclass
class _Worker:
    pid: int
    channel: socket.socket
    job: int | None = None
    answer: bytearray | None = None


def run(
    jobs: Sequence[Job], parallel: int, *, foreign: Iterable[int] = (), soft_limit: int | None = None, done: Callable[[int], None] = lambda number: None
) -> list[object]:
    """Do all jobs, at most `parallel` at a time. What each gave, or the VpsError or OSError that it raised.

    `foreign` are descriptors that no worker keeps; `soft_limit` how many files a worker, and what it starts, may have open. `done(number)` is called
    as soon as a job is through.
    """
    results: list[object] = [VpsError("vps: nobody came to it; run this again.")] * len(jobs)
    waiting = list(range(len(jobs) - 1, -1, -1))
    workers: list[_Worker] = []
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or any(worker.job is not None for worker in workers):
                while waiting and sum(worker.job is not None for worker in workers) < parallel:
                    idle = next((worker for worker in workers if worker.job is None), None)
                    if idle is None:
                        idle = _start(jobs, workers, [*foreign], soft_limit)
                        workers.append(idle)
                        selector.register(idle.channel, selectors.EVENT_READ, idle)
                    _give(idle, waiting.pop(), jobs)
                for key, _events in selector.select():
                    worker = key.data
                    found = _hear(worker)
                    if found is None:
                        continue
                    number, worker.job = worker.job, None
                    gone = isinstance(found, _Gone)
                    if gone:
                        found = VpsError("vps: its worker was killed on the way; see in the kernel's log whether memory ran out, and run this again.")
                    if number is not None:  # one that is killed while it has nothing to do is missed by nobody
                        results[number] = found
                        done(number)
                    if gone:
                        selector.unregister(worker.channel)
                        _end(worker)
                        workers.remove(worker)
        finally:
            for worker in workers:
                _end(worker)
    return results


class _Gone:
    """In place of the answer of a worker that has none."""


def _start(jobs: Sequence[Job], others: Sequence[_Worker], foreign: Iterable[int], soft_limit: int | None) -> _Worker:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    parent, end_with_parent = os.getpid(), syscalls.end_with_parent  # loaded by now, and not by each worker
    pid = os.fork()
    if pid:
        theirs.close()
        return _Worker(pid, ours)
    try:
        end_with_parent()
        if os.getppid() != parent:  # it was faster
            os._exit(1)
        ours.close()
        for other in others:
            other.channel.close()
        for descriptor in foreign:
            os.close(descriptor)
        if soft_limit is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft_limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        _serve(theirs, jobs)
    finally:
        os._exit(0)


def _serve(channel: socket.socket, jobs: Sequence[Job]) -> None:
    """A worker's whole life."""
    while True:
        number, descriptors, _flags, _address = socket.recv_fds(channel, _LENGTH.size, 1)
        if len(number) < _LENGTH.size:
            return
        lock = descriptors[0] if descriptors else -1
        told: dict[str, object]
        try:
            told = {"result": jobs[_LENGTH.unpack(number)[0]].do(lock)}
        except VpsError as error:
            told = {"error": str(error), "details": error.details}
        except OSError as error:
            told = {"number": error.errno, "text": error.strerror, "file": error.filename}
        except Exception as error:  # which is nobody's mistake but ours
            message = f"vps: the collection made a mistake ({error!r}); report it with the result's trace."
            told = {"error": message, "details": {"trace": traceback.format_exc()}}
        finally:
            if lock != -1:
                os.close(lock)
        text = json.dumps(told, default=str).encode()
        channel.sendall(_LENGTH.pack(len(text)) + text)


def _give(worker: _Worker, number: int, jobs: Sequence[Job]) -> None:
    worker.job, worker.answer = number, bytearray()
    lock = jobs[number].lock
    with suppress(BrokenPipeError):  # it has been killed, which is told when its answer is read
        socket.send_fds(worker.channel, [_LENGTH.pack(number)], [] if lock == -1 else [lock])


def _hear(worker: _Worker) -> object:
    """What a worker has answered; None as long as that is not all."""
    try:
        chunk = worker.channel.recv(_CHUNK)
    except ConnectionResetError:
        chunk = b""
    if not chunk or worker.answer is None:
        return _Gone()
    worker.answer += chunk
    if len(worker.answer) < _LENGTH.size or len(worker.answer) < _LENGTH.size + _LENGTH.unpack_from(worker.answer)[0]:
        return None
    told = json.loads(worker.answer[_LENGTH.size :])
    if "error" in told:
        return VpsError(told["error"], **told["details"])
    if "number" in told:
        return OSError(told["number"] or errno.EIO, told["text"] or "", told["file"])
    return told["result"] if told["result"] is not None else {}


def _end(worker: _Worker) -> None:
    worker.channel.close()
    if worker.job is not None:  # we are being ended, and so is it
        with suppress(ProcessLookupError):
            os.kill(worker.pid, 9)
    os.waitpid(worker.pid, 0)
