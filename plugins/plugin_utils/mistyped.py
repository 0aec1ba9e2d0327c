# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of a role's options beside the types that its specification has for them.

Pure. Ansible lets a text pass for a list and 'no' for a boolean, because it could be made one, and then leaves it as it is: what reads it finds the letters of
a text, and every text to be true. A boolean that is a variable of its own may be a text, as those of the command line are: roles read it by the filter bool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def mistyped(options: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """A sentence about each value that is of another type, with where it is and without the value, which may be a secret.

    `options` as in a role's C(argument_specs), with C(type), C(elements) and C(options); `values` by the names of options, others aside.
    """
    for name, option in options.items():
        yield from _value(option, option.get("type", "str"), values.get(name), f"{path}{name}")


def _value(option: Mapping[str, Any], wanted: str, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    if wanted == "list":
        if not is_list:
            yield f"{path}: this is no list; write [...], or a line with a dash for each."
            return
        # Of what is in a list of lists, a specification says nothing.
        inside = {"elements": "raw"} if option.get("elements") == "list" else option
        for number, element in enumerate(value):
            name = element.get("name") if isinstance(element, Mapping) else None
            yield from _value(inside, option.get("elements", "str"), element, f"{path}[{name if isinstance(name, str) else number}]")
    elif wanted == "dict":
        if not isinstance(value, Mapping):
            yield f"{path}: this is no dictionary; write {{key: value}}, or a line for each key."
            return
        yield from mistyped(option.get("options") or {}, value, f"{path}.")
    elif wanted == "bool":
        if not isinstance(value, bool) and not path.isidentifier():
            yield f"{path}: this is neither true nor false; write one of them, without quotes."
    elif wanted != "raw" and (is_list or isinstance(value, Mapping)):
        yield f"{path}: this is a {'list' if is_list else 'dictionary'}; write one value."
