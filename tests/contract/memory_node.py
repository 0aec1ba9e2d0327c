# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node in memory, with the contract of node/node.py: what the disk and the kernel would hold, held in dictionaries.

It parses, compares and decides nothing; like the real node it reads, and applies steps. Limits are kept as the cgroup
files that core.limits makes of them, records as the JSON that would be on disk. With `read_only`, any write raises.

The second half, `Memory`, is what somebody else can do to such a machine, and see of it; real_node.py has the same for
the real one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from ansible_collections.mainline.vps.plugins.module_utils.core import capacity, fleet, interfaces
from ansible_collections.mainline.vps.plugins.module_utils.core import plan as steps
from ansible_collections.mainline.vps.plugins.module_utils.core import disk as disks
from ansible_collections.mainline.vps.plugins.module_utils.core.bridging import bridging
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import NOT_OURS, VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import BTRFS, Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.capacity import Present, Room
from ansible_collections.mainline.vps.plugins.module_utils.core.controls import cgroup_files, rlimits, shared_memory_pages, terminals
from ansible_collections.mainline.vps.plugins.module_utils.core.fidelity import Abilities, enforced
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits, least
from ansible_collections.mainline.vps.plugins.module_utils.core.fleet_plan import FleetActual
from ansible_collections.mainline.vps.plugins.module_utils.core.live import Live
from ansible_collections.mainline.vps.plugins.module_utils.core.places import RESCUE
from ansible_collections.mainline.vps.plugins.module_utils.core.rates import Rates
from ansible_collections.mainline.vps.plugins.module_utils.core.model import (
    BUSYBOX,
    FROZEN,
    RUNNING,
    STOPPED,
    SYSTEMD,
    Actual,
    Kept,
    Manifest,
    NodeFacts,
    Vps,
)
from ansible_collections.mainline.vps.plugins.module_utils.core.reinstall import name_of_snapshot
from ansible_collections.mainline.vps.plugins.module_utils.core.networks import Network, networks_of, pools_of
from ansible_collections.mainline.vps.plugins.module_utils.core.ruleset import ruleset
from ansible_collections.mainline.vps.plugins.module_utils.core.snapshots import Snapshot, SnapshotsActual
from ansible_collections.mainline.vps.plugins.module_utils.core.builds import Build, outdated
from ansible_collections.mainline.vps.plugins.module_utils.core.content import Differences
from ansible_collections.mainline.vps.plugins.module_utils.core.template import checksum
from ansible_collections.mainline.vps.plugins.module_utils.core.template_life import ABSENT, PRUNED, Archived, Desired, TemplateActual
from ansible_collections.mainline.vps.plugins.module_utils.core.usage import Counters

ID_RANGE = 65536
UNLIMITED = dict.fromkeys(("NOFILE", "MEMLOCK", "SIGPENDING"), Bound(None, None))
# What the kernel counts of a VPS that has just started.
COUNTERS = {
    1: {"memory.usage_in_bytes": "4194304", "memory.failcnt": "0", "pids.current": "3", "pids.events": "max 0", "cpu.stat": "nr_throttled 0"},
    2: {"memory.current": "4194304", "memory.events": "oom 0\noom_kill 0", "pids.current": "3", "pids.events": "max 0", "cpu.stat": "nr_throttled 0"},
}
FILTERED = {"addresses", "interfaces", "labels", "isolated", "firewall", "publish", "packet_filter"}
GUEST = ("hostname", "nameservers", "search_domains", "root_password_hash", "authorized_keys")


@dataclass
class Kernel:
    """What the kernel holds of one running VPS."""

    pid: int
    files: dict[str, str]
    rlimits: dict[str, Bound]
    shared_pages: int | None
    terminals: int
    routes: list[str]
    privileged: bool
    hostname: str
    rescue: bool = False
    rates: Rates = Rates()
    links: dict[str, interfaces.Interface] = field(default_factory=dict)  # by the node's ends
    routed: bool = True
    frozen: bool = False
    counters: dict[str, str] = field(default_factory=dict)


@dataclass
class Disk:
    """What lies in the pool of one VPS: its record, the configuration made from it, its guest's files, what its storage holds."""

    record: str
    config: str
    guest: dict[str, object]
    held: disks.Disk = disks.Disk()
    init_works: bool = True
    snapshots: dict[str, tuple[Snapshot, dict[str, object]]] = field(default_factory=dict)  # each with its guest's files
    root: int = 0  # which root file system it has, of all that were ever made
    previous: tuple[Kept, int, dict] | None = None


class MemoryNode:
    """A machine with a pool and a network, and nothing on it yet."""

    def __init__(self, *, version: int = 2) -> None:
        self.version = version
        self.read_only = False
        self.networks: tuple[str, ...] = ("10.90.0.0/24",)
        self.addresses = {"10.90.0.1"}
        self.id_ranges = 100
        self.free_bytes = 1 << 40
        self.abilities = Abilities(version=version)
        self.plans: dict[str, Limits] = {}
        self.present = Present(memory=8 << 30, swap=4 << 30, cpu=400, disk=100 << 30, processes=32768)
        self.used = {"memory": 2 << 30, "swap": 0, "disk": 10 << 30, "processes": 200}
        self.pool_warning = 10
        self.overcommit: dict[str, int] = {}
        self.missing_tool: str | None = None
        self.foreign: dict[str, str] = {}
        self.refused_files: set[str] = set()  # the kernel takes no other value for these, and does not say so
        self.locked: list[str] = []
        self.done: list[object] = []  # the steps applied so far
        self.disks: dict[str, Disk] = {}
        self.kernels: dict[str, Kernel] = {}
        self.templates: dict[str, Manifest] = {}
        self.archives: dict[str, Manifest] = {}  # by their paths
        self.damaged_templates: dict[str, list[str]] = {}  # files that somebody has put into them
        self.rules: str | None = None
        self.other_networks: tuple[Network, ...] = ()
        self.listening: set[str] = set()
        self.clock = time.time()
        self.stages: list[tuple[str, tuple[str, ...]]] = []  # of tasks on many VPSs: what was done side by side
        self.ill: set[str] = set()  # VPSs in which a program for their health does not end well
        self.told: list[tuple[int, int, int]] = []
        self.surveyed: list[tuple[str, str]] = []  # by the last survey: of which VPS what was read
        self._pids = 1000
        self._roots = self._builds = 0

    # -- what the runner calls ------------------------------------------------------------------------------------

    def require_usable(self) -> None:
        """It always is."""

    @contextmanager
    def lock(self, kind: str, name: str, *, timeout: float):
        """Only remembered: there is nobody else in this memory."""
        self.locked.append(f"{kind} {name} {timeout:g}")
        yield

    def sweep(self) -> list[str]:
        """A run in memory is not killed, and leaves nothing."""
        return []

    def apply(self, plan: steps.Plan) -> dict[str, object]:
        """Carry out a plan's steps, in their order."""

        def apply(step: object) -> dict[str, object] | None:
            if self.read_only:
                raise AssertionError(f"a write, though nothing may be written: {step}")
            notes = getattr(self, f"_{type(step).__name__}")(step)
            self.done.append(step)
            return notes

        return plan.carry_out(apply)

    def read_vps(
        self, name: str, *, decides: bool = True, asked: Collection[str] = (), source: str | None = None, removes: bool = False
    ) -> Actual:
        """A VPS as it is: its record, where the kernel does not say something else."""
        if removes and name in self.disks:
            try:
                self.recorded(name)
            except VpsError as error:
                return Actual(run=self._run(name), damaged=str(error))
        facts = self._facts(name, asked) if decides else NodeFacts(abilities=self.abilities)
        if name not in self.disks:
            if source in self.disks:
                facts = replace(facts, source=self.recorded(source), source_size=self.disks[source].held.size or 1 << 20)
            return Actual(node=facts)
        disk, kernel, recorded = self.disks[name], self.kernels.get(name), self.recorded(name)
        abilities = self.abilities.on(recorded.storage)
        facts = replace(facts, abilities=abilities)
        stale = set(recorded.unfinished)
        if disk.config != _config(recorded):
            stale.add("configuration")
        if kernel and self.rules is None:
            stale.add("packet_filter")
        kept, addresses, at_restart, live = enforced(recorded.limits, abilities), recorded.addresses, set(), Live()
        if kernel:
            paths = {file: f"/cgroup/{name}/{file}" for file in kernel.files}
            live = Live(kernel.files, paths, kernel.rlimits, normal=self._normal(), shared_pages=kernel.shared_pages, terminals=kernel.terminals)
            at_restart |= live.at_restart(kept, abilities)
            if set(kernel.routes) != set(addresses):
                addresses = tuple(kernel.routes)
            if not kernel.routed and interfaces.has_routed(recorded):
                at_restart.add("interfaces")
            if kernel.privileged != recorded.privileged:
                at_restart.add("privileged")
        limits = live.observe(recorded.limits, abilities, disk.held)
        return Actual(
            vps=replace(recorded, limits=limits, addresses=addresses, rates=kernel.rates if kernel else recorded.rates, interfaces=_linked(recorded, kernel)),
            run=self._run(name),
            pid=kernel.pid if kernel else None,
            stale=frozenset(stale),
            at_restart=frozenset(at_restart),
            node=facts,
            recorded=recorded,
            held=live.held(limits, disk.held, abilities),
            disk=disk.held,
            live=live,
            previous=disk.previous and disk.previous[0],
            previous_becomes=disk.previous and name_of_snapshot(disk.previous[0], disk.snapshots),
        )

    def read_fleet(self, wish: fleet.Wish, only: Collection[str] | None = None) -> FleetActual:
        """All VPSs, of which `only` those are looked at."""
        asked = {option for one in wish.vpss for option in one.options}
        listed = {one.name for one in wish.vpss}
        wanted = listed | (set(self.disks) if wish.unlisted in (fleet.STOP, fleet.ABSENT) else set())
        found: dict[str, Actual] = {}
        unread: dict[str, str] = {}
        for name in wanted if only is None else wanted & set(only):
            try:
                if name in self.disks:
                    found[name] = self.read_vps(name, decides=False, asked=asked)
            except VpsError as error:
                unread[name] = str(error)
        facts = self._facts("", asked)
        sources = {one.disk.clone_from: 1 << 20 for one in wish.vpss if one.disk.clone_from}
        recorded = tuple(self.recorded(name) for name in self.disks) if facts.damaged is None else ()
        return FleetActual(facts, found, recorded, tuple(self.disks), sources, self.foreign, unread, frozenset(wanted if only is None else only))

    @contextmanager
    def lock_all(self, kind: str, names: Collection[str], *, timeout: float):
        """Only remembered."""
        self.locked += [f"{kind} {name} {timeout:g}" for name in names]
        yield

    def work(self, part: str, work: dict[str, tuple], *, parallel: int | None, done: Callable[[str], None] = lambda name: None) -> dict[str, object]:
        """Carry out a part of several plans; there is nobody to do it side by side with. What each told, or its error."""
        self.stages.append((part, tuple(work)))
        found: dict[str, object] = {}
        for name, some in work.items():
            try:
                found[name] = self.apply(steps.Plan(steps=tuple(some)))
            except VpsError as error:
                found[name] = error
            done(name)
        return found

    def await_all(self, waits: dict[str, steps.Wait], *, parallel: int | None) -> dict[str, object]:
        """Wait for several."""
        return self.work("wait", {name: (wait,) for name, wait in waits.items()}, parallel=parallel)

    def check_health(self, health: fleet.Health, names: Collection[str], *, parallel: int | None) -> dict[str, object]:
        """Whether a program ends well in each; here as the test says."""
        self.stages.append(("health", tuple(names)))
        return {name: VpsError(f"health.argv: VPS '{name}' is not well.") for name in names if name in self.ill}

    @contextmanager
    def progress(self, of: int):
        """Told to nobody."""
        yield lambda done, failed: self.told.append((done, of, failed))

    def read_snapshots(self, name: str, *, asked: Collection[str] = (), disk_of: str | None = None) -> SnapshotsActual:
        """A VPS with its snapshots."""
        return SnapshotsActual(self.read_vps(name, asked=asked), tuple(one for one, _size in self.snapshots(name)[0]))

    def snapshots(self, name: str) -> tuple[list[tuple[Snapshot, int]], dict[str, str]]:
        """The snapshots of a VPS, the oldest first."""
        found = [one for one, _guest in self.disks[name].snapshots.values()] if name in self.disks else []
        return [(one, 0) for one in sorted(found, key=lambda one: one.created)], {}

    def read_template(self, desired: Desired) -> TemplateActual:
        """A template as it is, and what its task asks about."""
        (users, unread), manifest = self.users(), self.templates.get(desired.name)
        if unread and desired.state in (ABSENT, PRUNED):
            raise VpsError(next(iter(unread.values())))
        mine = users.get(desired.name, {})
        return TemplateActual(
            manifest,
            tuple(mine),
            self.missing_tool if desired.template is not None else None,
            outdated=outdated(manifest.build, mine) if manifest else (),
            differences=Differences(extra=tuple(self.damaged_templates.get(desired.name, ()))) if desired.verify else None,
            archive=None if desired.path is None else Archived(desired.path, self.archives.get(desired.path)),
            unused=tuple(one for name, one in sorted(self.templates.items()) if name not in users) if desired.state == PRUNED else (),
        )

    def building(self) -> list[dict[str, object]]:
        """There is nobody else."""
        return []

    def survey(self) -> MemorySurvey:
        """All VPSs, for who tells of them."""
        return MemorySurvey(self)

    def users(self) -> tuple[dict[str, dict[str, Build | None]], dict[str, str]]:
        """The VPSs with their builds, by the template that they came from, and why some cannot be read."""
        found: dict[str, dict[str, Build | None]] = {}
        unread: dict[str, str] = {}
        for name in sorted(self.disks):
            try:
                vps = self.recorded(name)
            except VpsError as error:
                unread[name] = str(error)
                continue
            found.setdefault(vps.template, {})[name] = vps.build
        return found, unread

    def describe_vps(self, vps: Vps, *, disk: bool = True) -> dict[str, object]:
        """Where a VPS is."""
        return {"directory": f"/pool/vps/{vps.name}", "host_interface": f"vps{vps.id_base >> 16}", "disk_used": 1 << 20 if disk else None}

    def use_of_previous(self, vps: Vps) -> int:
        """What one that is kept takes."""
        assert self.disks[vps.name].previous
        return 1 << 20

    def nearly_full(self) -> tuple[str, ...]:
        """Of a pool that has little left."""
        return capacity.nearly_full(self.present.disk, self.free_bytes, self.pool_warning)

    def disk_exclusive(self, vps: Vps) -> int:
        """Nothing is shared here."""
        return self.describe_vps(vps)["disk_used"]

    def manifests(self, _unread: dict[str, str] | None = None) -> list[Manifest]:
        """All templates."""
        return [self.templates[name] for name in sorted(self.templates)]

    def summary(self) -> dict[str, object]:
        """The node."""
        return {
            "pool": "/pool",
            **capacity.report_pool(self._room(self.disks), 0, self.free_bytes),
            "networks": [network.named for network in self._networks()],
            "cgroup_version": self.version,
            "fleets": [],
            "capacity": capacity.report(self._room(self.disks), self.used),
        }

    # -- one step each --------------------------------------------------------------------------------------------

    def _Create(self, step: steps.Create) -> None:
        used = {self.recorded(name).id_base for name in self.disks}
        build = self.templates[step.vps.template].build if step.source is None else self.recorded(step.source).build
        vps = replace(step.vps, build=build, id_base=next(base for base in range(1 << 20, 1 << 40, ID_RANGE) if base not in used))
        assert vps.name not in self.disks
        vps = self._with_links(vps)
        self.disks[vps.name] = Disk(_record(vps), _config(vps), {option: getattr(vps, option) for option in GUEST}, root=self._new_root())
        self._limit_disk(vps)
        self.rules = self._rules()

    def _Update(self, step: steps.Update) -> None:
        vps = replace(step.vps, build=step.vps.build or self.recorded(step.vps.name).build)
        vps, disk, kernel = self._with_links(vps), self.disks[step.vps.name], self.kernels.get(step.vps.name)
        disk.record = _record(replace(vps, unfinished=tuple(sorted(step.options - {"configuration", "packet_filter"}))))
        if "limits" in step.options:
            self._limit_disk(vps)
            if kernel:
                self._hold(kernel, self._kept(vps))
        disk.guest.update({option: getattr(vps, option) for option in GUEST if option in step.options})
        disk.config = _config(vps)
        if kernel and "addresses" in step.options:
            kernel.routes = list(vps.addresses)
        if kernel and "interfaces" in step.options:
            kernel.links = {one.host_name: one for one in vps.interfaces}
            kernel.routed = kernel.routed and interfaces.has_routed(vps)
        if kernel and "hostname" in step.options:
            kernel.hostname = vps.hostname
        if kernel and "rates" in step.options:
            kernel.rates = vps.rates
        if step.options & FILTERED:
            self.rules = self._rules()
        disk.record = _record(replace(vps, unfinished=()))

    def _Start(self, step: steps.Start) -> None:
        assert self._run(step.name) == STOPPED
        vps = Vps.from_record(json.loads(self.disks[step.name].config))
        for name, bound in rlimits(self._kept(vps)).items():
            if max(value or 0 for value in bound) > self.abilities.hard_limits.get(name, 1 << 62):
                raise VpsError(f"state: VPS '{vps.name}' did not start: the kernel refused {bound} for {name}.")
        self._pids += 1
        kernel = Kernel(
            self._pids, cgroup_files(Limits(), version=self.version), self._fresh(), None, terminals(self._kept(vps)), list(vps.addresses),
            vps.privileged, vps.hostname, vps.rescue is not None, counters=dict(COUNTERS[self.version]),
        )
        self._hold(kernel, self._kept(vps))
        kernel.rates, kernel.routed = vps.rates, interfaces.has_routed(vps)
        kernel.links = {one.host_name: one for one in vps.interfaces}
        self.kernels[step.name] = kernel

    def _Stop(self, step: steps.Stop) -> None:
        assert self._run(step.name) != STOPPED
        del self.kernels[step.name]

    def _Freeze(self, step: steps.Freeze) -> None:
        assert self._run(step.name) == RUNNING
        self.kernels[step.name].frozen = True

    def _Thaw(self, step: steps.Thaw) -> None:
        assert self._run(step.name) == FROZEN
        self.kernels[step.name].frozen = False

    def _Wait(self, step: steps.Wait) -> dict[str, object]:
        if not self.disks[step.name].init_works:
            self.kernels.pop(step.name, None)
            raise VpsError(f"wait: VPS '{step.name}' was started and has stopped again; its init ended.", console="")
        return {"boot": "running"} if step.until == "booted" else {}

    def _Destroy(self, step: steps.Destroy) -> None:
        assert self._run(step.name) == STOPPED
        del self.disks[step.name]
        self.rules = self._rules()

    def _TakeSnapshot(self, step: steps.TakeSnapshot) -> None:
        disk, vps = self.disks[step.vps], self.recorded(step.vps)
        assert step.name not in disk.snapshots and not (step.freeze and self._run(step.vps) != RUNNING)
        self.clock += 1
        expires = None if step.lifetime is None else self.clock + step.lifetime
        one = Snapshot(step.name, self.clock, vps, self._run(step.vps), step.description, step.series, expires)
        disk.snapshots[step.name] = (one, dict(disk.guest))

    def _ChangeSnapshot(self, step: steps.ChangeSnapshot) -> None:
        kept = self.disks[step.snapshot.vps.name].snapshots
        kept[step.snapshot.name] = (step.snapshot, kept[step.snapshot.name][1])

    def _RemoveSnapshot(self, step: steps.RemoveSnapshot) -> None:
        del self.disks[step.vps].snapshots[step.name]

    def _RollBack(self, step: steps.RollBack) -> None:
        name = step.vps.name
        if step.runs:
            self._Stop(steps.Stop(name, step.stop_timeout))
        if step.keep:
            self._TakeSnapshot(step.keep)
        self.disks[name].guest = dict(self.disks[name].snapshots[step.snapshot][1])
        self.disks[name].guest.update({option: getattr(step.vps, option) for option in step.identity})
        if step.update:
            self._Update(step.update)
        if step.runs:
            self._Start(steps.Start(name))

    def _new_root(self) -> int:
        self._roots += 1
        return self._roots

    def _put(self, vps: Vps) -> None:
        assert self._run(vps.name) == STOPPED
        self.disks[vps.name].record, self.disks[vps.name].config = _record(vps), _config(vps)

    def _Reinstall(self, step: steps.Reinstall) -> dict[str, object]:
        vps, disk = self.recorded(step.name), self.disks[step.name]
        if disk.previous and step.keep_previous:
            was, _root, files = disk.previous
            before = replace(vps, template=was.template, init=was.init, build=was.build, unfinished=tuple(sorted(GUEST)))
            name = name_of_snapshot(was, disk.snapshots)
            disk.snapshots[name] = (Snapshot(name, self.clock, before, description="before it was reinstalled", series="reinstall"), files)
        disk.previous = (Kept(vps.template, vps.init, "2026-01-01T00:00:00+00:00", vps.build), disk.root, disk.guest) if step.keep_previous else None
        disk.guest, disk.root = {option: getattr(vps, option) for option in GUEST}, self._new_root()
        self._put(replace(vps, template=step.template, init=step.init, build=self.templates[step.template].build))
        return {"kept_paths": []} if step.keep_paths else {}

    def _GoBack(self, step: steps.GoBack) -> None:
        disk = self.disks[step.name]
        was, disk.root, disk.guest = disk.previous
        disk.previous = None
        self._put(replace(self.recorded(step.name), template=was.template, init=was.init, build=was.build))

    def _DropPrevious(self, step: steps.DropPrevious) -> None:
        self.disks[step.name].previous = None

    def _EnterRescue(self, step: steps.EnterRescue) -> None:
        self._put(replace(self.recorded(step.name), rescue=step.rescue))

    def _LeaveRescue(self, step: steps.LeaveRescue) -> None:
        self._put(replace(self.recorded(step.name), rescue=None))

    def _BuildTemplate(self, step: steps.BuildTemplate) -> None:
        template = step.template
        init = BUSYBOX if template.source == "minimal" else SYSTEMD
        version = self.templates[template.name].version + 1 if template.name in self.templates else 1
        self._builds += 1  # no two of which are the same
        created = datetime.fromtimestamp(self.clock, timezone.utc).isoformat(timespec="seconds")
        self.templates[template.name] = Manifest(template, init, checksum(template), 1 << 20, created, version, f"{self._builds:064x}")
        self.damaged_templates.pop(template.name, None)

    def _RemoveTemplate(self, step: steps.RemoveTemplate) -> None:
        del self.templates[step.name]

    def _PruneTemplate(self, step: steps.PruneTemplate) -> None:
        if self.templates[step.name].build == step.build:
            del self.templates[step.name]

    def _ExportTemplate(self, step: steps.ExportTemplate) -> None:
        self.archives[step.path] = self.templates[step.name]

    def _ImportTemplate(self, step: steps.ImportTemplate) -> None:
        kept, there = self.archives[step.path], self.templates.get(step.name)
        version = max(kept.version, there.version + 1 if there else 1)
        self.templates[step.name] = replace(kept, template=replace(kept.template, name=step.name), version=version, imported=True)
        self.damaged_templates.pop(step.name, None)

    # -- what the disk and the kernel say -------------------------------------------------------------------------

    def recorded(self, name: str) -> Vps:
        """A VPS's record, read as from disk; raises VpsError for a damaged one."""
        try:
            return Vps.from_record(json.loads(self.disks[name].record))
        except NOT_OURS as error:
            raise VpsError(f"/pool/vps/{name}/vps.json: was not written by this release ({error}); nothing was touched.") from None

    def _networks(self) -> tuple[Network, ...]:
        return networks_of(self.networks, True, self.other_networks)

    def _with_links(self, vps: Vps) -> Vps:
        """With the names and hardware addresses that nobody chose."""
        try:
            others = [self.recorded(name) for name in self.disks if name != vps.name]
        except VpsError:
            return vps
        return replace(vps, interfaces=interfaces.choose(vps, others))

    def _rules(self) -> str:
        """The packet filter's tables, which stay as they are as long as a record cannot be read."""
        try:
            networks, vpss = self._networks(), [self.recorded(name) for name in self.disks]
            passing = bridging(networks, vpss)
            return ruleset(networks, vpss).text + (passing.text if passing else "")
        except VpsError:
            return self.rules

    def _run(self, name: str) -> str:
        kernel = self.kernels.get(name)
        if kernel is None:
            return STOPPED
        return FROZEN if kernel.frozen else RUNNING

    def _kept(self, vps: Vps) -> Limits:
        return enforced(vps.limits, self.abilities.on(vps.storage))

    def _limit_disk(self, vps: Vps) -> None:
        """As the storage drivers do; an image is never made smaller while it is in use, and keeps its inodes."""
        kept, disk = self._kept(vps), self.disks[vps.name]
        if vps.storage == BTRFS:
            disk.held = disks.Disk(size=kept.disk_bytes())
            return
        size, before = disks.image_size(kept, disk.held.size), disk.held
        assert size >= (before.size or 0) or self._run(vps.name) == STOPPED
        inodes = before.inodes or disks.inodes_of(kept.diskinodes.limit if kept.diskinodes else 1 << 20, size)
        disk.held = disks.Disk(size, inodes, disks.quota_of(kept) if self.abilities.quota else None)

    def _hold(self, kernel: Kernel, limits: Limits) -> None:
        for name, bound in {**self._fresh(), **rlimits(limits)}.items():
            before = kernel.rlimits[name]
            hard = least(before.limit, bound.limit) if not self.abilities.raises else bound.limit
            kernel.rlimits[name] = Bound(least(bound.barrier, hard), hard)
        kernel.shared_pages = shared_memory_pages(limits)
        kernel.files.update(
            {file: text for file, text in cgroup_files(limits, version=self.version).items() if file not in self.refused_files}
        )

    def _fresh(self) -> dict[str, Bound]:
        """What a process has where nobody has limited it."""
        return {name: Bound(hard, hard) for name, hard in {**dict.fromkeys(UNLIMITED), **self.abilities.hard_limits}.items()}

    def _normal(self) -> dict[str, Bound]:
        return {} if self.abilities.raises else self._fresh()

    def _room(self, names: Iterable[str]) -> Room:
        try:
            return Room(self.present, self.overcommit, tuple(self.recorded(name).limits for name in names))
        except VpsError as error:
            return Room(self.present, self.overcommit, (), str(error))

    def _facts(self, asking: str, asked: Collection[str]) -> NodeFacts:
        taken = {address: "the node" for address in self.addresses}
        taken.update({gateway: f"the gateway of network '{one.name}'" for one in self._networks() for gateway in one.gateways})
        room = self._room(name for name in self.disks if name != asking)
        for name in self.disks if room.unknown is None else ():
            if name != asking:
                taken.update({address: f"VPS {name}" for address in self.recorded(name).claimed})
        return NodeFacts(
            templates={name: manifest.init for name, manifest in self.templates.items()},
            taken=taken,
            networks=tuple(subnet for network in self._networks() if network.bridge is None for subnet in network.subnets),
            bridges={one.name: interfaces.Bridge(one.name, one.subnets, one.gateways) for one in self._networks() if one.bridge and "interfaces" in asked},
            linked=tuple(self.recorded(name) for name in self.disks if name != asking) if room.unknown is None else (),
            pools=pools_of(self._networks()),
            abilities=self.abilities,
            plans=self.plans,
            room=room,
            published={name: self.recorded(name).publish for name in self.disks if name != asking} if room.unknown is None else {},
            listening=frozenset(self.listening if "publish" in asked else ()),
            neighbours=tuple(name for name in self.disks if name != asking),
            damaged=room.unknown,
            free_bytes=self.free_bytes,
            pool_warning=self.pool_warning,
            free_id_ranges=self.id_ranges - len(self.disks),
            foreign=self.foreign.get(asking),
        )


class MemorySurvey:
    """All VPSs of a node in memory. It counts what is read: who leaves a VPS out, or does not ask for something of it, must not have it read."""

    def __init__(self, node: MemoryNode) -> None:
        self._node, self.unread, self.vpss = node, {}, []
        self._users, self.unread = node.users()
        self.vpss = [node.recorded(name) for name in sorted(node.disks) if name not in self.unread]
        node.surveyed = []

    def users(self) -> dict[str, dict[str, Build | None]]:
        """By the template that they came from."""
        return self._users

    def summary(self) -> dict[str, object]:
        """The node."""
        return self._node.summary()

    def find(self, vps: Vps) -> Actual:
        """Whether a VPS runs."""
        kernel = self._node.kernels.get(vps.name)
        return self._read("state", Actual(vps=vps, run=self._node._run(vps.name), pid=kernel.pid if kernel else None))

    def read(self, found: Actual, *, limits: bool, disk: bool) -> Actual:
        """All of it."""
        what = "limits" if limits else "disk limits" if disk else "rest"
        actual = self._read(what, self._node.read_vps(found.vps.name, decides=False))
        return actual if limits or disk else replace(actual, vps=replace(actual.vps, limits=found.vps.limits))

    def counters(self, actual: Actual, *, kernel: bool) -> Counters:
        """What the kernel counts."""
        self._read("counters" if kernel else "disk", actual)
        found = self._node.kernels.get(actual.vps.name) if kernel else None
        return Counters(self._node.version, found.counters if found else {}, disks.Used(1 << 20), self._node.abilities.io_device)

    def traffic(self, actual: Actual) -> dict[str, int]:
        """What its link has carried."""
        self._read("traffic", actual)
        return dict.fromkeys(("bytes_in", "packets_in", "bytes_out", "packets_out"), 0)

    def uptime(self, actual: Actual) -> int | None:
        """Time stands still here."""
        return None if actual.pid is None else 0

    def device(self, _vps: Vps) -> str | None:
        """There is none."""
        return None

    def snapshots(self, name: str) -> tuple[list[tuple[Snapshot, int]], dict[str, str]]:
        """The oldest first."""
        return self._node.snapshots(name)

    def _read(self, what: str, actual: Actual) -> Actual:
        self._node.surveyed.append((actual.vps.name, what))
        return actual


class Memory:
    """What else happens on a node in memory: see real_node.py for the words."""

    def __init__(self, node: MemoryNode) -> None:
        self.node = node

    def address(self, number: int) -> str:
        return f"10.90.0.{10 + number}"

    def own_address(self) -> str:
        return "10.90.0.1"

    def bridged(self) -> str:
        self.node.other_networks = (Network("contract-lan", ("10.92.0.0/24",), bridge="br-contract", gateways=("10.92.0.1",), made=True, tracks=True),)
        return "contract-lan"

    def read_only(self, switch: bool) -> None:
        self.node.read_only = switch

    def snapshot(self) -> str:
        return repr((self.node.disks, self.node.kernels, self.node.templates))

    def witness(self, name: str) -> dict[str, object]:
        disk, kernel = self.node.disks[name], self.node.kernels.get(name)
        return {
            **disk.guest,
            "diskspace": None if self.node.recorded(name).storage != BTRFS and disk.held.size == disks.DEFAULT_SIZE else disk.held.size,
            "live_hostname": kernel.hostname if kernel else None,
            "routes": set(kernel.routes) if kernel else set(),
            "files": dict(kernel.files) if kernel else {},
            "links": sorted(kernel.links) if kernel else [],
            "privileged": kernel.privileged if kernel else None,
            "rates": kernel.rates.named if kernel else None,
            "onboot": json.loads(disk.config)["onboot"],
            "pid": kernel.pid if kernel else None,
            "root": disk.root,
            "booted": None if kernel is None else RESCUE if kernel.rescue else "disk",
        }

    def set_limits(self, name: str, limits: Limits) -> None:
        self.node.kernels[name].files.update(cgroup_files(limits, version=self.node.version))

    def set_quota(self, name: str, size: int | None) -> None:
        disk = self.node.disks[name]
        disk.held = replace(disk.held, size=size)

    def unroute(self, name: str, address: str) -> None:
        self.node.kernels[name].routes.remove(address)

    def route(self, name: str, address: str) -> None:
        self.node.kernels[name].routes.append(address)

    def unlink(self, name: str, link: str) -> None:
        del self.node.kernels[name].links[link]

    def edit_config(self, name: str) -> None:
        self.node.disks[name].config += " "

    def record(self, name: str) -> Vps:
        return self.node.recorded(name)

    @contextmanager
    def damaged(self, name: str, record: str | None):
        disk = self.node.disks[name]
        whole, disk.record = disk.record, "" if record is None else record
        try:
            yield
        finally:
            disk.record = whole

    def interrupt(self, name: str, **options: object) -> None:
        vps = replace(self.node.recorded(name), **options)
        self.node.disks[name].record = _record(replace(vps, unfinished=tuple(sorted(options))))

    def break_init(self, name: str) -> None:
        self.node.disks[name].init_works = False

    def die(self, name: str) -> None:
        del self.node.kernels[name]

    def rules_follow(self) -> bool:
        return self.node.rules == self.node._rules()

    def flush_rules(self) -> None:
        self.node.rules = None

    @contextmanager
    def listening(self):
        self.node.listening.add("tcp/40022")
        yield 40022

    def clean(self) -> None:
        pass


def _linked(recorded: Vps, kernel: Kernel | None) -> tuple[interfaces.Interface, ...]:
    """The interfaces of a VPS, of which one that runs has what the kernel has."""
    return recorded.interfaces if kernel is None else tuple(one for one in recorded.interfaces if kernel.links.get(one.host_name) == one)


def _record(vps: Vps) -> str:
    return json.dumps(vps.to_record())


def _config(vps: Vps) -> str:
    """What stands for LXC's configuration: all that a start needs, and not what is the guest's or a person's."""
    return json.dumps(replace(vps, root_password_hash=None, authorized_keys=(), description="", unfinished=()).to_record())
