# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples in the documentation of vps_command, run as they are written."""

from __future__ import annotations

import pytest
import vps_kit as kit


def test_examples_run_as_written(minimal, tmp_path):
    """Twice: what is made once is not made again."""
    if kit.info("web1"):
        pytest.skip("this node has a VPS web1 of somebody's, in which the examples would run")
    kit.container("web1", template=minimal, wait="booted")
    try:
        tasks = kit.examples("vps_command")
        assert "changed=2" in kit.play(tmp_path, tasks)
        assert "changed=1" in kit.play(tmp_path, tasks)
        assert kit.said("web1", "cat", "/srv/www/index.html") == "hello"
        assert set(kit.ok("vps_command", name="web1", argv=["true"])) - {"changed", "invocation"} == set(kit.documented_result("vps_command")) - {"msg"}
    finally:
        kit.ok("vps_container", name="web1", state="absent", stop_timeout=0)
