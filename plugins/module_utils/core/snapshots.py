# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshots of one VPS: from parameters to a wish, and from a wish and what there is to a plan.

Pure: the time comes with the wish, so that all of a run, check mode too, goes by the same moment. Times are seconds since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from . import container, disk, parse, units
from .disk import Disk
from .errors import VpsError, shown
from .live import Live
from .model import FROZEN, IDENTITY, OTHER_INIT, RUNNING, STOPPED, Actual, Vps
from .plan import LIVE, Change, ChangeSnapshot, Freeze, Plan, RemoveSnapshot, RollBack, TakeSnapshot, Update, Wait
from .reinstall import LEAST_FREE, free_name, refuse_protected

MOST_KEPT = 10_000
_RECORDED = ("description", "series", "expires")
# What a VPS gets back with its configuration: all that a task can change of one that exists.
RESTORED = tuple(option for option in (*container.PARSERS, "plan") if option not in ("template", "storage"))


@dataclass(frozen=True)
class Snapshot:
    """One snapshot. `vps` is the VPS's record as it was, `run` what it was doing; `expires` None: never.

    `series` is the word under which it is counted with others of its kind.
    """

    name: str
    created: float
    vps: Vps
    run: str = STOPPED
    description: str = ""
    series: str | None = None
    expires: float | None = None

    @property
    def lifetime(self) -> int | None:
        """Seconds between its creation and its end."""
        return None if self.expires is None else round(self.expires - self.created)

    def to_record(self) -> dict:
        """As plain data, for JSON."""
        return {**{name: value for name, value in asdict(self).items() if name != "vps"}, "vps": self.vps.to_record()}

    @classmethod
    def from_record(cls, record: Mapping) -> Snapshot:
        """From what `to_record` gave; raises one of errors.NOT_OURS for anything else."""
        snapshot = cls(**{**record, "vps": Vps.from_record(record["vps"])})
        for name, kinds in (("name", (str,)), ("run", (str,)), ("description", (str,)), ("series", (str, type(None))),
                            ("created", (int, float)), ("expires", (int, float, type(None)))):
            if type(getattr(snapshot, name)) not in kinds:
                raise TypeError(f"{name}: {shown(getattr(snapshot, name))} is none")
        return snapshot


@dataclass(frozen=True)
class SnapshotsActual:
    """A VPS with its snapshots. `unread` says of those whose record is damaged why; `disk` is what the one that was asked for is held to."""

    vps: Actual
    snapshots: tuple[Snapshot, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    disk: Disk = Disk()


@dataclass(frozen=True)
class Desired:
    """What a playbook asks. `name` is the VPS's, `snapshot` that of the snapshot. `options` holds what it names of that and nothing else.

    `keep` is how many of a series are to be left, `kept` the name of the snapshot that is taken before a roll back.
    """

    name: str
    snapshot: str | None
    state: str
    now: float
    options: Mapping[str, Any] = field(default_factory=dict)
    keep: int | None = None
    freeze: bool = False
    restore: bool = False
    kept: str | None = None
    stop_timeout: int = 60
    wait: str = RUNNING
    wait_timeout: int = 120
    settled: bool = False


def parse_snapshot(params: Mapping[str, Any], *, now: float) -> Desired:
    """The parameters of C(vps_snapshot)."""
    state, named = params["state"], params.get("name")
    desired = Desired(
        name=parse.parse_name(params["vps"], option="vps"),
        snapshot=None if named is None else parse.parse_name(named),
        state=state,
        now=now,
        options={name: check(params[name]) for name, check in _PARSERS.items() if params.get(name) is not None},
        keep=_parse_keep(params.get("keep")),
        freeze=params["frozen"],
        restore=params["restore_configuration"],
        kept=None if params.get("keep_current") is None else parse.parse_name(params["keep_current"], option="keep_current"),
        stop_timeout=parse.parse_seconds(params["stop_timeout"], option="stop_timeout"),
        wait=params["wait"],
        wait_timeout=parse.parse_seconds(params["wait_timeout"], option="wait_timeout"),
    )
    if named is None and state != "present":
        raise VpsError(f"name: needed with state {state}; name one of the VPS's snapshots.")
    if state != "rolled_back":
        for option, given in (("restore_configuration", desired.restore), ("keep_current", desired.kept is not None)):
            if given:
                raise VpsError(f"{option}: it goes with state rolled_back; leave it out, or ask for that.")
    takes = {"present": named, "rolled_back": desired.kept}.get(state)
    for option in desired.options:
        if takes is None and not (option == "series" and desired.keep is not None):
            instead = "keep_current" if state == "rolled_back" else "name"
            raise VpsError(f"{option}: this task takes no snapshot that would have it; leave it out, or give {instead} too.")
    return desired


def _parse_series(text: str) -> str | None:
    """A word; none for an empty one."""
    return parse.parse_name(text, option="series") if text else None


def _parse_keep(value: int | None) -> int | None:
    if value is not None and not 1 <= value <= MOST_KEPT:
        raise VpsError(f"keep: {value} is out of range; give 1 to {MOST_KEPT}.")
    return value


_PARSERS = {
    "description": parse.parse_description,
    "series": _parse_series,
    "expires": lambda value: units.parse_duration(value, option="expires", endless=True),
}


def settled(desired: Desired) -> Desired:
    """The wish once it has been granted. A roll back is one each time that it is asked for: what can be looked at is the configuration."""
    return replace(desired, settled=True)


def compare(desired: Desired, actual: SnapshotsActual) -> Plan:
    """The plan that gives the VPS the snapshots, or the snapshot's state, that are asked for; raises VpsError for what cannot be."""
    vps = actual.vps.recorded or actual.vps.vps
    if actual.vps.node.foreign:
        raise VpsError(f"vps: {actual.vps.node.foreign}")
    if vps is None:
        if desired.state == "absent":
            return Plan()
        raise VpsError(f"vps: there is no VPS '{desired.name}' on this node; make it with vps_container first.")
    there = {one.name: one for one in actual.snapshots}
    named = there.get(desired.snapshot or "")
    if desired.state != "absent" and desired.snapshot is not None and desired.snapshot in actual.unread:
        raise VpsError(f"name: {actual.unread[desired.snapshot]}")
    damaged = sorted(name for name in actual.unread if name != desired.snapshot)
    warnings = tuple(f"Snapshot '{name}' of VPS '{vps.name}' is left as it is: {actual.unread[name]}" for name in damaged)
    expired = _expired(desired, actual.snapshots)
    removals = {name: Change(f"snapshots.{name}", "expired", "absent") for name in expired}
    steps: list[object] = [RemoveSnapshot(vps.name, name) for name in expired]
    changes = list(removals.values())
    left = [one for one in actual.snapshots if one.name not in expired]
    if desired.state == "absent":
        done = _remove(desired, vps, present=named is not None or desired.snapshot in actual.unread)
    elif desired.state == "rolled_back":
        done = _roll_back(desired, actual, vps, named)
    elif desired.snapshot is None:
        done = Plan()
    elif named is None or named.name in expired:
        done = _take(desired, actual.vps)
    else:
        done = _change(desired, named)
        left = [replace(one, series=desired.options.get("series", one.series)) if one is named else one for one in left]
    taken = [step if isinstance(step, TakeSnapshot) else step.keep for step in done.steps if isinstance(step, (TakeSnapshot, RollBack))]
    if taken and not expired:
        refuse_full(actual.vps.node.free_bytes, vps.name)
    news = [Snapshot(step.name, float("inf"), vps, series=step.series) for step in taken if step is not None]
    left = [one for one in left if not (desired.state == "absent" and one.name == desired.snapshot)] + news
    beyond = _beyond(desired, left, {desired.snapshot, *(one.name for one in news)})
    return Plan(
        changes=(*changes, *done.changes, *(Change(f"snapshots.{name}", "beyond keep", "absent") for name in beyond)),
        steps=(*steps, *done.steps, *(RemoveSnapshot(vps.name, name) for name in beyond)),
        warnings=(*warnings, *done.warnings),
    )


def refuse_full(free_bytes: int, vps: str) -> None:
    """Raise VpsError where the pool has no room to keep another state of a VPS."""
    if free_bytes < LEAST_FREE:
        raise VpsError(
            f"vps: the pool is full ({units.format_size(max(0, free_bytes))} free), there is no room for what is kept of VPS '{vps}'; "
            "enlarge the pool, or remove a snapshot or a VPS."
        )


def _expired(desired: Desired, snapshots: Collection[Snapshot]) -> list[str]:
    """Those whose time is over. One that the task names has what the task says, and stays where it is what is to be rolled back to."""
    found = []
    for one in snapshots:
        mine = one.name == desired.snapshot
        if mine and desired.state != "present":
            continue
        lifetime = desired.options["expires"] if mine and "expires" in desired.options else one.lifetime
        if lifetime is not None and one.created + lifetime <= desired.now:
            found.append(one.name)
    return found


def _beyond(desired: Desired, left: Collection[Snapshot], pinned: Collection[str | None]) -> list[str]:
    """Those of the task's series that are more than are to be kept, the newest last. What the task itself is about is among those kept."""
    if desired.keep is None or (desired.settled and desired.state == "rolled_back"):  # which of them it has taken, nobody knows then
        return []
    series = desired.options.get("series")
    if "series" not in desired.options:
        series = next((one.series for one in left if one.name == desired.snapshot), None)
    ours = sorted((one for one in left if one.series == series), key=lambda one: (one.name in pinned, one.created, one.name))
    return [one.name for one in ours[: -desired.keep] if one.name not in pinned]


def _remove(desired: Desired, vps: Vps, *, present: bool) -> Plan:
    if not present or desired.snapshot is None:
        return Plan()
    return Plan((Change("state", "present", "absent"),), (RemoveSnapshot(vps.name, desired.snapshot),))


def _take(desired: Desired, actual: Actual) -> Plan:
    step = _snapshot(desired, str(desired.snapshot), freeze=desired.freeze and actual.run == RUNNING)
    changes = [Change("state", "absent", "present")]
    changes += [Change(option, None, _shown(option, desired.options[option])) for option in _RECORDED if option in desired.options]
    return Plan(tuple(changes), (step,))


def _snapshot(desired: Desired, name: str, *, freeze: bool = False, description: str = "") -> TakeSnapshot:
    given = desired.options
    return TakeSnapshot(desired.name, name, given.get("description", description), given.get("series"), given.get("expires"), freeze)


def _change(desired: Desired, named: Snapshot) -> Plan:
    """What it keeps is as it is; what is recorded of it follows the task."""
    now = {"description": named.description, "series": named.series, "expires": named.lifetime}
    differing = [option for option in _RECORDED if option in desired.options and desired.options[option] != now[option]]
    if not differing:
        return Plan()
    wanted = {**now, **desired.options}
    lifetime = wanted["expires"]
    changed = replace(
        named, description=wanted["description"], series=wanted["series"], expires=None if lifetime is None else named.created + lifetime
    )
    changes = tuple(Change(option, _shown(option, now[option]), _shown(option, wanted[option])) for option in differing)
    return Plan(changes, (ChangeSnapshot(changed),))


def _shown(option: str, value: Any) -> object:
    return units.format_duration(value) if option == "expires" else value


def _roll_back(desired: Desired, actual: SnapshotsActual, vps: Vps, named: Snapshot | None) -> Plan:
    if named is None:
        known = ", ".join(one.name for one in actual.snapshots) or "none"
        raise VpsError(f"name: VPS '{vps.name}' has no snapshot '{desired.snapshot}' (it has: {known}).")
    if named.vps.storage != vps.storage:
        raise VpsError(f"name: snapshot '{named.name}' is of storage {named.vps.storage}, and VPS '{vps.name}' has {vps.storage}; choose another one.")
    if desired.settled:
        return Plan(_restoration(named, actual, actual.vps).changes) if desired.restore else Plan()
    refuse_protected(vps, f"rolled back to snapshot '{named.name}'")
    runs = actual.vps.run != STOPPED
    if runs and desired.wait == "booted" and named.vps.init == OTHER_INIT:
        raise VpsError("wait: this VPS's init has no way to say that it has booted; wait for network or running instead.")
    restored = Plan()
    if desired.restore:
        still = replace(actual.vps, vps=vps, run=STOPPED, pid=None, at_restart=frozenset(), live=Live(), disk=actual.disk)
        restored = _restoration(named, actual, still)
    update = next((step for step in restored.steps if isinstance(step, Update)), None)
    # What boots is what is in the snapshot, and how it is stopped goes by that.
    target = replace(update.vps if update else vps, template=named.vps.template, init=named.vps.init, build=named.vps.build)
    if update or target != vps:
        options = (update.options if update else actual.vps.stale) | {"configuration"}
        update = Update(target, frozenset(options) - set(IDENTITY))
    unwritten = {option for option in IDENTITY if getattr(named.vps, option) != getattr(target, option) or option in named.vps.unfinished}
    keep = None
    if desired.kept is not None:
        keep = _snapshot(desired, _free_name(desired.kept, {one.name for one in actual.snapshots} | set(actual.unread)),
                         description=f"before it was rolled back to {named.name}")
    changes = [Change("state", "present", "rolled_back")]
    if runs:
        changes.append(Change("vps", "started" if actual.vps.run == RUNNING else FROZEN, "restarted"))
    if keep:
        changes.append(Change(f"snapshots.{keep.name}", "absent", "present"))
    changes += [replace(change, effect=LIVE) if runs else change for change in restored.changes]
    steps: list[object] = [RollBack(target, named.name, frozenset(unwritten), update, keep, runs, desired.stop_timeout)]
    if runs:
        steps.append(Wait(vps.name, desired.wait, desired.wait_timeout))
    if actual.vps.run == FROZEN:
        steps.append(Freeze(vps.name))
    return Plan(tuple(changes), tuple(steps), warnings=restored.warnings if desired.restore else disk.warnings(actual.disk))


def _restoration(named: Snapshot, actual: SnapshotsActual, still: Actual) -> Plan:
    """What vps_container would do for a task that names all that was recorded with the snapshot."""
    options = {option: getattr(named.vps, option) for option in RESTORED}
    try:
        return container.compare(container.Desired(named.vps.name, "present", options), still)
    except VpsError as error:
        raise VpsError(f"restore_configuration: it cannot be as it was: {error}", **error.details) from None


def _free_name(name: str, taken: Collection[str]) -> str:
    return parse.parse_name(free_name(name, taken), option="keep_current")
