# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_command in real VPSs: what a program gets, what is told of it, and that it stays within what its VPS may.

Each is tried in a VPS that runs and in one that does not, unless it is about one of the two.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import signal
import time

import pytest
import vps_kit as kit

HERE = f"{kit.PREFIX}cmd"
RUNNING, STOPPED, IMAGE, PRIVILEGED = f"{HERE}-run", f"{HERE}-off", f"{HERE}-img", f"{HERE}-priv"
LIMITS = {"memory": "64M", "processes": "40"}
ALL = pytest.mark.parametrize("name", [RUNNING, STOPPED, IMAGE, PRIVILEGED])
BOTH = pytest.mark.parametrize("name", [RUNNING, STOPPED])
LONG = "83691"  # s, that nobody else sleeps


@pytest.fixture(scope="module", autouse=True)
def vpss(clean_module, minimal):
    """One that runs, three that do not."""
    kit.container(RUNNING, template=minimal, limits=LIMITS, wait="booted")
    kit.container(STOPPED, template=minimal, limits=LIMITS, state="stopped")
    kit.container(IMAGE, template=minimal, storage="image", limits={**LIMITS, "diskspace": "64M"}, state="stopped")
    kit.container(PRIVILEGED, template=minimal, privileged=True, state="stopped")


def told(name: str, script: str, **params) -> dict:
    """What a script that is to succeed came to."""
    return kit.ok("vps_command", name=name, script=script, **params)


def bad(name: str, script: str, **params) -> dict:
    """The same of one that is not; the task's message is a sentence."""
    done = kit.call("vps_command", name=name, script=script, **params)
    assert done["failed"] and done["changed"] and done["msg"].endswith(".") and "\n" not in done["msg"], done
    return done


def sleepers() -> list[int]:
    """The pids, on the node, of the tests' programs that are still there."""
    return [int(line.split()[0]) for line in kit.run("ps", "-eo", "pid,args").splitlines() if line.split()[1:] == ["sleep", LONG]]


@pytest.fixture(autouse=True)
def no_sleepers():
    """What a test has left running is no other's."""
    yield
    for number in sleepers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    kit.until("they end", lambda: not sleepers())


# -- in and out ----------------------------------------------------------------------------------------------------------


@ALL
def test_what_a_program_prints_is_told_apart_and_its_exit_code(name):
    done = bad(name, "echo out; echo err >&2; exit 7")
    assert (done["rc"], done["stdout"], done["stderr"], done["truncated"]) == (7, "out", "err", [])
    assert "script: the program ended with exit code 7" in done["msg"]
    good = told(name, "echo one; echo; echo two")
    assert (good["rc"], good["changed"], good["stdout_lines"], good["stderr_lines"]) == (0, True, ["one", "", "two"], [])
    assert good["start"] < good["end"] and good["delta"].startswith("0:00:0")


@BOTH
@pytest.mark.parametrize(("word", "code"), [("TERM", 143), ("KILL", 137), ("PIPE", 141)])
def test_a_signal_is_128_and_its_number(name, word, code):
    done = bad(name, f"kill -{word} $$")
    assert (done["rc"], done["stdout"], done["stderr"]) == (code, "", "") and f"signal {code - 128}" in done["msg"]


@BOTH
def test_what_is_no_program_is_127_and_what_cannot_be_run_126(name):
    for program, code in (("/no/such", 127), ("no-such", 127), ("/etc/passwd", 126)):
        done = kit.call("vps_command", name=name, argv=[program])
        assert done["failed"] and done["rc"] == code and program in done["stderr"], done


@BOTH
def test_arguments_reach_a_program_as_they_are(name):
    words = ["", " two  words ", "-n", "$HOME `id` \\", "a\nb", "'\"", "ünï→\U0001f600", "*"]
    script = 'for word; do printf "<%s>" "$word"; done'
    assert kit.ok("vps_command", name=name, argv=["/bin/sh", "-c", script, "sh", *words])["stdout"] == "".join(f"<{word}>" for word in words)


@BOTH
def test_standard_input_is_passed_on_byte_for_byte_and_ends(name):
    text = "ünï \x01\x7f\ttab\r\nlast, without a line break" + "x" * 200_000
    done = kit.ok("vps_command", name=name, argv=["sha256sum"], stdin=text, stdin_add_newline=False)
    assert done["stdout"].split()[0] == hashlib.sha256(text.encode()).hexdigest()
    assert told(name, "wc -c", stdin="four")["stdout"] == "5" and told(name, "wc -c")["stdout"] == "0"
    assert told(name, "exit 0", stdin=text)["rc"] == 0  # which reads none of it


@BOTH
def test_what_is_no_text_is_shown_as_far_as_it_is(name):
    assert told(name, "printf 'a\\377b'")["stdout"] == "a\ufffdb"
    assert told(name, "printf 'no line break'")["stdout"] == "no line break"


@BOTH
def test_output_is_bounded_and_it_is_said(name):
    done = told(name, "head -c 10000000 /dev/zero | tr '\\0' a; echo well >&2")
    assert (len(done["stdout"]), done["stderr"], done["truncated"]) == (1 << 20, "well", ["stdout"])


def test_what_is_left_running_keeps_nobody_waiting_and_goes_on_in_a_running_vps():
    started = time.monotonic()
    done = told(RUNNING, f"sleep {LONG} & echo $!")
    assert time.monotonic() - started < 20 and len(sleepers()) == 1
    told(RUNNING, f"kill {done['stdout']}")
    kit.until("it ends", lambda: not sleepers())


@pytest.mark.parametrize("name", [STOPPED, IMAGE])
def test_what_is_left_running_in_a_stopped_vps_ends_with_the_program(name):
    assert told(name, f"(setsid sleep {LONG} &); sleep {LONG} & echo well")["stdout"] == "well"
    assert not sleepers() and kit.info(name)["state"] == "stopped"


# -- who and where -------------------------------------------------------------------------------------------------------


@ALL
def test_the_environment_is_the_vpss_own_and_the_tasks(name):
    odd = {"A": "b=c", "B": "two\nlines ", "C": "", "D": 3, "E": "'\"$PATH\\", "HOME": "/home/x", "_u": "ü"}
    script = 'printf "%s|" "$A" "$B" "$C" "$D" "$E" "$HOME" "$_u" "$LC_ALL" "$container" "$PATH" "$USER" "${ANSIBLE_X-unset}" "$PWD"'
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert told(name, script, environment=odd)["stdout"].split("|")[:-1] == [
        "b=c", "two\nlines ", "", "3", "'\"$PATH\\", "/home/x", "ü", "C.UTF-8", "lxc", path, "root", "unset", "/",
    ]


@BOTH
def test_a_directory_to_run_in(name):
    assert told(name, "pwd", chdir="/usr/bin")["stdout"] == "/usr/bin"
    assert kit.fails("vps_command", name=name, argv=["touch", "/ran"], chdir="/no/such").startswith("chdir: there is no '/no/such'")
    told(name, "[ ! -e /ran ]")


@ALL
def test_a_user_of_the_vps_with_home_and_groups(name):
    told(name, "echo 'web:x:1007:1008:Web:/srv/web:/bin/false' >>/etc/passwd")
    assert told(name, "id -u; id -g; echo $HOME $USER", user="web")["stdout_lines"] == ["1007", "1008", "/srv/web web"]
    assert told(name, "id -u; id -g; echo $HOME", user="1007")["stdout_lines"] == ["1007", "1008", "/srv/web"]
    assert told(name, "id -u; id -g; echo $HOME", user="2000")["stdout_lines"] == ["2000", "2000", "/"]
    assert told(name, "touch /tmp/mine; stat -c %u:%g /tmp/mine; cat /etc/shadow 2>&1 || true", user="web")["stdout_lines"][0] == "1007:1008"
    message = kit.fails("vps_command", name=name, argv=["id"], user="nobody-here")
    assert message.startswith("user: there is no 'nobody-here'")


def test_a_user_with_more_groups_needs_chroot_of_the_vps(debian):
    name = f"{HERE}-groups"
    kit.container(name, template=debian, state="stopped")
    told(name, "groupadd -g 3001 one; groupadd -g 3002 two; useradd -u 3000 -m -G one,two me")
    assert told(name, "id -G | tr ' ' '\\n' | sort | tr '\\n' ' '; pwd; echo $HOME", user="me")["stdout_lines"] == ["3000 3001 3002 /", "/home/me"]


@ALL
def test_files_belong_to_the_vpss_ids_and_nobody_elses(name):
    told(name, "mkdir -p /srv; echo x >/srv/file; chown 5:6 /srv/file")
    assert told(name, "stat -c %u:%g /srv/file /srv")["stdout_lines"] == ["5:6", "0:0"]
    if name == STOPPED:  # on disk they are as inside, for any ids that the VPS has
        status = (kit.rootfs(name) / "srv/file").lstat()
        assert (status.st_uid, status.st_gid) == (5, 6)
        kit.container(name, state="started", wait="booted")
        assert kit.said(name, "stat", "-c", "%u:%g", "/srv/file") == "5:6"
        kit.container(name, state="stopped")


# -- limits and time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [RUNNING, STOPPED, IMAGE])
def test_the_limits_of_the_vps_hold_for_what_is_run(name):
    many = bad(name, f"for n in $(seq 60); do sleep {LONG} & done; echo all", timeout=60)
    assert "all" not in many["stdout"] and "fork" in many["stderr"]
    assert bool(sleepers()) is (name == RUNNING)
    for number in sleepers():
        os.kill(number, signal.SIGKILL)
    kit.until("they end", lambda: not sleepers())
    more = bad(name, "x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; while :; do x=$x$x; done", timeout=60)
    assert more["rc"] in (137, 2) and "timeout" not in more["msg"], more  # killed, or refused what it asked for
    assert kit.ok("vps_command", name=name, argv=["true"])["rc"] == 0


@pytest.mark.parametrize("name", [RUNNING, STOPPED, IMAGE])
def test_a_timeout_ends_all_that_was_started(name):
    script = f"trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM; sleep {LONG}; sleep {LONG}' &); sleep {LONG} & echo here; sleep {LONG}"
    started = time.monotonic()
    told(name, "true")
    enough = 2 + int(3 * (time.monotonic() - started))  # s, to come as far as that, on whatever machine this is
    started = time.monotonic()
    done = bad(name, script, timeout=enough)
    assert enough <= time.monotonic() - started < 40 + 2 * enough and not sleepers()
    assert done["stdout"] == "here" and done["rc"] > 128 and f"timeout: the program had not ended after {enough} seconds" in done["msg"]
    assert kit.info(name)["state"] == ("started" if name == RUNNING else "stopped")
    assert not list(kit.cgroup(RUNNING, "guest/pids.max").parent.glob(".vps-*"))


# -- what there is to do -------------------------------------------------------------------------------------------------


@ALL
def test_creates_and_removes(name):
    told(name, "rm -rf /tmp/made /tmp/link; ln -s /etc/passwd /tmp/link; ln -s /no/such /tmp/dangling 2>/dev/null || true")
    first = kit.ok("vps_command", name=name, argv=["touch", "/tmp/made"], creates="/tmp/made")
    again = kit.ok("vps_command", name=name, argv=["false"], creates="/tmp/made")
    assert first["changed"] and not again["changed"] and again["rc"] == 0 and "'/tmp/made' exists" in again["msg"]
    assert kit.ok("vps_command", name=name, argv=["rm", "/tmp/made"], removes="/tmp/made")["changed"]
    assert not kit.ok("vps_command", name=name, argv=["false"], removes="/tmp/made")["changed"]
    assert not kit.ok("vps_command", name=name, argv=["false"], creates="/tmp/link")["changed"]
    assert kit.ok("vps_command", name=name, argv=["true"], creates="/tmp/dangling")["changed"]


@ALL
def test_a_guests_links_do_not_lead_out_of_it(name, tmp_path):
    """What the node has is not there; a program of the guest's is never asked."""
    secret = tmp_path / "node-only"
    secret.write_text("", encoding="ascii")
    told(name, f"rm -f /tmp/out /tmp/up /tmp/round; ln -s {secret} /tmp/out; ln -s ../../../../../../..{secret} /tmp/up; ln -s round /tmp/round")
    for path in ("/tmp/out", "/tmp/up", "/tmp/round", f"/tmp/../../../../..{secret}"):
        assert kit.ok("vps_command", name=name, argv=["true"], creates=path)["changed"], path


@pytest.mark.parametrize("name", [RUNNING, STOPPED, IMAGE])
def test_check_mode_runs_and_writes_nothing(name):
    with kit.Untouched():
        done = kit.ok("vps_command", name=name, argv=["touch", "/tmp/checked"], check=True)
        assert done["changed"] and done["skipped"] and "rc" not in done
        asked = kit.ok("vps_command", name=name, argv=["touch", "/tmp/checked"], creates="/etc/passwd", check=True)
        assert asked["changed"] is (name == IMAGE)  # whose disk nobody mounts for that
    assert told(name, "ls /tmp")["stdout"].find("checked") == -1


# -- which VPS -----------------------------------------------------------------------------------------------------------


def test_a_vps_that_is_not_there_and_one_that_is_frozen_say_so():
    assert "there is no VPS" in kit.fails("vps_command", name=f"{HERE}-none", argv=["true"])
    kit.container(RUNNING, state="frozen")
    try:
        assert "is frozen" in kit.fails("vps_command", name=RUNNING, argv=["true"])
        assert "is frozen" in kit.fails("vps_command", name=RUNNING, argv=["true"], check=True)
    finally:
        kit.container(RUNNING, state="started")


def test_a_running_vps_is_not_locked_while_a_program_runs():
    running = kit.launch("vps_command", name=RUNNING, argv=["sleep", LONG], timeout=20)
    kit.until("it runs", sleepers)
    assert not kit.is_locked("vps", RUNNING)
    assert kit.ok("vps_command", name=RUNNING, argv=["true"])["rc"] == 0
    kit.container(RUNNING, limits={**LIMITS, "processes": "41"}, lock_timeout=5)
    kit.container(RUNNING, limits=LIMITS, lock_timeout=5)
    assert kit.result(running)["failed"]


@pytest.mark.parametrize("name", [STOPPED, IMAGE])
def test_a_stopped_vps_is_nobody_elses_while_a_program_runs(name):
    running = kit.launch("vps_command", name=name, script=f"sleep {LONG} & while [ -d /tmp ] && [ ! -e /tmp/go ]; do sleep 0.1; done; rm /tmp/go", timeout=60)
    kit.until("it runs", sleepers)
    assert kit.info(name)["state"] == "stopped" and kit.is_locked("vps", name)
    for other in ("started", "absent"):
        assert "(enter)" in kit.fails("vps_container", name=name, state=other, lock_timeout=1)
    assert "(enter)" in kit.fails("vps_command", name=name, argv=["true"], lock_timeout=1)
    waiting = kit.launch("vps_command", name=name, argv=["echo", "second"], lock_timeout=60)
    (kit.rootfs(name) / "tmp/go").touch()
    assert kit.result(running)["rc"] == 0 and kit.result(waiting)["stdout"] == "second"
    assert kit.info(name)["state"] == "stopped" and not kit.is_locked("vps", name)
    assert not any(f"/{name}/" in point for point in kit.mounts())


def test_it_needs_to_be_root(minimal):
    assert kit.fails("vps_command", name=RUNNING, argv=["true"], uid=65534).startswith("become: ")


@pytest.mark.parametrize(
    ("given", "about"),
    [
        ({}, "argv"), ({"argv": ["true"], "script": "true"}, "argv"), ({"argv": []}, "argv"), ({"argv": ["a\0b"]}, "argv"),
        ({"script": "x" * 140_000}, "script"), ({"argv": ["true"], "executable": "/bin/sh"}, "executable"), ({"argv": ["true"], "chdir": "tmp"}, "chdir"),
        ({"argv": ["true"], "environment": {"A-B": "c"}}, "environment"), ({"argv": ["true"], "environment": {"A": ["c"]}}, "environment"),
        ({"argv": ["true"], "user": "a b"}, "user"), ({"argv": ["true"], "timeout": 0}, "timeout"), ({"argv": ["true"], "creates": "/tmp/*"}, "creates"),
        ({"argv": ["true"], "removes": "tmp"}, "removes"), ({"argv": ["true"], "lock_timeout": -1}, "lock_timeout"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_run(given, about):
    assert kit.fails("vps_command", name=RUNNING, **given).startswith(f"{about}: ")


def test_nothing_is_left_of_what_was_run():
    told(STOPPED, "true")
    told(IMAGE, "true")
    assert not kit.OFFLINE.is_dir() or not os.listdir(kit.OFFLINE)
    assert not [path for path in kit.cgroup_folders() if pathlib.Path(path).name.startswith(".")]
    assert not sleepers()


@BOTH
def test_no_program_says_in_the_nodes_name_that_it_was_not_run(name):
    done = bad(name, "echo 'vps: anything' >&2; exit 125")
    assert (done["rc"], done["stderr"]) == (125, "vps: anything") and done["msg"].startswith("script: ")


def test_a_killed_run_lets_go_of_a_stopped_vps():
    run = kit.launch("vps_command", name=STOPPED, argv=["sleep", LONG])
    kit.until("it runs", sleepers, seconds=20)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    kit.until("all that it has started has ended", lambda: not sleepers(), seconds=20)
    kit.ok("vps_container", name=STOPPED, state="started", lock_timeout=20)
    kit.ok("vps_container", name=STOPPED, state="stopped", stop_timeout=0)
