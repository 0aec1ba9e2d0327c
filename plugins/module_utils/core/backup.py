# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a VPS: what a task may ask, which backup is meant, and what is told of it.

Pure. They are made and restored by node/backups.py; node/restic.py has the tool. A backup is a snapshot of restic's with the VPS's name as its
host, in which there are two things: the record, and the root file system with the ids that the VPS has inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from . import parse, pools, retention, units
from .command import Command, parse_command
from .errors import NOT_OURS, VpsError, shown, written
from .plan import Change

PRESENT, ABSENT, RESTORED, TESTED, VERIFIED = "present", "absent", "restored", "tested", "verified"
LATEST = "latest"
TAG, INCOMPLETE = "mainline.vps", "incomplete"  # of restic's snapshots: which are ours, and which lack files that could not be read
TEST_LABEL = "mainline.vps/test-of"  # of the VPS that a test restores to: whose backup it is
KEEP = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
WITHIN = "within"
_ID = re.compile(r"[0-9a-f]{8,64}")
_HOST = r"(?:[A-Za-z0-9_.-]+@)?(?![-.])(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
_SFTP = re.compile(rf"sftp:(?:(?P<login>{_HOST}):(?P<path>[^\s:]\S*)|//(?P<login2>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?/(?P<path2>\S+))", re.ASCII)
_STORE = re.compile(r"(?:s3|rest|b2|azure|gs|swift):[\x21-\x7e]+")
# What may be given to restic besides: the credentials of a store, and the way to it. Others, such as RESTIC_PASSWORD_COMMAND, run programs.
_VARIABLE = re.compile(r"(?:(?:AWS|B2|AZURE|GOOGLE|OS|ST|RESTIC_REST)_[A-Z0-9_]+|(?:HTTPS?|NO)_PROXY)")
_DURATION = re.compile(r"(?=[0-9])(?:[0-9]{1,4}y)?(?:[0-9]{1,4}m)?(?:[0-9]{1,4}d)?(?:[0-9]{1,4}h)?")
_SUBSET = re.compile(r"(?:100|[1-9]?[0-9](?:\.[0-9]{1,3})?)%|[1-9][0-9]{0,5}/[1-9][0-9]{0,5}")
_LONGEST_TEXT = 4096
_USER_INFO = re.compile(r"(://[^\s/:@]*):[^\s/@]+@")


@dataclass(frozen=True)
class Repository:
    """Where backups are kept (`place`, in which there may be a password), and what opens it.

    `secrets` are variables of restic's environment, and never told. `ssh` are arguments for ssh.
    """

    place: str = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    ssh: tuple[str, ...] = ()

    @property
    def password(self) -> str | None:
        """That of the user in the store's address, where there is one: C(rest:https://user:password@host/)."""
        found = re.search(r"://[^/:@]*:(.+)@", self.place)
        return found[1] if found else None

    def masked(self, text: str) -> str:
        """What somebody says of it, without that password."""
        return _USER_INFO.sub(r"\1:***@", text if self.password is None else text.replace(f":{self.password}@", ":***@"))

    @property
    def sftp_command(self) -> tuple[str, ...] | None:
        """How the other machine is reached, where it is by ssh, which then asks nobody anything; None otherwise."""
        found = _SFTP.fullmatch(self.place)
        if found is None:
            return None
        user, _at, host = (found["login"] or found["login2"]).rpartition("@")
        options = ["-oBatchMode=yes", "-oServerAliveInterval=60", "-oServerAliveCountMax=10", *self.ssh]
        options += [*(["-p", found["port"]] if found["port"] else []), *(["-l", user] if user else [])]
        return ("ssh", *options, "-s", "--", host.strip("[]"), "sftp")


@dataclass(frozen=True)
class Wish:
    """What a task asks. `max_age` and the timeouts are in s; `keep` is retention as (word, number or duration), none of it: all stay.

    `target` is the VPS that a restore makes or replaces. `addresses` None: those of the backup. `before` runs in the VPS first.
    """

    name: str
    state: str
    repository: Repository
    backup: str = LATEST
    target: str = ""
    paths: tuple[str, ...] = ()
    replace: bool = False
    addresses: tuple[Any, ...] | None = None
    max_age: int | None = None
    keep: tuple[tuple[str, str], ...] = ()
    prune: bool = True
    exclude: tuple[str, ...] = ()
    before: Command | None = None
    verify: bool = False
    verify_data: str | None = None
    timeout: int = 86_400
    wait_timeout: int = 120
    stop_timeout: int = 60


@dataclass(frozen=True)
class Backup:
    """One backup. `complete`: all files could be read."""

    id: str
    time: datetime
    complete: bool = True

    @property
    def named(self) -> dict[str, Any]:
        """As modules return it; the time is UTC in ISO 8601."""
        return {"id": self.id, "time": self.time.isoformat(timespec="seconds"), "complete": self.complete}


def parse_wish(params: Mapping[str, Any]) -> Wish:
    """The parameters of C(vps_backup); raises VpsError."""
    name, state = parse.parse_name(params["name"]), params["state"]
    _refuse_strange(params, state)
    backup = params["backup"] or LATEST
    if backup != LATEST and not _ID.fullmatch(backup):
        raise VpsError(f"backup: {shown(backup)} is neither 'latest' nor the id of a backup; backups in this module's result has those.")
    if state == ABSENT and (backup == LATEST) is (params["keep"] is None):
        raise VpsError("backup: say what is to go: one by its id, or all that keep does not keep; give one of the two.")
    target = name if params["target"] is None else parse.parse_name(params["target"], option="target")
    if state == TESTED and params["target"] is None:
        target = f"{name[:parse.LONGEST_NAME - 5].rstrip('-.')}-test"
    if state == TESTED and target == name:
        raise VpsError("target: a test needs a name of its own, and not the VPS's; leave it out, or name another one.")
    verify_data = params["verify_data"]
    if verify_data is not None and not _SUBSET.fullmatch(verify_data):
        raise VpsError(f"verify_data: {shown(verify_data)} is no part of the data; write for example 5%, 100%, or 1/7 for the first seventh.")
    return Wish(
        name=name,
        state=state,
        repository=parse_repository(params),
        backup=backup,
        target=target,
        paths=tuple(_path("paths", path) for path in params["paths"] or ()),
        replace=params["replace"],
        addresses=None if params["addresses"] is None else pools.parse_wishes(params["addresses"]),
        max_age=None if params["max_age"] is None else units.parse_duration(params["max_age"], option="max_age"),
        keep=parse_keep(params["keep"]),
        prune=params["prune"],
        exclude=tuple(_path("exclude", path) for path in params["exclude"] or ()),
        before=None if params["before"] is None else _before(name, params),
        verify=params["verify"] or verify_data is not None or state == VERIFIED,
        verify_data=verify_data,
        timeout=max(1, parse.parse_seconds(params["timeout"], option="timeout")),
        wait_timeout=parse.parse_seconds(params["wait_timeout"], option="wait_timeout"),
        stop_timeout=parse.parse_seconds(params["stop_timeout"], option="stop_timeout"),
    )


# Options that say something in these states only; elsewhere they are somebody's mistake about what is going to happen.
_FOR = {
    "max_age": (PRESENT,), "keep": (PRESENT, ABSENT), "exclude": (PRESENT,), "before": (PRESENT,), "paths": (RESTORED,), "addresses": (RESTORED,),
    "replace": (RESTORED,), "target": (RESTORED, TESTED), "backup": (RESTORED, TESTED, ABSENT), "verify": (PRESENT, VERIFIED),
    "verify_data": (PRESENT, VERIFIED),
}


def _refuse_strange(params: Mapping[str, Any], state: str) -> None:
    for option, states in _FOR.items():
        if params[option] not in (None, False) and state not in states:
            raise VpsError(f"{option}: it has no meaning with state {state}, only with {' and '.join(states)}; leave it out.")
    for option in ("replace", "addresses", "target"):
        if params["paths"] is not None and params[option] not in (None, False):
            raise VpsError(f"{option}: with paths, files go back into the VPS that they are from, and it stays what it is; leave one of the two out.")
    if params["paths"] is not None and not params["paths"]:
        raise VpsError("paths: the list is empty; name files or directories, or leave it out for the whole VPS.")


def parse_repository(params: Mapping[str, Any]) -> Repository:
    """Where, and with which password; raises VpsError, in which there is no secret."""
    place = params["repository"]
    if not _known(place):
        raise VpsError(
            "repository: this is no place for backups; write an absolute path on the node, sftp:user@host:/path, or s3:https://host/bucket."
        )
    if (params["password"] is None) == (params["password_file"] is None):
        raise VpsError("password: a repository is encrypted, and opened by either password or password_file; give one of them.")
    if params["password"] is not None and (not params["password"] or set(params["password"]) & set("\0\r\n")):
        raise VpsError("password: it is one line, and not empty.")
    secrets = {} if params["password"] is None else {"RESTIC_PASSWORD": params["password"]}
    if params["password_file"] is not None:
        secrets["RESTIC_PASSWORD_FILE"] = _path("password_file", params["password_file"])
    for key, value in (params["environment"] or {}).items():
        if not isinstance(key, str) or not _VARIABLE.fullmatch(key):
            raise VpsError(f"environment: {shown(key)} is no variable for a store's credentials; there are for example AWS_ACCESS_KEY_ID and HTTPS_PROXY.")
        if "\0" in written(value):
            raise VpsError(f"environment: there is a zero byte in {key}, which no program can be given.")
        secrets[key] = written(value)
    ssh = tuple(params["ssh_arguments"] or ())
    if ssh and not place.startswith("sftp:"):
        raise VpsError("ssh_arguments: they are for a repository at the other end of ssh (sftp:…); leave them out.")
    if any("\0" in word for word in ssh):
        raise VpsError("ssh_arguments: there is a zero byte in them, which no program can be given.")
    return Repository(place, secrets, ssh)


def _known(place: str) -> bool:
    if len(place) > _LONGEST_TEXT or not place.isprintable():
        return False
    if place.startswith("/"):
        return ".." not in place.split("/")
    found = _SFTP.fullmatch(place)
    return _STORE.fullmatch(place) is not None or (found is not None and int(found["port"] or 22) < 65536)


def _path(option: str, path: str) -> str:
    if not path.startswith("/") or len(path) > _LONGEST_TEXT or not path.isprintable() or ".." in path.split("/"):
        raise VpsError(f"{option}: {shown(path)} is not an absolute path without '..'; write it from the /.")
    return path


def parse_keep(section: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Which backups stay, as (word, value) in restic's words. One of them at least, for nothing would stay otherwise."""
    if section is None:
        return ()
    found = []
    for key, value in section.items():
        text = written(value).strip()
        if key not in (*KEEP, WITHIN):
            raise VpsError(f"keep: there is no {shown(key)}; there are {', '.join(KEEP)} and {WITHIN}.")
        if key == WITHIN:
            if not _DURATION.fullmatch(text):
                raise VpsError(f"keep.{WITHIN}: {shown(value)} is not a time; write for example 14d, or 1y6m for a year and six months.")
        elif not re.fullmatch(r"[0-9]{1,5}", text):
            raise VpsError(f"keep.{key}: {shown(value)} is not a number of backups; write for example 7.")
        if re.search("[1-9]", text):
            found.append((str(key), text))
    if not found:
        raise VpsError("keep: nothing would stay; keep one backup at least, as in {last: 7}.")
    return tuple(sorted(found))


def _before(name: str, params: Mapping[str, Any]) -> Command:
    unset = dict.fromkeys(("script", "executable", "chdir", "environment", "stdin", "creates", "removes"))
    try:
        return parse_command({**unset, "name": name, "argv": params["before"], "user": "root", "timeout": params["timeout"]})
    except VpsError as error:
        raise VpsError(f"before: {str(error).partition(': ')[2]}") from None


# -- what the tool says -------------------------------------------------------------------------------------------------


def read_backups(text: str) -> tuple[Backup, ...]:
    """The backups that restic lists as JSON, the oldest first; raises VpsError for anything else."""
    try:
        listed = json.loads(text) or []
        found = [Backup(_id(each["id"]), _time(each["time"]), INCOMPLETE not in (each.get("tags") or ())) for each in listed]
    except NOT_OURS as error:
        raise VpsError(f"repository: restic lists what is no list of backups ({shown(error)}).") from None
    return tuple(sorted(found, key=lambda backup: (backup.time, backup.id)))


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{shown(text)} is no id")
    return text


def _time(text: str) -> datetime:
    """RFC 3339, with up to nine digits of a second, of which Python 3.9 reads three or six."""
    whole, fraction, zone = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text).groups()  # type: ignore[union-attr]
    moment = datetime.fromisoformat(whole + ("+00:00" if zone == "Z" else zone))
    return (moment + timedelta(microseconds=int(float(fraction or 0) * 1e6))).astimezone(timezone.utc)


def find(backups: Iterable[Backup], wanted: str, *, name: str) -> Backup:
    """The newest complete one, or the one whose id starts so; raises VpsError where there is none, or are several."""
    listed = list(backups)
    if wanted == LATEST:
        complete = [backup for backup in listed if backup.complete]
        if not complete:
            raise VpsError(f"backup: there is no complete backup of VPS '{name}' in this repository; make one with state present first.")
        return complete[-1]
    found = [backup for backup in listed if backup.id.startswith(wanted)]
    if len(found) != 1:
        raise VpsError(f"backup: {len(found) or 'no'} backups of VPS '{name}' have an id that starts with {shown(wanted)}; give one of theirs.")
    return found[0]


def young(backups: Iterable[Backup], max_age: int | None, now: datetime) -> Backup | None:
    """The newest complete one, where it is so young that no other one is due."""
    newest = max((backup for backup in backups if backup.complete), key=lambda backup: backup.time, default=None)
    if max_age is None or newest is None or (now - newest.time).total_seconds() >= max_age:
        return None
    return newest


def doomed(wish: Wish, backups: Iterable[Backup], now: datetime) -> tuple[Backup, ...]:
    """Those that a task removes: the one that it names, or what is beyond its retention once there is the one that it makes."""
    listed = tuple(backups)
    if wish.state == ABSENT and not wish.keep:
        meant = [backup for backup in listed if backup.id.startswith(wish.backup)]
        return (find(listed, wish.backup, name=wish.name),) if meant else ()
    return retention.beyond((*listed, Backup("", now)) if wish.state == PRESENT else listed, wish.keep)


def changes(wish: Wish, backup: Mapping[str, Any] | None, removed: Iterable[str], *, pruned: bool) -> tuple[Change, ...]:
    """What is otherwise after a task. `backup` is the one that it is about; None for one that is not made yet."""
    found = []
    if wish.state == PRESENT and (backup is None or "added" in backup):
        found.append(Change(f"backups.{backup['id'] if backup else 'new'}", "absent", "present"))
    if wish.state == RESTORED and backup is not None:
        found += [Change(f"files.{path}", None, backup["id"]) for path in wish.paths] or [Change(f"vpss.{wish.target}", None, backup["id"])]
    found += [Change(f"backups.{one}", "present", "absent") for one in removed]
    return (*found, *([Change("repository", "what no backup needs", "pruned")] if pruned else []))


def read_summary(text: str) -> dict[str, Any]:
    """What restic says of a backup that it has made: `id`, and `size`, `added` (bytes), `files`, `files_new` and `files_changed`."""
    for line in reversed(text.splitlines()):
        try:
            told = json.loads(line)
            if told["message_type"] == "summary":
                return {
                    "id": _id(told["snapshot_id"]),
                    "size": int(told["total_bytes_processed"]),
                    "added": int(told["data_added"]),
                    "files": int(told["total_files_processed"]),
                    "files_new": int(told["files_new"]),
                    "files_changed": int(told["files_changed"]),
                }
        except NOT_OURS:
            continue
    raise VpsError("repository: restic did not say which backup it has made; see the backups that it lists.")
