# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the node's own programs: a list of arguments, a deadline, and an error that says what they said.

No shell, a fixed environment, no standard input unless it is given.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from typing import IO, cast

from ..core.errors import VpsError

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
OUTPUT_LIMIT = 1 << 20
WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")  # before a command that is to end when its run is killed
_CHUNK = 1 << 16


class TooLate(VpsError):
    """A program did not come to its end in the time that it had."""


def run(argv: Sequence[str], *, timeout: float = 60, stdin: str | None = None, keep_open: int | None = None) -> str:
    """Run a program of the node's and return what it printed; raises VpsError with its last words otherwise."""
    code, output = attempt(argv, timeout=timeout, stdin=stdin, keep_open=keep_open)
    if code != 0:
        raise VpsError(f"{argv[0]}: failed with exit code {code}: {last_words(output).rstrip('.')}.", command=list(argv), output=output[-4000:])
    return output


def attempt(
    argv: Sequence[str], *, timeout: float = 60, stdin: str | None = None, limit: int = OUTPUT_LIMIT, keep_open: int | None = None
) -> tuple[int, str]:
    """Run a program and return (exit code, what it printed). At most `limit` bytes are read and `timeout` seconds waited.

    Safe for programs that pass on what a guest prints: what is too much is dropped, what is too late ends the program and
    raises TooLate. `keep_open` is a descriptor that the program inherits.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            cwd="/",
            pass_fds=() if keep_open is None else (keep_open,),
        )
    except FileNotFoundError:
        raise _not_installed(argv[0]) from None
    except OSError as error:
        raise VpsError(f"{argv[0]}: cannot be run on this node: {error.strerror}.", command=list(argv)) from None
    output, in_time = _converse(process, (stdin or "").encode(), time.monotonic() + timeout, limit)
    if not in_time:
        process.kill()
        process.wait()
        raise TooLate(f"{argv[0]}: did not finish within {timeout:g} seconds and was ended.", command=list(argv))
    try:
        return process.wait(timeout), output
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise TooLate(f"{argv[0]}: did not end within {timeout:g} seconds and was killed.", command=list(argv)) from None


def in_namespace(pid: int, kind: str, argv: Sequence[str]) -> list[str]:
    """The command that runs a program of the node's in one namespace of a guest's init, as in C(net) or C(uts).

    Raises ProcessLookupError where that is the node's own: the init has gone, and its number is somebody else's.
    """
    path = f"/proc/{pid}/ns/{kind}"
    if os.readlink(path) == os.readlink(f"/proc/self/ns/{kind}"):
        raise ProcessLookupError(path)
    option = {"net": "--net", "uts": "--uts"}[kind]
    return ["nsenter", f"{option}={path}", *argv]


def last_words(output: str, lines: int = 3) -> str:
    """The last lines that say something, on one line."""
    said = [line.strip() for line in output.splitlines() if line.strip()]
    return " / ".join(said[-lines:]) or "it said nothing"


def require(programs: Iterable[str]) -> None:
    """Raise VpsError where the node lacks a program, before anything is touched."""
    for program in programs:
        if not installed(program):
            raise _not_installed(program)


def _not_installed(program: str) -> VpsError:
    return VpsError(f"node: {program} is not installed on this node; run the role mainline.vps.node, which installs it.")


def has_systemd() -> bool:
    """Whether systemd runs this machine (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


def installed(program: str) -> bool:
    """Whether the node has a program."""
    return find(program) is not None


def find(program: str) -> str | None:
    """Where the node has a program; None where it has none."""
    paths = (os.path.join(folder, program) for folder in ENVIRONMENT["PATH"].split(":"))
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def _converse(process: subprocess.Popen[bytes], text: bytes, deadline: float, limit: int) -> tuple[str, bool]:
    """Give a program its text while it prints; the start of what it printed, and whether it has closed its output in time.

    One that ends without reading all of its text tells by its exit code, not by our broken pipe.
    """
    stdin, left = process.stdin, memoryview(text)
    stdout = cast(IO[bytes], process.stdout)
    kept, in_time = bytearray(), False
    with stdout, stdin or nullcontext(), selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        if stdin is not None:
            os.set_blocking(stdin.fileno(), False)
            selector.register(stdin, selectors.EVENT_WRITE)
        while (patience := deadline - time.monotonic()) > 0:
            for key, _events in selector.select(patience):
                if key.fileobj is stdin:
                    with suppress(BlockingIOError):
                        left = left[_write(stdin.fileno(), left[:_CHUNK]) :]
                    if not left:
                        selector.unregister(stdin)
                        stdin.close()
                    continue
                chunk = os.read(stdout.fileno(), _CHUNK)
                in_time = not chunk
                kept += chunk[: max(0, limit - len(kept))]
            if in_time:
                break
    return kept.decode(errors="replace"), in_time


def _write(descriptor: int, data: memoryview) -> int:
    """Bytes that were taken; all of them, by a program that takes none any more."""
    try:
        return os.write(descriptor, data)
    except BrokenPipeError:
        return len(data)
