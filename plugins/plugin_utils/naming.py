# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts are nodes, what the hosts of their VPSs are called, and in which groups they are.

Pure. A host's name is what C(--limit) and C(host_vars/) go by, so it depends on no order, and never takes over what already has that name.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError, shown
from ansible_collections.mainline.vps.plugins.plugin_utils.listing import Guest

ALL = "vps"  # the group of all
GROUPED_BY = ("node", "state", "template", "plan", "label")
_LONGEST = 255


def pick(pattern: str, hosts: Collection[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The hosts that a host's name, a group's or a pattern of either with C(*), C(?) or C([]) means; none where there is no such thing."""
    if pattern == "all":
        return list(hosts)
    if pattern in hosts:
        return [pattern]
    if pattern in groups:
        return list(groups[pattern])
    found = [host for name, members in groups.items() if fnmatch.fnmatchcase(name, pattern) for host in members]
    found += [host for host in hosts if fnmatch.fnmatchcase(host, pattern)]
    return list(dict.fromkeys(found))


def parse_host(text: object) -> str:
    """What C(hostname) came to; raises VpsError for what is no name of a host."""
    name = str(text).strip() if isinstance(text, (str, int)) else ""
    if not name or len(name) > _LONGEST or not name.isprintable() or any(character in " ,/{}" for character in name) or name.startswith(("@", "-")):
        raise VpsError(f"hostname: {shown(text)} is no name for a host; use what has no spaces, commas or slashes in it, as vps_name.")
    return name


def name_hosts(wanted: Mapping[tuple[str, str], str], reserved: Collection[str]) -> dict[tuple[str, str], str]:
    """The host of each (node, VPS): the wanted name, or VPS@NODE for each of those that want one name, or one that is reserved.

    Reserved are the nodes, the groups, and whatever else must not become a VPS. Raises VpsError where that does not tell them apart.
    """
    often = Counter(wanted.values())
    names = {}
    for (node, vps), name in wanted.items():
        names[node, vps] = name if often[name] == 1 and name not in reserved else f"{vps}@{node}"
    for name, count in Counter(names.values()).items():
        if count > 1 or name in reserved:
            raise VpsError(f"hostname: {shown(name)} would be two things; use another, as vps_name ~ '.' ~ vps_node.")
    return names


def groups_of(node: str, guest: Guest, by: Iterable[str]) -> Iterator[str]:
    """The groups of a VPS below the one of all, not yet made safe."""
    one = {"node": node, "state": guest.state, "template": guest.vps.template, "plan": guest.vps.plan}
    for what in GROUPED_BY:
        if what not in by:
            continue
        if what == "label":
            yield from (f"{ALL}_label_{key}_{value}" if value else f"{ALL}_label_{key}" for key, value in guest.vps.labels)
        elif one[what]:
            yield f"{ALL}_{what}_{one[what]}"
