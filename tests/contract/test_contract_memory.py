# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node in memory itself, and what can only be tried where the kernel does as one says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.contract.bench import TEMPLATE, A, options


@pytest.mark.parametrize("task", [{"state": "absent"}, {"state": "frozen"}, {"state": "stopped"}, {"hostname": "b"}, {"limits": {"memory": "1G"}}])
def test_a_read_only_node_lets_nothing_be_written(memory, task):
    memory.new(state="started")
    memory.node.read_only = True
    with pytest.raises(AssertionError, match="a write, though nothing may be written"):
        modules.reconcile(memory.node, "vps_container", name=A, **task)


def test_a_limit_that_the_kernel_does_not_take_is_an_error(memory):
    memory.new(state="started")
    memory.node.refused_files = {"pids.max"}
    with pytest.raises(VpsError, match="^limits.processes: it was applied, but read again it does not hold: .*'unlimited' and not '50'") as caught:
        modules.reconcile(memory.node, "vps_limits", name=A, processes="50", memory="64M")
    assert [change["option"] for change in caught.value.details["changes"]] == ["limits.processes"]


def test_the_next_run_tries_again_what_the_kernel_did_not_take(memory):
    memory.new(state="started")
    memory.node.refused_files = {"pids.max"}
    with pytest.raises(VpsError):
        modules.reconcile(memory.node, "vps_limits", name=A, processes="50")
    memory.node.refused_files = set()
    assert options(memory.limits(processes="50")) == ["limits.processes"]
    assert memory.seen()["files"] == memory.files(processes=50)


def test_a_full_pool_refuses_a_new_vps_and_takes_changes_of_those_there_are(memory):
    memory.new(A, state="stopped")
    memory.node.free_bytes = 1 << 20
    with pytest.raises(VpsError, match="^name: the pool is full .1M free., there is no room for VPS 'contract-b'"):
        memory.new("contract-b")
    assert memory.vps(A, hostname="still", state="started")["changed"]


def test_a_node_without_a_free_id_range_refuses_a_new_vps(memory):
    memory.node.id_ranges = 1
    memory.new(A)
    with pytest.raises(VpsError, match="^name: all id ranges of the node are in use"):
        memory.new("contract-b")


def test_a_kernel_without_swap_accounting_refuses_a_swap_limit_and_no_other(memory):
    memory.node.abilities = replace(memory.node.abilities, swap=False)
    memory.new(A, limits={"memory": "64M"})
    with pytest.raises(VpsError, match="^limits.swap: .* this kernel does not account for swap"):
        memory.vps(A, limits={"memory": "64M", "swap": "0"})


def test_a_container_of_somebody_else_is_left_alone(memory):
    memory.node.foreign[A] = f"'{A}' is an LXC container that this collection did not make"
    for state in ("started", "absent"):
        with pytest.raises(VpsError, match=f"^name: '{A}' is an LXC container"):
            memory.new(A, state=state)


def test_waiting_for_the_boot_of_an_init_that_cannot_tell_is_refused_before_the_start(memory):
    manifest = memory.node.templates[TEMPLATE]
    memory.node.templates[TEMPLATE] = type(manifest)(**{**vars(manifest), "init": "other"})
    with pytest.raises(VpsError, match="^wait: "):
        memory.new(A, wait="booted")
    memory.new(A, wait="network")


def test_a_run_holds_the_lock_of_its_own_thing_for_as_long_as_it_was_told(memory):
    memory.node.locked.clear()
    modules.reconcile(memory.node, "vps_container", name=A, template=TEMPLATE, lock_timeout=7)
    modules.reconcile(memory.node, "vps_limits", name=A)
    modules.reconcile(memory.node, "vps_template", name=TEMPLATE, source="minimal")
    assert memory.node.locked == [f"vps {A} 7", f"vps {A} 120", f"template {TEMPLATE} 120"]


def test_check_mode_waits_for_nobody(memory):
    memory.node.locked.clear()
    memory.check("vps_container", name=A, template=TEMPLATE)
    assert memory.node.locked == []


def test_a_restart_stops_with_the_patience_that_it_was_given(memory):
    memory.new(A)
    memory.node.done.clear()
    memory.once("vps_container", name=A, state="restarted", stop_timeout=7, wait="network", wait_timeout=9)
    assert [str(step) for step in memory.node.done] == [
        f"Stop(name='{A}', timeout=7)",
        f"Start(name='{A}')",
        f"Wait(name='{A}', until='network', timeout=9)",
    ]


def test_a_running_vps_that_shall_be_gone_is_not_waited_for(memory):
    memory.new(A)
    memory.node.done.clear()
    memory.vps(A, state="absent")
    assert [str(step) for step in memory.node.done] == [f"Stop(name='{A}', timeout=0)", f"Destroy(name='{A}', unread=False)"]


def test_a_frozen_vps_is_thawed_before_it_is_killed(memory):
    memory.new(A, state="frozen")
    memory.node.done.clear()
    memory.vps(A, state="absent")
    assert [type(step).__name__ for step in memory.node.done] == ["Thaw", "Stop", "Destroy"]


# -- limits of processes where root lacks CAP_SYS_RESOURCE ---------------------------------------------------------------


@pytest.fixture
def unable(memory):
    """A node whose root may raise no hard limit, with a VPS that runs."""
    memory.node.abilities = replace(memory.node.abilities, raises=False, hard_limits={"NOFILE": 20000, "MEMLOCK": 8 << 20, "SIGPENDING": 96365})
    memory.new(A, state="started")
    return memory


def soft_and_hard(bench, name="NOFILE"):
    """What the kernel holds the processes of the VPS to."""
    return tuple(bench.node.kernels[A].rlimits[name])


@pytest.mark.parametrize(
    ("key", "value", "most"),
    [("numfile", "30000", 20000), ("numfile", "70:20001", 20000), ("numsiginfo", "200000", 96365), ("lockedpages", "3000:unlimited", 2048)],
)
def test_more_than_the_nodes_own_hard_limit_is_refused_where_nobody_can_raise_that(unable, key, value, most):
    said = f"^{key}: cannot be kept on this node: the node's own hard limit is {most} .*CAP_SYS_RESOURCE.*; leave it out, or set unsupported"
    with pytest.raises(VpsError, match=said):
        unable.limits(**{key: value})
    unable.limits(**{key: value}, unsupported="warn")
    assert unable.once("vps_container", name=A, state="restarted")["changed"], "what is kept in the record keeps no VPS from starting"


@pytest.mark.parametrize(("key", "value"), [("numfile", "20000"), ("numfile", "64:unlimited"), ("lockedpages", "2048:unlimited")])
def test_as_much_as_the_nodes_own_hard_limit_is_granted(unable, key, value):
    unable.limits(**{key: value})
    unable.vps(A, state="stopped")
    unable.vps(A, state="started")


def test_root_with_the_capability_is_refused_nothing(memory):
    memory.new(A, state="started")
    memory.limits(numfile="30000", numsiginfo="200000", lockedpages="3000:unlimited")


@pytest.mark.parametrize(
    ("first", "second", "effect", "held", "then"),
    [
        (None, "70:unlimited", "live", (70, 20000), (70, 20000)),
        ("64:unlimited", None, "live", (20000, 20000), (20000, 20000)),
        ("70:80", "65:80", "live", (65, 80), (65, 80)),
        ("65:80", "70:80", "live", (70, 80), (70, 80)),
        ("20000", "70:unlimited", "live", (70, 20000), (70, 20000)),
        ("70:80", "70:unlimited", "restart", (70, 80), (70, 20000)),
        ("70:80", None, "restart", (80, 80), (20000, 20000)),
        ("70:80", "100:200", "restart", (80, 80), (100, 200)),
    ],
)
def test_a_soft_limit_goes_up_and_down_at_once_and_only_a_hard_one_waits_for_a_restart(unable, first, second, effect, held, then):
    unable.limits(**({"numfile": first} if first else {}))
    result = unable.limits(**({"numfile": second} if second else {}))
    assert [change["effect"] for change in result["changes"]] == [effect]
    assert result["restart_required"] == (effect == "restart")
    assert unable.limits(**({"numfile": second} if second else {}))["restart_required"] == (effect == "restart")
    assert soft_and_hard(unable) == held
    unable.once("vps_container", name=A, state="restarted")
    assert soft_and_hard(unable) == then
