# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that is to run in a VPS: what a task asks for, who it runs as, and what is told of its end.

Pure. It is run by node/inside.py. Documents: execve(2), passwd(5), group(5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import VpsError, shown
from .parse import parse_name, parse_seconds
from .units import is_number

SHELL = "/bin/sh"
OUTPUT_LIMIT = 1 << 20  # bytes of standard output, and as many of standard error, that are kept
ROOT = "root"
_LONGEST_ARGUMENT, _ALL_ARGUMENTS = 128 * 1024 - 1, 1 << 20  # bytes; execve(2) takes no longer one, and half a megabyte more in all
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?")
_LAST_ID = 65535  # of a VPS's range; the kernel's own last one, -1, is nobody
_MOST_GROUPS = 1000


@dataclass(frozen=True)
class Command:
    """What to run. `timeout` is in s, None for ever; `creates` and `removes` are paths in the VPS; `environment` is never told."""

    name: str
    argv: tuple[str, ...]
    option: str = "argv"  # which the task has it from
    chdir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: str = ROOT
    stdin: bytes | None = field(default=None, repr=False)
    timeout: int | None = None
    creates: str | None = None
    removes: str | None = None


@dataclass(frozen=True)
class Account:
    """Who runs it, in the VPS's own ids. `groups` are those besides the first."""

    name: str = ROOT
    uid: int = 0
    gid: int = 0
    home: str = "/root"
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How it ended: its exit code, 128 and more for a signal; the start of what it printed, and which of it is not all."""

    rc: int
    stdout: str
    stderr: str
    truncated: tuple[str, ...] = ()
    timed_out: bool = False


def parse_command(params: Mapping[str, Any]) -> Command:
    """From a task's options; raises VpsError."""
    chdir, timeout = params["chdir"], params["timeout"]
    command = Command(
        name=parse_name(params["name"]),
        argv=_argv(params),
        option="script" if params["argv"] is None else "argv",
        chdir=None if chdir is None else _path("chdir", chdir),
        environment={key: _value(key, value) for key, value in (params["environment"] or {}).items()},
        user=_user(params["user"]),
        stdin=_stdin(params),
        timeout=None if timeout is None else parse_seconds(timeout, option="timeout"),
        creates=None if params["creates"] is None else _name_of_one("creates", params["creates"]),
        removes=None if params["removes"] is None else _name_of_one("removes", params["removes"]),
    )
    if timeout is not None and timeout < 1:
        raise VpsError("timeout: 0 seconds are too few for any program; leave it out to wait for as long as it takes.")
    if sum(len(_bytes(text)) for text in (*command.argv, *command.environment.values())) > _ALL_ARGUMENTS:
        raise VpsError("argv: with the environment it is longer than the 1 MiB that a program is given; pass what is long as stdin.")
    return command


def _argv(params: Mapping[str, Any]) -> tuple[str, ...]:
    argv, script = params["argv"], params["script"]
    if (argv is None) == (script is None):
        raise VpsError("argv: a task has either argv, a list, or script, a text; give one of them.")
    if argv is None:
        return (_path("executable", params["executable"] or SHELL), "-c", _text("script", script))
    if params["executable"] is not None:
        raise VpsError("executable: it runs a script, and there is none; name the program in argv.")
    if not argv or not argv[0]:
        raise VpsError("argv: the first of the list is the program, and is missing.")
    if len(argv) == 1 and " " in str(argv[0]).strip() and "/" not in str(argv[0]):
        raise VpsError("argv: its one word has spaces in it; write each word by itself, as in [uname, -r], or give the line as script.")
    return tuple(_text("argv", word) for word in argv)


def _text(option: str, text: str) -> str:
    if "\0" in text:
        raise VpsError(f"{option}: there is a zero byte in it, which no program can be given.")
    if len(_bytes(text)) > _LONGEST_ARGUMENT:
        raise VpsError(f"{option}: a text of more than 128 KiB is more than a program can be given; pass what is long as stdin.")
    return text


def _path(option: str, path: str) -> str:
    if not path.startswith("/") or len(_bytes(path)) > 4095:
        raise VpsError(f"{option}: {shown(path)} is not an absolute path; write it as the VPS sees it, from the /.")
    return _text(option, path)


def _name_of_one(option: str, path: str) -> str:
    if set(path) & set("*?["):
        raise VpsError(f"{option}: {shown(path)} has wildcards, which are not looked up in a VPS; name one file or directory.")
    return _path(option, path)


def _value(key: object, value: object) -> str:
    if not isinstance(key, str) or not _VARIABLE.fullmatch(key):
        raise VpsError(f"environment: {shown(key)} is not a name of a variable; it has letters, digits and '_', and does not start with a digit.")
    if value is not None and not isinstance(value, (str, int, float)):  # a bool is an int
        raise VpsError(f"environment: {key} is neither a text nor a number.")
    return _text("environment", "" if value is None else str(value))


def _user(text: str) -> str:
    known = _USER.fullmatch(text) or (is_number(text) and len(text) < 6 and int(text) <= _LAST_ID)
    if not known:
        raise VpsError(f"user: {shown(text)} is neither the name of a user nor a number from 0 to {_LAST_ID}.")
    return text


def _stdin(params: Mapping[str, Any]) -> bytes | None:
    text = params["stdin"]
    return None if text is None else _bytes(text + ("\n" if params["stdin_add_newline"] else ""))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def find_account(user: str, passwd: str, group: str) -> Account:
    """Who a user is, by what a guest's own files say; a number that is nobody's has no home and no groups. Raises VpsError.

    The files are the guest's: a line that is none is passed over, and an id that no VPS has makes an error.
    """
    lines = [line.split(":") for line in passwd.splitlines()]
    for fields in (line for line in lines if len(line) == 7):
        name, _password, uid, gid, _gecos, home, _shell = fields
        if user not in (name, uid):
            continue
        if not (_is_id(uid) and _is_id(gid) and _USER.fullmatch(name) and home.startswith("/")):
            raise VpsError(f"user: the line of {shown(user)} in the VPS's /etc/passwd is none that can be used; correct it there.")
        return Account(name, int(uid), int(gid), home, _groups(name, int(gid), group))
    if not is_number(user):
        raise VpsError(f"user: there is no {shown(user)} in the VPS's /etc/passwd; make the user first, or give a number.")
    return Account(user, int(user), int(user), "/")


def _groups(name: str, first: int, group: str) -> tuple[int, ...]:
    lines = [line.split(":") for line in group.splitlines()]
    found = {int(fields[2]) for fields in lines if len(fields) == 4 and _is_id(fields[2]) and name in fields[3].split(",")}
    return tuple(sorted(found - {first}))[:_MOST_GROUPS]


def _is_id(text: str) -> bool:
    return is_number(text) and len(text) < 6 and int(text) <= _LAST_ID


def in_the_guest(command: Command, account: Account) -> tuple[str, ...]:
    """The command line that the VPS is given. What LXC cannot do is done by programs of the guest's: its shell, or its chroot(1)."""
    argv = command.argv
    if command.chdir is not None:
        argv = (SHELL, "-c", 'cd -- "$1" && shift && exec "$@"', "sh", command.chdir, *argv)
    if account.groups:  # LXC drops them
        groups = ",".join(f"+{each}" for each in account.groups)
        argv = ("chroot", f"--userspec=+{account.uid}:+{account.gid}", f"--groups={groups}", "/", *argv)
    return argv


def entering(command: Command, account: Account, *, patience: int) -> list[str]:
    """The arguments of the node's script up to the VPS's name: options, and variables of the environment."""
    options = ["-w", str(patience)]
    if account.uid or account.gid:
        options += [] if account.groups else ["-u", str(account.uid), "-g", str(account.gid)]
    known = {"HOME": account.home, "USER": account.name, "LOGNAME": account.name, "SHELL": SHELL}
    return [*options, *(f"{key}={value}" for key, value in {**known, **command.environment}.items())]


def refuse_nowhere(command: Command, there: Mapping[str, bool]) -> None:
    """Raise VpsError where a program is to run in a folder that is not there."""
    if command.chdir is not None and not there.get(command.chdir, True):
        raise VpsError(f"chdir: there is no {shown(command.chdir)} in VPS '{command.name}'; make it first, or leave the option out.")


def needless(command: Command, there: Mapping[str, bool]) -> str | None:
    """Why there is nothing to do, in a sentence; None where the program is to run. `there` says which of its paths there are."""
    if command.creates is not None and there[command.creates]:
        return f"Did not run since '{command.creates}' exists in the VPS."
    if command.removes is not None and not there[command.removes]:
        return f"Did not run since '{command.removes}' does not exist in the VPS."
    return None
