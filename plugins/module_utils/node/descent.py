# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going through cgroups that a guest has made: as many, as deep, and with names as long as it liked.

os.walk() recurses before Python 3.12, and gives up silently where a path gets too long: a guest could hide its processes there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress

from ..core.errors import VpsError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST = 200_000  # folders: more than that is no use but mischief, and may grow as fast as we look
_LONGEST = 1 << 20  # bytes of one file: a cgroup.procs of 100,000 processes


def walk(top: str) -> Iterator[tuple[int, str, bool]]:
    """Every folder at and below a path: (descriptor of the one above, its name there, True), and with False when all below it were given.

    A descriptor is valid until the next is asked for; a folder may be gone by then. The way back up is by `..`, which in these file
    systems leads to where we came from. Raises VpsError beyond 200,000 folders.
    """
    try:
        current = os.open(os.path.dirname(top), _FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return
    todo, entered, number = [[os.path.basename(top)]], [""], 0
    try:
        while True:
            if todo[-1]:
                number += 1
                if number > _MOST:
                    raise VpsError(f"limits: there are more than {_MOST} cgroups below {top}; kill what runs there, or restart the VPS.")
                name = todo[-1].pop()
                yield current, name, True
                with suppress(OSError):
                    lower = os.open(name, _FOLDER, dir_fd=current)
                    os.close(current)
                    current = lower
                    entered.append(name)
                    todo.append(_below(lower))
                continue
            todo.pop()
            name = entered.pop()
            if not todo:
                return
            upper = os.open("..", _FOLDER, dir_fd=current)
            os.close(current)
            current = upper
            yield current, name, False
    finally:
        os.close(current)


def _below(descriptor: int) -> list[str]:
    with suppress(OSError), os.scandir(descriptor) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def read(folder: int, path: str) -> str:
    """The text of a file of a folder that is open, its first MiB; an empty one where it is gone, or will not tell."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
            return file.read(_LONGEST).decode("ascii", "replace")
    except OSError:
        return ""


def write(folder: int, path: str, text: str) -> None:
    """Write to one; nothing where its folder is gone, or going. Raises OSError where the kernel refuses."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder), "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
