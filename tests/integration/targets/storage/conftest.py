# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has the tests of this target find the collection's own code. Those of all operations have a node of their own, with the pool that VPS_TEST_POOL says."""

from __future__ import annotations

import os
import pathlib
import sys

import pytest
import vps_kit as kit

sys.path.append(str(kit.collections_folder()))
KIND = os.environ.get("VPS_TEST_POOL")  # set by runme.sh, where kit/apart has the machine look as before it was a node
collect_ignore = [] if KIND else ["test_operations.py"]
_PLACE = pathlib.Path("/mnt/place")  # a file system on ext4
_NODE = {"pool": str(_PLACE / "pool"), "networks": ["10.91.0.0/16"]}
_KINDS = {"btrfs": {"pool_file": str(_PLACE / "pool.img"), "pool_size": "1200M"}, "dir": {"pool_kind": "dir"}}


@pytest.fixture(scope="session", autouse=True)
def clean_node(tmp_path_factory):
    """Nothing of an earlier run is on the node, and nothing of this one stays, but for the templates."""
    if KIND:
        _make_node(tmp_path_factory.mktemp("disk") / "file")
    kit.remove_all()
    yield
    kit.remove_all()
    if KIND:
        kit.ok("vps_node", **_NODE, **_KINDS[KIND], state="absent")
        kit.run("umount", str(_PLACE))


def _make_node(file: pathlib.Path) -> None:
    assert not os.path.exists("/etc/vps/node.json"), "this is the machine itself"
    file.touch()
    os.truncate(file, 1500 << 20)
    kit.run("mkfs.ext4", "-q", str(file))
    _PLACE.mkdir()
    kit.run("mount", "-o", "loop", str(file), str(_PLACE))
    if KIND == "dir":
        (_PLACE / "pool").mkdir()
    kit.ok("vps_node", **_NODE, **_KINDS[str(KIND)])
