# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses for a benchmark's VPSs."""

from __future__ import annotations

import ipaddress
import json
import pathlib

from .playing import Failed

LAST = 64  # at the end of a network, which tests use


def free(settings: dict, number: int) -> list[str]:
    """So many addresses of the node's first network that nobody has, from its middle on, where fewest look. Raises Failed where there are too few."""
    network = ipaddress.ip_network(settings["networks"][0])
    taken: set[str] = set()
    for path in (pathlib.Path(settings["pool"]) / "vps").glob("*/vps.json"):
        taken |= set(json.loads(path.read_text(encoding="utf-8"))["addresses"])
    found: list[str] = []
    for place in range(network.num_addresses // 2, network.num_addresses - LAST):
        if str(network[place]) not in taken:
            found.append(str(network[place]))
            if len(found) == number:
                return found
    raise Failed(f"{network} has no {number} free addresses in its second half; give the node a larger one (node_networks).")
