# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused: before anything is written, with one sentence that names the option."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.tests.contract.bench import TEMPLATE, A, B


def refused(bench, module, sentence, **given):
    """The task is an error that begins so, in check mode and out of it, and writes nothing."""
    before = bench.world.snapshot()
    with pytest.raises(VpsError) as predicted:
        bench.check(module, **given)
    with pytest.raises(VpsError) as happened:
        bench.once(module, **given)
    assert str(happened.value) == str(predicted.value)
    assert str(happened.value).startswith(sentence)
    assert bench.world.snapshot() == before


def test_a_vps_needs_a_template(bench):
    refused(bench, "vps_container", "template: needed", name=A)
    refused(bench, "vps_container", "template: there is no template 'contract-no' on this node", name=A, template="contract-no")


def test_a_vps_keeps_its_template(bench):
    bench.new(state="stopped")
    bench.template(name="contract-other", source="minimal")
    refused(bench, "vps_container", f"template: VPS '{A}' was made from '{TEMPLATE}'", name=A, template="contract-other")
    bench.template(name="contract-other", state="absent")


def test_limits_need_a_vps(bench):
    refused(bench, "vps_limits", f"name: there is no VPS '{A}' on this node; make it with vps_container", name=A, memory="1G")


def test_an_address_has_one_owner(bench):
    address = bench.world.address(1)
    bench.new(A, state="stopped", addresses=[address])
    bench.new(B, state="stopped")
    sentence = f"addresses: {address} belongs to VPS {A}"
    refused(bench, "vps_container", sentence, name=B, addresses=[address])
    refused(bench, "vps_container", sentence, name="contract-c", template=TEMPLATE, addresses=[address])


def test_the_nodes_own_address_is_not_for_a_vps(bench):
    address = bench.world.own_address()
    refused(bench, "vps_container", f"addresses: {address} belongs to the node", name=A, template=TEMPLATE, addresses=[address])


def test_an_address_is_one_that_the_node_routes(bench):
    bench.new(state="started")
    refused(bench, "vps_container", "addresses: 198.51.100.7 is in no network", name=A, addresses=["198.51.100.7"])


def test_swap_needs_memory(bench):
    bench.new(state="started")
    refused(bench, "vps_container", "limits.swap: ", name=A, limits={"swap": "1G"})
    refused(bench, "vps_limits", "swap: ", name=A, swap="1G")


def test_a_mistake_in_one_option_keeps_the_others_from_being_applied(bench):
    bench.new(state="started")
    refused(bench, "vps_container", "limits.memory: '12Q' is not a size", name=A, hostname="new", limits={"memory": "12Q"})


def test_a_name_is_looked_at_first(bench):
    for module in ("vps_container", "vps_limits", "vps_template"):
        refused(bench, module, "name: '../etc' cannot be used", name="../etc")
