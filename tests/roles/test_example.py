# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule in a project of others: what docs/molecule.md shows, what is left, and what is said of a mistake."""

from __future__ import annotations

import sys
import time

import pytest
import yaml
from scenario import ROOT, example

sys.path.insert(0, str(ROOT / "tests/integration/kit"))
from vps_sshd import serve  # noqa: E402

PREFIX = "ansible_vps_node_"


@pytest.fixture
def project(tmp_path):
    """The documented project in a folder of its own, and afterwards none of its VPSs."""
    scenario = example(tmp_path)
    yield scenario
    text = (tmp_path / "molecule/default/molecule.yml").read_text(encoding="utf-8")
    scenario.run("destroy")
    assert not scenario.vpss(), text


def change(project, before, after):
    """A line of its molecule.yml."""
    path = project.folder / "molecule/default/molecule.yml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_the_example_runs_as_written_and_leaves_nothing(project):
    assert project.run("test") == 0
    assert not project.vpss()


def test_a_mistyped_option_is_one_sentence_and_makes_nothing(project):
    change(project, "limits:", "limts:")
    code, said = project.says("create")
    assert code != 0 and not project.vpss()
    told = " ".join(said.replace("│", " ").split())
    assert "platforms[web].limts: there is no such option of a VPS; did you mean 'limits'?" in told
    assert "Traceback" not in told


def test_what_a_killed_run_has_left_goes_with_the_next_as_does_what_is_named_no_more(project):
    with project.running("create") as run:
        deadline = time.monotonic() + 600
        while not project.vpss() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    assert project.vpss()
    change(project, "name: client", "name: visitor")
    assert project.run("create") == 0
    assert set(project.vpss()) == {"web", "visitor"}
    made = {name: path.stat().st_ino for name, path in project.vpss().items()}
    assert project.run("reset") == 0  # which forgets, and removes nothing
    assert project.run("create") == 0
    now = {name: path.stat().st_ino for name, path in project.vpss().items()}
    assert set(now) == set(made) and not set(now.values()) & set(made.values()), "they are not new"
    assert project.run("reset") == 0
    assert project.run("destroy") == 0
    assert not project.vpss()


def test_the_node_may_be_another_machine_that_ssh_leads_to(project, tmp_path_factory):
    path = project.folder / "molecule/default/molecule.yml"
    with serve(tmp_path_factory.mktemp("sshd")) as server:
        way = {name.replace("ansible_", PREFIX, 1): value for name, value in server.variables().items()}
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) | {"provisioner": {"inventory": {"group_vars": {"all": way}}}}
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        assert project.run("create") == 0
        made = server.logins()
        assert made and set(project.vpss()) == {"web", "client"}
        assert project.run("converge") == 0
        assert server.logins() > made
        assert project.run("destroy") == 0
        assert not project.vpss()
