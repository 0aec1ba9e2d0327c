# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule on this node: a scenario that is run, what it says has changed, and the VPSs that it has."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.mainline.vps.plugins.plugin_utils import molecule

ROOT = Path(__file__).parents[2]
TIMEOUT = 1800  # s, for one command


def records() -> Path:
    """Where the node's VPSs have their records."""
    return Path(json.loads(Path("/etc/vps/node.json").read_text(encoding="utf-8"))["pool"]) / "vps"


@dataclass(frozen=True)
class Scenario:
    """A scenario of a project, at FOLDER/PLACE/NAME."""

    folder: Path
    name: str = "default"
    place: str = "molecule"

    @contextmanager
    def running(self, *arguments: str, **how: object) -> Iterator[subprocess.Popen]:
        """Molecule in a session of its own, of which nothing goes on afterwards: neither when it is overdue, nor when the test is interrupted."""
        environment = {**os.environ, "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}
        process = subprocess.Popen(["molecule", *arguments, "-s", self.name], cwd=self.folder, env=environment, start_new_session=True, **how)
        overdue = threading.Timer(TIMEOUT, kill, (process,))
        overdue.start()
        try:
            yield process
        finally:
            overdue.cancel()
            kill(process)
            process.wait()

    def run(self, *arguments: str) -> int:
        """Its exit code."""
        return self.says(*arguments)[0]

    def says(self, *arguments: str) -> tuple[int, str]:
        """Its exit code, and what it printed, which is shown as it comes."""
        with self.running(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            printed = []
            for line in process.stdout:
                print(line, end="", flush=True)
                printed.append(line)
            return process.wait(), "".join(printed)

    def vpss(self) -> dict[str, Path]:
        """The VPSs that have its label, by their host names."""
        label = molecule.label_of(self.name, str(self.folder / self.place / self.name), os.uname().nodename)
        found = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in records().glob("mo-*/vps.json")]
        return {record["hostname"]: path for path, record in found if record["labels"].get(molecule.LABEL) == label}


def kill(process: subprocess.Popen) -> None:
    """End it, and all of its session that has not left its process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def changed(said: str, action: str) -> list[str]:
    """Which tasks Molecule has told as changed, of each time that it carried out an action of a scenario ("check", "side_effect"), in order: a text for each.

    It prints a line like C(INFO     [web > check] Executing) before what Ansible says, and one like it after that.
    """
    texts = []
    for part in re.findall(rf"\[\S+ > {action}\] Executing\n(.*?)\[\S+ > {action}\] Executed", said, re.DOTALL):
        tasks = re.split(r"^(?:TASK|RUNNING HANDLER) \[", part, flags=re.MULTILINE)[1:]
        texts.append("\n".join(task.strip() for task in tasks if re.search(r"^changed: ", task, re.MULTILINE)))
        assert "PLAY RECAP" in part, f"{action} has played nothing"
    return texts


def example(folder: Path) -> Scenario:
    """The project that docs/molecule.md shows, with each of its files as it is written there."""
    page = (ROOT / "docs/molecule.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"```yaml\n# (\S+\.yml)\n(.*?)```", page, re.DOTALL))
    assert {"molecule/default/molecule.yml", "molecule/default/create.yml", "roles/hello/tasks/main.yml"} <= set(files)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return Scenario(folder)
