# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules document is what they take, and their examples are tasks that they take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.mainline.vps.plugins.doc_fragments.common import ModuleDocFragment
from ansible_collections.mainline.vps.plugins.module_utils.core import limits
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.contract.bench import TEMPLATE, A
from ansible_collections.mainline.vps.tests.contract.memory_node import MemoryNode

MODULES = sorted(path.stem for path in Path(modules.load("vps_info").__file__).parent.glob("*.py"))
CHANGING = sorted(modules.SUBJECTS)
COMMON = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)
DOCUMENTED = ("type", "choices", "default", "required", "elements")
COLLECTION = "mainline.vps."


def documentation(module):
    """A module's own documentation, with the options that all modules have."""
    told = yaml.safe_load(modules.load(module).DOCUMENTATION)
    if told.get("extends_documentation_fragment"):
        told["options"] = {**COMMON["options"], **told["options"]}
    return told


def examples():
    """(module, the task's options) of every task in every module's examples."""
    found = []
    for module in MODULES:
        for task in yaml.safe_load(modules.load(module).EXAMPLES):
            ours = [key for key in task if key.startswith(COLLECTION)]
            assert len(ours) == 1, task["name"]
            found.append(pytest.param(ours[0].removeprefix(COLLECTION), task[ours[0]] or {}, id=f"{module}: {task['name']}"))
    return found


def told(option):
    """What is to be compared of an option, of its documentation as of its spec."""
    known = {key: option[key] for key in DOCUMENTED if option.get(key) not in (None, False)}
    below = option.get("suboptions") or option.get("options")
    return {**known, "below": {name: told(each) for name, each in below.items()}} if below else known


@pytest.mark.parametrize("module", MODULES)
def test_every_option_is_documented_as_it_is(module):
    documented, there = documentation(module)["options"], modules.argument_spec(module)
    assert {name: told(option) for name, option in documented.items()} == {name: told(option) for name, option in there.items()}


@pytest.mark.parametrize("module", MODULES)
def test_what_must_not_be_logged_is_said_of_every_option_that_sounds_secret(module):
    for name, option in modules.argument_spec(module).items():
        if re.search("pass|key|secret|hash|token", name):
            assert "no_log" in option, name


def test_the_hash_of_a_password_is_not_logged():
    assert modules.argument_spec("vps_container")["root_password_hash"]["no_log"] is True


def test_limits_are_the_same_in_both_modules_and_in_the_core():
    section = modules.argument_spec("vps_container")["limits"]["options"]
    alone = modules.argument_spec("vps_limits")
    assert list(section) == list(limits.TABLE)
    assert section == {name: alone[name] for name in section}
    assert set(alone) - set(section) == {"name", "lock_timeout"}


def _words(option, prefix):
    text = option["description"]
    text = text if isinstance(text, str) else " ".join(text)
    return re.sub(r"\s+", " ", text.replace(f"O({prefix}", "O(").strip()).rstrip(".")


@pytest.mark.parametrize("limit", limits.TABLE)
def test_a_limits_value_is_explained_alike_in_both_modules(limit):
    section = documentation("vps_container")["options"]["limits"]["suboptions"][limit]
    alone = documentation("vps_limits")["options"][limit]
    short, long = sorted((_words(section, "limits."), _words(alone, "")), key=len)
    number = re.compile(r"\d[\d ]*[KMGTP%]?")
    assert number.findall(short) == number.findall(long), "the bounds that are told"
    assert short.split()[:3] == long.split()[:3], "what it counts"


@pytest.mark.parametrize("limit", [name for name, row in limits.TABLE.items() if row.bounds.get("minimum", 0) > 1])
def test_the_least_value_of_a_limit_is_documented(limit):
    row = limits.TABLE[limit]
    assert re.search(rf"\b{row.format(row.bounds['minimum'])}\b", _words(documentation("vps_limits")["options"][limit], ""))


@pytest.mark.parametrize(("module", "given"), examples())
def test_an_example_is_a_task_that_its_module_takes(module, given):
    values = {name: "$6$saltsalt$" + "a" * 86 if "password_hash(" in str(value) else value for name, value in given.items()}
    params = modules.parameters(module, **values)
    if module in modules.SUBJECTS:
        wish = modules.SUBJECTS[module].parse(params)
        assert wish.name == given.get("name", wish.name)


def test_the_examples_of_a_module_show_each_of_its_states():
    shown = {given.get("state", "started") for module, given in (param.values for param in examples()) if module == "vps_container"}
    assert {"started", "stopped", "absent"} <= shown


@pytest.mark.parametrize("module", CHANGING)
def test_what_a_module_returns_is_documented_and_the_other_way_round(module):
    returned = yaml.safe_load(modules.load(module).RETURN)
    assert {"changes", "restart_required"} <= set(returned)
    assert set(returned) - {"changes", "restart_required", "boot"} == {{"vps_template": "template", "vps_node": "node"}.get(module, "vps")}


def test_every_value_of_a_vps_and_of_a_template_is_documented():
    node = MemoryNode()
    template = modules.reconcile(node, "vps_template", name=TEMPLATE, source="minimal")["template"]
    vps = modules.reconcile(node, "vps_container", name=A, template=TEMPLATE)["vps"]
    for module, key, result in (("vps_template", "template", template), ("vps_container", "vps", vps)):
        documented = yaml.safe_load(modules.load(module).RETURN)[key]["contains"]
        assert set(documented) == set(result)
