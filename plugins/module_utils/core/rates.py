# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a VPS may send and be sent to: from a playbook to numbers, to a token bucket, and back.

Pure. Document: tc-tbf(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from . import units
from .errors import VpsError, shown, written

_RATE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))? *([KMG]?)(?:BIT|BPS|BIT/S)?", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
LEAST, MOST = 8_000, 1_000_000_000_000  # bit/s
LEAST_BURST, MOST_BURST = 4_096, 1 << 30  # bytes; less than one packet lets none pass
UNLIMITED = 0  # said, where Rates has None for what is not
LATENCY = 50  # ms that a packet waits for its turn at most; then it is dropped, which is how TCP learns of the rate


class Rates(NamedTuple):
    """Bit/s that the VPS is sent (`incoming`) and sends; `burst` in bytes. None is what nothing was said of: as fast as it goes, what fits the rate."""

    incoming: int | None = None
    outgoing: int | None = None
    burst: int | None = None

    @property
    def named(self) -> dict[str, Any]:
        """As plain data, with what a playbook calls it; nothing for what is not limited."""
        shown_ = {word: None if rate is None else format_rate(rate) for word, rate in (("in", self.incoming), ("out", self.outgoing))}
        return {word: text for word, text in {**shown_, "burst": self.burst and units.format_size(self.burst)}.items() if text}

    def over(self, defaults: Iterable[Rates]) -> Rates:
        """These, and what they do not say from those that say it, the lowest; without a word for what is not limited."""
        words = (min(filter(None, column), default=None) for column in zip(Rates(), *defaults))
        incoming, outgoing, burst = (word if own is None else own for own, word in zip(self, words))
        return Rates(incoming or None, outgoing or None, burst if incoming or outgoing else None)


def parse_rates(section: object, *, option: str = "rates") -> Rates:
    """The section of a playbook, or what `Rates.named` gave."""
    if not isinstance(section, Mapping):
        raise VpsError(f"{option}: {shown(section)} is no set of rates; write for example {{in: 100M, out: 20M}}.")
    for key in section:
        if key not in ("in", "out", "burst"):
            raise VpsError(f"{option}: there is no key {shown(key)}; there are in, out and burst.")
    burst = section.get("burst")
    if burst is not None:
        burst = units.parse_size(burst, option=f"{option}.burst", minimum=LEAST_BURST)
        if burst is None or burst > MOST_BURST:
            raise VpsError(f"{option}.burst: {shown(section['burst'])} is too large; the most is {units.format_size(MOST_BURST)}.")
    incoming, outgoing = (_parse_rate(section.get(word), f"{option}.{word}") for word in ("in", "out"))
    if burst is not None and not incoming and not outgoing:
        raise VpsError(f"{option}.burst: there is no rate that it could go beyond; give in or out too.")
    return Rates(incoming, outgoing, burst)


def _parse_rate(value: object, option: str) -> int | None:
    """Bit/s of C(100M); None for nothing."""
    if value is None:
        return None
    if units.is_unlimited(written(value).strip()):
        return UNLIMITED
    match = _RATE.fullmatch(written(value).strip())
    if match is None:
        raise VpsError(f"{option}: {shown(value)} is not a rate; write for example 100M (bits per second) or {units.UNLIMITED}.")
    whole, fraction, suffix = match.groups()
    factor = _FACTORS[suffix.upper()]
    rate = int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)
    if not LEAST <= rate <= MOST:
        raise VpsError(f"{option}: {shown(value)} is out of range; give {format_rate(LEAST)} to {format_rate(MOST)} bits per second.")
    return rate - rate % 8  # the kernel counts bytes


def format_rate(rate: int) -> str:
    """The shortest exact way to write bits per second."""
    if rate == UNLIMITED:
        return units.UNLIMITED
    for suffix in "GMK":
        if rate % _FACTORS[suffix] == 0:
            return f"{rate // _FACTORS[suffix]}{suffix}"
    return str(rate)


def bucket(rate: int, burst: int | None) -> tuple[int, int]:
    """(bytes/s, bytes) of the token bucket. Without a burst, what comes in 20 ms, and a large packet at least."""
    return rate // 8, burst or max(rate // 8 // 50, 1 << 16)


def observe(incoming: tuple[int, int] | None, outgoing: tuple[int, int] | None, recorded: Rates) -> Rates:
    """The rates that two buckets of the kernel's make. A burst that is as it would be without one being asked for, or as recorded, is that.

    The kernel counts a burst as the time that it takes, so that some bytes of it may be missing.
    """
    bursts = []
    for found in (incoming, outgoing):
        if found is not None:
            size = bucket(found[0] * 8, recorded.burst)[1]
            bursts.append(recorded.burst if abs(found[1] - size) <= size // 100 else found[1])
    strange = next((burst for burst in bursts if burst != recorded.burst), recorded.burst)
    return Rates(incoming and incoming[0] * 8, outgoing and outgoing[0] * 8, strange if bursts else None)
