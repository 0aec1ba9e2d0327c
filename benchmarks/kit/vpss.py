# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VPSs for benchmarks: made and removed by vps_fleet in one task, where this checkout has it, and else by a loop of vps_container."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence

from .playing import Played, Stage


def has_fleet() -> bool:
    """Whether the collection that playbooks find has vps_fleet."""
    folders = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "").split(":")
    return any((pathlib.Path(folder) / "ansible_collections/mainline/vps/plugins/modules/vps_fleet.py").exists() for folder in folders if folder)


def apply(stage: Stage, vpss: Sequence[Mapping], common: Mapping) -> Played:
    """Have these VPSs be as they are said to be, over what all have in common. Raises Failed."""
    if has_fleet():
        return stage.play([fleet(vpss, common)])
    return stage.play([{"mainline.vps.vps_container": {**common, **vps}} for vps in vpss])


def fleet(vpss: Sequence[Mapping], common: Mapping) -> dict:
    """The task for all of them."""
    return {"mainline.vps.vps_fleet": {"defaults": dict(common), "vps": list(vpss)}}


def own_names(pool: pathlib.Path, prefix: str) -> list[str]:
    """The VPSs of the node whose names begin with that."""
    return sorted(path.name for path in (pool / "vps").iterdir() if path.name.startswith(prefix))


def remove(stage: Stage, names: Sequence[str]) -> None:
    """Have none of these. Raises Failed."""
    if names:
        apply(stage, [{"name": name} for name in names], {"state": "absent", "stop_timeout": 0})
