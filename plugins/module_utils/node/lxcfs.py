# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lxcfs: the daemon that shows each guest its own memory, CPUs and uptime in /proc; and what of it LXC is to leave out.

Documents: lxcfs(1), systemctl(1), lxc.container.conf(5).
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from functools import cache

from ..core.errors import VpsError
from . import files, tools
from .mounts import mount_of

MOUNT = "/var/lib/lxcfs"
PATIENCE = 10  # s; it takes a fraction of one
_END = "lxc.hook.post-stop"
_ITS_HOOK = "/lxcfs/lxc.reboot.hook"
_SLEEPS = re.compile(r"(\s*#.*\n)*\s*sleep [0-9.]+s?\s*")
_MOST_FILES = 100  # LXC follows its includes for ever


def running() -> bool:
    """Whether it is mounted, and answers: a daemon that was killed leaves a mount that gives errors."""
    return _mounted() and os.path.isdir(os.path.join(MOUNT, "proc"))


def start() -> None:
    """Start it: where systemd runs the machine as its unit, elsewhere as a daemon of its own that outlives this login."""
    own = not tools.has_systemd()
    if not own:
        tools.run(["systemctl", "enable", "--now", "lxcfs.service"], timeout=120)
    process = None
    deadline = time.monotonic() + PATIENCE
    while not _lasting():
        if time.monotonic() > deadline:
            raise VpsError(f"lxcfs: does not start; run 'lxcfs -f {MOUNT}' on the node to see why (it needs /dev/fuse).")
        if own and (process is None or process.poll() not in (None, 0)):
            if process is not None:  # one that was stopped just now has its pid file until it is gone
                time.sleep(0.2)
            process = _launch()
        time.sleep(0.02)


def _launch() -> subprocess.Popen:
    if _mounted():
        tools.run(["umount", "--lazy", MOUNT])
    os.makedirs(MOUNT, exist_ok=True)
    return subprocess.Popen(
        ["lxcfs", MOUNT],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=tools.ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )


def _lasting() -> bool:
    """A second one mounts, finds the pid file of the first locked, and ends: running once is not enough."""
    if not running():
        return False
    time.sleep(0.1)
    return running()


def stop() -> None:
    """Stop it. Containers that still look through it, of whoever, keep their view: the daemon ends with the last of them."""
    if tools.has_systemd():
        tools.run(["systemctl", "disable", "--now", "lxcfs.service"], timeout=120)
        tools.attempt(["systemctl", "reset-failed", "lxcfs.service"])  # its unit wants a fusermount that its package does not
    elif _mounted():
        tools.run(["umount", MOUNT])


def _mounted() -> bool:
    return mount_of(MOUNT)[1] == MOUNT


@cache
def cleared(config: str) -> tuple[str, ...]:
    """Keys of which a VPS is to have nothing that the files in LXC's folder say: what is run at its end, where all that it does is to sleep.

    lxcfs's hook sleeps half a second since 2015, so that a guest that reboots does not find its old control groups in lxcfs's own tree of these
    (lxcfs's pull request 53). No VPS sees that tree: each has a cgroup namespace, with which lxcfs's other hook leaves it out. What else
    somebody has put there stays, and then all of it.
    """
    hooks = {value for key, value in _said([f"{config}/common.conf", f"{config}/userns.conf"]) if key == _END}
    return (_END,) if hooks and all(hook.endswith(_ITS_HOOK) and _SLEEPS.fullmatch(files.read(hook) or "") for hook in hooks) else ()


def _said(paths: list[str]) -> Iterator[tuple[str, str]]:
    """The lines of some files of LXC's configuration, and of those that they include."""
    read: list[str] = []
    while paths and len(read) < _MOST_FILES:
        path = paths.pop()
        if path in read:
            continue
        read.append(path)
        if os.path.isdir(path):
            paths += [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".conf")]
            continue
        for line in (files.read(path) or "").splitlines():
            key, _equals, value = (word.strip() for word in line.partition("="))
            if key == "lxc.include":
                paths.append(value)
            yield key, value
