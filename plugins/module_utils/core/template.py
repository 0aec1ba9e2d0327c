# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One template: from parameters to a wish, and from a wish and the template as it is to a plan.

Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import parse, template_life, template_sources, units
from .errors import VpsError
from .model import Template, plain
from .plan import BuildTemplate, Change, Plan, RemoveTemplate
from .template_life import ABSENT, EXPORTED, IMPORTED, LATEST, NOBODY, PRESENT, PRUNED, Desired, TemplateActual

# Raised when what a source puts into a template changes, so that templates made by an older release are built again.
RECIPES = {"minimal": 1, "debian": 2, "ubuntu": 2, "tarball": 1, "directory": 1, "lxc": 1, "oci": 1, "vps": 1}


def parse_template(params: Mapping[str, Any], *, now: float = 0.0) -> Desired:
    """The parameters of C(vps_template). `now` is in seconds since 1970."""
    state, name, source = params["state"], params.get("name"), params.get("source")
    _refuse_strangers(state, params)
    if state == ABSENT and name:
        return Desired(parse.parse_name(name), state, None)
    max_age = _max_age(params.get("max_age"))
    if state == PRUNED:
        return Desired(NOBODY, state, None, now, max_age, keep=tuple(parse.parse_name(str(one), option="keep") for one in params.get("keep") or ()))
    if not name:
        raise VpsError(f"name: needed with state {state}; it is that of the template.")
    name, verify = parse.parse_name(name), bool(params.get("verify"))
    if state in (EXPORTED, IMPORTED):
        bounds, digest = template_sources.parse_bounds(name, state, params)
        return Desired(name, state, None, now, verify=verify, path=bounds.path, sha256=digest, bounds=bounds)
    if source is None and (state == LATEST or verify):
        template_sources.refuse_options(params)
        return Desired(name, state, None, now, max_age, verify)
    return Desired(name, state, template_sources.parse_source(name, params), now, max_age, verify)


def _max_age(value: Any) -> int | None:
    """Seconds; None where the task says nothing."""
    if value in (None, ""):
        return None
    return units.parse_duration(value, option="max_age")


def _refuse_strangers(state: str, params: Mapping[str, Any]) -> None:
    """Options that mean nothing with a state, and would be taken for something."""
    for option, states in _OF_STATES.items():
        if params.get(option) not in (None, "", [], False) and state not in (*states, ABSENT):
            raise VpsError(f"{option}: it goes with state {' or '.join(states)}, and not with {state}; leave it out.")


_OF_STATES: Mapping[str, tuple[str, ...]] = {
    "max_age": (LATEST, PRUNED), "verify": (PRESENT, LATEST, IMPORTED), "keep": (PRUNED,), "source": (PRESENT, LATEST),
    "name": (PRESENT, LATEST, EXPORTED, IMPORTED),
}


def settled(desired: Desired) -> Desired:
    """The wish once it has been granted: what was just built is the latest."""
    return replace(desired, settled=True)


def checksum(template: Template) -> str:
    """SHA-256 of everything that decides the content, as hex."""
    inputs = {**template.inputs(), "recipe": RECIPES[template.source]}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def compare(desired: Desired, actual: TemplateActual) -> Plan:
    """The plan that gives the node the template as asked; raises VpsError for what cannot be."""
    manifest = actual.manifest
    if desired.state == ABSENT:
        return _remove(desired, actual)
    if desired.state == EXPORTED:
        return template_life.export(desired, actual)
    if desired.state == PRUNED:
        return template_life.prune(desired, actual)
    if desired.state == IMPORTED:
        found = actual.archive.manifest if actual.archive else None
        return template_life.import_(desired, actual, () if found is None else _options(manifest.template if manifest else None, found.template))
    wanted = desired.template or (manifest.template if manifest else None)
    if actual.damaged and (wanted is None or not desired.verify):
        raise VpsError(actual.damaged)
    if wanted is None:
        raise VpsError(f"source: needed, for there is no template '{desired.name}' yet that would be built anew.")
    changes = _changes(desired, actual, wanted)
    if not changes:
        return Plan()
    if desired.template is None and manifest is not None and manifest.imported:  # else a stranger's file could say what the node's root runs
        spoiled = f" and is not as it was ({actual.differences})" if actual.differences else ""
        raise VpsError(
            f"source: template '{desired.name}' was imported{spoiled}, and what its file says of its source is not followed here; "
            "name the source, or import it once more, with verify."
        )
    if actual.missing_tool:
        raise VpsError(f"source: {actual.missing_tool}")
    if actual.missing_input:
        raise VpsError(actual.missing_input)
    return Plan(changes, (BuildTemplate(wanted),))


def _remove(desired: Desired, actual: TemplateActual) -> Plan:
    if actual.manifest is None and not actual.damaged:
        return Plan()
    if actual.used_by:
        raise VpsError(f"name: template '{desired.name}' is in use by {', '.join(actual.used_by)}; remove those VPSs first.")
    return Plan((Change("state", "present", "absent"),), (RemoveTemplate(desired.name),))


def _changes(desired: Desired, actual: TemplateActual, wanted: Template) -> tuple[Change, ...]:
    """Why it is built, if it is."""
    manifest = actual.manifest
    if manifest is None:
        return template_life.damage(desired, actual) or (Change("state", "absent", "present"), *_options(None, wanted))
    if manifest.checksum != checksum(wanted):
        return _options(manifest.template, wanted) or (Change("recipe", "of an older release", RECIPES[wanted.source]),)
    if damage := template_life.damage(desired, actual):
        return damage
    fresh = desired.max_age is not None and template_life.age(manifest, desired.now) <= desired.max_age
    if desired.state == LATEST and not desired.settled and not fresh:
        return (Change("version", manifest.version, manifest.version + 1),)
    return ()


def _options(there: Template | None, wanted: Template) -> tuple[Change, ...]:
    """What differs in what two templates are made from."""
    before, after = _shown(there) if there else {}, _shown(wanted)
    return tuple(Change(option, before.get(option), after.get(option)) for option in {**after, **before} if before.get(option) != after.get(option))


def _shown(template: Template) -> dict[str, Any]:
    """Its inputs for people: lists as lists, and nothing for what is empty."""
    return {option: plain(value) or None for option, value in template.inputs().items() if value != ()}
