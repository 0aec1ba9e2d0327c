# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of a VPS: their vocabulary, and what each becomes on cgroup v1 and v2.

Pure. A new limit is a new field of `Limits`, a row of `TABLE` and, where a cgroup holds it, lines in `cgroup_files`.
Kernel documents: admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1/{memory,pids}.rst, scheduler/sched-bwc.rst.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from . import units
from .errors import VpsError

PAGE = 4096
PERIOD = 100_000  # µs: the kernel's own default period of a CPU quota
UNSET_SHARES = 1024  # cpu.shares of a cgroup that nobody has set; 1000 cpuunits, vzctl's default, are the same share
UNSET_WEIGHT = 100


@dataclass(frozen=True)
class Limits:
    """What a VPS may use. None is no limit. Sizes in bytes, cpulimit in percent of one CPU, the rest are counts."""

    memory: int | None = None
    swap: int | None = None
    cpuunits: int | None = None
    cpulimit: int | None = None
    cpus: int | None = None
    processes: int | None = None
    diskspace: int | None = None


@dataclass(frozen=True)
class Row:
    """How one limit is read from a playbook and shown to a person."""

    parse: Callable[..., int | None]
    format: Callable[[int | None], str]
    bounds: Mapping[str, int]


TABLE: dict[str, Row] = {
    "memory": Row(units.parse_size, units.format_size, {"minimum": 4 << 20}),
    "swap": Row(units.parse_size, units.format_size, {}),
    "cpuunits": Row(units.parse_count, units.format_count, {"minimum": 10, "maximum": 100_000}),
    "cpulimit": Row(units.parse_percent, units.format_percent, {"minimum": 1, "maximum": 1_000_000}),
    "cpus": Row(units.parse_count, units.format_count, {"minimum": 1, "maximum": 8192}),
    "processes": Row(units.parse_count, units.format_count, {"minimum": 8, "maximum": 4_194_304}),
    "diskspace": Row(units.parse_size, units.format_size, {"minimum": 1 << 20}),
}


def parse(params: Mapping[str, object], *, prefix: str = "") -> Limits:
    """The whole section as written in a playbook: what is not listed is unlimited (absent means absent)."""
    values = {}
    for name, row in TABLE.items():
        given = params.get(name)
        if given is not None:
            values[name] = row.parse(given, option=f"{prefix}{name}", **row.bounds)
    if values.get("swap") is not None and values.get("memory") is None:
        raise VpsError(f"{prefix}swap: a swap limit counts what does not fit into memory; give {prefix}memory too.")
    for name in ("memory", "swap"):
        if values.get(name) is not None:
            values[name] -= values[name] % PAGE  # as the kernel does; so that what is asked can be read back
    return Limits(**values)


def show(limits: Limits) -> dict[str, str]:
    """Every limit as a person writes it."""
    return {name: row.format(getattr(limits, name)) for name, row in TABLE.items()}


def cgroup_files(limits: Limits, *, version: int) -> dict[str, str]:
    """What the files of the VPS's cgroup must hold, in the order in which they are written.

    The name's first part is the controller, as everywhere in cgroups. diskspace is not here: the storage driver has it.
    On v1 the swap file counts memory and swap together, and may never be below memory's: it is lifted first, set last.
    """
    quota = _quota(limits)
    if version == 2:
        return {
            "memory.max": _text(limits.memory),
            "memory.swap.max": _text(limits.swap),
            "cpu.weight": str(UNSET_WEIGHT if limits.cpuunits is None else max(1, min(10_000, limits.cpuunits // 10))),
            "cpu.max": f"{_text(quota)} {PERIOD}",
            "pids.max": _text(limits.processes),
        }
    together = None if limits.memory is None or limits.swap is None else limits.memory + limits.swap
    return {
        "memory.limit_in_bytes": _text(limits.memory, "-1"),
        "memory.memsw.limit_in_bytes": _text(together, "-1"),
        "cpu.shares": str(UNSET_SHARES if limits.cpuunits is None else max(2, limits.cpuunits * 1024 // 1000)),
        "cpu.cfs_period_us": str(PERIOD),
        "cpu.cfs_quota_us": _text(quota, "-1"),
        "pids.max": _text(limits.processes),
    }


def observed(recorded: Limits, files: Mapping[str, str], *, version: int) -> Limits:
    """The limits that the kernel holds now.

    A file that says what the record makes of it confirms the record's own numbers; one that says something else is
    decoded. So a number that the kernel keeps in a coarser unit is no difference, and somebody's `echo` is.
    """
    expected = cgroup_files(recorded, version=version)
    strange = {name: text for name, text in files.items() if name in expected and text != expected[name]}
    if not strange:
        return recorded
    return replace(recorded, **_decode(strange, recorded, version))


def changed(before: Limits, after: Limits) -> tuple[str, ...]:
    """The names of the limits that differ."""
    return tuple(f.name for f in fields(Limits) if getattr(before, f.name) != getattr(after, f.name))


def _decode(files: Mapping[str, str], recorded: Limits, version: int) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    if version == 2:
        if "memory.max" in files:
            found["memory"] = _number(files["memory.max"])
        if "memory.swap.max" in files:
            found["swap"] = _number(files["memory.swap.max"])
        if "cpu.weight" in files:
            weight = int(files["cpu.weight"])
            found["cpuunits"] = None if weight == UNSET_WEIGHT else weight * 10
        if "cpu.max" in files:
            quota, period = files["cpu.max"].split()
            found["cpulimit"] = None if quota == "max" else int(quota) * 100 // int(period)
    else:
        if "memory.limit_in_bytes" in files:
            found["memory"] = _number(files["memory.limit_in_bytes"])
        if "memory.memsw.limit_in_bytes" in files:
            together = _number(files["memory.memsw.limit_in_bytes"])
            memory = found.get("memory", recorded.memory)
            found["swap"] = None if together is None else max(0, together - (memory or 0))
        if "cpu.shares" in files:
            shares = int(files["cpu.shares"])
            found["cpuunits"] = None if shares == UNSET_SHARES else shares * 1000 // 1024
        if "cpu.cfs_quota_us" in files or "cpu.cfs_period_us" in files:
            whole = {**cgroup_files(recorded, version=1), **files}
            quota_us = int(whole["cpu.cfs_quota_us"])
            found["cpulimit"] = None if quota_us < 0 else quota_us * 100 // int(whole["cpu.cfs_period_us"])
    if "pids.max" in files:
        found["processes"] = _number(files["pids.max"])
    if "cpulimit" in found:
        found["cpus"] = None  # both live in one quota; what it means is told as cpulimit
    return found


def _quota(limits: Limits) -> int | None:
    """µs per period. vzctl on mainline kernels does the same: the lesser of cpulimit and 100 % per CPU."""
    bounds = [limits.cpulimit, None if limits.cpus is None else 100 * limits.cpus]
    known = [bound for bound in bounds if bound is not None]
    return min(known) * PERIOD // 100 if known else None


def _text(value: int | None, none: str = "max") -> str:
    return none if value is None else str(value)


def _number(text: str) -> int | None:
    return None if text in ("max", "-1") else int(text)
