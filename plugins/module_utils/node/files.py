# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading files; and writing those of the node's own so that a reader, or a power cut, sees the old or the new one, never a part."""

from __future__ import annotations

import os


def write(path: str, text: str, *, mode: int = 0o644) -> None:
    """Replace a file by one rename. An OSError says which."""
    staging = f"{path}.new"
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(staging, path)
    except BaseException as error:
        os.unlink(staging)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, path) from None
        raise


def overwrite(path: str, text: str) -> None:
    """Write to a file of the kernel's, which is there or not: nothing else makes one."""
    with open(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "w", encoding="ascii") as file:
        file.write(text)


def sync(folder: str) -> None:
    """Have the names in a folder survive a power cut from here on (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: str, *, errors: str = "surrogateescape") -> str | None:
    """A file's text, every byte of it such that `write` gives it back; None where there is none."""
    try:
        with open(path, encoding="utf-8", errors=errors, newline="") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_start(path: str, size: int) -> str | None:
    """The first bytes of a file that may be longer than anybody wants; None where there is none, or its process has gone."""
    try:
        with open(path, "rb") as file:
            return file.read(size).decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None


def read_tail(path: str, size: int = 65536) -> str | None:
    """The last bytes of a log, which a guest may have filled with anything; None where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read(size).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
