# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node of these tests, with the pool that VPS_TEST_POOL says (see runme.sh)."""

from __future__ import annotations

import os
import pathlib

import pytest
import vps_kit as kit

KIND = os.environ["VPS_TEST_POOL"]
_PLACE = pathlib.Path("/mnt/place")  # a file system on ext4
_NODE = {"pool": str(_PLACE / "pool"), "networks": ["10.91.0.0/16"]}
_KINDS = {"btrfs": {"pool_file": str(_PLACE / "pool.img"), "pool_size": "1200M"}, "dir": {"pool_kind": "dir"}}


@pytest.fixture(scope="session", autouse=True)
def clean_node(tmp_path_factory):
    """Makes the node, and takes it away."""
    assert not os.path.exists("/etc/vps/node.json"), "this is the machine itself"
    file = tmp_path_factory.mktemp("disk") / "file"
    file.touch()
    os.truncate(file, 1500 << 20)
    kit.run("mkfs.ext4", "-q", str(file))
    _PLACE.mkdir()
    kit.run("mount", "-o", "loop", str(file), str(_PLACE))
    if KIND == "dir":
        (_PLACE / "pool").mkdir()
    kit.ok("vps_node", **_NODE, **_KINDS[KIND])
    yield
    kit.remove_all()
    kit.ok("vps_node", **_NODE, **_KINDS[KIND], state="absent")
    kit.run("umount", str(_PLACE))
