# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes mail, and prints it. As little of SMTP as that takes; Python has no server for it any more."""

from __future__ import annotations

import socketserver


class Handler(socketserver.StreamRequestHandler):
    """Whoever brings some."""

    def answer(self, text: str) -> None:
        """A line of ours."""
        self.wfile.write(f"{text}\r\n".encode())

    def handle(self) -> None:
        """All that is said."""
        self.answer("220 mail")
        for line in self.rfile:
            word = line.strip().upper()
            if word == b"QUIT":
                self.answer("221 bye")
                return
            if word == b"DATA":
                self.answer("354 go on")
                while (line := self.rfile.readline()) not in (b"", b".\r\n"):
                    print(line.decode("utf-8", "replace").rstrip(), flush=True)
            self.answer("250 mail")


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", 2525), Handler).serve_forever()
