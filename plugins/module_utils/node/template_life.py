# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a template's later life, and what is read for them: put into a file, made of one, removed when nobody uses it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from ..core import plan as steps
from ..core import template_life
from ..core.builds import outdated
from ..core.errors import VpsError
from ..core.model import Manifest
from ..core.template_life import Archived, Desired, TemplateActual
from . import build, content, guest, locks, progress, template_steps
from .parts import Parts
from .record import SCRATCH
from .sources import exported, fetching
from .sweep import erase
from .tree import Tree


def read(parts: Parts, desired: Desired) -> TemplateActual:
    """A template as it is, and besides what its task asks about."""
    if desired.state == template_life.PRUNED:
        return TemplateActual(unused=_unused(parts))
    manifest, damaged = None, None
    try:
        manifest = parts.templates.load(desired.name)
    except VpsError as error:
        damaged = str(error)
    if desired.state == template_life.ABSENT:
        try:
            parts.users(desired.name)
        except VpsError as error:
            raise VpsError(f"name: whether template '{desired.name}' is in use is unknown, as nobody knows what one VPS was made from: {error}") from None
    users = parts.builds(desired.name)
    wanted = desired.template or (manifest.template if manifest and desired.state in (template_life.PRESENT, template_life.LATEST) else None)
    return TemplateActual(
        manifest=manifest,
        used_by=tuple(users),
        outdated=outdated(manifest.build, users) if manifest else (),
        missing_tool=build.missing_tool(wanted) if wanted is not None else None,
        missing_input=build.missing_input(parts, wanted) if wanted is not None else None,
        damaged=damaged,
        differences=content.differences(_root(parts, desired.name), manifest.content) if desired.verify and manifest else None,
        archive=_archive(parts, desired),
    )


def _unused(parts: Parts) -> tuple[Manifest, ...]:
    used = {vps.template for vps in parts.reserved()}
    return tuple(manifest for manifest in parts.templates.all() if manifest.template.name not in used)


def _root(parts: Parts, name: str) -> str:
    return os.path.join(parts.templates.path(name), exported.ROOT)


def _archive(parts: Parts, desired: Desired) -> Archived | None:
    if desired.path is None:
        return None
    if desired.state == template_life.IMPORTED:
        return exported.look(desired.path, whole=False, digest=desired.sha256 is not None)
    for folder in (parts.vps.folder, parts.templates.folder):
        if f"{os.path.realpath(os.path.dirname(desired.path))}/".startswith(f"{os.path.realpath(folder)}/"):
            raise VpsError(f"path: {folder} is where the pool has its VPSs and templates; export to another directory.")
    return exported.look(desired.path, whole=True, digest=True)


def export(parts: Parts, step: steps.ExportTemplate) -> None:
    """First look whether it is still what was built: what is damaged here must not be everywhere."""
    directory = parts.templates.path(step.name)
    manifest = parts.templates.load(step.name)
    found = None if manifest is None else content.differences(os.path.join(directory, exported.ROOT), manifest.content)
    if found is None or found:
        told = "has lost the account of its content" if found is None else f"is not as it was built any more ({found})"
        raise VpsError(f"name: template '{step.name}' {told}; state present with verify says what differs, and builds it anew.")
    with locks.hold("export", hashlib.sha256(os.path.realpath(step.path).encode("utf-8", "surrogateescape")).hexdigest()[:16], timeout=parts.lock_timeout):
        exported.write(directory, step.path)


def import_(parts: Parts, step: steps.ImportTemplate) -> None:
    """Unpack it beside whatever has its name, see that it is what was exported, and put it there."""
    directory = parts.templates.begin(step.name)
    root, scratch = os.path.join(directory, exported.ROOT), os.path.join(directory, SCRATCH)
    try:
        progress.tell(directory, "fetching")
        os.mkdir(scratch, 0o700)
        parts.storage.create(root)
        file = os.path.join(scratch, progress.FETCHED)
        digest = fetching.fetch(step.path, file, option="path", limit=step.bounds.max_size)
        if step.sha256:
            fetching.verify(digest, step.sha256, step.path)
        progress.tell(directory, "unpacking")
        manifest = exported.unpack(file, replace(step.bounds, special_files="refuse"), root)
        os.unlink(file)
        os.rmdir(scratch)
        with Tree(root) as tree:
            if not guest.can_boot(tree):
                raise VpsError("path: there is no /sbin/init and /etc in it, and nothing else boots a VPS; export a template that has them.")
            init = guest.kind_of_init(tree)
        progress.tell(directory, "checking")
        now = content.write(root)
        if now != manifest.content:
            raise VpsError(f"path: what is in {step.path} is not what was exported: its content has the SHA-256 {now}, and not {manifest.content}.")
        manifest = replace(manifest, template=replace(manifest.template, name=step.name), init=init, imported=True)
        template_steps.put(parts, manifest, directory, least=manifest.version)
    except BaseException:
        if os.path.lexists(directory):
            erase(parts, directory)
        raise


def prune(parts: Parts, step: steps.PruneTemplate) -> None:
    """Delete one, unless somebody has come to need it since it was compared."""
    with locks.hold("template", step.name, timeout=parts.lock_timeout):
        manifest = parts.templates.load(step.name)
        if manifest is not None and manifest.build == step.build and not parts.users(step.name):
            template_steps.remove_template(parts, steps.RemoveTemplate(step.name))


APPLY: Mapping[type, Callable] = {
    steps.ExportTemplate: export,
    steps.ImportTemplate: import_,
    steps.PruneTemplate: prune,
}
