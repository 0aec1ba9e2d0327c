# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of images of an LXC image server: the newest that fits is found, verified and unpacked."""

from __future__ import annotations

import json
import os
import shutil

import archives
import pytest
import servers
import vps_kit as kit
from archives import NAME, packed, root

ARCHITECTURE = kit.run("dpkg", "--print-architecture").strip()


class Images:
    """An image server's folder."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.products: dict = {}

    def add(self, system, product: str, version: str, mark: str, **more) -> str:
        """An image of a system with a mark in it; its checksum."""
        (system / "mark").write_text(mark, encoding="ascii")
        place = f"images/{product.replace(':', '/')}/{version}"
        (self.folder / place).mkdir(parents=True)
        path = packed(system, self.folder / place / "rootfs.tar.xz", "--xz")
        item = {"ftype": "root.tar.xz", "path": f"{place}/rootfs.tar.xz", "sha256": archives.sha256(path), "size": path.stat().st_size, **more}
        other = {"ftype": "lxd.tar.xz", "path": f"{place}/lxd.tar.xz", "sha256": "0" * 64, "size": 1}
        self.products.setdefault(product, {"versions": {}})["versions"][version] = {"items": {"lxd.tar.xz": other, "root.tar.xz": item}}
        self.write()
        return item["sha256"]

    def write(self, index: object = None) -> None:
        """The documents as they are now."""
        (self.folder / "streams/v1").mkdir(parents=True, exist_ok=True)
        index = index or {"index": {"images": {"datatype": "image-downloads", "path": "streams/v1/images.json"}}, "format": "index:1.0"}
        (self.folder / "streams/v1/index.json").write_text(json.dumps(index), encoding="ascii")
        (self.folder / "streams/v1/images.json").write_text(json.dumps({"products": self.products}), encoding="ascii")


@pytest.fixture
def images(system, tmp_path) -> Images:
    """A server's folder with two versions of one image, and others that do not fit."""
    (tmp_path / "served").mkdir()
    images = Images(tmp_path / "served")
    for name, version, mark in (
        (f"tiny:one:{ARCHITECTURE}:default", "20260102_05:24", "second"),
        (f"tiny:one:{ARCHITECTURE}:default", "20260101_05:24", "first"),
        (f"tiny:one:{ARCHITECTURE}:cloud", "20260103_05:24", "cloud"),
        (f"tiny:two:{ARCHITECTURE}:default", "20260103_05:24", "two"),
        ("tiny:one:riscv64:default", "20260103_05:24", "riscv"),
    ):
        images.add(system, name, version, mark)
    return images


def wish(server, tmp_path, **options) -> dict:
    """The options of a template of the image."""
    return {"name": NAME, "source": "lxc", "url": server.url, "ca_path": f"{tmp_path}/ca.pem", "distribution": "tiny", "release": "one", **options}


def mark(name=NAME) -> str:
    """Which image it was made of."""
    return (root(name) / "mark").read_text(encoding="ascii")


def test_the_newest_image_that_fits_is_taken(images, system, tmp_path):
    """By default of the node's architecture and the default variant; once, until somebody wants it anew; and a VPS of it boots."""
    with servers.serving(images.folder, tls=tmp_path) as server:
        done = kit.foretold("vps_template", **wish(server, tmp_path))
        assert mark() == "second" and done["template"]["options"]["release"] == "one"
        asked = len(server.asked)
        images.add(system, f"tiny:one:{ARCHITECTURE}:default", "20260109_05:24", "third")
        assert not kit.ok("vps_template", **wish(server, tmp_path))["changed"] and len(server.asked) == asked
        for variant, architecture, said in (("cloud", None, "cloud"), (None, "riscv64", "riscv")):
            kit.ok("vps_template", **wish(server, tmp_path, name="it-src-other", variant=variant, architecture=architecture))
            assert mark("it-src-other") == said
    assert kit.ok("vps_container", name="it-src-v", template=NAME, wait="booted")["boot"] == "running"


def test_nothing_unverified_is_taken(images, tmp_path):
    """Neither a content that is not the index's, nor an image that is not the playbook's, nor what a server without TLS says."""
    with servers.serving(images.folder, tls=tmp_path) as server, servers.serving(images.folder) as open_:
        newest = images.products[f"tiny:one:{ARCHITECTURE}:default"]["versions"]["20260102_05:24"]["items"]["root.tar.xz"]
        assert kit.fails("vps_template", **wish(open_, tmp_path)).startswith("url: ")
        assert kit.fails("vps_template", **wish(server, tmp_path, sha256="0" * 64)).startswith("sha256: ")
        kit.ok("vps_template", **wish(open_, tmp_path, name="it-src-pinned", sha256=newest["sha256"]))
        with open(images.folder / newest["path"], "ab") as file:
            file.write(b"more")
        assert newest["path"] in kit.fails("vps_template", **wish(server, tmp_path))
    assert not root().exists()


def test_what_is_not_there_is_said(images, tmp_path):
    """No such release; no root file system but a squashfs; no server of images; documents that are none; and paths that lead elsewhere."""
    name = f"tiny:one:{ARCHITECTURE}:default"
    with servers.serving(images.folder, tls=tmp_path) as server:
        message = kit.fails("vps_template", **wish(server, tmp_path, release="seven"))
        assert message.startswith("release: ") and f"tiny:seven:{ARCHITECTURE}:default" in message
        for path in ("../../etc/passwd", "/etc/passwd", "https://elsewhere.example/x", "file:/etc/passwd"):
            for version in images.products[name]["versions"].values():
                version["items"]["root.tar.xz"]["path"] = path
            images.write()
            assert "which is not on it" in kit.fails("vps_template", **wish(server, tmp_path))
            images.write({"index": {"images": {"path": path}}})
            assert "which is not on it" in kit.fails("vps_template", **wish(server, tmp_path))
        for index in ([1], {"index": []}, {"index": {"a": {"path": 7}}}, {"index": {}}, "text", {"index": {"a": {"path": "streams/v1/other.json"}}}):
            images.write(index)
            (images.folder / "streams/v1/other.json").write_text('{"products": {"a": {"versions": 3}}}', encoding="ascii")
            assert kit.fails("vps_template", **wish(server, tmp_path)).startswith(("url: ", "release: "))
        (images.folder / "streams/v1/index.json").write_text("[" * 100000, encoding="ascii")
        assert kit.fails("vps_template", **wish(server, tmp_path)).startswith("url: ")
        for version in images.products[name]["versions"].values():
            version["items"]["root.tar.xz"].update(ftype="squashfs", path="x")
        images.write()
        assert kit.fails("vps_template", **wish(server, tmp_path)).startswith("release: ")
        shutil.rmtree(images.folder / "streams")
        assert "404" in kit.fails("vps_template", **wish(server, tmp_path))


def test_device_nodes_of_an_image_are_left_out(images, system, tmp_path):
    """As LXC does: the images have some below /dev, which no VPS sees."""
    os.mknod(system / "dev/console", 0o600 | 0o020000, os.makedev(5, 1))
    images.add(system, f"tiny:dev:{ARCHITECTURE}:default", "1", "dev")
    with servers.serving(images.folder, tls=tmp_path) as server:
        kit.ok("vps_template", **wish(server, tmp_path, release="dev"))
        assert not (root() / "dev/console").exists()
        assert "dev/console" in kit.fails("vps_template", **wish(server, tmp_path, release="dev", special_files="refuse"))
