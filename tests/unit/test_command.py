# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program for a VPS: what a task may ask, who it runs as, what the node's script is given, and how its streams are read."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from ansible_collections.mainline.vps.plugins.module_utils import command_subject, runner
from ansible_collections.mainline.vps.plugins.module_utils.core import enterfile
from ansible_collections.mainline.vps.plugins.module_utils.core.command import (
    OUTPUT_LIMIT,
    Account,
    Command,
    Outcome,
    entering,
    find_account,
    in_the_guest,
    needless,
    parse_command,
    refuse_nowhere,
)
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.node import programs
from ansible_collections.mainline.vps.tests.contract import modules

PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:Web:/srv/web:/bin/false\nnot a line\nbad:x:-1:0::/:/x\nhuge:x:99999:0::/:/x\nhome:x:5:5::srv:/x\n"
GROUP = "root:x:0:\nwww:x:34:web\nadm:x:4:web,other\ndocker:x:5:webber\nvideo:x:44:other,web\nwrong:x:-1:web\n"


def parsed(**given) -> Command:
    return parse_command(modules.parameters("vps_command", **{"name": "a", **given}))


def refused(**given) -> str:
    """The sentence that says why not."""
    with pytest.raises(VpsError) as caught:
        parsed(**given)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_list_is_run_as_it_is_and_a_script_by_a_shell():
    assert parsed(argv=["a", "", "b c"]).argv == ("a", "", "b c")
    assert parsed(script="x; y\n").argv == ("/bin/sh", "-c", "x; y\n")
    assert parsed(script="x", executable="/bin/bash").argv == ("/bin/bash", "-c", "x")


def test_what_it_reads_gets_a_line_break_unless_the_task_has_none_added():
    assert parsed(argv=["a"]).stdin is None
    assert parsed(argv=["a"], stdin="ü").stdin == b"\xc3\xbc\n"
    assert parsed(argv=["a"], stdin="", stdin_add_newline=False).stdin == b""


@pytest.mark.parametrize("value", ["a b", "'\"$`\\", "", "a\nb", 3, 1.5, True, None])
def test_variables_have_any_text_and_are_not_told_of(value):
    command = parsed(argv=["a"], environment={"SECRET": value})
    assert command.environment == {"SECRET": "" if value is None else str(value)}
    assert "SECRET" not in repr(command)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"name": "A"}, "name"), ({}, "argv"), ({"argv": ["a"], "script": "b"}, "argv"), ({"argv": []}, "argv"), ({"argv": [""]}, "argv"),
        ({"argv": ["a", "b\0"]}, "argv"), ({"argv": ["a" * 131072]}, "argv"), ({"argv": ["a" * 100_000] * 11}, "argv"), ({"script": "ü" * 70_000}, "script"),
        ({"script": "a", "executable": "bash"}, "executable"), ({"argv": ["a"], "executable": "/bin/sh"}, "executable"),
        ({"argv": ["a"], "chdir": "x"}, "chdir"), ({"argv": ["a"], "chdir": "/\0"}, "chdir"), ({"argv": ["a"], "chdir": "/" + "x" * 4096}, "chdir"),
        ({"argv": ["a"], "environment": {"1A": ""}}, "environment"), ({"argv": ["a"], "environment": {"A=": ""}}, "environment"),
        ({"argv": ["a"], "environment": {"A": {}}}, "environment"), ({"argv": ["a"], "environment": {"A": "\0"}}, "environment"),
        ({"argv": ["a"], "user": ""}, "user"), ({"argv": ["a"], "user": "-u"}, "user"), ({"argv": ["a"], "user": "65536"}, "user"),
        ({"argv": ["a"], "user": "root:x"}, "user"), ({"argv": ["a"], "user": "٣"}, "user"),
        ({"argv": ["a"], "timeout": 0}, "timeout"), ({"argv": ["a"], "timeout": 86401}, "timeout"), ({"argv": ["a"], "timeout": -1}, "timeout"),
        ({"argv": ["a"], "creates": "etc"}, "creates"), ({"argv": ["a"], "creates": "/x?"}, "creates"), ({"argv": ["a"], "removes": "/[x]"}, "removes"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(given, option):
    assert refused(**given).startswith(f"{option}: ")


def test_a_user_is_who_the_guests_files_say():
    assert find_account("web", PASSWD, GROUP) == find_account("33", PASSWD, GROUP) == Account("web", 33, 34, "/srv/web", (4, 44))
    assert find_account("root", PASSWD, GROUP) == Account()
    assert find_account("3000", PASSWD, GROUP) == Account("3000", 3000, 3000, "/")


@pytest.mark.parametrize("user", ["nobody", "not a line", "bad", "huge", "home", "99999"])
def test_what_a_guest_has_written_wrong_is_an_error(user):
    with pytest.raises(VpsError, match="^user: "):
        find_account(user, PASSWD, GROUP)


def test_lxc_sets_the_user_and_what_it_cannot_do_the_guests_programs_do():
    command = Command("a", ("x", "y"), environment={"HOME": "/tmp", "Z": "1"})
    known = ["USER=root", "LOGNAME=root", "SHELL=/bin/sh", "Z=1"]
    assert entering(command, Account(), patience=7) == ["-w", "7", "HOME=/tmp", *known]
    assert entering(command, Account("b", 3, 4, "/b"), patience=7)[:6] == ["-w", "7", "-u", "3", "-g", "4"]
    many = Account("b", 3, 4, "/b", (5, 6))
    assert "-u" not in entering(command, many, patience=7)
    assert in_the_guest(command, many) == ("chroot", "--userspec=+3:+4", "--groups=+5,+6", "/", "x", "y")
    assert in_the_guest(Command("a", ("x", "y"), chdir="/-d"), Account()) == ("/bin/sh", "-c", 'cd -- "$1" && shift && exec "$@"', "sh", "/-d", "x", "y")


def test_there_is_nothing_to_do_where_it_is_there_or_is_not():
    assert needless(Command("a", ("x",), creates="/c"), {"/c": False}) is None
    assert "'/c' exists" in needless(Command("a", ("x",), creates="/c"), {"/c": True})
    assert "'/r' does not exist" in needless(Command("a", ("x",), removes="/r"), {"/r": False})
    assert needless(Command("a", ("x",), creates="/c", removes="/r"), {"/c": False, "/r": True}) is None


class Place:
    """A VPS in which somebody has looked, or not."""

    def __init__(self, there):
        self.there = there


class Node:
    """A node on which every program ends in one way."""

    def __init__(self, outcome: Outcome, there=None) -> None:
        self.outcome, self.place, self.asked = outcome, Place({} if there is None else there), []

    def require_usable(self):
        self.asked.append("usable?")

    def look(self, command, *, patience, writes):
        self.asked.append(f"look {patience} {writes}")
        return self.place

    def run(self, command, place, *, patience):
        self.asked.append(f"run {patience}")
        return self.outcome


def perform(node: Node, *, check: bool = False, **given) -> dict:
    return runner.perform(command_subject.COMMAND, modules.parameters("vps_command", name="a", lock_timeout=5, **given), node, check=check)


def test_a_folder_that_is_not_there_is_told_before_anything_runs():
    command = parsed(argv=["true"], chdir="/none")
    with pytest.raises(VpsError, match="^chdir: "):
        refuse_nowhere(command, {"/none": False})
    refuse_nowhere(command, {"/none": True})
    refuse_nowhere(command, {})  # where nobody has looked


def test_it_is_run_once_looked_at():
    node = Node(Outcome(0, "a\nb", ""))
    done = perform(node, argv=["x"])
    assert node.asked == ["usable?", "look 5 True", "run 5"]
    assert done["changed"] and done["stdout_lines"] == ["a", "b"] and done["rc"] == 0


def test_check_mode_runs_and_writes_nothing():
    node = Node(Outcome(0, "", ""))
    done = perform(node, argv=["x"], check=True)
    assert node.asked == ["usable?", "look 5 False"] and done["changed"] and done["skipped"]
    assert perform(Node(Outcome(0, "", ""), {"/c": True}), argv=["x"], creates="/c", check=True)["changed"] is False


def test_a_program_that_does_not_end_well_fails_with_all_that_it_has_said_and_nothing_that_it_was_given():
    for outcome, given, sentence in (
        (Outcome(3, "o", "e"), {"argv": ["x"]}, "argv: the program ended with exit code 3; stderr has what it said."),
        (Outcome(143, "o", ""), {"script": "x"}, "script: the program was ended by signal 15; it said nothing on stderr."),
    ):
        with pytest.raises(VpsError) as caught:
            perform(Node(outcome), environment={"A": "hush"}, stdin="hush", **given)
        assert str(caught.value) == sentence
        assert caught.value.details["rc"] == outcome.rc and caught.value.details["stdout"] == "o" and "hush" not in str(caught.value.details)
    with pytest.raises(VpsError, match="^timeout: .* 9 seconds"):
        perform(Node(Outcome(137, "", "", timed_out=True)), argv=["x"], timeout=9)


def shell(script: str, *, stdin: bytes | None = None, timeout: float | None = 20, stop=subprocess.Popen.kill) -> Outcome:
    return programs.run(["/bin/sh", "-c", script], stdin=stdin, timeout=timeout, stop=stop)


def test_streams_are_kept_apart_and_their_start_only():
    assert shell("echo a; echo b >&2; exit 4") == Outcome(4, "a", "b")
    done = shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2")
    assert (len(done.stdout), done.stderr, done.truncated) == (OUTPUT_LIMIT, "end", ("stdout",))
    assert len(shell("head -c 1048576 /dev/zero | tr '\\0' x").stdout) == OUTPUT_LIMIT
    assert shell("head -c 1048576 /dev/zero | tr '\\0' x").truncated == ()
    assert shell("kill -9 $$").rc == 137


def test_what_it_reads_may_be_long_or_not_be_read():
    assert shell("wc -c", stdin=b"x" * 3_000_000).stdout == "3000000"
    assert shell("exit 3", stdin=b"x" * 3_000_000).rc == 3
    assert shell("exec <&-; echo on", stdin=b"x" * 3_000_000).stdout == "on"


def test_what_is_left_running_keeps_nobody_waiting():
    started = time.monotonic()
    assert shell("sleep 30 & echo a").stdout == "a"
    assert time.monotonic() - started < 15


def test_a_timeout_stops_it_and_keeps_what_it_had_printed():
    stopped = []

    def stop(process):
        stopped.append(process.pid)
        process.kill()

    done = shell("echo a; exec sleep 30", timeout=1, stop=stop)
    assert (done.rc, done.stdout, done.timed_out, len(stopped)) == (137, "a", True, 1)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_nodes_script_is_one():
    text = enterfile.files("/pool")["enter_script"]
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "{" + "DISK" not in text and "/pool/vps/$name" in text
