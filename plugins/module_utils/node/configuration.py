# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files in a VPS's directory that LXC reads: put together from what each part has to say, and written whole."""

from __future__ import annotations

import os

from ..core.model import Vps
from . import cgroup, engine, files, network, settings

_MODES = {"config": 0o644, "start": 0o755}


def is_written(vps: Vps, directory: str) -> bool:
    """Whether they say what the record says, and the lxc-* tools find them."""
    texts = _texts(vps, directory)
    return engine.linked(vps.name, directory) and all(files.read(os.path.join(directory, file)) == text for file, text in texts.items())


def write(vps: Vps, directory: str, *, into: str | None = None) -> None:
    """Write them for a VPS that is, or when it is made will be, in `directory`; `into` is where it is being made."""
    for file, text in _texts(vps, directory).items():
        files.write(os.path.join(into or directory, file), text, mode=_MODES[file])


def _texts(vps: Vps, directory: str) -> dict[str, str]:
    inside, outside = network.start_batches(vps)
    return {
        "config": engine.render(
            vps, directory=directory, seccomp=settings.SECCOMP, cgroup=cgroup.config(vps), network=network.config(vps)
        ),
        "start": engine.render_start(echoes=cgroup.start_echoes(vps) + network.start_echoes(vps), inside=inside, outside=outside),
    }
