# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the role backup: rows that are counted in a dump, names that become files, and files that are whole or as before."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "roles/backup/files/program"
MARIADB = b"""-- Dumping data for table `a``b`
INSERT INTO `a``b` (`id`,`what`) VALUES
(1,'it\\'s; one\\nline);'),
(2,'(');
INSERT INTO `a``b` (`id`,`what`) VALUES
(3,NULL);
DELIMITER ;;
/*!50003 CREATE TRIGGER t AFTER INSERT ON `a``b` FOR EACH ROW BEGIN
INSERT INTO `other` VALUES
(1),
(2);
END */;;
DELIMITER ;
INSERT INTO `last` VALUES
(1);
"""
POSTGRESQL = b"""COPY public.plain (id, what) FROM stdin;
1\tone\\ntwo
2\t\\N
\\.
COPY "My Schema"."we ""ird"" (t)" (id) FROM stdin;
\\.
COPY public.last (id) FROM stdin;
7
\\.
"""


@pytest.fixture
def program(monkeypatch):
    """Its files, as modules."""
    monkeypatch.syspath_prepend(str(PROGRAM))
    names = ("tools", "dumps", "store", "restore")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield {name: importlib.import_module(name) for name in names}
    for name in names:
        sys.modules.pop(name, None)


def lines(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)


def test_rows_of_a_mariadb_dump_are_counted_and_what_a_trigger_says_is_none(program):
    rows: dict[str, int] = {}
    assert list(program["restore"].mariadb_rows(lines(MARIADB), rows)) == lines(MARIADB)
    assert rows == {"`a``b`": 3, "`last`": 1}


def test_rows_of_a_postgresql_dump_are_counted_by_the_names_that_it_has(program):
    rows: dict[str, int] = {}
    assert list(program["restore"].postgresql_rows(lines(POSTGRESQL), rows)) == lines(POSTGRESQL)
    assert rows == {"public.plain": 2, '"My Schema"."we ""ird"" (t)"': 0, "public.last": 1}


def test_a_row_or_a_table_that_is_missing_is_told(program):
    compare, trouble = program["restore"].compare, program["tools"].Trouble
    assert compare({"a": 2}, {"a": 2}, 3, 3) == "3 tables, 2 rows"
    with pytest.raises(trouble, match="the table a has 2 rows in the dump, and 1 when it is restored"):
        compare({"a": 2}, {"a": 1}, 3, 3)
    with pytest.raises(trouble, match="had 3 tables when it was dumped, and has 2"):
        compare({"a": 2}, {"a": 2}, 3, 2)


@pytest.mark.parametrize(
    ("name", "file"), [("shop", "shop"), ("../x", "%2E.%2Fx"), (".", "%2E"), ("a b", "a%20b"), ("-x", "-x"), ("ä", "%C3%A4")],
)
def test_the_name_of_a_database_is_that_of_a_file_in_the_folder(program, name, file):
    assert program["dumps"].file_name(name) == file


def test_long_names_of_databases_are_files_of_their_own(program):
    names = [program["dumps"].file_name("語" * 60 + end) for end in "ab"]
    assert len(set(names)) == 2 and max(map(len, names)) < 200


def test_a_database_is_no_way_to_somewhere_else(program):
    assert program["dumps"].connection("host=evil' \\x") == "dbname='host=evil\\' \\\\x' options='-c search_path=pg_catalog,pg_temp'"


def config(folder, **more):
    return {"folder": str(folder), "compress": True, "reserve": 0, **more}


def test_a_dump_replaces_the_old_one_when_its_program_has_ended_well_and_not_before(program, tmp_path):
    dumps, trouble = program["dumps"], program["tools"].Trouble
    told = dumps.write(dumps.Dump("some/thing.sql", ("echo", "first")), config(tmp_path), None)
    path = tmp_path / "some/thing.sql.gz"
    assert gzip.decompress(path.read_bytes()) == b"first\n" and told["bytes"] == path.stat().st_size and path.stat().st_mode & 0o777 == 0o600
    for argv in (("sh", "-c", "echo second; echo it broke >&2; exit 3"), ("true",), ("/no/such/program",)):
        with pytest.raises(trouble):
            dumps.write(dumps.Dump("some/thing.sql", argv), config(tmp_path), told)
    with pytest.raises(trouble, match="there is no room for it"):
        dumps.write(dumps.Dump("some/thing.sql", ("echo", "third"), estimate=1), config(tmp_path, reserve=100), None)
    assert gzip.decompress(path.read_bytes()) == b"first\n" and [each.name for each in path.parent.iterdir()] == ["thing.sql.gz"]


def test_a_dump_that_is_packed_no_more_takes_the_place_of_the_packed_one(program, tmp_path):
    dumps = program["dumps"]
    for compress, files in ((True, {"a.gz"}), (False, {"a"}), (True, {"a.gz"})):
        assert not dumps.dump_all(commands(tmp_path, ("a", ("echo", str(compress))), compress=compress), {})
        assert contents(tmp_path / "commands") == {file: f"{compress}\n" for file in files}


def commands(folder, *argvs, **more):
    every = [{"name": name, "argv": list(argv), "user": "root", "test": []} for name, argv in argvs]
    off = {"mariadb": "never", "postgresql": "never", "redis": "never", "exclude_databases": [], "unlisted": "keep", "gone": []}
    return {**config(folder), **off, "commands": every, **more}


def contents(folder):
    """What is in each file of a folder, unpacked where it is packed."""
    texts = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {name: (gzip.decompress(text) if text.startswith(b"\x1f\x8b") else text).decode() for name, text in texts.items()}


@pytest.mark.parametrize("order", [("export", "export.gz"), ("export.gz", "export")])
def test_a_dump_whose_name_is_that_of_another_when_packed_is_left_alone(program, tmp_path, order):
    dumps = program["dumps"]
    argvs = [(name, ("echo", name)) for name in order]
    packed, plain = {"export.gz": "export\n", "export.gz.gz": "export.gz\n"}, {"export": "export\n", "export.gz": "export.gz\n"}
    for compress, files in ((True, packed), (True, packed), (False, plain), (False, plain), (True, packed)):
        assert not dumps.dump_all(commands(tmp_path, *argvs, compress=compress), {})
        assert contents(tmp_path / "commands") == files
        known = {name: each["file"] for name, each in dumps.manifest(tmp_path).items()}
        assert known == {f"commands/{text.strip()}": f"commands/{file}" for file, text in files.items()}


def test_a_file_stays_that_is_another_dumps_by_now_when_the_one_goes_that_was_in_it(program, tmp_path):
    dumps = program["dumps"]
    assert not dumps.dump_all(commands(tmp_path, ("export", ("echo", "a"))), {})
    assert not dumps.dump_all(commands(tmp_path, ("export.gz", ("echo", "b")), compress=False, gone=["commands/export"]), {})
    assert contents(tmp_path / "commands") == {"export.gz": "b\n"} and list(dumps.manifest(tmp_path)) == ["commands/export.gz"]


def test_tables_are_counted_when_their_database_is_dumped_and_not_when_all_are_listed(program, tmp_path, monkeypatch):
    dumps, count = program["dumps"], tmp_path / "count"
    count.write_text("1", encoding="utf-8")
    first = dumps.Dump("mariadb/a.sql", ("sh", "-c", f"echo a; echo 2 >{count}"), database="a", tables=("cat", str(count)))
    second = dumps.Dump("mariadb/b.sql", ("echo", "b"), database="b", tables=("cat", str(count)))
    third = dumps.Dump("mariadb/c.sql", ("echo", "c"), database="c", tables=("false",))
    monkeypatch.setattr(dumps, "mariadb", lambda config: iter([first, second, third]))
    wrong = dumps.dump_all(commands(tmp_path / "dumps"), {})
    known = dumps.manifest(tmp_path / "dumps")
    assert {name: (each["database"], each["tables"]) for name, each in known.items()} == {"mariadb/a.sql": ("a", 1), "mariadb/b.sql": ("b", 2)}
    assert len(wrong) == 1 and wrong[0].startswith("mariadb/c.sql: false failed (1)")


def test_databases_are_listed_with_the_program_that_counts_their_tables(program, monkeypatch):
    dumps, asked = program["dumps"], []

    def ask(argv, **how):
        asked.append(argv[0])
        return {"mariadb": "73686f70\t100\n", "pg_lsclusters": "15 main 5432 online postgres /data /log\n", "psql": "63726d|100\n"}[argv[0]]

    monkeypatch.setattr(dumps, "ask", ask)
    every = {"mariadb": "always", "postgresql": "always", "exclude_databases": [], "compress": True}
    found = [dump for dump in (*dumps.mariadb(every), *dumps.postgresql(every)) if dump.database]
    assert asked == ["mariadb", "pg_lsclusters", "psql"]
    assert [(dump.database, dump.tables[0], dump.user) for dump in found] == [("shop", "mariadb", "root"), ("crm", "psql", "postgres")]
    assert "X'73686f70'" in found[0].tables[-1] and found[1].tables[-1] == dumps.POSTGRESQL_TABLES


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        (None, []),
        ("# unixsocket /no\nmaxmemory 1\n", []),
        ("unixsocket /run/redis/mainline-vps.sock\nunixsocketperm 700\n", ["-s", "/run/redis/mainline-vps.sock"]),
    ],
)
def test_redis_is_asked_at_the_socket_that_it_is_to_have_and_not_at_a_port_where_another_may_listen(program, tmp_path, monkeypatch, settings, place):
    dumps = program["dumps"]
    monkeypatch.setattr(dumps, "_REDIS", tmp_path / "mainline-vps.conf")
    if settings is not None:
        (tmp_path / "mainline-vps.conf").write_text(settings, encoding="utf-8")
    (dump,) = dumps.redis({"redis": "always", "redis_user": "backup"}, {"redis_password": "secret"})
    assert dump.argv == ("redis-cli", *place, "--user", "backup", "--rdb", "-") and dump.environment == {"REDISCLI_AUTH": "secret"}


@pytest.mark.parametrize("size", [1, 1 << 60])
def test_dumps_are_taken_out_of_the_repository_where_there_is_room_for_all_of_them(program, tmp_path, monkeypatch, size):
    restore, taken = program["restore"], []

    class Store:
        def __init__(self, config, secrets):
            pass

        def restore(self, paths, target):
            taken.extend(paths)
            folder = target / "var/dumps"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "manifest.json").write_text(json.dumps({"commands/a": {"file": "commands/a", "bytes": size, "sha256": ""}}), encoding="utf-8")

        def check(self):
            taken.append("checked")

    monkeypatch.setattr(restore, "Store", Store)
    wrong = restore.test_all({"folder": "/var/dumps", "repository": "rest:https://host/", "reserve": 0, "commands": []}, {})
    if size == 1:
        assert taken == ["/var/dumps/manifest.json", "/var/dumps", "checked"]
    else:
        assert taken == ["/var/dumps/manifest.json"] and len(wrong) == 1 and wrong[0].startswith("there is no room to restore the dumps in /var/tmp/")


def test_one_that_fails_stops_no_other_and_what_is_not_dumped_any_more_stays_until_it_is_to_go(program, tmp_path):
    dumps = program["dumps"]
    (tmp_path / ".left.part").touch()
    assert not dumps.dump_all(commands(tmp_path, ("a", ("echo", "a")), ("b", ("echo", "b"))), {})
    wrong = dumps.dump_all(commands(tmp_path, ("bad", ("false",)), ("a", ("echo", "new"))), {})
    assert len(wrong) == 1 and wrong[0].startswith("commands/bad: false failed (1)")
    assert sorted(dumps.manifest(tmp_path)) == ["commands/a", "commands/b"]
    assert gzip.decompress((tmp_path / "commands/a.gz").read_bytes()) == b"new\n" and (tmp_path / "commands/b.gz").exists()
    assert not dumps.dump_all(commands(tmp_path, ("c", ("echo", "c")), gone=["commands/a"]), {})
    assert sorted(dumps.manifest(tmp_path)) == ["commands/b", "commands/c"]
    assert not dumps.dump_all(commands(tmp_path, unlisted="absent"), {})
    assert [each.name for each in tmp_path.iterdir()] == ["manifest.json"]


def test_nothing_goes_because_nobody_could_say_what_there_is(program, tmp_path):
    dumps = program["dumps"]
    dumps.put(tmp_path / "manifest.json", '{"mariadb/shop.sql": {"file": "mariadb/shop.sql.gz", "bytes": 1}}')
    wrong = dumps.dump_all(commands(tmp_path, mariadb="always", unlisted="absent"), {})  # there is no such server here
    assert wrong and "mariadb/shop.sql" in dumps.manifest(tmp_path)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("sftp:backup@host:/srv/x", ["-l backup", "-- host sftp"]),
        ("sftp://backup@host:2222//srv/x", ["-l backup", "-p 2222", "-- host sftp"]),
        ("sftp:host:x", ["-- host sftp"]),
    ],
)
def test_the_way_to_a_repository_over_ssh_is_told_with_the_key_and_known_hosts_only(program, place, told):
    argv = program["store"].command({"repository": place, "ssh_arguments": []}, "snapshots")
    assert argv[0] == "restic" and argv[-1] == "snapshots" and "StrictHostKeyChecking=yes" in argv[2]
    assert all(word in argv[2] for word in told)


def test_other_repositories_need_no_way(program):
    assert program["store"].command({"repository": "s3:https://host/bucket"}, "check") == ["restic", "check"]
