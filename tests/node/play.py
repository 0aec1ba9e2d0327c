# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks against machines, as a user runs them: over SSH with pipelining, as somebody who is not root, with become."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mainline.vps.plugins.module_utils.node.syscalls import end_with_parent

from . import image as images
from .machine import SLOW, Machine

HERE = pathlib.Path(__file__).parent
PLAYBOOKS = HERE.parents[1] / "playbooks"


@dataclass
class Played:
    """What came of a playbook: each task's results in order, and all that was printed."""

    code: int
    output: str
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def changed(self) -> list[str]:
        """The tasks that changed something."""
        return [result["task"] for result in self.results if result["result"].get("changed")]

    def of(self, task: str) -> dict[str, Any]:
        """The result of the last task of a name."""
        return next(result["result"] for result in reversed(self.results) if result["task"] == task)


def write_inventory(path: pathlib.Path, nodes: Mapping[str, Machine], *, alone: bool = False) -> pathlib.Path:
    """An inventory of machines, as one of a person's could be. `alone`: with a login for each task, which ends with it."""
    hosts = {
        name: {
            "ansible_host": "127.0.0.1",
            "ansible_user": images.USER,
            "ansible_ssh_args": " ".join(node.ssh_options(alone=alone)),
            "ansible_ssh_pipelining": True,
            "ansible_timeout": 10 * SLOW,
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        for name, node in nodes.items()
    }
    path.write_text(json.dumps({"all": {"hosts": hosts}}, indent=2), encoding="utf-8")  # JSON is YAML
    return path


def start(node: Machine, playbook: pathlib.Path | list[dict], *options: str, alone: bool = False) -> subprocess.Popen:
    """Start a playbook, or a list of tasks, on a machine."""
    if isinstance(playbook, list):
        play = {"hosts": "all", "gather_facts": False, "become": True, "tasks": playbook}
        playbook = node.folder / "play.yml"
        playbook.write_text(json.dumps([play]), encoding="utf-8")
    configuration = node.folder / "ansible.cfg"  # empty: nobody's own
    configuration.touch()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_") or name == "ANSIBLE_COLLECTIONS_PATH"},
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"), "ANSIBLE_CALLBACKS_ENABLED": "results", "RESULTS": str(node.folder / "results"),
        "ANSIBLE_HOST_KEY_CHECKING": "false", "ANSIBLE_FORCE_COLOR": "false", "LC_ALL": "C.UTF-8",
    }
    inventory = write_inventory(node.folder / "inventory.json", {"node": node}, alone=alone)
    (node.folder / "results").write_text("", encoding="utf-8")
    with open(node.folder / "play.log", "wb") as log:  # a file: an SSH connection that stays would keep a pipe open
        return subprocess.Popen(
            [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(playbook), *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=node.folder, preexec_fn=end_with_parent,
        )


def finish(node: Machine, process: subprocess.Popen, *, seconds: float = 150 * SLOW) -> Played:
    """Wait for it."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    output = (node.folder / "play.log").read_text(encoding="utf-8", errors="replace")
    lines = (node.folder / "results").read_text(encoding="utf-8").splitlines()
    return Played(code, output, [json.loads(line) for line in lines])


def play(node: Machine, playbook: pathlib.Path | list[dict], *options: str, alone: bool = False, **limits: float) -> Played:
    """Run a playbook, or a list of tasks, to its end, which has to be a good one."""
    done = finish(node, start(node, playbook, *options, alone=alone), **limits)
    assert done.code == 0, done.output[-6000:]
    return done
