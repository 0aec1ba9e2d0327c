# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dir: what a VPS has changed in a directory of its own, over a layer that it shares with all that came from the same template (overlayfs).

It is for any file system, and bounds nothing. A layer is a template as it was when the first VPS wanted it, so that templates come and go; the
file that tells of it has a hard link in each VPS that lies on it, and goes when it has no other. The tree is at its place while the VPS
runs or is worked on (overlay.py). Documents: Documentation/filesystems/overlayfs.rst of the kernel, link(2).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ...core.beancounters import DIR
from ...core.disk import Disk, Used
from ...core.errors import GuestInTheWay, VpsError
from ...core.fidelity import Abilities
from ...core.limits import Limits
from ...core.places import LAYER
from .. import copying, files, locks, tools
from ..mounts import mount_of
from ..syscalls import as_owner, exchange, sync_filesystem
from .driver import Startup
from .overlay import CHANGES, LOWER, UPPER, WORK, command, hook

MARK = "layer.json"  # in a layer's directory; each VPS on it has a hard link
MAKING = ".new"
_DELETED = ".del-layer-"
_PROGRAMS = ("python3", "mountpoint", "flock", "cp", "du", "rm")
_SUBVOLUME = 256  # the inode number of a btrfs subvolume's root directory
_PATIENCE = 120  # s, for another run that makes the same layer
_LONG, _PATIENT = 1800, 30  # s
_OF_ONE = frozenset({"trusted.overlay.uuid"})  # what is one overlay's alone


class Directory:
    """The storage of VPSs whose disks are overlays. `first_id` is that of the VPS that is asked about; `mapped`: it is to run with its own ids."""

    name = DIR
    instant = False  # a copy of a directory takes its time: who wants one instant holds the VPS still

    def __init__(self, pool: str, *, first_id: int = 0, mapped: bool = True) -> None:
        self._layers = os.path.join(pool, "templates")
        self._ids = {0, first_id}  # a running one may have been started as the other
        self._first_id = first_id if mapped and first_id else None

    def ready(self, _source: str) -> bool:
        """A layer is made, or used again, by each clone under a lock of its own."""
        return True

    def make_ready(self, _source: str) -> None:
        """It is."""

    def create(self, root: str, _limits: Limits | None = None) -> None:
        """Nothing, over a layer of nothing: all that comes into it is its own."""
        tools.require(_PROGRAMS)
        self._make(root, None)

    def clone(self, source: str, root: str, _limits: Limits | None = None) -> None:
        """Nothing changed yet, over the template's layer; of a snapshot, a copy of what had changed, over the same layer."""
        tools.require(_PROGRAMS)
        if os.path.exists(_changes(source)):
            self.snapshot(source, root)
            return
        self._make(root, source)

    def _make(self, root: str, source: str | None) -> None:
        with _made(root) as staging:
            like = os.stat(self._put_on_layer(source, os.path.join(staging, LOWER)))
            upper = os.path.join(staging, UPPER)  # whose own directory is that of the overlay
            os.mkdir(upper)
            os.chown(upper, like.st_uid, like.st_gid)
            os.chmod(upper, stat.S_IMODE(like.st_mode))

    def snapshot(self, root: str, into: str) -> None:
        """A copy of what has changed; files share their blocks with it where the file system can."""
        upper = _changes(root, UPPER)
        room, needed = os.statvfs(os.path.dirname(into)), 0 if _shares_blocks(root) else _disk_use(upper)
        if needed > room.f_bavail * room.f_frsize:
            raise VpsError(f"pool: there is no room for a copy of the {needed >> 20}M that the VPS has changed; enlarge the pool or remove something.")
        with _made(into) as staging:
            os.link(_changes(root, LOWER), os.path.join(staging, LOWER))
            copying.copy(upper, os.path.join(staging, UPPER), without=_OF_ONE.__contains__)

    def identity(self, root: str) -> int:
        """The inode of the directory of what has changed."""
        return os.stat(_changes(root)).st_ino

    def exchange(self, root: str, other: str) -> None:
        """One rename, of both directories. What somebody has left mounted would stay what it was."""
        for path in (root, other):
            if is_mounted(path):
                _unmount(path)
        exchange(_changes(root), _changes(other))

    def exclusive(self, root: str) -> int:
        """Of what has changed the blocks that nobody shares."""
        return copying.exclusive(_changes(root, UPPER))

    def delete(self, root: str) -> None:
        """What has changed, in use or not; the layer goes with the next sweep, if nobody else is on it. A layer itself, too."""
        if os.path.exists(os.path.join(os.path.dirname(root), MARK)):
            if os.path.isdir(root) and not _is_subvolume(root):  # or it is another driver's
                _remove(root)
            return
        if is_mounted(root) and tools.attempt(["umount", root])[0] != 0:
            tools.run(["umount", "--lazy", root])
        for path in (_changes(root) + MAKING, _changes(root)):
            if os.path.lexists(path):
                with suppress(FileNotFoundError):
                    os.rmdir(root)  # first: where it is not, nobody mounts anything
                _remove(path)

    def is_there(self, root: str) -> bool:
        """Where it is mounted."""
        return is_mounted(root)

    @contextmanager
    def opened(self, root: str, *, mapped: bool = True) -> Iterator[None]:
        """Mount it, unless it is, and work in it as the root that it has: by the number of the VPS's, where it is mounted for that."""
        if not mapped and is_mounted(root):  # for its ids, by somebody who has left it so
            _unmount(root)
        mounted = is_mounted(root)
        if not mounted:
            self._mount(root, self._first_id if mapped else None)
        try:
            with as_owner(self._root_of(root)):
                yield
        finally:
            if not mounted:
                _unmount(root)

    def limit(self, root: str, limits: Limits) -> None:
        """Nothing is: the limits that come here are those that can be kept."""

    def read(self, root: str) -> Disk:
        """Nothing is."""
        return Disk()

    def usage(self, root: str) -> int:
        """Bytes of the layer and of what has changed. Raises TooLate where a guest has made more files than one could count in half a minute."""
        return int(_mark(root).get("size") or 0) + _disk_use(_changes(root, UPPER), timeout=_PATIENT)

    def used(self, root: str) -> Used:
        """The bytes alone."""
        try:
            return Used(self.usage(root))
        except tools.TooLate:
            return Used()

    def abilities(self, _root: str, machine: Abilities) -> Abilities:
        """Those of the machine."""
        return machine.on(DIR)

    def startup(self, root: str, _limits: Limits, machine: Abilities, *, made_in: str | None = None) -> Startup:
        """A hook that mounts it; I/O limits are for the pool's disk."""
        return Startup(machine.io_device, hook(root, self._layers, _changes(root), self._first_id))

    def release(self, root: str) -> None:
        """Unmount it, if nobody works in it."""
        tools.attempt(["umount", root])

    def unused(self) -> Iterator[str]:
        """Take away the layers that nobody is on any more; gives where their remains are, for whoever deletes them."""
        for entry in sorted(os.listdir(self._layers)):
            path = os.path.join(self._layers, entry)
            if entry.startswith(LAYER) and _is_alone(path):
                with suppress(locks.Held), locks.hold("template", entry[1:], timeout=0):
                    if _is_alone(path):
                        remains = os.path.join(self._layers, f"{_DELETED}{entry[len(LAYER) :]}@{os.urandom(4).hex()}")
                        os.rename(path, remains)
                        yield remains

    def _root_of(self, root: str) -> int:
        """The number by which root of the VPS goes in a mounted tree, whoever its guest has given the directory to, and gives it to just now."""
        for _attempt in range(100):
            number = os.stat(root).st_uid - os.stat(_changes(root, UPPER)).st_uid
            if number in self._ids:
                return number
        raise GuestInTheWay("guest: / in the VPS changes its owner all the time, and is left as it is; stop the VPS first.")

    def _mount(self, root: str, first_id: int | None) -> None:
        code, output = tools.attempt([*tools.WITH_US, *command(root, self._layers, _changes(root), first_id)])
        if code != 0:
            raise VpsError(f"storage: {root} cannot be mounted: {tools.last_words(output)}; see also the kernel's log.", output=output)

    def _put_on_layer(self, source: str | None, link: str) -> str:
        """Link to the layer of a template as it is now, or to an empty one, which is made if there is none; gives its tree."""
        name = f"layer-{_identity(source)}"
        path = os.path.join(self._layers, f".{name}")
        with locks.hold("template", name, timeout=_PATIENCE):
            if not os.path.exists(path):
                self._make_layer(source, path, os.path.join(self._layers, f".new-{name}"))
            os.link(os.path.join(path, MARK), link)
        return os.path.join(path, "rootfs")

    def _make_layer(self, source: str | None, path: str, staging: str) -> None:
        """Another name for the same files, which nobody writes to; or of a template that is a subvolume a copy that shares its blocks.

        Such a copy is in the subvolume that has what VPSs change: an overlay tells the inodes of two apart by nothing, and who looks for hard
        links, as restic and tar do, takes a file of the one for one of the other.
        """
        if os.path.lexists(staging):  # of a killed run
            self.discard(staging)
        os.mkdir(staging, 0o700)
        root, mark, told = os.path.join(staging, "rootfs"), os.path.join(staging, MARK), {"id": path.rpartition(LAYER)[2]}
        files.write(mark, json.dumps(told) + "\n", mode=0o600)  # first: it says whose it is, should we be killed
        if source is None:
            os.mkdir(root, 0o755)
        elif _is_subvolume(source):
            copying.copy(source, root)
        else:
            tools.run(["cp", "--archive", "--link", "--", source, root], timeout=_LONG)
        files.write(mark, json.dumps({**told, "size": _disk_use(root)}) + "\n", mode=0o600)
        sync_filesystem(self._layers)  # what VPSs lie on is never written again: all of it before it has its name
        os.rename(staging, path)
        files.sync(self._layers)

    def discard(self, directory: str) -> None:
        """Delete a layer that nobody is on: what a killed run has left, say."""
        root = os.path.join(directory, "rootfs")
        if os.path.isdir(root) and _is_subvolume(root):
            tools.run(["btrfs", "subvolume", "delete", root])
        _remove(directory)


def is_mounted(root: str) -> bool:
    """Whether an overlay is at a place: it has a device number of its own, as a mount of a directory of the pool has not."""
    try:
        return os.lstat(root).st_dev != os.lstat(os.path.dirname(root)).st_dev and os.path.lexists(_changes(root))
    except FileNotFoundError:
        return False


def _changes(root: str, *name: str) -> str:
    return os.path.join(os.path.dirname(root), CHANGES, *name)


@contextmanager
def _made(root: str) -> Iterator[str]:
    """Make a root file system: gives a directory for what has changed, which is renamed when all is in it."""
    staging = _changes(root) + MAKING
    with as_owner(0):  # whoever works in another one just now
        os.mkdir(staging, 0o755)
        os.mkdir(os.path.join(staging, WORK))
        yield staging
        os.mkdir(root)
        os.rename(staging, _changes(root))


def _mark(root: str) -> dict:
    """What is told of the layer that a root file system lies on."""
    text = files.read(_changes(root, LOWER))
    return {} if text is None else json.loads(text)


def _is_subvolume(path: str) -> bool:
    return os.lstat(path).st_ino == _SUBVOLUME and mount_of(path)[0] == "btrfs"


def _is_alone(layer: str) -> bool:
    try:
        return os.stat(os.path.join(layer, MARK)).st_nlink == 1
    except FileNotFoundError:
        return False


def _identity(source: str | None) -> str:
    """Sixteen digits for a template as it is now: one that is built anew has others. None is what is empty."""
    if source is None:
        return hashlib.sha256(b"").hexdigest()[:16]
    status = os.lstat(source)
    told = [files.read(os.path.join(os.path.dirname(source), "template.json")) or "", *map(str, (os.path.dirname(source), status.st_ino, status.st_ctime_ns))]
    return hashlib.sha256("\0".join(told).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _shares_blocks(root: str) -> bool:
    return mount_of(os.path.dirname(root))[0] in ("btrfs", "xfs")


def _disk_use(path: str, *, timeout: float = _LONG) -> int:
    """Bytes on disk below a directory, by a program that gets through whatever a guest has built there."""
    _code, output = tools.attempt(["du", "--summarize", "--one-file-system", "--block-size=1", "--", path], timeout=timeout)
    last = output.split("\n")[-2:-1]
    return int(last[0].split()[0]) if last and last[0].split()[0].isdigit() else 0


def _remove(path: str) -> None:
    """Delete a tree, however deep; what a privileged guest has made immutable, too (chattr(1))."""
    code, output = tools.attempt(["rm", "-rf", "--one-file-system", "--", path], timeout=_LONG)
    if code != 0:
        tools.attempt(["chattr", "-R", "-f", "-i", "-a", path], timeout=_LONG)
        code, output = tools.attempt(["rm", "-rf", "--one-file-system", "--", path], timeout=_LONG)
    if code != 0:
        raise VpsError(f"pool: {path} cannot be removed: {tools.last_words(output)}.", output=output)


def _unmount(root: str) -> None:
    for pause in (0.05, 0.2, 1, 0):
        code, output = tools.attempt(["umount", root])
        if code == 0:
            return
        time.sleep(pause)
    raise VpsError(f"storage: {root} cannot be unmounted: {tools.last_words(output)}; end what uses it (fuser -vm {root}), then run this again.")
