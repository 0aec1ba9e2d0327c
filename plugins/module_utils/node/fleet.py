# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node for who works on many of its VPSs at once: reads all of them with one look, and has steps done side by side.

How one VPS is read and what a step is stays node.py's and vps_steps.py's. What is the node's and not a VPS's is done once for all of them: ids and
addresses are given away under one lock, the packet filter follows once, the pool is synced once.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from ..core import capacity, fleet
from ..core import plan as steps
from ..core.errors import VpsError
from ..core.fleet_plan import FleetActual
from ..core.model import Actual, Vps
from . import crew, engine, files, filtering, fleet_steps, locks, vps_steps
from .glance import Glance
from .node import Node
from .parts import Together
from .fleet_progress import Progress
from .sweep import protect_left

_GIVEN = frozenset({"addresses", "interfaces", "publish", "limits"})  # what one VPS has another cannot have
_PER_CPU, _MOST_WORKERS = 4, 64  # workers where nobody says how many: who starts or stops a VPS waits for the kernel more than it works
_SPARE_FILES = 200  # descriptors that a run needs besides those of its locks


class FleetNode(Node):
    """This machine, and all its VPSs."""

    def __init__(self) -> None:
        self._locks: dict[str, int] = {}
        self._soft_limit: int | None = None
        self._done: Callable[[str], None] = lambda name: None

    # -- reading --------------------------------------------------------------------------------------------------------

    def read_fleet(self, wish: fleet.Wish, only: Collection[str] | None = None) -> FleetActual:
        """All VPSs that are asked about, of which `only` those are looked at, if any are named."""
        unread: dict[str, str] = {}
        reserved = self._parts.reserved(unread)
        asked = frozenset(option for one in wish.vpss for option in one.options)
        facts = self._facts_beside("", asked, reserved, min(unread.values(), default=None))
        names = self._parts.vps.names()
        there, by_name = set(names), {vps.name: vps for vps in reserved}
        wanted = [one.name for one in wish.vpss]
        if wish.unlisted in (fleet.STOP, fleet.ABSENT):
            wanted = list(dict.fromkeys((*wanted, *names)))
        found: dict[str, Actual] = {}
        glance = Glance(many=True)
        for name in wanted:
            if name in there and name in by_name and (only is None or name in only):
                try:
                    found[name] = self._seen(by_name[name], facts, asked, glance)
                except VpsError as error:
                    unread[name] = str(error)
        sources = {one.disk.clone_from for one in wish.vpss if one.disk.clone_from is not None and one.name not in there}
        foreign = {name: why for name in wanted if (why := engine.foreign(name, self._parts.vps.path(name)))}
        return FleetActual(
            node=facts,
            vpss=found,
            recorded=tuple(reserved),
            names=tuple(names),
            sources={name: self._with_source(facts, name).source_size for name in sources & there},
            foreign=foreign,
            unread=unread,
            looked_at=frozenset(wanted if only is None else only),
        )

    def _seen(self, vps: Vps, facts: Any, asked: Collection[str], glance: Glance) -> Actual:
        try:
            return self.read_known(vps, facts, asked, glance, decides=True, status=vps_steps.status_of_many(vps.name))
        except (FileNotFoundError, ProcessLookupError):  # it has stopped, rebooted or gone while we looked
            return self.read_vps(vps.name, asked=asked)

    # -- locks ----------------------------------------------------------------------------------------------------------

    @contextmanager
    def lock_all(self, kind: str, names: Sequence[str], *, timeout: float) -> Iterator[None]:
        """Hold the locks of all of these, taken in their order, so that two runs never wait for each other; `timeout` s for all together."""
        deadline = time.monotonic() + timeout
        self._parts.lock_timeout = timeout
        with ExitStack() as held, self._enough_files(len(names)):
            try:
                for name in sorted(names):
                    left = max(0.0, deadline - time.monotonic())
                    self._locks[name] = held.enter_context(locks.hold(kind, name, timeout=left))
                yield
            finally:
                self._locks = {}

    @contextmanager
    def _enough_files(self, number: int) -> Iterator[None]:
        """A lock is an open file. What VPSs are started with stays what it was: workers have but one lock."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if number + _SPARE_FILES <= soft or soft == resource.RLIM_INFINITY:
            yield
            return
        if hard != resource.RLIM_INFINITY and number + _SPARE_FILES > hard:
            raise VpsError(f"vps: {number} VPSs are to be changed at once, and this process may have {hard} files open; raise that limit, or list fewer.")
        resource.setrlimit(resource.RLIMIT_NOFILE, (number + _SPARE_FILES, hard))
        self._soft_limit = soft
        try:
            yield
        finally:
            self._soft_limit = None
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    # -- work -----------------------------------------------------------------------------------------------------------

    def work(
        self, part: str, work: Mapping[str, Sequence[object]], *, parallel: int | None, done: Callable[[str], None] = lambda name: None
    ) -> dict[str, Any]:
        """Carry out a part of the plans of several VPSs side by side. What each told, or the error of one that failed.

        `done(name)` is called as soon as it is through.
        """
        self._done = done
        try:
            if part == "prepare":
                return self._prepare(work, parallel)
            return self._crew({name: self._carry_out(name, some) for name, some in work.items()}, parallel)
        finally:
            self._done = lambda name: None

    def _prepare(self, work: Mapping[str, Sequence[object]], parallel: int | None) -> dict[str, Any]:
        """What is done to VPSs before they start, or while they go on running. Those come first that end: nobody waits for them with a lock of the node's."""
        ending = {name: some for name, some in work.items() if not any(isinstance(step, (steps.Create, steps.Update)) for step in some)}
        stopped = {name: some for name, some in work.items() if name not in ending and any(isinstance(step, steps.Stop) for step in some)}
        results = _told(self._end, ending, parallel)
        results.update(self._crew({name: self._carry_out(name, some) for name, some in stopped.items()}, parallel))
        giving = {name: some for name, some in work.items() if name not in results}
        return {**results, **_told(self._give, giving, parallel)}

    def _end(self, work: Mapping[str, Sequence[object]], parallel: int | None) -> dict[str, Any]:
        """VPSs that stop, freeze, or go; for all that go the packet filter follows once."""
        parts = self._parts
        gone = any(isinstance(step, steps.Destroy) for some in work.values() for step in some)
        with filtering.following(parts, when=gone):
            done = self._apart({name: self._carry_out(name, some) for name, some in work.items()}, parallel, {})
            results = fleet_steps.settle(parts, {}, done)
        protect_left(parts)
        return results

    def _give(self, work: Mapping[str, Sequence[object]], parallel: int | None) -> dict[str, Any]:
        """VPSs that are made or changed: ids and addresses first, for all; then each by itself; then what follows from all.

        Those that are given something do so under the node's lock. It is let go for all else, which takes longer: new VPSs have what they have
        been given by their staging records (Parts.reserved), as long as their own locks are held, and by their records once those are real.
        """
        parts = self._parts
        creates = {name: step for name, some in work.items() for step in some if isinstance(step, steps.Create)}
        updates = {name: step for name, some in work.items() for step in some if isinstance(step, steps.Update)}
        filters = bool(creates) or any(step.options & filtering.OPTIONS for step in updates.values())
        bridged = any(vps.interfaces for vps in (*(step.vps for step in creates.values()), *(step.vps for step in updates.values())))
        giving = {name: step for name, step in updates.items() if step.options & _GIVEN}
        with filtering.following(parts, when=filters, bridged=bridged):
            with locks.hold("node", "allocation", timeout=parts.lock_timeout) if creates or giving else nullcontext():
                # As with one VPS: a record that cannot be read is in the way of those only that are compared with all others.
                known = {vps.name: vps for vps in parts.reserved()} if creates or any(map(self._looks_at_others, giving.values())) else {}
                made, results = fleet_steps.reserve(parts, creates, known)
                known.update({name: step.vps for name, step in giving.items()})  # nobody else gets by then what they are to have
                done = self._apart({name: self._carry_out(name, work[name]) for name in giving}, parallel, known)
            builds = {name: self._build(creates[name], *made[name]) for name in made}
            others = {name: self._carry_out(name, some) for name, some in work.items() if name not in creates and name not in giving}
            done.update(self._apart({**builds, **others}, parallel, known))
            results.update(fleet_steps.settle(parts, made, done))
        protect_left(parts)
        return results

    def _apart(self, work: Mapping[str, Callable[[], object]], parallel: int | None, known: Mapping[str, Vps]) -> dict[str, Any]:
        """Have it done by workers that leave to us what is done once for all. `known` are all VPSs, as far as any of them looks at others."""
        self._parts.together = Together(tuple(known.values()))
        try:
            return self._crew(work, parallel)
        finally:
            self._parts.together = None

    def _looks_at_others(self, step: steps.Update) -> bool:
        before = self._parts.vps.load(step.vps.name)
        limits = None if before is None else before.limits
        return step.takes or ("limits" in step.options and bool(capacity.raised(self._parts.settings.overcommit, limits, step.vps.limits)))

    def _build(self, step: steps.Create, vps: Vps, directory: str) -> Callable[[], object]:
        """What fills the staging directory of a new VPS. It is written to the disk with all others', before it is real."""

        def do() -> object:
            with self._warned() as notes, files.safe_later():
                vps_steps.build(self._parts, vps, directory, vps_steps.filler(self._parts, step))
            return notes

        return do

    def _carry_out(self, name: str, some: Sequence[object]) -> Callable[[], object]:
        def do() -> object:
            told = self.apply(steps.Plan(steps=tuple(some)))
            together = self._parts.together
            if together is None:
                return told
            records, together.records = [vps.to_record() for vps in together.records], []
            return {**told, fleet_steps.LEFT: {"synced": together.synced, "records": records}}

        return do

    def _crew(self, work: Mapping[str, Callable[[], object]], parallel: int | None) -> dict[str, Any]:
        """Have it done by workers, each VPS's under its own lock."""
        names = list(work)

        def job(name: str) -> crew.Job:
            def do(lock: int) -> object:
                self._parts.lock, self._parts.found = lock, None
                return work[name]()

            return crew.Job(do, self._locks.get(name, -1))

        results = crew.run(
            [job(name) for name in names], min(parallel or _workers(), len(names)), foreign=self._locks.values(), soft_limit=self._soft_limit,
            done=lambda number: self._done(names[number]),
        ) if names else []
        return dict(zip(names, results))

    # -- waiting --------------------------------------------------------------------------------------------------------

    def await_all(self, waits: Mapping[str, steps.Wait], *, parallel: int | None) -> dict[str, Any]:
        """Wait for all at once, each as long as it may take. What each told, or the error of one that did not come up."""
        return fleet_steps.await_all(self._parts, waits, lambda jobs: self._crew(jobs, parallel))

    def check_health(self, health: fleet.Health, names: Sequence[str], *, parallel: int | None) -> dict[str, Any]:
        """Run a program in each, side by side; of those in which it does not end well, why."""
        return self._crew({name: fleet_steps.health_of(self._parts, health, name) for name in names}, parallel)

    @contextmanager
    def progress(self, of: int) -> Iterator[Callable[[int, int], None]]:
        """Tell whoever wants to know how many of so many are done; gives what takes (done, failed)."""
        with Progress(of) as told:
            yield told.tell


def _told(part: Callable[[Any, int | None], dict[str, Any]], work: Mapping[str, Sequence[object]], parallel: int | None) -> dict[str, Any]:
    """What it told of each; the error, for all of these and no others, of what it does once for all."""
    try:
        return part(work, parallel) if work else {}
    except (VpsError, OSError) as error:
        return dict.fromkeys(work, error)


def _workers() -> int:
    """How many VPSs are worked on at a time, where the task does not say."""
    return min(_MOST_WORKERS, _PER_CPU * (os.cpu_count() or 1))
