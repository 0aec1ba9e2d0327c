# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup of a VPS reads and moves, as a ratio to what has changed in it since the one before; and how long each takes.

Run as root on a node with a template `minimal`: `benchmarks/backups.py [GiB [FOLDER]]`, 2 GiB and /var/tmp if not given. The VPS `benchmark` is
filled with random bytes, half in files of 64 KiB and half in files of 64 MiB; the repository is in the folder. Both need as much room as that. Both are
removed at the end.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

NAME, CHANGES = "benchmark", 1000
SMALL, LARGE = 64 << 10, 64 << 20
MIB = 1 << 20
CONTAINER, BACKUP = "mainline.vps.vps_container", "mainline.vps.vps_backup"


def task(module: str, **options: object) -> tuple[dict, float]:
    """The result of one task, and how long it took with all that Ansible does for it; a failure ends the benchmark."""
    command = ["ansible", "localhost", "-c", "local", "-e", "ansible_python_interpreter=/usr/bin/python3", "-m", module, "-a", json.dumps(options)]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    started = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment)
    took = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return json.loads(done.stdout.partition("=> ")[2]), took


def fill(root: str, size: int, chance: random.Random) -> tuple[list[str], list[str]]:
    """Random bytes; the small files and the large ones."""
    files: dict[int, list[str]] = {SMALL: [], LARGE: []}
    for length, paths in files.items():
        for number in range(size // 2 // length):
            folder = os.path.join(root, "srv", str(length), str(number // 100))
            os.makedirs(folder, exist_ok=True)
            paths.append(os.path.join(folder, str(number)))
            with open(paths[-1], "wb") as file:
                for _part in range(0, length, MIB):
                    file.write(chance.randbytes(min(length, MIB)))
    os.sync()
    return files[SMALL], files[LARGE]


def change(paths: list[str], chance: random.Random) -> int:
    """Seven bytes, somewhere, a thousand times; gives how many bytes that is."""
    for path in (chance.sample(paths, CHANGES) if len(paths) >= CHANGES else chance.choices(paths, k=CHANGES)):
        with open(path, "r+b") as file:
            file.seek(chance.randrange(os.path.getsize(path) - 7))
            file.write(chance.randbytes(7))
    os.sync()
    return 7 * CHANGES


def main() -> None:
    """Fill, change, and back up in between."""
    size, folder = int(float(sys.argv[1] if len(sys.argv) > 1 else 2) * (1 << 30)), sys.argv[2] if len(sys.argv) > 2 else "/var/tmp"
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        with open(os.path.join(place, "password"), "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write("benchmark")
        options = {"name": NAME, "repository": os.path.join(place, "repository"), "password_file": os.path.join(place, "password")}
        directory = task(CONTAINER, name=NAME, template="minimal")[0]["vps"]["directory"]
        try:
            small, large = fill(os.path.join(directory, "rootfs"), size, chance)
            what = f"{size >> 30} GiB, {len(small)} small files and {len(large)} large ones"
            print(f"{what:54} {'seconds':>8} {'files read':>11} {'MiB added':>10} {'MiB in it':>10}")
            for what, work in (
                ("the first backup", lambda: 0),
                ("nothing has changed", lambda: 0),
                (f"seven bytes in each of {CHANGES} small files", lambda: change(small, chance)),
                (f"seven bytes at {CHANGES} places in large files", lambda: change(large, chance)),
            ):
                work()
                before = used(options["repository"])
                told, took = task(BACKUP, **options)
                made = told["backup"]
                grown = used(options["repository"]) - before
                read = made["files_new"] + made["files_changed"]
                print(f"{what:54} {took:8.1f} {read:11} {made['added'] / MIB:10.1f} {grown / MIB:10.1f}", flush=True)
            print(f"{'restored beside it':54} {task(BACKUP, **options, state='restored', target=f'{NAME}-copy', addresses=[])[1]:8.1f}")
        finally:
            for name in (NAME, f"{NAME}-copy"):
                task(CONTAINER, name=name, state="absent")
            shutil.rmtree(options["repository"], ignore_errors=True)


def used(path: str) -> int:
    """Bytes on disk below a directory; 0 where there is none."""
    return int(subprocess.run(["du", "-s", "-B1", path], capture_output=True, text=True, check=False).stdout.split("\t")[0] or 0)


if __name__ == "__main__":
    main()
