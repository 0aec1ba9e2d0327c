# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How this collection's code comes out of the archive that Ansible sends to a node: what is used, compiled once and for all tasks.

Most of what a task on one VPS costs is Python compiling source. zipimport compiles a module to tell its file's name, throws that
away, and compiles it again to run it (CPython's zipimport.get_filename); the next task does all of it anew; and a task that changes a
limit needs no code that builds templates. So compiled code is kept on the node until it boots, found by the hash of its source and checked by its own; and a
module imported as a whole, `from . import tree`, is read when something of it is first used, while one of which a name is imported is
read at once. The archive itself is kept as well where Ansible's side asks for it (plugins/action/vps_kept.py), so that the next task need not bring it.
benchmarks/ has what that gives. Outside an archive, in tests and filters, nothing of this happens.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import re
import stat
import sys
import time
from contextlib import suppress
from errno import EACCES
from importlib.machinery import ModuleSpec
from importlib.util import MAGIC_NUMBER, LazyLoader
from types import CodeType, ModuleType
from zipfile import ZipFile
from zipimport import zipimporter

KEPT = "/run/vps.code"  # root's alone, as what is in it is run by root
# In the environment of a task: the name of the code that it is to run, MODULE-HASH; where it has brought it, and is to keep it, also the digests of
# all files that may be in it.
ASKED = "VPS_CODE"
_NAME = re.compile(r"vps_[a-z_]+-[0-9a-f]{64}")
_OURS = "/mainline/vps/plugins/module"  # module_utils and modules
_ARCHIVES = 3  # of one module: of as many releases of this collection as may be in use on several controllers
_OLD = 86400  # s: compiled code of a release that is gone, or what a killed task has left; what is in use is compiled again
_CHECK = 32  # bytes of a SHA-256 before the code


class Importer(zipimporter):
    """Finds the modules of one folder of the archive."""

    def get_filename(self, fullname: str) -> str:
        """Where a module is in the archive, which has nothing but sources."""
        end = "/__init__.py" if self.is_package(fullname) else ".py"
        return f"{self.archive}/{self.prefix}{fullname.rpartition('.')[2]}{end}"

    def get_code(self, fullname: str) -> CodeType:
        """A module's code, compiled by an earlier task from the same source for the same Python, or now."""
        source = self.get_data(self.get_filename(fullname))
        path = os.path.join(KEPT, hashlib.sha256(MAGIC_NUMBER + source).hexdigest())
        kept = _read(path)
        code = marshal.loads(kept) if kept is not None else None
        if code is None:
            code = super().get_code(fullname)
            with suppress(OSError):  # we are not root, or there is no room
                _keep(path, marshal.dumps(code))
        return code

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """A module, which is read when it is used; None where there is none."""
        spec = super().find_spec(fullname, target)
        if spec is not None and spec.loader is not None and spec.submodule_search_locations is None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def asked() -> tuple[str, frozenset[str]]:
    """The name of the code that the task is to run or to keep, empty where there is none; the digests of its files. Programs that it starts are not told."""
    name, *digests = os.environ.pop(ASKED, "").split() or [""]
    return (name, frozenset(digests)) if _NAME.fullmatch(name) else ("", frozenset())


def digest(content: bytes) -> str:
    """By which a file is known to be of a release; many go with a task, so they are short."""
    return hashlib.sha256(content).hexdigest()[:12]


def _is_of(loader: zipimporter, digests: frozenset[str]) -> bool:
    """Whether all that is in an archive of this collection's code has these digests: it is older than its name where we were upgraded meanwhile."""
    with ZipFile(loader.archive) as packed:
        ours = [packed.read(name) for name in packed.namelist() if _OURS in name and name.endswith(".py")]
    return digests.issuperset(digest(content) for content in ours if content)  # Ansible packs empty files for folders


def archive(name: str) -> str | None:
    """The path of a kept archive, whole as it was written; None where there is none, or we may not trust it."""
    path = os.path.join(KEPT, f"{name}.zip")
    return path if _read(path) is not None else None


def _is_ours() -> bool:
    """Whether nobody else could have written where code is kept. Raises OSError where that is not."""
    folder = os.lstat(KEPT)
    return stat.S_ISDIR(folder.st_mode) and folder.st_uid == os.geteuid() and not folder.st_mode & 0o022


def _read(path: str) -> bytes | None:
    """What has been kept at a path; None where that is nothing, or not what was written there."""
    try:
        if not _is_ours():
            return None
        with open(path, "rb") as file:
            check, kept = file.read(_CHECK), file.read()
    except OSError:
        return None
    return kept if check == hashlib.sha256(kept).digest() else None


def _keep(path: str, content: bytes) -> None:
    """By a rename: whoever reads it meanwhile, or after we are killed, has all of it or none. Raises OSError where it cannot be kept."""
    os.makedirs(KEPT, mode=0o700, exist_ok=True)
    if not _is_ours():
        raise PermissionError(EACCES, os.strerror(EACCES), KEPT)
    staging = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):  # of one that was killed, and had our number
        os.unlink(staging)
    try:
        with open(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        os.rename(staging, path)
    except OSError:
        os.unlink(staging)
        raise


def _keep_archive(source: str, name: str) -> None:
    """A copy of an archive, which Python reads with the check before it as well; the oldest of the same module go, and what else is old."""
    with open(source, "rb") as file:
        _keep(os.path.join(KEPT, f"{name}.zip"), file.read())
    start, archives = name.partition("-")[0] + "-", []
    for entry in os.scandir(KEPT):
        written = entry.stat(follow_symlinks=False).st_mtime
        if not entry.name.endswith(".zip"):
            if time.time() - written > _OLD:
                os.unlink(entry.path)
        elif entry.name.startswith(start):
            archives.append((written, entry.path))
    for _written, path in sorted(archives)[:-_ARCHIVES]:
        os.unlink(path)


def install(package: str) -> None:
    """Have what is below a package's folder found by this from now on, where that is in an archive and Python 3.10 or later."""
    folder, loader = sys.modules[package].__path__[0], sys.modules[package].__loader__
    if not isinstance(loader, zipimporter):
        return
    name, digests = asked()
    if name:
        with suppress(OSError):  # we are not root, or there is no room
            if _is_of(loader, digests):
                _keep_archive(loader.archive, name)
    if not hasattr(zipimporter, "find_spec"):
        return

    def hook(path: str) -> Importer:
        if not f"{path}/".startswith(f"{folder}/"):
            raise ImportError(path)
        return Importer(path)

    sys.path_importer_cache.pop(folder, None)
    sys.path_hooks.insert(0, hook)
