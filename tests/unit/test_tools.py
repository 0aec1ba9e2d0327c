# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs: what they print, bounded; how long they take, bounded; and what is said when they fail."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.node import tools
from ansible_collections.mainline.vps.tests.unit.reading import sentence


def test_a_program_gets_its_arguments_as_they_are():
    assert tools.run(["printf", "%s|", "a b", "$HOME", "*", "; id"]) == "a b|$HOME|*|; id|"


def test_what_is_printed_and_the_exit_code_are_told():
    assert tools.attempt(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\nerr\n")


def test_a_failure_is_an_error_with_the_last_words():
    with pytest.raises(VpsError, match=r"^sh: failed with exit code 3: b / c / d\.?$") as caught:
        tools.run(["sh", "-c", "echo a; echo b; echo; echo c; echo d; exit 3"])
    assert caught.value.details["command"][0] == "sh"
    assert caught.value.details["output"] == "a\nb\n\nc\nd\n"


def test_a_program_that_says_nothing_and_fails_still_gives_a_sentence():
    with pytest.raises(VpsError, match=r"^false: failed with exit code 1: it said nothing\.?$"):
        tools.run(["false"])


@pytest.mark.parametrize("limit", [0, 10, 70_000])
def test_only_so_much_is_kept_of_what_is_printed(limit):
    code, output = tools.attempt(["head", "-c", "300000", "/dev/zero"], limit=limit)
    assert (code, output) == (0, "\x00" * limit)


def test_a_program_that_prints_for_ever_is_ended():
    start = time.monotonic()
    with pytest.raises(VpsError, match="^yes: did not finish within 0.3 seconds and was ended"):
        tools.attempt(["yes"], timeout=0.3)
    assert time.monotonic() - start < 5


def test_a_program_that_takes_too_long_is_ended():
    start = time.monotonic()
    with pytest.raises(VpsError, match="^sleep: did not finish within 0.2 seconds"):
        tools.attempt(["sleep", "60"], timeout=0.2)
    assert time.monotonic() - start < 5


def test_a_program_that_closes_its_output_and_stays_is_ended_too():
    with pytest.raises(VpsError, match="^sh: did not end within 0.2 seconds and was killed"):
        tools.attempt(["sh", "-c", "exec >&- 2>&-; exec sleep 60"], timeout=0.2)


@pytest.mark.parametrize("program", ["no-such-program", "/nowhere/at/all"])
def test_a_program_that_is_not_there_is_an_error_that_says_who_installs_it(program):
    assert f"{program} is not installed on this node; run the role mainline.vps.node" in sentence(lambda: tools.run([program]), "node")


def test_a_program_that_cannot_be_run_is_an_error_that_says_why():
    assert "cannot be run on this node: Permission denied" in sentence(lambda: tools.run(["/etc/passwd"]), "/etc/passwd")


def test_what_is_given_is_read():
    assert tools.run(["cat"], stdin="line\n") == "line\n"
    assert tools.run(["cat"]) == "", "and where nothing is given, there is nothing to wait for"


def test_a_program_that_does_not_read_what_it_is_given_is_no_error_of_ours():
    assert tools.attempt(["true"], stdin="x" * 1_000_000) == (0, "")
    code, output = tools.attempt(["sh", "-c", "exec <&-; echo cannot >&2; exit 1"], stdin="x" * 1_000_000)
    assert (code, output) == (1, "cannot\n")


def test_output_in_no_encoding_is_text():
    assert tools.run(["printf", r"\377ok"]) == "\ufffdok"


def test_a_program_has_our_environment_and_not_the_callers(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD_OF_SOMEBODY", "1")
    monkeypatch.setenv("PATH", "/somewhere/else")
    environment = dict(line.split("=", 1) for line in tools.run(["env"]).splitlines())
    assert {name: environment[name] for name in tools.ENVIRONMENT} == tools.ENVIRONMENT
    assert set(environment) - set(tools.ENVIRONMENT) <= {"PWD", "SHLVL", "_"}
    assert tools.run(["pwd"]) == "/\n"


def test_what_is_installed_is_what_can_be_run():
    assert tools.installed("sh")
    assert not tools.installed("no-such-program")


def test_no_descriptor_is_left_open():
    before = os.listdir("/proc/self/fd")
    tools.run(["cat"], stdin="x")
    with pytest.raises(VpsError):
        tools.run(["sleep", "9"], timeout=0.05)
    assert os.listdir("/proc/self/fd") == before
