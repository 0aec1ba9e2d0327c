# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to place VPSs on 10, 100, 1,000 and 10,000 made-up nodes, 20 for each node, and how good the places are.

`python benchmarks/placement.py` from a checkout whose collection path is in PYTHONPATH (`make benchmark` says how); needs no node, no root and
nothing but a CPU. Another greatest number of nodes: as the first argument. The table goes to the standard output.

Times are the process's own (CPU seconds), so that a busy machine tells the same. Three lists: `plans` has four sizes, as a provider's; `kept apart`
the same in clusters of five that never share a node; `any size` hardly two VPSs of one size, which is the worst case. About nine tenths of memory or
disk are promised in the end. `first` places all on empty nodes; `next` is the run after that, with all of them there and one VPS more. For `pack`,
nodes used are compared with the least number that any packing needs; for `spread`, the largest difference between two nodes' loads with the share of
the largest VPS.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping

from ansible_collections.mainline.vps.plugins.filter.vps_place import vps_place

GIB = 1 << 30
MEMORY, DISK = 96, 1500  # GiB of each node
PLANS = ((1, 20), (2, 40), (4, 60), (8, 100))  # GiB of memory and of disk
EACH = 20
LISTS = ("plans", "kept apart", "any size")


def node(*vpss: Mapping) -> dict:
    """What vps_info returns of a node with these VPSs."""
    has = {"memory": MEMORY * GIB, "swap": 0, "cpu": 3200, "disk": DISK * GIB, "processes": 1 << 20}
    promised = {
        "memory": sum(int(vps["limits"]["memory"][:-1]) << 20 for vps in vpss),
        "disk": sum(int(vps["limits"]["diskspace"][:-1]) * GIB for vps in vpss),
    }
    capacity = {name: {"present": value, "promised": promised.get(name, 0), "overcommit": None} for name, value in has.items()}
    return {"node": {"capacity": capacity}, "vpss": list(vpss)}


def vpss(kind: str, count: int) -> list[dict]:
    """A list of VPSs, the same each time."""
    rng, found = random.Random(count), []
    for number in range(count):
        memory, disk = rng.choice(PLANS)
        limits = {"memory": f"{memory << 10}M", "diskspace": f"{disk}G"}
        if kind == "any size":
            limits = {"memory": f"{rng.randint(256, 8192)}M", "diskspace": f"{rng.randint(5, 110)}G"}
        found.append({"name": f"vps{number}", "limits": limits, "labels": {"cluster": f"c{number // 5}"} if kind == "kept apart" else {}})
    return found


def quality(strategy: str, fleet: list[dict], result: dict) -> str:
    """How near it is to the best that there could be."""
    if strategy == "pack":
        used = sum(told["vpss"] > 0 for told in result["nodes"].values())
        memory = sum(int(vps["limits"]["memory"][:-1]) for vps in fleet) / (MEMORY << 10)
        disk = sum(int(vps["limits"]["diskspace"][:-1]) for vps in fleet) / DISK
        least = -int(-max(memory, disk) // 1)
        return f"{used} nodes, {used / least:.3f} x the least ({least})"
    loads = [max(told["promised"].values()) for told in result["nodes"].values()]
    largest = max(max(int(vps["limits"]["memory"][:-1]) / (MEMORY << 10), int(vps["limits"]["diskspace"][:-1]) / DISK) for vps in fleet)
    return f"loads {min(loads):.1f} to {max(loads):.1f} %, the largest VPS is {100 * largest:.1f} %"


def main() -> None:
    """Measure; the nodes are made anew for each run, and that is not in the times."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(f"{'nodes':>6} {'VPSs':>7} {'list':11} {'strategy':8} {'first, s':>9} {'us/VPS':>7} {'next, s':>8} {'refused':>7} {'moved':>5}  quality")
    for count in (10, 100, 1_000, 10_000):
        for kind in LISTS if count <= most else ():
            fleet = vpss(kind, EACH * count)
            for strategy in ("spread", "pack"):
                apart = {"cluster": "hard"} if kind == "kept apart" else {}
                started = time.process_time()
                result = vps_place(fleet, {f"node{number}": node() for number in range(count)}, strategy, apart)
                first = time.process_time() - started
                nodes = {name: node(*there) for name, there in result["by_node"].items()}
                started = time.process_time()
                after = vps_place([*fleet, {**fleet[0], "name": "another"}], nodes, strategy, apart)
                following = time.process_time() - started
                before = {one["name"]: one["node"] for one in result["placed"]}
                moved = sum(one["node"] != before.get(one["name"], one["node"]) for one in after["placed"])
                print(
                    f"{count:6} {len(fleet):7} {kind:11} {strategy:8} {first:9.3f} {1e6 * first / len(fleet):7.0f} {following:8.3f} {len(result['refused']):7} "
                    f"{moved:5}  {quality(strategy, fleet, result)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
