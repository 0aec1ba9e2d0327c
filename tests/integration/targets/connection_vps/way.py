# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the connection plugin share: the plugin itself, plays on VPSs, and a node that is reached over SSH."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
from typing import Any

import vps_kit as kit
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader, init_plugin_loader

PLUGIN = "mainline.vps.vps"
PASSWORD = "it's a $ecret"
_SSHD = "/usr/sbin/sshd"


def connect(name: str, **variables: Any) -> Any:
    """The connection to a VPS as a task has it."""
    if not getattr(connect, "ready", False):
        init_plugin_loader()
        connect.ready = True
    context = PlayContext()
    context.remote_addr = name
    plugin = connection_loader.get(PLUGIN, context, "/dev/null")
    extras = {key: value for key, value in variables.items() if key.startswith("ansible_vps_node_")}
    plugin.set_options(var_options={**variables, "_extras": extras})
    return plugin


def shell(plugin: Any, script: str, stdin: bytes | None = None) -> tuple[int, bytes, bytes]:
    """What a script in the VPS ended with, and said."""
    return plugin.exec_command(script, in_data=stdin, sudoable=False)


def play(folder: pathlib.Path, hosts: dict[str, dict], tasks: list[dict], *options: str, fails: bool = False, environment: dict | None = None) -> str:
    """Run tasks on hosts, with the connection plugin; what ansible-playbook printed. A task's `assert` is the test's."""
    inventory, book = folder / "inventory.json", folder / "play.json"
    known = {name: {"ansible_connection": PLUGIN, "ansible_python_interpreter": kit.NODE_PYTHON, **own} for name, own in hosts.items()}
    inventory.write_text(json.dumps({"all": {"hosts": known}}), encoding="utf-8")
    book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), *options, str(book)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, cwd=folder, timeout=600, check=False, env={**os.environ, "ANSIBLE_NOCOLOR": "1", **(environment or {})},
    )
    assert (done.returncode != 0) == fails, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


class Server:
    """An SSH server of the test's own on 127.0.0.1, with a key that lets in root and a user who may use sudo."""

    def __init__(self, *, sudo: str = "NOPASSWD: ALL") -> None:
        assert os.path.exists(_SSHD) and shutil.which("sudo"), "the target setup_ssh installs what is missing here: openssh-server and sudo"
        # A socket's path has its bounds, so nothing of pytest's.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="it-ssh-", dir="/tmp"))
        for key in ("host", "user"):
            kit.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.user = f"it-ssh{self.port}"
        self._rule = pathlib.Path("/etc/sudoers.d") / self.user
        self._rule.write_text(f"{self.user} ALL=(ALL) {sudo}\n", encoding="utf-8")
        self._rule.chmod(0o440)
        kit.run("useradd", "--create-home", "--shell", "/bin/sh", self.user)
        subprocess.run(["chpasswd"], input=f"{self.user}:{PASSWORD}\n", text=True, check=True)
        shutil.copy(self.folder / "user.pub", self.folder / "keys")
        self._log = self.folder / "log"
        # With another home than root's, whose .bashrc may take its time, or say something.
        (self.folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\nAuthorizedKeysFile {self.folder}/keys\n"
            "StrictModes no\nPermitRootLogin yes\nUsePAM no\nLogLevel VERBOSE\nSubsystem sftp internal-sftp\nMaxSessions 100\nSetEnv HOME={self.folder}\n",
            encoding="utf-8",
        )
        self.folder.chmod(0o755)
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self._process = subprocess.Popen([_SSHD, "-D", "-f", str(self.folder / "config"), "-E", str(self._log)], start_new_session=True)
        kit.until("sshd listens", lambda: self._log.exists() and "Server listening" in self._log.read_text(encoding="utf-8"))

    def node(self, user: str = "", **more: Any) -> dict[str, Any]:
        """The variables of a VPS whose node is reached through it, as root or as somebody else."""
        controls = f"-o ControlMaster=auto -o ControlPersist=20s -o UserKnownHostsFile={self.folder}/known -o StrictHostKeyChecking=accept-new"
        variables = {
            "host": "127.0.0.1", "port": self.port, "user": user or "root", "ssh_private_key_file": str(self.folder / "user"), "ssh_args": controls,
            "control_path_dir": str(self.folder / "cp"), **more,
        }
        return {f"ansible_vps_node_{name}": value for name, value in variables.items()}

    def connections(self) -> int:
        """How many TCP connections it has been sent."""
        return self._log.read_text(encoding="utf-8").count("Connection from")

    def end(self) -> None:
        """End it and what is connected to it, and leave nothing of it behind."""
        for line in kit.run("ps", "-eo", "pid,ppid").splitlines()[1:]:
            number, parent = map(int, line.split())
            if parent == self._process.pid:
                with contextlib.suppress(ProcessLookupError):  # it was about to end
                    os.kill(number, signal.SIGTERM)
        self._process.terminate()
        self._process.wait(10)
        for path in (self.folder / "cp").glob("*"):
            subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={path}", "nobody"], capture_output=True, check=False)
        self._rule.unlink()
        subprocess.run(["userdel", "--remove", self.user], capture_output=True, check=False)
        shutil.rmtree(self.folder)
