# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a VPS is where it is, and why another is nowhere: a sentence for each.

Pure. Says what core/placement.py has decided, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .beancounters import KEYS
from .capacity import RESOURCES
from .limits import Limits, guaranteed_bytes
from .placement import AWAY, DAMAGED, DRAINED, GUARANTEE, PACK, Book, Kinds, Label, New, Place

STAYS = "It is there already."
SHUT = {
    DRAINED: "drained",
    AWAY: "no answer",
    DAMAGED: "a damaged record, so that nobody knows what is promised",
}
SHOWN = 10  # names of nodes in a result that could have thousands
_LOOKS = 100  # how often all nodes are looked at for why they refuse


def why(place: Place, strategy: str, new: New) -> str:
    """Why a new VPS goes to its node."""
    if new.vps.pin is not None:
        return "It is pinned to this node, which has room for it."
    those = "the nodes with room for it"
    if new.hard:
        those += f" and no other VPS of {_named(new.hard)}"
    if new.soft:
        those += f" and {_no_more(place.level)} VPS of {_named(new.soft)}"
    had = f"{100 * place.load:.1f}% of what it may of {RESOURCES[place.resource].word}" if place.resource else "nothing"
    vpss = f"{place.count} VPS{'' if place.count == 1 else 's'}"
    if place.counted:
        return f"It is promised nothing that is bounded; of {those} this one has the fewest VPSs, {place.count}."
    if strategy == PACK:
        return f"Of {those} this one is the first to be filled; it had {vpss} and had promised {had}."
    return f"Of {those} this one had promised least, {had}, to {vpss}."


def _no_more(level: int) -> str:
    return "no other" if not level else f"at most {level} other"


def _named(labels: Iterable[Label]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels)


@dataclass
class Bound:
    """What has said no to a VPS, on how many nodes. `left` is the most that any of them had of it, on `best`."""

    bound: str
    count: int = 0
    nodes: list[str] = field(default_factory=list)
    left: float | None = None
    best: str | None = None

    def add(self, node: str, left: float | None = None) -> None:
        """One more node."""
        self.count += 1
        if len(self.nodes) < SHOWN:
            self.nodes.append(node)
        if left is not None and (self.left is None or left > self.left):
            self.left, self.best = left, node


class Refusals:
    """Why there is no room for a VPS, when all others have been placed.

    All nodes are looked at for the first hundred kinds of VPSs; for the others only the largest room is told.
    """

    def __init__(self, book: Book, kinds: Kinds, away: Sequence[str]) -> None:
        self.book, self.kinds, self.away = book, kinds, sorted(away)
        self._told: dict[tuple, tuple[str, list[dict]]] = {}
        self._most: list[tuple[float, str]] = []
        rows = sorted(range(len(book.nodes)), key=lambda row: book.nodes[row].name)
        self._open = [(row, book.nodes[row].name, book.free(row)) for row in rows if book.nodes[row].shut is None]
        self._shut = [(book.nodes[row].shut or "", book.nodes[row].name) for row in rows if book.nodes[row].shut is not None]

    def tell(self, new: New) -> tuple[str, list[dict]]:
        """A sentence, and the bounds one by one, as plain data."""
        pin = new.vps.pin
        kind = (new.wants, new.hard, pin)
        if kind not in self._told:
            bounds = self._bounds(new) if len(self._told) < _LOOKS or pin is not None else self._largest(new)
            self._told[kind] = (self._sentence(bounds, new.limits, pin), [self._plain(bound) for bound in bounds])
        return self._told[kind]

    def _bounds(self, new: New) -> list[Bound]:
        found: dict[str, Bound] = {}
        wants, pin = new.wants, new.vps.pin
        for why_shut, name in [*((AWAY, name) for name in self.away), *self._shut]:
            if pin in (None, name):
                found.setdefault(why_shut, Bound(why_shut)).add(name)
        holders = [(label[0], self.kinds.over(label)) for label in new.hard]
        for row, node, free in self._open:
            if pin not in (None, node):
                continue
            at = next((at for at, want in enumerate(wants) if want > free[at]), None)
            if at is not None:
                name = self._bound_name(at)
                found.setdefault(name, Bound(name)).add(node, None if self._counted(at) else free[at])
                continue
            key = next((key for key, rows in holders if row in rows), None)
            if key is not None:
                found.setdefault(f"apart.{key}", Bound(f"apart.{key}")).add(node)
        return sorted(found.values(), key=lambda bound: (-bound.count, bound.bound))

    def _counted(self, at: int) -> bool:
        """Whether a number of `wants` is no amount, but one VPS without a limit."""
        return len(self.book.resources) <= at < self.book.amounts - 1

    def _bound_name(self, at: int) -> str:
        """The bound that a number of `wants` meets."""
        resources = self.book.resources
        if at == 2 * len(resources):
            return GUARANTEE
        return f"overcommit.{resources[at]}" if at < len(resources) else f"unlimited.{resources[at - len(resources)]}"

    def _largest(self, new: New) -> list[Bound]:
        """Of each resource the most that any node has, where that is too little."""
        if not self._most:
            for at in range(self.book.amounts):
                left, last = max(((free[at], -number) for number, (_row, _node, free) in enumerate(self._open)), default=(0.0, 0))
                self._most.append((left, self._open[-last][1] if self._open else ""))
        found = []
        for at, (want, (left, best)) in enumerate(zip(new.wants, self._most)):
            if want > left:
                counted = self._counted(at)
                found.append(Bound(self._bound_name(at), len(self._open), [], None if counted else left, None if counted else best))
        return found

    def _sentence(self, bounds: Sequence[Bound], limits: Limits, pin: str | None) -> str:
        if pin is not None:
            return f"It is pinned to {pin}: {self._reason(bounds[0], limits)}."
        if not bounds:
            return "No node takes it: of each resource there is enough on some node, but nowhere all of it, or only beside a VPS that it is kept apart from."
        told = [f"{bound.count} node{'' if bound.count == 1 else 's'} ({self._reason(bound, limits)})" for bound in bounds]
        return f"No node takes it: {', '.join(told)}."

    def _reason(self, bound: Bound, limits: Limits) -> str:
        """What one bound says, of one node or of many."""
        kind, _dot, name = bound.bound.partition(".")
        if kind in SHUT:
            return SHUT[kind]
        if kind == "apart":
            return f"another VPS with the same {name}, by {bound.bound}"
        if kind == "unlimited":
            return f"no VPS without {RESOURCES[name].key}, by the node's own overcommit.{name}"
        resource = RESOURCES["memory" if kind == GUARANTEE else name]
        wanted = guaranteed_bytes(limits) if kind == GUARANTEE else resource.promised(limits) or 0
        left = f"{resource.show(int(bound.left or 0))} of {resource.word} left" + (f" at most, on {bound.best}" if bound.count > 1 else "")
        return f"{left}; {resource.show_up(wanted)} wanted, {'guaranteed' if kind == GUARANTEE else f'by {bound.bound}'}"

    def _plain(self, bound: Bound) -> dict:
        kind, _dot, name = bound.bound.partition(".")
        left = None
        if bound.left is not None:
            left = RESOURCES["memory" if kind == GUARANTEE else name].show(int(bound.left))
        return {"bound": bound.bound, "count": bound.count, "nodes": list(bound.nodes), "left": left, "best": bound.best}


def no_growth(resource: str, limits: Limits) -> str:
    """Of a VPS that stays where it is, and is to have more than there is room for."""
    key = "memory_guarantee" if resource == GUARANTEE else RESOURCES[resource].key
    value = guaranteed_bytes(limits) if resource == GUARANTEE else RESOURCES[resource].promised(limits)
    return f"limits.{key}: this node has no room for {KEYS[key].kind.format(value)}; give less, or move the VPS."


def shares(book: Book, row: int) -> Mapping[str, float | None]:
    """What a node will have promised of each bounded resource, in percent of what it may; None of one that it does not bound."""
    return {
        name: None if most is None else round(100 * used / most, 1) if most else (100.0 if used else 0.0)
        for name, most, used in zip(book.resources, book.allowed[row], book.used[row])
    }
