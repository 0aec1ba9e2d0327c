# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What else a machine may have for its network: each does its work, and VPSs keep theirs."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.tests.node.conftest import ROLE
from ansible_collections.mainline.vps.tests.node.play import play

pytestmark = pytest.mark.long
ASK = "nslookup deb.debian.org 10.0.2.3"  # QEMU's; ufw lets pings pass
LINK = "vps10752"  # of the first VPS
ROUTES = f"ip -4 route show dev {LINK}; ip -4 address show dev {LINK}; ip -4 neighbour show proxy"


@pytest.fixture(scope="module")
def web(node):
    """A node with one VPS that reaches the world."""
    task = {"name": "web", "template": "minimal", "addresses": ["10.90.0.10"], "wait": "network"}
    done = play(node, [{"mainline.vps.vps_container": task}])
    assert done.results[0]["result"]["vps"]["host_interface"] == LINK
    assert reaches(node)
    yield node
    play(node, [{"mainline.vps.vps_container": {"name": "web", "state": "absent"}}])


def reaches(node, *, seconds: int = 20) -> bool:
    """Whether the VPS reaches somebody outside, with the node's address, and the node reaches the VPS."""
    script = f"timeout {seconds} lxc-attach --name=web --clear-env -- /bin/busybox {ASK} >/dev/null && ping -c 1 -W 5 -q 10.90.0.10 >/dev/null"
    return node.root(f"{script} && echo yes", check=False) == "yes"


def install(node, *packages: str) -> None:
    """Install what was fetched when the image was made."""
    node.root(f"DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends {' '.join(packages)} >/dev/null", timeout=900)


@pytest.mark.parametrize("before", ["start", "stop"])
@pytest.mark.parametrize("command", ["restart", "reload-or-restart", "stop", "start"])
def test_our_table_is_back_when_the_distributions_own_service_has_flushed_all(web, command, before):
    """A start of what runs, and a stop of what does not, flush nothing."""
    web.root(f"systemctl {before} nftables; nft add table inet theirs; systemctl {command} nftables")
    tables = web.root("nft list tables")
    assert ("theirs" in tables) == (before == command)
    assert "table inet mainline_vps" in tables
    assert reaches(web)


def test_systemd_networkd_leaves_the_links_of_vpss_alone(web):
    """A file that matches every interface is what many images have."""
    before = web.root(ROUTES)
    web.root("printf '[Match]\\nName=*\\n[Network]\\nDHCP=yes\\nLinkLocalAddressing=ipv6\\n' > /etc/systemd/network/50-all.network")
    try:
        web.root("networkctl reload; systemctl restart systemd-networkd; sleep 5")
        assert "unmanaged" in web.root(f"networkctl list {LINK}")
        assert web.root(ROUTES) == before and reaches(web)
        web.root("systemctl restart vps@web; sleep 5")
        assert "unmanaged" in web.root(f"networkctl list {LINK}")
        assert web.root(ROUTES) == before and reaches(web)
    finally:
        web.root("rm /etc/systemd/network/50-all.network; networkctl reload; systemctl restart systemd-networkd")


def test_networkmanager_leaves_the_links_of_vpss_alone(web):
    """One that manages everything that nobody keeps from it, as a desktop's or a Fedora's does."""
    before = web.root(ROUTES)
    web.root("mkdir -p /etc/NetworkManager/conf.d; printf '[keyfile]\nunmanaged-devices=interface-name:en*\n' > /etc/NetworkManager/conf.d/test.conf")
    install(web, "network-manager")
    try:
        web.root("systemctl restart NetworkManager; sleep 5", timeout=300)
        assert web.root(f"nmcli -g GENERAL.STATE device show {LINK}").startswith("10 "), "it is managed"
        assert web.root(ROUTES) == before and reaches(web)
        web.root("systemctl restart vps@web; sleep 5")
        assert web.root(f"nmcli -g GENERAL.STATE device show {LINK}").startswith("10 "), "it is managed after a restart of the VPS"
        assert web.root(ROUTES) == before and reaches(web)
    finally:
        web.root("systemctl disable --now NetworkManager", timeout=300)


def test_lxcs_own_bridge_may_be_there_too(web):
    install(web, "dnsmasq-base", "iptables")
    web.root("sed -i 's/^USE_LXC_BRIDGE=.*/USE_LXC_BRIDGE=\"true\"/' /etc/default/lxc-net; systemctl restart lxc-net")
    try:
        assert "lxcbr0" in web.root("ip link")
        theirs = web.root("nft list ruleset | grep -c lxcbr0")
        assert reaches(web)
        assert play(web, [ROLE]).changed == []
        assert web.root("nft list ruleset | grep -c lxcbr0") == theirs and "lxcbr0" in web.root("ip link")
    finally:
        web.root("systemctl stop lxc-net; sed -i 's/^USE_LXC_BRIDGE=.*/USE_LXC_BRIDGE=\"false\"/' /etc/default/lxc-net")


def test_a_firewall_that_drops_what_is_routed_is_told_and_left_alone(web):
    install(web, "ufw")
    web.root("ufw allow 22/tcp >/dev/null; ufw --force enable >/dev/null", timeout=300)
    try:
        assert not reaches(web, seconds=8)
        theirs = web.root("nft -s list table ip filter")
        done = play(web, [ROLE])
        told = done.of("mainline.vps.node : Make the machine a node")
        assert done.changed == [] and "ufw route allow in on vps+" in told["warnings"][0]
        assert web.root("nft -s list table ip filter") == theirs
        web.root("ufw route allow in on vps+; ufw route allow out on vps+", timeout=300)
        assert reaches(web)
        done = play(web, [ROLE])
        assert done.changed == [] and "warnings" not in done.of("mainline.vps.node : Make the machine a node")
    finally:
        web.root("ufw --force reset >/dev/null; ufw disable; nft flush table ip filter", timeout=300, check=False)


def test_firewalld_is_told_and_left_alone(web):
    """It accepts what is routed from the zone that its owner puts the links into, and from no other."""
    install(web, "firewalld")
    web.root("systemctl start firewalld; firewall-cmd --permanent --add-service=ssh; firewall-cmd --reload", timeout=600)
    try:
        assert not reaches(web, seconds=8)
        done = play(web, [ROLE])
        told = done.of("mainline.vps.node : Make the machine a node")
        assert done.changed == [] and "--zone=trusted --add-interface=vps+" in told["warnings"][0]
        web.root("firewall-cmd --permanent --zone=trusted --add-interface=vps+; firewall-cmd --reload", timeout=300)
        assert reaches(web)
        assert play(web, [ROLE]).changed == []
    finally:
        web.root("systemctl disable --now firewalld", timeout=300)
