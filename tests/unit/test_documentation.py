# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules document is what they take, and their examples are tasks that they take."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.mainline.vps.plugins.doc_fragments.common import ModuleDocFragment
from ansible_collections.mainline.vps.plugins.doc_fragments.fleet import ModuleDocFragment as FleetFragment
from ansible_collections.mainline.vps.plugins.doc_fragments.limits import ModuleDocFragment as LimitsFragment
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import ALIASES, BEANCOUNTERS, KEYS
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.subjects import read_info
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.contract.bench import TEMPLATE, A
from ansible_collections.mainline.vps.tests.contract.memory_node import MemoryNode

MODULES = sorted(path.stem for path in Path(modules.load("vps_info").__file__).parent.glob("*.py"))
CHANGING = sorted(modules.SUBJECTS)
FRAGMENTS = {
    "common": yaml.safe_load(ModuleDocFragment.DOCUMENTATION),
    "fleet": yaml.safe_load(FleetFragment.DOCUMENTATION),
    "limits": yaml.safe_load(LimitsFragment.DOCUMENTATION),
    "limits.policy": yaml.safe_load(LimitsFragment.POLICY),
}
DOCUMENTED = ("type", "choices", "default", "required", "elements", "aliases")
COLLECTION = "mainline.vps."
KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEaAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"


def documentation(module):
    """A module's own documentation, with the options that it shares with others."""
    told = yaml.safe_load(modules.load(module).DOCUMENTATION)
    for fragment in told.get("extends_documentation_fragment", ()):
        told["options"] = {**FRAGMENTS[fragment.removeprefix(COLLECTION)]["options"], **told["options"]}
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


def test_the_limits_that_are_documented_are_those_of_the_core():
    alone = modules.argument_spec("vps_limits")
    assert set(alone) - {"name", "lock_timeout", "unsupported", "force"} == {"plan", *KEYS}
    assert set(FRAGMENTS["limits"]["options"]) == {"plan", *KEYS}
    assert list(Limits().__dataclass_fields__) == list(KEYS)
    assert {alias: name for name, option in alone.items() for alias in option.get("aliases", ())} == ALIASES


@pytest.mark.parametrize("limit", [name for name, key in KEYS.items() if key.bounds.get("minimum", 0) > 1 and name not in BEANCOUNTERS])
def test_the_least_value_of_a_limit_is_documented(limit):
    key = KEYS[limit]
    text = " ".join(FRAGMENTS["limits"]["options"][limit]["description"])
    assert re.search(rf"\b({key.kind.format(key.bounds['minimum'])}|{key.bounds['minimum']})\b", text)


@pytest.mark.parametrize(("module", "given"), examples())
def test_an_example_is_a_task_that_its_module_takes(module, given):
    values = {name: "$6$saltsalt$" + "a" * 86 if "password_hash(" in str(value) else value for name, value in given.items()}
    values = {name: [] if str(value).endswith(".vpss }}") else value for name, value in values.items()}  # an earlier result
    values = {name: re.sub("(?<=-){{.*}}", "1", value) if isinstance(value, str) else value for name, value in values.items()}  # the date
    values = {name: [{**one, "key": KEY} for one in value] if name == "repositories" else value for name, value in values.items()}
    params = modules.parameters(module, **values)
    if module in modules.SUBJECTS:
        wish = modules.SUBJECTS[module].parse(params)
        assert wish.name == given.get("vps" if module == "vps_snapshot" else "name", wish.name)


def test_the_examples_of_a_module_show_each_of_its_states():
    shown = {given.get("state", "started") for module, given in (param.values for param in examples()) if module == "vps_container"}
    assert {"started", "stopped", "absent"} <= shown


@pytest.mark.parametrize("module", CHANGING)
def test_what_a_module_returns_is_documented_and_the_other_way_round(module):
    returned = yaml.safe_load(modules.load(module).RETURN)
    assert {"changes", "restart_required"} <= set(returned)
    thing = {"vps_network": "network", "vps_template": "template", "vps_node": "node", "vps_snapshot": "snapshots"}.get(module, "vps")
    assert set(returned) - {"changes", "restart_required", "boot", "fidelity", "kept_paths", "archive", "differences"} == {thing}


def test_every_value_of_a_vps_and_of_a_template_is_documented():
    node = MemoryNode()
    template = modules.reconcile(node, "vps_template", name=TEMPLATE, source="minimal")["template"]
    vps = modules.reconcile(node, "vps_container", name=A, template=TEMPLATE)["vps"]
    for module, key, result in (("vps_template", "template", template), ("vps_container", "vps", vps)):
        documented = yaml.safe_load(modules.load(module).RETURN)[key]["contains"]
        assert set(documented) == set(result)


def test_the_page_of_limits_is_as_the_code_has_it():
    table = Path(__file__).parents[2] / "tools/limits_table.py"
    done = subprocess.run([sys.executable, str(table), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_value_of_what_a_vps_uses_is_documented():
    node = MemoryNode()
    modules.reconcile(node, "vps_template", name=TEMPLATE, source="minimal")
    modules.reconcile(node, "vps_container", name=A, template=TEMPLATE)
    usage = read_info(node, modules.parameters("vps_info", since=[]))["vpss"][0]["usage"]
    documented = yaml.safe_load(modules.load("vps_info").RETURN)["vpss"]["contains"]["usage"]["contains"]
    assert set(documented) == set(usage)
    assert set(documented["rows"]["contains"]) == set(usage["rows"][0])
    for part in ("memory", "cpu", "io"):
        assert set(documented[part]["sample"]) == set(usage[part])
