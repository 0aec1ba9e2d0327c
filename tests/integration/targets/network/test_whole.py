# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet filter as a whole: replaced in one step, beside those of others, mended when it is gone; after runs that were killed too."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator

import net_lab as lab
import pytest
import vps_kit as kit
from conftest import A, ADDRESSES, B, C, NEW

SEED = int(os.environ.get("VPS_TEST_SEED") or time.time_ns() % 1_000_000)
MANY = 50
TABLE = ("nft", "--stateless", "list", "table", "inet", "mainline_vps")
SOME = {
    "labels": {"tier": "web"}, "isolated": False, "publish": [{"host": 8080, "guest": 80}], "rates": {"in": "50M", "out": "30M"},
    "firewall": {"in": {"default": "drop", "rules": [{"proto": "tcp", "ports": 80, "from": ["vps:ap-net-b", "10.81.0.0/24", "fd81::/64"]}]}},
}


def table() -> list[str]:
    """What our table in the kernel is made of; the order in which it was made says nothing."""
    return sorted(kit.run(*TABLE).partition("{\n")[2].removesuffix("\n}\n").split("\n\n"))


def is_what_the_records_say(where: str = "") -> None:
    """The kernel's table is what a run makes that finds none."""
    there = table()
    kit.run("nft", "delete table inet mainline_vps")
    assert [change["option"] for change in kit.ok("vps_container", name=B)["changes"]] == ["packet_filter"]
    assert table() == there, f"{where}: the rules were not what the records say"


# -- replaced in one step -----------------------------------------------------------------------------------------------


@pytest.fixture
def many(minimal):
    """Fifty VPSs more, which do not run; their rules are there all the same."""
    names = [f"ap-net-many{number}" for number in range(MANY)]
    for number, name in enumerate(names):
        rules = [{"proto": "tcp", "ports": [80, 443], "from": ["vps", "192.0.2.0/24"]}, {"proto": "icmp"}]
        addresses = [f"10.90.1.{number + 1}", f"fd90::1:{number + 1:x}"]
        kit.container(name, template=minimal, state="present", addresses=addresses, firewall={"in": {"default": "drop", "rules": rules}})
    return names


class Prober:
    """Sends datagrams to a port that is closed without pause, and asks at one that is open, from a host; until the end of a `with`."""

    def __init__(self, host: lab.Host, target: lab.Host, family: int) -> None:
        self.sent, self.answered, self.lost = 0, 0, 0
        self._host, self._target, self._family = host, target.at(family), family
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._probe, daemon=True)

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _probe(self) -> None:
        with lab.made(self._host, lab.family_of(self._family), socket.SOCK_DGRAM) as closed:
            while not self._over.is_set():
                time.sleep(0.002)  # two CPUs are for the runs, too
                for _number in range(20):
                    closed.sendto(b"closed", (self._target, 8000))
                    self.sent += 1
                found = lab.outcomes([lab.Try(self._host, self._target, "udp/53"), lab.Try(self._host, self._target, "tcp/80")])
                self.answered += sum(word.startswith("a ") for word in found)
                self.lost += sum(not word.startswith("a ") for word in found)


@contextlib.contextmanager
def receiving(host: lab.Host) -> Iterator[list[str]]:
    """Who has got through to the closed port of a host, by either family; told at the end."""
    got: list[str] = []
    with lab.made(host, socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.bind(("", 8000))
        yield got
        with contextlib.suppress(BlockingIOError):
            while True:
                got.append(one.recvfrom(100)[1][0])


def test_a_closed_port_never_opens_and_an_open_one_never_closes_while_rules_are_replaced(vpss, started, many):
    started()
    rules = [{"proto": "udp", "ports": 53}, {"proto": "tcp", "ports": 80}]
    kit.container(A, firewall={"in": {"default": "drop", "rules": rules}})
    a, b = lab.vps(A), lab.vps(B)
    with lab.Servers() as servers, receiving(a) as got:
        servers.listen(a, "udp/53", "tcp/80")
        probers = [Prober(host, a, family) for host in (lab.OUT1, b) for family in (4, 6)]
        with contextlib.ExitStack() as stack:
            for prober in probers:
                stack.enter_context(prober)
            took = []
            for name in many:
                began = time.monotonic()
                assert kit.ok("vps_container", name=name, state="present", isolated=False)["changed"]
                took.append(time.monotonic() - began)
        began = time.monotonic()
        kit.run("nft", "-f", "/etc/vps/network.nft")
        alone = time.monotonic() - began
    size, tries = os.path.getsize("/etc/vps/network.nft"), sum(prober.sent for prober in probers)
    print(f"{len(took)} changes of one of {MANY + 3} VPSs: {min(took) * 1000:.0f} to {max(took) * 1000:.0f} ms each, beside {tries} tries of a closed port; "
          f"nft alone takes {alone * 1000:.0f} ms for {size} bytes")
    assert not got, f"{len(got)} got through, of {set(got)}"
    assert [prober.lost for prober in probers] == [0] * len(probers), [(prober.lost, prober.answered) for prober in probers]
    assert min(prober.answered for prober in probers) > 50 and min(prober.sent for prober in probers) > 500
    kit.container(A, firewall={"in": {"default": "accept"}}, isolated=False)
    with receiving(a) as got:
        lab.outcomes([lab.Try(host, a.at(family), "udp/8000") for host in (lab.OUT1, b) for family in (4, 6)], silent=range(4))
    assert len(got) == 4, "this test would not see what gets through"


def test_a_change_of_rules_is_made_in_the_table_that_is_there(hosts):
    """One that is deleted lets pass what meets it in that moment. The kernel numbers what it makes anew: chains of hooks and sets stay."""

    def numbers() -> set[str]:
        told = json.loads(kit.run("nft", "--json", "list", "table", "inet", "mainline_vps"))["nftables"]
        return {f"{kind} {body['name']} {body['handle']}" for one in told for kind, body in one.items() if kind in ("chain", "set", "map")}

    before = {each for each in numbers() if not re.search("_ap-net-|is_", each)}
    kit.container(A, firewall={"in": {"default": "drop"}}, labels={"tier": "web"}, publish=[{"host": 8080, "guest": 80}])
    assert before and before <= numbers()
    kit.container(A, **NEW)
    assert before <= numbers()


def test_runs_side_by_side_leave_rules_for_all_of_their_records(hosts):
    for isolated in (False, True):
        runs = [kit.launch("vps_container", name=name, isolated=isolated, labels={"round": str(isolated)}) for name in ADDRESSES]
        assert [kit.result(run).get("msg") for run in runs] == [None] * len(runs)
        is_what_the_records_say()


# -- beside others ------------------------------------------------------------------------------------------------------


def test_what_others_filter_stays_byte_for_byte(hosts):
    kit.run("nft", "add table inet it_others; add chain inet it_others c { type filter hook forward priority 5; policy accept; };"
            "add rule inet it_others c ip daddr 192.0.2.1 drop; add set inet it_others s { type ipv4_addr; elements = { 192.0.2.9 }; }")
    kit.run("iptables-nft", "-N", "IT-OTHERS")
    kit.run("iptables-nft", "-A", "FORWARD", "-s", "192.0.2.0/24", "-m", "comment", "--comment", "somebody's", "-j", "IT-OTHERS")
    kit.run("ip6tables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "99", "-j", "DROP")

    def others() -> list[str]:
        tables = [line.split()[1:] for line in kit.run("nft", "list", "tables").splitlines()]
        saved = [line for line in kit.run("iptables-nft-save").splitlines() if not line.startswith("#")]  # which says when it was
        return [kit.run("nft", "--handle", "list", "table", *one) for one in tables if one[1] != "mainline_vps"] + saved

    before = others()
    try:
        assert len(before) > 2
        for params in (SOME, {"addresses": [*ADDRESSES[A], "10.90.0.40"]}, {"addresses": ADDRESSES[A]}, NEW, {"state": "stopped"}, {"state": "started"}):
            kit.container(A, **params)
            assert others() == before
        kit.run("nft", "delete table inet mainline_vps")
        kit.container(A)
        assert others() == before
    finally:
        for command in (["iptables-nft", "-F"], ["iptables-nft", "-X"], ["ip6tables-nft", "-F"], ["nft", "delete table inet it_others"]):
            kit.run(*command)


def test_after_somebody_s_flush_the_next_task_says_so_and_mends_it(hosts):
    kit.container(A, firewall={"in": {"default": "drop"}})
    there = table()
    kit.run("nft", "flush ruleset")
    lab.check(hosts, "out1 > a tcp/80 a\nb > a tcp/80 a")  # what the flush has done
    told = kit.ok("vps_container", name=B, check=True)
    assert [change["option"] for change in told["changes"]] == ["packet_filter"]
    assert "mainline_vps" not in kit.run("nft", "list", "tables")
    done = kit.ok("vps_container", name=B)
    assert done["changes"] == told["changes"] and done["diff"] == told["diff"]
    assert table() == there
    assert not kit.ok("vps_container", name=B)["changed"]
    lab.check(hosts, "out1 > a tcp/80 silent\nb > a tcp/80 silent")


def test_a_vps_that_starts_after_a_flush_is_protected(hosts):
    kit.container(A, firewall={"in": {"default": "drop"}}, state="stopped")
    there = table()
    kit.run("nft", "flush ruleset")
    kit.run("lxc-start", "-n", A)  # as LXC's own tools do, and a boot
    assert table() == there
    hosts["a"] = lab.vps(A)
    with lab.Servers() as servers:
        servers.listen(hosts["a"], "tcp/80")
        lab.check(hosts, "out1 > a tcp/80 silent\nb > a tcp/80 silent\nnode > a tcp/80 a")
    kit.run("nft", "flush chain inet mainline_vps asking")
    kit.ok("vps_node", pool="/mnt/pool", pool_file="/mnt/pool.img", pool_size="1G", networks=list(lab.NETWORKS))
    assert table() == there, "vps_node mends what is no longer whole"


# -- there and back -----------------------------------------------------------------------------------------------------


def test_options_change_and_change_back_and_what_is_not_listed_is_gone(hosts):
    """Each by itself, then all together; each as its check mode said, and twice the same as once."""
    were, first = kit.info(A), table()
    for option, value in SOME.items():
        assert kit.foretold("vps_container", name=A, **{option: value})["changed"]
    assert table() != first
    assert {change["option"] for change in kit.foretold("vps_container", name=A, **NEW)["changes"]} == set(SOME)
    assert table() == first
    kit.foretold("vps_container", name=A, **SOME, addresses=["10.90.0.41", "fd90::41"])
    kit.foretold("vps_container", name=A, publish=[{"host": 8080, "guest": 443}], rates={"out": "30M"}, firewall={"in": {"default": "drop"}}, labels={"a": "b"})
    kit.foretold("vps_container", name=A, **NEW, addresses=ADDRESSES[A])
    assert table() == first
    now = kit.info(A)
    assert {key: now[key] for key in were if key != "traffic"} == {key: were[key] for key in were if key != "traffic"}
    is_what_the_records_say()


def test_search_domains_are_in_the_guest_and_go_again(hosts):
    kit.foretold("vps_container", name=A, search_domains=["example.com", "lan"], nameservers=["192.0.2.53", "2001:db8::53"])
    assert {"search example.com lan", "nameserver 192.0.2.53", "nameserver 2001:db8::53"} <= set(kit.said(A, "cat", "/etc/resolv.conf").splitlines())
    kit.foretold("vps_container", name=A, search_domains=[], nameservers=[])
    assert "search" not in kit.said(A, "cat", "/etc/resolv.conf")


def test_all_is_there_again_after_a_restart(hosts):
    kit.container(A, **SOME, addresses=[*ADDRESSES[A], "fd90::42"])
    there, rates = table(), kit.run("tc", "qdisc", "show").count(" tbf ")
    kit.container(A, state="restarted")
    assert table() == there and kit.run("tc", "qdisc", "show").count(" tbf ") == rates == 2
    assert not kit.ok("vps_container", name=A, **SOME)["changed"]
    hosts["a"] = lab.vps(A)
    with lab.Servers() as servers:
        servers.listen(hosts["a"], "tcp/80")
        lab.check(hosts, "b > a tcp/80 a\nout1 > a tcp/80 a\nc > a tcp/80 silent\nout2 > a tcp/80 silent\nout2 > node tcp/8080 a\nout1 > fd90::42 tcp/80 a")
    kit.container(A, addresses=ADDRESSES[A])


# -- killed -------------------------------------------------------------------------------------------------------------


def test_killed_at_any_moment_the_next_run_brings_records_and_kernel_together(hosts):
    """Whichever VPS the next run is about."""
    chance = random.Random(SEED)
    one = {**SOME, "addresses": [*ADDRESSES[A], "10.90.0.43", "fd90::43"]}
    other = {**NEW, "addresses": ADDRESSES[A]}
    began = time.monotonic()
    kit.result(kit.launch("vps_container", name=A, **one))
    whole = time.monotonic() - began
    killed = number = 0
    while killed < 10:
        number += 1
        assert number < 50, f"seed {SEED}: the moments were badly chosen"
        wanted, before = (one, other) if number % 2 else (other, one)
        kit.container(A, **before)
        run = kit.launch("vps_container", name=A, **wanted)
        moment = chance.uniform(0.3, 1) * whole
        time.sleep(moment)
        if run.poll() is None:
            killed += 1
        else:
            whole *= 0.9  # other programs kept the first run waiting
        run.send_signal(signal.SIGKILL)
        run.communicate()
        where = f"seed {SEED}, kill {number}, after {moment:.3f} of {whole:.3f} seconds"
        kit.ok("vps_container", name=C, description=f"number {number}")  # any change will do
        is_what_the_records_say(where)
        kit.ok("vps_container", name=A, **wanted)
        assert not kit.ok("vps_container", name=A, **wanted)["changed"], where
        links = {line.split()[2] for line in kit.run("ip", "route").splitlines() if line.startswith("10.90.0.43 ")}
        assert bool(links) == ("10.90.0.43" in wanted["addresses"]), where
        assert kit.run("tc", "qdisc", "show").count(" tbf ") == len(wanted["rates"]), where
    kit.container(A, **other)


def test_killed_between_the_record_and_the_rules_the_next_run_makes_the_rules(hosts):
    """Whichever VPS that is about, and though its own task has nothing to do with them."""
    record = kit.pool() / "vps" / A / "vps.json"
    for number in range(12):
        before, was = table(), record.stat().st_ino
        run = kit.launch("vps_container", name=A, isolated=bool(number % 2))
        while run.poll() is None and record.stat().st_ino == was:
            pass
        run.send_signal(signal.SIGKILL)
        run.communicate()
        if record.stat().st_ino != was and table() == before:
            kit.ok("vps_container", name=C, description=f"rules of {number}")
            assert table() != before, "nobody has finished what it began"
            is_what_the_records_say()
            return
        kit.container(A, isolated=bool(number % 2))
    raise AssertionError("it was never killed at the moment that this is about")
