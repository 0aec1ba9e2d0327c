# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stranger's tar archive, read: what Python's own writer has put in comes out again, and what is none is an error and never more than that."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import tracemalloc
from collections.abc import Iterator

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import archive
from ansible_collections.mainline.vps.plugins.module_utils.core.archive import Archive, Entry
from ansible_collections.mainline.vps.plugins.module_utils.core.archive_acl import acl
from ansible_collections.mainline.vps.plugins.module_utils.core.archive_names import ArchiveError, components, leaves


def written(*entries: tuple[dict, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of entries, as Python writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as file:
        for fields, content in entries:
            info = tarfile.TarInfo()
            for name, value in {"size": len(content), **fields}.items():
                setattr(info, name, value)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read(content: bytes) -> list[tuple[Entry, bytes]]:
    """All of an archive."""
    found = []
    reader = Archive(io.BytesIO(content).read)
    for entry in reader:
        data = bytearray()
        for offset, piece in reader.data(entry) if entry.kind == archive.FILE else ():
            data[len(data) :] = bytes(offset - len(data)) + piece
        found.append((entry, bytes(data)))
    return found


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_was_written_is_read(form):
    long = "d" * 90 + "/" + "f" * 90 if form == tarfile.USTAR_FORMAT else "d" * 200 + "/" + "ü" * 100
    content = written(
        ({"name": long, "mode": 0o4755, "uid": 5, "gid": 7, "mtime": 1_000_000_000}, b"content" * 1000),
        ({"name": "folder", "type": tarfile.DIRTYPE, "mode": 0o1777}, b""),
        ({"name": "link", "type": tarfile.SYMTYPE, "linkname": "t" * 90}, b""),
        ({"name": "hard", "type": tarfile.LNKTYPE, "linkname": "folder/x"}, b""),
        ({"name": "pipe", "type": tarfile.FIFOTYPE}, b""),
        ({"name": "null", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, b""),
        ({"name": "disk", "type": tarfile.BLKTYPE}, b""),
        form=form,
    )
    (first, data), *others = read(content)
    assert (first.name, first.kind, first.mode, first.uid, first.gid, first.mtime) == (long, "file", 0o4755, 5, 7, 10**18)
    assert data == b"content" * 1000
    assert [(entry.name.rstrip("/"), entry.kind, entry.target) for entry, _data in others] == [
        ("folder", "directory", ""), ("link", "symbolic link", "t" * 90), ("hard", "hard link", "folder/x"),
        ("pipe", "fifo", ""), ("null", "character device", ""), ("disk", "block device", ""),
    ]


def test_entries_whose_data_nobody_reads_are_passed_over():
    reader = Archive(io.BytesIO(written(*(({"name": f"f{number}"}, bytes(700 * number)) for number in range(5)))).read)
    assert [entry.name for entry in reader] == [f"f{number}" for number in range(5)]


def test_large_numbers_and_fine_times():
    (entry, _data), = read(written(({"name": "f", "uid": 3_000_000, "mtime": 1.25}, b"")))
    assert (entry.uid, entry.mtime) == (3_000_000, 1_250_000_000)
    (entry, _data), = read(written(({"name": "f", "uid": 3_000_000}, b""), form=tarfile.GNU_FORMAT))
    assert entry.uid == 3_000_000


def test_attributes_are_the_users_and_those_that_systems_need():
    pax = {"SCHILY.xattr.user.note": "a=b", "LIBARCHIVE.xattr.user.n%C3%B6te": "Ynl0ZXM", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    pax["SCHILY.acl.access"] = "user::rw-,group::r--,other::---"
    (entry, _data), = read(written(({"name": "f", "pax_headers": pax}, b"")))
    assert dict(entry.xattrs) == {"user.note": b"a=b", "user.nöte": b"bytes", "system.posix_acl_access": acl(b"user::rw-,group::r--,other::---")}


def test_an_acl_is_as_the_kernel_takes_it():
    nobody = 0xFFFFFFFF
    wanted = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *each) for each in ((1, 6, nobody), (2, 6, 7), (2, 7, 1000), (4, 4, nobody), (8, 5, 50), (16, 7, nobody), (32, 0, nobody))
    )
    assert acl(b"user::rw-\nuser:1000:rwx\nuser:7:rw-\ngroup::r--\ngroup:50:r-x\t#effective:r--\nmask::rwx\nother::---\n") == wanted
    assert acl(b"u::rw-,user:ann:rwx:1000,user:7:rw-,group::r--,group:50:r-x,mask:rwx,other:---") == wanted


@pytest.mark.parametrize(
    "text", [b"user:ann:rwx", b"user:1:rwxx", b"nobody::rwx", b"user:1:xwr", b"user", b"user:99999999999:rwx", b"mask:5:rwx", b"\xff::rwx", b":" * 9]
)
def test_an_acl_that_says_something_else_is_none(text):
    with pytest.raises(ArchiveError):
        acl(text)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "//x", "..", "../x", "a/../b", "a/..", "/..", "/./../x", "x" * 256, "ü" * 128, "a/" * 2500, "a\0b", "./../."],
)
def test_names_that_no_entry_may_have(name):
    with pytest.raises(ArchiveError):
        components(name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("a/b", ("a", "b")), ("./a//b/", ("a", "b")), (".", ()), ("", ()), ("./", ()), ("/", ()), ("/.", ()), ("..a/b..", ("..a", "b..")), ("...", ("...",))],
)
def test_names_that_they_have(name, parts):
    assert components(name) == parts


@pytest.mark.parametrize(
    ("place", "target", "out"),
    [
        ("a", "..", True), ("a", "b/../..", True), ("a/b", "..", False), ("a/b", "../..", True), ("a/b", "../c", False),
        ("a", "/..", True), ("a", "/etc", False),
        ("a", "/x/../etc", False),
        ("a/b/c", "../../../x", True), ("a/b/c", "../../x", False), ("a", "./.././x", True), ("a", "b", False),
    ],
)
def test_where_links_lead(place, target, out):
    assert leaves(tuple(place.split("/")), target) is out


def header(**fields: object) -> bytes:
    """One header, by Python."""
    info = tarfile.TarInfo("x")
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "content",
    [
        b"x" * 512, b"x", header()[:100], header(size=5), header(size=1 << 40) + bytes(512),
        header(type=b"x", size=2 << 20) + bytes(3 << 20),
        header(type=b"x", size=20) + b"99 path=x\n".ljust(512, b"\0") + header(), header(type=b"x", size=9) + b"9 a=bcde\0".ljust(512, b"\0") + header(),
        header(type=b"L", size=0) * 40, header(type=b"Z"), header()[:148] + b"0000000\0" + header()[156:],
        header(type=b"x", size=13) + b"13 size=-100\n".ljust(512, b"\0") + header(),
        header(type=b"x", size=12) + b"12 mtime=1e9\n".ljust(512, b"\0") + header(),
    ],
)
def test_what_is_no_archive_is_an_error(content):
    with pytest.raises(ArchiveError):
        read(content)


def record(key: bytes, value: bytes) -> bytes:
    """One record of an extended header."""
    size = len(key) + len(value) + 3
    while len(str(size)) + len(key) + len(value) + 3 != size:
        size = len(str(size)) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (size, key, value)


def extended(*records: bytes, kind: bytes = b"x") -> bytes:
    """An extended header with its records; kind C(g) is for all entries."""
    content = b"".join(records)
    return header(type=kind, size=len(content)) + content + bytes(-len(content) % 512)


def from_pieces(pieces: Iterator[bytes]) -> Archive:
    """An archive that is nowhere as a whole."""
    kept = bytearray()

    def give(size: int) -> bytes:
        while len(kept) < size:
            piece = next(pieces, b"")
            if not piece:
                break
            kept.extend(piece)
        found = bytes(kept[:size])
        del kept[:size]
        return found

    return Archive(give)


def test_what_is_said_for_all_entries_holds_until_an_entry_says_otherwise():
    content = extended(record(b"uid", b"7"), record(b"comment", b"c" * 50), record(b"SCHILY.xattr.user.a", b"all"), kind=b"g")
    content += header() + extended(record(b"uid", b"8"), record(b"SCHILY.xattr.user.a", b"own")) + header()
    content += extended(record(b"gid", b"9"), kind=b"g") + header()
    found = [entry for entry, _data in read(content)]
    assert [(entry.uid, entry.gid, entry.xattrs) for entry in found] == [
        (7, 0, (("user.a", b"all"),)), (8, 0, (("user.a", b"own"),)), (7, 9, (("user.a", b"all"),)),
    ]


@pytest.mark.parametrize("key", [b"comment.%d", b"SCHILY.xattr.user.%d"])
def test_headers_for_all_entries_are_bounded_all_together(key):
    """Each of them is as large as one may be, and none is too large."""
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="headers for all entries"):
            list(from_pieces(extended(record(key % number, b"v" * 500_000), kind=b"g") + header() for number in range(200)))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_so_are_their_records_each_of_which_costs_every_entry():
    shared = [record(b"SCHILY.xattr.user.%d" % number, b"") for number in range(257)]
    assert len(read(extended(*shared[:256], kind=b"g") + header())[0][0].xattrs) == 256
    with pytest.raises(ArchiveError, match="256 records"):
        read(extended(*shared[:200], kind=b"g") + extended(*shared[200:], kind=b"g") + header())


def test_and_the_records_of_one_header():
    many = [record(b"k", b"")] * 4096
    assert read(extended(*many) + header())[0][0].name == "x"
    with pytest.raises(ArchiveError, match="4096 records"):
        read(extended(*many, record(b"k", b"")) + header())


def sparse(lines: bytes, stored: bytes, length: int) -> bytes:
    """A sparse file of GNU tar's form 1.0, whose map is before its data."""
    records = (record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0"), record(b"GNU.sparse.realsize", b"%d" % length))
    content = lines.ljust(-(-len(lines) // 512) * 512, b"\0") + stored
    return extended(*records) + header(size=len(content)) + content + bytes(-len(content) % 512)


def test_a_sparse_file_is_read_with_its_holes():
    many = b"".join(b"%d\n1\n" % (2 * number) for number in range(1000))
    (first, data), (second, dots) = read(sparse(b"2\n1\n2\n5\n1\n", b"abc", 8) + sparse(b"1000\n" + many, b"." * 1000, 2000))
    assert (first.length, first.segments, data) == (8, ((1, 2), (5, 1)), b"\0ab\0\0c")
    assert (second.length, dots) == (2000, (b".\0" * 1000)[:-1])


@pytest.mark.parametrize(
    ("lines", "stored", "length"),
    [
        (b"1\n0\n2\n", b"a", 8), (b"1\n0\n2\n", b"abc", 8), (b"2\n0\n2\n1\n1\n", b"abc", 8), (b"1\n7\n2\n", b"ab", 8),
        (b"", b"", 8), (b"2\n0\n", b"", 8), (b"-1\n", b"", 8), (b"1\n\n0\n0\n", b"", 8), (b"262145\n", bytes(1024), 8),
    ],
)
def test_a_map_that_does_not_fit_what_is_stored_is_refused(lines, stored, length):
    with pytest.raises(ArchiveError):
        read(sparse(lines, stored, length))


def test_a_sparse_file_may_be_in_as_many_pieces_as_are_bounded(monkeypatch):
    monkeypatch.setattr(archive, "_MOST_SEGMENTS", 30)
    lines = b"".join(b"%d\n1\n" % number for number in range(31))
    assert len(read(sparse(b"30\n" + lines[:-5], b"x" * 30, 30))[0][1]) == 30
    with pytest.raises(ArchiveError, match="more pieces"):
        read(sparse(b"31\n" + lines, b"x" * 31, 31))
    assert len(read(old_sparse(25, 25))[0][1]) == 25
    with pytest.raises(ArchiveError, match="more pieces"):
        read(old_sparse(46, 46))


def old_sparse(pieces: int, length: int) -> bytes:
    """A sparse file of GNU tar's old form: 4 pieces in its header, and 21 in each block that follows."""
    pairs = [b"%011o\0%011o\0" % (number, 1) for number in range(pieces)]
    first = bytearray(header(type=b"S", size=pieces))
    first[386:482] = b"".join(pairs[:4]).ljust(96, b"\0")
    first[482], first[483:495] = pieces > 4, b"%011o\0" % length
    first[148:156] = b"%06o\0 " % (sum(first[:148]) + 256 + sum(first[156:]))
    blocks = [b"".join(pairs[at : at + 21]).ljust(504, b"\0") + bytes([at + 21 < pieces]) + bytes(7) for at in range(4, pieces, 21)]
    return bytes(first) + b"".join(blocks) + b"x" * pieces + bytes(-pieces % 512)


def test_a_map_without_an_end_of_line_is_not_read_to_its_end():
    """A gigabyte of digits in one line: what is refused after the first block is not looked at again and again."""
    given = []

    def digits() -> Iterator[bytes]:
        yield extended(record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.realsize", b"8")) + header(size=1 << 30)
        for _block in range(1 << 21):
            given.append(512)
            yield b"0" * 512

    with pytest.raises(ArchiveError, match="number"):
        list(from_pieces(digits()))
    assert sum(given) <= 1024


@pytest.mark.parametrize("field", [b"\xff" * 12, b"\xc0" + bytes(11), b"\x80" + b"\xff" * 11])
def test_numbers_in_base_256_that_are_negative_or_too_large(field):
    block = bytearray(header())
    block[136:148] = field
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:]))
    with pytest.raises(ArchiveError, match="negative"):
        read(bytes(block))


def test_an_acl_in_numbers_comes_before_one_in_words():
    pax = (record(b"SCHILY.acl.access", b"user::rwx,group::rwx,other::rwx"), record(b"SCHILY.xattr.system.posix_acl_access", b"numbers"))
    assert read(extended(*pax) + header())[0][0].xattrs == (("system.posix_acl_access", b"numbers"),)
    (entry, _data), = read(extended(record(b"LIBARCHIVE.xattr.user.a", b"Yg=="), record(b"SCHILY.xattr.user.a", b"s")) + header())
    assert entry.xattrs == (("user.a", b"s"),)


@pytest.mark.parametrize(
    ("name", "kept"), [("user." + "n" * 250, True), ("user." + "n" * 251, False), ("user.a\0b", False), ("security.capability", True), ("security.ima", False)]
)
def test_which_names_attributes_may_have(name, kept):
    (entry, _data), = read(extended(record(b"SCHILY.xattr." + name.encode(), b"v")) + header())
    assert [found for found, _value in entry.xattrs] == ([name] if kept else [])


def test_nothing_is_read_in_one_piece_that_an_entry_asks_for():
    asked = []

    def endless(size: int) -> bytes:
        asked.append(size)
        return header(size=1 << 50) if len(asked) == 1 else bytes(size)

    reader = Archive(endless)
    entry = next(iter(reader))
    for _offset, _piece in zip(range(50), reader.data(entry)):
        pass
    assert max(asked) <= 1 << 20


def test_noise_is_an_error_or_an_archive_and_ends():
    """Two thousand archives with some bytes changed and the sum put right."""
    whole = written(
        ({"name": "a" * 150, "pax_headers": {"SCHILY.xattr.user.a": "b", "SCHILY.acl.access": "user::rw-"}}, b"content" * 100),
        ({"name": "s", "pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "900", "GNU.sparse.name": "s"}},
         b"1\n0\n88\n".ljust(512, b"\0") + bytes(88)),
        ({"name": "l", "type": tarfile.SYMTYPE, "linkname": "x" * 120}, b""),
    )
    chance = random.Random(1)
    outcomes = set()
    for _round in range(2000):
        content = bytearray(whole)
        for _byte in range(chance.choice((1, 2, 20))):
            at = chance.randrange(len(content))
            content[at] = chance.randrange(256)
            block = at // 512 * 512
            if content[block + 257 : block + 262] == b"ustar":
                content[block + 148 : block + 156] = b"%06o\0 " % (sum(content[block : block + 148]) + 256 + sum(content[block + 156 : block + 512]))
        try:
            reader = Archive(io.BytesIO(bytes(content)).read)
            for entry in reader:
                for _piece in reader.data(entry) if entry.kind == archive.FILE else ():
                    pass
            outcomes.add("read")
        except ArchiveError as error:
            assert error.reason
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
