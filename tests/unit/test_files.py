# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's own files: replaced whole, and given back as they were."""

from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.node import files

MESS = bytes(range(256)) + b"\r\nend"


def test_a_file_that_is_read_and_written_is_the_same_to_the_last_byte(tmp_path):
    path = tmp_path / "fstab"
    path.write_bytes(MESS)
    files.write(str(path), files.read(str(path)))
    assert path.read_bytes() == MESS


def test_a_file_is_replaced_and_not_written_into(tmp_path):
    path, other = tmp_path / "config", tmp_path / "other"
    path.write_text("old")
    os.link(path, other)
    files.write(str(path), "new", mode=0o600)
    assert (path.read_text(), other.read_text()) == ("new", "old")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["config", "other"]


def test_what_a_killed_run_left_of_a_file_is_in_nobodys_way(tmp_path):
    (tmp_path / "config.new").write_text("half of something longer")
    files.write(str(tmp_path / "config"), "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


def test_there_is_no_text_where_there_is_no_file(tmp_path):
    (tmp_path / "file").write_text("x")
    assert files.read(str(tmp_path / "none")) is None
    assert files.read(str(tmp_path / "file" / "below")) is None
    assert files.read_tail(str(tmp_path / "none")) is None


@pytest.mark.parametrize(("size", "tail"), [(3, "end"), (100, "the end")])
def test_only_the_end_of_a_log_is_read(tmp_path, size, tail):
    (tmp_path / "log").write_text("the end")
    assert files.read_tail(str(tmp_path / "log"), size) == tail


def test_a_log_that_a_guest_filled_with_anything_is_text(tmp_path):
    (tmp_path / "log").write_bytes(MESS)
    assert files.read_tail(str(tmp_path / "log"), 8) == "\ufffd\ufffd\ufffd\r\nend"
