# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of OCI images: layers over layers, what a layer hides, tags and digests; and layouts that lie."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile

import archives
import pytest
import vps_kit as kit
from archives import NAME, entry, made, packed, root

ARCHITECTURE = kit.run("dpkg", "--print-architecture").strip()
FOLDER, LINK = tarfile.DIRTYPE, tarfile.SYMTYPE


class Layout:
    """An image layout, made by hand."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.blobs = folder / "blobs/sha256"
        self.blobs.mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="ascii")
        self.manifests: list[dict] = []

    def blob(self, content: bytes, kind: str) -> dict:
        """A blob and its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    def image(self, tag: str | None, *layers: bytes, architecture: str | None = ARCHITECTURE) -> str:
        """An image of these layers; its digest."""
        config = self.blob(b"{}", "config.v1+json")
        manifest = {"schemaVersion": 2, "config": config, "layers": [self.blob(layer, "layer.v1.tar+gzip") for layer in layers]}
        descriptor = self.blob(json.dumps(manifest).encode(), "manifest.v1+json")
        if architecture:
            descriptor["platform"] = {"os": "linux", "architecture": architecture}
        if tag:
            descriptor["annotations"] = {"org.opencontainers.image.ref.name": tag}
        self.manifests.append(descriptor)
        self.write()
        return descriptor["digest"]

    def write(self) -> None:
        """The index."""
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.manifests}), encoding="ascii")


@pytest.fixture
def layout(tmp_path) -> Layout:
    """An empty one."""
    return Layout(tmp_path / "layout")


@pytest.fixture
def base(system, tmp_path) -> bytes:
    """The lowest layer: a system, with things in it for others to hide."""
    for name in ("kept/a", "kept/b", "opaque/old", "opaque/sub/old", "gone/deep/file", "becomes/dir", "usr/lib/x"):
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text("lower", encoding="ascii")
    (system / "lib").symlink_to("usr/lib")
    return gzip.compress(packed(system, tmp_path / "base.tar").read_bytes(), 1)


def layer(tmp_path, *entries, content: bytes = b"upper") -> bytes:
    """A layer of these entries, as it is in a blob."""
    return gzip.compress(made(tmp_path / "layer.tar", *entries, content=content, init=False).read_bytes(), 1)


def wish(layout, **options) -> dict:
    """The options of a template of its image."""
    return {"name": NAME, "source": "oci", "path": str(layout.folder), **options}


def read(name: str) -> str | None:
    """What a file of the template says."""
    path = root() / name
    return path.read_text(encoding="ascii") if path.exists() else None


def test_layers_lie_one_over_the_other(layout, base, tmp_path):
    """What a layer has replaces what was there; what it hides is gone; what an opaque directory had is gone but for the layer's own, whatever their order."""
    upper = layer(
        tmp_path, entry("kept/a"), entry("kept/.wh.b"), entry("opaque/sub/new"), entry("opaque", type=FOLDER, mode=0o750), entry("opaque/.wh..wh..opq"),
        entry(".wh.gone"), entry("becomes"), entry(".wh.never-was"), entry("no/such/.wh.x"), entry("lib/y"),
    )
    layout.image("latest", base, upper)
    done = kit.foretold("vps_template", **wish(layout))
    assert (read("kept/a"), read("kept/b")) == ("upper", None)
    assert (read("opaque/old"), read("opaque/sub/old"), read("opaque/sub/new")) == (None, None, "upper")
    assert (root() / "opaque").stat().st_mode & 0o7777 == 0o750
    assert not (root() / "gone").exists() and read("becomes") == "upper"
    assert (root() / "lib").is_symlink() and read("usr/lib/y") == "upper" and read("usr/lib/x") == "lower", "through a link of a lower layer, inside"
    assert not [name for _folder, _folders, files in os.walk(root()) for name in files if name.startswith(".wh.")]
    assert done["template"]["init"] == "busybox"
    assert kit.ok("vps_container", name="it-src-v", template=NAME, wait="booted")["boot"] == "running"


def test_depth_is_bounded_through_links_too(layout, base, tmp_path):
    """Names are short, and go through links that go through links; a tree that is hidden may be as deep as any."""
    dig = [entry("d/" * 200, type=FOLDER, mode=0o755)]
    for number in range(6):
        above = f"l{number - 1}/" if number else ""
        dig += [entry(f"l{number}", type=LINK, linkname=f"{above}{'d/' * 200}"), entry(f"l{number}/{'d/' * 200}", type=FOLDER, mode=0o755)]
    layout.image("deep", base, layer(tmp_path, *dig))
    assert "is deeper than 256" in kit.fails("vps_template", **wish(layout, image="deep"))
    layout.image("hidden", base, layer(tmp_path, dig[0]), layer(tmp_path, entry(".wh.d")))
    kit.ok("vps_template", **wish(layout, image="hidden"))
    assert not (root() / "d").exists()


def test_tags_digests_and_machines_say_which(layout, base, tmp_path):
    """One of several is chosen by its tag, by its digest, by its machine; which there are is said where it is not clear."""
    one = layout.image("one", base, layer(tmp_path, entry("which"), content=b"one"))
    layout.image("two", base, layer(tmp_path, entry("which"), content=b"two"))
    layout.image("two", base, layer(tmp_path, entry("which"), content=b"other machine"), architecture="mips64le")
    message = kit.fails("vps_template", **wish(layout))
    assert message.startswith("image: ") and "one, two" in message
    other = {"image": "two", "architecture": "mips64le"}
    for options, said in (({"image": "one"}, "one"), ({"image": one}, "one"), ({"image": "two"}, "two"), (other, "other machine")):
        kit.ok("vps_template", **wish(layout, **options))
        assert read("which") == said
    assert "it has one, two" in kit.fails("vps_template", **wish(layout, image="three"))
    assert kit.fails("vps_template", **wish(layout, image="one", architecture="s390x")).startswith("architecture: ")


def test_an_index_of_an_index_is_followed(layout, base):
    """As images for several machines have it; not for ever."""
    layout.image(None, base)
    inner = layout.blob((layout.folder / "index.json").read_bytes(), "index.v1+json")
    layout.manifests = [{**inner, "annotations": {"org.opencontainers.image.ref.name": "all"}}]
    layout.write()
    kit.ok("vps_template", **wish(layout, image="all"))
    for _depth in range(6):
        layout.manifests = [layout.blob((layout.folder / "index.json").read_bytes(), "index.v1+json")]
        layout.write()
    assert "indexes of indexes" in kit.fails("vps_template", **wish(layout, name="it-src-u"))


def test_an_archive_of_a_layout_is_one(layout, base, tmp_path):
    """Its checksum is verified, where there is one; links in it lead nowhere."""
    layout.image("latest", base)
    path = tmp_path / "image.tar"
    kit.run("tar", "--create", "--owner=99999", "--group=99999", "--file", str(path), "--directory", str(layout.folder), ".")
    with kit.Untouched():
        assert kit.fails("vps_template", **wish(layout, path=str(path), sha256="0" * 64)).startswith("sha256: ")
    kit.ok("vps_template", **wish(layout, path=str(path), sha256=archives.sha256(path)))
    assert read("kept/a") == "lower"
    evil = made(tmp_path / "evil.tar", entry("index.json", type=LINK, linkname="/etc/passwd"), entry("oci-layout"), init=False)
    message = kit.fails("vps_template", **wish(layout, name="it-src-u", path=str(evil)))
    assert message.startswith("path: ") and "link" in message and "root:" not in message
    deep = made(tmp_path / "deep.tar", entry("d/" * 1900 + "f"), init=False)
    assert "deeper" in kit.fails("vps_template", **wish(layout, name="it-src-u", path=str(deep)))


def test_layouts_that_lie(layout, base, tmp_path):
    """A blob that is not what it is called, one that is missing, a digest that is a path, documents that are none, layers that lead out."""
    layout.image("latest", base, layer(tmp_path, entry("x")))
    index = (layout.folder / "index.json").read_text(encoding="ascii")
    digest = layout.manifests[0]["digest"]
    manifest = layout.blobs / digest[7:]
    whole = manifest.read_bytes()
    manifest.write_bytes(whole + b" ")
    assert digest[7:] in kit.fails("vps_template", **wish(layout))
    manifest.write_bytes(whole)
    blob = layout.blobs / json.loads(whole)["layers"][1]["digest"][7:]
    content = blob.read_bytes()
    blob.write_bytes(content + b"x")
    assert blob.name in kit.fails("vps_template", **wish(layout))
    blob.unlink()
    assert "lacks blobs/sha256/" in kit.fails("vps_template", **wish(layout))
    blob.symlink_to("/etc/passwd")
    assert "leads out of it" in kit.fails("vps_template", **wish(layout))
    digests = [index.replace(digest, other) for other in ("sha256:../../../../etc/passwd", "md5:abc")]
    for bad in (*digests, "[]", "{}", '{"manifests": 7}', '{"manifests": [7]}', "[" * 99999, "\0"):
        (layout.folder / "index.json").write_text(bad, encoding="ascii")
        assert kit.fails("vps_template", **wish(layout)).startswith(("path: ", "architecture: ")), bad
    before = kit.node_files()
    aside = [entry("l", type=LINK, linkname="/etc"), entry("m", type=LINK, linkname="/root")]
    layout.manifests = []
    layout.image(None, base, layer(tmp_path, *aside), layer(tmp_path, entry("l/.wh.inittab"), entry("m/.wh..wh..opq")))
    kit.ok("vps_template", **wish(layout, name="it-src-aside"))
    assert not (root("it-src-aside") / "etc/inittab").exists(), "it is its own /etc that a link leads to"
    for bad in ("../evil", "/evil", "../.wh.etc", "/.wh.etc", ".wh..", ".wh...", "kept/.wh...", ".wh.", "kept/.wh..wh..opq/../.."):
        layout.manifests = []
        layout.image(None, base, layer(tmp_path, entry(bad)))
        assert f"'{bad}' in layer 1 of the image" in kit.fails("vps_template", **wish(layout))
    assert kit.node_files() == before


def test_what_skopeo_and_umoci_make_is_taken(system, tmp_path):
    """An image that umoci makes and skopeo copies: the layout, and the archive of it."""
    archives.furnished(system)
    layout = tmp_path / "made"
    kit.run("umoci", "init", "--layout", str(layout))
    kit.run("umoci", "new", "--image", f"{layout}:first")
    kit.run("umoci", "insert", "--image", f"{layout}:first", str(system), "/")
    shutil.rmtree(system / "kept")
    (system / "second").write_text("second", encoding="ascii")
    kit.run("umoci", "insert", "--image", f"{layout}:first", "--tag", "second", str(system / "second"), "/second")
    kit.run("umoci", "insert", "--image", f"{layout}:second", "--whiteout", "/kept/hard")
    kit.run("skopeo", "copy", f"oci:{layout}:second", f"oci-archive:{tmp_path}/image.tar:second")
    kit.ok("vps_template", name=NAME, source="oci", path=str(layout), image="second")
    kit.ok("vps_template", name="it-src-archive", source="oci", path=f"{tmp_path}/image.tar", image="second")
    assert read("second") == "second" and not (root() / "kept/hard").exists()
    status = (root() / "kept/owned").stat()
    assert (status.st_uid, status.st_gid) == (1000, 1001) and (root() / "kept/setid").stat().st_mode & 0o7777 == 0o6755
    assert subprocess.run(["getcap", str(root() / "kept/capable")], capture_output=True, text=True, check=True).stdout.strip().endswith("cap_net_raw=ep")
    found = archives.fingerprint(root())
    assert {name: value for name, value in archives.fingerprint(root("it-src-archive")).items() if name not in ("etc", "etc/machine-id")} == {
        name: value for name, value in found.items() if name not in ("etc", "etc/machine-id")
    }
