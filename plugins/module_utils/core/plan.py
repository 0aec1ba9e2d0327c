# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan: what is different, when each difference takes effect, and the steps that remove it.

Pure data. `changed`, the diff, and the restart question are read off the changes; the node applies the steps, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .builds import Build
from .errors import VpsError
from .model import Rescue, Template, Vps

if TYPE_CHECKING:
    from .networks import Network
    from .snapshots import Snapshot

LIVE, AT_RESTART, NEVER = "live", "restart", "none"
HIDDEN = "(hidden)"


@dataclass(frozen=True)
class Change:
    """One option that is not as asked. `effect` says when the change is felt: at once, or at the next start."""

    option: str
    before: object
    after: object
    effect: str = LIVE


@dataclass(frozen=True)
class Create:
    """Make a VPS from its template, or as a copy of the disk of the VPS `source`; stopped."""

    vps: Vps
    source: str | None = None


@dataclass(frozen=True)
class Update:
    """Make the options of an existing VPS what `vps` says: on disk, and in the kernel where it runs.

    `force`: lower memory even where the kernel then has to kill in the VPS.
    """

    vps: Vps
    options: frozenset[str]
    force: bool = False

    @property
    def takes(self) -> bool:
        """Whether the VPS is to have something that no other can have."""
        return any(getattr(self.vps, option) for option in self.options & {"addresses", "interfaces", "publish"})


@dataclass(frozen=True)
class Start:
    """Start a stopped VPS."""

    name: str


@dataclass(frozen=True)
class Stop:
    """Ask the VPS's init to stop; after `timeout` seconds kill what is left."""

    name: str
    timeout: int


@dataclass(frozen=True)
class Freeze:
    """Stop giving CPU time to a running VPS."""

    name: str


@dataclass(frozen=True)
class Thaw:
    """Give it back."""

    name: str


@dataclass(frozen=True)
class Wait:
    """Wait until a started VPS is running, has its network, or has booted; at most `timeout` seconds."""

    name: str
    until: str
    timeout: int


@dataclass(frozen=True)
class Destroy:
    """Delete a stopped VPS and its data."""

    name: str
    unread: bool = False  # whether its record cannot be read


@dataclass(frozen=True)
class Reinstall:
    """Make the root file system of a stopped VPS anew from a template, with these paths of the old one; that is kept aside, or deleted."""

    name: str
    template: str
    init: str
    keep_paths: tuple[str, ...] = ()
    keep_previous: bool = True


@dataclass(frozen=True)
class GoBack:
    """Give a stopped VPS the root file system that the last reinstall has put aside, and delete the one that it has."""

    name: str


@dataclass(frozen=True)
class DropPrevious:
    """Delete the root file system that the last reinstall has put aside."""

    name: str


@dataclass(frozen=True)
class EnterRescue:
    """Have a stopped VPS boot a fresh copy of a template at its next start, with its own disk mounted in that."""

    name: str
    rescue: Rescue


@dataclass(frozen=True)
class LeaveRescue:
    """Have a stopped VPS boot its own disk again, and delete what it has booted instead."""

    name: str


@dataclass(frozen=True)
class BuildTemplate:
    """Build a template beside whatever has its name, then put it there."""

    template: Template


@dataclass(frozen=True)
class RemoveTemplate:
    """Delete a template."""

    name: str


@dataclass(frozen=True)
class PruneTemplate:
    """Delete a template, unless a VPS has been made from it meanwhile, or it has been built anew: `build` says which is meant."""

    name: str
    build: Build


@dataclass(frozen=True)
class ExportTemplate:
    """Put a template into one file at a path of the node, in place of whatever template is in it."""

    name: str
    path: str


@dataclass(frozen=True)
class ImportTemplate:
    """Make a template of a file that another one was put into. `bounds` is how much of it is borne; `sha256` is the file's, where somebody vouches for it."""

    name: str
    path: str
    bounds: Template
    sha256: str | None = None


@dataclass(frozen=True)
class SetNetwork:
    """Make a network of the node's what this says."""

    network: Network


@dataclass(frozen=True)
class RemoveNetwork:
    """Take a network that nobody uses away."""

    name: str


# Steps for which a VPS is stopped, and which are refused before they have changed it.
_AT_REST = (Update, Reinstall, GoBack, EnterRescue, LeaveRescue)


@dataclass(frozen=True)
class TakeSnapshot:
    """Keep the disk of a VPS, and what is recorded of it, as they are now.

    `lifetime` is in seconds, None for ever. `freeze`: have a running VPS stand still for that instant.
    """

    vps: str
    name: str
    description: str = ""
    series: str | None = None
    lifetime: int | None = None
    freeze: bool = False


@dataclass(frozen=True)
class ChangeSnapshot:
    """Record something else of a snapshot; what it keeps stays as it is."""

    snapshot: Snapshot


@dataclass(frozen=True)
class RemoveSnapshot:
    """Delete a snapshot of a VPS."""

    vps: str
    name: str


@dataclass(frozen=True)
class RollBack:
    """Put a copy of a snapshot in the place of a VPS's disk. One that `runs` is stopped for that, and started again.

    `vps` is the VPS as it is to be afterwards, `update` what brings its record there. `identity` names what of it is to be written into the
    copy, because the guest in the snapshot has it otherwise. `keep` is the snapshot that is taken before, of what it had.
    """

    vps: Vps
    snapshot: str
    identity: frozenset[str]
    update: Update | None
    keep: TakeSnapshot | None
    runs: bool
    stop_timeout: int


@dataclass(frozen=True)
class Plan:
    """Changes for people, steps for the node. Equal in check mode and in the run that follows it.

    `warnings` are what nobody asked for and somebody should know.
    """

    changes: tuple[Change, ...] = ()
    steps: tuple[object, ...] = ()
    restart_required: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything would be, or was, done."""
        return bool(self.changes)

    @property
    def stops_for_now(self) -> str | None:
        """The VPS that is stopped on the way, and started again; None: none is."""
        stopped = {step.name for step in self.steps if isinstance(step, Stop)}
        started = (step.name for step in self.steps if isinstance(step, Start) and step.name in stopped)
        return next(started, None) or next((step.vps.name for step in self.steps if isinstance(step, RollBack) and step.runs), None)

    @property
    def freezes(self) -> bool:
        """Whether a VPS is frozen in the end."""
        return any(isinstance(step, Freeze) for step in self.steps)

    def diff(self) -> dict[str, dict[str, Any]]:
        """Before and after of every changed option, as Ansible's C(--diff) wants it."""
        return {
            "before": {change.option: change.before for change in self.changes},
            "after": {change.option: change.after for change in self.changes},
        }

    def carry_out(self, apply: Callable[[object], Mapping[str, object] | None]) -> dict[str, object]:
        """Have each step done by `apply`, in their order; gives what is worth telling besides the changes.

        Where a step is refused for which a VPS was stopped, it is started again: what cannot be done is to leave things as they were.
        """
        notes: dict[str, object] = {}
        for number, step in enumerate(self.steps):
            try:
                notes.update(apply(step) or {})
            except Exception:
                if isinstance(step, _AT_REST) and any(isinstance(done, Stop) for done in self.steps[:number]):
                    for start in (later for later in self.steps[number:] if isinstance(later, Start)):
                        with suppress(VpsError):  # the first error is the one to tell
                            apply(start)
                raise
        return notes


def list_changes(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """The changes as a module returns them."""
    return [
        {"option": c.option, "before": c.before, "after": c.after, "effect": c.effect}
        for c in changes
    ]
