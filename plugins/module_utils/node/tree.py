# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's tree of files, for the node's root to work in without ever being led out of it.

The guest is hostile and may be running: every path is opened with openat2(2) and RESOLVE_IN_ROOT, files are replaced by
a rename within a directory that is held open, nothing is read without a bound, and no special file is ever opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..core.archive_names import DEEPEST
from ..core.errors import GuestInTheWay, VpsError, shown
from . import files
from .syscalls import RESOLVE_NO_SYMLINKS, open_in_root

READ_LIMIT = 1 << 20
ASIDE, _MOST_ASIDE = ".vps-old", 100  # what a directory is called that was in the way, and how many of them there may be


class Tree:
    """A root file system. Paths are absolute, as the guest sees them. Errors name the file in the guest."""

    def __init__(self, root: str) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._root)

    def exists(self, path: str) -> bool:
        """Whether there is anything at a path, its links followed within the guest."""
        try:
            os.close(open_in_root(self._root, path, os.O_PATH))
        except OSError:
            return False
        return True

    def read(self, path: str) -> str | None:
        """A regular file's text; None where there is none. One of more than 1 MiB is an error: it would be written back cut short."""
        try:
            found = open_in_root(self._root, path, os.O_PATH)
            try:
                if not stat.S_ISREG(os.fstat(found).st_mode):
                    return None
                # Only now, for opening a device does something; and by the descriptor, so that it is still the same file.
                with open(f"/proc/self/fd/{found}", "rb") as file:
                    content = file.read(READ_LIMIT + 1)
                if len(content) > READ_LIMIT:
                    raise GuestInTheWay(f"guest: {path} in the VPS is larger than a file of its kind, and is left as it is.")
                return content.decode("utf-8", "surrogateescape")
            finally:
                os.close(found)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise _refused("read", path, error) from None

    def link_target(self, path: str) -> str | None:
        """Where a symbolic link points; None where it is something else."""
        try:
            with self._parent(path) as (directory, name):
                return os.readlink(name, dir_fd=directory)
        except OSError:
            return None

    def write(self, path: str, text: str, *, mode: int = 0o644, keep_owner: bool = False) -> None:
        """Replace a file, or a link of that name, by one rename. `keep_owner` keeps the owner and mode of what was there."""
        try:
            with self._parent(path) as (directory, name):
                _replace(directory, name, text, mode, keep_owner)
        except OSError as error:
            raise _refused("write", path, error) from None

    def remove(self, path: str, *, folder_stays: bool = False) -> None:
        """Remove a file or link, if it is there. A directory is an error, unless it stays."""
        try:
            with self._parent(path) as (directory, name):
                os.unlink(name, dir_fd=directory)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, *((errno.EISDIR,) if folder_stays else ())):
                raise _refused("remove", path, error) from None

    def move_aside(self, path: str) -> str | None:
        """Rename a directory that has the name of a file which is to be written, and what is in it with it; gives its new name, None where there is none.

        Both names are in the directory that is held open, and no link is followed: what is moved stays where its owner has put it.
        """
        try:
            with self._parent(path) as (directory, name):
                if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                    return None
                for number in range(_MOST_ASIDE):
                    aside = f"{name}{ASIDE}{f'-{number}' if number else ''}"
                    try:
                        os.stat(aside, dir_fd=directory, follow_symlinks=False)
                    except FileNotFoundError:
                        os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=directory)
                        return aside
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _refused("move aside", path, error) from None
        raise GuestInTheWay(f"guest: cannot move aside {path} in the VPS: all names for it are taken.")

    def remove_files(self, path: str) -> None:
        """Remove all files and links in a directory and those below it, and leave the directories. Follows no link."""
        self._remove_below(path, lambda _mode: True)

    def remove_empty(self, path: str) -> None:
        """Remove a directory that has nothing in it; one that has, or that is something else, stays."""
        try:
            with self._parent(path) as (directory, name):
                os.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.ELOOP):
                raise _refused("remove", path, error) from None

    def remove_special(self) -> None:
        """Remove whatever is no file, no link and no directory, anywhere. Raises GuestInTheWay where directories go deeper than those of a template may."""
        self._remove_below("/", lambda mode: not stat.S_ISREG(mode) and not stat.S_ISLNK(mode))

    def _remove_below(self, path: str, goes: Callable[[int], bool]) -> None:
        waiting = [path]
        while waiting:
            place = waiting.pop()
            try:
                folder = open_in_root(self._root, place, os.O_RDONLY | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS)
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    raise _too_deep(place) from None
                continue  # there is none, or it is a link to another
            try:
                if place.count("/") > DEEPEST + 1:
                    raise _too_deep(place)
                for name in os.listdir(folder):
                    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode):
                        waiting.append(f"{place}/{name}")
                    elif goes(mode):
                        os.unlink(name, dir_fd=folder)
            finally:
                os.close(folder)

    def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link in place of whatever file or link has the name."""
        self.remove(path)
        try:
            with self._parent(path) as (directory, name):
                os.symlink(target, name, dir_fd=directory)
        except OSError as error:
            raise _refused("link", path, error) from None

    def make_directory(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory, and those above it, where there are none."""
        parent = os.path.dirname(path)
        if parent not in ("", "/") and not self.exists(parent):
            self.make_directory(parent)
        try:
            with self._parent(path) as (directory, name):
                os.mkdir(name, mode, dir_fd=directory)
        except FileExistsError:
            pass
        except OSError as error:
            raise _refused("make", path, error) from None

    def make_place(self, path: str) -> None:
        """Make a directory, and those above it, that something is to be mounted on: LXC follows no link on the way there, so none is followed here."""
        made = "/"
        try:
            for name in path.strip("/").split("/"):
                above = open_in_root(self._root, made, os.O_RDONLY | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS)
                try:
                    with suppress(FileExistsError):
                        os.mkdir(name, 0o755, dir_fd=above)
                finally:
                    os.close(above)
                made = os.path.join(made, name)
            os.close(open_in_root(self._root, made, os.O_RDONLY | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS))
        except OSError as error:
            raise _refused("make", path, error) from None

    def date(self, path: str, seconds: float) -> None:
        """When a directory was changed, in seconds since 1970; nothing where there is none."""
        try:
            descriptor = open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return
        try:
            os.utime(descriptor, (seconds, seconds))
        finally:
            os.close(descriptor)

    def names(self, path: str) -> list[str]:
        """What a directory holds; nothing where there is none."""
        try:
            descriptor = open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return []
        try:
            return sorted(os.listdir(descriptor))
        finally:
            os.close(descriptor)

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        folder, name = os.path.split(path)
        descriptor = open_in_root(self._root, folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield descriptor, name
        finally:
            os.close(descriptor)


def _replace(directory: int, name: str, text: str, mode: int, keep_owner: bool) -> None:
    owner = None
    if keep_owner:
        try:
            there = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            pass
        else:
            if stat.S_ISREG(there.st_mode):  # a link's mode is 0777
                owner, mode = (there.st_uid, there.st_gid), stat.S_IMODE(there.st_mode) & 0o777
    staging = f".{name}.vps-new"
    try:
        os.unlink(staging, dir_fd=directory)
    except FileNotFoundError:
        pass
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(staging, flags, 0o600, dir_fd=directory), "w", encoding="utf-8", errors="surrogateescape") as file:
        root = os.fstat(file.fileno()).st_uid  # by whatever number it goes here: who works in the tree makes files as that
        os.fchown(file.fileno(), *(owner or (root, root)))
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        if not files.is_later():
            os.fsync(file.fileno())
    try:
        os.rename(staging, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:  # a directory has the name
        os.unlink(staging, dir_fd=directory)
        raise


def _too_deep(place: str) -> VpsError:
    return GuestInTheWay(f"guest: {shown(place, 80)} in the VPS is deeper than {DEEPEST} directories.")


def _refused(what: str, path: str, error: OSError) -> VpsError:
    return GuestInTheWay(f"guest: cannot {what} {path} in the VPS: {error.strerror}.")
