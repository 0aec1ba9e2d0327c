# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a guest is: host name, resolver, root's password and keys, machine-id and SSH host keys.

Written into the guest's tree, where its own root may change it later: it is written when the playbook's value changes,
not enforced after. Whether a guest has booted is asked here too.
"""

from __future__ import annotations

import os
import tempfile
import uuid

from ..core.errors import VpsError
from ..core.model import BOOTED_MARK, BUSYBOX, IDENTITY, OTHER_INIT, SYSTEMD, Vps
from . import tools
from .tree import Tree


def prepare(tree: Tree, vps: Vps, nameservers: tuple[str, ...], options: frozenset[str] = frozenset(IDENTITY)) -> list[str]:
    """Give a fresh clone all that makes it one of a kind; of the options those that it has not got already. Gives warnings of what was in the way."""
    warnings = clear(tree)
    apply(tree, vps, options, nameservers)
    renew(tree)
    return warnings


# What the node writes into a fresh copy, or takes out of it: the folders first.
_WRITTEN = (
    "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/shadow", "/etc/machine-id", "/root/.ssh/authorized_keys",
    *(f"/etc/ssh/ssh_host_{kind}_key{end}" for kind in ("rsa", "dsa", "ecdsa", "ed25519") for end in ("", ".pub")),  # which ssh-keygen -A makes
)
_TAKEN_OUT = ("/var/lib/dbus/machine-id", "/var/lib/systemd/random-seed")


def clear(tree: Tree) -> list[str]:
    """Move aside, in a fresh copy, directories that have the names of files which the node writes there: a guest could keep its copy from being made.

    Gives warnings. Only there: a living VPS's directory of such a name is its own affair, and the task that would write the file is refused.
    """
    staging = [f"{os.path.dirname(path)}/.{os.path.basename(path)}.vps-new" for path in _WRITTEN]
    moved = [(path, tree.move_aside(path)) for path in (*_WRITTEN, *_TAKEN_OUT, *staging)]
    return [f"guest: {path} in the new root is a directory where a file belongs; it is called {name} now." for path, name in moved if name is not None]


def renew(tree: Tree) -> None:
    """Give a copy of another VPS what no two of them may share: a machine-id, and SSH host keys."""
    tree.write("/etc/machine-id", f"{uuid.uuid4().hex}\n", mode=0o444)
    if tree.exists("/etc/ssh/sshd_config"):
        for name, text in _host_keys().items():
            tree.write(f"/etc/ssh/{name}", text, mode=0o644 if name.endswith(".pub") else 0o600)


def apply(tree: Tree, vps: Vps, options: frozenset[str], nameservers: tuple[str, ...]) -> None:
    """Write the named options. `nameservers` are the node's own, for a VPS that has none of its own."""
    if "hostname" in options:
        tree.write("/etc/hostname", f"{vps.hostname}\n")
        tree.write("/etc/hosts", _hosts(tree.read("/etc/hosts") or "", vps.hostname))
    if options & {"nameservers", "search_domains"}:
        search = f"search {' '.join(vps.search_domains)}\n" if vps.search_domains else ""
        tree.write("/etc/resolv.conf", search + "".join(f"nameserver {server}\n" for server in vps.nameservers or nameservers))
    if "root_password_hash" in options and vps.root_password_hash is not None:
        tree.write("/etc/shadow", _shadow(tree.read("/etc/shadow") or "", vps.root_password_hash), mode=0o640, keep_owner=True)
    if "authorized_keys" in options:
        _write_keys(tree, vps.authorized_keys)


def set_hostname(pid: int, hostname: str) -> None:
    """Change the name that a running VPS's kernel gives it (sethostname(2) in its UTS namespace)."""
    tools.run(tools.in_namespace(pid, "uts", ["hostname", hostname]))


def scrub(tree: Tree) -> list[str]:
    """Take out of a template, or a fresh copy, what every VPS must have for itself. Gives warnings of what was in the way."""
    warnings = clear(tree)
    for name in tree.names("/etc/ssh"):
        if name.startswith("ssh_host_"):
            tree.remove(f"/etc/ssh/{name}", folder_stays=True)
    for path in ("/var/lib/dbus/machine-id", "/var/lib/systemd/random-seed", "/etc/hostname", "/etc/resolv.conf"):
        tree.remove(path)
    # Empty, not absent: systemd then takes the boot for neither a first one nor a broken one.
    tree.write("/etc/machine-id", "", mode=0o444)
    if tree.exists("/var/lib/dbus"):
        tree.symlink("/etc/machine-id", "/var/lib/dbus/machine-id")
    return warnings


# What a system that has run knows of itself and of its people, and a template should not: files, and folders whose files go.
_OWN_FILES = (
    "/var/lib/systemd/random-seed", "/var/lib/urandom/random-seed", "/var/lib/systemd/credential.secret", "/var/lib/random-seed",
    "/etc/machine-info", "/etc/adjtime", "/var/lib/logrotate/status", "/var/lib/logrotate.status",
)
_OWN_FOLDERS = (
    "/var/log", "/var/spool/cron/lastrun", "/var/lib/dhcp", "/var/lib/dhcpcd", "/var/lib/dhclient", "/var/lib/NetworkManager",
    "/var/lib/systemd/coredump", "/var/lib/systemd/timers", "/var/lib/cloud", "/var/crash", "/var/mail", "/var/spool/mail", "/var/cache/apt/archives",
    "/run", "/tmp", "/var/tmp", "/root/.ssh", "/root/.cache",
)
_OF_PEOPLE = (".bash_history", ".zsh_history", ".ash_history", ".sh_history", ".history", ".lesshst", ".viminfo", ".python_history", ".mysql_history",
              ".psql_history", ".sqlite_history", ".node_repl_history", ".wget-hsts", ".lastlogin")


def anonymise(tree: Tree) -> None:
    """Take out of a copy of a VPS what is that one's and its people's alone: logs, leases, histories, seeds, keys, mail, root's password.

    As virt-sysprep(1) does. What the system is made of, and its other users, stay. Nothing of it runs meanwhile.
    """
    for path in _OWN_FILES:
        tree.remove(path)
    for path in _OWN_FOLDERS:
        tree.remove_files(path)
    for name in tree.names("/var/log/journal"):  # whose names are machine-ids
        tree.remove_empty(f"/var/log/journal/{name}")
    lines = [line.split(":") for line in (tree.read("/etc/passwd") or "").splitlines()]
    homes = {fields[5].rstrip("/") for fields in lines if len(fields) > 5 and fields[5].startswith("/")}
    for home in sorted({"/root", *homes, *(f"/home/{name}" for name in tree.names("/home"))}):
        for name in _OF_PEOPLE:
            tree.remove(f"{home}/{name}")
        tree.remove_files(f"{home}/.ssh")
    shadow = tree.read("/etc/shadow")
    if shadow is not None:
        tree.write("/etc/shadow", _shadow(shadow, "*"), mode=0o640, keep_owner=True)
    for backup in ("/etc/shadow-", "/etc/passwd-", "/etc/group-", "/etc/gshadow-"):
        tree.remove(backup)


def kind_of_init(tree: Tree) -> str:
    """Which init a tree would boot."""
    target = tree.link_target("/sbin/init") or ""
    if target.endswith("systemd"):
        return SYSTEMD
    return BUSYBOX if target.endswith("busybox") else OTHER_INIT


def can_boot(tree: Tree) -> bool:
    """Whether there is an init in it, and where it is told what to do."""
    return tree.exists("/sbin/init") and tree.exists("/etc/.")


def _hosts(text: str, hostname: str) -> str:
    kept = [line for line in text.splitlines() if line.split()[:1] not in (["127.0.1.1"], [])]
    if not any(line.split()[0] == "127.0.0.1" for line in kept):
        kept.insert(0, "127.0.0.1 localhost")
    short = hostname.split(".", 1)[0]
    names = hostname if short == hostname else f"{hostname} {short}"
    return "\n".join([*kept, f"127.0.1.1 {names}"]) + "\n"


def _shadow(text: str, password_hash: str) -> str:
    lines = []
    found = False
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0] == "root" and len(fields) > 1:
            fields[1] = password_hash
            found = True
        lines.append(":".join(fields))
    if not found:
        lines.insert(0, f"root:{password_hash}:19000:0:99999:7:::")
    return "\n".join(lines) + "\n"


def _write_keys(tree: Tree, keys: tuple[str, ...]) -> None:
    path = "/root/.ssh/authorized_keys"
    if keys:
        tree.make_directory("/root/.ssh", mode=0o700)
        tree.write(path, "".join(f"{key}\n" for key in keys), mode=0o600)
    elif tree.exists(path):
        tree.remove(path)


def _host_keys() -> dict[str, str]:
    """A new set of SSH host keys, made on the node: nothing of the guest's is run for it."""
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(f"{folder}/etc/ssh")
        tools.run(["ssh-keygen", "-A", "-f", folder])
        keys = {}
        for name in os.listdir(f"{folder}/etc/ssh"):
            with open(f"{folder}/etc/ssh/{name}", encoding="ascii") as file:
                keys[name] = file.read()
        return keys


def boot_state(vps: Vps, pid: int, attach) -> str | None:
    """What a running guest's init says: C(running) or C(degraded) once it has booted, None while it boots.

    `attach(argv)` runs a guest's program and gives (exit code, bounded output). Raises VpsError where the kind of init
    has no way to tell, or says that it gave up.
    """
    if vps.boots == SYSTEMD:
        _code, output = attach(["systemctl", "is-system-running"])
        said = output.strip().splitlines()[-1:] or [""]
        if said[0] in ("running", "degraded"):
            return said[0]
        if said[0] == "maintenance":
            raise VpsError(f"wait: VPS '{vps.name}' did not boot: its systemd is in state maintenance.")
        return None
    if vps.boots == BUSYBOX:
        try:
            with Tree(f"/proc/{pid}/root") as tree:
                return "running" if tree.exists(BOOTED_MARK) else None
        except OSError:
            return None
    raise VpsError(f"wait: the init of VPS '{vps.name}' has no way to say that it has booted; wait for network instead.")
