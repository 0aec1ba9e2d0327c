# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS's link has carried, over all its starts: the kernel counts for as long as a link is there, and a file for ever.

Document: ABI/testing/sysfs-class-net-statistics of the kernel. The node's end is read, so what it got is what the VPS has sent.
"""

from __future__ import annotations

import os

from ..core.model import Vps
from ..core.places import link_of
from ..core.units import is_number
from . import files

FILE = "traffic"  # in a VPS's directory: bytes and packets in, bytes and packets out, until the last link went away
_NAMES = ("tx_bytes", "tx_packets", "rx_bytes", "rx_packets")


def render_end(directory: str) -> str:
    """The script that LXC runs when a link is about to go: what it has carried is added to what others have before it."""
    return f"""#!/bin/sh
# Written by mainline.vps from vps.json beside it.
[ "$3" = down ] && cd "/sys/class/net/$5/statistics" || exit 0
read -r a b c d 2>/dev/null <{directory}/{FILE} || :
set -- "$(($(cat tx_bytes) + ${{a:-0}}))" "$(($(cat tx_packets) + ${{b:-0}}))" "$(($(cat rx_bytes) + ${{c:-0}}))" "$(($(cat rx_packets) + ${{d:-0}}))"
echo "$*" >{directory}/{FILE}.new && mv {directory}/{FILE}.new {directory}/{FILE}
"""


def read(vps: Vps, directory: str, *, runs: bool) -> dict[str, int]:
    """Bytes and packets that a VPS was sent and has sent, over all its starts."""
    words = (files.read(os.path.join(directory, FILE)) or "").split()
    counted = [int(word) for word in words] if len(words) == len(_NAMES) and all(map(is_number, words)) else [0] * len(_NAMES)
    if runs:
        folder = f"/sys/class/net/{link_of(vps.id_base)}/statistics"
        counted = [before + int(files.read(os.path.join(folder, name)) or 0) for before, name in zip(counted, _NAMES)]
    return dict(zip(("bytes_in", "packets_in", "bytes_out", "packets_out"), counted))
