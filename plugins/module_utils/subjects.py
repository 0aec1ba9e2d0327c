# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules about VPSs are about, each as the runner wants it: how it is parsed, read, compared and told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from .core import addresses, builds, container, fidelity, limits, reading, reinstall, selection, usage
from .core.beancounters import Bound
from .core.errors import VpsError
from .core.model import RUNNING, Actual, Manifest, Vps
from . import snapshot_subject
from .runner import Subject


def _state(actual: Actual) -> str:
    """As modules return it."""
    return reinstall.word("started" if actual.run == RUNNING else actual.run, actual.vps)


def describe_vps(node: Any, actual: Actual, *, disk: bool = True) -> dict[str, Any] | None:
    """A VPS as modules return it; None where there is none. The password's hash is not part of it. Without what it has on its `disk`, if asked."""
    vps = actual.vps
    if vps is None:
        return None
    return {
        "name": vps.name,
        "state": _state(actual),
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
        **node.describe_vps(vps, disk=disk),
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


def read_info(node: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """What C(vps_info) returns. A VPS that cannot be read does not hide the others: it is a warning, and an error where it is asked for by name."""
    wish, since = selection.parse(params), params.get("since")
    earlier = None if since is None else reading.parse(since)
    node.require_usable()
    survey = node.survey()
    damaged: dict[str, str] = {}
    users, unread, manifests = survey.users(), dict(survey.unread), node.manifests(damaged)
    old = {name for manifest in manifests for name in builds.outdated(manifest.build, users.get(manifest.template.name, {}))}
    for name in filter(wish.insists_on, unread):
        raise VpsError(unread[name])
    vpss, reverse, warnings = [], [], []
    for vps in survey.vpss:
        if not wish.takes(vps, outdated=vps.name in old):
            continue
        try:
            told = _told(node, survey, vps, wish, outdated=vps.name in old, earlier=earlier)
        except (VpsError, OSError) as error:
            if wish.insists_on(vps.name):
                raise
            unread[vps.name] = str(error)
            continue
        if told is not None:
            vpss.append(told.vps)
            reverse += told.reverse
            warnings += told.left_out
    warnings += [f"VPS '{name}' is left out: {unread[name]}" for name in sorted(unread)]
    warnings += [*(f"Template '{name}' is left out: {damaged[name]}" for name in sorted(damaged)), *node.nearly_full()]
    return {
        "vpss": vpss,
        "reverse": reverse,
        "templates": [_described(manifest, users.get(manifest.template.name, {})) for manifest in manifests],
        "building": node.building(),
        "node": survey.summary(),
        **({"warnings": warnings} if warnings else {}),
    }


class _Told(NamedTuple):
    """A VPS as it is told, what reverse DNS is to say of it, and why what of it is left out."""

    vps: dict[str, Any]
    reverse: list[dict[str, str]]
    left_out: list[str]


def _told(
    node: Any, survey: Any, recorded: Vps, wish: selection.Wish, *, outdated: bool, earlier: Mapping[str, reading.Reading] | None
) -> _Told | None:
    """A VPS, with what it uses beside the limits that this machine keeps; None where it is not asked for, or has been removed while we looked."""
    try:
        actual = survey.find(recorded)
        if not wish.takes_state(_state(actual)):
            return None
        if wish.above is not None and not wish.counts_above:  # of those that are left out nothing more is read
            on_disk = survey.read(actual, limits=False, disk=True)
            if on_disk.vps is None or not wish.takes_use(_used(survey, on_disk, kernel=False)["rows"]):
                return None
        actual = survey.read(actual, limits=wish.limits, disk=wish.uses)
        told = describe_vps(node, actual, disk=wish.wants("disk_used"))
        if told is None:
            return None
        told["outdated"] = outdated
        vps = actual.vps
        left_out: list[str] = []
        if wish.uses:
            used = _used(survey, actual, kernel=wish.counts)
            if not wish.takes_use(used["rows"]):
                return None
            told["usage"] = used
            if earlier is not None:
                used["rows"] = reading.add_since(used["rows"], actual.pid, earlier.get(vps.name, reading.Reading()))
        if wish.wants("snapshots"):
            told["snapshots"], left_out = snapshot_subject.describe_snapshots(survey, vps.name)
        if wish.wants("previous") and told["previous"] is not None:
            told["previous"]["disk_used"] = node.use_of_previous(vps)
        if wish.wants("disk_exclusive"):
            told["disk_exclusive"] = node.disk_exclusive(vps)
        if wish.wants("traffic"):
            told["traffic"] = survey.traffic(actual)
        if wish.wants("uptime"):
            told["uptime"] = survey.uptime(actual)
        if wish.wants("device"):
            told["device"] = survey.device(vps)
    except FileNotFoundError:
        return None
    names = [
        {"record": addresses.reverse_name(address), "address": address, "name": vps.hostname, "vps": vps.name} for address in vps.all_addresses
    ]
    return _Told(wish.tell(told), names, left_out)


def _used(survey: Any, actual: Actual, *, kernel: bool) -> dict[str, Any]:
    """What a VPS uses; of its disk alone, without what the `kernel` counts in memory."""
    return usage.tell(survey.counters(actual, kernel=kernel), _kept(actual))


def _kept(actual: Actual) -> limits.Limits:
    """The limits that this machine keeps. What a VPS was started with holds until its next start."""
    kept = fidelity.enforced(limits.Limits() if actual.vps is None else actual.vps.limits, actual.node.abilities)
    if container.TERMINALS in actual.at_restart and actual.live.terminals is not None:
        return replace(kept, numpty=Bound(actual.live.terminals, actual.live.terminals))
    return kept


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
