# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the machine as asked and the machine as it is to a plan.

Pure. Item by item: what differs from the kernel or from a file is a change with its steps. What the old settings alone know
of is taken away first; then the new ones are written, with what is about to be made. Where all is taken away, the pool goes
first, because it alone may be in use, and the settings last. A run that is killed leaves what the next one needs to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from . import bridge_plan, capacity, enterfile, limits, machine, nodefiles, pool_plan, ruleset, unitfiles
from .addresses import is_ipv6, overlap, within
from .beancounters import DIR
from .errors import VpsError
from .limits import Limits
from .machine import Actual, Desired, SetFile
from .model import ID_RANGE
from .networks import bridges_of, networks_of
from .places import BOOT_UNIT, HOST_PREFIX
from .plan import Change, Plan
from .settings import Made, Settings

_FOUND, _NONE = "present", "absent"
# What its owner would write to let the VPSs' links pass.
_HOW_TO_PASS = {
    "ufw": f"run 'ufw route allow in on {HOST_PREFIX}+' and 'ufw route allow out on {HOST_PREFIX}+'",
    "firewalld": f"run 'firewall-cmd --permanent --zone=trusted --add-interface={HOST_PREFIX}+' and 'firewall-cmd --reload'",
    "somebody": f"accept the interfaces {HOST_PREFIX}* there, in and out",
}


@dataclass
class Items:
    """What has been found to differ so far; `before` are the steps that come before the new settings are written."""

    texts: Mapping[str, str | None]
    changes: list[Change] = field(default_factory=list)
    before: list[object] = field(default_factory=list)
    steps: list[object] = field(default_factory=list)

    def add(self, option: str, before: object, after: object, *steps: object) -> None:
        self.changes.append(Change(option, before, after))
        self.steps += steps

    def set_file(self, file: str, text: str | None) -> SetFile:
        return SetFile(file, self.texts.get(file), text)

    def own_file(self, file: str, text: str | None) -> None:
        """A file that is all ours."""
        there = self.texts.get(file)
        if there != text:
            before, after = _NONE if there is None else _FOUND if text is None else "different", _NONE if text is None else "written"
            self.add(f"{file}_file", before, after, self.set_file(file, text))


def compare(desired: Desired, actual: Actual) -> Plan:
    """The plan that makes the machine a node as asked, or no node; raises VpsError for what cannot be."""
    if desired.state == "absent":
        return _remove(actual)
    _refuse_incomplete(actual)
    _refuse_to_strand(desired, actual)
    _refuse_routed(desired, actual)

    items = Items(actual.texts)
    made = actual.settings.made if actual.settings else Made()
    _decided(items, desired, actual.settings)
    made = pool_plan.pool(items, desired, actual, made)
    made = _ids(items, desired, actual, made)
    made = _sysctls(items, desired, actual, made)
    items.own_file("seccomp", nodefiles.seccomp_profile(actual.common_seccomp))
    for name, text in enterfile.files(desired.pool).items():
        items.own_file(name, text)
    bridge_plan.bridges(items, actual)
    _firewall(items, desired, actual)
    made = _lxc(items, actual, made)
    _boot(items, desired, actual)

    plans, overcommit = _policies(items, desired, actual.settings)
    warning = pool_plan.warning(items, desired, actual.settings)
    others = actual.settings.others if actual.settings else ()
    followed = actual.settings.followed if actual.settings else None
    kind = pool_plan.kind(desired, actual.settings)
    ids = (desired.id_start, desired.id_count)
    settings = Settings(desired.pool, *ids, desired.networks, desired.nat, plans, overcommit, others, made, followed, warning, kind)
    if settings != actual.settings:
        if not items.changes:
            items.changes.append(Change("settings", "of an older release", "current"))
        items.before.append(items.set_file("settings", settings.to_text()))
    full = capacity.nearly_full(actual.pool.size, actual.pool.free, warning)
    return Plan(tuple(items.changes), (*items.before, *items.steps), warnings=(*_warnings(actual), *full))


# -- what cannot be ---------------------------------------------------------------------------------------------------


def _refuse_incomplete(actual: Actual) -> None:
    if actual.missing:
        packages = ", ".join(sorted({machine.PROGRAMS[program] for program in actual.missing}))
        raise VpsError(
            f"state: {', '.join(actual.missing)} missing on this machine; install {packages}, or run the role mainline.vps.node, "
            "which does it."
        )


def _refuse_to_strand(desired: Desired, actual: Actual) -> None:
    """VPSs keep their place, addresses and ids: what they have must stay what the node gives."""
    old = actual.settings
    if old is None:
        return
    file = old.made.pool_file
    if old.pool != desired.pool or file not in (None, desired.pool_file):
        option, place = ("pool", old.pool) if old.pool != desired.pool else ("pool_file", f"{old.pool} in {file}")
        raise VpsError(
            f"{option}: the node's pool is {place}; make the machine no node first (state: absent), then a node again with the new pool."
        )
    different = [option for option in ("id_start", "id_count", "networks") if getattr(old, option) != getattr(desired, option)]
    if not different:
        return
    if actual.damaged:
        raise VpsError(actual.damaged)
    if actual.vpss is None:
        raise VpsError(f"{different[0]}: cannot change while {old.pool} is not mounted, because the VPSs in it are unknown; {_how_to_mount(old)}.")
    for vps in actual.vpss or ():
        for address in vps.addresses:
            if "networks" in different and within(address, old.networks) and not within(address, desired.networks):
                raise VpsError(
                    f"networks: VPS {vps.name} has the address {address}, which is in none of {', '.join(desired.networks) or 'no networks'}; "
                    "keep its network, or take the address away first."
                )
        if not desired.id_start <= (vps.id_base or 0) <= desired.id_start + desired.id_count - ID_RANGE:
            raise VpsError(
                f"id_start: VPS {vps.name} has the ids from {vps.id_base}, outside {desired.id_start} to "
                f"{desired.id_start + desired.id_count - 1}; keep its range, or remove the VPS first."
            )


def _refuse_routed(desired: Desired, actual: Actual) -> None:
    known = actual.settings.networks if actual.settings else ()
    for network in desired.networks:
        for other in actual.settings.others if actual.settings else ():
            for subnet in other.subnets:
                if overlap(network, subnet):
                    raise VpsError(f"networks: {network} overlaps {subnet} of network '{other.name}'; give a network that is free.")
        for interface, subnet in actual.routes:
            if network not in known and overlap(network, subnet):
                raise VpsError(
                    f"networks: {network} overlaps {subnet}, which this machine reaches through {interface}; give a network that is free."
                )


# -- item by item -----------------------------------------------------------------------------------------------------


def _decided(items: Items, desired: Desired, old: Settings | None) -> None:
    """What is only written down."""
    if old is None:
        items.add("state", _NONE, _FOUND)
    for option in ("id_start", "id_count", "networks", "nat"):
        before, after = getattr(old, option, None), getattr(desired, option)
        if before != after:
            items.add(option, list(before) if isinstance(before, tuple) else before, list(after) if isinstance(after, tuple) else after)


def _policies(items: Items, desired: Desired, old: Settings | None) -> tuple[Mapping[str, Limits], Mapping[str, int]]:
    """Plans and overcommit: those that are asked for, or as they were where the playbook names none."""
    plans, overcommit = (old.plans, old.overcommit) if old else ({}, {})
    if desired.plans is not None:
        for name in sorted({*plans, *desired.plans}):
            before, after = plans.get(name), desired.plans.get(name)
            if before != after:
                items.add(f"plans.{name}", None if before is None else limits.show(before), None if after is None else limits.show(after))
        plans = desired.plans
    if desired.overcommit is not None:
        for name in sorted({*overcommit, *desired.overcommit}):
            if overcommit.get(name) != desired.overcommit.get(name):
                items.add(f"overcommit.{name}", overcommit.get(name), desired.overcommit.get(name))
        overcommit = desired.overcommit
    return plans, overcommit


def _ids(items: Items, desired: Desired, actual: Actual, made: Made) -> Made:
    wanted = nodefiles.ids_line(desired.id_start, desired.id_count)
    old = nodefiles.ids_line(actual.settings.id_start, actual.settings.id_count) if actual.settings else wanted
    mine = []
    for name in ("subuid", "subgid"):
        text = actual.texts.get(name)
        drop = name in made.ids and old != wanted and old in nodefiles.lines(text)
        rest = nodefiles.edit_lines(text, drop=[old]) if drop else text
        nodefiles.refuse_overlap(f"/etc/{name}", rest, desired.id_start, desired.id_count, ours=wanted)
        covered = any(nodefiles.covers(line, desired.id_start, desired.id_count) for line in nodefiles.lines(rest))
        if not covered or name in made.ids and wanted in nodefiles.lines(rest):
            mine.append(name)
        if drop:
            items.before.append(items.set_file(name, rest))
        if not covered:
            items.steps.append(SetFile(name, rest, nodefiles.edit_lines(rest, add=[wanted])))
        if drop or not covered:
            items.add(name, old if drop else None, wanted)
    return replace(made, ids=tuple(mine))


def _sysctls(items: Items, desired: Desired, actual: Actual, made: Made) -> Made:
    others = [subnet for other in (actual.settings.others if actual.settings else ()) for subnet in other.subnets]
    keys = nodefiles.wanted(ipv6=any(map(is_ipv6, [*desired.networks, *others])), hears=actual.hears, before=made.sysctls)
    ours = nodefiles.raised(actual.sysctls, made.sysctls, keys)
    items.own_file("sysctl", nodefiles.sysctl_file(ours, keys, actual.sysctls))
    values = {key: nodefiles.row(key).value for key in ours if actual.sysctls[key] != nodefiles.row(key).value}
    if values:
        for key, value in values.items():
            items.add(f"sysctl {key}", actual.sysctls[key], value)
        items.steps.append(machine.SetSysctls(values))
    return replace(made, sysctls=ours)


def _firewall(items: Items, desired: Desired, actual: Actual) -> None:
    """The table, with what its VPSs have asked for. As long as those cannot be read, it stays as it is."""
    # A run was killed before it had mounted its pool, or nothing mounts it at a boot.
    if actual.vpss is None and (actual.rules is None or actual.texts["network"] is None):
        items.add("firewall", _NONE, "loaded", machine.FollowVpss())
    if actual.vpss is None or actual.damaged:
        return
    others = actual.settings.others if actual.settings else ()
    rules = ruleset.ruleset(networks_of(desired.networks, desired.nat, others), actual.vpss)
    items.own_file("network", rules.text)
    if actual.rules != (rules.mark, rules.rules):
        items.add("firewall", _NONE if actual.rules is None else "other rules", "loaded", machine.SetRules(rules.text))
    bridge_plan.rules(items, networks_of(desired.networks, desired.nat, others), actual)


def _lxc(items: Items, actual: Actual, made: Made) -> Made:
    if actual.lxc_mode not in (None, machine.MODE):
        items.add("lxc_folder", f"{actual.lxc_mode:04o}", f"{machine.MODE:04o}", machine.SetLxcMode(machine.MODE))
        if made.lxc_mode is None:
            made = replace(made, lxc_mode=actual.lxc_mode)
    if not actual.lxcfs:
        items.add("lxcfs", "stopped", "running", machine.SetLxcfs(running=True))
        made = replace(made, lxcfs=True)
    return made


def _boot(items: Items, desired: Desired, actual: Actual) -> None:
    """What is there again after a boot of the machine; without systemd, LXC's own script starts VPSs."""
    if actual.boot is None:
        return
    known = len(items.changes)
    bridges = sorted(bridges_of(actual.settings.others, made=True).values()) if actual.settings else ()
    for name, text in unitfiles.files(desired.pool, bridges).items():
        items.own_file(name, text)
    boot = actual.boot
    if len(items.changes) > known or not boot.enabled or not boot.loaded:
        before = "disabled" if not boot.enabled else "not loaded" if not boot.loaded else "loaded from other files"
        items.add("boot", before, "enabled and loaded", machine.SetBoot(enabled=True, autostart=_has_no_vps(actual)))


def _has_no_vps(actual: Actual) -> bool:
    """Whether that is known: a pool that has outlived the settings, or is not mounted, may have any."""
    fresh = actual.settings is not None or not (actual.file.exists or actual.pool.folders)
    return fresh and actual.vpss == () and not actual.damaged


def _warnings(actual: Actual) -> tuple[str, ...]:
    """What is not ours to change."""
    told = [f"The packet filter stays as it is, until this is mended: {actual.damaged}"] if actual.damaged else []
    told += [
        f"firewall: {barrier.chain} drops what this machine routes, and so what VPSs send and get; {_HOW_TO_PASS[barrier.owner]}."
        for barrier in actual.barriers
    ]
    if actual.boot is not None and actual.boot.enabled and not actual.boot.started and actual.vpss:
        told.append(
            f"boot: {BOOT_UNIT} has been stopped, or the pool was missing at boot; run 'systemctl start {BOOT_UNIT}', "
            "which starts the VPSs that start with the node."
        )
    return tuple(told)


# -- taking it away ---------------------------------------------------------------------------------------------------


def _remove(actual: Actual) -> Plan:
    settings = actual.settings
    if settings is None:
        return Plan()
    if actual.vpss is None:
        raise VpsError(f"state: {settings.pool} is not mounted, so it is unknown whether there are VPSs in it; {_how_to_mount(settings)}.")
    if actual.damaged:
        raise VpsError(actual.damaged)
    if actual.vpss or actual.templates:
        told, which = _occupants(actual)
        raise VpsError(f"state: {told} on this node; remove {which} first.")
    made = settings.made
    items = Items(actual.texts)
    items.add("state", _FOUND, _NONE)
    gone, last = machine.RemovePool(settings.pool, made.pool_file, folder=made.pool_folder), settings.pool_kind == DIR
    items.add("pool", settings.pool, None, *(() if last else (gone,)))
    ours, _others = nodefiles.fstab_lines_at(actual.texts.get("fstab"), settings.pool, made.pool_file)
    if ours:
        items.add("fstab", ours[0], None, items.set_file("fstab", nodefiles.edit_lines(actual.texts["fstab"], drop=ours)))
    if actual.rules is not None:
        items.add("firewall", "loaded", _NONE, machine.SetRules(ruleset.NO_RULES))
    bridge_plan.remove(items, settings, actual)
    lowered = {
        key: before for key, before in made.sysctls.items() if actual.sysctls.get(key) == nodefiles.row(key).value and before != actual.sysctls[key]
    }
    for key, before in lowered.items():
        items.add(f"sysctl {key}", actual.sysctls[key], before)
    if lowered:
        items.steps.append(machine.SetSysctls(lowered))
    line = nodefiles.ids_line(settings.id_start, settings.id_count)
    for name in made.ids:
        if line in nodefiles.lines(actual.texts.get(name)):
            items.add(name, line, None, items.set_file(name, nodefiles.edit_lines(actual.texts[name], drop=[line])))
    if made.lxcfs and actual.lxcfs:
        items.add("lxcfs", "running", "stopped", machine.SetLxcfs(running=False))
    if made.lxc_mode is not None and actual.lxc_mode == machine.MODE:
        items.add("lxc_folder", f"{machine.MODE:04o}", f"{made.lxc_mode:04o}", machine.SetLxcMode(made.lxc_mode))
    if actual.boot is not None and (actual.boot.enabled or any(actual.texts.get(name) for name in unitfiles.PATHS)):
        items.add("boot", "enabled" if actual.boot.enabled else "incomplete", "disabled", machine.SetBoot(enabled=False))
    for name in ("sysctl", "seccomp", "network", "bridged", "bridges", *enterfile.PATHS, *unitfiles.PATHS):
        items.own_file(name, None)
    items.steps += [*((gone,) if last else ()), items.set_file("settings", None)]  # a pool without its folders is one that is not mounted
    return Plan(tuple(items.changes), tuple(items.steps))


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
