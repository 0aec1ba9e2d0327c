# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stranger's tar archive, read: what Python's own writer has put in comes out again, and what is none is an error and never more than that."""

from __future__ import annotations

import io
import random
import struct
import tarfile

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
