# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of this target's own: some of its tasks are about every VPS that there is."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import vps_kit as kit

kit.PREFIX = "ap-fleet-"  # the control groups are the machine's: there may be other tests' VPSs in them


def pytest_sessionstart():
    """Before any fixture looks at the node."""
    kit.ok("vps_node", pool="/mnt/pool", pool_file="/mnt/pool.img", pool_size="1G", networks=["10.90.0.0/24"])


class Fleet:
    """Tasks on many VPSs of one template, with no patience for guests that do not stop."""

    def __init__(self, template: str) -> None:
        self.defaults = {"template": template, "stop_timeout": 0}

    def given(self, *vps: dict, defaults: dict | None = None, **options: Any) -> dict:
        """The parameters of the module."""
        return {"vps": [{**one, "name": kit.PREFIX + one["name"]} for one in vps], "defaults": {**self.defaults, **(defaults or {})}, **options}

    def ok(self, *vps: dict, **options: Any) -> dict:
        return kit.ok("vps_fleet", **self.given(*vps, **options))

    def foretold(self, *vps: dict, **options: Any) -> dict:
        """Check mode has said what the run does, and a second run does nothing."""
        return kit.foretold("vps_fleet", **self.given(*vps, **options))

    def fails(self, *vps: dict, **options: Any) -> dict:
        told = kit.call("vps_fleet", **self.given(*vps, **options))
        assert told.get("failed"), told
        return told

    def launch(self, *vps: dict, **options: Any):
        return kit.launch("vps_fleet", **self.given(*vps, **options))


def name(word: str) -> str:
    """A VPS of this target."""
    return kit.PREFIX + word


def state(word: str) -> str:
    """What a VPS is."""
    told = kit.info(name(word))
    return told["state"] if told else "absent"


def workers(of: int) -> list[int]:
    """The processes that one has forked."""
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{of}/task/{of}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


@pytest.fixture
def fleet(minimal) -> Fleet:
    return Fleet(minimal)
