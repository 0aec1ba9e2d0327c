# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hash passwords that come on standard input, and keep the hash that is in the file given where it is that of the same password.

In: {address: {"password": text} or {"hash": text}}. Out: {"hashes": {address: hash}, "changed": [address with another one than before]}.
Nothing is written. Python's own crypt is gone with 3.13, so it is that of the system's library, which Dovecot asks too.
"""

import ctypes
import json
import sys

ROUNDS = 50000  # of SHA-512: 30 ms at a login

library = ctypes.CDLL("libcrypt.so.1")
for function in (library.crypt, library.crypt_gensalt):
    function.restype = ctypes.c_char_p
library.crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
library.crypt_gensalt.argtypes = [ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int]


def crypt(password: str, setting: bytes) -> bytes:
    hashed = library.crypt(password.encode(), setting)
    if not hashed or hashed.startswith(b"*"):
        return b""
    return hashed


def main() -> None:
    before = {}
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            for line in file:
                address, _separator, rest = line.partition(":")
                before[address] = rest.partition(":")[0]
    except FileNotFoundError:
        pass
    hashes = {}
    for address, given in json.load(sys.stdin).items():
        old = before.get(address, "")
        if "hash" in given:
            hashes[address] = given["hash"] if given["hash"].startswith("{") else "{CRYPT}" + given["hash"]
            continue
        kept = old[len("{CRYPT}") :].encode() if old.startswith("{CRYPT}") else b""
        if kept and crypt(given["password"], kept) == kept:
            hashes[address] = old
        else:
            hashes[address] = "{CRYPT}" + crypt(given["password"], library.crypt_gensalt(b"$6$", ROUNDS, None, 0)).decode()
    print(json.dumps({"hashes": hashes, "changed": [address for address, new in hashes.items() if before.get(address, new) != new]}))


main()
