# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node: puts the parts together. Reads things as they are, and carries out a plan, one step after the other.

It decides nothing about what is asked; that is the plan's. Its twin in memory is tests/contract/memory_node.py, and the
contract that both keep is tests/contract/.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ..core import capacity, networks
from ..core import command as commands
from ..core import plan as steps
from ..core import usage as counts
from ..core.beancounters import BTRFS, DIR, STORAGES
from ..core.disk import Disk, Used
from ..core.errors import VpsError
from ..core.live import Live
from ..core.model import FROZEN, ID_RANGE, RUNNING, Actual, Manifest, NodeFacts, Vps
from ..core.places import PACKET_FILTER, PREVIOUS, link_of
from . import cgroup, configuration, engine, fleet_progress, inside, interfaces, locks, network, progress, rates, resources, root_steps, roots, settings
from . import snapshot_steps, survey, template_life, template_steps, tools, traffic, vps_steps
from . import limits as limits_
from . import usage
from .again import given_back
from .glance import Glance
from .parts import Parts, node_nameservers
from .sweep import sweep

if TYPE_CHECKING:
    from ..core.snapshots import Snapshot, SnapshotsActual
    from ..core.template_life import Desired, TemplateActual

PROGRAMS = ("lxc-start", "lxc-stop", "lxc-info", "lxc-attach", "btrfs", "ip", "tc", "nft", "nsenter", "hostname", "ssh-keygen")


class Node:
    """This machine. Nothing is read before it is asked for."""

    _parts: Parts

    def require_usable(self) -> None:
        """Raise VpsError where this machine is no node, lacks a program, or we are not its root."""
        known = settings.require()
        tools.require(PROGRAMS)
        self._parts = Parts.of(known)

    @contextmanager
    def lock(self, kind: str, name: str, *, timeout: float) -> Iterator[None]:
        """Hold the lock of one VPS or template for as long as it is read, changed and read again."""
        with locks.hold(kind, name, timeout=timeout) as descriptor:
            self._parts.lock, self._parts.lock_timeout = descriptor, timeout
            try:
                yield
            finally:
                self._parts.lock, self._parts.found = -1, None

    def sweep(self) -> list[str]:
        """Remove what killed runs left, so that nothing is decided by it; gives warnings."""
        return sweep(self._parts)

    def apply(self, plan: steps.Plan) -> dict[str, object]:
        """Carry out a plan's steps, in their order; gives what is worth telling besides the changes."""
        name = plan.stops_for_now
        with self._warned() as notes:
            with nullcontext() if name is None else given_back(self._parts, name, FROZEN if plan.freezes else RUNNING):
                notes.update(plan.carry_out(self._do))
        return notes

    @contextmanager
    def _warned(self) -> Iterator[dict[str, object]]:
        """What is worth telling of what is done within, which in the end has the warnings of that, and of nothing before it."""
        notes: dict[str, object] = {}
        self._parts.warnings.clear()
        yield notes
        if self._parts.warnings:
            notes["warnings"] = list(self._parts.warnings)

    def _do(self, step: object) -> dict[str, object] | None:
        if not isinstance(step, steps.Update):
            self._parts.found = None
        kinds = (vps_steps.APPLY, root_steps.APPLY, template_steps.APPLY, template_life.APPLY, snapshot_steps.APPLY)
        return next(kind[type(step)] for kind in kinds if type(step) in kind)(self._parts, step)

    def read_vps(
        self, name: str, *, decides: bool = True, asked: Collection[str] = (), source: str | None = None, removes: bool = False
    ) -> Actual:
        """A VPS as it is: what its record says, where the kernel does not say something else. `source` is one that it is to be a copy of.

        Who `decides` nothing by it does without what the others have. Who `removes` it needs no record that can be read. What takes a program or
        many files is read for who has `asked` for that option.
        """
        for _attempt in range(5):
            try:
                if removes and (damaged := vps_steps.read_damaged(self._parts, name)) is not None:
                    return damaged
                return self._read_vps(name, decides, asked, source)
            except (FileNotFoundError, ProcessLookupError):
                self._parts.found = None
                continue  # it has stopped, rebooted or gone while we looked
        raise VpsError(f"name: VPS '{name}' does not hold still to be read, it stops and starts all the time; stop it first.")

    def _read_vps(self, name: str, decides: bool, asked: Collection[str], source: str | None) -> Actual:
        recorded = self._parts.vps.load(name)
        facts = self._facts(name, asked) if decides else NodeFacts(abilities=self._parts.abilities)
        if recorded is None:
            return Actual(node=facts if source is None else self._with_source(facts, source))
        return self.read_known(recorded, facts, asked, Glance(), decides=decides)

    def read_known(
        self,
        recorded: Vps,
        facts: NodeFacts,
        asked: Collection[str],
        glance: Glance,
        *,
        decides: bool,
        status: engine.Status | None = None,
        limits: bool = True,
        disk: bool = True,
    ) -> Actual:
        """A VPS whose record is known. `status` is what is known of whether it runs. Without its `limits`, or those of its `disk`, they are as recorded.

        Who `decides` nothing by it does without what its files say.
        """
        name, abilities = recorded.name, self._parts.abilities_of(recorded)
        facts, kept = replace(facts, abilities=abilities), self._parts.keepable(recorded)
        stale = set(recorded.unfinished)
        if decides:
            stale |= configuration.stale(kept, self._parts.vps.path(name), self._parts.startup(kept), self._parts.networks)
        if status is None:
            status = vps_steps.status(name, before=self._parts.found)
        if self._parts.lock != -1:  # of this VPS: nobody else changes whether it runs, but its guest
            self._parts.found = status
        addresses, held_rates, links = recorded.addresses, recorded.rates, recorded.interfaces
        at_restart, live = set(), Live()
        if status.pid is not None:
            live = limits_.read(kept, status.pid, abilities, glance.folders(name, status.pid), decides=decides) if limits else live
            at_restart |= live.at_restart(kept.limits, abilities)
            routed = glance.routed.get(link_of(recorded.id_base), ())
            if network.is_cut_off(recorded, glance.devices.devices):
                at_restart.add("addresses")
            elif set(routed) != set(addresses):
                addresses = routed
            if decides and not glance.in_force(bridged=bool(recorded.interfaces)):
                stale.add(PACKET_FILTER)
            if "rates" in asked or any(kept.rates):
                found_rates = rates.read(kept, glance.queues)
                if found_rates != kept.rates and any(recorded.rates):
                    held_rates = found_rates
                elif found_rates != kept.rates:  # which are its networks': no task on it names them
                    stale.add("rates")
            if recorded.interfaces or "interfaces" in asked:
                found = glance.links
                links = interfaces.present(recorded, self._parts.networks, found)
                stale |= {"interfaces"} if interfaces.strays(recorded, found) else set()
                at_restart |= {"interfaces"} if interfaces.waits(recorded, found) else set()
            if decides and engine.is_privileged(status.pid) != recorded.privileged:
                at_restart.add("privileged")
        previous = becomes = None
        if os.path.lexists(os.path.join(self._parts.vps.path(name), PREVIOUS)):
            previous, becomes = roots.previous(self._parts, name)
        holds = self._parts.disk(recorded) if disk else Disk()
        in_force = live.observe(recorded.limits, abilities, holds) if disk else recorded.limits
        return Actual(
            vps=replace(recorded, limits=in_force, addresses=addresses, rates=held_rates, interfaces=links),
            run=status.run,
            pid=status.pid,
            stale=frozenset(stale),
            at_restart=frozenset(at_restart),
            node=facts,
            recorded=recorded,
            held=live.held(in_force, holds, abilities) if decides else {},
            disk=holds,
            live=live,
            previous=previous,
            previous_becomes=becomes,
        )

    def _with_source(self, facts: NodeFacts, name: str) -> NodeFacts:
        """With the VPS that is to be copied, where there is one."""
        source = self._parts.vps.load(name)
        if source is None:
            return facts
        root = self._parts.root(name)
        size = self._parts.driver(source).usage(root) if source.storage == BTRFS else self._parts.disk(source).size
        return replace(facts, source=source, source_size=size or 0)

    def _facts(self, name: str, asked: Collection[str]) -> NodeFacts:
        reserved, damaged = [], None
        try:
            reserved = self._parts.reserved()
        except VpsError as error:  # of another VPS: a reason to give nothing away, and none to refuse the rest
            damaged = str(error)
        return self._facts_beside(name, asked, reserved, damaged)

    def _facts_beside(self, name: str, asked: Collection[str], reserved: Sequence[Vps], damaged: str | None) -> NodeFacts:
        """What the node says to a VPS beside all that there are. `damaged` is why those are not all."""
        taken = {address: "the node" for address in network.own_addresses()}
        others = [vps for vps in reserved if vps.name != name]
        for vps in others:
            taken.update({address: f"VPS {vps.name}" for address in vps.claimed})
        known = self._parts.settings
        taken.update(networks.reserved(known.all_networks))
        manifests = self._parts.templates.all()
        links = interfaces.links() if "interfaces" in asked else {}
        return NodeFacts(
            templates={manifest.template.name: manifest.init for manifest in manifests},
            images={manifest.template.name: self._parts.least_image(manifest) for manifest in manifests},
            taken=taken,
            networks=tuple(subnet for network in known.all_networks if network.bridge is None for subnet in network.subnets),
            pools=networks.pools_of(known.all_networks),
            nameservers=node_nameservers(),
            abilities=self._parts.abilities,
            plans=known.plans,
            room=self._parts.room(others, damaged),
            free_bytes=self._parts.storage.free_bytes(),
            pool_warning=known.pool_warning,
            storages=(DIR,) if known.pool_kind == DIR else STORAGES,
            free_id_ranges=known.id_count // ID_RANGE - len({vps.name for vps in reserved}),
            published={vps.name: vps.publish for vps in others if vps.publish},
            listening=network.listening() if "publish" in asked else frozenset(),
            neighbours=tuple(vps.name for vps in others),
            bridges=interfaces.bridges(known.all_networks, links),
            hardware=frozenset(link.mac for link in links.values()),
            linked=tuple(others) if "interfaces" in asked else (),
            damaged=damaged,
            foreign=engine.foreign(name, self._parts.vps.path(name)) if name else None,
        )

    def read_template(self, desired: Desired) -> TemplateActual:
        """A template as it is, and besides what a task about it has to know."""
        return template_life.read(self._parts, desired)

    def building(self) -> list[dict[str, object]]:
        """The templates that are being made just now: since when, by which step, and the last that was said."""
        return progress.running(self._parts.templates)

    def read_snapshots(self, name: str, *, asked: Collection[str] = (), disk_of: str | None = None) -> SnapshotsActual:
        """A VPS with its snapshots; `asked` as above. `disk_of` is the one whose disk is to be looked at."""
        return snapshot_steps.read(self._parts, name, self.read_vps(name, asked=asked), disk_of)

    def snapshots(self, name: str) -> tuple[list[tuple[Snapshot, int | None]], dict[str, str]]:
        """The snapshots of a VPS, the oldest first, each with the bytes that are its own; and of those that cannot be read why."""
        return snapshot_steps.sizes(self._parts, name)

    def survey(self) -> survey.Survey:
        """All VPSs of this node, for who tells of them and changes nothing."""
        return survey.Survey(self, self._parts)

    def describe_vps(self, vps: Vps, *, disk: bool = True) -> dict[str, object]:
        """Where a VPS is on this machine: what a person wants to know besides what was asked. Without what it has on its `disk`, if asked."""
        used = None
        with suppress(tools.TooLate):  # what it has on its disk must not keep anybody from stopping it
            used = self._parts.driver(vps).usage(self._parts.root(vps.name)) if disk else None
        return {"directory": self._parts.vps.path(vps.name), "host_interface": link_of(vps.id_base), "disk_used": used}

    def disk_exclusive(self, vps: Vps) -> int:
        """Bytes that would be free if a VPS were removed; for some storages all its files are looked at."""
        return self._parts.driver(vps).exclusive(self._parts.root(vps.name))

    def use_of_previous(self, vps: Vps) -> int:
        """Bytes of the pool that would be free without the root file system that a VPS had before."""
        return self._parts.driver(vps).exclusive(os.path.join(self._parts.vps.path(vps.name), PREVIOUS, "rootfs"))

    def counters(self, actual: Actual, glance: Glance, *, disk: bool = True, kernel: bool = True) -> counts.Counters:
        """What the kernel counts of a VPS that has been read. One that has stopped since then is told as stopped.

        Without what is on its `disk`, or with that alone, without what the `kernel` counts in memory, if asked.
        """
        vps, texts = actual.vps, {}
        if vps is None:
            return counts.Counters()
        abilities = self._parts.abilities_of(vps)
        if actual.pid is not None and kernel:
            with suppress(FileNotFoundError, ProcessLookupError):
                texts = usage.read(glance.folders(vps.name, actual.pid), version=abilities.version)
        used = self._parts.driver(vps).used(self._parts.root(vps.name)) if disk else Used()
        return counts.Counters(abilities.version, texts, used, abilities.io_device)

    def traffic(self, actual: Actual, glance: Glance) -> dict[str, int]:
        """Bytes and packets that a VPS was sent and has sent, over all its starts."""
        vps = actual.vps
        return {} if vps is None else traffic.read(vps, self._parts.vps.path(vps.name), glance.devices if actual.pid is not None else None)

    def look(self, command: commands.Command, *, patience: int, writes: bool) -> inside.Place:
        """A VPS as a program that is to run in it finds it; nothing is written unless it `writes`. Waits for a lock for `patience` s."""
        return inside.look(self._parts, command, patience=patience, writes=writes)

    def run(self, command: commands.Command, place: inside.Place, *, patience: int) -> commands.Outcome:
        """Run a program in a VPS, in a running one without any lock."""
        return inside.run(self._parts, command, place, patience=patience)

    def manifests(self, unread: dict[str, str] | None = None) -> list[Manifest]:
        """All templates of this node; of those that cannot be read `unread` gets why, by their names."""
        return self._parts.templates.all(unread)

    def summary(self, room: capacity.Room | None = None) -> dict[str, object]:
        """What this node is made of. `room` is what all VPSs have been promised, where that has been read."""
        room, used = room or self._all_room(), resources.used(self._parts.settings.pool)
        return {
            "pool": self._parts.settings.pool,
            **capacity.report_pool(room, used["disk"], self._parts.storage.free_bytes()),
            "networks": [network.named for network in self._parts.settings.all_networks],
            "cgroup_version": cgroup.version(),
            "fleets": fleet_progress.running(),
            "capacity": capacity.report(room, used),
        }

    def nearly_full(self) -> tuple[str, ...]:
        """What is to be said of a pool that has little left."""
        return capacity.nearly_full(self._parts.present.disk, self._parts.storage.free_bytes(), self._parts.settings.pool_warning)

    def _all_room(self) -> capacity.Room:
        """What all VPSs have been promised."""
        try:
            return self._parts.room(self._parts.reserved())
        except VpsError as error:
            return self._parts.room((), str(error))
