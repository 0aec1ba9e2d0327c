# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits section of a VPS: read from a playbook, laid over a plan, shown, and compared.

Pure. A new limit is a new field of `Limits`, its row in core/beancounters.py, and what the kernel makes of it in core/controls.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .beancounters import ALIASES, KEYS, NUMBERS, Bound, format_value, parse_value
from .errors import VpsError, shown, written
from .parse import RANGES, near
from .units import PAGE

PLAN = "plan"


@dataclass(frozen=True, repr=False)
class Limits:
    """What a VPS may use. None is no limit. Units are those of core/beancounters.py."""

    memory: int | None = None
    swap: int | None = None
    memory_guarantee: int | None = None
    memory_high: int | None = None
    cpuunits: int | None = None
    cpulimit: int | None = None
    cpus: int | None = None
    cpuburst: int | None = None
    cpumask: str | None = None
    nodemask: str | None = None
    processes: int | None = None
    diskspace: Bound | None = None
    diskinodes: Bound | None = None
    quotatime: int | None = None
    quotaugidlimit: int | None = None
    ioprio: int | None = None
    iolimit: int | None = None
    iolimit_read: int | None = None
    iolimit_write: int | None = None
    iopslimit: int | None = None
    iopslimit_read: int | None = None
    iopslimit_write: int | None = None
    kmemsize: Bound | None = None
    lockedpages: Bound | None = None
    privvmpages: Bound | None = None
    shmpages: Bound | None = None
    numproc: Bound | None = None
    physpages: Bound | None = None
    vmguarpages: Bound | None = None
    oomguarpages: Bound | None = None
    numtcpsock: Bound | None = None
    numflock: Bound | None = None
    numpty: Bound | None = None
    numsiginfo: Bound | None = None
    tcpsndbuf: Bound | None = None
    tcprcvbuf: Bound | None = None
    othersockbuf: Bound | None = None
    dgramrcvbuf: Bound | None = None
    numothersock: Bound | None = None
    dcachesize: Bound | None = None
    numfile: Bound | None = None
    numiptent: Bound | None = None
    swappages: Bound | None = None

    def __repr__(self) -> str:
        return f"Limits({', '.join(f'{name}={value!r}' for name, value in self.named.items())})"

    @property
    def named(self) -> dict[str, Any]:
        """Those that there are, by their names, in the table's order."""
        return {name: value for name in KEYS if (value := getattr(self, name)) is not None}

    @classmethod
    def from_record(cls, record: Mapping) -> Limits:
        """From plain data; raises one of errors.NOT_OURS for what is none."""
        known = dict(record)
        for name, value in known.items():
            if value is None:
                continue
            key = KEYS[name]
            if key.pair:
                known[name] = value = Bound(*value) if isinstance(value, (list, tuple)) else Bound(value, value)  # the latter by release 0.1
            for number in value if key.pair else () if key.kind is NUMBERS else (value,):
                if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
                    raise TypeError(f"limits.{name}: {shown(number)} is no number")
            if key.kind is NUMBERS and (not isinstance(value, str) or not RANGES.fullmatch(value)):
                raise TypeError(f"limits.{name}: {shown(value)} is no list of numbers")
        return cls(**known)

    def disk_bytes(self) -> int | None:
        """What the disk may hold at most."""
        return None if self.diskspace is None else self.diskspace.limit


@dataclass(frozen=True)
class Wish:
    """The section as a playbook has it: a plan's name, if any, and the keys beside it; None is a key that is unlimited."""

    given: Mapping[str, Any] = field(default_factory=dict)
    plan: str | None = None
    prefix: str = ""


def parse(params: Mapping[str, Any], *, prefix: str = "", names: tuple[str, ...] = (PLAN,)) -> Wish:
    """Read the section; `names` are other words that it may have. Raises VpsError that names the key."""
    given: dict[str, Any] = {}
    for word, value in params.items():
        if word not in names and value is not None:
            read_key(given, word, value, prefix=prefix)
    plan = params.get(PLAN)
    wish = Wish({name: given[name] for name in KEYS if name in given}, None if plan is None else written(plan), prefix)
    if wish.plan is None:
        settle(wish, {})  # what contradicts itself is told before the node is asked
    return wish


def read_key(given: dict[str, Any], word: str, value: object, *, prefix: str = "") -> None:
    """Read one key of a section, and put it to those that were read before. Raises VpsError."""
    name = ALIASES.get(word, word)
    if name not in KEYS:
        raise VpsError(f"{prefix}{unknown(word)}")
    if name in given:
        raise _twice(name, prefix)
    parsed = parse_value(name, value, option=f"{prefix}{word}")
    given[name] = parsed - parsed % PAGE if name in ("memory", "swap", "memory_guarantee", "memory_high") and parsed else parsed


def by_real_names(params: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """A section by the one name of each key, its values as they are; null where no name of it says more. Raises VpsError."""
    found: dict[str, Any] = {}
    for word, value in params.items():
        name = ALIASES.get(word, word)
        if value is not None and found.get(name) is not None:
            raise _twice(name, prefix)
        found[name] = found.get(name) if value is None else value
    return found


def _twice(name: str, prefix: str) -> VpsError:
    words = ", ".join((name, *(alias for alias, real in ALIASES.items() if real == name)))
    return VpsError(f"{prefix}{name}: is given twice, under two of its names ({words}); leave one of them out.")


def unknown(word: object) -> str:
    """What to say of a key that there is not."""
    meant = near(word, [*KEYS, *ALIASES, PLAN])
    hint = f"perhaps {meant} is meant." if meant else "those that there are stand in the documentation of vps_limits."
    return f"{shown(word)[1:-1]}: there is no such limit; {hint}"


def settle(wish: Wish, plans: Mapping[str, Limits]) -> Limits:
    """The limits that a section asks for: the plan's, and over them its own. What neither names is unlimited."""
    base = Limits()
    if wish.plan is not None:
        if wish.plan not in plans:
            known = ", ".join(sorted(plans)) or "none; give the node some with vps_node"
            raise VpsError(f"{wish.prefix}plan: there is no plan {shown(wish.plan)} on this node (there is: {known}).")
        base = plans[wish.plan]
    limits = replace(base, **{**_overridden(base, wish.given), **wish.given})
    for name, sentence in contradictions(limits, prefix=wish.prefix):
        raise VpsError(f"{wish.prefix}{name}: {sentence}")
    return limits


# The keys that bound one thing, of which the least value counts.
SAME = (
    ("memory", "physpages", "privvmpages"),
    ("swap", "swappages"),
    ("memory_guarantee", "oomguarpages"),
    ("cpulimit", "cpus"),
    ("processes", "numproc"),
)
# Those that bound each of two halves, too.
HALVES = {"iolimit": ("iolimit_read", "iolimit_write"), "iopslimit": ("iopslimit_read", "iopslimit_write")}


def _overridden(plan: Limits, given: Mapping[str, Any]) -> dict[str, Any]:
    """What becomes of a plan's keys that bound the same as those that a section gives, which would have no effect beside a lesser one."""
    found: dict[str, Any] = {}
    for names in SAME:
        if not given.keys().isdisjoint(names):
            found.update(dict.fromkeys(names))
    for whole, halves in HALVES.items():
        if whole in given:
            found.update(dict.fromkeys(halves))
        elif not given.keys().isdisjoint(halves):  # the other half stays as it is
            found[whole] = None
            found.update({half: least(getattr(plan, half), getattr(plan, whole)) for half in halves})
    # The barrier of privvmpages is a high mark.
    if "memory_high" in given and "privvmpages" not in found and plan.privvmpages is not None:
        most = plan.privvmpages.limit
        found["privvmpages"] = None if most is None else Bound(most, most)
    own = given.get("privvmpages")
    if own is not None and own.barrier != own.limit:
        found["memory_high"] = None
    return found


def contradictions(limits: Limits, *, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(key, sentence) of what cannot be together: what a value means depends on others. `prefix` is put before other keys' names."""
    most, quota = memory_bytes(limits), cpu_percent(limits)
    for name in ("swap", "swappages"):
        if getattr(limits, name) is not None and most is None:
            yield name, f"a swap limit counts what does not fit into memory; give {prefix}memory too."
    if limits.cpuburst is not None and (quota is None or limits.cpuburst > quota):
        yield "cpuburst", f"is at most the limit that it goes beyond; give {prefix}cpulimit or {prefix}cpus of {limits.cpuburst}% or more."
    if limits.memory_guarantee is not None and most is not None and limits.memory_guarantee > most:
        yield "memory_guarantee", f"is above what the VPS may have at all ({prefix}memory); give less."
    # Not vmguarpages, which promises nothing that the VPS does not use.
    if limits.oomguarpages is not None and most is not None and (limits.oomguarpages.barrier or 0) * PAGE > most:
        yield "oomguarpages", f"guarantees more, by its barrier, than the VPS may have at all ({prefix}memory); give less."


def memory_bytes(limits: Limits) -> int | None:
    """RAM in bytes, the least of all keys that bound it."""
    pages = [bound.limit for bound in (limits.physpages, limits.privvmpages) if bound is not None and bound.limit is not None]
    return least(limits.memory, *(number * PAGE for number in pages))


def memory_key(limits: Limits) -> str:
    """The key that bounds memory: the one with the least value of those that do."""
    bounds = {name: memory_bytes(replace(Limits(), **{name: getattr(limits, name)})) for name in ("memory", "physpages", "privvmpages")}
    there = {name: value for name, value in bounds.items() if value is not None}
    return min(there, key=lambda name: there[name], default="memory")


def guaranteed_bytes(limits: Limits) -> int:
    """Bytes of memory that are never taken from the VPS."""
    barrier = limits.oomguarpages.barrier if limits.oomguarpages is not None else None
    return max(limits.memory_guarantee or 0, (barrier or 0) * PAGE)


def swap_bytes(limits: Limits) -> int | None:
    """Swap in bytes, likewise."""
    bound = limits.swappages
    return least(limits.swap, None if bound is None or bound.limit is None else bound.limit * PAGE)


def cpu_percent(limits: Limits) -> int | None:
    """CPU time in percent of one CPU. vzctl on mainline kernels does the same: the lesser of cpulimit and 100 % per CPU."""
    return least(limits.cpulimit, None if limits.cpus is None else 100 * limits.cpus)


def process_count(limits: Limits) -> int | None:
    """Processes and threads, likewise."""
    return least(limits.processes, None if limits.numproc is None else limits.numproc.limit)


def least(*values: int | None) -> int | None:
    """The least of those that are a limit."""
    there = [value for value in values if value is not None]
    return min(there) if there else None


def show(limits: Limits) -> dict[str, str]:
    """Every limit that there is, as a person writes it."""
    return {name: format_value(name, value) for name, value in limits.named.items()}


def changed(before: Limits, after: Limits) -> tuple[str, ...]:
    """The names of the limits that differ."""
    return tuple(f.name for f in fields(Limits) if getattr(before, f.name) != getattr(after, f.name))
