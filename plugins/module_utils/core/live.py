# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel holds of a VPS's limits, as it was read, and what that says of them.

Pure. Read by node/limits.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import controls, units
from . import disk as disk_
from .beancounters import Bound
from .disk import Disk
from .fidelity import Abilities, Held, enforced
from .limits import Limits

_CALLS = {"NOFILE": "RLIMIT_NOFILE", "MEMLOCK": "RLIMIT_MEMLOCK", "SIGPENDING": "RLIMIT_SIGPENDING"}


@dataclass(frozen=True)
class Live:
    """What a running VPS is held to; all of it empty for one that is stopped.

    `files` are those of its cgroup in the form of core/controls.py, `paths` where they are; `rlimits` its init's, in the kernel's
    units, `normal` those of a VPS that nobody has limited; `shared_pages` its kernel.shmall; `terminals` what its devpts has for the
    guest; `pinned` bytes that cannot be reclaimed.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    rlimits: Mapping[str, Bound] = field(default_factory=dict)
    normal: Mapping[str, Bound] = field(default_factory=dict)
    shared_pages: int | None = None
    terminals: int | None = None
    pinned: int = 0

    def observe(self, recorded: Limits, abilities: Abilities, disk: Disk) -> Limits:
        """The limits that are in force; the record's word for those that nobody can read, or that this machine cannot keep."""
        kept = enforced(recorded, abilities)
        found = controls.observed(kept, self.files, version=abilities.version)
        beyond = {name: value for name, value in recorded.named.items() if getattr(kept, name) != value}
        beyond.update(disk_.observed(kept, disk, abilities))
        if self.files:
            beyond.update(self._beside(kept))
        return replace(found, **beyond)

    def at_restart(self, kept: Limits, abilities: Abilities) -> set[str]:
        """The limits that the running VPS will only take at its next start."""
        found = set()
        if self.terminals is not None and self.terminals != controls.terminals(kept):
            found.add("limits.numpty")
        if not abilities.raises:
            for name, bound in {**self.normal, **controls.rlimits(kept)}.items():
                there = self.rlimits[name].limit if name in self.rlimits else None
                wanted = bound.limit if bound.limit is not None or name not in self.normal else self.normal[name].limit
                if there is not None and (wanted is None or there < wanted):
                    found.add(f"limits.{controls.RLIMITS[name][0]}")
        return found

    def held(self, limits: Limits, disk: Disk, abilities: Abilities) -> dict[str, Held]:
        """What the kernel holds for each of the limits, and where."""
        found = {}
        for name in limits.named:
            files = [file for file in self.files if name in controls.keys_of(file) and file in self.paths]
            if files:
                found[name] = Held(", ".join(self.paths[file] for file in files), ", ".join(self.files[file] for file in files))
        for rlimit, (name, _unit) in controls.RLIMITS.items():
            if rlimit in self.rlimits:
                found[name] = Held(_CALLS[rlimit], ":".join(units.format_count(value) for value in self.rlimits[rlimit]))
        if self.files:
            found["shmpages"] = Held("kernel.shmall", units.format_count(self.shared_pages))
            found["numpty"] = Held("/dev/pts", units.format_count(self.terminals))
        return {**found, **disk_.held(limits, disk, abilities)}

    def _beside(self, kept: Limits) -> dict[str, Any]:
        """Drift of what is in no cgroup. Less than was asked is the guest's own choice."""
        found: dict[str, Any] = {}
        for rlimit, bound in controls.rlimits(kept).items():
            there = self.rlimits.get(rlimit, bound)
            if bound.limit is not None and (there.limit is None or there.limit > bound.limit):
                name, unit = controls.RLIMITS[rlimit]
                found[name] = None if there.limit is None else Bound(*(None if value is None else value // unit for value in there))
        pages = controls.shared_memory_pages(kept)
        if pages is not None and (self.shared_pages is None or self.shared_pages > pages):
            found["shmpages"] = None if self.shared_pages is None else Bound(self.shared_pages, self.shared_pages)
        return found
