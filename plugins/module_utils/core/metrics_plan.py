# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of a node as asked and as it is: what is told, where, how often; the files that this takes; and the plan between the two.

Pure. Documents: systemd.timer(5), systemd.service(5), systemd.exec(5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import NOT_OURS, VpsError, shown, written
from .exposition import label_name
from .nodefiles import WRITTEN
from .parse import parse_labels
from .places import METER, METRICS, METRICS_TIMER, METRICS_UNIT
from .plan import Change, Plan

PRESENT, ABSENT = "present", "absent"
DEFAULT_FILE = "/var/lib/prometheus/node-exporter/vps.prom"  # where Debian's node_exporter looks
MOST_LABELS = 10
PATHS = {
    "program": METER,
    "settings": METRICS,
    "service": f"/etc/systemd/system/{METRICS_UNIT}",
    "timer": f"/etc/systemd/system/{METRICS_TIMER}",
}
_FILE = re.compile(r"/[A-Za-z0-9._/-]{1,200}\.prom")


@dataclass(frozen=True)
class Settings:
    """`file` is what node_exporter reads, `labels` the VPSs' labels that go along, `interval` how often it is written, in s.

    `made_folder`: the first of the folders on its way that was made for it, and goes with it; None where all were there.
    """

    file: str = DEFAULT_FILE
    labels: tuple[str, ...] = ()
    interval: int = 60
    made_folder: str | None = None

    @classmethod
    def from_record(cls, record: Mapping) -> Settings:
        """From plain data; raises one of errors.NOT_OURS where it is something else."""
        settings = cls(**{**record, "labels": tuple(record["labels"])})
        if not _FILE.fullmatch(settings.file) or not all(isinstance(label, str) for label in settings.labels):
            raise ValueError("file or labels are none")
        if len({label_name(label) for label in settings.labels}) != len(settings.labels):
            raise ValueError("two of its labels are the same to Prometheus")
        if settings.made_folder is not None and not settings.file.startswith(f"{settings.made_folder}/"):
            raise ValueError("made_folder is none of file's")
        return settings

    def to_text(self) -> str:
        """As JSON, for people too."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @property
    def named(self) -> dict[str, Any]:
        """What was asked, as a task writes it."""
        return {"file": self.file, "labels": list(self.labels), "interval": self.interval}


@dataclass(frozen=True)
class Desired:
    """What a playbook asks."""

    state: str = PRESENT
    settings: Settings = Settings()

    @property
    def name(self) -> str:
        """Of the lock: a node has one of these."""
        return "metrics"


@dataclass(frozen=True)
class Actual:
    """What there is. `texts` are the files of PATHS but the program, None where there is none; `program` and `current` are the digests of the
    program that is installed and of the one that this release has, `interpreter` the Python that is to run it.

    `timer`: whether the timer is enabled and runs, None without systemd; `written`: whether the file is there; `missing`: the first folder
    on its way that is not.
    """

    settings: Settings | None = None
    texts: Mapping[str, str | None] = field(default_factory=dict)
    program: str | None = None
    current: str = ""
    interpreter: str = "/usr/bin/python3"
    timer: bool | None = None
    written: bool = False
    missing: str | None = None


@dataclass(frozen=True)
class SetText:
    """Make one of the files say this, or remove it."""

    file: str
    text: str | None


@dataclass(frozen=True)
class InstallProgram:
    """Put this release's program there."""


@dataclass(frozen=True)
class RemoveProgram:
    """Take it away."""


@dataclass(frozen=True)
class SetTimer:
    """Have systemd read its files again and run the timer from now on, or no more."""

    runs: bool


@dataclass(frozen=True)
class WriteMetrics:
    """Write the file now."""

    settings: Settings


@dataclass(frozen=True)
class RemoveMetrics:
    """Delete a file that is written no more, and its folder where that was made for it."""

    settings: Settings


def parse_metrics(params: Mapping[str, Any]) -> Desired:
    """The parameters of C(vps_metrics); raises VpsError."""
    if params["state"] == ABSENT:
        return Desired(ABSENT)
    return Desired(PRESENT, Settings(_parse_file(params["file"]), _parse_labels(params["labels"] or ()), _parse_interval(params["interval"])))


def _parse_file(path: str) -> str:
    if not _FILE.fullmatch(path) or {"", ".", ".."} & set(path.split("/")[1:]):
        raise VpsError(f"file: {shown(path)} is no absolute path that ends in .prom, which node_exporter looks for; write for example {DEFAULT_FILE}.")
    return path


def _parse_labels(keys: Any) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for key in map(written, keys):
        parse_labels({key: "x"})
        other = found.setdefault(label_name(key), key)
        if other != key:
            raise VpsError(f"labels: '{other}' and '{key}' are both {label_name(key)} to Prometheus; leave one of them out.")
    if len(found) > MOST_LABELS:
        raise VpsError(f"labels: {len(found)} are too many; name up to {MOST_LABELS}, because each change of a value makes a further series.")
    return tuple(sorted(found.values()))


def _parse_interval(seconds: int) -> int:
    if not 15 <= seconds <= 3600:
        raise VpsError(f"interval: {seconds} is out of range; give 15 to 3600 seconds.")
    return seconds


def read_settings(text: str | None) -> Settings | None:
    """The settings in a file; None where there is none. Raises VpsError for what is none of ours."""
    if text is None:
        return None
    try:
        return Settings.from_record(json.loads(text))
    except NOT_OURS as error:
        raise VpsError(f"node: {METRICS} cannot be read as settings ({error}); remove it, and run vps_metrics again.") from None


# -- the plan -------------------------------------------------------------------------------------------------------------


def compare(desired: Desired, actual: Actual) -> Plan:
    """The plan that has the node tell what is asked, or nothing."""
    return _remove(actual) if desired.state == ABSENT else _ensure(desired.settings, actual)


def _ensure(asked: Settings, actual: Actual) -> Plan:
    changes: list[Change] = []
    steps: list[object] = []
    old = actual.settings
    moved = old is not None and old.file != asked.file
    made = actual.missing if old is None or moved else old.made_folder
    wanted = Settings(asked.file, asked.labels, asked.interval, made)
    before = {} if old is None else old.named
    if moved and old is not None:
        # What the timer starts in between would write that file once more.
        steps += [SetTimer(False), RemoveMetrics(old)] if actual.timer else [RemoveMetrics(old)]
    changes += [Change(option, before.get(option), value) for option, value in wanted.named.items() if before.get(option) != value]
    if actual.program != actual.current:
        changes.append(Change("program", "absent" if actual.program is None else "of another release", "installed"))
        steps.append(InstallProgram())
    units = {"service": service(wanted, actual.interpreter), "timer": timer(wanted)}
    for file, text in {"settings": wanted.to_text(), **units}.items():
        if actual.texts.get(file) != text:
            steps.append(SetText(file, text))
            if file in units and not changes:
                changes.append(Change(f"{file}_unit", "absent" if actual.texts.get(file) is None else "different", "written"))
    if actual.timer is not None and (moved or not actual.timer or any(isinstance(step, SetText) and step.file in units for step in steps)):
        steps.append(SetTimer(True))
        if not actual.timer:
            changes.append(Change("running", False, True))
    if not actual.written or changes:
        steps.append(WriteMetrics(wanted))
        if not actual.written and not changes:
            changes.append(Change("written", False, True))
    return Plan(tuple(changes), tuple(steps))


def _remove(actual: Actual) -> Plan:
    """The settings last: they alone know which file was written."""
    changes: list[Change] = []
    steps: list[object] = []
    if actual.timer:
        changes.append(Change("running", True, False))
    for file in ("timer", "service"):
        if actual.texts.get(file) is not None:
            changes.append(Change(f"{file}_unit", "present", "absent"))
            steps.append(SetText(file, None))
    if actual.timer is not None and (changes or steps):
        steps = [SetTimer(False), *steps]
    if actual.program is not None:
        changes.append(Change("program", "present", "absent"))
        steps.append(RemoveProgram())
    if actual.settings is not None:
        changes += [Change(option, value, None) for option, value in actual.settings.named.items()]
        steps += [RemoveMetrics(actual.settings), SetText("settings", None)]
    return Plan(tuple(changes), tuple(steps))


# -- systemd --------------------------------------------------------------------------------------------------------------


def service(settings: Settings, interpreter: str) -> str:
    """One run, behind everything else that wants the CPU or the disk. In no mount namespace of its own, which would hold VPSs' disks.

    What it complains of is in the journal, and not that it has begun and ended, once a minute.
    """
    return f"""{WRITTEN}[Unit]
Description=Tell Prometheus of the VPSs of this node
Documentation=man:prometheus-node-exporter(1)

[Service]
Type=oneshot
ExecStart={interpreter} -I {METER}
Nice=15
IOSchedulingClass=idle
SyslogLevel=warning
LogLevelMax=notice
TimeoutStartSec={max(60, settings.interval)}
NoNewPrivileges=yes
RestrictSUIDSGID=yes
LockPersonality=yes
"""


def timer(settings: Settings) -> str:
    """Every so many seconds, the first time soon after the boot; a minute that was missed is not made up for."""
    return f"""{WRITTEN}[Unit]
Description=Tell Prometheus of the VPSs of this node, again and again

[Timer]
OnBootSec=30
OnUnitActiveSec={settings.interval}
AccuracySec=1

[Install]
WantedBy=timers.target
"""
