# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test that dumps can be restored, into servers of its own.

Not into those that are there: a dump runs what its owner has written in it, and should do that neither as root of a database nor beside the data.
Rows are counted as they go in, and again in the server.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import servers
from dumps import MANIFEST, POSTGRESQL_TABLES, connection, manifest, mariadb_tables
from servers import USER, alone
from store import Store
from tools import Trouble, ask, room, start, stop, words

_SPARE = 300 << 20  # bytes, that the servers' own files take at most
_GROWTH = 8  # how much room a database takes at most, in terms of its packed dump
_COPY = re.compile(rb'COPY ((?:"(?:[^"]|"")*"|[^" .]+)(?:\.(?:"(?:[^"]|"")*"|[^" ]+))?) \(.*\) FROM stdin;\n')
_INSERT = re.compile(rb"INSERT INTO (`(?:[^`]|``)+`) .*VALUES\n")
# What a dump of all roles says of places on the disk that a test has not.
_TABLESPACE = re.compile(rb"(CREATE|ALTER|GRANT|REVOKE|COMMENT) .*TABLESPACE ")


def mariadb_rows(lines: Iterable[bytes], rows: dict[str, int]) -> Iterator[bytes]:
    """A dump, line by line; `rows` gets how many rows each table has in it. mariadb-dump gives each row a line, for it writes newlines as \\n.

    What a trigger or a routine says is between two DELIMITERs.
    """
    table, code = "", False
    for line in lines:
        if line.startswith(b"DELIMITER "):
            code = line.strip() != b"DELIMITER ;"
        elif not code and not table:
            found = _INSERT.fullmatch(line)
            if found:
                table = found[1].decode("utf-8", "surrogateescape")
                rows.setdefault(table, 0)
        elif table:
            rows[table] += 1
            if line.endswith(b");\n"):
                table = ""
        yield line


def postgresql_rows(lines: Iterable[bytes], rows: dict[str, int]) -> Iterator[bytes]:
    """The same of what pg_restore prints, where a line is a row between COPY and \\."""
    table = ""
    for line in lines:
        if table:
            if line == b"\\.\n":
                table = ""
            else:
                rows[table] += 1
        else:
            found = _COPY.fullmatch(line)
            if found:
                table = found[1].decode("utf-8", "surrogateescape")
                rows.setdefault(table, 0)
        yield line


def pour(lines: Iterable[bytes], into: IO[bytes]) -> None:
    """Write them, as far as the program at the other end takes them; why it does not, or that it has seen enough, it says itself."""
    with suppress(BrokenPipeError), into:
        for line in lines:
            into.write(line)


def feed(lines: Iterable[bytes], client: list[str]) -> None:
    """Give a client of a database what it is to do. Raises Trouble where it does not do it."""
    with tempfile.TemporaryFile() as said:
        process = start(alone(client), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said)
        try:
            pour(lines, process.stdin)
        finally:
            code = process.wait()
        if code != 0:
            said.seek(0)
            raise Trouble(f"it cannot be restored: {words(said.read().decode('utf-8', 'replace'))}")


def compare(rows: Mapping[str, int], there: Mapping[str, int], tables: int, tables_there: int) -> str:
    """Raise Trouble where a server has other rows than the dump, or other tables than the database had. Gives what was compared."""
    for table, number in rows.items():
        if there[table] != number:
            raise Trouble(f"the table {table} has {number} rows in the dump, and {there[table]} when it is restored.")
    if tables_there != tables:
        raise Trouble(f"the database had {tables} tables when it was dumped, and has {tables_there} when it is restored.")
    return f"{tables_there} tables, {sum(rows.values())} rows"


def unpacked(path: Path) -> Iterator[bytes]:
    """The lines of a dump, which may be packed."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            yield from file
    except (EOFError, gzip.BadGzipFile) as error:
        raise Trouble(f"it is damaged: {error}") from None


def try_mariadb(client: list[str], path: Path, told: Mapping) -> str:
    """Restore one database, and look at it."""
    rows: dict[str, int] = {}
    batch = [*client, "--batch", "--skip-column-names"]
    ask([*client, "--execute", "CREATE OR REPLACE DATABASE restored"], user=USER)
    feed(mariadb_rows(unpacked(path), rows), [*client, "restored"])
    there = {name: int(ask([*batch, "restored", "--execute", f"SELECT COUNT(*) FROM {name}"], user=USER)) for name in rows}
    return compare(rows, there, told["tables"], int(ask([*batch, "--execute", mariadb_tables("restored")], user=USER)))


def try_postgresql(client: list[str], path: Path, told: Mapping) -> str:
    """Restore one database, and look at it. The database `postgres` is there already."""
    rows: dict[str, int] = {}
    database = told["database"]
    create = [] if database == "postgres" else ["--create"]
    with open(path, "rb") as dump, tempfile.TemporaryFile() as said:
        argv = [str(Path(client[0]).with_name("pg_restore")), *create, "--no-tablespaces", "--file=-"]
        printer = start(argv, user=USER, stdin=dump, stdout=subprocess.PIPE, stderr=said)
        try:
            feed(postgresql_rows(printer.stdout, rows), [*client, "--dbname=postgres"])
            code = printer.wait()
        finally:
            stop(printer)
        if code != 0:
            said.seek(0)
            raise Trouble(f"it is damaged: {words(said.read().decode('utf-8', 'replace'))}")
    asked = [*client, "--no-align", "--tuples-only", "--dbname", connection(database)]
    # An extension has rows of its own in some tables, which are in no dump.
    of_extension = "EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = '{}'::regclass AND deptype = 'e')"
    there = {}
    for name, number in rows.items():
        extension = of_extension.format(name.replace("'", "''"))
        counted = ask([*asked, "--command", f"SELECT CASE WHEN {extension} THEN {number} ELSE (SELECT count(*) FROM ONLY {name}) END"], user=USER)
        there[name] = int(counted)
    return compare(rows, there, told["tables"], int(ask([*asked, "--command", POSTGRESQL_TABLES], user=USER)))


def try_redis(place: Path, path: Path) -> str:
    """See that the server could read it."""
    with servers.folder(place / "redis") as home:
        shutil.copy(path, home / "dump.rdb")
        shutil.chown(home / "dump.rdb", USER)
        output = ask(["redis-check-rdb", str(home / "dump.rdb")], user=USER)
    found = re.search(r"(\d+) keys read", output)
    return f"{found[1] if found else 'no'} keys"


def try_command(path: Path, test: Mapping | None) -> str:
    """Give it to the program that is named for that, or at least read it."""
    if test is None or not test["test"]:
        return f"{sum(map(len, unpacked(path)))} bytes"
    with tempfile.TemporaryFile() as said:
        process = start(test["test"], user=test["user"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said)
        pour(unpacked(path), process.stdin)
        if process.wait() != 0:
            said.seek(0)
            raise Trouble(f"its test failed ({process.returncode}): {words(said.read().decode('utf-8', 'replace'))}")
    return "its test went well"


class Trial:
    """All dumps of a folder, one after the other; collects what is wrong."""

    def __init__(self, folder: Path, place: Path, config: Mapping) -> None:
        self._folder, self._place, self._config = folder, place, config
        self._known = manifest(folder)
        self.wrong: list[str] = []

    def run(self) -> None:
        """Test them."""
        if not self._known:
            raise Trouble("there is no dump that could be tested.")
        whole = [name for name in sorted(self._known) if self._try(name, self._whole)]
        databases = [name for name in whole if name.startswith("mariadb/")]
        if databases:
            self._serve("mariadb", servers.mariadb(self._place), databases, lambda client, name: try_mariadb(client, self._file(name), self._known[name]))
        for roles in (name for name in whole if name.startswith("postgresql/") and name.endswith("-roles.sql")):
            self._cluster(roles, [name for name in whole if name.startswith(roles.removesuffix("-roles.sql") + "/")])
        for name in whole:
            if name == "redis.rdb":
                self._try(name, lambda name: try_redis(self._place, self._file(name)))
            elif name.startswith("commands/"):
                tests = {f"commands/{each['name']}": each for each in self._config["commands"]}
                self._try(name, lambda name, test=tests.get(name): try_command(self._file(name), test))

    def _file(self, name: str) -> Path:
        return self._folder / self._known[name]["file"]

    def _try(self, name: str, what: Callable[[str], str]) -> bool:
        try:
            told = what(name)
        except (Trouble, OSError, ValueError) as error:
            self.wrong.append(f"{name}: {error}")
            return False
        if told:
            print(f"{name}: {told}", flush=True)
        return True

    def _whole(self, name: str) -> str:
        digest = hashlib.sha256()
        with open(self._file(name), "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        if digest.hexdigest() != self._known[name]["sha256"]:
            raise Trouble("it is damaged: it is not the file that was written.")
        needed = self._known[name]["bytes"] * _GROWTH + _SPARE
        if "tables" in self._known[name] and needed > room(self._place, self._config["reserve"]):
            raise Trouble(f"there is no room to restore it in {self._place}: it may take {needed >> 20} MiB.")
        return ""

    def _serve(self, what: str, server: object, names: list[str], test: Callable[[list[str], str], str]) -> None:
        try:
            with server as client:
                for name in names:
                    self._try(name, lambda name: test(client, name))
        except Trouble as error:
            self.wrong.append(f"{what}: {error}")

    def _cluster(self, roles: str, names: list[str]) -> None:
        version = roles.removeprefix("postgresql/").split("-")[0]

        def test(client: list[str], name: str) -> str:
            feed((line for line in unpacked(self._file(roles)) if not _TABLESPACE.match(line)), [*client, "--dbname=postgres"])
            return "roles" if name == roles else try_postgresql(client, self._file(name), self._known[name])

        # A server for each: what the owner of one has written runs as the server's master, and gets at all that is in it.
        for name in (roles, *names):
            self._serve(name, servers.postgresql(self._place, version), [name], test)


def fetch(store: Store, folder: Path, copy: Path, reserve: int) -> Path:
    """Take the newest dumps out of the repository; gives where they are. Raises Trouble where they would take the room that is to stay."""
    copy.mkdir(mode=0o700)
    place = copy / folder.relative_to("/")
    store.restore([str(folder / MANIFEST)], copy)  # what there is, and how large: this machine may be a new one, with no dumps
    needed = sum(each["bytes"] for each in manifest(place).values())
    if needed > room(copy, reserve):
        raise Trouble(f"there is no room to restore the dumps in {copy}: they take {needed >> 20} MiB, and {reserve} % of the disk are to stay free.")
    store.restore([str(folder)], copy)
    return place


def test_all(config: Mapping, secrets: Mapping) -> list[str]:
    """Restore the newest dumps, from the repository where there is one, and look at them. Gives what is wrong."""
    folder = Path(config["folder"])
    place = Path(tempfile.mkdtemp(prefix="mainline-vps-backup-", dir="/var/tmp"))
    place.chmod(0o711)
    wrong = []
    try:
        if config["repository"]:
            store = Store(config, secrets)
            folder = fetch(store, folder, place / "copy", config["reserve"])
        trial = Trial(folder, place, config)
        trial.run()
        wrong = trial.wrong
        if config["repository"]:
            store.check()
    except (Trouble, OSError) as error:
        wrong.append(str(error))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return wrong
