# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_limits: each limit as the kernel holds it and as the guest feels it."""

from __future__ import annotations

import struct
import time

import pytest
import vps_kit as kit

MIB = 1 << 20
SWAP = kit.SWAP
BURN = "while :; do :; done"


def limits(name: str, **wanted) -> dict:
    """Run vps_limits; what it returns."""
    return kit.ok("vps_limits", name=name, **wanted)


@pytest.fixture(scope="module")
def pair(minimal):
    """Two running guests that many tests share, each test sets their limits anew."""
    for name in ("it-limited", "it-beside"):
        kit.container(name, template=minimal, wait="booted")
    return "it-limited", "it-beside"


@pytest.fixture
def vps(pair):
    """The guest to be limited, without limits."""
    limits(pair[0])
    yield pair[0]
    limits(pair[0])


@pytest.fixture
def beside(pair):
    """Its neighbour; it must still do its work at the end of the test."""
    before = kit.pid(pair[1])
    yield pair[1]
    assert kit.pid(pair[1]) == before and kit.said(pair[1], "echo", "alive") == "alive"


def everything() -> dict:
    """One value of each limit."""
    return {
        "memory": "64M", **({"swap": "16M"} if SWAP else {}), "cpuunits": "2000", "cpulimit": "50", "processes": "100", "diskspace": "100M",
    }


def everything_in_the_kernel() -> dict:
    """The same, as the kernel's files have it."""
    return kit.limit_files(memory=64 * MIB, swap=16 * MIB if SWAP else None, cpuunits=2000, cpulimit=50, processes=100)


# -- set, changed, dropped ------------------------------------------------------------------------------------------------

ONE_BY_ONE = {
    "memory": ({"memory": "64M"}, {"memory": "100M"}, {"memory": 64 * MIB}),
    "swap": ({"memory": "64M", "swap": "32M"}, {"memory": "64M", "swap": "0"}, {"memory": 64 * MIB, "swap": 32 * MIB}),
    "cpuunits": ({"cpuunits": "3000"}, {"cpuunits": "500"}, {"cpuunits": 3000}),
    "cpulimit": ({"cpulimit": "150"}, {"cpulimit": "25%"}, {"cpulimit": 150}),
    "cpus": ({"cpus": "2", "cpulimit": "300"}, {"cpus": "1"}, {"cpulimit": 200}),
    "processes": ({"processes": "40"}, {"processes": "unlimited"}, {"processes": 40}),
    "diskspace": ({"diskspace": "50M"}, {"diskspace": "60M"}, {}),
}


@pytest.mark.parametrize("limit", ONE_BY_ONE)
def test_limit_goes_there_and_back_live(vps, limit):
    """Foretold, in the kernel's own file, without a restart; and gone from the kernel when it is no longer listed."""
    first, second, in_kernel = ONE_BY_ONE[limit]
    if limit == "swap" and not SWAP:
        pytest.skip("this kernel does not account for swap; that the option is then refused is a unit test")
    init = kit.pid(vps)
    for wanted in (first, second, first):
        done = kit.foretold("vps_limits", name=vps, **wanted)
        assert done["changed"] and not done["restart_required"]
        assert {change["effect"] for change in done["changes"]} == {"live"}
    assert kit.kernel_limits(vps) == kit.limit_files(**in_kernel)
    assert kit.disk_limit(vps) == (50 * MIB if limit == "diskspace" else None)
    done = kit.foretold("vps_limits", name=vps)
    assert done["changed"] and done["vps"]["limits"] == {}
    assert kit.kernel_limits(vps) == kit.limit_files() and kit.disk_limit(vps) is None
    assert kit.pid(vps) == init


def test_all_limits_of_a_running_a_stopped_and_a_frozen_vps(minimal):
    """Set in each state; in force when it runs; kept over a restart and over a reboot from inside."""
    kit.container("it-all", template=minimal, state="present")
    kit.foretold("vps_limits", name="it-all", **everything())
    assert kit.disk_limit("it-all") == 100 * MIB
    kit.container("it-all", wait="booted")
    assert kit.kernel_limits("it-all") == everything_in_the_kernel()

    kit.container("it-all", state="restarted", wait="booted")
    assert kit.kernel_limits("it-all") == everything_in_the_kernel()

    kit.foretold("vps_limits", name="it-all", memory="96M", cpulimit="75", diskspace="120M")
    init = kit.pid("it-all")
    kit.inside("it-all", "reboot", check=False)
    kit.until("another init", lambda: kit.pid("it-all") not in (None, init))
    kit.until("its limits are in force", lambda: kit.kernel_limits("it-all") == kit.limit_files(memory=96 * MIB, cpulimit=75), seconds=5)
    assert not kit.ok("vps_limits", name="it-all", memory="96M", cpulimit="75", diskspace="120M")["changed"]

    kit.container("it-all", state="frozen")
    kit.foretold("vps_limits", name="it-all", **everything())
    assert kit.kernel_limits("it-all") == everything_in_the_kernel()
    assert kit.info("it-all")["state"] == "frozen", "changing a limit thawed it"


def test_what_somebody_wrote_into_the_kernel_is_found_and_mended(vps):
    """Each file, by hand, to something else: foretold, mended, and named."""
    limits(vps, **everything())
    right = kit.kernel_limits(vps)
    other = kit.limit_files(memory=80 * MIB, swap=64 * MIB if SWAP else None, cpuunits=100, cpulimit=10, processes=77)
    for file in reversed(right) if not kit.V2 else right:  # v1: memory and swap together may not be below memory
        if right[file] == other[file]:
            continue
        kit.cgroup(vps, file).write_text(other[file], encoding="ascii")
        assert kit.held(vps, file) == other[file]
        done = kit.foretold("vps_limits", name=vps, **everything())
        assert done["changed"], f"{file} was changed by hand, and that was not found"
        assert kit.kernel_limits(vps) == right
    kit.run("btrfs", "qgroup", "limit", "77M", str(kit.rootfs(vps)))
    assert kit.foretold("vps_limits", name=vps, **everything())["changed"]
    assert kit.disk_limit(vps) == 100 * MIB


def test_a_limit_of_a_vps_that_does_not_exist_is_an_error():
    """It is not made by the way."""
    message = kit.fails("vps_limits", name="it-nobody", memory="64M")
    assert "it-nobody" in message and "vps_container" in message


# -- felt inside ------------------------------------------------------------------------------------------------------------


def test_memory_kills_inside_and_nowhere_else(vps, beside):
    """A process that takes more than the limit is killed, by the VPS's own limit; init and the neighbour live."""
    limits(vps, memory="48M", **({"swap": "0"} if SWAP else {}))
    init, before, neighbours = kit.pid(vps), kit.oom_kills(vps), kit.oom_kills(beside)
    assert kit.inside(vps, "dd", "if=/dev/zero", "of=/dev/null", "bs=16M", "count=1", check=False).returncode == 0
    assert kit.inside(vps, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1", check=False).returncode != 0
    assert kit.oom_kills(vps) > before
    assert kit.pid(vps) == init and kit.oom_kills(beside) == neighbours
    assert kit.inside(beside, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1").returncode == 0
    limits(vps, memory="256M")
    assert kit.inside(vps, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1").returncode == 0


def test_memory_that_is_in_use_is_not_taken_away(vps):
    """Less than what is held and cannot be reclaimed is refused, and everything is as it was."""
    wanted = {"memory": "160M", **({"swap": "0"} if SWAP else {}), "cpulimit": "90", "diskspace": "100M"}
    limits(vps, **wanted)
    kit.shell(vps, "dd if=/dev/zero of=/run/held bs=1M count=80")
    init = kit.pid(vps)
    try:
        with kit.Untouched(inodes=False):
            message = kit.fails("vps_limits", name=vps, memory="32M", cpulimit="80", diskspace="90M")
        assert message.startswith("memory: ")
        assert kit.pid(vps) == init and kit.said(vps, "stat", "-c", "%s", "/run/held") == str(80 * MIB)
        assert not kit.ok("vps_limits", name=vps, **wanted)["changed"], "the refused limits were half set"
    finally:
        kit.shell(vps, "rm /run/held")
    kit.foretold("vps_limits", name=vps, memory="32M")


def test_a_fork_bomb_stays_inside(minimal, beside):
    """The kernel refuses its forks and counts them; the node and the neighbour answer at once, and it can be ended."""
    kit.container("it-bomb", template=minimal, limits={"processes": "30", "cpulimit": "60"}, wait="booted")
    refused = kit.pids_refused("it-bomb")
    bomb = kit.background("it-bomb", "bomb() { bomb | bomb & }; while :; do bomb; done")
    # Once is enough: a shell ends at its first refused fork, so how many follow is up to how the processes happen to die.
    kit.until("the kernel refuses forks", lambda: kit.pids_refused("it-bomb") > refused)
    assert int(kit.held("it-bomb", "pids.current")) <= 30
    started = time.monotonic()
    assert kit.said(beside, "echo", "still here") == "still here"
    limits("it-bomb", processes="20", cpulimit="30")
    assert time.monotonic() - started < 5
    kit.container("it-bomb", state="stopped")
    assert time.monotonic() - started < 10
    bomb.wait(10)


def test_cpulimit_is_half_a_core(vps):
    """Two busy processes for four seconds: half a CPU, give or take 15 %."""
    limits(vps, cpulimit="50")
    loops = [kit.background(vps, BURN) for _number in range(2)]
    try:
        kit.until("they are busy", lambda: kit.cpu_seconds(vps) > 0.2)
        assert kit.settle(lambda: kit.cpu_rate(vps, seconds=4), near=0.5, within=0.15)
        limits(vps, cpulimit="20")
        assert kit.settle(lambda: kit.cpu_rate(vps, seconds=2), near=0.2, within=0.25)
    finally:
        for loop in loops:
            kit.end(loop)


def test_cpuunits_share_a_busy_core(vps, beside):
    """1000 against 3000 on one CPU: one to three, give or take 10 %; and what an idle neighbour leaves lies idle for nobody."""
    limits(vps, cpuunits="1000")
    limits(beside, cpuunits="3000")
    core = min(kit.cpus())
    loops = {name: kit.background(name, BURN, core=core) for name in (vps, beside)}
    try:
        for name in loops:
            start = kit.cpu_seconds(name)
            kit.until("they are busy", lambda name=name, start=start: kit.cpu_seconds(name) > start + 0.1)
        assert kit.settle(lambda: kit.cpu_ratio(beside, vps, seconds=5), near=3, within=0.1)
        limits(beside, cpuunits="1000")
        assert kit.settle(lambda: kit.cpu_ratio(beside, vps, seconds=5), near=1, within=0.1)
        limits(beside, cpuunits="3000")
        shared = kit.cpu_rate(vps, seconds=3)
        kit.container(beside, state="frozen")
        idle = kit.cpu_idle(core)
        # Not near 1, for other programs of this machine may be at work on that CPU.
        assert kit.cpu_rate(vps, seconds=3) > 1.5 * shared
        assert kit.cpu_idle(core) - idle < 0.3
    finally:
        kit.container(beside, state="started")
        for loop in loops.values():
            kit.end(loop)
        limits(beside)


def test_diskspace_stops_root_inside_and_nobody_else(minimal, beside):
    """Its root cannot write past the limit; the neighbour and the node can; and more room is given to a full VPS."""
    kit.container("it-disk", template=minimal, limits={"diskspace": "30M"}, wait="booted")
    done = kit.shell("it-disk", "dd if=/dev/zero of=/root/fill bs=1M count=60 conv=fsync", check=False)
    assert done.returncode != 0 and "quota exceeded" in done.stderr.lower()
    assert 20 * MIB < int(kit.said("it-disk", "stat", "-c", "%s", "/root/fill")) <= 30 * MIB
    kit.shell(beside, "dd if=/dev/zero of=/root/fill bs=1M count=60 conv=fsync && rm /root/fill")
    assert kit.info("it-disk")["disk_used"] <= 30 * MIB

    done = kit.foretold("vps_container", name="it-disk", hostname="full", nameservers=["192.0.2.9"])
    assert done["changed"] and kit.said("it-disk", "hostname") == "full", "a full VPS cannot be changed"
    assert kit.disk_limit("it-disk") == 30 * MIB, "the limit was lifted for a change, and not put back"
    assert kit.shell("it-disk", "dd if=/dev/zero of=/root/more bs=1M count=10 conv=fsync", check=False).returncode != 0

    kit.foretold("vps_limits", name="it-disk", diskspace="80M")
    kit.shell("it-disk", "dd if=/dev/zero of=/root/more bs=1M count=20 conv=fsync")
    kit.foretold("vps_limits", name="it-disk")
    kit.shell("it-disk", "dd if=/dev/zero of=/root/more bs=1M count=100 conv=fsync")


def test_without_a_soft_limit_the_hard_one_holds(vps):
    """Of a pair, as every configuration of OpenVZ's has it."""
    assert "give one value" in kit.fails("vps_limits", name=vps, diskspace="40M:50M")
    done = kit.foretold("vps_limits", name=vps, diskspace="40M:50M", unsupported="warn")
    assert kit.disk_limit(vps) == 50 * MIB and "soft limit" in done["warnings"][0] and done["fidelity"][0]["fidelity"] == "approximate"
    kit.foretold("vps_limits", name=vps)


def test_a_lost_count_of_disk_use_is_mended_by_the_next_run(vps):
    """As when somebody groups counters by hand: btrfs then says that its numbers are no longer to be trusted."""
    group = f"0/{kit.run('btrfs', 'inspect-internal', 'rootid', str(kit.rootfs(vps))).strip()}"
    kit.run("btrfs", "qgroup", "create", "1/77", str(kit.pool()))
    try:
        kit.run("btrfs", "qgroup", "assign", "--no-rescan", group, "1/77", str(kit.pool()))
        assert kit.lost_count()
        done = kit.ok("vps_limits", name=vps, diskspace="50M")
        assert any("lost count" in warning for warning in done["warnings"])
        kit.until("it is counted again", lambda: not kit.lost_count())
        assert "warnings" not in kit.ok("vps_limits", name=vps, diskspace="50M")
        assert kit.shell(vps, "dd if=/dev/zero of=/root/fill bs=1M count=60 conv=fsync; rm /root/fill", check=False).stderr.lower().count("quota exceeded")
    finally:
        kit.run("btrfs", "qgroup", "remove", "--no-rescan", group, "1/77", str(kit.pool()))
        kit.run("btrfs", "qgroup", "destroy", "1/77", str(kit.pool()))
        kit.ok("vps_limits", name=vps)


# -- out of it ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("privileged", [False, True])
def test_root_inside_cannot_lift_its_own_limits(minimal, privileged):
    """It mounts every cgroup hierarchy that it can and writes to every limit file that it finds: the limits stay."""
    name = "it-lift"
    kit.container(name, template=minimal, privileged=privileged, limits={"memory": "64M", "processes": "60", "cpulimit": "50"}, wait="booted")
    right = kit.kernel_limits(name)
    done = kit.shell(
        name,
        """
        mkdir -p /mnt/2 /mnt/memory /mnt/cpu /mnt/pids
        mount -t cgroup2 none /mnt/2
        for controller in memory cpu pids; do mount -t cgroup -o $controller none /mnt/$controller; done
        found=0
        for top in /mnt /sys/fs/cgroup /proc/1/root/mnt /proc/1/root/sys/fs/cgroup; do
            for file in $(find $top -name 'memory.max' -o -name 'memory.*limit_in_bytes' -o -name 'pids.max' -o -name 'cpu.max' -o -name 'cpu.cfs_quota_us'); do
                found=$((found+1))
                for value in -1 max 'max 100000'; do echo $value > $file; done
            done
        done 2>/dev/null
        echo $found
        """,
        check=False,
    )
    assert kit.kernel_limits(name) == right, f"the guest has lifted its own limits ({done.stdout} files found)"
    if privileged:
        assert int(done.stdout or 0) > 0, "it found no file to write to, so this test has shown nothing"
    assert kit.inside(name, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1", check=False).returncode != 0 or not SWAP


def test_root_inside_cannot_move_out_of_its_cgroup(minimal):
    """A process that joins another cgroup, or makes one, is still below the VPS's own."""
    kit.container("it-move", template=minimal, limits={"processes": "40"}, wait="booted")
    kit.shell(
        "it-move",
        "mkdir -p /mnt/p; mount -t cgroup -o pids none /mnt/p || mount -t cgroup2 none /mnt/p; mkdir /mnt/p/own; echo max > /mnt/p/own/pids.max;"
        "for group in /mnt/p/own /mnt/p/.. /mnt/p; do echo $$ > $group/cgroup.procs; done; sleep 60 </dev/null >/dev/null 2>&1 &",
        check=False,
    )
    folder = kit.cgroup("it-move", "pids.max").parent
    inside = {int(line) for path in folder.rglob("cgroup.procs") for line in path.read_text(encoding="ascii").split()}
    namespace = kit.pid_namespace(kit.pid("it-move"))
    strays = {number for number in kit.processes() if kit.pid_namespace(number) == namespace} - inside
    assert not strays, f"processes of the guest outside of its cgroup: {strays}"
    assert len(inside) >= 2
    assert not kit.ok("vps_limits", name="it-move", processes="40")["changed"]


IOCTLS = {"SUBVOL_CREATE": 0x5000940E, "SNAP_CREATE": 0x50009401, "SUBVOL_CREATE_V2": 0x50009418, "SNAP_CREATE_V2": 0x50009417}

# struct btrfs_ioctl_vol_args: fd (8 bytes), name; _v2: fd, transid, flags, 4 words unused, name at 56.
ATTEMPT = r"""
sysopen(my $folder, $ARGV[0], 0200000) or die "open: $!";
my ($number, $v2) = ($ARGV[1], $ARGV[2]);
my $arguments = $v2 ? pack("q Q Q x32 a4040", fileno($folder), 0, 0, "nested") : pack("q a4088", fileno($folder), "nested");
print ioctl($folder, $number, $arguments) ? "made" : $!{EPERM} ? "EPERM" : "$!";
"""


@pytest.mark.parametrize("privileged", [False, True])
def test_root_inside_cannot_make_a_subvolume_to_write_past_its_limit(debian, privileged):
    """Each of the four ioctls is refused inside. That the attempts are right is shown on the node, where each succeeds."""
    name = "it-nest"
    kit.container(name, template=debian, privileged=privileged, limits={"diskspace": "2G"})
    inside = {
        ioctl: kit.said(name, "perl", "-MErrno", "-e", ATTEMPT, "/", str(number), "1" if ioctl.endswith("V2") else "0")
        for ioctl, number in IOCTLS.items()
    }
    assert inside == dict.fromkeys(IOCTLS, "EPERM")
    # bits above the 32 that the kernel looks at do not get past the filter
    high = {ioctl: kit.said(name, "perl", "-MErrno", "-e", ATTEMPT, "/", str(number | 1 << 32), "0") for ioctl, number in IOCTLS.items()}
    assert set(high.values()) == {"EPERM"}
    assert not (kit.rootfs(name) / "nested").exists()

    kit.container(name, state="stopped")
    for ioctl, number in IOCTLS.items():
        nested = kit.rootfs(name) / "nested"
        made = kit.run("perl", "-MErrno", "-e", ATTEMPT, str(kit.rootfs(name)), str(number), "1" if ioctl.endswith("V2") else "0")
        assert made == "made", f"{ioctl}: the attempt is wrong, so the refusal inside shows nothing: {made}"
        kit.run("btrfs", "subvolume", "delete", str(nested))


# What changes quota: the number, and arguments that do no harm where they are taken. QGROUP_LIMIT is of the subvolume itself (qgroup 0),
# its max_rfer 8 GiB; a command of 0 is none; the qgroups of the others are not there; a rescan has no flags.
QUOTA_IOCTLS = {
    "QUOTA_CTL": (0xC0109428, struct.pack("2Q", 0, 0)),
    "QGROUP_ASSIGN": (0x40189429, struct.pack("3Q", 0, 77777, 1 << 48 | 77777)),
    "QGROUP_CREATE": (0x4010942A, struct.pack("2Q", 0, 77777)),
    "QGROUP_LIMIT": (0x8030942B, struct.pack("6Q", 0, 1, 8 << 30, 0, 0, 0)),
    "QUOTA_RESCAN": (0x4040942C, struct.pack("8Q", 1, *[0] * 7)),
}
QUOTA_ATTEMPT = r"""
sysopen(my $folder, $ARGV[0], 0200000) or die "open: $!";
print ioctl($folder, $ARGV[1], pack("H*", $ARGV[2])) ? "done" : $!{EPERM} ? "EPERM" : "$!";
"""


def test_root_of_a_privileged_vps_cannot_lift_its_disk_limit(debian):
    """It has CAP_SYS_ADMIN on the node. That the attempts are right is shown on the node, which refuses none of them so."""
    name = "it-quota"
    kit.container(name, template=debian, privileged=True, limits={"diskspace": "2G"})

    def attempt(folder: str, number: int, arguments: bytes) -> list[str]:
        return ["perl", "-MErrno", "-e", QUOTA_ATTEMPT, folder, str(number), arguments.hex()]

    inside = {ioctl: kit.said(name, *attempt("/", *call)) for ioctl, call in QUOTA_IOCTLS.items()}
    assert inside == dict.fromkeys(QUOTA_IOCTLS, "EPERM")
    assert kit.disk_limit(name) == 2 << 30
    assert not kit.ok("vps_limits", name=name, diskspace="2G")["changed"]

    # A scan that meets subvolumes which have been deleted and are still there miscounts them, and the kernel gives up counting when they go.
    kit.run("btrfs", "subvolume", "sync", str(kit.pool()))
    outside = {ioctl: kit.run(*attempt(str(kit.rootfs(name)), *call)) for ioctl, call in QUOTA_IOCTLS.items()}
    assert "EPERM" not in outside.values(), f"an attempt is wrong, so the refusal inside shows nothing: {outside}"
    assert outside["QGROUP_LIMIT"] == "done"
    assert kit.disk_limit(name) == 8 << 30
    kit.until("it has counted again", lambda: not kit.lost_count())
