# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says who it is, and what it was asked with."""

from __future__ import annotations

import http.server
import json
import platform


class Handler(http.server.BaseHTTPRequestHandler):
    """Whatever is asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        text = json.dumps({"me": platform.node(), **{name.lower(): value for name, value in self.headers.items()}}) + "\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_GET


http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
