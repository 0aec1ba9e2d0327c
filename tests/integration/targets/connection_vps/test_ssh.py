# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that is reached over SSH, as root and as a user who may use sudo; one connection for all VPSs of a node."""

from __future__ import annotations

import os
import socket
import sys

import pytest
import vps_kit as kit
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.loader import become_loader
from way import PASSWORD, Server, connect, play, shell

LOGINS = {
    "root": ("NOPASSWD: ALL", {}),
    "sudo": ("NOPASSWD: ALL", {"become": True}),
    "sudo with a password": ("ALL", {"become": True, "become_password": PASSWORD}),
}


@pytest.fixture(scope="module")
def guest(minimal):
    """A guest that runs."""
    name = f"{kit.PREFIX}ssh"
    kit.container(name, template=minimal, wait="booted")
    return name


@pytest.fixture(scope="module", params=LOGINS)
def login(request):
    """A server, and the variables of a way to it that ends as root."""
    sudo, variables = LOGINS[request.param]
    server = Server(sudo=sudo)
    yield server, server.node(server.user if variables else "", **variables)
    server.end()


@pytest.fixture
def server():
    """A server whose user needs no password for sudo, with no connection to it."""
    made = Server()
    yield made
    made.end()


def test_commands_over_ssh_are_as_they_are_here(guest, login):
    plugin = connect(guest, **login[1])
    assert shell(plugin, "id -u; hostname; echo err >&2; exit 255") == (255, f"0\n{guest}\n".encode(), b"err\n")
    assert shell(plugin, "cat; test -t 0 || echo no terminal") == (0, b"no terminal\n", b"")
    for data in (bytes(range(256)) * 5000, b"no newline", f"{PASSWORD}\n".encode()):
        assert shell(plugin, "cat", data) == (0, data, b"")


def test_files_over_ssh_come_back_as_they_went(guest, login, tmp_path):
    plugin, data = connect(guest, **login[1]), os.urandom(20 << 20)
    (tmp_path / "file").write_bytes(data)
    plugin.put_file(str(tmp_path / "file"), "/root/-n 汉语\n'")
    plugin.fetch_file("/root/-n 汉语\n'", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    shell(plugin, "rm /root/*")


def test_a_stopped_vps_over_ssh(minimal, login):
    name = f"{kit.PREFIX}off"
    kit.container(name, template=minimal, state="stopped")
    assert shell(connect(name, **login[1]), "cat >/root/file; id -u; exit 3", b"offline") == (3, b"0\n", b"")
    kit.container(name, state="started")
    assert kit.said(name, "cat", "/root/file") == "offline"


def test_fifty_tasks_on_five_vpss_share_one_connection(minimal, server, tmp_path):
    names = [f"{kit.PREFIX}share{number}" for number in range(5)]
    for name in names:
        kit.container(name, template=minimal)
    tasks = [{"ansible.builtin.raw": f"echo {number}; hostname"} for number in range(10)]
    # All five start at the same moment, when there is no connection yet.
    told = play(tmp_path, {name: server.node() for name in names}, tasks, "--forks=5")
    assert told.count("changed: [") == 50, told
    assert server.connections() == 1


def test_a_reset_makes_a_new_connection(guest, server, tmp_path):
    tasks = [{"ansible.builtin.raw": "true"}, {"ansible.builtin.meta": "reset_connection"}, {"ansible.builtin.raw": "true"}]
    play(tmp_path, {guest: server.node()}, tasks)
    assert server.connections() == 2


def fails(guest: str, **variables: object) -> str:
    """What a command says that does not reach its VPS: one sentence with the node's name."""
    with pytest.raises(AnsibleError) as raised:
        shell(connect(guest, ansible_vps_node="node1", **variables), "true")
    message = raised.value.message
    assert "node1" in message and "\n" not in message and "Traceback" not in message and "BECOME-SUCCESS" not in message
    assert isinstance(raised.value, AnsibleConnectionFailure)
    return message


def test_a_login_without_become_is_told(guest, server):
    assert fails(guest, **server.node(server.user)) == "node node1: its login is not root; set ansible_vps_node_become, or log in as root."


def test_sudo_that_wants_a_password_is_told(guest):
    made = Server(sudo="ALL")
    try:
        assert "a password is required" in fails(guest, **made.node(made.user, become=True))
        assert "ncorrect sudo password" in fails(guest, **made.node(made.user, become=True, become_password="wrong"))
    finally:
        made.end()


def test_a_node_that_does_not_answer_is_told(guest):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "Connection refused" in fails(guest, ansible_vps_node_host="127.0.0.1", ansible_vps_node_port=port)


def test_a_login_that_is_refused_is_told(guest, server):
    assert "Permission denied" in fails(guest, **server.node("it-nobody"))


def test_a_machine_that_is_no_node_is_told(guest, server, monkeypatch):
    plugin = connect(guest, ansible_vps_node="node1", **server.node())
    monkeypatch.setattr(sys.modules[type(plugin).__module__], "ENTER", "/etc/vps/no-enter")
    with pytest.raises(AnsibleConnectionFailure, match=r"node node1: it has no /etc/vps/no-enter; prepare it with the role mainline\.vps\.node\."):
        shell(plugin, "true")


def test_both_passwords_at_once_are_refused(guest, server):
    plugin = connect(guest, ansible_vps_user="nobody", **server.node(server.user, become=True, become_password=PASSWORD))
    become = become_loader.get("ansible.builtin.sudo")
    become.set_options(var_options={"ansible_become_password": "other"})
    plugin.set_become_plugin(become)
    command = become.build_become_command("true", plugin._shell)
    with pytest.raises(AnsibleError, match="passwords for become on the node and in the VPS at once are not supported"):
        plugin.exec_command(command)
