# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates that are unpacked from an archive or copied from a directory: `tarball` and `directory`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ...core.archive_names import ArchiveError
from ...core.errors import VpsError, shown
from ...core.locations import lasting
from ...core.model import Template
from . import fetching
from .streams import decompressed, packed
from .unpack import Unpacker


def missing_input(template: Template) -> str | None:
    """What there is not on the node to make it from, with its option; None where nothing is missing."""
    for option in ("path", "keyring", "ca_path", "signature"):
        path = getattr(template, option)
        if path is not None and path.startswith("/") and not os.path.exists(path):
            return f"{option}: there is no {path} on the node."
    if template.source == "directory" and not os.path.isdir(template.path or ""):
        return f"path: {template.path} on the node is no directory."
    return None


def tarball(template: Template, root: str, scratch: str) -> None:
    """Verified as a whole, and then unpacked."""
    option, location = ("path", template.path) if template.path else ("url", template.url)
    archive = os.path.join(scratch, "archive")
    digest = fetching.fetch(location or "", archive, option=option, limit=template.max_size, ca_path=template.ca_path)
    if template.sha256:
        fetching.verify(digest, template.sha256, lasting(location or ""))
    if template.signature and template.keyring:
        signature = os.path.join(scratch, "signature")
        fetching.fetch(template.signature, signature, option="signature", limit=1 << 20, ca_path=template.ca_path)
        fetching.verify_signature(archive, signature, template.keyring)
    with told(option), decompressed(archive, stream_limit(template)) as read, Unpacker(root, template) as unpacker:
        unpacker.unpack(read)


def directory(template: Template, root: str) -> None:
    """A copy of a tree of the node's, of one file system."""
    copy(template, template.path or "", root, option="path")


def copy(template: Template, source: str, root: str, *, option: str) -> None:
    """Copy a tree of whoever's, under the same rules as an archive."""
    with told(option, what=source), packed(source, stream_limit(template)) as read, Unpacker(root, template, lenient=True) as unpacker:
        unpacker.unpack(read)


def stream_limit(template: Template) -> int:
    """Bytes that an archive may have unpacked: what its files may, and what each entry says of itself."""
    return template.max_size + 4096 * template.max_entries


@contextmanager
def told(option: str, what: str = "the archive") -> Iterator[None]:
    """Errors of an archive as a task's, with the option that it came by."""
    try:
        yield
    except ArchiveError as error:
        entry = f"{shown(error.entry, 200)} in {what} {error.reason}" if error.entry else f"{what} cannot be taken: {error.reason}"
        raise VpsError(f"{option}: {entry}; nothing was made of it.") from None
