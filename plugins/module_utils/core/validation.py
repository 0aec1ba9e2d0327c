# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be said of a plan before anybody gets it: errors, warnings, advice.

Pure. The rules of OpenVZ's vzcfgvalidate that still have a meaning on a kernel without beancounters, and those that such a kernel
needs; one table. What is an error is what a module would refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import limits as limits_
from .beancounters import ALIASES, KEYS, UNSUPPORTED, V1, V2, Bound
from .capacity import RESOURCES, Present, present_of, promises_of
from .errors import VpsError
from .limits import PLAN, Limits, cpu_percent, memory_bytes, process_count, swap_bytes
from .units import PAGE, format_percent, format_size

ERROR, WARNING, ADVICE = "error", "warning", "advice"
LEVELS = (ERROR, WARNING, ADVICE)
_MIB = 1 << 20
# What a Debian with systemd and one service needs.
LEAST_MEMORY, LEAST_DISK, LEAST_PROCESSES, LEAST_CPU, LEAST_FILES, LEAST_TERMINALS = 64 * _MIB, 512 * _MIB, 64, 5, 1024, 4
LARGEST = 1 << 62


@dataclass(frozen=True)
class Finding:
    """Something to say of one limit: how bad it is, and a sentence."""

    level: str
    limit: str
    text: str


@dataclass(frozen=True)
class Rule:
    """`broken` says of limits whether the sentence is to be said of `limit`."""

    level: str
    limit: str
    broken: Callable[[Limits], bool]
    text: str


def _below(value: int | None, bound: int | None) -> bool:
    return value is not None and bound is not None and value < bound


def _above(value: int | None, bound: int | None) -> bool:
    return value is not None and bound is not None and value > bound


def _most(bound: Bound | None) -> int | None:
    return None if bound is None else bound.limit


def _least(bound: Bound | None) -> int | None:
    return None if bound is None else bound.barrier


def _bytes(pages: int | None) -> int | None:
    return None if pages is None else pages * PAGE


def _has_two(bound: Bound | None) -> bool:
    return bound is not None and bound.barrier != bound.limit


RULES = (
    # -- what the kernel takes, and what then has no effect or a bad one
    Rule(WARNING, "memory_high", lambda it: _above(it.memory_high, memory_bytes(it)),
         "is above memory, which the VPS never gets past; give less, or leave it out."),
    Rule(WARNING, "memory_guarantee", lambda it: _above(it.memory_guarantee and 10 * it.memory_guarantee, (memory_bytes(it) or LARGEST) * 9),
         "is more than nine tenths of memory: the node gets nearly nothing back when it runs short; give less."),
    Rule(WARNING, "vmguarpages", lambda it: _above(_bytes(_least(it.vmguarpages)), memory_bytes(it)),
         "guarantees more than the VPS may have at all; give less."),
    Rule(WARNING, "shmpages", lambda it: _above(_bytes(_most(it.shmpages)), memory_bytes(it)),
         "is above memory, as which shared memory counts; give less."),
    Rule(WARNING, "lockedpages", lambda it: _above(_bytes(_most(it.lockedpages)), memory_bytes(it)),
         "is above memory, as which locked memory counts; give less."),
    Rule(ADVICE, "numfile", lambda it: _above(_most(it.numfile), 32 * (process_count(it) or LARGEST) - 1),
         "is enough for a whole VPS, as OpenVZ counted; here each process may have that many. A few thousand will do."),
    Rule(ADVICE, "numproc", lambda it: _has_two(it.numproc),
         "has a barrier that is not its limit, and has no effect; give one value."),
    Rule(WARNING, "diskspace", lambda it: _has_two(it.diskspace),
         "has a soft limit, which a VPS on btrfs cannot have; give one value."),
    # -- too little
    Rule(WARNING, "memory", lambda it: _below(memory_bytes(it), LEAST_MEMORY),
         f"is less than {format_size(LEAST_MEMORY)}, in which a Debian boots and has no room for much more."),
    Rule(WARNING, "diskspace", lambda it: _below(it.disk_bytes(), LEAST_DISK),
         f"is less than {format_size(LEAST_DISK)}; a Debian with its package lists and an upgrade needs more, and its template counts too."),
    Rule(WARNING, "processes", lambda it: _below(process_count(it), LEAST_PROCESSES),
         f"is less than {LEAST_PROCESSES}, threads included; a Debian that serves something runs into it."),
    Rule(WARNING, "cpulimit", lambda it: _below(cpu_percent(it), LEAST_CPU),
         f"is less than {format_percent(LEAST_CPU)} of one CPU, with which a boot takes minutes."),
    Rule(WARNING, "numfile", lambda it: _below(_most(it.numfile), LEAST_FILES),
         f"is less than {LEAST_FILES}, which programs take for granted in each process."),
    Rule(WARNING, "numpty", lambda it: _below(_most(it.numpty), LEAST_TERMINALS),
         f"is less than {LEAST_TERMINALS}: a few logins, and the next one has no terminal."),
    # -- no limit at all
    Rule(ADVICE, "memory", lambda it: memory_bytes(it) is None,
         "is not limited: one VPS can take all of the node's."),
    Rule(ADVICE, "swap", lambda it: memory_bytes(it) is not None and swap_bytes(it) is None,
         "is not limited, and memory is: what does not fit there can take all of the node's swap."),
    Rule(ADVICE, "processes", lambda it: process_count(it) is None,
         "is not limited: a fork bomb in one VPS takes all of the node's."),
    Rule(ADVICE, "diskspace", lambda it: it.disk_bytes() is None,
         "is not limited: one VPS can fill the pool of all."),
)  # fmt: skip
# What is bounded by several keys, of which the least counts: what it comes to, and each key's own word on it.
_SEVERAL: tuple[tuple[Callable[[Limits], int | None], dict[str, Callable[[Limits], int | None]]], ...] = (
    (
        memory_bytes,
        {
            "memory": lambda it: it.memory,
            "physpages": lambda it: _bytes(_most(it.physpages)),
            "privvmpages": lambda it: _bytes(_most(it.privvmpages)),
        },
    ),
    (swap_bytes, {"swap": lambda it: it.swap, "swappages": lambda it: _bytes(_most(it.swappages))}),
    (process_count, {"processes": lambda it: it.processes, "numproc": lambda it: _most(it.numproc)}),
    (cpu_percent, {"cpulimit": lambda it: it.cpulimit, "cpus": lambda it: it.cpus and 100 * it.cpus}),
)


def validate(plan: Mapping[str, Any], node: Mapping | None = None) -> list[Finding]:
    """All that is to be said of a plan, the worst first. `node` is one as M(vps_info) returns it; VpsError where it is none."""
    present, promises = (None, None) if node is None else (present_of(node), promises_of(node))
    given, wrong = _read(plan)
    limits, amiss = Limits(**given), {finding.limit for finding in wrong}
    if not amiss & {"memory", "physpages", "privvmpages", "cpulimit", "cpus", PLAN}:  # which the others would only follow from
        wrong += [Finding(ERROR, name, text) for name, text in limits_.contradictions(limits)]
    found = [Finding(rule.level, _effective(limits, rule.limit), rule.text) for rule in RULES if rule.broken(limits)]
    found += _for_nothing(limits)
    found += _unsupported(limits, None if node is None else node.get("cgroup_version"))
    if present is not None and promises is not None:
        found += _against(limits, present, promises)
    amiss |= {finding.limit for finding in wrong}
    return sorted(wrong + [finding for finding in found if finding.limit not in amiss], key=lambda finding: LEVELS.index(finding.level))


def _read(plan: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """The keys that can be read, and what is wrong with the others."""
    given: dict[str, Any] = {}
    wrong = []
    for word, value in plan.items():
        if word == PLAN:
            wrong.append(Finding(ERROR, PLAN, "names another plan, which is not known here; give the limits of both in one."))
        elif value is not None:
            try:
                limits_.read_key(given, word, value)
            except VpsError as error:
                told, _colon, sentence = str(error).partition(": ")
                wrong.append(Finding(ERROR, ALIASES.get(told, told), sentence))
    return given, wrong


def _effective(limits: Limits, name: str) -> str:
    """Which key it is that bounds what `name` stands for."""
    for counts, keys in _SEVERAL:
        if name in keys:
            return next((key for key, own in keys.items() if own(limits) is not None and own(limits) == counts(limits)), name)
    return name


def _for_nothing(limits: Limits) -> Iterator[Finding]:
    """Of several keys for the same, those that are not the least."""
    for counts, keys in _SEVERAL:
        for key, own in keys.items():
            if _above(own(limits), counts(limits)):
                yield Finding(ADVICE, key, f"is above {_effective(limits, key)}, and the lesser counts; leave it out.")


def _unsupported(limits: Limits, version: int | None) -> Iterator[Finding]:
    """What no kernel keeps, or the node's cgroups do not."""
    for name in limits.named:
        on = KEYS[name].on
        ways = [on[V2 if version == 2 else V1]] if version is not None and V2 in on else list(on.values())
        if all(way.word == UNSUPPORTED for way in ways):
            yield Finding(WARNING, name, f"cannot be kept: {ways[0].why}; leave it out, or set unsupported to warn or ignore.")


def _against(limits: Limits, present: Present, promises: Mapping[str, tuple[int | None, int | None]]) -> Iterator[Finding]:
    """What one node says to it."""
    for name, resource in RESOURCES.items():
        wanted, there, (promised, bound) = resource.promised(limits), getattr(present, name), promises[name]
        if wanted is None and bound is not None:
            yield Finding(ERROR, resource.key, f"is not limited, and this node refuses a VPS without such a limit (overcommit.{name}).")
        elif _above(wanted, there):
            yield Finding(WARNING, _effective(limits, resource.key), f"is more than the {resource.show(there)} that this node has.")
        elif wanted is not None and bound is not None and promised is not None:
            left = there * bound // 100 - promised
            if wanted > left:
                word = f"is more than the {resource.show(max(0, left))} that this node may still promise (overcommit.{name})."
                yield Finding(WARNING, _effective(limits, resource.key), word)
    if _above(limits.memory_guarantee, present.memory):
        yield Finding(WARNING, "memory_guarantee", "is more memory than this node has.")
