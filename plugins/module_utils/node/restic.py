# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restic: the tool that keeps backups. How it is run, what its exit codes and errors mean, and its locks.

It gets its secrets in its environment and never on its command line. What it prints of a guest's file names is bounded. It ends with us: what a
killed run leaves is a lock in the repository, which the next one removes because its process is gone, and data that nothing refers to.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence

from ..core.backup import INCOMPLETE, TAG, Backup, Repository, Wish, read_backups, read_summary
from ..core.command import Outcome
from ..core.errors import VpsError
from . import tools
from .programs import Streams
from .syscalls import end_with_parent

PROGRAM = "restic"
SHORT = 600  # s, for what reads little
OPENING = 120  # s, for the first word with a repository: restic 0.17 and later would try for a quarter of an hour
UNREAD = 3  # exit code: a backup was made, but some files could not be read
_NONE = ("Is there a repository at the following location", "repository does not exist", "specified bucket does not exist")
# The number of a snapshot's device is another one each time, and with it all directories would be. Named to those that are known to have it.
_FEATURES = "device-id-for-hardlinks=true"
_OPEN = "open the repository"
_AT_ONCE = 500  # backups on one command line
_PAUSE = 2  # s, between two looks at somebody's lock


def require() -> None:
    """Raise VpsError where the node has no restic."""
    if not tools.installed(PROGRAM):
        raise VpsError("repository: backups need restic on the node (package restic); the role mainline.vps.node installs it.")


class Restic:
    """One repository. `timeout` is for what moves data, `patience` for others' locks; in s."""

    def __init__(self, repository: Repository, *, timeout: float = SHORT, patience: float = 0) -> None:
        self._repository, self._timeout, self._patience = repository, timeout, patience
        self._version: tuple[int, ...] | None = None

    @property
    def makes_holes(self) -> bool:
        """Whether it leaves holes where a file has nothing but zeros (C(restore --sparse))."""
        return self.version >= (0, 15)

    @property
    def version(self) -> tuple[int, ...]:
        """Which restic this is, as in (0, 14)."""
        if self._version is None:
            found = re.match(r"restic (\d+)\.(\d+)", tools.run([PROGRAM, "version"]))
            self._version = tuple(map(int, found.groups())) if found else (0, 14)
        return self._version

    def create(self) -> None:
        """Make the repository."""
        self._run("make the repository", ["init"])

    def backups(self, name: str, *, writes: bool = True) -> tuple[Backup, ...] | None:
        """Those of one VPS, the oldest first; None where there is no repository."""
        outcome = self._attempt(["snapshots", "--json", *_of(name), *([] if writes else ["--no-cache"])], timeout=OPENING, lock=False)
        if outcome.rc != 0 and any(word in outcome.stderr for word in _NONE):
            return None
        return read_backups(self._good(_OPEN, outcome).stdout)

    def back_up(self, folder: str, names: Sequence[str], wish: Wish, parent: Backup | None) -> tuple[dict, str]:
        """Make a backup of things in a folder. Gives what restic says of it, and of the files that it could not read.

        It goes by change times and inode numbers, which a snapshot has from its original, so that what is the same as in `parent` is not read again.
        """
        argv = ["backup", "--json", "--quiet", "--host", wish.name, "--tag", TAG, "--one-file-system", "--cleanup-cache"]
        argv += ["--parent", parent.id] if parent else ["--force"]
        argv += [word for path in wish.exclude for word in ("--exclude", f"{folder}/rootfs{path}")]
        outcome = self._attempt([*argv, "--", *names], cwd=folder, timeout=self._timeout)
        if outcome.rc not in (0, UNREAD):
            raise self._failed("make the backup", outcome)
        told = read_summary(outcome.stdout)
        if outcome.rc == UNREAD:
            self._run("mark the backup", ["tag", "--add", INCOMPLETE, told["id"]])
        return told, outcome.stderr if outcome.rc == UNREAD else ""

    def restore(self, backup: Backup, paths: Sequence[str], folder: str, *, verify: bool) -> None:
        """Write what a backup has at some paths below a folder that nobody else is in; `verify` reads all of it again."""
        options = [*(["--sparse"] if self.makes_holes else []), *(["--verify"] if verify else [])]
        options += [word for path in paths for word in ("--include", re.sub(r"([*?\[\]\\])", r"\\\1", path.rstrip("/") or "/"))]  # which is a pattern
        self._run("restore the backup", ["restore", backup.id, "--target", folder, *options], timeout=self._timeout)

    def size(self, backup: Backup) -> int:
        """Bytes of all files in a backup, each hard link once."""
        import json

        told = self._run("measure the backup", ["stats", "--json", "--mode", "restore-size", backup.id], timeout=self._timeout, lock=False).stdout
        return int(json.loads(told.splitlines()[-1])["total_size"])

    def read(self, backup: Backup, path: str) -> str:
        """The text of a small file in a backup."""
        return self._run("read the backup", ["dump", "--quiet", backup.id, path], lock=False).stdout

    def remove(self, backups: Sequence[Backup]) -> None:
        """Remove backups; what only they have stays, until the repository is pruned."""
        for first in range(0, len(backups), _AT_ONCE):
            self._run("remove backups", ["forget", *(backup.id for backup in backups[first : first + _AT_ONCE])])

    def prune(self) -> None:
        """Delete what no backup needs any more. Nobody else works in the repository meanwhile."""
        self._run("prune the repository", ["prune"], timeout=self._timeout)

    def check(self, subset: str | None) -> None:
        """Look whether the repository is whole; and read all or a part of the data."""
        data = [] if subset is None else ["--read-data"] if subset == "100%" else [f"--read-data-subset={subset}"]
        self._run("verify the repository", ["check", *data], timeout=self._timeout)

    def _run(self, what: str, argv: Sequence[str], *, timeout: float = SHORT, lock: bool = True) -> Outcome:
        return self._good(what, self._attempt(argv, timeout=timeout, lock=lock))

    def _good(self, what: str, outcome: Outcome) -> Outcome:
        if outcome.rc != 0:
            raise self._failed(what, outcome)
        if "stdout" in outcome.truncated:
            raise VpsError(f"repository: restic printed more than anybody reads, when it was to {what}; see the repository by hand.")
        return outcome

    def _attempt(self, argv: Sequence[str], *, cwd: str = "/", timeout: float = SHORT, lock: bool = True) -> Outcome:
        """Run it. Where somebody has locked the repository, wait; a lock whose owner is gone is removed first (C(restic unlock))."""
        deadline, tried = time.monotonic() + self._patience, False
        while True:
            outcome = self._once([*argv, *([] if lock else ["--no-lock"])], cwd, timeout)
            if outcome.rc == 0 or "already locked" not in outcome.stderr:
                return outcome
            self._once(["unlock"], "/", SHORT)
            if tried and time.monotonic() > deadline:
                found = re.search(r"locked (?:exclusively )?by (PID [0-9]+ on [^\s]+)", outcome.stderr)
                raise VpsError(
                    f"lock_timeout: the repository is in use by {found.group(1) if found else 'another run'}; waited {self._patience:g} seconds. "
                    "Try again when it is done."
                )
            time.sleep(_PAUSE if tried else 0)
            tried = True

    def _once(self, argv: Sequence[str], cwd: str, timeout: float) -> Outcome:
        process = self._start(argv, cwd)
        streams = Streams(process, None)
        in_time = streams.follow(time.monotonic() + timeout)
        if not in_time:
            process.send_signal(signal.SIGINT)  # for which it takes its lock away
            if not streams.follow(time.monotonic() + 30):
                process.kill()
                process.wait()
        texts = {name: bytes(kept).decode("utf-8", "replace") for name, kept in streams.kept.items()}
        texts["stderr"] = self._repository.masked(texts["stderr"])
        return Outcome(process.returncode, texts["stdout"], texts["stderr"], tuple(sorted(streams.truncated)), not in_time)

    def _start(self, argv: Sequence[str], cwd: str) -> subprocess.Popen[bytes]:
        command = self._repository.sftp_command
        features = {"RESTIC_FEATURES": _FEATURES} if argv[0] == "backup" and (0, 17) <= self.version < (0, 19) else {}
        options = [] if command is None else ["-o", f"sftp.command={shlex.join(command)}"]
        try:
            return subprocess.Popen(
                [PROGRAM, *options, *argv],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**tools.ENVIRONMENT, **features, **self._repository.secrets, "RESTIC_REPOSITORY": self._repository.place}, cwd=cwd, preexec_fn=_goes_first,
            )
        except OSError as error:
            raise VpsError(f"repository: {PROGRAM} cannot be run on this node: {error.strerror}.") from None

    def _failed(self, what: str, outcome: Outcome) -> VpsError:
        said = outcome.stderr[-4000:]
        if outcome.timed_out:
            if what == _OPEN:
                return VpsError(f"repository: it did not answer within {OPENING} seconds; the result's output has what restic said until then.", output=said)
            return VpsError(f"timeout: restic could not {what} within the time that it had, and was ended; give it more.", output=said)
        if outcome.rc < 0:
            killed = f"was killed by signal {-outcome.rc} when it was to {what}"
            return VpsError(f"repository: restic {killed}; see the kernel's log, memory may be short.", output=said)
        if "wrong password" in said:
            return VpsError("password: it does not open this repository; give the one that the repository was made with.", output=said)
        if any(word in said for word in _NONE):
            return VpsError("repository: there is none at that place, or not any more; a backup (state present) makes one.", output=said)
        if "no space left" in said or "disk quota exceeded" in said:
            return VpsError(f"repository: restic could not {what}: there is no room left ({_words(said)}); the result's output has all of it.", output=said)
        return VpsError(f"repository: restic could not {what}: {_words(said)}; the result's output has all of it.", output=said)


def _goes_first() -> None:
    """In the new process: it ends with us, and where memory is short, before any VPS. A guest's folder of millions of files takes it gigabytes (proc(5))."""
    end_with_parent()
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


def _of(name: str) -> list[str]:
    """Those backups alone that are ours, and that VPS's: others may keep theirs in the same repository."""
    return ["--host", name, "--tag", TAG]


def _words(said: str) -> str:
    """The last that restic said, short, for its file names are a guest's."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    fatal = next((line for line in reversed(lines) if line.startswith("Fatal: ")), lines[-1] if lines else "it said nothing")
    clean = "".join(character if character.isprintable() else "?" for character in fatal.removeprefix("Fatal: "))
    return clean[:300].rstrip(". ;")
