# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All VPSs of a node in one task: the plan of each, made against what the others will have by then.

Pure. The plans are core/container.py's, one for each VPS. What this adds is who has what by then: those that come earlier in the list
have what they were planned to have, the others what is recorded; what a VPS gives up in this task another may take, and comes after it then.
What all have is kept in tables that one VPS after the other changes: nothing here looks at every VPS for every VPS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import container, fleet, interfaces, links
from .capacity import Room
from .container import Desired
from .errors import VpsError
from .firewall import Publish
from .fleet import Wish
from .fleet_room import Promise, check_promises
from .model import RUNNING, Actual, NodeFacts, Vps
from .plan import Change, Create, Destroy, Plan, Update
from .places import link_of
from .pools import Wanted, beyond

_RUN = ("started", "restarted", "rescue")  # the states in which one runs


@dataclass(frozen=True)
class FleetActual:
    """A node's VPSs as they are. `node` has what all of them have; `vpss` are those that there are and that are asked about, by their names.

    `recorded` are all, those that are being made included; `names` those that are there. `sources` maps a VPS that is to be copied to the bytes that a
    copy of its disk has at least, `foreign` a name that is not ours to touch to the reason. `unread` says why a VPS cannot be read. `looked_at` are
    those names that were looked for, where not all were.
    """

    node: NodeFacts = NodeFacts()
    vpss: Mapping[str, Actual] = field(default_factory=dict)
    recorded: tuple[Vps, ...] = ()
    names: tuple[str, ...] = ()
    sources: Mapping[str, int] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    looked_at: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Item:
    """One VPS: what is asked of it, its plan, and what it has before and after, None where there is none.

    It comes after those that it `needs`. `runs` is whether it runs in the end.
    """

    desired: Desired
    place: str
    plan: Plan
    before: Vps | None
    after: Vps | None
    needs: frozenset[str] = frozenset()
    runs: bool = False

    @property
    def name(self) -> str:
        """The VPS's."""
        return self.desired.name


@dataclass(frozen=True)
class FleetPlan:
    """The plans of all, in the order of the list, and then of those that are not listed. `refused` says why there is no plan of one, by its name."""

    items: tuple[Item, ...] = ()
    unlisted: tuple[str, ...] = ()
    refused: Mapping[str, VpsError] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether anything would be, or was, done."""
        return any(one.plan.changed for one in self.items)

    @property
    def at_work(self) -> tuple[Item, ...]:
        """Those that something is to be done to."""
        return tuple(one for one in self.items if one.plan.changed)

    @property
    def waiting(self) -> tuple[Item, ...]:
        """Those of which something is awaited, and nothing changed."""
        return tuple(one for one in self.items if one.plan.steps and not one.plan.changed)

    def diff(self) -> list[dict[str, Any]]:
        """A diff for each VPS, in their order, as Ansible's C(--diff) wants it."""
        return [{"before_header": one.name, "after_header": one.name, **one.plan.diff()} for one in self.at_work]

    def warnings(self) -> list[str]:
        """Each once, with the VPSs that it is about; what is said of the pool is about all of them."""
        about: dict[str, list[str]] = {}
        for one in self.items:
            for text in one.plan.warnings:
                about.setdefault(text, []).append(one.name)
        return [text if text.startswith("pool: ") else f"{fleet.some(names)}: {text}" for text, names in about.items()]


def told(changes: Iterable[tuple[str, Change]]) -> list[dict[str, Any]]:
    """Changes, each of a VPS, as the module returns them."""
    return [{"vps": name, "option": c.option, "before": c.before, "after": c.after, "effect": c.effect} for name, c in changes]


def compare(wish: Wish, actual: FleetActual) -> FleetPlan:
    """The plan for all; raises VpsError, which names the VPS and the option, for what cannot be. What else cannot is said in its details."""
    if wish.unlisted == fleet.ABSENT:
        fleet.refuse_too_many(wish, _unlisted(wish, actual))
    plan = compare_each(wish, actual)
    if not plan.refused:
        return plan
    message, refused = fleet.refusal(fleet.blame(wish, name, str(error)) for name, error in plan.refused.items())
    first = next(iter(plan.refused.values()))
    if str(first) == actual.node.damaged:
        message = str(first)  # of a VPS that need not be in the list
    raise VpsError(message, **{**first.details, "refused": refused})


def to_ask(wish: Wish, plan: FleetPlan) -> bool:
    """Whether a program is to say of any VPS that it is well."""
    return wish.health is not None and any(one.runs for one in plan.items)


def compare_each(wish: Wish, actual: FleetActual) -> FleetPlan:
    """The same, with what cannot be in `refused`; of how many may go nothing is said, for by now they may have gone."""
    unlisted = _unlisted(wish, actual)
    state = {fleet.ABSENT: "absent", fleet.STOP: "stopped"}.get(wish.unlisted)
    others = [Desired(name, state, {}, stop_timeout=wish.stop_timeout, must_exist=True) for name in unlisted] if state else []
    wishes = [*zip(wish.vpss, wish.places), *((one, f"unlisted ({one.name})") for one in others)]
    projected = _Projected(wish, actual, [one for one, _place in wishes])
    items: list[Item] = []
    refused: dict[str, VpsError] = {}
    for desired, place in wishes:
        try:
            items.append(projected.plan(desired, place))
        except VpsError as error:
            refused[desired.name] = error
    if not refused:
        items = _after_copies(items)
        changes = [
            Promise(one.name, None if one.before is None else one.before.limits, None if one.after is None else one.after.limits)
            for one in items if one.after is not one.before
        ]
        refused, givers = check_promises(actual.node.room, changes)
        items = [replace(one, needs=one.needs | givers[one.name]) if one.name in givers else one for one in items]
    return FleetPlan(tuple(items), unlisted, refused)


def _unlisted(wish: Wish, actual: FleetActual) -> tuple[str, ...]:
    listed = {one.name for one in wish.vpss}
    return tuple(name for name in sorted(actual.names) if name not in listed)


def _after_copies(items: list[Item]) -> list[Item]:
    """A VPS is changed, or goes, after those that come before it in the list and are made from it."""
    copies: dict[str, set[str]] = {}
    found = []
    for one in items:
        found.append(replace(one, needs=one.needs | copies[one.name]) if one.name in copies else one)
        if one.before is None and one.desired.disk.clone_from is not None:
            copies.setdefault(one.desired.disk.clone_from, set()).add(one.name)
    return found


class _Beside(Mapping[str, str]):
    """Who has which address, without one VPS's own."""

    def __init__(self, taken: Mapping[str, str], name: str) -> None:
        self._taken, self._own = taken, f"VPS {name}"

    def __getitem__(self, address: str) -> str:
        owner = self._taken[address]
        if owner == self._own:
            raise KeyError(address)
        return owner

    def __contains__(self, address: object) -> bool:
        return self._taken.get(address, self._own) != self._own  # type: ignore[call-overload]

    def __iter__(self) -> Iterator[str]:
        return (address for address, owner in self._taken.items() if owner != self._own)

    def __len__(self) -> int:
        return sum(1 for _address in self)


class _Projected:
    """Who has what, after those VPSs that have been planned. `had` is who has it on the node now."""

    def __init__(self, wish: Wish, actual: FleetActual, wishes: list[Desired]) -> None:
        self.actual = actual
        self.recorded = {vps.name: vps for vps in actual.recorded}
        self.planned: dict[str, Vps | None] = {}
        self.taken = dict(actual.node.taken)
        self.ports: dict[tuple[str, int], dict[str, tuple[Publish, ...]]] = {}
        self.links: dict[str, str] = {}
        self.pools = dict(actual.node.pools)  # of which those that were given something of it need not be looked through again
        self.had: dict[object, str] = {}
        bridged = any("interfaces" in one.options for one in wishes)
        for vps in actual.recorded:
            for thing in _things(vps, bridged):
                self.had[_key(thing)] = vps.name
            self._give(vps, bridged)
        self.bridged = bridged
        for desired in wishes:
            self._release(desired)
        self.free_ids = actual.node.free_id_ranges
        known = frozenset(self.recorded) | {one.name for one in wishes if one.state != "absent"}
        gone = {one.name for one in wishes if one.state == "absent"}
        self.node = replace(
            actual.node,
            plans={**actual.node.plans, **wish.plans},
            neighbours=tuple(sorted(known - gone)),
            room=Room(actual.node.room.present),  # what is promised to all is looked at once, for all
            published={},
            linked=(),
        )

    def plan(self, desired: Desired, place: str) -> Item:
        """The plan of one; from then on it has what it is to have. Raises VpsError."""
        name = desired.name
        if name in self.actual.unread:
            raise VpsError(self.actual.unread[name])
        there = self.actual.vpss.get(name, Actual(node=self.node))
        before = there.recorded or there.vps
        source, size = self._source(desired)
        facts = replace(
            self.node,
            abilities=there.node.abilities,
            taken=_Beside(self.taken, name),
            published=self._published(desired),
            linked=self._linked(desired, before),
            pools=self.node.pools if before is not None else self.pools,
            free_id_ranges=self.free_ids,
            foreign=self.actual.foreign.get(name),
            source=source,
            source_size=size,
        )
        plan = container.compare(desired, replace(there, node=facts))
        after = _after(plan, before)
        if before is None and after is not None:
            self.free_ids -= 1
            for address, pool in after.pooled:
                self.pools[pool] = beyond(self.pools[pool], address)
        needs: set[str] = set()
        if after is not None and after is not before:
            mine = set(_things(before, self.bridged)) if before is not None else set()
            new = (_key(thing) for thing in _things(after, self.bridged) if thing not in mine)
            needs = {self.had[key] for key in new if key in self.had}
        if source is not None and before is None:
            needs |= {source.name} & set(self.planned)  # which has just been made, or changed
        if after is not before:
            self._put(name, before, after)
        runs = desired.state in _RUN or (desired.state == "present" and there.run == RUNNING)
        return Item(desired, place, plan, before, after, frozenset(needs - {name}), runs)

    def _put(self, name: str, before: Vps | None, after: Vps | None) -> None:
        if before is not None:
            self._take(before, set(_things(before, self.bridged)))
        if after is not None:
            self._give(after, self.bridged)
        self.planned[name] = after

    def _give(self, vps: Vps, bridged: bool) -> None:
        owner = f"VPS {vps.name}"
        for address in vps.claimed:
            self.taken[address] = owner
        for one in vps.publish:
            table = self.ports.setdefault((one.proto, one.host), {})
            table[vps.name] = (*table.get(vps.name, ()), one)
        if bridged:
            self.links.update(dict.fromkeys(_links(vps), vps.name))

    def _take(self, vps: Vps, things: Iterable[object]) -> None:
        """What it has of these is nobody's any more."""
        for thing in things:
            if isinstance(thing, Publish):
                table = self.ports.get((thing.proto, thing.host), {})
                table[vps.name] = tuple(one for one in table.get(vps.name, ()) if one != thing)
            elif self.taken.get(str(thing)) == f"VPS {vps.name}":
                del self.taken[str(thing)]
            elif self.links.get(str(thing)) == vps.name:
                del self.links[str(thing)]

    def _release(self, desired: Desired) -> None:
        """What the task takes from a VPS, whatever its place in the list is."""
        before = self.recorded.get(desired.name)
        if before is None or desired.name not in self.actual.vpss:
            return
        had = set(_things(before, self.bridged))
        if desired.state == "absent":
            self._take(before, had)
            return
        options: dict[str, Any] = {name: desired.options[name] for name in ("addresses", "interfaces", "publish") if name in desired.options}
        if not options:
            return
        wishes = [*options.get("addresses", ()), *(address for one in options.get("interfaces", ()) for address in one.addresses)]
        if any(isinstance(wish, Wanted) for wish in wishes):
            try:
                options = links.settle(options, before, replace(self.actual.node, taken=_Beside(self.taken, before.name)))
            except VpsError:  # which its plan tells
                return
        elif "interfaces" in options:
            options["interfaces"] = interfaces.keep(options["interfaces"], before.interfaces)
        kept = {name: value for name, value in options.items() if name != "pooled"}
        self._take(before, had - set(_things(replace(before, leaving=(), **kept), self.bridged)))

    def _published(self, desired: Desired) -> dict[str, tuple[Publish, ...]]:
        """Whose ports those of one VPS could be."""
        found: dict[str, tuple[Publish, ...]] = {}
        for one in desired.options.get("publish", ()):
            for name, ports in self.ports.get((one.proto, one.host), {}).items():
                if name != desired.name:
                    found[name] = (*found.get(name, ()), *ports)
        return found

    def _linked(self, desired: Desired, before: Vps | None) -> tuple[Vps, ...]:
        """Whose names and hardware addresses those of one VPS could be."""
        wanted = [*desired.options.get("interfaces", ()), *(before.interfaces if before else ())]
        owners = {self.links.get(word) for one in wanted for word in (one.mac, one.host_name) if word is not None} - {None, desired.name}
        found = ((self.planned.get(name) or self.recorded.get(name)) for name in sorted(name for name in owners if name))
        return tuple(vps for vps in found if vps is not None)

    def _source(self, desired: Desired) -> tuple[Vps | None, int]:
        """The VPS that it is to be a copy of: one that the list has before it as planned, where it is new."""
        name = desired.disk.clone_from
        if name is None:
            return None, 0
        there = self.planned[name] if name in self.planned else self.recorded.get(name) if name in self.actual.names else None
        return there, self.actual.sources.get(name, 0)


def _after(plan: Plan, before: Vps | None) -> Vps | None:
    """What a VPS has once its plan is carried out."""
    found = before
    for step in plan.steps:
        if isinstance(step, (Create, Update)):
            found = replace(step.vps, leaving=())
        elif isinstance(step, Destroy):
            found = None
    return found


def _things(vps: Vps, bridged: bool) -> Iterator[object]:
    """What nobody else can have that this one has."""
    yield from vps.claimed
    yield from vps.publish
    if bridged:
        yield from _links(vps)


def _key(thing: object) -> object:
    """What two things have in common of which there can be one only."""
    return f"{thing.proto}/{thing.host}" if isinstance(thing, Publish) else thing


def _links(vps: Vps) -> Iterator[str]:
    """The names and hardware addresses of its links on the node."""
    if vps.id_base is not None:
        own = link_of(vps.id_base)
        yield from (interfaces.mac_of(vps.id_base), own, f"{own}-out")
    for one in vps.interfaces:
        yield from (word for word in (one.mac, one.host_name) if word is not None)
