# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS's disk costs with each storage: the time that a clone, a snapshot and a removal take, and the bytes of the pool that each clone has alone.

Run as root on a node with a template `minimal` (another one: as the first argument), `make benchmark`. The floor is `btrfs subvolume
snapshot` by itself, in turn with the others in the same run. No VPS is made: these are root file systems in a folder of their own in the pool.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.node import settings
from ansible_collections.mainline.vps.plugins.module_utils.node.parts import Parts

ROUNDS = 25
FLOOR = "btrfs subvolume snapshot"


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def quiet(*argv: str) -> None:
    """Run a program that says nothing of interest."""
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Measure in turn, so that a machine that gets slower gets slower for all."""
    parts = Parts.of(settings.require())
    template = sys.argv[1] if len(sys.argv) > 1 else "minimal"
    source = os.path.join(parts.templates.path(template), "rootfs")
    folder = os.path.join(parts.settings.pool, "benchmark")
    os.mkdir(folder, 0o700)
    steps: dict[str, list[float]] = {f"{FLOOR} (floor)": []}
    alone: dict[str, list[int]] = {}
    try:
        for driver in parts.drivers.values():
            if not driver.ready(source):
                driver.make_ready(source)
        for turn in range(ROUNDS):
            floor = os.path.join(folder, f"floor-{turn}")
            steps[f"{FLOOR} (floor)"].append(timed(lambda floor=floor: quiet("btrfs", "subvolume", "snapshot", source, floor)))
            quiet("btrfs", "subvolume", "delete", floor)
            for name, driver in parts.drivers.items():
                for kind in ("one", "kept"):
                    os.mkdir(os.path.join(folder, f"{name}-{kind}-{turn}"))
                root, kept = (os.path.join(folder, f"{name}-{kind}-{turn}", "rootfs") for kind in ("one", "kept"))
                work = {
                    "clone": lambda driver=driver, root=root: driver.clone(source, root, Limits()),
                    "snapshot": lambda driver=driver, root=root, kept=kept: driver.snapshot(root, kept),
                    "remove": lambda driver=driver, kept=kept: driver.delete(kept),
                }
                for step, run in work.items():
                    steps.setdefault(f"{name}: {step}", []).append(timed(run))
                parts.storage.sync()
                alone.setdefault(name, []).append(driver.exclusive(root))
                driver.delete(root)
    finally:
        for driver in parts.drivers.values():
            for entry in os.listdir(folder):
                driver.delete(os.path.join(folder, entry, "rootfs"))
        shutil.rmtree(folder, ignore_errors=True)
    least = statistics.median(steps[f"{FLOOR} (floor)"])
    print(f"{f'template {template}, median of {ROUNDS}':36} {'ms':>8} {'x floor':>8}")
    for step, times in steps.items():
        print(f"{step:36} {statistics.median(times):8.2f} {statistics.median(times) / least:8.2f}")
    for name, sizes in alone.items():
        print(f"{f'{name}: a new clone has alone, KiB':36} {statistics.median(sizes) / 1024:8.0f}")


if __name__ == "__main__":
    main()
