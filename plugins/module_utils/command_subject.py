# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a program in a VPS as the runner wants it: how it is parsed, when there is no need to, and what is told of its end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .core import command as commands
from .core.command import Command, Outcome
from .core.errors import VpsError
from .runner import Action


def _needless(command: Command, place: Any) -> dict[str, Any] | None:
    why = None if place.there is None else commands.needless(command, place.there)
    if why is None:
        commands.refuse_nowhere(command, place.there or {})
    return None if why is None else {"msg": why, "rc": 0, "stdout": f"skipped: {why}", "stderr": "", "truncated": [], **_lines(f"skipped: {why}", "")}


def _act(node: Any, command: Command, place: Any, patience: int) -> dict[str, Any]:
    """Run it; one that does not end well raises VpsError with all that a good one returns."""
    start = datetime.now()
    outcome = node.run(command, place, patience=patience)
    end = datetime.now()
    told = {
        "rc": outcome.rc,
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "truncated": list(outcome.truncated),
        **_lines(outcome.stdout, outcome.stderr),
        "start": str(start),
        "end": str(end),
        "delta": str(end - start),
    }
    why = _bad(command, outcome)
    if why is not None:
        raise VpsError(why, changed=True, **told)
    return told


def _lines(stdout: str, stderr: str) -> dict[str, list[str]]:
    return {"stdout_lines": stdout.splitlines(), "stderr_lines": stderr.splitlines()}


def _bad(command: Command, outcome: Outcome) -> str | None:
    """What a task says of a program that did not end well. Neither what it was given nor what it printed is in it."""
    if outcome.timed_out:
        return (
            f"timeout: the program had not ended after {command.timeout} seconds, and was killed with all that it had started; "
            "give it more time, or see in stdout and stderr what it was waiting for."
        )
    if outcome.rc == 0:
        return None
    how = f"was ended by signal {outcome.rc - 128}" if 128 < outcome.rc < 193 else f"ended with exit code {outcome.rc}"
    return f"{command.option}: the program {how}; {'stderr has what it said' if outcome.stderr else 'it said nothing on stderr'}."


COMMAND = Action(
    parse=commands.parse_command,
    look=lambda node, command, patience, writes: node.look(command, patience=patience, writes=writes),
    needless=_needless,
    act=_act,
)
