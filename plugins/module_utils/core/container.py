# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One VPS: from parameters to a wish, and from a wish and the VPS as it is to a plan.

Pure. This is where every rule about what changes, when it takes effect and what is refused is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import addresses, capacity, controls, disk, fidelity, firewall, interfaces, links, parse, pools, rates, reinstall, units
from . import limits as limits_
from .beancounters import DIR, KEYS, STORAGES, format_value
from .errors import VpsError, shown
from .fidelity import Abilities, enforced
from .limits import Limits, Wish
from .model import FROZEN, OTHER_INIT, RUNNING, SECTIONS, STOPPED, Actual, NodeFacts, Vps
from .plan import (
    AT_RESTART,
    HIDDEN,
    LIVE,
    NEVER,
    Change,
    Create,
    Destroy,
    Freeze,
    Plan,
    Start,
    Stop,
    Thaw,
    Update,
    Wait,
)

AT_START = "start"


def _parse_storage(value: object) -> str:
    if value not in STORAGES:
        raise VpsError(f"storage: there is no {shown(value)}; there are {', '.join(STORAGES)}.")
    return str(value)


# How an option is checked, in the order in which a mistake is reported and a change is shown.
PARSERS: dict[str, Callable[[Any], Any]] = {
    "template": lambda value: parse.parse_name(value, option="template"),
    "storage": _parse_storage,
    "hostname": parse.parse_hostname,
    "addresses": pools.parse_wishes,
    "interfaces": interfaces.parse_interfaces,
    "nameservers": addresses.parse_nameservers,
    "search_domains": addresses.parse_search_domains,
    "root_password_hash": parse.parse_password_hash,
    "authorized_keys": parse.parse_authorized_keys,
    "onboot": bool,
    "boot_order": parse.parse_boot_order,
    "description": parse.parse_description,
    "labels": parse.parse_labels,
    "privileged": bool,
    "isolated": bool,
    "protected": bool,
    "firewall": firewall.parse_firewall,
    "publish": firewall.parse_publish,
    "rates": rates.parse_rates,
    "limits": lambda value: limits_.parse(value, prefix="limits."),
}
OPTIONS = (*PARSERS, "plan", "pooled")
LIMIT_OPTIONS = (limits_.PLAN, *KEYS)  # of vps_limits, and of the section of the others
# The configuration is what LXC reads at a start: one that was edited, or that another release writes.
NEEDS_RESTART = frozenset({"privileged", "configuration"})
TERMINALS = "limits.numpty"


@dataclass(frozen=True)
class Desired:
    """What a playbook asks of one VPS. `options` holds what it names and nothing else: the rest is left alone."""

    name: str
    state: str
    options: Mapping[str, Any]
    wait: str = RUNNING
    wait_timeout: int = 120
    stop_timeout: int = 60
    restart_policy: str = "never"
    must_exist: bool = False
    unsupported: str = "fail"
    force: bool = False
    disk: reinstall.Wish = reinstall.Wish()


def parse_container(params: Mapping[str, Any]) -> Desired:
    """The parameters of C(vps_container)."""
    return Desired(
        name=parse.parse_name(params["name"]),
        state=params["state"],
        options={name: check(params[name]) for name, check in PARSERS.items() if params.get(name) is not None},
        wait=params["wait"],
        wait_timeout=parse.parse_seconds(params["wait_timeout"], option="wait_timeout"),
        stop_timeout=parse.parse_seconds(params["stop_timeout"], option="stop_timeout"),
        restart_policy=params["restart_policy"],
        unsupported=params["unsupported"],
        force=params["force"],
        disk=reinstall.parse_wish(params),
    )


def parse_limits(params: Mapping[str, Any]) -> Desired:
    """The parameters of C(vps_limits): the limits section of an existing VPS, whatever it is doing."""
    return Desired(
        name=parse.parse_name(params["name"]),
        state="present",
        options={"limits": limits_.parse({name: params[name] for name in LIMIT_OPTIONS})},
        must_exist=True,
        unsupported=params["unsupported"],
        force=params["force"],
    )


def compare(desired: Desired, actual: Actual) -> Plan:
    """The plan that turns the VPS as it is into the VPS as asked; raises VpsError for what cannot be."""
    if actual.node.foreign:
        raise VpsError(f"name: {actual.node.foreign}")
    if desired.state == "absent":
        return _remove(desired, actual)
    if actual.vps is None and desired.must_exist:
        raise VpsError(f"name: there is no VPS '{desired.name}' on this node; make it with vps_container first.")
    source = reinstall.source_of(desired.disk, desired.name, desired.options, actual.node) if actual.vps is None else None
    actual = replace(actual, node=replace(actual.node, abilities=abilities(desired, actual)))
    desired = replace(desired, options=links.settle(desired.options, actual.recorded or actual.vps, actual.node))
    desired, warnings = _settle_limits(desired, actual.node)
    plan = _create(desired, actual.node, source) if actual.vps is None else _update(desired, actual, actual.vps)
    full = capacity.nearly_full(actual.node.room.present.disk, actual.node.free_bytes, actual.node.pool_warning)
    return replace(plan, warnings=(*plan.warnings, *warnings, *disk.warnings(actual.disk), *full))


def abilities(desired: Desired, actual: Actual) -> Abilities:
    """What the machine can limit of the VPS: on the storage that it has, or is to have."""
    if actual.vps is not None:
        return actual.node.abilities
    source = actual.node.source if desired.disk.clone_from else None
    return actual.node.abilities.on(source.storage if source else desired.options.get("storage", actual.node.storages[0]))


def _settle_limits(desired: Desired, node: NodeFacts) -> tuple[Desired, tuple[str, ...]]:
    """The wish with its limits as they come out of plan and keys; and what is to be said of those that this node cannot keep."""
    wish = desired.options.get("limits")
    if not isinstance(wish, Wish):
        return desired, ()
    limits = limits_.settle(wish, node.plans)
    warnings = fidelity.check(limits, node.abilities, desired.unsupported, prefix=wish.prefix, own=wish.given, plan=wish.plan)
    return replace(desired, options={**desired.options, "limits": limits, "plan": wish.plan}), warnings


def settled(desired: Desired) -> Desired:
    """The wish as it stands once it has been granted: what is left to do for it is what the kernel did not take."""
    state = "started" if desired.state == "restarted" else desired.state
    return replace(desired, state=state, disk=reinstall.settled(desired.disk))


def _remove(desired: Desired, actual: Actual) -> Plan:
    if actual.vps is None and actual.damaged is None:
        return Plan()
    if actual.vps is not None:
        reinstall.refuse_protected(actual.recorded or actual.vps, "removed")
    steps: list[object] = []
    if actual.run == FROZEN:
        steps.append(Thaw(desired.name))  # cgroup v1 keeps even SIGKILL from a frozen process
    if actual.run != STOPPED:
        steps.append(Stop(desired.name, 0))
    steps.append(Destroy(desired.name, unread=actual.vps is None))
    before = "damaged" if actual.vps is None else _state_word(actual.run, actual.vps)
    return Plan(changes=(Change("state", before, "absent"),), steps=tuple(steps))


def _create(desired: Desired, node: NodeFacts, source: Vps | None) -> Plan:
    if desired.state == reinstall.RESCUE:
        raise VpsError(f"state: there is no VPS '{desired.name}' on this node that could be in rescue.")
    base = reinstall.base_of(desired.name, desired.options.get("template"), source, node)
    links.check(desired.options, desired.name, node)
    if source is None:
        disk.check_new(enforced(desired.options.get("limits", Limits()), node.abilities), node.abilities, least=node.images.get(base["template"], 0))
    if node.abilities.storage not in node.storages:
        raise VpsError(
            f"storage: {node.abilities.storage} is not to be had in this node's pool, which is a directory on any file system (pool_kind of vps_node); "
            f"choose {' or '.join(node.storages)}, or leave the option out."
        )
    check_storage(node.abilities, privileged=desired.options.get("privileged", False))
    if node.damaged:
        raise VpsError(node.damaged)
    reinstall.check_room(node, f"name: VPS '{desired.name}'")
    if node.free_id_ranges < 1:
        raise VpsError("name: all id ranges of the node are in use; give the role mainline.vps.node a larger node_id_count.")
    named = dict(desired.options)
    capacity.check(node.room, None, named.get("limits", Limits()), vps=desired.name)
    vps = Vps(**{"name": desired.name, "storage": node.storages[0], **base, "hostname": desired.name, **named})
    _check_wait(desired, vps.boots)
    if source is not None:
        reinstall.check_copy(source, vps, node)
    run_steps, run = _run_steps(desired, STOPPED)
    changes = [Change("state", "absent", _state_word(run), LIVE), *([Change("clone_from", None, source.name)] if source else [])]
    for option in OPTIONS:
        if option == "limits" and option in named:
            kept = enforced(named[option], node.abilities)
            changes += _limit_changes(Limits(), named[option], lambda name: NEVER if getattr(kept, name) is None else LIVE)
        elif named.get(option) is not None:
            changes += _changes(option, None, named[option], LIVE)
    return Plan(changes=tuple(changes), steps=(Create(vps, source.name if source else None), *run_steps), warnings=tuple(links.warnings(vps, node)))


def check_storage(can: Abilities, *, privileged: bool) -> None:
    """Refuse what this kernel has no overlays for."""
    if can.storage == DIR and not can.overlay:
        raise VpsError("storage: dir needs overlayfs, which this node's kernel has not; choose btrfs or image.")
    if can.storage == DIR and not can.layers and not privileged:
        raise VpsError("storage: dir needs Linux 5.19 or later for a VPS that is not privileged, and this node's kernel is older; choose btrfs or image.")


def _update(desired: Desired, actual: Actual, vps: Vps) -> Plan:
    recorded = actual.recorded or vps
    named = dict(desired.options)
    moves = reinstall.moves(desired.disk, named.pop("template", None), desired.state, actual, recorded)
    reinstall.check_leave(moves, may_stop=_may_stop(desired, actual))
    _check_wait(desired, moves.vps.boots)
    if named.get("storage", vps.storage) != vps.storage:
        raise VpsError(
            f"storage: VPS '{vps.name}' has its disk on {vps.storage} and cannot change to {named['storage']}; "
            "remove the VPS first, or leave the option out."
        )

    def is_so(option: str) -> bool:
        """Now, and at the next start: the kernel has it and the record too."""
        return named[option] == getattr(vps, option) == getattr(recorded, option)

    check_storage(actual.node.abilities, privileged=named.get("privileged", vps.privileged))
    differing = [option for option in OPTIONS if option in named and not is_so(option)]
    links.check({option: named[option] for option in differing}, vps.name, actual.node, recorded)

    changes: list[Change] = list(moves.changes)
    options = set(differing) | actual.stale | moves.again
    at_rest = False  # whether the disk takes its new size only while the VPS does not run
    back = actual.at_restart & set(differing) - {"addresses"}  # flags that return to what the running VPS still has
    for option in differing:
        before = getattr(recorded if named[option] == getattr(vps, option) else vps, option)
        if option == "limits":
            capacity.check(actual.node.room, recorded.limits, named[option], vps=vps.name)  # a promise is what the record says
            _refuse_to_kill(before, named[option], desired, actual)
            at_rest = _check_disk(before, named[option], desired, actual, stops=moves.at_rest)
            kept = enforced(named[option], actual.node.abilities)
            due = actual.live.at_restart(kept, actual.node.abilities)  # what the next run will find
            changes += _limit_changes(
                before,
                named[option],
                lambda name: AT_RESTART if at_rest and name == "diskspace" else _limit_effect(name, named["limits"], kept, due, actual),
            )
            back |= {name for name in actual.at_restart if name.startswith("limits.") and name not in due}
        else:
            lacks = option == "interfaces" and actual.run != STOPPED and links.lacks_routed(vps, named[option])
            late = lacks or option in actual.at_restart  # a guest without the link that they would be changed at
            changes += _changes(option, before, named[option], LIVE if option in back else AT_RESTART if late else _effect(option, actual.run))
    for option in sorted(actual.stale - set(differing)):
        changes.append(Change(option, "not applied", "applied", _effect(option, actual.run)))

    steps: list[object] = []
    if options:
        # From the record: drift in what the task does not name is told, and must not become what was asked for.
        rest = moves.vps
        if "limits" in actual.stale:
            rest = replace(rest, limits=disk.attainable(rest.limits, actual.disk, actual.node.abilities, runs=actual.run != STOPPED))
        wanted = replace(rest, **{option: named[option] for option in differing})
        steps.append(Update(wanted, frozenset(options), desired.force))

    waiting = {change.option for change in changes if change.effect == AT_RESTART} | (actual.at_restart - back)
    restart = not moves.at_rest and _runs_on(desired, actual) and (
        (desired.restart_policy == "if_needed" and bool(waiting))
        or (desired.restart_policy == "always" and bool(changes or waiting))
    )
    if moves.at_rest:
        run_steps, run = _around(desired, actual.run)
    else:
        run_steps, run = _run_steps(replace(desired, state="restarted") if restart else desired, actual.run)
    before_word, after_word = _state_word(actual.run, recorded), _state_word(run, moves.vps)
    restarts = any(isinstance(step, Stop) for step in run_steps)
    if restart or desired.state == "restarted" or (moves.at_rest and restarts and before_word == after_word):
        changes.append(Change("state", before_word, "restarted"))
    elif before_word != after_word:
        changes.append(Change("state", before_word, after_word))
    # What stops first is changed at rest: nothing that a guest has done to itself keeps its node from stopping it.
    stopped = 1 + next(number for number, step in enumerate(run_steps) if isinstance(step, Stop)) if restarts else 0
    return Plan(
        changes=tuple(changes),
        steps=(*run_steps[:stopped], *moves.steps, *steps, *run_steps[stopped:]),
        restart_required=bool(waiting) and not restarts and run != STOPPED,
        warnings=tuple(links.warnings(wanted, actual.node)) if options & {"firewall", "publish", "addresses", "interfaces"} else (),
    )


def _run_steps(desired: Desired, run: str) -> tuple[list[object], str]:
    """The steps from one run state to the asked one, and where they end. Waiting is asked for even if nothing changes."""
    name, state = desired.name, desired.state
    if state == "present":
        return [], run
    steps: list[object] = []
    if run == FROZEN and state != "frozen":
        steps.append(Thaw(name))
        run = RUNNING
    if run == RUNNING and state in ("stopped", "restarted"):
        steps.append(Stop(name, desired.stop_timeout))
        run = STOPPED
    if state == "stopped":
        return steps, STOPPED
    ran = run == RUNNING and not steps
    if run == STOPPED:
        steps.append(Start(name))
        run = RUNNING
    if run == RUNNING:
        if not (ran and desired.wait == RUNNING):  # which it is
            steps.append(Wait(name, desired.wait, desired.wait_timeout))
        if state == "frozen":
            steps.append(Freeze(name))
            run = FROZEN
    return steps, run


def _around(desired: Desired, run: str) -> tuple[list[object], str]:
    """The steps that stop a VPS for what is done to it at rest, and bring it into the asked state again, or into the one that it was in."""
    before, _stopped = _run_steps(replace(desired, state="stopped"), run)
    state = {RUNNING: "started", FROZEN: "frozen", STOPPED: "stopped"}[run] if desired.state == "present" else desired.state
    after, end = _run_steps(replace(desired, state=state), STOPPED)
    return [*before, *after], end


def _check_wait(desired: Desired, init: str) -> None:
    if desired.wait == "booted" and desired.state in ("started", "restarted", "frozen", reinstall.RESCUE) and init == OTHER_INIT:
        raise VpsError("wait: this VPS's init has no way to say that it has booted; wait for network or running instead.")


def _refuse_to_kill(before: Limits, after: Limits, desired: Desired, actual: Actual) -> None:
    """Less memory than the kernel could take from a running VPS would make it kill there."""
    wanted = limits_.memory_bytes(after)
    if desired.force or wanted is None or wanted >= actual.live.pinned or wanted == limits_.memory_bytes(before):
        return
    raise VpsError(
        f"limits.{limits_.memory_key(after)}: the VPS uses {units.format_size(actual.live.pinned)} that cannot be reclaimed, "
        f"more than {units.format_size(wanted)}; "
        "stop something in it first, ask for more, or set force to have the kernel kill in it."
    )


def _runs_on(desired: Desired, actual: Actual) -> bool:
    """Whether a VPS runs, and is to run."""
    return (actual.run == RUNNING and desired.state == "present") or (actual.run != STOPPED and desired.state in ("started", reinstall.RESCUE))


def _may_stop(desired: Desired, actual: Actual) -> bool:
    """Whether a VPS is at rest on the way to what is asked, or may be restarted for it."""
    return actual.run == STOPPED or desired.state in ("stopped", "restarted") or (desired.restart_policy != "never" and _runs_on(desired, actual))


def _check_disk(before: Limits, after: Limits, desired: Desired, actual: Actual, *, stops: bool) -> bool:
    """An image does not take every change. Gives whether the VPS has to be stopped for this one, which the task then allows."""
    can, runs = actual.node.abilities, actual.run != STOPPED
    stops = stops or _may_stop(desired, actual)
    kept = enforced(after, can)
    disk.check_change(enforced(before, can), kept, actual.disk, can, runs=runs and not stops)
    return runs and disk.attainable(kept, actual.disk, can, runs=True) != kept


def _limit_changes(before: Limits, after: Limits, effect: Callable[[str], str]) -> list[Change]:
    return [
        Change(f"limits.{name}", format_value(name, getattr(before, name)), format_value(name, getattr(after, name)), effect(name))
        for name in limits_.changed(before, after)
    ]


def _limit_effect(name: str, after: Limits, kept: Limits, due: set[str], actual: Actual) -> str:
    """When a changed limit is felt. `kept` are those that this node can keep, `due` those that then wait for a restart."""
    if getattr(after, name) is not None and getattr(kept, name) is None:
        return NEVER
    if actual.run == STOPPED:
        return AT_START
    if name in controls.AT_START_ONLY:
        return LIVE if controls.terminals(after) == actual.live.terminals else AT_RESTART
    return AT_RESTART if f"limits.{name}" in due else LIVE  # a soft limit goes up and down, a hard one up only with CAP_SYS_RESOURCE


def _changes(option: str, before: object, after: object, effect: str) -> list[Change]:
    if option == "root_password_hash":
        return [Change(option, None if before is None else HIDDEN, HIDDEN + " new", effect)]
    show = SECTIONS.get(option, _plain)
    return [Change(option, None if before is None else show(before), show(after), effect)]


def _effect(option: str, run: str) -> str:
    if run == STOPPED:
        return AT_START
    return AT_RESTART if option in NEEDS_RESTART else LIVE


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _state_word(run: str, vps: Vps | None = None) -> str:
    return reinstall.word({RUNNING: "started", STOPPED: "stopped", FROZEN: "frozen"}[run], vps)
