# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That this node tells Prometheus of itself: reads whether it does, and applies the steps of a plan after which it does, or does no more."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property

from ..core import metrics_plan as steps
from ..core.errors import VpsError
from ..core.metrics_plan import PATHS, Actual, Desired, Settings, read_settings
from ..core.places import FOLDER, METER, METRICS, METRICS_TIMER, METRICS_UNIT
from ..core.plan import Plan
from . import boot, bundle, files, locks, tools
from . import settings as node_settings


class Metering:
    """This machine, as far as that goes. `program` is the module of this house that is the program."""

    def __init__(self, program: str) -> None:
        self._program = program

    def require_usable(self) -> None:
        """Raise VpsError where we are not its root."""
        node_settings.require_root()

    @contextmanager
    def lock(self, kind: str, name: str, *, timeout: float) -> Iterator[None]:
        """Hold the lock."""
        with locks.hold(kind, name, timeout=timeout):
            yield

    def sweep(self) -> list[str]:
        """A run that was killed leaves nothing but what the next one writes again."""
        return []

    def read(self, desired: Desired) -> Actual:
        """What there is; raises VpsError where this machine is no node that could tell."""
        if desired.state == steps.PRESENT:
            node_settings.require()
        known = read_settings(files.read(METRICS))
        file = desired.settings.file if desired.state == steps.PRESENT else (known or desired.settings).file
        program = _bytes(METER)
        return Actual(
            settings=known,
            texts={name: files.read(path) for name, path in PATHS.items() if name != "program"},
            program=None if program is None else _digest(program),
            current=_digest(self._current) if desired.state == steps.PRESENT else "",
            interpreter=bundle.interpreter(),
            timer=_timer(),
            written=os.path.isfile(file),
            missing=_missing(os.path.dirname(file)),
        )

    def apply(self, plan: Plan) -> dict[str, object]:
        """Carry out a plan's steps, in their order."""
        return plan.carry_out(lambda step: self._install() if isinstance(step, steps.InstallProgram) else _APPLY[type(step)](step))

    def _install(self) -> None:
        """By one rename, as every file: the timer may run it at this moment."""
        os.makedirs(os.path.dirname(METER), exist_ok=True)
        files.write_bytes(METER, self._current, mode=0o755)

    @cached_property
    def _current(self) -> bytes:
        """The program that this release has."""
        return bundle.build(self._program)

    def describe(self, actual: Actual) -> dict[str, object] | None:
        """As the module returns it; None where nothing is told."""
        return None if actual.settings is None else {**actual.settings.named, "program": METER, "scheduled": bool(actual.timer)}


def require() -> Settings:
    """The settings; raises VpsError where there are none."""
    known = read_settings(files.read(METRICS))
    if known is None:
        raise VpsError(f"node: {METRICS} is missing; run vps_metrics, which writes it.")
    return known


def require_folder(file: str) -> None:
    """Raise VpsError where somebody else than root could put a link into the way of root's writing, or there is no such folder."""
    folder = os.path.dirname(file)
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        raise VpsError(f"file: {folder} is missing; run vps_metrics again, or install prometheus-node-exporter, which has it.") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise VpsError(f"file: {folder} is not a folder that root alone may write to; name a file in another one.")


def _missing(folder: str) -> str | None:
    """The first folder on the way to one that is not there."""
    found = None
    while not os.path.lexists(folder):
        found, folder = folder, os.path.dirname(folder)
    return found


def _timer() -> bool | None:
    if not tools.has_systemd():
        return None
    said = [tools.attempt(["systemctl", "--quiet", word, METRICS_TIMER])[0] for word in ("is-enabled", "is-active")]
    return not any(said)


def _set_text(step: steps.SetText) -> None:
    path = PATHS[step.file]
    if step.text is not None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.write(path, step.text)
        return
    with suppress(FileNotFoundError):
        os.unlink(path)
    if os.path.dirname(path) == FOLDER:
        with suppress(OSError):  # there is more in it
            os.rmdir(FOLDER)
    else:
        boot.reload()


def _uninstall() -> None:
    with suppress(FileNotFoundError):
        os.unlink(METER)
    with suppress(OSError):
        os.rmdir(os.path.dirname(METER))


def _set_timer(runs: bool) -> None:
    if not runs:
        tools.attempt(["systemctl", "disable", "--now", METRICS_TIMER], timeout=boot.PATIENCE)
        tools.attempt(["systemctl", "stop", METRICS_UNIT], timeout=boot.PATIENCE)
        return
    boot.reload()
    tools.run(["systemctl", "enable", METRICS_TIMER], timeout=boot.PATIENCE)
    tools.run(["systemctl", "restart", METRICS_TIMER], timeout=boot.PATIENCE)


def _write(settings: Settings) -> None:
    """By the program that is installed: what it cannot do, it is now that somebody sees it."""
    if settings.made_folder is not None:
        os.makedirs(os.path.dirname(settings.file), mode=0o755, exist_ok=True)
    require_folder(settings.file)
    tools.run([bundle.interpreter(), "-I", METER], timeout=boot.PATIENCE)


def _remove_file(settings: Settings) -> None:
    for path in (settings.file, f"{settings.file}.new"):
        with suppress(FileNotFoundError):
            os.unlink(path)
    if settings.made_folder is not None:
        folder = os.path.dirname(settings.file)
        with suppress(OSError):  # there is more in it
            while f"{folder}/".startswith(f"{settings.made_folder}/"):
                os.rmdir(folder)
                folder = os.path.dirname(folder)


def _bytes(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_APPLY: Mapping[type, Callable] = {
    steps.SetText: _set_text,
    steps.RemoveProgram: lambda _step: _uninstall(),
    steps.SetTimer: lambda step: _set_timer(step.runs),
    steps.WriteMetrics: lambda step: _write(step.settings),
    steps.RemoveMetrics: lambda step: _remove_file(step.settings),
}
