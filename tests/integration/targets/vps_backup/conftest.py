# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository for each test; what is in a VPS's tree, to be compared; and that nothing of a backup is left over."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator

import pytest
import vps_kit as kit

kit.PREFIX = "it-bak-"
NAME, COPY = "it-bak-a", "it-bak-copy"
PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def empty(tmp_path_factory) -> pathlib.Path:
    """A repository without any backup. Making one takes seconds, in which restic tries how costly its password can be made."""
    path = tmp_path_factory.mktemp("empty") / "repository"
    subprocess.run(["restic", "--repo", str(path), "init"], env={**os.environ, "RESTIC_PASSWORD": PASSWORD}, stdout=subprocess.DEVNULL, check=True)
    return path


@pytest.fixture
def nowhere(tmp_path) -> Iterator[dict]:
    """The options that every task of a test has, where there is no repository before the first backup."""
    yield {"repository": str(tmp_path / "repository"), "password": PASSWORD}
    kit.until("no snapshot is left where backups are made from", lambda: staged() == [])
    assert staging_mounts() == []


@pytest.fixture
def repository(nowhere, empty) -> dict:
    """The same, with a repository of the test's own."""
    shutil.copytree(empty, nowhere["repository"])
    return nowhere


@pytest.fixture
def restic(repository) -> Callable[..., str]:
    """Runs restic by hand, without the code that is tested."""

    def run(*arguments: str) -> str:
        command = ["restic", "--repo", repository["repository"], *arguments]
        return subprocess.run(command, env={**os.environ, "RESTIC_PASSWORD": PASSWORD}, capture_output=True, text=True, check=True).stdout

    return run


def staged() -> list[str]:
    """The snapshots of the tests' VPSs that backups are read from."""
    folder = kit.pool() / "backups"
    return sorted(path.name for path in folder.iterdir() if kit.PREFIX in path.name) if folder.is_dir() else []


def staging_mounts() -> list[str]:
    """Those of them that are mounted."""
    return [line for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines() if f"{kit.pool()}/backups/.new-{kit.PREFIX}" in line]


def backup(repository: dict, name: str = NAME, **params) -> dict:
    """Make a backup, or something of one; the result."""
    return kit.ok("vps_backup", name=name, **repository, **params)


@contextlib.contextmanager
def tree(name: str, place: pathlib.Path) -> Iterator[pathlib.Path]:
    """The tree of a stopped VPS, as the node's root sees it."""
    image = kit.pool() / "vps" / name / "root.img"
    if not image.exists():
        yield kit.rootfs(name)
        return
    point = place / "mounted"
    point.mkdir(exist_ok=True)
    kit.run("mount", "-o", "loop", str(image), str(point))
    try:
        yield point
    finally:
        kit.run("umount", str(point))


def fill(root: pathlib.Path) -> None:
    """Put everything into a tree that a file system can have."""
    top = root / "all"
    top.mkdir()
    (top / "plain").write_text("plain\n", encoding="ascii")
    (top / "plain").chmod(0o640)
    os.chown(top / "plain", 33, 34)
    (top / "long").write_bytes(os.urandom(3 << 20))
    (top / "setuid").write_bytes(b"#!/bin/sh\n")
    os.chown(top / "setuid", 1000, 1000)
    (top / "setuid").chmod(0o6755)
    os.link(top / "plain", top / "hard link")
    (top / "inner").mkdir(mode=0o1777)
    os.link(top / "long", top / "inner" / "hard link")
    os.symlink("/etc/shadow", top / "link")
    os.chown(top / "link", 7, 8, follow_symlinks=False)
    os.symlink("nowhere", top / "dangling")
    os.mkfifo(top / "fifo", 0o622)
    os.mknod(top / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(top / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 0))
    (top / "with a cápability").write_bytes(b"x" * 10)
    kit.run("setcap", "cap_net_raw,cap_net_bind_service+ep", str(top / "with a cápability"))
    os.setxattr(top / "plain", "user.colour", b"blue\0green")
    os.setxattr(top / "inner", "user.of", b"a directory")
    kit.run("setfacl", "-m", "u:1000:rwx,g:2000:r", str(top / "long"))
    kit.run("setfacl", "-d", "-m", "u:1001:rx", str(top / "inner"))
    with open(top / "sparse", "wb") as file:
        file.truncate(200 << 20)
        file.seek(100 << 20)
        file.write(b"in the middle")
    for name in (b"new\nline", b"\xff\xfe not utf-8", b"*?[x]", b"-rf", b" ", b"back\\slash"):
        pathlib.Path(os.fsdecode(os.fsencode(top) + b"/" + name)).write_bytes(name)
    (top / "empty").mkdir()
    for number, path in enumerate(sorted(top.rglob("*"), key=lambda path: -len(path.parts))):
        os.utime(path, ns=(10**18, 10**18 + 123456789 + number), follow_symlinks=False)
    top.chmod(0o711)


def content(root: pathlib.Path) -> dict[str, tuple]:
    """Everything of a tree that is to be the same in its copy, of each path. Not what a file system has for itself."""
    found: dict[str, tuple] = {}
    first: dict[int, str] = {}
    for folder, names, files in os.walk(root):
        names.sort()
        links_to_folders = [name for name in names if os.path.islink(os.path.join(folder, name))]
        for path in (folder, *(os.path.join(folder, name) for name in sorted(files + links_to_folders))):
            status = os.lstat(path)
            name = os.path.relpath(path, root)
            if stat.S_ISSOCK(status.st_mode):
                continue
            attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}
            text = os.readlink(path) if stat.S_ISLNK(status.st_mode) else hashed(path) if stat.S_ISREG(status.st_mode) else ""
            size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
            links = 0 if stat.S_ISDIR(status.st_mode) else status.st_nlink
            same = first.setdefault(status.st_ino, name) if links > 1 else ""
            found[name] = (status.st_mode, status.st_uid, status.st_gid, size, status.st_mtime_ns, status.st_rdev, links, same, text, attributes)
    return found


def hashed(path: str) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
