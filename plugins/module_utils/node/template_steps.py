# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that make and remove templates."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime, timezone

from ..core import plan as steps
from ..core.errors import VpsError
from ..core.model import Manifest
from ..core.template import checksum
from . import build, guest, locks, tools
from .parts import Parts
from .sweep import erase
from .syscalls import exchange
from .tree import Tree


def build_template(parts: Parts, step: steps.BuildTemplate) -> None:
    """Build it under a staging name, beside whatever has its name; one rename puts it there."""
    template = step.template
    directory = parts.templates.begin(template.name)
    root = os.path.join(directory, "rootfs")
    try:
        build.build(parts, template, directory)
        with Tree(root) as tree:
            init = guest.kind_of_init(tree)
        manifest = Manifest(
            template=template,
            init=init,
            checksum=checksum(template),
            size=_disk_use(root),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        parts.storage.seal(root)
        parts.templates.store(manifest, directory)
    except BaseException:
        erase(parts, directory)
        raise
    if os.path.exists(parts.templates.path(template.name)):
        exchange(directory, parts.templates.path(template.name))
        erase(parts, directory)  # what was there before; VPSs made from it have their own copy
    else:
        parts.templates.commit(template.name)
    parts.storage.sync()


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
