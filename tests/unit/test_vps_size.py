# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS's facts say of its size."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.mainline.vps.plugins.filter.vps_size import vps_size

# Of each core, number, maker and model, as the module setup tells them.
PROCESSOR = ("0", "GenuineIntel", "Xeon", "1", "GenuineIntel", "Xeon")


def facts(processor=PROCESSOR, nproc=2, memory=512):
    return {"processor": list(processor), "processor_nproc": nproc, "memtotal_mb": memory}


@pytest.mark.parametrize(
    ("processor", "nproc", "cores"),
    [(PROCESSOR, 2, 2), (PROCESSOR, 1, 1), (PROCESSOR[:3], 2, 1), ([], 4, 4), (["Cortex-A72"], 0, 1), (PROCESSOR, 8, 2)],
)
def test_cores_are_the_fewer_of_those_shown_and_those_allowed(processor, nproc, cores):
    assert vps_size(facts(processor, nproc))["cores"] == cores


@pytest.mark.parametrize(("memory", "budget"), [("100%", 512), ("75%", 384), ("33%", 168), ("256M", 256), ("1G", 1024), ("1536K", 1)])
def test_a_budget_is_a_share_or_a_size(memory, budget):
    assert vps_size(facts(), memory) == {"cores": 2, "memory": 512, "budget": budget}


@pytest.mark.parametrize("memory", ["lots", "75%%", "-1%", "101%", "unlimited", ""])
def test_what_is_no_size_is_refused(memory):
    with pytest.raises(AnsibleFilterError, match="^vps_size: memory: "):
        vps_size(facts(), memory)


@pytest.mark.parametrize("missing", ["memtotal_mb", "processor", "processor_nproc"])
def test_facts_that_were_not_gathered_are_named(missing):
    with pytest.raises(AnsibleFilterError, match=f"do not have '{missing}'"):
        vps_size({key: value for key, value in facts().items() if key != missing})
