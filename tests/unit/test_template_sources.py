# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a template can be made from: what each source takes, and what is the same."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import template
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Manifest, Template
from ansible_collections.mainline.vps.plugins.module_utils.core.template_sources import OPTIONS
from ansible_collections.mainline.vps.plugins.module_utils.node.sources import debian
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.unit.reading import sentence

KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEaAAA\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----"
SUM = "ab" * 32
REPOSITORY = {"url": "https://packages.example.org", "suite": "stable", "components": ["main"], "key": KEY}
# The least that each source takes, and all that it takes besides.
LEAST = {
    "minimal": {}, "debian": {}, "ubuntu": {}, "tarball": {"path": "/a.tar", "sha256": SUM}, "directory": {"path": "/srv/tree"},
    "lxc": {"distribution": "debian", "release": "bookworm"}, "oci": {"path": "/srv/image"}, "vps": {"vps": "web1"},
}
MORE = {
    "suite": "trixie", "packages": ["nginx"], "mirror": "http://mirror.example.org/debian", "components": ["contrib"], "keyring": "/keys.gpg",
    "repositories": [REPOSITORY], "customise": [["true"]], "path": "/other", "url": "https://host/a.tar", "sha256": "cd" * 32, "signature": "/a.sig",
    "ca_path": "/ca.pem", "image": "latest", "distribution": "alpine", "release": "3.20", "architecture": "arm64", "variant": "cloud", "vps": "web2",
    "special_files": "skip", "setid_files": "refuse", "max_size": "1G", "max_entries": 7,
}


def made(source: str, **options: object) -> Template:
    """The template of a task that says this."""
    given = {"name": "t", "source": source, **LEAST[source], **options}
    return template.parse_template(modules.parameters("vps_template", **given)).template


@pytest.mark.parametrize("source", LEAST)
def test_each_source_is_one_that_the_module_knows(source):
    assert made(source).source == source and source in template.RECIPES
    assert set(OPTIONS) == set(LEAST) == set(template.RECIPES) == set(modules.argument_spec("vps_template")["source"]["choices"])


@pytest.mark.parametrize(("source", "option"), [(source, option) for source in LEAST for option in MORE])
def test_an_option_of_another_source_is_refused(source, option):
    if option not in OPTIONS[source]:
        assert "has none" in sentence(lambda: made(source, **{option: MORE[option]}), option)


def test_what_was_made_by_an_older_release_has_the_same_checksum():
    old = {"source": "debian", "suite": "bookworm", "packages": ["nginx"], "mirror": None}
    assert json.loads(json.dumps(made("debian", packages=["nginx"]).inputs())) == old
    assert Template.from_record({**old, "name": "t"}) == made("debian", packages=["nginx"])


@pytest.mark.parametrize("source", LEAST)
def test_a_manifest_is_read_as_it_was_written(source):
    more = {option: MORE[option] for option in OPTIONS[source] if option in MORE and option not in ("url", "signature", "keyring")}
    manifest = Manifest(made(source, **more), "systemd", "abc", 7, "2026-01-01T00:00:00+00:00")
    assert Manifest.from_record(json.loads(json.dumps(asdict(manifest)))) == manifest
    assert json.loads(json.dumps(manifest.template.named)) == manifest.template.named


@pytest.mark.parametrize(
    "bad", [{"customise": [7]}, {"customise": ["true"]}, {"repositories": [{}]}, {"repositories": [7]}, {"components": "main"}, {"path": 7}, {"max_size": "1G"},
            {"max_entries": True}, {"special_files": None}, {"no such option": 1}, {"repositories": [{**REPOSITORY, "key": 7}]}]
)
def test_a_manifest_that_somebody_else_wrote_is_none(bad):
    record = {**asdict(made("debian")), **bad}
    with pytest.raises((TypeError, ValueError, KeyError, AttributeError)):
        Template.from_record(record)


def test_a_checksum_decides_and_not_where_it_was_found():
    first = made("tarball")
    elsewhere = replace(first, path=None, url="https://host/a")
    for other in (replace(first, path="/b.tar"), elsewhere, replace(first, max_size=1 << 20, ca_path="/x", max_entries=1)):
        assert template.checksum(other) == template.checksum(first)
    for other in (replace(first, sha256="cd" * 32), replace(first, special_files="skip"), replace(first, setid_files="refuse")):
        assert template.checksum(other) != template.checksum(first)
    signed = made("tarball", sha256=None, signature="/a.sig", keyring="/k.gpg")
    assert template.checksum(replace(signed, path="/b.tar")) != template.checksum(signed)


def test_what_opens_an_address_is_used_and_not_kept_told_or_compared():
    opened = {"path": None, "sha256": None, "url": "https://host/a.tar?X-Signature=hush#hush", "signature": "https://host/a.asc?hush", "keyring": "/k.gpg"}
    first = made("tarball", **opened)
    assert (first.url, first.signature) == (opened["url"], opened["signature"]), "it is fetched by them"
    later = made("tarball", **{**opened, "url": "https://host/a.tar?X-Signature=other", "signature": "https://host/a.asc"})
    assert template.checksum(first) == template.checksum(later)
    assert "hush" not in f"{first.named}{first.inputs()}{first.lasting}" and first.named["url"] == "https://host/a.tar"
    assert template.checksum(first) != template.checksum(replace(first, url="https://host/b.tar?X-Signature=hush"))
    assert made("tarball", sha256=None, signature="/a?b#c", keyring="/k").named["signature"] == "/a?b#c", "a path has no query"


def test_words_for_what_is_so_anyway_change_nothing():
    assert made("debian", components=["main"]) == made("debian") and made("ubuntu", suite="noble", components=["main", "universe"]) == made("ubuntu")
    assert made("lxc", url="https://images.linuxcontainers.org/") == made("lxc") and made("lxc", special_files="skip") == made("lxc")
    assert made("tarball", sha256="sha256:" + SUM.upper()) == made("tarball")
    assert made("tarball", max_size="16G", special_files="refuse", setid_files="allow") == made("tarball")


@pytest.mark.parametrize(
    ("source", "option", "options"),
    [
        ("tarball", "path", {"path": None}), ("tarball", "path", {"url": "https://host/a"}), ("tarball", "sha256", {"sha256": None}),
        ("tarball", "keyring", {"signature": "/s"}), ("tarball", "signature", {"keyring": "/k"}), ("tarball", "sha256", {"sha256": "ab"}),
        ("tarball", "signature", {"signature": "ftp://x", "keyring": "/k"}), ("tarball", "path", {"path": "a.tar"}),
        ("tarball", "max_size", {"max_size": "1K"}),
        ("tarball", "max_size", {"max_size": "lots"}), ("tarball", "max_entries", {"max_entries": -1}),
        ("tarball", "url", {"path": None, "url": "file:///etc/passwd"}), ("tarball", "url", {"path": None, "url": "https://u:p@host/a"}),
        ("tarball", "url", {"path": None, "url": "https://host/a b"}), ("tarball", "url", {"path": None, "url": "https://host/\na"}),
        ("directory", "path", {"path": None}), ("directory", "path", {"path": "//"}), ("lxc", "distribution", {"distribution": None}),
        ("lxc", "release", {"release": None}),
        ("lxc", "url", {"url": "http://host"}), ("lxc", "url", {"url": "https://host/x?y"}),
        ("lxc", "distribution", {"distribution": "a:b"}), ("lxc", "variant", {"variant": "../x"}),
        ("oci", "path", {"path": None}), ("oci", "image", {"image": "a b"}), ("vps", "vps", {"vps": None}), ("vps", "vps", {"vps": "../x"}),
        ("debian", "customise[0]", {"customise": [[]]}),
        ("debian", "customise[0]", {"customise": ["apt-get update"]}),
        ("debian", "customise[1]", {"customise": [["true"], ["x\0"]]}),
        ("debian", "components", {"components": ["a b"]}), ("debian", "mirror", {"mirror": "file:///srv/mirror"}),
        ("debian", "repositories[0].key", {"repositories": [{**REPOSITORY, "key": "none"}]}),
        ("debian", "repositories[0].key", {"repositories": [{**REPOSITORY, "key": KEY.replace("=abcd", "x\n\nTrusted: yes\0")}]}),
        ("debian", "repositories[0].suite", {"repositories": [{**REPOSITORY, "suite": "a\nTrusted: yes"}]}),
        ("debian", "repositories[0].url", {"repositories": [{**REPOSITORY, "url": "https://host x"}]}),
        ("debian", "repositories[0].components", {"repositories": [{**REPOSITORY, "components": ["a\nb"]}]}),
        ("debian", "repositories[0].components", {"repositories": [{**REPOSITORY, "components": []}]}),
        ("debian", "repositories[0].components", {"repositories": [{**REPOSITORY, "suite": "path/"}]}),
    ],
)
def test_a_template_may_not_be_asked_for_like_this(source, option, options):
    sentence(lambda: made(source, **options), option)


@pytest.fixture
def alone(monkeypatch):
    """A node without apt of its own."""
    monkeypatch.setattr(debian.tools, "installed", lambda _program: False)


def test_debian_is_asked_for_as_it_always_was(alone, tmp_path):
    assert debian.command(made("debian", suite="sid", packages=["bash", "acl"]), "/root", str(tmp_path)) == [
        "mmdebstrap", "--mode=root", "--variant=minbase",
        "--include=systemd-sysv,dbus,ca-certificates,iproute2,iputils-ping,netbase,procps,acl,bash",
        '--aptopt=Acquire::Retries::Delay "false"', "sid", "/root", "deb http://deb.debian.org/debian sid main",
    ]
    assert list(tmp_path.iterdir()) == []


def test_ubuntu_is_signed_by_its_own_keys_and_has_its_own_mirrors(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(debian.os, "uname", lambda: type("Machine", (), {"machine": "x86_64"}))
    signed = "[signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg]"
    assert debian.command(made("ubuntu"), "/root", str(tmp_path))[-5:] == [
        "noble", "/root", f"deb {signed} http://archive.ubuntu.com/ubuntu noble main universe",
        f"deb {signed} http://archive.ubuntu.com/ubuntu noble-updates main universe",
        f"deb {signed} http://security.ubuntu.com/ubuntu noble-security main universe",
    ]
    assert debian.command(made("ubuntu", mirror="http://m", components=["main"]), "/root", str(tmp_path))[-1] == f"deb {signed} http://m noble main"
    monkeypatch.setattr(debian.os, "uname", lambda: type("Machine", (), {"machine": "aarch64"}))
    assert "ports.ubuntu.com" in debian.command(made("ubuntu"), "/root", str(tmp_path))[-1]


def test_a_repository_and_a_keyring_and_steps_are_files_beside_it(alone, tmp_path):
    (tmp_path / "keys").write_text(KEY, encoding="ascii")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    repositories = [REPOSITORY, {**REPOSITORY, "suite": "flat/", "components": []}]
    wish = made("debian", suite="sid", repositories=repositories, customise=[["echo", "a'b $c"]], keyring=str(tmp_path / "keys"))
    argv = debian.command(wish, "/root", str(scratch))
    assert f"--keyring={scratch}/keyring.asc" in argv and f"--customize-hook={scratch}/customise" in argv
    assert argv[-2:] == [f"{scratch}/repository0.sources", f"{scratch}/repository1.sources"]
    key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEaAAA\n =abcd\n -----END PGP PUBLIC KEY BLOCK-----\n"
    start = "Types: deb\nURIs: https://packages.example.org\nSuites:"
    assert (scratch / "repository0.sources").read_text(encoding="ascii") == f"{start} stable\nComponents: main\n{key}"
    assert (scratch / "repository1.sources").read_text(encoding="ascii") == f"{start} flat/\n{key}"
    assert "chroot \"$1\" /usr/bin/env -- echo 'a'\"'\"'b $c' </dev/null\n" in (scratch / "customise").read_text(encoding="ascii")


@pytest.mark.parametrize(
    ("output", "option"),
    [
        ("E: Unable to locate package nonsense\nE: apt-get failed\n", "packages"),
        (f"{debian.STEP} 0\n{debian.STEP} 1\nsorry\nE: run_chroot failed\n", "customise[1]"),
        ("W: GPG error: https://packages.example.org stable InRelease: NO_PUBKEY 1\nE: The repository is not signed.\n", "repositories[0].key"),
        ("E: The repository 'http://m bookworm InRelease' is not signed.\n", "keyring"), ("E: Failed to fetch http://m/x\n", "mirror"), ("", "source"),
        ("  404  Not Found\nE: The repository 'http://m nosuch Release' does not have a Release file.\n", "suite"),
        ("  404  Not Found\nE: The repository 'https://packages.example.org nosuch Release' does not have a Release file.\n", "repositories[0].suite"),
        ("  Could not connect\nE: The repository 'http://m bookworm Release' does not have a Release file.\n", "source"),
    ],
)
def test_what_a_builder_says_names_an_option(output, option):
    wish = made("debian", mirror="http://m", repositories=[REPOSITORY], customise=[["true"], ["sh", "-c", "x"]])

    def fail() -> None:
        raise debian.failed(wish, output)

    sentence(fail, option)
