# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rates as clients measure them, changes under a connection that stays, and what is counted of a link."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time

import net_lab as lab
import pytest
import vps_kit as kit
from conftest import A, ADDRESSES, NEW

FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])
FAST = 200_000_000  # bit/s that two namespaces do at least, however busy the machine is, where nothing holds them back


def measured(way: str, family: int) -> float:
    """Bit/s of TCP between a VPS and a host outside: C(in) to the VPS, C(out) of it."""
    vps = lab.vps(A)
    return lab.rate(lab.OUT1, vps, family) if way == "in" else lab.rate(vps, lab.OUT1, family)


def is_held(way: str, family: int, asked: float) -> None:
    """A rate is what was asked, less what the headers take (5 %)."""
    assert kit.settle(lambda: measured(way, family), near=asked * 0.955, within=0.1)


def reboot(name: str) -> None:
    """From inside; wait until it is up again."""
    before = kit.pid(name)
    kit.inside(name, "reboot", check=False)
    kit.until("another init", lambda: kit.pid(name) not in (None, before), seconds=60)
    kit.ok("vps_container", name=name, wait="booted", wait_timeout=60)


@FAMILIES
def test_each_direction_has_a_rate_of_its_own(hosts, family):
    done = kit.foretold("vps_container", name=A, rates={"in": "60M", "out": "30M"})
    assert [(change["option"], change["effect"]) for change in done["changes"]] == [("rates", "live")]
    is_held("in", family, 60e6)
    is_held("out", family, 30e6)
    kit.foretold("vps_container", name=A, rates={"out": "80M"})
    is_held("out", family, 80e6)
    assert measured("in", family) > FAST, "what is not listed is not limited"
    kit.foretold("vps_container", name=A, rates={})
    assert measured("out", family) > FAST


def test_rates_are_kept_over_a_stop_and_a_reboot_and_are_gone_when_removed(hosts):
    kit.container(A, rates={"in": "40M", "out": "20M", "burst": "128K"})
    held = queues()
    assert len(held) == 2, held
    kit.container(A, state="stopped")
    kit.container(A, state="started")
    assert queues() == held
    is_held("in", 4, 40e6)
    reboot(A)
    assert queues() == held
    is_held("out", 6, 20e6)
    assert kit.info(A)["rates"] == {"in": "40M", "out": "20M", "burst": "128K"}
    kit.container(A, rates={})
    assert queues() == [] and kit.info(A)["rates"] == {}
    kit.container(A, rates={"out": "20M"}, state="stopped")
    kit.container(A, rates={})
    kit.container(A, state="started")
    assert queues() == [] and shapers() == []


def queues() -> list[str]:
    """The token buckets of this machine, as tc tells them, without their numbers."""
    return sorted(re.sub("tbf [0-9a-f]+: ", "", line) for line in kit.run("tc", "qdisc", "show").splitlines() if " tbf " in line)


def shapers() -> list[str]:
    """The devices that what VPSs send waits in."""
    return re.findall(r"vps\d+-out", kit.run("ip", "link", "show"))


def test_a_rate_that_somebody_has_taken_away_is_given_back(hosts):
    kit.container(A, rates={"in": "40M", "out": "20M"})
    held = queues()
    kit.run("tc", "qdisc", "delete", "dev", kit.info(A)["host_interface"], "root")
    done = kit.foretold("vps_container", name=A, rates={"in": "40M", "out": "20M"})
    assert [change["option"] for change in done["changes"]] == ["rates"] and queues() == held
    kit.run("ip", "link", "delete", shapers()[0])
    done = kit.foretold("vps_container", name=A, rates={"in": "40M", "out": "20M"})
    assert [change["option"] for change in done["changes"]] == ["rates"] and queues() == held
    is_held("out", 4, 20e6)


def test_a_burst_goes_at_once_and_what_is_beyond_it_does_not(hosts):
    """1.4 MB as fast as they can be sent, which a rate of 8 Mbit/s would take more than a second for."""
    kit.container(A, rates={"in": "8M", "burst": "4M"})
    assert flood() > 1_350_000
    kit.container(A, rates={"in": "8M", "burst": "128K"})
    assert flood() < 700_000
    kit.container(A, rates={"in": "8M"})
    assert flood() < 700_000


def flood() -> int:
    """Bytes that arrive at a VPS of a thousand datagrams, sent as fast as they go."""
    vps = lab.vps(A)
    time.sleep(0.6)  # the bucket fills
    before = received(vps)
    datagrams(lab.OUT1, vps.at(4), 1000, 1400)
    time.sleep(0.3)
    return received(vps) - before


def received(host: lab.Host) -> int:
    """Bytes that a host's kernel counts at its interface."""
    return int(re.search(r"RX:.*\n\s*(\d+)", lab.ip(host, "-s", "link", "show", "eth0")).group(1))


def datagrams(source: lab.Host, target: str, count: int, size: int) -> None:
    """Send datagrams, one after the other."""
    with lab.made(source, socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(True)
        client.connect((target, 9))
        for _number in range(count):
            try:
                client.send(bytes(size))
            except ConnectionRefusedError:  # nobody listens: it has arrived
                client.send(bytes(size))


# -- under a connection -------------------------------------------------------------------------------------------------


OTHER = [*ADDRESSES[A], "10.90.0.21", "fd90::21"]
CHANGES = (
    {"addresses": OTHER}, {"labels": {"tier": "web"}}, {"firewall": {"in": {"default": "drop"}}}, {"addresses": ADDRESSES[A]},
    {"publish": [{"host": 8080, "guest": 80}]}, {"firewall": {"in": {"default": "reject"}, "out": {"default": "reject"}}}, {"publish": []},
    {"isolated": False}, {"rates": {"in": "60M", "out": "50M"}}, {"labels": {}}, {"rates": {"in": "60M"}}, {"rates": {}}, {"rates": {"in": "20M"}},
)


@FAMILIES
def test_a_connection_goes_on_whatever_is_changed_and_follows_the_rate(hosts, family):
    kit.container(A, rates={"in": "100M"})
    with lab.stream(lab.OUT1, hosts["a"], family, seconds=9) as running:
        time.sleep(1)
        for change in CHANGES:
            kit.container(A, **change)
        told = lab.result(running)
    rates = [part["sum"]["bits_per_second"] for part in told["intervals"]]
    assert max(rates[:2]) > 40e6 and all(rates), rates
    assert abs(sum(rates[-3:]) / 3 - 19.1e6) < 3e6, rates


def test_a_ping_goes_on_whatever_is_changed(hosts):
    """On a link that is not full: where one is, its queue drops what comes too much."""
    commands = [
        ["nsenter", f"--net={one.namespace}", "ping", f"-{family}", "-i", "0.02", "-w", "60", other.at(family)]
        for one, other in ((hosts["a"], lab.OUT1), (lab.OUT1, hosts["a"])) for family in (4, 6)
    ]
    pings = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    time.sleep(0.3)
    for change in CHANGES:
        kit.container(A, **change)
    time.sleep(0.3)
    for ping in pings:
        ping.send_signal(signal.SIGINT)
    for ping in pings:
        answer = ping.communicate(timeout=60)[0]
        sent, got = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", answer).groups())
        assert sent > 20 and sent - got <= 1, answer


# -- counted ------------------------------------------------------------------------------------------------------------


def traffic(name: str = A) -> dict[str, int]:
    """What a VPS's link has carried."""
    return kit.ok("vps_info", name=name)["vpss"][0]["traffic"]


@FAMILIES
def test_bytes_are_counted_in_their_direction(hosts, family):
    before = traffic()
    datagrams(lab.OUT1, hosts["a"].at(family), 1000, 1000)
    datagrams(hosts["a"], lab.OUT1.at(family), 300, 1000)
    after = traffic()
    headers = 1000 + 14 + 8 + (40 if family == 6 else 20)
    for way, count in (("in", 1000), ("out", 300)):
        assert count <= after[f"packets_{way}"] - before[f"packets_{way}"] <= count * 1.2 + 50
        assert count * headers <= after[f"bytes_{way}"] - before[f"bytes_{way}"] <= count * headers * 1.1 + 10_000


def test_what_is_counted_outlives_every_end_of_a_vps_and_not_its_removal(minimal):
    name, addresses = "ap-net-counted", ["10.90.0.30", "fd90::30"]
    made = kit.container(name, template=minimal, addresses=addresses)
    assert max(traffic(name).values()) < 10_000
    datagrams(lab.OUT1, addresses[0], 1000, 1000)

    def kill() -> None:
        os.kill(kit.pid(name), signal.SIGKILL)
        kit.until("it has ended", lambda: kit.pid(name) is None)
        kit.container(name)

    held = traffic(name)
    assert held["bytes_in"] > 1_000_000
    stop, start, again = (lambda state=state: kit.container(name, state=state) for state in ("stopped", "started", "restarted"))
    for end in (stop, start, lambda: reboot(name), kill, again):
        end()
        now = traffic(name)
        assert all(held[key] <= now[key] <= held[key] + 10_000 for key in held), (held, now)
        held = now
    kit.container(name, state="absent")
    assert kit.container(name, template=minimal, state="present", **NEW)["id_base"] == made["id_base"], "this is about a new one with the old one's number"
    assert set(traffic(name).values()) == {0}
