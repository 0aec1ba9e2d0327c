# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of a role's options that Ansible takes for the right type, and that are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.mainline.vps.plugins.plugin_utils.mistyped import mistyped

ROOT = Path(__file__).parents[2]
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


ROLES = sorted(path.parents[1].name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))


def slip(options):
    """Values with a text for the first list of single values, and where that is."""
    for name, option in options.items():
        if option.get("type") != "list" or "choices" in option:
            continue
        if option.get("elements") != "dict":
            return {name: "secret"}, name
        inside = slip(option["options"])
        if inside:
            others = {key: option.get("choices", ["x"])[0] for key, option in option["options"].items() if option.get("required")}
            return {name: [{**others, **inside[0]}]}, f"{name}[{others.get('name', 0)}].{inside[1]}"
    return None


@pytest.mark.parametrize("role", [name for name in ROLES if name != "packages"])  # which the others call, and which has nothing to lose
def test_each_role_refuses_a_text_for_a_list_before_anything_is_touched(role, tmp_path):
    """In check mode, on this machine."""
    (entry,) = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"].values()
    values, path = slip(entry["options"])
    values |= {name: "x" for name, option in entry["options"].items() if option.get("required")}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.include_role": {"name": f"mainline.vps.{role}"}, "vars": values}]}
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}/.build/live:{ROOT}/.build/community", "LC_ALL": "C.UTF-8"}
    here = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    command = [Path(sys.executable).parent / "ansible-playbook", *here, "--check", tmp_path / "play.yml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    said = done.stdout + done.stderr
    assert done.returncode == 2 and f"{path}: this is no list" in said and "changed=0 " in said, said
