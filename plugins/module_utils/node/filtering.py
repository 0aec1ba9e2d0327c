# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet filter after a change of a VPS's record: made anew from all of them, and replaced in one step."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..core.bridging import NO_RULES, bridging
from ..core.errors import VpsError
from ..core.places import BRIDGED, FILTER, NETWORK, PACKET_FILTER
from ..core.ruleset import Ruleset, ruleset
from . import files, firewall, locks, network
from .parts import Parts

_PATIENCE = 10  # s
OPTIONS = frozenset({"addresses", "labels", "isolated", "firewall", "publish", "interfaces", PACKET_FILTER})  # that it is made from


@contextmanager
def following(parts: Parts, *, when: bool = True, bridged: bool = False) -> Iterator[None]:
    """Change records within: the packet filter follows, after a run that is killed by the next one, and after one that is refused too.

    `bridged`: of a VPS that is at a bridge.
    """
    if not when or parts.together is not None:  # which follows all of them
        yield
        return
    with open(_mark(parts), "w", encoding="ascii"):
        pass
    try:
        yield
    except BaseException:
        with suppress(VpsError):  # the first error is the one to tell
            refresh(parts)
        raise
    if was_left(parts):  # and nobody within has seen to it
        refresh(parts, bridged=bridged)


def refresh(parts: Parts, *, bridged: bool = False) -> dict[str, str]:
    """Have the kernel, and the files that it gets at the next boot, say what the records say.

    As long as one cannot be read, all stays as it is, and the next run tries again: without its rules that VPS would be cut off. Gives why,
    by the VPS's name. What the kernel does not take of bridges is an error for who is at one (`bridged`), and keeps back no other.
    """
    unread: dict[str, str] = {}
    with locks.hold("node", FILTER, timeout=parts.lock_timeout, again=True):
        networks, vpss = parts.settings.all_networks, parts.vps.all(unread)
        rules, passing = ruleset(networks, vpss), bridging(networks, vpss)
        if unread:
            return unread
        refused = _refresh_bridged(passing)
        if not network.has_rules(rules.mark):
            firewall.load(rules.text)
        if files.read(NETWORK) != rules.text:  # last: what the kernel does not take is not for the next boot either
            files.write(NETWORK, rules.text)
        if refused is not None:
            if bridged:
                raise refused
            return {"bridges": str(refused)}
        with suppress(FileNotFoundError):
            os.unlink(_mark(parts))
    return unread


def _refresh_bridged(passing: Ruleset | None) -> VpsError | None:
    """The same of what passes bridges. Gives why the kernel does not take it."""
    if passing is None:
        if os.path.exists(BRIDGED):
            with suppress(VpsError):  # of a kernel that has no table there either
                firewall.load(NO_RULES)
            os.unlink(BRIDGED)
        return None
    try:
        if not network.has_rules(passing.mark, "bridge"):
            firewall.load(passing.text)
    except VpsError as error:
        why = str(error).rstrip(".")
        return VpsError(f"interfaces: the kernel does not take what holds VPSs at bridges ({why}); run vps_network for their networks again.", **error.details)
    if files.read(BRIDGED) != passing.text:
        files.write(BRIDGED, passing.text)
    return None


def in_force(*, bridged: bool) -> bool:
    """Whether the packet filter is as it was written down last. Whoever is just replacing it is waited for: the two differ for a moment."""
    missed, deadline = 0, time.monotonic() + _PATIENCE
    while missed < 2 and time.monotonic() < deadline:  # twice: somebody may have come and gone while we looked
        if network.rules_in_force(bridged=bridged):
            return True
        missed = 0 if locks.is_held("node", FILTER) else missed + 1
        time.sleep(0.01)
    return False


def was_left(parts: Parts) -> bool:
    """Whether a killed run has changed a record, and not come to this."""
    return os.path.exists(_mark(parts))


def _mark(parts: Parts) -> str:
    return os.path.join(parts.settings.pool, "rules-changed")
