# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin itself, on a minimal guest of this machine: commands, exit codes, standard input, files of any name and size, errors."""

from __future__ import annotations

import hashlib
import os
import pathlib

import pytest
import vps_kit as kit
from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from way import connect, shell

ODD = ("/root/-n", "/root/ü 汉语", "/root/two\nlines", "/root/it's \"$HOME\" `id` \\ *;&|<>", "/root/ends with a newline\n")


@pytest.fixture(scope="module")
def guest(minimal):
    """A guest that runs."""
    name = f"{kit.PREFIX}way"
    kit.container(name, template=minimal, wait="booted")
    return name


@pytest.fixture(scope="module")
def plugin(guest):
    """The connection to it."""
    return connect(guest)


def digest(path: pathlib.Path) -> str:
    """Of a file, in pieces."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            found.update(data)
    return found.hexdigest()


@pytest.mark.parametrize("code", [0, 1, 2, 125, 126, 127, 128, 200, 254, 255])
def test_an_exit_code_is_the_commands_own(plugin, code):
    assert shell(plugin, f"echo out; echo vps: err >&2; exit {code}") == (code, b"out\n", b"vps: err\n")


def test_a_command_that_a_signal_ends_has_a_code_that_says_so(plugin):
    assert shell(plugin, "kill -9 $$")[0] == 137


def test_output_and_errors_are_apart_and_whole(plugin):
    code, output, errors = shell(plugin, "head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2; printf 'no newline'")
    assert (code, len(output), len(errors)) == (0, 300010, 200000)
    assert output.endswith(b"\0no newline")


@pytest.mark.parametrize("data", [bytes(range(256)) * 3000, b"no newline", b"\n", b"x\r\n\x03\x04y"])
def test_standard_input_arrives_byte_for_byte(plugin, data):
    assert shell(plugin, "cat", data) == (0, data, b"")


def test_without_any_standard_input_ends_at_once(plugin):
    assert shell(plugin, "cat; test -t 0 || echo no terminal") == (0, b"no terminal\n", b"")


@pytest.mark.parametrize("text", ["汉语", "it's", '"$HOME"', "`id`", "a\nb", "\\", "-n", "!", "%s"])
def test_arguments_arrive_as_they_are(plugin, text):
    quoted = "'" + text.replace("'", "'\\''") + "'"
    assert shell(plugin, f"printf '[%s]' {quoted}")[1] == f"[{text}]".encode()


def test_what_commands_find_around_them_is_the_guests(plugin, guest):
    environment = dict(line.split("=", 1) for line in shell(plugin, "env")[1].decode().splitlines())
    assert environment["HOME"] == "/root" and environment["container"] == "lxc"
    assert not {name for name in environment if name.startswith(("ANSIBLE", "PYTEST", "SUDO", "SSH"))}
    assert shell(plugin, "id -u; hostname; pwd")[1].decode().split() == ["0", guest, "/"]


def test_a_guest_that_talks_without_end_is_cut_off(plugin):
    with pytest.raises(AnsibleError, match=r"node localhost: a command said more than 1000000 bytes"):
        plugin._run(["/bin/sh", "-c", "cat /dev/zero"], most=1_000_000)
    with pytest.raises(AnsibleError, match="more than 1000000 bytes"):
        plugin._run(["/bin/sh", "-c", "cat /dev/zero >&2"], most=1_000_000)


@pytest.mark.parametrize("remote", ODD)
@pytest.mark.parametrize("data", [b"", b"no newline", b"\0\xff\n" * 5000], ids=["empty", "text", "binary"])
def test_a_file_of_any_name_comes_back_as_it_went(plugin, tmp_path, remote, data):
    there, back = tmp_path / remote.rpartition("/")[2], tmp_path / "back"
    there.write_bytes(data)
    plugin.put_file(str(there), remote)
    plugin.fetch_file(remote, str(back))
    assert back.read_bytes() == data
    quoted = "'" + remote.replace("'", "'\\''") + "'"
    assert shell(plugin, f"rm -- {quoted} && ls -A /root") == (0, b"", b"")


def test_a_shorter_file_replaces_a_longer(plugin, tmp_path):
    for data in (b"long" * 3_000_000, b"short"):
        (tmp_path / "file").write_bytes(data)
        plugin.put_file(str(tmp_path / "file"), "/root/file")
    assert shell(plugin, "cat /root/file; rm /root/file")[1] == b"short"


def test_300_megabytes_of_anything_come_back_equal(plugin, tmp_path):
    with open(tmp_path / "large", "wb") as file:
        for _each in range(300):
            file.write(os.urandom(1_000_000))
    plugin.put_file(str(tmp_path / "large"), "/root/large")
    assert shell(plugin, "sha256sum </root/large")[1].split()[0].decode() == digest(tmp_path / "large")
    plugin.fetch_file("/root/large", str(tmp_path / "back"))
    assert digest(tmp_path / "back") == digest(tmp_path / "large")
    shell(plugin, "rm /root/large")


def test_holes_take_no_time_and_no_room(plugin, tmp_path):
    sparse, size = tmp_path / "sparse", 300 << 20
    with open(sparse, "wb") as file:
        for place in (50 << 20, 200 << 20):
            file.seek(place)
            file.write(b"something")
        file.truncate(size)
    plugin.put_file(str(sparse), "/root/sparse")
    used, length = shell(plugin, "stat -c '%b %s' /root/sparse")[1].split()
    assert int(length) == size and int(used) * 512 < 1 << 20
    plugin.fetch_file("/root/sparse", str(tmp_path / "back"))
    assert digest(tmp_path / "back") == digest(sparse)
    assert (tmp_path / "back").stat().st_blocks * 512 < 1 << 20
    shell(plugin, "rm /root/sparse")


def test_a_file_that_does_not_say_its_size_is_fetched(plugin, tmp_path):
    plugin.fetch_file("/proc/version", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes().startswith(b"Linux version")


def test_a_file_without_end_is_fetched_up_to_a_limit(guest, tmp_path):
    with pytest.raises(AnsibleError, match="'/dev/zero' of VPS .* is larger than 9437184 bytes; ansible_vps_fetch_limit may be raised"):
        connect(guest, ansible_vps_fetch_limit="9M").fetch_file("/dev/zero", str(tmp_path / "back"))
    assert (tmp_path / "back").stat().st_size < 32 << 20


def test_what_cannot_be_transferred_is_said(plugin, tmp_path):
    with pytest.raises(AnsibleError, match=r"'/none' of VPS \S+ cannot be read: .*no such file"):
        plugin.fetch_file("/none", str(tmp_path / "back"))
    (tmp_path / "there").write_bytes(b"x")
    with pytest.raises(AnsibleError, match=r"'/proc/none' of VPS \S+ cannot be written: "):
        plugin.put_file(str(tmp_path / "there"), "/proc/none")
    with pytest.raises(AnsibleFileNotFound, match="there is no file .*absent on the controller"):
        plugin.put_file(str(tmp_path / "absent"), "/root/x")


def test_a_full_disk_is_said(minimal, tmp_path):
    name = f"{kit.PREFIX}full"
    kit.container(name, template=minimal, limits={"diskspace": "20M"})
    (tmp_path / "large").write_bytes(os.urandom(60 << 20))
    with pytest.raises(AnsibleError, match=r"'/root/large' of VPS \S+ cannot be written: .*(quota|space)"):
        connect(name).put_file(str(tmp_path / "large"), "/root/large")


def test_commands_run_as_another_user_of_the_guest(guest, tmp_path):
    shell(connect(guest), "echo 'someone:x:1234:1234::/tmp/some one:/bin/false' >>/etc/passwd; mkdir -p '/tmp/some one'; chown 1234:1234 '/tmp/some one'")
    plugin = connect(guest, ansible_vps_user="someone")
    assert shell(plugin, "id -u; echo ~; echo \"it's\"; exit 7") == (7, b"1234\n/tmp/some one\nit's\n", b"")
    (tmp_path / "file").write_bytes(b"content")
    plugin.put_file(str(tmp_path / "file"), "/tmp/some one/file")
    plugin.fetch_file("/tmp/some one/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"content"
    assert shell(plugin, "stat -c %u '/tmp/some one/file'; cat /etc/shadow")[:2] == (1, b"1234\n")


def test_a_stopped_vps_is_changed_while_it_is_off(minimal, tmp_path):
    name = f"{kit.PREFIX}off"
    kit.container(name, template=minimal, state="stopped")
    plugin, content = connect(name), os.urandom(9 << 20)
    assert shell(plugin, "id -u; exit 255") == (255, b"0\n", b"")
    assert shell(plugin, "cat", b"\0\xff")[1] == b"\0\xff"
    (tmp_path / "file").write_bytes(content)
    plugin.put_file(str(tmp_path / "file"), "/root/file")
    plugin.fetch_file("/root/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
    assert kit.pid(name) is None
    kit.container(name, state="started")
    assert kit.said(name, "sha256sum", "/root/file").split()[0] == hashlib.sha256(content).hexdigest()
    assert kit.said(name, "stat", "-c", "%u", "/root/file") == "0"


def fails(name: str, **variables: object) -> str:
    """What a command says that does not reach its VPS: one sentence."""
    with pytest.raises((AnsibleConnectionFailure, AnsibleError)) as raised:
        shell(connect(name, **variables), "true")
    message = raised.value.message
    assert "\n" not in message and "Traceback" not in message
    return message


def test_a_vps_that_there_is_not_is_told_with_its_node():
    name = f"{kit.PREFIX}none"
    assert fails(name) == f"VPS {name} on node localhost: there is no VPS '{name}'."
    local = {"ansible_vps_node_connection": "ansible.builtin.local"}
    assert fails(name, ansible_vps_node="node1", **local) == f"VPS {name} on node node1: there is no VPS '{name}'."


def test_a_mistyped_node_or_variable_is_not_this_machine():
    name = f"{kit.PREFIX}none"
    assert fails(name, ansible_vps_node="node1").startswith("ansible_vps_node: 'node1' is no host of the inventory")
    assert fails(name, ansible_vps_node_hots="node1").startswith("ansible_vps_node_hots: ")


def test_a_name_that_no_vps_has_never_reaches_the_node():
    assert fails("-rf").startswith("ansible_vps_name: '-rf' cannot be used; a name has")
    assert fails("x", ansible_vps_name="a;id").startswith("ansible_vps_name: 'a;id' cannot be used; a name has")


def test_a_frozen_vps_is_told(minimal):
    name = f"{kit.PREFIX}cold"
    kit.container(name, template=minimal)
    kit.run("lxc-freeze", "-n", name)
    try:
        assert fails(name).startswith(f"VPS {name} on node localhost: VPS '{name}' is frozen;")
    finally:
        kit.run("lxc-unfreeze", "-n", name)


def test_plugins_that_there_are_not_are_told(guest):
    assert fails(guest, ansible_vps_node_connection="no.such.plugin").startswith("ansible_vps_node_connection: there is no connection plugin no.such.plugin;")
    assert fails(guest, ansible_vps_node_become=True, ansible_vps_node_become_method="no.such.plugin").startswith(
        "ansible_vps_node_become_method: there is no become plugin no.such.plugin;"
    )
