# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building the content of a template into an empty root file system.

Two recipes: `minimal`, a static busybox and nothing else; `debian`, by mmdebstrap. When what a recipe does changes, raise
its number in core/template.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from ..core.errors import VpsError
from ..core.model import BOOTED_MARK, Template
from . import tools
from .tree import Tree

BUSYBOX = "/bin/busybox"  # where a guest has it; a node may have it elsewhere
BUILD_TIMEOUT = 1800  # s
DEFAULT_MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
# systemd and what a person expects to find on a machine that is reached over a network; no kernel, no boot loader.
DEBIAN_BASE = ("systemd-sysv", "dbus", "ca-certificates", "iproute2", "iputils-ping", "netbase", "procps")
# They belong to the node's kernel; a guest's systemd would only report that it may not have them.
MASKED_UNITS = ("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-networkd-wait-online.service")

_INITTAB = f"""::sysinit:/bin/mount -t tmpfs -o mode=755 none /run
::sysinit:/bin/hostname -F /etc/hostname
::sysinit:/bin/touch {BOOTED_MARK}
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/true
"""
_UNKNOWN_PACKAGE = re.compile(r"^E: Unable to locate package (\S+)", re.MULTILINE)
_PROXIED = re.compile(r'^(Acquire::(?:https?::.+|Check-Valid-Until|Check-Date|Retries)) "(.*)";$', re.MULTILINE)


def missing_tool(template: Template) -> str | None:
    """What the node lacks for building a template; None where nothing."""
    if template.source == "minimal" and tools.find("busybox") is None:
        return "'minimal' needs a static busybox on the node (Debian's package busybox-static); the role mainline.vps.node installs it."
    if template.source == "debian" and not tools.installed("mmdebstrap"):
        return "'debian' needs mmdebstrap on the node, which the role mainline.vps.node installs where the distribution has it."
    return None


def build(template: Template, root: str, *, keep_open: int) -> None:
    """Fill an empty directory. `keep_open` is a lock's descriptor: long-running children keep it held until they are gone."""
    if template.source == "minimal":
        _minimal(root)
    else:
        _debian(template, root, keep_open)


def _minimal(root: str) -> None:
    for folder in ("bin", "sbin", "etc", "proc", "sys", "dev", "run", "tmp", "root", "var", "usr", "mnt"):
        os.mkdir(os.path.join(root, folder))
    os.chmod(os.path.join(root, "tmp"), 0o1777)
    os.chmod(os.path.join(root, "root"), 0o700)
    busybox = tools.find("busybox") or BUSYBOX
    shutil.copy(busybox, os.path.join(root, "bin", "busybox"))
    code, applets = tools.attempt(["chroot", root, "/bin/busybox", "--list-full"])
    if code != 0:
        raise VpsError(f"source: {busybox} is not a static busybox ({tools.last_words(applets)}); install busybox-static on the node.")
    with Tree(root) as tree:
        for applet in applets.split():
            path = f"/{applet.lstrip('/')}"
            if path not in (BUSYBOX, "/linuxrc"):
                tree.make_directory(os.path.dirname(path))
                tree.symlink(BUSYBOX, path)
        # The init's script and its users look here, wherever this busybox puts its applets.
        for path in ("/bin/sh", "/bin/mount", "/bin/hostname", "/bin/touch", "/bin/true", "/sbin/init", "/sbin/reboot"):
            tree.symlink(BUSYBOX, path)
        tree.write("/etc/inittab", _INITTAB)
        tree.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        tree.write("/etc/group", "root:x:0:\n")
        tree.write("/etc/shadow", "root:*:19000:0:99999:7:::\n", mode=0o640)


def _debian(template: Template, root: str, keep_open: int) -> None:
    packages = ",".join((*DEBIAN_BASE, *template.packages))
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={packages}"]
    command += [f"--aptopt={option}" for option in _apt_options()]
    command += [template.suite or "", root, *_sources(template)]
    # Beside the root file system: what a killed builder leaves there goes with it.
    scratch = os.path.join(os.path.dirname(root), "tmp")
    os.mkdir(scratch)
    os.chmod(scratch, 0o1777)  # apt reads its indexes as a user of its own
    try:
        code, output = _run_long(command, keep_open, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if code != 0:
        raise _failed(template, output)
    with Tree(root) as tree:
        for unit in MASKED_UNITS:
            tree.symlink("/dev/null", f"/etc/systemd/system/{unit}")


def _failed(template: Template, output: str) -> VpsError:
    """What mmdebstrap's errors mean for whoever wrote the task: the first is the cause of the others."""
    unknown = _UNKNOWN_PACKAGE.findall(output)
    if unknown:
        message = f"packages: '{template.suite}' has no package {', '.join(dict.fromkeys(unknown))}; the result's output has all of it."
    else:
        errors = [line for line in output.splitlines() if line.startswith("E: ")]
        told = errors[0][3:].strip().rstrip(".") if errors else tools.last_words(output)
        option = "mirror" if template.mirror and "Failed to fetch" in told else "source"
        message = f"{option}: mmdebstrap could not build '{template.suite}': {told}; the result's output has all of it."
    return VpsError(message, output=output[-4000:])


# Namespaces of its own: however it ends, its processes end and its mounts go with it.
_CONFINED = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--")


def _run_long(command: list[str], keep_open: int, scratch: str) -> tuple[int, str]:
    """Run a builder that ends with us, and keeps our lock until it has ended. `scratch` is for its temporary files."""
    from .syscalls import end_with_parent

    process = subprocess.Popen(
        [*_CONFINED, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**tools.ENVIRONMENT, "TMPDIR": scratch},
        cwd="/",
        pass_fds=(keep_open,),
        preexec_fn=end_with_parent,
    )
    try:
        output, _none = process.communicate(timeout=BUILD_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise VpsError(f"source: {command[0]} did not finish within {BUILD_TIMEOUT} seconds and was ended.") from None
    return process.returncode, output.decode(errors="replace")


def _apt_options() -> list[str]:
    """How the node's apt reaches its mirrors: proxies, retries, and whether it trusts the clock."""
    if not tools.installed("apt-config"):
        return []
    return [f'{key} "{value}"' for key, value in _PROXIED.findall(tools.run(["apt-config", "dump"])) if value]


def _sources(template: Template) -> list[str]:
    """The lines of sources.list, from the node's own apt configuration; on another distribution, Debian's own mirrors."""
    suite = template.suite
    if template.mirror:
        return [f"deb {template.mirror} {suite} main"]
    main, security = DEFAULT_MIRROR, SECURITY_MIRROR
    if tools.installed("apt-get"):
        targets = tools.run(["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"])
        known = dict(reversed([line.split("|", 1) for line in targets.splitlines() if "|" in line]))
        main, security = known.get("Debian", main), known.get("Debian-Security", security)
    lines = [f"deb {main} {suite} main"]
    if suite not in ("sid", "unstable", "experimental"):
        lines += [f"deb {main} {suite}-updates main", f"deb {security} {suite}-security main"]
    return lines
