# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits that are no cgroup's: rlimits of every process in a VPS, its System V shared memory, its pseudo-terminals.

Documents: getrlimit(2), prlimit(1), proc(5), setns(2), ipc_namespaces(7); the kernel's filesystems/{devpts,proc}.rst.
"""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from ..core import controls
from ..core.beancounters import Bound
from ..core.errors import NothingDone
from ..core.model import Vps
from . import files
from .syscalls import RLIMITS, in_ipc_namespace

_IN_PROC = {"NOFILE": "Max open files", "MEMLOCK": "Max locked memory", "SIGPENDING": "Max pending signals"}
_CONSOLE, _TTYS = 1, 4  # of the pseudo-terminals, those that LXC itself opens; it gives devpts lxc.tty.max (common.conf) more
_SHMALL = "/proc/sys/kernel/shmall"
_NR_OPEN = "/proc/sys/fs/nr_open"
_FLAGS, _PF_EXITING = 6, 0x4  # in /proc/PID/stat after the name; include/linux/sched.h
_STARTED = 19  # there too: ticks of the clock after the machine's boot, its sleep included
_SPARED = "-1000"  # the oom_score_adj of whom the kernel never kills for memory
_PASSES = 20  # over the processes of a guest that forks all the time
_UNSET_SHMALL = (1 << 64) - (1 << 24) - 1  # pages; the kernel's default, ULONG_MAX - (1UL << 24)


def start_lines(vps: Vps) -> list[str]:
    """Lines of shell of the start hook that bring all but the terminals into force before init runs."""
    lines = []
    for name, (soft, hard) in controls.rlimits(vps.limits).items():
        option = f"--{name.lower()}={_word(name, soft)}"
        # Without a limit it has what the node gives, which only CAP_SYS_RESOURCE makes more of.
        lines.append(f"prlimit --pid=$LXC_PID {option}:{_word(name, hard)}" + (f" 2>/dev/null || prlimit --pid=$LXC_PID {option}:" if hard is None else ""))
    pages = controls.shared_memory_pages(vps.limits)
    if pages is not None:
        # From Linux 6.11 on the setting belongs to the root of the VPS, before to the node's.
        ipc, write = "nsenter --ipc=/proc/$LXC_PID/ns/ipc", f"sh -c 'echo {pages} >{_SHMALL}'"
        lines.append(f"{ipc} {write} 2>/dev/null || {ipc} --user=/proc/$LXC_PID/ns/user {write}")
    return lines


def config(vps: Vps) -> dict[str, str]:
    """The lines of LXC's configuration for the rest."""
    return {} if vps.limits.numpty is None else {"lxc.pty.max": str(controls.terminals(vps.limits) + _CONSOLE)}


def is_ending(pid: int) -> bool:
    """Whether a process has ended but for what is left of its own: an init does not go as long as anything is left in its VPS (proc(5), stat)."""
    fields = (files.read(f"/proc/{pid}/stat", errors="replace") or "").rpartition(")")[2].split()
    return len(fields) <= _FLAGS or fields[0] in ("Z", "X") or bool(int(fields[_FLAGS]) & _PF_EXITING)


def age(pid: int) -> int:
    """Seconds since a process was started (proc(5), stat); raises FileNotFoundError or ProcessLookupError where it has gone."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        started = int(file.read(4096).rpartition(b")")[2].split()[_STARTED])
    return max(0, int(time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")))


def read_rlimits(pid: int) -> dict[str, Bound]:
    """The limits of one process, in the kernel's units."""
    found = {}
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        text = file.read()
    for name, title in _IN_PROC.items():
        match = re.search(rf"^{title} +(\S+) +(\S+)", text, re.MULTILINE)
        if match:
            found[name] = Bound(*(None if word == "unlimited" else int(word) for word in match.groups()))
    return found


def read_normal_rlimits(pid: int) -> dict[str, Bound]:
    """The limits that a process of a running VPS has where nobody has set them: those of LXC's monitor."""
    return read_rlimits(_monitor(pid))


def read_shared_memory(pid: int) -> int | None:
    """Pages that a running VPS may have in System V segments; None where the kernel's default holds."""
    with in_ipc_namespace(pid), open(_SHMALL, encoding="ascii") as file:
        pages = int(file.read())
    return None if pages >= _UNSET_SHMALL >> 1 else pages


def read_terminals(pid: int) -> int | None:
    """How many pseudo-terminals the devpts at /dev/pts of a running VPS has for the guest (proc(5), mountinfo)."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file.read(1 << 20).splitlines():
            fields = line.split()
            if len(fields) > 4 and fields[4] == "/dev/pts" and " devpts " in line:
                match = re.search(r"\bmax=(\d+)", line)
                return int(match.group(1)) - _TTYS - _CONSOLE if match else None
    return None


def write(vps: Vps, pid: int, members: Callable[[], Iterable[int]], *, raises: bool) -> None:
    """Bring rlimits and shared memory of a running VPS into force: `members` lists all its processes.

    What a process has lowered for itself stays lowered. Raises NothingDone where the kernel refuses; without `raises` no hard
    limit rises, and the plan has said that it takes a restart.
    """
    _write_shared_memory(vps, pid)
    now, wanted = read_rlimits(pid), controls.rlimits(vps.limits)
    normal = read_normal_rlimits(pid)
    changes = {name: (now[name], wanted.get(name, normal.get(name, now[name]))) for name in RLIMITS}
    changes = {name: (before, after) for name, (before, after) in changes.items() if name in wanted or _gives(before, after)}
    done: set[int] = set()
    for _pass in range(_PASSES if changes else 0):  # whoever was forked meanwhile has its parent's limits, old or new
        others = set(members()) - done
        for process in others:
            with suppress(ProcessLookupError):
                for name, (before, after) in changes.items():
                    _set_one(process, name, before, after, raises=raises)
        if not others:
            break
        done |= others


def _gives(before: Bound, after: Bound) -> bool:
    """Whether a limit that nobody asks for any more was asked for. An init that has raised its own soft limit, as systemd does, keeps it."""
    return before.limit != after.limit or (before.barrier is not None and (after.barrier is None or before.barrier < after.barrier))


def _set_one(process: int, name: str, before: Bound, after: Bound, *, raises: bool) -> None:
    if raises:
        _set(process, name, before, after, raises=True)
        return
    with suppress(PermissionError), _as_owner(process):  # of a privileged VPS, one that has several uids at once is out of reach
        _set(process, name, before, after, raises=False)


def _set(process: int, name: str, before: Bound, after: Bound, *, raises: bool) -> None:
    number = RLIMITS[name]
    soft, hard = resource.prlimit(process, number)
    new_soft, new_hard = (_number(name, value) for value in after)
    if hard == _number(name, before.limit):  # as the VPS has it; whoever has less has chosen so
        wanted = (new_soft if soft in (hard, _number(name, before.barrier)) else _lesser(soft, new_soft), new_hard)
    else:
        wanted = (_lesser(soft, new_soft), _lesser(hard, new_hard))
    if not raises:  # the kernel would refuse both for the hard one's sake
        highest = _lesser(hard, wanted[1])
        wanted = (_lesser(wanted[0], highest), highest)
    if wanted == (soft, hard):
        return
    try:
        resource.prlimit(process, number, wanted)
    except (OSError, ValueError) as error:  # the latter is Python's for EINVAL
        if isinstance(error, ProcessLookupError) or (isinstance(error, PermissionError) and not raises):
            raise
        raise NothingDone(f"limits.{controls.RLIMITS[name][0]}: the kernel refused {wanted[1]} for process {process}: {error}.") from None


@contextmanager
def _as_owner(process: int) -> Iterator[None]:
    """Within, our real uid and gid are those of a process: whose they are may change its limits without CAP_SYS_RESOURCE (prlimit(2)).

    The effective ones, which the rest goes by, stay root's. Raises ProcessLookupError where it has ended.
    """
    text = files.read(f"/proc/{process}/status")
    found = dict(re.findall(r"^(Uid|Gid):\t(\d+)", text or "", re.MULTILINE))
    if len(found) != 2:
        raise ProcessLookupError(process)
    uid, gid = os.getuid(), os.getgid()
    os.setresgid(int(found["Gid"]), -1, -1)
    try:
        os.setresuid(int(found["Uid"]), -1, -1)
        yield
    finally:
        os.setresuid(uid, -1, -1)
        os.setresgid(gid, -1, -1)


@contextmanager
def sparing_init(pid: int, members: Callable[[], Iterable[int]]) -> Iterator[None]:
    """Within, the kernel ends what it likes in a VPS for want of memory, but not its init: it would end them one after the other.

    The kernel does not wait for all that the first one leaves before it chooses the next (seen with 6.1). `members` lists all
    processes; what they fork meanwhile is spared too, and made mortal afterwards. Takes CAP_SYS_RESOURCE.
    """
    left = is_spared(pid)  # by a run that was killed, and so are those that it has forked since
    usual = _read_score(_monitor(pid) if left else pid)
    spared = set() if left else {process for process in members() if is_spared(process)}  # a guest with the node's uids can do that
    _write_score(pid, _SPARED)
    try:
        yield
    finally:
        _write_score(pid, usual)
        for _pass in range(_PASSES):
            inherited = [process for process in set(members()) - spared if is_spared(process)]
            for process in inherited:
                _write_score(process, usual)
            if not inherited:
                break


def is_spared(process: int) -> bool:
    """Whether the kernel never ends a process for want of memory; an init, because a run was killed that had said so."""
    return _read_score(process) == _SPARED


def _read_score(process: int) -> str:
    return (files.read(f"/proc/{process}/oom_score_adj") or "0").strip()


def _write_score(process: int, score: str) -> None:
    with suppress(FileNotFoundError, ProcessLookupError):
        files.overwrite(f"/proc/{process}/oom_score_adj", score)


def _write_shared_memory(vps: Vps, pid: int) -> None:
    wanted = controls.shared_memory_pages(vps.limits)
    if read_shared_memory(pid) == wanted:
        return
    text = str(_UNSET_SHMALL if wanted is None else wanted)
    for uid in (0, vps.id_base or 0):  # from Linux 6.11 on it belongs to the root of the VPS
        with in_ipc_namespace(pid, uid=uid), suppress(PermissionError), open(_SHMALL, "w", encoding="ascii") as file:
            file.write(text)
            return
    raise NothingDone(f"limits.shmpages: the kernel refused {text} for {_SHMALL} in the VPS.")


def _monitor(pid: int) -> int:
    """LXC's monitor of a VPS is its init's parent (proc(5), stat)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def _word(name: str, value: int | None) -> str:
    if value is not None:
        return str(value)
    return f"$(cat {_NR_OPEN})" if name == "NOFILE" else "unlimited"


def _number(name: str, value: int | None) -> int:
    """The kernel refuses more open files than that to everybody, no limit included."""
    if value is not None:
        return value
    return int(files.read(_NR_OPEN) or 1 << 20) if name == "NOFILE" else resource.RLIM_INFINITY


def _lesser(first: int, second: int) -> int:
    """RLIM_INFINITY is -1 in Python."""
    if first == resource.RLIM_INFINITY:
        return second
    return first if second == resource.RLIM_INFINITY else min(first, second)
