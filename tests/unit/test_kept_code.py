# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On the controller: by which name code is kept, and when a task goes by it. What a node does then is the integration target vps_kept's."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible import constants

from ansible_collections.mainline.vps.plugins import module_utils
from ansible_collections.mainline.vps.plugins.action import vps_kept
from ansible_collections.mainline.vps.plugins.module_utils import loading
from ansible_collections.mainline.vps.plugins.plugin_utils import kept_code

HOUSE = Path(next(iter(module_utils.__path__))).parent


# -- the name ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A copy of what there is."""
    for folder in ("modules", "module_utils"):
        shutil.copytree(HOUSE / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kept_code, "_PLUGINS", tmp_path)
    return tmp_path


def name(module: str = "vps_info") -> str:
    """As another run of a playbook finds it."""
    kept_code._read.cache_clear()
    try:
        return kept_code.name(module)
    finally:
        kept_code._read.cache_clear()


def test_it_is_the_same_wherever_the_collection_is(house):
    here = name()
    assert here.startswith("vps_info-") and loading._NAME.fullmatch(here)
    kept_code._PLUGINS = HOUSE
    assert name() == here != name("vps_node")


@pytest.mark.parametrize("change", [
    lambda house: (house / "modules" / "vps_info.py").open("a").write("\n"),
    lambda house: (house / "module_utils" / "runner.py").open("a").write("\n"),
    lambda house: (house / "module_utils" / "core" / "units.py").open("a").write("\n"),
    lambda house: (house / "module_utils" / "node" / "storage" / "btrfs.py").open("a").write("\n"),
    lambda house: (house / "module_utils" / "node" / "new.py").touch(),
    lambda house: (house / "module_utils" / "core" / "units.py").unlink(),
    lambda house: (house / "module_utils" / "core" / "units.py").rename(house / "module_utils" / "node" / "units.py"),
], ids=["the module", "the runner", "the core", "a part", "one more", "one less", "one elsewhere"])
def test_other_code_has_another(house, change):
    before = name()
    change(house)
    assert name() != before


def test_what_the_module_does_not_import_is_nothing_to_it(house):
    before = name()
    (house / "modules" / "vps_node.py").unlink()
    (house / "module_utils" / "__pycache__").mkdir()
    (house / "module_utils" / "__pycache__" / "runner.cpython-311.pyc").touch()
    assert name() == before


# -- a task -----------------------------------------------------------------------------------------------------------------


class Task(SimpleNamespace):
    """As much of a task as the action looks at."""

    args: dict = {}
    check_mode = False


class Action(vps_kept.ActionModule):
    """The action, with what would go to a node written down: the module, and what its environment says of code."""

    def __init__(self, *answers: dict | Exception, later: int = 0, native: bool = False, environment: list | None = None, module: str = "vps_info") -> None:
        shell = SimpleNamespace(tmpdir="/a/folder")
        self._task = Task(async_val=later, action=module, resolved_action=f"mainline.vps.{module}", environment=environment)
        self._connection = SimpleNamespace(has_native_async=native, _shell=shell)
        self.sent: list[tuple] = []
        self.removed: list[str] = []
        self.answers = list(answers)

    def _execute_module(self, module_name=None, task_vars=None, wrap_async=False, **more):
        told = [each[loading.ASKED] for each in self._task.environment or [] if loading.ASKED in each]
        self.sent.append((module_name, told, wrap_async))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _remove_tmp_path(self, tmp_path, force=False):
        self.removed.append(tmp_path)


CODE = [kept_code.name("vps_info")]
KEPT = (vps_kept.KEPT, CODE, False)


def test_a_node_that_has_the_code_is_sent_the_small_module_alone():
    action = Action({"changed": True})
    assert action.run() == {"changed": True} and action.sent == [KEPT]


def test_one_that_has_not_is_sent_the_module_itself_with_the_name_to_keep_it_by():
    action = Action({"code_missing": True}, {"changed": False})
    assert action.run() == {"changed": False} and action.sent == [KEPT, (None, [kept_code.with_digests("vps_info")], False)]


@pytest.mark.parametrize("environment", [None, [], [{"PROXY": "x"}]])
@pytest.mark.parametrize("answers", [
    [{}], [{"code_missing": True}, {}], [{"code_missing": True}, ConnectionError()], [ConnectionError()],
], ids=["kept", "brought", "lost while it is brought", "lost"])
def test_the_tasks_environment_is_as_it_was_for_its_next_run(environment, answers):
    action = Action(*answers, environment=environment)
    try:
        action.run()
    except ConnectionError:
        pass
    assert action._task.environment is environment and environment in (None, [], [{"PROXY": "x"}])


def test_while_files_are_to_be_left_on_the_node_the_whole_module_is_sent(monkeypatch):
    monkeypatch.setattr(constants, "DEFAULT_KEEP_REMOTE_FILES", True)
    action = Action({"changed": True})
    assert action.run() == {"changed": True} and action.sent == [(None, [], False)]


def test_the_small_module_itself_is_sent_as_it_is():
    action = Action({"failed": True}, module="vps_kept")
    assert action.run() == {"failed": True} and action.sent == [(None, [], False)]


def test_a_task_in_the_background_is_sent_whole_and_its_folder_is_left_to_it():
    action = Action({"started": 1}, later=60)
    assert action.run() == {"started": 1} and action.sent == [(None, [], True)] and not action.removed


@pytest.mark.parametrize("given", [{}, {"later": 60, "native": True}])
def test_the_folder_on_the_node_goes_with_the_task(given):
    action = Action({"changed": True}, **given)
    action.run()
    assert action.removed == ["/a/folder"]
