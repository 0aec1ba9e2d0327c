# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives for the tests: made of trees by tar(1), made by hand entry by entry, and what a tree is, to be compared."""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import stat
import subprocess
import tarfile
from typing import Any

import vps_kit as kit

NAME = "it-src-t"


def root(name: str = NAME) -> pathlib.Path:
    """A template's tree."""
    return kit.pool() / "templates" / name / "rootfs"


def sha256(path: pathlib.Path) -> str:
    """The checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def packed(tree: pathlib.Path, path: pathlib.Path, *options: str) -> pathlib.Path:
    """A tree as an archive, by GNU tar, with all that it can keep."""
    kept = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "--sparse"]
    kit.run("tar", "--create", *kept, *options, "--file", str(path), "--directory", str(tree), ".")
    return path


def entry(name: str, **fields: Any) -> tarfile.TarInfo:
    """An entry; a file unless `type` says otherwise."""
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


INIT = [entry("etc", type=tarfile.DIRTYPE, mode=0o755), entry("sbin", type=tarfile.DIRTYPE, mode=0o755), entry("sbin/init", mode=0o755)]


def made(path: pathlib.Path, *entries: tarfile.TarInfo, content: bytes = b"", init: bool = True) -> pathlib.Path:
    """An archive of these entries, each file with the same content, after an init that makes it a system."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for info in [*(INIT if init else []), *entries]:
            if info.isreg() and info.name != "sbin/init" and not info.size:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if info.isreg() and info.size else None)
    return path


def tarball(path: pathlib.Path, **options: Any) -> dict:
    """The options of a template of an archive."""
    return {"name": NAME, "source": "tarball", "path": str(path), "sha256": sha256(path), **options}


def fingerprint(tree: pathlib.Path) -> dict[str, tuple]:
    """Everything about each file of a tree that a copy has to keep; which names are one file, too."""
    found: dict[str, tuple] = {}
    first: dict[int, str] = {}
    for folder, folders, files in os.walk(tree):
        for name in sorted([*folders, *files]):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            place = os.path.relpath(path, tree)
            what: object = None
            if stat.S_ISLNK(status.st_mode):
                what = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                what = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
            attributes = [(key, os.getxattr(path, key, follow_symlinks=False)) for key in sorted(os.listxattr(path, follow_symlinks=False))]
            attributes = [(key, value) for key, value in attributes if not key.startswith(("btrfs.", "security.selinux"))]
            same = first.setdefault(status.st_ino, place) if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode) else place
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            found[place] = (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, size, what, attributes, same)
    return found


def furnished(tree: pathlib.Path) -> None:
    """Put in a tree what is easily lost on the way."""
    (tree / "kept").mkdir()
    (tree / "kept/owned").write_text("of 1000", encoding="ascii")
    os.chown(tree / "kept/owned", 1000, 1001)
    os.link(tree / "kept/owned", tree / "kept/hard")
    (tree / "kept/setid").write_bytes(b"x")
    os.chmod(tree / "kept/setid", 0o6755)
    os.symlink("/nowhere", tree / "kept/link")
    os.chown(tree / "kept/link", 5, 6, follow_symlinks=False)
    os.link(tree / "kept/link", tree / "kept/link2", follow_symlinks=False)
    with open(tree / "kept/sparse", "wb") as file:
        file.seek(40 << 20)
        file.write(b"middle" * 1000)
        file.truncate(100 << 20)
    (tree / "kept/attributes").write_bytes(b"x")
    os.setxattr(tree / "kept/attributes", "user.note", b"bytes \x00\xff=\n")
    (tree / "kept/capable").write_bytes(b"x")
    subprocess.run(["setcap", "cap_net_raw+ep", str(tree / "kept/capable")], check=True)
    subprocess.run(["setfacl", "-m", "u:1000:rw,g:7:r", str(tree / "kept/attributes")], check=True)
    (tree / "kept/default").mkdir()
    subprocess.run(["setfacl", "-d", "-m", "u:1000:rwx", str(tree / "kept/default")], check=True)
    deep = tree / "kept" / ("n" * 120) / ("m" * 120)
    deep.mkdir(parents=True)
    (deep / ("file with spaces and ü" + "x" * 100)).write_text("deep", encoding="ascii")
    (tree / os.fsdecode(b"kept/not-utf8-\xff")).write_text("bytes", encoding="ascii")
    os.utime(tree / "kept/owned", ns=(10**18 + 1, 10**18 + 123456789))
    os.utime(tree / "kept", ns=(0, 10**18 + 5))


def compressed(path: pathlib.Path) -> pathlib.Path:
    """The same by gzip."""
    kit.run("gzip", "--keep", "--force", str(path))
    return path.with_name(path.name + ".gz")
