# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that a node has besides its own: they are part of its settings, and the machine follows those."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from ..core import bridging, machine_plan
from ..core import networks as networks_
from ..core import plan as steps
from ..core.errors import VpsError
from ..core.machine import settled
from ..core.model import Vps
from ..core.networks import Network, NetworkActual
from ..core.places import SETTINGS
from ..core.settings import Settings
from . import configuration, engine, files, firewall, interfaces, network, rates, settings
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

    def read_network(self, name: str, *, asked: Collection[str] = ()) -> NetworkActual:
        """A network as it is, and what stands beside it; of bridges, where it has one or one is `asked` for."""
        known = settings.require()
        one = next((one for one in known.others if one.name == name), None)
        bridged = "bridge" in asked or (one is not None and one.bridge is not None)
        unread: dict[str, str] = {}
        vpss = Parts.of(known).reserved(unread)
        return NetworkActual(
            network=one,
            others=tuple(one for one in known.all_networks if one.name != name),
            attached=tuple(vps.name for vps in vpss if any(one.network == name for one in vps.interfaces)),
            bridges=interfaces.addresses() if bridged else {},
            filters=not bridged or firewall.takes(bridging.FILTERS),
            tracks=not bridged or firewall.takes(bridging.TRACKS),
            behind=known.followed is not None,
            used=None if unread else {address: vps.name for vps in vpss for address in vps.claimed},
            routes=tuple(network.connected()),
            own=frozenset(network.own_addresses()),
            interfaces=frozenset(network.interfaces()),
        )

    def users(self, one: Network) -> dict[str, str]:
        """Address → who has it, of a network."""
        vpss = Parts.of(settings.require()).reserved({})
        claims = {address: vps.name for vps in vpss for address in vps.all_addresses}
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
            before = known if known.followed is None else replace(known, others=known.followed)  # which a killed run has left
            after = replace(known, others=tuple(sorted(others)), followed=before.others)
            _let_go(known, after)
            try:
                self._settle(after)
                interfaces.make_bridges()
            except VpsError:  # of what the kernel does not take nothing stays
                with suppress(VpsError):
                    self._settle(known)
                raise
            _follow(before, after)
            files.write(SETTINGS, replace(after, followed=None).to_text())
        return {}

    def _settle(self, known: Settings) -> None:
        """Write settings down, and have the machine follow."""
        files.write(SETTINGS, known.to_text())
        wish = settled(known)
        actual = self.read(wish)
        if actual.damaged:  # whose rules would not follow
            raise VpsError(actual.damaged)
        super().apply(machine_plan.compare(wish, actual))


def _let_go(before: Settings, after: Settings) -> None:
    """Of bridges of our making that no network has any more, and of the node's addresses there; before that is forgotten, should this run be killed."""
    stay = {one.bridge: one for one in after.others}
    for one in before.others:
        if one.made and one.bridge is not None:
            if one.bridge not in stay:
                interfaces.remove_bridge(one.bridge)
            else:
                interfaces.take_back(one.bridge, set(one.ends) - set(stay[one.bridge].ends))


def _follow(before: Settings, after: Settings) -> None:
    """VPSs that have addresses for which the node answers somewhere else now, or no more; and those that have other rates, or another way out."""
    parts, parts_before = Parts.of(after), Parts.of(before)
    for vps in parts.vps.all({}):
        was, now = (each.uplinks(vps) for each in (parts_before, parts))
        other = parts_before.rates(vps) != parts.rates(vps)
        if was != now or vps.interfaces or other:
            kept = parts.keepable(vps)
            configuration.write(kept, parts.vps.path(vps.name), parts.startup(kept), parts.networks)
            network.answer(was, now if network.is_up(vps) else {})
            if other:
                _hold(kept)
            pid = engine.status(vps.name).pid if vps.interfaces and network.is_up(vps) else None
            if pid is not None:
                with suppress(FileNotFoundError, ProcessLookupError):  # it has stopped meanwhile
                    interfaces.plug(vps, parts.networks)
                    interfaces.follow(vps, pid, parts_before.networks, parts.networks)


def _hold(vps: Vps) -> None:
    """To its rates; it may stop meanwhile, and then has them at its next start."""
    if network.is_up(vps):
        try:
            rates.write(vps)
        except VpsError:
            if network.is_up(vps):
                raise
    else:
        rates.forget(vps)
