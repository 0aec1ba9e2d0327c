# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of files for the tests, with or without TLS, that does what it is told and remembers what it was asked."""

from __future__ import annotations

import http.server
import pathlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import vps_kit as kit


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder. `redirects` are other addresses by paths, `cut` paths of which half is sent; `asked` is what was asked for."""

    def __init__(self, folder: pathlib.Path, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.context = context
        self.redirects: dict[str, str] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """Its address, without a slash at its end."""
        return f"{'https' if self.context else 'http'}://localhost:{self.server_port}"

    def finish_request(self, request, client_address) -> None:
        """In the connection's own thread: who does not shake hands keeps nobody waiting."""
        if self.context:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except (ssl.SSLError, OSError):
                return
        self.RequestHandlerClass(request, client_address, self)

    def handle_error(self, request, client_address) -> None:
        """Who hangs up is no error of ours."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """A file, a part of one, or another address."""
        server = self.server
        server.asked.append(self.path)
        if self.path in server.redirects:
            self.send_response(302)
            self.send_header("Location", server.redirects[self.path])
            self.end_headers()
            return
        file = server.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path in server.cut else content)

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@contextmanager
def serving(folder: pathlib.Path, tls: pathlib.Path | None = None) -> Iterator[Server]:
    """Serve a folder while something is done. `tls` is a folder for a certificate, `ca.pem`, that is made for it."""
    context = None
    if tls is not None:
        if not (tls / "ca.pem").exists():
            names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
            key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(tls / "key.pem")]
            kit.run("openssl", "req", "-x509", "-days", "2", *key, "-out", str(tls / "ca.pem"), *names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "ca.pem", tls / "key.pem")
    server = Server(folder, context)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
