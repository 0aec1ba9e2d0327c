# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VPS goes to which node.

Pure. What is on a node stays there, whatever is asked: nothing is moved, it is only said. The others are taken in an order that does not
depend on how they were given (pinned ones first, then those of the largest clusters, then the largest), each to the node that comes first of
those with room. No random: where two nodes are equal, a hash of their names decides. What a playbook says is read in core/placement_input.py;
why something is as it is, is said in core/placement_words.py.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from .capacity import RESOURCES, Present
from .limits import Limits, guaranteed_bytes
from .openings import Key, Openings

SPREAD, PACK = "spread", "pack"
STRATEGIES = (SPREAD, PACK)
HARD, SOFT = "hard", "soft"
DRAINED, AWAY, DAMAGED = "drained", "away", "damaged"
GUARANTEE = "guarantee"  # of memory, which no node gives away twice, beside the resources that have a policy
ENDLESS = 1 << 80  # more than there is of anything
_MANY = 64  # nodes looked at in vain for one kind of VPS, from which on it is worth to keep them out of the way

Label = tuple[str, str]


@dataclass(frozen=True)
class Wanted:
    """A VPS of the list. `limits` and `labels` are None where the list does not name them; `pin` is its node; `gone`: it is to be removed."""

    name: str
    limits: Limits | None = None
    labels: tuple[Label, ...] | None = None
    pin: str | None = None
    gone: bool = False


@dataclass(frozen=True)
class Resident:
    """A VPS that a node has told of."""

    limits: Limits = Limits()
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True)
class Node:
    """A node as it has told of itself; `shut` is why it takes no new VPS, if it takes none.

    `promised` is in each resource's unit; `own` is its policy (vps_node's overcommit) and `bounds` what counts here, both in percent.
    """

    name: str
    present: Present = Present()
    promised: Mapping[str, int] = field(default_factory=dict)
    own: Mapping[str, int] = field(default_factory=dict)
    bounds: Mapping[str, int] = field(default_factory=dict)
    residents: Mapping[str, Resident] = field(default_factory=dict)
    shut: str | None = None

    def allowed(self, resource: str) -> int | None:
        """The most that may be promised of it; None without bound."""
        return getattr(self.present, resource) * self.bounds[resource] // 100 if resource in self.bounds else None


@dataclass(frozen=True)
class Policy:
    """How to place. `apart` has labels by whose values VPSs are kept from sharing a node; `ignore_unknown` places a VPS that may be on a silent node."""

    strategy: str = SPREAD
    apart: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    ignore_unknown: bool = False


@dataclass(frozen=True)
class Place:
    """Where a new VPS goes. `load` is what the node had promised before, of what it may; `level`: so many of its kind at most were there already."""

    node: str
    resource: str | None
    load: float
    count: int
    level: int = 0
    counted: bool = False  # by the number of VPSs, for it is promised nothing that is bounded


class Book:
    """What nodes will have promised. One row for each node that is known, in the order of their names' hashes."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = sorted((node for node in nodes.values() if node.shut != AWAY), key=lambda node: (_hash(node.name), node.name))
        self.row = {node.name: row for row, node in enumerate(self.nodes)}
        self.resources = tuple(name for name in RESOURCES if any(name in node.bounds for node in self.nodes))
        self.allowed = [[node.allowed(name) for name in self.resources] for node in self.nodes]
        self.totals = [sum(row[at] or 0 for row in self.allowed) for at in range(len(self.resources))]
        self.used = [[node.promised.get(name, 0) for name in self.resources] for node in self.nodes]
        self.sealed = [[name in node.own for name in self.resources] for node in self.nodes]
        self.guaranteed = [sum(guaranteed_bytes(one.limits) for one in node.residents.values()) for node in self.nodes]
        self.count = [len(node.residents) for node in self.nodes]
        self.new = [0] * len(self.nodes)

    @property
    def amounts(self) -> int:
        """How many numbers `wants` and `free` have: each resource, each resource without limit, and the guarantee."""
        return 2 * len(self.resources) + 1

    def wants(self, limits: Limits) -> tuple[int, ...]:
        """What a VPS takes. To be without a limit takes a node that lets it."""
        promised = [RESOURCES[name].promised(limits) for name in self.resources]
        return (*(value or 0 for value in promised), *(int(value is None) for value in promised), guaranteed_bytes(limits))

    def free(self, row: int) -> tuple[int, ...]:
        """What is left there, in the same order."""
        left = [ENDLESS if most is None else max(0, most - used) for most, used in zip(self.allowed[row], self.used[row])]
        return (*left, *(0 if sealed else 1 for sealed in self.sealed[row]), max(0, self.nodes[row].present.memory - self.guaranteed[row]))

    def take(self, row: int, wants: Sequence[int]) -> None:
        """Promise it."""
        used = self.used[row]
        for at in range(len(used)):
            used[at] += wants[at]
        self.guaranteed[row] += wants[-1]

    def load(self, row: int) -> tuple[float, str | None]:
        """The largest share of what may be promised that is promised, and of which resource."""
        found, name = 0.0, None
        for at, most in enumerate(self.allowed[row]):
            if most is not None:
                share = self.used[row][at] / most if most else float(self.used[row][at] > 0)
                if share > found:
                    found, name = share, self.resources[at]
        return found, name

    def grow(self, row: int, old: Limits, new: Limits) -> str | None:
        """Promise what a VPS has more than before; the resource of which there is not as much.

        What the node itself refuses is not promised; what only we do will be. What a VPS has less is not free before it has been changed.
        """
        before, after, free = self.wants(old), self.wants(new), self.free(row)
        more = [max(0, now - then) for then, now in zip(before, after)]
        short = [at for at, (want, left) in enumerate(zip(more, free)) if want > left]
        names = [GUARANTEE if at == len(free) - 1 else self.resources[at % len(self.resources)] for at in short]
        if not any(name == GUARANTEE or name in self.nodes[row].own for name in names):
            self.take(row, more)
        return names[0] if names else None


@dataclass(frozen=True)
class New:
    """A VPS that is on no node yet: what it takes, and the labels that keep it apart."""

    vps: Wanted
    limits: Limits
    labels: tuple[Label, ...]
    wants: tuple[int, ...]
    hard: tuple[Label, ...]
    soft: tuple[Label, ...]


class Kinds:
    """Who may not, or should not, share a node: for each label and value, the rows that have more than so many VPSs with it."""

    def __init__(self, apart: Mapping[str, str]) -> None:
        self.apart = apart
        self._over: dict[Label, list[set[int]]] = {}
        self._count: dict[Label, dict[int, int]] = {}

    def of(self, labels: Iterable[Label], word: str) -> tuple[Label, ...]:
        """Those of a VPS's labels that keep it apart, hard or soft."""
        return tuple(label for label in labels if self.apart.get(label[0]) == word)

    def add(self, row: int, labels: Iterable[Label]) -> None:
        """One more VPS is there."""
        for label in labels:
            if label[0] in self.apart:
                count = self._count.setdefault(label, {})
                there = count[row] = count.get(row, 0) + 1
                over = self._over.setdefault(label, [])
                if len(over) < there:
                    over.append(set())
                over[there - 1].add(row)

    def over(self, label: Label, level: int = 0) -> set[int]:
        """The rows that have more than `level` of it."""
        found = self._over.get(label, ())
        return found[level] if level < len(found) else set()

    def number(self, label: Label) -> int:
        """How many VPSs there are with it, on all nodes."""
        return sum(self._count.get(label, {}).values())

    def levels(self, labels: Iterable[Label]) -> int:
        """The most that any node has of one of them."""
        return max((len(self._over.get(label, ())) for label in labels), default=0)


class Placer:
    """Puts new VPSs onto nodes, one after the other."""

    def __init__(self, book: Book, kinds: Kinds, strategy: str, news: Sequence[New] = ()) -> None:
        self.book, self.kinds, self.strategy = book, kinds, strategy
        self.open = [row for row, node in enumerate(book.nodes) if node.shut is None]
        self.shapes = Shapes(book, news)
        self._levels: dict[tuple, int] = {}
        self._arrange(counted=False)

    def _arrange(self, *, counted: bool) -> None:
        """The order in which nodes come: fixed from the start where they are filled one after the other, else by what each has then."""
        book = self.book
        self.counted = counted
        if self.strategy == PACK and not counted:
            order = sorted(self.open, key=lambda row: (-book.load(row)[0], -book.count[row], row))
        else:
            # Alike ones side by side: a part of the tree that is too small for a VPS is then passed by as a whole.
            order = sorted(self.open, key=lambda row: ([-1 if most is None else most for most in book.allowed[row]], row))
        self.order, self.position = order, {row: at for at, row in enumerate(order)}
        self.tree = Openings([self._key(row) for row in order], [self.shapes.of(book.free(row)) for row in order], book.amounts + self.shapes.amounts)
        self._short, self._held = _Vain("short"), _Vain("held")

    def _key(self, row: int) -> Key:
        if self.counted:
            return (self.book.count[row], self.book.load(row)[0], row)
        if self.strategy == PACK:
            return (self.position[row],)
        return (self.book.load(row)[0], self.book.count[row], row)

    def place(self, new: New) -> Place | None:
        """To its own node, or to the one that comes first; None where there is no room."""
        return self._first(new) if new.vps.pin is None else self._pinned(new)

    def _pinned(self, new: New) -> Place | None:
        row = self.book.row.get(new.vps.pin or "")
        if row is None or self.book.nodes[row].shut is not None or any(want > there for want, there in zip(new.wants, self.book.free(row))):
            return None
        if any(row in self.kinds.over(label) for label in new.hard):
            return None
        return self._put(row, new)

    def _first(self, new: New) -> Place | None:
        if not self.counted and not any(new.wants[: len(self.book.resources)]):
            self._arrange(counted=True)  # the smallest come last: all after this one are like it
        kind = (new.wants, new.hard, new.soft)
        level = self._levels.get(kind, 0)  # what had no room for one of a kind has none for the next
        while True:
            at = self._find(new, level)
            if at is not None or level >= self.kinds.levels(new.soft):
                break
            level += 1
        self._levels[kind] = level
        return None if at is None else self._put(self.order[at], new, level)

    def _find(self, new: New, level: int) -> int | None:
        """The position of the node that comes first, of those that have at most `level` of its soft labels."""
        without = [rows for rows in (*map(self.kinds.over, new.hard), *(self.kinds.over(label, level) for label in new.soft)) if rows]
        if any(len(rows) >= len(self.book.nodes) for rows in without):
            return None
        self._short.begin(new.wants, self.tree)
        self._held.begin((new.hard, new.soft, level), self.tree)
        found = self.tree.find(self.shapes.of(new.wants), lambda at: any(self.order[at] in rows for rows in without))
        self._short.end(self.tree.short, self.tree)
        self._held.end(self.tree.held, self.tree)
        return found

    def _put(self, row: int, new: New, level: int = 0) -> Place:
        book = self.book
        load, resource = book.load(row)
        place = Place(book.nodes[row].name, resource, load, book.count[row], level, self.counted)
        book.take(row, new.wants)
        book.count[row] += 1
        book.new[row] += 1
        self.kinds.add(row, new.labels)
        self.tree.change(self.position[row], self._key(row), self.shapes.of(book.free(row)))
        return place


class Shapes:
    """Further numbers beside what is free, where hardly two VPSs are alike: without them a tree of nodes that lack one thing or another misleads.

    The part of a tree with much memory on one node and much disk on another looks as if it had both. So of the two resources that
    VPSs take most the lesser share is kept too, weighed in several ways, one of which is near to any VPS's own proportion. What is free for a VPS
    is at least what it takes in each of them, so nothing that fits is missed.
    """

    WEIGHTS = (1 / 16, 1 / 4, 1.0, 4.0, 16.0)

    def __init__(self, book: Book, news: Sequence[New]) -> None:
        taken = [(sum(new.wants[at] for new in news) / total, at, total) for at, total in enumerate(book.totals) if total]
        self._two = [(at, total) for share, at, total in sorted(taken, reverse=True)[:2] if share]
        if len(self._two) < 2 or len({new.wants for new in news}) <= _MANY:
            self._two = []
        self.amounts = len(self.WEIGHTS) if self._two else 0

    def of(self, amounts: tuple[int, ...]) -> tuple[float, ...]:
        """These amounts, and the further numbers."""
        if not self._two:
            return amounts
        (first, whole), (second, total) = self._two
        one, other = amounts[first] / whole, amounts[second] / total
        return (*amounts, *(min(one, other * weight) for weight in self.WEIGHTS))


class _Vain:
    """Places that were looked at in vain for one kind of VPS: kept out of the way, once there are many, until another kind comes."""

    def __init__(self, why: str) -> None:
        self._why = why
        self._kind: tuple | None = None
        self._seen: set[int] = set()
        self._again = False

    def begin(self, kind: tuple, tree: Openings) -> None:
        """Somebody of this kind is looking."""
        self._again = kind == self._kind
        if not self._again:
            tree.reopen(self._why)
            self._kind, self._seen = kind, set()

    def end(self, places: list[int], tree: Openings) -> None:
        """And has looked at these."""
        self._seen.update(places)
        places.clear()
        if self._again and len(self._seen) > _MANY:
            tree.shut(self._seen, self._why)
            self._seen = set()


def in_order(book: Book, kinds: Kinds, vpss: Iterable[Wanted]) -> list[New]:
    """New VPSs as they are taken: pinned ones, then those of whom the most must be on nodes of their own, then the largest; those without size last.

    Of alike ones those that are kept apart, each kind together; then by name. A node has room for a small VPS for long, but soon another
    VPS of its cluster: taken by their size, the last of a large cluster would find the nodes that have none of it full.
    """
    totals = book.totals
    known: dict[Limits, tuple[float, tuple[int, ...]]] = {}
    news = []
    members: Counter[Label] = Counter()
    for vps in vpss:
        limits, labels = vps.limits or Limits(), vps.labels or ()
        if limits not in known:
            wants = book.wants(limits)
            shares = [want / total if total else (inf if want else 0.0) for want, total in zip(wants, totals)]
            known[limits] = max(shares, default=0.0), wants
        new = New(vps, limits, labels, known[limits][1], kinds.of(labels, HARD), kinds.of(labels, SOFT))
        members.update(new.hard)
        news.append(new)
    for label in members:
        members[label] += kinds.number(label)

    def key(new: New) -> tuple:
        size = known[new.limits][0]
        cluster = max((members[label] for label in new.hard), default=0)
        alone = cluster <= 1  # nobody to be kept apart from
        return (
            new.vps.pin is None, not size, 0 if alone else -cluster, -size, new.wants, not new.hard, not new.soft, new.hard, new.soft, new.vps.name,
        )  # fmt: skip

    return sorted(news, key=key)


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
