# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_container: options there and back, what the guest sees of them, run states, reboots, waiting."""

from __future__ import annotations

import itertools
import pathlib
import socket
import subprocess
import time

import pytest
import vps_kit as kit

KEYS = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oyk one@example.com",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlTh7KqGk0vUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4O two@example.com",
]
HASHES = ["$6$saltsalt$" + "a" * 86, "$6$saltsalt$" + "b" * 86]


def fail_container(name: str, **params) -> str:
    """Run vps_container, which is to fail."""
    return kit.fails("vps_container", name=name, stop_timeout=0, **params)


@pytest.fixture(scope="module")
def vps(minimal):
    """A VPS that several tests share; each leaves it started."""
    kit.container("it-shared", template=minimal, wait="booted")
    return "it-shared"


@pytest.fixture(scope="module")
def neighbour(minimal):
    """A VPS that nothing may happen to."""
    kit.container("it-neighbour", template=minimal, wait="booted")
    return "it-neighbour"


# -- options ------------------------------------------------------------------------------------------------------------

OPTIONS = {
    "hostname": ("one.example.com", "two"),
    "addresses": (lambda: [kit.address(1), kit.address(2)], lambda: [kit.address(3), kit.address(2)]),
    "nameservers": (["192.0.2.1", "192.0.2.2"], ["2001:db8::53"]),
    "root_password_hash": tuple(HASHES),
    "authorized_keys": (KEYS, KEYS[1:]),
    "onboot": (True, False),
    "boot_order": (10, 0),
    "description": ("Shop of Example Inc.", ""),
    "limits": ({"memory": "64M", "processes": "50"}, {"processes": "60", "cpulimit": "80", "diskspace": "100M"}),
}


def seen_inside(name: str, option: str) -> object:
    """What a running guest, or the node's LXC, has of an option, in the form in which the option is written."""
    if option == "hostname":
        assert kit.said(name, "cat", "/etc/hostname") == kit.said(name, "hostname")
        assert any(line.split()[:2] == ["127.0.1.1", kit.said(name, "hostname")] for line in kit.said(name, "cat", "/etc/hosts").splitlines())
        return kit.said(name, "hostname")
    if option == "addresses":
        lines = kit.said(name, "ip", "-4", "addr", "show", "dev", "eth0").splitlines()
        return sorted(line.split()[1].removesuffix("/32") for line in lines if line.strip().startswith("inet "))
    if option == "nameservers":
        return [line.split()[1] for line in kit.said(name, "cat", "/etc/resolv.conf").splitlines()]
    if option == "root_password_hash":
        return next(line.split(":")[1] for line in kit.said(name, "cat", "/etc/shadow").splitlines() if line.startswith("root:"))
    if option == "authorized_keys":
        assert kit.said(name, "stat", "-c", "%a %u", "/root/.ssh", "/root/.ssh/authorized_keys").splitlines() == ["700 0", "600 0"]
        return kit.said(name, "cat", "/root/.ssh/authorized_keys").splitlines()
    if option == "onboot":
        return "lxc.start.auto = 1" in kit.run("lxc-info", "-n", name, "-c", "lxc.start.auto")
    raise AssertionError(option)


@pytest.mark.parametrize("option", OPTIONS)
def test_option_goes_there_and_back_live(vps, option):
    """Each change is foretold, made while the same init runs, and felt inside; back again it is as at first."""
    first, second = (value() if callable(value) else value for value in OPTIONS[option])
    init = kit.pid(vps)
    kit.container(vps, **{option: first})
    start = kit.info(vps)
    for value in (second, first):
        done = kit.foretold("vps_container", name=vps, **{option: value})
        assert done["changed"] and not done["restart_required"]
        assert {change["effect"] for change in done["changes"]} == {"live"}
        assert all(change["option"].split(".")[0] == option for change in done["changes"])
        if option == "limits":
            assert done["vps"]["limits"] == {
                name: f"{limit}%" if name == "cpulimit" else limit for name, limit in value.items()
            }
        elif option in ("description", "boot_order"):
            assert done["vps"][option] == value
        else:
            assert seen_inside(vps, option) == (sorted(value) if option == "addresses" else value)
        assert kit.pid(vps) == init, "the VPS was restarted for a live change"
    back = kit.info(vps)
    assert {**back, "disk_used": 0} == {**start, "disk_used": 0}


def test_diff_has_the_old_and_the_new_value_and_never_a_password(vps):
    """What --diff shows is what was there and what comes; of a hash only that it is another."""
    kit.container(vps, hostname="before", root_password_hash=HASHES[0])
    told = kit.ok("vps_container", name=vps, hostname="after", root_password_hash=HASHES[1])
    assert told["diff"]["before"]["hostname"] == "before" and told["diff"]["after"]["hostname"] == "after"
    assert set(told["diff"]["after"]) == {"hostname", "root_password_hash"}
    assert "saltsalt" not in str(told)


def test_what_is_no_longer_listed_is_removed(vps):
    """In a list, an address, a key, a nameserver; in a section, a limit; an empty list removes all."""
    one, two = kit.address(4), kit.address(5)
    kit.container(vps, addresses=[one, two], authorized_keys=KEYS, nameservers=["192.0.2.1"], limits={"memory": "64M", "processes": "50"})
    done = kit.foretold("vps_container", name=vps, addresses=[two], authorized_keys=KEYS[:1], limits={"memory": "64M"})
    assert {change["option"] for change in done["changes"]} == {"addresses", "authorized_keys", "limits.processes"}
    assert seen_inside(vps, "addresses") == [two]
    assert seen_inside(vps, "authorized_keys") == KEYS[:1]
    assert kit.held(vps, "pids.max") == "max"
    assert seen_inside(vps, "nameservers") == ["192.0.2.1"], "a section that the task does not name was changed"
    assert not [line for line in kit.run("ip", "route").splitlines() if line.startswith(f"{one} ")], "the node still routes it"

    kit.foretold("vps_container", name=vps, addresses=[], authorized_keys=[], nameservers=[], limits={})
    assert seen_inside(vps, "addresses") == []
    assert kit.inside(vps, "cat", "/root/.ssh/authorized_keys", check=False).returncode != 0
    assert "192.0.2.1" not in seen_inside(vps, "nameservers"), "an empty list means the node's own"
    assert kit.kernel_limits(vps) == kit.limit_files()


def test_options_that_a_task_does_not_name_are_left_alone(vps):
    """A task that names nothing changes nothing."""
    kit.container(vps, hostname="kept", addresses=[kit.address(6)], authorized_keys=KEYS, limits={"memory": "64M"}, description="kept")
    before = kit.info(vps)
    done = kit.foretold("vps_container", name=vps)
    assert not done["changed"] and done["vps"] == before


def test_privileged_takes_effect_at_a_restart_and_restart_policy_decides(vps):
    """never says so, again and again; if_needed restarts once; back the same way. A restart keeps everything else."""
    init = kit.pid(vps)
    kit.container(vps, addresses=[kit.address(7)])
    for wanted, base in ((True, 0), (False, kit.info(vps)["id_base"])):
        done = kit.foretold("vps_container", name=vps, privileged=wanted)
        assert done["restart_required"] and done["changes"][0]["effect"] == "restart"
        assert kit.pid(vps) == init
        assert kit.ok("vps_container", name=vps)["restart_required"], "a task that names nothing hides that a restart is due"
        done = kit.foretold("vps_container", name=vps, restart_policy="if_needed", stop_timeout=0, wait="network")
        assert done["changed"] and not done["restart_required"]
        assert kit.pid(vps) != init
        init = kit.pid(vps)
        with open(f"/proc/{init}/uid_map", encoding="ascii") as file:
            assert int(file.read().split()[1]) == base
        assert seen_inside(vps, "addresses") == [kit.address(7)]


def test_restart_policy_always_restarts_after_a_live_change_and_only_then(vps):
    """It is the change that restarts, not the policy."""
    init = kit.pid(vps)
    kit.foretold("vps_container", name=vps, hostname="restarted", restart_policy="always", stop_timeout=0)
    assert kit.pid(vps) != init and seen_inside(vps, "hostname") == "restarted"
    init = kit.pid(vps)
    assert not kit.ok("vps_container", name=vps, hostname="restarted", restart_policy="always")["changed"]
    assert kit.pid(vps) == init


def test_a_stopped_vps_takes_every_option_and_has_it_when_it_starts(minimal):
    """Nothing of a stopped VPS needs a restart."""
    kit.container("it-stopped", template=minimal, state="present")
    options = {
        "hostname": "later.example.com", "addresses": [kit.address(8)], "nameservers": ["192.0.2.3"], "root_password_hash": HASHES[0],
        "authorized_keys": KEYS, "limits": {"memory": "64M", "cpuunits": "2000"}, "description": "later",
    }
    done = kit.foretold("vps_container", name="it-stopped", state="stopped", **options)
    assert not done["restart_required"] and {change["effect"] for change in done["changes"]} == {"start"}
    assert done["vps"]["state"] == "stopped" and done["vps"]["pid"] is None
    kit.container("it-stopped", wait="booted")
    for option in ("hostname", "addresses", "nameservers", "root_password_hash", "authorized_keys"):
        assert seen_inside("it-stopped", option) == options[option]
    assert kit.kernel_limits("it-stopped") == kit.limit_files(memory=64 << 20, cpuunits=2000)


def test_what_somebody_took_away_behind_our_back_is_put_back(vps):
    """A route that is gone, an LXC configuration that was edited, a link that was removed: changed, foretold, mended."""
    where = kit.address(9)
    kit.container(vps, addresses=[where])
    directory = kit.pool() / "vps" / vps
    configuration = (directory / "config").read_text(encoding="utf-8")

    kit.run("ip", "route", "delete", f"{where}/32")
    assert kit.foretold("vps_container", name=vps, addresses=[where])["changed"]
    assert f"{where} dev" in kit.run("ip", "route")

    (directory / "config").write_text(configuration + "lxc.uts.name = evil\n", encoding="utf-8")
    assert kit.foretold("vps_container", name=vps)["changed"]
    assert (directory / "config").read_text(encoding="utf-8") == configuration

    (kit.LXC / vps).unlink()
    (directory / "config").unlink()
    assert kit.ok("vps_container", name=vps, state="present")["changed"]
    assert (kit.LXC / vps).resolve() == directory and (directory / "config").read_text(encoding="utf-8") == configuration


# -- one of a kind ------------------------------------------------------------------------------------------------------


def test_vpss_made_at_once_have_ids_links_and_machine_ids_of_their_own(minimal):
    """Six tasks at the same time: no range of ids overlaps another, and each guest's root is another user of the node."""
    names = [f"it-many{number}" for number in range(6)]
    runs = [kit.launch("vps_container", name=name, template=minimal) for name in names]
    made = [kit.result(run)["vps"] for run in runs]
    everything = kit.ok("vps_info")["vpss"]
    for first, second in itertools.combinations(everything, 2):
        assert abs(first["id_base"] - second["id_base"]) >= 65536, f"{first['name']} and {second['name']} share ids"
    assert len({vps["host_interface"] for vps in everything}) == len(everything)
    low = kit.settings()["id_start"]
    for vps in made:
        assert low <= vps["id_base"] and vps["id_base"] + 65536 <= low + kit.settings()["id_count"]
        with open(f"/proc/{vps['pid']}/uid_map", encoding="ascii") as file:
            assert file.read().split() == ["0", str(vps["id_base"]), "65536"]
        with open(f"/proc/{vps['pid']}/gid_map", encoding="ascii") as file:
            assert file.read().split() == ["0", str(vps["id_base"]), "65536"]
    assert len({kit.said(name, "cat", "/etc/machine-id") for name in names}) == len(names)


def test_a_removed_vps_takes_everything_with_it(minimal):
    """Its tree, its link, its cgroups, its routes, its record; and its address can be given to another."""
    where = kit.address(10)
    kit.container("it-gone", template=minimal, addresses=[where], limits={"memory": "64M", "diskspace": "100M"})
    done = kit.foretold("vps_container", name="it-gone", state="absent", stop_timeout=0)
    assert done["vps"] is None
    assert not [line for line in kit.remains() if "it-gone" in line]
    assert where not in kit.run("ip", "route")
    assert kit.container("it-next", template=minimal, addresses=[where])["addresses"] == [where]


# -- run states -----------------------------------------------------------------------------------------------------------

STATES = ("absent", "stopped", "started", "frozen")
ASKED = ("present", "started", "stopped", "frozen", "absent")


def state_of(name: str) -> str:
    """The run state, in the words of the module, as LXC's own tool tells it."""
    if not (kit.LXC / name).exists():
        return "absent"
    word = kit.run("lxc-info", "-n", name, "-s", "-H").strip()
    return {"RUNNING": "started", "STOPPED": "stopped", "FROZEN": "frozen"}[word]


@pytest.mark.parametrize("before", STATES)
def test_states(minimal, before):
    """From each state to each: foretold, reached, and nothing to do the second time."""
    for asked in ASKED:
        kit.ok("vps_container", name="it-state", template=minimal, state=before, stop_timeout=0)
        assert state_of("it-state") == before
        init = kit.pid("it-state") if before != "absent" else None
        done = kit.foretold("vps_container", name="it-state", template=minimal, state=asked, stop_timeout=0)
        after = {"present": "stopped" if before == "absent" else before}.get(asked, asked)
        assert state_of("it-state") == after
        assert done["changed"] == (after != before)
        assert (done["vps"] or {"state": "absent"})["state"] == after
        if {before, after} <= {"started", "frozen"}:
            assert kit.pid("it-state") == init


@pytest.mark.parametrize("before", STATES)
def test_restarted_always_restarts(minimal, before):
    """It is changed every time, and ends with another init."""
    kit.ok("vps_container", name="it-again", template=minimal, state=before, stop_timeout=0)
    init = kit.pid("it-again") if before != "absent" else None
    for _time in range(2):
        done = kit.foretold("vps_container", settles=False, name="it-again", template=minimal, state="restarted", stop_timeout=0)
        assert done["changed"] and state_of("it-again") == "started"
        assert kit.pid("it-again") not in (None, init)
        init = kit.pid("it-again")


def test_frozen_gets_no_cpu_and_goes_on_where_it_was(minimal):
    """Measured: a busy loop uses CPU, none while frozen, and again when thawed."""
    kit.container("it-frozen", template=minimal, wait="booted")
    loop = kit.background("it-frozen", "while :; do :; done")

    def used() -> float:
        before = kit.cpu_seconds("it-frozen")
        time.sleep(0.6)
        return kit.cpu_seconds("it-frozen") - before

    kit.until("the loop uses CPU", lambda: used() > 0.1)
    kit.container("it-frozen", state="frozen")
    assert used() < 0.01
    kit.container("it-frozen", state="started")
    kit.until("the loop goes on", lambda: used() > 0.1)
    assert loop.poll() is None
    kit.container("it-frozen", state="stopped")
    loop.wait(10)


def test_a_guest_is_asked_to_stop_before_it_is_killed(minimal):
    """With a stop_timeout its init ends by itself; what it had to say at its end is on disk."""
    kit.container("it-polite", template=minimal, state="present")
    kit.rootfs("it-polite").joinpath("etc/inittab").write_text("::sysinit:/bin/true\n::shutdown:/bin/touch /root/was-asked\n", encoding="ascii")
    kit.container("it-polite")
    started = time.monotonic()
    kit.container("it-polite", state="stopped", stop_timeout=30)
    assert time.monotonic() - started < 20
    assert kit.rootfs("it-polite").joinpath("root/was-asked").exists()


# -- reboot ---------------------------------------------------------------------------------------------------------------


def reboot_from_inside(name: str, neighbour: str, command: str) -> None:
    """Reboot a guest from inside: it comes back as it was, and nobody else noticed."""
    boot, beside, before = kit.boot_id(), kit.pid(neighbour), kit.info(name)
    limits = kit.kernel_limits(name)
    kit.inside(name, *command.split(), check=False)
    kit.until("another init", lambda: kit.pid(name) not in (None, before["pid"]), seconds=60)
    done = kit.ok("vps_container", name=name, wait="booted", wait_timeout=90)
    assert not done["changed"], f"the reboot lost something: {done['changes']}"
    after = done["vps"]
    assert after["pid"] != before["pid"]
    for key in ("addresses", "limits", "hostname", "id_base", "host_interface"):
        assert after[key] == before[key]
    assert kit.kernel_limits(name) == limits
    assert seen_inside(name, "addresses") == sorted(before["addresses"])
    assert seen_inside(name, "hostname") == before["hostname"]
    assert kit.boot_id() == boot, "the node itself has rebooted"
    assert kit.pid(neighbour) == beside, "the neighbour was restarted"


def test_reboot_from_inside(minimal, neighbour):
    """A busybox guest; its limits were changed live since it started."""
    kit.container("it-reboot", template=minimal, addresses=[kit.address(11)], limits={"memory": "64M"}, wait="booted")
    kit.container("it-reboot", addresses=[kit.address(11), kit.address(12)], limits={"memory": "96M", "processes": "70"}, hostname="again")
    reboot_from_inside("it-reboot", neighbour, "reboot")


def test_what_it_sees_of_itself_holds_over_a_reboot_and_no_end_of_it_waits_for_that(minimal):
    """lxcfs's view comes by a hook at its start; the one at its end does nothing but sleep, and LXC does not run it."""
    kit.container("it-view", template=minimal, limits={"memory": "64M"}, wait="booted")

    def view() -> tuple[list[str], list[str]]:
        """Its memory, and what it sees through lxcfs."""
        mounts = (line.split() for line in kit.said("it-view", "cat", "/proc/mounts").splitlines())
        return kit.said("it-view", "grep", "MemTotal", "/proc/meminfo").split(), sorted(words[1] for words in mounts if words[0] == "lxcfs")

    def ends() -> list[str]:
        return kit.run("lxc-info", "-n", "it-view", "-c", "lxc.hook.post-stop").partition("=")[2].split()

    before, first = view(), kit.pid("it-view")
    assert before[0] == ["MemTotal:", "65536", "kB"] and "/proc/uptime" in before[1]
    assert "lxc.hook.post-stop" in pathlib.Path("/usr/share/lxc/config/common.conf.d/00-lxcfs.conf").read_text(encoding="utf-8")
    assert ends() == [f"{kit.pool()}/vps/it-view/reboot"]
    kit.inside("it-view", "reboot", check=False)
    kit.until("another init", lambda: kit.pid("it-view") not in (None, first), seconds=60)
    kit.container("it-view", wait="booted", wait_timeout=90)
    assert view() == before and ends() == [f"{kit.pool()}/vps/it-view/reboot"]
    assert float(kit.said("it-view", "cat", "/proc/uptime").split()[0]) < 90, "it tells the node's uptime, or that of its last start"


# -- waiting --------------------------------------------------------------------------------------------------------------


def with_init(name: str, template: str, script: str) -> None:
    """A stopped VPS whose init is a shell script."""
    kit.container(name, template=template, state="present")
    init = kit.rootfs(name) / "sbin/init"
    init.unlink()
    init.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    init.chmod(0o755)


def test_wait_booted_says_what_init_said(minimal):
    """Also where the VPS runs already and nothing changes."""
    done = kit.ok("vps_container", name="it-wait", template=minimal, wait="booted")
    assert done["boot"] == "running"
    again = kit.ok("vps_container", name="it-wait", wait="booted")
    assert again["boot"] == "running" and not again["changed"]


@pytest.mark.parametrize("first", ["address", "none", "address, then none"])
def test_wait_network_ends_with_the_addresses_in_place(minimal, first):
    """Its address is reached from the node and it has a way out, also if it started with none, or had none for a while."""
    where = kit.address(13)
    kit.container("it-net", template=minimal, addresses=[] if first == "none" else [where], wait="network", wait_timeout=10)
    if "none" in first:
        kit.container("it-net", addresses=[], wait="network", wait_timeout=10)
        kit.container("it-net", addresses=[where], wait="network", wait_timeout=10)
    assert [line for line in kit.said("it-net", "ip", "route").splitlines() if line.startswith("default ")]
    server = kit.background("it-net", "echo hello | nc -l -p 7777")
    answer = kit.until("the guest answers", lambda: _read_from(where, 7777), seconds=10)
    assert answer == b"hello\n"
    server.wait(10)


def _read_from(host: str, port: int) -> bytes:
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            return connection.recv(100)
    except OSError:
        return b""


def test_an_init_that_dies_is_an_error_while_waiting_for_the_boot(minimal):
    """The message says so, the result has the console's last words, and the VPS is stopped."""
    with_init("it-dies", minimal, "echo these are my last words; sleep 1; exit 3")
    message = fail_container("it-dies", wait="booted", wait_timeout=30)
    assert message.startswith("wait: ") and "stopped" in message
    told = kit.call("vps_container", name="it-dies", wait="booted", wait_timeout=30)
    assert "these are my last words" in told["console"]
    assert state_of("it-dies") == "stopped"


def test_a_guest_that_never_boots_is_an_error_after_wait_timeout(minimal):
    """And not before; it keeps running."""
    with_init("it-never", minimal, "while :; do sleep 1; done")
    started = time.monotonic()
    message = fail_container("it-never", wait="booted", wait_timeout=2)
    assert 2 <= time.monotonic() - started < 15 and "wait_timeout" in message
    assert state_of("it-never") == "started"


def test_a_guest_without_an_init_is_an_error(minimal):
    """LXC cannot start it, and the message has LXC's reason."""
    kit.container("it-noinit", template=minimal, state="present")
    (kit.rootfs("it-noinit") / "sbin/init").unlink()
    message = fail_container("it-noinit")
    assert message.startswith("state: ") and "No such file or directory" in message and "/sbin/init" in message
    assert state_of("it-noinit") == "stopped"


# -- what modules return --------------------------------------------------------------------------------------------------


def test_info_tells_the_same_as_the_module(vps):
    """One VPS, all VPSs, none."""
    told = kit.ok("vps_container", name=vps)["vps"]
    assert kit.info(vps) == told
    assert told in [{key: value for key, value in each.items() if key not in kit.BESIDES} for each in kit.ok("vps_info")["vpss"]]
    assert kit.ok("vps_info", name="it-nobody")["vpss"] == []
    with kit.Untouched():
        kit.ok("vps_info")


@pytest.mark.parametrize("module", ["vps_container", "vps_info"])
def test_result_is_as_documented(vps, module):
    """Every key that the documentation promises is there, and no other."""
    documented = kit.documented_result(module)
    done = kit.ok(module, name=vps)
    told = done["vps"] if module == "vps_container" else done["node"]
    assert set(told) == set(documented["vps" if module == "vps_container" else "node"]["contains"])


def test_a_plain_directory_in_the_place_of_a_root_file_system_costs_nobody_else_anything(minimal):
    """As after a copy by hand. What was meant for its subvolume must not be done to the one around it, which has all others in it."""
    kit.container("it-copied", template=minimal, state="stopped")
    kit.container("it-beside", template=minimal, limits={"diskspace": "50M"})
    root = kit.rootfs("it-copied")
    kit.run("mv", str(root), f"{root}.old")
    kit.run("cp", "-a", f"{root}.old", str(root))
    try:
        others = kit.run("btrfs", "subvolume", "list", str(kit.pool()))
        for task in ({"state": "absent"}, {"state": "present", "limits": {"diskspace": "10M"}}):
            assert "is no subvolume" in kit.fails("vps_container", name="it-copied", **task)
            kit.call("vps_container", name="it-beside")  # which sweeps
        assert _numbers(kit.run("btrfs", "subvolume", "list", str(kit.pool()))) == _numbers(others)
        assert kit.disk_limit("it-beside") == 50 << 20
        assert kit.inside("it-beside", "true").returncode == 0
    finally:
        for folder in (kit.pool() / "vps").glob("*it-copied*"):
            if (folder / "rootfs.old").exists():
                kit.run("rm", "-rf", str(folder / "rootfs"))
                kit.run("mv", str(folder / "rootfs.old"), str(folder / "rootfs"))
    kit.ok("vps_container", name="it-copied", state="absent")
    assert not list((kit.pool() / "vps").glob("*it-copied*"))


def _numbers(listing: str) -> set[str]:
    """Of the subvolumes in a listing of btrfs."""
    return {line.split()[1] for line in listing.splitlines()}


def test_nobody_of_the_nodes_users_gets_at_a_guests_files(minimal):
    """On disk its root is root: a program of its making with the set-id bit would be root's for whoever could run it."""
    kit.container("it-setid", template=minimal, wait="booted")
    kit.shell("it-setid", "cp /bin/busybox /busybox && chmod 4755 /busybox")
    program = kit.rootfs("it-setid") / "busybox"
    assert program.stat().st_uid == 0 and program.stat().st_mode & 0o4000, "this shows nothing"
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", '"$0" id -u']  # a shell: setpriv itself may do more
    tried = subprocess.run([*nobody, str(program)], capture_output=True, text=True, check=False)
    assert tried.returncode != 0 and "denied" in tried.stderr.lower(), tried


def test_a_guest_that_has_rebooted_can_write_to_its_disk(minimal):
    kit.container("it-again", template=minimal, wait="booted")
    for number in range(2):
        init = kit.pid("it-again")
        kit.inside("it-again", "reboot", check=False)
        kit.until("another init", lambda init=init: kit.pid("it-again") not in (None, init))
        assert not kit.ok("vps_container", name="it-again", wait="booted")["changed"]
        kit.shell("it-again", f"echo mine >/mine{number} && chown 1000 /mine{number}")
        assert kit.said("it-again", "stat", "-c", "%u", "/", f"/mine{number}").split() == ["0", "1000"]
