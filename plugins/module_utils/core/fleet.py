# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All VPSs of a node in one task: what a playbook asks, from its parameters to a wish for each VPS.

Pure. How they are compared is core/fleet_plan.py; in which order they are done, core/fleet_order.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import container, limits, machine, parse
from .command import Command, parse_command
from .container import Desired
from .errors import VpsError, printable, shown, written
from .limits import Limits

IGNORE, REPORT, STOP, ABSENT = "ignore", "report", "stop", "absent"
NONE, CHANGED, ALL = "none", "changed", "all"
# The sections of which a VPS's keys are laid over those of the defaults. All else that a VPS names takes the place of what they have.
SECTIONS = ("limits", "labels", "firewall", "rates")
# What says where a VPS's disk is from, one of which takes the place of the other.
ORIGINS = ("template", "clone_from")
MOST_WORKERS = 256
_MOST_NAMED = 3  # VPSs of which one thing is said


@dataclass(frozen=True)
class Health:
    """What is run in a VPS that was changed: it is well once that ends with 0. `delay` is in s."""

    command: Command
    retries: int = 0
    delay: int = 5


@dataclass(frozen=True)
class Wish:
    """What is asked of a node's VPSs. `places` are what an error calls each of them, in the order of the list.

    `plans` are laid over the node's for this task. `stop_timeout` (s) is that of VPSs that are not listed. `batch`, `max_failures` None: all at
    once, and without bound. `parallel` None: as many as suit the machine.
    """

    vpss: tuple[Desired, ...]
    places: tuple[str, ...]
    plans: Mapping[str, Limits] = field(default_factory=dict)
    unlisted: str = IGNORE
    unlisted_max: int | None = None
    stop_timeout: int = 60
    parallel: int | None = None
    batch: int | None = None
    max_failures: int | None = None
    health: Health | None = None
    describe: str = NONE
    common_plan: str | None = None  # that of the defaults


def parse_fleet(params: Mapping[str, Any], fill: Callable[[dict[str, Any]], dict[str, Any]]) -> Wish:
    """The parameters of C(vps_fleet); `fill` adds the defaults of vps_container's options.

    Raises VpsError that names the VPS and its option; what is wrong with the other VPSs is in its details.
    """
    defaults = {name: value for name, value in (params["defaults"] or {}).items() if value is not None}
    wishes: list[Desired] = []
    places: list[str] = []
    first: dict[str, str] = {}
    wrong: list[tuple[str, str]] = []
    for number, section in enumerate(params["vps"]):
        place = f"vps[{number}] ({printable(section.get('name') or 'without a name', 40)})"
        try:
            if not section.get("name"):
                raise VpsError("name: is needed; say it.")
            one = container.parse_container(fill(merge(defaults, section)))
            if one.name in first:
                raise VpsError(f"name: is listed twice, {first[one.name]} is the other one; leave one of them out.")
        except VpsError as error:
            wrong.append((place, str(error)))
            continue
        first[one.name] = f"vps[{number}]"
        wishes.append(one)
        places.append(place)
    if wrong:
        common = _wrong_in(defaults, fill)
        message, refused = refusal([("", f"defaults.{text}") if text in common else (place, text) for place, text in wrong])
        raise VpsError(message, refused=refused)
    unlisted, most = params["unlisted"], _whole(params["unlisted_max"], "unlisted_max", 0)
    if unlisted == ABSENT and most is None:
        raise VpsError("unlisted_max: needed with unlisted absent, which removes VPSs with their data; say how many may go at most.")
    _refuse_idle(params)
    plan = (defaults.get("limits") or {}).get("plan")
    batch, failures = _whole(params["batch"], "batch", 1), _whole(params["max_failures"], "max_failures", 0)
    return Wish(
        vpss=tuple(wishes),
        places=tuple(places),
        plans=machine.parse_plans(params["plans"]) if params["plans"] else {},
        unlisted=unlisted,
        unlisted_max=most,
        stop_timeout=parse.parse_seconds(fill(defaults)["stop_timeout"], option="defaults.stop_timeout"),
        parallel=_whole(params["parallel"], "parallel", 1, MOST_WORKERS),
        batch=batch,
        max_failures=0 if failures is None and batch is not None else failures,
        health=_parse_health(params["health"]),
        describe=params["describe"],
        common_plan=None if plan is None else written(plan),
    )


def _refuse_idle(params: Mapping[str, Any]) -> None:
    """Raise VpsError for a bound that would bound nothing: who gives it relies on it."""
    if params["max_failures"] is not None and params["batch"] is None and params["health"] is None:
        raise VpsError("max_failures: bounds nothing where all VPSs are changed at once; give batch or health too, or leave it out.")
    unlisted = params["unlisted"]
    if params["unlisted_max"] is not None and unlisted not in (ABSENT, REPORT):
        raise VpsError(f"unlisted_max: bounds how many VPSs are removed, and with unlisted {unlisted} none are; set unlisted to absent, or leave it out.")


def _wrong_in(defaults: Mapping[str, Any], fill: Callable[[dict[str, Any]], dict[str, Any]]) -> set[str]:
    """What an error says of any VPS that takes its options from the defaults, with a section of its own beside one of theirs or without."""
    found = set()
    empty: dict[str, Any] = {name: {} for name in SECTIONS if name in defaults}
    for own in ({}, empty):
        try:
            container.parse_container(fill(merge(defaults, {"name": "any", **own})))
        except VpsError as error:
            found.add(str(error))
    return found


def refusal(wrong: Iterable[tuple[str, str]]) -> tuple[str, list[str]]:
    """The message of a task that is refused, of (place, what is wrong there), and what its result says of all, each thing once.

    The place is empty where the text names it itself.
    """
    about: dict[str, list[str]] = {}
    for place, text in wrong:
        about.setdefault(text, []).append(place)
    told = [(places[0], some(list(places)), text) for text, places in about.items()]
    lines = [(f"{one}: {text}", f"{all_}: {text}") if one else (text, text) for one, all_, text in told]
    return lines[0][0], [line for _first, line in lines]


def some(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def merge(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a VPS is asked to have: its own options in place of the defaults; in a section, its own keys in place of theirs.

    A key of a section that is null takes the defaults' away. Raises VpsError for a limit that one section names twice.
    """
    found = dict(defaults)
    if any(own.get(name) is not None for name in ORIGINS):
        for name in ORIGINS:
            found.pop(name, None)
    for name, value in own.items():
        if value is not None:
            found[name] = value
    for name in SECTIONS:
        below, above = defaults.get(name), own.get(name)
        if isinstance(below, Mapping) and isinstance(above, Mapping):
            joined = {**_keyed(name, below), **_keyed(name, above)}
            found[name] = {key: value for key, value in joined.items() if value is not None}
    return found


def _keyed(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A limit has more than one word."""
    return limits.by_real_names(values, prefix="limits.") if section == "limits" else dict(values)


def _whole(value: int | None, option: str, least: int, most: int = 1_000_000) -> int | None:
    if value is not None and not least <= value <= most:
        raise VpsError(f"{option}: {written(value)} is out of range; give {least} to {most}.")
    return value


def _parse_health(section: Mapping[str, Any] | None) -> Health | None:
    if section is None:
        return None
    blank = dict.fromkeys(("argv", "script", "executable", "chdir", "environment", "stdin", "creates", "removes"))
    try:
        command = parse_command({**blank, "name": "any", "stdin_add_newline": False, **section})
        retries, delay = _whole(section["retries"], "retries", 0, 1000), parse.parse_seconds(section["delay"], option="delay")
    except VpsError as error:
        raise VpsError(f"health.{error}") from None
    return Health(command, retries or 0, delay)


def settled(wish: Wish) -> Wish:
    """The wish as it stands once it has been granted."""
    return replace(wish, vpss=tuple(container.settled(one) for one in wish.vpss))


def refuse_too_many(wish: Wish, gone: Sequence[str]) -> None:
    """Raise VpsError where more VPSs that are not listed would be removed than may be."""
    most = wish.unlisted_max
    if most is None or len(gone) <= most:
        return
    some = ", ".join(gone[:8]) + (", …" if len(gone) > 8 else "")
    raise VpsError(
        f"unlisted: {len(gone)} VPSs of this node are not listed ({some}), and unlisted_max lets {most} of them be removed; nothing was touched. "
        "List those that are to stay, or raise unlisted_max."
    )


def by_name(wish: Wish, name: str) -> str:
    """What an error calls a VPS."""
    found = next((place for one, place in zip(wish.vpss, wish.places) if one.name == name), None)
    return found or f"unlisted ({shown(name)[1:-1]})"


def blame(wish: Wish, name: str, text: str) -> tuple[str, str]:
    """(place, what is wrong there) of an error of one VPS: the defaults, where the plan that there is not is theirs."""
    asked = next((one.options.get("limits") for one in wish.vpss if one.name == name), None) if text.startswith("limits.plan: ") else None
    if asked is not None and asked.plan == wish.common_plan:
        return "", f"defaults.{text}"
    return by_name(wish, name), text
