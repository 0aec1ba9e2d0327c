# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real node for the contract suite: production's own Node, and what somebody else at this machine can do and see.

Everything it makes has the suite's prefix; everything else on the machine is left alone.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import BTRFS, Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.bridging import bridging
from ansible_collections.mainline.vps.plugins.module_utils.core.disk import DEFAULT_SIZE
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import STOPPED, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.places import BRIDGED, NETWORK, RESCUE, TABLE, link_of
from ansible_collections.mainline.vps.plugins.module_utils.core.ruleset import ruleset
from ansible_collections.mainline.vps.plugins.module_utils.node import cgroup, controls, engine, interfaces, network, rates, settings
from ansible_collections.mainline.vps.plugins.module_utils.node.networks import Networks
from ansible_collections.mainline.vps.plugins.module_utils.node.fleet import FleetNode
from ansible_collections.mainline.vps.plugins.module_utils.node.node import Node
from ansible_collections.mainline.vps.plugins.module_utils.node.parts import Parts
from ansible_collections.mainline.vps.plugins.module_utils.node.record import VpsRecords
from ansible_collections.mainline.vps.tests.contract import modules

PREFIX = "contract-"


def real_node() -> FleetNode:
    """This machine; raises VpsError where it is no node, or we are not its root."""
    node = FleetNode()
    node.require_usable()
    return node


class Real:
    """Somebody else at this machine: with a shell, and without our record."""

    def __init__(self, node: Node) -> None:
        self.node = node
        summary = node.summary()
        self.pool = str(summary["pool"])
        self.network = ipaddress.ip_network(summary["networks"][0]["subnets"][0])
        self.records = VpsRecords(self.pool)
        self.parts = Parts.of(settings.require())

    def address(self, number: int) -> str:
        """An address that the node routes: from the end, where nobody else's are."""
        return str(self.network.broadcast_address - 10 - number)

    def own_address(self) -> str:
        """An address that the node itself has."""
        return sorted(address for address in network.own_addresses() if not address.startswith("127."))[0]

    def bridged(self) -> str:
        """A bridged network that this node makes, and loses with the suite."""
        told = modules.reconcile(
            Networks(), "vps_network", name=f"{PREFIX}lan", subnets=["10.92.0.0/24"], bridge="br-contract", gateways=["10.92.0.1"]
        )
        self.node.require_usable()
        self.parts = Parts.of(settings.require())
        return str(told["network"]["name"])

    def read_only(self, switch: bool) -> None:
        """A real kernel has no such switch; snapshot() tells."""

    def snapshot(self) -> str:
        """All that a task about our own could have changed, as text to compare; others may be at work beside us."""
        seen = []
        for folder in (self.records.folder, os.path.join(self.pool, "templates")):
            for name in sorted(os.listdir(folder)):
                if PREFIX in name:
                    seen.append(_listing(os.path.join(folder, name)))
        for name in self._names():
            with suppress(VpsError):  # of a record that the test has damaged
                seen.append((name, engine.status(name), self.witness(name)))
        return repr(seen)

    def witness(self, name: str) -> dict[str, object]:
        """A VPS as the kernel and its own files have it."""
        pid = engine.status(name).pid
        directory = self.records.path(name)
        with self._tree(name):
            files = self._guest(name)
        size = self.parts.disk(self.record(name)).size
        interface = f"{network.HOST_PREFIX}{self.record(name).id_base >> 16}"
        return {
            **files,
            "diskspace": None if self.record(name).storage != BTRFS and size == DEFAULT_SIZE else size,
            "live_hostname": _output("nsenter", f"--uts=/proc/{pid}/ns/uts", "hostname") if pid else None,
            "routes": set(_destinations(interface)) if pid else set(),
            "files": controls.read(self.record(name), cgroup.find(name, pid), self._device(name)) if pid else {},
            "links": sorted(one.host_name for one in interfaces.present(self.record(name), self.parts.networks, interfaces.links())) if pid else [],
            "privileged": engine.is_privileged(pid) if pid else None,
            "rates": rates.read(self.record(name)).named if pid else None,
            "onboot": "lxc.start.auto = 1\n" in _read(os.path.join(directory, "config")),
            "pid": pid,
            "root": self.parts.driver(self.record(name)).identity(self.parts.root(name)),
            "booted": _booted(directory, pid) if pid else None,
        }

    def set_limits(self, name: str, limits: Limits) -> None:
        """echo VALUE > /sys/fs/cgroup/…"""
        controls.write(replace(self.record(name), limits=limits), cgroup.find(name, engine.status(name).pid), self._device(name))

    def set_quota(self, name: str, size: int | None) -> None:
        """btrfs qgroup limit"""
        vps = self.record(name)
        self.parts.driver(vps).limit(self.parts.root(name), Limits(diskspace=None if size is None else Bound(size, size)))

    def unroute(self, name: str, address: str) -> None:
        """ip route delete"""
        _output("ip", "route", "delete", f"{address}/32", "dev", link_of(self.record(name).id_base))

    def route(self, name: str, address: str) -> None:
        """ip route add"""
        _output("ip", "route", "add", f"{address}/32", "dev", link_of(self.record(name).id_base), "scope", "link")

    def unlink(self, name: str, link: str) -> None:
        """ip link delete"""
        _output("ip", "link", "delete", link)

    def edit_config(self, name: str) -> None:
        """vi config"""
        with open(os.path.join(self.records.path(name), "config"), "ab") as file:
            file.write(b"# \xff, in no encoding\nlxc.environment = MINE=1\n")

    def record(self, name: str) -> Vps:
        """What is written down."""
        vps = self.records.load(name)
        assert vps is not None
        return vps

    @contextmanager
    def damaged(self, name: str, record: str | None) -> Iterator[None]:
        """A record that somebody has edited; None: has made a directory of. It is put back afterwards."""
        path = os.path.join(self.records.path(name), self.records.record)
        kept = f"{path}.kept"
        os.rename(path, kept)
        try:
            if record is None:
                os.mkdir(path)
            else:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(record)
            yield
        finally:
            if os.path.exists(kept):  # else the test has removed the VPS
                if record is None:
                    os.rmdir(path)
                os.replace(kept, path)

    def interrupt(self, name: str, **options: object) -> None:
        """What a run leaves that was killed as soon as it had written the record."""
        self.records.store(replace(self.record(name), **options, unfinished=tuple(sorted(options))))

    def break_init(self, name: str) -> None:
        """A guest whose init ends at once."""
        init = os.path.join(self.records.path(name), "rootfs", "sbin", "init")
        with self._tree(name):
            os.unlink(init)
            with open(init, "w", encoding="utf-8") as file:  # not a link: a busybox would still be called init, and be one
                file.write("#!/bin/false\n")
            os.chmod(init, 0o755)

    def rules_follow(self) -> bool:
        """Whether the packet filter is that of the records: the kernel's, and the file for the next boot."""
        wanted, passing = (make(settings.require().all_networks, self.records.all()) for make in (ruleset, bridging))
        if _read(BRIDGED) != (passing.text if passing else "") or (passing and not network.has_rules(passing.mark, "bridge")):
            return False
        return _read(NETWORK) == wanted.text and network.has_rules(wanted.mark)

    def flush_rules(self) -> None:
        """nft delete table: what a flush of all does to ours"""
        _output("nft", "delete", "table", "inet", TABLE)

    @contextmanager
    def listening(self) -> Iterator[int]:
        """nc -l: a port at which the node listens"""
        with socket.create_server(("0.0.0.0", 0)) as server:
            yield server.getsockname()[1]

    def die(self, name: str) -> None:
        """kill -9 of its init."""
        os.kill(engine.status(name).pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while engine.status(name).run != STOPPED and time.monotonic() < deadline:
            time.sleep(0.05)

    def clean(self) -> None:
        """Remove every VPS of the suite, whatever a failed test has left of it."""
        for name in self._names():
            try:
                modules.reconcile(self.node, "vps_container", name=name, state="absent")
            except VpsError:  # it is protected, say
                modules.reconcile(self.node, "vps_container", name=name, protected=False)
                modules.reconcile(self.node, "vps_container", name=name, state="absent")
        if any(one.name == f"{PREFIX}lan" for one in settings.require().others):
            modules.reconcile(Networks(), "vps_network", name=f"{PREFIX}lan", state="absent")
            self.node.require_usable()
            self.parts = Parts.of(settings.require())

    def remove_template(self, name: str) -> None:
        """Remove a template of the suite."""
        modules.reconcile(self.node, "vps_template", name=name, state="absent")

    def _names(self) -> list[str]:
        return [name for name in self.records.names() if name.startswith(PREFIX)]

    @contextmanager
    def _tree(self, name: str) -> Iterator[None]:
        """A VPS's files, where its image has to be mounted for that."""
        vps = self.record(name)
        if vps.storage == BTRFS:
            yield
            return
        with self.parts.driver(vps).opened(self.parts.root(name)):
            yield

    def _guest(self, name: str) -> dict[str, object]:
        resolver = [line.split() for line in self._text(name, "etc/resolv.conf").splitlines()]
        return {
            "hostname": self._text(name, "etc/hostname").strip(),
            "nameservers": tuple(words[1] for words in resolver if words[0] == "nameserver"),
            "search_domains": tuple(word for words in resolver if words[0] == "search" for word in words[1:]),
            "root_password_hash": self._text(name, "etc/shadow").split(":")[1],
            "authorized_keys": tuple(self._text(name, "root/.ssh/authorized_keys").splitlines()),
        }

    def _device(self, name: str) -> str | None:
        return self.parts.abilities_of(self.record(name)).io_device

    def _text(self, name: str, path: str) -> str:
        return _read(os.path.join(self.records.path(name), "rootfs", path))


def _listing(directory: str) -> list[tuple]:
    found = []
    for name in sorted(set(os.listdir(directory)) - {"lxc.log"}):  # which whoever asks LXC makes, as we do
        path = os.path.join(directory, name)
        status = os.lstat(path)
        if name.endswith(".json") or name == "config":
            found.append((path, status.st_ino, status.st_mtime_ns, _read(path)))
        else:
            found.append((path, status.st_ino))
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (FileNotFoundError, IsADirectoryError):  # the latter where a test has made one of a record
        return ""


def _booted(directory: str, pid: int) -> str:
    """Which of a VPS's root file systems its init has."""
    own, found = (os.stat(place) for place in (os.path.join(directory, "rootfs"), f"/proc/{pid}/root"))
    return "disk" if own.st_dev == found.st_dev else RESCUE


def _destinations(interface: str) -> list[str]:
    return [line.split()[0] for line in _output("ip", "-4", "route", "show", "dev", interface).splitlines()]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
