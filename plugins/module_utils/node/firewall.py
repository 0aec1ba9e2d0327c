# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our table in the node's packet filter. Nobody else's is touched; what would drop our VPSs' packets is told.

Document: nft(8).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from ..core.machine import Barrier
from ..core.places import HOST_PREFIX, MARK, TABLE
from ..core.ruleset import in_place
from . import tools

_LARGEST = 1 << 26  # bytes; a thousand VPSs' rules are about 5 MiB as JSON


def read(family: str = "inet") -> tuple[str, int] | None:
    """The mark of our table of a family in the kernel, and how many rules it has; None where there is no such table."""
    if not tools.installed("nft"):
        return None
    code, output = tools.attempt(["nft", "--json", "list", "table", family, TABLE], limit=_LARGEST)
    if code != 0:
        return None
    found = json.loads(output)["nftables"]
    marks = [entry["chain"]["name"] for entry in found if entry.get("chain", {}).get("name", "").startswith(MARK)]
    return (marks or [""])[0], sum("rule" in entry for entry in found)


def barriers(networks: Iterable[str]) -> Iterator[Barrier]:
    """The chains of others that drop what is routed, and whose tables name neither our links nor our networks.

    An accepting chain, ours or not, does not outweigh one that drops (nft(8)), so only its owner can let VPSs pass.
    """
    if not tools.installed("nft"):
        return
    code, output = tools.attempt(["nft", "--json", "list", "chains"], limit=_LARGEST)
    chains = [entry["chain"] for entry in json.loads(output)["nftables"] if "chain" in entry] if code == 0 else []
    for chain in chains:
        family, table = chain["family"], chain["table"]
        owner = "firewalld" if table == "firewalld" else "ufw" if _is_ufw(chain, chains) else "somebody"
        drops = chain.get("policy") == "drop" or owner == "firewalld"  # which accepts by policy, and rejects by its last rule
        if family not in ("ip", "inet") or chain.get("hook") != "forward" or not drops:
            continue
        _code, text = tools.attempt(["nft", "list", "table", family, table])
        if not any(known in text for known in (f'"{HOST_PREFIX}', *networks)):
            yield Barrier(f"chain {chain['name']} of table {family} {table}", owner)


def _is_ufw(chain: dict, chains: Iterable[dict]) -> bool:
    return any(other["table"] == chain["table"] and other["name"].startswith("ufw-") for other in chains)


def takes(text: str) -> bool:
    """Whether this kernel takes a text of which nothing stays."""
    return tools.attempt(["nft", "--check", "-f", "-"], stdin=text)[0] == 0


def load(text: str) -> None:
    """Replace the table, whole or not at all; in place, unless it has another shape: another version's, or somebody's."""
    family = "bridge" if f"\ntable bridge {TABLE} " in text else "inet"
    removes = f"\ntable {family} {TABLE} " not in text
    code, output = (1, "") if removes else tools.attempt(["nft", "--json", "--terse", "list", "table", family, TABLE], limit=_LARGEST)
    if code == 0:
        found = (item for entry in json.loads(output)["nftables"] for item in entry.items())
        there = [(kind, body["name"]) for kind, body in found if kind in ("chain", "set", "map")]
        if tools.attempt(["nft", "-f", "-"], stdin=in_place(text, there, family=family))[0] == 0:
            return
    tools.run(["nft", "-f", "-"], stdin=text)
