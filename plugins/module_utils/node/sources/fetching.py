# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting what a template is made from, from a server or from the node, into a file that nobody else writes to; and verifying it there."""

from __future__ import annotations

import hashlib
import os
import ssl
import stat
import time
import urllib.error
import urllib.request
from errno import EDQUOT, ENOSPC
from http.client import HTTPException
from typing import IO

from ...core.errors import VpsError, shown
from ...core.locations import lasting
from ...core.units import format_size
from .. import tools

_SILENCE = 60  # s without a byte
_LONGEST = 4 * 3600  # s for one file
_PIECE = 1 << 20
_REDIRECTS = 10


def fetch(location: str, into: str, *, option: str, limit: int, ca_path: str | None = None) -> str:
    """Copy a file of the node's, or what is at an address, into a new file; gives its SHA-256. At most `limit` bytes. Errors name `option`."""
    if location.startswith("/"):
        return _copy(location, into, option, limit)
    return _download(location, into, option, limit, ca_path)


def verify(digest: str, wanted: str, what: str, *, option: str = "sha256") -> None:
    """Raise VpsError where a content is not the one that was asked for."""
    if digest != wanted:
        raise VpsError(f"{option}: {what} has the SHA-256 {digest}, and not {wanted}; somebody has changed it, or the playbook is of another one.")


def verify_signature(path: str, signature: str, keyring: str) -> None:
    """Raise VpsError where none of a keyring's keys has made a file's detached signature (gpgv(1)). All are files of the node's."""
    tools.require(("gpgv",))
    ring = keyring
    with open(keyring, "rb") as file:
        armoured = file.read(64).lstrip().startswith(b"-----BEGIN")
    if armoured:  # gpgv takes the other form only
        tools.require(("gpg",))
        ring = path + ".gpg"
        tools.run(["gpg", "--batch", "--no-options", "--no-default-keyring", "--homedir", os.path.dirname(path), "--output", ring, "--dearmor", keyring])
    code, output = tools.attempt(["gpgv", "--homedir", os.path.dirname(path), "--keyring", ring, signature, path], timeout=600)
    if code != 0:
        raise VpsError(f"signature: it is not one of a key in the 'keyring' for this content: {tools.last_words(output).rstrip('.')}.", output=output[-4000:])


def _copy(path: str, into: str, option: str, limit: int) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise VpsError(f"{option}: {path} on the node cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise VpsError(f"{option}: {path} on the node is no file.")
    with open(descriptor, "rb") as file:
        return _pour(file, into, path, option, limit)


def _download(url: str, into: str, option: str, limit: int, ca_path: str | None) -> str:
    reason: object = None
    named = lasting(url)
    try:
        with _opener(ca_path).open(urllib.request.Request(url, headers={"User-Agent": "mainline.vps"}), timeout=_SILENCE) as answer:
            length = answer.headers.get("Content-Length", "")
            if length.isdecimal() and len(length) < 20 and int(length) > limit:
                raise VpsError(f"{option}: {named} has {format_size(int(length))}, and 'max_size' allows {format_size(limit)}.")
            digest = _pour(answer, into, named, option, limit)
            if length.isdecimal() and os.stat(into).st_size != int(length):
                raise VpsError(f"{option}: the server sent only a part of {named}; try again.")
            return digest
    except urllib.error.HTTPError as error:
        reason = "it leads to an address that is not followed" if 300 <= error.code < 400 else f"HTTP {error.code} {shown(error.reason)}"
    except urllib.error.URLError as error:
        untrusted = getattr(error.reason, "verify_message", None)
        reason = f"its certificate is not trusted ({untrusted})" if untrusted else getattr(error.reason, "strerror", None) or error.reason
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, OSError) and (error.filename or error.errno in (ENOSPC, EDQUOT)):  # of a file of ours, and not of the network's
            raise
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise VpsError(f"{option}: {named} cannot be fetched: {' '.join(str(reason).split())[:200].rstrip('.')}; look whether the address is right.")


def _pour(source: IO[bytes], into: str, what: str, option: str, limit: int) -> str:
    digest, size, deadline = hashlib.sha256(), 0, time.monotonic() + _LONGEST
    with open(os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        while piece := source.read(_PIECE):
            size += len(piece)
            if size > limit:
                raise VpsError(f"{option}: {what} is larger than 'max_size' allows ({format_size(limit)}).")
            if time.monotonic() > deadline:
                raise VpsError(f"{option}: {what} did not come within {_LONGEST} seconds; try again.")
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To other servers, but never to a file of the node's, nor from where TLS vouches for the content to where nobody does."""

    max_redirections = _REDIRECTS

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        """Follow, or refuse."""
        if not newurl.startswith(("https://", "http://")[: 1 if req.full_url.startswith("https://") else 2]):
            raise urllib.error.URLError(f"it leads to {shown(newurl)}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(ca_path: str | None) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS, through a proxy where the task's environment names one, and nothing else that urllib knows."""
    try:
        context = ssl.create_default_context(cafile=ca_path)
    except OSError as error:
        raise VpsError(f"ca_path: {ca_path} on the node cannot be read as certificates: {error.strerror or error}.") from None
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(), _Redirects(), urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
