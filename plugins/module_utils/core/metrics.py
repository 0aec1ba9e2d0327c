# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is told of a node and its VPSs: from what was read to families of samples.

Pure. Read by node/meter.py. How many series a VPS has is for this file to say, and for nobody in it: its labels are its name, and words that
are written here; what the playbook says of it besides is on one series, vps_info.
Units are Prometheus's base units (bytes, seconds); beancounters alone keep OpenVZ's. A counter restarts with its VPS, unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .beancounters import BEANCOUNTERS
from .exposition import COUNTER, GAUGE, Family, label_name
from .model import FROZEN, RUNNING, STOPPED, Manifest, Vps

_MICRO = 1e-6
_Values = Callable[["Metered"], "int | float | None"]


@dataclass(frozen=True)
class Metered:
    """One VPS as it was read. `used` as core/usage.py tells it, `traffic` as node/traffic.py does; moments in s since 1970.

    `failed`: whether its unit has, None without systemd. `snapshots` are when those were made, `backed_up` when the last whole backup was.
    """

    vps: Vps
    run: str = STOPPED
    used: Mapping[str, Any] = field(default_factory=dict)
    traffic: Mapping[str, int] = field(default_factory=dict)
    snapshots: tuple[float, ...] = ()
    failed: bool | None = None
    backed_up: float | None = None

    def row(self, resource: str) -> Mapping[str, Any]:
        """The row of a resource; an empty one where nothing is known of it."""
        return next((row for row in self.used.get("rows", ()) if row["resource"] == resource), {})

    def part(self, part: str, name: str) -> int | None:
        """A number of C(memory), C(cpu) or C(io)."""
        return self.used.get(part, {}).get(name)


@dataclass(frozen=True)
class Reading:
    """A node as it was read. `summary` as vps_info returns C(node); `users` maps a template to how many VPSs came from it.

    `unread` are the VPSs, and `unread_templates` the templates, that could not be read. `failed_units` are those of ours that have failed.
    """

    summary: Mapping[str, Any]
    vpss: tuple[Metered, ...] = ()
    manifests: tuple[Manifest, ...] = ()
    users: Mapping[str, int] = field(default_factory=dict)
    unread: int = 0
    unread_templates: int = 0
    packet_filter: bool = True
    lxcfs: bool = True
    failed_units: int | None = None


def unusable() -> list[Family]:
    """What is told of a node that cannot be read at all."""
    return [_usable(0)]


def families(reading: Reading, labels: Iterable[str] = ()) -> list[Family]:
    """All of it. `labels` are those of the VPSs' labels that go along."""
    return [_usable(1), *_node(reading), *_templates(reading), *_vpss(reading.vpss, tuple(labels))]


def _usable(value: int) -> Family:
    return Family("vps_node_usable", GAUGE, "Whether the node could be read: its settings, its pool and its programs are there.", (), {(): value})


# -- the node -----------------------------------------------------------------------------------------------------------


def _node(reading: Reading) -> list[Family]:
    told, capacity = reading.summary, reading.summary["capacity"]
    free = told["pool_unpromised"]
    plain = (
        ("vps_node_pool_size_bytes", "Size of the pool's file system.", told["pool_size"]),
        ("vps_node_pool_used_bytes", "What of it is in use, by templates and by the file system itself too.", told["pool_used"]),
        ("vps_node_pool_free_bytes", "What the pool can still take.", told["pool_free"]),
        ("vps_node_pool_promised_bytes", "What is promised to all VPSs by diskspace.", None if free is None else told["pool_size"] - free),
        ("vps_node_packet_filter_in_force", "Whether the packet filter has the tables that the VPSs' records ask for.", int(reading.packet_filter)),
        ("vps_node_lxcfs_running", "Whether lxcfs runs, without which VPSs see the node's memory, CPUs and uptime, or none.", int(reading.lxcfs)),
        ("vps_node_unreadable_records", "VPSs and templates that could not be read, and are missing here.", reading.unread + reading.unread_templates),
        ("vps_node_failed_units", "Units of VPSs, and of the node for them, that have failed.", reading.failed_units),
    )
    return [
        Family("vps_node_info", GAUGE, "The node.", ("pool", "cgroup_version"), {(str(told["pool"]), str(told["cgroup_version"])): 1}),
        *(Family(name, GAUGE, words, (), {(): value}) for name, words, value in plain),
        *(
            Family(f"vps_node_{name}", GAUGE, words, ("resource",), {(resource,): _scaled(each[key], by) for resource, each in capacity.items()})
            for name, words, key, by in _CAPACITY
        ),
    ]


_UNIT = "memory, swap and disk in bytes, cpu in percent of one, processes as a number."
_CAPACITY = (
    ("present", f"What the node has of what VPSs are promised: {_UNIT}", "present", 1),
    ("promised", f"The sum of all VPSs' limits: {_UNIT}", "promised", 1),
    ("used", f"What is in use, by the node itself too: {_UNIT}", "used", 1),
    ("unlimited_vpss", "VPSs without such a limit, which are not in the sum.", "unlimited", 1),
    ("commitment_ratio", "What is promised, as a part of what there is.", "commitment", 0.01),
    ("overcommit_ratio", "The most that may be promised, as a part of what there is; none where there is no such bound.", "overcommit", 0.01),
)


def _templates(reading: Reading) -> list[Family]:
    each = {manifest.template.name: manifest for manifest in reading.manifests}
    return [
        Family(
            "vps_template_created_timestamp_seconds", GAUGE, "When a template was made.", ("template",),
            {(name,): moment(manifest.created) for name, manifest in each.items()},
        ),
        Family("vps_template_size_bytes", GAUGE, "What is in a template.", ("template",), {(name,): one.size for name, one in each.items()}),
        Family("vps_template_vpss", GAUGE, "VPSs that came from a template.", ("template",), {(name,): reading.users.get(name, 0) for name in each}),
    ]


def moment(text: str | None) -> float | None:
    """Of ISO 8601, in s since 1970; None of nothing, or of something else, which somebody has written there."""
    try:
        return datetime.fromisoformat((text or "").strip()).timestamp()
    except (ValueError, OverflowError):
        return None


# -- VPSs -----------------------------------------------------------------------------------------------------------------


def _vpss(vpss: Iterable[Metered], labels: tuple[str, ...]) -> list[Family]:
    there = tuple(vpss)
    return [
        _info(there, labels),
        *(Family(name, kind, words, ("vps",), {(one.vps.name,): value(one) for one in there}) for name, kind, words, value in _EACH),
        Family(
            "vps_memory_part_bytes", GAUGE, "What its memory is used for; file is page cache.", ("vps", "part"),
            {(one.vps.name, part): one.part("memory", part) for one in there for part in ("anon", "file", "shmem", "kernel", "sock")},
        ),
        *(_pressure(there, *one) for one in _PRESSURE),
        *(
            Family(
                f"vps_beancounter_{name}", kind, f"{words}, in OpenVZ's units: pages of 4096 bytes, bytes, or a number.", ("vps", "resource"),
                {(one.vps.name, row["resource"]): row[key] for one in there for row in one.used.get("rows", ()) if row["resource"] in BEANCOUNTERS},
            )
            for name, kind, words, key in _COLUMNS
        ),
    ]


def _info(vpss: Iterable[Metered], labels: tuple[str, ...]) -> Family:
    """The one series that has what the playbook says. What a VPS does not have is an empty label, which Prometheus takes for none."""
    names = ("vps", "template", "plan", "storage", *map(label_name, labels))
    samples: dict[tuple[str, ...], int | float | None] = {}
    for one in vpss:
        own = dict(one.vps.labels)
        values = (one.vps.name, one.vps.template, one.vps.plan or "", one.vps.storage, *(own.get(key, "") for key in labels))
        samples[values] = 1
    return Family("vps_info", GAUGE, "Each VPS: its template, plan and storage, and those of its labels that the node passes on.", names, samples)


def _pressure(vpss: Iterable[Metered], name: str, words: str, who: str) -> Family:
    samples: dict[tuple[str, ...], int | float | None] = {}
    for one in vpss:
        for resource, told in one.used.get("pressure", {}).items():
            samples[(one.vps.name, resource)] = _scaled(((told or {}).get(who) or {}).get("total"), _MICRO)
    return Family(f"vps_pressure_{name}_seconds_total", COUNTER, words, ("vps", "resource"), samples)


_PRESSURE = (
    ("waiting", "Time in which some of its processes had to wait for cpu, memory or io.", "some"),
    ("stalled", "Time in which all of them had to.", "full"),
)
_COLUMNS = (
    ("held", GAUGE, "How much a VPS has now", "held"),
    ("maxheld", GAUGE, "How much it has had at most since it was started", "peak"),
    ("barrier", GAUGE, "The barrier in force; none where there is no limit", "barrier"),
    ("limit", GAUGE, "The limit in force; none where there is none", "limit"),
    ("failcnt_total", COUNTER, "How often more was refused", "failcnt"),
)


def _scaled(value: float | None, by: float) -> int | float | None:
    return value if value is None or by == 1 else round(value * by, 6)


def _of_row(resource: str, key: str, by: float = 1) -> _Values:
    return lambda one: _scaled(one.row(resource).get(key), by)


def _of(part: str, name: str, by: float = 1) -> _Values:
    return lambda one: _scaled(one.part(part, name), by)


def _carried(name: str) -> _Values:
    return lambda one: one.traffic.get(name)


_ALWAYS = "; goes on over its restarts"
_EACH: tuple[tuple[str, str, str, _Values], ...] = (
    ("vps_running", GAUGE, "Whether it runs.", lambda one: int(one.run == RUNNING)),
    ("vps_frozen", GAUGE, "Whether it is frozen.", lambda one: int(one.run == FROZEN)),
    ("vps_onboot", GAUGE, "Whether it is to start with the node.", lambda one: int(one.vps.onboot)),
    ("vps_rescue", GAUGE, "Whether it is in rescue.", lambda one: int(one.vps.rescue is not None)),
    ("vps_unfinished", GAUGE, "Whether a run was killed, or is at work, while it changed it.", lambda one: int(bool(one.vps.unfinished))),
    ("vps_failed", GAUGE, "Whether its unit has failed.", lambda one: None if one.failed is None else int(one.failed)),
    ("vps_snapshots", GAUGE, "Its snapshots.", lambda one: len(one.snapshots)),
    ("vps_snapshot_newest_timestamp_seconds", GAUGE, "When the newest of them was made.", lambda one: max(one.snapshots, default=None)),
    ("vps_backup_newest_timestamp_seconds", GAUGE, "When its newest whole backup was made.", lambda one: one.backed_up),
    ("vps_memory_bytes", GAUGE, "Memory that it has, page cache included.", _of_row("memory", "held")),
    ("vps_memory_peak_bytes", GAUGE, "The most that it has had since it was started.", _of_row("memory", "peak")),
    ("vps_memory_high_bytes", GAUGE, "From where on it is slowed down.", _of_row("memory", "barrier")),
    ("vps_memory_limit_bytes", GAUGE, "The most that it may have.", _of_row("memory", "limit")),
    ("vps_memory_refused_total", COUNTER, "How often it met that limit (cgroup v1), or did not get memory for it (v2).", _of_row("memory", "failcnt")),
    ("vps_memory_oom_kills_total", COUNTER, "Processes in it that the kernel has killed for want of memory.", _of("memory", "oom_kill")),
    ("vps_swap_bytes", GAUGE, "Swap that it has.", _of_row("swap", "held")),
    ("vps_swap_limit_bytes", GAUGE, "The most that it may have.", _of_row("swap", "limit")),
    ("vps_processes", GAUGE, "Its processes and threads.", _of_row("processes", "held")),
    ("vps_processes_limit", GAUGE, "The most that it may have.", _of_row("processes", "limit")),
    ("vps_processes_refused_total", COUNTER, "How often one more was refused.", _of_row("processes", "failcnt")),
    ("vps_cpu_seconds_total", COUNTER, "CPU time.", _of("cpu", "usage_usec", _MICRO)),
    ("vps_cpu_user_seconds_total", COUNTER, "CPU time in its programs.", _of("cpu", "user_usec", _MICRO)),
    ("vps_cpu_system_seconds_total", COUNTER, "CPU time in the kernel.", _of("cpu", "system_usec", _MICRO)),
    ("vps_cpu_limit_cores", GAUGE, "The most CPU time that it may have in a second.", _of_row("cpu", "limit", 0.01)),
    ("vps_cpu_periods_total", COUNTER, "Periods of 100 ms in which it wanted CPU time.", _of("cpu", "nr_periods")),
    ("vps_cpu_throttled_periods_total", COUNTER, "Those in which it met its limit.", _of("cpu", "nr_throttled")),
    ("vps_cpu_throttled_seconds_total", COUNTER, "Time that it waited for the next.", _of("cpu", "throttled_usec", _MICRO)),
    ("vps_disk_bytes", GAUGE, "What is on its disk, its template's data included.", _of_row("diskspace", "held")),
    ("vps_disk_limit_bytes", GAUGE, "The most that may be.", _of_row("diskspace", "limit")),
    ("vps_disk_inodes", GAUGE, "Inodes on its disk, where its storage counts them.", _of_row("diskinodes", "held")),
    ("vps_disk_inodes_limit", GAUGE, "The most that there may be.", _of_row("diskinodes", "limit")),
    ("vps_io_read_bytes_total", COUNTER, "Bytes read from the pool's disk.", _of("io", "read_bytes")),
    ("vps_io_written_bytes_total", COUNTER, "Bytes written to it.", _of("io", "written_bytes")),
    ("vps_io_reads_total", COUNTER, "Reads from it.", _of("io", "reads")),
    ("vps_io_writes_total", COUNTER, "Writes to it.", _of("io", "writes")),
    ("vps_network_receive_bytes_total", COUNTER, f"Bytes that it was sent{_ALWAYS}.", _carried("bytes_in")),
    ("vps_network_transmit_bytes_total", COUNTER, f"Bytes that it has sent{_ALWAYS}.", _carried("bytes_out")),
    ("vps_network_receive_packets_total", COUNTER, f"Packets that it was sent{_ALWAYS}.", _carried("packets_in")),
    ("vps_network_transmit_packets_total", COUNTER, f"Packets that it has sent{_ALWAYS}.", _carried("packets_out")),
)
