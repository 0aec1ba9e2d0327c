# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's code out of an archive, as a node has it: by a Python of its own, which has imported nothing yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from ansible_collections.mainline.vps.plugins import module_utils
from ansible_collections.mainline.vps.plugins.module_utils import loading

PACKAGE = module_utils.__name__
HOUSE = Path(next(iter(module_utils.__path__)))
DIGESTS = " ".join(loading.digest(file.read_bytes()) for file in HOUSE.rglob("*.py"))
COUNT = """
import builtins, collections, json, sys
archive, package, compiled, compile_ = sys.argv[1], sys.argv[2], collections.Counter(), builtins.compile
def compile(source, name, *more, **options):
    compiled[str(name).partition("module_utils/")[2]] += package.replace(".", "/") in str(name)
    return compile_(source, name, *more, **options)
builtins.compile = compile
sys.path.insert(0, archive)
__import__(package + ".loading")
sys.modules[package + ".loading"].KEPT = sys.argv[3]
"""
TELL = "\nprint(json.dumps({name: times for name, times in compiled.items() if times}))\n"
BEFORE = {"__init__.py", "core/__init__.py", "loading.py"}  # what Python itself loads, until ours takes over
# What a task on one VPS needs none of.
ELSEWHERE = {
    "core/machine.py", "core/machine_plan.py", "core/nodefiles.py", "core/unitfiles.py", "core/template.py", "core/usage.py", "core/reading.py",
    "core/command.py", "core/enterfile.py", "node/inside.py", "node/programs.py",
    "core/template_sources.py", "core/archive.py", "node/build.py", "node/sources/archive.py", "node/sources/debian.py",
    "node/guest.py", "node/machine.py", "node/template_steps.py", "node/tree.py", "node/usage.py", "node/firewall.py",
    "core/bridging.py", "core/ruleset.py", "node/interfaces.py", "node/filtering.py", "node/probe.py", "node/traffic.py",
    "core/snapshots.py", "node/snapshots.py", "node/snapshot_steps.py", "snapshot_subject.py",
    "node/keeping.py", "node/root_steps.py", "node/roots.py",
    "core/content.py", "core/template_life.py", "node/content.py", "node/progress.py", "node/template_life.py", "node/sources/exported.py",
    "node/storage/ext4.py", "node/storage/image.py", "node/storage/pool.py",
}


@pytest.fixture
def archive(tmp_path):
    """What Ansible makes of a module's imports: all of them, whether they are used or not, in packages that it makes up down to ours."""
    path = tmp_path / "code.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        parts = PACKAGE.split(".")
        for depth in range(1, len(parts) + 1):
            packed.writestr("/".join([*parts[:depth], "__init__.py"]), "")
        for file in HOUSE.rglob("*.py"):
            packed.write(file, "/".join([*parts, *file.relative_to(HOUSE).parts]))
    return path


@pytest.fixture
def run(archive, tmp_path):
    """Runs a script, again and again on one node; gives how often it compiled each of our files."""

    def run(script: str) -> dict[str, int]:
        command = [sys.executable, "-I", "-c", COUNT + script + TELL, str(archive), PACKAGE, str(tmp_path / "kept")]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout.splitlines()[-1])

    return run


LIMITS = f"from {PACKAGE}.core import limits, units\nlimits.Limits(), units.PAGE"


def test_what_is_used_is_compiled_once(run):
    times = run(LIMITS)
    assert {"core/limits.py", "core/units.py", "core/errors.py"} <= set(times)
    assert not [name for name, number in times.items() if number > 1 and name not in BEFORE]


def test_and_not_again_by_the_next_task(run):
    run(LIMITS)
    assert set(run(LIMITS)) <= BEFORE


def test_what_is_not_used_is_not_compiled(run):
    assert "core/limits.py" not in run(f"from {PACKAGE}.core import limits")


def test_a_task_on_a_vps_loads_the_code_for_that_alone(run):
    times = run(f"""
from {PACKAGE} import subjects
from {PACKAGE}.node.node import Node
from {PACKAGE}.node import vps_steps, configuration, limits, sweep
subjects.LIMITS.parse, Node, vps_steps.APPLY, configuration.stale, limits.read, sweep.sweep
""")
    assert "node/vps_steps.py" in times and "core/container.py" in times
    assert not set(times) & ELSEWHERE


SPOILT = {
    "empty": lambda code: b"", "half": lambda code: code[: len(code) // 2], "other": lambda code: b"\xff" * len(code),
    "a bit": lambda code: code[:-9] + bytes([code[-9] ^ 1]) + code[-8:], "no code": lambda code: b"N",
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_what_is_damaged_is_compiled_anew(run, tmp_path, spoil):
    first = run(LIMITS)
    for file in (tmp_path / "kept").iterdir():
        file.write_bytes(spoil(file.read_bytes()))
    assert run(LIMITS) == first


def test_another_source_is_other_code(run, archive, tmp_path):
    run(LIMITS)
    kept = set((tmp_path / "kept").iterdir())
    with zipfile.ZipFile(archive, "a") as packed, pytest.warns(UserWarning, match="Duplicate"):
        packed.writestr(f"{PACKAGE.replace('.', '/')}/core/errors.py", (HOUSE / "core" / "errors.py").read_text() + "# another release\n")
    assert "core/errors.py" in run(LIMITS)
    assert len(set((tmp_path / "kept").iterdir()) - kept) == 1


def test_another_python_has_code_of_its_own(run):
    other = f"sys.modules[{PACKAGE!r} + '.loading'].MAGIC_NUMBER = b'another'\n"
    first = run(LIMITS)
    assert run(other + LIMITS) == first, "it was given what was compiled for this one"
    assert set(run(other + LIMITS)) <= BEFORE and set(run(LIMITS)) <= BEFORE, "what each has compiled is kept beside the other's"


def test_root_alone_may_write_there(run, tmp_path):
    run(LIMITS)
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder away, which takes root")
NOT_OURS = pytest.mark.parametrize("spoil", [
    lambda kept: kept.chmod(0o777), lambda kept: kept.chmod(0o720), lambda kept: kept.symlink_to(kept.rename(kept.with_name("elsewhere"))),
    pytest.param(lambda kept: os.chown(kept, 1000, 1000), marks=AS_ROOT),
], ids=["all may write there", "its group may", "a link", "somebody's"])


@NOT_OURS
def test_nothing_is_taken_from_where_others_may_write(run, tmp_path, spoil):
    first = run(LIMITS)
    spoil(tmp_path / "kept")
    assert run(LIMITS) == first


@NOT_OURS
@pytest.mark.parametrize("name", ["", f"vps_info-{0:064x} {DIGESTS}"], ids=["code", "an archive"])
def test_nor_written_there(run, tmp_path, spoil, name):
    (tmp_path / "kept").mkdir(mode=0o700)
    spoil(tmp_path / "kept")
    run(f"import os; os.environ['VPS_CODE'] = '{name}'\n{LIMITS}")
    assert not list((tmp_path / "kept").iterdir())


def test_a_link_where_code_is_written_is_not_followed(run, tmp_path):
    first = run(LIMITS)
    names = [file.rename(file.with_suffix(".before")).with_suffix("") for file in (tmp_path / "kept").iterdir()]
    (tmp_path / "precious").write_text("precious")
    links = f"import os\nfor name in {[str(name) for name in names]}: os.symlink({str(tmp_path / 'precious')!r}, f'{{name}}.{{os.getpid()}}')\n"
    assert run(links + LIMITS) == first
    assert (tmp_path / "precious").read_text() == "precious" and all(name.is_file() and not name.is_symlink() for name in names)


def test_what_is_old_goes_when_an_archive_comes_and_archives_by_their_number(run, tmp_path):
    run(LIMITS)
    kept, day = tmp_path / "kept", 86400
    code, other = sorted(kept.iterdir())[:2]
    old = [code, kept / f"{code.name}.1", kept / f"vps_info-{1:064x}.zip.2"]
    stay = [other, kept / f"{other.name}.1", kept / f"vps_node-{1:064x}.zip"]
    for file in (*old, *stay):
        file.touch()
        os.utime(file, (time.time() - (2 if file in old or file.suffix == ".zip" else 0.5) * day,) * 2)
    run(f"import os; os.environ['VPS_CODE'] = 'vps_info-{0:064x} {DIGESTS}'\nimport {PACKAGE}.core")
    assert not [file.name for file in old if file.exists()] and all(file.exists() for file in stay)
    assert (kept / f"vps_info-{0:064x}.zip").exists()


@pytest.mark.parametrize("digests", ["", DIGESTS.partition(" ")[2]], ids=["of nothing", "of another release"])
def test_an_archive_that_is_not_what_it_is_called_is_not_kept(run, tmp_path, digests):
    run(f"import os; os.environ['VPS_CODE'] = 'vps_info-{0:064x} {digests}'\nimport {PACKAGE}.core")
    assert not list((tmp_path / "kept").glob("*.zip"))


def test_where_nothing_can_be_kept_it_runs_all_the_same(run, tmp_path):
    (tmp_path / "kept").write_text("a file")
    assert run(LIMITS) == run(LIMITS) != {}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system without room, which takes root")
def test_where_there_is_no_room_nothing_is_left_over(run, tmp_path):
    (tmp_path / "kept").mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=0700", "none", tmp_path / "kept"], check=True)
    try:
        assert all("core/limits.py" in run(LIMITS) for _task in range(2))
        assert not [file.name for file in (tmp_path / "kept").iterdir() if "." in file.name]
    finally:
        subprocess.run(["umount", tmp_path / "kept"], check=True)


def test_an_error_names_the_line_in_the_archive(run):
    run(f"""
import traceback
from {PACKAGE}.core import units
try:
    units.parse_size(None, option="x")
except Exception:
    assert 'code.zip/{PACKAGE.replace(".", "/")}/core/units.py", line ' in traceback.format_exc()
else:
    raise AssertionError
""")


def test_a_name_that_is_not_there_is_an_import_error(run):
    run(f"""
try:
    from {PACKAGE}.core import nothing
except ImportError as error:
    assert "nothing" in str(error)
else:
    raise AssertionError
""")


def test_outside_an_archive_python_loads_it_as_it_always_does():
    assert type(module_utils.__spec__.loader).__name__ != "Importer"
    assert not any(hook.__module__.endswith("module_utils.loading") for hook in sys.path_hooks if hasattr(hook, "__module__"))
