# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of a VPS's limits, those that count among siblings or that nothing has without its parents: on v2 they are of its unit too.

Where systemd runs the machine it sets them again at will, so that only systemd may be told of them. And what is guaranteed to VPSs
is guaranteed to the cgroup above all of them. Documents: systemd.resource-control(5), admin-guide/cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

import os

from ..core import controls, places
from ..core.limits import Limits
from ..core.model import Vps
from . import cgroup, files, tools

PROPERTIES = {"cpu.weight": "CPUWeight", "io.weight": "IOWeight", "memory.min": "MemoryMin", "memory.low": "MemoryLow"}
ONLY_HERE = frozenset({"cpu.weight", "io.weight"})  # within its unit a VPS has no siblings
_GUARANTEES = ("memory.min", "memory.low")
# What is guaranteed to a cgroup holds for those below it, a guest's own, by this option of the mount. systemd sets it; lxcfs, which
# mounts the hierarchy for itself without, takes it away from all. A VPS's unit sets it again before each start.
_INHERIT = ["mount", "-o", f"remount,nsdelegate,{places.RECURSIVE}", cgroup.MOUNT]


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
    name, unset = places.unit_of(vps.name), controls.cgroup_files(Limits(), version=2)
    lines = []
    for file, text in controls.cgroup_files(vps.limits, version=2).items():
        if file in PROPERTIES:
            left = f"/run/systemd/system.control/{name}.d/50-{PROPERTIES[file]}.conf"  # by somebody, since the boot of the machine
            when = f"[ ! -e {left} ] || " if text == unset[file] else ""
            if _for_bfq(file, text) != text:
                when = f"weight={text}; [ ! -e {_bfq(vps.name)} ] || weight={_for_bfq(file, text)}\n"
                text = "$weight"
            lines.append(f"{when}systemctl set-property --runtime {name} {PROPERTIES[file]}={text}")
    return lines


def write(name: str, texts: dict[str, str]) -> None:
    """Tell systemd of a running VPS's files, as far as they are its unit's."""
    if not competes():
        return
    shares_by_bfq = os.path.exists(_bfq(name))
    own = {file: _for_bfq(file, text) if shares_by_bfq else text for file, text in texts.items() if file in PROPERTIES}
    properties = [f"{PROPERTIES[file]}={text}" for file, text in own.items()]
    if properties:
        tools.run(["systemctl", "set-property", "--runtime", places.unit_of(name), *properties])


def guarantees(vps: Vps) -> bool:
    """Whether a VPS has a guarantee, which the cgroup above all VPSs must know of."""
    return competes() and any(_guaranteed(vps).values())


def protect(everybody: list[Vps]) -> None:
    """Give the cgroup above all VPSs what is guaranteed to them together: none below has more than its parent."""
    if not competes():
        return
    wanted = {PROPERTIES[file]: str(sum(_guaranteed(vps)[file] for vps in everybody)) for file in _GUARANTEES}
    said = tools.run(["systemctl", "show", f"--property={','.join(wanted)}", places.SLICE])
    if dict(line.split("=", 1) for line in said.splitlines()) == wanted:
        return
    tools.run(["systemctl", "set-property", places.SLICE, *(f"{name}={text}" for name, text in wanted.items())])
    if any(text != "0" for text in wanted.values()) and places.RECURSIVE not in (files.read("/proc/mounts") or ""):
        tools.run(_INHERIT)


def _bfq(name: str) -> str:
    """The file that is there where the scheduler bfq shares disks by the weights of units."""
    return os.path.join(cgroup.MOUNT, places.cgroup_of(name), "io.bfq.weight")


def _for_bfq(file: str, text: str) -> str:
    """systemd's weight for a weight of bfq's: it maps its 100 to 10000 on the 100 to 1000 of that (its BFQ_WEIGHT)."""
    return str(100 + (int(text) - 100) * 11) if file == "io.weight" and int(text) > 100 else text


def _guaranteed(vps: Vps) -> dict[str, int]:
    texts = controls.cgroup_files(vps.limits, version=2)
    return {file: int(texts[file]) for file in _GUARANTEES}
