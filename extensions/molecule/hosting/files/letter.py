# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a letter and reads it. `PASSWORD=… OTHER=… letter.py MAIL-HOST FROM TO`; prints what has arrived."""

from __future__ import annotations

import email.message
import imaplib
import os
import smtplib
import ssl
import sys
import time
import uuid

host, sender, recipient = sys.argv[1:]
context = ssl.create_default_context(cafile="/root/roots.pem")
letter = email.message.EmailMessage()
subject = uuid.uuid4().hex
letter["From"], letter["To"], letter["Subject"] = sender, recipient, subject
letter.set_content("Two loaves, please.")
with smtplib.SMTP(host, 587, timeout=30) as server:
    server.starttls(context=context)
    server.login(sender, os.environ["PASSWORD"])
    server.send_message(letter)
with imaplib.IMAP4_SSL(host, 993, ssl_context=context, timeout=30) as box:
    box.login(recipient, os.environ["OTHER"])
    for _attempt in range(60):
        box.select("INBOX", readonly=True)
        (found,) = box.search(None, "SUBJECT", subject)[1]
        if found:
            print(box.fetch(found.split()[-1], "(RFC822)")[1][0][1].decode())
            sys.exit(0)
        time.sleep(1)
sys.exit("it has not arrived")
