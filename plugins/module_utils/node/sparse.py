# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with holes in a tree that nobody else is in: finding one that is too long to be read, and making holes of zeros.

find(1) walks, for a guest's tree may be deeper than Python's stack. Documents: fallocate(2).
"""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
from collections.abc import Iterator

from . import tools

LEAST = 1 << 20  # bytes of a file in which holes are worth looking for
_BLOCK = 1 << 16  # bytes: whole blocks of every file system
_PUNCH, _KEEP_SIZE = 2, 1
_LONGEST_PATH = 4096


def longer_than(root: str, size: int) -> Iterator[str]:
    """The paths, from the root on, of files that say they are longer than `size` bytes, which may be all holes."""
    for path in _files(root, size):
        yield path[len(root) :]


def make_holes(root: str) -> None:
    """Give the pool back what long files have of zeros. Their times stay."""
    zeros = bytes(_BLOCK)
    libc = ctypes.CDLL(None, use_errno=True)
    for path in _files(root, LEAST - 1):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                continue
            for start, end in _runs(descriptor, zeros):
                if libc.fallocate(descriptor, _PUNCH | _KEEP_SIZE, ctypes.c_long(start), ctypes.c_long(end - start)) != 0:
                    error = ctypes.get_errno()
                    raise OSError(error, os.strerror(error), path)
            os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(descriptor)


def _runs(descriptor: int, zeros: bytes) -> Iterator[tuple[int, int]]:
    """Where whole blocks of zeros begin and end."""
    offset, start = 0, -1
    while block := os.pread(descriptor, _BLOCK, offset):
        if block == zeros:
            start = offset if start < 0 else start
        elif start >= 0:
            yield start, offset
            start = -1
        offset += len(block)
    if start >= 0:
        yield start, offset


def _files(root: str, size: int) -> Iterator[str]:
    """The paths of the files in a tree, and on its file system, that are longer than `size` bytes."""
    argv = ["find", root, "-xdev", "-type", "f", "-size", f"+{size}c", "-print0"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=tools.ENVIRONMENT, cwd="/") as process:
        try:
            left = b""
            while process.stdout is not None and (chunk := process.stdout.read1(1 << 16)):  # type: ignore[attr-defined]
                *paths, left = (left + chunk).split(b"\0")
                for path in paths:
                    if len(path) < _LONGEST_PATH:
                        yield os.fsdecode(path)
        finally:
            process.kill()
