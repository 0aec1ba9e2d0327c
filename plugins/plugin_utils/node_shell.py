# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to a node's shell, and how its answer is read. Pure: nothing is run here.

A connection plugin takes one string for the node's shell, and gives back an exit code that may be its own: ssh ends with 255 where the
connection broke, and where the command did. So the command goes as arguments to a script of ours, which never ends with any code but
its own, frames what the command said with a word that nobody can foresee, and cuts off what is too much.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PREFIX, MEANT = "ansible_vps_node_", "ansible_"
_EXIT = re.compile(rb"(\d{1,3})\n")

# $1 is the word, $2 how many bytes of each stream pass, or `all`: head(1) keeps back what it has for a while, where somebody may wait for
# a prompt. Descriptors: 3 and 4 are the answer's own streams, 5 carries the exit code out of the pipes, 6 is the command's output on its
# way past its errors.
_SCRIPT = """\
word=$1; most=$2; shift 2
cut() { if [ "$most" = all ]; then cat; else head -c "$most"; fi; }
exec 3>&1 4>&2
printf '%s\\n' "$word" >&3
printf '%s\\n' "$word" >&4
code=$({ { { "$@" 3>&- 4>&- 5>&- 6>&-; echo "$?" >&5; } 2>&1 >&6 | cut >&4; } 6>&1 | cut >&3; } 5>&1)
printf '%s%s\\n' "$word" "$code" >&4
"""


@dataclass(frozen=True)
class Answer:
    """What a command on the node ended with, and said, byte for byte."""

    code: int
    output: bytes
    errors: bytes


def variables_of_node(given: Mapping[str, object]) -> dict[str, object]:
    """The variables of the node's own connection among those of a VPS: C(ansible_vps_node_X) is the node's C(ansible_X)."""
    return {MEANT + name[len(PREFIX) :]: value for name, value in given.items() if name.startswith(PREFIX) and value is not None}


def command_line(argv: Sequence[str], *, word: str, most: int | None, reads: bool) -> str:
    """The one string that makes a shell run a command within the script. Without `reads` its standard input is empty.

    `most`: bytes of each stream that pass; None for all, at once.
    """
    line = shlex.join(["/bin/sh", "-c", _SCRIPT, "sh", word, "all" if most is None else str(most), *argv])
    return line if reads else f"{line} </dev/null"


def answer_of(output: bytes, errors: bytes, *, word: str) -> Answer | None:
    """The command's own answer; None where the script has not come to its end, so that it says nothing of the command.

    What ssh, a login shell or `become` said before the word is left out. A connection plugin that looks for `become` inside may have
    swallowed the first word.
    """
    mark = word.encode("ascii")
    before, found, after = errors.rpartition(mark)
    ending = _EXIT.match(after) if found else None
    return Answer(int(ending.group(1)), _after(mark, output), _after(mark, before)) if ending else None


def _after(mark: bytes, said: bytes) -> bytes:
    _noise, begun, own = said.partition(mark + b"\n")
    return own if begun else said
