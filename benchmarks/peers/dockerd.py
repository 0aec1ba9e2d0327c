# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker daemon of the benchmark's own, with networks, mounts and data of its own: it neither sees nor touches the machine's.

Its programs are Debian's, unpacked where tools/benchmark-peers has put them, and not installed.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..kit.playing import Failed, run

GROUP = "benchmark-docker"  # the cgroup of its containers
PATIENCE = 60  # s, for its start and for its end


@dataclass(frozen=True)
class Docker:
    """A daemon that listens at `socket`. `programs` is the folder that its programs were unpacked to."""

    programs: pathlib.Path
    socket: pathlib.Path

    def command(self, *argv: str) -> str:
        """What docker(1) says. Raises Failed."""
        return run([str(self.programs / "usr/bin/docker"), "-H", f"unix://{self.socket}", *argv])

    def load(self, root: pathlib.Path, image: str) -> None:
        """Make an image of a tree. Raises Failed."""
        tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        docker = [str(self.programs / "usr/bin/docker"), "-H", f"unix://{self.socket}", "import", "-", image]
        done = subprocess.run(docker, stdin=tar.stdout, capture_output=True, text=True, check=False)
        if tar.stdout:
            tar.stdout.close()
        if tar.wait() or done.returncode:
            raise Failed(f"docker import: {done.stderr}")


@contextlib.contextmanager
def daemon(programs: pathlib.Path) -> Iterator[Docker]:
    """Start it; at the end its containers go, then it, then its data. Raises Failed with its last words where it does not start.

    Where we are killed, it ends as well, and its containers with it; its data stay in /var/tmp.
    """
    folder = pathlib.Path(tempfile.mkdtemp(prefix="benchmark-docker-", dir="/var/tmp"))  # on the disk, where /tmp may be memory
    docker = Docker(programs, folder / "socket")
    path = f"{programs}/usr/sbin:{programs}/usr/bin:{os.environ['PATH']}"
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [
                "setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--net", "--propagation", "private", str(programs / "usr/sbin/dockerd"),
                "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", f"--cgroup-parent=/{GROUP}",
                f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid", f"--host=unix://{folder}/socket",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "PATH": path}, start_new_session=True,
        )
    try:
        _wait(docker, process, folder)
        yield docker
    finally:
        if process.poll() is None:
            with contextlib.suppress(Failed):
                names = docker.command("ps", "-aq").split()
                if names:
                    docker.command("rm", "--force", *names)
            process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(OSError):  # containerd, where it was left
            os.killpg(process.pid, signal.SIGKILL)
        _remove_groups()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(docker: Docker, process: subprocess.Popen, folder: pathlib.Path) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            docker.command("version")
            return
        except Failed:
            if process.poll() is not None or time.monotonic() > until:
                words = (folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
                raise Failed("dockerd did not start: " + " / ".join(words)) from None
        time.sleep(0.1)


def _remove_groups() -> None:
    groups = pathlib.Path("/sys/fs/cgroup")
    for top in [groups / GROUP, *groups.glob(f"*/{GROUP}")]:
        for folder, _folders, _files in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
