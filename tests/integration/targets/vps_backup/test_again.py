# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that are run again, predicted, or meant for what is gone: check mode, restores in a loop, pruning, and backups that expire."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
import vps_kit as kit
from conftest import COPY, NAME, PASSWORD, backup


def ids(told: dict) -> list[str]:
    return [one["id"] for one in told["backups"]]


def data(repository: dict) -> int:
    """Bytes of what the repository has of all its backups."""
    return sum(path.stat().st_size for path in (pathlib.Path(repository["repository"]) / "data").rglob("*") if path.is_file())


def test_check_mode_says_what_a_run_then_does(minimal, repository):
    kit.container(NAME, template=minimal, state="stopped")
    made = [backup(repository)["backup"]["id"] for _number in range(3)]
    foretold = backup(repository, check=True, keep={"last": 2})
    assert foretold["changed"] and "skipped" not in foretold and ids(foretold) == made
    done = backup(repository, keep={"last": 2})
    assert foretold["removed"] == done["removed"] == made[:2] and foretold["pruned"] is done["pruned"] is True
    assert [each["option"] for each in foretold["changes"][1:]] == [each["option"] for each in done["changes"][1:]]
    assert done["diff"]["after"][f"backups.{done['backup']['id']}"] == "present" and foretold["diff"]["after"]["backups.new"] == "present"


def test_a_restore_of_what_is_lost_can_be_run_again(minimal, repository):
    kit.container(NAME, template=minimal, state="stopped")
    first = backup(repository)["backup"]["id"]
    kit.ok("vps_container", name=NAME, state="absent")
    assert backup(repository, state="restored", check=True)["changed"]
    assert backup(repository, state="restored")["changed"]
    (kit.rootfs(NAME) / "since").write_text("then", encoding="ascii")
    for check in (True, False):
        again = backup(repository, state="restored", check=check)
        assert not again["changed"] and again["backup"]["id"] == first and again["target"] == NAME
    assert (kit.rootfs(NAME) / "since").exists()
    second = backup(repository)["backup"]["id"]
    message = kit.fails("vps_backup", name=NAME, state="restored", **repository)
    assert f"made of the backup {first[:10]}" in message and "give that as backup" in message
    assert not backup(repository, state="restored", backup=first[:10])["changed"]
    for _number in range(2):
        assert backup(repository, state="restored", replace=True)["changed"], "to replace is an act"
    assert not backup(repository, state="restored", backup=second)["changed"]
    assert "made of" in kit.fails("vps_backup", name=NAME, state="restored", backup=first, **repository)
    backup(repository, state="restored", target=COPY, addresses=[])
    assert not backup(repository, state="restored", target=COPY, addresses=[])["changed"]
    kit.ok("vps_container", name=COPY, state="absent")
    kit.container(COPY, template=minimal, state="stopped")
    assert "already; set replace" in kit.fails("vps_backup", name=NAME, state="restored", target=COPY, **repository)


def test_what_other_tasks_have_left_is_pruned_by_the_next_that_may(minimal, repository):
    kit.container(NAME, template=minimal, state="stopped")
    (kit.rootfs(NAME) / "data").write_bytes(os.urandom(4 << 20))
    backup(repository)
    (kit.rootfs(NAME) / "data").unlink()
    told = backup(repository, keep={"last": 1}, prune=False)
    assert len(told["removed"]) == 1 and not told["pruned"] and data(repository) > 4 << 20
    assert not backup(repository, max_age="1d", prune=False)["changed"]
    assert backup(repository, check=True, max_age="1d")["pruned"]
    told = backup(repository, max_age="1d")
    assert told["changed"] and told["pruned"] and told["removed"] == [] and data(repository) < 4 << 20
    told = backup(repository, max_age="1d")
    assert not told["changed"] and not told["pruned"]


def test_backups_of_a_vps_that_is_gone_expire(minimal, repository):
    kit.container(NAME, template=minimal, state="stopped")
    made = [backup(repository)["backup"]["id"] for _number in range(3)]
    kit.ok("vps_container", name=NAME, state="absent")
    assert "state absent with keep" in kit.fails("vps_backup", name=NAME, keep={"last": 1}, **repository)
    for check in (True, False):
        told = backup(repository, state="absent", keep={"last": 1}, check=check)
        assert told["changed"] and told["removed"] == made[:2]
    told = backup(repository, state="absent", keep={"last": 1})
    assert not told["changed"] and ids(told) == made[2:]


def test_a_password_file_is_looked_at_first(minimal, repository, tmp_path):
    kit.container(NAME, template=minimal, state="stopped")
    file = tmp_path / "password"
    given = {"name": NAME, "repository": repository["repository"], "password_file": str(file)}
    assert kit.fails("vps_backup", **given).startswith("password_file: ")
    file.write_text("\n", encoding="ascii")
    assert "no password in it" in kit.fails("vps_backup", **given)
    file.write_text(f"{PASSWORD}\n", encoding="ascii")
    file.chmod(0o644)
    assert [warning for warning in kit.ok("vps_backup", **given)["warnings"] if warning.startswith("password_file: every user")]
    file.chmod(0o600)
    assert not kit.ok("vps_backup", **given).get("warnings")


@pytest.mark.parametrize("keep", [{"last": 2}, {"daily": 3, "monthly": 5}, {"weekly": 3, "yearly": 1}, {"hourly": 4}, {"within": "1m2d"}])
def test_of_whole_backups_those_stay_that_restic_would_keep(repository, restic, tmp_path, keep):
    (tmp_path / "file").write_text("x", encoding="ascii")
    for month, day in ((1, 31), (2, 1), (2, 2), (2, 27), (3, 1), (3, 29), (3, 30)):
        restic("backup", "--quiet", "--host", NAME, "--tag", "mainline.vps", "--time", f"2026-{month:02}-{day:02} 12:00:00", str(tmp_path / "file"))
    theirs = restic("forget", "--dry-run", "--json", *(word for key, value in keep.items() for word in (f"--keep-{key}", str(value))))
    removed = {each["id"] for group in json.loads(theirs.splitlines()[0]) for each in group["remove"] or ()}
    assert set(backup(repository, state="absent", keep=keep, check=True)["removed"]) == removed
