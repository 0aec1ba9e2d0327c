# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table that people read."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.filter.vps_table import FilterModule, vps_table

UNLIMITED = dict.fromkeys(("memory", "swap", "cpuunits", "cpulimit", "cpus", "processes", "diskspace"), "unlimited")
WEB = {"name": "web", "addresses": ["10.90.0.11", "10.90.0.12"], "limits": {**UNLIMITED, "memory": "512M", "cpulimit": "50%", "diskspace": "2G"},
       "disk_used": 228_904_960, "state": "started"}
BARE = {"name": "a-longer-name", "addresses": [], "limits": UNLIMITED, "disk_used": 0, "state": "stopped"}


def test_each_vps_has_a_line_with_its_columns_below_each_other():
    assert vps_table([WEB, BARE]).splitlines() == [
        "NAME           ADDRESS                 MEMORY     CPU        DISK             STATE",
        "web            10.90.0.11, 10.90.0.12  512M       50%        218.3M of 2G     started",
        "a-longer-name  none                    unlimited  unlimited  0B of unlimited  stopped",
    ]


def test_without_vpss_there_is_the_heading():
    assert vps_table([]) == "NAME  ADDRESS  MEMORY  CPU  DISK  STATE"


@pytest.mark.parametrize(
    ("limits", "shown"),
    [({"cpus": "1"}, "1 CPU"), ({"cpus": "4"}, "4 CPUs"), ({"cpulimit": "150%", "cpus": "2"}, "150%, 2 CPUs")],
)
def test_both_limits_on_cpu_time_are_shown(limits, shown):
    assert f"  {shown}  " in vps_table([{**WEB, "limits": {**UNLIMITED, **limits}}])


@pytest.mark.parametrize(("size", "shown"), [(1023, "1023B"), (1 << 20, "1M"), (1536 << 20, "1.5G"), (3 << 50, "3072T")])
def test_sizes_are_short(size, shown):
    assert f" {shown} of 2G" in vps_table([{**WEB, "disk_used": size}])


@pytest.mark.parametrize("wrong", [None, "web", WEB, ["web"], [{"name": "web"}], 5])
def test_something_else_is_refused_in_a_sentence(wrong):
    with pytest.raises(AnsibleFilterError, match="vps_info returns"):
        vps_table(wrong)


def test_ansible_finds_it():
    assert FilterModule().filters() == {"vps_table": vps_table}
