# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This node over SSH: a server of the test's own on 127.0.0.1, with keys of its own, that goes with the test."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import vps_kit as kit

SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True)
class Server:
    """A running server: its port, the key that it takes for root, and its log."""

    port: int
    key: pathlib.Path
    log: pathlib.Path

    def variables(self) -> dict[str, object]:
        """What an inventory says of the node behind it."""
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_control_path_dir": str(self.key.parent / "cp"),  # not beside connections of others, which outlive the server
            "ansible_ssh_common_args": "-F /dev/null -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o IdentitiesOnly=yes",
            "ansible_python_interpreter": kit.NODE_PYTHON,
        }

    def logins(self) -> int:
        """How many connections were made to it."""
        return self.log.read_text(encoding="utf-8", errors="replace").count("Accepted publickey")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serve(folder: pathlib.Path) -> Iterator[Server]:
    """A server, for as long as it is needed."""
    for name in ("host", "login"):
        kit.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where it shuts itself in before a login
    server = Server(free_port(), folder / "login", folder / "log")
    options = {
        "Port": server.port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "AuthorizedKeysFile": folder / "login.pub", "PidFile": "none",
        "StrictModes": "no", "UsePAM": "no", "PermitRootLogin": "yes", "PasswordAuthentication": "no", "MaxStartups": "100", "MaxSessions": "100",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in options.items()), encoding="utf-8")
    process = subprocess.Popen([SSHD, "-D", "-f", str(folder / "config"), "-E", str(server.log)], stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        kit.until("sshd listens", lambda: _listens(server.port) or process.poll() is not None)
        assert process.poll() is None, server.log.read_text(encoding="utf-8")
        yield server
    finally:
        for line in kit.run("ps", "-eo", "pid,ppid").splitlines()[1:]:
            number, parent = map(int, line.split())
            if parent == process.pid:  # a login, and with it the connection that several tasks have shared
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGTERM)
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def ssh_node(tmp_path_factory) -> Iterator[Server]:
    """This node over SSH, for the tests of a module."""
    assert os.access(SSHD, os.X_OK), "there is no sshd here; the target setup_ssh installs it"
    with serve(tmp_path_factory.mktemp("sshd")) as server:
        yield server
