# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian with repositories, keys and steps of one's own: what is signed is installed, what is not is refused, what fails says which step it was."""

from __future__ import annotations

import hashlib
import pathlib
import subprocess
from collections.abc import Iterator

import pytest
import vps_kit as kit
from archives import NAME, root

SUITE = "stable-it"


class Repository:
    """A signed repository with one package in it, on the node's disk."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder / "repository"
        self.home = folder / "gnupg"
        self.home.mkdir(mode=0o700)
        self.gpg = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        kit.run(*self.gpg, "--quick-gen-key", "it@example.org", "rsa3072", "sign", "never")
        self.key = kit.run(*self.gpg, "--armor", "--export")
        self.keyring = folder / "ring.gpg"
        kit.run(*self.gpg, "--output", str(self.keyring), "--export")
        self.keyring.with_suffix(".asc").write_text(self.key, encoding="ascii")
        package = folder / "package"
        (package / "DEBIAN").mkdir(parents=True)
        (package / "usr/share").mkdir(parents=True)
        (package / "usr/share/it-own").write_text("installed", encoding="ascii")
        (package / "DEBIAN/control").write_text("Package: it-own\nVersion: 1\nArchitecture: all\nMaintainer: it\nDescription: it\n", encoding="ascii")
        self.folder.mkdir()
        kit.run("dpkg-deb", "--root-owner-group", "--build", str(package), str(self.folder / "it-own.deb"))
        self.dists = self.folder / "dists" / SUITE
        (self.dists / "main/binary-amd64").mkdir(parents=True)
        packages = subprocess.run(["dpkg-scanpackages", "--multiversion", "."], cwd=self.folder, capture_output=True, text=True, check=True).stdout
        self.packages = self.dists / "main/binary-amd64/Packages"
        self.packages.write_text(packages, encoding="ascii")
        self.sign()
        for path in (folder, *folder.parents):  # apt reads as a user of its own
            if str(path).startswith("/tmp/"):
                path.chmod(path.stat().st_mode | 0o055)

    def sign(self) -> None:
        """Its index as it is now."""
        content = self.packages.read_bytes()
        text = f"Suite: {SUITE}\nCodename: {SUITE}\nArchitectures: amd64 all\nComponents: main\nDate: {kit.run('date', '-Ru').replace('+0000', 'UTC')}"
        text += f"SHA256:\n {hashlib.sha256(content).hexdigest()} {len(content)} main/binary-amd64/Packages\n"
        (self.dists / "Release").write_text(text, encoding="ascii")
        kit.run(*self.gpg, "--yes", "--output", str(self.dists / "InRelease"), "--clearsign", str(self.dists / "Release"))
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False)

    @property
    def option(self) -> dict:
        """As a task names it."""
        return {"url": f"copy://{self.folder}", "suite": SUITE, "components": ["main"], "key": self.key}


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Repository:
    """One for all tests."""
    return Repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def broken() -> Iterator[subprocess.Popen]:
    """A build of which the second step fails, and which takes as long as any until then: it runs beside other tests, under a name that is none of theirs."""
    chatty = ["sh", "-c", "yes | head -c 100M; echo end"]
    step = ["sh", "-c", "echo it is broken; exit 3"]
    run = kit.launch("vps_template", name="its-broken", source="debian", suite="bookworm", customise=[chatty, step, ["touch", "/never"]])
    yield run
    run.kill()


@pytest.mark.usefixtures("broken")
def test_packages_of_ones_own_and_steps_that_run_in_it(repository):
    """The package is there, the steps ran in the new system one after the other, with what they were given and no shell; and it boots."""
    wish = {
        "name": NAME, "source": "debian", "suite": "bookworm", "packages": ["it-own"], "repositories": [repository.option], "components": ["main", "contrib"],
        "customise": [["touch", "/srv-$HOME; touch evil"],
                      ["sh", "-c", 'readlink -f "$1" >/srv/where; cat /proc/self/comm >>/srv/where', "-", "/etc/os-release"],
                      ["sh", "-c", "getent hosts localhost >>/srv/where"], ["systemctl", "mask", "apt-daily.timer"]],
    }
    done = kit.foretold("vps_template", **wish)
    assert (root() / "usr/share/it-own").read_text(encoding="ascii") == "installed"
    assert (root() / "srv-$HOME; touch evil").exists() and not (root() / "evil").exists()
    assert (root() / "srv/where").read_text(encoding="ascii").splitlines()[:2] == ["/usr/lib/os-release", "cat"]
    assert (root() / "etc/systemd/system/apt-daily.timer").is_symlink()
    lists = "".join(path.read_text(encoding="ascii") for path in (root() / "etc/apt").rglob("*") if path.is_file() and "sources" in path.name)
    assert f"copy://{repository.folder}" in lists and "BEGIN PGP PUBLIC KEY BLOCK" in lists and "main contrib" in lists and "trusted=yes" not in lists
    assert done["template"]["options"]["customise"] == wish["customise"]
    assert kit.ok("vps_container", name="it-src-v", template=NAME, wait="booted", wait_timeout=300)["boot"] in ("running", "degraded")


def test_what_is_not_signed_by_its_key_is_not_installed(repository, tmp_path):
    """Another key for the repository; another for the mirror; an index that was changed after it was signed."""
    other = Repository(tmp_path)
    message = kit.fails("vps_template", name=NAME, source="debian", repositories=[{**repository.option, "key": other.key}], packages=["it-own"])
    assert message.startswith("repositories[0].key: ")
    mirror = {"name": NAME, "source": "debian", "suite": SUITE, "mirror": f"copy://{repository.folder}"}
    assert kit.fails("vps_template", **mirror, keyring=str(other.keyring)).startswith("keyring: ")
    # Signed by the right key, it is believed, and lacks all that a system is made of.
    for keyring in (repository.keyring, repository.keyring.with_suffix(".asc")):
        assert kit.fails("vps_template", **mirror, keyring=str(keyring)).startswith("packages: ")
    other.packages.write_text(other.packages.read_text(encoding="ascii") + "\n", encoding="ascii")
    changed = kit.fails("vps_template", name=NAME, source="debian", repositories=[other.option], packages=["it-own"])
    assert changed.startswith(("source: ", "repositories[0]")), changed
    assert not root().exists()


def test_ubuntu_is_built_by_keys_of_its_own(repository):
    """There is no mirror of it here: one that is none is believed as far as its key goes; without Ubuntu's keys nothing is begun."""
    wish = {"name": NAME, "source": "ubuntu", "suite": SUITE, "mirror": f"copy://{repository.folder}", "components": ["main"]}
    if not pathlib.Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg").exists():
        with kit.Untouched():
            assert "ubuntu-keyring" in kit.fails("vps_template", **wish)
            assert "ubuntu-keyring" in kit.fails("vps_template", **wish, check=True)
    assert kit.fails("vps_template", **wish, keyring=str(repository.keyring)).startswith("packages: ")


def test_a_step_that_fails_is_named(broken):
    """With what it said, after another one's hundred MiB, of which a few thousand characters are left; and nothing is left of the template."""
    told = kit.result(broken)
    assert told["failed"] and told["msg"].startswith("customise[1]: sh failed: it is broken") and told["msg"].endswith(".")
    assert "it is broken" in told["output"] and not [path for path in (kit.pool() / "templates").iterdir() if "its-broken" in path.name]
    assert len(told["output"]) <= 4000 and len(told["msg"]) < 1000, told["msg"][:2000]
