# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of a running VPS, read from the parts of the kernel that hold them."""

from __future__ import annotations

from ..core.fidelity import Abilities
from ..core.live import Live
from ..core.model import Vps
from . import cgroup, controls, processes


def read(vps: Vps, pid: int, abilities: Abilities, folders: cgroup.Folders, *, decides: bool) -> Live:
    """What a running VPS is held to. Its limits are those that this machine can keep, `folders` those of its cgroups.

    Who `decides` nothing by it does without what it could not be given back, and what could not be taken from it.
    """
    return Live(
        files=controls.read(vps, folders, abilities.io_device),
        paths=controls.paths(folders) if decides else {},
        rlimits=processes.read_rlimits(pid),
        # What could not be given back live is due at a restart; where it could, nobody asks.
        normal={} if abilities.raises or not decides else processes.read_normal_rlimits(pid),
        # Looking into another namespace is done where somebody has asked for the limit only.
        shared_pages=processes.read_shared_memory(pid) if vps.limits.shmpages else None,
        terminals=processes.read_terminals(pid),
        pinned=controls.pinned(folders) if decides else 0,
    )
