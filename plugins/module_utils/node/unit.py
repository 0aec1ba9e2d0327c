# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of a VPS's limits, those that count among siblings or that nothing has without its parents: on v2 they are of its unit too.

Where systemd runs the machine it sets them again at will, so that only systemd may be told of them. And what is guaranteed to VPSs
is guaranteed to the cgroup above all of them. Documents: systemd.resource-control(5), admin-guide/cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

import os

from ..core import controls, unitfiles
from ..core.limits import Limits
from ..core.model import Vps
from . import cgroup, files, tools

PROPERTIES = {"cpu.weight": "CPUWeight", "io.weight": "IOWeight", "memory.min": "MemoryMin", "memory.low": "MemoryLow"}
ONLY_HERE = frozenset({"cpu.weight", "io.weight"})  # within its unit a VPS has no siblings
_GUARANTEES = ("memory.min", "memory.low")
# What is guaranteed to a cgroup holds for those below it, a guest's own, by this option of the mount. systemd sets it; lxcfs, which
# mounts the hierarchy for itself without, takes it away from all. A VPS's unit sets it again before each start.
_INHERIT = ["mount", "-o", f"remount,nsdelegate,{unitfiles.RECURSIVE}", cgroup.MOUNT]


def competes() -> bool:
    """Whether VPSs compete as systemd's units."""
    return cgroup.version() == 2 and tools.has_systemd()


def folder(own: str) -> str:
    """The cgroup of its unit, two levels above a VPS's own, which is in `vps/NAME` below it."""
    return os.path.dirname(os.path.dirname(own))


def start_lines(vps: Vps) -> list[str]:
    """Lines of shell of the start hook that bring into force what is the unit's."""
    if not competes():
        return []
    name, unset = unitfiles.unit_of(vps.name), controls.cgroup_files(Limits(), version=2)
    lines = []
    for file, text in controls.cgroup_files(vps.limits, version=2).items():
        if file in PROPERTIES:
            left = f"/run/systemd/system.control/{name}.d/50-{PROPERTIES[file]}.conf"  # by somebody, since the boot of the machine
            when = f"[ ! -e {left} ] || " if text == unset[file] else ""
            lines.append(f"{when}systemctl set-property --runtime {name} {PROPERTIES[file]}={text}")
    return lines


def write(name: str, texts: dict[str, str]) -> None:
    """Tell systemd of a running VPS's files, as far as they are its unit's."""
    properties = _properties({file: text for file, text in texts.items() if file in PROPERTIES})
    if properties and competes():
        tools.run(["systemctl", "set-property", "--runtime", unitfiles.unit_of(name), *properties])


def guarantees(vps: Vps) -> bool:
    """Whether a VPS has a guarantee, which the cgroup above all VPSs must know of."""
    return cgroup.version() == 2 and any(_guaranteed(vps).values())


def protect(everybody: list[Vps]) -> None:
    """Give the cgroup above all VPSs what is guaranteed to them together: none below has more than its parent."""
    if cgroup.version() == 1:
        return
    sums = {file: sum(_guaranteed(vps)[file] for vps in everybody) for file in _GUARANTEES}
    above = os.path.join(cgroup.MOUNT, unitfiles.SLICE if tools.has_systemd() else os.path.dirname(cgroup.folder("x")))
    now = {file: int((files.read(os.path.join(above, file)) or "0").replace("max", "-1")) for file in _GUARANTEES}
    if now == sums:
        return
    wanted = {file: str(number) for file, number in sums.items()}
    if tools.has_systemd():
        tools.run(["systemctl", "set-property", unitfiles.SLICE, *_properties(wanted)])
        if any(sums.values()) and unitfiles.RECURSIVE not in (files.read("/proc/mounts") or ""):
            tools.run(_INHERIT)
    elif os.path.isdir(above):
        for file, text in wanted.items():
            files.overwrite(os.path.join(above, file), text)


def _guaranteed(vps: Vps) -> dict[str, int]:
    texts = controls.cgroup_files(vps.limits, version=2)
    return {file: int(texts[file]) for file in _GUARANTEES}


def _properties(texts: dict[str, str]) -> list[str]:
    return [f"{PROPERTIES[file]}={text}" for file, text in texts.items()]
