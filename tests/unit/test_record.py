# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a node: made, committed, discarded, damaged."""

from __future__ import annotations

import json
import os
import stat

import pytest

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


DAMAGED = [b"", b"{", b'{"name": "web"', b"\xff\xfe\x00", b"\x00" * 100, b"nonsense"]
STRANGE = [b"null", b"[]", b'"text"', b"7", b"{}", b'{"limits": 1}', b'[["a", 1]]', b'{"limits": "ab"}', b'{"limits": [1]}']


OTHERS = ({"colour": "red"}, {"limits": "ab"}, {"limits": ["ab", 1]}, {"limits": {"numproc": 1, "colour": 2}}, {"limits": {"numproc": [1, 2, 3]}}, {"addresses": 7})


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


@pytest.mark.parametrize("content", [*DAMAGED, *STRANGE, b'{"template": {}}', b'{"template": {"packages": []}}'])
def test_a_damaged_manifest_is_such_an_error_too(templates, content):
    templates.store(MANIFEST, templates.begin("t"))
    templates.commit("t")
    path = os.path.join(templates.path("t"), "template.json")
    with open(path, "wb") as file:
        file.write(content)
    for read in (lambda: templates.load("t"), templates.all):
        assert "nothing was touched" in sentence(read, path)
