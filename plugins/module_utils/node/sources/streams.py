# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of an archive as it was before it was compressed; the compression is found by its first bytes.

The programs that decompress run as nobody, with bounded memory, and end with us.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, cast

from ...core.archive_names import ArchiveError
from .. import tools

Read = Callable[[int], bytes]

_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"))
# Memory of 512 MiB is what the largest levels that people use ask for.
_PROGRAMS = {
    "gzip": ("gzip", "-dcq"),
    "xz": ("xz", "-dcq", "--memlimit-decompress=512MiB"),
    "zstd": ("zstd", "-dcq", "--memory=512MB"),
    "bzip2": ("bzip2", "-dcq"),
}
_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--pdeathsig=KILL", "--")
_REST = 64 << 20  # bytes that may come after an archive's end


@contextmanager
def decompressed(path: str, limit: int) -> Iterator[Read]:
    """A function that gives the next bytes of a file's content, at most `limit` in all. Raises ArchiveError where it is damaged, or longer."""
    with open(path, "rb", buffering=0) as file:  # the program reads on where its descriptor is
        start = file.read(8)
        file.seek(0)
        name = next((name for magic, name in _MAGIC if start.startswith(magic)), None)
        if name is None:
            yield _bounded(file.read, limit)
            return
        tools.require((name, "setpriv"))
        with _output((*_NOBODY, *_PROGRAMS[name]), file.fileno(), f"{name}, which decompresses it,") as stdout:
            yield _bounded(stdout.read, limit)


@contextmanager
def packed(folder: str, limit: int) -> Iterator[Read]:
    """A directory of the node as an archive, made while it is read: holes, links, attributes and numbers as they are, no other file system's files."""
    # ACLs are among the attributes; those of --acls have the node's names for a guest's numbers, whatever --numeric-owner says.
    command = ["tar", "--create", "--format=pax", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--sparse", "--one-file-system"]
    command += ["--anchored", "--exclude=./lost+found", "--directory", folder, "."]
    with _output(command, subprocess.DEVNULL, "tar, which reads it,") as stdout:
        yield _bounded(stdout.read, limit)


@contextmanager
def _output(command: Sequence[str], source: int, who: str) -> Iterator[IO[bytes]]:
    from ..syscalls import end_with_parent

    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            list(command), stdin=source, stdout=subprocess.PIPE, stderr=said, env=tools.ENVIRONMENT, cwd="/",
            preexec_fn=end_with_parent,
        )
        stdout = cast("IO[bytes]", process.stdout)
        try:
            yield stdout
            left = _REST
            while piece := stdout.read(1 << 20):  # so that it comes to its end, and says whether all was well
                left -= len(piece)
                if left < 0:
                    raise ArchiveError("", "goes on and on after its end")
            process.wait()
        except ArchiveError as error:
            # A damaged file ends too early: the program says it better than what was read of it.
            if stdout.read(1) or process.wait() == 0:
                raise
            raise ArchiveError(error.entry, f"{who} said: {_last(said)}") from None
        finally:
            process.kill()
            stdout.close()
            process.wait()
        if process.returncode != 0:
            raise ArchiveError("", f"{who} said: {_last(said)}")


def _last(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - 2000))
    return tools.last_words(said.read().decode("utf-8", "replace"), 2)[:400].rstrip(".")


def _bounded(read: Read, limit: int) -> Read:
    """`read`, that ends with an error where there is more than `limit` bytes: a bomb is not read to its end."""
    left = limit

    def bounded(size: int) -> bytes:
        nonlocal left
        content = read(size)
        left -= len(content)
        if left < 0:
            raise ArchiveError("", "is larger than 'max_size' and 'max_entries' allow")
        return content

    return bounded
