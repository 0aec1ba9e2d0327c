# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's plan: what makes it a node, what is refused, and what is taken away again."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import enterfile, machine, nodefiles, places, ruleset, unitfiles
from ansible_collections.mainline.vps.plugins.module_utils.core.machine import Actual, Barrier, Boot, Pool, PoolFile, SetBoot
from ansible_collections.mainline.vps.plugins.module_utils.core.machine_plan import compare
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import Plan
from ansible_collections.mainline.vps.plugins.module_utils.core.settings import Made, Settings
from ansible_collections.mainline.vps.tests.unit.reading import sentence

POOL, FILE = "/var/lib/vps", "/var/lib/vps.img"
SIZE = 20 << 30
START, COUNT = 704643072, 655360000
PARAMS = {
    "state": "present", "pool": POOL, "pool_file": FILE, "pool_size": None, "id_start": START, "id_count": COUNT,
    "networks": ["10.90.0.0/16"], "nat": True,
}
LINE = nodefiles.ids_line(START, COUNT)
FSTAB = nodefiles.fstab_line(POOL, FILE)
V4 = {key: row for key, row in nodefiles.SYSCTLS.items() if key != nodefiles.FORWARDING6}
LOW = {key: 1 if row.floor else 0 for key, row in V4.items()}
HIGH = {key: row.value for key, row in V4.items()}
STOCK = Actual(
    None, Pool(POOL), PoolFile(FILE, room=100 << 30),
    texts={
        "fstab": "UUID=1 / ext4 defaults 0 1\n", "subuid": "me:100000:65536\n",
        "subgid": None, "sysctl": None, "seccomp": None, "network": None, "settings": None,
        **dict.fromkeys((*enterfile.PATHS, *unitfiles.PATHS)),
    },
    common_seccomp="2\ndenylist\n[all]\nkexec_load errno 1\n", sysctls=LOW, lxc_mode=0o755,
)
WEB = Vps(name="web", template="minimal", init="busybox", hostname="web", addresses=("10.90.0.11",), id_base=START + 65536)


def wish(**params) -> machine.Desired:
    """A task about this machine."""
    return machine.parse_machine({**PARAMS, **params})


GONE = wish(state="absent")


def applied(desired: machine.Desired, actual: Actual) -> Actual:
    """The machine after a plan: what each step makes, in memory. The real one is node/machine.py."""
    for step in compare(desired, actual).steps:
        actual = _after(step, actual)
    return actual


def _after(step: object, actual: Actual) -> Actual:
    if isinstance(step, machine.SetFile):
        assert actual.texts[step.file] == step.before
        settings = Settings.from_record(json.loads(step.text)) if step.file == "settings" and step.text else None
        return replace(actual, texts={**actual.texts, step.file: step.text}, settings=settings if step.file == "settings" else actual.settings)
    if isinstance(step, machine.EnsurePool):
        if step.file is None:
            return replace(actual, pool=replace(actual.pool, empty=False, folders=machine.FOLDERS))
        pool = Pool(step.pool, directory=True, empty=False, btrfs=True, backing=step.file, quota=True, mode=0o711, folders=machine.FOLDERS)
        known = replace(actual, vpss=actual.vpss or (), templates=actual.templates or ())
        return replace(known, pool=pool, file=replace(actual.file, exists=True, ours=True, size=max(step.size or 0, actual.file.size)))
    if isinstance(step, machine.RemovePool):
        if step.file is None:
            return replace(actual, pool=replace(actual.pool, folders=(), empty=True))
        return replace(actual, pool=Pool(step.pool, directory=not step.folder), file=replace(actual.file, exists=False, ours=False, size=0))
    if isinstance(step, machine.SetSysctls):
        return replace(actual, sysctls={**actual.sysctls, **step.values})
    if isinstance(step, machine.SetRules):
        mark = (re.findall("chain (is_[0-9a-f]+) ", step.text) or [None])[0]
        return replace(actual, rules=None if mark is None else (mark, ruleset.rules_in(step.text)))
    if isinstance(step, machine.FollowVpss):
        rules = ruleset.ruleset(actual.settings.all_networks, actual.vpss)
        return replace(actual, rules=(rules.mark, rules.rules), texts={**actual.texts, "network": rules.text})
    if isinstance(step, machine.SetLxcMode):
        return replace(actual, lxc_mode=step.mode)
    if isinstance(step, machine.SetBoot):
        return replace(actual, boot=machine.Boot(step.enabled, step.enabled, step.enabled and (actual.boot.started or step.autostart)))
    assert isinstance(step, machine.SetLxcfs), step
    return replace(actual, lxcfs=step.running)


NODE = applied(wish(), STOCK)
SYSTEMD = replace(STOCK, boot=Boot())
SYSTEMD_NODE = applied(wish(), SYSTEMD)


def changed(desired: machine.Desired, actual: Actual) -> dict[str, tuple]:
    """Option → (before, after) of a plan."""
    return {change.option: (change.before, change.after) for change in compare(desired, actual).changes}


# -- a node, and none ---------------------------------------------------------------------------------------------------


def test_a_stock_machine_becomes_a_node_and_then_nothing_is_left_to_do():
    told = changed(wish(), STOCK)
    assert told["state"] == ("absent", "present")
    assert told["pool_size"] == (None, "20G")
    assert told["fstab"] == (None, FSTAB)
    assert told["subuid"] == told["subgid"] == (None, LINE)
    assert told["sysctl net.ipv4.ip_forward"] == (0, 1)
    assert told["firewall"] == ("absent", "loaded")
    assert told["lxcfs"] == ("stopped", "running")
    assert compare(wish(), NODE) == Plan()


def test_what_is_about_to_be_made_is_written_down_before_it_is_made():
    first = compare(wish(), STOCK).steps[0]
    assert first == machine.SetFile("settings", None, NODE.settings.to_text())
    assert NODE.settings.made == Made(FILE, True, ("subuid", "subgid"), LOW, True, 0o755)


@pytest.mark.parametrize("killed_after", range(len(compare(wish(), SYSTEMD).steps)))
def test_a_run_that_was_killed_anywhere_is_finished_by_the_next(killed_after):
    actual = SYSTEMD
    for step in compare(wish(), SYSTEMD).steps[:killed_after]:
        actual = _after(step, actual)
    assert applied(wish(), actual) == SYSTEMD_NODE


@pytest.mark.parametrize("lost", [{"rules": None}, {"texts": {**NODE.texts, "network": None}}, {"rules": None, "texts": {**NODE.texts, "network": None}}])
def test_a_run_that_was_killed_before_it_had_mounted_the_pool_is_finished_by_the_next(lost):
    """Whether there are VPSs in it, which have asked for rules, is known once it is mounted."""
    killed = replace(NODE, pool=Pool(POOL, directory=True), vpss=None, templates=None, **lost)
    assert changed(wish(), killed) == {"pool": ("not mounted", POOL), "firewall": ("absent", "loaded")}
    assert applied(wish(), killed) == NODE


@pytest.mark.parametrize("stock", [STOCK, SYSTEMD])
def test_a_node_is_made_a_stock_machine_again_and_nothing_is_left(stock):
    left = applied(GONE, applied(wish(), stock))
    assert replace(left, texts={**left.texts, "subgid": None}) == replace(stock, pool=left.pool)
    assert left.texts["subgid"] == "" and not left.pool.directory
    assert compare(GONE, left) == compare(GONE, stock) == Plan()


@pytest.mark.parametrize("killed_after", range(len(compare(GONE, SYSTEMD_NODE).steps)))
def test_a_removal_that_was_killed_anywhere_is_finished_by_the_next(killed_after):
    actual = SYSTEMD_NODE
    for step in compare(GONE, SYSTEMD_NODE).steps[:killed_after]:
        actual = _after(step, actual)
    assert applied(GONE, actual) == applied(GONE, SYSTEMD_NODE)


def test_the_pool_is_the_first_to_go_because_it_may_be_in_use():
    assert compare(GONE, NODE).steps[0] == machine.RemovePool(POOL, FILE, folder=True)


def test_settings_are_the_last_to_go():
    assert compare(GONE, NODE).steps[-1] == machine.SetFile("settings", NODE.settings.to_text(), None)


def test_a_node_with_something_on_it_stays_one():
    assert "there is VPS web on this node; remove it first" in sentence(lambda: compare(GONE, replace(NODE, vpss=(WEB,))), "state")
    both = replace(NODE, vpss=(WEB, replace(WEB, name="db")), templates=("minimal",))
    assert "there are VPSs web, db and template minimal on this node; remove them first" in sentence(lambda: compare(GONE, both), "state")


def test_a_pool_that_is_not_mounted_is_not_thrown_away_unseen():
    unseen = replace(NODE, pool=Pool(POOL, directory=True), vpss=None, templates=None)
    assert f"run 'mount -o loop,noatime {FILE} {POOL}' first" in sentence(lambda: compare(GONE, unseen), "state")
    assert changed(wish(), unseen) == {"pool": ("not mounted", POOL)}
    sentence(lambda: compare(wish(networks=["10.91.0.0/16"]), unseen), "networks")


def test_a_vps_whose_record_is_damaged_keeps_no_pool_from_growing():
    """What needs to know what it has is left, or refused; its rules stay in force, and its warning names it."""
    unknown = replace(NODE, vpss=(WEB,), damaged="/pool/vps/db/vps.json: is damaged.")
    plan = compare(wish(pool_size="40G"), unknown)
    assert [change.option for change in plan.changes] == ["pool_size"] and unknown.damaged in plan.warnings[0]
    for task in (GONE, wish(networks=["10.90.0.0/24"])):
        assert sentence(lambda task=task: compare(task, unknown), "/pool/vps/db/vps.json").endswith("is damaged.")
    booting = replace(_with(SYSTEMD_NODE), boot=Boot(), vpss=(), damaged=unknown.damaged)
    assert compare(wish(), booting).steps == (SetBoot(enabled=True, autostart=False),), "it may be running"


def test_what_was_there_before_stays_when_the_node_goes():
    before = replace(STOCK, lxcfs=True, lxc_mode=0o711, sysctls=HIGH, texts={**STOCK.texts, "subuid": f"{LINE}\n", "subgid": f"{LINE}\n"})
    left = applied(GONE, applied(wish(), before))
    assert (left.lxcfs, left.lxc_mode, left.sysctls, left.texts["subuid"]) == (True, 0o711, HIGH, f"{LINE}\n")


# -- the boot of the machine ----------------------------------------------------------------------------------------------


def test_systemd_gets_units_and_a_machine_without_it_gets_none():
    told = changed(wish(), SYSTEMD)
    assert set(told) - set(changed(wish(), STOCK)) == {"boot", *(f"{name}_file" for name in unitfiles.PATHS)}
    assert told["boot"] == ("disabled", "enabled and loaded")
    assert compare(wish(), SYSTEMD_NODE) == Plan()


def _with(node, *vpss):
    """A node with these VPSs, and with their rules."""
    return applied(wish(), replace(node, vpss=vpss)) if vpss else node


def test_rules_of_the_vpss_that_there_are_belong_to_the_table():
    assert list(changed(wish(), replace(NODE, vpss=(WEB,)))) == ["network_file", "firewall"]
    assert compare(wish(), _with(NODE, WEB)) == Plan()
    assert "10.90.0.11 : jump isolated" in _with(NODE, WEB).texts["network"]


def test_ipv6_is_forwarded_where_there_is_a_network_of_it_and_the_machine_still_hears_its_router():
    heard = "net/ipv6/conf/eth0/accept_ra"
    stock = replace(STOCK, hears=("eth0",), sysctls={**LOW, nodefiles.FORWARDING6: 0, heard: 1})
    assert heard not in changed(wish(), stock) and f"sysctl {nodefiles.FORWARDING6}" not in changed(wish(), stock)
    both = wish(networks=["10.90.0.0/16", "2001:db8:90::/64"])
    told = changed(both, stock)
    assert (told[f"sysctl {heard}"], told[f"sysctl {nodefiles.FORWARDING6}"]) == ((1, 2), (0, 1))
    (step,) = [step for step in compare(both, stock).steps if isinstance(step, machine.SetSysctls)]
    assert list(step.values)[0] == heard  # before the kernel stops listening
    node = applied(both, stock)
    assert compare(both, node) == Plan() and compare(both, replace(node, hears=())) == Plan()
    assert node.texts["sysctl"].index(heard) < node.texts["sysctl"].index(nodefiles.FORWARDING6)
    gone = applied(GONE, node)
    assert (gone.sysctls[heard], gone.sysctls[nodefiles.FORWARDING6]) == (1, 0)


def test_a_network_of_ipv6_that_the_machine_is_in_is_refused():
    sentence(lambda: compare(wish(networks=["2001:db8::/48"]), replace(STOCK, routes=(("eth0", "2001:db8::/64"),))), "networks")


@pytest.mark.parametrize("vpss", [(), (WEB,)])
def test_a_run_never_starts_a_vps_that_somebody_has_stopped(vpss):
    node = replace(_with(SYSTEMD_NODE, *vpss), boot=Boot())
    assert compare(wish(), node).steps == (SetBoot(enabled=True, autostart=not vpss),)
    for unknown in (replace(node, settings=None), replace(node, vpss=None), replace(node, settings=None, pool=replace(node.pool, folders=()))):
        assert SetBoot(enabled=True, autostart=False) in compare(wish(), unknown).steps


def test_a_boot_unit_that_was_stopped_is_told():
    node = replace(_with(SYSTEMD_NODE, WEB), boot=Boot(enabled=True, loaded=True))
    plan = compare(wish(), node)
    assert not plan.changed and "run 'systemctl start vps-boot.service'" in plan.warnings[0]
    assert not compare(wish(), replace(node, boot=Boot(True, True, True))).warnings


@pytest.mark.parametrize("boot", [Boot(), Boot(loaded=True), Boot(enabled=True)])
def test_units_that_are_half_there_are_disabled_before_their_files_go(boot):
    steps = compare(GONE, replace(SYSTEMD_NODE, boot=boot)).steps
    assert steps.index(SetBoot(enabled=False)) < min(steps.index(step) for step in steps if getattr(step, "file", "") in unitfiles.PATHS)


def test_a_unit_that_somebody_edited_is_written_and_loaded_again():
    node = replace(SYSTEMD_NODE, texts={**SYSTEMD_NODE.texts, "vps_unit": "[Unit]\n"})
    assert changed(wish(), node) == {"vps_unit_file": ("different", "written"), "boot": ("loaded from other files", "enabled and loaded")}
    assert applied(wish(), node) == SYSTEMD_NODE


def test_each_vps_is_below_the_slice_of_all_and_needs_the_pool():
    unit = SYSTEMD_NODE.texts["vps_unit"].splitlines()
    assert {"Slice=vps.slice", "Delegate=yes", f"RequiresMountsFor={POOL}", "OOMPolicy=continue"} <= set(unit)
    assert places.cgroup_of("web") == "vps.slice/vps@web.service/"


@pytest.mark.parametrize(
    ("barrier", "command"),
    [
        (Barrier("chain FORWARD of table ip filter", "ufw"), "run 'ufw route allow in on vps+' and 'ufw route allow out on vps+'."),
        (Barrier("chain filter_FORWARD of table inet firewalld", "firewalld"), "--zone=trusted --add-interface=vps+"),
        (Barrier("chain fwd of table inet mine"), "accept the interfaces vps* there, in and out."),
    ],
)
def test_a_table_of_somebody_else_that_drops_is_told_and_left_alone(barrier, command):
    plan = compare(wish(), replace(NODE, barriers=(barrier,)))
    assert not plan.changed and not plan.steps
    assert barrier.chain in plan.warnings[0] and command in plan.warnings[0]


# -- the pool -----------------------------------------------------------------------------------------------------------

OWN = Pool("/srv/vps", directory=True, btrfs=True, quota=True, mode=0o755)


def test_an_existing_btrfs_is_used_as_it_is():
    actual = replace(STOCK, pool=OWN)
    plan = compare(wish(pool="/srv/vps"), actual)
    assert [step for step in plan.steps if "Pool" in type(step).__name__] == [machine.EnsurePool("/srv/vps")]
    node = applied(wish(pool="/srv/vps"), actual)
    assert node.settings.made.pool_file is None and node.texts["fstab"] == STOCK.texts["fstab"]
    assert compare(wish(pool="/srv/vps"), node) == Plan()
    assert applied(GONE, node).pool == OWN


def test_quota_is_not_switched_on_in_the_file_system_of_somebody_else():
    actual = replace(STOCK, pool=replace(OWN, quota=False))
    assert "run 'btrfs quota enable /srv/vps'" in sentence(lambda: compare(wish(pool="/srv/vps"), actual), "pool")


def test_nobody_elses_data_is_covered_overwritten_or_shut_in():
    for option, actual in {
        "pool": replace(STOCK, pool=Pool(POOL, directory=True, empty=False)),
        "pool_file": replace(STOCK, file=PoolFile(FILE, exists=True, ours=False, room=SIZE)),
        "pool_size": replace(STOCK, file=PoolFile(FILE, room=SIZE - 1)),
    }.items():
        sentence(lambda actual=actual: compare(wish(), actual), option)
    sentence(lambda: compare(wish(), replace(STOCK, pool=Pool(POOL, parent=False))), "pool")
    sentence(lambda: compare(wish(), replace(STOCK, file=PoolFile(FILE, folder=False))), "pool_file")
    sentence(lambda: compare(wish(), replace(STOCK, pool=replace(OWN, path=POOL, mode=0o700))), "pool")
    other = {**STOCK.texts, "fstab": f"UUID=2 {POOL} xfs defaults 0 0\n"}
    sentence(lambda: compare(wish(), replace(STOCK, texts=other)), "pool")


def test_a_pool_grows_and_never_shrinks():
    assert changed(wish(pool_size="40G"), NODE) == {"pool_size": ("20G", "40G")}
    assert compare(wish(pool_size="10G"), NODE) == Plan()
    tight = replace(NODE, file=replace(NODE.file, room=10 << 30))
    assert changed(wish(pool_size="30G"), tight) == {"pool_size": ("20G", "30G")}
    assert "31G is more than the 30G that are free" in sentence(lambda: compare(wish(pool_size="31G"), tight), "pool_size")


def test_a_directory_on_any_file_system_is_a_pool_without_a_file():
    plain = replace(STOCK, pool=Pool("/srv/vps", directory=True, mode=0o755, kind="xfs"))
    want = wish(pool="/srv/vps", pool_kind="dir")
    plan = compare(want, plain)
    assert [step for step in plan.steps if "Pool" in type(step).__name__] == [machine.EnsurePool("/srv/vps")]
    kinds = [type(step).__name__ for step in plan.steps]
    settings = next(number for number, step in enumerate(plan.steps) if isinstance(step, machine.SetFile) and step.file == "settings")
    assert kinds.index("EnsurePool") < settings, "a pool without its folders is one that is not mounted"
    made = applied(want, plain)
    assert made.settings.pool_kind == "dir" and made.settings.made.pool_file is None and compare(want, made) == Plan()
    assert compare(wish(pool="/srv/vps"), made) == Plan(), "not given, it stays"
    assert "is dir" in sentence(lambda: compare(wish(pool="/srv/vps", pool_kind="btrfs"), made), "pool_kind")
    gone = replace(made, pool=replace(made.pool, folders=(), empty=True), vpss=None, templates=None)
    assert "mount again" in sentence(lambda: compare(want, gone), "pool")
    assert "is not mounted" in sentence(lambda: compare(wish(state="absent"), gone), "state")
    last = compare(wish(state="absent"), made).steps[-2:]
    assert [type(step).__name__ for step in last] == ["RemovePool", "SetFile"]


@pytest.mark.parametrize("kind, directory, mode, word", [
    ("xfs", False, 0, "there is no directory"), ("nfs4", True, 0o755, "is on nfs4"), ("fuse.sshfs", True, 0o755, "is on fuse.sshfs"),
    ("ext4", True, 0o700, "chmod o+x"),
])
def test_what_overlays_cannot_lie_on_is_no_such_pool(kind, directory, mode, word):
    there = replace(STOCK, pool=Pool("/srv/vps", directory=directory, mode=mode, kind=kind))
    assert word in sentence(lambda: compare(wish(pool="/srv/vps", pool_kind="dir"), there), "pool")


def test_a_pool_with_little_left_is_told_as_one_wants_it():
    little = replace(NODE, pool=replace(NODE.pool, size=20 << 30, free=1 << 30))
    (told,) = compare(wish(), little).warnings
    assert told.startswith("pool: 1G of 20G is free, less than 10%") and told.endswith(".")
    assert compare(wish(), replace(NODE, pool=replace(NODE.pool, size=20 << 30, free=2 << 30))).warnings == ()
    plan = compare(wish(pool_warning=5), little)
    assert plan.warnings == () and [(change.option, change.before, change.after) for change in plan.changes] == [("pool_warning", 10, 5)]
    assert compare(wish(), applied(wish(pool_warning=5), little)) == Plan(), "not given, it stays"
    assert compare(wish(pool_warning=0), replace(little, pool=replace(little.pool, free=0))).warnings == ()
    for value in (-1, 91):
        sentence(lambda value=value: wish(pool_warning=value), "pool_warning")


@pytest.mark.parametrize(("option", "params"), [("pool", {"pool": "/data/vps"}), ("pool_file", {"pool_file": "/data/vps.img"})])
def test_a_pool_does_not_move(option, params):
    told = sentence(lambda: compare(wish(**params), NODE), option)
    assert f"the node's pool is {POOL}" in told and "make the machine no node first (state: absent)" in told


@pytest.mark.parametrize("below", [Pool(POOL, directory=True), Pool(POOL, directory=True, btrfs=True, quota=True, mode=0o755)])
def test_a_pool_in_a_file_stays_one_whatever_its_folder_is_on(below):
    half = replace(NODE, pool=below)
    assert compare(wish(), half).steps == (machine.EnsurePool(POOL, FILE),)
    assert applied(wish(), half) == NODE


def test_a_removal_that_was_begun_ends_before_a_new_pool_is_made():
    half = replace(NODE, pool=replace(NODE.pool, backing=f"{FILE}.del"), file=PoolFile(FILE, room=100 << 30))
    assert changed(wish(), half) == {"pool": ("absent", POOL), "pool_size": (None, "20G")}
    assert compare(wish(), half).steps == (machine.EnsurePool(POOL, FILE, SIZE),)


# -- files of other people ------------------------------------------------------------------------------------------------

ODD = "# caf\udce9\r\ntab\there\x0cform feed\u2028one line\r\n\n  last"


def test_the_rest_of_somebody_elses_file_stays_character_by_character():
    node = applied(wish(), replace(STOCK, texts={**STOCK.texts, "fstab": ODD, "subuid": ODD}))
    assert (node.texts["fstab"], node.texts["subuid"]) == (f"{ODD}\n{FSTAB}\n", f"{ODD}\n{LINE}\n")
    left = applied(GONE, replace(node, texts={**node.texts, "fstab": f"{node.texts['fstab']}more"}))
    assert (left.texts["fstab"], left.texts["subuid"]) == (f"{ODD}\nmore", f"{ODD}\n")


def test_the_mount_of_an_older_release_becomes_todays():
    older = FSTAB.replace("noatime", "noatime,x-systemd.before=lxc.service")
    node = replace(NODE, texts={**NODE.texts, "fstab": f"{older}\n{STOCK.texts['fstab']}"})
    assert older != FSTAB and changed(wish(), node) == {"fstab": (older, FSTAB)}
    assert applied(wish(), node).texts["fstab"] == f"{STOCK.texts['fstab']}{FSTAB}\n"


# -- ids, networks, kernel ----------------------------------------------------------------------------------------------


def test_options_change_and_change_back():
    other = wish(networks=["10.92.0.0/16", "10.93.0.0/24"], nat=False, id_start=START * 2, id_count=65536 * 10)
    told = changed(other, NODE)
    assert told["networks"] == (["10.90.0.0/16"], ["10.92.0.0/16", "10.93.0.0/24"])
    assert told["nat"] == (True, False)
    assert told["subuid"] == (LINE, f"root:{START * 2}:655360")
    changed_node = applied(other, NODE)
    assert compare(other, changed_node) == Plan()
    assert changed_node.texts["subuid"] == f"me:100000:65536\nroot:{START * 2}:655360\n"
    assert applied(wish(), changed_node) == NODE


def test_vpss_are_not_stranded():
    node = replace(NODE, vpss=(WEB,))
    assert "VPS web has the address 10.90.0.11" in sentence(lambda: compare(wish(networks=["10.91.0.0/16"]), node), "networks")
    sentence(lambda: compare(wish(networks=[]), node), "networks")
    assert "VPS web has the ids from" in sentence(lambda: compare(wish(id_start=START + 65536 * 2, id_count=65536), node), "id_start")
    sentence(lambda: compare(wish(id_count=65536), node), "id_start")
    assert "networks" in changed(wish(networks=["10.90.0.0/24"]), node)
    assert "id_count" in changed(wish(id_count=65536 * 2), node)


@pytest.mark.parametrize("line", [f"me:{START}:1", f"me:1:{START}", f"me:{START + COUNT - 1}:5", f"root:{START}:65536"])
def test_ids_of_somebody_else_are_refused_with_their_line(line):
    texts = {**STOCK.texts, "subgid": f"a:1:1\n{line}\n"}
    assert f"overlaps line 2 of /etc/subgid ('{line}')" in sentence(lambda: compare(wish(), replace(STOCK, texts=texts)), "id_start")


@pytest.mark.parametrize("line", [f"me:{START - 5}:5", f"me:{START + COUNT}:5", "# nothing", "me:x:y", ""])
def test_lines_beside_the_range_are_nobodys_business(line):
    texts = {**STOCK.texts, "subuid": f"{line}\n"}
    assert applied(wish(), replace(STOCK, texts=texts)).texts["subuid"] == f"{line}\n{LINE}\n"


def test_a_range_that_root_has_already_needs_no_line():
    texts = {**STOCK.texts, "subuid": f"root:{START - 65536}:{COUNT * 2}\n"}
    assert "subuid" not in changed(wish(), replace(STOCK, texts=texts))


def test_a_network_that_the_machine_is_in_itself_is_refused():
    there = replace(STOCK, routes=(("lo", "127.0.0.0/8"), ("eth7", "10.90.3.0/24")))
    assert "10.90.3.0/24, which this machine reaches through eth7" in sentence(lambda: compare(wish(), there), "networks")
    assert compare(wish(), replace(NODE, routes=there.routes)) == Plan(), "what the node has routed since before stays its business"


def test_kernel_settings_are_raised_and_never_lowered():
    more = {**HIGH, "fs.aio-max-nr": HIGH["fs.aio-max-nr"] * 4, "net.ipv4.ip_forward": 1}
    assert not [option for option in changed(wish(), replace(STOCK, sysctls=more)) if option.startswith("sysctl ")]
    text = applied(wish(), replace(STOCK, sysctls=more)).texts["sysctl"]
    assert "aio-max-nr" not in text and "ip_forward = 1" in text


def test_a_setting_that_somebody_raised_further_is_no_longer_ours():
    more = {**NODE.sysctls, "vm.max_map_count": 1 << 30}
    node = applied(wish(), replace(NODE, sysctls=more))
    assert node.sysctls == more and "max_map_count" not in node.texts["sysctl"]
    assert applied(GONE, node).sysctls["vm.max_map_count"] == 1 << 30


def test_settings_that_this_kernel_lacks_are_left_out():
    few = {"vm.max_map_count": 1}
    node = applied(wish(), replace(STOCK, sysctls=few))
    assert node.sysctls == {"vm.max_map_count": 262_144} and compare(wish(), node) == Plan()


UNITS = {f"{name}_file" for name in unitfiles.PATHS}


@pytest.mark.parametrize(
    ("option", "drift"),
    [
        ("firewall", {"rules": None}),
        ("firewall", {"rules": (NODE.rules[0], NODE.rules[1] + 1)}),
        ("firewall", {"rules": ("is_0", NODE.rules[1])}),
        ("lxcfs", {"lxcfs": False}),
        ("lxc_folder", {"lxc_mode": 0o770}),
        ("sysctl fs.aio-max-nr", {"sysctls": {**NODE.sysctls, "fs.aio-max-nr": 5}}),
        ("fstab", {"texts": {**SYSTEMD_NODE.texts, "fstab": ""}}),
        ("subuid", {"texts": {**SYSTEMD_NODE.texts, "subuid": None}}),
        ("seccomp_file", {"texts": {**SYSTEMD_NODE.texts, "seccomp": "2\n"}}),
        ("network_file", {"texts": {**SYSTEMD_NODE.texts, "network": None}}),
        ("sysctl_file", {"texts": {**SYSTEMD_NODE.texts, "sysctl": ""}}),
        ("boot", {"boot": Boot(enabled=True, started=True)}),
        ("boot", {"boot": Boot(loaded=True, started=True)}),
        ("networkd_file", {"texts": {**SYSTEMD_NODE.texts, "networkd": None}}),
        ("pool", {"pool": replace(NODE.pool, folders=("vps",))}),
        ("pool", {"pool": replace(NODE.pool, quota=False)}),
        ("pool", {"pool": replace(NODE.pool, mode=0o755)}),
    ],
)
def test_what_somebody_else_changed_is_put_right_and_nothing_else(option, drift):
    drifted = replace(SYSTEMD_NODE, **drift)
    assert set(changed(wish(), drifted)) - ({"boot"} if option in UNITS else set()) == {option}
    assert compare(wish(), applied(wish(), drifted)) == Plan()


def test_what_is_not_installed_is_named_with_its_package():
    told = sentence(lambda: compare(wish(), replace(STOCK, missing=("lxc-start", "mkfs.btrfs"))), "state")
    assert "install btrfs-progs, lxc, or run the role mainline.vps.node" in told


def test_the_guests_way_round_the_disk_limit_is_closed():
    text = NODE.texts["seccomp"]
    assert text.startswith(STOCK.common_seccomp)
    for number in (14, 1, 23, 24):  # linux/btrfs.h
        assert f"ioctl errno 1 [1,{0x50009400 | number},SCMP_CMP_MASKED_EQ,4294967295]\n" in text


@pytest.mark.parametrize(("direction", "size", "number"), [(3, 16, 40), (1, 24, 41), (1, 16, 42), (2, 48, 43), (1, 64, 44)])  # linux/btrfs.h
def test_what_changes_quota_is_refused_to_a_root_that_has_the_nodes_capabilities(direction, size, number):
    command = direction << 30 | size << 16 | 0x94 << 8 | number
    assert f"ioctl errno 1 [1,{command},SCMP_CMP_MASKED_EQ,4294967295]\n" in NODE.texts["seccomp"]


# -- what people write --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("pool", "vps"), ("pool", "/"), ("pool", ""), ("pool", "/a b"), ("pool", "/a/../b"), ("pool", "/a/"), ("pool", "/a\n"), ("pool", "/" + "x" * 500),
        ("pool_file", "x"), ("pool_file", f"{POOL}/vps.img"), ("pool_file", POOL),
        ("pool_size", "unlimited"), ("pool_size", "1M"), ("pool_size", "much"), ("pool_size", "-1G"),
        ("id_start", 0), ("id_start", 100_000), ("id_start", -65536), ("id_count", 0), ("id_count", 65535), ("id_count", 1 << 32),
        ("networks", ["10.90.0.0/33"]), ("networks", ["10.90.0.1/16"]), ("networks", ["fe80::/64"]), ("networks", ["0.0.0.0/0"]),
        ("networks", ["127.0.0.0/8"]), ("networks", ["10.0.0.0/16", "10.0.5.0/24"]), ("networks", ["10.0.0.0/16", "10.0.0.0/16"]),
        ("networks", ["x" * 500 + "\n"]),
    ],
)
def test_a_machine_may_not_be_asked_for_like_this(option, value):
    sentence(lambda: wish(**{option: value}), option)


def test_settings_read_back_as_they_were_written():
    assert Settings.from_record(json.loads(NODE.settings.to_text())) == NODE.settings
    older = {"pool": POOL, "id_start": START, "id_count": COUNT, "networks": ["10.90.0.0/16"]}
    assert Settings.from_record(older) == Settings(POOL, START, COUNT, ("10.90.0.0/16",))
