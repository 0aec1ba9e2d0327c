# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is compared: what a playbook or a shell does to make, leave, change, stop and remove some containers, each in its fastest documented way."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..kit import machine
from ..kit.playing import Failed, Stage, run
from ..kit.vpss import fleet as fleet_task
from ..kit.vpss import has_fleet
from .dockerd import Docker
from .report import CREATE, FLEET, FLOOR, OURS, PEER, UNCHANGED

CHANGE, STOP, DESTROY = "one limit", "stop", "destroy"
OPERATIONS = (CREATE, UNCHANGED, CHANGE, STOP, DESTROY)
NAME = "benchmark"  # that all names begin with
BEFORE, AFTER = "64M", "80M"  # of memory
BYTES = {BEFORE: 64 << 20, AFTER: 80 << 20}
IMAGE = "benchmark-minimal"
_COUNTER = "{{ range(1, %d) | list }}"


@dataclass(frozen=True)
class Contestant:
    """One of those that are compared. `work` does an operation on so many containers, and returns its seconds."""

    name: str
    kind: str
    work: Callable[[str, int], float]


def empty(stage: Stage) -> float:
    """Seconds of a play that does nothing."""
    return stage.play([]).seconds


def _checked(stage: Stage, tasks: list[dict], operation: str) -> float:
    """Run a play and look whether it has changed what it should; a comparison of who does nothing would say nothing."""
    played = stage.play(tasks)
    if len(played.changed) != len(stage.hosts) or any((count > 0) == (operation == UNCHANGED) for count in played.changed.values()):
        raise Failed(f"{operation}: a play changed what it should not, or nothing: {played.output[-2000:]}")
    return played.seconds


# -- ours ---------------------------------------------------------------------------------------------------------------


def _vps(operation: str, template: str) -> dict:
    """The options of one VPS, without its name."""
    if operation == STOP:
        return {"state": "stopped", "stop_timeout": 0}
    if operation == DESTROY:
        return {"state": "absent", "stop_timeout": 0}
    return {"template": template, "limits": {"memory": AFTER if operation == CHANGE else BEFORE}}


def ours(stage: Stage, template: str) -> Iterator[Contestant]:
    """All in one task, where this checkout has that module; and a loop of one task."""

    def fleet(operation: str, count: int) -> float:
        names = [{"name": f"{NAME}-{number:03}"} for number in range(1, count + 1)]
        return _checked(stage, [fleet_task(names, _vps(operation, template))], operation)

    def loop(operation: str, count: int) -> float:
        options = {"name": NAME + "-{{ '%03d' % item }}", **_vps(operation, template)}
        return _checked(stage, [{"mainline.vps.vps_container": options, "loop": _COUNTER % (count + 1)}], operation)

    if has_fleet():
        yield Contestant(FLEET, OURS, fleet)
    yield Contestant("vps_container, loop", OURS, loop)


# -- the peers ----------------------------------------------------------------------------------------------------------


def _both_ways(name: str, stage: Stage, module: str, options: Callable[[str], Mapping]) -> Iterator[Contestant]:
    """A peer in a loop; and with each container as a host of the inventory, so that Ansible's forks work side by side."""

    def loop(operation: str, count: int) -> float:
        tasks = [{module: {"name": f"{NAME}-{{{{ item }}}}", **options(operation)}, "loop": _COUNTER % (count + 1)}]
        return _checked(stage, tasks, operation)

    def hosts(operation: str, count: int) -> float:
        many = replace(stage, hosts=[f"{NAME}-{number}" for number in range(1, count + 1)])
        return _checked(many, [{module: {"name": "{{ inventory_hostname }}", **options(operation)}}], operation)

    yield Contestant(f"{name}, loop", PEER, loop)
    yield Contestant(f"{name}, a host each", PEER, hosts)


def docker(stage: Stage, daemon: Docker, programs: pathlib.Path) -> Iterator[Contestant]:
    """community.docker: no network, no registry, killed at once."""

    def options(operation: str) -> Mapping:
        host = {"docker_host": f"unix://{daemon.socket}"}
        if operation in (STOP, DESTROY):
            return {**host, "state": "stopped" if operation == STOP else "absent", "force_kill": True}
        limit = AFTER if operation == CHANGE else BEFORE
        # With memory alone Docker sets a limit of memory and swap as well, which a change of memory alone may then not pass.
        own = {"image": IMAGE, "command": ["/sbin/init"], "memory": limit, "memory_swap": "-1", "network_mode": "none", "pull": "never"}
        return {**host, **own, "state": "started"}

    return _both_ways("docker_container", replace(stage, environment=_python(programs)), "community.docker.docker_container", options)


def lxc(stage: Stage, folder: pathlib.Path, template: pathlib.Path, programs: pathlib.Path) -> Iterator[Contestant]:
    """community.general: from a template script, on btrfs.

    A clone would need a second task, which starts it. The limit is in the configuration that a container is made with: one that the
    module had to add itself would cost another start. It looks into /var/lib/lxc only, whatever lxc_path says; so the plays see `folder` there.
    """
    script, config, key = folder / "template", folder / "config", f"lxc.cgroup{'' if _v1() else '2'}.memory.{'limit_in_bytes' if _v1() else 'max'}"
    script.write_text(_SCRIPT.format(template), encoding="utf-8")
    script.chmod(0o755)
    lines = ("lxc.include = /usr/share/lxc/config/common.conf", "lxc.net.0.type = empty", f"{key} = {BYTES[BEFORE]}")
    config.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "lxc").mkdir(mode=0o711)

    def options(operation: str) -> Mapping:
        if operation in (STOP, DESTROY):
            return {"state": "stopped" if operation == STOP else "absent"}
        limit = BYTES[AFTER if operation == CHANGE else BEFORE]
        making = {"template": str(script), "config": str(config), "backing_store": "btrfs"}
        return {**making, "container_config": [f"{key} = {limit}"], "state": "started"}

    wrap = ("unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /var/lib/lxc; exec "$@"', str(folder / "lxc"))
    return _both_ways("lxc_container", replace(stage, wrap=wrap, environment=_python(programs)), "community.general.lxc_container", options)


_SCRIPT = """#!/bin/sh -e
for argument; do
    case $argument in --rootfs=*) root=${{argument#--rootfs=}} ;; esac
done
cp -a {}/. "$root"
"""


def _v1() -> bool:
    return not pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()


def _python(programs: pathlib.Path) -> dict[str, str]:
    """Where the node's interpreter finds what Debian has for it, without installing it."""
    return {"PYTHONPATH": str(programs / "usr/lib/python3/dist-packages")}


# -- the floor ----------------------------------------------------------------------------------------------------------


def floors(folder: pathlib.Path, template: pathlib.Path, id_start: int) -> Iterator[Contestant]:
    """A shell loop of btrfs and LXC, and the same side by side. It is a process of its own, so its time is all of it, too."""
    script = pathlib.Path(__file__).parent / "floor.sh"
    words = dict(zip(OPERATIONS, ("create", "unchanged", "change", "stop", "destroy")))

    def floor(jobs: int) -> Callable[[str, int], float]:
        def work(operation: str, count: int) -> float:
            return timed([str(script), words[operation], str(folder), str(template), str(count), str(jobs), str(id_start)])

        return work

    yield Contestant("shell loop", FLOOR, floor(1))
    yield Contestant(f"shell, {machine.cores()} at once", FLOOR, floor(machine.cores()))


def timed(argv: list[str]) -> float:
    """Seconds that a program takes. Raises Failed."""
    started = time.perf_counter()
    run(argv)
    return time.perf_counter() - started
