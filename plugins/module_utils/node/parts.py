# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's steps work with: the records, the storage, and the lock under which they run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..core import fidelity, networks
from ..core.beancounters import BTRFS, DIR, IMAGE
from ..core.builds import Build
from ..core.capacity import Present, Room
from ..core.disk import Disk
from ..core.errors import VpsError
from ..core.model import Manifest, Vps
from ..core.rates import Rates
from ..core.settings import Settings
from . import abilities, cgroup, engine, files, locks, resources
from .record import Shelf, TemplateRecords, VpsRecords
from .storage import directory, image, plain
from .storage.btrfs import Btrfs
from .storage.driver import Startup, Storage, image_of


@dataclass
class Together:
    """What a step leaves to whoever does many of them side by side, and is done once for all of those.

    `known` are all VPSs whose ids and addresses are spoken for; `records` are to be written once the pool has been synced, `synced` whether it has to be.
    The packet filter follows them all, and so does what is guaranteed to all VPSs together.
    """

    known: tuple[Vps, ...]
    records: list[Vps] = field(default_factory=list)
    synced: bool = False


@dataclass
class Parts:
    """A node's parts. `storage` is the pool's own. `lock` is the descriptor of the lock that is held, `lock_timeout` how long to wait for another, in s.

    `found` is whether the VPS under that lock runs, once it has been asked for, until a step changes that. `together` is there for a step that is
    one of many. `warnings` is what steps have met that nobody asked for.
    """

    settings: Settings
    vps: VpsRecords
    templates: TemplateRecords
    storage: Btrfs | plain.Plain
    lock: int = -1
    lock_timeout: float = 60
    found: engine.Status | None = None
    together: Together | None = None
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, settings: Settings) -> Parts:
        """The parts of the node with these settings."""
        storage = plain.Plain(settings.pool) if settings.pool_kind == DIR else Btrfs(settings.pool)
        return cls(settings, VpsRecords(settings.pool), TemplateRecords(settings.pool), storage)

    @property
    def backups(self) -> Shelf:
        """Where snapshots are for as long as a backup is made of them. The folder is there only then."""
        return Shelf(os.path.join(self.settings.pool, "backups"), self.vps.record)

    @cached_property
    def abilities(self) -> fidelity.Abilities:
        """What this machine can limit."""
        return abilities.read(
            self.settings.pool,
            version=cgroup.version(),
            controllers=cgroup.controllers(),
            swap=cgroup.swap_accounting(),
        )

    @cached_property
    def present(self) -> Present:
        """What there is to promise."""
        return resources.present(self.settings.pool)

    def room(self, vpss: Iterable[Vps], unknown: str | None = None) -> Room:
        """What may be promised besides what these VPSs have; `unknown` says why they are not all."""
        return Room(self.present, self.settings.overcommit, tuple(vps.limits for vps in vpss), unknown)

    @cached_property
    def drivers(self) -> dict[str, Storage]:
        """The storage drivers of the pool, by their names; in the order in which what is left of a root file system is theirs to delete."""
        if isinstance(self.storage, plain.Plain):
            return {DIR: directory.Directory(self.settings.pool)}
        return {IMAGE: image.Image(quota=self.abilities.quota), DIR: directory.Directory(self.settings.pool), BTRFS: self.storage}

    def driver(self, vps: Vps) -> Storage:
        """The driver of a VPS's disk."""
        if vps.storage == DIR:  # which is mounted for the ids of a VPS
            return directory.Directory(self.settings.pool, first_id=vps.id_base or 0, mapped=not vps.privileged)
        if vps.storage == BTRFS and isinstance(self.storage, Btrfs):  # most need no other
            return self.storage
        if vps.storage not in self.drivers:
            raise VpsError(f"storage: VPS '{vps.name}' has its disk on {vps.storage}, which this node's pool does not know; move it to a pool on btrfs.")
        return self.drivers[vps.storage]

    def abilities_of(self, vps: Vps) -> fidelity.Abilities:
        """What this machine can limit of a VPS."""
        return self.driver(vps).abilities(self.root(vps.name), self.abilities)

    def startup(self, vps: Vps, *, made_in: str | None = None) -> Startup:
        """What its storage has to say at its start. `made_in` is its root file system as long as it is being made."""
        return self.driver(vps).startup(self.root(vps.name), vps.limits, self.abilities, made_in=made_in)

    @property
    def networks(self) -> tuple[networks.Network, ...]:
        """The networks of the node."""
        return self.settings.all_networks

    def uplinks(self, vps: Vps) -> dict[str, str]:
        """Where the node answers for its addresses."""
        return networks.uplinks(vps.claimed, self.settings.all_networks)

    def disk(self, vps: Vps) -> Disk:
        """What its storage holds it to."""
        return self.driver(vps).read(self.root(vps.name))

    def keepable(self, vps: Vps) -> Vps:
        """A VPS with those of its limits that this machine can keep, and its networks' rates: what its parts are to bring into force."""
        return replace(vps, limits=fidelity.enforced(vps.limits, self.abilities_of(vps)), rates=self.rates(vps))

    def rates(self, vps: Vps) -> Rates:
        """How fast it goes."""
        return networks.rates_of(vps.rates, vps.all_addresses, {one.network for one in vps.interfaces}, self.networks)

    def least_image(self, manifest: Manifest) -> int:
        """Bytes of the smallest image of a template: of the one that was made, or at least of what is to be in it."""
        try:
            return os.stat(image_of(os.path.join(self.templates.path(manifest.template.name), "rootfs"))).st_size
        except FileNotFoundError:
            return manifest.size

    def reserved(self, unread: dict[str, str] | None = None) -> list[Vps]:
        """Every VPS whose ids, addresses and template are spoken for: the finished ones, and those that a run is making.

        One that cannot be read raises VpsError, or is told in `unread`, by its name.
        """
        if self.together is not None:
            return list(self.together.known)
        # In this order: one that is finished while we look is then among the first, or the second, or both, and never among none.
        made = self.making(unread)
        found = self.vps.all(unread)
        names = {vps.name for vps in found}
        return found + [vps for vps in made if vps.name not in names]

    def making(self, unread: dict[str, str] | None = None) -> list[Vps]:
        """Those that a run is making just now; likewise."""
        return [vps for vps in self.vps.staged(unread) if locks.is_held("vps", vps.name)]

    def builds(self, template: str) -> dict[str, Build | None]:
        """The VPSs that came from a template, with the build of it; those whose record is damaged are left out."""
        return {vps.name: vps.build for vps in self.reserved({}) if vps.template == template}

    def sync(self) -> bool:
        """Have all in the pool survive a power cut from here on; False where that is left to who does many steps."""
        if self.together is None:
            self.storage.sync()
            return True
        self.together.synced = True
        return False

    def others(self, name: str) -> list[Vps]:
        """Those but one."""
        return [vps for vps in self.reserved() if vps.name != name]

    def users(self, template: str) -> tuple[str, ...]:
        """The names of the VPSs that came from a template."""
        return tuple(vps.name for vps in self.reserved() if vps.template == template)

    def root(self, name: str) -> str:
        """The root file system of a VPS."""
        return os.path.join(self.vps.path(name), "rootfs")


def node_nameservers() -> tuple[str, ...]:
    """The node's own resolvers that a guest can reach too: none on the node's loopback (resolv.conf(5))."""
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        lines = (files.read(path) or "").splitlines()
        servers = [line.split()[1] for line in lines if line.startswith("nameserver ") and len(line.split()) > 1]
        reachable = [server for server in servers if not server.startswith("127.") and server != "::1"]
        if reachable:
            return tuple(reachable[:3])
    return ()
