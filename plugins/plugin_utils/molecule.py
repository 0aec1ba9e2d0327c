# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Molecule calls platforms, as VPSs: their names, the label by which those of a scenario are found again, and what they have if nobody says.

Pure. Nothing is remembered: names and label come from where the scenario is, so that a run finds what a killed one has left.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError, printable, shown
from ansible_collections.mainline.vps.plugins.module_utils.options import CONTAINER
from ansible_collections.mainline.vps.plugins.plugin_utils.given import guess

LABEL = "molecule"  # its value is the scenario's
PREFIX = "mo"
MOLECULES = {"name", "groups", "children"}  # keys of a platform that are Molecule's own
OURS = {"state"}  # options that a platform cannot have: an instance runs, until it is destroyed
_SCENARIO, _INSTANCE, _DIGITS = 20, 30, 6  # characters of a VPS's name; 63 with the rest is the most
_DEFAULTS: dict[str, Any] = {"addresses": [{"pool": "default"}], "wait": "booted", "wait_timeout": 300, "stop_timeout": 0}


def label_of(scenario: str, directory: str, owner: str) -> str:
    """The value of the label of a scenario's VPSs: twelve hexadecimal digits, others for another scenario, checkout or controller."""
    return _digest(scenario, directory, owner)[:12]


def instances(platforms: object, *, scenario: str, directory: str, owner: str, template: str) -> list[dict[str, Any]]:
    """The C(instance) of each platform, and its C(vps) as vps_fleet takes it. Raises VpsError for what is no platform of ours."""
    if isinstance(platforms, (str, Mapping)) or not isinstance(platforms, Sequence) or not all(isinstance(one, Mapping) for one in platforms):
        raise VpsError("platforms: give a list of platforms, as molecule.yml has them.")
    names = [str(one.get("name") or "") for one in platforms]
    for name, often in Counter(names).items():
        if not name:
            raise VpsError("platforms: one of them has no name; each instance needs one.")
        if often > 1:
            raise VpsError(f"platforms: {often} are called {shown(name)}; give each a name of its own.")
    label = label_of(scenario, directory, owner)
    about = printable(f"Molecule on {owner}: {scenario} of {directory}", 250)
    common = {**_DEFAULTS, "template": template, "description": about, "firewall": {"in": {"rules": [{"from": [f"label:{LABEL}={label}"]}]}}}
    return [{"instance": name, "vps": _vps(platform, name, scenario, label, common)} for name, platform in zip(names, platforms)]


def _vps(platform: Mapping[str, Any], name: str, scenario: str, label: str, common: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in platform.items() if key not in MOLECULES}
    for key in given:
        if key not in CONTAINER or key in OURS:
            raise VpsError(f"platforms[{printable(name, 60)}].{printable(key, 60)}: {_why_not(str(key), name)}")
    labels = given.get("labels") or {}
    if not isinstance(labels, Mapping):
        raise VpsError(f"platforms[{printable(name, 60)}].labels: {shown(labels)} is no set of labels; write for example {{tier: web}}.")
    if "clone_from" in given:  # which brings its template along
        common = {key: value for key, value in common.items() if key != "template"}
    if any(isinstance(link, Mapping) and link.get("name") == "eth0" for link in given.get("interfaces") or ()):
        common = {**common, "addresses": []}  # which that interface takes the place of
    own = {"name": vps_name(scenario, name, label), "hostname": _plain(name, 63) or PREFIX, "state": "started"}
    return {**common, **own, **given, **{"name": own["name"], "labels": {**labels, LABEL: label}}}


def _why_not(key: str, name: str) -> str:
    if key in OURS:
        return "an instance is started when it is made, and gone when it is destroyed; leave it out."
    meant = guess(key, set(CONTAINER) - OURS | MOLECULES)
    return f"there is no such option of a VPS; {meant}`ansible-doc mainline.vps.vps_container` has those that there are."


def vps_name(scenario: str, instance: str, label: str) -> str:
    """What an instance's VPS is called: people see what it is, and the digits at the end tell it from all others."""
    parts = [PREFIX, _plain(scenario, _SCENARIO), _plain(instance, _INSTANCE), _digest(label, instance)[:_DIGITS]]
    return "-".join(part for part in parts if part)


def _plain(text: str, length: int) -> str:
    """What of a text a name can have."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:length].strip("-")


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()
