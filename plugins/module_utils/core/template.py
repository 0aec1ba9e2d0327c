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
from dataclasses import dataclass
from typing import Any

from . import parse, template_sources
from .errors import VpsError
from .model import Template, TemplateActual, plain
from .plan import BuildTemplate, Change, Plan, RemoveTemplate

# Raised when what a source puts into a template changes, so that templates made by an older release are built again.
RECIPES = {"minimal": 1, "debian": 1, "ubuntu": 1, "tarball": 1, "directory": 1, "lxc": 1, "oci": 1, "vps": 1}


@dataclass(frozen=True)
class Desired:
    """What a playbook asks of one template; no `template` where it only asks for absence."""

    name: str
    state: str
    template: Template | None


def parse_template(params: Mapping[str, Any]) -> Desired:
    """The parameters of C(vps_template)."""
    name = parse.parse_name(params["name"])
    if params["state"] == "absent":
        return Desired(name, "absent", None)
    return Desired(name, "present", template_sources.parse_source(name, params))


def checksum(template: Template) -> str:
    """SHA-256 of everything that decides the content, as hex."""
    inputs = {**template.inputs(), "recipe": RECIPES[template.source]}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def compare(desired: Desired, actual: TemplateActual) -> Plan:
    """The plan that gives the node the template as asked; raises VpsError for what cannot be."""
    manifest, wanted = actual.manifest, desired.template
    if desired.state == "absent" or wanted is None:
        if manifest is None:
            return Plan()
        if actual.used_by:
            raise VpsError(f"name: template '{desired.name}' is in use by {', '.join(actual.used_by)}; remove those VPSs first.")
        return Plan((Change("state", "present", "absent"),), (RemoveTemplate(desired.name),))
    if manifest is not None and manifest.checksum == checksum(wanted):
        return Plan()
    if actual.missing_tool:
        raise VpsError(f"source: {actual.missing_tool}")
    if actual.missing_input:
        raise VpsError(actual.missing_input)
    before = _shown(manifest.template) if manifest else {}
    after = _shown(wanted)
    changes = [] if manifest else [Change("state", "absent", "present")]
    changes += [Change(option, before.get(option), after.get(option)) for option in {**after, **before} if before.get(option) != after.get(option)]
    if not changes:
        changes = [Change("recipe", "of an older release", RECIPES[wanted.source])]
    return Plan(tuple(changes), (BuildTemplate(wanted),))


def _shown(template: Template) -> dict[str, Any]:
    """Its inputs for people: lists as lists, and nothing for what is empty."""
    return {option: plain(value) or None for option, value in template.inputs().items() if value != ()}
