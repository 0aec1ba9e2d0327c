# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node has answered to the inventory: read from what it printed, looked at, and told as variables.

Pure. A node is not the controller: nothing that it says is believed before its form is that of a record, and no text of it is ever a template.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mainline.vps.plugins.module_utils.core import limits
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import NOT_OURS, VpsError, shown
from ansible_collections.mainline.vps.plugins.module_utils.core.model import FROZEN, STOPPED, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.parse import parse_name
from ansible_collections.mainline.vps.plugins.module_utils.core.reinstall import RESCUE, word
from ansible_collections.mainline.vps.plugins.plugin_utils.node_listing import MARK, TOLD

STARTED = "started"
STATES = (STARTED, STOPPED, FROZEN, RESCUE)
# LXC's words, as node/engine.py takes them; one that starts, stops or is unknown to LXC does not run.
_LXC = {"RUNNING": STARTED, "FROZEN": FROZEN, "FREEZING": FROZEN, "THAWED": STARTED}


@dataclass(frozen=True)
class Guest:
    """A VPS as its node tells it. `state` is one of STATES."""

    vps: Vps
    state: str

    def variables(self) -> dict[str, Any]:
        """What its host in the inventory knows of it: no secret is among it."""
        vps = self.vps
        return {
            "vps_name": vps.name,
            "vps_state": self.state,
            "vps_template": vps.template,
            "vps_plan": vps.plan,
            "vps_labels": dict(vps.labels),
            "vps_hostname": vps.hostname,
            "vps_addresses": list(vps.addresses),
            "vps_interfaces": [one.named for one in vps.interfaces],
            "vps_nameservers": list(vps.nameservers),
            "vps_description": vps.description,
            "vps_privileged": vps.privileged,
            "vps_onboot": vps.onboot,
            "vps_boot_order": vps.boot_order,
            "vps_limits": limits.show(vps.limits),
            "vps_storage": vps.storage,
        }


@dataclass(frozen=True)
class Listing:
    """A node's VPSs, sorted by name, and why others of it could not be read."""

    guests: tuple[Guest, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)


def extract(output: str) -> dict:
    """The answer in what a node has printed, as plain data, which a cache can keep; raises VpsError, whose sentence is without the node's name."""
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if not lines:
        raise VpsError("it did not answer with a list of its VPSs; it needs Python 3 at its ansible_python_interpreter.")
    try:
        told = json.loads(_clean(lines[-1][len(MARK) :]))
        if not isinstance(told, dict):
            raise ValueError("it is no JSON object")
    except NOT_OURS as error:
        raise VpsError(f"its answer is no list of VPSs ({shown(error)}).") from None
    if isinstance(told.get("error"), str):
        raise VpsError(f"{_one_line(told['error'])}.")
    return told


def parse(told: Mapping) -> Listing:
    """What an answer says; raises VpsError, whose sentence is without the node's name."""
    try:
        unread = {_one_line(name): _one_line(reason) for name, reason in told.get("unread", {}).items()}
        records, states = dict(told["vpss"]), dict(told["states"])
    except NOT_OURS as error:
        raise VpsError(f"its answer is no list of VPSs ({shown(error)}).") from None
    guests = []
    for name in sorted(records):
        try:
            guests.append(_guest(name, records[name], states))
        except (VpsError, *NOT_OURS) as error:
            unread[_one_line(name)] = f"was not written by this release ({_one_line(error)})"
    return Listing(tuple(guests), unread)


def is_answer(told: object) -> bool:
    """Whether something that was kept can still be read as an answer."""
    try:
        parse(told)  # type: ignore[arg-type]
    except VpsError:
        return False
    return True


def _guest(name: str, record: Mapping, states: Mapping) -> Guest:
    """One VPS; raises VpsError, or one of NOT_OURS, for what is none."""
    parse_name(name)
    known = {key: record[key] for key in TOLD if key in record}
    vps = Vps.from_record(known)
    if vps.name != name:
        raise ValueError(f"name: it says {shown(vps.name)}")
    limits.show(vps.limits)  # a number of a wrong kind is found here, and not when somebody wants to see it
    return Guest(vps, word(_LXC.get(str(states.get(name)), STOPPED), vps))


def _clean(text: str) -> str:
    """JSON without what no terminal and no file of UTF-8 takes: half a surrogate pair, raw or as an escape."""
    return json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")


def _one_line(text: object) -> str:
    """Some words of the node's for a warning: printable, and not too many."""
    return "".join(character if character.isprintable() else " " for character in str(text))[:300].rstrip(". ")
