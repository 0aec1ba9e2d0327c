# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that something was measured on, in the words of a report; and its end, however a benchmark comes to it."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

BUSY = 0.5  # load per core, from which a machine has other work


def memory(key: str) -> int:
    """Bytes of a line of /proc/meminfo, MemAvailable for example."""
    text = pathlib.Path("/proc/meminfo").read_text(encoding="ascii")
    found = re.search(rf"^{key}: +(\d+) kB$", text, re.MULTILINE)
    if not found:
        raise ValueError(f"/proc/meminfo says nothing of {key}")
    return int(found[1]) << 10


def load() -> float:
    """Of the last minute, per core."""
    return os.getloadavg()[0] / cores()


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def version(*argv: str) -> str:
    """The first line that a program says of its version; nothing where it is not there."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def described(before: float) -> list[str]:
    """Lines of markdown. `before` is the load when the benchmark began, which says whether others worked here as well."""
    try:
        cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        cpu, system = None, "unknown"
    groups = "v2" if pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1 (hybrid)"
    lines = [
        f"- {cores()} cores ({cpu[1] if cpu else platform.machine()}), {memory('MemTotal') / 2**30:.1f} GiB of memory",
        f"- {system}, Linux {platform.release()}, cgroup {groups}, LXC {version('lxc-start', '--version')}, {version('btrfs', '--version')}",
        f"- {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}; load per core {before:.2f} before, {load():.2f} after",
    ]
    if before > BUSY:
        lines.append("- **The machine had other work when this began: take the ratios, and not the times.**")
    return lines


@contextlib.contextmanager
def orderly() -> Iterator[None]:
    """Have signals end the benchmark as an error would, so that what it has made is removed; a second one is not listened to."""

    def end(number: int, _frame: object) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        print(f"\nEnded by {signal.Signals(number).name}; removing what was made.", file=sys.stderr)
        sys.exit(128 + number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, end) for each in signals}
    try:
        yield
    finally:
        for each in signals:  # what is being removed now is removed to its end
            signal.signal(each, signal.SIG_IGN)
        for each, handler in before.items():
            signal.signal(each, handler)
