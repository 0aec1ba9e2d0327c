# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of this target's own, with a few VPSs that differ in all that one can ask for."""

from __future__ import annotations

import pytest
import vps_kit as kit

kit.PREFIX = "ap-info-"  # the control groups are the machine's: there may be other tests' VPSs in them
WEB, DB, OLD, IMAGE = (kit.PREFIX + word for word in ("web", "db", "old", "image"))


def pytest_sessionstart():
    """Before any fixture looks at the node."""
    plans = {"small": {"memory": "64M", "diskspace": "60M"}}
    kit.ok("vps_node", pool="/mnt/pool", pool_file="/mnt/pool.img", pool_size="1G", networks=["10.90.0.0/24", "fd90::/64"], plans=plans)


@pytest.fixture(scope="module")
def four(minimal) -> list[str]:
    """Three that run, of which one has its disk in an image, and one that does not."""
    vpss = [
        {"name": WEB, "hostname": "www.example.com", "addresses": ["10.90.0.10", "fd90::10"], "labels": {"tier": "web"}, "limits": {"plan": "small"},
         "description": "The shop, since 2024", "rates": {"in": "20M", "out": "10M"}},
        {"name": DB, "addresses": ["10.90.0.20"], "labels": {"tier": "db"}, "limits": {"plan": "small", "processes": "50"}, "rates": {"out": "10M"}},
        {"name": OLD, "state": "stopped", "labels": {"tier": "web"}},
        {"name": IMAGE, "storage": "image", "limits": {"diskspace": "200M"}},
    ]
    kit.ok("vps_fleet", vps=vpss, defaults={"template": minimal, "state": "started", "stop_timeout": 0})
    return [DB, IMAGE, OLD, WEB]
