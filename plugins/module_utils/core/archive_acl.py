# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""POSIX ACLs as tar archives have them, turned into what the kernel takes (acl(5); include/uapi/linux/posix_acl_xattr.h).

Pure.
"""

from __future__ import annotations

import struct

from .archive_names import ArchiveError

POSIX_ACLS = {b"SCHILY.acl.access": "system.posix_acl_access", b"SCHILY.acl.default": "system.posix_acl_default"}
_MOST = 64 << 10  # bytes of the text
_TAGS = {("user", False): 0x01, ("user", True): 0x02, ("group", False): 0x04, ("group", True): 0x08, ("mask", False): 0x10, ("other", False): 0x20}
_NOBODY = 0xFFFFFFFF


def acl(text: bytes) -> bytes:
    """The attribute's value from lines like C(user:1000:rw-). Raises ArchiveError; a name in place of a number cannot be known here."""
    found = []
    for line in text[:_MOST].decode("ascii", "replace").replace(",", "\n").splitlines():
        words = [word.strip() for word in line.split("#")[0].split(":")]
        if words == [""]:
            continue
        if len(words) == 2:  # C(other:r--), and C(mask:rwx) as Solaris writes them
            words.insert(1, "")
        if not 3 <= len(words) <= 4:
            raise ArchiveError("", "has an ACL that cannot be read")
        who, allowed = words[1], words[2]
        if who and len(words) == 4 and not who.isdecimal():  # star's C(user:NAME:rwx:NUMBER)
            who = words[3]
        tag = _TAGS.get(({"u": "user", "g": "group", "m": "mask", "o": "other"}.get(words[0], words[0]), bool(who)))
        if tag is None or len(allowed) != 3 or any(letter not in (wanted, "-") for letter, wanted in zip(allowed, "rwx")):
            raise ArchiveError("", "has an ACL that cannot be read")
        if who and not (who.isascii() and who.isdecimal() and len(who) < 10):
            raise ArchiveError("", f"has an ACL for {who[:40]!r}; which is no number; tar --xattrs --xattrs-include='*' makes an archive that has numbers")
        found.append((tag, sum(bit for bit, letter in zip((4, 2, 1), allowed) if letter != "-"), int(who) if who else _NOBODY))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in sorted(found))
