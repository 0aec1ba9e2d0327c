# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of a role's options that Ansible takes for the right type, and that are not."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.plugin_utils.mistyped import mistyped

OPTIONS = {
    "size": {},
    "port": {"type": "int"},
    "strict": {"type": "bool"},
    "names": {"type": "list", "elements": "str"},
    "commands": {"type": "list", "elements": "list"},
    "settings": {"type": "dict"},
    "users": {"type": "list", "elements": "dict", "options": {"name": {}, "sudo": {"type": "bool"}, "keys": {"type": "list"}, "more": {"type": "raw"}}},
}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"size": "1G", "port": 22, "names": ["a"], "settings": {"a": [1]}, "users": [{"name": "alice", "sudo": True, "keys": [], "more": [1]}]},
        {"commands": [["touch", 1], [], [["a"]]]},
        {"size": 7, "port": "22", "strict": "no", "names": (), "users": None},
        {"strict": False, "another": "which is no option of the role"},
    ],
)
def test_what_is_right_is_not_mentioned(values):
    assert not list(mistyped(OPTIONS, values))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"names": "secret"}, ["names: this is no list"]),
        ({"names": {"secret": 1}}, ["names: this is no list"]),
        ({"names": ["a", ["secret"]]}, ["names[1]: this is a list"]),
        ({"commands": [["touch"], "secret"]}, ["commands[1]: this is no list"]),
        ({"size": ["secret"]}, ["size: this is a list"]),
        ({"port": {"secret": 1}}, ["port: this is a dictionary"]),
        ({"settings": "secret"}, ["settings: this is no dictionary"]),
        ({"users": ["secret"]}, ["users[0]: this is no dictionary"]),
        ({"users": [{"name": "alice", "sudo": "no", "keys": "secret"}]}, ["users[alice].sudo: this is neither", "users[alice].keys: this is no list"]),
        ({"users": [{"sudo": 1}]}, ["users[0].sudo: this is neither"]),
    ],
)
def test_what_is_not_is_named_and_not_shown(values, said):
    found = list(mistyped(OPTIONS, values))
    assert len(found) == len(said) and all(sentence.startswith(begin) for sentence, begin in zip(found, said, strict=True))
    assert "secret" not in "".join(found)
