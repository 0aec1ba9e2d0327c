# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what vps_metrics is asked and what there is to a plan; and the program that it installs, run from its archive."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils import metrics_program
from ansible_collections.mainline.vps.plugins.module_utils.core import metrics_plan
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.metrics_plan import Actual, Desired, Settings, compare, parse_metrics
from ansible_collections.mainline.vps.plugins.module_utils.node import bundle, metering
from ansible_collections.mainline.vps.tests.contract import modules

OTHERS = Settings("/srv/metrics/vps.prom", ("tier",), 120)


def parse(**given) -> Desired:
    return parse_metrics(modules.parameters("vps_metrics", **given))


def done(desired: Desired, actual: Actual, *, count: int | None = None) -> Actual:
    """What there is after a plan was carried out, or after so many of its steps."""
    for step in compare(desired, actual).steps[:count]:
        if isinstance(step, metrics_plan.SetText):
            actual = replace(actual, texts={**actual.texts, step.file: step.text})
            if step.file == "settings":
                actual = replace(actual, settings=metrics_plan.read_settings(step.text))
        elif isinstance(step, metrics_plan.InstallProgram):
            actual = replace(actual, program=actual.current)
        elif isinstance(step, metrics_plan.RemoveProgram):
            actual = replace(actual, program=None)
        elif isinstance(step, metrics_plan.SetTimer):
            actual = replace(actual, timer=step.runs)
        else:
            actual = replace(actual, written=isinstance(step, metrics_plan.WriteMetrics))
    return actual


def changed(desired: Desired, actual: Actual) -> dict[str, object]:
    return {change.option: change.after for change in compare(desired, actual).changes}


NOTHING = Actual(current="new", timer=False)


@pytest.mark.parametrize("timer", [False, None], ids=["systemd", "no systemd"])
def test_all_of_it_is_made_once(timer):
    nothing = replace(NOTHING, timer=timer)
    assert set(changed(parse(), nothing)) == {"file", "labels", "interval", "program", *(["running"] if timer is not None else [])}
    there = done(parse(), nothing)
    assert there.settings == Settings() and there.written and there.timer == (None if timer is None else True)
    assert compare(parse(), there) == metrics_plan.Plan()


def test_all_of_it_goes_and_the_settings_last():
    there = done(parse(), NOTHING)
    plan = compare(Desired("absent"), there)
    assert plan.steps[0] == metrics_plan.SetTimer(False), "a unit cannot be stopped when it is not there any more"
    assert plan.steps[-1] == metrics_plan.SetText("settings", None)
    gone = done(Desired("absent"), there)
    assert (gone.settings, gone.program, gone.timer, gone.written, set(gone.texts.values())) == (None, None, False, False, {None})
    assert compare(Desired("absent"), gone) == metrics_plan.Plan()


@pytest.mark.parametrize("count", range(1, 7))
def test_a_run_that_is_killed_is_finished_by_the_next(count):
    there = done(parse(), NOTHING)
    for desired, start in ((parse(), NOTHING), (Desired("absent"), there), (Desired(settings=OTHERS), there)):
        left = done(desired, start, count=count)
        assert compare(desired, done(desired, left)) == metrics_plan.Plan()


def test_another_release_brings_its_program_and_a_unit_that_was_edited_is_written_again():
    there = done(parse(), NOTHING)
    assert changed(parse(), replace(there, current="newer")) == {"program": "installed"}
    edited = replace(there, texts={**there.texts, "timer": "[Timer]\n"})
    assert changed(parse(), edited) == {"timer_unit": "written"}
    assert metrics_plan.SetTimer(True) in compare(parse(), edited).steps
    assert changed(parse(), replace(there, timer=False)) == {"running": True}
    assert changed(parse(), replace(there, written=False)) == {"written": True}


def test_a_file_that_is_to_be_elsewhere_is_not_left_behind():
    there = done(parse(), NOTHING)
    steps = compare(parse(file=OTHERS.file), there).steps
    assert there.timer and steps[:2] == (metrics_plan.SetTimer(False), metrics_plan.RemoveMetrics(Settings())), "the timer would write it once more"
    assert steps.index(metrics_plan.SetTimer(True)) > 1
    without = compare(parse(file=OTHERS.file), replace(there, timer=None)).steps
    assert without[0] == metrics_plan.RemoveMetrics(Settings()) and not [step for step in without if isinstance(step, metrics_plan.SetTimer)]


def test_a_folder_that_was_made_for_it_is_remembered():
    there = done(parse(), replace(NOTHING, missing="/var/lib/prometheus"))
    assert there.settings is not None and there.settings.made_folder == "/var/lib/prometheus"
    there = replace(there, missing=None)
    assert changed(parse(), there) == {}
    other = done(parse(interval=120), there)
    assert other.settings == Settings(interval=120, made_folder="/var/lib/prometheus"), "it is still to go with it"
    moved = done(parse(file=OTHERS.file), replace(other, missing="/srv/metrics"))
    assert moved.settings == Settings(OTHERS.file, interval=60, made_folder="/srv/metrics")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"file": "vps.prom"}, "file: 'vps.prom' is no absolute path"),
        ({"file": "/srv/vps.txt"}, "file: '/srv/vps.txt' is no absolute path that ends in .prom"),
        ({"file": "/srv/../etc/x.prom"}, "file: "),
        ({"file": "/srv/a\nb.prom"}, "file: '/srv/a?b.prom' is"),
        ({"interval": 5}, "interval: 5 is out of range"),
        ({"labels": ["a.b", "a-b"]}, "labels: 'a.b' and 'a-b' are both label_a_b"),
        ({"labels": ["1"]}, "labels: '1' cannot be a label"),
        ({"labels": [f"l{number}" for number in range(11)]}, "labels: 11 are too many"),
    ],
)
def test_what_cannot_be_is_refused(given, sentence):
    with pytest.raises(VpsError) as raised:
        parse(**given)
    assert str(raised.value).startswith(sentence) and str(raised.value).endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", '{"file": "/etc/shadow", "labels": [], "interval": 60}', '{"file": 1, "labels": []}',
        '{"file": "/a/b.prom", "labels": [], "made_folder": "/etc"}',
    ],
)
def test_settings_that_are_none_of_ours_are_refused(text):
    with pytest.raises(VpsError):
        metrics_plan.read_settings(text)


def test_settings_are_read_as_they_were_written():
    assert metrics_plan.read_settings(OTHERS.to_text()) == OTHERS


def test_a_folder_that_others_write_to_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(VpsError, match="root alone"):
        metering.require_folder(str(tmp_path / "vps.prom"))
    with pytest.raises(VpsError, match="is missing"):
        metering.require_folder(str(tmp_path / "no" / "vps.prom"))


# -- the program ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program as it is installed."""
    path = tmp_path_factory.mktemp("program") / "metrics"
    path.write_bytes(bundle.build("metrics_program"))
    return path


def test_the_program_is_the_same_each_time(program):
    assert bundle.build("metrics_program") == program.read_bytes()


def test_the_program_is_this_code_and_all_that_it_imports_is_in_it(program):
    with zipfile.ZipFile(program) as archive:
        names = set(archive.namelist())
        for name in names - {"__main__.py", "mainline_vps/__init__.py"}:
            assert archive.read(name) == bundle.source_of(name.partition("/")[2]), name
            around = name.split("/")[:-1]
            for node in ast.walk(ast.parse(archive.read(name))):
                if isinstance(node, ast.ImportFrom) and node.level:
                    place = "/".join([*around[: len(around) - node.level + 1], *(node.module or "").split(".")]).rstrip("/")
                    assert {f"{place}.py", f"{place}/__init__.py"} & names, f"{name} imports {place}"
                elif isinstance(node, (ast.Import, ast.ImportFrom)):
                    modules_ = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                    assert all(module.split(".")[0] in sys.stdlib_module_names for module in modules_), f"{name} imports {modules_}"
    assert not {"mainline_vps/runner.py", "mainline_vps/subjects.py"} & names, "there is no Ansible beside it"


def test_the_program_says_in_a_sentence_that_its_settings_have_been_edited_wrongly(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(metering, "METRICS", str(tmp_path / "metrics.json"))
    (tmp_path / "metrics.json").write_text(replace(OTHERS, labels=("a-b", "a.b")).to_text(), encoding="utf-8")
    assert metrics_program.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("vps-metrics: node: ") and "two of its labels are the same to Prometheus" in said and said.count("\n") == 1


def test_the_program_says_in_a_sentence_what_it_lacks(program):
    ended = subprocess.run([sys.executable, "-I", str(program)], capture_output=True, text=True, check=False, env={"HOME": "/nowhere"})
    assert "Traceback" not in ended.stderr
    if ended.returncode:  # elsewhere than on a node that tells already
        assert ended.returncode == 2 and ended.stderr.startswith("vps-metrics: ") and ended.stderr.endswith(".\n")
