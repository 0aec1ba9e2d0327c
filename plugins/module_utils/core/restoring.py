# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS becomes that is made of a backup: on this node or another, under its name or another, or for a test only.

Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from . import disk, links
from .backup import TEST_LABEL
from .container import check_storage
from .errors import NOT_OURS, VpsError, shown
from .fidelity import check, enforced
from .firewall import Firewall
from .model import NodeFacts, Vps
from .rates import Rates


def read_record(text: str) -> Vps:
    """The record that is in a backup; raises VpsError for what is none, or was written by a later release."""
    try:
        return Vps.from_record(json.loads(text))
    except NOT_OURS as error:
        raise VpsError(f"backup: the record in it was not written by this release ({shown(error, 200)}); restore another one.") from None


def reborn(vps: Vps, *, name: str, addresses: Sequence[Any] | None, node: NodeFacts) -> tuple[Vps, list[str]]:
    """The record of the VPS that is to be made, and warnings; raises VpsError for what this node cannot give, or is somebody else's.

    `addresses` are those that it gets instead of its own; it then has neither its interfaces nor its published ports, which are the original's.
    """
    warnings = []
    known = {address: pool for address, pool in vps.pooled if pool in node.pools}
    fresh = _fresh(vps, name, node)
    if fresh.storage != vps.storage:
        warnings.append(f"storage: this node's pool has no {vps.storage}; the VPS gets {fresh.storage}.")
        warnings += check(fresh.limits, node.abilities.on(fresh.storage), "warn", prefix="limits.")
    if addresses is None:
        fresh = replace(fresh, interfaces=tuple(one._replace(host_name=None) for one in fresh.interfaces))
        options: dict[str, Any] = {"addresses": fresh.addresses, "interfaces": fresh.interfaces, "publish": fresh.publish}
        options = {**links.settle(options, None, node), "pooled": tuple(sorted(known.items()))}
    else:
        warnings += [f"{what}: those of the backup were left out, as with other addresses." for what in ("interfaces", "publish") if getattr(vps, what)]
        options = links.settle({"addresses": tuple(addresses), "interfaces": (), "publish": ()}, None, node)
    if vps.plan is not None and vps.plan not in node.plans:
        warnings.append(f"limits: this node has no plan {shown(vps.plan)}; the limits are those that the backup has.")
        options["plan"] = None
    _check(options, fresh, node)
    return replace(fresh, **options), warnings


def for_test(vps: Vps, *, name: str, node: NodeFacts) -> Vps:
    """The same for a VPS that is there for a test alone: it talks to nobody, and does not start with the node. Raises VpsError likewise."""
    fresh = replace(
        _fresh(vps, name, node), addresses=(), interfaces=(), publish=(), pooled=(), rates=Rates(), firewall=Firewall(), onboot=False,
        labels=((TEST_LABEL, vps.name),), protected=False, plan=vps.plan if vps.plan in node.plans else None,
    )
    _check({}, fresh, node)
    return fresh


def _fresh(vps: Vps, name: str, node: NodeFacts) -> Vps:
    """What it takes from the node that it was on, it does not have on this one."""
    storage = vps.storage if vps.storage in node.storages else node.storages[0]
    own = {} if name == vps.name else {"interfaces": tuple(one._replace(mac=None) for one in vps.interfaces)}
    if name != vps.name and vps.hostname == vps.name:
        own["hostname"] = name  # type: ignore[assignment]
    return replace(vps, name=name, storage=storage, id_base=None, unfinished=(), leaving=(), **own)  # type: ignore[arg-type]


def _check(options: dict[str, Any], vps: Vps, node: NodeFacts) -> None:
    if node.foreign:
        raise VpsError(f"target: {node.foreign}")
    if node.damaged:
        raise VpsError(node.damaged)
    can = node.abilities.on(vps.storage)
    check_storage(can, privileged=vps.privileged)
    disk.check_new(enforced(vps.limits, can), can)
    links.check(options, vps.name, node)
