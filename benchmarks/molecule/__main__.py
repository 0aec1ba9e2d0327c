# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Molecule scenario on VPSs beside the same on Molecule's Docker driver, step by step, in turn.

Run as root on a node, `make benchmark-molecule ARGS="--rounds 5"`. Both have one instance with the same files, a Debian that boots its systemd, and the
role of docs/molecule.md. The Docker daemon is the benchmark's own (see benchmarks/peers). Nothing is left but the template `molecule-bookworm`.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..kit import machine
from ..kit.figures import Results, Spread, ratio, table
from ..kit.playing import Failed, run
from ..peers.dockerd import Docker, daemon

PAGE = pathlib.Path("docs/molecule.md")
SETTINGS = pathlib.Path("/etc/vps/node.json")
OURS, DOCKER, IMAGE, TEMPLATE = "mainline.vps", "docker driver", "benchmark-molecule", "molecule-bookworm"
STEPS = ("create", "converge", "idempotence", "verify", "destroy")
VERIFY = """
- name: The service, asked where it runs
  hosts: web
  gather_facts: false
  tasks:
    - name: Fetch the page
      ansible.builtin.uri:
        url: http://127.0.0.1/
      register: page
      retries: 10
      delay: 1
      until: page is succeeded
"""
SHARED = """
prerun: false
dependency: {enabled: false}
ansible:
  cfg:
    defaults:
      roles_path: ${MOLECULE_PROJECT_DIRECTORY}/roles
"""
# As its users run a systemd, with the machine's control groups. Not `privileged`: all rights are more than a machine may have that is a VPS itself.
ON_DOCKER = f"""
driver: {{name: docker}}
platforms:
  - name: web
    image: {IMAGE}
    pre_build_image: true
    command: /lib/systemd/systemd
    capabilities: [SYS_ADMIN]
    security_opts: [seccomp=unconfined, apparmor=unconfined]
    cgroupns_mode: host
    network_mode: none
    tmpfs: [/run, /tmp]
    volumes: ["/sys/fs/cgroup:/sys/fs/cgroup:rw"]
"""


@dataclass(frozen=True)
class Project:
    """One contestant: a project with the scenario `default` in a folder, and what its programs need to know."""

    name: str
    folder: pathlib.Path
    environment: dict[str, str]

    def step(self, step: str) -> float:
        """Seconds of one step, Molecule's own start included. Raises Failed."""
        started = time.perf_counter()
        run(["env", "--chdir", str(self.folder), "molecule", step], self.environment)
        return time.perf_counter() - started


def project(name: str, folder: pathlib.Path, platforms: str, environment: dict[str, str]) -> Project:
    """Write it: the documented role and playbooks, with other platforms. The Docker driver brings its own create and destroy."""
    files = dict(re.findall(r"```yaml\n# (\S+\.yml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    files |= {"molecule/default/molecule.yml": SHARED + platforms, "molecule/default/verify.yml": VERIFY}
    for path, text in files.items():
        if name == OURS or pathlib.Path(path).name not in ("create.yml", "destroy.yml"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    return Project(name, folder, environment)


def measure(those: Sequence[Project], rounds: int) -> Iterator[tuple[str, str, int, float]]:
    """All steps of all, every other round backwards. What has been measured is told as it comes."""
    for turn in range(1, rounds + 1):
        for one in those if turn % 2 else those[::-1]:
            for step in STEPS:
                seconds = one.step(step)
                print(f"round {turn} of {rounds}, {one.name}: {step} {seconds:.2f} s", file=sys.stderr, flush=True)
                yield one.name, step, 1, seconds


def report(results: Results) -> str:
    """Ratios first, then seconds, as markdown."""
    rows = []
    for step in results.operations():
        ours, docker = (results.seconds(name, step, 1) for name in (OURS, DOCKER))
        times = ratio(docker, ours)
        rows.append([step, times.text(2, "×") if times else "–", *(Spread.of(each).text(2, " s") if each else "–" for each in (ours, docker))])
    return table(["step", f"{DOCKER} / {OURS}", OURS, DOCKER], rows)


def image(docker: Docker) -> None:
    """Docker's image, with the files of the template that ours are cloned from. Raises Failed where there is none."""
    root = pathlib.Path(json.loads(SETTINGS.read_text(encoding="utf-8"))["pool"]) / "templates" / TEMPLATE / "rootfs"
    if not root.exists():
        raise Failed(f"there is no template {TEMPLATE}")
    docker.load(root, IMAGE)


def main() -> None:
    """Make what is measured, measure it, show it, remove it."""
    parser = argparse.ArgumentParser(prog="make benchmark-molecule ARGS=...", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path(".build/benchmark/debian"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if os.geteuid() != 0 or not SETTINGS.exists():
        sys.exit("benchmark-molecule runs as root, on a machine that is a node.")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | {"NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    times, programs = [], asked.programs.resolve()
    with machine.orderly(), tempfile.TemporaryDirectory(prefix="benchmark-") as scratch, daemon(programs) as docker:
        ours = project(OURS, pathlib.Path(scratch) / "ours", "platforms:\n  - name: web\n", environment)
        theirs = environment | {"DOCKER_HOST": f"unix://{docker.socket}", "PATH": f"{environment['PATH']}:{programs}/usr/bin"}
        others = project(DOCKER, pathlib.Path(scratch) / "docker", ON_DOCKER, theirs)
        try:
            for step in ("create", "destroy"):  # not measured: it builds the template
                ours.step(step)
            image(docker)
            for taken in measure([ours, others], asked.rounds):
                times.append(taken)
        except Failed as error:
            print(f"benchmark-molecule: {error}", file=sys.stderr)
        finally:
            for one in (ours, others):
                try:
                    one.step("destroy")
                except Failed as error:
                    print(f"benchmark-molecule: {error}", file=sys.stderr)
    if times:
        print(report(Results.of(times)))


if __name__ == "__main__":
    main()
