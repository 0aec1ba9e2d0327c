# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree with one of everything that a file system keeps, and all of it as something that can be compared."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import stat
import struct

MIB = 1 << 20
# capabilities(7): cap_net_bind_service, permitted and effective (VFS_CAP_REVISION_2)
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
# acl(5): u::rw- u:7:r-- g::r-- m::r-- o::---
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry) for entry in ((1, 6, 0xFFFFFFFF), (2, 4, 7), (4, 4, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
)


def plant(top: pathlib.Path) -> None:
    """Make it, as the node's root does."""
    top.mkdir(parents=True)
    (top / "text").write_text("a text\n", encoding="ascii")
    os.chown(top / "text", 1000, 1001)
    os.link(top / "text", top / "the same")
    os.symlink("/etc/shadow", top / "link")
    os.mkfifo(top / "fifo", 0o640)
    with open(top / "hole", "wb") as file:
        file.seek(32 * MIB)
        file.write(b"end")
    (top / "set-id").write_bytes(b"#!/bin/false\n")
    os.chmod(top / "set-id", 0o6755)
    (top / "able").write_bytes(b"x")
    os.setxattr(top / "able", "security.capability", CAPABILITY)
    os.setxattr(top / "text", "user.note", b"\0 of mine")
    os.setxattr(top / "text", "system.posix_acl_access", ACL)
    strange = os.fsencode(top) + b"/a\nb \xff -"
    os.mkdir(strange, 0o1777)
    with open(strange + b"/-rf", "wb") as file:
        file.write(os.urandom(MIB))
    os.utime(top / "text", ns=(10**18, 10**18 + 7))
    os.utime(strange, ns=(10**18, 10**18 + 9))


def taken(top: pathlib.Path) -> dict:
    """All of it: kinds, owners, modes, times, contents, hard links, holes, extended attributes."""
    found, inodes = {}, {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        folders.sort()  # of hard links the first is named, and each file system has an order of its own
        for name in (b".", *folders, *sorted(files)):
            path = os.path.normpath(os.path.join(folder, name))
            status = os.lstat(path)
            key = os.path.relpath(path, os.fsencode(top))
            found[key] = {
                "mode": stat.filemode(status.st_mode), "owner": (status.st_uid, status.st_gid), "time": status.st_mtime_ns,
                "same": inodes.setdefault(status.st_ino, key) if stat.S_ISREG(status.st_mode) else None,
                "content": _content(path, status), "attributes": _attributes(path),
                "hole": status.st_size > MIB * 16 and status.st_blocks * 512 < MIB,
            }
    return found


def _content(path: bytes, status: os.stat_result) -> str | bytes | None:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return None
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _attributes(path: bytes) -> dict[str, bytes]:
    found = {}
    for name in os.listxattr(path, follow_symlinks=False):
        with contextlib.suppress(OSError):
            found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found
