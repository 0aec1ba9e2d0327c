# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in pieces: so large that few commands carry a file, so small that memory holds them, and holes carry nothing.

The commands are for a guest's shell, which may be busybox; names go as arguments, so they may be any. Documents: dd(1) of POSIX, lseek(2).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

PIECE = 8 << 20  # bytes. A command takes its time, so small pieces are slow; Ansible's ssh copies all that it has with all that comes
_BLOCK = 4096  # bytes of zeros that are worth a hole
_READ = 1 << 20

# $1 is the file, $2 its size so far: what is written goes behind it. dd of POSIX cuts a file, or makes it longer by a hole, so.
_CREATE = 'cat >"$1"'
_APPEND = 'dd if=/dev/null of="$1" bs=1 seek="$2" 2>/dev/null && cat >>"$1"'
# The first piece may be of a file that does not say its size, as in /proc.
_FIRST = 'head -c "$2" <"$1"'
_NEXT = 'dd if="$1" bs="$2" skip="$3" count="$4" 2>/dev/null'


@dataclass(frozen=True)
class Piece:
    """Bytes of a file, and where they are in it."""

    start: int
    data: bytes


def pieces(file: BinaryIO) -> Iterator[Piece]:
    """What there is in a file, in order, without its holes. The first starts at 0, and the last ends where the file does."""
    size, start, end = os.fstat(file.fileno()).st_size, 0, 0
    while start < size:
        begin, end = _data_at(file, start, size)
        if start == 0 and begin > 0:
            yield Piece(0, b"")
        start = begin
        while start < end:
            file.seek(start)
            data = file.read(min(PIECE, end - start))
            if not data:  # it has become shorter
                return
            yield Piece(start, data)
            start += len(data)
    if size == 0:
        yield Piece(0, file.read(PIECE))  # such as those in /proc do not say their size
    elif start > end:
        yield Piece(size, b"")


def _data_at(file: BinaryIO, start: int, size: int) -> tuple[int, int]:
    """Where the next data of a file starts and ends, which is before its start where there is none; not every file system knows of holes."""
    try:
        begin = os.lseek(file.fileno(), start, os.SEEK_DATA)
        return begin, min(size, os.lseek(file.fileno(), begin, os.SEEK_HOLE))
    except OSError as error:
        return (size, 0) if error.errno == errno.ENXIO else (start, size)


def write_command(path: str, start: int) -> list[str]:
    """What writes its standard input into a file, at an offset in bytes; at 0 the file is made, or made empty."""
    return ["/bin/sh", "-c", _APPEND if start else _CREATE, "sh", path, str(start)]


def read_command(path: str, start: int) -> list[str]:
    """What prints a piece of a file; `start` in bytes is a multiple of PIECE."""
    if start == 0:
        return ["/bin/sh", "-c", _FIRST, "sh", path, str(PIECE)]
    return ["/bin/sh", "-c", _NEXT, "sh", path, str(_READ), str(start // _READ), str(PIECE // _READ)]


def write_sparse(file: BinaryIO, data: bytes) -> None:
    """Write, and leave holes where there are only zeros. The caller sets the size in the end."""
    empty = bytes(_BLOCK)
    for start in range(0, len(data), _READ):
        part = data[start : start + _READ]
        if empty not in part:
            file.write(part)
        elif not part.strip(b"\0"):
            file.seek(len(part), os.SEEK_CUR)
        else:
            for inner in range(0, len(part), _BLOCK):
                block = part[inner : inner + _BLOCK]
                if block == empty:
                    file.seek(len(block), os.SEEK_CUR)
                else:
                    file.write(block)
