# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`minimal`: a static busybox and nothing else. When what this does changes, raise its number in core/template.py."""

from __future__ import annotations

import os
import shutil

from ...core.errors import VpsError
from ...core.model import BOOTED_MARK
from .. import tools
from ..tree import Tree

BUSYBOX = "/bin/busybox"  # where a guest has it; a node may have it elsewhere

_INITTAB = f"""::sysinit:/bin/mount -t tmpfs -o mode=755 none /run
::sysinit:/bin/hostname -F /etc/hostname
::sysinit:/bin/touch {BOOTED_MARK}
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/true
"""


def missing_tool() -> str | None:
    """What the node lacks for it; None where nothing."""
    if tools.find("busybox") is None:
        return "'minimal' needs a static busybox on the node (Debian's package busybox-static); the role mainline.vps.node installs it."
    return None


def build(root: str) -> None:
    """Fill an empty directory."""
    for folder in ("bin", "sbin", "etc", "proc", "sys", "dev", "run", "tmp", "root", "var", "usr", "mnt"):
        os.mkdir(os.path.join(root, folder))
    os.chmod(os.path.join(root, "tmp"), 0o1777)
    os.chmod(os.path.join(root, "root"), 0o700)
    busybox = tools.find("busybox") or BUSYBOX
    shutil.copy(busybox, os.path.join(root, "bin", "busybox"))
    code, applets = tools.attempt(["chroot", root, "/bin/busybox", "--list-full"])
    if code != 0:
        raise VpsError(f"source: {busybox} is not a static busybox ({tools.last_words(applets)}); install busybox-static on the node.")
    with Tree(root) as tree:
        for applet in applets.split():
            path = f"/{applet.lstrip('/')}"
            if path not in (BUSYBOX, "/linuxrc"):
                tree.make_directory(os.path.dirname(path))
                tree.symlink(BUSYBOX, path)
        # The init's script and its users look here, wherever this busybox puts its applets.
        for path in ("/bin/sh", "/bin/mount", "/bin/hostname", "/bin/touch", "/bin/true", "/sbin/init", "/sbin/reboot"):
            tree.symlink(BUSYBOX, path)
        tree.write("/etc/inittab", _INITTAB)
        tree.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        tree.write("/etc/group", "root:x:0:\n")
        tree.write("/etc/shadow", "root:*:19000:0:99999:7:::\n", mode=0o640)
