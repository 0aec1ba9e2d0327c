# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine under QEMU: booted or resumed, reached over SSH, rebooted, unplugged, and gone with whoever started it.

NODE_ACCEL=kvm uses the host's KVM; without, all is emulated, which is slow and works everywhere (a kernel may offer a KVM
that stock guests do not survive, and nothing shows it beforehand). Documents: qemu(1), qcow2 in QEMU's documentation.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
import platform
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable

from ansible_collections.mainline.vps.plugins.module_utils.node.syscalls import end_with_parent

from . import image as images
from .image import Image, locked, say

ACCEL = os.environ.get("NODE_ACCEL", "tcg")
SLOW = 1 if ACCEL == "kvm" else 6  # how much longer everything may take
MEMORY, CPUS = 1536, 2  # MiB; part of a snapshot
_PLACE, _PREFIX = "/var/tmp", "mainline-vps-node-"  # /tmp may be in memory, and paths of sockets must be short
# Made by the machine itself, because a file without holes cannot be put into an image.
_MAKE_SWAP = """
dd if=/dev/zero of=/swap bs=1M count=256 status=none; chmod 600 /swap; mkswap /swap; swapon /swap
echo '/swap none swap defaults 0 0' >> /etc/fstab
"""


class Machine:
    """One machine, in a folder of its own that is removed with it.

    `peer` is a machine that this one's second network interface is wired to; without, the wire waits for another.
    """

    def __init__(self, image: Image, *, name: str = "node", peer: Machine | None = None) -> None:
        self.image, self.name = image, name
        with locked("folders"):  # sweep() takes one that is not locked for one that is left
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_PLACE))
            self._lock = open(self.folder / "lock", "w", encoding="ascii")  # for as long as we live
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._wire = peer.folder / "wire" if peer else self.folder / "wire"
        self._listens = peer is None
        self.port = 0
        self._qemu: subprocess.Popen | None = None
        self._master: subprocess.Popen | None = None

    # -- power ----------------------------------------------------------------------------------------------------------

    def resume(self) -> Machine:
        """A machine that has just booted, in seconds: from a snapshot that is made once."""
        shutil.copy(_warm(self.image), self._disk)
        self._start("-loadvm", "warm")
        self.wait()
        self.root(f"date -s @{time.time():.0f} >/dev/null")
        return self

    def boot(self) -> Machine:
        """Boot from the disk as it is; a new machine boots for the first time."""
        if not self._disk.exists():
            images.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(self.image.disk), "-F", "qcow2", str(self._disk))
        self._start()
        return self.wait()

    def pull_the_plug(self) -> None:
        """Off, at once, as when the power fails: what the machine had not written is lost."""
        self._end_master()
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def reboot(self) -> None:
        """As `reboot` does, and wait until everything is up again."""
        before = self._boot()
        self.ssh("sudo systemctl reboot", check=False)
        until("another boot", lambda: self._answers() and self._boot() not in ("", before), seconds=120 * SLOW)
        self.wait()

    def close(self) -> None:
        """Nothing stays."""
        self.pull_the_plug()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def is_on(self) -> bool:
        """Whether QEMU runs: it ends when the machine turns itself off, and not when it reboots."""
        return self._qemu is not None and self._qemu.poll() is None

    @property
    def _disk(self) -> pathlib.Path:
        return self.folder / "disk.qcow2"

    def _start(self, *arguments: str) -> None:
        assert self._qemu is None, "it is on"
        self.port = _free_port()
        with open(self.folder / "qemu.log", "ab") as log:
            self._qemu = subprocess.Popen(
                [*_command(self.image, self._disk), *self._network(), *self._files(), *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent,
            )

    def _network(self) -> list[str]:
        role = "on" if self._listens else "off"
        if self._listens:
            self._wire.unlink(missing_ok=True)
        return [
            "-netdev", f"user,id=outside,hostfwd=tcp:127.0.0.1:{self.port}-:22", "-device", "virtio-net-pci,netdev=outside",
            "-netdev", f"stream,id=wire,server={role},addr.type=unix,addr.path={self._wire}", "-device", "virtio-net-pci,netdev=wire",
        ]

    def _files(self) -> list[str]:
        return ["-serial", f"file:{self.folder}/console.log", "-monitor", f"unix:{self.folder}/monitor,server=on,wait=off"]

    def monitor(self, command: str, *, seconds: float = 120) -> str:
        """Tell QEMU something, and return what it says."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(seconds)
            channel.connect(str(self.folder / "monitor"))
            _read_prompt(channel)
            channel.sendall(f"{command}\n".encode())
            return _read_prompt(channel)

    # -- a login --------------------------------------------------------------------------------------------------------

    def wait(self) -> Machine:
        """Until it answers, and systemd is through with the boot; it may be degraded by then."""
        self._end_master()
        until(f"{self.name} to answer", self._answers, seconds=120 * SLOW)
        self._master = subprocess.Popen(
            ["ssh", *self.ssh_options(), "-o", "ControlMaster=yes", "-N", f"{images.USER}@127.0.0.1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=end_with_parent,
        )
        until("a connection", (self.folder / "ssh").exists, seconds=30 * SLOW)
        self.ssh("systemctl is-system-running --wait", check=False, timeout=100 * SLOW)
        return self

    def ssh_options(self, *, alone: bool = False) -> list[str]:
        """Options of ssh; `alone`: for a connection, and so a login session, of its own."""
        options = {
            "Port": self.port, "IdentityFile": images.key(), "IdentitiesOnly": "yes", "BatchMode": "yes", "ConnectTimeout": 10,
            "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR",
            "ControlPath": "none" if alone else self.folder / "ssh",
        }
        return ["-F", "/dev/null", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]

    def ssh(self, command: str, *, check: bool = True, timeout: float = 60 * SLOW, alone: bool = False, stdin: str = "") -> subprocess.CompletedProcess:
        """Run a command as the user that logs in."""
        done = subprocess.run(
            ["timeout", "-k", "5", str(timeout), "ssh", *self.ssh_options(alone=alone), f"{images.USER}@127.0.0.1", command],
            input=stdin, capture_output=True, text=True, errors="replace", check=False,
        )
        assert not check or done.returncode == 0, f"{command!r} exited with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done

    def root(self, script: str, *, timeout: float = 60 * SLOW, check: bool = True) -> str:
        """Run a script of the shell's as root, and return what it printed, without the last line's end."""
        return self.ssh("sudo sh -es", stdin=script, timeout=timeout, check=check).stdout.rstrip("\n")

    def _direct(self, command: str) -> subprocess.CompletedProcess:
        return self.ssh(command, check=False, alone=True, timeout=15)

    def _boot(self) -> str:
        """The kernel's name for this boot; nothing where there is no answer."""
        return self._direct("cat /proc/sys/kernel/random/boot_id").stdout.strip()

    def _answers(self) -> bool:
        assert self.is_on, f"QEMU ended: {self._said('qemu.log')}"
        assert not re.search(r"Kernel panic|emergency mode|\(initramfs\)", self._said("console.log")), self._said("console.log")
        return self._direct("true").returncode == 0

    def _said(self, log: str) -> str:
        path = self.folder / log
        return path.read_text(encoding="utf-8", errors="replace")[-3000:] if path.exists() else ""

    def _end_master(self) -> None:
        if self._master is not None:
            self._master.kill()
            self._master.wait()
            self._master = None
        (self.folder / "ssh").unlink(missing_ok=True)


def sweep() -> None:
    """Remove the folders of runs that were killed. Their machines went with them."""
    with locked("folders"):
        for folder in pathlib.Path(_PLACE).glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError), open(folder / "lock", "a", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)


def _warm(image: Image) -> pathlib.Path:
    """A disk with a snapshot, `warm`, of a machine that has booted; kept for as long as QEMU and its options stay the same."""
    version = images.run("qemu-system-x86_64", "--version")
    inputs = (version, platform.release() if ACCEL == "kvm" else "", _command(image, pathlib.Path("disk")), pathlib.Path(__file__).read_bytes())
    path = image.folder / f"warm-{hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]}.qcow2"
    with locked(f"warm-{image.release}"):
        if path.exists():
            return path
        for older in image.folder.glob("warm-*"):
            older.unlink()
        say(f"booting {image.release} for the first time, for a snapshot (a minute)")
        with Machine(image) as machine:
            machine.boot()
            machine.root(f"{_MAKE_SWAP}sync")
            machine._end_master()
            said = machine.monitor("savevm warm")
            assert "Error" not in said, said
            machine.monitor("stop")
            machine.pull_the_plug()
            staging = path.with_suffix(".new")
            shutil.copy(machine._disk, staging)
            staging.rename(path)
    return path


def _command(image: Image, disk: pathlib.Path) -> list[str]:
    """QEMU, without what differs from start to start; a snapshot fits the same words only."""
    accel, cpu = ("kvm", "host") if ACCEL == "kvm" else (f"{ACCEL},thread=multi,tb-size=256", "max")
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", accel, "-cpu", cpu,
        "-smp", str(CPUS), "-m", str(MEMORY), "-kernel", str(image.kernel), "-initrd", str(image.initrd),
        "-append", "root=/dev/vda rw rootfstype=ext4 console=ttyS0 quiet",
        # Flushes go to the file, not to the disk below it: a machine may crash here, its host does not.
        "-drive", f"if=none,id=disk,file={disk},format=qcow2,cache=unsafe,discard=unmap", "-device", "virtio-blk-pci,drive=disk",
        "-device", "virtio-rng-pci",
    ]


def until(what: str, condition: Callable[[], bool], *, seconds: float) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.3)


def _read_prompt(channel: socket.socket) -> str:
    said = b""
    while not said.endswith(b"(qemu) "):
        more = channel.recv(4096)
        assert more, f"QEMU ended: {said[-500:]!r}"
        said += more
    return said.decode(errors="replace")


def _free_port() -> int:
    """Of those that no connection of somebody else's takes by itself (ip_local_port_range is above)."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
