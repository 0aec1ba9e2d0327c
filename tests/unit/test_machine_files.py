# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the machine's files are replaced: whole, with the permissions that they have, and never over somebody else's edit."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.machine import SetFile
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import Plan
from ansible_collections.mainline.vps.plugins.module_utils.node import machine
from ansible_collections.mainline.vps.tests.unit.reading import sentence


@pytest.fixture
def subuid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of that name, here."""
    path = tmp_path / "etc" / "subuid"
    monkeypatch.setitem(machine.FILES, "subuid", str(path))
    return path


def set_file(before: str | None, text: str | None) -> None:
    machine.Machine().apply(Plan(steps=(SetFile("subuid", before, text),)))


def test_a_file_is_made_replaced_and_removed(subuid):
    set_file(None, "one\n")
    assert subuid.read_text(encoding="utf-8") == "one\n" and stat.S_IMODE(subuid.stat().st_mode) == 0o644
    subuid.chmod(0o600)
    set_file("one\n", "caf\udce9\r\n")
    assert subuid.read_bytes() == b"caf\xe9\r\n" and stat.S_IMODE(subuid.stat().st_mode) == 0o600
    set_file("caf\udce9\r\n", None)
    assert not subuid.exists()


def test_a_link_stays_one(subuid, tmp_path):
    subuid.parent.mkdir()
    (tmp_path / "elsewhere").write_text("one\n", encoding="utf-8")
    subuid.symlink_to(tmp_path / "elsewhere")
    set_file("one\n", "two\n")
    assert subuid.is_symlink() and (tmp_path / "elsewhere").read_text(encoding="utf-8") == "two\n"


@pytest.mark.parametrize(("before", "text"), [("one\n", "two\n"), (None, "two\n"), ("one\n", None)])
def test_what_somebody_else_wrote_in_between_is_not_lost(subuid, before, text):
    subuid.parent.mkdir()
    subuid.write_text("one\nmore\n", encoding="utf-8")
    assert f"somebody else has changed {subuid} meanwhile" in sentence(lambda: set_file(before, text), "node")
    assert subuid.read_text(encoding="utf-8") == "one\nmore\n"
