# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage image where the kernel has quota: soft and hard limits of space and inodes, grace, quota of users, growing in use."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.mainline.vps.tests.node.guest import give_perl
from ansible_collections.mainline.vps.tests.node.play import finish, play, start

MIB = 1 << 20
LIMITS = {"diskspace": "200M:300M", "diskinodes": "1500:2000", "quotatime": "3600", "quotaugidlimit": "100"}
ROOT = "/var/lib/vps/vps/quota/rootfs"


def task(**options) -> dict:
    """A task about the VPS."""
    return {"mainline.vps.vps_container": {"name": "quota", **options}}


def limits(**options) -> dict:
    """A task about its limits."""
    return {"mainline.vps.vps_limits": {"name": "quota", **options}}


@pytest.fixture(scope="module")
def quota(node):
    """A node with one VPS on an image that has every limit of its disk."""
    done = play(node, [task(template="minimal", storage="image", addresses=["10.90.0.12"], limits=LIMITS, wait="booted")])
    assert len(done.changed) == 1
    yield node
    play(node, [task(state="absent")])
    assert node.root("losetup --list --noheadings --output BACK-FILE | grep vps/quota || true; grep vps/quota /proc/self/mountinfo || true") == ""


@pytest.fixture
def held(quota):
    """The same, with those limits again and an empty disk."""
    yield quota
    inside(quota, "rm -rf /many /big")
    play(quota, [limits(**LIMITS)])


def inside(node, script: str, **options) -> str:
    """Run a script in the VPS, as its root."""
    return node.root(f"lxc-attach --name=quota --clear-env -- /bin/sh -c '{script}' 2>&1", **options)


def device(node) -> str:
    """The loop device of its image."""
    return node.root(f"findmnt --noheadings --output SOURCE {ROOT}")


def kernel_says(node) -> dict[str, int]:
    """Project 0's quota as the kernel tells it, asked without the code that is tested: limits in KiB, use in bytes; counts; seconds."""
    script = """
import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def ask(command, size):
    buffer = ctypes.create_string_buffer(size)
    assert libc.quotactl(ctypes.c_uint(command << 8 | 2), sys.argv[1].encode(), 0, buffer) == 0, ctypes.get_errno()
    return buffer.raw
hard, soft, used, ihard, isoft, inodes = struct.unpack_from("6Q", ask(0x800007, 72))
grace, igrace = struct.unpack_from("2Q", ask(0x800005, 24))
print(hard, soft, used, ihard, isoft, inodes, grace, igrace)
"""
    words = node.root(f"python3 - {device(node)} <<'END'\n{script}\nEND").split()
    return dict(zip(("hard", "soft", "used", "ihard", "isoft", "inodes", "grace", "igrace"), map(int, words), strict=True))


def mounts(node) -> str:
    """The options of its mount."""
    return node.root(f"findmnt --noheadings --output OPTIONS {ROOT}")


def test_the_kernel_holds_what_was_asked(quota):
    told = kernel_says(quota)
    assert (told["soft"], told["ihard"], told["isoft"]) == (200 << 10, 2000, 1500)
    assert (told["grace"], told["igrace"]) == (3600, 3600)
    assert 0 < told["used"] < 100 * MIB and 0 < told["inodes"] < 1500, "the template's files count"
    assert {"prjquota", "usrquota", "grpquota", "nodev"} <= set(mounts(quota).split(","))
    done = play(quota, [task(limits=LIMITS)])
    assert done.changed == []
    words = {row["limit"]: row for row in done.results[-1]["result"]["fidelity"]}
    assert {name: words[name]["fidelity"] for name in LIMITS} == {**dict.fromkeys(LIMITS, "exact"), "quotaugidlimit": "approximate"}
    assert words["diskinodes"]["held"] == "1500:2000" and words["quotatime"]["held"] == "3600"


def test_an_inode_too_many_is_refused_inside_and_nowhere_else(held):
    said = inside(held, "mkdir /many; i=0; while [ $i -lt 2500 ]; do touch /many/$i || break; i=$((i+1)); done; ls /many | wc -l", check=False)
    assert "Disk quota exceeded" in said
    assert 1000 < int(said.splitlines()[-1]) < 2000
    assert kernel_says(held)["inodes"] == 2000
    held.root("touch /var/lib/vps/own && rm /var/lib/vps/own")
    assert len(play(held, [task(hostname="still.example.com")]).changed) == 1, "the node's root is not bound"
    play(held, [task(hostname="quota")])


def test_a_soft_limit_bites_when_its_grace_is_over(held):
    play(held, [limits(**{**LIMITS, "diskspace": "60M:300M", "quotatime": "5"})])
    fill = "dd if=/dev/zero of=/big bs=1M count=80 && sync && echo within; sleep 8; dd if=/dev/zero of=/more bs=1M count=5; sync; rm -f /more"
    said = inside(held, fill, check=False)
    assert "within" in said and "Disk quota exceeded" in said.split("within")[1]
    inside(held, "rm /big; sync; dd if=/dev/zero of=/more bs=1M count=5 && sync && rm /more")


def test_the_hard_limit_of_space_is_the_size_of_the_image(held):
    said = inside(held, "dd if=/dev/zero of=/big bs=1M count=400; sync", check=False)
    assert "No space left" in said or "Disk quota exceeded" in said
    assert held.root("stat --format=%s /var/lib/vps/vps/quota/root.img") == str(300 * MIB)


@pytest.mark.long
def test_it_grows_while_it_runs_and_its_limits_change_live(held):
    init = held.root("lxc-info -n quota -pH")
    before = int(inside(held, "df -k / | tail -n 1").split()[1])
    done = play(held, [limits(diskspace="1G:3G", diskinodes="50000")])
    changes = done.results[-1]["result"]["changes"]
    assert {change["option"]: change["effect"] for change in changes}["limits.diskspace"] == "live"
    assert before < 300 << 10 < 2900 << 10 < int(inside(held, "df -k / | tail -n 1").split()[1]) <= 3 << 20
    told = kernel_says(held)
    assert (told["soft"], told["ihard"], told["isoft"]) == (1 << 20, 50000, 0)
    assert held.root("lxc-info -n quota -pH") == init
    assert play(held, [limits(diskspace="1G:3G", diskinodes="50000")]).changed == []
    # LIMITS are smaller again, which takes a stop.
    refused = finish(held, start(held, [limits(**LIMITS)]))
    assert refused.code != 0 and "made smaller only while its VPS is stopped" in refused.output
    play(held, [task(state="stopped", stop_timeout=30), limits(**LIMITS), task(state="started", wait="booted")])
    assert kernel_says(held)["isoft"] == 1500


@pytest.mark.long
def test_quota_of_users_is_switched_live(held):
    assert flags(held) & 0b1010 == 0b1010
    play(held, [limits(**{name: value for name, value in LIMITS.items() if name != "quotaugidlimit"})])
    assert flags(held) & 0b1010 == 0
    assert len(play(held, [limits(**LIMITS)]).changed) == 1
    assert flags(held) & 0b1010 == 0b1010


@pytest.mark.long
def test_a_user_inside_runs_into_a_quota_of_its_own(held):
    """As the node's setquota(8) sets it, by the user's number inside: on disk it has that one."""
    script = "import ctypes, struct, sys; b = ctypes.create_string_buffer(struct.pack('8QI4x', 5 << 10, 0, 0, 0, 0, 0, 0, 0, 1))\n"
    script += "assert ctypes.CDLL(None).quotactl(ctypes.c_uint(0x800008 << 8), sys.argv[1].encode(), 1000, b) == 0"
    held.root(f"python3 - {device(held)} <<'END'\n{script}\nEND")
    inside(held, "mkdir -p -m 0777 /many")
    fill = "dd if=/dev/zero of=/many/{} bs=1M count=8; sync"
    whose = {number: f"lxc-attach --name=quota --clear-env --uid={number} --gid={number} -- /bin/sh -c '{fill.format(number)}' 2>&1" for number in (1000, 1001)}
    assert "Disk quota exceeded" in held.root(whose[1000], check=False)
    assert "8+0 records out" in held.root(whose[1001]), "nobody else is bound"


def flags(node) -> int:
    """Which kinds of quota the kernel enforces (quotactl(2), Q_XGETQSTAT)."""
    script = "import ctypes, struct, sys; b = ctypes.create_string_buffer(256); c = ctypes.c_uint(((ord('X') << 8) + 5) << 8)\n"
    script += "assert ctypes.CDLL(None).quotactl(c, sys.argv[1].encode(), 0, b) == 0\nprint(struct.unpack_from('H', b.raw, 2)[0])"
    return int(node.root(f"python3 - {device(node)} <<'END'\n{script}\nEND"))


@pytest.mark.long
def test_limits_outlive_a_reboot_from_inside_a_restart_and_a_stop(held):
    init = held.root("lxc-info -n quota -pH")
    inside(held, "reboot", check=False)
    held.root(f"for i in $(seq 200); do p=$(lxc-info -n quota -pH); [ -n \"$p\" ] && [ \"$p\" != {init} ] && exit; sleep 0.3; done; exit 1")
    assert kernel_says(held)["isoft"] == 1500
    held.root("systemctl restart vps@quota")
    assert kernel_says(held)["ihard"] == 2000 and flags(held) & 0b1010 == 0b1010
    play(held, [task(state="stopped", stop_timeout=30)])
    assert held.root("grep vps/quota /proc/self/mountinfo || true; losetup --list --noheadings | grep vps/quota || true") == ""
    assert len(play(held, [limits(**{**LIMITS, "diskinodes": "1600:2100"})]).changed) == 1, "while it is stopped"
    play(held, [task(state="started", wait="booted")])
    assert (kernel_says(held)["isoft"], kernel_says(held)["ihard"]) == (1600, 2100)


def test_what_somebody_set_by_hand_is_found_and_mended(held):
    script = "import ctypes, struct, sys; b = ctypes.create_string_buffer(struct.pack('8QI4x', 0, 0, 0, 7000, 0, 0, 0, 0, 4))\n"
    script += "assert ctypes.CDLL(None).quotactl(ctypes.c_uint(0x800008 << 8 | 2), sys.argv[1].encode(), 0, b) == 0"
    held.root(f"python3 - {device(held)} <<'END'\n{script}\nEND")
    done = play(held, [limits(**LIMITS)])
    assert [change["option"] for change in done.results[-1]["result"]["changes"]] == ["limits.diskinodes"]
    assert kernel_says(held)["ihard"] == 2000


def test_root_inside_cannot_lift_it(held):
    """Its files count for project 0, which only the node's root can change (FS_IOC_FSSETXATTR); and quotactl(2) is the node's."""
    held.root(give_perl(ROOT))

    def change(path: str, project: int) -> str:
        code = f"open F, q(<), q({path}) or die; \\$a = pack(q(L5 x8), 0, 0, 0, {project}, 0); print ioctl(F, 0x401c5820, \\$a) ? q(done) : \\$! + 0"
        return f'/bin/perl -e "{code}"'

    assert inside(held, change("/etc", 7)) == str(errno.EINVAL)
    assert held.root(change(f"{ROOT}/etc", 7)) == held.root(change(f"{ROOT}/etc", 0)) == "done", "this is not how a project is changed"
    script = "import ctypes, sys; print(ctypes.CDLL(None, use_errno=True).quotactl(0x800003 << 8 | 2, sys.argv[1].encode(), 0, None), ctypes.get_errno())"
    in_user_namespace = f"nsenter --user --target $(lxc-info -n quota -pH) python3 -c '{script}' {device(held)}"
    assert held.root(in_user_namespace).split()[0] == "-1"
    assert kernel_says(held)["ihard"] == 2000


@pytest.mark.long
def test_a_killed_monitor_and_a_stopped_node_leave_nothing(held):
    held.root("kill -9 $(cat /run/vps/quota/pid); for i in $(seq 100); do systemctl is-active -q vps@quota || break; sleep 0.2; done")
    play(held, [task(state="stopped", stop_timeout=0)])
    assert held.root("grep vps/quota /proc/self/mountinfo || true") == ""
    play(held, [task(state="started", wait="booted")])
    assert kernel_says(held)["isoft"] == 1500
