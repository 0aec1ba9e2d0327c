# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All VPSs of a list on their nodes: who stays, who is new and goes where, who has no place, and who is not where it should be.

Pure. The same list and the same nodes give the same, in whatever order they are told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import placement_words as words
from .errors import VpsError
from .placement import AWAY, DAMAGED, DRAINED, HARD, Book, Kinds, Label, Node, Placer, Policy, Wanted, in_order


@dataclass
class Decision:
    """By the names of VPSs: the node of each that has one, whether it is `new` there and why; `refused` has the others, with their bounds."""

    node: dict[str, str] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)
    why: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[str, list[dict]]] = field(default_factory=dict)
    misplaced: dict[str, list[str]] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)


def decide(vpss: Sequence[Wanted], nodes: Mapping[str, Node], policy: Policy) -> Decision:
    """All of it. Raises VpsError for a VPS that is on two nodes, and for a pin to a node that there is not."""
    places = _places(vpss, nodes, policy)
    found = Decision()
    book, kinds = Book(nodes), Kinds(policy.apart)
    silent = sorted(name for name, node in nodes.items() if node.shut in (AWAY, DAMAGED))
    _keep(vpss, places, book, kinds, nodes, found)
    waiting = []
    for vps in vpss:
        if vps.name in places or vps.gone:
            continue
        lost = _lost(vps, nodes, policy, silent)
        if lost is None:
            waiting.append(vps)
        else:
            found.refused[vps.name] = (lost, [])
    news = in_order(book, kinds, waiting)
    placer = Placer(book, kinds, policy.strategy, news)
    nowhere = []
    for new in news:
        place = placer.place(new)
        if place is None:
            nowhere.append(new)
        else:
            found.node[new.vps.name], found.why[new.vps.name] = place.node, words.why(place, policy.strategy, new)
            found.new.add(new.vps.name)
    refusals = words.Refusals(book, kinds, [name for name, node in nodes.items() if node.shut == AWAY])
    for new in nowhere:  # at the end: what had no room then has none now, and what is left is what a person sees
        found.refused[new.vps.name] = refusals.tell(new)
    for name, node in nodes.items():
        found.nodes[name] = {"vpss": None, "new": 0, "promised": {}, "shut": node.shut}
        if name in book.row:
            row = book.row[name]
            found.nodes[name].update(vpss=book.count[row], new=book.new[row], promised=words.shares(book, row))
    return found


def _places(vpss: Sequence[Wanted], nodes: Mapping[str, Node], policy: Policy) -> dict[str, str]:
    """The node of each VPS of the list that is on one."""
    seen: dict[str, str] = {}
    twice: dict[str, list[str]] = {}
    for node in sorted(nodes):
        for name in nodes[node].residents:
            if seen.setdefault(name, node) != node:
                twice.setdefault(name, [seen[name]]).append(node)
    found = {}
    for vps in vpss:
        if vps.pin is not None and vps.pin not in nodes:
            raise VpsError(f"vps ({vps.name}): node: there is no node '{vps.pin}' among nodes; name one of those, or none.")
        if vps.name in twice:
            there = twice[vps.name]
            said = next((name for name in (vps.pin, policy.where.get(vps.name)) if name is not None and name in there), None)
            if said is None:
                raise VpsError(
                    f"nodes: VPS '{vps.name}' is on {' and on '.join(there)}; remove it where it is not to be, or give it the node that counts as node."
                )
            found[vps.name] = said
        elif vps.name in seen:
            found[vps.name] = seen[vps.name]
        else:
            known = policy.where.get(vps.name)
            if known is not None and known in nodes and nodes[known].shut in (AWAY, DAMAGED):
                found[vps.name] = known
    return found


def _lost(vps: Wanted, nodes: Mapping[str, Node], policy: Policy, silent: Sequence[str]) -> str | None:
    """Why a VPS that no node has told of may be somewhere all the same. A pin says that it is not, or that it is there."""
    known = policy.where.get(vps.name)
    if vps.pin is not None or policy.ignore_unknown:
        return None
    if known is not None and known not in nodes:
        return f"It was on {known} (where), which is not among nodes; name that node there, or give the VPS a node to be made on."
    if silent:
        rest = f" or {len(silent) - 1} others" if len(silent) > 1 else ""
        return (
            f"No node has told of it, and it may be on {silent[0]}{rest}, which did not answer or cannot read all its records; mend that, "
            "tell in where who is there, give it a node to be made on, or set missing to ignore."
        )
    return None


def _keep(vpss: Sequence[Wanted], places: Mapping[str, str], book: Book, kinds: Kinds, nodes: Mapping[str, Node], found: Decision) -> None:
    """Everybody who is on a node stays there; those of the list with what they are to have, if there is room for it."""
    listed = {vps.name: vps for vps in vpss}
    labels: dict[str, tuple[Label, ...]] = {}
    for row, node in enumerate(book.nodes):
        for name, resident in node.residents.items():
            vps = listed.get(name)
            mine = vps is not None and places[name] == node.name
            counted = resident.labels if vps is None or not mine or vps.labels is None else vps.labels
            if mine:
                labels[name] = counted
            kinds.add(row, counted)
    for vps in sorted((vps for vps in vpss if vps.name in places), key=lambda vps: vps.name):
        there = places[vps.name]
        found.node[vps.name], found.why[vps.name] = there, words.STAYS
        if vps.gone:
            continue
        wrong, at = [], book.row.get(there)
        if vps.pin not in (None, there):
            wrong.append(f"It is pinned to {vps.pin}.")
        if nodes[there].shut == DRAINED:
            wrong.append("This node is drained.")
        if at is not None and vps.name in nodes[there].residents:
            for label in kinds.of(labels[vps.name], HARD):
                if at in kinds.over(label, 1):
                    wrong.append(f"Another VPS of {label[0]}={label[1]} is here too (apart.{label[0]}).")
            if vps.limits is not None:
                resource = book.grow(at, nodes[there].residents[vps.name].limits, vps.limits)
                if resource is not None:
                    wrong.append(words.no_growth(resource, vps.limits))
        if wrong:
            found.misplaced[vps.name] = wrong
