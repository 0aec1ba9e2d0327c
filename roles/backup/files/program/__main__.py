# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the role mainline.vps.backup: dumps what runs in this machine, copies that elsewhere, and tests that it can be restored.

  run      dump everything, then copy the dumps and the paths that are asked for to the repository
  dump     dump everything: what a node has run before it makes a backup of the VPS
  test     restore the newest dumps into servers of its own, compare, and check the repository
  tell     write anew what monitoring reads
  restic   restic, with the repository and its password: mainline-vps-backup restic snapshots
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from dumps import dump_all, manifest
from restore import test_all
from store import Store, become
from tools import SETTINGS, STATE, Trouble, put

_LOCK = "/run/mainline-vps-backup.lock"
_METRICS = "mainline-vps-backup.prom"


def read(name: str) -> dict:
    """A file of the role's."""
    try:
        return json.loads((SETTINGS / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Trouble(f"{SETTINGS / name} cannot be read: {error}.") from None


def state() -> dict:
    """What is remembered of earlier runs; a damaged file is as none."""
    try:
        known = json.loads((STATE / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    return {"since": int(time.time()), "steps": {}, "repository": "", **known}


def metrics(config: Mapping, known: Mapping) -> str:
    """What monitoring reads: no name of a database is in it."""
    lines = []

    def told(name: str, text: str, values: Mapping[str, float]) -> None:
        if values:
            lines.extend((f"# HELP mainline_backup_{name} {text}", f"# TYPE mainline_backup_{name} gauge"))
            lines.extend(f'mainline_backup_{name}{{step="{step}"}} {value}' for step, value in sorted(values.items()))

    steps = {step: known["steps"].get(step, {}) for step in config["overdue"]}
    through = {step: each["success"] for step, each in steps.items() if "success" in each}
    told("success_timestamp_seconds", "When the step was last through without a fault.", through)
    deadlines = {step: through.get(step, known["since"]) + config["overdue"][step] for step in steps}
    told("deadline_timestamp_seconds", "When it has to have been, again.", deadlines)
    told("failed", "Whether its last run failed.", {step: int(bool(each["wrong"])) for step, each in steps.items() if "wrong" in each})
    told("duration_seconds", "How long its last run took.", {step: each["seconds"] for step, each in steps.items() if "seconds" in each})
    try:
        sizes = [each["bytes"] for each in manifest(Path(config["folder"])).values()]
    except Trouble:
        sizes = []
    told("dumps", "How many dumps there are.", {"dump": len(sizes)})
    told("dumped_bytes", "How much room they take.", {"dump": sum(sizes)})
    return "\n".join(lines) + "\n"


def tell(config: Mapping, known: Mapping) -> bool:
    """Write the metrics where node_exporter reads them, if it is there. Gives whether they are others than before.

    The folder may be in one of the exporter's own user, who could put a link there: it is followed nowhere, and written to only if it is root's alone.
    """
    if not config["metrics"]:
        return False
    try:
        folder = os.open(config["metrics"], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        found = os.fstat(folder)
        if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Trouble(f"{config['metrics']} is not a folder that root alone writes to, so monitoring is told nothing.")
        text = metrics(config, known)
        try:
            with open(os.open(_METRICS, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), encoding="utf-8") as file:
                if file.read() == text:
                    return False
        except OSError:
            pass
        part = f".{_METRICS}.part"
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644, dir_fd=folder), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
        os.replace(part, _METRICS, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)
    return True


def copy(config: Mapping, secrets: Mapping, known: dict, *, whole: bool) -> list[str]:
    """The copy elsewhere; nothing old is removed there unless all dumps are new."""
    try:
        store = Store(config, secrets)
        store.open(known=known["repository"] == config["repository"])
        known["repository"] = config["repository"]
        store.back_up()
        if whole:
            store.thin_out()
    except (Trouble, OSError) as error:
        return [str(error)]
    return []


def step(name: str, known: dict, work: Callable[[], list[str]]) -> list[str]:
    """Do it, say what is wrong, and remember how it went."""
    began = time.time()
    try:
        wrong = work()
    except (Trouble, OSError) as error:
        wrong = [str(error)]
    for sentence in wrong:
        print(f"{name}: {sentence}", file=sys.stderr, flush=True)
    done = {"at": int(began), "seconds": round(time.time() - began, 1), "wrong": wrong}
    before = known["steps"].get(name, {})
    known["steps"][name] = {**({"success": before["success"]} if "success" in before else {}), **done, **({} if wrong else {"success": int(time.time())})}
    put(STATE / "state.json", json.dumps(known, indent=1, sort_keys=True) + "\n")
    return wrong


def main(arguments: list[str]) -> int:
    """Do what is asked for; gives the exit code."""
    what = arguments[0] if arguments else ""
    if what not in ("run", "dump", "test", "tell", "restic"):
        print(__doc__)
        return 2
    os.umask(0o077)
    config, secrets = read("config.json"), read("secrets.json")
    if what == "restic":
        become(config, secrets, arguments[1:])
    with open(_LOCK, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known, wrong = state(), []
        if what in ("run", "dump"):
            wrong = step("dump", known, lambda: dump_all(config, secrets))
        if what == "run" and config["repository"]:
            wrong = wrong + step("copy", known, lambda: copy(config, secrets, known, whole=not wrong))
        if what == "test":
            wrong = step("test", known, lambda: test_all(config, secrets))
        if what == "tell" and not (STATE / "state.json").exists():
            put(STATE / "state.json", json.dumps(known, indent=1, sort_keys=True) + "\n")
        if tell(config, known):
            print("told")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        sys.exit(1)
