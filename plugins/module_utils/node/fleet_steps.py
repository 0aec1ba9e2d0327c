# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done once for many VPSs, in place of once for each: given away, made real, written to the disk, waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..core import capacity, fleet
from ..core import command as commands
from ..core import plan as steps
from ..core.errors import VpsError
from ..core.fleet_claims import Claims
from ..core.fleet_room import Promise, check_promises
from ..core.model import SYSTEMD, Vps
from ..core.places import LXCPATH
from . import files, inside, vps_steps, waiting
from .parts import Parts
from .sweep import protecting

LEFT = "left to do"  # in what a worker tells: what is done for all once they are through
_UP: Mapping[str, object] = {"up": True}  # of one that says nothing else
_PATIENCE = 60  # s, for whoever starts or stops it just now
_POLL_TIMEOUT = 10  # s, that a guest's own program has for an answer; it is asked again


def reserve(parts: Parts, creates: Mapping[str, steps.Create], known: dict[str, Vps]) -> tuple[dict[str, tuple[Vps, str]], dict[str, Any]]:
    """Give each new VPS its ids and addresses, and its staging directory with that in it. Under the lock of those who give away.

    `known` are all VPSs, which get these too. Gives each with its directory, and the errors of those that cannot be. Each is compared with what all
    have, by tables and sums and not with every other VPS, as long as nobody else has been given something since that was planned.
    """
    made: dict[str, tuple[Vps, str]] = {}
    errors: dict[str, Any] = {}
    if not creates:
        return made, errors
    claims, free = Claims(known.values()), vps_steps.free_ranges(parts, known.values())
    too_much, _givers = check_promises(parts.room(known.values()), [Promise(name, None, step.vps.limits) for name, step in creates.items()])

    def refuse(vps: Vps) -> None:
        if too_much:  # one of them is: which, depends on those before it that can be made
            capacity.check(parts.room(known.values()), None, vps.limits, vps=vps.name)

    for name, step in creates.items():
        try:
            vps = vps_steps.of_build(parts, step)
            with files.safe_later():
                vps, directory = vps_steps.claim(parts, vps, claims.beside(vps), free, refuse)
        except (VpsError, OSError) as error:
            errors[name] = error
            continue
        known[name] = vps
        claims.add(vps)
        made[name] = (vps, directory)
    return made, errors


def settle(parts: Parts, made: Mapping[str, tuple[Vps, str]], done: Mapping[str, Any]) -> dict[str, Any]:
    """Make what was built real, once all of it is on the disk, and write what could not be written before; gives what each is to tell."""
    results: dict[str, Any] = {}
    left: list[Vps] = []
    built = [name for name in made if not isinstance(done[name], Exception)]
    synced = bool(built)
    for name, told in done.items():
        results[name] = told
        if not isinstance(told, Exception) and LEFT in told:
            results[name] = {key: value for key, value in told.items() if key != LEFT}
            left += [Vps.from_record(record) for record in told[LEFT]["records"]]
            synced = synced or told[LEFT]["synced"] or bool(left)
    if synced:
        parts.storage.sync()
    if not built and not left:
        return results
    with files.safe_later():
        for vps in left:
            parts.vps.store(vps)
    with protecting(parts, *(parts.keepable(made[name][0]) for name in built)):
        for name in built:
            try:
                parts.vps.commit(name)
            except OSError as error:
                results[name] = error
        if built:
            files.sync(LXCPATH)
        parts.storage.sync()  # before anybody works with them: a power cut must not make remains of them again
    return results


def await_all(parts: Parts, waits: Mapping[str, steps.Wait], ask: Callable[[Mapping[str, Callable[[], object]]], dict[str, Any]]) -> dict[str, Any]:
    """Wait for several in one loop. `ask` has questions that take a program in a guest put side by side."""
    begun = time.monotonic()
    results: dict[str, Any] = {}
    pending: dict[str, tuple[Vps, steps.Wait]] = {}
    for name, step in waits.items():
        try:
            pending[name] = (parts.vps.known(name), step)
        except (VpsError, OSError) as error:  # one that nobody changes is not locked: it may have gone
            results[name] = error
    pause = 0.05
    while True:
        slow: dict[str, Callable[[], object]] = {}
        for name, (vps, step) in list(pending.items()):
            if step.until == "booted" and vps.boots == SYSTEMD:
                slow[name] = _question(parts, vps, step, begun)
            else:
                _note(results, pending, name, _attempt(parts, vps, step, begun))
        for name, told in ask(slow).items() if slow else ():
            _note(results, pending, name, told)
        if not pending:
            return {name: {} if told == _UP else told for name, told in results.items()}
        time.sleep(pause)
        pause = min(0.5, pause * 1.5)


def _question(parts: Parts, vps: Vps, step: steps.Wait, begun: float) -> Callable[[], object]:
    return lambda: _look(parts, vps, step, begun)


def _attempt(parts: Parts, vps: Vps, step: steps.Wait, begun: float) -> Any:
    try:
        return _look(parts, vps, step, begun)
    except (VpsError, OSError) as error:
        return error


def _look(parts: Parts, vps: Vps, step: steps.Wait, begun: float) -> Mapping[str, object] | None:
    """What is to be told of one that is what it is to be; None as long as it is not. Raises VpsError where it will not be."""
    told = waiting.awaited(parts, vps, step, vps_steps.status_of_many(vps.name), begun + step.timeout, most=_POLL_TIMEOUT)
    return None if told is None else {"boot": told} if step.until == "booted" else _UP


def _note(results: dict[str, Any], pending: dict[str, Any], name: str, told: Any) -> None:
    if told is not None and told != {}:
        results[name] = told
        del pending[name]


def health_of(parts: Parts, health: fleet.Health, name: str) -> Callable[[], object]:
    """What runs the program for a VPS's health in it, as often as it may take; raises VpsError with what it said where it does not end well."""

    def do() -> object:
        command = replace(health.command, name=name)
        for turn in range(health.retries + 1):
            if turn:
                time.sleep(health.delay)
            place = inside.look(parts, command, patience=_PATIENCE, writes=True)
            if place.pid is None:  # a program in it would wait for the lock that this run has
                raise waiting.has_ended(parts, name)
            outcome = inside.run(parts, command, place, patience=_PATIENCE)
            if outcome.rc == 0 and not outcome.timed_out:
                return {}
        raise VpsError(_unwell(command, outcome), rc=outcome.rc, stdout=outcome.stdout[-4000:], stderr=outcome.stderr[-4000:])

    return do


def _unwell(command: commands.Command, outcome: commands.Outcome) -> str:
    how = f"had not ended after {command.timeout} seconds" if outcome.timed_out else f"ended with exit code {outcome.rc}"
    return f"health.{command.option}: VPS '{command.name}' is not well, its program {how}; stdout and stderr of its entry have what that said."
