# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every storage driver keeps of its contract (plugins/module_utils/node/storage/driver.py), on the node's own pool, without any VPS."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest
import vps_kit as kit
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.node import settings
from ansible_collections.mainline.vps.plugins.module_utils.node.parts import Parts

DRIVERS = ("btrfs", "image")
MIB = 1 << 20


@pytest.fixture(params=DRIVERS)
def driver(request, minimal):
    """A driver, with a template that it can clone."""
    found = Parts.of(settings.require()).drivers[request.param]
    source = template(minimal)
    if not found.ready(source):
        found.make_ready(source)
    return found


def template(name: str) -> str:
    """Its root file system."""
    return str(kit.pool() / "templates" / name / "rootfs")


@pytest.fixture
def place(driver):
    """Gives places for root file systems, each in a directory of its own; what is there goes with the test."""
    folder = kit.pool() / "it-drivers"
    folder.mkdir()

    def give(name: str) -> str:
        (folder / name).mkdir()
        return str(folder / name / "rootfs")

    yield give
    for one in folder.iterdir():
        driver.delete(str(one / "rootfs"))
    shutil.rmtree(folder)


def write(driver, root: str, text: str, name: str = "mark") -> None:
    """A file in a root file system."""
    with driver.opened(root):
        pathlib.Path(root, name).write_text(text, encoding="ascii")


def read(driver, root: str, name: str = "mark") -> str:
    """What is in it."""
    with driver.opened(root):
        return pathlib.Path(root, name).read_text(encoding="ascii")


def test_a_clone_has_what_its_template_has_and_is_its_own(driver, place, minimal):
    one, two = place("one"), place("two")
    for root in (one, two):
        driver.clone(template(minimal), root, Limits())
    write(driver, one, "one")
    with driver.opened(two):
        assert not os.path.exists(f"{two}/mark") and os.path.exists(f"{two}/bin/busybox")
    assert not os.path.exists(f"{template(minimal)}/mark")
    driver.delete(one)
    driver.delete(one)  # again, after a run that was killed in it
    with driver.opened(two):
        assert os.path.exists(f"{two}/bin/busybox")


def test_a_snapshot_keeps_what_was_there_and_can_be_cloned(driver, place, minimal):
    root, kept, again = place("one"), place("kept"), place("again")
    driver.clone(template(minimal), root, Limits())
    write(driver, root, "before")
    with driver.opened(root):  # in use
        driver.snapshot(root, kept)
        pathlib.Path(root, "mark").write_text("after", encoding="ascii")
    driver.clone(kept, again, Limits())
    assert (read(driver, again), read(driver, root)) == ("before", "after")
    write(driver, again, "mine")
    assert driver.usage(kept) > 0
    driver.delete(root)
    assert read(driver, kept) == "before", "it does not need what it was made of"


def test_a_snapshot_costs_what_has_changed_since(driver, place, minimal):
    root, kept = place("one"), place("kept")
    driver.clone(template(minimal), root, Limits())
    with driver.opened(root):
        pathlib.Path(root, "big").write_bytes(os.urandom(16 * MIB))
    os.sync()
    driver.snapshot(root, kept)
    os.sync()
    assert driver.exclusive(kept) < MIB
    with driver.opened(root):
        pathlib.Path(root, "big").write_bytes(os.urandom(16 * MIB))
    os.sync()
    # Of an image not all: its blocks are freed when ext4 gets to it, and an extent that the other has a part of is shared as a whole.
    assert 2 * MIB < driver.exclusive(kept) < 20 * MIB


def test_nothing_is_deleted_where_nothing_is(driver, place):
    driver.delete(place("none"))
