# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a template's root file system from its source. Each is a part of its own in sources/; this knows which is whose, and what all have in common."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from ..core.errors import GuestInTheWay, VpsError
from ..core.limits import Limits
from ..core.model import SKIP, Template
from ..core.units import LARGEST_SIZE
from . import guest, locks
from .holding import keep
from .parts import Parts
from .record import SCRATCH
from .sources import archive, debian, lxc_images, minimal, oci
from .tree import Tree

_FILL: Mapping[str, Callable[[Template, str, str, int], None]] = {
    "minimal": lambda _template, root, _scratch, _lock: minimal.build(root),
    "debian": debian.build,
    "ubuntu": debian.build,
    "tarball": lambda template, root, scratch, _lock: archive.tarball(template, root, scratch),
    "directory": lambda template, root, _scratch, _lock: archive.directory(template, root),
    "lxc": lambda template, root, scratch, _lock: lxc_images.build(template, root, scratch),
    "oci": lambda template, root, scratch, _lock: oci.build(template, root, scratch),
}


def missing_tool(template: Template) -> str | None:
    """What the node lacks for building a template; None where nothing."""
    if template.source == "minimal":
        return minimal.missing_tool()
    return debian.missing_tool(template) if template.source in ("debian", "ubuntu") else None


def missing_input(parts: Parts, template: Template) -> str | None:
    """What there is not to build it from, with its option; None where nothing is missing."""
    if template.vps is not None:
        return None if template.vps in parts.vps.names() else f"vps: there is no VPS '{template.vps}' on this node."
    return archive.missing_input(template)


def build(parts: Parts, template: Template, directory: str) -> None:
    """Make C(rootfs) in a template's staging directory. What takes longer keeps the lock held until it is gone, too."""
    root, scratch = os.path.join(directory, "rootfs"), os.path.join(directory, SCRATCH)
    os.mkdir(scratch)
    os.chmod(scratch, 0o1777)  # apt reads its indexes as a user of its own; the directory around it is root's alone
    option = next((option for option in ("path", "url", "release", "vps") if getattr(template, option) is not None), "source")
    try:
        if template.vps is not None:
            _golden(parts, template, root, scratch)
        else:
            parts.storage.create(root)
            _FILL[template.source](template, root, scratch, parts.lock)
        with Tree(root) as tree:
            if not guest.can_boot(tree):
                raise VpsError(f"{option}: there is no /sbin/init and /etc in it, and nothing else boots a VPS; take one with them, or install them first.")
            parts.warnings += guest.scrub(tree)
            tree.remove_special()  # LXC gives each VPS a /dev of its own, and no archive of it may have any
    except GuestInTheWay as error:
        raise VpsError(f"{option}: this cannot be made a template of, because {str(error).split(': ', 1)[-1]}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _golden(parts: Parts, template: Template, root: str, scratch: str) -> None:
    """A VPS's root file system as it is at this instant, and nothing in it that is this VPS's alone."""
    name = template.vps or ""
    with locks.hold("vps", name, timeout=parts.lock_timeout) as lock:
        vps = parts.vps.load(name)
        if vps is None:
            raise VpsError(f"vps: there is no VPS '{name}' on this node.")
        driver, kept = parts.driver(vps), os.path.join(scratch, "rootfs")
        keep(parts, vps, kept, lock=lock)
    try:
        if driver is parts.storage:
            parts.storage.clone(kept, root, Limits())
        else:
            parts.storage.create(root)
            whole = replace(template, special_files=SKIP, max_size=LARGEST_SIZE, max_entries=1 << 31)
            with driver.opened(kept, mapped=False):
                archive.copy(whole, kept, root, option="vps")
    finally:
        with suppress(VpsError):  # who removes the template's staging directory tells
            driver.delete(kept)
    with Tree(root) as tree:
        guest.anonymise(tree)
