# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a tar archive that a stranger has made: one entry after the other, in a single pass, and never more of it in memory than is bounded here.

Pure: it takes a function that gives the next bytes. Python's tarfile reads headers of any size into memory, and its filters came with 3.12.
Documents: pax(1), tar(5) of libarchive, "Storing Sparse Files" in GNU tar's manual.
"""

from __future__ import annotations

import base64
import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from .archive_acl import POSIX_ACLS, acl
from .archive_names import ArchiveError

FILE, DIRECTORY, SYMLINK, HARD_LINK, FIFO, CHARACTER, BLOCK = "file", "directory", "symbolic link", "hard link", "fifo", "character device", "block device"
BLOCK_SIZE = 512  # bytes of a header; what follows is padded to it
PIECE = 1 << 20  # bytes that are given at a time
_MOST_HEADER = 1 << 20  # bytes of one extended header, and of all that are for all entries
_MOST_HEADERS = 32  # extended headers of one entry
_MOST_RECORDS = 4096  # of one extended header, without a sparse file's map
_MOST_SHARED = 256  # records that are for all entries: each of them is looked at for each entry
_MOST_SEGMENTS = 1 << 18  # of a sparse file
_MOST_DIGITS = 20  # of a number in a sparse file's map

_KINDS: Mapping[bytes, str] = {
    b"0": FILE, b"\0": FILE, b"7": FILE, b"S": FILE, b"1": HARD_LINK, b"2": SYMLINK, b"3": CHARACTER, b"4": BLOCK, b"5": DIRECTORY, b"6": FIFO,
}
_RECORD = re.compile(rb"([1-9][0-9]{0,7}) ")
_DECIMAL = re.compile(rb"(-?)([0-9]{1,19})(?:\.([0-9]*))?")
_NUMBER = re.compile(rb"[0-9]{1,19}")
# What an extended header says that anybody here looks at; a stranger may have written a gigabyte of everything else.
_USED = (b"path", b"linkpath", b"size", b"mtime", b"uid", b"gid")
_USED_KINDS = (b"SCHILY.xattr.", b"SCHILY.acl.", b"LIBARCHIVE.xattr.", b"GNU.sparse.")


@dataclass(frozen=True)
class Entry:
    """One entry as the archive has it, believed by nobody yet.

    `stored` are its bytes in the archive, `length` the file's, holes included; `segments` are (offset, bytes) of what is stored of a sparse one.
    `mtime` is in ns since 1970. `xattrs` are extended attributes as the kernel takes them, ACLs among them.
    """

    name: str
    kind: str
    target: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    stored: int = 0
    length: int = 0
    segments: tuple[tuple[int, int], ...] | None = None
    xattrs: tuple[tuple[str, bytes], ...] = ()


class Archive:
    """The entries of an archive. `read(n)` gives the next n bytes, fewer only at the end. Raises ArchiveError for what is none."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._left = 0  # bytes of the present entry that nobody has read
        self._padding = 0
        self._shared: dict[bytes, bytes] = {}
        self._shared_bytes = 0  # of all headers that were for all entries

    def __iter__(self) -> Iterator[Entry]:
        last = ""
        try:
            while True:
                entry = self._next()
                if entry is None:
                    return
                last = entry.name
                yield entry
                self._skip()
        except ArchiveError as error:
            if error.entry:
                raise
            raise ArchiveError(last, f"{'is followed by what' if last else 'it'} is no tar archive: {error.reason}") from None

    def data(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """What is stored of the present entry: (offset in the file, bytes), in pieces."""
        segments = ((0, entry.stored),) if entry.segments is None else entry.segments
        for offset, size in segments:
            while size:
                piece = self._exactly(min(size, PIECE, self._left or 1))
                self._left -= len(piece)
                yield offset, piece
                offset, size = offset + len(piece), size - len(piece)

    def _next(self) -> Entry | None:
        own: dict[bytes, bytes] = {}
        sparse: list[tuple[int, int]] = []
        for _number in range(_MOST_HEADERS):
            block = self._read(BLOCK_SIZE)
            if not block.strip(b"\0"):
                return None  # the end, as it is written; or what has been cut off there, which its checksum says
            if len(block) < BLOCK_SIZE or _octal(block[148:156]) not in _sums(block):
                raise ArchiveError("", "a header is damaged")
            kind, size = block[156:157], _number_of(block[124:136])
            if kind in (b"x", b"X"):
                found, sparse = _pax(self._header(size))
                own.update(found)
            elif kind == b"g":
                self._share(size)
            elif kind in (b"L", b"K"):
                own[b"path" if kind == b"L" else b"linkpath"] = self._header(size).split(b"\0")[0]
            elif kind == b"V":  # the volume's name
                self._begin(size)
                self._skip()
            else:
                return self._entry(block, ChainMap(own, self._shared), sparse)
        raise ArchiveError("", "an entry has headers without end")

    def _share(self, size: int) -> None:
        """A header that is for all entries that follow. They stay in memory to the end, so that all of them together are bounded, and not only each."""
        self._shared_bytes += size
        if self._shared_bytes > _MOST_HEADER:
            raise ArchiveError("", f"the headers for all entries have more than the {_MOST_HEADER} bytes that they may have")
        self._shared.update(_pax(self._header(size))[0])
        if len(self._shared) > _MOST_SHARED:
            raise ArchiveError("", f"the headers for all entries have more than the {_MOST_SHARED} records that they may have")

    def _entry(self, block: bytes, pax: Mapping[bytes, bytes], sparse: list[tuple[int, int]]) -> Entry:
        raw = pax.get(b"GNU.sparse.name") or pax.get(b"path") or _name(block)
        name = _text(raw)
        try:
            kind = _KINDS.get(block[156:157])
            if kind is None:
                raise ArchiveError(name, f"is of a kind that no file system has ({block[156:157]!r})")
            if kind == FILE and raw.endswith(b"/"):
                kind = DIRECTORY  # as before there was a letter for it
            stored = _count(pax[b"size"]) if b"size" in pax else _number_of(block[124:136])
            self._begin(stored)
            length, segments = stored, None
            if kind == FILE:
                length, segments = self._sparse(block, pax, sparse, stored)
                stored = self._left
            return Entry(
                name, kind,
                target=_text(pax.get(b"linkpath") or block[157:257].split(b"\0")[0]) if kind in (SYMLINK, HARD_LINK) else "",
                mode=_number_of(block[100:108]) & 0o7777,
                uid=_count(pax[b"uid"]) if b"uid" in pax else _number_of(block[108:116]),
                gid=_count(pax[b"gid"]) if b"gid" in pax else _number_of(block[116:124]),
                mtime=_nanoseconds(pax[b"mtime"]) if b"mtime" in pax else _number_of(block[136:148]) * 10**9,
                stored=stored,
                length=length,
                segments=segments,
                xattrs=_xattrs(pax),
            )
        except ArchiveError as error:
            raise error if error.entry else ArchiveError(name, error.reason) from None

    def _sparse(self, block: bytes, pax: Mapping[bytes, bytes], sparse: list[tuple[int, int]], stored: int) -> tuple[int, tuple[tuple[int, int], ...] | None]:
        """The file's length and what is stored of it; the map of a sparse one is in its header (GNU), its pax header (0.0, 0.1) or before its data (1.0)."""
        if block[156:157] == b"S":
            length, segments = _number_of(block[483:495]), _pairs(block[386:482])
            more = block[482]
            while more:
                extension = self._exactly(BLOCK_SIZE)
                segments += _pairs(extension[:504])
                more = extension[504]
                if len(segments) > _MOST_SEGMENTS:
                    raise ArchiveError("", "is in more pieces than a sparse file may be")
        elif pax.get(b"GNU.sparse.major") == b"1":
            length, segments = _count(pax.get(b"GNU.sparse.realsize", b"")), self._map()
        elif b"GNU.sparse.map" in pax:
            numbers = [_count(number) for number in pax[b"GNU.sparse.map"].split(b",")]
            length, segments = _count(pax.get(b"GNU.sparse.size", b"")), list(zip(numbers[::2], numbers[1::2]))
        elif sparse:
            length, segments = _count(pax.get(b"GNU.sparse.size", b"")), sparse
        else:
            return stored, None
        end = 0
        for offset, size in segments:
            if offset < end or offset + size > length:
                raise ArchiveError("", "is a sparse file whose pieces do not fit into it")
            end = offset + size
        if sum(size for _offset, size in segments) != self._left:
            raise ArchiveError("", "is a sparse file whose pieces are not what is stored of it")
        return length, tuple(segments)

    def _map(self) -> list[tuple[int, int]]:
        """Lines of numbers at the start of the data, padded to a block."""
        numbers: list[int] = []
        rest, wanted = b"", 1  # how many pairs follow
        while len(numbers) < wanted:
            if self._left < BLOCK_SIZE:
                raise ArchiveError("", "is a sparse file without a map")
            *lines, rest = (rest + self._exactly(BLOCK_SIZE)).split(b"\n")
            self._left -= BLOCK_SIZE
            for line in lines:
                if len(numbers) == wanted:
                    break
                numbers.append(_count(line))
                if len(numbers) == 1:
                    wanted = 1 + 2 * numbers[0]
            if numbers and numbers[0] > _MOST_SEGMENTS:
                raise ArchiveError("", "is in more pieces than a sparse file may be")
            if len(numbers) < wanted and len(rest) > _MOST_DIGITS:
                raise ArchiveError("", "a number in a header is none")
        return list(zip(numbers[1::2], numbers[2::2]))

    def _begin(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK_SIZE

    def _skip(self) -> None:
        rest, padding, self._left, self._padding = self._left, self._padding, 0, 0
        while rest:
            rest -= len(self._exactly(min(rest, PIECE)))
        self._read(padding)  # which umoci leaves out at the end

    def _header(self, size: int) -> bytes:
        if size > _MOST_HEADER:
            raise ArchiveError("", f"a header has {size} bytes, and may have {_MOST_HEADER}")
        content = self._exactly(size)
        self._exactly(-size % BLOCK_SIZE)
        return content

    def _exactly(self, size: int) -> bytes:
        content = self._read(size)
        if len(content) != size:
            raise ArchiveError("", "it ends in the middle")
        return content


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\0")[0]
    prefix = block[345:500].split(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _sums(block: bytes) -> tuple[int, int]:
    """Of all bytes but the sum's own, which count as spaces; some old programs took them for signed."""
    bare = block[:148] + b" " * 8 + block[156:]
    return sum(bare), sum(byte - 256 if byte > 127 else byte for byte in bare)


def _octal(field: bytes) -> int:
    text = field.split(b"\0")[0].strip()
    if not text.strip(b"01234567"):
        return int(text or b"0", 8)
    raise ArchiveError("", "a number in a header is none")


def _number_of(field: bytes) -> int:
    """A number in a header: octal, or in base 256 where the first bit is set; never negative."""
    if not field[0] & 0x80:
        return _octal(field)
    number = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    if field[0] & 0x40 or number > 1 << 62:
        raise ArchiveError("", "a number in a header is negative, or too large")
    return number


def _count(text: bytes) -> int:
    if not _NUMBER.fullmatch(text):
        raise ArchiveError("", "a number in a header is none")
    return min(int(text), 1 << 62)


def _nanoseconds(text: bytes) -> int:
    found = _DECIMAL.fullmatch(text)
    if not found:
        raise ArchiveError("", "a time in a header is none")
    sign, whole, fraction = found.groups()
    value = int(whole) * 10**9 + int(((fraction or b"") + b"0" * 9)[:9])
    return -value if sign else value


def _pairs(field: bytes) -> list[tuple[int, int]]:
    found = []
    for at in range(0, len(field) - 23, 24):
        if not field[at]:
            break
        found.append((_number_of(field[at : at + 12]), _number_of(field[at + 12 : at + 24])))
    return found


def _pax(content: bytes) -> tuple[dict[bytes, bytes], list[tuple[int, int]]]:
    """The records of an extended header, each C(LENGTH KEY=VALUE\\n); and the map of a sparse file, whose keys come again and again."""
    found: dict[bytes, bytes] = {}
    numbers: list[int] = []
    at = count = 0
    while at < len(content) and content[at]:
        match = _RECORD.match(content, at)
        end = at + int(match.group(1)) if match else 0
        record = content[match.end() : end] if match else b""
        if not match or end > len(content) or not record.endswith(b"\n") or b"=" not in record:
            raise ArchiveError("", "an extended header is damaged")
        key, _equals, value = record[:-1].partition(b"=")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            numbers.append(_count(value))
        else:
            count += 1
            if count > _MOST_RECORDS:
                raise ArchiveError("", f"an extended header has more than the {_MOST_RECORDS} records that it may have")
        if key in _USED or key.startswith(_USED_KINDS):
            found[key] = value
        at = end
    return found, list(zip(numbers[::2], numbers[1::2]))


def _xattrs(pax: Mapping[bytes, bytes]) -> tuple[tuple[str, bytes], ...]:
    """The attributes that a VPS's files keep: the user's, capabilities and ACLs. What belongs to the kernel's other parts is left out."""
    found: dict[str, bytes] = {}
    for key, value in pax.items():
        if key.startswith(b"SCHILY.xattr."):
            found[_text(key[13:])] = value
        elif key.startswith(b"LIBARCHIVE.xattr."):
            found.setdefault(_text(unquote_to_bytes(key[17:])), _base64(value))
    for key, name in POSIX_ACLS.items():
        if key in pax and name not in found:  # with numbers, where they are among the attributes too; else in words
            found[name] = acl(pax[key])
    return tuple(
        (name, value) for name, value in sorted(found.items())
        if (name.startswith("user.") and len(name) < 256 and "\0" not in name) or name == "security.capability" or name in POSIX_ACLS.values()
    )


def _base64(value: bytes) -> bytes:
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except ValueError:
        raise ArchiveError("", "an extended attribute is damaged") from None
