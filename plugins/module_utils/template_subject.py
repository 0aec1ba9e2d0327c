# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module about templates is about, as the runner wants it."""

from __future__ import annotations

from typing import Any

from .core import template
from .core.model import TemplateActual
from .runner import Subject
from .subjects import describe_manifest


def describe_template(actual: TemplateActual) -> dict[str, Any] | None:
    """A template as modules return it; None where there is none."""
    return None if actual.manifest is None else describe_manifest(actual.manifest, actual.used_by)


TEMPLATE = Subject(
    lock="template",
    parse=template.parse_template,
    read=lambda node, desired: node.read_template(desired.name, desired.template),
    compare=template.compare,
    result=lambda _node, _desired, actual: {"template": describe_template(actual)},
)
