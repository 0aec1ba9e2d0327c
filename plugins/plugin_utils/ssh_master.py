# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One SSH connection for all that want the same node at the same moment.

Tasks of one host come one after the other, so Ansible's ssh leaves it to ControlMaster=auto who makes the connection. Those of the VPSs of
one node start together, each finds none, and each would make its own.
"""

from __future__ import annotations

import fcntl
import os
import re
import zlib
from typing import Any

_PATH = re.compile(rb'^ControlPath="?([^"%]+)"?$')  # a path with ssh's own tokens is not known here


def share_master(plugin: Any, lock: int | None) -> None:
    """Have the first of several processes make the connection, and the others wait for it; nothing where there is one, or no such thing.

    `lock`: a descriptor that they share. Each node has one byte of it, so that nodes do not wait for each other. Raises what the connection
    plugin does where the node is not reached.
    """
    if lock is None or not hasattr(plugin, "_build_command"):
        return
    path = _socket(plugin)
    if path is None or os.path.exists(path):
        return
    place = zlib.crc32(path)
    fcntl.lockf(lock, fcntl.LOCK_EX, 1, place)
    try:
        if not os.path.exists(path):
            plugin.exec_command("true", sudoable=False)
    finally:
        fcntl.lockf(lock, fcntl.LOCK_UN, 1, place)


def _socket(plugin: Any) -> bytes | None:
    """Where the connection that is shared has its socket; None where none is to be shared."""
    plugin.host = plugin.get_option("host")
    for argument in plugin._build_command("ssh", "ssh"):
        found = _PATH.match(argument)
        if found:
            return found.group(1)
    return None
