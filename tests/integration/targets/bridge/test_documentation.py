# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples in the documentation of vps_network, run as they are written, but for the VPSs' names: those of tests are never somebody's."""

from __future__ import annotations

import json
import re

import vps_kit as kit


def test_examples_run_as_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    tasks = json.loads(re.sub(r'"(web1|db1)"', rf'"{kit.PREFIX}\1"', json.dumps(kit.examples("vps_template")[:1] + kit.examples("vps_network"))))
    try:
        assert "failed=0" in kit.play(tmp_path, tasks)
        assert kit.info(f"{kit.PREFIX}db1")["interfaces"][0]["addresses"] == ["10.96.0.20"]
        assert kit.info(f"{kit.PREFIX}web1")["pooled"] == {"203.0.113.10": "customers", "2001:db8:1::1": "public"}
        again = kit.play(tmp_path, [task for task in tasks if "private" not in str(task)])
        assert "changed=0" in again, again
    finally:
        kit.remove_all()
        for name in ("public", "private", "backend"):
            kit.ok("vps_network", name=name, state="absent")
