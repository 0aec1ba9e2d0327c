# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the machine as asked and the machine as it is to a plan.

Pure. Item by item: what differs from the kernel or from a file is a change with its steps. What the old settings alone know
of is taken away first; then the new ones are written, with what is about to be made; and they are forgotten last. A run that
is killed on the way leaves what the next one needs to know.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from . import machine, nodefiles, parse, units
from .errors import VpsError
from .machine import Actual, Desired, Pool, PoolFile
from .plan import Change, Plan
from .settings import Made, Settings

_FOUND, _NONE = "present", "absent"


@dataclass
class _Items:
    """What has been found to differ so far; `before` are the steps that come before the new settings are written."""

    changes: list[Change] = field(default_factory=list)
    before: list[object] = field(default_factory=list)
    steps: list[object] = field(default_factory=list)

    def add(self, option: str, before: object, after: object, *steps: object) -> None:
        self.changes.append(Change(option, before, after))
        self.steps += steps


def compare(desired: Desired, actual: Actual) -> Plan:
    """The plan that makes the machine a node as asked, or no node; raises VpsError for what cannot be."""
    if desired.state == "absent":
        return _remove(actual)
    _refuse_incomplete(actual)
    _refuse_to_strand(desired, actual)
    _refuse_routed(desired, actual)

    items = _Items()
    made = actual.settings.made if actual.settings else Made()
    made = _decided(items, desired, actual, made)
    made = _pool(items, desired, actual, made)
    made = _ids(items, desired, actual, made)
    made = _sysctls(items, actual, made)
    _text(items, actual, "seccomp", nodefiles.seccomp_profile(actual.common_seccomp))
    _firewall(items, desired, actual)
    made = _lxc(items, actual, made)

    settings = Settings(desired.pool, desired.id_start, desired.id_count, desired.networks, desired.nat, made)
    if settings != actual.settings:
        if not items.changes:
            items.changes.append(Change("settings", "of an older release", "current"))
        items.before.append(machine.SaveSettings(settings))
    return Plan(tuple(items.changes), (*items.before, *items.steps))


# -- what cannot be ---------------------------------------------------------------------------------------------------


def _refuse_incomplete(actual: Actual) -> None:
    if actual.missing:
        packages = ", ".join(sorted({machine.PROGRAMS[program] for program in actual.missing}))
        raise VpsError(
            f"state: {', '.join(actual.missing)} missing on this machine; install {packages}, or run the role mainline.vps.node, "
            "which does it."
        )


def _refuse_to_strand(desired: Desired, actual: Actual) -> None:
    """VPSs keep their addresses and ids: what they have must stay what the node gives."""
    old = actual.settings
    if old is None:
        return
    different = [option for option in ("id_start", "id_count", "networks") if getattr(old, option) != getattr(desired, option)]
    if _moved(desired, actual):
        different.append("pool")
    if not different:
        return
    if actual.vpss is None:
        raise VpsError(f"{different[0]}: cannot change while {old.pool} is not mounted, because the VPSs in it are unknown; {_how_to_mount(old)}.")
    if "pool" in different and (actual.vpss or actual.templates):
        told, which = _occupants(actual)
        raise VpsError(f"pool: {told} in {old.pool}; remove {which} first, or leave the pool where it is.")
    for vps in actual.vpss or ():
        for address in vps.addresses:
            if "networks" in different and not parse.within(address, desired.networks):
                raise VpsError(
                    f"networks: VPS {vps.name} has the address {address}, which is in none of {', '.join(desired.networks) or 'no networks'}; "
                    "keep its network, or take the address away first."
                )
        if not desired.id_start <= vps.id_base <= desired.id_start + desired.id_count - machine.ID_RANGE:
            raise VpsError(
                f"id_start: VPS {vps.name} has the ids from {vps.id_base}, outside {desired.id_start} to "
                f"{desired.id_start + desired.id_count - 1}; keep its range, or remove the VPS first."
            )


def _refuse_routed(desired: Desired, actual: Actual) -> None:
    known = actual.settings.networks if actual.settings else ()
    for network in desired.networks:
        for interface, subnet in actual.routes:
            if network not in known and machine.overlaps(network, subnet):
                raise VpsError(
                    f"networks: {network} overlaps {subnet}, which this machine reaches through {interface}; give a network that is free."
                )


# -- item by item -----------------------------------------------------------------------------------------------------


def _decided(items: _Items, desired: Desired, actual: Actual, made: Made) -> Made:
    """What is only written down, and the pool that is given up for another."""
    old = actual.settings
    if old is None:
        items.add("state", _NONE, _FOUND)
    for option in ("id_start", "id_count", "networks", "nat"):
        before, after = getattr(old, option, None), getattr(desired, option)
        if before != after:
            items.add(option, list(before) if isinstance(before, tuple) else before, list(after) if isinstance(after, tuple) else after)
    if old is not None and _moved(desired, actual):
        option = "pool" if old.pool != desired.pool else "pool_file"
        before = old.pool if option == "pool" else made.pool_file
        items.add(option, before, getattr(desired, option))
        items.before += _leave_pool(old, actual)
        return replace(made, pool_file=None, pool_folder=False)
    return made


def _pool(items: _Items, desired: Desired, actual: Actual, made: Made) -> Made:
    pool, file = actual.pool, actual.file
    if pool.backing == file.path + machine.REMOVING:  # a killed run had begun to take it away
        items.steps.append(machine.RemovePool(pool.path, file.path, folder=False))
        pool = Pool(pool.path, directory=True)
    if actual.settings is not None and _moved(desired, actual):  # by now the old pool is gone
        if pool.path == actual.settings.pool:
            pool = Pool(pool.path, directory=not actual.settings.made.pool_folder)
        if file.path == actual.settings.made.pool_file:
            file = replace(file, exists=False, ours=False)
    line = nodefiles.fstab_line(pool.path, file.path)
    if pool.btrfs and not (pool.backing == file.path and file.ours):
        if made.pool_file == file.path:
            made = replace(made, pool_file=None, pool_folder=False)
        _foreign_pool(items, pool)
        _fstab(items, actual, pool.path, file.path, None)
        return made
    if pool.btrfs:
        _grow(items, desired, pool, file)
        if not pool.quota or pool.mode != machine.MODE or pool.folders != machine.FOLDERS:
            items.add("pool", "incomplete", pool.path, machine.FurnishPool(pool.path, own=True))
    else:
        _new_pool(items, desired, actual, pool, file)
        made = replace(made, pool_file=file.path, pool_folder=made.pool_folder or not pool.directory)
    _fstab(items, actual, pool.path, file.path, line)
    return replace(made, pool_file=file.path)


def _grow(items: _Items, desired: Desired, pool: Pool, file: PoolFile) -> None:
    if desired.pool_size is not None and desired.pool_size > file.size:
        before, after = units.format_size(file.size), units.format_size(desired.pool_size)
        items.add("pool_size", before, after, machine.GrowPool(pool.path, file.path, desired.pool_size))


def _foreign_pool(items: _Items, pool: Pool) -> None:
    """A btrfs of somebody else's: used as it is. Switching quota on changes how it works, so that stays its owner's decision."""
    if not pool.quota:
        raise VpsError(
            f"pool: {pool.path} is on a btrfs without quota, which the disk limits of VPSs need; run 'btrfs quota enable {pool.path}', "
            "or name another pool."
        )
    if not pool.mode & 0o001:
        raise VpsError(f"pool: {pool.path} lets nobody but its owner pass, so no VPS could start; run 'chmod o+x {pool.path}'.")
    if pool.folders != machine.FOLDERS:
        items.add("pool", _NONE, pool.path, machine.FurnishPool(pool.path, own=False))


def _new_pool(items: _Items, desired: Desired, actual: Actual, pool: Pool, file: PoolFile) -> None:
    """A pool of our own that is not mounted: its file is there, or has to be made."""
    old = actual.settings
    if old is not None and old.pool == pool.path and old.made.pool_file is None:
        raise VpsError(f"pool: {pool.path} was an existing btrfs and is not mounted now; mount it again, then run this again.")
    if not pool.empty:
        raise VpsError(f"pool: {pool.path} is not a btrfs and has files in it, which a pool mounted there would hide; name an empty folder.")
    if file.exists and not file.ours:
        raise VpsError(f"pool_file: {file.path} exists, and was not made by this collection; remove it, or name another one.")
    furnish = machine.FurnishPool(pool.path, own=True)
    if file.exists:
        items.add("pool", "not mounted", pool.path, machine.MountPool(pool.path, file.path), furnish)
        _grow(items, desired, pool, file)
        return
    size = desired.pool_size or machine.DEFAULT_POOL_SIZE
    if not pool.parent:
        raise VpsError(f"pool: there is no directory for {pool.path}; make the one above it, or name another place.")
    if not file.folder:
        raise VpsError(f"pool_file: there is no directory for {file.path}; make it, or name another file.")
    if size > file.room:
        raise VpsError(
            f"pool_size: {units.format_size(size)} is more than the {units.format_size(file.room >> 20 << 20)} that are free for {file.path}; "
            "ask for less, because a pool whose disk is full is damaged."
        )
    if not _moved(desired, actual):
        items.add("pool", _NONE, pool.path)
    items.add("pool_size", None, units.format_size(size), machine.MakePool(file.path, size), machine.MountPool(pool.path, file.path), furnish)


def _fstab(items: _Items, actual: Actual, pool: str, file: str, wanted: str | None) -> None:
    there = nodefiles.fstab_lines_at(actual.texts.get("fstab") or "", pool)
    ours = [line for line in there if line.split()[0] == file]
    if wanted is None:
        if ours:
            items.add("fstab", ours[0], None, machine.EditLines("fstab", drop=tuple(ours)))
        return
    if len(ours) != len(there) and not _leaves(items, there):
        raise VpsError(f"pool: /etc/fstab mounts something else at {pool} ({next(line for line in there if line not in ours)}); name another pool.")
    if ours != [wanted]:
        items.add("fstab", ours[0] if ours else None, wanted, machine.EditLines("fstab", drop=tuple(ours), add=(wanted,)))


def _leaves(items: _Items, lines: list[str]) -> bool:
    """Whether an earlier step takes such lines away."""
    return any(isinstance(step, machine.EditLines) and set(lines) <= set(step.drop) for step in items.before)


def _ids(items: _Items, desired: Desired, actual: Actual, made: Made) -> Made:
    wanted = nodefiles.ids_line(desired.id_start, desired.id_count)
    old = nodefiles.ids_line(actual.settings.id_start, actual.settings.id_count) if actual.settings else wanted
    mine = []
    for name in ("subuid", "subgid"):
        text = actual.texts.get(name) or ""
        drop = (old,) if name in made.ids and old != wanted and old in text.splitlines() else ()
        rest = nodefiles.edit_lines(text, drop=drop)
        nodefiles.refuse_overlap(f"/etc/{name}", rest, desired.id_start, desired.id_count, ours=(wanted,))
        covered = any(nodefiles.covers(line, desired.id_start, desired.id_count) for line in rest.splitlines())
        if not covered or name in made.ids and wanted in rest.splitlines():
            mine.append(name)
        if drop:
            items.before.append(machine.EditLines(name, drop=drop))
        if drop or not covered:
            items.add(name, drop[0] if drop else None, wanted, *([] if covered else [machine.EditLines(name, add=(wanted,))]))
    return replace(made, ids=tuple(mine))


def _sysctls(items: _Items, actual: Actual, made: Made) -> Made:
    ours = nodefiles.raised(actual.sysctls, made.sysctls)
    _text(items, actual, "sysctl", nodefiles.sysctl_file(ours, actual.sysctls))
    values = {key: nodefiles.SYSCTLS[key].value for key in ours if actual.sysctls[key] != nodefiles.SYSCTLS[key].value}
    for key, value in values.items():
        items.add(f"sysctl {key}", actual.sysctls[key], value)
    if values:
        items.steps.append(machine.SetSysctls(values))
    return replace(made, sysctls=ours)


def _firewall(items: _Items, desired: Desired, actual: Actual) -> None:
    rules = nodefiles.ruleset(desired.networks, nat=desired.nat)
    _text(items, actual, "network", rules.text)
    if actual.rules != (rules.mark,) * rules.rules:
        items.add("firewall", _NONE if actual.rules is None else "other rules", "loaded", machine.LoadRules(rules.text))


def _lxc(items: _Items, actual: Actual, made: Made) -> Made:
    if actual.lxc_mode not in (None, machine.MODE):
        items.add("lxc_folder", f"{actual.lxc_mode:04o}", f"{machine.MODE:04o}", machine.SetLxcMode(machine.MODE))
        if made.lxc_mode is None:
            made = replace(made, lxc_mode=actual.lxc_mode)
    if not actual.lxcfs:
        items.add("lxcfs", "stopped", "running", machine.StartLxcfs())
        made = replace(made, lxcfs=True)
    return made


def _text(items: _Items, actual: Actual, name: str, wanted: str) -> None:
    there = actual.texts.get(name)
    if there != wanted:
        items.add(f"{name}_file", _NONE if there is None else "different", "written", machine.WriteText(name, wanted))


# -- taking it away ---------------------------------------------------------------------------------------------------


def _remove(actual: Actual) -> Plan:
    settings = actual.settings
    if settings is None:
        return Plan()
    if actual.vpss is None:
        raise VpsError(f"state: {settings.pool} is not mounted, so it is unknown whether there are VPSs in it; {_how_to_mount(settings)}.")
    if actual.vpss or actual.templates:
        told, which = _occupants(actual)
        raise VpsError(f"state: {told} on this node; remove {which} first.")
    made = settings.made
    items = _Items()
    items.add("state", _FOUND, _NONE)
    items.steps.append(machine.SweepPool(settings.pool))
    if actual.rules is not None:
        items.add("firewall", "loaded", _NONE, machine.RemoveRules())
    lowered = {
        key: before for key, before in made.sysctls.items() if actual.sysctls.get(key) == nodefiles.SYSCTLS[key].value and before != actual.sysctls[key]
    }
    for key, before in lowered.items():
        items.add(f"sysctl {key}", actual.sysctls[key], before)
    if lowered:
        items.steps.append(machine.SetSysctls(lowered))
    line = nodefiles.ids_line(settings.id_start, settings.id_count)
    for name in made.ids:
        if line in (actual.texts.get(name) or "").splitlines():
            items.add(name, line, None, machine.EditLines(name, drop=(line,)))
    if made.lxcfs and actual.lxcfs:
        items.add("lxcfs", "running", "stopped", machine.StopLxcfs())
    if made.lxc_mode is not None and actual.lxc_mode == machine.MODE:
        items.add("lxc_folder", f"{machine.MODE:04o}", f"{made.lxc_mode:04o}", machine.SetLxcMode(made.lxc_mode))
    leave = _leave_pool(settings, actual)
    for step in leave:
        if isinstance(step, machine.EditLines):
            items.changes.append(Change("fstab", step.drop[0], None))
    items.add("pool", settings.pool, None, machine.SweepCgroups(), *leave)
    for name in ("sysctl", "seccomp", "network"):
        if actual.texts.get(name) is not None:
            items.add(f"{name}_file", _FOUND, _NONE, machine.RemoveText(name))
    items.steps.append(machine.ForgetSettings())
    return Plan(tuple(items.changes), tuple(items.steps))


def _leave_pool(settings: Settings, actual: Actual) -> list[object]:
    """The steps away from the pool of the settings, which has nothing in it."""
    made = settings.made
    steps: list[object] = [machine.SweepPool(settings.pool)]
    if made.pool_file is not None:
        there = nodefiles.fstab_lines_at(actual.texts.get("fstab") or "", settings.pool)
        ours = tuple(line for line in there if line.split()[0] == made.pool_file)
        steps += [machine.EditLines("fstab", drop=ours)] if ours else []
    return [*steps, machine.RemovePool(settings.pool, made.pool_file, folder=made.pool_folder)]


def _moved(desired: Desired, actual: Actual) -> bool:
    """Whether the settings name another pool than the one that is asked for."""
    old = actual.settings
    if old is None:
        return False
    return old.pool != desired.pool or old.made.pool_file not in (None, desired.pool_file)


def _occupants(actual: Actual) -> tuple[str, str]:
    """What there is on the node, and the word for it."""
    kinds = []
    for word, names in (("VPS", [vps.name for vps in actual.vpss or ()]), ("template", list(actual.templates or ()))):
        if names:
            listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
            kinds.append(f"{word}{'s' if len(names) > 1 else ''} {listed}")
    many = len(actual.vpss or ()) + len(actual.templates or ()) > 1
    return f"there {'are' if many else 'is'} {' and '.join(kinds)}", "them" if many else "it"


def _how_to_mount(settings: Settings) -> str:
    file = settings.made.pool_file
    return f"run 'mount -o loop,noatime {file} {settings.pool}' first" if file else "mount it first"
