# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of what is on a server: fetched once, verified, bounded; nothing but HTTP is followed, and what fails is a sentence."""

from __future__ import annotations

import archives
import pytest
import servers
import vps_kit as kit
from archives import NAME, packed, root


@pytest.fixture
def folder(system, tmp_path):
    """What is served: one archive."""
    folder = tmp_path / "served"
    folder.mkdir()
    packed(system, folder / "a.tar.xz", "--xz")
    return folder


def wish(server, folder, **options) -> dict:
    """The options of a template of it."""
    return {"name": NAME, "source": "tarball", "url": f"{server.url}/a.tar.xz", "sha256": archives.sha256(folder / "a.tar.xz"), **options}


def test_it_is_fetched_once(folder):
    """And not in check mode, not when it is there already, not from elsewhere when the content is known."""
    with servers.serving(folder) as server:
        assert kit.ok("vps_template", check=True, **wish(server, folder))["changed"] and not server.asked
        assert kit.ok("vps_template", **wish(server, folder))["changed"]
        assert server.asked == ["/a.tar.xz"]
        assert not kit.ok("vps_template", **wish(server, folder))["changed"]
        assert not kit.ok("vps_template", **wish(server, folder, url=f"{server.url}/other.tar"))["changed"]
        assert server.asked == ["/a.tar.xz"]
    assert (root() / "sbin/init").is_symlink()


def test_what_opens_an_address_is_kept_nowhere(folder):
    """A signed address is another one each hour, and the archive is the same."""
    with servers.serving(folder) as server:
        server.redirects = {"/signed?by=hush": "/a.tar.xz"}
        made = kit.ok("vps_template", **wish(server, folder, url=f"{server.url}/signed?by=hush"))
        assert made["template"]["options"]["url"] == f"{server.url}/signed" and "/a.tar.xz" in server.asked
        assert "hush" not in str((made["changes"], made["diff"])) and "hush" not in (root().parent / "template.json").read_text(encoding="utf-8")
        assert not kit.ok("vps_template", **wish(server, folder, url=f"{server.url}/signed?by=other"))["changed"]


def test_tls_vouches_for_the_server(folder, tmp_path):
    """Whose certificate is not known to the node is refused; `ca_path` makes it known."""
    with servers.serving(folder, tls=tmp_path) as server:
        assert "certificate" in kit.fails("vps_template", **wish(server, folder))
        assert not server.asked
        kit.ok("vps_template", **wish(server, folder, ca_path=str(tmp_path / "ca.pem")))
        (tmp_path / "none.pem").write_text("none", encoding="ascii")
        assert kit.fails("vps_template", **wish(server, folder, name="it-src-u", ca_path=str(tmp_path / "none.pem"))).startswith("ca_path: ")


def test_a_redirect_leads_to_servers_alone(folder, tmp_path):
    """To another path; not to a file, not to what urllib would open besides, not from TLS to none, and not for ever."""
    with servers.serving(folder) as server, servers.serving(folder, tls=tmp_path) as secure:
        server.redirects = {"/to": "/a.tar.xz", "/file": f"file://{folder}/a.tar.xz", "/ftp": "ftp://localhost/a", "/round": "/round", "/data": "data:,x"}
        for path in ("file", "ftp", "round", "data"):
            assert kit.fails("vps_template", **wish(server, folder, url=f"{server.url}/{path}")).startswith(f"url: {server.url}/{path} cannot be fetched")
        secure.redirects = {"/down": f"{server.url}/a.tar.xz"}
        message = kit.fails("vps_template", **wish(server, folder, url=f"{secure.url}/down", ca_path=str(tmp_path / "ca.pem")))
        assert "not followed" in message and "/a.tar.xz" not in server.asked
        kit.ok("vps_template", **wish(server, folder, url=f"{server.url}/to"))


def test_what_fails_is_a_sentence(folder):
    """Not there, cut off, too large, another content, nobody at home; nothing is left of it."""
    with servers.serving(folder) as server:
        assert "404" in kit.fails("vps_template", **wish(server, folder, url=f"{server.url}/none"))
        server.cut = {"/a.tar.xz"}
        assert "only a part" in kit.fails("vps_template", **wish(server, folder))
        server.cut = set()
        (folder / "big").write_bytes(bytes(2 << 20))
        assert "'max_size'" in kit.fails("vps_template", **wish(server, folder, url=f"{server.url}/big", max_size="1M"))
        assert kit.fails("vps_template", **wish(server, folder, url=f"{server.url}/big")).startswith("sha256: ")
    assert "cannot be fetched" in kit.fails("vps_template", **wish(server, folder))
    assert "hush" not in kit.fails("vps_template", **wish(server, folder, url=f"{server.url}/none?signature=hush"))
    assert "cannot be fetched" in kit.fails("vps_template", **wish(server, folder, url="http://no.such.host.invalid/a"))
    assert not root().exists()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://localhost/a", "/etc/passwd", "http://user:word@localhost/a", "http://", "http://a b/"])
def test_addresses_that_are_none(folder, url):
    """Other schemes; and passwords, which a manifest would keep."""
    assert kit.fails("vps_template", name=NAME, source="tarball", url=url, sha256="0" * 64).startswith("url: ")
