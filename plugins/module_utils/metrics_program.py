# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that tells Prometheus of this node: reads it once, writes one file that node_exporter reads, and ends.

It is what is in an archive that vps_metrics makes of this collection's own code (node/bundle.py), so it reads as the modules do, without
Ansible. A systemd timer runs it, or whoever wants to, as root.
"""

from __future__ import annotations

import os
import resource
import sys
import time

from .core import exposition, metrics
from .core.errors import VpsError
from .core.exposition import GAUGE, Family
from .core.metrics_plan import Settings
from .node import files, metering
from .node.meter import Meter


def main() -> int:
    """Write the file; the exit code: 1 where the node cannot be read, which the file says too, 2 where nothing can be written."""
    os.umask(0o022)
    try:
        settings = metering.require()
    except (VpsError, OSError) as error:
        return _complain(error, 2)
    code = 0
    try:
        families = read(settings)
    except (VpsError, OSError) as error:
        families, code = metrics.unusable(), _complain(error, 1)
    try:
        write(settings, families)
    except (VpsError, OSError) as error:
        return _complain(error, 2)
    return code


def read(settings: Settings) -> list[Family]:
    """What there is to tell, and what telling it has cost; raises VpsError or OSError where the node cannot be read."""
    began = time.monotonic()
    meter = Meter()
    meter.require_usable()
    families = metrics.families(meter.reading(), settings.labels)
    cost = (
        Family("vps_metrics_cpu_seconds", GAUGE, "CPU time that reading all of this took, programs included.", (), {(): round(_cpu_time(), 3)}),
        Family("vps_metrics_duration_seconds", GAUGE, "How long it took.", (), {(): round(time.monotonic() - began, 3)}),
    )
    return [*families, *cost]


def write(settings: Settings, families: list[Family]) -> None:
    """Replace the file, for everybody to read, by one rename; raises VpsError where others could write beside it."""
    metering.require_folder(settings.file)
    often = Family("vps_metrics_interval_seconds", GAUGE, "How often this is written.", (), {(): settings.interval})
    files.write(settings.file, exposition.render([often, *families]), mode=0o644)


def _cpu_time() -> float:
    """Of this process and those that it has waited for, in s."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def _complain(error: Exception, code: int) -> int:
    sys.stderr.write(f"vps-metrics: {error}\n")
    return code
