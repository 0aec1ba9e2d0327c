# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a playbook says of VPSs and nodes that are to be brought together, read into core/placement.py's words.

Pure. Raises VpsError that names the option and, of a list, the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from . import limits as limits_
from . import machine, parse
from .beancounters import ALIASES
from .capacity import RESOURCES, present_of, promises_of
from .errors import VpsError, shown, written
from .fleet import merge
from .limits import Limits
from .placement import AWAY, DAMAGED, DRAINED, HARD, SOFT, STRATEGIES, Node, Policy, Resident, Wanted

MISSING = ("refuse", "ignore")
# Of which more than there is does harm at once. The node's own policy and the option come before.
DEFAULT_BOUNDS = {"memory": 100, "disk": 100}
_COUNTED = frozenset(key for keys in limits_.SAME for key in keys) | {"diskspace"}  # the limits that promise or guarantee something


def read_vpss(vpss: object, plans: object = None, defaults: object = None, options: Collection[str] = ()) -> list[Wanted]:
    """The list, each as M(vps_container) takes it; `plans` as M(vps_node) does; `defaults` are options for those that do not have them.

    `options` are the words that a VPS may have beside C(node); any, where there are none.
    """
    known = machine.parse_plans(_mapping(plans, "plans", "{'small': {'memory': '512M'}}"))
    below = _mapping(defaults, "defaults", "{'limits': {'memory': '512M'}}")
    if isinstance(vpss, (str, Mapping)) or not isinstance(vpss, Sequence):
        raise VpsError("vps: give it a list of VPSs, each as vps_container takes it.")
    words = frozenset((*options, "node")) if options else None
    _know(below, None if words is None else words - {"name"}, "defaults.")
    read = _Cache(lambda section, prefix: _settle(limits_.parse(section, prefix=prefix), known))
    found: dict[str, Wanted] = {}
    for number, entry in enumerate(vpss):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise VpsError(f"vps[{number}]: is no VPS with a name; write for example {{name: web1, limits: {{memory: 512M}}}}.")
        name = entry["name"]
        try:
            _know(entry, words)
            one = _wanted(merge(below, entry) if below else entry, read)
        except VpsError as error:
            if str(error) in _wrong_in(below, read):
                raise VpsError(f"defaults.{error}") from None
            raise VpsError(f"vps[{number}] ({shown(name)[1:-1]}): {error}") from None
        if name in found:
            raise VpsError(f"vps[{number}] ({name}): is in the list twice; leave one of them out.")
        found[name] = one
    return list(found.values())


def _know(section: Mapping[str, Any], words: Collection[str] | None, within: str = "") -> None:
    """Refuse a word that is no option."""
    for word in section:
        if words is not None and word not in words:
            raise VpsError(f"{within}{shown(word)[1:-1]}: {parse.no_such_option(word, words)}")


def _settle(wish: limits_.Wish, plans: Mapping[str, Limits]) -> Limits:
    if wish.plan is not None and wish.plan not in plans:
        near = parse.near(wish.plan, plans)
        hint = f"perhaps {near} is meant" if near else f"there are {', '.join(sorted(plans))}" if plans else "give them in plans, as vps_node takes them"
        raise VpsError(f"{wish.prefix}plan: there is no plan {shown(wish.plan)} in plans; {hint}.")
    return limits_.settle(wish, plans)


def _wrong_in(defaults: Mapping[str, Any], read: _Cache) -> set[str]:
    """What an error says of any VPS that takes its options from the defaults, with limits or labels of its own beside theirs or without."""
    found = set()
    empty: dict[str, Any] = {name: {} for name in ("limits", "labels") if isinstance(defaults.get(name), Mapping)}
    for own in ({}, empty):
        try:
            _wanted(merge(defaults, {"name": "any", **own}), read)
        except VpsError as error:
            found.add(str(error))
    return found


def refuse_unused(policy: Policy, vpss: Iterable[Wanted], nodes: Mapping[str, Node]) -> None:
    """Raise VpsError for a label by which VPSs are kept apart and which none has: written otherwise than theirs, it would let them share a node.

    Not where that does no harm yet, as no VPS that is to be placed has any label.
    """
    if not policy.apart:
        return
    used: set[str] = set()
    there: set[str] = set()
    harm = False
    for node in nodes.values():
        there.update(node.residents)
        used.update(key for resident in node.residents.values() for key, _value in resident.labels)
    for vps in vpss:
        if vps.labels:
            used.update(key for key, _value in vps.labels)
            harm = harm or (not vps.gone and vps.name not in there)
    for key in policy.apart:
        if harm and key not in used:
            near = parse.near(key, used)
            raise VpsError(f"apart.{key}: no VPS has such a label; " + (f"perhaps {near} is meant." if near else "leave it out until one has it."))


def _wanted(entry: Mapping[str, Any], read: _Cache) -> Wanted:
    pin, section, labels = entry.get("node"), entry.get("limits"), entry.get("labels")
    if pin is not None and (not isinstance(pin, str) or not pin):
        raise VpsError(f"node: {shown(pin)} is no name of a node; write for example node1, or leave it out.")
    if section is not None and not isinstance(section, Mapping):
        raise VpsError(f"limits: {shown(section)} is no set of limits; write for example {{memory: 512M}}.")
    return Wanted(
        parse.parse_name(entry["name"]),
        None if section is None else read(section, "limits."),
        None if labels is None else parse.parse_labels(labels),
        pin,
        entry.get("state") == "absent",
    )


def read_nodes(nodes: object, drained: object = (), overcommit: object = None) -> dict[str, Node]:
    """What M(vps_info) has returned of each node, by the nodes' names. One that has not answered is null, or what a failed task has returned."""
    if not isinstance(nodes, Mapping) or not nodes:
        raise VpsError("nodes: give it what vps_info has returned of each node, by the nodes' names; write for example {'node1': node1_info}.")
    drained = _names(drained, "drained")
    for name in drained:
        if name not in nodes:
            raise VpsError(f"drained: there is no node {shown(name)} among nodes; leave it out, or write it as there.")
    bounds = _bounds(overcommit)
    read = _Cache(lambda section, _prefix: _told(section))
    return {str(name): _node(str(name), told, name in drained, bounds, read) for name, told in nodes.items()}


def _node(name: str, told: object, drained: bool, bounds: Mapping[str, int | None], read: _Cache) -> Node:
    if told is None or (isinstance(told, Mapping) and (not told or ("node" not in told and (told.get("unreachable") or told.get("failed"))))):
        return Node(name, shut=AWAY)
    try:
        if not isinstance(told, Mapping) or not isinstance(told.get("node"), Mapping) or not isinstance(told.get("vpss"), Sequence):
            raise VpsError("is not what vps_info returns, with node and vpss; give it all of that, or null for a node that has not answered.")
        present, promises = present_of(told["node"]), promises_of(told["node"])
        residents = {each["name"]: Resident(read(each["limits"], ""), parse.parse_labels(each.get("labels") or {})) for each in told["vpss"]}
    except VpsError as error:
        raise VpsError(f"nodes.{shown(name)[1:-1]}: {str(error).removeprefix('node: ')}") from None
    except (KeyError, TypeError, AttributeError):
        raise VpsError(f"nodes.{shown(name)[1:-1]}: one of its VPSs is none; give it those that vps_info returns in vpss.") from None
    own = {resource: bound for resource, (_promised, bound) in promises.items() if bound is not None}
    unknown = any(promised is None for promised, _bound in promises.values())
    return Node(
        name,
        present,
        {resource: promised for resource, (promised, _bound) in promises.items() if promised is not None},
        own,
        {resource: bound for resource in RESOURCES if (bound := _bound(resource, own, bounds)) is not None},
        residents,
        DAMAGED if unknown else DRAINED if drained else None,
    )


def _bound(resource: str, own: Mapping[str, int], bounds: Mapping[str, int | None]) -> int | None:
    """The lesser of the node's policy and the option's; where neither says anything, the default."""
    if resource not in own and resource not in bounds:
        return DEFAULT_BOUNDS.get(resource)
    return limits_.least(own.get(resource), bounds.get(resource))


def _bounds(overcommit: object) -> dict[str, int | None]:
    """The option: None for what is unlimited."""
    given = _mapping(overcommit, "overcommit", "{'memory': 100, 'cpu': 400}")
    read = machine.parse_overcommit(given)
    return {str(name): read.get(name) for name in given}


def _told(section: Mapping[str, Any]) -> Limits:
    """A VPS's limits as its node has told them. One that cannot be read, of another release's node, counts as none."""
    given: dict[str, Any] = {}
    for word, value in section.items():
        if ALIASES.get(word, word) not in _COUNTED:
            continue
        try:
            limits_.read_key(given, word, value)
        except VpsError:
            continue
    return Limits(**given)


def read_policy(strategy: object, apart: object, where: object, missing: object) -> Policy:
    """The rest."""
    if strategy not in STRATEGIES:
        raise VpsError(f"strategy: there is no {shown(strategy)}; write {' or '.join(STRATEGIES)}.")
    if missing not in MISSING:
        raise VpsError(f"missing: there is no {shown(missing)}; write {' or '.join(MISSING)}.")
    kinds = {}
    for key, word in _mapping(apart, "apart", "{'cluster': 'hard'}").items():
        parse.parse_labels({key: ""}, option="apart")
        if word not in (HARD, SOFT):
            raise VpsError(f"apart.{key}: {shown(word)} is not a way to keep VPSs apart; write {HARD} or {SOFT}.")
        kinds[str(key)] = str(word)
    places = {}
    for name, node in _mapping(where, "where", "{'web1': 'node1'}").items():
        if not isinstance(node, str):
            raise VpsError(f"where.{shown(name)[1:-1]}: {shown(node)} is no name of a node; write for example {{'web1': 'node1'}}.")
        places[str(name)] = str(node)
    return Policy(str(strategy), kinds, places, missing == "ignore")


def _mapping(given: object, option: str, example: str) -> Mapping:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise VpsError(f"{option}: {shown(given)} is no dictionary; write for example {example}.")
    return given


def _names(given: object, option: str) -> frozenset[str]:
    if given is None:
        return frozenset()
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable) or not all(isinstance(name, str) for name in given):
        raise VpsError(f"{option}: {shown(given)} is no list of nodes; write for example ['node1'].")
    return frozenset(str(name) for name in given)


class _Cache:
    """Sets of limits that were read before: many VPSs have few plans."""

    def __init__(self, read: Callable[[Mapping[str, Any], str], Limits]) -> None:
        self._read = read
        self._known: dict[str, Limits] = {}

    def __call__(self, section: Mapping[str, Any], prefix: str) -> Limits:
        text = written(sorted((written(key), type(value).__name__, written(value)) for key, value in section.items()))
        if text not in self._known:
            self._known[text] = self._read(section, prefix)
        return self._known[text]
