# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine: reads what makes it a VPS node, and applies the steps of a plan that make it one, or none.

It decides nothing about what is asked; core/machine_plan.py does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from ..core import machine as steps
from ..core import enterfile, nodefiles, unitfiles, units
from ..core.beancounters import DIR
from ..core.errors import VpsError
from ..core.machine import Actual, Desired
from ..core.model import Vps
from ..core.places import BRIDGED, BRIDGES, FILTER, FOLDER, NETWORK, SECCOMP, SETTINGS
from ..core.plan import Plan
from ..core.settings import Settings
from . import boot, cgroup, engine, files, filtering, firewall, interfaces, locks, lxcfs, network, settings, tools
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
    "seccomp": SECCOMP,
    "network": NETWORK,
    "bridged": BRIDGED,
    "bridges": BRIDGES,
    "settings": SETTINGS,
    **enterfile.PATHS,
    **unitfiles.PATHS,
}
_RUN = {"boot_script", "bridges", *enterfile.PATHS}  # which are programs
_READ_BY_SYSTEMD = {"fstab", *unitfiles.PATHS}  # which makes a mount unit of each line of fstab


class Machine:
    """This machine, before, while and after it is a node."""

    _lock: int  # the descriptor of the lock that is held

    def require_usable(self) -> None:
        """Raise VpsError where we are not its root."""
        settings.require_root()

    @contextmanager
    def lock(self, kind: str, name: str, *, timeout: float) -> Iterator[None]:
        """Hold the machine's lock, and the one without which no VPS takes an address or an id range."""
        with locks.hold(kind, name, timeout=timeout) as self._lock, locks.hold("node", "allocation", timeout=timeout):
            with locks.hold("node", FILTER, timeout=timeout):
                yield

    def sweep(self) -> list[str]:
        """Remove what killed runs left in the pool; gives warnings. What they left of the machine itself is in its plan."""
        known = settings.load()
        if known is None or not os.path.isdir(os.path.join(known.pool, "vps")):
            return []
        parts = replace(Parts.of(known), lock=self._lock)
        warnings = sweep(parts)
        parts.storage.drop_stale_qgroups()
        return warnings

    def apply(self, plan: Plan) -> dict[str, object]:
        """Carry out a plan's steps, in their order."""
        for step in plan.steps:
            _APPLY[type(step)](step)
        if any(isinstance(step, steps.SetFile) and step.file in _READ_BY_SYSTEMD for step in plan.steps):
            boot.reload()
        return {}

    def read(self, desired: Desired) -> Actual:
        """The machine as it is."""
        known = settings.load()
        asked = pool.read(desired.pool)
        unread: dict[str, str] = {}
        vpss, templates = _occupants(known, unread)
        hears = tuple(sorted(network.taught()))
        return Actual(
            settings=known,
            pool=asked,
            file=pool.read_file(desired.pool_file, pool=asked),
            vpss=vpss,
            templates=templates,
            texts={name: files.read(path) for name, path in FILES.items()},
            common_seccomp=files.read(COMMON_SECCOMP) or "",
            sysctls=_read_sysctls([*nodefiles.SYSCTLS, *nodefiles.hearing(hears), *(known.made.sysctls if known else ())]),
            hears=hears,
            rules=firewall.read(),
            passing=firewall.read("bridge"),
            links=frozenset(network.interfaces()),
            lxcfs=lxcfs.running(),
            lxc_mode=_mode(engine.LXCPATH),
            routes=tuple(network.connected()),
            boot=boot.read(),
            barriers=tuple(firewall.barriers(desired.networks)),
            missing=tuple(program for program in steps.PROGRAMS if not tools.installed(program)),
            damaged=next(iter(unread.values()), None),
        )

    def describe(self, actual: Actual) -> dict[str, object] | None:
        """The node as the module returns it; None where the machine is none."""
        known = actual.settings
        if known is None:
            return None
        place = pool.read(known.pool)
        return {
            "pool": known.pool,
            "pool_file": known.made.pool_file,
            "pool_size": units.format_size(place.size) if place.size else None,
            "pool_free": units.format_size(place.free >> 20 << 20) if place.size else None,
            "pool_kind": known.pool_kind,
            "pool_warning": known.pool_warning,
            "id_start": known.id_start,
            "id_count": known.id_count,
            "networks": list(known.networks),
            "nat": known.nat,
            "cgroup_version": cgroup.version(),
        }


def _set_file(step: steps.SetFile) -> None:
    path = os.path.realpath(FILES[step.file])
    if files.read(path) != step.before:
        raise VpsError(f"node: somebody else has changed {path} meanwhile; run this again.")
    if step.text is None:
        os.unlink(FILES[step.file])
        with suppress(FileNotFoundError):
            os.unlink(f"{path}.new")  # of a run that was killed while it wrote
        for folder in (FOLDER, os.path.dirname(path)):
            if folder == FOLDER or folder.endswith(".service.d"):
                with suppress(OSError):  # there is more in it
                    os.rmdir(folder)
        return
    mode = _mode(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write(path, step.text, mode=mode or (0o755 if step.file in _RUN else 0o644))
    files.sync(os.path.dirname(path))  # what it tells of is made later, and must not outlive it


def _remove_pool(step: steps.RemovePool) -> None:
    pool.remove(step.pool, step.file, folder=step.folder)
    cgroup.sweep_parents()


def _set_passing(step: steps.SetPassing) -> None:
    with suppress(VpsError):
        firewall.load(step.text)


def _set_sysctls(step: steps.SetSysctls) -> None:
    for key, value in step.values.items():
        try:
            with open(_sysctl_path(key), "w", encoding="ascii") as file:
                file.write(str(value))
        except OSError as error:
            raise VpsError(f"sysctls: the kernel refused {value} for {key}: {error.strerror}.") from None


_APPLY: Mapping[type, Callable] = {
    steps.SetFile: _set_file,
    steps.EnsurePool: lambda step: pool.ensure(step.pool, step.file, step.size),
    steps.RemovePool: _remove_pool,
    steps.SetSysctls: _set_sysctls,
    steps.SetRules: lambda step: firewall.load(step.text),
    steps.FollowVpss: lambda _step: filtering.refresh(Parts.of(settings.require())),
    steps.SetPassing: _set_passing,
    steps.MakeBridges: lambda _step: interfaces.make_bridges(),
    steps.RemoveBridge: lambda step: interfaces.remove_bridge(step.bridge),
    steps.SetLxcMode: lambda step: os.chmod(engine.LXCPATH, step.mode),
    steps.SetBoot: lambda step: boot.enable(autostart=step.autostart) if step.enabled else boot.disable(),
    steps.SetLxcfs: lambda step: lxcfs.start() if step.running else lxcfs.stop(),
}


def _occupants(known: Settings | None, unread: dict[str, str]) -> tuple[tuple[Vps, ...] | None, tuple[str, ...] | None]:
    """The VPSs and templates of the node's pool; None where the pool that would tell is not mounted. `unread` gets why a VPS's record cannot be read."""
    if known is None:
        return (), ()
    place, file = pool.read(known.pool), known.made.pool_file
    mounted = (place.directory if known.pool_kind == DIR else place.btrfs) if file is None else place.backing in (file, file + steps.REMOVING)
    if mounted and os.path.isdir(os.path.join(known.pool, "vps")):
        return tuple(Parts.of(known).reserved(unread)), tuple(TemplateRecords(known.pool).names())
    if known.pool_kind == DIR:
        return None, None
    if mounted or (file is not None and not os.path.lexists(file)):
        return (), ()  # a killed run had not come to make its folders, or had begun to take it away
    return None, None


def _read_sysctls(keys: Iterable[str]) -> dict[str, int]:
    """What the kernel holds of the settings that it has (proc(5), /proc/sys)."""
    texts = {key: files.read(_sysctl_path(key)) for key in keys}
    return {key: int(text) for key, text in texts.items() if text is not None}


def _sysctl_path(key: str) -> str:
    return f"/proc/sys/{key if '/' in key else key.replace('.', '/')}"


def _mode(path: str) -> int | None:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None
