# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers of databases for a test, with nothing in them: which a user without any rights runs, at sockets that nobody else gets to.

They have no network, and what they start ends with them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools import Trouble, ask, attempt, start, words

USER = "mainline-vps-backup"  # who runs the servers of a test
_PATIENCE = 120  # s, until a server answers


def alone(argv: list[str]) -> list[str]:
    """How root runs a program as the user of a test, with no network, and so that all that it starts ends with it: a dump may have it run anything."""
    entry = pwd.getpwnam(USER)
    user = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups", "--"]
    return ["unshare", "--net", "--pid", "--fork", "--", *user, *argv]


def end(process: subprocess.Popen) -> None:
    """End what is alone: the first process of its namespace, with which the kernel ends all others before it is gone itself."""
    if process.poll() is not None:
        return
    first = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    for number in first:
        os.kill(int(number), signal.SIGKILL)
    if not first:
        process.kill()
    process.wait()


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A new folder of the user of a test, as long as it is needed."""
    path.mkdir(mode=0o700)
    try:
        shutil.chown(path, USER, pwd.getpwnam(USER).pw_gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running(argv: Sequence[str], home: Path, answers: Sequence[str]) -> Iterator[None]:
    """A server, from when it answers a client for as long as it is needed."""
    log = home / "log"
    with open(log, "wb") as said:
        server = start(alone([*argv]), stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + _PATIENCE
        while attempt([*answers], user=USER)[0] != 0:
            if server.poll() is not None or time.monotonic() > deadline:
                raise Trouble(f"the server for the test does not run: {words(log.read_text(encoding='utf-8', errors='replace'))}")
            time.sleep(0.2)
        yield
    finally:
        end(server)


@contextmanager
def mariadb(place: Path) -> Iterator[list[str]]:
    """MariaDB; gives how it is asked."""
    with folder(place / "mariadb") as home:
        small = ["--no-defaults", f"--datadir={home}/data", "--innodb-log-file-size=16M", "--innodb-buffer-pool-size=32M"]
        ask(["mariadb-install-db", *small, "--auth-root-authentication-method=normal", "--skip-test-db"], user=USER)
        quick = ["--skip-networking", "--skip-log-bin", "--event-scheduler=OFF", "--performance-schema=OFF", "--innodb-flush-log-at-trx-commit=0"]
        server = ["mariadbd", *small, *quick, "--max-allowed-packet=1G", f"--socket={home}/socket", f"--pid-file={home}/pid"]
        client = ["mariadb", "--no-defaults", f"--socket={home}/socket", "--user=root", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"]
        with running(server, home, [*client, "--execute", "SELECT 1"]):
            yield client


@contextmanager
def postgresql(place: Path, version: str) -> Iterator[list[str]]:
    """PostgreSQL; gives how it is asked."""
    programs = f"/usr/lib/postgresql/{version}/bin"
    with folder(place / "postgresql") as home:
        ask([f"{programs}/initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C.UTF-8", f"{home}/data"], user=USER)
        small = {
            "listen_addresses": "", "unix_socket_directories": str(home), "fsync": "off", "autovacuum": "off", "shared_buffers": "16MB",
            "max_connections": "10", "max_wal_size": "256MB",
        }
        options = [word for name, value in small.items() for word in ("-c", f"{name}={value}")]
        client = [f"{programs}/psql", "--no-psqlrc", "--quiet", f"--host={home}", f"--username={USER}", "--set=ON_ERROR_STOP=1"]
        with running([f"{programs}/postgres", "-D", f"{home}/data", *options], home, [f"{programs}/pg_isready", f"--host={home}"]):
            yield client
