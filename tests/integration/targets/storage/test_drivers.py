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
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import Bound
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.node import settings
from ansible_collections.mainline.vps.plugins.module_utils.node.parts import Parts
from ansible_collections.mainline.vps.plugins.module_utils.node.storage.directory import Directory
from ansible_collections.mainline.vps.plugins.module_utils.node.storage.image import Image

DRIVERS = ("btrfs", "image", "dir")
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
    assert 4 * MIB < driver.exclusive(kept) < 20 * MIB  # an extent of which the other has a part still is shared as a whole


def test_nothing_is_deleted_where_nothing_is(driver, place):
    driver.delete(place("none"))


def test_two_root_file_systems_change_places_with_their_limits(driver, place, minimal):
    one, two = place("one"), place("two")
    for root, size in ((one, 256 * MIB), (two, 384 * MIB)):
        driver.clone(template(minimal), root, Limits(diskspace=Bound(size, size)))
        driver.limit(root, Limits(diskspace=Bound(size, size)))
        write(driver, root, os.path.basename(os.path.dirname(root)))
    sizes = driver.read(one).size, driver.read(two).size
    assert sizes == ((None, None) if driver.name == "dir" else (256 * MIB, 384 * MIB))
    driver.exchange(one, two)
    assert (read(driver, one), read(driver, two)) == ("two", "one")
    assert (driver.read(two).size, driver.read(one).size) == sizes
    driver.exchange(one, two)
    assert (read(driver, one), read(driver, two)) == ("one", "two")


def test_one_that_was_in_use_can_be_cloned_larger(driver, place, minimal):
    root, kept, again = place("one"), place("kept"), place("again")
    driver.clone(template(minimal), root, Limits(diskspace=Bound(128 * MIB, 128 * MIB)))
    with driver.opened(root):
        pathlib.Path(root, "mark").write_text("before", encoding="ascii")
        driver.snapshot(root, kept)  # whose journal has not been played
    driver.clone(kept, again, Limits(diskspace=Bound(300 * MIB, 300 * MIB)))
    assert read(driver, again) == "before"


def test_two_change_places_and_are_known_by_their_numbers(driver, place, minimal):
    one, two = place("one"), place("two")
    for root in (one, two):
        driver.clone(template(minimal), root, Limits())
        write(driver, root, os.path.basename(os.path.dirname(root)))
    numbers = driver.identity(one), driver.identity(two)
    assert numbers[0] != numbers[1]
    driver.exchange(one, two)
    assert (read(driver, one), read(driver, two)) == ("two", "one")
    assert (driver.identity(two), driver.identity(one)) == numbers
    os.rename(os.path.dirname(one), os.path.dirname(one) + "-moved")
    assert driver.identity(os.path.dirname(one) + "-moved/rootfs") == numbers[1], "wherever it is moved"


def test_an_image_with_inodes_of_its_own_is_made_of_what_is_in_the_snapshot(place, minimal):
    """On a node without project quota, where it is no copy of blocks."""
    driver = Image(quota=False)
    if not driver.ready(template(minimal)):
        driver.make_ready(template(minimal))
    root, kept, again = place("one"), place("kept"), place("again")
    driver.clone(template(minimal), root, Limits())
    write(driver, root, "before")
    driver.snapshot(root, kept)
    driver.clone(kept, again, Limits(diskinodes=Bound(20000, 20000)))
    assert read(driver, again) == "before"


def test_an_empty_one_is_filled_by_who_knows_the_owners_inside(driver, place):
    """Whatever ids its VPS has: those that read all of it see what is seen inside, and so does a copy with other ids."""
    if driver.name == "dir":
        driver = Directory(str(kit.pool()), first_id=704643072)
    root, kept, again = place("one"), place("kept"), place("again")
    driver.create(root, Limits(diskspace=Bound(128 * MIB, 128 * MIB)))
    with driver.opened(root, mapped=False):
        assert set(os.listdir(root)) <= {"lost+found"}
        pathlib.Path(root, "mark").write_text("restored", encoding="ascii")
        os.chown(f"{root}/mark", 7, 8)
        os.mkdir(f"{root}/etc")
    write(driver, root, "by the node", "etc/file")
    driver.snapshot(root, kept)
    driver.clone(kept, again, Limits(diskspace=Bound(128 * MIB, 128 * MIB)))
    for one in (root, kept, again):
        with driver.opened(one, mapped=False):
            owners = [(os.stat(f"{one}/{name}").st_uid, os.stat(f"{one}/{name}").st_gid) for name in ("mark", "etc", "etc/file")]
            assert owners == [(7, 8), (0, 0), (0, 0)], one
    assert read(driver, again) == "restored" and driver.usage(again) > 0
