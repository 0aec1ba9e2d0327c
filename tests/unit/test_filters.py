# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters on the controller: their examples run as written, their arguments are read, and what they refuse is a sentence.

What they calculate is tried in test_plans.py.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from jinja2 import StrictUndefined
from jinja2.nativetypes import NativeEnvironment

from ansible_collections.mainline.vps.plugins.filter import vps_scale as scale_file
from ansible_collections.mainline.vps.plugins.filter.vps_scale import vps_scale
from ansible_collections.mainline.vps.plugins.filter.vps_split import vps_split
from ansible_collections.mainline.vps.plugins.filter.vps_validate import vps_validate
from ansible_collections.mainline.vps.plugins.module_utils.core import machine
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.contract.bench import TEMPLATE, A
from ansible_collections.mainline.vps.tests.contract.memory_node import MemoryNode

FILTERS = sorted(path.stem for path in Path(scale_file.__file__).parent.glob("vps_*.py"))
SMALL = {"memory": "512M", "swap": "256M", "cpulimit": "50%", "processes": "300", "diskspace": "10G"}
FACTS = {"processor": ["0", "GenuineIntel", "Xeon"], "processor_nproc": 2, "memtotal_mb": 512}
COLLECTION = "mainline.vps."


def load(name):
    return importlib.import_module(f"ansible_collections.{COLLECTION}plugins.filter.{name}")


ENVIRONMENT = NativeEnvironment(undefined=StrictUndefined)
for _name in FILTERS:
    ENVIRONMENT.filters.update({f"{COLLECTION}{name}": function for name, function in load(_name).FilterModule().filters().items()})


@pytest.fixture
def info():
    """What vps_info returns of a node with a VPS."""
    node = MemoryNode()
    modules.reconcile(node, "vps_template", name=TEMPLATE, source="minimal")
    modules.reconcile(node, "vps_container", name=A, template=TEMPLATE, limits={"memory": "1G"})
    return modules.subjects.read_info(node, {"name": None})


def templated(value, variables):
    """A value of a task with its expressions evaluated."""
    if isinstance(value, dict):
        return {key: templated(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [templated(each, variables) for each in value]
    return ENVIRONMENT.from_string(value).render(variables) if isinstance(value, str) else value


def run_example(name, info):
    """The tasks of a filter's examples, one after the other; gives what each of its calls came to."""
    variables, results = {}, []
    for task in yaml.safe_load(load(name).EXAMPLES):
        task = dict(task)
        scope = {**variables, **task.pop("vars", {})}
        register = task.pop("register", None)
        assert task.pop("name")
        ((module, options),) = task.items()
        given = templated(options or {}, scope)
        if module == f"{COLLECTION}vps_info":
            variables[register] = info
        elif module == f"{COLLECTION}vps_node":
            results += machine.parse_machine(modules.parameters("vps_node", **given)).plans.values()
        elif module == "ansible.builtin.set_fact":
            variables.update(given)
            results += given.values()
        elif module == "ansible.builtin.setup":
            variables["ansible_facts"] = FACTS
        elif module == "ansible.builtin.debug":
            results.append(given["msg"])
        else:
            assert module == "ansible.builtin.assert"
            assert ENVIRONMENT.compile_expression(options["that"], undefined_to_none=False)(scope) is True
    return results


@pytest.mark.parametrize("name", FILTERS)
def test_the_examples_run_as_written(name, info):
    assert all(run_example(name, info))


@pytest.mark.parametrize("name", ["vps_split", "vps_scale", "vps_validate"])
def test_what_the_examples_give_is_what_is_documented(name, info):
    sample = yaml.safe_load(load(name).RETURN)["_value"]["sample"]
    shown = {
        "vps_split": lambda: run_example(name, info)[0],
        "vps_scale": lambda: vps_scale({"memory": "1G", "swap": "512M", "cpulimit": 100, "cpumask": "0-1", "processes": 400, "diskspace": "20G"}, 2),
        "vps_validate": lambda: [said for said in run_example(name, info)[0] if said["level"] == "warning"],
    }[name]()
    assert shown == sample


@pytest.mark.parametrize("name", FILTERS)
def test_every_argument_is_documented_with_its_default(name):
    documented = yaml.safe_load(load(name).DOCUMENTATION)
    assert documented["name"] == name
    options = documented["options"]
    (function,) = load(name).FilterModule().filters().values()
    _input, *arguments = inspect.signature(function).parameters.values()
    assert set(options) == {"_input", *(argument.name for argument in arguments)}
    for argument in arguments:
        option = options[argument.name]
        assert option.get("required", False) == (argument.default is inspect.Parameter.empty), argument.name
        if not option.get("required"):
            assert option.get("default") in (argument.default, {}), argument.name


def test_a_node_is_divided_by_numbers_and_by_text(info):
    node = info["node"]
    assert vps_split(node, "10", "10%") == vps_split(node, 10, margin=10) == vps_split(node, 10)
    assert vps_split(node, 10, keep={"disk": "50G", "cpu": "0", "processes": 768})["diskspace"] == "5G"
    assert vps_split(node, 10, keep={"cpu": 0}, overcommit={"cpu": "250%"})["cpulimit"] == "100%"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"count": 0}, "vps_split: count: '0' is too small"),
        ({"count": "unlimited"}, "vps_split: count: cannot be unlimited"),
        ({"count": "ten"}, "vps_split: count: 'ten' is not a whole number"),
        ({"count": 9999}, "vps_split: count: each of 9999 VPSs"),
        ({"margin": 100}, "vps_split: margin: '100' is too large"),
        ({"margin": "1G"}, "vps_split: margin: '1G' is not a percentage"),
        ({"keep": "1G"}, "vps_split: keep: '1G' is no set of limits"),
        ({"keep": {"ram": "1G"}}, "vps_split: keep: there is no resource 'ram'"),
        ({"keep": {"memory": "unlimited"}}, "vps_split: keep.memory: cannot be unlimited"),
        ({"keep": {"processes": "1G"}}, "vps_split: keep.processes: '1G' is not a whole number"),
        ({"overcommit": {"cpu": "unlimited"}}, "vps_split: overcommit.cpu: cannot be unlimited"),
        ({"overcommit": {"ram": 1}}, "vps_split: overcommit: there is no resource 'ram'"),
        ({"overcommit": [1]}, "vps_split: overcommit: "),
    ],
)
def test_what_cannot_divide_a_node_is_refused_in_a_sentence(info, given, told):
    with pytest.raises(AnsibleFilterError) as caught:
        vps_split(info["node"], **{"count": 10, **given})
    assert str(caught.value).startswith(told)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("node", [None, "node", 5, [], {}, {"pool": "/pool"}, {"capacity": None}, {"capacity": {"memory": {"present": 1}}}])
def test_what_is_no_node_is_refused_in_a_sentence(node):
    with pytest.raises(AnsibleFilterError, match="^vps_split: node: is not one that vps_info returns"):
        vps_split(node, 10)
    if node is not None:
        with pytest.raises(AnsibleFilterError, match="^vps_validate: node: is not one that vps_info returns"):
            vps_validate(SMALL, node)


NO_NUMBERS = [pytest.param("²", id="²"), pytest.param("٣", id="٣"), pytest.param("9" * 5000, id="long"), pytest.param(10**5000, id="longer")]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_only_looks_like_a_number_is_refused_in_a_sentence_wherever_it_stands(info, value):
    for key in ("memory", "diskspace", "iolimit", "numproc", "cpumask", "cpus"):
        with pytest.raises(AnsibleFilterError, match=f"^vps_scale: {key}: "):
            vps_scale({key: value}, 2)
        assert vps_validate({key: value})[0]["level"] == "error"
    for given in ({"count": value}, {"margin": value}, {"keep": {"memory": value}}, {"overcommit": {"cpu": value}}):
        with pytest.raises(AnsibleFilterError, match=r"^vps_split: .*\.$"):
            vps_split(info["node"], **{"count": 10, **given})
    with pytest.raises(AnsibleFilterError, match="^vps_scale: factor: "):
        vps_scale(SMALL, value)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, 2.5, True, "many", None, [], *NO_NUMBERS])
def test_a_node_that_has_no_number_of_something_is_none(info, value):
    node = {**info["node"], "capacity": {**info["node"]["capacity"], "disk": {"present": value}}}
    for call in (lambda: vps_split(node, 10), lambda: vps_validate(SMALL, node)):
        with pytest.raises(AnsibleFilterError, match="node: is not one that vps_info returns"):
            call()


@pytest.mark.parametrize("word", ["promised", "overcommit"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, "many", [], *NO_NUMBERS])
def test_a_node_whose_promises_are_no_numbers_is_none(info, word, value):
    node = {**info["node"], "capacity": {**info["node"]["capacity"], "memory": {"present": 1 << 33, word: value}}}
    with pytest.raises(AnsibleFilterError, match="^vps_validate: node: is not one that vps_info returns"):
        vps_validate(SMALL, node)


@pytest.mark.parametrize("vps", [{"name": "a"}, {"name": "a", "limits": 1}, {"name": "a", "limits": {}, "addresses": None}])
@pytest.mark.parametrize("name", ["vps_table", "vps_beancounters"])
def test_what_is_no_vps_is_put_into_no_table(name, vps):
    (table,) = load(name).FilterModule().filters().values()
    with pytest.raises(AnsibleFilterError, match=f"^{name}: one of the VPSs "):
        table([vps])


@pytest.mark.parametrize("size", [10**400, "many", None, []])
def test_a_vps_that_uses_no_number_of_bytes_is_put_into_no_table(info, size):
    with pytest.raises(AnsibleFilterError, match="^vps_table: one of the VPSs "):
        load("vps_table").vps_table([{**info["vpss"][0], "disk_used": size}])


def test_a_count_of_thousands_of_digits_is_put_into_no_table(info):
    rows = [{**row, "held": 10**5000} for row in info["vpss"][0]["usage"]["rows"]]
    with pytest.raises(AnsibleFilterError, match="^vps_beancounters: one of the VPSs "):
        load("vps_beancounters").vps_beancounters([{**info["vpss"][0], "usage": {"rows": rows}}])


def test_a_node_may_have_its_numbers_as_text_or_as_fractions_of_one(info):
    told = info["node"]["capacity"]
    for form in (str, float):
        node = {"capacity": {name: {"present": form(there["present"]), "promised": form(there["promised"])} for name, there in told.items()}}
        assert (vps_split(node, 10), vps_validate(SMALL, node)) == (vps_split(info["node"], 10), vps_validate(SMALL, info["node"]))


@pytest.mark.parametrize(
    ("factor", "memory"),
    [(2, "1G"), ("2", "1G"), (0.5, "256M"), ("50%", "256M"), ("150 %", "768M"), (0.1 + 0.2, "153M"), (1, "512M"), (1.0, "512M")],
)
def test_a_factor_is_a_number_or_percents(factor, memory):
    assert vps_scale(SMALL, factor)["memory"] == memory


@pytest.mark.parametrize("factor", [0, "0%", -1, "-1", "many", None, True, [], "", "1e3", float("inf"), float("nan"), "٢"])
def test_what_is_no_factor_is_refused_in_a_sentence(factor):
    with pytest.raises(AnsibleFilterError, match=r"^vps_scale: factor: .*(give|write) .*\.$"):
        vps_scale(SMALL, factor)


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (None, "vps_scale: plan: 'None' is no set"),
        ({"memry": "1G"}, "vps_scale: memry: there is no such limit"),
        ({"plan": "small"}, "vps_scale: plan: names another plan"),
        ({"swap": "1G"}, "vps_scale: swap: a swap limit counts"),
    ],
)
def test_what_is_no_plan_is_not_scaled(plan, told):
    with pytest.raises(AnsibleFilterError) as caught:
        vps_scale(plan, 2)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("plan", [None, "small", ["memory"]])
def test_what_is_no_plan_is_not_looked_through(plan):
    with pytest.raises(AnsibleFilterError, match="^vps_validate: plan: .* is no set of limits"):
        vps_validate(plan)


def test_what_is_said_of_a_plan_is_plain_data():
    assert vps_validate({"memory": "512M", "swap": "0", "processes": 300, "diskspace": "1M"}) == [
        {
            "level": "warning",
            "limit": "diskspace",
            "text": "is less than 512M; a Debian with its package lists and an upgrade needs more, and its template counts too.",
        }
    ]
