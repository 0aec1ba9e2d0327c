# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines themselves: two of them see each other, and none is there any more when it has been closed."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from ansible_collections.mainline.vps.tests.node import machine as machines
from ansible_collections.mainline.vps.tests.node.image import image
from ansible_collections.mainline.vps.tests.node.machine import Machine


def test_two_machines_are_wired_and_both_go(release):
    with Machine(image(release), name="one") as one, Machine(image(release), name="two", peer=one) as two:
        one.resume(), two.resume()
        for number, machine in enumerate((one, two), 1):
            machine.root(f"set -- $(ls -d /sys/class/net/en*); ip address add 192.0.2.{number}/24 dev ${{2##*/}}; ip link set ${{2##*/}} up")
        assert " 0% packet loss" in one.root("ping -c 3 -W 10 192.0.2.2")
        folders = [one.folder, two.folder]
    assert not any(folder.exists() for folder in folders)
    assert not any(str(folder) in subprocess.run(["ps", "axww"], capture_output=True, text=True, check=True).stdout for folder in folders)


def test_a_machine_ends_with_whoever_started_it(release):
    code = (
        "import sys, time\n"
        "from ansible_collections.mainline.vps.tests.node.image import image\n"
        "from ansible_collections.mainline.vps.tests.node.machine import Machine\n"
        "machine = Machine(image(sys.argv[1])).resume(); print(machine._qemu.pid, machine.folder, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, release], stdout=subprocess.PIPE, text=True) as parent:
        pid, folder = parent.stdout.readline().split()
        parent.kill()

    def has_ended() -> bool:
        state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout.strip()
        return state == "" or state.startswith("Z")

    machines.until("QEMU to end", has_ended, seconds=10)
    machines.sweep()
    assert not pathlib.Path(folder).exists()
