# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which name a node keeps the code of a module."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_PLUGINS = Path(__file__).parents[1]


@cache
def name(module: str) -> str:
    """MODULE-HASH: of its own file and of all that it may import of this collection, as they are on the controller."""
    files = sorted((_PLUGINS / "module_utils").rglob("*.py"))
    whole = hashlib.sha256()
    for file in (_PLUGINS / "modules" / f"{module}.py", *files):
        content = file.read_bytes()
        whole.update(f"{file.relative_to(_PLUGINS)} {len(content)}\n".encode() + content)
    return f"{module}-{whole.hexdigest()}"
