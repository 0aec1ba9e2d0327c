# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the role proxy: which certificate a site shows, and what is said of one that cannot be had."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

PROGRAM = Path(__file__).parents[2] / "roles/proxy/files/certificates.py"
ACME = {"directory": "https://ca.example.com/dir", "email": "", "key_type": "ecdsa", "ca_bundle": "", "revoke": False}


@pytest.fixture
def program(monkeypatch, tmp_path):
    """It, with folders of its own."""
    spec = importlib.util.spec_from_file_location("certificates", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "certificates", module)  # its dataclasses look for it there
    spec.loader.exec_module(module)
    (tmp_path / "certificates").mkdir()
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "FILES", tmp_path / "certificates")
    monkeypatch.setattr(module, "SITES", tmp_path / "sites.json")
    monkeypatch.setattr(module, "CERTBOT", tmp_path / "letsencrypt")
    monkeypatch.setattr(module, "HOOK", tmp_path / "letsencrypt/hooks/ours")
    monkeypatch.setattr(module, "WEBROOT", tmp_path / "www")
    return module


def site(program, *, acme=False, domains=("shop.example.com",), **given):
    return program.Site(name="shop", domains=tuple(domains), acme=acme, **given)


def issued(program, *, domains=("shop.example.com",), server=ACME["directory"], whole=True):
    """As if certbot had one, which here nobody has signed but itself."""
    folder = program.CERTBOT / f"live/{program.PREFIX}shop"
    folder.mkdir(parents=True)
    text = program.placeholder(site(program, domains=domains))
    at = text.index(b"-----BEGIN CERTIFICATE")
    for part, content in {"privkey": text[:at], "fullchain": text[at:], "cert": text[at:], "chain": b""}.items():
        if whole or part != "chain":
            (folder / f"{part}.pem").write_bytes(content)
    renewal = program.CERTBOT / f"renewal/{program.PREFIX}shop.conf"
    renewal.parent.mkdir()
    renewal.write_text(f"[renewalparams]\nserver = {server}\n", encoding="utf-8")
    return text


def files_of(path):
    return sorted(str(each.relative_to(path)) for each in path.rglob("*"))


def test_a_new_site_gets_a_file_that_a_server_starts_with_and_keeps_it(program):
    report = program.Report(check=False)
    program.prepare({"sites": []}, [site(program)], report)
    first = site(program).file.read_bytes()
    assert program.usable(site(program).file)
    assert site(program).file.stat().st_mode & 0o777 == 0o600
    assert "shop: a certificate that nginx can start with" in report.changed
    again = program.Report(check=False)
    program.prepare({"sites": []}, [site(program)], again)
    assert site(program).file.read_bytes() == first and again.changed == []


def test_a_check_writes_nothing_but_its_lock(program, tmp_path):
    report = program.Report(check=True)
    program.prepare({"sites": []}, [site(program)], report)
    assert files_of(tmp_path) == ["certificates", "install.lock"]
    assert len(report.changed) == 2


def test_a_file_that_is_half_there_is_made_anew(program):
    whole = program.placeholder(site(program))
    site(program).file.write_bytes(whole[: len(whole) // 2])
    program.prepare({"sites": []}, [site(program)], program.Report(check=False))
    assert program.usable(site(program).file)


def test_what_nobody_has_signed_is_made_anew_for_other_names(program):
    site(program).file.write_bytes(program.placeholder(site(program)))
    other = site(program, domains=["shop.example.com", "shop.example.net"])
    assert program.wanted(site(program), program.Report(check=False)) == site(program).file.read_bytes()
    assert program.wanted(other, program.Report(check=False)) != site(program).file.read_bytes()


def test_the_certificate_of_the_ca_is_shown_with_its_key(program):
    assert program.wanted(site(program, acme=True), program.Report(check=False)) != b""
    text = issued(program)
    assert program.wanted(site(program, acme=True), program.Report(check=False)) == text


def test_one_that_certbot_has_in_part_is_none(program):
    issued(program, whole=False)
    assert program.live("shop") is None
    assert program.why_issue(site(program, acme=True), ACME) == "it has none"


@pytest.mark.parametrize(
    ("domains", "changed", "why"),
    [
        (["shop.example.com"], {}, None),
        (["shop.example.com", "www.shop.example.com"], {}, "its names are others now"),
        (["shop.example.com"], {"directory": "https://other.example.com/dir"}, "it is of another CA"),
        (["shop.example.com"], {"key_type": "rsa"}, "its key is of another type"),
    ],
)
def test_another_one_is_obtained_where_what_is_asked_for_is_another(program, domains, changed, why):
    issued(program)
    assert program.why_issue(site(program, acme=True, domains=domains), {**ACME, **changed}) == why


def test_one_that_is_given_has_to_go_with_its_key(program, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.pem").write_bytes(program.placeholder(site(program)))
    right = site(program, certificate=str(tmp_path / "one.pem"), key=str(tmp_path / "one.pem"))
    wrong = site(program, certificate=str(tmp_path / "one.pem"), key=str(tmp_path / "two.pem"))
    report = program.Report(check=False)
    assert (tmp_path / "one.pem").read_bytes().strip() in program.wanted(right, report) and not report.failed
    content = program.wanted(wrong, report)
    assert "is not taken" in report.failed["shop"]
    site(program).file.write_bytes(content)
    assert program.usable(site(program).file), "the site would have nothing to show"


def test_what_the_ca_says_is_told_once_and_chatter_is_not(program):
    said = """Saving debug log to /var/log/letsencrypt/letsencrypt.log
Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  Domain: shop.example.com
  Type:   dns
  Detail: DNS problem: NXDOMAIN looking up A for shop.example.com

  Domain: shop.example.com
  Type:   dns
  Detail: DNS problem: NXDOMAIN looking up A for shop.example.com

Some challenges have failed.
"""
    assert program.what_went_wrong(said) == "shop.example.com: DNS problem: NXDOMAIN looking up A for shop.example.com (dns)"
    assert program.what_went_wrong("Saving debug log to /x\nThe server is down.\nAsk for help at y\n") == "The server is down."
    assert "did not say why" in program.what_went_wrong("Saving debug log to /x\n")


def test_the_file_of_a_site_that_a_role_asks_for_meanwhile_stays(program, monkeypatch, tmp_path):
    monkeypatch.setattr(program, "NGINX", tmp_path / "nginx.conf")
    program.NGINX.write_text("", encoding="utf-8")
    wanted = site(program)
    program.prepare({"sites": [{"name": "shop", "domains": ["shop.example.com"], "acme": False}]}, [wanted], program.Report(check=False))
    program.remove([], ACME, program.Report(check=False))  # by a timer that began before
    assert wanted.file.exists()
    foreseen = program.Report(check=True)
    program.remove([], ACME, foreseen)  # by a role that has it no more
    assert foreseen.changed == ["shop: its file goes"]
    program.prepare({"sites": []}, [], program.Report(check=False))
    program.remove([], ACME, program.Report(check=False))
    assert not wanted.file.exists()
