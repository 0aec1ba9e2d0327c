# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One question to the kernel's packet filter, which every task on a running VPS asks.

`nft list chain` reads the whole table before it answers: 20 ms with fifty VPSs, 0.3 s with three hundred. Documents: netlink(7),
linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

_NETFILTER = 12  # NETLINK_NETFILTER, for which Python has a name from 3.12 on
_GETCHAIN, _NEWCHAIN = 10 << 8 | 4, 10 << 8 | 3  # of NFNL_SUBSYS_NFTABLES
_REQUEST, _ERROR = 1, 2
FAMILIES = {"inet": 1, "bridge": 7}  # NFPROTO_INET, NFPROTO_BRIDGE
_TABLE, _NAME = 1, 3  # NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME
_PATIENCE = 5.0  # s


def has_chain(table: str, chain: str, family: str = "inet") -> bool:
    """Whether a table of a family has a chain of this name; raises OSError where the kernel does not say."""
    body = struct.pack("!BBH", FAMILIES[family], 0, 0) + _attribute(_TABLE, table) + _attribute(_NAME, chain)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as kernel:
        kernel.settimeout(_PATIENCE)
        kernel.bind((0, 0))
        kernel.send(struct.pack("=IHHII", 16 + len(body), _GETCHAIN, _REQUEST, 1, 0) + body)
        answer = kernel.recv(65536)
    kind = struct.unpack_from("=H", answer, 4)[0]
    if kind == _NEWCHAIN:
        return True
    number = -struct.unpack_from("=i", answer, 16)[0] if kind == _ERROR else 0
    if number != errno.ENOENT:
        raise OSError(number, os.strerror(number), "nf_tables")
    return False


def _attribute(kind: int, text: str) -> bytes:
    value = text.encode() + b"\0"
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
