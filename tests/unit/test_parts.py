# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is spoken for: by finished VPSs, by those that a run is making, and not by what a killed run left."""

from __future__ import annotations

import os

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.settings import Settings
from ansible_collections.mainline.vps.plugins.module_utils.node import locks
from ansible_collections.mainline.vps.plugins.module_utils.node.parts import Parts

WEB = Vps("web", "minimal", "busybox", "web", addresses=("10.0.0.1",), id_base=65536)


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A node with an empty pool and locks of its own."""
    monkeypatch.setattr(locks, "FOLDER", str(tmp_path / "locks"))
    for folder in ("vps", "templates"):
        (tmp_path / folder).mkdir()
    return Parts.of(Settings(str(tmp_path), 65536, 655360, ()))


def test_a_vps_in_the_making_has_its_addresses_and_its_template_for_as_long_as_a_run_makes_it(parts):
    with locks.hold("vps", "web", timeout=0):
        parts.vps.store(WEB, parts.vps.begin("web"))
        assert parts.reserved() == [WEB]
        assert parts.users("minimal") == ("web",)
    assert parts.reserved() == [], "its run has gone: what it left is nobody's"
    assert parts.users("minimal") == ()


def test_a_finished_vps_has_them_whether_a_run_is_at_work_on_it_or_not(parts):
    parts.vps.store(WEB, parts.vps.begin("web"))
    parts.vps.commit("web")
    assert parts.reserved() == [WEB]


def test_a_vps_that_is_finished_while_somebody_looks_is_not_missed(parts, monkeypatch):
    """Nobody who makes one has the node's lock by then."""
    looks = [parts.vps.all, parts.vps.staged]

    def between(look):
        def found(unread=None):
            seen = look(unread)
            if os.path.exists(parts.vps.staging("web")):
                parts.vps.commit("web")
            return seen

        return found

    monkeypatch.setattr(parts.vps, "all", between(looks[0]))
    monkeypatch.setattr(parts.vps, "staged", between(looks[1]))
    with locks.hold("vps", "web", timeout=0):
        parts.vps.store(WEB, parts.vps.begin("web"))
        assert parts.reserved() == [WEB]


def test_an_address_that_a_vps_is_giving_up_is_still_its_own():
    changing = Vps("web", "t", "busybox", "web", addresses=("10.0.0.2",), leaving=("10.0.0.1",))
    assert changing.claimed == {"10.0.0.1", "10.0.0.2"}
    assert Vps.from_record(changing.to_record()) == changing
