# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups: what a task may ask, which one is meant, what becomes of a VPS that is made of one, and how restic is read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.mainline.vps.plugins.module_utils import backup_subject, runner
from ansible_collections.mainline.vps.plugins.module_utils.core import backup, restoring, retention
from ansible_collections.mainline.vps.plugins.module_utils.core.backup import Backup, Repository, Wish, parse_keep, parse_wish
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.command import Outcome
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.fidelity import Abilities
from ansible_collections.mainline.vps.plugins.module_utils.core.firewall import parse_publish
from ansible_collections.mainline.vps.plugins.module_utils.core.interfaces import Interface
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import NodeFacts, Vps
from ansible_collections.mainline.vps.plugins.module_utils.node import restic, sparse
from ansible_collections.mainline.vps.plugins.module_utils.node.backups import Found
from ansible_collections.mainline.vps.tests.contract import modules

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
OLD, NEW, PARTIAL = Backup("a" * 64, NOW - timedelta(days=2)), Backup("ab" + "b" * 62, NOW - timedelta(hours=2)), Backup("c" * 64, NOW, complete=False)
SECRET = "hunter2-and-more"


def wish(**given) -> Wish:
    return parse_wish(modules.parameters("vps_backup", **{"name": "web", "repository": "/srv/b", "password": SECRET, **given}))


def refused(**given) -> str:
    """The sentence that says why not; nothing secret is in it."""
    with pytest.raises(VpsError) as caught:
        wish(**given)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and SECRET not in text
    return text


@pytest.mark.parametrize("place", [
    "/srv/backups", "sftp:host:/backups", "sftp:me@host.example.org:backups", "sftp://me@host:2222//srv/backups", "sftp://[2001:db8::1]/x",
    "s3:https://s3.example.org/bucket/path", "s3:s3.amazonaws.com/bucket", "rest:https://host:8000/", "b2:bucket:path",
])
def test_these_are_places_for_backups(place):
    assert wish(repository=place).repository.place == place


@pytest.mark.parametrize("place", [
    "", "backups", "/srv/../etc", "sftp:-oProxyCommand=evil:/x", "sftp:me@-host:/x", "sftp:host", "sftp://host:99999/x", "sftp:ho st:/x", "s3:", "s3:a b",
    "rclone:remote:path", "local:/srv", "/srv/\nx",
])
def test_these_are_none(place):
    assert refused(repository=place).startswith("repository: ")


def test_a_repository_has_one_password_which_is_in_nothing_that_is_told():
    assert wish().repository.secrets == {"RESTIC_PASSWORD": SECRET}
    assert wish(password=None, password_file="/etc/p").repository.secrets == {"RESTIC_PASSWORD_FILE": "/etc/p"}
    assert SECRET not in repr(wish())
    for given in ({"password": None}, {"password_file": "/etc/p"}, {"password": ""}, {"password": "a\nb"}):
        assert refused(**given).startswith("password: ")


def test_of_the_environment_a_store_gets_its_credentials_and_nothing_that_runs_programs():
    assert wish(environment={"AWS_ACCESS_KEY_ID": "k", "HTTPS_PROXY": "p"}).repository.secrets["AWS_ACCESS_KEY_ID"] == "k"
    for name in ("RESTIC_PASSWORD_COMMAND", "LD_PRELOAD", "PATH", "aws", "RESTIC_REPOSITORY"):
        assert refused(environment={name: SECRET}).startswith("environment: ")


def test_ssh_asks_nobody_and_takes_no_host_for_an_option():
    command = wish(repository="sftp://me@host:2222//b", ssh_arguments=["-i", "/root/key with space"]).repository.sftp_command
    assert command[0] == "ssh" and "-oBatchMode=yes" in command
    assert command[-8:] == ("-p", "2222", "-l", "me", "-s", "--", "host", "sftp")
    assert wish().repository.sftp_command is None
    assert refused(ssh_arguments=["-v"]).startswith("ssh_arguments: ")


@pytest.mark.parametrize(("text", "seconds"), [("20h", 72_000), ("1d", 86_400), ("90m", 5400), ("3600s", 3600), ("2 W", 1_209_600)])
def test_an_age_is_a_time(text, seconds):
    assert wish(max_age=text).max_age == seconds


@pytest.mark.parametrize("text", ["", "h", "1y", "-1h", "1.5h", "1h30m", "999999w", "١h", "3600", "0", "0s", "never"])
def test_these_are_no_ages(text):
    assert refused(max_age=text).startswith("max_age: ")


def test_retention_keeps_something():
    assert wish(keep={"last": 3, "daily": "7", "within": "1y6m", "weekly": 0}).keep == (("daily", "7"), ("last", "3"), ("within", "1y6m"))
    for given in ({}, {"last": 0}, {"within": "0d"}):
        assert refused(keep=given).startswith("keep: nothing would stay")
    for given in ({"last": "all"}, {"last": -1}, {"last": True}, {"within": "6"}, {"within": ""}, {"never": 1}):
        assert refused(keep=given).startswith("keep")


def test_an_option_without_a_meaning_is_a_mistake():
    for state, given in (
        ("present", {"target": "b"}), ("present", {"backup": "latest"}), ("restored", {"keep": {"last": 1}}), ("tested", {"paths": ["/etc"]}),
        ("verified", {"max_age": "1d"}), ("restored", {"verify": True}), ("absent", {"backup": "aaaaaaaa", "before": ["true"]}),
    ):
        assert "it has no meaning with state" in refused(state=state, **given)
    for given in ({"target": "b"}, {"replace": True}, {"addresses": []}):
        assert "paths" in refused(state="restored", paths=["/etc"], **given)


def test_a_path_is_absolute():
    for option, state in (("paths", "restored"), ("exclude", "present")):
        for path in ("etc", "/etc/../shadow", "/a\nb", ""):
            assert refused(state=state, **{option: [path]}).startswith(f"{option}: ")
    assert refused(state="restored", paths=[]).startswith("paths: the list is empty")


def test_removing_needs_an_id_and_a_test_a_name_of_its_own():
    assert refused(state="absent").startswith("backup: ")
    assert refused(state="absent", backup="aaaaaaaa", keep={"last": 1}).startswith("backup: ")
    assert refused(state="absent", backup="latest").startswith("backup: ")
    assert refused(state="restored", backup="xyz").startswith("backup: ")
    assert wish(state="tested").target == "web-test" and wish(state="restored").target == "web"
    assert wish(state="restored", **{"as": "other"}).target == "other"
    assert len(wish(name="a" * 63, state="tested").target) == 63
    assert refused(state="tested", target="web").startswith("target: ")


def test_what_runs_before_is_a_program_of_the_vps():
    command = wish(before=["pg_dumpall"]).before
    assert (command.name, command.argv, command.user) == ("web", ("pg_dumpall",), "root")
    assert refused(before=[]).startswith("before: ")


@pytest.mark.parametrize("subset", ["5%", "100%", "0.5%", "1/7"])
def test_a_part_of_the_data_is_a_part(subset):
    assert wish(verify_data=subset).verify and wish(verify_data=subset).verify_data == subset


@pytest.mark.parametrize("subset", ["5", "101%", "0/7", "all", "-1%", ""])
def test_these_are_no_parts(subset):
    assert refused(verify_data=subset).startswith("verify_data: ")


# -- which one is meant -------------------------------------------------------------------------------------------------


def test_the_latest_is_the_newest_whole_one():
    assert backup.find((OLD, NEW, PARTIAL), "latest", name="web") == NEW
    assert backup.find((OLD, NEW, PARTIAL), "c" * 8, name="web") == PARTIAL
    with pytest.raises(VpsError, match="no complete backup"):
        backup.find((PARTIAL,), "latest", name="web")
    with pytest.raises(VpsError, match="2 backups"):
        backup.find((OLD, NEW), "a", name="web")
    with pytest.raises(VpsError, match="no backups"):
        backup.find((OLD,), "dddddddd", name="web")


def test_young_is_what_is_younger_and_whole():
    assert backup.young((OLD, NEW, PARTIAL), 3 * 3600, NOW) == NEW
    assert backup.young((OLD, NEW), 2 * 3600, NOW) is None
    assert backup.young((OLD, PARTIAL), 3600, NOW) is None and backup.young((), 3600, NOW) is None and backup.young((NEW,), None, NOW) is None


def test_what_is_young_or_gone_needs_nothing():
    assert backup_subject.BACKUP.needless(wish(max_age="1d"), Found(None, True, (OLD,))) is None
    now = replace(NEW, time=datetime.now(timezone.utc))
    told = backup_subject.BACKUP.needless(wish(max_age="1d"), Found(None, True, (OLD, now)))
    assert told["backup"]["id"] == now.id and len(told["backups"]) == 2
    assert backup_subject.BACKUP.needless(wish(state="absent", backup="d" * 8), Found(None, True, (OLD,)))["removed"] == []
    assert backup_subject.BACKUP.needless(wish(state="absent", backup="a" * 8), Found(None, True, (OLD,), OLD)) is None


def perform(found: Found, *, check: bool = True, **given):
    """One run of the module against a node that has this, and that may be looked at and nothing else."""

    class Asked:
        def require_usable(self):
            pass

        def look_at(self, _wish, _patience, writes):
            assert writes is not check
            return found

        def prune(self, _wish, _patience):
            return True

    parameters = modules.parameters("vps_backup", name="web", repository="/b", password="x", **given)
    return runner.perform(backup_subject.BACKUP, parameters, Asked(), check=check)


@pytest.mark.parametrize(("state", "given", "changed"), [("present", {}, True), ("tested", {}, False), ("verified", {}, False), ("restored", {}, True)])
def test_check_mode_says_whether_anything_would_be_otherwise(state, given, changed):
    assert perform(Found(None, True, (OLD,), OLD), state=state, **given)["changed"] is changed


def test_check_mode_says_which_backups_a_run_would_remove():
    told = perform(Found(None, True, (OLD, NEW)), keep={"last": 2})
    assert "skipped" not in told and told["changed"] and told["pruned"]
    assert told["removed"] == [OLD.id] and [one["id"] for one in told["backups"]] == [OLD.id, NEW.id]
    assert [(each["option"].split(".")[0], each["before"], each["after"]) for each in told["changes"]] == [
        ("backups", "absent", "present"), ("backups", "present", "absent"), ("repository", "what no backup needs", "pruned"),
    ]
    assert told["diff"]["after"][f"backups.{OLD.id}"] == "absent"
    assert not perform(Found(None, True, (OLD, NEW)), keep={"last": 3})["removed"]
    told = perform(Found(None, True, (OLD, NEW), NEW), state="restored", target="b")
    assert (told["target"], told["backup"]["id"], told["diff"]["after"]) == ("b", NEW.id, {"vpss.b": NEW.id})


def test_backups_of_a_vps_that_is_gone_expire():
    told = perform(Found(None, True, (OLD, NEW)), state="absent", keep={"last": 1})
    assert told["changed"] and told["removed"] == [OLD.id]
    told = perform(Found(None, True, (OLD, NEW)), state="absent", keep={"last": 2})
    assert not told["changed"] and told["removed"] == [] and told["diff"] == {"before": {}, "after": {}}


def test_a_vps_that_was_made_of_this_backup_needs_nothing():
    for check in (True, False):
        told = perform(Found(None, True, (OLD, NEW), NEW, there=True), check=check, state="restored")
        assert not told["changed"] and told["backup"]["id"] == NEW.id and told["changes"] == []


@pytest.mark.parametrize("check", [True, False])
def test_what_earlier_tasks_have_left_is_pruned_though_nothing_else_is_to_be_done(check):
    now = replace(NEW, time=datetime.now(timezone.utc))
    told = perform(Found(None, True, (now,), unpruned=True), check=check, max_age="1d")
    assert told["changed"] and told["pruned"] and told["backup"]["id"] == now.id and [each["option"] for each in told["changes"]] == ["repository"]
    assert not perform(Found(None, True, (now,), unpruned=True), check=check, max_age="1d", prune=False)["changed"]


# -- which ones stay ----------------------------------------------------------------------------------------------------


def at(text: str, *, complete: bool = True) -> Backup:
    moment = datetime.fromisoformat(f"{text}+00:00")
    return Backup(moment.strftime("%Y%m%d%H%M"), moment, complete)


DAYS = [at(f"2026-01-{day:02}T03:00") for day in range(1, 32)] + [at(f"2026-02-{day:02}T03:00") for day in range(1, 11)]


@pytest.mark.parametrize(("keep", "kept"), [
    ({"last": 2}, ["0209", "0210"]), ({"daily": 3}, ["0208", "0209", "0210"]), ({"weekly": 3}, ["0201", "0208", "0210"]),
    ({"monthly": 2}, ["0131", "0210"]), ({"monthly": 9}, ["0101", "0131", "0210"]), ({"yearly": 1, "last": 2}, ["0209", "0210"]),
    ({"within": "3d"}, ["0208", "0209", "0210"]), ({"within": "1m"}, [f"01{day}" for day in range(11, 32)] + [f"02{day:02}" for day in range(1, 11)]),
    ({"within": "1h"}, ["0210"]), ({"within": "9999y"}, [one.id[4:8] for one in DAYS]),
])
def test_of_each_period_the_newest_stays(keep, kept):
    gone = retention.beyond(DAYS, parse_keep(keep))
    assert [one.id[4:8] for one in DAYS if one not in gone] == kept


def test_what_lacks_files_counts_for_none():
    early, late = at("2026-01-01T04:00", complete=False), at("2026-02-11T04:00", complete=False)
    assert retention.beyond([*DAYS[-3:], late, early], (("last", "2"),)) == (early, DAYS[-3])
    assert retention.beyond([early, late], (("last", "1"),)) == () and retention.beyond(DAYS, ()) == ()


# -- what restic says ---------------------------------------------------------------------------------------------------


def test_lists_of_restic_are_read_and_what_is_none_is_an_error():
    listed = [
        {"id": "b" * 64, "time": "2026-11-27T00:45:10.299825986+01:00", "tags": ["mainline.vps"]},
        {"id": "a" * 64, "time": "2026-11-26T23:45:07Z", "tags": ["mainline.vps", "incomplete"]},
        {"id": "c" * 64, "time": "2026-11-26T23:59:07.5Z"},
    ]
    found = backup.read_backups(json.dumps(listed))
    assert [(one.id[0], one.complete) for one in found] == [("a", False), ("b", True), ("c", True)]
    assert found[1].named["time"] == "2026-11-26T23:45:10+00:00"
    assert backup.read_backups("null") == ()
    for text in ("", "{}x", '[{"id": "../x", "time": "2026-11-26T23:45:07Z"}]', '[{"id": "aaaaaaaa", "time": "yesterday"}]', "[1]", '{"a": 1}'):
        with pytest.raises(VpsError, match="repository: "):
            backup.read_backups(text)


def test_the_last_summary_counts():
    summary = {"message_type": "summary", "snapshot_id": "aaaaaaaa", "total_bytes_processed": 5, "data_added": 4, "total_files_processed": 3,
               "files_new": 2, "files_changed": 1}
    text = "noise\n" + json.dumps({"message_type": "status"}) + "\n" + json.dumps(summary) + "\n"
    assert backup.read_summary(text) == {"id": "aaaaaaaa", "size": 5, "added": 4, "files": 3, "files_new": 2, "files_changed": 1}
    with pytest.raises(VpsError, match="did not say"):
        backup.read_summary("noise\n3\n")


@pytest.mark.parametrize(("said", "start"), [
    ("Fatal: wrong password or no key found\n", "password: "),
    ("Fatal: unable to open config file: stat\nIs there a repository at the following location?\n/x\n", "repository: there is none"),
    ("Save(<data/1>) returned error: write: no space left on device\n", "repository: restic could not do it: there is no room left"),
    ("x\nFatal: \x1b[31mred\n", "repository: restic could not do it: ?[31mred; the"),
    ("", "repository: restic could not do it: it said nothing; the"),
])
def test_what_restic_complains_of_is_a_sentence(said, start):
    error = restic.Restic(Repository("/b", {}))._failed("do it", Outcome(1, "", said))
    assert str(error).startswith(start) and str(error).endswith(".") and "\n" not in str(error)


def test_a_password_in_the_repositorys_address_is_in_no_command_line_and_in_no_error(tmp_path, monkeypatch):
    """Everybody on the node sees command lines (ps), and playbooks keep errors."""
    program, place = tmp_path / "restic", "rest:http://ann:hush/hush@store.example.org:8000/vps"
    program.write_text('#!/bin/sh\necho "$RESTIC_REPOSITORY $*"\necho "Fatal: $RESTIC_REPOSITORY, Get http://ann:hush%2F@store/: refused" >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setattr(restic, "PROGRAM", str(program))
    tool = restic.Restic(Repository(place, {"RESTIC_PASSWORD": "x"}))
    assert tool._once(["prune"], "/", 60).stdout.split() == [place, "prune"]
    with pytest.raises(VpsError) as caught:
        tool.prune()
    said = f"{caught.value} {caught.value.details}"
    assert "hush" not in said and said.count("://ann:***@store") == 4, said
    assert "hush" not in repr(Repository(place, {}))


@pytest.mark.parametrize(("place", "hidden"), [
    ("rest:https://ann:se@cret@host/x", ("se@cret",)), ("rest:https://ann@host/x", ()), ("s3:https://host:9000/x", ()), ("/b", ()), ("sftp:a@b:/c@d", ()),
])
def test_and_in_no_result(place, hidden):
    assert backup_subject.BACKUP.secrets({"repository": place}) == hidden


def test_one_that_the_kernel_has_killed_is_told_as_that():
    error = restic.Restic(Repository("/b", {}))._failed("make the backup", Outcome(-9, "", ""))
    assert str(error).startswith("repository: restic was killed by signal 9 when it was to make the backup; ")


def test_a_lock_is_waited_for_and_then_its_holder_is_named(monkeypatch):
    """One whose owner is gone is removed, and the run goes on."""
    locked = Outcome(1, "", "unable to create lock in backend: repository is already locked exclusively by PID 29360 on vm by root (UID 0, GID 0)\n")
    calls: list[str] = []
    answers = {"prune": [locked, Outcome(0, "", "")], "unlock": [Outcome(0, "", "")] * 9}
    monkeypatch.setattr(restic.Restic, "_once", lambda _self, argv, *_more: calls.append(argv[0]) or answers[argv[0]].pop(0))
    restic.Restic(Repository("/b", {})).prune()
    assert calls == ["prune", "unlock", "prune"]
    answers["prune"] = [locked] * 9
    with pytest.raises(VpsError, match="^lock_timeout: .* PID 29360 on vm"):
        restic.Restic(Repository("/b", {})).prune()


# -- what a VPS becomes -------------------------------------------------------------------------------------------------

NODE = NodeFacts(networks=("10.0.0.0/24",), pools={"p": ("10.0.0.50-10.0.0.60",)}, taken={"10.0.0.9": "VPS db"})
WEB = Vps(
    "web", "debian", "systemd", "web", addresses=("10.0.0.5",), id_base=1 << 20, unfinished=("limits",), leaving=("10.0.0.7",), onboot=True, plan="small",
    labels=(("tier", "web"),), pooled=(("10.0.0.5", "p"), ("10.0.0.6", "gone")), publish=tuple(parse_publish([{"host": 80, "guest": 80}])),
)


def test_the_same_vps_has_all_but_what_its_node_gave_it():
    made, warnings = restoring.reborn(WEB, name="web", addresses=None, node=NODE)
    assert made == replace(WEB, id_base=None, unfinished=(), leaving=(), plan=None, pooled=(("10.0.0.5", "p"),))
    assert len(warnings) == 1 and "no plan 'small'" in warnings[0]


def test_another_one_has_another_name_and_hardware_addresses():
    bridged = replace(WEB, addresses=(), publish=(), interfaces=(Interface("eth1", "lan", (), "02:00:00:00:00:01", None, None, "veth1"),))
    node = replace(NODE, bridges={"lan": None})
    monkey = {"check_bridges": lambda *_any: None}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in monkey.items():
            patch.setattr(restoring.links.interfaces, name, value)
        made = restoring.reborn(bridged, name="other", addresses=None, node=node)[0]
        same = restoring.reborn(bridged, name="web", addresses=None, node=node)[0]
    assert (made.name, made.hostname, made.interfaces[0].mac, made.interfaces[0].host_name) == ("other", "other", None, None)
    assert (same.interfaces[0].mac, same.interfaces[0].host_name) == ("02:00:00:00:00:01", None)
    named = restoring.reborn(replace(WEB, hostname="www.example.org"), name="other", addresses=(), node=NODE)[0]
    assert named.hostname == "www.example.org"


@pytest.mark.parametrize("storage", ["btrfs", "image"])
def test_where_the_pool_has_not_its_storage_it_gets_another_and_that_is_told(storage):
    vps = replace(WEB, storage=storage, plan=None, limits=Limits(diskspace=Bound(1 << 30, 1 << 30)), protected=True)
    made, warnings = restoring.reborn(vps, name="web", addresses=None, node=replace(NODE, storages=("dir",)))
    assert (made.storage, made.limits, made.protected) == ("dir", vps.limits, True)
    assert [warning.split(": ")[0] for warning in warnings] == ["storage", "limits.diskspace"]
    assert restoring.reborn(vps, name="web", addresses=None, node=NODE)[0].storage == storage
    test = restoring.for_test(vps, name="web-test", node=replace(NODE, storages=("dir",)))
    assert (test.storage, test.protected) == ("dir", False), "what a killed test leaves goes as anything does"
    with pytest.raises(VpsError, match="^storage: dir needs overlayfs"):
        restoring.reborn(replace(vps, storage="dir"), name="web", addresses=None, node=replace(NODE, abilities=Abilities(overlay=False)))


def test_other_addresses_come_without_the_ports_of_the_original():
    made, warnings = restoring.reborn(WEB, name="other", addresses=backup.pools.parse_wishes([{"pool": "p"}]), node=NODE)
    assert (made.addresses, made.pooled, made.publish, made.interfaces) == (("10.0.0.50",), (("10.0.0.50", "p"),), (), ())
    assert [warning for warning in warnings if warning.startswith("publish: ")]


@pytest.mark.parametrize(("address", "why"), [("10.0.0.9", "belongs to VPS db"), ("192.0.2.1", "no network that this node routes")])
def test_what_is_somebody_elses_is_told(address, why):
    with pytest.raises(VpsError, match=f"addresses: {address} .*{why}"):
        restoring.reborn(replace(WEB, addresses=(address,)), name="web", addresses=None, node=NODE)


def test_a_test_talks_to_nobody():
    made = restoring.for_test(WEB, name="web-test", node=NODE)
    assert (made.addresses, made.publish, made.interfaces, made.onboot, made.pooled) == ((), (), (), False, ())
    assert dict(made.labels) == {backup.TEST_LABEL: "web"} and made.limits == WEB.limits


def test_the_record_of_a_later_release_is_told_as_that():
    assert restoring.read_record(json.dumps(WEB.to_record())) == WEB
    for text in ("", "[]", json.dumps({**WEB.to_record(), "new": 1}), json.dumps({"name": "web"})):
        with pytest.raises(VpsError, match="^backup: the record in it was not written by this release"):
            restoring.read_record(text)


# -- holes --------------------------------------------------------------------------------------------------------------


def test_zeros_become_holes_and_nothing_else_changes(tmp_path):
    path = tmp_path / "a\nfile"
    content = b"x" * 100 + bytes(8 << 20) + b"y" * 100 + bytes(3 << 20)
    path.write_bytes(content)
    (tmp_path / "short").write_bytes(bytes(1000))
    (tmp_path / "link").symlink_to(path)
    before = path.stat()
    sparse.make_holes(str(tmp_path))
    after = path.stat()
    assert path.read_bytes() == content and (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    if before.st_blocks * 512 >= len(content):  # a file system that did not leave them out by itself
        assert after.st_blocks * 512 < 1 << 20


def test_files_that_are_longer_than_the_disk_are_found_whatever_their_names(tmp_path):
    with open(tmp_path / "a\nb", "wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "c").write_bytes(b"x")
    assert list(sparse.longer_than(str(tmp_path), 1 << 39)) == ["/a\nb"]
    assert not list(sparse.longer_than(str(tmp_path), 1 << 40))
