# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs in a VPS: looks into its tree for what a task asks, and has them run there, whether the VPS runs or not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ..core import command as commands
from ..core import enterfile
from ..core.command import ROOT, Account, Command, Outcome
from ..core.errors import VpsError, printable
from ..core.model import FROZEN, Vps
from ..core.places import ENTER
from . import engine, locks, programs, vps_steps
from .parts import Parts
from .tree import Tree


@dataclass(frozen=True)
class Place:
    """A VPS as a program finds it: `there` says which of the paths that the task names there are. Null is what nobody has looked at."""

    pid: int | None
    there: Mapping[str, bool] | None = None
    account: Account | None = None


def look(parts: Parts, command: Command, *, patience: float, writes: bool) -> Place:
    """See where and as whom a program is to run; raises VpsError where it cannot.

    A disk that is in a file is mounted for that, unless nothing may be written: then nobody looks into it.
    """
    vps = parts.vps.load(command.name)
    if vps is None:
        raise VpsError(f"name: there is no VPS '{command.name}' on this node; make it with vps_container first.")
    found = vps_steps.status(command.name)
    if found.run == FROZEN:
        raise VpsError(f"name: VPS '{command.name}' is frozen, so that nothing can run in it; start it (state: started), or stop it, first.")
    paths = [path for path in (command.creates, command.removes, command.chdir) if path is not None]
    account = Account() if command.user == ROOT else None
    if not paths and account is not None:
        return Place(found.pid, {}, account)
    with _tree(parts, vps, found, patience=patience, writes=writes) as tree:
        if tree is None:
            return Place(found.pid)
        there = {path: tree.exists(path) for path in paths}
        if account is None:
            account = commands.find_account(command.user, tree.read("/etc/passwd") or "", tree.read("/etc/group") or "")
        return Place(found.pid, there, account)


@contextmanager
def _tree(parts: Parts, vps: Vps, found: engine.Status, *, patience: float, writes: bool) -> Iterator[Tree | None]:
    """The tree of a VPS, of a running one with all that it has mounted; None where it would have to be mounted, and may not be."""
    root, driver = parts.root(vps.name), parts.driver(vps)
    with ExitStack() as held:
        if found.pid is not None:
            root = f"/proc/{found.pid}/root"
            if os.readlink(f"/proc/{found.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt"):  # it has gone, and its number is somebody else's
                raise VpsError(f"name: VPS '{vps.name}' has just stopped; run this again.")
        elif not driver.is_there(root):
            if not writes:
                yield None
                return
            held.enter_context(locks.hold("vps", vps.name, timeout=patience, again=True))
            held.enter_context(driver.opened(root))
        with Tree(root) as tree:
            yield tree


def run(parts: Parts, command: Command, place: Place, *, patience: int) -> Outcome:
    """Run it; raises VpsError where it cannot be run at all."""
    account = place.account or Account()
    sign = os.urandom(8).hex()
    options, refused = ["-s", sign, *commands.entering(command, account, patience=patience)], enterfile.PREFIX.format(sign)
    last = [command.name, "--", *commands.in_the_guest(command, account)]
    if place.pid is None:
        outcome = programs.run([ENTER, *options, *last], stdin=command.stdin, timeout=command.timeout, stop=subprocess.Popen.terminate)
    else:
        with programs.group(command.name, place.pid) as group:
            joins = [word for folder in group.folders for word in ("-c", folder)]

            def stop(process: subprocess.Popen[bytes]) -> None:
                group.kill()
                process.terminate()  # where it has not come to joining the group

            outcome = programs.run([ENTER, *joins, *options, *last], stdin=command.stdin, timeout=command.timeout, stop=stop)
    if outcome.rc == enterfile.REFUSED and outcome.stderr.startswith(refused):
        raise VpsError(f"name: {printable(outcome.stderr[len(refused):], 300)}")
    return outcome
