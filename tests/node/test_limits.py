# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every limit on cgroup v2: what the kernel's files say, and that the guest feels it and nobody else does."""

from __future__ import annotations

import time

import pytest

from ansible_collections.mainline.vps.tests.node.play import finish, play, start

MIB = 1 << 20
LIMITS = {"memory": "48M", "swap": "16M", "cpuunits": "500", "cpulimit": "20", "processes": "40", "diskspace": "100M"}
FILES = {"memory.max": str(48 * MIB), "memory.swap.max": str(16 * MIB), "../../cpu.weight": "50", "cpu.max": "20000 100000", "pids.max": "40"}
OTHERS = {"memory": "64M", "cpulimit": "240", "cpus": "2", "processes": "50", "diskspace": "150M"}
OTHER_FILES = {"memory.max": str(64 * MIB), "memory.swap.max": "max", "../../cpu.weight": "100", "cpu.max": "200000 100000", "pids.max": "50"}
FOLDER = "/sys/fs/cgroup/vps.slice/vps@web.service/vps/web"


@pytest.fixture(scope="module")
def web(node):
    """A node with one VPS that has every limit, and a neighbour without any."""
    task = {"name": "web", "template": "minimal", "addresses": ["10.90.0.10"], "limits": LIMITS, "wait": "booted"}
    neighbour = {"name": "neighbour", "template": "minimal", "addresses": ["10.90.0.11"], "wait": "booted"}
    done = play(node, [{"mainline.vps.vps_container": task}, {"mainline.vps.vps_container": neighbour}])
    assert len(done.changed) == 2
    yield node
    play(node, [{"mainline.vps.vps_container": {"name": name, "state": "absent"}} for name in ("web", "neighbour")])


def files(node) -> dict[str, str]:
    """What the kernel holds."""
    return dict(line.split(":", 1) for line in node.root(f"cd {FOLDER}; grep -H . {' '.join(FILES)}").splitlines())


def disk_limit(node) -> int:
    """What the kernel holds for the disk of the VPS, in bytes."""
    rows = node.root("btrfs qgroup show -r --raw /var/lib/vps; btrfs subvolume show /var/lib/vps/vps/web/rootfs | grep 'Subvolume ID'").splitlines()
    number = rows[-1].split()[-1]
    return int(next(row.split()[3] for row in rows if row.split()[0] == f"0/{number}"))


def events(node, file: str) -> dict[str, int]:
    """The kernel's counters in a file of the VPS's cgroup."""
    return {name: int(count) for name, count in (line.split() for line in node.root(f"cat {FOLDER}/{file}").splitlines())}


def inside(node, script: str, **options) -> str:
    """Run a script in the VPS, as its root."""
    return node.root(f"lxc-attach --name=web --clear-env -- /bin/sh -c '{script}' 2>&1", **options)


def inits(node) -> str:
    """The pids of both VPSs' inits, and of every service of the node."""
    return node.root(
        "lxc-info -n web -pH; lxc-info -n neighbour -pH; systemctl show -p MainPID --value ssh systemd-journald systemd-networkd dbus"
    )


def test_the_kernels_files_say_what_was_asked(web):
    assert files(web) == FILES


def test_memory_ends_a_process_inside_and_nothing_else(web):
    before, killed = inits(web), events(web, "memory.events")["oom_kill"]
    said = inside(web, "dd if=/dev/zero of=/dev/null bs=200M count=1; echo survived")
    assert said.endswith("survived") and "Killed" in said and "records out" not in said
    assert events(web, "memory.events")["oom_kill"] > killed
    assert inits(web) == before
    assert web.root("systemctl is-active vps@web vps@neighbour").split() == ["active", "active"]


@pytest.mark.long
def test_swap_takes_what_was_asked_and_no_more(web):
    """48M of memory and 16M of swap: one process of 50M fits into both, one of 100M does not."""
    # No zeros: since Linux 6.12 pages of nothing but zeros take no memory any more once somebody wants it back.
    take = 'tr "\\000" a </dev/zero | dd of=/dev/null bs={} count=1 iflag=fullblock'
    refused = events(web, "memory.swap.events")["max"]
    said = inside(web, f"{take.format('50M')}; echo then; {take.format('100M')}; true", timeout=300)
    assert "/swap" in web.root("cat /proc/swaps")
    assert events(web, "memory.swap.events")["max"] > refused
    fits, _then, does_not = said.partition("then")
    assert "1+0 records out" in fits and "Killed" in does_not
    assert web.root("lxc-info -n web -pH")


# What is in pipes is in no line of memory.stat but the kernel's sum.
PIPES = """
import fcntl, os, time
pipes = [os.pipe() for _ in range(30)]
for _out, into in pipes:
    fcntl.fcntl(into, 1031, 1 << 20)
    os.write(into, bytes(1 << 20))
open("/run/held", "w").close()
time.sleep(1000)
"""


@pytest.mark.long
def test_memory_that_no_statistic_names_is_not_taken_away_either(web):
    """30M in pipes: less is refused and kills nobody, and once they are closed it is taken."""
    wanted = {"name": "web", "memory": "96M", "swap": "0"}
    play(web, [{"mainline.vps.vps_limits": wanted}])
    web.root(
        f"cat >/run/pipes.py <<'END'\n{PIPES}END\n"
        f"(echo 0 >{FOLDER}/guest/cgroup.procs; exec python3 /run/pipes.py) </dev/null >/dev/null 2>&1 &\n"
        "for i in $(seq 200); do [ -e /run/held ] && exit; sleep 0.3; done; exit 1"
    )
    try:
        refused = finish(web, start(web, [{"mainline.vps.vps_limits": {**wanted, "memory": "24M"}}]))
        assert refused.code != 0 and "memory: the VPS uses" in refused.output and "cannot be reclaimed" in refused.output
        assert web.root(f"cat {FOLDER}/memory.max {FOLDER}/memory.high").split() == [str(96 * MIB), "max"]
        web.root("pgrep -f pipes[.]py")
    finally:
        web.root("pkill -f pipes[.]py; rm -f /run/pipes.py /run/held")
    play(web, [{"mainline.vps.vps_limits": {**wanted, "memory": "24M"}}])
    assert web.root(f"cat {FOLDER}/memory.max").strip() == str(24 * MIB)
    play(web, [{"mainline.vps.vps_limits": {"name": "web", **LIMITS}}])
    assert files(web) == FILES


@pytest.mark.long
def test_memory_in_use_is_taken_away_by_force_alone(web):
    """A shell inside holds 30M; less than that is refused, or the shell has to go."""
    wanted = {"name": "web", "memory": "96M", "swap": "0"}
    play(web, [{"mainline.vps.vps_limits": wanted}])
    inside(web, '(x=$(head -c 31457280 /dev/zero | tr "\\000" a); sleep 1000; : "$x") >/dev/null 2>&1 &')
    web.root(f"for i in $(seq 200); do [ $(awk '/^anon / {{ print $2 }}' {FOLDER}/memory.stat) -gt {28 * MIB} ] && exit; sleep 0.3; done; exit 1")
    try:
        refused = finish(web, start(web, [{"mainline.vps.vps_limits": {**wanted, "memory": "20M"}}]))
        assert refused.code != 0 and "memory: the VPS uses" in refused.output and files(web)["memory.max"] == str(96 * MIB)
        init = web.root("lxc-info -n web -pH").strip()
        usual = web.root(f"cat /proc/{init}/oom_score_adj")
        play(web, [{"mainline.vps.vps_limits": {**wanted, "memory": "20M", "force": True}}])
        assert "Memory cgroup out of memory: Killed process" in web.root("dmesg | tail -n 20")
        assert web.root("lxc-info -n web -pH").strip() == init  # the kernel does not wait for what the first one leaves
        assert files(web)["memory.max"] == str(20 * MIB)
        scores = web.root(f"for process in $(cat {FOLDER}/guest/cgroup.procs {FOLDER}/guest/*/cgroup.procs); do cat /proc/$process/oom_score_adj; done")
        assert web.root(f"cat /proc/{init}/oom_score_adj") == usual and "-1000" not in scores
    finally:
        play(web, [{"mainline.vps.vps_limits": {"name": "web", **LIMITS}}])
    assert files(web) == FILES


def test_cpu_time_is_what_was_asked(web):
    inside(web, "(while :; do :; done) >/dev/null 2>&1 & echo $! >/tmp/busy")
    time.sleep(2)
    start, used = time.monotonic(), events(web, "cpu.stat")["usage_usec"]
    time.sleep(15)
    rate = (events(web, "cpu.stat")["usage_usec"] - used) / 1e6 / (time.monotonic() - start)
    inside(web, "kill $(cat /tmp/busy)")
    assert 0.15 < rate < 0.25
    assert events(web, "cpu.stat")["nr_throttled"] > 0


@pytest.mark.long
def test_cpuunits_share_a_busy_core(node):
    """Two VPSs on one core, one with three times the other's share. The weights that count are those of their units."""
    shares = {"less": "1000", "more": "3000"}
    make = [{"mainline.vps.vps_container": {"name": name, "template": "minimal", "limits": {"cpuunits": share}}} for name, share in shares.items()]
    play(node, make)
    try:
        for name in shares:
            node.root(f"lxc-attach --name={name} -- /bin/sh -c '(while :; do :; done) >/dev/null 2>&1 &'")
        node.root("for pid in $(pgrep -f 'while [:]'); do taskset -cp 0 $pid; done")  # now: a cgroup takes an earlier affinity away
        used = "cd /sys/fs/cgroup/vps.slice; awk '/^usage_usec/ { print $2 }' vps@less.service/cpu.stat vps@more.service/cpu.stat"
        before = node.root(used).split()
        time.sleep(20)
        after = node.root(used).split()
        less, more = (int(now) - int(then) for now, then in zip(after, before, strict=True))
        assert 2.2 < more / less < 3.8
        node.root("systemctl daemon-reload")
        assert node.root("cat /sys/fs/cgroup/vps.slice/vps@more.service/cpu.weight") == "300"
        assert play(node, make).changed == []
        node.root("systemctl restart vps@more")
        assert node.root("cat /sys/fs/cgroup/vps.slice/vps@more.service/cpu.weight") == "300"
    finally:
        play(node, [{"mainline.vps.vps_container": {"name": name, "state": "absent"}} for name in shares])


def test_a_fork_too_many_is_refused(web):
    # A kernel before 6.11 counts where the process was that wanted to fork, which is below.
    count = f"cat {FOLDER}/pids.events {FOLDER}/guest/pids.events | awk '{{ sum += $2 }} END {{ print sum }}'"
    before, refused = inits(web), int(web.root(count))
    said = inside(web, "for i in $(seq 60); do sleep 10 & done; wait", check=False)
    assert "can't fork" in said
    assert int(web.root(count)) > refused
    assert inits(web) == before


def test_a_disk_that_is_full_is_full_inside_only(web):
    said = inside(web, "dd if=/dev/zero of=/big bs=1M count=200; sync; rm /big; sync; echo again >/small && cat /small")
    assert "Disk quota exceeded" in said and said.endswith("again")
    web.root("dd if=/dev/zero of=/var/lib/vps/own bs=1M count=120 status=none; sync; rm /var/lib/vps/own")


def test_apparmor_confines_it(web):
    said = web.root("cat /proc/$(lxc-info -n web -pH)/attr/current; cat /sys/module/apparmor/parameters/enabled")
    assert said.splitlines()[0].startswith("lxc-web_") and said.splitlines()[0].endswith("(enforce)") and said.endswith("Y")
    profile = said.splitlines()[0].split("//&:")[0].removesuffix(" (enforce)")
    assert f"{profile} (enforce)" in web.root("cat /sys/kernel/security/apparmor/profiles").splitlines()


def test_changes_are_live_and_stay_over_a_reboot_from_inside(web):
    task = {"mainline.vps.vps_limits": {"name": "web", **OTHERS}}
    before, boot = inits(web), web.root("cat /proc/sys/kernel/random/boot_id")
    assert len(play(web, [task]).changed) == 1
    assert files(web) == OTHER_FILES and inits(web) == before
    assert disk_limit(web) == 150 * MIB
    inside(web, "reboot", check=False)
    again = f"ping -c 1 -W 1 -q 10.90.0.10 >/dev/null && [ $(lxc-info -n web -pH) != {before.split()[0]} ]"
    web.root(f"for i in $(seq 100); do {again} && exit; sleep 0.3; done; exit 1")
    assert files(web) == OTHER_FILES and disk_limit(web) == 150 * MIB
    assert inits(web).split()[0] != before.split()[0] and inits(web).split()[1:] == before.split()[1:]
    assert web.root("cat /proc/sys/kernel/random/boot_id") == boot
    assert play(web, [task]).changed == []
    assert len(play(web, [{"mainline.vps.vps_limits": {"name": "web", **LIMITS}}]).changed) == 1
    assert files(web) == FILES
