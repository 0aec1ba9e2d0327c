# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What mounts a disk of storage dir: a layer that several VPSs share, below the directory of what one VPS has changed.

Pure: text out. On disk, a guest's root is root in both; each is mapped to the VPS's ids by a mount of its own (idmapped), because the kernel
maps no overlay. Documents: kernel Documentation/filesystems/overlayfs.rst and idmappings.rst, mount_setattr(2), fsopen(2), user_namespaces(7).
"""

from __future__ import annotations

import os
import shlex

from ...core.model import ID_RANGE
from ...core.places import LAYER

CHANGES = "changes"  # beside the root file system: all that an overlay is made of, but for its layer
LOWER, UPPER, WORK = "lower", "upper", "work"  # in it: which layer that is, what the VPS has changed, and the kernel's scratch
NO_IDS = "-"

# Arguments: where to mount, where the layers are, what has changed, the VPS's first id or "-". All is put together where nobody sees it, in a mount
# namespace of its own: who is killed leaves nothing, and one call has the overlay at its place. Who mounts it is who makes files in it: a
# root without a number of the VPS's could not. redirect_dir: a directory of the template can be renamed; index would tie what the VPS has
# changed to this very layer, and metacopy has the kernel believe what lies there.
PROGRAM = f"""import ctypes, json, os, signal, sys

libc = ctypes.CDLL(None, use_errno=True)
place, layers, changes, first = sys.argv[1:]


def call(name, *arguments):
    numbers = {{"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "mount_setattr": 442}}
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    found = libc.syscall(numbers[name], *words) if name in numbers else getattr(libc, name)(*arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), f"{{name}}: {{os.strerror(ctypes.get_errno())}}")
    return found


def namespace():
    "A user namespace with the ids of the VPS."
    read, write = os.pipe()
    child = os.fork()
    if not child:
        call("unshare", 0x10000000)
        os.write(write, b"x")
        signal.pause()
    os.close(write)
    try:
        if not os.read(read, 1):
            sys.exit("unshare: the kernel has no more user namespaces")
        for file in ("uid_map", "gid_map"):
            with open(f"/proc/{{child}}/{{file}}", "w") as map_file:
                map_file.write(f"0 {{first}} {ID_RANGE}")
        return os.open(f"/proc/{{child}}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def become(number):
    "Whoever makes files, with the rights of root."
    libc.setfsgid(number), libc.setfsuid(number)
    head, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    call("capget", head, sets)
    sets[0], sets[3] = sets[1], sets[4]
    call("capset", head, sets)


def attach(mount, path):
    call("move_mount", mount, b"", -100, os.fsencode(path), 4)


def main():
    here = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    call("unshare", 0x20000)
    call("mount", b"none", b"/", None, 0x44000, None)
    with open(f"{{changes}}/{LOWER}") as told:
        layer = f"{{layers}}/{LAYER}{{json.load(told)['id']}}/rootfs"
    if first != "{NO_IDS}":
        wanted = (ctypes.c_uint64 * 4)(0x100000, 0, 0, namespace())
        for path in (layer, changes):
            mount = call("open_tree", -100, os.fsencode(path), 0x80001)
            call("mount_setattr", mount, b"", 0x1000, wanted, 32)
            attach(mount, path)
        become(int(first))
    options = {{
        "source": "vps", "lowerdir": layer, "upperdir": "{UPPER}", "workdir": "{WORK}",
        "redirect_dir": "on", "index": "off", "metacopy": "off",
    }}
    os.chdir(changes)  # such a text has 255 bytes at most
    context = call("fsopen", b"overlay", 1)
    try:
        for name, value in options.items():
            call("fsconfig", context, 1, name.encode(), os.fsencode(value), 0)
        name = "overlay"
        call("fsconfig", context, 6, None, None, 0)
        mount = call("fsmount", context, 1, 0x14)
    except OSError as error:
        try:
            said = os.read(context, 200).decode().strip()
        except OSError:
            said = error.strerror
        sys.exit(f"{{name}}: {{said}}")
    call("setns", here, 0)
    attach(mount, place)


try:
    main()
except OSError as error:
    sys.exit(f"{{error.strerror}}{{f' ({{error.filename}})' if error.filename else ''}}")
"""


def command(place: str, layers: str, changes: str, first: int | None, *, program: tuple[str, ...] = ("-c", PROGRAM)) -> list[str]:
    """What mounts it at a place; exits with an error that says why it cannot. `first` is the first id of the VPS, None for the node's own."""
    return ["python3", "-I", "-S", *program, place, layers, changes, NO_IDS if first is None else str(first)]


def hook(place: str, layers: str, changes: str, first: int | None) -> str:
    """The script that mounts it before a VPS starts and unmounts it when the VPS has stopped; when it does so, and why, is told in storage/image.py."""
    at, log, lower = (shlex.quote(path) for path in (place, os.path.join(os.path.dirname(place), "lxc.log"), f"{changes}/{LOWER}"))
    return f"""#!/bin/sh -e
# Written by mainline.vps from vps.json beside it.
exec 9<{lower}
flock 9
case $3 in
pre-start)
    mountpoint -q {at} && exit
    said=$({shlex.join(command(place, layers, changes, first, program=('-',)))} 2>&1 <<'END'
{PROGRAM}END
    ) || {{ echo "disk $1 now ERROR storage - mount:0 - $said" >>{log}; exit 1; }}
    ;;
post-stop) [ "$LXC_TARGET" = reboot ] || grep -q " 00010000 .*@.*/$1/command$" /proc/net/unix || ! mountpoint -q {at} || umount {at} ;;
esac
"""
