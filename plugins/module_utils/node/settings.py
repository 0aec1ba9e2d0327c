# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `node` has decided for this machine: one JSON file, read at each run."""

from __future__ import annotations

import json
import os

from ..core.errors import NOT_OURS, VpsError
from ..core.places import SETTINGS
from ..core.settings import Settings


def load() -> Settings | None:
    """The node's settings; None where the role has not been here."""
    try:
        with open(SETTINGS, encoding="utf-8") as file:
            return Settings.from_record(json.load(file))
    except FileNotFoundError:
        return None
    except NOT_OURS as error:
        raise VpsError(f"{SETTINGS}: cannot be read as the node's settings ({error}); restore it from a backup.") from None


def require_root() -> None:
    """Raise VpsError where we are not the machine's root."""
    if os.geteuid() != 0:
        raise VpsError("become: this module needs root on the node; set become: true.")


def require() -> Settings:
    """The settings of a machine that is a node, with its pool in place; otherwise one sentence that says what is missing."""
    require_root()
    settings = load()
    if settings is None:
        raise VpsError(f"node: this machine is not a VPS node yet ({SETTINGS} is missing); run the role mainline.vps.node.")
    if not os.path.isdir(os.path.join(settings.pool, "vps")):
        raise VpsError(f"pool: {settings.pool} is not mounted; mount it, or run the role mainline.vps.node.")
    return settings
