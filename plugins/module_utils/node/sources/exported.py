# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates in files: a tar archive, compressed by zstd, of a template's record and then its tree. Written by this node, or by a stranger who says so.

The record comes first, so that it is read without the rest. What is unpacked goes the way of every archive.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import IO, cast

from ...core.archive import DIRECTORY, FILE, HARD_LINK, Archive, Entry
from ...core.archive_names import ArchiveError, components
from ...core.errors import NOT_OURS, VpsError
from ...core.model import Manifest, Template
from ...core.template_life import Archived
from .. import files, tools
from .archive import stream_limit, told
from .streams import decompressed
from .unpack import Unpacker

RECORD, ROOT = "template.json", "rootfs"
STAGING = ".vps-new"  # after a dot and the file's name: what is being written, or what a killed run has left for the next one
_MOST_RECORD = 1 << 20  # bytes
_HEAD = 4 << 20  # bytes of an archive in which its record is
_LONGEST = 4 * 3600  # s
_CHUNK = 1 << 20
_TAR = (
    "tar", "--create", "--format=pax", "--numeric-owner", "--sort=name", "--xattrs", "--xattrs-include=*", "--sparse", "--one-file-system", "--anchored",
    f"--exclude={ROOT}/lost+found",
)


class _Enough(Exception):
    """The record has been read; nobody wants the rest."""


def look(path: str, *, whole: bool, digest: bool) -> Archived:
    """What there is at a path; `whole` has it read to its end, to see whether all of it is there, `digest` its SHA-256 told."""
    if not os.path.isdir(os.path.dirname(path)):
        return Archived(path, trouble=f"path: there is no directory {os.path.dirname(path)} on the node.")
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return Archived(path)
    except OSError as error:
        return Archived(path, trouble=f"path: {path} on the node cannot be read: {error.strerror}.")
    if not stat.S_ISREG(status.st_mode):
        return Archived(path, trouble=f"path: {path} on the node is no file.")
    tools.require(("zstd", "tar"))
    try:
        manifest = _record(path)
    except (ArchiveError, OSError, *NOT_OURS):
        return Archived(path, size=status.st_size, trouble=f"path: {path} on the node is no exported template, and is left as it is; name another path.")
    trouble = None
    if whole and tools.attempt(["zstd", "--test", "--quiet", "--memory=512MB", "--", path], timeout=_LONGEST)[0] != 0:
        trouble = f"path: {path} on the node is damaged, or only a part of it is there; export it, or copy it, once more."
    return Archived(path, manifest, sha256_of(path) if digest and trouble is None else None, status.st_size, trouble)


def write(directory: str, path: str) -> None:
    """Put a template, of which the directory is given, into a file. Who is killed leaves what was there, and the start of a new one for the next run."""
    tools.require(("zstd", "tar"))
    folder, name = os.path.split(path)
    staging = os.path.join(folder, f".{name}{STAGING}")
    with suppress(FileNotFoundError):
        os.unlink(staging)
    with open(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
        try:
            _pack(directory, file)
            os.fsync(file.fileno())
        except BaseException:
            os.unlink(staging)
            raise
    os.rename(staging, path)
    files.sync(folder)


def unpack(path: str, bounds: Template, root: str) -> Manifest:
    """Unpack a file of whoever's into an empty root file system; gives the record in it. Raises VpsError for what is no template."""
    record: list[Manifest] = []
    with told("path"), decompressed(path, stream_limit(bounds)) as read, Unpacker(root, bounds, lenient=True) as unpacker:
        archive = Archive(read)
        unpacker.put_all(archive, _below(archive, record))
        if not record:
            raise ArchiveError("", "has no template in it")
    return record[0]


def sha256_of(path: str) -> str:
    """Of a whole file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _below(archive: Archive, record: list[Manifest]) -> Iterator[Entry]:
    """The entries of the tree by their names in that; the record is put aside. Nothing else may be there."""
    for entry in archive:
        place = components(entry.name)
        if not record:
            record.append(_read(archive, entry))
        elif place[:1] == (ROOT,) and (len(place) > 1 or entry.kind == DIRECTORY):
            yield replace(entry, name="/".join(place[1:]) or ".", target=_target(entry) if entry.kind == HARD_LINK else entry.target)
        else:
            raise ArchiveError(entry.name, "is not of a template")


def _target(entry: Entry) -> str:
    place = components(entry.target)
    if place[:1] != (ROOT,):
        raise ArchiveError(entry.name, "is a link that leads out of the template")
    return "/".join(place[1:])


def _record(path: str) -> Manifest:
    """The record alone. Raises ArchiveError, or one of errors.NOT_OURS."""
    found: list[Manifest] = []
    with suppress(_Enough), decompressed(path, _HEAD) as read:
        archive = Archive(read)
        for entry in archive:
            found.append(_read(archive, entry))
            raise _Enough
    if not found:
        raise ArchiveError("", "is empty")
    return found[0]


def _read(archive: Archive, entry: Entry) -> Manifest:
    if components(entry.name) != (RECORD,) or entry.kind != FILE or entry.segments is not None or entry.stored > _MOST_RECORD:
        raise ArchiveError(entry.name, f"comes first, where a template's {RECORD} should")
    text = b"".join(piece for _offset, piece in archive.data(entry))
    try:
        manifest = Manifest.from_record(json.loads(text))
    except NOT_OURS as error:
        raise ArchiveError(entry.name, f"is not what this release knows of a template ({str(error)[:80]})") from None
    if manifest.content is None or len(manifest.checksum) != 64 or not 0 < manifest.version < 1 << 31:
        raise ArchiveError(entry.name, "is not what this release knows of a template")
    return manifest


def _pack(directory: str, into: IO[bytes]) -> None:
    """tar into zstd into a file; both end with us."""
    from ..syscalls import end_with_parent

    with tempfile.TemporaryFile() as said:
        pack = subprocess.Popen(
            [*_TAR, "--directory", directory, RECORD, ROOT],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=tools.ENVIRONMENT, cwd="/", preexec_fn=end_with_parent,
        )
        stdout = cast("IO[bytes]", pack.stdout)
        try:
            press = subprocess.Popen(
                ["zstd", "--quiet", "--threads=0", "-6", "--stdout"],
                stdin=stdout, stdout=into, stderr=said, env=tools.ENVIRONMENT, cwd="/", preexec_fn=end_with_parent,
            )
        except BaseException:
            pack.kill()
            pack.wait()
            raise
        stdout.close()
        try:
            codes = press.wait(timeout=_LONGEST), pack.wait(timeout=60)
        except subprocess.TimeoutExpired:
            raise VpsError(f"path: {into.name} was not written within {_LONGEST} seconds; look at that disk.") from None
        finally:
            for process in (press, pack):
                process.kill()
                process.wait()
        if any(codes):
            said.seek(0)
            words = tools.last_words(said.read(1 << 16).decode("utf-8", "replace"), 2)[:300].rstrip(".")
            raise VpsError(f"path: the template cannot be written to {os.path.dirname(into.name)}: {words}.")
