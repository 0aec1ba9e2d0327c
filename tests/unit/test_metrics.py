# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is told, from what was read: as text that says that, whatever names there are, and nothing else."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mainline.vps.plugins.module_utils.core import exposition, metrics, usage
from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import BEANCOUNTERS
from ansible_collections.mainline.vps.plugins.module_utils.core.capacity import Present, Room, report, report_pool
from ansible_collections.mainline.vps.plugins.module_utils.core.disk import Used
from ansible_collections.mainline.vps.plugins.module_utils.core.exposition import COUNTER, GAUGE, Family, label_name, render
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.metrics import Metered, Reading, families
from ansible_collections.mainline.vps.plugins.module_utils.core.model import FROZEN, RUNNING, Manifest, Template, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.usage import Counters

HOUSE = Path(__file__).parents[2]
LINE = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
WEB = Vps("web", "debian", "systemd", "web", id_base=65536, plan="small", labels=(("cost-center", "7"), ("tier", "gold")), onboot=True)
SUMMARY = {
    **report_pool(Room(Present(disk=1000)), 300, 700), "pool": "/pool", "cgroup_version": 2,
    "capacity": report(Room(Present(memory=4096, cpu=200, disk=1000), {"memory": 150}, (Limits(memory=1024),)), {"memory": 512}),
}


def counters(kernel: str, version: int) -> Counters:
    """Counter files as a kernel wrote them, those of the cgroups below left out."""
    parts = (Path(__file__).parent / "counters" / f"{kernel}.txt").read_text(encoding="ascii").split("--- ")[1:]
    texts = {name: text for name, _newline, text in (part.partition("\n") for part in parts) if "/" not in name}
    return Counters(version, texts, Used(space=5))


def parsed(text: str) -> dict[tuple, float]:
    """(name, its labels) → the number of each sample; each line is one, or a comment of the format."""
    found: dict[tuple, float] = {}
    for line in text.split("\n")[:-1]:
        if line.startswith("# "):
            assert re.match(r"# (HELP|TYPE) [a-zA-Z_]\w* \S", line), line
            continue
        match = LINE.fullmatch(line)
        assert match, line
        pairs = tuple((name, re.sub(r"\\(.)", lambda one: {"n": "\n"}.get(one[1], one[1]), value)) for name, value in PAIR.findall(match[2] or ""))
        assert (match[1], pairs) not in found, f"told twice: {line}"
        found[match[1], pairs] = float(match[3])
    return found


def told(*vpss: Metered, labels: tuple[str, ...] = (), **more) -> dict[tuple, float]:
    return parsed(render(families(Reading(SUMMARY, vpss, **more), labels)))


def of(vps: Metered) -> dict[str, float]:
    """The series of one VPS that have no label besides, by their names."""
    return {name: number for (name, labels), number in told(vps).items() if labels == (("vps", vps.vps.name),)}


# -- the format -----------------------------------------------------------------------------------------------------------


def test_a_family_is_told_with_its_help_and_kind():
    text = render([Family("a_total", COUNTER, "Of\nall \\ kinds.", ("x", "y"), {("1", "2"): 3, ("1", "4"): 0.5})])
    assert text == '# HELP a_total Of\\nall \\\\ kinds.\n# TYPE a_total counter\na_total{x="1",y="2"} 3\na_total{x="1",y="4"} 0.5\n'


def test_what_nobody_knows_is_left_out():
    assert render([Family("a", GAUGE, "A.", (), {(): None})]) == ""
    assert render([Family("a", GAUGE, "A.", ("x",), {("1",): None, ("2",): 0})]).splitlines()[2:] == ['a{x="2"} 0']


@given(st.text(alphabet=st.characters(), max_size=exposition.LONGEST))
def test_no_value_gets_out_of_its_quotes(value):
    found = parsed(render([Family("a", GAUGE, "A.", ("x",), {(value,): 1})]))
    assert found == {("a", (("x", value.encode("utf-8", "replace").decode()),)): 1}


@given(st.text(alphabet=st.characters(), max_size=400))
def test_whatever_a_value_is_the_text_is_utf_8_and_bounded(value):
    text = render([Family("a", GAUGE, "A.", ("x",), {(value,): 1})])
    assert len(text.encode("utf-8")) < 8 * exposition.LONGEST + 100


def test_a_long_value_is_cut():
    longest = exposition.LONGEST
    assert longest >= 63, "a name is whole"
    for length in (longest, longest + 1, 10_000):
        assert list(parsed(render([Family("a", GAUGE, "A.", ("x",), {("é" * length,): 1})]))) == [("a", (("x", "é" * longest),))]


@pytest.mark.parametrize("name", ["", "1a", "a b", "a\nb", "a{", "ä"])
def test_a_name_that_is_none_is_a_mistake(name):
    with pytest.raises(ValueError):
        render([Family(name, GAUGE, "A.", (), {(): 1})])
    with pytest.raises(ValueError):
        render([Family("a", GAUGE, "A.", (name,), {("1",): 1})])


def test_a_family_that_is_there_twice_is_a_mistake():
    with pytest.raises(ValueError):
        render([Family("a", GAUGE, "A.", (), {(): 1})] * 2)


def test_numbers_that_are_none_have_their_words():
    numbers = {("1",): math.inf, ("2",): -math.inf, ("3",): math.nan}
    lines = render([Family("a", GAUGE, "A.", ("x",), numbers)]).splitlines()[2:]
    assert [line.split()[1] for line in lines] == ["+Inf", "-Inf", "NaN"]


# -- a VPS ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "version"), [("v2-6.12", 2), ("v1-6.18", 1)])
def test_a_vps_is_told_as_vps_info_tells_it(kernel, version):
    used = usage.tell(counters(kernel, version), Limits(memory=40 << 20, processes=12, cpulimit=20))
    found = told(Metered(WEB, RUNNING, used, {"bytes_in": 1, "packets_in": 2, "bytes_out": 3, "packets_out": 4}))
    rows = {row["resource"]: row for row in used["rows"]}
    own = (("vps", "web"),)
    assert found["vps_running", own] == 1 and found["vps_onboot", own] == 1
    assert found["vps_memory_bytes", own] == rows["memory"]["held"] > 0
    assert found["vps_memory_limit_bytes", own] == 40 << 20
    assert found["vps_cpu_limit_cores", own] == 0.2
    assert found["vps_cpu_seconds_total", own] == used["cpu"]["usage_usec"] / 1e6 > 0
    assert found["vps_memory_oom_kills_total", own] == used["memory"]["oom_kill"]
    carried = [found[f"vps_network_{name}_total", own] for name in ("receive_bytes", "receive_packets", "transmit_bytes", "transmit_packets")]
    assert carried == [1, 2, 3, 4]
    assert found["vps_pressure_stalled_seconds_total", (*own, ("resource", "memory"))] == used["pressure"]["memory"]["full"]["total"] / 1e6
    for column, key in (("held", "held"), ("maxheld", "peak"), ("barrier", "barrier"), ("limit", "limit"), ("failcnt_total", "failcnt")):
        for name in BEANCOUNTERS:
            assert found.get((f"vps_beancounter_{column}", (*own, ("resource", name)))) == rows[name][key], (column, name)


def test_a_stopped_vps_has_its_disk_and_no_limit_or_counter_that_nobody_reads():
    found = of(Metered(WEB, used=usage.tell(Counters(2, {}, Used(space=5)), Limits())))
    assert (found["vps_running"], found["vps_frozen"]) == (0, 0) and found["vps_disk_bytes"] == 5
    assert not [name for name in found if name.startswith(("vps_memory", "vps_cpu", "vps_processes"))]


def test_times_of_the_kernel_are_told_in_seconds():
    cpu = {"usage_usec": 1_500_000, "user_usec": 500_000, "system_usec": 1_000_000, "throttled_usec": 2_500_000, "nr_throttled": 3, "nr_periods": 4}
    found = of(Metered(WEB, RUNNING, {"cpu": cpu}))
    assert {name: found[f"vps_cpu_{name}_total"] for name in ("seconds", "user_seconds", "system_seconds", "throttled_seconds")} == {
        "seconds": 1.5, "user_seconds": 0.5, "system_seconds": 1, "throttled_seconds": 2.5,
    }
    assert (found["vps_cpu_throttled_periods_total"], found["vps_cpu_periods_total"]) == (3, 4)


def test_a_frozen_vps_does_not_run_and_has_not_stopped():
    assert (of(Metered(WEB, FROZEN))["vps_running"], of(Metered(WEB, FROZEN))["vps_frozen"]) == (0, 1)


def test_whether_a_unit_has_failed_is_told_where_there_are_units():
    assert of(Metered(WEB, failed=True))["vps_failed"] == 1
    assert "vps_failed" not in of(Metered(WEB))


def test_snapshots_and_backups_are_told_by_the_newest():
    found = of(Metered(WEB, snapshots=(10.0, 30.0, 20.0), backed_up=5.0))
    assert (found["vps_snapshots"], found["vps_snapshot_newest_timestamp_seconds"], found["vps_backup_newest_timestamp_seconds"]) == (3, 30, 5)
    assert not {"vps_snapshot_newest_timestamp_seconds", "vps_backup_newest_timestamp_seconds"} & set(of(Metered(WEB)))


def test_labels_go_along_where_they_are_asked_for_and_on_one_series_only():
    other = Metered(replace(WEB, name="bare", labels=(), plan=None))
    found = told(Metered(WEB), other, labels=("tier", "cost-center"))
    named = {labels: number for (name, labels), number in found.items() if name == "vps_info"}
    first, second = (dict(labels) for labels in named)
    assert (first["label_tier"], first["label_cost_center"], first["plan"], first["template"]) == ("gold", "7", "small", "debian")
    assert (second["label_tier"], second["label_cost_center"], second["plan"]) == ("", "", "")
    assert not [labels for (name, labels) in found if name != "vps_info" and any(label.startswith("label_") for label, _value in labels)]
    assert label_name("a/b.c-d") == "label_a_b_c_d"


def test_a_guest_cannot_make_a_series():
    """Whatever its cgroup says: as many lines as somebody likes are summed or left out, and none is a label."""
    busy = counters("v2-6.12", 2)
    texts = {**busy.texts, "io.stat": "".join(f"8:{disk} rbytes=1 wbytes=1 rios=1 wios=1\n" for disk in range(500))}
    texts["memory.stat"] = texts["memory.stat"] + 'evil{x="1"} 7\nanon"} 1\n'
    texts["cpu.pressure"] = texts["cpu.pressure"] + "evil avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
    quiet, loud = (told(Metered(WEB, RUNNING, usage.tell(Counters(2, each, Used(5)), Limits()))) for each in (busy.texts, texts))
    assert set(loud) == set(quiet)


def test_how_many_series_a_vps_has_is_known():
    used = usage.tell(counters("v2-6.12", 2), Limits(memory=40 << 20, processes=12, cpulimit=20))
    one, two = (told(*(Metered(replace(WEB, name=name), RUNNING, used) for name in names)) for names in (("a",), ("a", "b")))
    assert len(two) - len(one) < 100


# -- the node -------------------------------------------------------------------------------------------------------------


def test_a_node_is_told_by_its_pool_and_what_it_has_promised():
    manifest = Manifest(Template("debian", "debian"), "systemd", "0", 7, "2026-01-31T12:00:00+00:00")
    odd = replace(manifest, template=Template("odd", "debian"), created="yesterday")
    found = told(manifests=(manifest, odd), users={"debian": 3}, unread=1, unread_templates=1, packet_filter=False, lxcfs=False, failed_units=2)
    plain = {name: number for (name, labels), number in found.items() if not labels}
    assert plain == {
        "vps_node_usable": 1, "vps_node_pool_size_bytes": 1000, "vps_node_pool_used_bytes": 300, "vps_node_pool_free_bytes": 700,
        "vps_node_pool_promised_bytes": 0, "vps_node_packet_filter_in_force": 0, "vps_node_lxcfs_running": 0, "vps_node_unreadable_records": 2,
        "vps_node_failed_units": 2,
    }
    memory = {name: number for (name, labels), number in found.items() if labels == (("resource", "memory"),)}
    assert memory == {
        "vps_node_present": 4096, "vps_node_promised": 1024, "vps_node_used": 512, "vps_node_unlimited_vpss": 0,
        "vps_node_commitment_ratio": 0.25, "vps_node_overcommit_ratio": 1.5,
    }
    assert found["vps_template_created_timestamp_seconds", (("template", "debian"),)] == 1769860800
    assert ("vps_template_created_timestamp_seconds", (("template", "odd"),)) not in found
    assert (found["vps_template_vpss", (("template", "debian"),)], found["vps_template_vpss", (("template", "odd"),)]) == (3, 0)


def test_a_node_that_cannot_be_read_says_so_and_nothing_else():
    assert parsed(render(metrics.unusable())) == {("vps_node_usable", ()): 0}


# -- who uses them ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["roles/metrics/files/vps-rules.yml", "roles/metrics/files/vps-dashboard.json", "docs/metrics.md"])
def test_every_metric_that_is_asked_for_is_told(file):
    there = {family.name for family in families(Reading(SUMMARY))} | {f"vps_metrics_{name}_seconds" for name in ("cpu", "duration", "interval")}
    no_metrics = {"vps_info", "vps_node", "vps_metrics", "vps_template", "vps_container", "vps_network", "vps_backup", "vps_limits", "vps_beancounters"}
    asked = set(re.findall(r"\bvps_[a-z_]+\b", (HOUSE / file).read_text(encoding="utf-8"))) - no_metrics
    assert len(asked) > 10
    assert asked <= there, asked - there


def test_every_metric_that_is_told_is_documented():
    page = (HOUSE / "docs/metrics.md").read_text(encoding="utf-8")
    assert not [family.name for family in families(Reading(SUMMARY)) if f"`{family.name}`" not in page]


@pytest.mark.parametrize(
    ("text", "found"),
    [("2026-01-31T12:00:00+00:00\n", 1769860800), ("2026-01-31T13:00:00+01:00", 1769860800), ("yesterday", None), ("", None), (None, None)],
)
def test_when_something_was_is_told_or_nothing(text, found):
    assert metrics.moment(text) == found
