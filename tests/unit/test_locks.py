# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks, between processes: one holds, the other waits, is told who holds it, and gets it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.node import locks

HOLDER = """
import sys
from ansible_collections.mainline.vps.plugins.module_utils.node import locks
locks.FOLDER = sys.argv[1]
sys.argv[0] = "/somewhere/AnsiballZ_vps_container.py"
with locks.hold("vps", "web", timeout=0):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Locks of our own, in a folder that is not there yet."""
    monkeypatch.setattr(locks, "FOLDER", str(tmp_path / "locks"))
    return tmp_path / "locks"


@contextmanager
def another_process(folder):
    """Another run that holds the lock of the VPS `web`, until it is told something."""
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_lock_is_a_file_for_as_long_as_it_is_held(folder):
    with locks.hold("vps", "web", timeout=0):
        assert os.listdir(folder) == ["vps-web"]
        assert (folder / "vps-web").read_text().startswith(f"process {os.getpid()} (")
    assert os.listdir(folder) == []


def test_a_lock_that_another_process_holds_is_an_error_that_names_it(folder):
    with another_process(folder) as other:
        start = time.monotonic()
        with pytest.raises(locks.VpsError) as caught, locks.hold("vps", "web", timeout=0.2):
            pytest.fail("two hold it")
        assert 0.2 <= time.monotonic() - start < 5
        assert str(caught.value) == (
            f"lock_timeout: vps 'web' is being changed by process {other.pid} (AnsiballZ_vps_container.py); waited 0.2 seconds. "
            "Try again when it is done."
        )


def test_the_lock_of_another_thing_is_free(folder):
    with another_process(folder), locks.hold("vps", "web2", timeout=0), locks.hold("template", "web", timeout=0):
        assert sorted(os.listdir(folder)) == ["template-web", "vps-web", "vps-web2"]


def test_who_waits_gets_the_lock_when_it_is_free(folder):
    with another_process(folder) as other:
        other.stdin.write("enough\n")
        other.stdin.flush()
        with locks.hold("vps", "web", timeout=20):
            assert other.stdout.readline() == "released\n"
            assert (folder / "vps-web").read_text().startswith(f"process {os.getpid()} (")


def test_the_lock_of_a_dead_process_is_free(folder):
    with another_process(folder) as other:
        other.kill()
        other.wait()
        assert os.listdir(folder) == ["vps-web"], "its file is still there"
        with locks.hold("vps", "web", timeout=0):
            pass
    assert os.listdir(folder) == []


def test_an_error_under_a_lock_releases_it(folder):
    with pytest.raises(ZeroDivisionError), locks.hold("vps", "web", timeout=0):
        raise ZeroDivisionError
    with locks.hold("vps", "web", timeout=0):
        pass


def test_a_lock_is_not_taken_twice_by_one_process():
    with locks.hold("vps", "web", timeout=0), pytest.raises(locks.VpsError), locks.hold("vps", "web", timeout=0):
        pytest.fail("two hold it")


def test_a_lock_on_a_file_that_is_gone_is_no_lock(folder, monkeypatch):
    """The holder removes the file while somebody waits on it: whoever then gets the old file's lock must look again."""
    looked = []
    really = locks.is_at

    def first_it_is_gone(descriptor, path):
        looked.append(descriptor)
        if len(looked) == 1:
            os.unlink(path)
        return really(descriptor, path)

    monkeypatch.setattr(locks, "is_at", first_it_is_gone)
    with locks.hold("vps", "web", timeout=0):
        assert len(looked) == 2
        assert os.listdir(folder) == ["vps-web"]


def test_a_child_that_is_given_the_lock_keeps_it_when_its_parent_is_killed(folder):
    with locks.hold("vps", "other", timeout=0) as descriptor:
        assert not os.get_inheritable(descriptor), "who is not given it does not have it"
    keeps = HOLDER.replace('print("held"', 'import subprocess; subprocess.Popen(["sleep", "60"], pass_fds=(lock,)); print("held"')
    keeps = keeps.replace("timeout=0):", "timeout=0) as lock:")
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", keeps, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
    ) as parent:
        try:
            assert parent.stdout.readline() == "held\n"
            parent.kill()
            parent.wait()
            with pytest.raises(locks.VpsError, match=f"process {parent.pid} "), locks.hold("vps", "web", timeout=0.1):
                pytest.fail("the child still works under it")
        finally:
            os.killpg(parent.pid, 9)
