# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VPSs outlive the login that started them, and those that start with the node are back after its reboot, in their order."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.tests.node.conftest import ROLE
from ansible_collections.mainline.vps.tests.node.play import play

# Name → (last part of the address, onboot, boot_order, state)
VPSS = {
    "db": (11, True, 10, "started"), "web": (13, True, 20, "started"),
    "spare": (14, False, 0, "started"), "broken": (15, True, 0, "stopped"),
}
RUNNING = ["db", "web"]
TASKS = [
    {
        "mainline.vps.vps_container": {
            "name": name, "template": "minimal", "addresses": [f"10.90.0.{number}"], "onboot": onboot, "boot_order": order,
            "limits": {
                "memory": f"{40 + number}M", "memory_guarantee": "8M", "swap": "16M", "cpuunits": "500", "cpulimit": "300", "cpus": "2", "processes": "50",
                "diskspace": f"{100 + number}M",
            },
            "state": state, "storage": "image" if name == "db" else "btrfs",
        }
    }
    for name, (number, onboot, order, state) in VPSS.items()
]


@pytest.fixture(scope="module")
def rebooted(node):
    """A node that has been rebooted since: two VPSs that start with it, one that does not, and one that cannot any more."""
    assert len(play(node, TASKS).changed) == len(TASKS)
    node.root("echo 'lxc.mount.entry = /nowhere mnt none bind 0 0' >> /var/lib/lxc/broken/config")
    node.reboot()
    yield node
    play(node, [{"mainline.vps.vps_container": {"name": "{{ item }}", "state": "absent"}, "loop": list(VPSS)}])


def microseconds(node, name: str, moment: str) -> int:
    """When a VPS's unit came to a state, since the boot of the node."""
    return int(node.root(f"systemctl show -p {moment}TimestampMonotonic --value vps@{name}"))


def test_a_vps_outlives_the_login_that_started_it(node):
    """The image has KillUserProcesses=yes: whatever else such a login leaves behind ends with it."""
    play(node, [{"mainline.vps.vps_container": {"name": "lasting", "template": "minimal"}}], alone=True)
    assert "4711" in node.ssh("nohup sleep 4711 >/dev/null 2>&1 & pgrep -af 'sleep [4]711'", alone=True).stdout
    node.root("for i in $(seq 50); do pgrep -f 'sleep [4]711' >/dev/null || exit 0; sleep 0.2; done; exit 1")
    assert "/vps.slice/vps@lasting.service/" in node.root("cat /proc/$(lxc-info -n lasting -pH)/cgroup")
    play(node, [{"mainline.vps.vps_container": {"name": "lasting", "state": "absent"}}])
    assert "lasting" not in node.root("ls /sys/fs/cgroup/vps.slice; ls /run/systemd/system.control 2>/dev/null || true; systemctl --failed")


STUBBORN = r"""#!/bin/sh
mount -t tmpfs none /run
touch /run/booted
trap 'exec /bin/busybox reboot -f' USR2 PWR TERM INT
while :; do sleep 1; done
"""


@pytest.mark.long
def test_who_answers_a_stop_by_a_reboot_is_stopped_all_the_same(node):
    """By systemd's command, and by ours. One that reboots of its own accord comes back."""
    play(node, [{"mainline.vps.vps_container": {"name": "lasting", "template": "minimal", "state": "stopped"}}])
    node.root(f"cd /var/lib/vps/vps/lasting/rootfs/sbin; rm -f init; cat > init <<'END'\n{STUBBORN}END\nchmod 755 init")
    node.root("systemctl start vps@lasting; sleep 5; systemctl stop vps@lasting", timeout=1200)
    assert node.root("sleep 10; systemctl is-active vps@lasting || true; lxc-info -n lasting -sH").split() == ["inactive", "STOPPED"]
    play(node, [{"mainline.vps.vps_container": {"name": "lasting"}}])
    init = node.root("lxc-info -n lasting -pH")
    again = f"sleep 0.5; new=$(lxc-info -n lasting -pH) && [ $new != {init} ] && exit"
    node.root(f"lxc-attach -n lasting -- kill -TERM 1; for i in $(seq 100); do {again}; done; exit 1")
    play(node, [{"mainline.vps.vps_container": {"name": "lasting", "state": "stopped", "stop_timeout": 5}}])
    assert node.root("sleep 10; systemctl is-active vps@lasting || true; lxc-info -n lasting -sH").split() == ["inactive", "STOPPED"]
    play(node, [{"mainline.vps.vps_container": {"name": "lasting", "state": "absent"}}])


def test_lxcs_own_service_stops_none_of_ours(node):
    play(node, [{"mainline.vps.vps_container": {"name": "lasting", "template": "minimal", "onboot": True}}])
    before = node.root("lxc-info -n lasting -pH")
    node.root("systemctl start lxc; systemctl restart lxc; systemctl stop lxc")
    assert node.root("lxc-info -n lasting -pH") == before
    play(node, [{"mainline.vps.vps_container": {"name": "lasting", "state": "absent"}}])


def test_after_a_reboot_of_the_node_those_that_start_with_it_run(rebooted):
    assert rebooted.root("lxc-ls --running -1 | sort").split() == RUNNING


def test_in_their_order(rebooted):
    assert microseconds(rebooted, "web", "InactiveExit") > microseconds(rebooted, "db", "ActiveEnter") > 0
    journal = rebooted.root("journalctl -b -o cat -u vps-boot -u 'vps@*'")
    places = [journal.index(line) for line in ("Starting the VPSs of order 10", "VPS db", "Starting the VPSs of order 20", "VPS web")]
    assert places == sorted(places)


def test_they_had_stopped_in_the_reverse_order(rebooted):
    def stopped(name: str) -> float:
        lines = rebooted.root(f"journalctl -b -1 -o short-unix -u vps@{name} | grep Deactivated | tail -n 1")
        return float(lines.split()[0])

    assert stopped("web") < stopped("db")
    assert "Timed out" not in rebooted.root("journalctl -b -1 -o cat -u vps-boot -u 'vps@*'")


def test_one_that_cannot_start_says_why_and_keeps_no_other_from_it(rebooted):
    assert rebooted.root("systemctl --failed --no-legend --plain").split()[0] == "vps@broken.service"
    assert "/nowhere" in rebooted.root("journalctl -b -o cat -u vps@broken")


@pytest.mark.parametrize("name", RUNNING)
def test_with_their_limits_and_addresses(rebooted, name):
    number = VPSS[name][0]
    files = "memory.max memory.swap.max ../../cpu.weight cpu.max pids.max memory.min ../../memory.min"
    held = rebooted.root(f"cd /sys/fs/cgroup/vps.slice/vps@{name}.service/vps/{name}; cat {files}; ping -c 1 -W 5 -q 10.90.0.{number} >&2")
    assert held.splitlines() == [str((40 + number) << 20), str(16 << 20), "50", "200000 100000", "50", str(8 << 20), str(8 << 20)]
    size = str((100 + number) << 20)
    assert size in rebooted.root("btrfs qgroup show -r --raw /var/lib/vps; stat --format=%s /var/lib/vps/vps/*/root.img").split()
    rebooted.root(f"lxc-attach --name={name} --clear-env -- /bin/ping -c 1 -W 10 -q 10.0.2.2")


def test_with_what_is_guaranteed_to_all_of_them(rebooted):
    """The cgroup above has the sum, and what is guaranteed to a VPS holds for the cgroups that its guest makes."""
    assert rebooted.root("cat /sys/fs/cgroup/vps.slice/memory.min") == str(len(VPSS) * 8 << 20)
    assert "memory_recursiveprot" in rebooted.root("grep ' /sys/fs/cgroup ' /proc/mounts")


def test_nothing_is_left_to_change(rebooted):
    """But for the one whose configuration somebody has broken; and `spare` is named as what it is, stopped."""
    spare = {"mainline.vps.vps_container": {**TASKS[2]["mainline.vps.vps_container"], "state": "stopped"}}
    done = play(rebooted, [ROLE, *TASKS[:2], spare])
    assert done.changed == [] and "warnings" not in done.of("mainline.vps.node : Make the machine a node")
    repair = {"mainline.vps.vps_container": {"name": "broken", "state": "started"}}
    assert play(rebooted, [repair]).changed and rebooted.root("systemctl is-system-running") == "running"
