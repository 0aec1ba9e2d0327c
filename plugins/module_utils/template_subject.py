# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module about templates is about, as the runner wants it."""

from __future__ import annotations

import time
from typing import Any

from .core import template
from .core.template_life import EXPORTED, Desired, TemplateActual
from .runner import Subject
from .subjects import describe_manifest


def describe_template(actual: TemplateActual) -> dict[str, Any] | None:
    """A template as modules return it; None where there is none."""
    return None if actual.manifest is None else describe_manifest(actual.manifest, actual.used_by, actual.outdated)


def _result(_node: Any, desired: Desired, actual: TemplateActual) -> dict[str, Any]:
    told: dict[str, Any] = {"template": describe_template(actual)}
    if desired.state == EXPORTED:
        archive = actual.archive
        told["archive"] = None if archive is None or archive.manifest is None else {"path": archive.path, "sha256": archive.sha256, "size": archive.size}
    if desired.verify:
        told["differences"] = None if actual.differences is None else actual.differences.named
    return told


TEMPLATE = Subject(
    lock="template",
    parse=lambda params: template.parse_template(params, now=time.time()),
    read=lambda node, desired: node.read_template(desired),
    compare=template.compare,
    result=_result,
    settled=template.settled,
)
