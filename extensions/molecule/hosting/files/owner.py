# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner of a WordPress site at a browser: logs in and writes a page. `PASSWORD=… owner.py DOMAIN`; exit code 0 when it is there."""

from __future__ import annotations

import http.cookiejar
import json
import os
import ssl
import sys
import urllib.parse
import urllib.request

domain = sys.argv[1]
browser = urllib.request.build_opener(
    urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile="/root/roots.pem")),
    urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
)


def ask(path: str, body: bytes | None = None, **headers: str) -> str:
    """The text of the answer."""
    request = urllib.request.Request(f"https://{domain}{path}", body, {name.replace("_", "-"): value for name, value in headers.items()})
    with browser.open(request, timeout=30) as answer:
        return answer.read().decode()


ask("/wp-login.php")
ask("/wp-login.php", urllib.parse.urlencode({"log": "admin", "pwd": os.environ["PASSWORD"], "testcookie": "1"}).encode())
nonce = ask("/wp-admin/admin-ajax.php?action=rest-nonce")
page = {"title": "About", "content": f"Written by the owner of {domain}", "status": "publish", "slug": "about"}
made = json.loads(ask("/wp-json/wp/v2/pages", json.dumps(page).encode(), Content_Type="application/json", X_WP_Nonce=nonce))
print(made["link"])
