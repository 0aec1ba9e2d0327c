# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has been decided for a node, and what was made or changed on it for that.

Pure, and small: every module reads it at each run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from .beancounters import BTRFS
from .limits import Limits
from .networks import Network, networks_of


DEFAULT_WARNING = 10  # percent


@dataclass(frozen=True)
class Made:
    """What this collection has made on the machine, so that exactly that can be taken away again.

    Written before each thing is made. `pool_file` is the pool's file; `pool_folder` whether its mount point was made too;
    `ids` the files that have our line; `sysctls` the values before we raised them; `lxcfs` whether we started it;
    `lxc_mode` the permissions that LXC's folder had before.
    """

    pool_file: str | None = None
    pool_folder: bool = False
    ids: tuple[str, ...] = ()
    sysctls: Mapping[str, int] = field(default_factory=dict)
    lxcfs: bool = False
    lxc_mode: int | None = None


@dataclass(frozen=True)
class Settings:
    """`pool` is where VPSs and templates are; `id_start` and `id_count` bound the uids and gids of all VPSs; `networks` are subnets.

    `others` are networks besides that one; `followed` what they were when the VPSs last followed them, until they do again. `plans` are named
    sets of limits; `overcommit` is how much of a resource may be promised, in percent of what there is. `pool_warning` is the percent of the
    pool below which what is free is told as a warning; `pool_kind` is btrfs, or dir for a directory on any file system.
    """

    pool: str
    id_start: int
    id_count: int
    networks: tuple[str, ...]
    nat: bool = True
    plans: Mapping[str, Limits] = field(default_factory=dict)
    overcommit: Mapping[str, int] = field(default_factory=dict)
    others: tuple[Network, ...] = ()
    made: Made = Made()
    followed: tuple[Network, ...] | None = None
    pool_warning: int = DEFAULT_WARNING
    pool_kind: str = BTRFS

    @property
    def all_networks(self) -> tuple[Network, ...]:
        """Every network of the node."""
        return networks_of(self.networks, self.nat, self.others)

    @classmethod
    def from_record(cls, record: Mapping) -> Settings:
        """From plain data; raises TypeError or KeyError where it is something else."""
        made = dict(record.get("made") or {})
        made["ids"] = tuple(made.get("ids", ()))
        plans = {name: Limits.from_record(limits) for name, limits in (record.get("plans") or {}).items()}
        others = tuple(Network.from_record(network) for network in record.get("others") or ())
        followed = record.get("followed")
        if followed is not None:
            followed = tuple(Network.from_record(network) for network in followed)
        return cls(**{**record, "others": others, "followed": followed, "networks": tuple(record["networks"]), "plans": plans, "made": Made(**made)})

    def to_text(self) -> str:
        """As JSON, for people too."""
        plans = {name: limits.named for name, limits in self.plans.items()}
        others = [network.named for network in self.others]
        followed = None if self.followed is None else [network.named for network in self.followed]
        return json.dumps({**asdict(self), "plans": plans, "others": others, "followed": followed}, indent=2, sort_keys=True) + "\n"
