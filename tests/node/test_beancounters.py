# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What limits there are besides those of test_limits.py, on cgroup v2: a guest runs into each, and what is guaranteed is kept."""

from __future__ import annotations

import errno
import pathlib
import time

import pytest

from ansible_collections.mainline.vps.tests.node.guest import give_perl
from ansible_collections.mainline.vps.tests.node.play import play

ATTEMPTS = pathlib.Path(__file__).parents[1] / "integration/kit/attempts.pl"
PAGE, MIB = 4096, 1 << 20
FOLDER = "/sys/fs/cgroup/vps.slice/vps@beans.service/vps/beans"
LIMITS = {
    "numfile": "80:100", "lockedpages": "256", "shmpages": "120", "numsiginfo": "40", "numpty": "5", "cpumask": "0", "nodemask": "0",
    "physpages": "0:64M", "memory_high": "40M", "swappages": "0", "cpulimit": "30", "cpuburst": "30", "iolimit_write": "2M", "numproc": "60:60",
}
HELD = {
    "memory.max": str(64 * MIB), "memory.high": str(40 * MIB), "memory.swap.max": "0", "cpu.max": "30000 100000", "cpu.max.burst": "30000",
    "cpuset.cpus": "0", "cpuset.mems": "0", "pids.max": "60",
}
# Key → (what is tried, how many it gets, the error's number)
FELT = {
    "numfile": ("files", 80 - 3, errno.EMFILE), "lockedpages": (f"locked {60 * PAGE}", 4, errno.ENOMEM),
    "shmpages": (f"shared {30 * PAGE}", 4, errno.ENOSPC), "numsiginfo": ("signals", 40, errno.EAGAIN), "numpty": ("terminals", 5, errno.ENOSPC),
}
# What comes in by lxc-attach has the node's limits of a process: this runs what it finds as a child of the guest's init.
WORKER = "while :; do if [ -e /run/todo ]; then mv /run/todo /run/doing; sh /run/doing >/run/out 2>&1; mv /run/out /run/done; fi; sleep 0.1; done"
PREPARE = f"""{give_perl("/var/lib/vps/vps/beans/rootfs")}
cat > attempts.pl <<'END'
{ATTEMPTS.read_text(encoding="ascii")}
END
echo '{WORKER}' > worker; echo '::respawn:/bin/sh /worker' >> etc/inittab
"""


@pytest.fixture(scope="module")
def beans(node):
    """A node with one VPS that has a Perl, and all of these limits from its making on."""
    make = {"name": "beans", "template": "minimal", "limits": LIMITS, "state": "stopped"}
    made = play(node, [{"mainline.vps.vps_container": make}])
    words = {row["limit"]: row["fidelity"] for row in made.results[-1]["result"]["fidelity"]}
    assert set(words) == set(LIMITS) and "unsupported" not in words.values()
    assert {name for name, word in words.items() if word == "approximate"} == set(FELT)
    node.root(PREPARE)
    play(node, [{"mainline.vps.vps_container": {"name": "beans", "wait": "booted"}}])
    yield node
    play(node, [{"mainline.vps.vps_container": {"name": "beans", "state": "absent"}}])


def inside(node, script: str, *, name: str = "beans", **options) -> str:
    """Run a script in the VPS, as its root."""
    return node.root(f"lxc-attach --name={name} --clear-env -- /bin/sh -c '{script}' 2>&1", **options)


def attempt(node, what: str) -> list[int]:
    """Have a child of the guest's init take one more of something until it is refused: how many it got, and the error's number."""
    inside(node, f"rm -f /run/done; echo \"/bin/perl /attempts.pl {what}\" >/run/new; mv /run/new /run/todo")
    said = inside(node, "for i in $(seq 100); do [ -e /run/done ] && exec cat /run/done; sleep 0.3; done")
    return [int(word) for word in said.split()]


def counters(node, file: str, folder: str = FOLDER) -> dict[str, int]:
    """The kernel's counters in a file."""
    return {line.split()[0]: int(line.split()[1]) for line in node.root(f"cat {folder}/{file}").splitlines()}


def test_the_kernels_files_say_what_was_asked(beans):
    held = dict(line.split(":", 1) for line in beans.root(f"cd {FOLDER}; grep -H . {' '.join(HELD)}").splitlines())
    assert held == HELD
    assert "wbps=2097152" in beans.root(f"cat {FOLDER}/io.max")
    assert play(beans, [{"mainline.vps.vps_limits": {"name": "beans", **LIMITS}}]).changed == []


@pytest.mark.parametrize("limit", FELT)
def test_a_limit_that_is_no_cgroups_is_felt(beans, limit):
    what, count, refused = FELT[limit]
    got, number = attempt(beans, what)
    assert number == refused and count - 1 <= got <= count


@pytest.mark.parametrize("mark", [{"memory_high": "40M"}, pytest.param({"privvmpages": "10240:16384"}, marks=pytest.mark.long)])
def test_more_than_the_high_mark_is_slowed_down_and_nothing_killed(beans, mark):
    others = {name: value for name, value in LIMITS.items() if name != "memory_high"}
    play(beans, [{"mainline.vps.vps_limits": {"name": "beans", **others, **mark}}])
    assert beans.root(f"cat {FOLDER}/memory.high") == str(40 * MIB)
    before, killed = counters(beans, "memory.events")["high"], counters(beans, "memory.events")["oom_kill"]
    inside(beans, "dd if=/dev/zero of=/run/held bs=1M count=30; cat /run/held /run/held >/dev/null; dd if=/dev/zero of=/dev/null bs=14M count=1; rm /run/held")
    after = counters(beans, "memory.events")
    assert after["high"] > before and after["oom_kill"] == killed


@pytest.mark.long
def test_saved_time_is_used(beans):
    before = counters(beans, "cpu.stat")["nr_bursts"]
    inside(beans, "for i in 1 2 3 4 5 6; do sleep 1; n=0; while [ $n -lt 3000 ]; do n=$((n+1)); done; done", timeout=300)
    assert counters(beans, "cpu.stat")["nr_bursts"] > before


@pytest.mark.long
def test_bytes_per_second_to_the_disk_are_bounded(beans):
    """Through the page cache, and to the end."""
    took = {}
    for limits in ({"iolimit_write": "2M"}, {}):
        play(beans, [{"mainline.vps.vps_limits": {"name": "beans", **limits}}])
        started = time.monotonic()
        inside(beans, "dd if=/dev/zero of=/big bs=1M count=16 conv=fsync; rm /big", timeout=300)
        took["iolimit_write" in limits] = time.monotonic() - started
    play(beans, [{"mainline.vps.vps_limits": {"name": "beans", **LIMITS}}])
    assert 6.5 < took[True] < 40 and took[False] < took[True] / 2, took


def test_a_change_is_live_and_what_is_no_longer_listed_goes(beans):
    init = beans.root("lxc-info -n beans -pH")
    more = {**LIMITS, "numfile": "200", "shmpages": "400", "cpumask": "0-1"}
    done = play(beans, [{"mainline.vps.vps_limits": {"name": "beans", **more}}]).results[-1]["result"]
    assert done["changed"] and not done["restart_required"]
    assert attempt(beans, "files")[0] in (196, 197)
    done = play(beans, [{"mainline.vps.vps_limits": {"name": "beans"}}]).results[-1]["result"]
    effects = {change["option"].split(".")[1]: change["effect"] for change in done["changes"]}
    assert effects.pop("numpty") == "restart" and set(effects.values()) == {"live"} and done["restart_required"]
    assert attempt(beans, "files")[0] > 900 and attempt(beans, "signals")[0] > 1000
    assert beans.root(f"cd {FOLDER}; cat memory.max memory.high cpu.max cpu.max.burst pids.max; cat cpuset.cpus io.max").split() == [
        "max", "max", "max", "100000", "0", "max", "0-1",
    ]
    assert play(beans, [{"mainline.vps.vps_limits": {"name": "beans"}}]).changed == []
    assert beans.root("lxc-info -n beans -pH") == init


@pytest.mark.long
def test_ioprio_shares_a_busy_disk(node):
    """Two VPSs read what is in no cache, from a disk that gives 6 MB a second; their weights are 40 and 140.

    2.1 to 1 was seen: what one of them has read ahead, below the pool's loop device, is nobody's to share.
    """
    names = {"less": "1", "more": "6"}
    device = node.root("findmnt --noheadings --output SOURCE /var/lib/vps").removeprefix("/dev/")
    number, queue = node.root(f"cat /sys/block/{device}/dev"), f"/sys/block/{device}/queue/scheduler"
    before = node.root(f"modprobe bfq; cat {queue}").partition("[")[2].partition("]")[0]
    node.root(f"echo bfq > {queue}")
    try:
        play(node, [{"mainline.vps.vps_container": {"name": name, "template": "minimal", "limits": {"ioprio": at}}} for name, at in names.items()])
        for name in names:
            inside(node, "dd if=/dev/urandom of=/big bs=1M count=160 conv=fsync", name=name, timeout=300)
        node.monitor("block_set_io_throttle disk 6000000 0 0 0 0 0")
        node.root("sync; echo 3 > /proc/sys/vm/drop_caches")
        for name in names:
            inside(node, "cat /big >/dev/null 2>&1 &", name=name)
        time.sleep(5)
        first = {name: read_bytes(node, name, number) for name in names}
        time.sleep(15)
        less, more = (read_bytes(node, name, number) - first[name] for name in names)
        assert less > 1_000_000 and 1.5 < more / less < 140 / 40 * 1.25, (less, more)
    finally:
        node.monitor("block_set_io_throttle disk 0 0 0 0 0 0")
        play(node, [{"mainline.vps.vps_container": {"name": name, "state": "absent"}} for name in names])
        node.root(f"echo {before} > {queue}")


def read_bytes(node, name: str, disk: str) -> int:
    """What a VPS has read from a disk."""
    lines = node.root(f"cat /sys/fs/cgroup/vps.slice/vps@{name}.service/io.stat").splitlines()
    return next(int(word.partition("=")[2]) for line in lines if line.split()[0] == disk for word in line.split()[1:] if word.startswith("rbytes="))


@pytest.mark.long
def test_what_is_guaranteed_is_not_taken(node):
    """Three VPSs with as much in the page cache, of which some is asked back, and then all: one has a guarantee, one is spared if possible."""
    names = {"kept": {"memory_guarantee": "32M"}, "spared": {"vmguarpages": "32M:unlimited"}, "plain": {}}
    cache = "dd if=/dev/zero of=/big bs=1M count=24 conv=fsync; cat /big >/dev/null"
    play(node, [{"mainline.vps.vps_container": {"name": name, "template": "minimal", "limits": limits, "wait": "booted"}} for name, limits in names.items()])
    try:
        assert node.root("cat /sys/fs/cgroup/vps.slice/memory.min") == str(32 * MIB)
        node.root("echo 1G > /sys/fs/cgroup/vps.slice/memory.reclaim || true")  # what removed VPSs have left in the page cache goes first
        for name in names:
            inside(node, cache, name=name)
            assert int(node.root(f"cat /sys/fs/cgroup/vps.slice/vps@{name}.service/memory.current")) > 24 * MIB
        node.root("echo 14M > /sys/fs/cgroup/vps.slice/memory.reclaim || true")
        left = {name: int(node.root(f"cat /sys/fs/cgroup/vps.slice/vps@{name}.service/memory.current")) for name in names}
        assert left["kept"] > 20 * MIB and left["spared"] > 20 * MIB and left["plain"] < 16 * MIB, left
        node.root("echo 512M > /sys/fs/cgroup/vps.slice/memory.reclaim || true")  # EAGAIN: less could be taken
        left = {name: int(node.root(f"cat /sys/fs/cgroup/vps.slice/vps@{name}.service/memory.current")) for name in names}
        assert left["kept"] > 20 * MIB and left["plain"] < 12 * MIB, left
        play(node, [{"mainline.vps.vps_limits": {"name": "kept", "oomguarpages": "16M:unlimited", "vmguarpages": "8M:unlimited"}}])
        assert node.root("cd /sys/fs/cgroup/vps.slice; cat memory.min memory.low vps@kept.service/memory.min").split() == [
            str(16 * MIB), str(8 * MIB), str(16 * MIB),
        ]
    finally:
        play(node, [{"mainline.vps.vps_container": {"name": name, "state": "absent"}} for name in names])
    assert node.root("cat /sys/fs/cgroup/vps.slice/memory.min 2>/dev/null || echo 0") == "0"
