# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks on single values that come from a playbook: names, labels, keys, hashes. Addresses are core/addresses.py's.

Pure. Each takes the option's name and gives the value in its normal form, or raises one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .errors import VpsError, shown, written
from .units import UNLIMITED

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_HOSTNAME = re.compile(_NAME.pattern, re.IGNORECASE | re.ASCII)
_NUMBERS = re.compile(r"[0-9]{1,4}(?:-[0-9]{1,4})?")
RANGES = re.compile(rf"{_NUMBERS.pattern}(?:,{_NUMBERS.pattern})*")
_HASH = re.compile(r"[!*]|\$[0-9A-Za-z]+\$[./0-9A-Za-z$=,-]{8,250}")
_KEY = re.compile(
    r"(?:[^\x00-\x1f]+ )?"  # options, as sshd(8) has them
    r"(?:ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9@.-]+)(?:@openssh\.com)? "
    r"[A-Za-z0-9+/]{16,}={0,3}(?: [^\x00-\x1f]*)?"
)
_LABEL_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,62}")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9_./-]{0,63}")
LONGEST_NAME = 63
LONGEST_HOSTNAME = 64  # utsname(2): the kernel keeps no more


def parse_name(text: str, *, option: str = "name") -> str:
    """A name that is safe as a directory, a cgroup, a unit and a host name, all of which it becomes."""
    if not _NAME.fullmatch(text) or len(text) > LONGEST_NAME:
        raise VpsError(
            f"{option}: {shown(text)} cannot be used; a name has up to {LONGEST_NAME} characters of a-z, 0-9, '-' and '.', "
            "and starts and ends with a letter or digit."
        )
    return text


def parse_hostname(text: str, *, option: str = "hostname") -> str:
    """A host name (RFC 1123), which the kernel bounds to 64 characters."""
    if not _HOSTNAME.fullmatch(text) or len(text) > LONGEST_HOSTNAME:
        raise VpsError(
            f"{option}: {shown(text)} is not a host name; it has up to {LONGEST_HOSTNAME} characters of letters, digits, "
            "'-' and '.', and starts and ends with a letter or digit."
        )
    return text


def parse_password_hash(text: str, *, option: str = "root_password_hash") -> str:
    """A crypt(5) hash, or C(!) or C(*) for no password. A password in clear is refused, and never repeated."""
    if not _HASH.fullmatch(text):
        raise VpsError(f"{option}: this is not a crypt(5) hash ($y$…, $6$…); make one with mkpasswd, or the password_hash filter.")
    return text


def parse_authorized_keys(values: Iterable[str], *, option: str = "authorized_keys") -> tuple[str, ...]:
    """Public keys as in authorized_keys, one each; comments and empty lines are not keys."""
    keys = []
    for number, text in enumerate(values, 1):
        key = str(text).strip()
        if not _KEY.fullmatch(key):
            raise VpsError(f"{option}: entry {number} ({shown(key[:40])}) is not a public key; write for example 'ssh-ed25519 AAAA… me'.")
        if key not in keys:
            keys.append(key)
    return tuple(keys)


def parse_numbers(value: object, *, option: str, maximum: int) -> str | None:
    """A list of numbers as the kernel shows it, C(0-3,5), from one in any order; None for C(all) and C(unlimited).

    The form of cpuset(7), which vzctl's cpumask and nodemask have too.
    """
    text = ",".join(written(each) for each in value) if isinstance(value, (list, tuple)) else written(value).strip()
    if text.lower() in ("all", UNLIMITED):
        return None
    numbers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        if not _NUMBERS.fullmatch(part):
            raise VpsError(f"{option}: {shown(text)} is not a list of numbers; write for example 0-3,5, or all.")
        first, _dash, last = part.partition("-")
        if int(last or first) > maximum or int(last or first) < int(first):
            raise VpsError(f"{option}: {shown(part)} is not a range of numbers from 0 to {maximum}, the lower one first.")
        numbers.update(range(int(first), int(last or first) + 1))
    return _ranges(sorted(numbers))


def _ranges(numbers: list[int]) -> str:
    """The shortest list of ranges for numbers in their order."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def near(word: object, known: Iterable[str]) -> str | None:
    """What is perhaps meant by a word that there is not."""
    import difflib  # where there is a mistake, and not in each task

    return next(iter(difflib.get_close_matches(written(word).lower(), sorted(known), 1)), None)


def no_such_option(word: object, known: Collection[str]) -> str:
    """What to say of an option that there is not, after its name."""
    meant = near(word, known)
    return "there is no such option; " + (f"perhaps {meant} is meant." if meant else f"there are {', '.join(sorted(known))}.")


def parse_description(text: str, *, option: str = "description") -> str:
    """One line of free text."""
    if len(text) > 255 or any(ord(character) < 32 for character in text):
        raise VpsError(f"{option}: it is one line of up to 255 characters.")
    return text


def parse_labels(values: Any, *, option: str = "labels") -> tuple[tuple[str, str], ...]:
    """(key, value) of each label, by their keys."""
    if not isinstance(values, Mapping):
        raise VpsError(f"{option}: {shown(values)} is no set of labels; write for example {{tier: web}}.")
    found = {}
    for key, value in values.items():
        if not _LABEL_KEY.fullmatch(written(key)):
            raise VpsError(f"{option}: {shown(key)} cannot be a label; it has up to 63 letters, digits, '-', '_', '.' and '/', and starts with a letter.")
        text = str(value).lower() if isinstance(value, bool) else written(value)
        if not _LABEL_VALUE.fullmatch(text):
            raise VpsError(f"{option}.{key}: {shown(value)} cannot be its value; it has up to 63 letters, digits, '-', '_', '.' and '/'.")
        found[written(key)] = text
    return tuple(sorted(found.items()))


def parse_boot_order(value: Any) -> int:
    """A place in the order of the node's boot, 0 to 9999."""
    order = int(value)
    if not 0 <= order <= 9999:
        raise VpsError(f"boot_order: {order} is not between 0 and 9999; the lowest start first.")
    return order


def parse_seconds(value: int, *, option: str) -> int:
    """A time to wait, up to a day."""
    if not 0 <= int(value) <= 86_400:
        raise VpsError(f"{option}: {value} is out of range; give 0 to 86400 seconds.")
    return int(value)
