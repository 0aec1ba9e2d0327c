# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that a pool gives: which one, and that it stays the same.

Pure. What has been given is in the record of who has it, so there is no second book to keep.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from . import addresses, parse
from .errors import VpsError, shown

if TYPE_CHECKING:
    from .model import Vps

Pools = Mapping[str, tuple[str, ...]]  # the ranges of each, C(FIRST-LAST), by its name


class Wanted(NamedTuple):
    """One address out of a pool. `family` 4 or 6; None: the first that the pool has."""

    pool: str
    family: int | None = None


def parse_wishes(values: Iterable[object], *, option: str = "addresses") -> tuple[str | Wanted, ...]:
    """Addresses as they are, and those that a pool is to give."""
    given = list(values)
    fixed = iter(addresses.parse_addresses([value for value in given if not isinstance(value, Mapping)], option=option))
    return tuple(_parse_wanted(value, option) if isinstance(value, Mapping) else next(fixed) for value in given)


def _parse_wanted(section: Mapping, option: str) -> Wanted:
    for key in section:
        if key not in ("pool", "family"):
            raise VpsError(f"{option}: there is no key {shown(key)}; there are pool and family.")
    if section.get("pool") is None:
        raise VpsError(f"{option}: {shown(section)} names no pool; write for example {{pool: public}}.")
    family = section.get("family")
    if family is not None and str(family) not in ("4", "6"):
        raise VpsError(f"{option}: {shown(family)} is no family of addresses; give 4 or 6.")
    return Wanted(parse.parse_name(str(section["pool"]), option=option), None if family is None else int(family))


def settle_all(
    sections: Sequence[Sequence[str | Wanted]], recorded: Vps | None, pools: Pools, taken: Container[str]
) -> tuple[dict[str, str], list[tuple[str, ...]]]:
    """The same for several lists of one VPS, none of which gets what another has; C(addresses) comes first, then those of its interfaces."""
    found: list[tuple[str, ...]] = []
    given: dict[str, str] = {}
    flat = [wish for section in sections for wish in section]
    for number, section in enumerate(sections):
        for address in {wish for wish in section if isinstance(wish, str)}:
            if sum(wish == address for wish in flat) > 1:
                raise VpsError(f"{'interfaces' if number else 'addresses'}: {address} is listed twice.")
    out, all_ = settle(flat, recorded, pools, taken)
    given.update(out)
    for section in sections:
        found.append(all_[: len(section)])
        all_ = all_[len(section) :]
    return given, found


def settle(
    wishes: Sequence[str | Wanted], recorded: Vps | None, pools: Pools, taken: Container[str], *, option: str = "addresses"
) -> tuple[dict[str, str], tuple[str, ...]]:
    """(what pools give: address → pool, all addresses) for a wish. Who has an address out of a pool keeps it."""
    has = [] if recorded is None else list(recorded.all_addresses)
    pooled = {} if recorded is None else dict(recorded.pooled)
    fixed = {wish for wish in wishes if isinstance(wish, str)}
    kept = [address for address in sorted(has, key=lambda address: address not in pooled) if address not in fixed]  # those of a pool come first
    found: list[str] = []
    given: dict[str, str] = {}
    for wish in wishes:
        if isinstance(wish, str):
            found.append(wish)
            continue
        ranges = _ranges(wish, pools, option)
        address = next((one for one in kept if one not in found and pooled.get(one, wish.pool) == wish.pool and _within(one, ranges)), None)
        address = address or free(wish, pools, {*found, *fixed}, taken, option=option)
        given[address] = wish.pool
        found.append(address)
    return given, tuple(found)


def free(wish: Wanted, pools: Pools, *taken: Container[str], option: str = "addresses") -> str:
    """The first address of a pool that nobody has."""
    for first, last in _ranges(wish, pools, option):
        kind = type(first)
        for number in range(int(first), int(last) + 1):
            address = str(kind(number))
            if not any(address in some for some in taken):
                return address
    raise VpsError(f"{option}: all addresses of pool '{wish.pool}' are given away; enlarge it, or take one away from a VPS.")


def beyond(ranges: tuple[str, ...], address: str) -> tuple[str, ...]:
    """The ranges of a pool without what has been looked through to find a free address: for who has none yet, and looks for the next one."""
    given, found, open_ = ipaddress.ip_address(address), [], True
    for text in ranges:
        first, last = (ipaddress.ip_address(end) for end in text.split("-"))
        if not open_ or first.version != given.version:
            found.append(text)
            continue
        open_ = not int(first) <= int(given) <= int(last)
        found.append(f"{(last if open_ else given) + 1}-{last}" if int(last if open_ else given) + 1 < 1 << given.max_prefixlen else text)
    return tuple(found)


def _ranges(wish: Wanted, pools: Pools, option: str) -> list[tuple]:
    if wish.pool not in pools:
        raise VpsError(f"{option}: there is no pool {shown(wish.pool)}; there are {', '.join(sorted(pools))}.")
    ends = [tuple(ipaddress.ip_address(end) for end in text.split("-")) for text in pools[wish.pool]]
    families = [first.version for first, _last in ends]
    family = wish.family or (families or [4])[0]
    found = [pair for pair in ends if pair[0].version == family]
    if not found:
        raise VpsError(f"{option}: pool '{wish.pool}' has no addresses of IPv{family}; name another one.")
    return found


def _within(address: str, ranges: Iterable[tuple]) -> bool:
    one = ipaddress.ip_address(address)
    return any(one.version == first.version and first <= one <= last for first, last in ranges)
