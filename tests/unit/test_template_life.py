# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a template: what a task may ask, what is then planned, what its content is, and who has which build."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core import content, template, template_life
from ansible_collections.mainline.vps.plugins.module_utils.core.builds import Build, outdated, read_build
from ansible_collections.mainline.vps.plugins.module_utils.core.content import Differences, Entry
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import NOT_OURS
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Kept, Manifest, Template, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import BuildTemplate, Change, ExportTemplate, ImportTemplate, Plan, PruneTemplate
from ansible_collections.mainline.vps.plugins.module_utils.core.template_life import Archived, Desired, TemplateActual
from ansible_collections.mainline.vps.plugins.module_utils.node import content as listing
from ansible_collections.mainline.vps.plugins.module_utils.node import locks, progress
from ansible_collections.mainline.vps.plugins.module_utils.node.record import TemplateRecords
from ansible_collections.mainline.vps.tests.contract import modules
from ansible_collections.mainline.vps.tests.unit.reading import sentence

MADE, DAY = "2026-01-01T00:00:00+00:00", 86_400
NOW = 1_767_225_600 + DAY  # a day later
DEBIAN = Template("t", "debian", "bookworm", ("nginx",))
MANIFEST = Manifest(DEBIAN, "systemd", template.checksum(DEBIAN), 1, MADE, 3, "aa")
FILE = Archived("/t.tar.zst", MANIFEST, "bb", 7)
SPOILED = Differences({"/etc/passwd": ("content",)}, ("/a",), ("/b", "/c"))


def wish(state: str, made_from: Template | None = None, **more) -> Desired:
    """What is asked of the template `t` a day after it was made."""
    return Desired("t", state, made_from, NOW, **more)


def parsed(**params) -> Desired:
    """A task."""
    return template.parse_template(modules.parameters("vps_template", **params), now=NOW)


# -- what a task may say ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "params"),
    [
        ("name", {"state": "present", "source": "minimal"}),
        ("name", {"state": "absent"}),
        ("name", {"state": "exported", "path": "/t"}),
        ("name", {"state": "pruned", "name": "t"}),
        ("max_age", {"name": "t", "source": "minimal", "max_age": "7d"}),
        ("max_age", {"name": "t", "state": "latest", "max_age": "7"}),
        ("max_age", {"name": "t", "state": "latest", "max_age": "0d"}),
        ("max_age", {"state": "pruned", "max_age": "never"}),
        ("max_age", {"name": "t", "state": "exported", "path": "/t", "max_age": "7d"}),
        ("verify", {"name": "t", "state": "exported", "path": "/t", "verify": True}),
        ("verify", {"state": "pruned", "verify": True}),
        ("keep", {"name": "t", "source": "minimal", "keep": ["a"]}),
        ("keep", {"state": "pruned", "keep": ["../a"]}),
        ("source", {"name": "t"}),
        ("source", {"name": "t", "state": "imported", "path": "/t", "source": "minimal"}),
        ("suite", {"name": "t", "state": "latest", "suite": "trixie"}),
        ("packages", {"name": "t", "verify": True, "packages": ["nginx"]}),
        ("path", {"name": "t", "state": "exported"}),
        ("path", {"name": "t", "state": "imported"}),
        ("path", {"name": "t", "state": "imported", "path": "t.tar.zst"}),
        ("sha256", {"name": "t", "state": "exported", "path": "/t", "sha256": "a" * 64}),
        ("sha256", {"name": "t", "state": "imported", "path": "/t", "sha256": "a"}),
        ("url", {"name": "t", "state": "imported", "path": "/t", "url": "https://host/t"}),
        ("max_size", {"name": "t", "state": "imported", "path": "/t", "max_size": "1"}),
    ],
)
def test_a_task_may_not_say_this(option, params):
    sentence(lambda: parsed(**params), option)


def test_a_task_that_names_no_source_means_what_the_template_was_made_from():
    assert parsed(name="t", state="latest").template is parsed(name="t", verify=True).template is None
    assert parsed(name="t", state="latest", source="minimal", max_age="1w").max_age == 7 * DAY
    assert parsed(state="pruned", keep=["b", "a"], max_age="2h") == Desired(template_life.NOBODY, "pruned", None, NOW, 7200, keep=("b", "a"))
    asked = parsed(name="t", state="imported", path="/t", sha256="A" * 64, max_size="2M", setid_files="refuse")
    assert (asked.path, asked.sha256, asked.bounds.max_size, asked.bounds.setid_files) == ("/t", "a" * 64, 2 << 20, "refuse")


def test_whoever_asks_for_absence_may_have_said_anything_else():
    assert parsed(name="t", state="absent", verify=True, max_age="x", keep=["/"], source="minimal") == Desired("t", "absent", None)


# -- what is planned ----------------------------------------------------------------------------------------------------


def test_the_latest_is_built_each_time_until_it_has_been():
    plan = template.compare(wish("latest"), TemplateActual(MANIFEST))
    assert plan == Plan((Change("version", 3, 4),), (BuildTemplate(DEBIAN),))
    assert template.compare(template.settled(wish("latest")), TemplateActual(MANIFEST)) == Plan()
    assert template.compare(wish("latest", DEBIAN), TemplateActual()).changes[0] == Change("state", "absent", "present")
    assert template.compare(wish("latest", replace(DEBIAN, suite="trixie"), max_age=9 * DAY), TemplateActual(MANIFEST)).changes == (
        Change("suite", "bookworm", "trixie"),
    )
    sentence(lambda: template.compare(wish("latest"), TemplateActual()), "source")
    sentence(lambda: template.compare(wish("latest"), TemplateActual(MANIFEST, missing_tool="no mmdebstrap.")), "source")


def test_a_source_that_a_file_has_told_is_not_followed():
    """It could say what the node's root is to run."""
    alien = TemplateActual(replace(MANIFEST, imported=True), differences=SPOILED)
    for asked in (wish("latest"), wish("present", verify=True)):
        assert "imported" in sentence(lambda asked=asked: template.compare(asked, alien), "source")
    assert template.compare(wish("latest", max_age=9 * DAY), alien) == Plan()
    assert template.compare(wish("latest", DEBIAN), alien).steps == (BuildTemplate(DEBIAN),)
    assert template.compare(wish("present", DEBIAN), alien) == Plan()


@pytest.mark.parametrize(
    ("created", "max_age", "built"),
    [(MADE, DAY, False), (MADE, DAY - 1, True), ("2036-01-01T00:00:00+00:00", 1, False), ("yesterday", 9 * DAY, True), ("", 9 * DAY, True)],
)
def test_the_latest_is_not_built_where_it_is_young_enough(created, max_age, built):
    plan = template.compare(wish("latest", max_age=max_age), TemplateActual(replace(MANIFEST, created=created)))
    assert plan.changed == built


@pytest.mark.parametrize(("found", "before"), [(SPOILED, SPOILED.named), (None, "unknown")])
def test_what_is_not_as_it_was_is_built_anew_where_the_task_looks(found, before):
    actual = TemplateActual(MANIFEST, differences=found)
    for asked in (wish("present", verify=True), wish("present", DEBIAN, verify=True), wish("latest", verify=True, max_age=9 * DAY)):
        assert template.compare(asked, actual) == Plan((Change("content", before, "as it was made"),), (BuildTemplate(DEBIAN),))
    assert template.compare(wish("present", DEBIAN), actual) == Plan()
    assert template.compare(wish("present", verify=True), TemplateActual(MANIFEST, differences=Differences())) == Plan()


def test_a_damaged_record_is_an_error_but_for_who_verifies_or_removes():
    broken = TemplateActual(damaged="/t/template.json: is damaged.", archive=FILE)
    bounds = Template("t", "imported")
    for asked in (wish("present", DEBIAN), wish("latest", DEBIAN), wish("latest"), wish("present", verify=True), wish("exported", path="/t"),
                  wish("imported", path="/t", bounds=bounds)):
        sentence(lambda asked=asked: template.compare(asked, broken), "/t/template.json")
    change = Change("content", "damaged", "as it was made")
    assert template.compare(wish("present", DEBIAN, verify=True), broken) == Plan((change,), (BuildTemplate(DEBIAN),))
    assert template.compare(wish("imported", path="/t", bounds=bounds, verify=True), broken).changes == (change,)
    assert template.compare(wish("absent"), broken).changes == (Change("state", "present", "absent"),)
    sentence(lambda: template.compare(wish("absent"), replace(broken, used_by=("web",))), "name")


def test_a_template_is_exported_where_the_file_has_not_this_build():
    asked, step = wish("exported", path="/t.tar.zst"), ExportTemplate("t", "/t.tar.zst")
    assert template.compare(asked, TemplateActual(MANIFEST, archive=FILE)) == Plan()
    for there in (Archived("/t.tar.zst"), replace(FILE, manifest=replace(MANIFEST, version=2)), replace(FILE, trouble="path: half of it.")):
        plan = template.compare(asked, TemplateActual(MANIFEST, archive=there))
        assert plan.steps == (step,) and plan.changes[0].after == {"version": 3, "created": MADE, "content": "aa"}
    sentence(lambda: template.compare(asked, TemplateActual(MANIFEST, archive=Archived("/t.tar.zst", trouble="path: is mine."))), "path")
    sentence(lambda: template.compare(asked, TemplateActual(archive=FILE)), "name")
    assert "older release" in sentence(lambda: template.compare(asked, TemplateActual(replace(MANIFEST, content=None), archive=FILE)), "name")


def test_a_template_is_imported_where_it_is_not_what_the_file_has():
    bounds = Template("t", "imported")
    asked, step = wish("imported", path="/t.tar.zst", bounds=bounds), ImportTemplate("t", "/t.tar.zst", bounds)
    assert template.compare(asked, TemplateActual(replace(MANIFEST, version=9, created="x"), archive=FILE)) == Plan()
    plan = template.compare(asked, TemplateActual(archive=FILE))
    assert plan.steps == (step,) and [change.option for change in plan.changes] == ["state", "source", "suite", "packages"]
    plan = template.compare(asked, TemplateActual(replace(MANIFEST, content="cc"), archive=FILE))
    assert plan.steps == (step,) and [change.option for change in plan.changes] == ["build"]
    plan = template.compare(replace(asked, verify=True), TemplateActual(MANIFEST, archive=FILE, differences=SPOILED))
    assert plan.steps == (step,) and [change.option for change in plan.changes] == ["content"]
    sentence(lambda: template.compare(replace(asked, sha256="dd"), TemplateActual(archive=FILE)), "sha256")
    sentence(lambda: template.compare(asked, TemplateActual(archive=Archived("/t.tar.zst"))), "path")
    sentence(lambda: template.compare(asked, TemplateActual(archive=replace(FILE, trouble="path: half of it."))), "path")


def test_what_nobody_uses_is_pruned_by_name_and_age():
    old, young = (Manifest(replace(DEBIAN, name=name), "systemd", "x", 1, created) for name, created in (("old", MADE), ("young", "2026-01-01T12:00:00+00:00")))
    actual = TemplateActual(unused=(old, young))

    def pruned(**more) -> list[str]:
        plan = template.compare(Desired(template_life.NOBODY, "pruned", None, NOW, **more), actual)
        assert plan.changes == tuple(Change(f"templates.{step.name}", "present", "absent") for step in plan.steps)
        assert all(step == PruneTemplate(step.name, {"old": old, "young": young}[step.name].build) for step in plan.steps)
        return [step.name for step in plan.steps]

    assert pruned() == ["old", "young"]
    assert pruned(max_age=DAY // 2 + 1) == ["old"]
    assert pruned(keep=("old",)) == ["young"] and pruned(keep=("old", "young")) == []


# -- who has which build ------------------------------------------------------------------------------------------------


def test_outdated_is_who_was_made_from_another_content():
    now = Build(3, MADE, "aa")
    users = {"same": now, "same content": Build(1, "x", "aa"), "other": Build(3, MADE, "bb"), "unknown": None}
    assert outdated(now, users) == ("other", "unknown")
    older = Build(1, MADE)
    assert outdated(older, {"same": older, "unknown": None, "before": Build(1, "x")}) == ("before",)


def test_builds_survive_on_disk():
    vps = Vps("web", "t", "systemd", "web", build=Build(3, MADE, "aa"))
    assert Vps.from_record(json.loads(json.dumps(vps.to_record()))) == vps
    assert Manifest.from_record(json.loads(json.dumps(asdict(MANIFEST)))) == MANIFEST
    assert Kept.from_record({"template": "t", "init": "systemd", "since": MADE}).build is None
    assert Kept.from_record(json.loads(json.dumps(asdict(Kept("t", "systemd", MADE, vps.build))))).build == vps.build
    old = {key: value for key, value in asdict(MANIFEST).items() if key not in ("version", "content")}
    assert Manifest.from_record(old).build == Build(1, MADE)


@pytest.mark.parametrize(
    "record",
    [
        {}, [], "x", {"version": 1}, {"version": "1", "created": MADE}, {"version": True, "created": MADE}, {"version": 1, "created": 1},
        {"version": 1, "created": MADE, "content": 1}, {"version": 1, "created": MADE, "more": 1},
    ],
)
def test_what_is_no_build_is_not_taken_for_one(record):
    with pytest.raises(NOT_OURS):
        read_build(record)


# -- what is in it ------------------------------------------------------------------------------------------------------


def test_a_line_is_as_mtree_has_it():
    assert content.line(Entry("./a b", "file", 0o4755, 1, 2, 3, "ff", xattrs=(("user.x=y", b"\0"),))) == (
        "./a\\040b type=file mode=4755 uid=1 gid=2 size=3 sha256digest=ff xattr.user.x=y=AA==\n"
    )
    assert content.line(Entry("./l", "link", 0o777, 0, 0, target="/a\n#")) == "./l type=link uid=0 gid=0 link=/a\\012\\043\n"
    assert content.line(Entry("./h", "file", 0, 0, 0, first="./a")) == "./h type=file hardlink=./a\n"


@given(st.text(st.characters(codec="utf-8")) | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_no_name_breaks_a_line(name):
    found = content.line(Entry(f"./{name}", "file", 0, 0, 0, 0, "ff"))
    assert found.isascii() and found.count("\n") == 1 and len(found.split(" ")) == 7
    other = content.line(Entry(f"./{name}x", "file", 0, 0, 0, 0, "ff"))
    told = content.compare([found], [other])
    assert len(told.missing) == len(told.extra) == 1 and told.missing[0].isprintable()


def test_differences_are_told_by_file_and_by_what_of_it():
    before = ["#mtree\n", content.line(Entry("./a", "file", 0o644, 0, 0, 1, "aa")), content.line(Entry("./b", "dir", 0o755, 0, 0))]
    now = [content.line(Entry("./a", "file", 0o600, 5, 0, 1, "bb")), content.line(Entry("./ü", "dir", 0o755, 0, 0))]
    told = content.compare(before, now)
    assert told == Differences({"/a": ("mode", "owner", "content")}, ("/b",), ("/ü",)) and str(told) == "1 changed, 1 missing, 1 extra"
    assert not content.compare(before, before) and str(Differences()) == "none"
    assert len(Differences(missing=tuple(map(str, range(1000)))).named["missing"]) == content.TOLD


@pytest.fixture
def tree(tmp_path):
    """A small tree, where a template's is."""
    root = tmp_path / "t" / "rootfs"
    (root / "etc").mkdir(parents=True)
    (root / "etc/a").write_text("a", encoding="ascii")
    os.link(root / "etc/a", root / "b")
    (root / "link").symlink_to("/etc/shadow")
    os.mkfifo(root / "fifo")
    (root / "lost+found").mkdir()
    return root


def test_a_listing_says_the_same_of_the_same(tree):
    digest = listing.write(str(tree))
    text = (tree.parent / "content.mtree").read_text(encoding="ascii")
    assert [line.split(" ")[0] for line in text.splitlines()] == ["#mtree", ".", "./b", "./etc", "./etc/a", "./fifo", "./link"]
    assert "./etc/a type=file hardlink=./b\n" in text and "./fifo type=fifo " in text
    os.utime(tree / "b", (1, 1))
    assert listing.write(str(tree)) == digest
    assert listing.differences(str(tree), digest) == Differences()


def test_a_listing_finds_what_has_become_of_a_tree(tree):
    digest = listing.write(str(tree))
    (tree / "b").unlink()
    (tree / "b").write_text("a", encoding="ascii")  # the same content in a file of its own
    (tree / "link").unlink()
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "etc/new").mkdir()
    told = listing.differences(str(tree), digest)
    assert told.changed["/link"] == ("target",) and "hardlink" in told.changed["/etc/a"] and told.extra == ("/etc/new",)
    assert listing.differences(str(tree), "0" * 64) is listing.differences(str(tree), None) is None
    (tree.parent / "content.mtree").unlink()
    assert listing.differences(str(tree), digest) is None


# -- what is being made -------------------------------------------------------------------------------------------------


def test_what_a_run_makes_is_told_as_long_as_it_is_at_it(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "FOLDER", str(tmp_path / "locks"))
    (tmp_path / "templates").mkdir()
    shelf = TemplateRecords(str(tmp_path))
    directory = shelf.begin("t")
    progress.tell(directory, "building")
    assert progress.running(shelf) == [], "a run that was killed"
    with locks.hold("template", "t", timeout=0):
        (told,) = progress.running(shelf)
        assert (told["name"], told["step"], told["line"]) == ("t", "building", None)
        os.mkdir(os.path.join(directory, "tmp"))
        Path(directory, "tmp/output").write_bytes(b"x" * 9000 + b"\nI: one\n10%\r\x1b[31m90%" + b"y" * 500 + b"\n\n")
        progress.tell(directory, "checking")
        (later,) = progress.running(shelf)
        assert later["since"] == told["since"] and later["step"] == "checking" and later["line"].startswith("?[31m90%yyy") and len(later["line"]) == 201
        Path(directory, "progress.json").write_text("{", encoding="ascii")
        assert progress.running(shelf) == []
        progress.done(directory)
        shelf.commit("t")
        assert progress.running(shelf) == []
