# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small web server: tells which release it is, what it was given, and what it can do."""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import pwd
import sys

RELEASE = pathlib.Path("release.txt").read_text().strip()
DATA = pathlib.Path.home()


def can(do: object, *of: object) -> bool:
    try:
        return bool(do(*of))  # type: ignore[operator]
    except OSError:
        return False


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        visits = DATA / "visits"
        visits.write_text(str(int(visits.read_text() if visits.exists() else 0) + 1))
        told = {
            "release": RELEASE,
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "greeting": os.environ.get("GREETING"),
            "secret": os.environ.get("SECRET"),
            "arguments": sys.argv[2:],
            "workers": os.environ.get("WEB_CONCURRENCY"),
            "visits": int(visits.read_text()),
            "prepared": (DATA / "prepared").exists(),
            "changes itself": can(pathlib.Path("release.txt").write_text, "x"),
            "reads its environment's file": can(os.listdir, "/etc/mainline-vps-app"),
            "writes elsewhere": can(pathlib.Path("/run/lock/x").write_text, "x"),
            "neighbours": sorted(os.listdir("/srv/app")),
            "gains": "NoNewPrivs:\t1" not in pathlib.Path("/proc/self/status").read_text(),
        }
        if self.path == "/eat":
            told["eaten"] = len(bytearray(os.urandom(1 << 20)) * 400)
        self.send_response(500 if RELEASE == "three" else 200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())


http.server.HTTPServer(("", int(sys.argv[1])), Answer).serve_forever()
