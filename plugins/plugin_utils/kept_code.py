# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which name a node keeps the code of a module, and what may be in it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from ansible_collections.mainline.vps.plugins.module_utils.loading import digest

_PLUGINS = Path(__file__).parents[1]


def name(module: str) -> str:
    """MODULE-HASH: of its own file and of all that it may import of this collection, as they are on the controller."""
    return _read(module)[0]


def with_digests(module: str) -> str:
    """The name, and the digest of each file that it is the name of: what is sent may have been packed earlier in the run, before they changed."""
    return " ".join(_read(module))


@cache
def _read(module: str) -> tuple[str, ...]:
    files = sorted((_PLUGINS / "module_utils").rglob("*.py"))
    whole, digests = hashlib.sha256(), set()
    for file in (_PLUGINS / "modules" / f"{module}.py", *files):
        content = file.read_bytes()
        whole.update(f"{file.relative_to(_PLUGINS)} {len(content)}\n".encode() + content)
        digests.add(digest(content))
    return f"{module}-{whole.hexdigest()}", *sorted(digests)
