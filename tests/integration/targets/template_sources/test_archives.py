# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of archives and of directories: everything in them is kept, once is enough, and what is not as it was said to be is not taken."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import archives
import pytest
import vps_kit as kit
from archives import NAME, packed, root, tarball

PROGRAMS = {"plain": (), "gz": ("--gzip",), "xz": ("--xz",), "zst": ("--zstd",), "bz2": ("--bzip2",)}
OWN = ("etc/machine-id", "etc/hostname", "etc/resolv.conf", "etc", ".", "var/lib")  # what a template has not from its source


def same(tree, name=NAME):
    """Everything is in the template as it is in the tree."""
    wanted, found = archives.fingerprint(tree), archives.fingerprint(root(name))
    for place in OWN:
        wanted.pop(place, None), found.pop(place, None)
    assert found == wanted, kit.differences(wanted, found)


@pytest.mark.parametrize("how", PROGRAMS)
def test_an_archive_is_unpacked_whatever_it_is_compressed_by(system, tmp_path, how):
    """Foretold; the VPS of it boots; twice is once."""
    path = packed(system, tmp_path / f"a.{how}", *PROGRAMS[how])
    done = kit.foretold("vps_template", **tarball(path))
    assert done["template"]["init"] == "busybox" and done["template"]["options"] == {"path": str(path), "sha256": archives.sha256(path)}
    same(system)
    if how == "zst":
        assert kit.ok("vps_container", name="it-src-v", template=NAME, wait="booted")["boot"] == "running"


@pytest.mark.parametrize("form", ["gnu", "pax", "oldgnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix --sparse-version=1.0"])
def test_nothing_is_lost_on_the_way(system, tmp_path, form):
    """Numbers of owners, modes, times, hard links, links, holes, attributes, capabilities, ACLs, long and strange names; the old forms keep no attributes."""
    archives.furnished(system)
    options = form.split()
    path = tmp_path / "a.tar"
    if "gnu" in form:  # which have whole seconds, and no attributes
        for name in ("attributes", "default"):
            subprocess.run(["setfacl", "-b", str(system / "kept" / name)], check=True)
        os.removexattr(system / "kept/attributes", "user.note")
        os.removexattr(system / "kept/capable", "security.capability")
        for place in [system, *system.rglob("*")]:
            os.utime(place, ns=(10**18, 10**18), follow_symlinks=False)
        kit.run("tar", "--create", "--numeric-owner", "--sparse", f"--format={form}", "--file", str(path), "--directory", str(system), ".")
    else:
        packed(system, path, f"--format={options[0]}", *options[1:])
    kit.ok("vps_template", **tarball(path))
    same(system)
    assert (root() / "kept/sparse").stat().st_blocks * 512 < 10 << 20, "the holes were filled"


def test_a_directory_is_copied_with_all_that_is_in_it(system):
    """As an archive of it is, its own path not included; and a copy it stays, whatever becomes of the directory."""
    archives.furnished(system)
    os.symlink("../../../../etc/passwd", system / "over")  # it is a system's, and is not followed
    wish = {"name": NAME, "source": "directory", "path": str(system)}
    kit.foretold("vps_template", **wish)
    same(system)
    (system / "later").write_text("later", encoding="ascii")
    assert not kit.ok("vps_template", **wish)["changed"]


def test_a_checksum_decides_and_not_where_it_was_found(system, tmp_path):
    """The same content elsewhere is the same template; another content is another, and the old one stays where it is not what was said."""
    first = packed(system, tmp_path / "first.tar")
    kit.ok("vps_template", **tarball(first))
    with kit.Untouched():
        assert not kit.ok("vps_template", **{**tarball(first), "path": str(tmp_path / "moved.tar")})["changed"]
        assert not kit.ok("vps_template", name=NAME, source="tarball", url="http://192.0.2.1:1/x", sha256=archives.sha256(first).upper())["changed"]
    (system / "more").write_text("more", encoding="ascii")
    second = packed(system, tmp_path / "second.tar")
    with kit.Untouched():
        message = kit.fails("vps_template", **{**tarball(second), "sha256": "0" * 64})
    assert message.startswith("sha256: ") and archives.sha256(second) in message
    done = kit.foretold("vps_template", **tarball(second))
    assert done["diff"]["before"]["sha256"] == archives.sha256(first) and (root() / "more").exists()


def test_a_signature_vouches_for_it(system, tmp_path):
    """By a key of the keyring, in either form; by another key, or for another content, it is refused."""
    path = packed(system, tmp_path / "a.tar")
    homes = [tmp_path / "g1", tmp_path / "g2"]
    for number, home in enumerate(homes):
        home.mkdir(mode=0o700)
        gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        kit.run(*gpg, "--quick-gen-key", f"it{number}@example.org", "ed25519", "sign", "never")
        kit.run(*gpg, "--output", f"{path}.sig{number}", "--detach-sign", str(path))
        kit.run(*gpg, "--output", f"{tmp_path}/ring{number}.gpg", "--export")
        kit.run(*gpg, "--armor", "--output", f"{tmp_path}/ring{number}.asc", "--export")
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    wish = {"name": NAME, "source": "tarball", "path": str(path)}
    assert kit.fails("vps_template", **wish).startswith("sha256: ")
    assert kit.fails("vps_template", **wish, signature=f"{path}.sig0", keyring=f"{tmp_path}/ring1.gpg").startswith("signature: ")
    for ring in ("ring0.gpg", "ring0.asc"):
        kit.ok("vps_template", **{**wish, "name": f"it-src-{ring[-3:]}"}, signature=f"{path}.sig0", keyring=f"{tmp_path}/{ring}")
    with open(path, "ab") as file:
        file.write(bytes(512))
    assert kit.fails("vps_template", **wish, signature=f"{path}.sig0", keyring=f"{tmp_path}/ring0.gpg").startswith("signature: ")
    assert not root().exists()


def test_what_is_not_there_is_said_in_check_mode_too(tmp_path):
    """Each with its option; and a pipe is no archive that anybody waits for."""
    wish = {"name": NAME, "source": "tarball", "sha256": "0" * 64}
    os.mkfifo(tmp_path / "pipe")
    with kit.Untouched():
        for check in (True, False):
            assert kit.fails("vps_template", check=check, **wish, path="/no/such/file").startswith("path: there is no /no/such/file")
            assert kit.fails("vps_template", check=check, name=NAME, source="directory", path="/etc/passwd").startswith("path: ")
            assert kit.fails("vps_template", check=check, name=NAME, source="vps", vps="it-src-none").startswith("vps: ")
        assert "is no file" in kit.fails("vps_template", **wish, path=str(tmp_path / "pipe"))
        assert "is no file" in kit.fails("vps_template", **wish, path=str(tmp_path))


def test_what_has_no_init_is_no_template(tmp_path):
    """It would make VPSs that never start."""
    path = archives.made(tmp_path / "a.tar", archives.entry("etc/hello"), init=False)
    assert "no /sbin/init" in kit.fails("vps_template", **tarball(path))


@pytest.mark.parametrize("how", PROGRAMS)
def test_a_damaged_archive_is_said_to_be_one(system, tmp_path, how):
    """Cut off, and with a part of it overwritten."""
    path = packed(system, tmp_path / f"a.{how}", *PROGRAMS[how])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be taken" in (message := kit.fails("vps_template", **tarball(path))) or "in the archive" in message
    middle = len(whole) // 3
    path.write_bytes(whole[:middle] + os.urandom(20000) + whole[middle + 20000 :])
    if how != "plain":
        assert kit.fails("vps_template", **tarball(path)).startswith("path: ")
    assert not root().exists()


def test_killed_while_it_is_unpacked(system, tmp_path):
    """At three moments, or VPS_TEST_KILLS; nothing of it runs on, and the next run makes it."""
    for number in range(2000):
        (system / f"usr/file{number}").write_bytes(b"x" * 5000)
    path = packed(system, tmp_path / "a.tar.xz", "--xz")
    count = kit.kills(3)
    for number in range(count):
        run = kit.launch("vps_template", **tarball(path))
        time.sleep(0.05 + 1.6 * number / count)
        run.send_signal(signal.SIGKILL)
        run.communicate()
    done = kit.ok("vps_template", **tarball(path))
    assert done["template"]["name"] == NAME
    same(system)
