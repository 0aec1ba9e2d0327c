# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules about VPSs are about, each as the runner wants it: how it is parsed, read, compared and told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .core import addresses, builds, container, fidelity, limits, reading, reinstall, usage
from .core.beancounters import Bound
from .core.errors import VpsError
from .core.model import RUNNING, Actual, Manifest
from . import snapshot_subject
from .runner import Subject


def describe_vps(node: Any, actual: Actual) -> dict[str, Any] | None:
    """A VPS as modules return it; None where there is none. The password's hash is not part of it."""
    vps = actual.vps
    if vps is None:
        return None
    return {
        "name": vps.name,
        "state": reinstall.word("started" if actual.run == RUNNING else actual.run, vps),
        "template": vps.template,
        "template_build": None if vps.build is None else {"version": vps.build.version, "created": vps.build.created, "content": vps.build.content},
        "storage": vps.storage,
        "hostname": vps.hostname,
        "addresses": list(vps.addresses),
        "interfaces": [one.named for one in vps.interfaces],
        "pooled": dict(vps.pooled),
        "nameservers": list(vps.nameservers),
        "search_domains": list(vps.search_domains),
        "labels": dict(vps.labels),
        "isolated": vps.isolated,
        "firewall": vps.firewall.named,
        "publish": [one.named for one in vps.publish],
        "rates": vps.rates.named,
        "onboot": vps.onboot,
        "boot_order": vps.boot_order,
        "description": vps.description,
        "privileged": vps.privileged,
        "protected": vps.protected,
        "rescue": None if vps.rescue is None else {"template": vps.rescue.template, "path": vps.rescue.place},
        "previous": None if actual.previous is None else {"template": actual.previous.template, "since": actual.previous.since},
        "plan": vps.plan,
        "limits": limits.show(vps.limits),
        "id_base": vps.id_base,
        "pid": actual.pid,
        **node.describe_vps(vps),
    }


def describe_manifest(manifest: Manifest, used_by: Iterable[str], outdated: Iterable[str]) -> dict[str, Any]:
    """A template's manifest and who uses it, as modules return it."""
    return {
        "name": manifest.template.name,
        "source": manifest.template.source,
        "suite": manifest.template.suite,
        "packages": list(manifest.template.packages),
        "mirror": manifest.template.mirror,
        "options": {option: value for option, value in manifest.template.named.items() if option != "source"},
        "init": manifest.init,
        "checksum": manifest.checksum,
        "size": manifest.size,
        "created": manifest.created,
        "version": manifest.version,
        "content": manifest.content,
        "imported": manifest.imported,
        "used_by": list(used_by),
        "outdated": list(outdated),
    }


def _described(manifest: Manifest, users: Mapping[str, builds.Build | None]) -> dict[str, Any]:
    return describe_manifest(manifest, users, builds.outdated(manifest.build, users))


def read_info(node: Any, params: Any) -> dict[str, Any]:
    """What C(vps_info) returns. A VPS that cannot be read does not hide the others: it is a warning, and an error where it is asked for by name."""
    since = params.get("since")
    earlier = None if since is None else reading.parse(since)
    node.require_usable()
    users, unread = node.users()
    vpss, warnings = [], []
    for name in node.vps_names():
        if params["name"] not in (name, None):
            continue
        try:
            told, left_out = _told(node, name, earlier, exclusive=bool(params.get("exclusive")))
        except (VpsError, OSError) as error:
            if name == params["name"]:
                raise
            unread[name] = str(error)
            continue
        if told is not None:
            vpss.append(told)
            warnings += left_out
    damaged: dict[str, str] = {}
    manifests = node.manifests(damaged)
    warnings += [f"VPS '{name}' is left out: {unread[name]}" for name in sorted(unread)]
    warnings += [*(f"Template '{name}' is left out: {damaged[name]}" for name in sorted(damaged)), *node.nearly_full()]
    return {
        "vpss": vpss,
        "reverse": [
            {"record": addresses.reverse_name(address), "address": address, "name": vps["hostname"], "vps": vps["name"]}
            for vps in vpss
            for address in (*vps["addresses"], *(address for one in vps["interfaces"] for address in one.get("addresses", ())))
        ],
        "templates": [_described(manifest, users.get(manifest.template.name, {})) for manifest in manifests],
        "building": node.building(),
        "node": node.summary(),
        **({"warnings": warnings} if warnings else {}),
    }


def _told(node: Any, name: str, earlier: dict[str, reading.Reading] | None, *, exclusive: bool) -> tuple[dict[str, Any] | None, list[str]]:
    """A VPS as it is told, with what it uses beside the limits that this machine keeps; None where it has been removed while we looked.

    And why what of it is left out.
    """
    try:
        actual = node.read_vps(name, decides=False)
        told = describe_vps(node, actual)
        if told is None:
            return None, []
        kept = fidelity.enforced(actual.vps.limits, actual.node.abilities)
        if container.TERMINALS in actual.at_restart and actual.live.terminals is not None:  # what it was started with holds until then
            kept = replace(kept, numpty=Bound(actual.live.terminals, actual.live.terminals))
        used = usage.tell(node.counters(actual), kept)
        snapshots, left_out = snapshot_subject.describe_snapshots(node, name)
        if told["previous"] is not None:
            told["previous"]["disk_used"] = node.use_of_previous(actual.vps)
        alone = {"disk_exclusive": node.disk_exclusive(actual.vps)} if exclusive else {}
    except FileNotFoundError:
        return None, []
    if earlier is not None:
        used["rows"] = reading.add_since(used["rows"], actual.pid, earlier.get(name, reading.Reading()))
    return {**told, **alone, "traffic": node.traffic(actual), "usage": used, "snapshots": snapshots}, left_out


def _vps_result(node: Any, _desired: Any, actual: Actual) -> dict[str, Any]:
    return {"vps": describe_vps(node, actual)}


def _with_fidelity(node: Any, desired: container.Desired, actual: Actual) -> dict[str, Any]:
    """With a word on each limit that was asked. In check mode `actual` is the VPS before it."""
    asked = desired.options.get("limits")
    if not isinstance(asked, limits.Wish):
        return _vps_result(node, desired, actual)
    wanted = limits.settle(asked, actual.node.plans)
    rows = fidelity.report(wanted, wanted.named, container.abilities(desired, actual), actual.held)
    return {**_vps_result(node, desired, actual), "fidelity": rows}


CONTAINER = Subject(
    lock="vps",
    parse=container.parse_container,
    read=lambda node, desired: node.read_vps(
        desired.name, asked=desired.options, source=desired.disk.clone_from, removes=desired.state == "absent"
    ),
    compare=container.compare,
    result=_with_fidelity,
    settled=container.settled,
)
LIMITS = Subject(
    lock="vps",
    parse=container.parse_limits,
    read=lambda node, desired: node.read_vps(desired.name, asked=desired.options),
    compare=container.compare,
    result=_with_fidelity,
    section="limits.",
)
