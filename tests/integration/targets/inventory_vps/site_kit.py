# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder with inventory sources, Ansible's own programs on it, and nodes that answer what they are told to."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess

import vps_kit as kit
import yaml

RUNS, STOPPED, FROZEN = (f"{kit.PREFIX}inv-{what}" for what in ("runs", "stopped", "frozen"))
OURS = {RUNS, STOPPED, FROZEN}
MARK = "mainline.vps inventory "


class Site:
    """A folder with inventory sources, and Ansible's programs on it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.sources: list[str] = []
        self.environment: dict[str, str] = {}

    def source(self, name: str, content: object) -> None:
        """Write an inventory source, which is read after those before it."""
        self.write(name, content)
        self.sources.append(name)

    def vps(self, **options: object) -> None:
        """Write a source of the plugin's, in the place of an earlier one."""
        self.write("site.vps.yml", {"plugin": "mainline.vps.vps", **options})
        if "site.vps.yml" not in self.sources:
            self.sources.append("site.vps.yml")

    def write(self, name: str, content: object) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run one of Ansible's programs."""
        sources = [word for source in self.sources for word in ("-i", source)]
        given = {name: value for name, value in os.environ.items() if name != "ANSIBLE_PLAYBOOK_DIR"}  # ansible-test's: the target's own folder
        done = subprocess.run(
            [argv[0], *sources, *argv[1:]], cwd=self.folder, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False,
            env={**given, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DEPRECATION_WARNINGS": "0", "COLUMNS": "10000", **self.environment},
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def listed(self, *options: str) -> dict:
        """The inventory, without a warning."""
        done = self.run("ansible-inventory", "--list", *options)
        assert "WARNING" not in done.stderr, done.stderr
        return read(done.stdout)

    def warned(self, *options: str) -> tuple[dict, list[str]]:
        """The inventory, and its warnings."""
        done = self.run("ansible-inventory", "--list", *options)
        return read(done.stdout), [" ".join(each.split()) for each in re.split(r"\[WARNING\]: ", done.stderr)[1:]]


def read(output: str) -> dict:
    """What ansible-inventory lists; from 2.19 on it marks each text that is no template."""
    return json.loads(output, object_hook=lambda found: found["__ansible_unsafe"] if set(found) == {"__ansible_unsafe"} else found)


def variables(listed: dict, host: str) -> dict:
    return listed["_meta"]["hostvars"][host]


def members(listed: dict, group: str) -> set[str]:
    """The hosts in a group that are ours."""
    return set(listed.get(group, {}).get("hosts", [])) & OURS


def ours(listed: dict) -> set[str]:
    """Which of our hosts there are."""
    return OURS & set(listed["_meta"]["hostvars"])


def says(folder: pathlib.Path, name: str, output: str, *, before: str = "") -> dict:
    """A node that answers so: its Python is a script."""
    script = folder / f"python-{name}"
    (folder / f"answer-{name}").write_text(output, encoding="utf-8")
    script.write_text(f"#!/bin/sh\ncat >/dev/null\n{before}\ncat '{folder}/answer-{name}'\n", encoding="utf-8")
    script.chmod(0o755)
    return {"name": name, "ansible_connection": "local", "ansible_python_interpreter": str(script)}


def record(name: str, **more: object) -> dict:
    return {"name": name, "template": "debian", "init": "systemd", "hostname": name, "limits": {}, **more}


def answer(*records: dict) -> str:
    return f"{MARK}{json.dumps({'vpss': {each['name']: each for each in records}, 'unread': {}, 'states': {}})}\n"
