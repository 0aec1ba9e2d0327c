# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a storage driver is: what the node wants of the disk of one VPS, whatever it is made of.

A root file system has a place, `root`, which is a directory of the VPS's own directory; what else a driver keeps there is its own.
Everything may be done again after a run was killed in it.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ...core.disk import Disk, Used
from ...core.fidelity import Abilities
from ...core.limits import Limits


@dataclass(frozen=True)
class Startup:
    """What a storage has LXC do. `device` is the number, C(MAJOR:MINOR), of the disk that I/O limits are for, or a word of shell.

    `hook` is a script for LXC, before a VPS starts and after it has stopped; `lines` are those of the start hook.
    """

    device: str | None
    hook: str | None = None
    lines: tuple[str, ...] = ()


def image_of(root: str) -> str:
    """The file that a root file system is in, where it is in one; for a template, the one that was made to be copied."""
    return os.path.join(os.path.dirname(root), "root.img")


class Storage(Protocol):
    """The driver of one kind of storage."""

    name: str
    instant: bool  # whether a snapshot is of one instant, whatever goes on in the VPS; with another one, who wants that holds it still

    def ready(self, source: str) -> bool:
        """Whether a template's root file system can be cloned at once."""

    def make_ready(self, source: str) -> None:
        """Make it so. One run at a time."""

    def create(self, root: str, limits: Limits) -> None:
        """Make an empty one, with room for what the limits allow; what is written to it then is held to nothing before `limit`."""

    def clone(self, source: str, root: str, limits: Limits) -> None:
        """Make a writable copy, with room for what the limits allow."""

    def snapshot(self, root: str, into: str) -> None:
        """Keep a root file system as it is at this instant, in use or not, at another place; one that can be cloned, and is not written to.

        What the VPS has written by then is in it, as after a power cut of its own.
        """

    def identity(self, root: str) -> int:
        """A number by which a root file system is known wherever it is moved in the pool."""

    def exclusive(self, root: str) -> int:
        """Bytes of the pool that would be free if this one were deleted."""

    def exchange(self, root: str, other: str) -> None:
        """Have two root file systems of this driver's change places, neither of them in use, in one step."""

    def delete(self, root: str) -> None:
        """Delete a root file system of this driver's, in use or not; nothing where there is none."""

    def is_there(self, root: str) -> bool:
        """Whether the tree is at its place, to be read, without anybody's doing."""

    def opened(self, root: str, *, mapped: bool = True) -> AbstractContextManager[None]:
        """Have the tree at its place for the node to write to, even where the VPS has filled its disk, and make files as the VPS's root.

        With `mapped` False for programs that read or write all of it, while nobody is in it: owners are then those that are seen inside.
        """

    def limit(self, root: str, limits: Limits) -> None:
        """Hold the VPS to the limits of its disk. Raises NothingDone where it cannot."""

    def read(self, root: str) -> Disk:
        """What it is held to."""

    def usage(self, root: str) -> int:
        """Bytes that it takes in the pool, a template's shared ones included."""

    def used(self, root: str) -> Used:
        """What the VPS has on it, of what it may have."""

    def abilities(self, root: str, machine: Abilities) -> Abilities:
        """What this machine can limit of this VPS."""

    def startup(self, root: str, limits: Limits, machine: Abilities, *, made_in: str | None = None) -> Startup:
        """What is done at a start. `made_in` is where the root file system is as long as it is being made."""

    def release(self, root: str) -> None:
        """Let go of what is mounted there, if nobody works in it."""
