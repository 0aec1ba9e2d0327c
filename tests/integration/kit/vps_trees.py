# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree with all that is easily lost in a copy, and everything that can be said of a tree."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import stat
import struct
import tempfile
from collections.abc import Iterator

import vps_kit as kit

MIB = 1 << 20
_NOBODY = 0xFFFFFFFF
_ACL = ((1, 6, _NOBODY), (2, 4, 1000), (4, 4, _NOBODY), (16, 4, _NOBODY), (32, 0, _NOBODY))  # owner, user 1000, group, mask, others


def fill(folder: pathlib.Path) -> None:
    """Make it: owners, set-id, links of both kinds, a sparse file, xattrs, an ACL, a capability, odd names and 8 MiB that nothing compresses."""
    folder.mkdir(mode=0o2750)
    os.chown(folder, 1234, 4321)
    (folder / "file").write_text("content\n", encoding="ascii")
    os.link(folder / "file", folder / "hard link")
    (folder / "link").symlink_to("/nowhere\n")
    os.mkfifo(folder / "fifo")
    (folder / b"\xff".decode("utf-8", "surrogateescape")).mkdir()
    (folder / "sparse").write_bytes(b"x")
    os.truncate(folder / "sparse", 64 * MIB)
    (folder / "random").write_bytes(os.urandom(8 * MIB))
    os.chown(folder / "random", 65534, 65533)
    os.chmod(folder / "random", 0o6711)
    os.setxattr(folder / "file", "user.mine", b"\x00value")
    os.setxattr(folder, "trusted.overlay", b"y" * 2000)
    os.setxattr(folder / "random", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in _ACL)
    os.setxattr(folder / "sparse", "system.posix_acl_access", acl)


def spoil(folder: pathlib.Path) -> None:
    """Change something of everything in it."""
    (folder / "hard link").write_text("other\n", encoding="ascii")
    (folder / "link").unlink()
    os.removexattr(folder / "file", "user.mine")
    os.removexattr(folder / "sparse", "system.posix_acl_access")
    os.removexattr(folder / "random", "security.capability")
    (folder / "sparse").write_bytes(b"full" * MIB)
    with open(folder / "random", "r+b") as file:
        file.seek(MIB)
        file.write(b"one block")
    os.chmod(folder, 0o700)
    (folder / "new").mkdir()
    os.rename(folder / "fifo", folder / "new" / "fifo")


def listing(root: pathlib.Path) -> dict[str, tuple]:
    """Everything that a tree is; hard links by the first of their names and how many there are, sparse files by the blocks that they have."""
    found, names = {}, {}
    for folder, folders, files in os.walk(root):
        for entry in sorted((*folders, *files)):
            path = pathlib.Path(folder, entry)
            name = str(path.relative_to(root))
            if name == "lost+found":
                continue
            status = os.lstat(path)
            special = os.readlink(path) if path.is_symlink() else status.st_rdev
            if stat.S_ISREG(status.st_mode):
                special = hashlib.sha256(path.read_bytes()).hexdigest(), status.st_size > 2 * status.st_blocks * 512
            xattrs = {} if path.is_symlink() else {key: os.getxattr(path, key) for key in sorted(os.listxattr(path)) if not key.startswith("btrfs.")}
            same = names.setdefault((status.st_dev, status.st_ino), [])
            same.append(name)
            found[name] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, special, same, xattrs)
    return {name: (*told[:5], (told[5][0], len(told[5])), told[6]) for name, told in found.items()}


@contextlib.contextmanager
def opened(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """The tree of a VPS that does not run, with the owners that it has inside; found without the code that is tested.

    What has to be mounted is mounted elsewhere: at its place the next run of a module, whoever's it is, takes it for what a killed one has left.
    """
    image, changes = root.with_name("root.img"), root.with_name("changes")
    if image.exists():
        what = ["-o", "loop", str(image)]
    elif changes.exists():
        layer = kit.pool() / f"templates/.layer-{json.loads((changes / 'lower').read_text(encoding='ascii'))['id']}/rootfs"
        folders = f"lowerdir={layer},upperdir={changes / 'upper'},workdir={changes / 'work'}"
        what = ["-t", "overlay", "-o", f"redirect_dir=on,index=off,metacopy=off,{folders}", "overlay"]
    else:
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="it-tree-") as place:
        kit.run("mount", *what, place)
        try:
            yield pathlib.Path(place)
        finally:
            kit.run("umount", place)
    # Somebody's mount namespace that was made meanwhile has a copy of the mount, which goes with that.
    kit.until("nobody has it mounted", lambda: str(image) not in kit.loops(), seconds=60)
