# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenVZ's words: a guest runs into each that means something to this kernel, and each has its word in the result.

What cgroup v1 does not have (memory_high, a guarantee that holds) is in tests/node/test_limits.py.
"""

from __future__ import annotations

import errno
import pathlib
import resource

import pytest
import vps_kit as kit

PAGE, MIB = 4096, 1 << 20
BURN = "while :; do :; done"


def limits(name: str, **wanted) -> dict:
    """Run vps_limits; what it returns."""
    return kit.ok("vps_limits", name=name, **wanted)


def word(result: dict, limit: str) -> dict:
    """What the result says of one limit."""
    return next(row for row in result["fidelity"] if row["limit"] == limit)


@pytest.fixture(scope="module")
def guest(minimal):
    """A guest with a Perl."""
    kit.container("it-beans", template=minimal, state="stopped")
    kit.give_perl("it-beans")
    kit.container("it-beans", wait="booted")
    return "it-beans"


@pytest.fixture
def vps(guest):
    """The same, without limits and started anew: to lift a process's limits takes a right that this machine may not have."""
    yield guest
    limits(guest)
    kit.container(guest, state="restarted", wait="booted")


# limit → (as asked, where it is in the result, what is held there, what is tried, how many it gets, the error's number)
FELT = {
    "numfile": ("80:100", "RLIMIT_NOFILE", "80:100", ("files",), 80 - 3, errno.EMFILE),
    "lockedpages": ("256", "RLIMIT_MEMLOCK", f"{MIB}:{MIB}", ("locked", 60 * PAGE), 4, errno.ENOMEM),
    "shmpages": ("100:120", "kernel.shmall", "120", ("shared", 30 * PAGE), 4, errno.ENOSPC),
    "numsiginfo": ("40", "RLIMIT_SIGPENDING", "40:40", ("signals",), 40, errno.EAGAIN),
}


@pytest.mark.parametrize("limit", FELT)
def test_a_limit_that_is_no_cgroups_is_felt_at_once_and_after_a_restart(vps, limit):
    asked, where, held, attempt, count, refused = FELT[limit]
    told = word(limits(vps, **{limit: asked}), limit)
    assert (told["fidelity"], told["where"], told["held"]) == ("approximate", where, held)
    assert told["why"]
    for _time in range(2):
        got, number = kit.attempt(vps, *attempt)
        assert number == refused and count - 1 <= got <= count, f"{got} of {count}, {errno.errorcode.get(number)}"
        kit.container(vps, state="restarted", wait="booted")
    assert not limits(vps, **{limit: asked})["changed"]
    limits(vps)
    kit.container(vps, state="restarted", wait="booted")
    assert kit.attempt(vps, *attempt)[0] > count


def test_a_limit_of_a_process_holds_for_those_that_run_already(vps):
    sleeper = kit.background(vps, "sleep 100")
    try:
        namespace = kit.pid_namespace(kit.pid(vps))
        kit.until("it runs", lambda: "sleep" in kit.said(vps, "ps"))
        limits(vps, numfile="99")
        held = {number: kit.rlimit(number, "Max open files") for number in kit.processes() if kit.pid_namespace(number) == namespace}
        assert len(held) >= 2 and set(held.values()) == {("99", "99")}, held
    finally:
        kit.end(sleeper)


def test_pseudo_terminals_take_a_restart(vps):
    done = kit.foretold("vps_limits", name=vps, numpty="5")
    assert done["restart_required"] and done["changes"][0]["effect"] == "restart"
    assert limits(vps, numpty="5")["restart_required"], "it is forgotten that it is due"
    kit.container(vps, state="started", limits={"numpty": "5"}, restart_policy="if_needed", wait="booted")
    told = limits(vps, numpty="5")
    assert not told["restart_required"] and word(told, "numpty")["held"] == "5"
    assert kit.attempt(vps, "terminals") == (5, errno.ENOSPC)
    assert limits(vps)["restart_required"]


@pytest.mark.parametrize("section", [{"physpages": "0:48M"}, {"privvmpages": "12000:48M"}, {"physpages": "12288"}])
def test_pages_of_memory_end_a_process_inside(vps, section):
    limits(vps, **section, **({"swappages": "0"} if kit.SWAP else {}))
    before, init = kit.oom_kills(vps), kit.pid(vps)
    assert kit.inside(vps, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1", check=False).returncode != 0
    assert kit.oom_kills(vps) > before and kit.pid(vps) == init
    assert kit.inside(vps, "dd", "if=/dev/zero", "of=/dev/null", "bs=16M", "count=1", check=False).returncode == 0


def test_numproc_refuses_a_fork(vps):
    limits(vps, numproc="20:20")
    refused = kit.pids_refused(vps)
    assert "fork" in kit.shell(vps, "for i in $(seq 30); do sleep 5 & done; wait", check=False).stderr
    assert kit.pids_refused(vps) > refused


def test_cpumask_keeps_it_on_its_cpus(vps):
    core = min(kit.cpus())
    limits(vps, cpumask=str(core))
    loops = [kit.background(vps, BURN) for _number in range(2)]
    try:
        kit.until("they are busy", lambda: kit.cpu_seconds(vps) > 0.2)
        # They got there before, and must move: one CPU's time at most, and both on the one.
        assert kit.cpu_rate(vps, seconds=3) < 1.1
        assert kit.said(vps, "sh", "-c", "grep Cpus_allowed_list /proc/self/status").split()[1] == str(core)
        assert "has no number" in kit.fails("vps_limits", name=vps, cpumask=f"{core},4000")
        limits(vps)
        assert kit.said(vps, "sh", "-c", "grep Cpus_allowed_list /proc/self/status").split()[1] != str(core)
    finally:
        for loop in loops:
            kit.end(loop)


def test_nodemask_is_where_memory_comes_from(vps):
    """There is one NUMA node here: that it is held, and that another is refused, is all that can be seen."""
    limits(vps, nodemask="0")
    assert kit.said(vps, "sh", "-c", "grep Mems_allowed_list /proc/self/status").split()[1] == "0"
    assert kit.fails("vps_limits", name=vps, nodemask="0,77").startswith("nodemask: ")


def test_cpuburst_lets_saved_time_be_used(vps):
    """Every half second 40 ms of work: more than the 20 ms of a period, less than with the burst."""
    work = "sub used { my ($user, $system) = times; $user + $system } "
    work += "for (1..6) { select undef, undef, undef, .5; my $then = used; 1 while used() - $then < .04 }"
    counted = {}
    for burst in (None, "20"):
        limits(vps, cpulimit="20", **({"cpuburst": burst} if burst else {}))
        before = kit.cpu_counters(vps)
        kit.inside(vps, "/bin/perl", "-e", work, timeout=60)
        after = kit.cpu_counters(vps)
        counted[burst] = {name: after[name] - before[name] for name in ("nr_bursts", "nr_throttled")}
    assert counted[None]["nr_bursts"] == 0 and counted["20"]["nr_bursts"] >= 2, counted
    assert counted["20"]["nr_throttled"] < counted[None]["nr_throttled"], counted


def test_a_limit_goes_below_the_burst_that_there_was(vps):
    """The kernel has no quota below a burst: the one goes out of the other's way."""
    for section in ({"cpulimit": "200", "cpuburst": "200"}, {"cpulimit": "100", "cpuburst": "100"}, {"cpulimit": "50"}, {"cpulimit": "200", "cpuburst": "150"}):
        kit.foretold("vps_limits", name=vps, **section)
    kit.foretold("vps_limits", name=vps)


def test_no_limit_of_open_files_is_as_many_as_the_node_has(vps):
    """More is refused to everybody (fs.nr_open), at a start too; and without CAP_SYS_RESOURCE more than the node's own hard limit."""
    most = int(pathlib.Path("/proc/sys/fs/nr_open").read_text(encoding="ascii"))
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    message = kit.fails("vps_limits", name=vps, numfile=str(most + 1))
    assert f"no process may have more than {most}" in message or f"the node's own hard limit is {own}" in message
    limits(vps, numfile="512:unlimited")
    kit.container(vps, state="restarted", wait="booted")
    assert resource.prlimit(kit.pid(vps), resource.RLIMIT_NOFILE)[0] == 512
    assert not kit.ok("vps_limits", name=vps, numfile="512:unlimited")["changed"]
    limits(vps)
    kit.container(vps, state="restarted", wait="booted")


UNSUPPORTED = {
    "kmemsize": "14M:15M", "numtcpsock": "360", "numflock": "188:206", "tcpsndbuf": "1M", "tcprcvbuf": "1M", "othersockbuf": "1M",
    "dgramrcvbuf": "262144", "numothersock": "360", "dcachesize": "3M", "numiptent": "128", "diskinodes": "200000:220000", "quotatime": "600",
}


@pytest.mark.parametrize("limit", UNSUPPORTED)
def test_what_the_kernel_cannot_do_is_refused_before_anything_is_touched(vps, limit):
    section = {"processes": "50", limit: UNSUPPORTED[limit]}
    with kit.Untouched():
        assert kit.fails("vps_limits", name=vps, **section).startswith(f"{limit}: cannot be kept on this node: ")
        assert kit.call("vps_limits", name=vps, check=True, **section)["failed"]
    done = kit.foretold("vps_limits", name=vps, unsupported="warn", **section)
    assert f"{limit}: cannot be kept on this node" in done["warnings"][0]
    assert word(done, limit)["fidelity"] == "unsupported" and word(done, limit)["why"]
    assert word(done, "processes")["fidelity"] == "exact" and kit.kernel_limits(vps)["pids.max"] == "50"
    assert "warnings" not in kit.ok("vps_limits", name=vps, unsupported="ignore", **section)
    assert kit.info(vps)["limits"][limit], "it is not in the record"


def test_a_plan_of_the_nodes_is_a_set_of_limits(vps):
    with kit.plans({"it-small": {"memory": "64M", "processes": "60"}, "it-large": {"plan": "it-small", "processes": "90", "cpus": "2"}}):
        assert limits(vps, plan="it-small")["vps"]["limits"] == {"memory": "64M", "processes": "60"}
        done = kit.foretold("vps_limits", name=vps, plan="it-large", memory="96M")
        assert done["vps"]["limits"] == {"memory": "96M", "cpus": "2", "processes": "90"} and done["vps"]["plan"] == "it-large"
        assert kit.kernel_limits(vps) == kit.limit_files(memory=96 * MIB, cpulimit=200, processes=90)
        assert "there is no plan 'it-smal'" in kit.fails("vps_limits", name=vps, plan="it-smal")
    assert kit.fails("vps_limits", name=vps, plan="it-small").startswith("plan: ")
