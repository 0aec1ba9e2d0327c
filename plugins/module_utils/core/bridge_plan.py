# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a machine's plan that is of bridges: those of our making, and the rules for what passes any.

Pure. The rest, and what a change with its steps is, is core/machine_plan.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import bridging, machine
from .machine import Actual
from .networks import Network, bridges_of
from .settings import Settings

if TYPE_CHECKING:
    from .machine_plan import Items

_NONE = "absent"


def bridges(items: Items, actual: Actual) -> None:
    """Those of our making; how they are is vps_network's to say."""
    others = actual.settings.others if actual.settings else ()
    items.own_file("bridges", bridging.script(others))
    missing = sorted(set(bridges_of(others, made=True).values()) - actual.links)
    if missing:
        items.add("bridges", _NONE, missing, machine.MakeBridges())


def rules(items: Items, networks: Sequence[Network], actual: Actual) -> None:
    """The table of what passes bridges, where VPSs are at any."""
    passing = bridging.bridging(networks, actual.vpss or ())
    items.own_file("bridged", None if passing is None else passing.text)
    if passing is not None and actual.passing != (passing.mark, passing.rules):
        items.add("firewall_bridged", _NONE if actual.passing is None else "other rules", "loaded", machine.SetPassing(passing.text))
    elif passing is None and actual.passing is not None:
        items.add("firewall_bridged", "other rules", _NONE, machine.SetRules(bridging.NO_RULES))


def remove(items: Items, settings: Settings, actual: Actual) -> None:
    """Both, with the node."""
    if actual.passing is not None:
        items.add("firewall_bridged", "loaded", _NONE, machine.SetRules(bridging.NO_RULES))
    for bridge in sorted(set(bridges_of(settings.others, made=True).values()) & actual.links):
        items.add("bridges", bridge, None, machine.RemoveBridge(bridge))
