# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that make and remove templates."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone

from ..core import plan as steps
from ..core.beancounters import IMAGE
from ..core.errors import VpsError
from ..core.model import Manifest
from ..core.template import checksum
from . import build, content, files, guest, locks, progress, tools
from .parts import Parts
from .storage.driver import image_of
from .sweep import erase
from .syscalls import exchange
from .tree import Tree


def build_template(parts: Parts, step: steps.BuildTemplate) -> None:
    """Build it under a staging name, beside whatever has its name; one rename puts it there."""
    template = step.template
    directory = parts.templates.begin(template.name)
    root = os.path.join(directory, "rootfs")
    try:
        progress.tell(directory, "building")
        build.build(parts, template, directory)
        progress.tell(directory, "checking")
        with Tree(root) as tree:
            init = guest.kind_of_init(tree)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        manifest = Manifest(template, init, checksum(template), 0, now, content=content.write(root))
        put(parts, manifest, directory)
    except BaseException:
        if os.path.lexists(directory):
            erase(parts, directory)
        raise


def put(parts: Parts, manifest: Manifest, directory: str, *, least: int = 1) -> None:
    """Have a template that has been made in a staging directory take its name, in one step. `least` is the least number that it is given.

    What had the name goes: a VPS has its own copy, or lies on a layer of its own (storage/directory.py).
    """
    name, root = manifest.template.name, os.path.join(directory, "rootfs")
    there = parts.templates.path(name)
    manifest = replace(manifest, size=_disk_use(root), version=_version(parts, name, least))
    parts.storage.seal(root)
    if IMAGE in parts.drivers and os.path.exists(image_of(os.path.join(there, "rootfs"))):
        progress.tell(directory, "making an image")  # as the next VPS on one would have to
        parts.drivers[IMAGE].make_ready(root)
    progress.done(directory)
    parts.templates.store(manifest, directory)
    parts.storage.sync()
    if os.path.exists(there):
        exchange(directory, there)
        files.sync(parts.templates.folder)
        erase(parts, directory)
    else:
        parts.templates.commit(name)
    parts.storage.sync()


def _version(parts: Parts, name: str, least: int) -> int:
    """One more than that of what there is; where that cannot be read, than that of what VPSs were made from."""
    try:
        there = parts.templates.load(name)
        last = 0 if there is None else there.version
    except VpsError:
        last = max((made.version for made in parts.builds(name).values() if made is not None), default=0)
    return max(last + 1, least)


def remove_template(parts: Parts, step: steps.RemoveTemplate) -> None:
    """Delete a template that nobody uses."""
    with locks.hold("node", "allocation", timeout=parts.lock_timeout):
        users = parts.users(step.name)
        if users:  # since it was compared
            raise VpsError(f"name: template '{step.name}' is in use by {', '.join(users)}; remove those VPSs first.")
        remains = parts.templates.discard(step.name)
    erase(parts, remains)


def _disk_use(root: str) -> int:
    """Bytes on disk below a directory, each hard link once; by du(1), which goes down trees deeper than Python recurses."""
    return int(tools.run(["du", "--summarize", "--block-size=1", "--one-file-system", root], timeout=1800).split()[0])


APPLY: Mapping[type, Callable] = {
    steps.BuildTemplate: build_template,
    steps.RemoveTemplate: remove_template,
}
