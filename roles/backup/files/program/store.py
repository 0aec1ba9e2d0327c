# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy elsewhere: a repository of restic. Its secrets are in restic's environment, never on a command line."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools import SETTINGS, Trouble, attempt, words

TAG = "mainline-vps-backup"
KEY = SETTINGS / "ssh_key"
KNOWN_HOSTS = SETTINGS / "known_hosts"
_CACHE = "/var/cache/mainline-vps-backup"
_NONE = ("Is there a repository at the following location", "repository does not exist", "specified bucket does not exist")
_PATIENCE = 1800  # s, for others' locks
_UNREAD = 3  # exit code: a backup was made, but some files could not be read
_SFTP = re.compile(r"sftp:(?:(?P<login>[^\s:/]+):\S+|//(?P<login2>[^\s:/]+)(?::(?P<port>[0-9]+))?/\S+)")


def environment(config: Mapping, secrets: Mapping) -> dict[str, str]:
    """What restic is told. It is bound to a quarter of the machine's memory, as long as it can do with that."""
    total = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
    limit = max(64, int(total.group(1)) // 4096) if total else 128
    return {
        "RESTIC_REPOSITORY": config["repository"], "RESTIC_PASSWORD": secrets["password"], "RESTIC_CACHE_DIR": _CACHE,
        "GOGC": "20", "GOMEMLIMIT": f"{limit}MiB", **secrets["environment"],
    }


def command(config: Mapping, *arguments: str) -> list[str]:
    """restic, with the way to a repository at the other end of ssh."""
    found = _SFTP.fullmatch(config["repository"])
    if not found:
        return ["restic", *arguments]
    user, _at, host = (found["login"] or found["login2"]).rpartition("@")
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=60"]
    ssh += ["-o", f"UserKnownHostsFile={KNOWN_HOSTS} /root/.ssh/known_hosts", "-i", str(KEY), "-o", "IdentitiesOnly=yes"]
    ssh += [*(["-l", user] if user else []), *(["-p", found["port"]] if found["port"] else []), *config["ssh_arguments"]]
    return ["restic", "-o", f"sftp.command={shlex.join([*ssh, '-s', '--', host, 'sftp'])}", *arguments]


class Store:
    """The repository, of this machine's backups alone: others may keep theirs in it."""

    def __init__(self, config: Mapping, secrets: Mapping) -> None:
        self._config, self._environment = config, environment(config, secrets)
        self._ours = ["--host", config["name"], "--tag", TAG]

    def _attempt(self, *arguments: str) -> tuple[int, str, str]:
        """Run it; as long as another machine has locked the repository, later again."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            done = attempt(command(self._config, *arguments), environment=self._environment)
            if done[0] == 0 or "already locked" not in done[2] or time.monotonic() > deadline:
                return done
            time.sleep(30)

    def _run(self, *arguments: str) -> str:
        code, output, said = self._attempt(*arguments)
        if code != 0:
            raise Trouble(f"restic {arguments[0]} failed ({code}): {words(said)}")
        return output

    def open(self, *, known: bool) -> None:
        """See that it is there; make it, unless it is `known` to have been there. Locks go whose owner is gone."""
        code, _output, said = self._attempt("cat", "config", "--no-lock")
        if code != 0 and any(word in said for word in _NONE):
            if known:
                raise Trouble(f"the repository {self._config['repository']} was there and is not any more; see what has become of it.")
            self._run("init")
        elif code != 0:
            raise Trouble(f"the repository cannot be opened: {words(said)}")
        self._run("unlock")

    def back_up(self) -> None:
        """The dumps, and the paths that are asked for."""
        exclude = [word for path in self._config["exclude"] for word in ("--exclude", path)]
        paths = [self._config["folder"], *self._config["paths"]]
        code, _output, said = self._attempt("backup", "--quiet", *self._ours, *exclude, "--exclude", ".*.part", "--", *paths)
        if code == _UNREAD:
            raise Trouble(f"a backup was made, but some files could not be read: {words(said)}")
        if code != 0:
            raise Trouble(f"restic backup failed ({code}): {words(said)}")

    def thin_out(self) -> None:
        """Remove what is not to be kept."""
        keep = [word for unit, number in sorted(self._config["keep"].items()) for word in (f"--keep-{unit}", str(number))]
        if keep:
            self._run("forget", "--quiet", *self._ours, "--group-by", "host,tags", *keep, "--prune")

    def restore(self, paths: Sequence[str], target: Path) -> None:
        """Write what the newest backup has at some paths below a folder."""
        self._run("restore", "latest", *self._ours, "--target", str(target), *(word for path in paths for word in ("--include", path)))

    def check(self) -> None:
        """Look whether it is whole, and read a part of the data, another one each time."""
        part = self._config["test_data"]
        self._run("check", *([f"--read-data-subset={part}"] if part else []))


def become(config: Mapping, secrets: Mapping, arguments: Sequence[str]) -> None:
    """Turn into a restic that knows the repository, for whoever restores by hand."""
    argv = command(config, *arguments)
    try:
        os.execvpe(argv[0], argv, {**os.environ, **environment(config, secrets)})
    except OSError as error:
        raise Trouble(f"restic cannot be run: {error.strerror}.") from None
