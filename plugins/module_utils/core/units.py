# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes, counts, percentages and durations: from what a person writes to numbers, and back.

Pure. Every function takes the option's name, so that its error can name it.
"""

from __future__ import annotations

import re

from .errors import VpsError, shown, written

UNLIMITED = "unlimited"

PAGE = 4096  # bytes: OpenVZ's unit of memory, and the kernel's on amd64; P is its suffix, as in vzctl

_FACTORS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": PAGE}
# fullmatch, [0-9] and ASCII: no line break within, no other script's digits, no letter that only folds to one of these.
# Twenty digits are more than any number here, and fewer than int() refuses.
_SIZE = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,6}))? *(?:([KMGT])(?:I?B)?|([BP]))?", re.IGNORECASE | re.ASCII)
_COUNT = re.compile(r"[0-9]{1,20}")
_PERCENT = re.compile(r"([0-9]{1,20}) *%?")
LARGEST = 1 << 62
# In bytes, below 1 EiB: no machine has that. Memory and swap together, which cgroup v1 shows as no limit from 1 << 62 on, stay below that too.
LARGEST_SIZE = (1 << 60) - (1 << 40)
ENDLESS = "never"  # for no duration, where that has a meaning
LONGEST = 36_500 * 86_400  # s: a hundred years
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"([0-9]{1,10}) *([smhdw])", re.ASCII)
_ENDLESS = (1 << 63) - 1  # what /proc/user_beancounters and OpenVZ's configuration files have for no limit


def parse_size(text: str, *, option: str, minimum: int = 0, unit: int = 1) -> int | None:
    """Bytes of C(512M), C(1.5G) or C(1073741824); None for C(unlimited).

    Suffixes are vzctl's: powers of 1024, P for pages of 4096 bytes, B for bytes. A number without one counts `unit` bytes.
    """
    text = written(text).strip()
    if is_unlimited(text):
        return None
    match = _SIZE.fullmatch(text)
    if not match:
        raise VpsError(f"{option}: {shown(text)} is not a size; write for example 512M, 2G or {UNLIMITED}.")
    whole, fraction, power, single = match.groups()
    suffix = power or single
    factor = _FACTORS[suffix.upper()] if suffix else unit
    size = int(whole) * factor
    if fraction:
        size += int(fraction) * factor // 10 ** len(fraction)
    return _bounded(size, text, option, minimum, LARGEST_SIZE, format_size, "pages" if unit == PAGE else "bytes")


def parse_pages(text: str, *, option: str, minimum: int = 0) -> int | None:
    """Pages of 4096 bytes: C(65536) is a number of them, C(256M) is turned into one, rounded down as the kernel does; None for C(unlimited)."""
    size = parse_size(text, option=option, minimum=minimum * PAGE, unit=PAGE)
    return None if size is None else size // PAGE


def is_unlimited(text: str) -> bool:
    """The word, or the number that OpenVZ writes for it."""
    return text.lower() == UNLIMITED or text == str(_ENDLESS)


def is_number(text: str) -> bool:
    """Whether it is a number without a unit, of no more digits than any here has."""
    return _COUNT.fullmatch(text) is not None


def parse_count(text: str, *, option: str, minimum: int = 0, maximum: int = LARGEST) -> int | None:
    """A whole number; None for C(unlimited)."""
    text = written(text).strip()
    if is_unlimited(text):
        return None
    if not _COUNT.fullmatch(text):
        raise VpsError(f"{option}: {shown(text)} is not a whole number; write for example {max(minimum, 100)} or {UNLIMITED}.")
    return _bounded(int(text), text, option, minimum, maximum, str)


def parse_percent(text: str, *, option: str, minimum: int = 1, maximum: int = LARGEST) -> int | None:
    """Percent of one CPU, C(50) or C(50%); None for C(unlimited)."""
    text = written(text).strip()
    if is_unlimited(text):
        return None
    match = _PERCENT.fullmatch(text)
    if not match:
        raise VpsError(f"{option}: {shown(text)} is not a percentage; write for example 50 (half of one CPU) or {UNLIMITED}.")
    return _bounded(int(match.group(1)), text, option, minimum, maximum, lambda value: f"{value}%")


def parse_duration(value: object, *, option: str, endless: bool = False) -> int | None:
    """Seconds of C(30m), C(12h) or C(7d), one at least; None for C(never), where that is no mistake (`endless`).

    A number alone is refused: who writes 7 means days as often as seconds.
    """
    text = written(value).strip().lower()
    if endless and text == ENDLESS:
        return None
    match, or_never = _DURATION.fullmatch(text), f" or {ENDLESS}" if endless else ""
    if not match:
        raise VpsError(f"{option}: {shown(text)} is not a duration; write for example 30m, 12h, 7d, 4w{or_never}.")
    seconds = int(match.group(1)) * _SECONDS[match.group(2)]
    if not 1 <= seconds <= LONGEST:
        raise VpsError(f"{option}: {shown(text)} is out of range; give 1s to {format_duration(LONGEST)}{or_never}.")
    return seconds


def format_duration(seconds: int | None) -> str:
    """The shortest exact way to write it, in days at the most."""
    if seconds is None:
        return ENDLESS
    return next(f"{seconds // size}{unit}" for unit, size in _SECONDS.items() if unit != "w" and seconds % size == 0)


def format_size(size: int | None) -> str:
    """The shortest exact way to write a number of bytes: 536870912 is C(512M), 1000 is C(1000B)."""
    if size is None:
        return UNLIMITED
    if size == 0:
        return "0"
    for suffix in "TGMK":
        if size % _FACTORS[suffix] == 0:
            return f"{size // _FACTORS[suffix]}{suffix}"
    return f"{size}B"


def format_count(count: int | None) -> str:
    """A number, or C(unlimited)."""
    return UNLIMITED if count is None else str(count)


def format_percent(percent: int | None) -> str:
    """A percentage, or C(unlimited)."""
    return UNLIMITED if percent is None else f"{percent}%"


def format_text(text: str | None) -> str:
    """A text as it is, or C(unlimited)."""
    return UNLIMITED if text is None else text


def _bounded(value: int, text: str, option: str, minimum: int, maximum: int, show, counted: str = "") -> int:
    if value < minimum:
        unit = f" {counted}" if counted and is_number(text) else ""  # who writes 512 means 512M
        raise VpsError(f"{option}: {shown(text)}{unit} is too small; the least is {show(minimum)}, or {UNLIMITED} for no limit.")
    if value > maximum:
        raise VpsError(f"{option}: {shown(text)} is too large; the most is {show(maximum)}, or {UNLIMITED} for no limit.")
    return value
