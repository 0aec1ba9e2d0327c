# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner of a WordPress site at a browser: logs in, and writes. `PASSWORD=… owner.py HOST USER`; says what came of it as JSON.

The proxy's part, HTTPS, is a header here; so cookies that want it are sent all the same.
"""

from __future__ import annotations

import base64
import datetime
import http.client
import json
import os
import sys
import urllib.parse

PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


class Browser:
    """One who keeps cookies."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.cookies: dict[str, str] = {}
        self.nonce = ""

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        """Status and text of the answer."""
        connection = http.client.HTTPConnection(self.host, timeout=30)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"X-Forwarded-Proto": "https", "Cookie": cookies, "X-WP-Nonce": self.nonce, **more})
        answer = connection.getresponse()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                key, _equals, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
        return answer.status, answer.read().decode(errors="replace")

    def log_in(self, user: str, password: str) -> bool:
        """Whether that was believed."""
        self.cookies["wordpress_test_cookie"] = "WP%20Cookie%20check"
        form = urllib.parse.urlencode({"log": user, "pwd": password, "testcookie": "1"}).encode()
        self.ask("POST", "/wp-login.php", form, Content_Type="application/x-www-form-urlencoded")
        return any(name.startswith("wordpress_logged_in") for name in self.cookies)

    def write(self, kind: str, **what: str) -> tuple[int, dict]:
        """Status, and what has been made."""
        status, text = self.ask("POST", f"/wp-json/wp/v2/{kind}", json.dumps(what).encode(), Content_Type="application/json")
        return status, json.loads(text)

    def send(self, name: str, kind: str, content: bytes) -> tuple[int, dict]:
        """The same of a file."""
        status, text = self.ask(
            "POST", "/wp-json/wp/v2/media", content, Content_Type=kind, Content_Disposition=f'attachment; filename="{name}"'
        )
        return status, json.loads(text)


def path_of(url: str) -> str:
    """Without scheme and host."""
    return urllib.parse.urlsplit(url).path


def main(host: str, user: str, password: str) -> dict:
    """All that an owner does on the first day."""
    if Browser(host).log_in(user, password + "x"):
        return {"logged in": "with a wrong password"}
    browser = Browser(host)
    if not browser.log_in(user, password):
        return {"logged in": False}
    browser.nonce = browser.ask("GET", "/wp-admin/admin-ajax.php?action=rest-nonce")[1]
    page, made = browser.write("pages", title="Über uns", content="Grüße aus dem Blog", status="publish", slug="about")
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    post, later = browser.write("posts", title="Later", content="from the future", status="publish", date_gmt=soon, slug="later")
    picture, sent = browser.send("dot.png", "image/png", PICTURE)
    return {
        "logged in": True,
        "dashboard": browser.ask("GET", "/wp-admin/")[0],
        "program editor": browser.ask("GET", "/wp-admin/plugin-editor.php")[0],
        "plugin installer": browser.ask("GET", "/wp-admin/plugin-install.php?tab=upload")[0],
        "page": [page, path_of(made.get("link", ""))],
        "later": [post, later.get("status"), later.get("id")],
        "picture": [picture, path_of(sent.get("source_url", ""))],
        "program": browser.send("evil.php", "application/x-php", b"<?php phpinfo();")[0] // 100,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], os.environ["PASSWORD"])))
