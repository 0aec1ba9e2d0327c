# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a template's tree holds, as a text that says the same of the same content: one line for each file, its checksum among it; and what differs in two.

Pure. The form is that of mtree(5), with two words of our own: C(hardlink), the first name of a file that has several, and C(xattr.NAME). Times are
left out: two builds from the same packages hold the same.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HEAD = "#mtree\n"
UNREADABLE = "unreadable"  # in place of a checksum
TOLD = 100  # names of each kind that a result lists
_PLAIN = re.compile(rb"[^!-\"$-\[\]-~]")  # what is not printed as it is: blanks, '#', '\' and all but ASCII
_ESCAPED = re.compile(r"\\([0-7]{3})")
_WORDS = {"uid": "owner", "gid": "group", "sha256digest": "content", "link": "target"}


@dataclass(frozen=True)
class Entry:
    """One file. `path` is relative to the root, which is C(.); `kind` as mtree(5) has them; `digest` is the SHA-256 of a regular file, in hex.

    `target` is where a symbolic link leads, `first` another name of the same file, which has been told. `xattrs` are those that belong to the content.
    """

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int | None = None
    digest: str | None = None
    target: str | None = None
    first: str | None = None
    xattrs: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class Differences:
    """What is not as it was: the paths of files that are other than they were, each with what of it; that are gone; and that nobody has put there."""

    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.extra)

    def __str__(self) -> str:
        counts = ((len(self.changed), "changed"), (len(self.missing), "missing"), (len(self.extra), "extra"))
        return ", ".join(f"{count} {word}" for count, word in counts if count) or "none"

    @property
    def named(self) -> dict[str, object]:
        """As a result has it: at most so many of each, and how many there are."""
        return {
            "count": len(self.changed) + len(self.missing) + len(self.extra),
            "changed": {path: list(self.changed[path]) for path in sorted(self.changed)[:TOLD]},
            "missing": sorted(self.missing)[:TOLD],
            "extra": sorted(self.extra)[:TOLD],
        }


def belongs(name: str) -> bool:
    """Whether an extended attribute is part of the content: the user's, capabilities and ACLs, which archives keep too."""
    return name.startswith("user.") or name in ("security.capability", "system.posix_acl_access", "system.posix_acl_default")


def line(entry: Entry) -> str:
    """An entry as a line, its end included."""
    words = [escape(entry.path), f"type={entry.kind}"]
    if entry.first is not None:
        return f"{words[0]} {words[1]} hardlink={escape(entry.first)}\n"
    words += [f"mode={entry.mode:04o}"] if entry.kind != "link" else []
    words += [f"uid={entry.uid}", f"gid={entry.gid}"]
    words += [f"size={entry.size}"] if entry.size is not None else []
    words += [f"link={escape(entry.target)}"] if entry.target is not None else []
    words += [f"sha256digest={entry.digest}"] if entry.digest is not None else []
    words += [f"xattr.{escape(name)}={base64.b64encode(value).decode()}" for name, value in sorted(entry.xattrs)]
    return " ".join(words) + "\n"


def compare(before: Iterable[str], now: Iterable[str]) -> Differences:
    """What differs in the second of two lists of lines."""
    old, new = _by_path(before), _by_path(now)
    return Differences(
        changed={_shown(path): _what(old[path], new[path]) for path in old if path in new and old[path] != new[path]},
        missing=tuple(_shown(path) for path in old if path not in new),
        extra=tuple(_shown(path) for path in new if path not in old),
    )


def escape(text: str) -> str:
    """A name as mtree(5) has it (vis(3), octal)."""
    return _PLAIN.sub(lambda found: b"\\%03o" % found.group()[0], text.encode("utf-8", "surrogateescape")).decode("ascii")


def _by_path(lines: Iterable[str]) -> dict[str, str]:
    found = {}
    for text in lines:
        if not text.startswith("#"):
            path, _blank, rest = text.rstrip("\n").partition(" ")
            found[path] = rest
    return found


def _what(before: str, now: str) -> tuple[str, ...]:
    """The words that differ, as people call them."""
    old, new = (dict(word.partition("=")[::2] for word in text.split(" ")) for text in (before, now))
    found = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return tuple(dict.fromkeys(_WORDS.get(key, key) for key in found))


def _shown(path: str) -> str:
    """A path for people: from the root of the tree, as it is where it can be printed."""
    raw = _ESCAPED.sub(lambda found: chr(int(found.group(1), 8)), path).encode("latin-1", "replace")
    text = raw.decode("utf-8", "replace")
    return (text if text.isprintable() else path).removeprefix(".") or "/"
