# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading files; and writing those of the node's own so that a reader, or a power cut, sees the old or the new one, never a part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from . import spares


_LATER: list[bool] = []  # not empty where somebody sees to it


@contextmanager
def safe_later() -> Iterator[None]:
    """Within, what is written is not on disk yet: for who has all of the file system written after it, and says nothing is done before."""
    _LATER.append(True)
    try:
        yield
    finally:
        _LATER.pop()


def is_later() -> bool:
    """Whether somebody sees to what is written now."""
    return bool(_LATER)


def write(path: str, text: str, *, mode: int = 0o644) -> None:
    """Replace a file by one rename; in a full pool, by one whose blocks are there already. An OSError says which."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"), mode=mode)


def write_bytes(path: str, content: bytes, *, mode: int = 0o644) -> None:
    """The same for what is no text."""
    staging = f"{path}.new"
    try:
        _fill_anyway(staging, content, mode)
        os.replace(staging, path)
    except BaseException as error:
        with suppress(FileNotFoundError):  # it may not have been made
            os.unlink(staging)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, path) from None
        raise


def write_in_place(path: str, text: str) -> None:
    """The same for what is as good as none where a kill leaves half of it. There is no other file meanwhile, which somebody might take for something."""
    try:
        _fill_anyway(path, text.encode("ascii"), 0o644)
    except OSError as error:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise OSError(error.errno, error.strerror, path) from None


def _fill_anyway(path: str, content: bytes, mode: int) -> None:
    """In a full pool, too."""
    try:
        _fill(path, content, mode)
    except OSError as error:
        if error.errno not in spares.FULL or not spares.take(path, len(content)):
            raise
        _fill(path, content, mode)


def _fill(path: str, content: bytes, mode: int) -> None:
    """Write a file that is there or not, where its blocks lie if it has any."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        done = 0
        while done < len(content):
            done += os.pwrite(descriptor, content[done:], done)
        os.ftruncate(descriptor, len(content))
        if not _LATER:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def overwrite(path: str, text: str) -> None:
    """Write to a file of the kernel's, which is there or not: nothing else makes one."""
    with open(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "w", encoding="ascii") as file:
        file.write(text)


def sync(folder: str) -> None:
    """Have the names in a folder survive a power cut from here on (fsync(2))."""
    if _LATER:
        return
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


def read_counter(path: str, size: int = 1 << 16) -> str | None:
    """The text of a file of the kernel's that is one record, as those of cgroups are but for their lists: it comes whole at once, in half the time of others.

    None where there is none. Raises OSError where the kernel does not tell.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return os.read(descriptor, size).decode("ascii", "replace")
    finally:
        os.close(descriptor)


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
