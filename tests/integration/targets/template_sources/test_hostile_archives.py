# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives that mean harm: refused with the name of the entry, nothing written outside of what is being made, and nothing of that left."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile

import archives
import pytest
import vps_kit as kit
from archives import entry, made, root, tarball

LINK, HARD, FIFO, CHARACTER, BLOCK, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE
SECRET = "it-src-secret"


@pytest.fixture(autouse=True)
def nothing_outside():
    """Whatever an archive says: the node's files are as they were."""
    before = kit.node_files()
    yield
    assert kit.node_files() == before


def refused(path, **options) -> str:
    """The message; nothing was touched, and no template made."""
    with kit.Untouched():
        message = kit.fails("vps_template", **tarball(path, **options))
    assert not root().exists()
    return message


@pytest.mark.parametrize("name", ["/etc/it-src-evil", "//etc/it-src-evil", "../it-src-evil", "etc/../../it-src-evil", "./..", "a/..", "/.."])
def test_names_that_lead_elsewhere(tmp_path, name):
    """Absolute ones, and such as climb; where they lead to inside of it makes no difference."""
    message = refused(made(tmp_path / "a.tar", entry(name), content=b"evil"))
    assert f"'{name}' in the archive has " in message
    assert not os.path.exists("/etc/it-src-evil")


def test_names_that_no_file_can_have(tmp_path):
    """Too long in all, and in a part."""
    assert "'aaaa" in refused(made(tmp_path / "a.tar", entry("a" * 300)))
    assert "'bbb" in refused(made(tmp_path / "b.tar", entry("bbb/" * 2000 + "c")))


@pytest.mark.parametrize("target", ["../../../../etc/passwd", "..", "x/../../..", "/../etc"])
def test_symbolic_links_that_lead_out(tmp_path, target):
    """Read as they are written, from where they are."""
    message = refused(made(tmp_path / "a.tar", entry("evil", type=LINK, linkname=target)))
    assert message.startswith("path: 'evil' in the archive is a link that leads out")


def test_links_within_are_a_systems_own(tmp_path):
    """Absolute ones are the VPS's root's."""
    links = [entry("mtab", type=LINK, linkname="/proc/mounts"), entry("etc/up", type=LINK, linkname="../sbin/../sbin/init")]
    kit.ok("vps_template", **tarball(made(tmp_path / "a.tar", *links)))
    assert os.readlink(root() / "mtab") == "/proc/mounts" and os.readlink(root() / "etc/up") == "../sbin/../sbin/init"


@pytest.mark.parametrize("target", ["/etc", "/root", "etc", "nowhere", "/proc/self/root/etc"])
def test_files_behind_a_link(tmp_path, target):
    """A link first, and then a file through it: into the node's directory, or into one of the archive's own."""
    entries = [entry("link", type=LINK, linkname=target), entry("link/it-src-evil")]
    message = refused(made(tmp_path / "a.tar", *entries, content=b"evil"))
    assert "'link/it-src-evil' in the archive goes through a link" in message
    assert not os.path.exists("/etc/it-src-evil") and not os.path.exists("/root/it-src-evil")


def test_a_directory_that_becomes_a_link_on_the_way(tmp_path):
    """A directory with a file in it, then a link in its place, then the next file."""
    entries = [entry("d", type=FOLDER, mode=0o755), entry("d/a"), entry("d", type=LINK, linkname="/etc"), entry("d/it-src-evil")]
    assert "'d' in the archive takes the place of a directory" in refused(made(tmp_path / "a.tar", *entries, content=b"evil"))


def test_a_file_where_a_directory_ought_to_be(tmp_path):
    """And the root itself."""
    assert "'f/x' in the archive goes through" in refused(made(tmp_path / "a.tar", entry("f"), entry("f/x")))
    assert "takes the place of the root" in refused(made(tmp_path / "b.tar", entry("./", type=LINK, linkname="/etc")))


def test_a_link_that_is_overwritten_is_not_followed(tmp_path):
    """The second entry of a name takes the first one's place."""
    target = tmp_path / "target"
    target.write_text(SECRET, encoding="ascii")
    path = made(tmp_path / "a.tar", entry("x", type=LINK, linkname=str(target)), entry("x"), content=b"mine")
    kit.ok("vps_template", **tarball(path))
    assert target.read_text(encoding="ascii") == SECRET and (root() / "x").read_bytes() == b"mine" and not (root() / "x").is_symlink()


@pytest.mark.parametrize("target", ["/etc/shadow", "../../etc/shadow", "etc/../../shadow", "nowhere", "sbin", ".", "", "l/shadow", "l"])
def test_hard_links_that_lead_out_or_nowhere(tmp_path, target):
    """By their name, by `..`, through a link; to what is not there, and to a directory. A hard link to a link is one to the link itself."""
    path = made(tmp_path / "a.tar", entry("l", type=LINK, linkname="/etc"), entry("evil", type=HARD, linkname=target))
    if target == "l":
        kit.ok("vps_template", **tarball(path))
        assert os.readlink(root() / "evil") == "/etc"
    else:
        assert "'evil' in the archive is a link" in refused(path)


@pytest.mark.parametrize(("kind", "word"), [(CHARACTER, "character device"), (BLOCK, "block device"), (FIFO, "fifo")])
def test_device_nodes_and_fifos(tmp_path, kind, word):
    """Refused; or left out, where that is asked for. Never made."""
    path = made(tmp_path / "a.tar", entry("dev", type=FOLDER, mode=0o755), entry("dev/evil", type=kind, devmajor=1, devminor=1), entry("after"))
    assert f"'dev/evil' in the archive is a {word}" in refused(path)
    kit.ok("vps_template", **tarball(path, special_files="skip"))
    assert not (root() / "dev/evil").exists() and (root() / "after").exists()


def test_directories_deeper_than_programs_go(tmp_path):
    """What works on templates may recurse; so deep is no system. What is as deep as allowed becomes a VPS, on either disk, and a golden image."""
    assert "is deeper than 256 directories" in refused(made(tmp_path / "b.tar", entry("d/" * 1990 + "f"), content=b"deep"))
    path = made(tmp_path / "a.tar", entry("d/" * 255 + "f"), content=b"deep")
    kit.ok("vps_template", **tarball(path))
    for storage in ("btrfs", "image"):
        kit.ok("vps_container", name=f"it-src-{storage}", template=archives.NAME, storage=storage, state="present")
        kit.ok("vps_template", name=f"it-src-of-{storage}", source="vps", vps=f"it-src-{storage}")


def test_a_guest_that_digs_deep(minimal):
    """Its disk does not become a template, and it is said why."""
    kit.container("it-src-dig", template=minimal)
    kit.shell("it-src-dig", "cd /srv 2>/dev/null || cd /mnt; i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || break; i=$((i+1)); done; sync", timeout=120)
    assert "deeper than 256" in kit.fails("vps_template", name=archives.NAME, source="vps", vps="it-src-dig")


def test_what_is_in_the_way_of_an_identity(tmp_path):
    """A directory where every VPS's own file goes: the node does not remove it, moves it aside, and says so."""
    path = made(tmp_path / "a.tar", entry("etc/machine-id", type=FOLDER), entry("etc/machine-id/x"))
    told = kit.ok("vps_template", **tarball(path))
    assert "/etc/machine-id" in told["warnings"][0], told["warnings"]
    assert (root() / "etc/machine-id.vps-old/x").is_file() and not (root() / "etc/machine-id").is_dir()


def test_kinds_that_nobody_knows(tmp_path):
    """A letter that no tar has."""
    assert "'evil' in the archive is of a kind" in refused(made(tmp_path / "a.tar", entry("evil", type=b"D")))


@pytest.mark.parametrize("mode", [0o4755, 0o2755])
def test_setid_files_where_they_are_not_wanted(tmp_path, mode):
    """A directory's set-gid bit is another thing."""
    path = made(tmp_path / "a.tar", entry("d", type=FOLDER, mode=0o2775), entry("su", mode=mode))
    assert "'su' in the archive is a set-id file" in refused(path, setid_files="refuse")
    kit.ok("vps_template", **tarball(path))
    assert (root() / "su").stat().st_mode & 0o7777 == mode and (root() / "d").stat().st_mode & 0o7777 == 0o2775


def test_capabilities_where_setid_files_are_not_wanted(system, tmp_path):
    """They are the same by another name."""
    (system / "ping").write_bytes(b"x")
    subprocess.run(["setcap", "cap_net_raw+ep", str(system / "ping")], check=True)
    assert "ping' in the archive has capabilities" in refused(archives.packed(system, tmp_path / "a.tar"), setid_files="refuse")


@pytest.mark.parametrize("ids", [{"uid": 65536}, {"gid": 1 << 31}, {"uid": 1 << 40}])
def test_owners_that_no_vps_has(tmp_path, ids):
    """A VPS has 65536 of them."""
    assert "'evil' in the archive belongs to" in refused(made(tmp_path / "a.tar", entry("evil", **ids)))


def test_more_files_than_allowed(tmp_path):
    """Counted with directories and links."""
    path = made(tmp_path / "a.tar", *(entry(f"f{number}") for number in range(100)))
    assert "'f49' in the archive is one entry more than 'max_entries' allows (52)" in refused(path, max_entries=52)
    kit.ok("vps_template", **tarball(path, max_entries=103))


def test_a_bomb_of_zeros(tmp_path):
    """Two GiB in two MiB: refused at the entry, before it is written."""
    path = tmp_path / "a.tar.gz"
    info = entry("bomb", size=2 << 30)
    with gzip.open(path, "wb", compresslevel=1) as file:
        for each in archives.INIT:
            file.write(each.tobuf())
        file.write(info.tobuf())
        for _piece in range(2 << 10):
            file.write(bytes(1 << 20))
        file.write(bytes(1024))
    assert "'bomb' in the archive makes it larger than 'max_size' allows (1G)" in refused(path, max_size="1G")


def test_a_bomb_in_many_files(tmp_path):
    """Each small, and too much together; what was made of them is gone."""
    path = made(tmp_path / "a.tar", *(entry(f"f{number}") for number in range(40)), content=bytes(1 << 20))
    assert "'f8' in the archive makes it larger" in refused(archives.compressed(path), max_size="8M")


def test_a_bomb_of_holes(tmp_path):
    """A sparse file that has nothing in it and says that it is larger than any disk."""
    path = tmp_path / "a.tar"
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "bomb", "GNU.sparse.realsize": str(1 << 60)}
    info = entry("GNUSparseFile.1/bomb", size=512, pax_headers=pax)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for each in archives.INIT:
            archive.addfile(each)
        archive.addfile(info, io.BytesIO(b"1\n0\n0\n".ljust(512, b"\0")))
    assert "'bomb' in the archive makes it larger than 'max_size' allows (16G)" in refused(path)


@pytest.mark.parametrize("sparse", [b"1\n900\n200\n", b"2\n0\n100\n50\n100\n", b"1\n0\n4096\n", b"99999999\n0\n0\n", b"x\n", b"1\n-5\n3\n", b"\0" * 6])
def test_sparse_files_that_lie(tmp_path, sparse):
    """Pieces beyond the end, over each other, of more than there is, without number, and no numbers at all."""
    path = tmp_path / "a.tar"
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "liar", "GNU.sparse.realsize": "1000"}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry("GNUSparseFile.1/liar", size=712, pax_headers=pax), io.BytesIO(sparse.ljust(712, b"\0")))
    assert "'liar' in the archive" in refused(path)


def test_headers_that_would_fill_the_memory(tmp_path):
    """An extended header of ten GiB, as a compressor makes nothing of it; and headers without end."""
    header = entry("x", type=b"x", size=10 << 30).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(header + bytes(4096))
    assert "a header has 10737418240 bytes" in refused(tmp_path / "a.tar")
    (tmp_path / "b.tar").write_bytes(entry("x", type=b"L", size=0).tobuf() * 100)
    assert "headers without end" in refused(tmp_path / "b.tar")


def test_what_comes_after_the_end_is_not_read_for_ever(tmp_path):
    """An archive with its end, and then a GiB of zeros in no space."""
    path = archives.compressed(made(tmp_path / "a.tar"))
    with open(path, "ab") as file:
        file.write(gzip.compress(bytes(1 << 30), 1))
    assert "after its end" in refused(path) or "larger" in refused(path)


@pytest.mark.parametrize("content", [b"", b"no archive" * 100, os.urandom(4096), b"\x1f\x8b\x08", b"\xfd7zXZ\0" + bytes(100), b"\x28\xb5\x2f\xfd" + bytes(100)])
def test_what_is_no_archive(tmp_path, content):
    """Nothing, something, noise, and what only starts like one."""
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    assert refused(path).startswith("path: ")


def test_attributes_that_the_node_would_heed_are_left_out(tmp_path):
    """Of the kernel's other parts, and of whoever unpacks; the user's stay."""
    names = ("trusted.overlay.opaque", "security.ima", "security.selinux", "system.evil", "user.kept", "btrfs.compression")
    pax = {f"SCHILY.xattr.{name}": "x" for name in names}
    kit.ok("vps_template", **tarball(made(tmp_path / "a.tar", entry("f", pax_headers=pax))))
    assert [name for name in os.listxattr(root() / "f") if not name.startswith("btrfs.")] == ["user.kept"]


def test_noise_in_an_archive_is_never_a_traceback(tmp_path, system):
    """A hundred archives, each with some bytes overwritten: taken or refused, by a sentence; and the node is as it was."""
    import random

    source = made(tmp_path / "a.tar", *(entry(f"d{number}/f") for number in range(6)), entry("l", type=LINK, linkname="x"), content=b"content" * 100)
    chance = random.Random(6)
    whole = source.read_bytes()
    for _round in range(100):
        content = bytearray(whole)
        for _byte in range(chance.choice((1, 3, 30))):
            at = chance.randrange(len(content))
            content[at] = chance.randrange(256)
            block = at // 512 * 512  # with the right sum, so that it is read further
            if content[block + 257 : block + 262] == b"ustar":
                total = sum(content[block : block + 148]) + 256 + sum(content[block + 156 : block + 512])
                content[block + 148 : block + 156] = b"%06o\0 " % total
        path = tmp_path / "b.tar"
        path.write_bytes(content)
        told = kit.call("vps_template", **tarball(path))
        assert told.get("failed") is None or told["msg"].startswith("path: "), told
