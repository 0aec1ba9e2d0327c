# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_container with a Debian guest: identity inside, its services reachable, reboot, and two that are not the same."""

from __future__ import annotations

import socket
import time

import pytest
import vps_kit as kit
from test_minimal import HASHES, KEYS, reboot_from_inside, seen_inside


@pytest.fixture(scope="module")
def guests(debian):
    """Two Debian guests, booted at the same time."""
    names = ("it-debian1", "it-debian2")
    runs = [
        kit.launch(
            "vps_container", name=name, template=debian, addresses=[kit.address(20 + number)], hostname=f"{name}.example.com",
            nameservers=["192.0.2.53"], root_password_hash=HASHES[number], authorized_keys=KEYS, limits={"memory": "512M", "processes": "300"},
            wait="booted", wait_timeout=180,
        )
        for number, name in enumerate(names)
    ]
    done = [kit.result(run) for run in runs]
    for told in done:
        assert not told.get("failed"), told["msg"]
        assert told["boot"] == "running", f"not all units of the guest started: {told['boot']}"
    return names


def test_identity_is_seen_inside(guests):
    """Host name, addresses, resolver, root's password and keys."""
    for number, name in enumerate(guests):
        assert seen_inside(name, "hostname") == f"{name}.example.com"
        assert seen_inside(name, "addresses") == [kit.address(20 + number)]
        assert seen_inside(name, "nameservers") == ["192.0.2.53"]
        assert seen_inside(name, "root_password_hash") == HASHES[number]
        assert seen_inside(name, "authorized_keys") == KEYS
        assert kit.said(name, "cat", "/proc/1/comm") == "systemd"


def test_two_are_not_the_same_machine(guests):
    """machine-id and every SSH host key differ, though they are of one template; and each boots as itself again."""
    first, second = (
        kit.said(name, "sh", "-c", "cat /etc/machine-id /etc/ssh/ssh_host_*_key.pub | cut -d' ' -f1,2").splitlines() for name in guests
    )
    assert len(first) >= 3 and len(first[0]) == 32
    assert first[0] != second[0]
    assert not {line.split()[1] for line in first[1:]} & {line.split()[1] for line in second[1:]}
    modes = kit.said(guests[0], "sh", "-c", "stat -c '%a %u' /etc/ssh/ssh_host_*_key").splitlines()
    assert set(modes) == {"600 0"}


def test_their_services_are_reached_at_their_addresses(guests):
    """From the node, and from one guest to the other where that is not isolated."""
    for number, _name in enumerate(guests):
        with socket.create_connection((kit.address(20 + number), 80), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        with socket.create_connection((kit.address(20 + number), 22), timeout=5) as connection:
            assert connection.recv(4) == b"SSH-"
    ping = ("ping", "-c", "1", "-W", "5", kit.address(21))
    assert kit.inside(guests[0], *ping, check=False).returncode == 1
    kit.container(guests[1], isolated=False)
    kit.inside(guests[0], *ping)


def test_reboot_from_inside(guests):
    """systemd stops, and boots again as the same machine."""
    before = kit.said(guests[0], "cat", "/etc/machine-id")
    reboot_from_inside(guests[0], guests[1], "systemctl reboot")
    assert kit.said(guests[0], "cat", "/etc/machine-id") == before


MARK = """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/touch /root/was-stopped
"""


def test_stop_is_a_clean_shutdown(guests):
    """systemd stops its services and ends by itself, well within its time."""
    kit.inside(guests[1], "tee", "/etc/systemd/system/it-mark.service", stdin=MARK)
    kit.inside(guests[1], "systemctl", "start", "it-mark.service")
    started = time.monotonic()
    kit.container(guests[1], state="stopped", stop_timeout=50)
    assert time.monotonic() - started < 45
    assert (kit.rootfs(guests[1]) / "root/was-stopped").exists()


MANY = 30  # with the kernel's own 128 inotify instances, the 23rd systemd guest of a node no longer boots


def test_more_guests_boot_than_stock_sysctls_allow(debian):
    """They are all up at once, and every one of them says so itself: the node's sysctls are not decoration."""
    names = [f"it-many{number}" for number in range(MANY)]
    try:
        for pair in zip(names[::2], names[1::2]):
            runs = [kit.launch("vps_container", name=name, template=debian, wait="booted", wait_timeout=180) for name in pair]
            for run in runs:
                assert kit.result(run).get("boot") in ("running", "degraded")
        states = [kit.said(name, "sh", "-c", "systemctl is-system-running || true") for name in names]
        assert states.count("running") == MANY, states
    finally:
        for name in names:
            kit.call("vps_container", name=name, state="absent")
