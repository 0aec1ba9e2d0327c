# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords that are generated once, and not by a check."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lookup():
    """Asks as a task does, once for each path."""
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/live"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "LC_ALL": "C.UTF-8"}

    def ask(path, *more, length=24):
        message = f"msg={{{{ lookup('mainline.vps.vps_secret', '{path}', length={length}) }}}}"
        command = [Path(sys.executable).parent / "ansible", "localhost", "-m", "debug", "-a", message, *more]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
        return json.loads(done.stdout.partition("=> ")[2])["msg"]

    return ask


def test_it_is_generated_once_and_kept_for_its_owner_alone(lookup, tmp_path):
    path = tmp_path / "secrets" / "alice@example.com"
    first = lookup(path)
    assert re.fullmatch("[A-Za-z0-9]{24}", first)
    assert path.read_text(encoding="utf-8").strip() == first and path.stat().st_mode & 0o777 == 0o600
    assert lookup(path) == first
    assert lookup(path, "--check") == first


def test_a_check_keeps_none(lookup, tmp_path):
    path = tmp_path / "secrets" / "bob"
    assert len(lookup(path, "--check", length=64)) == 64
    assert not path.parent.exists()


def test_what_somebody_has_written_there_is_taken_as_it_is(lookup, tmp_path):
    path = tmp_path / "given"
    path.write_text("it's mine, größer\n", encoding="utf-8")
    assert lookup(path) == "it's mine, größer"


def test_a_file_that_was_cut_before_it_had_a_password_is_an_error(tmp_path, lookup):
    path = tmp_path / "cut"
    path.write_text("", encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        lookup(path)
    assert f"{path} is empty" in failed.value.stdout + failed.value.stderr
