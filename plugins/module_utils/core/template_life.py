# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a template after it was made: kept in a file and made of one, and removed when nobody uses it. What a task asks of it, and the plan.

Pure: the time comes with the wish, so that check mode and the run go by the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .content import Differences
from .errors import VpsError
from .model import Manifest, Template
from .plan import Change, ExportTemplate, ImportTemplate, Plan, PruneTemplate

PRESENT, LATEST, ABSENT, EXPORTED, IMPORTED, PRUNED = "present", "latest", "absent", "exported", "imported", "pruned"
STATES = (PRESENT, LATEST, ABSENT, EXPORTED, IMPORTED, PRUNED)
NOBODY = ".unused"  # in place of a name, for the lock of a run about all that are not used


@dataclass(frozen=True)
class Desired:
    """What a playbook asks of one template; no `template` where it does not say what it is made from.

    `max_age` is in seconds, `now` in seconds since 1970. `path` is a file on the node, `bounds` says how much of it is borne. `keep` are names.
    """

    name: str
    state: str
    template: Template | None
    now: float = 0.0
    max_age: int | None = None
    verify: bool = False
    path: str | None = None
    sha256: str | None = None
    bounds: Template | None = None
    keep: tuple[str, ...] = ()
    settled: bool = False


@dataclass(frozen=True)
class Archived:
    """A file that a template is kept in, or may be: `manifest` is that template's. `sha256` is the file's, for who asks, `size` its bytes; None: there is none.

    `trouble` says why the file cannot be taken for what it should be; with a manifest, only a part of it is there.
    """

    path: str
    manifest: Manifest | None = None
    sha256: str | None = None
    size: int | None = None
    trouble: str | None = None


@dataclass(frozen=True)
class TemplateActual:
    """A template as it is; None where there is none. `used_by` are the VPSs that were made from it, `outdated` those of them that an earlier build was for.

    `missing_tool` says what the node lacks for building the one that is asked for, `missing_input`, with its option, what there is not to build it from.
    `damaged` says why what there is cannot be read. `differences` is what of it is not as it was built, for who asks; None where nobody knows any more.
    `archive` is what is at the path that a task names. `unused` are all templates that no VPS was made from, for who asks.
    """

    manifest: Manifest | None = None
    used_by: tuple[str, ...] = ()
    missing_tool: str | None = None
    missing_input: str | None = None
    outdated: tuple[str, ...] = ()
    damaged: str | None = None
    differences: Differences | None = None
    archive: Archived | None = None
    unused: tuple[Manifest, ...] = ()


def age(manifest: Manifest, now: float) -> float:
    """Seconds since a template was made; as old as can be where its record does not say when."""
    try:
        return now - datetime.fromisoformat(manifest.created).timestamp()
    except (ValueError, OverflowError):
        return float("inf")


def damage(desired: Desired, actual: TemplateActual) -> tuple[Change, ...]:
    """What of a template is not as it was made, where the task looks at that; the same whether it is then built or imported anew."""
    if not desired.verify or (actual.manifest is None and not actual.damaged):
        return ()
    if actual.damaged:
        return (Change("content", "damaged", "as it was made"),)
    if actual.differences is None:
        return (Change("content", "unknown", "as it was made"),)
    return (Change("content", actual.differences.named, "as it was made"),) if actual.differences else ()


def export(desired: Desired, actual: TemplateActual) -> Plan:
    """The plan that has a file with the template as it is now."""
    manifest, archive = actual.manifest, actual.archive
    if actual.damaged:
        raise VpsError(actual.damaged)
    if manifest is None:
        raise VpsError(f"name: there is no template '{desired.name}' on this node; make it with state present first.")
    if manifest.content is None:
        raise VpsError(f"name: template '{desired.name}' is of an older release, which kept no account of its content; build it anew with state latest.")
    if archive is None or desired.path is None or (archive.trouble and archive.manifest is None):
        raise VpsError((archive and archive.trouble) or "path: needed with state exported.")
    if archive.manifest == manifest and not archive.trouble:
        return Plan()
    change = Change("archive", _told(archive.manifest) if not archive.trouble else "damaged", _told(manifest))
    return Plan((change,), (ExportTemplate(desired.name, desired.path),))


def import_(desired: Desired, actual: TemplateActual, options: tuple[Change, ...]) -> Plan:
    """The plan that has the template of a file, which differs by these `options` from the one that there is."""
    manifest, archive = actual.manifest, actual.archive
    if archive is None or desired.path is None or desired.bounds is None or archive.trouble:
        raise VpsError((archive and archive.trouble) or "path: needed with state imported.")
    found = archive.manifest
    if found is None:
        raise VpsError(f"path: there is no {desired.path} on the node.")
    if desired.sha256 and archive.sha256 != desired.sha256:
        raise VpsError(f"sha256: {desired.path} has the SHA-256 {archive.sha256}, and not {desired.sha256}; it is another file than the one that was exported.")
    if actual.damaged and not desired.verify:
        raise VpsError(actual.damaged)
    changes = damage(desired, actual)
    if manifest is None and not actual.damaged:
        changes = (Change("state", "absent", "present"), *options)
    elif manifest is not None and (manifest.content, manifest.checksum) != (found.content, found.checksum):
        changes = (*options, Change("build", _told(manifest), _told(found)))
    if not changes:
        return Plan()
    return Plan(changes, (ImportTemplate(desired.name, desired.path, desired.bounds, desired.sha256),))


def prune(desired: Desired, actual: TemplateActual) -> Plan:
    """The plan that removes what nobody uses, but for what the task keeps, and what is not old enough."""
    if desired.settled:  # what is there now has come to be meanwhile, or is used by now
        return Plan()
    old = [one for one in actual.unused if one.template.name not in desired.keep and (desired.max_age is None or age(one, desired.now) > desired.max_age)]
    changes = tuple(Change(f"templates.{one.template.name}", "present", "absent") for one in old)
    return Plan(changes, tuple(PruneTemplate(one.template.name, one.build) for one in old))


def _told(manifest: Manifest | None) -> dict[str, object] | None:
    return None if manifest is None else {"version": manifest.version, "created": manifest.created, "content": manifest.content}
