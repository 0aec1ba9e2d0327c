# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""I/O limits, measured with fio: bytes and operations per second, reads and writes apart."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

import pytest
import vps_kit as kit

MIB = 1 << 20
SECONDS = 4


@pytest.fixture(scope="module", autouse=True)
def fio() -> None:
    """The node's own: it runs in the cgroup of a VPS."""
    if shutil.which("fio") is None:
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "fio"],
            check=True, stdin=subprocess.DEVNULL, capture_output=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )


@pytest.fixture(scope="module")
def pair(minimal):
    """Two guests, each with a file of 64 MiB."""
    names = ("it-io", "it-io-beside")
    for name in names:
        kit.container(name, template=minimal, wait="booted")
        kit.shell(name, "dd if=/dev/zero of=/data bs=1M count=64 conv=fsync")
    return names


@pytest.fixture
def vps(pair):
    """The guest to be limited, without limits."""
    yield pair[0]
    kit.ok("vps_limits", name=pair[0])


def start(name: str, way: str, *, block: int, seconds: int = SECONDS) -> subprocess.Popen:
    """fio in the cgroup of a guest, on its file and past the page cache; in the node's own namespaces, where fio is."""
    return subprocess.Popen(
        [
            "lxc-attach", "-n", name, "-s", "IPC", "--elevated-privileges=CAP|LSM", "--",
            "fio", "--name=test", f"--filename={kit.rootfs(name)}/data", f"--rw={way}",
            f"--bs={block}", "--direct=1", "--ioengine=psync", "--size=64M", "--time_based", f"--runtime={seconds}", "--ramp_time=1", "--output-format=json",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def measured(run: subprocess.Popen, way: str) -> tuple[float, float]:
    """(bytes, operations) per second."""
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    told = json.loads(output[output.index("{") :])["jobs"][0]["read" if "read" in way else "write"]
    return told["bw_bytes"], told["iops"]


def rate(name: str, way: str, *, block: int) -> tuple[float, float]:
    """What one fio gets."""
    return measured(start(name, way, block=block), way)


WAYS = {"read": ("read", "write"), "write": ("write", "read")}


@pytest.mark.parametrize("way", WAYS)
def test_bytes_per_second_are_what_was_asked(vps, way):
    way, other = WAYS[way]
    told = kit.foretold("vps_limits", name=vps, **{f"iolimit_{way}": "4M"})["fidelity"][0]
    assert told["limit"] == f"iolimit_{way}" and str(4 * MIB) in told["held"] and kit.pool_disk() in told["where"] + kit.throttles(vps)
    assert kit.settle(lambda: rate(vps, way, block=128 << 10)[0], near=4 * MIB, within=0.15)
    assert rate(vps, other, block=128 << 10)[0] > 8 * MIB, "the other way is throttled too"
    kit.ok("vps_limits", name=vps, **{f"iolimit_{way}": "8M"})
    assert kit.settle(lambda: rate(vps, way, block=128 << 10)[0], near=8 * MIB, within=0.15)
    kit.ok("vps_limits", name=vps)
    assert rate(vps, way, block=128 << 10)[0] > 16 * MIB, "it is throttled still"


@pytest.mark.parametrize("way", WAYS)
def test_operations_per_second_are_what_was_asked(vps, way):
    way, other = WAYS[way]
    kit.foretold("vps_limits", name=vps, **{f"iopslimit_{way}": "200"})
    assert kit.settle(lambda: rate(vps, f"rand{way}", block=4096)[1], near=200, within=0.15)
    assert rate(vps, f"rand{other}", block=4096)[1] > 400, "the other way is throttled too"


def test_one_limit_for_both_ways_and_for_each_neighbour_none(vps, pair):
    kit.foretold("vps_limits", name=vps, iolimit="4M", iopslimit="1000")
    for way in ("read", "write"):
        beside = start(pair[1], "write", block=128 << 10)
        assert kit.settle(lambda way=way: rate(vps, way, block=128 << 10)[0], near=4 * MIB, within=0.15)
        assert measured(beside, "write")[0] > 8 * MIB


def test_io_limits_are_kept_over_a_restart_and_a_reboot_from_inside(vps):
    kit.ok("vps_limits", name=vps, iolimit_write="4M")
    kit.container(vps, state="restarted", wait="booted")
    assert kit.settle(lambda: rate(vps, "write", block=128 << 10)[0], near=4 * MIB, within=0.15)
    kit.ok("vps_limits", name=vps, iolimit_write="6M")
    init = kit.pid(vps)
    kit.inside(vps, "reboot", check=False)
    kit.until("another init", lambda: kit.pid(vps) not in (None, init))
    assert kit.settle(lambda: rate(vps, "write", block=128 << 10)[0], near=6 * MIB, within=0.15)


def test_ioprio_is_a_weight_where_the_disk_shares_by_weight(vps):
    """7 is a weight of 160, where the disk's scheduler is bfq; elsewhere it is refused.

    That a busy disk is then shared is not shown: what is busy below a pool in a file is the node's page cache.
    """
    queue = pathlib.Path(f"/sys/dev/block/{kit.pool_disk()}/queue/scheduler")
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", "bfq"], check=False)
    before = queue.read_text(encoding="ascii").split("[")[1].split("]")[0]
    if before != "bfq":
        assert "set its scheduler to bfq" in kit.fails("vps_limits", name=vps, ioprio="7")
    if "bfq" not in queue.read_text(encoding="ascii"):
        pytest.skip("this kernel has no bfq for the pool's disk")
    queue.write_text("bfq", encoding="ascii")
    try:
        told = kit.foretold("vps_limits", name=vps, ioprio="7")["fidelity"][0]
        assert (told["fidelity"], told["held"]) == ("approximate", "160")
        kit.container(vps, state="restarted", wait="booted")
        assert not kit.ok("vps_limits", name=vps, ioprio="7")["changed"]
    finally:
        kit.ok("vps_limits", name=vps)
        queue.write_text(before, encoding="ascii")
