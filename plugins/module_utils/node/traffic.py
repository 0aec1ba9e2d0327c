# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS's links have carried, over all its starts: the kernel counts for as long as a link is there, and a file for ever.

The node's end is read, so what it got is what the VPS has sent.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from ..core.interfaces import links_of
from ..core.model import Vps
from ..core.units import is_number
from . import devices, files
from .devices import Counted

FILE = "traffic"  # in a VPS's directory: bytes and packets in, bytes and packets out, until the last link went away
_PLACES = (8, 9, 0, 1)  # of the four among what a device counts
_COARSE = 20_000_000  # ns that the clock of a file system may be late


def render_end(vps: Vps, directory: str, lines: Iterable[str] = ()) -> str:
    """The script that LXC runs when the links are about to go: what they have carried is added to what others have before. Then `lines` of shell."""
    return f"""#!/bin/sh
# Written by mainline.vps from vps.json beside it.
[ "$3" = down ] || exit 0
read -r in in_packets out out_packets 2>/dev/null <{directory}/{FILE} || :
while read -r link rx rx_packets _ _ _ _ _ _ tx tx_packets _; do
    case $link in {"|".join(f"{link}:" for link in links_of(vps))}) ;; *) continue ;; esac
    in=$((tx + ${{in:-0}})) in_packets=$((tx_packets + ${{in_packets:-0}}))
    out=$((rx + ${{out:-0}})) out_packets=$((rx_packets + ${{out_packets:-0}}))
done </proc/net/dev
echo "${{in:-0}} ${{in_packets:-0}} ${{out:-0}} ${{out_packets:-0}}" >{directory}/{FILE}.new
mv {directory}/{FILE}.new {directory}/{FILE}
{"".join(f"{line}{chr(10)}" for line in lines)}"""


def read(vps: Vps, directory: str, there: Counted | None) -> dict[str, int]:
    """Bytes and packets that a VPS was sent and has sent, over all its starts. `there` is what the node's devices count; None where it does not run."""
    if there is None:
        return _named(_counted(directory, (), {}))
    with suppress(FileNotFoundError):
        if os.stat(os.path.join(directory, FILE)).st_mtime_ns >= there.since - _COARSE:  # a link went away meanwhile, and what it had carried is in the file
            there = devices.counted()
    return _named(_counted(directory, links_of(vps), there.devices))


def keep(directory: str, links: Collection[str]) -> None:
    """Links of a running VPS are about to go: write down what they have carried."""
    path = os.path.join(directory, FILE)
    files.write(path, " ".join(map(str, _counted(directory, links, devices.counters()))) + "\n")


def _counted(directory: str, links: Collection[str], there: Mapping[str, list[int]]) -> list[int]:
    """What was written down, and what these links have carried since they are there."""
    words = (files.read(os.path.join(directory, FILE)) or "").split()
    counted = [int(word) for word in words] if len(words) == len(_PLACES) and all(map(is_number, words)) else [0] * len(_PLACES)
    for link in links:
        if link in there:
            counted = [before + there[link][place] for before, place in zip(counted, _PLACES)]
    return counted


def _named(counted: Iterable[int]) -> dict[str, int]:
    return dict(zip(("bytes_in", "packets_in", "bytes_out", "packets_out"), counted))
