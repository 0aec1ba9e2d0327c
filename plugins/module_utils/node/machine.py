# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine: reads what makes it a VPS node, and applies the steps of a plan that make it one, or none.

It decides nothing about what is asked; core/machine_plan.py does.
"""

from __future__ import annotations

import ipaddress
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ..core import machine as steps
from ..core import nodefiles, units
from ..core.errors import VpsError
from ..core.machine import Actual, Desired, Pool, PoolFile
from ..core.model import Vps
from ..core.plan import Plan
from ..core.settings import Settings
from . import cgroup, engine, files, firewall, locks, lxcfs, network, settings, tools
from .parts import Parts
from .record import TemplateRecords
from .storage import pool
from .sweep import sweep

COMMON_SECCOMP = "/usr/share/lxc/config/common.seccomp"
FILES = {
    "fstab": "/etc/fstab",
    "subuid": "/etc/subuid",
    "subgid": "/etc/subgid",
    "sysctl": "/etc/sysctl.d/60-mainline-vps.conf",
    "seccomp": settings.SECCOMP,
    "network": settings.NETWORK,
}


class Machine:
    """This machine, before, while and after it is a node."""

    def require_usable(self) -> None:
        """Raise VpsError where we are not its root."""
        if os.geteuid() != 0:
            raise VpsError("become: this module needs root on the node; set become: true.")

    @contextmanager
    def lock(self, kind: str, name: str, *, timeout: float) -> Iterator[None]:
        """Hold the machine's lock, and the one without which no VPS takes an address or an id range."""
        with locks.hold(kind, name, timeout=timeout), locks.hold("node", "allocation", timeout=timeout):
            self._lock_timeout = timeout
            yield

    def sweep(self) -> list[str]:
        """What a killed run left of a machine is in its plan."""
        return []

    def apply(self, plan: Plan) -> dict[str, object]:
        """Carry out a plan's steps, in their order."""
        for step in plan.steps:
            self._APPLY[type(step)](self, step)
        return {}

    def read(self, desired: Desired) -> Actual:
        """The machine as it is."""
        known = settings.load()
        old_pool = pool.read(known.pool) if known else None
        old_file = pool.read_file(known.made.pool_file, pool=old_pool) if old_pool and known and known.made.pool_file else None
        asked = old_pool if old_pool and old_pool.path == desired.pool else pool.read(desired.pool)
        vpss, templates = _occupants(known, old_pool, old_file)
        return Actual(
            settings=known,
            pool=asked,
            file=pool.read_file(desired.pool_file, pool=asked),
            vpss=vpss,
            templates=templates,
            texts={name: files.read(path) for name, path in FILES.items()},
            common_seccomp=files.read(COMMON_SECCOMP) or "",
            sysctls=_read_sysctls(),
            rules=firewall.read(),
            lxcfs=lxcfs.running(),
            lxc_mode=_mode(engine.LXCPATH),
            routes=tuple(_connected()),
            missing=tuple(program for program in steps.PROGRAMS if not tools.installed(program)),
        )

    def describe(self, actual: Actual) -> dict[str, object] | None:
        """The node as the module returns it; None where the machine is none."""
        known = actual.settings
        if known is None:
            return None
        place = pool.read(known.pool)
        size = os.statvfs(known.pool) if place.btrfs else None
        return {
            "pool": known.pool,
            "pool_file": known.made.pool_file,
            "pool_size": units.format_size(size.f_blocks * size.f_frsize) if size else None,
            "id_start": known.id_start,
            "id_count": known.id_count,
            "networks": list(known.networks),
            "nat": known.nat,
            "cgroup_version": cgroup.version(),
        }

    # -- one step each --------------------------------------------------------------------------------------------

    def _save_settings(self, step: steps.SaveSettings) -> None:
        os.makedirs(settings.FOLDER, exist_ok=True)
        files.write(settings.PATH, json.dumps(step.settings.to_record(), indent=2, sort_keys=True) + "\n")

    def _forget_settings(self, _step: steps.ForgetSettings) -> None:
        os.unlink(settings.PATH)
        try:
            os.rmdir(settings.FOLDER)
        except OSError:
            pass  # somebody keeps something of his own there

    def _make_pool(self, step: steps.MakePool) -> None:
        pool.make(step.file, step.size)

    def _mount_pool(self, step: steps.MountPool) -> None:
        pool.mount(step.pool, step.file)

    def _grow_pool(self, step: steps.GrowPool) -> None:
        pool.grow(step.pool, step.file, step.size)

    def _furnish_pool(self, step: steps.FurnishPool) -> None:
        pool.furnish(step.pool, own=step.own)

    def _sweep_pool(self, step: steps.SweepPool) -> None:
        """What killed runs left half made is the other node's to recognise and to delete."""
        if not os.path.isdir(os.path.join(step.pool, "vps")):
            return
        with locks.hold("node", "sweep", timeout=self._lock_timeout) as descriptor:
            parts = Parts.of(settings.require())
            parts.lock = descriptor
            left = sweep(parts)
        if left:
            raise VpsError(f"state: {left[0]}")

    def _remove_pool(self, step: steps.RemovePool) -> None:
        pool.remove(step.pool, step.file, folder=step.folder)

    def _edit_lines(self, step: steps.EditLines) -> None:
        path = os.path.realpath(FILES[step.file])
        text = files.read(path) or ""
        mode = _mode(path)
        files.write(path, nodefiles.edit_lines(text, drop=step.drop, add=step.add), mode=0o644 if mode is None else mode)
        if step.file == "fstab" and tools.has_systemd():
            tools.run(["systemctl", "daemon-reload"], timeout=120)  # its mount units are made from fstab

    def _write_text(self, step: steps.WriteText) -> None:
        files.write(FILES[step.file], step.text)

    def _remove_text(self, step: steps.RemoveText) -> None:
        os.unlink(FILES[step.file])

    def _set_sysctls(self, step: steps.SetSysctls) -> None:
        for key, value in step.values.items():
            try:
                with open(_sysctl_path(key), "w", encoding="ascii") as file:
                    file.write(str(value))
            except OSError as error:
                raise VpsError(f"sysctls: the kernel refused {value} for {key}: {error.strerror}.") from None

    def _load_rules(self, step: steps.LoadRules) -> None:
        firewall.load(step.text)

    def _remove_rules(self, _step: steps.RemoveRules) -> None:
        firewall.remove()

    def _set_lxc_mode(self, step: steps.SetLxcMode) -> None:
        os.chmod(engine.LXCPATH, step.mode)

    def _start_lxcfs(self, _step: steps.StartLxcfs) -> None:
        lxcfs.start()

    def _stop_lxcfs(self, _step: steps.StopLxcfs) -> None:
        lxcfs.stop()

    def _sweep_cgroups(self, _step: steps.SweepCgroups) -> None:
        cgroup.sweep_parents()

    _APPLY: Mapping[type, Callable] = {
        steps.SaveSettings: _save_settings,
        steps.ForgetSettings: _forget_settings,
        steps.MakePool: _make_pool,
        steps.MountPool: _mount_pool,
        steps.GrowPool: _grow_pool,
        steps.FurnishPool: _furnish_pool,
        steps.SweepPool: _sweep_pool,
        steps.RemovePool: _remove_pool,
        steps.EditLines: _edit_lines,
        steps.WriteText: _write_text,
        steps.RemoveText: _remove_text,
        steps.SetSysctls: _set_sysctls,
        steps.LoadRules: _load_rules,
        steps.RemoveRules: _remove_rules,
        steps.SetLxcMode: _set_lxc_mode,
        steps.StartLxcfs: _start_lxcfs,
        steps.StopLxcfs: _stop_lxcfs,
        steps.SweepCgroups: _sweep_cgroups,
    }


def _occupants(
    known: Settings | None, place: Pool | None, file: PoolFile | None
) -> tuple[tuple[Vps, ...] | None, tuple[str, ...] | None]:
    """The VPSs and templates of the node's pool; None where the pool that would tell is not mounted."""
    if known is None or place is None:
        return (), ()
    if os.path.isdir(os.path.join(known.pool, "vps")) and place.btrfs:
        return tuple(Parts.of(known).reserved()), tuple(TemplateRecords(known.pool).names())
    if place.btrfs or (file and not file.exists):
        return (), ()  # a killed run had not come to make its folders, or had begun to take it away
    return None, None


def _read_sysctls() -> dict[str, int]:
    """What the kernel holds of the settings that it has (proc(5), /proc/sys)."""
    texts = {key: files.read(_sysctl_path(key)) for key in nodefiles.SYSCTLS}
    return {key: int(text) for key, text in texts.items() if text is not None}


def _sysctl_path(key: str) -> str:
    return f"/proc/sys/{key.replace('.', '/')}"


def _mode(path: str) -> int | None:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None


def _connected() -> Iterator[tuple[str, str]]:
    """(interface, subnet) of every network that the machine is in itself (proc(5), /proc/net/route).

    A subnet wider than /8 is a tunnel's way of saying "everything", as a default route is.
    """
    for line in (files.read("/proc/net/route") or "").splitlines()[1:]:
        interface, destination, gateway, *_others = line.split()
        prefix = bin(int(line.split()[7], 16)).count("1")
        if gateway == "00000000" and prefix >= 8 and not interface.startswith(network.HOST_PREFIX):
            address = ipaddress.IPv4Address(int(destination, 16).to_bytes(4, "little"))
            yield interface, f"{address}/{prefix}"
