# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lxcfs: the daemon that shows each guest its own memory, CPUs and uptime in /proc.

Documents: lxcfs(1), systemctl(1).
"""

from __future__ import annotations

import os
import subprocess
import time

from ..core.errors import VpsError
from . import tools
from .mounts import mount_of

MOUNT = "/var/lib/lxcfs"
PATIENCE = 10  # s; it takes a fraction of one


def running() -> bool:
    """Whether it is mounted, and answers: a daemon that was killed leaves a mount that gives errors."""
    return _mounted() and os.path.isdir(os.path.join(MOUNT, "proc"))


def start() -> None:
    """Start it: where systemd runs the machine as its unit, elsewhere as a daemon of its own that outlives this login."""
    if tools.has_systemd():
        tools.run(["systemctl", "enable", "--now", "lxcfs.service"], timeout=120)
        process = None
    else:
        if _mounted():
            tools.run(["umount", "--lazy", MOUNT])
        os.makedirs(MOUNT, exist_ok=True)
        process = subprocess.Popen(
            ["lxcfs", MOUNT],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=tools.ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + PATIENCE
    while not _lasting():
        if (process is not None and process.poll() not in (None, 0)) or time.monotonic() > deadline:
            raise VpsError(f"lxcfs: does not start; run 'lxcfs -f {MOUNT}' on the node to see why (it needs /dev/fuse).")
        time.sleep(0.02)


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
