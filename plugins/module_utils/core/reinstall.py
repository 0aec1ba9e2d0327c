# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS's disk is made of: a copy of another VPS's, a root file system that is made anew, the one before that, rescue.

Pure. Which of these a task asks, what it changes, and what is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from . import disk, parse, units
from .beancounters import BTRFS
from .errors import VpsError, shown
from .fidelity import enforced
from .model import IDENTITY, STOPPED, Actual, Kept, NodeFacts, Rescue, Vps
from .plan import LIVE, Change, DropPrevious, EnterRescue, GoBack, LeaveRescue, Reinstall

NEVER, IF_DIFFERS, ALWAYS, UNDO = "never", "if_template_differs", "always", "undo"
RESCUE = "rescue"
PLACE = "/mnt/disk"
NO_RESCUE = "state: rescue needs a pool on btrfs, and this node's is a directory; enter the stopped VPS with vps_command instead."
AGAIN = frozenset({*IDENTITY, "limits"})  # what a root file system has to be told that knows nothing of what was said since
STAYS = ("present", RESCUE)  # the states that leave a VPS in rescue
SERIES = "reinstall"  # of the snapshots that what is kept becomes: no other series counts them
LEAST_FREE = 32 << 20  # bytes in the pool below which no new root file system is made
_MOST_PATHS, _LONGEST = 64, 1024
_PLACE = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)+")
# Below these at the top a system has what it boots and runs by, which a disk that is mounted over it would hide; and in /tmp it mounts something itself.
_VITAL = re.compile(r"/(?:bin|sbin|lib[0-9a-z]*|usr|etc|proc|sys|dev|run|root|boot|efi|var|home|tmp|nix|gnu|snap|init)(?:/.*)?")


@dataclass(frozen=True)
class Wish:
    """What a task says of the disk. `keep_previous` None: nothing; a reinstall then keeps it.

    `rescue_template` None: the VPS's own; `rescue_path` None: /mnt/disk. A VPS that is in rescue keeps what it has then.
    """

    clone_from: str | None = None
    reinstall: str = NEVER
    keep_paths: tuple[str, ...] = ()
    keep_previous: bool | None = None
    rescue_template: str | None = None
    rescue_path: str | None = None


@dataclass(frozen=True)
class Moves:
    """What is to be done to a VPS's disk. `vps` is the VPS after it; `at_rest`, whether it has to be stopped for it.

    `again` are options that are the guest's own files or its disk's limits, which another root file system has to be given.
    """

    vps: Vps
    changes: tuple[Change, ...] = ()
    steps: tuple[object, ...] = ()
    at_rest: bool = False
    again: frozenset[str] = frozenset()


def parse_wish(params: Mapping[str, Any]) -> Wish:
    """The options of C(vps_container) that are about it."""
    source = params["clone_from"]
    if source is not None:
        parse.parse_name(source, option="clone_from")
        if params["template"] is not None:
            raise VpsError("clone_from: a copy has the template of its source; leave out template, or clone_from.")
    template = params["rescue_template"]
    return Wish(
        clone_from=source,
        reinstall=params["reinstall"],
        keep_paths=_parse_paths(params["keep_paths"]),
        keep_previous=params["keep_previous"],
        rescue_template=None if template is None else parse.parse_name(template, option="rescue_template"),
        rescue_path=None if params["rescue_path"] is None else _parse_place(params["rescue_path"]),
    )


def _parse_paths(values: Iterable[object]) -> tuple[str, ...]:
    """Paths in a guest, none of which is within another: what is kept replaces what the template has there."""
    paths: list[str] = []
    for value in values:
        text = str(value)
        path = text.rstrip("/")
        parts = path.split("/")[1:]
        if not text.startswith("/") or len(text) > _LONGEST or not text.isprintable() or not parts or any(part in ("", ".", "..") for part in parts):
            raise VpsError(f"keep_paths: {shown(text)} is no path in the VPS that could be kept; write it whole, as in /srv or /etc/ssh.")
        if path not in paths:
            paths.append(path)
    for path in paths:
        outer = next((other for other in paths if path.startswith(f"{other}/")), None)
        if outer is not None:
            raise VpsError(f"keep_paths: {shown(path)} is kept with {shown(outer)} already; leave it out.")
    if len(paths) > _MOST_PATHS:
        raise VpsError(f"keep_paths: {len(paths)} paths are too many; name up to {_MOST_PATHS}, or a folder above them.")
    return tuple(paths)


def _parse_place(text: str) -> str:
    if not _PLACE.fullmatch(text) or len(text) > 255:
        raise VpsError(f"rescue_path: {shown(text)} cannot be used; it is a path such as /mnt/disk, of letters, digits, '_', '-' and '.'.")
    if _VITAL.fullmatch(text):
        raise VpsError(f"rescue_path: {shown(text)} would hide what the rescue system needs; name a place in /mnt or /srv, or a new one such as /disk.")
    return text


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or the first of NAME-2, NAME-3 … that no snapshot has: nothing that was kept is given up for it."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found


def name_of_snapshot(previous: Kept, taken: Collection[str]) -> str:
    """Of what the snapshot has that a root file system becomes when another one is kept in its place; `taken` are those that there are."""
    return free_name(f"before-reinstall-{datetime.fromisoformat(previous.since):%Y%m%d-%H%M%S}", taken)


def settled(wish: Wish) -> Wish:
    """The wish as it stands once it has been granted."""
    return replace(wish, reinstall=wish.reinstall if wish.reinstall == IF_DIFFERS else NEVER)


# -- a new VPS ---------------------------------------------------------------------------------------------------------


def source_of(wish: Wish, name: str, options: Mapping[str, Any], node: NodeFacts) -> Vps | None:
    """The VPS that a new one is to be a copy of; None where it is made from a template. Raises VpsError where it cannot be."""
    if wish.clone_from is None:
        return None
    source = node.source
    if wish.clone_from == name or source is None:
        raise VpsError(f"clone_from: there is no VPS '{wish.clone_from}' on this node to make '{name}' a copy of.")
    if options.get("storage", source.storage) != source.storage:
        raise VpsError(f"storage: VPS '{source.name}' has its disk on {source.storage}, and so has a copy of it; leave the option out.")
    return source


def base_of(name: str, template: str | None, source: Vps | None, node: NodeFacts) -> dict[str, Any]:
    """What a new VPS has of its template, or of the VPS that it is a copy of: what is on that one's disk. Who that is among others is not of it."""
    if source is not None:
        return {name: getattr(source, name) for name in ({"template", "init", "storage", "build"} | set(IDENTITY)) - {"hostname"}}
    if template is None:
        raise VpsError(f"template: needed, because there is no VPS '{name}' yet.")
    return {"template": template, "init": known_template(template, node)}


def check_copy(source: Vps, vps: Vps, node: NodeFacts) -> None:
    """Refuse limits that what is on the source's disk would not fit into."""
    kept = enforced(vps.limits, node.abilities)
    if source.storage != BTRFS:
        disk.check_new(kept, node.abilities, least=node.source_size)
    elif (kept.disk_bytes() or node.source_size) < node.source_size:
        used = units.format_size(-(-node.source_size >> 20) << 20)
        raise VpsError(f"limits.diskspace: VPS '{source.name}' has {used} on its disk, which a copy of it has too; ask for as much.")


def check_room(node: NodeFacts, what: str) -> None:
    """Refuse to make one more root file system in a pool that is full; `what` is what there is no room for, with its option."""
    if node.free_bytes < LEAST_FREE:
        raise VpsError(
            f"{what.partition(': ')[0]}: the pool is full ({units.format_size(max(0, node.free_bytes))} free), there is no room for "
            f"{what.partition(': ')[2]}; enlarge the pool or remove a VPS."
        )


def known_template(name: str, node: NodeFacts, *, option: str = "template") -> str:
    """The kind of the init of a template; raises VpsError where there is none of that name."""
    if name not in node.templates:
        known = ", ".join(sorted(node.templates)) or "none yet; make one with vps_template"
        raise VpsError(f"{option}: there is no template '{name}' on this node (there is: {known}).")
    return node.templates[name]


# -- one that there is -------------------------------------------------------------------------------------------------


def moves(wish: Wish, template: str | None, state: str, actual: Actual, recorded: Vps) -> Moves:
    """What is to be done to the disk of a VPS that there is, whose template is to be `template`, if any; raises VpsError for what cannot be."""
    found = _root(wish, template, actual, recorded)
    if found.at_rest and recorded.rescue is not None and state in STAYS:
        raise VpsError(f"reinstall: VPS '{recorded.name}' is in rescue, with its disk in use; end that with state started or stopped in the same task.")
    return _rescue(wish, state, actual, found)


def _root(wish: Wish, template: str | None, actual: Actual, recorded: Vps) -> Moves:
    policy = wish.reinstall
    if template not in (None, recorded.template) and policy in (NEVER, UNDO):
        raise VpsError(
            f"template: VPS '{recorded.name}' was made from '{recorded.template}' and cannot change to '{template}'; "
            "set reinstall to if_template_differs to have its disk made anew, remove the VPS first, or leave the option out."
        )
    if policy == UNDO and actual.previous is not None:
        return _go_back(actual, recorded, actual.previous)
    if policy == ALWAYS or (policy == IF_DIFFERS and template not in (None, recorded.template)):
        return _reinstall(wish, template or recorded.template, actual, recorded)
    if wish.keep_previous is False and actual.previous is not None:
        return Moves(recorded, (Change("previous", actual.previous.template, None),), (DropPrevious(recorded.name),))
    return Moves(recorded)


def _reinstall(wish: Wish, template: str, actual: Actual, recorded: Vps) -> Moves:
    refuse_protected(recorded, "reinstalled")
    init = known_template(template, actual.node)
    can = actual.node.abilities
    disk.check_new(enforced(recorded.limits, can), can, least=actual.node.images.get(template, 0))
    check_room(actual.node, f"reinstall: another root file system of VPS '{recorded.name}'")
    keeps = wish.keep_previous is not False
    changes = [Change("root", recorded.template, f"{template}, made anew")]
    if template != recorded.template:
        changes.insert(0, Change("template", recorded.template, template))
    before, after = actual.previous and actual.previous.template, recorded.template if keeps else None
    if before != after:
        changes.append(Change("previous", before, after))
    if keeps and actual.previous is not None:
        changes.append(Change(f"snapshots.{actual.previous_becomes}", "absent", "present"))
    step = Reinstall(recorded.name, template, init, wish.keep_paths, keeps)
    return Moves(replace(recorded, template=template, init=init, build=None), _felt(changes, actual), (step,), at_rest=True)


def _go_back(actual: Actual, recorded: Vps, previous: Kept) -> Moves:
    """The guest's own files are then as they were; what the playbook has said since of who it is has to be said again."""
    refuse_protected(recorded, "put back to what it was")
    changes = [Change("root", recorded.template, f"{previous.template}, as before"), Change("previous", previous.template, None)]
    if previous.template != recorded.template:
        changes.insert(0, Change("template", recorded.template, previous.template))
    return Moves(
        replace(recorded, template=previous.template, init=previous.init, build=previous.build), _felt(changes, actual), (GoBack(recorded.name),), at_rest=True,
        again=AGAIN,
    )


def refuse_protected(vps: Vps, what: str) -> None:
    """Raise VpsError where what is on a VPS's disk now is not to be given up; `what` would be done to the VPS."""
    if vps.protected:
        raise VpsError(f"protected: VPS '{vps.name}' is protected, and is not {what}; set protected to false first, in a task of its own.")


def _rescue(wish: Wish, state: str, actual: Actual, found: Moves) -> Moves:
    vps, before = found.vps, found.vps.rescue
    if state == RESCUE:
        template = wish.rescue_template or (before.template if before else vps.template)
        place = wish.rescue_path or (before.place if before else PLACE)
        after = before
        if before is None or (template, place) != (before.template, before.place):
            if BTRFS not in actual.node.storages:
                raise VpsError(NO_RESCUE)
            option = "rescue_template" if wish.rescue_template else "template"
            after = Rescue(template, known_template(template, actual.node, option=option), place)
            check_room(actual.node, f"state: what VPS '{vps.name}' is to boot in rescue")
        step: object = EnterRescue(vps.name, after) if after is not None else None
    else:
        after, step = before if state in STAYS else None, LeaveRescue(vps.name)
    if after == before:
        return found
    change = Change("rescue", _told(before), _told(after))
    return replace(
        found, vps=replace(vps, rescue=after), changes=(*found.changes, *_felt([change], actual)), steps=(*found.steps, step), at_rest=True
    )


def _told(rescue: Rescue | None) -> str | None:
    return None if rescue is None else f"{rescue.template}, the disk at {rescue.place}"


def _felt(changes: list[Change], actual: Actual) -> tuple[Change, ...]:
    """A VPS is stopped for it: what is changed is felt when it has started."""
    effect = "start" if actual.run == STOPPED else LIVE
    return tuple(replace(change, effect=effect) for change in changes)


def check_leave(found: Moves, *, may_stop: bool) -> None:
    """A VPS that runs is stopped for another root file system by a task that says so, and by no other. Rescue is a state that says so."""
    if not may_stop and any(isinstance(step, (Reinstall, GoBack)) for step in found.steps):
        raise VpsError(
            f"reinstall: VPS '{found.vps.name}' runs, and has to be stopped for it; set restart_policy to if_needed, or state to restarted or stopped."
        )


def word(run_word: str, vps: Vps | None) -> str:
    """What people call the state of a VPS: one that runs in rescue is neither started nor stopped."""
    return RESCUE if run_word == "started" and vps is not None and vps.rescue is not None else run_word
