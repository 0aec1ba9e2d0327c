# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a file is that is fetched: a path on the node, or an address.

Pure.
"""

from __future__ import annotations


def lasting(location: str) -> str:
    """What of it may be kept and told: an address without its query and fragment, which may be a signature that opens it, good for an hour."""
    return location if location.startswith("/") else location.partition("#")[0].partition("?")[0]
