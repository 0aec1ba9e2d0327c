# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of beancounters that people read."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.filter.vps_beancounters import FilterModule, vps_beancounters


def row(resource, held=None, peak=None, barrier=None, limit=None, failcnt=None, **more):
    """A row as vps_info returns it."""
    return {"resource": resource, "unit": "count", "held": held, "peak": peak, "barrier": barrier, "limit": limit, "failcnt": failcnt, **more}


WEB = {"name": "web", "usage": {"rows": [row("kmemsize", 2121728), row("numproc", 17, 20, 18, 20, 1)]}}
OLD = {"name": "old", "usage": {"rows": [row("diskspace", 5)]}}


def test_each_vps_is_named_once_and_its_numbers_end_below_each_other():
    assert vps_beancounters([WEB, OLD]).splitlines() == [
        "name  resource      held  maxheld    barrier      limit  failcnt",
        "web:  kmemsize   2121728        -  unlimited  unlimited        -",
        "      numproc         17       20         18         20        1",
        "old:  diskspace        5        -  unlimited  unlimited        -",
    ]


def test_what_has_risen_has_a_column_of_its_own():
    later = {"name": "web", "usage": {"rows": [row("numproc", 17, 20, 20, 20, 5, failcnt_since=4), row("numfile", failcnt_since=None)]}}
    assert [line.split() for line in vps_beancounters([later]).splitlines()] == [
        ["name", "resource", "held", "maxheld", "barrier", "limit", "failcnt", "since"],
        ["web:", "numproc", "17", "20", "20", "20", "5", "4"],
        ["numfile", "-", "-", "unlimited", "unlimited", "-", "-"],
    ]


def test_without_vpss_there_is_the_heading():
    assert vps_beancounters([]) == "name  resource  held  maxheld  barrier  limit  failcnt"


@pytest.mark.parametrize("wrong", [None, "web", WEB, ["web"], [{"name": "web"}], [{"name": "web", "usage": None}], [{"name": "w", "usage": {"rows": [5]}}], 5])
def test_something_else_is_refused_in_a_sentence(wrong):
    with pytest.raises(AnsibleFilterError, match="vps_info returns"):
        vps_beancounters(wrong)


def test_ansible_finds_it():
    assert FilterModule().filters() == {"vps_beancounters": vps_beancounters}
