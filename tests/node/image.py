# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk images of stock Debian machines, made with mmdebstrap and mke2fs: no mount, and no root where user namespaces work.

An image is kept in the user's cache under the hash of all that it is made from, this file included.
Documents: mmdebstrap(1), mke2fs(8), qemu-img(1).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ansible_collections.mainline.vps.plugins.module_utils.node.syscalls import end_with_parent

RELEASES = {"bookworm": "12", "trixie": "13"}
DISK = "24G"  # sparse
UNUSED = 14 * 86400  # s after which an image is thrown away
USER = "admin"  # who logs in: nobody special, with sudo
# Some of what is needed is where the PATH of somebody who is not root does not lead.
os.environ["PATH"] += ":/usr/sbin:/sbin"
# What a Debian has after a standard installation, as far as it matters here, and Python, which Ansible needs.
PACKAGES = (
    "apparmor", "apt", "ca-certificates", "dbus", "e2fsprogs", "initramfs-tools", "iproute2", "iputils-ping", "kmod", "less",
    "libpam-systemd", "linux-image-cloud-amd64", "openssh-server", "procps", "python3", "python3-apt", "sudo", "systemd-sysv",
    "systemd-timesyncd", "udev",
)
# Fetched now and not installed: what tests install later, without waiting for a mirror.
FETCHED = (
    "btrfs-progs", "busybox-static", "curl", "dnsmasq-base", "firewalld", "gpgv", "hostname", "iproute2", "lxc", "lxcfs", "mmdebstrap", "mount",
    "network-manager", "nftables", "openssh-client", "restic", "uidmap", "ufw", "util-linux", "xz-utils", "zstd",
)
_CUSTOMIZE = """\
set -e
printf 'node\\n' > "$1/etc/hostname"
printf '127.0.0.1 localhost\\n127.0.1.1 node\\n' > "$1/etc/hosts"
printf '/dev/vda / ext4 defaults,noatime 0 1\\n' > "$1/etc/fstab"
printf '[Match]\\nName=en* eth*\\n[Network]\\nDHCP=ipv4\\nIPv6AcceptRA=no\\n' > "$1/etc/systemd/network/80-dhcp.network"
printf 'Acquire::Languages "none";\\n' > "$1/etc/apt/apt.conf.d/90test"
printf 'UseDNS no\\n' > "$1/etc/ssh/sshd_config.d/test.conf"
printf 'virtio_blk\\nvirtio_pci\\n' >> "$1/etc/initramfs-tools/modules"
# The strictest that a node can be: whoever logs out leaves nothing behind.
mkdir -p "$1/etc/systemd/logind.conf.d"; printf '[Login]\\nKillUserProcesses=yes\\n' > "$1/etc/systemd/logind.conf.d/test.conf"
chroot "$1" useradd --create-home --shell /bin/bash {user}
printf '{user} ALL=(ALL) NOPASSWD: ALL\\n' > "$1/etc/sudoers.d/{user}"; chmod 0440 "$1/etc/sudoers.d/{user}"
mkdir -m 0700 "$1/home/{user}/.ssh"; printf '%s\\n' '{key}' > "$1/home/{user}/.ssh/authorized_keys"
chroot "$1" chown -R {user}:{user} /home/{user}
chroot "$1" systemctl enable systemd-networkd ssh
chroot "$1" systemctl mask systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \\
    e2scrub_all.timer fstrim.timer man-db.timer
chroot "$1" update-initramfs -u
# The one that QEMU gives it is outside; an emulated machine takes four minutes to make another.
printf 'update_initramfs=no\\n' > "$1/etc/initramfs-tools/update-initramfs.conf"
chroot "$1" apt-get install --yes --download-only --no-install-recommends {fetched}
# From here on that of QEMU's user network, which nobody else reaches.
rm -f "$1/etc/resolv.conf"; printf 'nameserver 10.0.2.3\\n' > "$1/etc/resolv.conf"
"""


@dataclass(frozen=True)
class Image:
    """A machine that has never been booted: its disk, and the kernel and initial RAM disk that QEMU starts it with."""

    release: str
    folder: pathlib.Path

    @property
    def disk(self) -> pathlib.Path:
        return self.folder / "disk.qcow2"

    @property
    def kernel(self) -> pathlib.Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> pathlib.Path:
        return self.folder / "initrd.img"


def cache() -> pathlib.Path:
    """Where images are kept from run to run (XDG Base Directory Specification)."""
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "mainline.vps" / "nodes"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def key() -> pathlib.Path:
    """The key of the user of all machines; made once."""
    path = cache() / "id_ed25519"
    with locked("key"):
        if not path.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path))
    return path


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time makes a thing of the cache."""
    with open(cache() / f".{name}.lock", "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run is making {name}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def image(release: str) -> Image:
    """The image of a release, made where there is none."""
    customize = _CUSTOMIZE.format(user=USER, key=key().with_suffix(".pub").read_text(encoding="ascii").strip(), fetched=" ".join(FETCHED))
    digest = hashlib.sha256(repr((customize, PACKAGES, DISK, pathlib.Path(__file__).read_bytes())).encode()).hexdigest()[:12]
    folder = cache() / f"{release}-{digest}"
    with locked(release):
        if not folder.exists():
            staging = cache() / f".{release}.new"
            _as_root("rm", "-rf", str(staging))  # of a run that was killed; with files of others than ourselves in it
            staging.mkdir()
            say(f"making the image of {release} in {cache()}: 1 GB, on the way 4 GB, and 2 to 5 minutes")
            _make(release, customize, staging)
            staging.rename(folder)
        folder.touch()
        for other in cache().glob("*-*/"):
            if time.time() - other.stat().st_mtime > UNUSED:  # of an older state of this file, or of a checkout that is gone
                shutil.rmtree(other)
    return Image(release, folder)


def _make(release: str, customize: str, folder: pathlib.Path) -> None:
    archive, raw = folder / "root.tar", folder / "disk.raw"
    run(
        "mmdebstrap", "--variant=minbase", "--components=main", f"--include={','.join(PACKAGES)}",
        "--architectures=amd64", "--aptopt=APT::Install-Recommends false", "--skip=cleanup/apt",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")),
        f"--customize-hook={customize}", release, str(archive),
    )
    for name, link in (("vmlinuz", "vmlinuz"), ("initrd.img", "initrd.img")):
        names = run("tar", "-tf", str(archive), "--wildcards", f"./boot/{link}-*").split()
        with open(folder / name, "wb") as file:
            subprocess.run(["tar", "-xOf", str(archive), names[-1]], stdout=file, check=True)
    tree = folder / "tree"
    run("truncate", "-s", DISK, str(raw))
    _as_root(
        "sh", "-ec",
        'mkdir "$1"; tar -C "$1" --xattrs --xattrs-include="*" --exclude="./dev/*" -xpf "$2"; mke2fs -q -t ext4 -L root -d "$1" "$3"; rm -rf "$1"',
        "sh", str(tree), str(archive), str(raw),
    )
    run("qemu-img", "convert", "-O", "qcow2", str(raw), str(folder / "disk.qcow2"))
    archive.unlink()
    raw.unlink()


def _as_root(*argv: str) -> None:
    """Run a program that keeps owners: as root of this machine, or of a user namespace of our own."""
    run(*([] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--map-auto", "--"]), *argv)


def run(*argv: str) -> str:
    """Run one of this machine's programs, which ends with us; its last words are the error."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, preexec_fn=end_with_parent
    )
    if done.returncode:
        raise RuntimeError(f"{argv[0]} failed with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def say(text: str) -> None:
    """What takes so long, for whoever waits."""
    print(f"==> {text}", file=sys.stderr, flush=True)
