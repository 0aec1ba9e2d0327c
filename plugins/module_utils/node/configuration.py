# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files in a VPS's directory that LXC reads: put together from what each part has to say, and written whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from ..core.model import Vps
from ..core.networks import Network
from ..core.networks import uplinks as uplinks_of
from ..core.places import DISK, SECCOMP
from . import cgroup, controls, engine, files, interfaces, lxcfs, network, processes, rates, traffic, unit
from .storage.driver import Startup

_MODE = 0o710
_MODES = {"config": 0o644, "start": 0o755, "reboot": 0o755, "end": 0o755, DISK: 0o755}


# What a plan calls those that are not as the record has them. LXC reads its configuration at a start only, the rest at any.
CONFIGURATION, START = "configuration", "start_files"
STALE = frozenset({CONFIGURATION, START})


def stale(vps: Vps, directory: str, disk: Startup, networks: Sequence[Network]) -> set[str]:
    """Which of them do not say what the record says, or are not where LXC and the machine's boot look for them.

    `disk` is what its storage has to say, `networks` are the node's. The limits of `vps` are those that this machine can keep.
    """
    texts = _texts(vps, directory, disk, networks)
    other = {file for file, text in texts.items() if not _is_as_written(os.path.join(directory, file), text, _MODES[file])}
    found = {CONFIGURATION} if "config" in other else set()
    if other - {"config"} or not engine.linked(vps.name, directory):
        found.add(START)
    status = os.stat(directory)
    if (status.st_uid, status.st_gid, status.st_mode & 0o7777) != (0, _group(vps), _MODE):
        found.add(START)
    return found


def write(vps: Vps, directory: str, disk: Startup, networks: Sequence[Network], *, into: str | None = None) -> None:
    """Write them for a VPS that is, or when it is made will be, in `directory`; `into` is where it is being made."""
    let_in(vps, into or directory)
    for file, text in _texts(vps, directory, disk, networks).items():
        path = os.path.join(into or directory, file)
        if not _is_as_written(path, text, _MODES[file]):  # each costs the time that the disk takes
            files.write(path, text, mode=_MODES[file])
    if into is None:
        engine.register(vps.name, directory)


def let_in(vps: Vps, directory: str) -> None:
    """Have the root of a VPS, and nobody else, pass through a directory: LXC mounts what is in it as that."""
    os.chown(directory, 0, _group(vps))
    os.chmod(directory, _MODE)


def _is_as_written(path: str, text: str, mode: int) -> bool:
    """Whether a file says a text, and is root's alone to change: it is run by root, or read by what is."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    return (status.st_mode, status.st_uid, status.st_gid) == (stat.S_IFREG | mode, 0, 0) and files.read(path) == text


def _group(vps: Vps) -> int:
    """Who may pass through a VPS's directory besides root: its own root, who is nobody else on the node.

    On disk a guest's root is root, and a set-id file of its making would be one for whoever of the node's users could reach it.
    """
    return 0 if vps.privileged else vps.id_base or 0


def _texts(vps: Vps, directory: str, disk: Startup, networks: Sequence[Network]) -> dict[str, str]:
    inside, outside = network.start_batches(vps)
    uplinks = uplinks_of(vps.claimed, networks)
    hook, end = os.path.join(directory, DISK), os.path.join(directory, "end")
    lines = {} if disk.hook is None else {"lxc.hook.pre-start": hook, "lxc.hook.post-stop": hook}
    bridged = vps.interfaces != ()  # most have none, and a task on them need not load the code for those
    texts = {
        "config": engine.render(
            vps, directory=directory, seccomp=SECCOMP, cleared=lxcfs.cleared(engine.LXC_CONFIG), parts=[
                cgroup.config(vps), processes.config(vps), network.config(vps, ended=end),
                interfaces.config(vps, networks, ended=end) if bridged else {}, lines,
            ],
        ),
        "start": engine.render_start(
            group=cgroup.folder(vps.name),
            limits=[*processes.start_lines(vps), *disk.lines],
            limit_echoes=controls.start_echoes(vps, disk.device),
            checks=[network.START_CHECK, *(interfaces.start_checks() if bridged else ()), *unit.start_lines(vps)],
            echoes=controls.unit_echoes(vps) + network.start_echoes(vps),
            inside=inside + (interfaces.start_batch(vps, networks) if bridged else []),
            outside=outside,
            last=[*(interfaces.start_lines(vps) if bridged else ()), *rates.start_lines(vps), *network.start_answers(uplinks)],
        ),
        "reboot": engine.render_reboot(vps.name),
        "end": traffic.render_end(vps, directory, network.end_answers(uplinks)),
    }
    return texts if disk.hook is None else {**texts, DISK: disk.hook}
