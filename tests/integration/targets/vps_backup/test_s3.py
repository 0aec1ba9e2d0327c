# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that speaks S3: moto's server, which is among what the tests need (requirements/test.txt)."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import vps_kit as kit
from conftest import COPY, NAME, PASSWORD, backup
from vps_sshd import free_port


@pytest.fixture
def store() -> Iterator[dict]:
    """The options that lead to a store."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        kit.until("the store listens", lambda: _listens(port), seconds=120)
        yield {
            "repository": f"s3:http://127.0.0.1:{port}/backups/vps",
            "password": PASSWORD,
            "environment": {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "another secret"},
        }
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_a_store_keeps_backups_and_gives_them_back(minimal, store):
    kit.container(NAME, template=minimal, state="stopped")
    (kit.rootfs(NAME) / "file").write_text("kept", encoding="ascii")
    for _number in range(2):
        made = backup(store, keep={"last": 1}, verify_data="100%")
    assert len(made["backups"]) == 1
    backup(store, state="restored", target=COPY)
    assert (kit.rootfs(COPY) / "file").read_text(encoding="ascii") == "kept"
    backup(store, state="tested", stop_timeout=0)
