# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks, run and timed, the same way for everybody: one machine, which is controller and node, pipelining, and Ansible's own five forks."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

INTERPRETER = "/usr/bin/python3"  # the distribution's own, as on a node
_RECAP = re.compile(r"^(\S+) +: ok=(\d+) +changed=(\d+) ", re.MULTILINE)


class Failed(Exception):
    """A playbook or a program that did not do what it was to do; its text is what it said."""


@dataclass(frozen=True)
class Played:
    """A playbook that has run: seconds of the whole process, and the changed tasks of each host."""

    seconds: float
    changed: Mapping[str, int]
    output: str


@dataclass(frozen=True)
class Stage:
    """Where playbooks run. `wrap` is a command to run them with; `environment` is for the modules, on the node."""

    folder: pathlib.Path
    wrap: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    hosts: Sequence[str] = ("localhost",)

    def play(self, tasks: Iterable[Mapping]) -> Played:
        """Run a play of these tasks. Raises Failed."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": INTERPRETER}
        inventory, book = self.folder / "inventory.json", self.folder / "play.json"
        inventory.write_text(json.dumps({"all": {"hosts": {host: local for host in self.hosts}}}), encoding="utf-8")
        content = {"hosts": "all", "gather_facts": False, "environment": dict(self.environment), "tasks": list(tasks)}
        book.write_text(json.dumps([content]), encoding="utf-8")
        (self.folder / "ansible.cfg").touch()
        # What was for us would slow Ansible down, or have modules find what they would not find on a node.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment |= {"ANSIBLE_PIPELINING": "1", "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
        started = time.perf_counter()
        output = run([*self.wrap, "ansible-playbook", "-i", str(inventory), str(book)], environment)
        seconds = time.perf_counter() - started
        return Played(seconds, {host: int(changed) for host, _ok, changed in _RECAP.findall(output)}, output)


def run(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What a program said. Raises Failed with that, where it failed. It is ended when we are."""
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )
    try:
        output, _none = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    if process.returncode != 0:
        raise Failed(f"{' '.join(argv[:3])} ended with {process.returncode}: {output[-4000:]}")
    return output
