# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One network of a node as the runner wants it."""

from __future__ import annotations

from typing import Any

from .core import networks
from .node.networks import Networks
from .runner import Subject


def _result(node: Any, _desired: Any, actual: networks.NetworkActual) -> dict[str, Any]:
    one = actual.network
    return {"network": None if one is None else {**one.named, "used": node.users(one)}}


NETWORK = Subject(
    lock="network",
    parse=networks.parse_network,
    read=lambda node, desired: node.read_network(desired.name, asked=desired.options),
    compare=networks.compare,
    result=_result,
    make_node=Networks,
)
