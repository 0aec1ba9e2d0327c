# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a node: made, committed, discarded, damaged."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from dataclasses import asdict, replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import KEYS, NUMBERS, Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Manifest, Template, Vps
from ansible_collections.mainline.vps.plugins.module_utils.node.record import TemplateRecords, VpsRecords
from ansible_collections.mainline.vps.tests.unit.reading import sentence

WEB = Vps(
    name="web",
    template="minimal",
    init="busybox",
    hostname="web.example.org",
    addresses=("10.90.0.9", "10.90.0.8"),
    nameservers=("192.0.2.1",),
    root_password_hash="$6$salt$hash",
    authorized_keys=("ssh-ed25519 AAAA",),
    onboot=True,
    description="Ünal & Söhne ☃",
    privileged=True,
    limits=Limits(memory=1 << 30, processes=50),
    id_base=65536,
    unfinished=("limits",),
)
MANIFEST = Manifest(Template("t", "debian", "bookworm", ("a", "b"), "http://m"), "systemd", "abc", 7, "2026-01-01T00:00:00+00:00")


@pytest.fixture
def vpss(tmp_path):
    """The VPSs of an empty pool."""
    (tmp_path / "vps").mkdir()
    return VpsRecords(str(tmp_path))


@pytest.fixture
def templates(tmp_path):
    """The templates of an empty pool."""
    (tmp_path / "templates").mkdir()
    return TemplateRecords(str(tmp_path))


def make(vpss, vps=WEB):
    """A finished VPS."""
    vpss.store(vps, vpss.begin(vps.name))
    vpss.commit(vps.name)


def test_a_vps_is_read_as_it_was_written(vpss):
    make(vpss)
    assert vpss.load("web") == WEB
    assert vpss.all() == [WEB]


def test_a_manifest_is_read_as_it_was_written(templates):
    templates.store(MANIFEST, templates.begin("t"))
    assert templates.load("t") is None
    templates.commit("t")
    assert templates.load("t") == MANIFEST
    assert templates.all() == [MANIFEST]


def test_what_opens_an_address_is_not_written_down(templates):
    signed = replace(MANIFEST, template=Template("t", "tarball", url="https://host/a?hush", signature="https://host/s#hush", keyring="/k"))
    templates.store(signed, templates.begin("t"))
    templates.commit("t")
    with open(os.path.join(templates.path("t"), "template.json"), encoding="utf-8") as file:
        assert "hush" not in file.read()
    found = templates.load("t")
    assert found is not None and (found.template.url, found.template.signature) == ("https://host/a", "https://host/s")


def test_there_is_nothing_where_nothing_was_made(vpss, templates):
    assert (vpss.load("web"), vpss.names(), vpss.staged(), list(vpss.leftovers())) == (None, [], [], [])
    assert (templates.load("t"), templates.all()) == (None, [])


def test_a_vps_in_the_making_is_none_yet_but_has_its_addresses(vpss):
    vpss.store(WEB, vpss.begin("web"))
    assert (vpss.load("web"), vpss.names(), vpss.all()) == (None, [], [])
    assert vpss.staged() == [WEB]
    assert list(vpss.leftovers()) == [("web", vpss.staging("web"))]
    vpss.commit("web")
    assert (vpss.names(), list(vpss.leftovers())) == (["web"], [])


def test_a_vps_that_was_discarded_is_none_any_more_and_its_remains_are_known(vpss):
    make(vpss)
    first = vpss.discard("web")
    make(vpss)
    second = vpss.discard("web")
    assert first != second
    assert (vpss.load("web"), vpss.names(), vpss.staged()) == (None, [], [])
    assert list(vpss.leftovers()) == [("web", path) for path in sorted([first, second])]
    assert os.path.exists(os.path.join(first, "vps.json")), "what was in it is not lost by the rename"


def test_leftovers_of_names_with_dots_and_dashes_have_their_whole_name(vpss):
    name = "new-del.web-1.example.org"
    vpss.begin(name)
    make(vpss, Vps("a.b-c", "t", "busybox", "x"))
    vpss.discard("a.b-c")
    assert sorted(found for found, _path in vpss.leftovers()) == ["a.b-c", name]


def test_names_come_sorted_and_without_what_is_hidden(vpss):
    for name in ("web2", "web1", "db"):
        make(vpss, Vps(name, "minimal", "busybox", name))
    vpss.begin("half")
    assert vpss.names() == ["db", "web1", "web2"]


def test_what_one_run_makes_no_other_makes_too(vpss):
    vpss.begin("web")
    with pytest.raises(FileExistsError):
        vpss.begin("web")


def test_a_record_and_its_directory_are_roots_own(vpss):
    make(vpss)
    assert stat.S_IMODE(os.stat(vpss.path("web")).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(os.path.join(vpss.path("web"), "vps.json")).st_mode) == 0o600


def test_a_record_that_is_written_again_leaves_nothing_beside_it(vpss):
    make(vpss)
    vpss.store(WEB)
    assert os.listdir(vpss.path("web")) == ["vps.json"]


DAMAGED = [b"[" * 100_000, b"9" * 5000, b'{"a":' * 100_000, b"", b"{", b'{"name": "web"', b"\xff\xfe\x00", b"\x00" * 100, b"nonsense"]
STRANGE = [b"null", b"[]", b'"text"', b"7", b"{}", b'{"limits": 1}', b'[["a", 1]]', b'{"limits": "ab"}', b'{"limits": [1]}']


OTHERS = (
    {"colour": "red"}, {"limits": "ab"}, {"limits": ["ab", 1]}, {"limits": {"numproc": 1, "colour": 2}}, {"limits": {"numproc": [1, 2, 3]}},
    *({"limits": {"memory": value}} for value in ("512M", True, 1.5, -1, [], [1, 2], {})),
    *({"limits": {"diskspace": value}} for value in (["a", "b"], "1", [True, 2], [1, 2.5], [-1, 2], [[1], 2])),
    *({"limits": {"cpumask": value}} for value in (3, "", "a", "0-", "1\n2", ["0"])),
    *({"addresses": value} for value in (7, "ab", [["x"]], [None], {"a": 1}, None)),
    {"authorized_keys": [1]}, {"unfinished": "limits"}, {"leaving": [{}]}, {"nameservers": {}},
    {"name": 7}, {"template": []}, {"hostname": None}, {"description": 1}, {"init": {}}, {"storage": "zfs"}, {"storage": ["btrfs"]},
    {"root_password_hash": 1}, {"plan": ["small"]}, {"onboot": 1}, {"privileged": "no"}, {"boot_order": "1"}, {"boot_order": True}, {"id_base": 1.5},
)
ODD_MANIFESTS = (
    {"template": {"name": "t"}}, {"size": "7"}, {"size": True}, {"init": None}, {"checksum": 1}, {"created": []}, {"colour": "red"},
    *(
        {"template": {**MANIFEST.template.inputs(), "name": "t", **other}}
        for other in ({"suite": 1}, {"packages": [1]}, {"packages": "ab"}, {"name": None}, {"colour": 1})
    ),
)


@pytest.mark.parametrize("content", [*DAMAGED, *STRANGE, *(json.dumps({**WEB.to_record(), **other}).encode() for other in OTHERS)])
def test_a_damaged_record_is_an_error_that_names_the_file_and_touches_nothing(vpss, content):
    make(vpss)
    path = os.path.join(vpss.path("web"), "vps.json")
    with open(path, "wb") as file:
        file.write(content)
    for read in (lambda: vpss.load("web"), vpss.all):
        assert "nothing was touched" in sentence(read, path)
    with open(path, "rb") as file:
        assert file.read() == content


@pytest.mark.parametrize("content", [*DAMAGED, *STRANGE, b'{"template": {}}', *(json.dumps({**asdict(MANIFEST), **other}).encode() for other in ODD_MANIFESTS)])
def test_a_damaged_manifest_is_such_an_error_too(templates, content):
    templates.store(MANIFEST, templates.begin("t"))
    templates.commit("t")
    path = os.path.join(templates.path("t"), "template.json")
    with open(path, "wb") as file:
        file.write(content)
    assert "nothing was touched" in sentence(lambda: templates.load("t"), path)
    unread: dict[str, str] = {}
    assert templates.all(unread) == templates.all() == [] and "nothing was touched" in unread["t"], "it stands in nobody else's way"


@pytest.mark.parametrize("kind", ["vps", "template"])
def test_a_directory_in_place_of_a_record_is_such_an_error_too(vpss, templates, kind):
    shelf = {"vps": vpss, "template": templates}[kind]
    os.makedirs(os.path.join(shelf.path("x"), shelf.record))
    for read in (lambda: shelf.load("x"), *([shelf.all] if kind == "vps" else [])):
        assert "is a directory" in sentence(read, os.path.join(shelf.path("x"), shelf.record)).lower()


def test_a_record_that_is_anothers_is_such_an_error_too(vpss, templates):
    """What would be done by it would be done to the other: reinstalling one VPS replaced the disk of the other."""
    make(vpss)
    make(vpss, Vps("db", "minimal", "busybox", "db"))
    shutil.copy(os.path.join(vpss.path("web"), "vps.json"), vpss.path("db"))
    for read in (lambda: vpss.load("db"), vpss.all):
        assert "it is that of VPS 'web'" in sentence(read, os.path.join(vpss.path("db"), "vps.json"))
    vpss.store(WEB, vpss.begin("half"))
    unread: dict[str, str] = {}
    assert (vpss.all(unread), vpss.staged(unread), sorted(unread)) == ([WEB], [], ["db", "half"])
    templates.store(MANIFEST, templates.begin("other"))
    templates.commit("other")
    assert "it is that of template 't'" in sentence(lambda: templates.load("other"), os.path.join(templates.path("other"), "template.json"))
    assert templates.all() == []


def test_whoever_wants_to_go_on_is_told_what_cannot_be_read_and_has_the_rest(vpss):
    make(vpss)
    make(vpss, Vps("db", "minimal", "busybox", "db"))
    with open(os.path.join(vpss.path("db"), "vps.json"), "w", encoding="utf-8") as file:
        file.write("{")
    unread = {}
    assert vpss.all(unread) == [WEB]
    assert list(unread) == ["db"] and "is damaged" in unread["db"]


def test_a_record_is_checked_in_no_time():
    record = json.loads(json.dumps({**WEB.to_record(), "limits": {name: [1, 2] if KEYS[name].pair else 5 for name in KEYS if KEYS[name].kind is not NUMBERS}}))

    def fastest(read):
        spent = []
        for _round in range(200):
            start = time.perf_counter()
            read()
            spent.append(time.perf_counter() - start)
        return min(spent)

    assert fastest(lambda: Vps.from_record(record)) < 200e-6, "of a record with each limit that there is; most have a handful"


def test_releases_before_this_one_are_read(vpss):
    record = {**WEB.to_record(), "limits": {"memory": 1 << 30, "diskspace": 1 << 30, "swap": None, "cpumask": "0-3,5"}}
    for later in ("leaving", "plan", "boot_order", "storage"):
        del record[later]
    assert Vps.from_record(record).limits == Limits(memory=1 << 30, diskspace=Bound(1 << 30, 1 << 30), cpumask="0-3,5")
