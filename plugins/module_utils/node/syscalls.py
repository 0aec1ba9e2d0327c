# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""System calls that Python has no name for yet. Each raises OSError, as those in `os` do."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

# Limits of a process by the names of core/controls.py; Python has no name for that of queued signals (getrlimit(2)).
RLIMITS = {"NOFILE": resource.RLIMIT_NOFILE, "MEMLOCK": resource.RLIMIT_MEMLOCK, "SIGPENDING": 11}
_OPENAT2 = 437  # the same number on every architecture (openat2(2))
_RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 0x02, 0x04, 0x10
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_CAPABILITY_VERSION = 0x20080522  # the third, of two words each


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def open_in_root(root: int, path: str, flags: int, mode: int = 0, *, resolve: int = 0) -> int:
    """Open a path as a process whose root directory is the descriptor `root` would: no link, no `..` leads out of it.

    `resolve` is more that is to hold on the way, as RESOLVE_NO_SYMLINKS.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS | resolve)
    libc = ctypes.CDLL(None, use_errno=True)
    for _attempt in range(100):  # EAGAIN: somebody renamed a directory on the way
        descriptor = libc.syscall(_OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
        if descriptor >= 0:
            return descriptor
        error = ctypes.get_errno()
        if error != 11:
            break
    raise OSError(error, os.strerror(error), path)


def exchange(first: str, second: str) -> None:
    """Swap two directory entries in one step (renameat2(2), RENAME_EXCHANGE)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), first)


def sync_filesystem(path: str) -> None:
    """Have everything in the file system of a path survive a power cut from here on (syncfs(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(descriptor) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), path)
    finally:
        os.close(descriptor)


def end_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, 9)


@contextmanager
def in_ipc_namespace(pid: int, *, uid: int = 0) -> Iterator[None]:
    """Work in the IPC namespace of a process, as `uid` to its files; for settings below /proc/sys (setns(2), seteuid(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/self/ns/ipc", os.O_RDONLY | os.O_CLOEXEC)
    try:
        other = os.open(f"/proc/{pid}/ns/ipc", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(libc, other)
        finally:
            os.close(other)
        try:
            os.seteuid(uid)
            yield
        finally:
            os.seteuid(0)
            _setns(libc, own)
    finally:
        os.close(own)


def _setns(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


@contextmanager
def as_owner(number: int) -> Iterator[None]:
    """Make files as a user and group of that number, with all the rights of root (setfsuid(2), capset(2)); 0 is root as it is."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = libc.setfsuid(-1)  # which changes nothing
    _make_files_as(libc, number)
    try:
        yield
    finally:
        _make_files_as(libc, before)


def _make_files_as(libc: ctypes.CDLL, number: int) -> None:
    libc.setfsgid(number)
    libc.setfsuid(number)
    if number == 0:
        return
    head, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(head, sets) == 0:  # the kernel has just taken some from the effective ones
        sets[0], sets[3] = sets[1], sets[4]
        libc.capset(head, sets)
