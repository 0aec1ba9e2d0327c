# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a program of a guest's: its standard streams apart and bounded, and an end to all of it when its time is up.

In a running VPS it has a cgroup of its own, so that whatever it has started can be found; in a stopped one it ends with its namespaces.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, cast

from ..core.command import OUTPUT_LIMIT, Outcome
from ..core.errors import VpsError
from . import cgroup, descent, tools
from .cgroup import INNER, UNIFIED
from .syscalls import end_with_parent

_END = 30  # s, that what has been killed has for its end
_CHUNK = 65536


@dataclass(frozen=True)
class Group:
    """The cgroups that a program joins: its own, which is `above`/`name`, and the VPS's in the other hierarchies."""

    above: str
    name: str
    folders: tuple[str, ...]
    thaw: Callable[[], None]

    def kill(self) -> None:
        """Kill all that is in it, however often it forks (cgroup-v2.rst, cgroup.kill; from Linux 5.14 on).

        What a guest's root has put elsewhere, as systemd does with a service or a session, is the guest's.
        """
        above = os.open(self.above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + _END
            with suppress(OSError):
                descent.write(above, f"{self.name}/pids.max", "0")  # of v1: nothing is forked meanwhile
            while time.monotonic() < deadline:
                with suppress(OSError):
                    descent.write(above, f"{self.name}/cgroup.kill", "1")
                self.thaw()
                found = [int(word) for word in descent.read(above, f"{self.name}/cgroup.procs").split()]
                for process in found:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                if not found:
                    return
                time.sleep(0.01)
        finally:
            os.close(above)


@contextmanager
def group(name: str, pid: int) -> Iterator[Group]:
    """Make a program's cgroup in a running VPS; it goes with the program, or with the VPS where the program has left something running."""
    found = cgroup.find(name, pid)
    above = os.path.join(found[UNIFIED if UNIFIED in found else "pids"], INNER)
    own = f".vps-{os.urandom(4).hex()}"
    os.mkdir(os.path.join(above, own))
    others = {os.path.join(folder, INNER) for folder in found.values()} - {above}
    try:
        yield Group(above, own, (os.path.join(above, own), *sorted(others)), lambda: cgroup.thaw(name))
    finally:
        with suppress(OSError):
            os.rmdir(os.path.join(above, own))


def run(argv: Sequence[str], *, stdin: bytes | None, timeout: float | None, stop: Callable[[subprocess.Popen[bytes]], None]) -> Outcome:
    """Run a program of the node's that passes on what a guest's does. `stop` ends all of it when `timeout` seconds are over.

    What it leaves running in the background keeps nobody waiting, whatever it holds open.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=tools.ENVIRONMENT,
            cwd="/",
            start_new_session=True,
            preexec_fn=end_with_parent,  # a stopped VPS is locked for as long as it runs
        )
    except OSError as error:
        raise VpsError(f"node: {argv[0]} cannot be run: {error.strerror}; run mainline.vps.vps_node, or its role, on this node.") from None
    streams = Streams(process, stdin)
    in_time = streams.follow(None if timeout is None else time.monotonic() + timeout)
    if not in_time:
        stop(process)
        streams.follow(time.monotonic() + _END)
        if process.poll() is None:
            process.kill()
            process.wait()
    code = process.returncode
    texts = {name: bytes(kept).decode("utf-8", "replace").rstrip("\r\n") for name, kept in streams.kept.items()}
    return Outcome(128 - code if code < 0 else code, texts["stdout"], texts["stderr"], tuple(sorted(streams.truncated)), not in_time)


class Streams:
    """The standard streams of a process: what goes in, and the start of what comes out."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes | None) -> None:
        self._process, self._left = process, memoryview(stdin or b"")
        self.kept = {"stdout": bytearray(), "stderr": bytearray()}
        self.truncated: set[str] = set()

    def follow(self, deadline: float | None) -> bool:
        """Pass on what there is until the process ends; False where the deadline, if any, comes first."""
        process, ended = self._process, os.pidfd_open(self._process.pid) if self._process.poll() is None else None
        try:
            with selectors.DefaultSelector() as selector:
                if ended is not None:
                    selector.register(ended, selectors.EVENT_READ)
                for pipe in (process.stdin, process.stdout, process.stderr):
                    if pipe is not None and not pipe.closed:
                        os.set_blocking(pipe.fileno(), False)
                        selector.register(pipe, selectors.EVENT_WRITE if pipe is process.stdin else selectors.EVENT_READ)
                while ended is not None:
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        return False
                    for key, _events in selector.select(left):
                        if key.fileobj is ended:
                            process.wait()
                            ended_now, ended = ended, None
                            os.close(ended_now)
                            break
                        stream = cast("IO[bytes]", key.fileobj)
                        if not self._move(stream):
                            selector.unregister(stream)
                            stream.close()
        finally:
            if ended is not None:
                os.close(ended)
        self._drain()
        return True

    def _move(self, stream: IO[bytes]) -> bool:
        """Write or read once; False where nothing more will come of it."""
        if stream is self._process.stdin:
            with suppress(BlockingIOError):
                try:
                    self._left = self._left[os.write(stream.fileno(), self._left[:_CHUNK]) :]
                except BrokenPipeError:
                    return False
            return bool(self._left)
        return self._keep("stdout" if stream is self._process.stdout else "stderr", os.read(stream.fileno(), _CHUNK))

    def _keep(self, name: str, chunk: bytes) -> bool:
        room = OUTPUT_LIMIT - len(self.kept[name])
        self.kept[name] += chunk[:room]
        if len(chunk) > room:
            self.truncated.add(name)
        return bool(chunk)

    def _drain(self) -> None:
        """What it had printed by its end, which fits into a pipe; others may still be writing there."""
        for name, stream in (("stdout", self._process.stdout), ("stderr", self._process.stderr)):
            if stream is None or stream.closed:
                continue
            os.set_blocking(stream.fileno(), False)
            with suppress(BlockingIOError):
                for _chunk in range(1 + OUTPUT_LIMIT // _CHUNK):  # the most that root gives a pipe (pipe(7))
                    if not self._keep(name, os.read(stream.fileno(), _CHUNK)):
                        break
            stream.close()
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError, BlockingIOError):
                self._process.stdin.close()
