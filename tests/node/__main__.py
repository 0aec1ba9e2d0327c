# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shell on a stock machine, for people: `make node-shell RELEASE=trixie`. The machine goes when the shell ends.

It may be rebooted from inside: the shell comes back. Killed with SIGKILL, this leaves a folder, which the next run removes.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from . import machine
from .image import USER, image, say
from .play import write_inventory

_LOST = 255  # what ssh exits with where it lost the connection


def shell(release: str, *command: str) -> int:
    """Run a shell or a command there, until it ends or the machine does; gives its exit code."""
    machine.sweep()
    with machine.Machine(image(release)) as node:
        node.resume()
        inventory = write_inventory(node.folder / "inventory.yml", {"node": node})
        say(f"from another terminal: ansible-playbook -i {inventory} playbooks/quickstart.yml -e quickstart_hosts=node")
        while (code := subprocess.call(["ssh", *node.ssh_options(), "-t", f"{USER}@127.0.0.1", *command])) == _LOST and node.is_on and not command:
            say("the machine is rebooting")
            node.wait()
        return code


for end in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(end, lambda number, _frame: sys.exit(128 + number))
try:
    sys.exit(shell(*sys.argv[1:]))
except KeyboardInterrupt:
    sys.exit(128 + signal.SIGINT)
except (RuntimeError, AssertionError) as error:
    sys.exit(f"node-shell: {error}")
