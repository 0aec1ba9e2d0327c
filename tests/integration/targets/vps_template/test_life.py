# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_template: built anew beside VPSs that were made from it, verified, mended, exported, imported, pruned; watched; killed on the way."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import os
import pathlib
import random
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator

import pytest
import vps_kit as kit
import vps_trees as trees

T, OTHER, VPS = "it-life-t", "it-life-o", "it-life-v"
STORAGES = ["btrfs", "image", "dir"]


def template(name: str = T) -> dict | None:
    """A template as vps_info tells it."""
    return next((found for found in kit.ok("vps_info")["templates"] if found["name"] == name), None)


def root(name: str = T) -> pathlib.Path:
    """A template's tree."""
    return kit.pool() / "templates" / name / "rootfs"


def left_over() -> list[str]:
    """What is half made or half deleted of this file's templates."""
    found = [path.name for path in (kit.pool() / "templates").iterdir() if path.name.startswith(".") and "it-life-" in path.name]
    return found + [path for path in kit.subvolumes().values() if path.startswith("templates/.") and "it-life-" in path]


def layers() -> set[str]:
    """What VPSs of storage dir lie on."""
    return {path.name for path in (kit.pool() / "templates").iterdir() if path.name.startswith(".layer-")}


def mark(folder: pathlib.Path, text: str) -> None:
    """Give a tree a content of its own."""
    (folder / "etc/mark").write_text(text, encoding="ascii")


def read_mark(name: str) -> str:
    """That of a VPS, which is started for it."""
    kit.container(name, state="started", wait="booted")
    return kit.said(name, "cat", "/etc/mark")


@pytest.fixture(autouse=True)
def remove_templates():
    """The templates of this file's tests go with the test."""
    yield
    kit.remove_all()
    for path in (kit.pool() / "templates").iterdir():
        if path.name.startswith("it-life-"):
            kit.ok("vps_template", name=path.name, state="absent")


@pytest.fixture
def system(minimal, tmp_path) -> pathlib.Path:
    """The tree of a small system, with everything in it that is easily lost."""
    folder = tmp_path / "system"
    kit.run("cp", "-a", str(root(minimal)), str(folder))
    folder.chmod(0o755)
    trees.fill(folder / "srv")
    (folder / "srv/inherits").mkdir()
    (folder / "srv/inherits/none").touch()  # made before its directory gives its own ACL to what is made in it
    os.setxattr(folder / "srv/inherits", "system.posix_acl_default", os.getxattr(folder / "srv/sparse", "system.posix_acl_access"))
    (folder / "srv/inherits/one").mkdir()
    (folder / "srv/inherits/one/file").touch()
    mark(folder, "one")
    return folder


@pytest.fixture
def source(system) -> dict:
    """The options of a template of it."""
    return {"source": "directory", "path": str(system), "special_files": "skip"}


@contextlib.contextmanager
def writable(name: str = T) -> Iterator[pathlib.Path]:
    """The tree of a template as a failing disk, or a person, changes it."""
    kit.run("btrfs", "property", "set", "-ts", str(root(name)), "ro", "false")
    yield root(name)
    kit.run("btrfs", "property", "set", "-ts", str(root(name)), "ro", "true")


# -- built anew ---------------------------------------------------------------------------------------------------------


def test_latest_builds_it_anew_each_time_and_says_so():
    """One more build with the next number, foretold; where there is none it is the first; without a source, of what it was made from."""
    assert kit.foretold("vps_template", name=T, source="minimal", state="latest", settles=False)["template"]["version"] == 1
    done = kit.foretold("vps_template", name=T, state="latest", settles=False)
    assert done["diff"] == {"before": {"version": 1}, "after": {"version": 2}}
    assert done["template"]["version"] == 2 and not left_over()
    assert not kit.ok("vps_template", name=T, source="minimal")["changed"]
    assert kit.fails("vps_template", name=OTHER, state="latest").startswith("source: ")


def test_latest_leaves_alone_what_is_younger_than_it_may_be():
    """By its age, whichever node has built it; a word that is no duration is refused."""
    kit.ok("vps_template", name=T, source="minimal")
    with kit.Untouched():
        assert not kit.ok("vps_template", name=T, state="latest", source="minimal", max_age="1h")["changed"]
    time.sleep(1.1)
    assert kit.ok("vps_template", name=T, state="latest", max_age="1s")["template"]["version"] == 2
    assert kit.fails("vps_template", name=T, state="latest", max_age="soon").startswith("max_age: ")
    assert kit.fails("vps_template", name=T, source="minimal", max_age="1h").startswith("max_age: ")


@pytest.mark.parametrize("storage", STORAGES)
def test_vpss_keep_what_they_were_made_of(system, source, storage):
    """The old build goes, but for the layer that a disk of storage dir lies on, and that goes with the last VPS on it. Who has which build is told."""
    kit.ok("vps_template", name=T, **source)
    before = layers()
    first = kit.container(VPS, template=T, storage=storage)["template_build"]
    mark(system, "two")
    now = kit.ok("vps_template", name=T, state="latest", **source)["template"]
    assert (now["version"], now["used_by"], now["outdated"]) == (2, [VPS], [VPS])
    assert first == {"version": 1, "created": first["created"], "content": first["content"]} and first["content"] != now["content"]
    second = kit.container(f"{VPS}2", template=T, storage=storage)["template_build"]
    assert second == {key: now[key] for key in ("version", "created", "content")} == kit.info(f"{VPS}2")["template_build"]
    assert template()["outdated"] == [VPS]
    assert (read_mark(VPS), read_mark(f"{VPS}2")) == ("one", "two")
    assert len(layers() - before) == (2 if storage == "dir" else 0) and not left_over()
    kit.container(VPS, state="absent")
    assert len(layers() - before) == (1 if storage == "dir" else 0)
    assert template()["outdated"] == []


def test_a_reinstall_gives_a_vps_the_present_build_and_back_again_the_old_one(system, source):
    """The record follows the disk, whatever else the task changes; a copy has the build of its source, a snapshot the one of its time."""
    kit.ok("vps_template", name=T, **source)
    old = kit.container(VPS, template=T, state="stopped")["template_build"]
    kit.ok("vps_snapshot", vps=VPS, name="old")
    mark(system, "two")
    new = kit.ok("vps_template", name=T, state="latest", **source)["template"]
    assert kit.container(VPS, state="stopped", reinstall="always", description="x", limits={"memory": "64M"})["template_build"]["content"] == new["content"]
    assert template()["outdated"] == []
    assert kit.container(f"{VPS}2", clone_from=VPS, state="stopped")["template_build"]["content"] == new["content"]
    assert kit.container(VPS, state="stopped", reinstall="undo", description="y")["template_build"] == old
    assert template()["outdated"] == [VPS] and read_mark(VPS) == "one"
    kit.container(VPS, state="stopped", reinstall="always")
    kit.ok("vps_snapshot", vps=VPS, name="old", state="rolled_back", stop_timeout=0)
    assert kit.info(VPS)["template_build"] == old


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.long
def test_vpss_that_are_made_while_it_is_built_anew_are_of_one_build(system, source, storage):
    """Each has the content of the build that its record names, and none fails."""
    marks = {}

    def build(text: str) -> None:
        mark(system, text)
        marks[kit.ok("vps_template", name=T, state="latest", **source)["template"]["version"]] = text

    build("0")
    kit.container(f"{VPS}0", template=T, storage=storage, state="stopped")  # so that an image is there for the next
    done = threading.Event()
    made: list[dict] = []

    def make() -> None:
        number = 0
        while not done.is_set():
            number += 1
            made.append(kit.result(kit.launch("vps_container", name=f"{VPS}{number}", template=T, storage=storage, state="stopped")))

    maker = threading.Thread(target=make)
    maker.start()
    try:
        for number in range(1, 8):
            build(str(number))
    finally:
        done.set()
        maker.join()
    assert made and not [told["msg"] for told in made if told.get("failed")]
    for told in made[-6:]:
        name = told["vps"]["name"]
        assert read_mark(name) == marks[told["vps"]["template_build"]["version"]], name
        kit.container(name, state="absent")
    assert not left_over()


# -- verified -----------------------------------------------------------------------------------------------------------


def spoil(tree: pathlib.Path) -> None:
    """Change a file without its size, a mode and an attribute; take one away, and put one there."""
    (tree / "etc/mark").write_text("two", encoding="ascii")
    (tree / "srv/sparse").chmod(0o600)
    os.setxattr(tree / "srv/file", "user.mine", b"other")
    (tree / "srv/link").unlink()
    (tree / "srv/new\nfile").touch()


def test_verify_names_what_differs_and_the_run_mends_it(source):
    """Check mode says which files, and what of each, and touches nothing; then it is as it was, and VPSs are as they were."""
    made = kit.ok("vps_template", name=T, **source)["template"]
    assert not kit.foretold("vps_template", name=T, verify=True)["changed"]
    kit.container(VPS, template=T, state="stopped")
    with writable() as tree:
        spoil(tree)
    told = kit.ok("vps_template", name=T, verify=True, check=True)
    assert told["changed"] and template() == {**made, "used_by": [VPS]}
    assert told["differences"] == {
        "count": 5, "missing": ["/srv/link"], "extra": [told["differences"]["extra"][0]],
        "changed": {"/etc/mark": ["content"], "/srv/file": ["xattr.user.mine"], "/srv/sparse": ["mode", "xattr.system.posix_acl_access"]},
    }
    assert told["differences"]["extra"][0].startswith("/srv/new\\012")
    done = kit.foretold("vps_template", name=T, verify=True)
    assert done["differences"]["count"] == 0 and done["template"]["content"] == made["content"] and done["template"]["version"] == 2
    assert (root() / "etc/mark").read_text(encoding="ascii") == "one" and done["template"]["outdated"] == [] and not left_over()


def test_what_nobody_knows_any_more_is_built_anew_where_it_is_verified():
    """A listing that is gone or another's, a record that is damaged: an error of its own, told of by vps_info, and mended by verify alone."""
    kit.ok("vps_template", name=T, source="minimal")
    listing = root().parent / "content.mtree"
    for text in (None, "#mtree\n"):
        listing.unlink()
        if text:
            listing.write_text(text, encoding="ascii")
        assert not kit.ok("vps_template", name=T, source="minimal")["changed"]
        done = kit.foretold("vps_template", name=T, source="minimal", verify=True)
        assert done["diff"]["before"] == {"content": "unknown"} and done["differences"]["count"] == 0
    kit.container(VPS, template=T, state="stopped")
    (root().parent / "template.json").write_text("{", encoding="ascii")
    told = kit.ok("vps_info")
    assert template() is None and any(T in warning and "is damaged" in warning for warning in told["warnings"])
    for state in ({"source": "minimal"}, {"state": "latest", "source": "minimal"}, {"state": "exported", "path": "/tmp/it-life.tar.zst"}):
        assert "is damaged" in kit.call("vps_template", name=T, **state)["msg"]
    assert VPS in kit.fails("vps_template", name=T, state="absent")
    done = kit.foretold("vps_template", name=T, source="minimal", verify=True)
    assert done["diff"]["before"] == {"content": "damaged"} and done["template"]["version"] == 4, "one more than the VPS's"
    kit.container(VPS, state="absent")
    (root().parent / "template.json").write_text("{", encoding="ascii")
    assert kit.foretold("vps_template", name=T, state="absent")["changed"] and not root().exists()


# -- in a file ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(source, tmp_path) -> pathlib.Path:
    """A template of that system, in a file; the template is gone."""
    kit.ok("vps_template", name=T, **source)
    kit.ok("vps_template", name=T, state="exported", path=str(tmp_path / "t.tar.zst"))
    kit.ok("vps_template", name=T, state="absent")
    return tmp_path / "t.tar.zst"


def test_what_is_imported_is_what_was_exported(source, tmp_path):
    """Every file with all that belongs to it, under whatever name; so that a task with the source has nothing to do. Twice is once, both ways."""
    file = tmp_path / "t.tar.zst"
    made = kit.ok("vps_template", name=T, **source)["template"]
    told = kit.foretold("vps_template", name=T, state="exported", path=str(file))
    assert told["archive"] == {"path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size": file.stat().st_size}
    assert oct(file.stat().st_mode) == "0o100600" and sorted(os.listdir(tmp_path)) == ["system", "t.tar.zst"]
    before = trees.listing(root())
    assert before["srv/inherits/none"][-1] == {} and len(before["srv/inherits/one"][-1]) == 2
    done = kit.foretold("vps_template", name=OTHER, state="imported", path=str(file), sha256=told["archive"]["sha256"])
    assert trees.listing(root(OTHER)) == before
    assert done["template"] == {**made, "name": OTHER, "size": done["template"]["size"], "imported": True}
    assert not kit.ok("vps_template", name=OTHER, **source)["changed"]
    assert not kit.ok("vps_template", name=OTHER, verify=True)["changed"]
    kit.container(VPS, template=OTHER)
    assert read_mark(VPS) == "one"


def test_a_later_build_takes_the_place_of_an_earlier_one(system, source, tmp_path):
    """In the file and in the template; the number rises whatever the file's is; VPSs keep what they have."""
    file = str(tmp_path / "t.tar.zst")
    kit.ok("vps_template", name=T, **source)
    kit.ok("vps_template", name=T, state="exported", path=file)
    kit.ok("vps_template", name=OTHER, state="imported", path=file)
    kit.container(VPS, template=OTHER, state="stopped")
    assert kit.fails("vps_template", name=OTHER, state="latest").startswith("source: "), "whose word the source of an imported one is, nobody knows"
    kit.ok("vps_template", name=OTHER, state="latest", **source)
    mark(system, "two")
    kit.ok("vps_template", name=T, state="latest")
    done = kit.foretold("vps_template", name=T, state="exported", path=file)
    assert done["diff"]["before"]["archive"]["version"] == 1 and done["diff"]["after"]["archive"]["version"] == 2
    done = kit.foretold("vps_template", name=OTHER, state="imported", path=file)
    assert done["template"]["version"] == 3 and done["template"]["outdated"] == [VPS]
    assert read_mark(VPS) == "one" and (root(OTHER) / "etc/mark").read_text(encoding="ascii") == "two" and not left_over()


def test_an_imported_template_is_mended_from_its_file(archive):
    """With verify; without, nobody looks."""
    kit.ok("vps_template", name=T, state="imported", path=str(archive))
    with writable() as tree:
        spoil(tree)
    assert not kit.ok("vps_template", name=T, state="imported", path=str(archive))["changed"]
    for check in (True, False):
        assert "3 changed, 1 missing, 1 extra" in kit.fails("vps_template", name=T, verify=True, check=check)
    message = kit.fails("vps_template", name=T, state="exported", path=str(archive.with_name("u.tar.zst")))
    assert message.startswith("name: ") and "3 changed, 1 missing, 1 extra" in message and not archive.with_name("u.tar.zst").exists()
    done = kit.foretold("vps_template", name=T, state="imported", path=str(archive), verify=True)
    assert done["diff"]["before"]["content"]["count"] == 5 and done["differences"]["count"] == 0


def test_a_file_that_is_no_template_is_left_alone(tmp_path, minimal):
    """Export puts nothing in its place, import makes nothing of it; nor do they of a directory, of nothing, or of what is not there."""
    mine = tmp_path / "mine"
    for content in (b"my diary", b"", b"\x28\xb5\x2f\xfd" + os.urandom(1000)):
        mine.write_bytes(content)
        for state in ("exported", "imported"):
            assert "no exported template" in kit.fails("vps_template", name=minimal if state == "exported" else T, state=state, path=str(mine))
        assert mine.read_bytes() == content
    for path in (str(tmp_path), str(tmp_path / "no/such"), "relative", f"{kit.pool()}/templates/x"):
        assert kit.fails("vps_template", name=minimal, state="exported", path=path).startswith("path: ")
    for path in (str(tmp_path), str(tmp_path / "no/such"), str(tmp_path / "none")):
        assert kit.fails("vps_template", name=T, state="imported", path=path).startswith("path: ")
    assert kit.fails("vps_template", name=T, state="exported", path=str(tmp_path / "t")).startswith("name: ")
    assert kit.fails("vps_template", name=T, state="imported").startswith("path: ") and not left_over()


def test_a_file_that_is_damaged_makes_no_template(archive):
    """Cut short, a bit turned, or another one than the playbook means: an error, and nothing is left. Export writes such a file anew."""
    whole = archive.read_bytes()
    assert kit.fails("vps_template", name=T, state="imported", path=str(archive), sha256="0" * 64).startswith("sha256: ")
    assert kit.fails("vps_template", name=T, state="imported", path=str(archive), sha256="0" * 64, check=True).startswith("sha256: ")
    for damaged in (whole[: len(whole) // 2], whole[:-1], whole[:-200] + bytes([whole[-200] ^ 1]) + whole[-199:]):
        archive.write_bytes(damaged)
        assert kit.fails("vps_template", name=T, state="imported", path=str(archive)).startswith("path: ")
        assert template() is None and not left_over()
    archive.write_bytes(whole)
    kit.ok("vps_template", name=T, state="imported", path=str(archive))
    archive.write_bytes(whole[:-1])
    assert kit.foretold("vps_template", name=T, state="exported", path=str(archive))["changed"]
    kit.ok("vps_template", name=OTHER, state="imported", path=str(archive))


def packed(path: pathlib.Path, record: dict | bytes, *entries: tuple[tarfile.TarInfo, bytes], start: bool = True) -> str:
    """A file as a stranger makes it: a record, the directory of the tree, and then whatever."""
    text = record if isinstance(record, bytes) else json.dumps(record).encode()
    first, tree = tarfile.TarInfo("template.json"), tarfile.TarInfo("rootfs")
    first.size, tree.type, tree.mode = len(text), tarfile.DIRTYPE, 0o755
    with tarfile.open(path, "w") as tar:
        for info, content in [*([(first, text), (tree, b"")] if start else []), *entries]:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", content: bytes = b"", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info, content


HOSTILE = {
    "beside the tree": [entry("root.img", content=b"x")],
    "a second record": [entry("template.json", content=b"{}")],
    "above": [entry("../it-life-evil", content=b"x")],
    "above from within": [entry("rootfs/../../it-life-evil", content=b"x")],
    "absolute": [entry("/tmp/it-life-evil", content=b"x")],
    "the tree as a link": [entry("rootfs", tarfile.SYMTYPE, "/tmp")],
    "through a link": [entry("rootfs/a", tarfile.SYMTYPE, "/tmp"), entry("rootfs/a/it-life-evil", content=b"x")],
    "through a link that climbs": [entry("rootfs/a", tarfile.SYMTYPE, "../../.."), entry("rootfs/a/it-life-evil", content=b"x")],
    "a hard link to the record": [entry("rootfs/a", tarfile.LNKTYPE, "template.json")],
    "a hard link to the node": [entry("rootfs/a", tarfile.LNKTYPE, "/etc/shadow")],
    "a hard link above": [entry("rootfs/a", tarfile.LNKTYPE, "rootfs/../../../../../etc/shadow")],
    "a device": [entry("rootfs/a", tarfile.CHRTYPE)],
    "a fifo": [entry("rootfs/a", tarfile.FIFOTYPE)],
    "nothing": [],
    "what boots nothing": [entry("rootfs/etc", tarfile.DIRTYPE), entry("rootfs/srv", tarfile.DIRTYPE)],
    "another content": [entry("rootfs/etc", tarfile.DIRTYPE, mode=0o755), entry("rootfs/sbin/init", content=b"x", mode=0o755)],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_strangers_file_gets_nowhere(minimal, tmp_path, what):
    """It is refused, with the entry, and nothing is made of it, nowhere."""
    record = json.loads((root(minimal).parent / "template.json").read_text(encoding="utf-8"))
    record = {**record, "content": record.get("content") or "0" * 64}
    files = kit.node_files()
    message = kit.fails("vps_template", name=T, state="imported", path=packed(tmp_path / "t", record, *HOSTILE[what]))
    assert message.startswith("path: ")
    assert template() is None and not left_over() and kit.node_files() == files
    assert not [path for path in ("/tmp/it-life-evil", "/it-life-evil") if os.path.lexists(path)]
    assert not (kit.pool() / "templates/it-life-evil").exists() and not (kit.pool() / "it-life-evil").exists()


@pytest.mark.parametrize(
    "record",
    [
        b"", b"{", b"[" * 100_000, b"{}", b"null", b" " * (2 << 20),
        {"content": 7}, {"version": "1"}, {"version": -1}, {"template": []}, {"checksum": "x"}, {"a": 1},
    ],
)
def test_a_strangers_record_is_a_sentence(minimal, tmp_path, record):
    """Whatever it is, and however long."""
    there = json.loads((root(minimal).parent / "template.json").read_text(encoding="utf-8"))
    there = {**there, "content": there.get("content") or "0" * 64}
    text = record if isinstance(record, bytes) else {**there, **record}
    assert "no exported template" in kit.fails("vps_template", name=T, state="imported", path=packed(tmp_path / "t", text))


def test_bounds_hold_for_what_is_imported(archive):
    """Bytes, files, and files that run with their owner's rights."""
    for option, value in (("max_size", "1M"), ("max_entries", 20), ("setid_files", "refuse")):
        message = kit.fails("vps_template", name=T, state="imported", path=str(archive), **{option: value})
        assert f"'{option}'" in message and not left_over()


# -- used by nobody -----------------------------------------------------------------------------------------------------


def test_what_nobody_uses_goes_but_for_what_is_kept_and_what_is_young():
    """Foretold, each by its name; one that a VPS was made from stays. A name is refused, for it is about all."""
    for name in (T, OTHER):
        kit.ok("vps_template", name=name, source="minimal")
    kit.container(VPS, template=OTHER, state="stopped")
    others = [one["name"] for one in kit.ok("vps_info")["templates"] if one["name"] not in (T, OTHER)]
    assert not kit.ok("vps_template", state="pruned", keep=others, max_age="1h")["changed"]
    assert not kit.ok("vps_template", state="pruned", keep=[*others, T])["changed"]
    done = kit.foretold("vps_template", state="pruned", keep=others)
    assert done["diff"] == {"before": {f"templates.{T}": "present"}, "after": {f"templates.{T}": "absent"}}
    assert template() is None and template(OTHER) and not left_over()
    assert kit.fails("vps_template", state="pruned", name=T).startswith("name: ")
    assert kit.fails("vps_template", source="minimal").startswith("name: ")


# -- watched ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def slow_server(content: bytes) -> Iterator[tuple[str, threading.Event]]:
    """An address that gives half of a content, and the rest when it is told to."""
    go = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        """One file."""

        def do_GET(self) -> None:
            """Send it."""
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            go.wait(60)
            self.wfile.write(content[len(content) // 2 :])

        def log_message(self, *_words: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/t.tar", go
    finally:
        go.set()
        server.shutdown()
        server.server_close()


def test_what_is_being_built_is_told_as_long_as_it_is(system):
    """By whom it is begun, since when, what is done, how far; not when it is through, nor of a run that was killed."""

    def building() -> list[dict]:
        return [one for one in kit.ok("vps_info")["building"] if one["name"].startswith("it-life-")]

    content = subprocess.run(["tar", "-C", str(system), "-c", "--exclude=./srv", "."], stdout=subprocess.PIPE, check=True).stdout
    params = {"source": "tarball", "sha256": hashlib.sha256(content).hexdigest()}
    with slow_server(content) as (url, go):
        run = kit.launch("vps_template", name=T, url=url, **params)
        told = kit.until("it fetches", lambda: [one for one in building() if one["line"]])[0]
        assert told["name"] == T and told["step"] == "building" and told["line"].endswith(" bytes fetched") and told["since"] > "2026"
        go.set()
        assert kit.result(run)["changed"]
    assert building() == [] and not (root().parent / "progress.json").exists()
    with slow_server(content) as (url, go):
        run = kit.launch("vps_template", name=T, url=url, state="latest", **params)
        kit.until("it builds", building)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        assert building() == [] and left_over()
    assert kit.ok("vps_template", name=T, verify=True)["template"]["version"] == 1 and not left_over()


# -- killed -------------------------------------------------------------------------------------------------------------


def kill_somewhere(**params: object) -> None:
    """Kill a run at some moment, as early or late as it may be."""
    started = time.monotonic()
    kit.result(kit.launch("vps_template", check=True, **params))
    least = time.monotonic() - started
    run = kit.launch("vps_template", **params)
    time.sleep(random.uniform(0.3, 2.5) * least)
    run.send_signal(signal.SIGKILL)
    run.communicate()


@pytest.mark.parametrize("what", ["latest", "exported", "imported"])
def test_killed_anywhere_the_next_run_converges(system, source, tmp_path, what):
    """There is the old one or the new one, whole; the next run does the rest, and leaves nothing else."""
    file, out = str(tmp_path / "t.tar.zst"), tmp_path / "out"
    out.mkdir()
    kit.ok("vps_template", name=T, **source)
    kit.container(VPS, template=T, storage="dir", state="stopped")
    for number in range(kit.kills(6)):
        mark(system, f"round {number}")
        if what == "latest":
            params: dict = {"name": T, "state": "latest", **source}
        elif what == "exported":
            kit.ok("vps_template", name=T, state="latest", **source)
            params = {"name": T, "state": "exported", "path": str(out / "t.tar.zst")}
        else:
            kit.ok("vps_template", name=OTHER, state="latest", **source)
            kit.ok("vps_template", name=OTHER, state="exported", path=file)
            params = {"name": T, "state": "imported", "path": file}
        before = template()
        kill_somewhere(**params)
        kit.until("nobody is at it", lambda: not kit.is_locked("template", T))
        assert template()["version"] - before["version"] in (0, 1)
        verified = kit.ok("vps_template", name=T, verify=True)
        assert not verified["changed"] and not left_over()
        kit.ok("vps_template", **params)
        assert not left_over() and sorted(os.listdir(out)) == (["t.tar.zst"] if what == "exported" else [])
        if what == "exported":
            kit.ok("vps_template", name=OTHER, state="imported", path=params["path"])
        assert (root(OTHER if what == "exported" else T) / "etc/mark").read_text(encoding="ascii") == f"round {number}"
    assert read_mark(VPS) == "one"


def test_killed_as_soon_as_the_new_one_is_there_the_old_one_goes_with_the_next_run(system, source):
    """What is left then has the name of something half made, and is what the new one has replaced."""
    kit.ok("vps_template", name=T, **source)
    mark(system, "two")
    before = os.stat(root().parent).st_ino
    kit.kill_when(lambda: os.stat(root().parent).st_ino != before, "vps_template", name=T, state="latest", **source)
    assert template()["version"] == 2 and (root() / "etc/mark").read_text(encoding="ascii") == "two"
    kit.ok("vps_template", name=OTHER, source="minimal")
    assert not left_over() and not kit.ok("vps_template", name=T, verify=True)["changed"]


# -- from node to node --------------------------------------------------------------------------------------------------


def test_a_playbook_carries_it_from_node_to_node(source, tmp_path):
    """The tasks of the documentation; both nodes are this one, under two names."""
    tasks = [
        {"mainline.vps.vps_template": {"name": T, **source}},
        {"mainline.vps.vps_template": {"name": T, "state": "exported", "path": f"{tmp_path}/t.tar.zst"}, "register": "export"},
        {"ansible.builtin.fetch": {"src": f"{tmp_path}/t.tar.zst", "dest": f"{tmp_path}/here.tar.zst", "flat": True}},
        {"ansible.builtin.copy": {"src": f"{tmp_path}/here.tar.zst", "dest": f"{tmp_path}/there.tar.zst", "mode": "0600"}},
        {
            "mainline.vps.vps_template": {
                "name": OTHER, "state": "imported", "path": f"{tmp_path}/there.tar.zst", "sha256": "{{ export.archive.sha256 }}",
            }
        },
    ]
    kit.play(tmp_path, tasks)
    assert template(OTHER)["content"] == template()["content"]
    assert "changed=0" in kit.play(tmp_path, tasks)
