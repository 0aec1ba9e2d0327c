# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a VPS's link goes: a token bucket at each end of it. A change costs one `tc`, and drops no connection.

Document: tc-tbf(8), tc-mirred(8).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..core.errors import VpsError
from ..core.interfaces import links_of
from ..core.model import Vps
from ..core.places import link_of
from ..core.rates import LATENCY, Rates, bucket, observe
from . import devices, tools

Bucket = tuple[int, int]  # bytes/s, bytes
_MOST = 1 << 24  # bytes that tc prints: 300 for each device, of which a VPS has two


def _shaper(vps: Vps) -> str:
    """The device that what a VPS sends waits in for its turn: a queue holds back only what leaves by a device."""
    return f"{link_of(vps.id_base)}-out"


def start_lines(vps: Vps) -> list[str]:
    """Lines of shell that hold a new link to its rates."""
    if not any(vps.rates[:2]):
        return []
    lines = []
    if vps.rates.outgoing:
        lines.append(f"ip link show {_shaper(vps)} >/dev/null 2>&1 || ip link add {_shaper(vps)} type ifb")
        lines.append(f"ip link set {_shaper(vps)} up")
    return [*lines, "tc -batch - <<'END'", *_queues(vps), "END"]


def read(vps: Vps, known: Mapping[str, Bucket] | None = None) -> Rates:
    """How fast a running VPS's link goes, as the kernel holds it. `known` are the buckets of all links, where they have been read."""

    def held(link: str) -> Bucket | None:
        return buckets(link).get(link) if known is None else known.get(link)

    found = [observe(held(link), held(_shaper(vps)), vps.rates) for link in links_of(vps)]
    return next((rates for rates in found if rates != vps.rates), vps.rates)


def buckets(link: str | None = None) -> dict[str, Bucket]:
    """Device → its token bucket, of those that have one; of one device, where that is named."""
    code, output = tools.attempt(["tc", "-json", "qdisc", "show", *(() if link is None else ("dev", link))], limit=_MOST)
    queues = json.loads(output or "[]") if code == 0 else ()
    return {link or queue["dev"]: (queue["options"]["rate"], queue["options"]["burst"]) for queue in queues if queue.get("kind") == "tbf"}


def write(vps: Vps) -> None:
    """Hold the link of a running VPS to its rates, without a moment in which nothing passes."""
    shaper = _shaper(vps)
    if vps.rates.outgoing:
        if not devices.has(shaper) and tools.attempt(["ip", "link", "add", shaper, "type", "ifb"])[0] != 0:
            raise VpsError("rates.out: this kernel cannot hold back what a VPS sends, it has no ifb; leave it out, or install the module.")
        tools.run(["ip", "link", "set", shaper, "up"])
    else:
        for link in links_of(vps):
            tools.attempt(["tc", "qdisc", "delete", "dev", link, "ingress"])
        tools.attempt(["ip", "link", "delete", shaper])
    if not vps.rates.incoming:
        for link in links_of(vps):
            tools.attempt(["tc", "qdisc", "delete", "dev", link, "root"])
    if any(vps.rates[:2]):
        tools.run(["tc", "-batch", "-"], stdin="\n".join(_queues(vps)) + "\n")


def forget(vps: Vps) -> None:
    """Take away what of a VPS's link does not go with its end."""
    if devices.has(_shaper(vps)):
        tools.attempt(["ip", "link", "delete", _shaper(vps)])


def _queues(vps: Vps) -> list[str]:
    """Lines for `tc -batch`, in any state of the devices. What the VPS sends waits in one place, by whatever link it goes; what it is sent, at each."""
    shaper, lines = _shaper(vps), []
    for device, rate in (*((link, vps.rates.incoming) for link in links_of(vps)), (shaper, vps.rates.outgoing)):
        if rate:
            size, burst = bucket(rate, vps.rates.burst)
            lines.append(f"qdisc replace dev {device} root tbf rate {size * 8}bit burst {burst}b latency {LATENCY}ms")
    for interface in links_of(vps) if vps.rates.outgoing else ():
        lines.append(f"qdisc replace dev {interface} ingress")
        lines.append(
            f"filter replace dev {interface} parent ffff: protocol all prio 1 handle 800::800 u32 match u32 0 0 "
            f"action mirred egress redirect dev {shaper}"
        )
    return lines
