# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`debian` and `ubuntu`, by mmdebstrap. When what this does changes, raise their numbers in core/template.py."""

from __future__ import annotations

import os
import re
import shlex
import subprocess

from ...core.errors import VpsError
from ...core.model import Repository, Template
from ...core.template_sources import COMPONENTS
from .. import tools
from ..tree import Tree

BUILD_TIMEOUT = 1800  # s
DEFAULT_MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
UBUNTU_MIRROR, UBUNTU_SECURITY_MIRROR = "http://archive.ubuntu.com/ubuntu", "http://security.ubuntu.com/ubuntu"
UBUNTU_PORTS = "http://ports.ubuntu.com/ubuntu-ports"  # of all architectures but two
UBUNTU_KEYRING = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"  # where Debian's package and Ubuntu's own have it, on a node as in a guest
# systemd and what a person expects to find on a machine that is reached over a network; no kernel, no boot loader.
BASE = ("systemd-sysv", "dbus", "ca-certificates", "iproute2", "iputils-ping", "netbase", "procps")
# They belong to the node's kernel; a guest's systemd would only report that it may not have them.
MASKED_UNITS = ("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-networkd-wait-online.service")
# Kept in the guest's apt, too. Where a name could not be looked up at first, apt 2.6 (Debian 12) puts that off, and then waits for it forever.
AT_ONCE = 'Acquire::Retries::Delay "false"'
STEP = "mainline.vps: customise"  # what the script says before each step

_UNKNOWN_PACKAGE = re.compile(r"^E: Unable to locate package (\S+)", re.MULTILINE)
_UNSIGNED = re.compile(r"^(?:W: GPG error: |E: The repository ')(\S+) ", re.MULTILINE)
_NO_SUITE = re.compile(r"^E: The repository '(\S+) (\S+) Release' does not have a Release file", re.MULTILINE)
_PROXIED = re.compile(r'^(Acquire::(?:https?::.+|Check-Valid-Until|Check-Date|Retries)) "(.*)";$', re.MULTILINE)
_STEPS = re.compile(rf"^{STEP} ([0-9]+)$", re.MULTILINE)
# Namespaces of its own: however it ends, its processes end and its mounts go with it.
_CONFINED = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
_OUTPUT = 16 << 20  # bytes of a builder's output that are looked at, from its end


def missing_tool(template: Template) -> str | None:
    """What the node lacks for it; None where nothing."""
    if not tools.installed("mmdebstrap"):
        return f"'{template.source}' needs mmdebstrap on the node, which the role mainline.vps.node installs where the distribution has it."
    if template.source == "ubuntu" and template.keyring is None and not os.path.exists(UBUNTU_KEYRING):
        return (
            "'ubuntu' needs Ubuntu's keys on the node (package ubuntu-keyring, or ubuntu-archive-keyring), "
            "for nothing else tells its packages from anybody's; or name a file with them as 'keyring'."
        )
    return None


def build(template: Template, root: str, scratch: str, keep_open: int) -> None:
    """Fill an empty directory."""
    code, output = _run_long(command(template, root, scratch), keep_open, scratch)
    if code != 0:
        raise failed(template, output)
    with Tree(root) as tree:
        for unit in MASKED_UNITS:
            tree.symlink("/dev/null", f"/etc/systemd/system/{unit}")
        # mmdebstrap has emptied it: what goes by its date, as Ansible's apt with cache_valid_time, is not to take nothing for today's lists.
        tree.date("/var/lib/apt/lists", 0)
        if template.keyring is not None:  # the guest's apt is to trust the mirror as the node's did
            with open(template.keyring, "rb") as file:
                keys = file.read(1 << 20)
            end = "asc" if keys.lstrip().startswith(b"-----BEGIN") else "gpg"
            tree.write(f"/etc/apt/trusted.gpg.d/mainline-vps.{end}", keys.decode("utf-8", "surrogateescape"))


def command(template: Template, root: str, scratch: str) -> list[str]:
    """How mmdebstrap is called; what it is to read besides is written into `scratch`."""
    packages = ",".join((*BASE, *template.packages))
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={packages}"]
    argv += [f"--aptopt={option}" for option in (AT_ONCE, *_apt_options())]
    if template.keyring is not None:
        argv.append(f"--keyring={_readable(template.keyring, scratch)}")
    if template.customise:
        path = os.path.join(scratch, "customise")
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(script(template.customise))
        os.chmod(path, 0o700)
        argv.append(f"--customize-hook={path}")
    argv += [template.suite or "", root, *_lines(template)]
    for number, repository in enumerate(template.repositories):
        path = os.path.join(scratch, f"repository{number}.sources")
        with open(path, "w", encoding="ascii") as file:
            file.write(stanza(repository))
        argv.append(path)
    return argv


def script(steps: tuple[tuple[str, ...], ...]) -> str:
    """A program that mmdebstrap runs with the new root's path: each step in there, the first that fails is the last."""
    lines = [
        f"echo {shlex.quote(f'{STEP} {number}')}\n"
        f"chroot \"$1\" /usr/bin/env {' '.join(map(shlex.quote, ('--', *step)))} </dev/null\n"
        for number, step in enumerate(steps)
    ]
    return "#!/bin/sh -e\nexport HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8\n" + "".join(lines)


def stanza(repository: Repository) -> str:
    """A repository as apt has it (sources.list(5), deb822), its key in it: node and guest read the same."""
    components = f"Components: {' '.join(repository.components)}\n" if repository.components else ""
    key = "".join(f"\n {line or '.'}" for line in repository.key.splitlines())
    return f"Types: deb\nURIs: {repository.url}\nSuites: {repository.suite}\n{components}Signed-By:{key}\n"


def failed(template: Template, output: str) -> VpsError:
    """What mmdebstrap's errors mean for whoever wrote the task: the first is the cause of the others."""
    unknown, steps, unsigned = _UNKNOWN_PACKAGE.findall(output), _STEPS.findall(output), _UNSIGNED.search(output)
    errors = [line[3:].strip().rstrip(".") for line in output.splitlines() if line.startswith("E: ")]
    told = errors[0][:400] if errors else tools.last_words(output)[-400:]
    if unknown:
        message = f"packages: '{template.suite}' has no package {', '.join(dict.fromkeys(unknown))[:400]}; the result's output has all of it."
    elif steps:
        said = output[output.rindex(f"{STEP} {steps[-1]}\n") :].splitlines()[1:]
        words = tools.last_words("\n".join(line for line in said if not line.startswith(("E: ", "I: ", "W: "))), 2)[-400:].rstrip(".")
        message = f"customise[{steps[-1]}]: {template.customise[int(steps[-1])][0]} failed: {words}; the result's output has all of it."
    elif (absent := _NO_SUITE.search(output)) and any(word in output for word in ("404  Not Found", "File not found")):
        number = next((number for number, one in enumerate(template.repositories) if _bare(absent[1]).startswith(_bare(one.url))), None)
        option = "suite" if number is None else f"repositories[{number}].suite"
        message = f"{option}: there is no '{absent[2]}' at {absent[1]}; name a suite that it has, or another place. The result's output has all of it."
    elif unsigned and ("NO_PUBKEY" in output or "not signed" in output or "BADSIG" in output):
        told_of = [f"repositories[{number}].key" for number, one in enumerate(template.repositories) if _bare(unsigned[1]).startswith(_bare(one.url))]
        option = (told_of or ["keyring"])[0]
        message = f"{option}: what {unsigned[1]} says is not signed by a key that is trusted for it: {told}; the result's output has all of it."
    else:
        option = "mirror" if template.mirror and "Failed to fetch" in told else "source"
        message = f"{option}: mmdebstrap could not build '{template.suite}': {told}; the result's output has all of it."
    return VpsError(message, output=output[-4000:])


def _bare(url: str) -> str:
    """An address without what apt writes in more than one way."""
    return re.sub(r"^(\w+):/+", r"\1:", url)


def _readable(path: str, scratch: str) -> str:
    """A copy that apt's own user can read, wherever the node has the file; its name's end is what apt knows its form by."""
    with open(path, "rb") as file:
        keys = file.read(1 << 20)
    end = "asc" if keys.lstrip().startswith(b"-----BEGIN") else "gpg"
    copy = os.path.join(scratch, f"keyring.{end}")
    with open(copy, "wb") as file:
        file.write(keys)
    os.chmod(copy, 0o644)
    return copy


def _run_long(argv: list[str], keep_open: int, scratch: str) -> tuple[int, str]:
    """Run a builder that ends with us, and keeps our lock until it has ended. `scratch` is for its temporary files."""
    from ..syscalls import end_with_parent

    # Into a file: what packages and steps print is as long as they like.
    with open(os.path.join(scratch, "output"), "w+b") as output:
        process = subprocess.Popen(
            [*_CONFINED, *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**tools.ENVIRONMENT, "TMPDIR": scratch},
            cwd="/",
            pass_fds=(keep_open,),
            preexec_fn=end_with_parent,
        )
        try:
            process.wait(timeout=BUILD_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise VpsError(f"source: {argv[0]} did not finish within {BUILD_TIMEOUT} seconds and was ended.") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(max(0, output.seek(0, os.SEEK_END) - _OUTPUT))
        return process.returncode, output.read().decode(errors="replace")


def _apt_options() -> list[str]:
    """How the node's apt reaches its mirrors: proxies, retries, and whether it trusts the clock."""
    if not tools.installed("apt-config"):
        return []
    return [f'{key} "{value}"' for key, value in _PROXIED.findall(tools.run(["apt-config", "dump"])) if value]


def _lines(template: Template) -> list[str]:
    """The lines of sources.list: of Debian from the node's own apt configuration; on another distribution, and of Ubuntu, the public mirrors."""
    suite, ubuntu = template.suite, template.source == "ubuntu"
    components = " ".join(template.components or COMPONENTS[template.source])
    signed = f"[signed-by={UBUNTU_KEYRING}] " if ubuntu and template.keyring is None else ""
    if template.mirror:
        return [f"deb {signed}{template.mirror} {suite} {components}"]
    main, security = (_ubuntu_mirrors if ubuntu else _debian_mirrors)()
    lines = [f"deb {signed}{main} {suite} {components}"]
    if suite not in ("sid", "unstable", "experimental"):
        lines += [f"deb {signed}{main} {suite}-updates {components}", f"deb {signed}{security} {suite}-security {components}"]
    return lines


def _debian_mirrors() -> tuple[str, str]:
    known = _known_mirrors()
    return known.get("Debian", DEFAULT_MIRROR), known.get("Debian-Security", SECURITY_MIRROR)


def _ubuntu_mirrors() -> tuple[str, str]:
    if os.uname().machine not in ("x86_64", "i686"):
        return UBUNTU_PORTS, UBUNTU_PORTS
    main = _known_mirrors().get("Ubuntu")
    return (main, main) if main else (UBUNTU_MIRROR, UBUNTU_SECURITY_MIRROR)


def _known_mirrors() -> dict[str, str]:
    """What the node's own apt gets from where, by its label."""
    if not tools.installed("apt-get"):
        return {}
    targets = tools.run(["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"])
    return dict(reversed([line.split("|", 1) for line in targets.splitlines() if "|" in line]))
