# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person's mail program does, or somebody's server: one thing, which comes as JSON on standard input. Prints what has come of it."""

import imaplib
import json
import re
import smtplib
import ssl
import sys
import time
from base64 import b64encode
from email import message_from_bytes
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import dkim

TRIES = 40  # half a second each: a message is on its way


def sent(do: dict, tls: ssl.SSLContext) -> str:
    message = EmailMessage()
    message["From"] = do.get("header", do["from"])
    message["To"] = do["to"]
    message["Subject"] = do["subject"]
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="client.example")
    message.set_content(do.get("text", "Hello.") + "\n" + ("x" * 63 + "\n") * (do.get("size", 0) // 64))
    port = do.get("port", 25)
    if port == 465:
        server = smtplib.SMTP_SSL(do["server"], port, local_hostname="client.example", context=tls, timeout=60)
    else:
        server = smtplib.SMTP(do["server"], port, local_hostname="client.example", timeout=60)
    with server:
        if port == 587 and do.get("tls", True):
            server.starttls(context=tls)
        if "user" in do:
            logged_in(server, do)
        server.sendmail(do["from"], [do["to"]], message.as_bytes())
    return "sent"


def logged_in(server: smtplib.SMTP, do: dict) -> None:
    """As smtplib does, which knows passwords of ASCII alone."""
    server.ehlo_or_helo_if_needed()
    if not server.has_extn("auth"):
        raise smtplib.SMTPNotSupportedError("nobody can log in here")
    code, text = server.docmd("AUTH", "PLAIN " + b64encode(f"\0{do['user']}\0{do['password']}".encode()).decode())
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, text)


def read(do: dict, tls: ssl.SSLContext) -> str:
    with imaplib.IMAP4_SSL(do["server"], 993, ssl_context=tls, timeout=60) as box:
        box.authenticate("PLAIN", lambda _: f"\0{do['user']}\0{do['password']}".encode())
        while "hold" in do:
            time.sleep(0.5)
            box.noop()
        if "subject" not in do:
            return "logged in"
        for _try in range(TRIES):
            if box.select(do.get("folder", "INBOX"))[0] == "OK":
                found = box.search(None, "SUBJECT", f'"{do["subject"]}"')[1][0].split()
                if found:
                    return looked_at(box.fetch(found[-1], "(RFC822)")[1][0][1], do.get("zone", ""))
            time.sleep(0.5)
    return "not there"


def looked_at(raw: bytes, zone: str) -> str:
    """Who has signed it, by the records that the role has written down, and what it says."""
    records = {}
    for name, words in re.findall(r"^(\S+) IN TXT (.*)$", zone, re.MULTILINE):
        records[name] = "".join(re.findall(r'"([^"]*)"', words)).encode()
    message = message_from_bytes(raw)
    signer = "nobody"
    if message["DKIM-Signature"]:
        signer = re.search(r"\bd=([^;\s]+)", message["DKIM-Signature"])[1]
        if not dkim.verify(raw, dnsfunc=lambda name, timeout=5: records.get(name.decode(), b"")):
            signer = f"somebody who is not {signer}"
        if dkim.verify(raw.replace(b"Hello", b"Hallo"), dnsfunc=lambda name, timeout=5: records.get(name.decode(), b"")):
            signer = "anybody"
    return f"signed by {signer}: {message.get_payload().split()[0]}"


def main() -> None:
    do = json.load(sys.stdin)
    tls = ssl.create_default_context(cadata=do["certificate"])
    try:
        print(sent(do, tls) if "from" in do else read(do, tls))
    except (smtplib.SMTPException, imaplib.IMAP4.error, OSError) as error:
        print(f"{type(error).__name__}: {error}")


main()
