# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays on VPSs: what Ansible's own tests of a connection plugin do, modules, become inside, a stopped VPS, a role of others."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest
import vps_kit as kit
from way import PASSWORD, Server, play

BUILTIN = "ansible.builtin."
ODD = "汉语 it's"


@pytest.fixture(scope="module")
def guest():
    """A Debian with Python and sudo, and what the node's addresses let out."""
    kit.ok("vps_template", name="it-python", source="debian", suite="bookworm", packages=["python3", "sudo"], lock_timeout=300)
    name = f"{kit.PREFIX}play"
    kit.container(name, template="it-python", wait="booted", wait_timeout=180, addresses=[kit.address(30)], nameservers=["9.9.9.9", "1.1.1.1"])
    kit.inside(name, "useradd", "--create-home", "--shell", "/bin/bash", "someone")
    kit.inside(name, "chpasswd", stdin=f"someone:{PASSWORD}\n")
    kit.inside(name, "tee", "/etc/sudoers.d/someone", stdin="someone ALL=(ALL) ALL\n")
    return name


def does(module: str, given: dict | str | None = None, **more: object) -> dict:
    """A task with a module of Ansible's own."""
    return {BUILTIN + module: given if given is not None else {}, **more}


def says(*conditions: str) -> dict:
    """A task that checks what was registered as `told`."""
    return does("assert", {"that": list(conditions)})


@pytest.mark.parametrize("pipelining", [True, False])
def test_what_ansible_tries_of_its_own_plugins(guest, tmp_path, pipelining):
    local, remote = tmp_path / f"local-{ODD}", f"/root/remote-{ODD}"
    local.mkdir()
    (local / f"{ODD}.txt").write_text(ODD, encoding="utf-8")
    tasks = [
        does("raw", "echo 汉语", register="told"),
        says("'汉语' in told.stdout", "told is changed"),
        does("file", {"path": remote, "state": "directory"}, register="told"),
        says("told is changed"),
        does("copy", {"src": f"{local}/{ODD}.txt", "dest": f"{remote}/{ODD}.txt"}),
        does("fetch", {"src": f"{remote}/{ODD}.txt", "dest": f"{tmp_path}/back-{ODD}.txt", "flat": True}),
        does("file", {"path": remote, "state": "absent"}),
        does("wait_for_connection", {"timeout": 20}),
        does("script", f"{tmp_path}/script.sh 'a b' 汉语", register="told"),
        says("told.stdout_lines == ['a b', '汉语', 'root']"),
        does("command", {"argv": ["printf", "%s|", "-n", "a\nb", "'", "汉语"]}, register="told"),
        says("told.stdout == '-n|a\\nb|\\'|汉语|'"),
        does("shell", "exit 255", register="told", failed_when="told.rc != 255"),
        does("meta", "reset_connection"),
        does("ping"),
    ]
    (tmp_path / "script.sh").write_text('#!/bin/sh\nprintf "%s\\n" "$@"; id -un\n', encoding="utf-8")
    play(tmp_path, {guest: {"ansible_pipelining": pipelining}}, tasks)
    assert (tmp_path / f"back-{ODD}.txt").read_text(encoding="utf-8") == ODD


def test_modules_find_the_guest_and_not_the_node(guest, tmp_path):
    template = tmp_path / "template.j2"
    template.write_text("{{ ansible_facts.hostname }} {{ inventory_hostname }}", encoding="utf-8")
    tasks = [
        does("setup", register="told"),
        says(
            "told.ansible_facts.ansible_distribution == 'Debian'", "told.ansible_facts.ansible_hostname == inventory_hostname",
            "told.ansible_facts.ansible_service_mgr == 'systemd'", "told.ansible_facts.ansible_user_id == 'root'",
        ),
        does("template", {"src": str(template), "dest": "/root/of-template", "mode": "0600"}),
        does("template", {"src": str(template), "dest": "/root/of-template", "mode": "0600"}, register="told"),
        says("told is not changed"),
        does("service", {"name": "systemd-journald", "state": "started"}, register="told"),
        says("told is not changed"),
        does("shell", "sleep 1; echo late", **{"async": 30, "poll": 1}, register="told"),
        says("told.stdout == 'late'"),
    ]
    play(tmp_path, {guest: {}}, tasks)
    assert kit.said(guest, "cat", "/root/of-template") == f"{guest} {guest}"


@pytest.mark.parametrize("method", ["sudo", "su"])
def test_become_is_inside(guest, tmp_path, method):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    other = {"become": True, "become_user": "someone", "become_method": BUILTIN + method}
    tasks = [
        does("command", "id -un", become=True, become_method=BUILTIN + method, register="told"),
        says("told.stdout == 'root'"),
        does("command", "id -un", **other, register="told"),
        says("told.stdout == 'someone'"),
        does("shell", {"cmd": "cat; exit 3", "stdin": "汉语"}, **other, register="told", failed_when=False),
        says("told.stdout == '汉语'", "told.rc == 3"),
        does("copy", {"src": str(tmp_path / "file"), "dest": f"/home/someone/{method}"}, **other, register="told"),
        says("told.owner == 'someone'"),
        does("raw", "id -un", **{**other, "become_user": "nobody-at-all"}, register="told", ignore_errors=True),
        says("told is failed", "told is not unreachable"),
    ]
    play(tmp_path, {guest: {}}, tasks)


def test_become_inside_with_a_password(guest, tmp_path):
    """Whom root has become needs one, for sudo as it is set up there; a wrong one is told."""
    user = {"ansible_vps_user": "someone", "ansible_become_password": PASSWORD}
    tasks = [
        does("command", "id -un", register="told"),
        says("told.stdout == 'someone'"),
        does("command", "id -un", become=True, register="told"),
        says("told.stdout == 'root'"),
        does("raw", "id -un; echo err >&2; exit 9", become=True, register="told", failed_when="told.rc != 9"),
        says("told.stdout_lines == ['root']"),
        does("raw", "cat >/dev/null; id -un", become=True),  # which ends
    ]
    play(tmp_path, {guest: user}, tasks)
    server = Server()
    try:
        play(tmp_path, {guest: {**user, **server.node(server.user, become=True)}}, tasks)
        wrong = {**user, "ansible_become_password": "wrong"}
        assert "ncorrect sudo password" in play(tmp_path, {guest: {**wrong, **server.node()}}, tasks[2:3], fails=True)
    finally:
        server.end()


def test_a_task_that_is_delegated_to_a_vps_runs_there(guest, tmp_path):
    tasks = [
        does("command", "hostname", delegate_to=guest, register="told"),
        says(f"told.stdout == '{guest}'"),
    ]
    play(tmp_path, {"elsewhere": {"ansible_connection": "local"}, guest: {}}, tasks)


def test_a_stopped_vps_is_prepared_by_a_play(guest, tmp_path):
    name = f"{kit.PREFIX}prepared"
    kit.container(name, template="it-python", state="stopped")
    tasks = [
        does("copy", {"content": "offline", "dest": "/etc/motd"}),
        does("user", {"name": "made-offline"}),
        does("lineinfile", {"path": "/etc/hosts.allow", "line": "ALL: ALL", "create": True}),
    ]
    play(tmp_path, {name: {}}, tasks)
    assert kit.pid(name) is None
    kit.container(name, state="started")
    assert kit.said(name, "cat", "/etc/motd") == "offline" and kit.said(name, "id", "-un", "made-offline") == "made-offline"


def test_a_vps_that_there_is_not_is_unreachable_and_no_more(guest, tmp_path):
    none = f"{kit.PREFIX}none"
    told = play(tmp_path, {guest: {}, none: {}}, [does("ping")], fails=True)
    assert f"there is no VPS '{none}'" in told
    summary = {line.split()[0]: line for line in told.splitlines() if "unreachable=" in line}
    assert "unreachable=1 " in summary[none] and "ok=1 " in summary[guest]


def test_nothing_of_the_way_is_shown(guest, tmp_path):
    told = play(tmp_path, {guest: {"ansible_vps_node_password": "hush"}}, [does("set_fact", {"testing": "value"})], "-v")
    assert "ansible_host" not in told and "ansible_vps" not in told and "hush" not in told


# -- a role of others ---------------------------------------------------------------------------------------------------

ROLE = {
    "zabbix_manage_repo": False, "zabbix_agent_version": 6.0, "zabbix_agent_install_agent_only": True, "zabbix_agent_server": "192.0.2.1",
    "zabbix_agent_logfile": "/var/log/zabbix-agent/zabbix_agentd.log",
}


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Collections of others, from the package `ansible`, of which nothing is installed."""
    folder = tmp_path_factory.mktemp("others")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "--dest", str(folder), "ansible"], check=True, timeout=300)
    needed = ("community/zabbix", "ansible/netcommon", "ansible/posix", "ansible/utils", "ansible/windows")
    with zipfile.ZipFile(next(folder.glob("ansible-*.whl"))) as wheel:
        wanted = tuple(f"ansible_collections/{name}/" for name in needed)
        wheel.extractall(folder, [name for name in wheel.namelist() if name.startswith(wanted)])
    return folder


@pytest.mark.long
def test_a_role_of_others_runs_unchanged(guest, others, tmp_path):
    """community.zabbix.zabbix_agent installs, writes configuration, restarts by a handler; twice is once."""
    environment = {"ANSIBLE_COLLECTIONS_PATH": f"{os.environ['ANSIBLE_COLLECTIONS_PATH']}:{others}"}
    tasks = [does("setup"), does("include_role", {"name": "community.zabbix.zabbix_agent"})]
    told = play(tmp_path, {guest: ROLE}, tasks, environment=environment)
    assert "changed=0 " not in told
    kit.until("the agent runs", lambda: kit.inside(guest, "systemctl", "is-active", "zabbix-agent", check=False).stdout == "active\n")
    assert "Server=192.0.2.1" in kit.said(guest, "cat", "/etc/zabbix/zabbix_agentd.conf")
    assert "changed=0 " in play(tmp_path, {guest: ROLE}, tasks, environment=environment)
