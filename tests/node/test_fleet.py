# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All VPSs of a node in one task, over SSH, each in its own unit on cgroup v2: made, changed by turns, and finished after a reboot of the node."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.tests.node.conftest import ROLE
from ansible_collections.mainline.vps.tests.node.machine import SLOW
from ansible_collections.mainline.vps.tests.node.play import Played, finish, play, start

FLEET = "mainline.vps.vps_fleet"
DATABASES, WEBS = ["db1", "db2"], [f"web{number}" for number in range(1, 9)]
NAMES = [*DATABASES, *WEBS]
PLANS = {"small": {"memory": "40M", "processes": 50, "diskspace": "80M"}, "large": {"plan": "small", "memory": "56M", "cpulimit": 50}}
DEFAULTS = {"template": "minimal", "onboot": True, "boot_order": 20, "limits": {"plan": "small"}, "wait": "booted", "wait_timeout": 100 * SLOW}
LARGE = {"boot_order": 10, "limits": {"plan": "large"}}
VPSS = [{"name": name, "addresses": [f"10.90.2.{number}"], **(LARGE if name in DATABASES else {})} for number, name in enumerate(NAMES, 1)]
HEALTH = {"script": "[ ! -e /ill ]", "timeout": 30 * SLOW}
STAGED = "ls -A /var/lib/vps/vps | grep '^\\.' || true"


def task(vpss: list[dict] | None = None, defaults: dict | None = None, **options) -> dict:
    """The one task, for all of them unless some are given."""
    return {FLEET: {"vps": VPSS if vpss is None else vpss, "defaults": {**DEFAULTS, **(defaults or {})}, "plans": PLANS, **options}}


def told(done: Played) -> dict:
    """What it returned."""
    return done.of(FLEET)


def each(node, script: str, names: list[str] = NAMES) -> list[str]:
    """The lines that a script of the node's prints, run for each VPS, whose name is $n in it."""
    return node.root(f"for n in {' '.join(names)}; do {script}; done").splitlines()


def running(node) -> list[str]:
    return node.root("lxc-ls --running -1 | sort").split()


def inits(node) -> dict[str, str]:
    """The init of each VPS, as the node sees it."""
    return dict(zip(NAMES, each(node, "lxc-info -n $n -pH"), strict=True))


def microseconds(node, moment: str, names: list[str]) -> list[int]:
    """When the VPSs' units came to a state, since the boot of the node."""
    return [int(line) for line in each(node, f"systemctl show -p {moment}TimestampMonotonic --value vps@$n", names)]


def remove(node) -> None:
    play(node, [{FLEET: {"vps": [{"name": name} for name in NAMES], "defaults": {"state": "absent"}}}])


@pytest.fixture(scope="module")
def fleet(node):
    """A node with all of them, made by one task; and what that returned."""
    done = play(node, [task()])
    yield node, told(done)
    remove(node)
    assert node.root("ls -A /var/lib/vps/vps; ls /sys/fs/cgroup/vps.slice | grep vps@ || true") == ""


def test_ten_are_made_in_one_task(fleet):
    node, result = fleet
    assert result["summary"] == {"listed": 10, "changed": 10, "failed": 0, "not_begun": 0}
    assert result["boot"] == dict.fromkeys(NAMES, "running")
    assert running(node) == sorted(NAMES)
    each(node, "lxc-attach -n $n --clear-env -- /bin/hostname | grep -qx $n")
    for number in range(1, 11):
        node.root(f"ping -c 1 -W 20 -q 10.90.2.{number}")


def test_each_is_held_to_its_plan(fleet):
    node, _result = fleet
    folder = "cd /sys/fs/cgroup/vps.slice/vps@$n.service/vps/$n"
    assert each(node, f"{folder}; echo $(cat memory.max pids.max cpu.max)", DATABASES) == [f"{56 << 20} 50 50000 100000"] * 2
    assert each(node, f"{folder}; echo $(cat memory.max pids.max cpu.max)", WEBS) == [f"{40 << 20} 50 max 100000"] * 8
    rows = node.root("btrfs qgroup show -r --raw /var/lib/vps").split()
    assert rows.count(str(80 << 20)) >= 10


def test_they_were_started_in_their_order_each_in_its_unit(fleet):
    node, _result = fleet
    assert each(node, "systemctl is-active vps@$n") == ["active"] * 10
    assert min(microseconds(node, "InactiveExit", WEBS)) > max(microseconds(node, "ActiveEnter", DATABASES)) > 0


def test_a_second_run_changes_nothing_and_restarts_nobody(fleet):
    node, _result = fleet
    before = inits(node)
    for options in ((), ("--check", "--diff")):
        done = play(node, [task()], *options)
        assert done.changed == [] and told(done)["changes"] == []
    assert inits(node) == before


@pytest.mark.long
def test_those_that_nobody_has_listed_are_told_or_stopped(fleet):
    node, _result = fleet
    listed, rest = VPSS[:7], NAMES[7:]
    before = inits(node)
    reported = play(node, [task(listed, unlisted="report")])
    assert reported.changed == [] and told(reported)["unlisted"] == rest
    assert any(rest[0] in str(warning) for warning in told(reported)["warnings"])
    assert inits(node) == before
    stopped = told(play(node, [task(listed, unlisted="stop")]))
    assert [(change["vps"], change["option"]) for change in stopped["changes"]] == [(name, "state") for name in rest]
    assert running(node) == sorted(NAMES[:7])
    assert each(node, "systemctl is-active vps@$n || true", rest) == ["inactive"] * 3
    assert node.root("systemctl list-units --failed --no-legend --plain 'vps@*'") == ""
    again = told(play(node, [task()]))
    assert [change["vps"] for change in again["changes"]] == rest
    after = inits(node)
    assert [after[name] == before[name] for name in NAMES] == [True] * 7 + [False] * 3


@pytest.mark.long
def test_a_rolling_restart_stops_where_one_is_not_well(fleet):
    """Four at a time: the databases and two webs, four webs, the other two."""
    node, _result = fleet
    restart = [task(defaults={"state": "restarted"}, batch=4, health=HEALTH)]
    before = inits(node)
    assert told(play(node, restart))["summary"]["changed"] == 10
    after = inits(node)
    assert not set(after.values()) & set(before.values())
    node.root("lxc-attach -n web4 --clear-env -- /bin/touch /ill")
    done = finish(node, start(node, restart))
    assert done.code != 0, done.output[-3000:]
    result = told(done)
    assert [(one["vps"], one["rc"]) for one in result["failed_vpss"]] == [("web4", 1)], result["msg"]
    assert result["not_begun"] == ["web7", "web8"] and running(node) == sorted(NAMES)
    last = inits(node)
    assert [name for name in NAMES if last[name] == after[name]] == ["web7", "web8"]
    node.root("lxc-attach -n web4 --clear-env -- /bin/rm /ill")
    assert play(node, [task()]).changed == []


# When the node reboots: as soon as something of the new VPSs is on its disk, and when some of them run. What is waited for is a condition of the shell's.
MOMENTS = {"they are made": "[ -n \"$(ls -A /var/lib/vps/vps)\" ]", "some run": '[ "$(lxc-ls --running -1 | wc -l)" -ge 3 ]'}


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_reboot_of_the_node_in_the_middle_of_it_the_next_run_does_the_rest(vpss, moment):
    node = vpss
    run = start(node, [task()])
    node.root(f"for i in $(seq 3000); do {MOMENTS[moment]} && exit; sleep 0.1; done; exit 1", timeout=100 * SLOW)
    assert run.poll() is None, finish(node, run).output[-3000:]
    node.reboot()
    run.kill()
    finish(node, run)
    assert node.root("systemctl --failed --no-legend --plain") == ""
    done = play(node, [ROLE, task()])
    assert told(done)["summary"]["failed"] == 0
    assert running(node) == sorted(NAMES)
    assert node.root(STAGED) == ""
    assert play(node, [ROLE, task()]).changed == []
    each(node, "lxc-attach -n $n --clear-env -- /bin/hostname | grep -qx $n")
    for number in range(1, 11):
        node.root(f"ping -c 1 -W 20 -q 10.90.2.{number}")
