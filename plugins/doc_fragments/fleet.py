# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the VPSs in a list of them: made from that of vps_container, so that there is one text of each option."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.mainline.vps.plugins.doc_fragments.limits import ModuleDocFragment as Limits

_MODULE = Path(__file__).parent.parent / "modules" / "vps_container.py"
_OPTION, _RETURN = re.compile(r"\bO\(([a-z_]+)(?![a-z_.]*#)(?!\.)"), re.compile(r"\bRV\(([a-z_]+)")


def _documented() -> dict[str, Any]:
    """The options of vps_container, by their names, as its source documents them."""
    for node in ast.parse(_MODULE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            return {**yaml.safe_load(ast.literal_eval(node.value))["options"], **yaml.safe_load(Limits.POLICY)["options"]}
    raise ValueError(f"{_MODULE} has no documentation")


def _moved(text: str) -> str:
    """A text whose options are those of an element of the list, and whose return values are another module's."""
    return _RETURN.sub(r"RV(mainline.vps.vps_container#module:\1", _OPTION.sub(r"O(vps[].\1", text))


def _element(option: dict[str, Any], *, top: bool = True) -> dict[str, Any]:
    """An option as one of the list's elements has it. A default is filled in later, beneath what all have in common."""
    found = dict(option)
    told = option["description"]
    found["description"] = [_moved(text) for text in (told if isinstance(told, list) else [told])]
    if top and found.pop("default", None) not in (None, []):
        found["description"].append(f"V({str(option['default']).lower()}) where neither this nor O(defaults) says so.")
    if "suboptions" in option:
        found["suboptions"] = {name: _element(each, top=False) for name, each in option["suboptions"].items()}
    return found


def _common(name: str, option: dict[str, Any]) -> dict[str, Any]:
    """The same as one that all VPSs have in common."""
    found = {key: value for key, value in _element(option).items() if key in ("type", "elements", "choices")}
    below = {inner: {**_element(each, top=False), "description": [f"See O(vps[].{name}[].{inner})."]} for inner, each in option.get("suboptions", {}).items()}
    return {"description": [f"See O(vps[].{name})."], **found, **({"suboptions": below} if below else {})}


def _documentation() -> str:
    options = _documented()
    vps = {
        "description": [
            "The VPSs that the node is to have, each with the options of M(mainline.vps.vps_container). Each has a name of its own.",
            "An error of one of them says which it is, as in V(vps[3] (web7\\): limits.physpages).",
        ],
        "type": "list", "elements": "dict", "required": True,
        "suboptions": {name: _element(option) for name, option in options.items()},
    }
    defaults = {
        "description": [
            "What all of O(vps) have in common, the same options without C(name).",
            "An option that a VPS has itself takes the place of this one, lists as a whole. In the sections C(limits), C(labels), C(firewall) and "
            "C(rates) it is each key that does so, one level deep; a key that is null there takes this one away, and V(unlimited) lifts a limit.",
            "Where a VPS has C(template) or C(clone_from) itself, neither of them here is for it.",
        ],
        "type": "dict",
        "suboptions": {name: _common(name, option) for name, option in options.items() if name != "name"},
    }
    return yaml.safe_dump({"options": {"vps": vps, "defaults": defaults}}, sort_keys=False, allow_unicode=True, width=160)


class ModuleDocFragment:
    """The options C(vps) and C(defaults)."""

    DOCUMENTATION: str = _documentation()  # with its type: yamllint of ansible-test takes an assignment for a text
