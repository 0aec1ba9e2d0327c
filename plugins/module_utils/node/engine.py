# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LXC: its configuration, written whole from the record, and its tools to start, stop and look.

Documents: lxc.container.conf(5), lxc-start(1), lxc-stop(1), lxc-info(1), lxc-attach(1).
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ..core.beancounters import DIR
from ..core.errors import VpsError
from ..core.model import BUSYBOX, FROZEN, ID_RANGE, RUNNING, STOPPED, Vps
from ..core.places import GROUP, GROUP_VARIABLE, LXCPATH, ORDER_KEY, OWN, RESCUE, RUNTIME, STOP_TIMEOUT, unit_of
from . import files, tools

LXC_CONFIG = "/usr/share/lxc/config"
START_TIMEOUT = 120  # s
_KILL_TIMEOUT = 20  # s, that lxc-stop has for the last of it: where something is frozen, it would wait for ever
_CGROUPS = "/sys/fs/cgroup"
_OFTEN = 5  # s: of two reboots from inside within that, the second waits as long
_LOGGED = re.compile(r" ERROR +\S+ - \S+:\d+ - (.*)")  # program, name, time, level, part - file:function:line - what
_VARIABLE = re.compile(r"\$[A-Z]+")
# What its monitor is asked: two of its commands, each with the length of no data; and what it answers (lxc/commands.h, lxc/state.h).
_COMMAND, _GET_STATE, _GET_INIT_PID = struct.Struct("iiP"), 3, 4
_NUMBERED = {2: RUNNING, 5: FROZEN, 6: FROZEN, 7: RUNNING}
_ANSWER_TIMEOUT = 2  # s
_STATES = {"RUNNING": RUNNING, "FROZEN": FROZEN, "FREEZING": FROZEN, "THAWED": RUNNING}


@dataclass(frozen=True)
class Status:
    """What LXC says of a container; `pid` is its init's, as the node sees it."""

    run: str = STOPPED
    pid: int | None = None


def render(vps: Vps, *, directory: str, seccomp: str, parts: Iterable[Mapping[str, str]], cleared: Iterable[str] = ()) -> str:
    """The whole configuration of a VPS. `parts` are the lines of other parts of the node, which this one does not know.

    `cleared` are keys of which nothing counts that the files say which are included.
    """
    lines = [
        ("lxc.include", f"{LXC_CONFIG}/common.conf"),
        *([] if vps.privileged else [("lxc.include", f"{LXC_CONFIG}/userns.conf")]),
        *((key, "") for key in cleared),
        ("lxc.uts.name", vps.hostname),
        *_roots(vps, directory),
        *([] if vps.privileged else _idmap(vps, mounted=vps.storage == DIR and vps.rescue is None)),
        ("lxc.seccomp.profile", seccomp),
        *_apparmor(),
        # Bounded on disk: a guest may print for ever.
        ("lxc.console.logfile", f"{directory}/console.log"),
        ("lxc.console.size", "auto"),
        ("lxc.log.file", f"{directory}/lxc.log"),
        ("lxc.log.level", "ERROR"),
        ("lxc.hook.start-host", f"{directory}/start"),
        ("lxc.hook.post-stop", f"{directory}/reboot"),
        ("lxc.hook.pre-start", f"{directory}/reboot"),
        *(line for part in parts for line in part.items()),
    ]
    if vps.boots == BUSYBOX:
        lines += [("lxc.signal.halt", "SIGUSR2"), ("lxc.signal.reboot", "SIGTERM")]
    if vps.onboot:
        lines += [("lxc.start.auto", "1"), (ORDER_KEY, str(vps.boot_order))]
        if tools.has_systemd():  # where our own unit starts it, and LXC's leaves it alone
            lines.append(("lxc.group", GROUP))
    text = "".join(f"{key} = {value}".rstrip() + "\n" for key, value in lines)
    return f"# Written by mainline.vps from vps.json beside it; changes made here are undone by the next run.\n{text}"


def render_start(
    *,
    group: str,
    limits: Iterable[str],
    limit_echoes: Iterable[tuple[str, str]],
    checks: Iterable[str],
    echoes: Iterable[tuple[str, str]],
    inside: Iterable[str],
    outside: Iterable[str],
    last: Iterable[str] = (),
) -> str:
    """The hook that LXC runs on the node before each start of init, a reboot from inside included.

    LXC's monitor keeps the configuration that it was started with, so limits and addresses that were changed live would be
    lost at such a reboot if LXC set them. `limits`, `checks` and, when the link is up, `last` are lines of shell; echoes are (text, file), a
    text may begin with a
    $WORD of theirs, and a file's path may have $OWN in it, the cgroup, which is `group` unless a program is run in a stopped VPS: that has
    the limits, and nothing else. `inside` and `outside` are lines for `ip -batch`, in the VPS's network namespace and on the node.
    A hook that fails fails the start: no VPS runs without its limits.
    """
    lines = ["#!/bin/sh -e", "# Written by mainline.vps from vps.json beside it.", f"OWN=${{{GROUP_VARIABLE}:-{group}}}"]
    lines += limits
    lines += [_echo(text, path) for text, path in limit_echoes]
    lines += [f'[ -z "${GROUP_VARIABLE}" ] || exit 0']
    lines += checks
    lines += [_echo(text, path) for text, path in echoes]
    lines += ["nsenter --net=/proc/$LXC_PID/ns/net ip -batch - <<'END'", *inside, "END"]
    lines += ["ip -batch - <<'END'", *outside, "END", *last]
    return "\n".join(lines) + "\n"


def _echo(text: str, path: str) -> str:
    before, own, after = path.partition(OWN)
    return f"echo {_word(text)} >" + (f'{shlex.quote(before)}"{own}"{shlex.quote(after)}' if own else shlex.quote(path))


def render_reboot(name: str) -> str:
    """The hook that has a VPS that reboots from inside started by a new lxc-start, not by the monitor that it had.

    LXC forgets lxc.rootfs.options when a container ends (seen with 5.0.2 and 6.0.4): the monitor would start it again without
    idmap=container, its root file system would belong to nobody inside, and nothing could be written. So the monitor is told to give
    up, and who starts VPSs starts it again: systemd, by a job that waits for the monitor's end, and gives way to one that stops the
    unit; elsewhere a shell that does the same, out of the monitor's cgroups, which LXC is about to remove. An init that does nothing
    but reboot would keep the node busy with its starts: one that follows another within seconds waits.
    """
    start = f"lxc-start -P {LXCPATH} -n {name} -d"
    return f"""#!/bin/sh
# Written by mainline.vps from vps.json beside it.
mark={RUNTIME}.reboot/{name}
case $3,$LXC_TARGET in
post-stop,reboot)
    mkdir -p {RUNTIME}.reboot
    last=$(cat {_last_reboot(name)} 2>/dev/null || echo 0)
    [ $(($(date +%s) - last)) -ge {_OFTEN} ] || sleep {_OFTEN}
    date +%s >{_last_reboot(name)}
    echo $PPID >$mark
    if [ -d /run/systemd/system ]; then
        exec systemctl --no-block --job-mode=fail restart {unit_of(name)}
    fi
    mkdir -p {RUNTIME}/{name}
    setsid sh -c '
        for group in {_CGROUPS}/cgroup.procs {_CGROUPS}/*/cgroup.procs; do echo $$ >$group; done
        while [ -e /proc/'$PPID'/exe ]; do sleep 0.02; done
        {start}; rmdir {RUNTIME}/{name}
    ' </dev/null >/dev/null 2>&1 &
    ;;
pre-start,*)
    [ -e $mark ] || exit 0
    was=$(cat $mark)
    rm $mark
    [ "$was" != $PPID ]
    ;;
esac
"""


def _last_reboot(name: str) -> str:
    """The file that says when a VPS has rebooted from inside; no VPS has such a name."""
    return f"{RUNTIME}.reboot/.{name}"


def _word(text: str) -> str:
    """A text for the shell; a variable at its start is the shell's to fill in."""
    variable, space, rest = text.partition(" ")
    return f'"{variable}{space}"{shlex.quote(rest)}' if _VARIABLE.fullmatch(variable) else shlex.quote(text)


def register(name: str, directory: str) -> None:
    """Make the VPS visible to every lxc-* tool, through which the machine's boot starts it too."""
    if linked(name, directory):
        return
    path = os.path.join(LXCPATH, name)
    os.makedirs(LXCPATH, mode=0o711, exist_ok=True)
    staging = os.path.join(LXCPATH, f".{name}.new")
    if os.path.lexists(staging):
        os.unlink(staging)
    os.symlink(directory, staging)
    os.rename(staging, path)
    files.sync(LXCPATH)  # a power cut must not take a VPS from the next boot's sight


def linked(name: str, directory: str) -> bool:
    """Whether the lxc-* tools see the VPS where it is."""
    try:
        return os.readlink(os.path.join(LXCPATH, name)) == directory
    except OSError:
        return False


def unlink(name: str, directory: str) -> None:
    """Take it out of their sight, and with it what a killed run left there."""
    if linked(name, directory):
        os.unlink(os.path.join(LXCPATH, name))
    for left in (os.path.join(LXCPATH, f".{name}.new"), f"/run/lxc/lock{LXCPATH}/.{name}", _last_reboot(name)):
        if os.path.lexists(left):
            os.unlink(left)
    if tools.has_systemd():
        tools.attempt(["systemctl", "revert", unit_of(name)])  # what was set for this one alone
        tools.attempt(["systemctl", "reset-failed", unit_of(name)])  # the next of its name has not failed


def foreign(name: str, directory: str) -> str | None:
    """Why a name belongs to somebody else's container; None where it does not."""
    path = os.path.join(LXCPATH, name)
    if not os.path.lexists(path) or linked(name, directory):
        return None
    return (
        f"'{name}' is an LXC container ({path}) that this collection did not make and does not touch; "
        "choose another name, or remove it with lxc-destroy."
    )


def status(name: str) -> Status:
    """Whether a container runs, and its init's pid."""
    code, output = tools.attempt(["lxc-info", "-P", LXCPATH, "-n", name, "-s", "-p"])
    if code != 0:
        return Status()
    said = dict(line.split(":", 1) for line in output.splitlines() if ":" in line)
    run = _STATES.get(said.get("State", "").strip(), STOPPED)
    pid = said.get("PID", "").strip()
    return Status(run, int(pid)) if run != STOPPED and pid.isdigit() and int(pid) > 0 else Status()


def ask(name: str) -> Status | None:
    """The same from LXC's monitor itself, without a program: of many VPSs at once. None where it does not answer as LXC 5 and 6 do (lxc/commands.c)."""
    told = []
    for command in (_GET_STATE, _GET_INIT_PID):
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as monitor:
                monitor.settimeout(_ANSWER_TIMEOUT)
                monitor.connect(f"\0{LXCPATH}/{name}/command")
                monitor.sendall(_COMMAND.pack(command, 0, 0))
                answer = monitor.recv(_COMMAND.size + 1)
        except ConnectionRefusedError:  # nobody listens
            return Status()
        except OSError:
            return None
        if len(answer) != _COMMAND.size:
            return None
        result, length, value = _COMMAND.unpack(answer)
        if result != 0 or length != 0:
            return None
        told.append(value)
    state, pid = told
    run = _NUMBERED.get(state)
    return Status(run, pid) if run is not None and 1 < pid < 1 << 31 else None


def is_in_hand(name: str) -> bool:
    """Whether its unit is starting, running or stopping it: at the node's boot, say, and beside a playbook."""
    return os.path.isdir(os.path.join(RUNTIME, name))


def has_monitor(name: str) -> bool:
    """Whether a process of LXC's has the container in hand, from before its first hook to after its last: it listens then."""
    return f"@{LXCPATH}/{name}/command" in (files.read("/proc/net/unix") or "")


def start(name: str, directory: str, *, keep_open: int) -> None:
    """Start a stopped VPS; returns when its init runs. Should we be killed, `keep_open`, a lock, is held until LXC is through."""
    for log in ("lxc.log", "console.log"):
        try:
            os.unlink(os.path.join(directory, log))
        except FileNotFoundError:
            pass
    # With systemd the monitor belongs to a unit of its own, not to the login that happened to start it.
    command = ["systemctl", "start", unit_of(name)] if tools.has_systemd() else ["lxc-start", "-P", LXCPATH, "-n", name, "-d"]
    code, output = tools.attempt(command, timeout=START_TIMEOUT + 10, keep_open=keep_open)
    if code == 0:
        return
    log = files.read_tail(os.path.join(directory, "lxc.log")) or output
    raise VpsError(f"state: VPS '{name}' did not start: {_why(log)}; the result's log has all of it.", log=log[-4000:])


def _why(log: str) -> str:
    """The first error in LXC's log, which is the cause of the others, without what it says of itself."""
    errors = [error for error in _LOGGED.findall(log) if "Could not enable" not in error]  # LXC 6 tries that in vain at each start
    return errors[0].strip().rstrip(".") if errors else tools.last_words(log).rstrip(".")


def stop(name: str, *, timeout: int, keep_open: int, thaw: Callable[[], None]) -> None:
    """Ask init to stop and wait; after `timeout` seconds, at once for 0, kill everything in the VPS.

    What a guest has frozen in itself keeps it from ending: `thaw` wakes that. Should we be killed, `keep_open`, a lock, is held
    until LXC is through: nobody takes a VPS that is stopping for a running one.
    """
    thaw()
    how = ["-t", str(timeout)] if timeout else ["-k"]
    with suppress(tools.TooLate):
        tools.attempt(["lxc-stop", "-P", LXCPATH, "-n", name, *how], timeout=timeout + _KILL_TIMEOUT, keep_open=keep_open)
    deadline = time.monotonic() + 30
    while status(name).run != STOPPED:
        thaw()
        if time.monotonic() > deadline:
            raise VpsError(f"state: VPS '{name}' does not stop; see lxc-info -n {name} and the kernel's log on the node.")
        time.sleep(0.05)
    if tools.has_systemd():
        # Returns when the unit is through as well, and stops one that has rebooted meanwhile.
        code, output = tools.attempt(["systemctl", "stop", unit_of(name)], timeout=STOP_TIMEOUT + 60, keep_open=keep_open)
        if code != 0:
            raise VpsError(f"state: VPS '{name}' does not stop: {tools.last_words(output)}; see journalctl -u {unit_of(name)} on the node.")
        tools.attempt(["systemctl", "reset-failed", unit_of(name)])  # an init that was killed has not failed


def freeze(name: str, *, keep_open: int | None = None) -> None:
    """Take the CPU from every process in the VPS. Should we be killed, `keep_open`, a lock, is held until LXC is through."""
    tools.run(["lxc-freeze", "-P", LXCPATH, "-n", name], keep_open=keep_open)


def thaw(name: str) -> None:
    """Give it back."""
    tools.run(["lxc-unfreeze", "-P", LXCPATH, "-n", name])


def attach(name: str, argv: list[str], *, timeout: float, limit: int = 4096) -> tuple[int, str]:
    """Run a guest's own program as its root. What it prints is the guest's word: bounded, and never trusted."""
    return tools.attempt(["lxc-attach", "-P", LXCPATH, "-n", name, "--clear-env", "--", *argv], timeout=timeout, limit=limit)


def is_privileged(pid: int) -> bool:
    """Whether a running VPS has the node's own uids (user_namespaces(7))."""
    with open(f"/proc/{pid}/uid_map", encoding="ascii") as file:
        return file.readline().split()[1] == "0"


def _idmap(vps: Vps, *, mounted: bool) -> list[tuple[str, str]]:
    """`mounted`: its storage has mounted the tree for its ids, as LXC could not."""
    mapping = f"0 {vps.id_base} {ID_RANGE}"
    return [
        ("lxc.idmap", f"u {mapping}"),
        ("lxc.idmap", f"g {mapping}"),
        # The tree on disk is owned by 0 and shared with the template; the mount maps it.
        *([] if mounted else [("lxc.rootfs.options", "idmap=container")]),
    ]


def _roots(vps: Vps, directory: str) -> list[tuple[str, str]]:
    """What it boots. In rescue that is not its own disk, which is mounted in it then; nothing of it is run, and no device in it opened."""
    if vps.rescue is None:
        return [("lxc.rootfs.path", f"dir:{directory}/rootfs")]
    mapped = vps.privileged or vps.storage == DIR  # by nobody, or by its storage
    # Without create=dir: LXC would go to the place by its path then, and follow the guest's links out onto the node; the node makes it (roots.make_place).
    options = "bind,nodev" + ("" if mapped else ",idmap=container")
    return [
        ("lxc.rootfs.path", f"dir:{directory}/{RESCUE}/rootfs"),
        ("lxc.mount.entry", f"{directory}/rootfs {vps.rescue.place[1:]} none {options} 0 0"),
    ]


def _apparmor() -> list[tuple[str, str]]:
    enabled = files.read("/sys/module/apparmor/parameters/enabled")
    if enabled is None or not enabled.startswith("Y"):
        return []
    # Nesting lets a guest's systemd mount within its own namespaces; the profile is made for each VPS.
    return [("lxc.apparmor.profile", "generated"), ("lxc.apparmor.allow_nesting", "1")]
