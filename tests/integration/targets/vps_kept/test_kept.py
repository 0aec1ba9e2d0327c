# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which code of ours reaches a node with a task: the module's own and all that it imports once, and then what calls it there."""

from __future__ import annotations

import os
import pathlib
import re
import shutil

import pytest
import vps_kit as kit

KEPT = pathlib.Path("/run/vps.code")
NAME = f"{kit.PREFIX}kept"
INFO = {"mainline.vps.vps_info": {"name": NAME}}
ONCE = ["vps_kept", "vps_info"]


@pytest.fixture(autouse=True)
def nothing_kept():
    """As after a boot."""
    shutil.rmtree(KEPT, ignore_errors=True)
    yield
    shutil.rmtree(KEPT, ignore_errors=True)


def sent(output: str) -> list[str]:
    """The modules that Ansible packed, in their order."""
    return re.findall(r"Using module file .*/plugins/modules/(vps_\w+)\.py", output)


def archives() -> list[pathlib.Path]:
    """What the node has kept whole."""
    return sorted(KEPT.glob("*.zip"))


def test_code_is_brought_once(tmp_path):
    assert sent(kit.play(tmp_path, [INFO, INFO], "-vvv")) == [*ONCE, "vps_kept"]
    assert sent(kit.play(tmp_path, [INFO], "-vvv")) == ["vps_kept"]
    assert [file.name.partition("-")[0] for file in archives()] == ["vps_info"]


def test_a_task_does_and_tells_the_same_either_way(tmp_path, minimal):
    change = {"mainline.vps.vps_container": {"name": NAME, "template": minimal, "state": "stopped", "root_password_hash": f"$6$saltsalt${'a' * 86}"}}
    told = []
    for _way in ("brought", "kept"):
        foretold = kit.play(tmp_path, [change], "--check", "--diff", "-v")
        assert kit.info(NAME) is None and "changed=1" in foretold and "aaaaaa" not in foretold
        told.append(re.search(r"changed: \[localhost\] => (.*?)\n\n", foretold, re.DOTALL)[1])
    assert told[0] == told[1] and "root_password_hash" in told[0]
    assert "changed=1" in kit.play(tmp_path, [change]) and "changed=0" in kit.play(tmp_path, [change])


def test_an_error_is_the_modules_own_and_each_task_of_a_loop_is_sent_the_same(tmp_path):
    wrong = {"mainline.vps.vps_limits": {"name": "{{ item }}", "memory": "many"}, "loop": ["a", "b"]}
    process = kit.playbook(tmp_path, [wrong], "-vvv")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 2 and sent(output) == ["vps_kept", "vps_limits", "vps_kept"]
    assert output.count("VPS_CODE=") == 3 and len(re.findall(r"msg\W+limits?\.?memory|msg\W+memory", output)) == 2, output


def test_a_module_calls_itself_by_its_own_name_and_has_the_words_of_a_task_as_they_are(tmp_path):
    word = '"_ansible_module_name": "mainline.vps.vps_kept"'
    for way in (ONCE, ["vps_kept"]):
        process = kit.playbook(tmp_path, [{"mainline.vps.vps_info": {"name": word, "nothing": "ä"}}], "-vvv")
        output = process.communicate(timeout=120)[0]
        assert process.returncode == 2 and sent(output) == way and "Unsupported parameters for (mainline.vps.vps_info) module: nothing" in output, output
        assert "ä" in output and word in output.replace("\\", ""), output


def test_while_files_are_to_be_left_on_the_node_a_task_leaves_all_of_the_module(tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_KEEP_REMOTE_FILES", "1")
    monkeypatch.setenv("ANSIBLE_REMOTE_TEMP", str(tmp_path / "left"))
    assert sent(kit.play(tmp_path, [INFO], "-vvv")) == ["vps_info"] and not archives()
    assert [file.name for file in (tmp_path / "left").glob("*/*.py")] == ["AnsiballZ_vps_info.py"]


def test_a_task_leaves_nothing_on_the_node_but_its_code(tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_REMOTE_TEMP", str(tmp_path / "left"))
    kit.play(tmp_path, [INFO, INFO])
    assert not list((tmp_path / "left").iterdir()) and len(archives()) == 1


def test_a_task_in_the_background_brings_its_code(tmp_path):
    assert sent(kit.play(tmp_path, [{**INFO, "async": 60, "poll": 1}], "-vvv")) == ["vps_info"]


def test_what_cannot_be_trusted_is_not_run_but_brought_anew(tmp_path):
    kit.play(tmp_path, [INFO])
    for spoil in (
        lambda file: file.write_bytes(file.read_bytes().replace(b"PK\x03\x04", b"PK\x03\x05", 1)),
        lambda file: KEPT.chmod(0o777),
        lambda file: KEPT.chmod(0o700) or os.chown(KEPT, 1000, 1000),
    ):
        spoil(archives()[0])
        assert sent(kit.play(tmp_path, [INFO], "-vvv")) == ONCE


def test_other_code_is_brought_anew_and_the_oldest_goes(tmp_path):
    kit.play(tmp_path, [INFO])
    ours = archives()[0]
    for number in range(4):
        other = KEPT / f"vps_info-{number:064x}.zip"
        shutil.copy(ours, other)
        os.utime(other, (number, number))
    ours.unlink()
    assert sent(kit.play(tmp_path, [INFO], "-vvv")) == ONCE
    assert [file.name for file in archives()] == sorted([ours.name, *(f"vps_info-{number:064x}.zip" for number in (2, 3))])


def test_where_there_is_no_room_each_task_brings_it(tmp_path):
    KEPT.mkdir(mode=0o700)
    kit.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", str(KEPT))
    try:
        assert sent(kit.play(tmp_path, [INFO, INFO], "-vvv")) == ONCE * 2
    finally:
        kit.run("umount", str(KEPT))


def test_a_login_that_is_not_root_is_told_that_it_is_not(tmp_path):
    task = {**INFO, "become": True, "become_user": "nobody", "become_method": "ansible.builtin.su"}
    process = kit.playbook(tmp_path, [task], "-e", "ansible_remote_tmp=/tmp")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 2 and "root" in output and "Traceback" not in output


def test_programs_that_a_task_starts_are_told_nothing(tmp_path, minimal):
    kit.container(NAME, template=minimal, wait="booted")
    for _way in ("brought", "kept"):
        task = {"mainline.vps.vps_command": {"name": NAME, "argv": ["env"]}}
        assert "VPS_CODE" not in re.sub("VPS_CODE=vps_command-.*", "", kit.play(tmp_path, [task, {"ansible.builtin.debug": {"msg": "x"}}], "-v"))


def test_it_is_nothing_for_a_playbook(tmp_path):
    process = kit.playbook(tmp_path, [{"mainline.vps.vps_kept": {}}])
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 2 and "nothing for a playbook" in output
