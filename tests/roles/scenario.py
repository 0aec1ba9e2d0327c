# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule on this node: a scenario that is run, and the VPSs that it has. Nothing is captured: what Molecule prints is what pytest shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.mainline.vps.plugins.plugin_utils import molecule

ROOT = Path(__file__).parents[2]
TIMEOUT = 1800  # s, for one command
RECORDS = Path(json.loads(Path("/etc/vps/node.json").read_text(encoding="utf-8"))["pool"]) / "vps"


@dataclass(frozen=True)
class Scenario:
    """A scenario of a project, at FOLDER/PLACE/NAME."""

    folder: Path
    name: str = "default"
    place: str = "molecule"

    def start(self, *arguments: str, **how: object) -> subprocess.Popen:
        """Molecule, in a session of its own, so that it can be killed with all that it has started."""
        environment = {**os.environ, "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}
        return subprocess.Popen(["molecule", *arguments, "-s", self.name], cwd=self.folder, env=environment, start_new_session=True, **how)

    def run(self, *arguments: str) -> int:
        """Its exit code."""
        return self.start(*arguments).wait(TIMEOUT)

    def says(self, *arguments: str) -> tuple[int, str]:
        """Its exit code, and what it printed."""
        process = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        output, _none = process.communicate(timeout=TIMEOUT)
        print(output)
        return process.returncode, output

    def vpss(self) -> dict[str, Path]:
        """The VPSs that have its label, by their host names."""
        label = molecule.label_of(self.name, str(self.folder / self.place / self.name), os.uname().nodename)
        records = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in RECORDS.glob("mo-*/vps.json")]
        return {record["hostname"]: path for path, record in records if record["labels"].get(molecule.LABEL) == label}


def example(folder: Path) -> Scenario:
    """The project that docs/molecule.md shows, with each of its files as it is written there."""
    page = (ROOT / "docs/molecule.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"```yaml\n# (\S+\.yml)\n(.*?)```", page, re.DOTALL))
    assert {"molecule/default/molecule.yml", "molecule/default/create.yml", "roles/hello/tasks/main.yml"} <= set(files)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return Scenario(folder)
