# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors that a user of the collection sees."""

from __future__ import annotations


# What making a thing of plain data raises, where somebody else has written it.
NOT_OURS = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class VpsError(Exception):
    """What was asked, what stands in the way, and what to do: one sentence, starting with the option's name.

    Raised everywhere, caught in the runner only. `details` goes to the result as it is, for logs and long output.
    """

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details


class NothingDone(VpsError):
    """The same, from a step that has left everything as it found it: there is nothing to finish or to undo."""


class GuestInTheWay(VpsError):
    """The same, where a guest's own files are not as they must be for the node to write to them."""


def written(value: object) -> str:
    """What was given, as text. Python writes no number of thousands of digits: a word that is none stands for it."""
    try:
        return str(value)
    except ValueError:
        return "a number too long to write"


def printable(text: object, length: int) -> str:
    """What was given, short and without control characters."""
    clean = "".join(character if character.isprintable() else "?" for character in written(text))
    return f"{clean[:length]}…" if len(clean) > length else clean


def shown(text: object, length: int = 60) -> str:
    """The same, for an error: in quotes."""
    return f"'{printable(text, length)}'"
