# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that people use: a web page by curl, a name by dig, an address by arping, against servers that are in a VPS."""

from __future__ import annotations

import subprocess

import net_lab as lab
import pytest
import vps_kit as kit
from conftest import A, ADDRESSES, B, NEW


@pytest.fixture
def serving(started):
    """A VPS with a web server and a name server, published on the node."""
    started()
    kit.container(A, **{**NEW, "publish": [{"host": 8080, "guest": 80}, {"host": 5353, "guest": 53, "proto": "udp"}]})
    kit.shell(A, "mkdir -p /srv; echo hello from a VPS >/srv/page; httpd -p '[::]:80' -h /srv; httpd -p 0.0.0.0:80 -h /srv 2>/dev/null; true")
    host = lab.vps(A)
    server = subprocess.Popen([
        "nsenter", f"--net={host.namespace}", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file",
        "--address=/shop.example/192.0.2.80", "--port=53", "--user=root",
    ])
    yield host
    server.terminate()
    server.wait()


def at(host: lab.Host, *argv: str) -> str:
    """What a program says at a host outside."""
    return kit.run("nsenter", f"--net={host.namespace}", *argv)


@pytest.mark.parametrize("family", [4, 6])
def test_a_page_and_a_name_are_served_through_the_node(serving, family):
    node = lab.NODE.at(family)
    url = f"http://[{node}]:8080/page" if family == 6 else f"http://{node}:8080/page"
    assert at(lab.OUT1, "curl", "--silent", "--show-error", "--max-time", "10", url) == "hello from a VPS\n"
    assert at(lab.OUT1, "dig", f"@{node}", "-p", "5353", "+short", "+tries=1", "+time=5", "shop.example") == "192.0.2.80\n"


def test_nobody_on_its_link_but_the_node_is_there_for_a_vps(serving):
    """The node answers for the way out, and for no neighbour."""
    for address, answers in (("169.254.1.1", 1), (ADDRESSES[B][0], 0)):
        asked = ["nsenter", f"--net={serving.namespace}", "arping", "-c", "1", "-w", "2", "-I", "eth0", "-s", ADDRESSES[A][0], address]
        assert f"Received {answers} response" in subprocess.run(asked, capture_output=True, text=True, check=False).stdout
