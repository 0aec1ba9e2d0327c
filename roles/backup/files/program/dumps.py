# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to dump in this machine, and how each of it becomes a file: written beside the old one, which it replaces when it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tools import Trouble, ask, attempt, put, room, start, stop, words

MANIFEST = "manifest.json"
# Tables of a PostgreSQL database: counted when it is dumped, and again when the dump is tested.
POSTGRESQL_TABLES = """SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"""
# BINARY: to information_schema `shop` and `SHOP` are one, and in a group only one of them would be told.
_MARIADB_DATABASES = """SELECT MIN(HEX(s.SCHEMA_NAME)), COALESCE(SUM(t.DATA_LENGTH), 0)
FROM information_schema.SCHEMATA s LEFT JOIN information_schema.TABLES t ON BINARY t.TABLE_SCHEMA = BINARY s.SCHEMA_NAME GROUP BY BINARY s.SCHEMA_NAME"""
_POSTGRESQL_DATABASES = """SELECT encode(convert_to(datname, 'UTF8'), 'hex'), pg_database_size(oid)
FROM pg_database WHERE datallowconn AND NOT datistemplate"""
_REDIS = Path("/etc/redis/mainline-vps.conf")  # the settings of a server that role redis has set up
_SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")
_BLOCK = 1 << 20
_LOOK = 64 << 20  # bytes, between two looks at the room that is left
_EMPTY = 20  # bytes of nothing, packed
_LOCKED = 600_000  # ms, that somebody may hold a lock of a table before their database is not dumped
_PACKED = 3  # how many times smaller a database is as a packed dump, at least: a guess for the first one


@dataclass(frozen=True)
class Dump:
    """One file to be: its name in the folder, the program that prints it, as whom, and how large it may become in bytes."""

    name: str
    argv: tuple[str, ...]
    user: str = "root"
    environment: Mapping[str, str] = field(default_factory=dict)
    estimate: int = 0
    database: str | None = None
    tables: tuple[str, ...] = ()  # the program that prints how many the database has
    packed: bool = False  # by the program itself


def file_name(name: str) -> str:
    """The name of a database as that of a file, which it may hold '/' or start with '.'."""
    quoted = quote(name, safe="")
    if len(quoted) > 200:
        quoted = f"{quoted[:150]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def connection(database: str) -> str:
    """A database for libpq: its bare name could be read as a whole connection string, to somewhere else.

    Its owner can set a search path for it, in which functions of the server's names are the owner's: not for us, who are superusers.
    """
    return "dbname='" + database.replace("\\", "\\\\").replace("'", "\\'") + "' options='-c search_path=pg_catalog,pg_temp'"


def mariadb_tables(database: str) -> str:
    """The query for how many tables a database of MariaDB has. As with POSTGRESQL_TABLES; the name is no text in it that could be something else."""
    name = database.encode("utf-8", "surrogateescape").hex()
    return f"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = X'{name}' AND TABLE_TYPE = 'BASE TABLE'"


def there(mode: str, unit: str) -> bool:
    """Whether a service is to be dumped; with `auto` where it runs, or is to run."""
    if mode == "auto":
        return any(attempt(["systemctl", "--quiet", word, unit])[0] == 0 for word in ("is-active", "is-enabled"))
    return mode == "always"


def mariadb(config: Mapping) -> Iterator[Dump]:
    """Each database, and the users with their rights."""
    if not there(config["mariadb"], "mariadb.service"):
        return
    options = ("--single-transaction", "--quick", "--routines", "--events", "--triggers", "--hex-blob", "--default-character-set=utf8mb4")
    yield Dump("mariadb-users.sql", ("mariadb-dump", "--system=users", "--insert-ignore"))
    query = ("mariadb", "--batch", "--skip-column-names", "--execute")
    for line in ask([*query, _MARIADB_DATABASES]).splitlines():
        name, size = line.split("\t")
        database = bytes.fromhex(name).decode("utf-8", "surrogateescape")
        if database.lower() not in _SYSTEM and database not in config["exclude_databases"]:
            argv = ("mariadb-dump", *options, "--", database)
            counter = (*query, mariadb_tables(database))
            yield Dump(f"mariadb/{file_name(database)}.sql", argv, estimate=int(size), database=database, tables=counter)


def postgresql(config: Mapping) -> Iterator[Dump]:
    """Each database of each cluster, and the roles of the cluster."""
    if config["postgresql"] == "never" or (config["postgresql"] == "auto" and not Path("/usr/bin/pg_lsclusters").exists()):
        return
    for line in ask(["pg_lsclusters", "--no-header"]).splitlines():
        version, cluster, _port, status, owner = line.split()[:5]
        if not status.startswith("online"):
            starts = Path(f"/etc/postgresql/{version}/{cluster}/start.conf")
            if not starts.exists() or "auto" in (word.strip() for word in starts.read_text(encoding="utf-8").splitlines()):
                raise Trouble(f"the cluster {version}/{cluster} does not run, so it cannot be dumped; start it, or set its start.conf to manual.")
            continue
        place, chosen = f"postgresql/{version}-{cluster}", ("--cluster", f"{version}/{cluster}")

        def query(database: str, sql: str, chosen: tuple[str, ...] = chosen) -> tuple[str, ...]:
            return ("psql", *chosen, "--no-psqlrc", "--no-align", "--tuples-only", "--dbname", connection(database), "--command", sql)

        yield Dump(f"{place}-roles.sql", ("pg_dumpall", *chosen, "--no-password", "--globals-only"), owner)
        for row in ask(query("postgres", _POSTGRESQL_DATABASES), user=owner).splitlines():
            name, size = row.split("|")
            database = bytes.fromhex(name).decode("utf-8")
            if database not in config["exclude_databases"]:
                packing = () if config["compress"] else ("--compress=0",)
                argv = ("pg_dump", *chosen, "--no-password", f"--lock-wait-timeout={_LOCKED}", "--format=custom", *packing)
                yield Dump(
                    f"{place}/{file_name(database)}.dump", (*argv, "--dbname", connection(database)), owner, estimate=int(size),
                    database=database, tables=query(database, POSTGRESQL_TABLES), packed=True,
                )


def redis_place() -> tuple[str, ...]:
    """Where Redis is asked: at the socket that role redis has it make, in a folder that nobody else gets to, and nowhere else where it is down.

    At a port anybody of this machine can sit who waits for that, and would be told the password. Without the role there may be nothing else.
    """
    try:
        sockets = re.findall(r'^\s*unixsocket\s+"?([^\s"]+)', _REDIS.read_text(encoding="utf-8"), re.MULTILINE)
    except FileNotFoundError:
        sockets = []
    return ("-s", sockets[-1]) if sockets else ()


def redis(config: Mapping, secrets: Mapping) -> Iterator[Dump]:
    """All of the server's data, as it would save it."""
    if there(config["redis"], "redis-server.service"):
        user = ("--user", config["redis_user"]) if config["redis_user"] else ()
        password = {"REDISCLI_AUTH": secrets["redis_password"]} if secrets["redis_password"] else {}
        yield Dump("redis.rdb", ("redis-cli", *redis_place(), *user, "--rdb", "-"), environment=password, packed=True)


def commands(config: Mapping) -> Iterator[Dump]:
    """What programs print that the operator has named."""
    for each in config["commands"]:
        yield Dump(f"commands/{each['name']}", tuple(each["argv"]), each["user"])


def listed(config: Mapping, secrets: Mapping) -> tuple[list[Dump], list[str], list[str]]:
    """All dumps; what is wrong with listing some; and the beginnings of the names that nothing is known of therefore."""
    found, wrong, unknown = [], [], []
    for place, source in (("mariadb", mariadb(config)), ("postgresql", postgresql(config)), ("redis", redis(config, secrets)), ("commands", commands(config))):
        try:
            found += source
        except (Trouble, OSError, ValueError) as error:
            wrong.append(f"{place}: {error}")
            unknown.append(place)
    return found, wrong, unknown


def write(dump: Dump, config: Mapping, old: Mapping | None) -> dict:
    """Make one file; gives what the manifest says of it. Raises Trouble, and leaves the old one as it is."""
    folder = Path(config["folder"])
    pack = config["compress"] and not dump.packed
    path = folder / (dump.name + (".gz" if pack else ""))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    needed = old["bytes"] * 11 // 10 if old else dump.estimate // (_PACKED if config["compress"] else 1)
    if needed > room(folder, config["reserve"]):
        raise Trouble(f"there is no room for it in {folder}: it may take {needed >> 20} MiB, and {config['reserve']} % of the disk are to stay free.")
    part = path.with_name(f".{path.name}.part")
    producer = packer = None
    began, size, looked, digest = time.monotonic(), 0, 0, hashlib.sha256()
    try:
        with tempfile.TemporaryFile() as said, open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            # Now, and not when all were listed, which may be hours ago: the restore test compares with it.
            counted = {"tables": int(ask(dump.tables, user=dump.user))} if dump.tables else {}
            producer = start(dump.argv, user=dump.user, environment=dump.environment, stdout=subprocess.PIPE, stderr=said)
            if pack:
                packer = start(["gzip", "--rsyncable"], stdin=producer.stdout, stdout=subprocess.PIPE, stderr=said)
                producer.stdout.close()  # so that it hears of the packer's end
            for block in iter(lambda: (packer or producer).stdout.read(_BLOCK), b""):
                file.write(block)
                digest.update(block)
                size += len(block)
                if size - looked >= _LOOK:
                    looked = size
                    if room(folder, config["reserve"]) < 0:
                        raise Trouble(f"there is no room for it in {folder}: {config['reserve']} % of the disk are to stay free.")
            codes = [process.wait() for process in (producer, packer) if process is not None]
            if any(codes):
                said.seek(0)
                raise Trouble(f"{dump.argv[0]} failed ({next(filter(None, codes))}): {words(said.read().decode('utf-8', 'replace'))}")
            if size <= (_EMPTY if pack else 0):
                raise Trouble(f"{dump.argv[0]} printed nothing.")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        stop(producer, packer)
        part.unlink(missing_ok=True)
    return {
        "file": str(path.relative_to(folder)), "bytes": size, "sha256": digest.hexdigest(), "at": int(time.time()),
        "seconds": round(time.monotonic() - began, 1), **({} if dump.database is None else {"database": dump.database}), **counted,
    }


def manifest(folder: Path) -> dict[str, dict]:
    """What a folder of dumps says that it holds, by the names of the dumps."""
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Trouble(f"{folder / MANIFEST} cannot be read: {error}.") from None


def forget(folder: Path, file: str, known: Mapping[str, Mapping]) -> None:
    """Remove a file that a dump was in, unless another is in it now: `export.gz` may be a dump of that name, or that of `export`, packed."""
    if file not in (each["file"] for each in known.values()):
        (folder / file).unlink(missing_ok=True)


def dump_all(config: Mapping, secrets: Mapping) -> list[str]:
    """Dump everything, each whatever becomes of the others. Gives what is wrong."""
    folder = Path(config["folder"])
    for left in folder.rglob(".*.part"):  # by a run that was killed
        left.unlink()
    dumps, wrong, unknown = listed(config, secrets)
    try:
        known = manifest(folder)
    except Trouble as error:
        known = {}
        wrong.append(str(error))
    for dump in dumps:
        old = known.get(dump.name)
        try:
            new = write(dump, config, old)
            # Another dump was in this file, as the name of one is that of another which was packed, or was not: it is there no more.
            known = {name: each for name, each in known.items() if each["file"] != new["file"]} | {dump.name: new}
            if old is not None:
                forget(folder, old["file"], known)
        except (Trouble, OSError, ValueError) as error:
            wrong.append(f"{dump.name}: {error}")
        put(folder / MANIFEST, json.dumps(known, indent=1, sort_keys=True) + "\n")
    names = {dump.name for dump in dumps}
    gone = [name for name in known if name not in names and not name.startswith(tuple(unknown))]
    gone = [name for name in gone if config["unlisted"] == "absent" or name in config["gone"]]
    for name in gone:
        file = known.pop(name)["file"]
        forget(folder, file, known)
        place = (folder / file).parent
        if place != folder and not any(place.iterdir()):
            place.rmdir()
    if gone:
        put(folder / MANIFEST, json.dumps(known, indent=1, sort_keys=True) + "\n")
    return wrong
