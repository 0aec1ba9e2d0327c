# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of the house: who may import what. Read from the source, not from what happens to be imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ansible_collections.mainline.vps.plugins import module_utils

HOUSE = Path(next(iter(module_utils.__path__)))
# Modules of the standard library that neither read nor write anything.
PURE = {
    "__future__", "collections", "collections.abc", "contextlib", "dataclasses", "hashlib", "ipaddress", "json", "re", "typing", "math", "functools", "enum",
    "itertools",
    "difflib", "fnmatch", "base64", "struct", "urllib.parse", "datetime",
}
LOADING = "..loading"  # of core/__init__.py alone, for it comes before all else
PARTS = (
    "abilities", "boot", "bundle", "cgroup", "content", "crew", "engine", "firewall", "fleet_progress", "guest", "interfaces", "keeping", "lxcfs", "network",
    "probe", "processes", "rates", "record", "resources", "sparse", "traffic", "usage",
    "sources/archive", "sources/debian", "sources/exported", "sources/fetching", "sources/lxc_images", "sources/minimal", "sources/oci", "sources/streams",
    "sources/unpack",
    "storage/btrfs", "storage/directory", "storage/driver", "storage/ext4", "storage/image", "storage/overlay", "storage/plain", "storage/pool",
)
# How limits are brought into force, which takes several parts' knowledge of where a VPS is; above the parts, and below the steps.
LIMITS = {"controls": {"cgroup", "resources", "unit"}, "limits": {"cgroup", "controls", "processes"}, "unit": {"cgroup"}}
# What every part may use: below them all, and of no kernel or disk part's knowledge.
COMMON = {"tools", "files", "descent", "devices", "locks", "mounts", "netlink", "settings", "spares", "copying", "tree", "syscalls"}
# Who knows the parts: what takes several of them.
ABOVE = (
    "again", "backups", "build", "configuration", "filtering", "fleet", "fleet_steps", "glance", "holding", "inside", "machine", "meter", "metering",
    "networks", "node", "parts", "programs", "progress", "restic", "returning", "root_steps", "roots", "snapshot_steps", "snapshots", "survey", "sweep",
    "template_life", "template_steps", "vps_steps", "waiting",
)
RUNS = {"run", "run_action", "run_fleet", "run_info"}  # the ways into the runner
BECOMES = "vps_kept.py"  # is no module for itself


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Everything that a file says."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> Iterator[str]:
    """Everything that a file imports, anywhere in it; relative ones start with their dots."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            if node.module and not set(start) == {"."}:
                yield start
            else:
                yield from (start + name.name for name in node.names)


def calls(path: Path) -> set[str]:
    """The names of all functions that a file calls."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Call):
            found.add(node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
    return found


def files(*folders: str) -> list[Path]:
    """The source files of some folders."""
    found = [path for folder in folders for path in sorted((HOUSE / folder).rglob("*.py"))]
    assert found
    return found


def named(path: Path) -> str:
    return str(path.relative_to(HOUSE))


@pytest.mark.parametrize("path", files("core"), ids=named)
def test_the_core_imports_only_itself_and_what_is_pure(path):
    modules = {file.stem for file in files("core")}
    for name in set(imports(path)) - ({LOADING} if named(path) == "core/__init__.py" else set()):
        assert name in PURE or (name.startswith(".") and not name.startswith("..") and name[1:] in modules), name


@pytest.mark.parametrize("path", files("core"), ids=named)
def test_the_core_opens_nothing_and_runs_nothing(path):
    assert not calls(path) & {"open", "print", "exec", "eval", "__import__", "input", "import_module"}


@pytest.mark.parametrize("path", files("."), ids=named)
def test_only_the_runner_knows_ansible(path):
    if named(path) != "runner.py":
        assert not [name for name in imports(path) if name.split(".")[0] in ("ansible", "ansible_collections")]
        assert not calls(path) & {"fail_json", "exit_json"}


@pytest.mark.parametrize("path", sorted((HOUSE.parent / "modules").glob("*.py")), ids=lambda path: path.name)
def test_a_module_is_one_call_into_the_runner(path):
    if path.name != BECOMES:
        own = set(imports(path)) - {"__future__"}
        assert all(name.startswith(f"{module_utils.__name__}.") or name == module_utils.__name__ for name in own), own
        assert not calls(path) & {"AnsibleModule", "fail_json", "exit_json"}
        assert len([name for name in calls(path) if name in RUNS]) == 1


@pytest.mark.parametrize("path", files("."), ids=named)
def test_only_the_runner_asks_for_check_mode(path):
    asked = [node for node in nodes(path) if isinstance(node, ast.Attribute) and node.attr == "check_mode"]
    assert bool(asked) == (named(path) == "runner.py")


def test_each_file_of_the_node_has_its_floor():
    there = sorted(str(path.relative_to(HOUSE / "node").with_suffix("")) for path in files("node") if path.name != "__init__.py")
    assert sorted([*ABOVE, *LIMITS, *PARTS, *COMMON]) == there


def neighbours(name: str) -> set[str]:
    """What a file of the node imports of the node, but for what all may."""
    level = "." * (name.count("/") + 1)
    found = {word[len(level) :].split(".")[0] for word in imports(HOUSE / "node" / f"{name}.py") if word.startswith(level) and not word.startswith(level + ".")}
    return found - COMMON


@pytest.mark.parametrize("part", [*PARTS, *sorted(COMMON)])
def test_the_parts_do_not_know_each_other_and_what_all_use_knows_none(part):
    assert not neighbours(part)


@pytest.mark.parametrize("name", ABOVE)
def test_what_is_above_the_parts_knows_some(name):
    assert neighbours(name), "it is a part"


@pytest.mark.parametrize("name", LIMITS)
def test_limits_know_these_parts_and_no_other(name):
    own = {word[1:].split(".")[0] for word in imports(HOUSE / "node" / f"{name}.py") if word.startswith(".") and not word.startswith("..")}
    assert own - COMMON == LIMITS[name]


@pytest.mark.parametrize("path", files("node"), ids=named)
def test_no_shell_is_ever_asked(path):
    assert not calls(path) & {"system", "popen", "getoutput", "getstatusoutput"}
    for node in nodes(path):
        if isinstance(node, ast.keyword):
            assert node.arg != "shell"


@pytest.mark.parametrize("path", files("."), ids=named)
def test_nothing_that_is_slow_to_import_is_imported(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"pyroute2", "yaml", "jinja2", "requests"}


def test_properties_are_tried_with_the_same_examples_in_each_run_of_any_test_file():
    assert "ansible_collections.mainline.vps.tests.unit" in set(imports(Path(__file__).with_name("conftest.py")))


def test_what_a_login_that_is_not_root_is_told_is_written_once():
    assert [named(path) for path in files(".") if '"become: ' in path.read_text(encoding="utf-8")] == ["node/settings.py"]


@pytest.mark.parametrize("folder", ["benchmarks", "plugins", "tests"])
def test_no_line_is_longer_than_160_characters(folder):
    paths = sorted((Path(__file__).parents[2] / folder).rglob("*.py"))
    long = [f"{path.name}:{number}" for path in paths for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if len(line) > 160]
    assert paths and not long
