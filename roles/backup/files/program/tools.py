# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the others share: trouble, programs that are run, and files that are written all at once or not at all."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

STATE = Path("/var/lib/mainline-vps-backup")
SETTINGS = Path("/etc/mainline-vps-backup")
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_SAID = 600  # characters of what a program says


class Trouble(Exception):
    """What is wrong, as a sentence for the log."""


def start(argv: Sequence[str], *, user: str = "root", environment: Mapping[str, str] | None = None, **how: object) -> subprocess.Popen:
    """A program, as that user. Nothing of our environment, which may hold secrets, goes along."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise Trouble(f"there is no user '{user}', who was to run {argv[0]}.") from None
    given = {**_ENVIRONMENT, "HOME": entry.pw_dir, "USER": user, "LOGNAME": user, **(environment or {})}
    if user != "root":
        how |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(user, entry.pw_gid)}
    try:
        return subprocess.Popen(list(argv), **{"stdin": subprocess.DEVNULL, "env": given, "cwd": "/", **how})
    except OSError as error:
        raise Trouble(f"{argv[0]} cannot be run: {error.strerror}.") from None


def attempt(argv: Sequence[str], **how: object) -> tuple[int, str, str]:
    """Run it. Gives its exit code, what it printed, and what it said on its standard error."""
    process = start(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
    output, said = process.communicate()
    return process.returncode, output.decode("utf-8", "replace"), said.decode("utf-8", "replace")


def ask(argv: Sequence[str], **how: object) -> str:
    """What it prints. Raises Trouble where it fails."""
    code, output, said = attempt(argv, **how)
    if code != 0:
        raise Trouble(f"{argv[0]} failed ({code}): {words(said)}")
    return output


def words(said: str) -> str:
    """The end of what a program said, on one line, printable."""
    line = " ".join(said.split())[-_SAID:]
    return "".join(character if character.isprintable() else "?" for character in line) or "it said nothing."


def stop(*processes: subprocess.Popen | None) -> None:
    """End those that still run."""
    for process in processes:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()


def room(folder: Path, reserve: int) -> int:
    """Bytes that may be written below a folder until less than `reserve` percent of its file system is free."""
    told = os.statvfs(folder)
    return told.f_frsize * (told.f_bavail - told.f_blocks * reserve // 100)


def put(path: Path, text: str) -> None:
    """Write a file for root alone: all of it, or it is as before."""
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
