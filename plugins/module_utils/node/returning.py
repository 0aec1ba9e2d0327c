# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a backup, back into the VPS that they are of.

They are unpacked by the VPS's own tar, in its own namespaces, with its own ids and within its limits: the node's root writes nothing into a tree
that its guest may be changing meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence

from ..core.errors import VpsError, shown
from ..core.places import ENTER
from . import tools
from .programs import Streams
from .syscalls import end_with_parent

# What busybox's tar does not know.
_GNU = ("--xattrs", "--xattrs-include=*", "--acls", "--sparse")
_END = 30  # s, for the one, when the other is through


def give_back(name: str, paths: Sequence[str], root: str, *, patience: int, timeout: int) -> None:
    """Unpack paths of a tree that nobody else is in over what a VPS has there; raises VpsError."""
    for path in paths:
        above = os.path.dirname(root + path.rstrip("/"))
        if os.path.realpath(above) != os.path.normpath(above) or not os.path.lexists(root + path.rstrip("/")):  # a link would lead out of the tree
            raise VpsError(f"paths: the backup has no {shown(path)}; write it without links on the way, as restic ls shows it.")
    enter = [ENTER, "-w", str(patience), name, "--"]
    code, said = tools.attempt([*enter, "tar", "--version"], timeout=patience + 60, limit=4096)
    if code != 0 and "tar" not in said:
        raise VpsError(f"paths: tar cannot be run in VPS '{name}': {tools.last_words(said)[:200]}; it needs one for this.")
    options = _GNU if "GNU tar" in said else ()
    own = [option for option in options if option != "--sparse"]
    _pipe(
        ["tar", "--create", "--no-unquote", "--numeric-owner", *options, "--directory", root, "--file", "-", "--", *(f".{path}" for path in paths)],
        [*enter, "tar", "-x", "-p", *(["--numeric-owner", *own] if own else []), "-C", "/", "-f", "-"],
        timeout,
    )


def _pipe(packing: Sequence[str], unpacking: Sequence[str], timeout: int) -> None:
    pack = subprocess.Popen(
        list(packing), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=tools.ENVIRONMENT, cwd="/", preexec_fn=end_with_parent
    )
    unpack = subprocess.Popen(
        list(unpacking), stdin=pack.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=tools.ENVIRONMENT, cwd="/", start_new_session=True
    )
    if pack.stdout is not None:
        pack.stdout.close()  # so that the one notices when the other ends early
        pack.stdout = None
    theirs, ours = Streams(unpack, None), Streams(pack, None)
    in_time = theirs.follow(time.monotonic() + timeout)
    if not in_time:
        pack.terminate()
        unpack.terminate()
        theirs.follow(time.monotonic() + _END)
    if not ours.follow(time.monotonic() + _END):
        pack.kill()
        pack.wait()
    if not in_time:
        raise VpsError(f"timeout: the paths were not unpacked within {timeout} seconds; give it more.")
    for process, streams, where in ((unpack, theirs, "in the VPS"), (pack, ours, "on the node")):
        if process.returncode != 0:
            told = bytes(streams.kept["stderr"]).decode("utf-8", "replace")
            raise VpsError(f"paths: tar {where} failed with exit code {process.returncode}; the result's output has what it said.", output=told[-4000:])
