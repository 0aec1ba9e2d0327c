# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a proxy's sites: that there is one for each, that nginx has the one that there is, and none for what is no site any more.

Runs inside the VPS: by the role mainline.vps.proxy, by a timer for what could not be obtained so far, and by certbot for what it has renewed.

    prepare   a file for each site, if only a placeholder, so that nginx starts whatever happens; the role gives the sites on standard input
    obtain    certificates of the CA where they are missing, or are for other names, and the removal of those that nobody needs
    deploy    what certbot has renewed, for nginx

A site's file is its key and its chain in one, replaced by a rename: nginx never reads one that is half there, or a key that goes with another chain.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

FOLDER = Path("/var/lib/mainline-vps-proxy")
FILES = FOLDER / "certificates"  # what nginx reads
SITES = FOLDER / "sites.json"  # what the role asked for last
FAILURES = FOLDER / "failures.json"  # what could not be had so far, and why
ACCOUNTS = FOLDER / "accounts.json"  # the address that each CA has of us
SECRETS = FOLDER / "certbot.ini"
WEBROOT = Path("/var/www/mainline-vps-proxy")
CERTBOT = Path("/etc/letsencrypt")
HOOK = CERTBOT / "renewal-hooks/deploy/mainline-vps-proxy"
NGINX = Path("/etc/nginx/nginx.conf")
PREFIX = "mainline-vps-proxy-"  # certbot's names of our certificates: those of others are left alone
OURS = "MAINLINE_VPS_PROXY"  # in the environment of a certbot that we have started
BUSY = "Another instance of Certbot is already running"
WAIT = 120  # s, for a certbot that somebody else has started
CHATTER = re.compile(r"Saving debug log|Ask for help|Requesting a certificate|Renewing an existing|Hint:|Some challenges have failed")


@dataclass(frozen=True)
class Site:
    """What is asked for."""

    name: str
    domains: tuple[str, ...]
    acme: bool
    certificate: str | None = None
    key: str | None = None

    @property
    def file(self) -> Path:
        """The file that nginx reads."""
        return FILES / f"{self.name}.pem"


@dataclass
class Report:
    """What was done, or would be, and what was not."""

    check: bool
    changed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def change(self, what: str) -> bool:
        """Note a change; whether it has to be made."""
        self.changed.append(what)
        return not self.check


def main() -> int:
    """Do one of the three; the exit code is 1 when a site has not got its certificate and no role is there to say so."""
    parser = argparse.ArgumentParser(description="Certificates of a proxy's sites")
    parser.add_argument("what", choices=["prepare", "obtain", "deploy"])
    parser.add_argument("--check", action="store_true", help="say what would be done")
    parser.add_argument("--role", action="store_true", help="sites on standard input, and the report as JSON")
    arguments = parser.parse_args()
    os.umask(0o022)  # /var/www may have to be made; secrets are in a folder of root alone
    report = Report(arguments.check)
    wishes = json.load(sys.stdin) if arguments.role else read(SITES, {"sites": []})
    sites = sites_of(wishes)
    if arguments.what == "prepare":
        prepare(wishes, sites, report)
    elif arguments.what == "obtain":
        with locked("obtain"):
            obtain(wishes, sites, report)
    elif OURS not in os.environ:  # else the certbot is ours, and we are waiting for it
        install(sites, report)
    if arguments.role:
        print(json.dumps({"changed": report.changed, "failed": report.failed}))
        return 0
    for line in [*report.changed, *(f"{name}: {why}" for name, why in report.failed.items())]:
        print(line)
    return 1 if report.failed else 0


def sites_of(wishes: dict[str, Any]) -> list[Site]:
    """The sites that a role has asked for."""
    return [Site(**{**site, "domains": tuple(site["domains"])}) for site in wishes["sites"]]


def prepare(wishes: dict[str, Any], sites: list[Site], report: Report) -> None:
    """Remember the sites, and have a file for each. Removes nothing: nginx may still need it."""
    if (read(SITES, None) != wishes or not HOOK.exists()) and report.change("sites are noted"):
        for folder in (FILES, HOOK.parent, WEBROOT):
            folder.mkdir(parents=True, exist_ok=True)
        replace(HOOK, f"#!/bin/sh\nexec /usr/bin/python3 {Path(__file__).resolve()} deploy\n".encode(), mode=0o700)
        replace(SITES, (json.dumps(wishes, indent=1) + "\n").encode())
    with locked("install"):
        for site in sites:
            if not usable(site.file) and report.change(f"{site.name}: a certificate that nginx can start with"):
                replace(site.file, wanted(site, Report(check=False)))


def obtain(wishes: dict[str, Any], sites: list[Site], report: Report) -> None:
    """Have what is asked for, and nothing else."""
    acme, before = wishes["acme"], read(FAILURES, {})
    failures: dict[str, Any] = {}
    for site in (site for site in sites if site.acme):
        why = why_issue(site, acme)
        if why is None:
            continue
        wish = hashlib.sha256(json.dumps([site.domains, acme["directory"], acme["key_type"]]).encode()).hexdigest()
        again = before.get(site.name, {}).get("wish") == wish  # then to try it once more is no change that can be foreseen
        if report.check:
            if not again:
                report.change(f"{site.name}: a certificate of the CA, for {why}")
            continue
        told = issue(site, acme)
        if told is None:
            report.change(f"{site.name}: a certificate of the CA, for {why}")
        else:
            report.failed[site.name] = told
            failures[site.name] = {"wish": wish, "why": told}
    install(sites, report)
    remove(sites, acme, report)
    account(acme, report)
    if failures != before and not report.check:
        replace(FAILURES, (json.dumps(failures, indent=1) + "\n").encode())


def why_issue(site: Site, acme: dict[str, Any]) -> str | None:
    """What is wrong with the certificate that certbot has, or None."""
    chain = live(site.name)
    if chain is None:
        return "it has none"
    leaf = x509.load_pem_x509_certificate(chain)
    if names(leaf) != set(site.domains):
        return "its names are others now"
    if server_of(site.name) != acme["directory"]:
        return "it is of another CA"
    if isinstance(leaf.public_key(), ec.EllipticCurvePublicKey) != (acme["key_type"] == "ecdsa"):
        return "its key is of another type"
    if near_its_end(leaf):
        return "nobody has renewed it"
    return None


def issue(site: Site, acme: dict[str, Any]) -> str | None:
    """Have certbot obtain one. Why it did not, or None."""
    arguments = ["certonly", "--agree-tos", "--server", acme["directory"], "--webroot", "--webroot-path", str(WEBROOT)]
    arguments += ["--cert-name", PREFIX + site.name, "--key-type", acme["key_type"], "--force-renewal", "--renew-with-new-domains"]
    arguments += mail(acme) + [part for domain in site.domains for part in ("-d", domain)]
    if live(site.name) is None:
        sweep(site.name)
    told = certbot(arguments, acme)
    if told is None and why_issue(site, acme) is not None:
        told = "certbot says that it has one, and has not; see /var/log/letsencrypt."
    if told is None:
        accounts = read(ACCOUNTS, {})
        if acme["directory"] not in accounts:
            replace(ACCOUNTS, json.dumps({**accounts, acme["directory"]: acme["email"]}).encode())
    return told


def account(acme: dict[str, Any], report: Report) -> None:
    """Tell the CA another address, if it has one of us that is not ours any more."""
    accounts = read(ACCOUNTS, {})
    if accounts.get(acme["directory"], acme["email"]) == acme["email"]:
        return
    if report.check:
        report.change("the CA has another address")
        return
    told = certbot(["update_account", "--server", acme["directory"], *mail(acme)], acme)
    if told is None:
        replace(ACCOUNTS, json.dumps({**accounts, acme["directory"]: acme["email"]}).encode())
        report.change("the CA has another address")
    else:
        report.failed["proxy_acme_email"] = told


def mail(acme: dict[str, Any]) -> list[str]:
    """Where the CA writes to."""
    return ["--email", acme["email"], "--no-eff-email"] if acme["email"] else ["--register-unsafely-without-email"]


def certbot(arguments: list[str], acme: dict[str, Any]) -> str | None:
    """Run it. What went wrong, or None."""
    command = ["certbot", *arguments, "--non-interactive", "--config", str(SECRETS)]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", OURS: "1"}
    if acme["ca_bundle"]:
        environment["REQUESTS_CA_BUNDLE"] = acme["ca_bundle"]
    deadline = time.monotonic() + WAIT
    while True:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        if done.returncode == 0:
            return None
        if BUSY not in said or time.monotonic() > deadline:
            return what_went_wrong(said)
        time.sleep(2)


def what_went_wrong(said: str) -> str:
    """The CA's own words, where certbot has some, or its last ones."""
    found = re.findall(r"Domain: +(\S+)\s+Type: +(\S+)\s+Detail: +(.+)", said)
    if found:
        return "; ".join(f"{domain}: {detail} ({kind})" for domain, kind, detail in dict.fromkeys(found))
    lines = [line.strip() for line in said.splitlines() if line.strip() and not CHATTER.search(line)]
    return " ".join(lines[-3:]) or "certbot did not say why; see /var/log/letsencrypt."


def install(sites: list[Site], report: Report) -> None:
    """Give nginx what there is, and see that it has it."""
    with locked("install"):
        for site in sites:
            content = wanted(site, report)
            if content != (site.file.read_bytes() if site.file.exists() else None) and report.change(f"{site.name}: another certificate for nginx"):
                replace(site.file, content)
        if any(differs(site, report.check) for site in sites) and report.change("nginx reads its certificates"):
            subprocess.run(["systemctl", "reload", "nginx"], stdin=subprocess.DEVNULL, check=False)  # what has become of it is asked of nginx
            deadline = time.monotonic() + 20
            while (left := [site.name for site in sites if differs(site, report.check)]) and time.monotonic() < deadline:
                time.sleep(0.2)
            for name in left:
                report.failed.setdefault(name, "nginx shows another certificate than there is; `journalctl -u nginx` says why.")


def wanted(site: Site, report: Report) -> bytes:
    """What nginx shall show for a site: what is given, what certbot has, what was there, or what nobody has signed."""
    content: bytes | None = None
    if site.certificate and site.key:
        try:
            content = given(Path(site.certificate), Path(site.key))
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            report.failed.setdefault(site.name, f"{site.certificate} with {site.key} is not taken: {error}.")
    elif site.acme and (chain := live(site.name)):
        content = (CERTBOT / f"live/{PREFIX}{site.name}/privkey.pem").read_bytes() + chain
    if content is not None:
        return content
    try:
        there = site.file.read_bytes()
        leaf = x509.load_pem_x509_certificate(there)
    except (OSError, ValueError):
        return placeholder(site)
    if leaf.issuer != leaf.subject:
        keep = site.acme or site.certificate is not None  # whose successor cannot be had yet: better than none
    else:
        keep = names(leaf) == set(site.domains) and not near_its_end(leaf)
    return there if keep else placeholder(site)


def given(certificate: Path, key: Path) -> bytes:
    """A key and a chain that go together. Raises OSError and ValueError."""
    content = key.read_bytes().rstrip() + b"\n" + certificate.read_bytes().rstrip() + b"\n"
    x509.load_pem_x509_certificate(content)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")  # a key that wants one is refused
    return content


def usable(path: Path) -> bool:
    """Whether a file is a key and a chain that go together."""
    try:
        given(path, path)
    except (OSError, ValueError):
        return False
    return True


def placeholder(site: Site) -> bytes:
    """A certificate that nobody has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, site.domains[0][:64])])
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)
    made = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(days=3650),
    ).add_extension(x509.SubjectAlternativeName([x509.DNSName(domain) for domain in site.domains]), critical=False)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return secret + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def remove(sites: list[Site], acme: dict[str, Any], report: Report) -> None:
    """What belongs to no site any more."""
    kept = {site.name for site in sites if site.acme}
    there = {path.name[len(PREFIX) :] for place in ("live", "archive") for path in (CERTBOT / place).glob(f"{PREFIX}*")}
    there |= {path.stem[len(PREFIX) :] for path in (CERTBOT / "renewal").glob(f"{PREFIX}*.conf")}
    for name in sorted(there - kept):
        if not report.change(f"{name}: its certificate of the CA goes"):
            continue
        if live(name) is None:
            sweep(name)
            continue
        revoke = ["revoke", "--delete-after-revoke", "--reason", "cessationofoperation", "--server", server_of(name)]
        told = certbot([*(revoke if acme["revoke"] else ["delete"]), "--cert-name", PREFIX + name], acme)
        if told is not None:
            report.failed[name] = told
    # A role that runs now may have asked for other sites since this began, and has made their files, which its nginx will start with.
    needed = {site.file for site in (*sites, *([] if report.check else sites_of(read(SITES, {"sites": []}))))}
    for path in sorted(FILES.glob("*.pem")):
        # Whatever has become of the role: nginx would not start without a file that it is told to read.
        if path not in needed and str(path) not in NGINX.read_text(encoding="utf-8") and report.change(f"{path.stem}: its file goes"):
            path.unlink()


def differs(site: Site, check: bool) -> bool:
    """Whether nginx shows another certificate for a site than its file has. In a check, one that it does not show at all is not there yet."""
    domain = site.domains[0].replace("*", "any")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is compared
    try:
        with socket.create_connection(("127.0.0.1", 443), timeout=10) as link, context.wrap_socket(link, server_hostname=domain) as server:
            shown = server.getpeercert(binary_form=True)
    except OSError:
        return not check
    return usable(site.file) and shown != x509.load_pem_x509_certificate(site.file.read_bytes()).public_bytes(serialization.Encoding.DER)


def sweep(name: str) -> None:
    """Remove what somebody, or a run that was killed, has left of a certificate: certbot makes no new one beside it, and removes none that is not whole."""
    (CERTBOT / f"renewal/{PREFIX}{name}.conf").unlink(missing_ok=True)
    for place in ("live", "archive"):
        shutil.rmtree(CERTBOT / place / (PREFIX + name), ignore_errors=True)


def live(name: str) -> bytes | None:
    """The chain that certbot has for a site, or None when there is none that is whole."""
    folder = CERTBOT / f"live/{PREFIX}{name}"
    whole = all((folder / f"{part}.pem").exists() for part in ("fullchain", "privkey", "cert", "chain")) and server_of(name)
    return (folder / "fullchain.pem").read_bytes() if whole else None


def server_of(name: str) -> str:
    """The CA that certbot has a certificate of, or nothing where it does not know."""
    path = CERTBOT / f"renewal/{PREFIX}{name}.conf"
    found = re.search(r"(?m)^server = (.*)$", path.read_text(encoding="utf-8") if path.exists() else "")
    return found[1].strip() if found else ""


def names(leaf: x509.Certificate) -> set[str]:
    """Whom it is for."""
    try:
        return set(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        return set()


def near_its_end(leaf: x509.Certificate) -> bool:
    """Whether a tenth of its life is left, by which a renewal is long due."""
    ends = leaf.not_valid_after_utc if hasattr(leaf, "not_valid_after_utc") else leaf.not_valid_after.replace(tzinfo=datetime.timezone.utc)
    starts = leaf.not_valid_before_utc if hasattr(leaf, "not_valid_before_utc") else leaf.not_valid_before.replace(tzinfo=datetime.timezone.utc)
    return ends - datetime.datetime.now(datetime.timezone.utc) < (ends - starts) / 10


@contextmanager
def locked(what: str) -> Iterator[None]:
    """One at a time. Two locks: certbot waits for `install` in its hook, while an `obtain` may be waiting for certbot."""
    with open(FOLDER / f"{what}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read(path: Path, missing: Any) -> Any:
    """What a file says, or what it would if it were there."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else missing


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """All of it, or what was there."""
    staged = path.with_name(f".{path.name}.new")
    staged.unlink(missing_ok=True)
    with open(staged, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    staged.rename(path)


if __name__ == "__main__":
    sys.exit(main())
