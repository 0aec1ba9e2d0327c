# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node: puts the parts together. Reads things as they are, and applies the steps of a plan in one order.

It decides nothing about what is asked; that is the plan's. Its twin in memory is tests/contract/memory_node.py, and the
contract that both keep is tests/contract/.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timezone

from ..core import plan as steps
from ..core.errors import VpsError
from ..core.limits import observed
from ..core.model import RUNNING, STOPPED, Actual, Manifest, NodeFacts, TemplateActual, Vps
from ..core.template import checksum
from . import build, cgroup, engine, files, guest, locks, network, settings
from .record import TemplateRecords, VpsRecords
from .storage.btrfs import Btrfs
from .tree import Tree

CONFIGURATION = "configuration"


class Node:
    """This machine. Nothing is read before it is asked for."""

    def __init__(self) -> None:
        self._settings: settings.Settings | None = None

    # -- what the runner calls ------------------------------------------------------------------------------------

    def require_usable(self) -> None:
        """Raise VpsError where this machine is no node, or we are not its root."""
        self._settings = settings.require()
        self._vps = VpsRecords(self._settings.pool)
        self._templates = TemplateRecords(self._settings.pool)
        self._storage = Btrfs(self._settings.pool)

    @contextmanager
    def lock(self, kind: str, name: str, *, timeout: float):
        """Hold the lock of one VPS or template for as long as it is read, changed and read again."""
        with locks.hold(kind, name, timeout=timeout) as descriptor:
            self._lock = descriptor
            self._lock_timeout = timeout
            yield

    def apply(self, plan: steps.Plan) -> dict[str, object]:
        """Carry out a plan's steps, in their order; gives what is worth telling besides the changes."""
        self._sweep()
        notes: dict[str, object] = {}
        for step in plan.steps:
            notes.update(self._APPLY[type(step)](self, step) or {})
        return notes

    # -- reading --------------------------------------------------------------------------------------------------

    def read_vps(self, name: str) -> Actual:
        """A VPS as it is: what its record says, where the kernel does not say something else."""
        recorded = self._vps.load(name)
        facts = self._facts(name)
        if recorded is None:
            return Actual(node=facts)
        stale = set(recorded.unfinished)
        if not self._configured(recorded):
            stale.add(CONFIGURATION)
        status = engine.status(name)
        limits = recorded.limits
        addresses = recorded.addresses
        at_restart = set()
        if status.pid is not None:
            wanted = cgroup.files(recorded)
            held = cgroup.read(name, status.pid, list(wanted))
            limits = observed(limits, held, version=cgroup.version())
            routed = network.routed().get(network.host_interface(recorded), ())
            if set(routed) != set(addresses):
                addresses = routed
            if engine.is_privileged(status.pid) != recorded.privileged:
                at_restart.add("privileged")
        limits = replace(limits, diskspace=self._storage.read_limit(self._root(name)))
        return Actual(
            vps=replace(recorded, limits=limits, addresses=addresses),
            run=status.run,
            stale=frozenset(stale),
            at_restart=frozenset(at_restart),
            node=facts,
            recorded=recorded,
        )

    def read_template(self, name: str, wanted: object = None) -> TemplateActual:
        """A template as it is. `wanted` is the Template that would be built, to tell whether the node has the tools."""
        return TemplateActual(
            manifest=self._templates.load(name),
            used_by=self.users(name),
            missing_tool=build.missing_tool(wanted) if wanted is not None else None,
        )

    def users(self, template: str) -> tuple[str, ...]:
        """The VPSs, those being made included, that came from a template."""
        return tuple(vps.name for vps in self._vps.reserved() if vps.template == template)

    def describe_vps(self, actual: Actual) -> dict[str, object]:
        """Where a VPS is on this machine: what a person wants to know besides what was asked."""
        vps = actual.vps
        status = engine.status(vps.name)
        return {
            "directory": self._vps.path(vps.name),
            "host_interface": network.host_interface(vps),
            "pid": status.pid,
            "disk_used": self._storage.usage(self._root(vps.name)),
        }

    def vps_names(self) -> list[str]:
        """All VPSs of this node."""
        return self._vps.names()

    def manifests(self) -> list[Manifest]:
        """All templates of this node."""
        return self._templates.all()

    def summary(self) -> dict[str, object]:
        """What this node is made of."""
        return {
            "pool": self._settings.pool,
            "pool_free": self._storage.free_bytes(),
            "networks": list(self._settings.networks),
            "cgroup_version": cgroup.version(),
        }

    def _facts(self, name: str) -> NodeFacts:
        taken = {address: "the node" for address in network.own_addresses()}
        reserved = self._vps.reserved()
        for vps in reserved:
            if vps.name != name:
                taken.update({address: f"VPS {vps.name}" for address in vps.addresses})
        return NodeFacts(
            templates={manifest.template.name: manifest.init for manifest in self._templates.all()},
            taken=taken,
            networks=self._settings.networks,
            nameservers=node_nameservers(),
            swap_accounting=cgroup.swap_accounting(),
            free_bytes=self._storage.free_bytes(),
            free_id_ranges=self._settings.id_count // engine.ID_RANGE - len({vps.name for vps in reserved}),
            foreign=engine.foreign(name, self._vps.path(name)),
        )

    def _configured(self, vps: Vps) -> bool:
        directory = self._vps.path(vps.name)
        wanted = self._configuration(vps)
        return engine.linked(vps.name, directory) and all(
            files.read(os.path.join(directory, file)) == text for file, text in wanted.items()
        )

    def _configuration(self, vps: Vps) -> dict[str, str]:
        """The files in a VPS's directory that LXC reads, whole."""
        config = engine.render(
            vps,
            directory=self._vps.path(vps.name),
            seccomp=settings.SECCOMP,
            cgroup=cgroup.config(vps),
            network=network.config(vps),
        )
        inside, outside = network.start_batches(vps)
        start = engine.render_start(echoes=cgroup.start_echoes(vps) + network.start_echoes(vps), inside=inside, outside=outside)
        return {"config": config, "start": start}

    def _configure(self, vps: Vps, directory: str) -> None:
        for file, text in self._configuration(vps).items():
            files.write(os.path.join(directory, file), text, mode=0o755 if file == "start" else 0o644)

    def _root(self, name: str) -> str:
        return os.path.join(self._vps.path(name), "rootfs")

    # -- one step each --------------------------------------------------------------------------------------------

    def _create(self, step: steps.Create) -> None:
        vps, directory = self._reserve(step.vps)
        root = os.path.join(directory, "rootfs")
        try:
            self._storage.clone(os.path.join(self._templates.path(vps.template), "rootfs"), root)
            with Tree(root) as tree:
                guest.prepare(tree, vps, node_nameservers())
            if vps.limits.diskspace is not None:
                self._storage.limit(root, vps.limits.diskspace)
            self._configure(vps, directory)
        except BaseException:
            self._erase(directory)
            raise
        self._vps.commit(vps.name)
        engine.link(vps.name, self._vps.path(vps.name))

    def _reserve(self, vps: Vps) -> tuple[Vps, str]:
        """Take an id range and the addresses, in the record of a VPS in the making: from here on nobody else gets them."""
        with locks.hold("node", "allocation", timeout=self._lock_timeout):
            self._refuse_taken(vps)
            used = {other.id_base for other in self._vps.reserved()}
            first, count = self._settings.id_start, self._settings.id_count // engine.ID_RANGE
            base = next((base for base in range(first, first + count * engine.ID_RANGE, engine.ID_RANGE) if base not in used), None)
            if base is None:
                raise VpsError("name: all id ranges of the node are in use; give root more in /etc/subuid and /etc/subgid.")
            vps = replace(vps, id_base=base)
            directory = self._vps.begin(vps.name)
            self._vps.store(vps, directory)
        return vps, directory

    def _refuse_taken(self, vps: Vps) -> None:
        """Addresses may have been given away since they were compared."""
        for other in self._vps.reserved():
            for address in set(vps.addresses) & set(other.addresses):
                if other.name != vps.name:
                    raise VpsError(f"addresses: {address} belongs to VPS {other.name}; give '{vps.name}' another one.")

    def _update(self, step: steps.Update) -> None:
        """First the record, with what is still to be done; then the guest, the configuration and the kernel; then the rest.

        A run that is killed on the way leaves a record that says what it had not finished.
        """
        vps = step.vps
        status = engine.status(vps.name)
        unfinished = tuple(sorted(step.options - {CONFIGURATION}))
        with locks.hold("node", "allocation", timeout=self._lock_timeout):
            self._refuse_taken(vps)
            self._vps.store(replace(vps, unfinished=unfinished))
        # Limits first: a disk that grows must have grown before anything is written to it.
        if "limits" in step.options:
            self._storage.limit(self._root(vps.name), vps.limits.diskspace)
            if status.pid is not None:
                cgroup.write(vps.name, status.pid, cgroup.files(vps))
        mine = step.options & frozenset(guest.IDENTITY)
        if mine:
            with self._room_for_the_node(vps), Tree(self._root(vps.name)) as tree:
                guest.apply(tree, vps, mine, node_nameservers())
        self._configure(vps, self._vps.path(vps.name))
        engine.link(vps.name, self._vps.path(vps.name))
        if status.pid is not None:
            if "addresses" in step.options:
                network.set_addresses(vps, status.pid)
            if "hostname" in step.options:
                guest.set_hostname(status.pid, vps.hostname)
        self._vps.store(replace(vps, unfinished=()))

    @contextmanager
    def _room_for_the_node(self, vps: Vps):
        """A VPS that has filled its disk must not keep the node from changing its password: lift the limit for the moment."""
        if vps.limits.diskspace is None:
            yield
            return
        self._storage.limit(self._root(vps.name), None)
        try:
            yield
        finally:
            self._storage.limit(self._root(vps.name), vps.limits.diskspace)

    def _start(self, step: steps.Start) -> None:
        cgroup.sweep(step.name)
        engine.start(step.name, self._vps.path(step.name))

    def _stop(self, step: steps.Stop) -> None:
        engine.stop(step.name, timeout=step.timeout)

    def _freeze(self, step: steps.Freeze) -> None:
        engine.freeze(step.name)

    def _thaw(self, step: steps.Thaw) -> None:
        engine.thaw(step.name)

    def _wait(self, step: steps.Wait) -> dict[str, object]:
        vps = self._vps.load(step.name)
        deadline = time.monotonic() + step.timeout
        pause = 0.05
        while True:
            status = engine.status(step.name)
            if status.run == STOPPED:
                log = files.read(os.path.join(self._vps.path(step.name), "console.log")) or ""
                raise VpsError(
                    f"wait: VPS '{step.name}' was started and has stopped again; its init ended. The result's console has its last words.",
                    console=log[-4000:],
                )
            reached = self._reached(vps, status, step.until)
            if reached is not None:
                return {"boot": reached} if step.until == "booted" else {}
            if time.monotonic() > deadline:
                log = files.read(os.path.join(self._vps.path(step.name), "console.log")) or ""
                raise VpsError(
                    f"wait: VPS '{step.name}' runs, but was not {step.until} within {step.timeout} seconds (wait_timeout); "
                    "the result's console has its last words.",
                    console=log[-4000:],
                )
            time.sleep(pause)
            pause = min(0.5, pause * 1.5)

    def _reached(self, vps: Vps, status: engine.Status, until: str) -> str | None:
        if status.pid is None or status.run != RUNNING:
            return None
        if until == "running":
            return "running"
        if until == "network":
            return "running" if network.is_configured(status.pid, vps.addresses) else None
        return guest.boot_state(vps, status.pid, lambda argv: engine.attach(vps.name, argv, timeout=30))

    def _destroy(self, step: steps.Destroy) -> None:
        remains = self._vps.discard(step.name)
        self._erase_vps(step.name, remains)

    def _build_template(self, step: steps.BuildTemplate) -> None:
        template = step.template
        directory = self._templates.begin(template.name)
        root = os.path.join(directory, "rootfs")
        try:
            self._storage.create(root)
            build.build(template, root, keep_open=self._lock)
            with Tree(root) as tree:
                guest.scrub(tree)
                init = guest.kind_of_init(tree)
            manifest = Manifest(
                template=template,
                init=init,
                checksum=checksum(template),
                size=_disk_use(root),
                created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            )
            self._storage.seal(root)
            self._templates.store(manifest, directory)
        except BaseException:
            self._erase(directory)
            raise
        if os.path.exists(self._templates.path(template.name)):
            from .syscalls import exchange

            exchange(directory, self._templates.path(template.name))
            self._erase(directory)  # what was there before; VPSs made from it have their own copy
        else:
            self._templates.commit(template.name)

    def _remove_template(self, step: steps.RemoveTemplate) -> None:
        with locks.hold("node", "allocation", timeout=self._lock_timeout):
            users = self.users(step.name)
            if users:  # since it was compared
                raise VpsError(f"name: template '{step.name}' is in use by {', '.join(users)}; remove those VPSs first.")
            remains = self._templates.discard(step.name)
        self._erase(remains)

    # -- what killed runs leave -----------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Remove what killed runs left half made or half deleted; what another run works on is locked, and left."""
        for shelf, kind in ((self._vps, "vps"), (self._templates, "template")):
            for name, path in list(shelf.leftovers()):
                with _if_free(kind, name, self._lock_is_mine(kind, name)) as free:
                    if free and os.path.exists(path):
                        if kind == "vps":
                            self._erase_vps(name, path)
                        else:
                            self._erase(path)

    def _lock_is_mine(self, kind: str, name: str) -> bool:
        return os.path.basename(os.readlink(f"/proc/self/fd/{self._lock}")) == f"{kind}-{name}"

    def _erase_vps(self, name: str, remains: str) -> None:
        if not os.path.exists(self._vps.path(name)):
            engine.unlink(name, self._vps.path(name))
            cgroup.sweep(name)
        self._erase(remains)  # last: as long as it is there, the next run knows what to sweep

    def _erase(self, directory: str) -> None:
        """Delete the directory of one thing, its root file system first and its record last."""
        root = os.path.join(directory, "rootfs")
        if os.path.isdir(root) and not os.path.islink(root):
            self._storage.delete(root)
        for entry in sorted(os.listdir(directory), key=lambda name: name.endswith(".json")):
            os.unlink(os.path.join(directory, entry))
        os.rmdir(directory)

    _APPLY: Mapping[type, Callable] = {
        steps.Create: _create,
        steps.Update: _update,
        steps.Start: _start,
        steps.Stop: _stop,
        steps.Freeze: _freeze,
        steps.Thaw: _thaw,
        steps.Wait: _wait,
        steps.Destroy: _destroy,
        steps.BuildTemplate: _build_template,
        steps.RemoveTemplate: _remove_template,
    }


def node_nameservers() -> tuple[str, ...]:
    """The node's own resolvers that a guest can reach too: none on the node's loopback (resolv.conf(5))."""
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        lines = (files.read(path) or "").splitlines()
        servers = [line.split()[1] for line in lines if line.startswith("nameserver ") and len(line.split()) > 1]
        reachable = [server for server in servers if not server.startswith("127.") and server != "::1"]
        if reachable:
            return tuple(reachable[:3])
    return ()


def _if_free(kind: str, name: str, mine: bool) -> AbstractContextManager[bool]:
    return _already() if mine else _try_lock(kind, name)


@contextmanager
def _already():
    yield True


@contextmanager
def _try_lock(kind: str, name: str):
    try:
        held = locks.hold(kind, name, timeout=0)
        held.__enter__()
    except VpsError:
        yield False
        return
    try:
        yield True
    finally:
        held.__exit__(None, None, None)


def _disk_use(root: str) -> int:
    """Bytes on disk below a directory, each hard link once."""
    seen: set[int] = set()
    total = 0
    for _folder, _names, filenames, descriptor in os.fwalk(root):
        for filename in filenames:
            status = os.stat(filename, dir_fd=descriptor, follow_symlinks=False)
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_blocks * 512
    return total
