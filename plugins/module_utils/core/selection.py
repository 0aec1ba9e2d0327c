# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VPSs C(vps_info) is asked for, and what of each.

Pure. All filters have to hold; of the values of one, any. What a VPS's record says is looked at before anything else of it is read, then
whether it runs, and what it uses last: what a filter leaves out costs next to nothing.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Union

from .errors import VpsError, shown, written
from .model import Vps

STATES = ("started", "stopped", "frozen", "rescue")
# What there is to tell of a VPS, by the names in what C(vps_info) returns; the last of them take more than a look at its record.
RECORDED = (
    "name", "state", "pid", "template", "template_build", "outdated", "storage", "hostname", "addresses", "interfaces", "pooled", "nameservers",
    "search_domains", "labels", "isolated", "firewall", "publish", "rates", "onboot", "boot_order", "description", "privileged", "protected", "rescue",
    "plan", "id_base", "directory", "host_interface",
)
READ = ("uptime", "device", "limits", "usage", "traffic", "snapshots", "previous", "disk_used", "disk_exclusive")
FIELDS = (*RECORDED, *READ)
COSTLY = ("disk_exclusive",)  # told to who names it, and to nobody else
# The rows of usage with a held and a limit: those that can be so many percent full.
FILLED = (
    "memory", "swap", "processes", "diskspace", "diskinodes", "kmemsize", "lockedpages", "shmpages", "numproc", "physpages", "swappages", "dcachesize",
)
ON_DISK = frozenset({"diskspace", "diskinodes"})
_PATTERNS: Mapping[str, Callable[[Vps], str]] = {
    "name": lambda vps: vps.name,
    "hostname": lambda vps: vps.hostname,
    "description": lambda vps: vps.description,
    "template": lambda vps: vps.template,
    "plan": lambda vps: vps.plan or "",
}
_Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
_PERCENT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})? ?%?", re.ASCII)


@dataclass(frozen=True)
class Wish:
    """What is asked. None is a filter that nobody has given, and all fields that cost little.

    `patterns` are shell globs, by what they are of; `labels` maps a key to globs of its value; `above` a resource to percent of its limit.
    `exclusive`: what each VPS alone takes of the pool as well.
    """

    patterns: Mapping[str, tuple[str, ...]]
    states: frozenset[str] | None = None
    labels: Mapping[str, tuple[str, ...]] | None = None
    networks: tuple[_Network, ...] | None = None
    outdated: bool | None = None
    above: Mapping[str, float] | None = None
    fields: frozenset[str] | None = None
    exclusive: bool = False

    def insists_on(self, name: str) -> bool:
        """Whether a VPS is asked for by its very name."""
        return name in self.patterns.get("name", ())

    def wants(self, field: str) -> bool:
        """Whether something is to be told of each."""
        if field in COSTLY and self.exclusive:
            return True
        return field not in COSTLY if self.fields is None else field in self.fields

    @property
    def counts(self) -> bool:
        """Whether it is to be read what each uses, besides its disk."""
        return self.wants("usage") or self.counts_above

    @property
    def counts_above(self) -> bool:
        """Whether that decides who is meant."""
        return not ON_DISK.issuperset(self.above or ())

    @property
    def limits(self) -> bool:
        """Whether it is to be read what each is held to."""
        return self.wants("limits") or self.counts

    @property
    def uses(self) -> bool:
        """Whether anything of what each uses is to be known."""
        return self.wants("usage") or self.above is not None

    def takes(self, vps: Vps, *, outdated: bool) -> bool:
        """Whether what is recorded of a VPS is what is asked for; `outdated`: its template has been built anew since it was made."""
        if any(not _matches(_PATTERNS[of](vps), patterns) for of, patterns in self.patterns.items()):
            return False
        own = dict(vps.labels)
        if any(key not in own or not _matches(own[key], values) for key, values in (self.labels or {}).items()):
            return False
        if self.networks is not None and not any(ipaddress.ip_address(address) in network for address in vps.all_addresses for network in self.networks):
            return False
        return self.outdated in (None, outdated)

    def takes_state(self, state: str) -> bool:
        """Whether it is in a state that is asked for."""
        return self.states is None or state in self.states

    def takes_use(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Whether it uses that much of something: rows as core/usage.py tells them. What nobody limits is never full."""
        if self.above is None:
            return True
        return any(
            row["limit"] is not None and row["held"] is not None and row["held"] * 100 > self.above[row["resource"]] * row["limit"]
            for row in rows
            if row["resource"] in self.above
        )

    def tell(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """What is to be told of all that could be."""
        return {name: value for name, value in told.items() if self.wants(name)}


def parse(params: Mapping[str, Any]) -> Wish:
    """The options of C(vps_info). Raises VpsError that names the option."""
    labels, addresses, above, fields, states = (params.get(name) for name in ("labels", "addresses", "above", "fields", "state"))
    told = None if fields is None else frozenset({"name", *(_one_of(field, FIELDS, "fields", "a field of a VPS") for field in fields)})
    return Wish(
        patterns={of: _texts(given) for of in _PATTERNS if (given := params.get(of)) is not None},
        states=None if states is None else frozenset(_one_of(state, STATES, "state", "a state of a VPS") for state in states),
        labels=None if labels is None else _labels(labels),
        networks=None if addresses is None else tuple(map(_network, addresses)),
        outdated=params.get("outdated"),
        above=None if above is None else {
            _one_of(name, FILLED, "above", "a resource of which a VPS holds a part"): _percent(name, above[name]) for name in above
        },
        fields=told,
        exclusive=bool(params.get("exclusive")),
    )


def _texts(given: object) -> tuple[str, ...]:
    return tuple(map(written, given)) if isinstance(given, (list, tuple)) else (written(given),)


def _labels(given: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(given, Mapping):
        raise VpsError(f"labels: {shown(given)} is no set of labels; write for example {{tier: web}}.")
    return {written(key): tuple(_label(key, value) for value in (values if isinstance(values, (list, tuple)) else (values,))) for key, values in given.items()}


def _label(key: object, value: object) -> str:
    """As core/parse.py has a label's value."""
    if value is None or isinstance(value, (Mapping, list, tuple)):
        raise VpsError(f"labels.{written(key)}: {shown(value)} is no value of a label; write it, a pattern such as '*', or a list of those.")
    return str(value).lower() if isinstance(value, bool) else written(value)


def _network(given: object) -> _Network:
    """An address, or a network, with or without bits set behind its prefix."""
    try:
        if "%" in written(given):  # a zone, which is a link's name and no part of an address
            raise ValueError
        return ipaddress.ip_network(written(given), strict=False)
    except ValueError:
        raise VpsError(f"addresses: {shown(given)} is neither an address nor a network; write for example 10.90.0.10 or 2001:db8::/64.") from None


def _percent(name: object, given: object) -> float:
    text = written(given).strip()
    if isinstance(given, bool) or not _PERCENT.fullmatch(text):
        raise VpsError(f"above.{written(name)}: {shown(given)} is no share of its limit; write percent, for example 80.")
    return float(text.rstrip("% "))


def _one_of(given: object, known: Collection[str], option: str, what: str) -> str:
    word = written(given)
    if word not in known:
        near = difflib.get_close_matches(word, known, 1)
        raise VpsError(f"{option}: {shown(word)} is not {what}; " + (f"perhaps {near[0]} is meant." if near else f"there are {', '.join(known)}."))
    return word


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)
