# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our units, where systemd runs the machine: whether they are enabled and loaded, and making them so.

Documents: systemctl(1), networkctl(1), org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import os
from contextlib import suppress

from ..core.machine import Boot
from ..core.places import BOOT_UNIT, NETWORK_UNIT, RUNTIME, SLICE
from . import tools

PATIENCE = 120  # s, for a daemon-reload of a busy machine
_ASKED = "UnitFileState,ActiveState,NeedDaemonReload"
_OTHERS = ("lxc.service", "nftables.service")  # of whose files some are ours


def read() -> Boot | None:
    """What systemd says; None where it does not run the machine."""
    if not tools.has_systemd():
        return None
    said = tools.run(["systemctl", "show", f"--property={_ASKED}", NETWORK_UNIT, BOOT_UNIT, *_OTHERS])
    network, boot, *others = (dict(line.split("=", 1) for line in block.splitlines()) for block in said.strip().split("\n\n"))
    fresh = all(unit["NeedDaemonReload"] == "no" for unit in (network, boot, *others))
    return Boot(
        enabled=all(unit["UnitFileState"] == "enabled" for unit in (network, boot)),
        loaded=fresh and network["ActiveState"] == "active",
        started=boot["ActiveState"] in ("active", "activating"),
    )


def failed() -> tuple[str, ...] | None:
    """Our units, of VPSs and of the node, that have failed; None where systemd does not run the machine."""
    if not tools.has_systemd():
        return None
    listed = tools.run(["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager", "vps@*", "vps-*"])
    return tuple(line.split()[0] for line in listed.splitlines() if line.strip())


def reload() -> None:
    """Have systemd read its files, and those that it makes of fstab, again."""
    if tools.has_systemd():
        tools.run(["systemctl", "daemon-reload"], timeout=PATIENCE)


def enable(*, autostart: bool) -> None:
    """For the next boot and for now. `autostart`: the VPSs that start with the node too."""
    reload()
    tools.run(["systemctl", "enable", NETWORK_UNIT, BOOT_UNIT], timeout=PATIENCE)
    tools.run(["systemctl", "restart", NETWORK_UNIT], timeout=PATIENCE)
    if autostart:
        tools.run(["systemctl", "start", BOOT_UNIT], timeout=PATIENCE)
    if tools.attempt(["systemctl", "is-active", "--quiet", "systemd-networkd.service"])[0] == 0:
        tools.run(["networkctl", "reload"])  # it reads what it is not to manage at its start only


def disable() -> None:
    """Neither now nor at the next boot. One by one: somebody may have taken away one of them."""
    for unit in (BOOT_UNIT, NETWORK_UNIT):
        tools.attempt(["systemctl", "disable", "--now", unit], timeout=PATIENCE)
    tools.attempt(["systemctl", "revert", SLICE])  # of what was guaranteed to all VPSs together
    with suppress(OSError):  # somebody has put something into it
        os.rmdir(RUNTIME)
