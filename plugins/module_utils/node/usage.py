# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's counters of a running VPS: read as texts, with a bound. What they say is core/usage.py.

Documents: admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1/ and accounting/psi.rst of the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from ..core import usage
from . import files
from .descent import read as read_in
from .descent import walk

_LONGEST = 1 << 16  # bytes of one file: a memory.stat of v1 with NUMA has 3 KiB, an io.stat some 100 bytes for each disk
_MOST_FOLDERS = 1000  # a guest makes as many cgroups in its own as it likes


def read(folders: Mapping[str, str], *, version: int) -> dict[str, str]:
    """The texts of those files that there are. `folders`: controller → directory, as cgroup.find() has them.

    A VPS that stops meanwhile has fewer and fewer.
    """
    texts = {}
    for file in usage.FILES[version]:
        controller, _dot, kind = file.partition(".")
        # Where v1 and v2 are both mounted, it is v2 that tells of pressure.
        text = _read(folders.get("unified" if kind == "pressure" else controller), file)
        if text is not None:
            texts[file] = text
    for file, instead in usage.WITH_THOSE_BELOW[version].items():
        top = folders.get(file.partition(".")[0])
        if top is not None and instead not in texts:
            folders_ = islice(((above, name) for above, name, entering in walk(top) if entering), _MOST_FOLDERS)
            found = [text for above, name in folders_ if (text := read_in(above, f"{name}/{file}"))]
            if found:
                texts[file] = "\n".join(found)
    return texts


def _read(folder: str | None, file: str) -> str | None:
    """A file's text; None where this kernel has none, or will not tell, as of pressure when it was booted with psi=0."""
    if folder is None:
        return None
    try:
        return files.read_counter(f"{folder}/{file}", _LONGEST)
    except OSError:
        return None
