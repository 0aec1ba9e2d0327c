# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool on a machine of its own (see kit/apart): what is told of it, how it grows, and that nothing is torn when it is full to the last byte."""

from __future__ import annotations

import errno
import os
import pathlib
import random
import signal
import time

import pytest
import vps_kit as kit

POOL, FILE = pathlib.Path("/mnt/vps"), pathlib.Path("/mnt/vps.img")
SMALL = {"pool": str(POOL), "pool_file": str(FILE), "networks": ["10.91.0.0/16"]}
MIB = 1 << 20
STORAGES = ("btrfs", "image", "dir")
TEMPLATE = f"{kit.PREFIX}pool-t"
SEED = int(os.environ.get("VPS_TEST_SEED") or time.time_ns() % 1_000_000)


def named(storage: str) -> str:
    """The VPS of a storage."""
    return f"{kit.PREFIX}pool-{storage}"


@pytest.fixture(autouse=True)
def pool():
    """A node with a pool of 512 MiB and a template."""
    kit.ok("vps_node", **SMALL, pool_size="512M")
    kit.settings.cache_clear()
    kit.ok("vps_template", name=TEMPLATE, source="minimal")
    yield POOL
    for path in POOL.glob("fill*"):
        path.unlink()
    kit.run("btrfs", "filesystem", "sync", str(POOL))
    for path in (POOL / "vps").iterdir():
        if not path.name.startswith("."):
            kit.ok("vps_container", name=path.name, state="absent")
    kit.ok("vps_template", name=TEMPLATE, state="absent")
    kit.ok("vps_node", **SMALL, state="absent")
    assert not FILE.exists() and not POOL.exists()


def vpss(**params) -> None:
    """One of each storage, running."""
    for storage in STORAGES:
        kit.container(named(storage), template=TEMPLATE, storage=storage, wait="booted", limits={"memory": "64M"}, **params)


def fill() -> None:
    """Take all that there is, to the last byte."""
    for number in range(3):  # what is committed meanwhile frees some
        size = MIB
        descriptor = os.open(POOL / f"fill{number}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
        while size:
            try:
                os.write(descriptor, os.urandom(size))
                os.fsync(descriptor)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                size //= 2
        try:
            os.close(descriptor)
        except OSError as error:
            assert error.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space left"):
        (POOL / "fill-small").write_bytes(b"x" * 600)


def told() -> dict:
    """The node, as vps_info tells it."""
    return kit.ok("vps_info")["node"]


# -- what is told --------------------------------------------------------------------------------------------------------


def test_size_use_and_promises_are_told():
    for storage in ("btrfs", "image"):
        kit.container(named(storage), template=TEMPLATE, storage=storage, state="stopped", limits={"diskspace": "100M"})
    kit.container(named("dir"), template=TEMPLATE, storage="dir", state="stopped")
    node, status = told(), os.statvfs(POOL)
    assert node["pool_size"] == status.f_blocks * status.f_frsize == 512 * MIB
    assert abs(node["pool_free"] - status.f_bavail * status.f_frsize) < MIB and 0 < node["pool_used"] < 100 * MIB
    assert node["pool_unpromised"] == 312 * MIB


def test_what_a_vps_alone_takes_is_told_to_who_asks():
    vpss()
    for storage in STORAGES:
        kit.shell(named(storage), "dd if=/dev/urandom of=/big bs=1M count=20; sync")
    kit.run("btrfs", "filesystem", "sync", str(POOL))
    for vps in kit.ok("vps_info", exclusive=True)["vpss"]:
        assert 20 * MIB <= vps["disk_exclusive"] < 30 * MIB < vps["disk_used"] + 10 * MIB, vps["name"]
    assert all("disk_exclusive" not in vps for vps in kit.ok("vps_info")["vpss"])


def test_a_pool_that_gets_full_is_told_by_whoever_looks():
    vpss()
    assert "warnings" not in kit.ok("vps_info")
    assert kit.ok("vps_node", **SMALL, pool_warning=90)["node"]["pool_warning"] == 90
    (POOL / "fill").write_bytes(os.urandom(100 * MIB))
    kit.run("btrfs", "filesystem", "sync", str(POOL))
    tasks = (
        ("vps_info", {}), ("vps_node", SMALL), ("vps_limits", {"name": named("btrfs"), "memory": "64M"}),
        ("vps_container", {"name": named("dir")}), ("vps_container", {"name": named("new"), "template": TEMPLATE, "state": "stopped"}),
    )
    for module, params in tasks:
        (warning,) = kit.ok(module, **params)["warnings"]
        assert warning.startswith("pool: ") and "less than 90% (pool_warning of vps_node)" in warning, warning
    kit.ok("vps_node", **SMALL, pool_warning=0)
    assert "warnings" not in kit.ok("vps_info") and "warnings" not in kit.ok("vps_node", **SMALL)


# -- larger --------------------------------------------------------------------------------------------------------------


def test_it_grows_while_its_vpss_run():
    vpss()
    fill()
    running = {storage: kit.pid(named(storage)) for storage in STORAGES}
    check = kit.ok("vps_node", check=True, **SMALL, pool_size="768M")
    done = kit.ok("vps_node", **SMALL, pool_size="768M")
    assert check["changes"] == done["changes"] and [change["option"] for change in done["changes"]] == ["pool_size"]
    assert not kit.ok("vps_node", **SMALL, pool_size="768M")["changed"]
    assert told()["pool_size"] == 768 * MIB and told()["pool_free"] > 150 * MIB
    for storage in ("btrfs", "dir"):
        kit.shell(named(storage), "dd if=/dev/urandom of=/big bs=1M count=20 && sync && sha256sum /big >/sum && sha256sum -c /sum")
    assert {storage: kit.pid(named(storage)) for storage in STORAGES} == running


def test_it_does_not_grow_beyond_what_is_below_it():
    before = os.stat(FILE).st_size
    assert "more than the" in kit.fails("vps_node", **SMALL, pool_size="1T")
    assert os.stat(FILE).st_size == before


# -- full ----------------------------------------------------------------------------------------------------------------


def test_in_a_full_pool_vpss_run_and_limits_change():
    vpss()
    stopped = named("stopped")
    kit.container(stopped, template=TEMPLATE, state="stopped")
    fill()
    running = {storage: kit.pid(named(storage)) for storage in STORAGES}
    for number in range(4):
        for name in (*map(named, STORAGES), stopped):
            kit.foretold("vps_limits", name=name, memory=f"{70 + number}M", processes=100 + number)
        for storage in STORAGES:
            assert int(kit.held(named(storage), "memory.max" if kit.V2 else "memory.limit_in_bytes")) == (70 + number) * MIB
    for storage in STORAGES:
        assert kit.said(named(storage), "echo", "alive") == "alive" and kit.pid(named(storage)) == running[storage]
    for storage in ("btrfs", "dir"):
        kit.container(named(storage), state="restarted", wait="running")
        assert kit.said(named(storage), "echo", "alive") == "alive"
    with kit.Untouched():
        assert kit.fails("vps_container", name=named("new"), template=TEMPLATE, storage="dir").startswith("name: the pool is full")
    assert {vps["name"] for vps in kit.ok("vps_info")["vpss"]} == {*map(named, STORAGES), stopped}
    kit.container(named("btrfs"), state="absent")
    for path in POOL.glob("fill*"):
        path.unlink()
    kit.run("btrfs", "filesystem", "sync", str(POOL))
    kit.container(named("new"), template=TEMPLATE, wait="booted")
    assert len(list((POOL / ".spare").iterdir())) == 64, "there is room for spare files again"


def test_a_guest_that_takes_all_it_can_get_leaves_the_node_its_own():
    """It writes all the time, and would have whatever is given back."""
    vpss()
    fill()
    writer = kit.background(named("btrfs"), "while :; do dd if=/dev/zero of=/big bs=64k; sync; done")
    try:
        for number in range(6):
            for storage in STORAGES:
                kit.ok("vps_limits", name=named(storage), memory=f"{70 + number}M")
    finally:
        kit.end(writer)
    assert {vps["limits"]["memory"] for vps in kit.ok("vps_info")["vpss"]} == {"75M"}


def test_killed_in_a_full_pool_the_next_run_converges():
    vpss()
    fill()
    chance = random.Random(SEED)
    for number in range(20):
        storage, memory = STORAGES[number % 3], f"{80 + number}M"
        run = kit.launch("vps_limits", name=named(storage), memory=memory)
        time.sleep(chance.uniform(0.1, 0.5))
        run.send_signal(signal.SIGKILL)
        run.communicate()
        kit.ok("vps_limits", name=named(storage), memory=memory)
        assert not kit.ok("vps_limits", name=named(storage), memory=memory)["changed"], f"seed {SEED}, kill {number}"
    assert len(kit.ok("vps_info")["vpss"]) == 3


def test_when_nothing_at_all_is_left_that_is_one_sentence():
    kit.container(named("btrfs"), template=TEMPLATE, state="stopped")
    fill()
    for path in (POOL / ".spare").iterdir():
        path.rename(POOL / f"fill-{path.name}")
    before = (POOL / f"vps/{named('btrfs')}/vps.json").read_text(encoding="utf-8")
    told = kit.fails("vps_limits", name=named("btrfs"), memory="70M")
    assert told.startswith("pool: No space left on device") and told.endswith("; enlarge the pool or remove a VPS."), told
    assert (POOL / f"vps/{named('btrfs')}/vps.json").read_text(encoding="utf-8") == before
