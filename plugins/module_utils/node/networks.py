# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that a node has besides its own: they are part of its settings, and the machine follows those."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..core import machine_plan
from ..core import networks as networks_
from ..core import plan as steps
from ..core.machine import settled
from ..core.networks import Network, NetworkActual
from ..core.places import SETTINGS
from ..core.settings import Settings
from . import configuration, files, network, settings
from .machine import Machine
from .parts import Parts


class Networks(Machine):
    """This node, as far as its networks go."""

    def require_usable(self) -> None:
        """Raise VpsError where this machine is no node, or we are not its root."""
        settings.require()

    @contextmanager
    def lock(self, kind: str, name: str, *, timeout: float) -> Iterator[None]:
        """Hold the machine's lock: its networks are in one file."""
        with super().lock("node", "settings", timeout=timeout):
            yield

    def read_network(self, name: str) -> NetworkActual:
        """A network as it is, and what stands beside it."""
        known = settings.require()
        unread: dict[str, str] = {}
        vpss = Parts.of(known).reserved(unread)
        return NetworkActual(
            network=next((one for one in known.others if one.name == name), None),
            others=tuple(one for one in known.all_networks if one.name != name),
            used=None if unread else {address: vps.name for vps in vpss for address in vps.claimed},
            routes=tuple(network.connected()),
            own=frozenset(network.own_addresses()),
            interfaces=frozenset(network.interfaces()),
        )

    def users(self, one: Network) -> dict[str, str]:
        """Address → who has it, of a network."""
        vpss = Parts.of(settings.require()).reserved({})
        claims = {address: vps.name for vps in vpss for address in vps.addresses}
        return {address: name for address, name in sorted(claims.items()) if networks_.of_address(address, [one]) is not None}

    def apply(self, plan: steps.Plan) -> dict[str, object]:
        """Write it down, and have the machine, and the VPSs that run, follow."""
        for step in plan.steps:
            known = settings.require()
            others = list(known.others)
            if isinstance(step, steps.SetNetwork):
                others = [one for one in others if one.name != step.network.name] + [step.network]
            elif isinstance(step, steps.RemoveNetwork):
                others = [one for one in others if one.name != step.name]
            after = replace(known, others=tuple(sorted(others)))
            files.write(SETTINGS, after.to_text())
            wish = settled(after)
            super().apply(machine_plan.compare(wish, self.read(wish)))
            _follow(known, after)
        return {}


def _follow(before: Settings, after: Settings) -> None:
    """VPSs that have addresses for which the node answers somewhere else now, or no more."""
    parts = Parts.of(after)
    for vps in parts.vps.all({}):
        was, now = (networks_.uplinks(vps.claimed, known.all_networks) for known in (before, after))
        if was != now:
            kept = parts.keepable(vps)
            configuration.write(kept, parts.vps.path(vps.name), parts.startup(kept), now)
            network.answer(was, now if network.is_up(vps) else {})
