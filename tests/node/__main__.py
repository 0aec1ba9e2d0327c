# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shell on a stock machine, for people: `make node-shell RELEASE=trixie`. The machine goes when the shell ends."""

from __future__ import annotations

import subprocess
import sys

from . import machine
from .image import USER, image, say
from .play import write_inventory

machine.sweep()
with machine.Machine(image(sys.argv[1])) as node:
    node.resume()
    say(f"Ansible reaches it with: -i {write_inventory(node.folder / 'inventory.yml', {'node': node})}")
    sys.exit(subprocess.call(["ssh", *node.ssh_options(), "-t", f"{USER}@127.0.0.1", *sys.argv[2:]]))
