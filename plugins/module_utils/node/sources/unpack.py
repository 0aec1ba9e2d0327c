# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacking an archive that a stranger has made into an empty root file system: all that it may hold, or an error that names the entry.

Every file is made in a directory that openat2(2) has found below the root, under a name that was not there; no link of the archive's is
ever followed out of it. What the bounds forbid is refused before it is written.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress

from ...core.archive import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, HARD_LINK, SYMLINK, Archive, Entry
from ...core.archive_acl import POSIX_ACLS
from ...core.archive_names import DEEPEST, ArchiveError, components, leaves
from ...core.model import ID_RANGE, REFUSE, Template
from ...core.units import format_size
from ..syscalls import RESOLVE_NO_SYMLINKS, open_in_root

_CAPABILITY = "security.capability"
_DEFAULT_ACL = "system.posix_acl_default"
_LATEST = (1 << 34) * 10**9  # ns: later than any file system here can say
_MOST_MEMORY = 256 << 20  # bytes for the times of directories, which come last
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class Unpacker:
    """Puts archives into one root file system. `layered`: one over the other, as an OCI image has them. `plain`: the node's files, owned by us.
    `lenient`: a tree that has been in use, whose links lead wherever they like; none is followed out of it either way.

    The bounds are those of all archives together.
    """

    def __init__(self, root: str, template: Template, *, layered: bool = False, plain: bool = False, lenient: bool = False) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._template = template
        self._layered = layered
        self._plain = plain
        self._lenient = lenient
        self._size = self._entries = 0
        self._times: dict[str, int] = {}  # of directories, by their names
        self._memory = 0  # bytes, about, that those take
        self._inherited = False  # whether some directory gives what is made in it an ACL, which the archive says nothing of
        self._parent: tuple[tuple[str, ...], int] | None = None

    def __enter__(self) -> Unpacker:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._forget()
        os.close(self._root)

    def unpack(self, read: Callable[[int], bytes]) -> None:
        """Unpack one archive. Raises ArchiveError."""
        archive = Archive(read)
        self.put_all(archive, archive)

    def put_all(self, archive: Archive, entries: Iterable[Entry]) -> None:
        """The same of those entries of an archive that somebody lets through, one after the other. Raises ArchiveError."""
        for entry in entries:
            self._entries += 1
            if self._entries > self._template.max_entries:
                raise ArchiveError(entry.name, f"is one entry more than 'max_entries' allows ({self._template.max_entries})")
            place = components(entry.name)
            if self._layered and place and place[-1].startswith(_WHITEOUT):
                continue
            self._size += entry.length
            if self._size > self._template.max_size:
                raise ArchiveError(entry.name, f"makes it larger than 'max_size' allows ({format_size(self._template.max_size)})")
            try:
                self._put(archive, entry, place)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise ArchiveError(entry.name, f"does not fit to what came before it ({error.strerror})") from None
        self._forget()
        # Last, for a directory's time changes with what is put into it.
        for folder, mtime in self._times.items():
            with suppress(OSError):
                descriptor = self._open((folder,), _FOLDER)
                try:
                    _set_time(descriptor, mtime)
                finally:
                    os.close(descriptor)
        self._times.clear()
        self._memory = 0

    def remove_hidden(self, read: Callable[[int], bytes]) -> None:
        """Remove what an OCI layer says is not there any more, from the layers below it. Raises ArchiveError."""
        for entry in Archive(read):
            place = components(entry.name)
            if not place or not place[-1].startswith(_WHITEOUT):
                continue
            hidden = place[-1][len(_WHITEOUT) :]
            if hidden in ("", ".", ".."):
                raise ArchiveError(entry.name, "hides what no file is called")
            try:
                folder = self._open(place[:-1], _FOLDER)
            except OSError:
                continue  # there is nothing to hide
            self._keep_time(entry.name, place[:-1], folder)
            try:
                if place[-1] == _OPAQUE:
                    for name in os.listdir(folder):
                        remove(folder, name)
                else:
                    with suppress(FileNotFoundError):
                        remove(folder, hidden)
            finally:
                os.close(folder)

    def _put(self, archive: Archive, entry: Entry, place: tuple[str, ...]) -> None:
        template = self._template
        if entry.kind in (CHARACTER, BLOCK, FIFO):
            if template.special_files == REFUSE:
                raise ArchiveError(entry.name, f"is a {entry.kind}; 'special_files: skip' leaves such out")
            return
        if max(entry.uid, entry.gid) >= ID_RANGE and not self._plain:
            raise ArchiveError(entry.name, f"belongs to {entry.uid}:{entry.gid}, and a VPS has ids from 0 to {ID_RANGE - 1}")
        capable = any(name == _CAPABILITY for name, _value in entry.xattrs)
        if template.setid_files == REFUSE and entry.kind == FILE and (entry.mode & 0o6000 or capable):
            raise ArchiveError(entry.name, f"{'has capabilities' if capable else 'is a set-id file'}, which 'setid_files' refuses")
        if entry.kind == SYMLINK and ((leaves(place, entry.target) and not self._lenient) or not entry.target or "\0" in entry.target):
            raise ArchiveError(entry.name, f"is a link that leads out of the template ({entry.target[:80]!r})")
        if not place:
            if entry.kind != DIRECTORY:
                raise ArchiveError(entry.name, "takes the place of the root directory")
            self._dress(self._root, entry)
            self._remember(entry.name, place, entry.mtime)
            return
        parent, name = self._folder(entry, place[:-1]), place[-1]
        if entry.kind == DIRECTORY:
            self._directory(parent, name, entry, place)
        elif entry.kind == HARD_LINK:
            self._hard_link(parent, name, entry, place)
        else:
            self._clear(parent, name, entry)
            if entry.kind == SYMLINK:
                os.symlink(entry.target, name, dir_fd=parent)
                if not self._plain:
                    os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
                _set_time(name, entry.mtime, parent)
            else:
                self._file(archive, parent, name, entry)

    def _directory(self, parent: int, name: str, entry: Entry, place: tuple[str, ...]) -> None:
        there = _status(parent, name)
        if there is not None and not stat.S_ISDIR(there.st_mode):
            self._clear(parent, name, entry)
            there = None
        if there is None:
            os.mkdir(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self._dress(descriptor, entry)
        finally:
            os.close(descriptor)
        self._remember(entry.name, place, entry.mtime)

    def _hard_link(self, parent: int, name: str, entry: Entry, place: tuple[str, ...]) -> None:
        try:
            target = components(entry.target)
        except ArchiveError:
            target = ()
        if not target:
            raise ArchiveError(entry.name, f"is a link that leads out of the template ({entry.target[:80]!r})")
        if target == place:
            return
        try:
            folder = self._open(target[:-1], _FOLDER)
        except OSError:
            raise ArchiveError(entry.name, f"is a link to what is not in the template ({entry.target[:80]!r})") from None
        try:
            there = _status(folder, target[-1])
            if there is None or stat.S_ISDIR(there.st_mode):
                raise ArchiveError(entry.name, f"is a link to what is no file of the template ({entry.target[:80]!r})")
            self._clear(parent, name, entry)
            os.link(target[-1], name, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(folder)

    def _file(self, archive: Archive, parent: int, name: str, entry: Entry) -> None:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
        try:
            for offset, piece in archive.data(entry):
                while piece:
                    written = os.pwrite(descriptor, piece, offset)
                    offset, piece = offset + written, piece[written:]
            os.ftruncate(descriptor, entry.length)
            self._dress(descriptor, entry)
            _set_time(descriptor, entry.mtime)
        finally:
            os.close(descriptor)

    def _dress(self, descriptor: int, entry: Entry) -> None:
        """Owner first: a change of it takes set-id bits and capabilities away."""
        if self._plain:
            return
        os.fchown(descriptor, entry.uid, entry.gid)
        own = [name for name, _value in entry.xattrs]
        if self._inherited:
            for name in set(POSIX_ACLS.values()) - set(own):
                with suppress(OSError):  # it has none
                    os.removexattr(descriptor, name)
        self._inherited = self._inherited or _DEFAULT_ACL in own
        os.fchmod(descriptor, entry.mode)
        for name, value in entry.xattrs:
            try:
                os.setxattr(descriptor, name, value)
            except OSError as error:
                raise ArchiveError(entry.name, f"has an attribute {name[:60]} that the kernel does not take ({error.strerror})") from None

    def _clear(self, parent: int, name: str, entry: Entry) -> None:
        there = _status(parent, name)
        if there is None:
            return
        if stat.S_ISDIR(there.st_mode) and not self._layered:
            raise ArchiveError(entry.name, "takes the place of a directory that came before it")
        remove(parent, name)

    def _folder(self, entry: Entry, place: tuple[str, ...]) -> int:
        """The directory that an entry is in; made, where the archive has not said anything of it. Open until the next is asked for."""
        if self._parent is not None and self._parent[0] == place:
            return self._parent[1]
        self._forget()
        for depth in range(len(place) + 1):
            try:
                descriptor = self._open(place[: len(place) - depth], _FOLDER)
                self._keep_time(entry.name, place[: len(place) - depth], descriptor)
                break
            except FileNotFoundError:
                continue
            except OSError:
                raise ArchiveError(entry.name, "goes through a link or a file that came before it") from None
        for name in place[len(place) - depth :]:
            try:
                os.mkdir(name, 0o755, dir_fd=descriptor)
                below = os.open(name, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            except OSError:  # a link that leads nowhere
                raise ArchiveError(entry.name, "goes through a link or a file that came before it") from None
            finally:
                os.close(descriptor)
            descriptor = below
        self._parent = place, descriptor
        if self._layered and self._depth(descriptor) > DEEPEST:
            raise ArchiveError(entry.name, f"is deeper than {DEEPEST} directories")
        return descriptor

    def _open(self, place: tuple[str, ...], flags: int) -> int:
        """No archive of one tree has names that go through its links; layers that were made without one may have."""
        return open_in_root(self._root, "/".join(place) or ".", flags, resolve=0 if self._layered else RESOLVE_NO_SYMLINKS)

    def _remember(self, entry: str, place: tuple[str, ...], mtime: int) -> None:
        folder = "/".join(place) or "."
        self._times[folder] = mtime
        self._memory += len(folder) + 200
        if self._memory > _MOST_MEMORY:
            raise ArchiveError(entry, "is one directory more than the node keeps in mind")

    def _keep_time(self, entry: str, place: tuple[str, ...], descriptor: int) -> None:
        """A directory that a layer below has made is as old as that said, whatever is put into it."""
        if self._layered and ("/".join(place) or ".") not in self._times:
            self._remember(entry, place, os.fstat(descriptor).st_mtime_ns)

    def _depth(self, descriptor: int) -> int:
        """How deep below the root a directory is, which a name that goes through links does not say."""
        try:
            path, root = (os.readlink(f"/proc/self/fd/{each}") for each in (descriptor, self._root))
        except OSError:  # longer than the kernel tells
            return DEEPEST + 1
        return path.count("/") - root.count("/")

    def _forget(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None


def remove(folder: int, name: str) -> None:
    """Remove a file, or a directory and all below it, however deep; never what a link leads to."""
    there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(there.st_mode):
        os.unlink(name, dir_fd=folder)
        return
    current, entered = os.dup(folder), [name]
    try:
        lower = os.open(name, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
        os.close(current)
        current = lower
        while entered:
            below = None
            for each in os.listdir(current):
                status = os.stat(each, dir_fd=current, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    below = each
                    break
                os.unlink(each, dir_fd=current)
            next_ = os.open(".." if below is None else below, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
            os.close(current)
            current = next_
            if below is None:
                os.rmdir(entered.pop(), dir_fd=current)
            else:
                entered.append(below)
    finally:
        os.close(current)


def _status(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _set_time(target: int | str, mtime: int, folder: int | None = None) -> None:
    time = min(max(mtime, 0), _LATEST)
    if folder is None:
        os.utime(target, ns=(time, time))
    else:
        os.utime(target, ns=(time, time), dir_fd=folder, follow_symlinks=False)
