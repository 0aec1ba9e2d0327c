# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_template: built, left alone, built anew, removed; refused while in use; killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
import vps_kit as kit

PACKAGES = ["nginx-light", "openssh-server"]


def template(name: str) -> dict | None:
    """A template as vps_info tells it."""
    return next((found for found in kit.ok("vps_info")["templates"] if found["name"] == name), None)


def root(name: str):
    """A template's tree."""
    return kit.pool() / "templates" / name / "rootfs"


def left_over() -> list[str]:
    """What is half made or half deleted, and builders that still run."""
    found = [path.name for path in (kit.pool() / "templates").iterdir() if path.name.startswith(".") and kit.PREFIX in path.name]
    found += [path for path in kit.subvolumes().values() if path.startswith("templates/.") and kit.PREFIX in path]
    return found


def builders() -> list[str]:
    """Processes that build one of the tests' templates."""
    lines = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if "templates/.new-it-" in line]


@pytest.fixture(autouse=True)
def remove_templates():
    """The templates of this file's tests go with the test."""
    yield
    kit.remove_all()
    for path in (kit.pool() / "templates").iterdir():
        if path.name.startswith("it-t-"):
            kit.ok("vps_template", name=path.name, state="absent")


def test_minimal_is_built_in_a_moment_and_then_left_alone():
    """Foretold; under two seconds; a second run, and check mode of it, do nothing."""
    done = kit.foretold("vps_template", name="it-t-new", source="minimal")
    assert done["changed"] and done["diff"]["after"]["state"] == "present"
    kit.ok("vps_template", name="it-t-new", state="absent")
    started = time.monotonic()
    kit.ok("vps_template", name="it-t-new", source="minimal")
    assert time.monotonic() - started < 2
    with kit.Untouched():
        assert not kit.ok("vps_template", name="it-t-new", source="minimal")["changed"]
    assert template("it-t-new") == kit.ok("vps_template", name="it-t-new", source="minimal")["template"]


def test_result_is_as_documented(minimal):
    """Every key that the documentation promises, and no other."""
    told = kit.ok("vps_template", name=minimal, source="minimal")["template"]
    assert set(told) == set(kit.documented_result("vps_template")["template"]["contains"])
    assert told["init"] == "busybox" and told["source"] == "minimal" and told["packages"] == [] and len(told["checksum"]) == 64
    assert 100_000 < told["size"] < 20_000_000


def test_it_cannot_be_written_to_and_a_vps_of_it_can(minimal):
    """The template is read-only on disk; a VPS that changes its copy does not change the template, nor another VPS."""
    with pytest.raises(OSError, match="Read-only"):
        (root(minimal) / "etc" / "written").write_text("no", encoding="ascii")
    for name in ("it-one", "it-two"):
        kit.container(name, template=minimal)
    kit.shell("it-one", "echo mine > /etc/mine")
    assert not (root(minimal) / "etc/mine").exists() and not (kit.rootfs("it-two") / "etc/mine").exists()


def test_removed_only_when_nobody_uses_it():
    """The refusal names who does; when they are gone it goes, foretold; and gone twice is no change."""
    kit.ok("vps_template", name="it-t-used", source="minimal")
    kit.container("it-user", template="it-t-used", state="present")
    with kit.Untouched():
        assert "it-user" in kit.fails("vps_template", name="it-t-used", state="absent")
        assert "it-user" in kit.fails("vps_template", name="it-t-used", state="absent", check=True)
    assert template("it-t-used")["used_by"] == ["it-user"]
    kit.ok("vps_container", name="it-user", state="absent")
    done = kit.foretold("vps_template", name="it-t-used", state="absent")
    assert done["changed"] and done["template"] is None
    assert not (kit.pool() / "templates/it-t-used").exists() and not left_over()


def test_debian_has_what_was_asked_and_nothing_that_must_be_of_a_kind(debian):
    """The manifest says what it was made of; there is no machine-id, no host key, no random seed, no host name."""
    told = template(debian)
    assert (told["source"], told["suite"], told["packages"], told["init"]) == ("debian", "bookworm", PACKAGES, "systemd")
    assert told["size"] > 100_000_000
    tree = root(debian)
    assert (tree / "usr/sbin/nginx").exists() and (tree / "usr/sbin/sshd").exists()
    assert (tree / "etc/machine-id").read_bytes() == b""
    assert not list((tree / "etc/ssh").glob("ssh_host_*"))
    for path in ("etc/hostname", "var/lib/systemd/random-seed", "var/lib/dbus/machine-id"):
        assert not (tree / path).exists() or (tree / path).resolve() == tree / "etc/machine-id" or os.path.islink(tree / path)
    assert (tree / "var/lib/apt/lists").stat().st_mtime == 0  # else Ansible's apt with cache_valid_time would look for packages in what is empty
    assert (tree / "etc/os-release").exists() and "bookworm" in (tree / "etc/os-release").read_text(encoding="utf-8")


def test_other_inputs_are_foretold_and_the_same_inputs_in_another_order_are_the_same(debian):
    """The order of packages does not count; a package more is a change, with the lists before and after."""
    same = {"name": debian, "source": "debian", "suite": "bookworm"}
    assert not kit.ok("vps_template", **same, packages=PACKAGES[::-1])["changed"]
    told = kit.ok("vps_template", check=True, **same, packages=[*PACKAGES, "rsync"])
    assert told["changed"] and told["diff"] == {"before": {"packages": PACKAGES}, "after": {"packages": [*PACKAGES, "rsync"]}}
    assert template(debian)["packages"] == PACKAGES


@pytest.mark.long
def test_a_package_that_does_not_exist_is_one_sentence_and_leaves_nothing():
    """The message names the option and the package. Who wants the same name meanwhile waits, or is told who has it."""
    first = kit.launch("vps_template", name="it-t-bad", source="debian", packages=["no-such-package-it", *PACKAGES])
    kit.until("it builds", builders, seconds=20)
    message = kit.fails("vps_template", name="it-t-bad", source="minimal", lock_timeout=0)
    assert message.startswith("lock_timeout: ") and f"process {first.pid}" in message
    second = kit.launch("vps_template", name="it-t-bad", source="minimal", lock_timeout=120)

    told = kit.result(first)
    assert told["failed"] and told["msg"].startswith("packages: ") and "no-such-package-it" in told["msg"] and "nginx" not in told["msg"]
    assert told["msg"].endswith(".") and "\n" not in told["msg"] and "Unable to locate package" in told["output"]
    assert kit.result(second)["changed"] and template("it-t-bad")["source"] == "minimal"
    assert not left_over() and not builders()


def test_a_failed_rebuild_keeps_the_old_template(minimal):
    """What could not be built anew is still there, and still makes VPSs."""
    kit.ok("vps_template", name="it-t-keep", source="minimal")
    before = template("it-t-keep")
    message = kit.fails("vps_template", name="it-t-keep", source="debian", mirror="http://192.0.2.1:1/debian", suite="bookworm")
    assert message.startswith(("source: ", "mirror: "))
    assert template("it-t-keep") == before and not left_over()
    kit.container("it-after", template="it-t-keep")


@pytest.mark.long
def test_there_and_back_again():
    """minimal, a tiny Debian in its place, minimal again: each foretold; VPSs keep what they were made of."""
    small = {"source": "debian", "suite": "bookworm", "packages": []}
    kit.ok("vps_template", name="it-t-swap", source="minimal")
    kit.container("it-old", template="it-t-swap", state="present")
    done = kit.foretold("vps_template", name="it-t-swap", **small)
    assert done["diff"]["before"]["source"] == "minimal" and done["diff"]["after"]["source"] == "debian"
    assert (root("it-t-swap") / "var/lib/dpkg/status").exists()
    assert not (kit.rootfs("it-old") / "var/lib/dpkg/status").exists()
    assert kit.ok("vps_container", name="it-old", wait="booted")["boot"] == "running"
    done = kit.foretold("vps_template", name="it-t-swap", source="minimal")
    assert done["template"]["suite"] is None and not (root("it-t-swap") / "var/lib/dpkg/status").exists()
    assert not left_over()


@pytest.mark.parametrize("after", [0.3, 3, 8])
def test_killed_while_building(after):
    """The builder ends with its module; the next run, of anything, leaves nothing of it."""
    before = os.listdir("/tmp")
    run = kit.launch("vps_template", name="it-t-killed", source="debian", packages=[])
    kit.until("it builds", builders, seconds=20)
    time.sleep(after)
    assert run.poll() is None, "it was through before it was killed"
    run.send_signal(signal.SIGKILL)
    run.communicate()
    kit.until("the builder has ended", lambda: not builders() and not kit.is_locked("template", "it-t-killed"), seconds=15)
    scratch = [path for path in os.listdir("/tmp") if path.startswith("mmdebstrap.") and path not in before]
    assert not scratch, f"the builder left its scratch in /tmp: {scratch}"
    mounts = [line for line in open("/proc/mounts", encoding="utf-8") if "templates/.new-it-" in line]
    assert not mounts, f"the builder left mounts: {mounts}"
    assert left_over(), "it left nothing, so the next assertion would show nothing"
    kit.ok("vps_template", name="it-t-other", source="minimal")
    assert not left_over()
    assert kit.ok("vps_template", name="it-t-killed", source="minimal")["template"]["source"] == "minimal"


def test_examples_run_as_written(tmp_path):
    """Through ansible-playbook: those that need nothing but the node. The last one removes the Debian that all targets share, so this is the last test."""
    tasks = kit.examples("vps_template")
    kit.play(tmp_path, tasks[:2])
    assert template("debian")["packages"] == PACKAGES and template("minimal")["source"] == "minimal"
    kit.play(tmp_path, tasks[-1:])
    assert template("debian") is None
