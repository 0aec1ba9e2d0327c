# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's own way into its VPSs, /etc/vps/enter, as the connection plugin and a person use it."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess

import pytest
import vps_kit as kit

ENTER = "/etc/vps/enter"
HERE = f"{kit.PREFIX}enter"
RUNNING, STOPPED, IMAGE = f"{HERE}-run", f"{HERE}-off", f"{HERE}-img"
BOTH = pytest.mark.parametrize("name", [RUNNING, STOPPED])
LONG = "83692"


@pytest.fixture(scope="module", autouse=True)
def vpss(clean_module, minimal):
    """One that runs, two that do not."""
    kit.container(RUNNING, template=minimal, wait="booted")
    kit.container(STOPPED, template=minimal, state="stopped")
    kit.container(IMAGE, template=minimal, storage="image", limits={"diskspace": "64M"}, state="stopped")


def enter(name: str, *argv: str, stdin: bytes = b"", before: tuple[str, ...] = (), **options) -> subprocess.CompletedProcess:
    """Run a program in a VPS by the script."""
    return subprocess.run([ENTER, *before, name, "--", *argv], input=stdin, capture_output=True, timeout=60, check=False, **options)


def start(name: str) -> subprocess.Popen:
    """Leave one running; gives the script's process when the program is there."""
    process = subprocess.Popen(
        [ENTER, name, "--", "/bin/sh", "-c", f"setsid sleep {LONG} & sleep {LONG}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    kit.until("it runs", sleeps)
    return process


def sleeps() -> bool:
    return f"sleep {LONG}" in kit.run("ps", "-eo", "args").splitlines()


@BOTH
def test_streams_are_passed_on_byte_for_byte(name):
    content = os.urandom(3_000_000)
    done = enter(name, "cat", stdin=content)
    assert done.stdout == content and done.stderr == b"" and done.returncode == 0
    assert enter(name, "sh", "-c", "printf x; printf y >&2; exit 3").args and enter(name, "sh", "-c", "exit 3").returncode == 3


@BOTH
def test_nothing_of_the_caller_but_its_streams_and_its_terminals_name_gets_in(name, tmp_path):
    with open(tmp_path / "secret", "w", encoding="ascii") as file:
        os.dup2(file.fileno(), 77, inheritable=True)
        os.dup2(file.fileno(), 300, inheritable=True)
        try:
            for variables, terminal in (({"TERM": "vt220", "SECRET": "x"}, "vt220"), ({"SECRET": "x"}, "none")):
                script = "ls -l /proc/self/fd; echo ${TERM-none} ${SECRET-none}; pwd; umask"
                done = enter(name, "sh", "-c", script, close_fds=False, cwd=tmp_path, env={"PATH": os.environ["PATH"], **variables})
                lines = done.stdout.decode().splitlines()
                assert lines[-3:] == [f"{terminal} none", "/", "0022"]
                assert "secret" not in done.stdout.decode() and {line.split()[-3] for line in lines if " -> " in line} == {"0", "1", "2"}
        finally:
            os.close(77)
            os.close(300)


@pytest.mark.parametrize(
    "words", [[], ["x"], [RUNNING], [RUNNING, "true"], [RUNNING, "--"], ["../x", "--", "true"], ["-x", RUNNING, "--", "true"], [f"{HERE}-none", "--", "true"]]
)
def test_what_cannot_be_run_is_125_and_one_line(words):
    done = subprocess.run([ENTER, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (125, "") and done.stderr.startswith("vps: ") and done.stderr.count("\n") == 1


def test_a_frozen_vps_is_125():
    kit.container(RUNNING, state="frozen")
    try:
        done = enter(RUNNING, "true")
        assert done.returncode == 125 and b"frozen" in done.stderr
    finally:
        kit.container(RUNNING, state="started")


def test_why_a_stopped_vps_cannot_be_entered_is_told():
    start_hook = kit.pool() / "vps" / STOPPED / "start"
    text = start_hook.read_text(encoding="ascii")
    start_hook.write_text(text.replace("[ -z", "exit 1\n[ -z", 1), encoding="ascii")
    try:
        done = enter(STOPPED, "true")
        assert done.returncode == 125 and b"cannot be entered: " in done.stderr and done.stderr.count(b"\n") == 1
        start_hook.write_text("#!/bin/sh\n", encoding="ascii")  # one that would not set its limits alone
        done = enter(STOPPED, "true")
        assert done.returncode == 125 and b"older release" in done.stderr
    finally:
        start_hook.write_text(text, encoding="ascii")
    assert enter(STOPPED, "true").returncode == 0


def test_a_stopped_vps_has_no_network():
    links = enter(STOPPED, "ls", "/sys/class/net").stdout.decode().split()
    assert links == ["lo"]


@pytest.mark.parametrize("name", [STOPPED, IMAGE])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_program_in_a_stopped_vps_ends_with_its_caller(name, how):
    process = start(name)
    process.send_signal(how)
    process.wait(30)
    assert process.returncode in (128 + how, -how)
    kit.until("all of it ends", lambda: not sleeps())
    kit.ok("vps_container", name=RUNNING)  # any other run sweeps what is left
    assert not kit.OFFLINE.is_dir() or name not in os.listdir(kit.OFFLINE)
    assert not [path for path in kit.cgroup_folders() if pathlib.Path(path).name == f".{name}"]
    assert not any(f"/{name}/" in point for point in kit.mounts())
    assert not kit.is_locked("vps", name) and enter(name, "true").returncode == 0
    kit.container(name, state="started", wait="booted")
    kit.container(name, state="stopped")


def test_what_a_guest_has_in_place_of_a_shell_is_its_own_business():
    """A stopped VPS without /bin/sh cannot be entered, and the node comes to no harm."""
    shell = kit.rootfs(STOPPED) / "bin/sh"
    before = shell.readlink()
    shell.unlink()
    try:
        assert enter(STOPPED, "/bin/ls").returncode != 0
    finally:
        shell.symlink_to(before)
    assert enter(STOPPED, "/bin/ls").returncode == 0


def test_an_init_that_is_killed_takes_nobody_of_the_node_along():
    """lxc-execute kills its process group then; the caller must not be in it."""
    done = enter(STOPPED, "sh", "-c", "echo here; exec 2>&-; kill -9 1; sleep 0.1; echo still here")
    assert done.stdout == b"here\nstill here\n"  # nobody inside can
    process = start(STOPPED)
    number = kit.run("lxc-info", "-P", str(kit.OFFLINE), "-n", STOPPED, "-p", "-H").strip()
    os.kill(int(number), signal.SIGKILL)
    assert process.wait(30) in (1, 137)  # as LXC has it
    assert not kit.is_locked("vps", STOPPED)
