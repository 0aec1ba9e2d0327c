# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_metrics, and the role that does it with node_exporter: made, changed, foretold, finished, taken away."""

from __future__ import annotations

import json
import os
import pathlib
import re
import stat
import subprocess
import zipfile

import conftest
import pytest
import vps_kit as kit
from conftest import MARK, PROGRAM

SETTINGS = pathlib.Path("/etc/vps/metrics.json")
UNITS = [pathlib.Path("/etc/systemd/system", name) for name in ("vps-metrics.service", "vps-metrics.timer")]
DEFAULTS = pathlib.Path("/etc/default/prometheus-node-exporter")
BESIDE = pathlib.Path("/etc/systemd/system/prometheus-node-exporter.service.d/mainline-vps.conf")


@pytest.fixture
def file(tmp_path):
    """Where the node tells; the test takes it away."""
    yield tmp_path / "text" / "vps.prom"
    kit.ok("vps_metrics", state="absent")


def made() -> dict[str, tuple]:
    """Everything that the module makes, as it is."""
    paths = [SETTINGS, pathlib.Path(PROGRAM), *UNITS]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns, stat.S_IMODE(path.stat().st_mode)) for path in paths if path.exists()}


def foretold(**params) -> dict:
    """Check mode writes nothing and says what the run then does; a second run has nothing to do. The run's result."""
    before = made()
    told = kit.ok("vps_metrics", check=True, **params)
    assert made() == before, "check mode wrote"
    done = kit.ok("vps_metrics", **params)
    for key in ("changed", "diff", "changes"):
        assert told[key] == done[key], f"{key}: check mode said {told[key]}, the run {done[key]}"
    after = made()
    again = kit.ok("vps_metrics", **params)
    assert not again["changed"] and made() == after, f"twice is not the same as once: {again['changes']}"
    return done


def test_all_is_made_and_foretold_and_taken_away(file):
    assert made() == {}
    kit.ok("vps_metrics", check=True, file=str(file))
    assert not file.parent.exists(), "check mode wrote"
    done = foretold(file=str(file), labels=["tier"])
    assert done["metrics"] == {"file": str(file), "labels": ["tier"], "interval": 60, "program": PROGRAM, "scheduled": kit.SYSTEMD}
    assert {path: mode for path, (_content, _time, mode) in made().items()} == {
        str(SETTINGS): 0o644, PROGRAM: 0o755, **{str(unit): 0o644 for unit in UNITS},
    }
    assert "vps_node_usable 1\n" in file.read_text(encoding="utf-8")
    gone = foretold(state="absent")
    assert gone["metrics"] is None
    assert made() == {} and not file.parent.exists() and not pathlib.Path(PROGRAM).parent.exists()


def test_a_change_is_a_change_and_nothing_else_is(file):
    kit.ok("vps_metrics", file=str(file))
    program = pathlib.Path(PROGRAM).stat()
    done = foretold(file=str(file), interval=120, labels=["a", "b"])
    assert {change["option"]: (change["before"], change["after"]) for change in done["changes"]} == {"interval": (60, 120), "labels": ([], ["a", "b"])}
    assert pathlib.Path(PROGRAM).stat().st_mtime_ns == program.st_mtime_ns
    assert "OnUnitActiveSec=120\n" in UNITS[1].read_text(encoding="utf-8")


def test_a_file_that_moves_is_in_one_place(file, tmp_path):
    kit.ok("vps_metrics", file=str(file))
    other = tmp_path / "other" / "vps.prom"
    foretold(file=str(other))
    assert other.exists() and not file.parent.exists()


def test_what_somebody_has_changed_is_put_right(file):
    kit.ok("vps_metrics", file=str(file))
    whole = pathlib.Path(PROGRAM).read_bytes()
    for path, option in ((pathlib.Path(PROGRAM), "program"), (UNITS[0], "service_unit"), (UNITS[1], "timer_unit")):
        path.write_bytes(b"#!/bin/sh\n")
        assert {change["option"] for change in foretold(file=str(file))["changes"]} == {option}
    assert pathlib.Path(PROGRAM).read_bytes() == whole
    file.unlink()
    assert {change["option"] for change in foretold(file=str(file))["changes"]} == {"written"}
    assert file.exists()


def test_folders_that_were_made_go_and_others_stay(tmp_path):
    (tmp_path / "there").mkdir()
    kit.ok("vps_metrics", file=str(tmp_path / "there/one/two/vps.prom"))
    kit.ok("vps_metrics", state="absent")
    assert list(tmp_path.iterdir()) == [tmp_path / "there"] and not list((tmp_path / "there").iterdir())
    kit.ok("vps_metrics", file=str(tmp_path / "there/vps.prom"))
    kit.ok("vps_metrics", state="absent")
    assert (tmp_path / "there").is_dir()


def test_settings_that_are_damaged_are_named(file):
    kit.ok("vps_metrics", file=str(file))
    SETTINGS.write_text("{", encoding="utf-8")
    try:
        assert kit.fails("vps_metrics", file=str(file)).startswith(f"node: {SETTINGS} cannot be read as settings")
        ended = subprocess.run([PROGRAM], capture_output=True, text=True, check=False)
        assert ended.returncode == 2 and re.fullmatch(rf"vps-metrics: node: {SETTINGS} cannot be read .*\.\n", ended.stderr)
    finally:
        SETTINGS.unlink()


def test_a_folder_that_a_guest_of_the_machine_writes_to_is_refused(tmp_path, file):
    open_ = tmp_path / "open"
    open_.mkdir()
    open_.chmod(0o777)
    assert "root alone may write" in kit.fails("vps_metrics", file=str(open_ / "vps.prom"))
    assert not (open_ / "vps.prom").exists()


def test_a_link_in_the_place_of_the_file_leads_nowhere(file, tmp_path):
    """What is there is replaced, and not written to."""
    file.parent.mkdir(mode=0o755)
    victim = tmp_path / "victim"
    victim.write_text("whole\n", encoding="utf-8")
    file.symlink_to(victim)
    kit.ok("vps_metrics", file=str(file), interval=30)
    assert victim.read_text(encoding="utf-8") == "whole\n" and not file.is_symlink()


def test_who_is_not_root_is_told_so():
    assert kit.fails("vps_metrics", uid=65534) == "become: this module needs root on the node; set become: true."


def test_the_program_is_what_ansible_has_sent(tmp_path, file):
    """From the archive of a task, which has no more than the module imports, comes the same as from a checkout."""
    kit.ok("vps_metrics", file=str(file))
    here = pathlib.Path(PROGRAM).read_bytes()
    kit.ok("vps_metrics", state="absent")
    output = kit.play(tmp_path, [{"name": "Tell", "mainline.vps.vps_metrics": {"file": str(file)}}])
    assert "changed=1" in output
    with zipfile.ZipFile(PROGRAM) as archive:
        assert archive.testzip() is None and "mainline_vps/node/meter.py" in archive.namelist()
    assert pathlib.Path(PROGRAM).read_bytes() == here


def test_examples_run_as_written(tmp_path):
    folder = pathlib.Path("/var/lib/prometheus/node-exporter")
    there = folder.is_dir()
    tasks = kit.examples("vps_metrics")
    assert f"changed={len(tasks)}" in kit.play(tmp_path, tasks)
    assert made() == {} and folder.is_dir() == there


def test_what_it_returns_is_what_is_documented(file):
    told = kit.ok("vps_metrics", file=str(file))
    documented = kit.documented_result("vps_metrics")
    assert set(documented["metrics"]["contains"]) == set(told["metrics"])
    assert set(documented) <= set(told) and {"changes", "restart_required", "metrics"} == set(documented)


# -- the role -----------------------------------------------------------------------------------------------------------------


def installed() -> bool:
    asked = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}", "prometheus-node-exporter"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout == "installed"


def apt(*arguments: str) -> None:
    """Run apt-get, which waits for others."""
    kit.run("apt-get", "-o", "DPkg::Lock::Timeout=300", "--yes", "--no-install-recommends", *arguments, "prometheus-node-exporter")


@pytest.fixture
def stock():
    """No exporter, before and after; one that the machine had is there again at the end."""
    had = installed()
    if had:
        apt("purge")
    yield
    assert not installed() and not MARK.parent.exists()
    if had:
        apt("install")


def test_the_role_brings_the_exporter_and_takes_it_away_again(tmp_path, stock):
    foreseen = conftest.role(tmp_path, "--check")
    assert "failed=0" in foreseen and not installed() and made() == {} and not MARK.parent.exists()
    told = " ".join(conftest.role(tmp_path).split())
    assert installed() and MARK.exists()
    assert ("is installed and not started by the role" in told) == (not pathlib.Path("/run/systemd/system").exists()), "it ended well, and nothing answers"
    assert re.search(r'^ARGS="--web.listen-address=127.0.0.1:9100"$', DEFAULTS.read_text(encoding="utf-8"), re.MULTILINE), "it would answer to VPSs"
    assert json.loads(SETTINGS.read_text(encoding="utf-8"))["made_folder"] is None
    before = {path: os.stat(path).st_mtime_ns for path in (DEFAULTS, MARK, SETTINGS, PROGRAM)}
    for options in ((), ("--check",)):
        assert "changed=0" in conftest.role(tmp_path, *options)
    assert {path: os.stat(path).st_mtime_ns for path in before} == before
    assert "changed=1" in conftest.role(tmp_path, listen="127.0.0.2:9200", arguments=["--no-collector.wifi"])
    assert 'ARGS="--web.listen-address=127.0.0.2:9200 --no-collector.wifi"\n' in DEFAULTS.read_text(encoding="utf-8")
    conftest.role(tmp_path, state="absent")
    assert not installed() and made() == {}
    assert "changed=0" in conftest.role(tmp_path, state="absent")


@pytest.fixture
def somebodys():
    """An exporter that was there, with arguments of its owner's; gone again at the end where the machine had none."""
    had = installed()
    if not had:
        apt("install")
    before = DEFAULTS.read_bytes()
    own = b'# --web.listen-address is not said here\nARGS="--no-collector.wifi \\\n  --collector.ntp"  # of its owner\n'
    DEFAULTS.write_bytes(own)
    yield own
    DEFAULTS.write_bytes(before)
    if not had:
        apt("purge")


def test_an_exporter_that_was_there_stays_as_it_is(tmp_path, somebodys):
    conftest.role(tmp_path)
    assert DEFAULTS.read_bytes() == somebodys and not MARK.exists() and not BESIDE.parent.exists()
    conftest.role(tmp_path, state="absent")
    assert installed() and made() == {}


def started_with() -> list[str]:
    """The program and its arguments of the last ExecStart= beside somebody's unit, which first takes away the unit's own."""
    lines = [line for line in BESIDE.read_text(encoding="utf-8").splitlines() if line.startswith("ExecStart=")]
    assert lines[0] == "ExecStart=" and len(lines) == 2
    return lines[1].partition("=")[2].split()


def test_arguments_are_added_to_those_of_somebodys_exporter_and_go_again(tmp_path, somebodys):
    program = "/usr/bin/prometheus-node-exporter"
    options = {"listen": "127.0.0.2:9200", "arguments": ["--collector.netdev.device-exclude=^v.*$", '--x=%"\\']}
    conftest.role(tmp_path)
    assert "changed=2" in conftest.role(tmp_path, "--check", **options) and not BESIDE.parent.exists()
    assert "changed=2" in conftest.role(tmp_path, **options)
    assert started_with() == [program, "$ARGS", '"--web.listen-address=127.0.0.2:9200"', '"--collector.netdev.device-exclude=^v.*$$"', r'"--x=%%\"\\"']
    assert "changed=0" in conftest.role(tmp_path, **options)
    conftest.role(tmp_path, arguments=["--collector.qdisc"])
    assert started_with() == [program, "$ARGS", '"--collector.qdisc"'], "arguments alone are arguments too"
    assert "changed=1" in conftest.role(tmp_path, "--check") and BESIDE.exists()
    assert "changed=1" in conftest.role(tmp_path) and not BESIDE.parent.exists(), "without the options it is as it was"
    assert "changed=0" in conftest.role(tmp_path)
    conftest.role(tmp_path, **options)
    other = BESIDE.with_name("override.conf")
    other.write_text("[Service]\nNice=5\n", encoding="utf-8")
    try:
        conftest.role(tmp_path, state="absent")
        assert os.listdir(BESIDE.parent) == [other.name]
    finally:
        other.unlink()
        BESIDE.parent.rmdir()
    assert installed() and DEFAULTS.read_bytes() == somebodys


def test_an_argument_that_its_owner_has_given_is_refused(tmp_path, somebodys):
    tasks = [{"ansible.builtin.include_role": {"name": "mainline.vps.metrics"}, "vars": {"metrics_arguments": ["--collector.ntp=x"]}}]
    process = kit.playbook(tmp_path, tasks)
    output, _none = process.communicate(timeout=120)
    assert process.returncode != 0 and "--collector.ntp: /etc/default/prometheus-node-exporter, which is not the role's, has that already" in output
    assert DEFAULTS.read_bytes() == somebodys and not BESIDE.parent.exists()
    conftest.role(tmp_path, state="absent")


def test_the_role_without_an_exporter_touches_no_package(tmp_path, file):
    had = installed()
    conftest.role(tmp_path, exporter=False, file=str(file), labels=["tier"], interval=30)
    assert installed() == had and json.loads(SETTINGS.read_text(encoding="utf-8"))["labels"] == ["tier"]


def test_what_the_role_takes_is_checked(tmp_path):
    process = kit.playbook(tmp_path, [{"ansible.builtin.include_role": {"name": "mainline.vps.metrics"}, "vars": {"metrics_state": "maybe"}}])
    output, _none = process.communicate(timeout=120)
    assert process.returncode != 0 and "metrics_state" in output
