# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our table in the node's packet filter. Nobody else's is read or touched.

Document: nft(8).
"""

from __future__ import annotations

import json

from ..core.nodefiles import TABLE
from . import settings, tools


# One line of shell for a VPS's start: after a boot of the machine, or a flush by somebody else, the table comes back first.
START_CHECK = f"nft list table inet {TABLE} >/dev/null 2>&1 || nft -f {settings.NETWORK}"


def read() -> tuple[str, ...] | None:
    """The comments of the rules that the kernel holds in our table; None where there is no such table."""
    if not tools.installed("nft"):
        return None
    code, output = tools.attempt(["nft", "--json", "list", "table", "inet", TABLE])
    if code != 0:
        return None
    found = json.loads(output)["nftables"]
    return tuple(entry["rule"].get("comment", "") for entry in found if "rule" in entry)


def load(text: str) -> None:
    """Replace the table, whole or not at all."""
    tools.run(["nft", "-f", "-"], stdin=text)
