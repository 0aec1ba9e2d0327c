# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vps_node on a machine of its own (see kit/apart): made, changed, repaired, killed, taken away; every item seen in the kernel."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import time

import pytest
import vps_kit as kit

POOL, FILE = "/mnt/vps", "/mnt/vps.img"
SMALL = {"pool": POOL, "pool_file": FILE, "pool_size": "512M", "networks": ["10.91.0.0/16"]}
IDS = "root:704643072:655360000"
FSTAB = f"{FILE} {POOL} btrfs nofail,loop,noatime 0 0"
RAISED = {
    "kernel.keys.maxkeys": (200, 2000), "kernel.keys.maxbytes": (20_000, 2_000_000), "vm.max_map_count": (65_530, 262_144),
    "kernel.pty.max": (4096, 1_048_576),
}


def node(**params) -> dict:
    """Run vps_node; what it returns."""
    return kit.ok("vps_node", **{**SMALL, **params})


def refused(**params) -> str:
    """Run vps_node, which is to fail and to touch nothing."""
    before = everything()
    message = kit.fails("vps_node", **{**SMALL, **params})
    assert kit.fails("vps_node", check=True, **{**SMALL, **params}) == message
    assert everything() == before
    return message


def foretold(**params) -> dict:
    """Check mode writes nothing and says what the run then does; a second run has nothing to do."""
    before = everything()
    told = node(check=True, **params)
    assert everything() == before, "check mode wrote"
    done = node(**params)
    for key in ("changed", "diff", "changes"):
        assert told[key] == done[key], f"{key}: check mode said {told[key]}, the run {done[key]}"
    settled = everything()
    again = node(**params)
    assert not again["changed"] and again["diff"] == {"before": {}, "after": {}}, again["changes"]
    assert everything() == settled
    return done


def changed(done: dict) -> set[str]:
    """The options that were changed."""
    return {change["option"] for change in done["changes"]}


def sysctl(key: str) -> int:
    return int(pathlib.Path("/proc/sys", *key.split(".")).read_text(encoding="ascii"))


def lines(path: str) -> list[str]:
    return pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines()


def mounts() -> list[str]:
    """(mount point, file system) of everything that is mounted."""
    return [" ".join(line.split(" ")[1:3]) for line in lines("/proc/mounts")]


def rules() -> list:
    """The packet filter, without the numbers that the kernel gives, and the order in which its chains were made."""
    def place(entry: dict) -> list[str]:
        ((kind, body),) = entry.items()
        return [kind, *(str(body.get(key)) for key in ("family", "table", "chain", "name"))]

    found = json.loads(kit.run("nft", "--json", "list", "ruleset"))["nftables"][1:]
    found = [{kind: {key: value for key, value in body.items() if key != "handle"} for kind, body in entry.items()} for entry in found]
    return sorted(found, key=place)


def everything() -> dict:
    """The machine, as far as a node is made of it."""
    etc = {}
    for folder, _folders, files in os.walk("/etc"):
        for file in files:
            path = pathlib.Path(folder, file)
            if not path.is_symlink():
                status = path.stat()
                etc[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return {
        "etc": etc, "etc folders": sorted(os.listdir("/etc")), "mnt": sorted(os.listdir("/mnt")), "mounts": mounts(), "rules": rules(),
        "sysctls": {key: sysctl(key) for key in (*RAISED, "net.ipv4.ip_forward")}, "lxc": os.stat("/var/lib/lxc").st_mode,
        "text": {name: lines(f"/etc/{name}") for name in ("fstab", "subuid", "subgid")},
    }


def comparable(state: dict) -> dict:
    """The same, without when a file was written last."""
    return {**state, "etc": {path: status[:2] for path, status in state["etc"].items()}}


@pytest.fixture(autouse=True)
def machine():
    """Each test starts on a stock machine, and must leave one when it takes the node away."""
    for name in ("fstab", "subuid", "subgid"):
        pathlib.Path("/etc", name).touch()
    before = comparable(everything())
    yield
    if os.path.exists("/etc/vps/node.json"):
        for name in os.listdir(f"{POOL}/vps") if os.path.isdir(f"{POOL}/vps") else ():
            kit.ok("vps_container", name=name, state="absent")
        for name in os.listdir(f"{POOL}/templates") if os.path.isdir(f"{POOL}/templates") else ():
            kit.ok("vps_template", name=name, state="absent")
        node(state="absent")
    after = comparable(everything())
    assert after == before, kit.differences(before, after)


# -- made and taken away ------------------------------------------------------------------------------------------------


def test_a_stock_machine_becomes_a_node_and_a_stock_machine_again():
    done = foretold()
    assert {"state", "pool", "pool_size", "fstab", "subuid", "subgid", "networks", "seccomp_file", "firewall", "lxcfs", "lxc_folder"} <= changed(done)
    assert {f"sysctl {key}" for key in (*RAISED, "net.ipv4.ip_forward")} <= changed(done)
    assert done["node"]["pool_size"] == "512M" and done["node"]["networks"] == SMALL["networks"]

    assert f"{POOL} btrfs" in mounts() and FSTAB in lines("/etc/fstab")
    assert IDS in lines("/etc/subuid") and IDS in lines("/etc/subgid")
    assert {key: sysctl(key) for key in RAISED} == {key: high for key, (_low, high) in RAISED.items()}
    assert sysctl("net.ipv4.ip_forward") == 1
    assert {"kernel.keys.maxkeys = 2000", "net.ipv4.ip_forward = 1"} <= set(lines("/etc/sysctl.d/60-mainline-vps.conf"))
    for folder in (POOL, f"{POOL}/vps", f"{POOL}/templates", "/var/lib/lxc"):
        assert os.stat(folder).st_mode & 0o777 == 0o711
    assert "MemTotal" in pathlib.Path("/var/lib/lxcfs/proc/meminfo").read_text(encoding="utf-8")
    assert kit.run("btrfs", "qgroup", "show", POOL)

    gone = foretold(state="absent")
    assert gone["node"] is None
    assert {key: sysctl(key) for key in RAISED} == {key: low for key, (low, _high) in RAISED.items()}
    assert sysctl("net.ipv4.ip_forward") == 0


def test_the_file_of_the_packet_filter_is_what_the_kernel_has():
    node()
    there = rules()
    kit.run("nft", "-f", "/etc/vps/network.nft")
    assert rules() == there
    assert not node()["changed"]


def test_lxcfs_outlives_the_run_that_started_it():
    node()
    number = int(pathlib.Path("/run/lxcfs.pid").read_text(encoding="ascii"))
    assert os.getsid(number) != os.getsid(0), "it would end with the login"


def test_options_change_and_change_back():
    node()
    first = comparable(everything())
    done = foretold(networks=["10.92.0.0/16", "10.93.0.0/24"], nat=False, id_start=65536 * 20000, id_count=65536 * 5)
    assert changed(done) == {"networks", "nat", "id_start", "id_count", "subuid", "subgid", "firewall", "network_file"}
    assert "root:1310720000:327680" in lines("/etc/subuid") and IDS not in lines("/etc/subuid")
    assert "masquerade" not in json.dumps(rules())
    assert changed(foretold()) == changed(done)
    assert comparable(everything()) == first


def test_a_pool_grows_while_it_is_in_use_and_never_shrinks():
    node()
    pathlib.Path(POOL, "kept").write_text("kept", encoding="ascii")
    assert changed(foretold(pool_size="768M")) == {"pool_size"}
    status = os.statvfs(POOL)
    assert status.f_blocks * status.f_frsize == 768 << 20
    assert not node(pool_size="600M")["changed"]
    assert pathlib.Path(POOL, "kept").read_text(encoding="ascii") == "kept"


def test_a_pool_does_not_move_but_can_be_made_elsewhere_afterwards():
    node()
    assert f"the node's pool is {POOL}" in refused(pool="/mnt/other", pool_file="/mnt/other.img")
    assert f"the node's pool is {POOL} in {FILE}" in refused(pool_file="/mnt/other.img")
    node(state="absent")
    foretold(pool="/mnt/other", pool_file="/mnt/other.img")
    assert "/mnt/other btrfs" in mounts() and not os.path.exists(FILE)


@pytest.fixture
def btrfs():
    """A btrfs of somebody's, with something of his in it."""
    kit.run("truncate", "--size=256M", "/mnt/own.img")
    kit.run("mkfs.btrfs", "--quiet", "/mnt/own.img")
    os.mkdir("/mnt/own")
    kit.run("mount", "-o", "loop", "/mnt/own.img", "/mnt/own")
    pathlib.Path("/mnt/own/his").write_text("his", encoding="ascii")
    yield "/mnt/own"
    node(state="absent")
    assert sorted(os.listdir("/mnt/own")) == ["his"], "more, or less, than our folders was taken away"
    kit.run("umount", "/mnt/own")
    os.rmdir("/mnt/own")
    os.unlink("/mnt/own.img")


def test_an_existing_btrfs_is_used_and_left_behind_as_it_was(btrfs):
    assert "run 'btrfs quota enable /mnt/own'" in refused(pool=btrfs)
    kit.run("btrfs", "quota", "enable", btrfs)
    fstab = lines("/etc/fstab")
    done = foretold(pool=btrfs)
    assert done["node"]["pool_file"] is None
    assert lines("/etc/fstab") == fstab and not os.path.exists(FILE)
    assert sorted(os.listdir(btrfs)) == [".spare", "his", "templates", "vps"]


# -- what is not ours ---------------------------------------------------------------------------------------------------


def test_what_others_have_in_the_same_places_stays():
    kit.run("nft", "add table inet it_others; add chain inet it_others c; add rule inet it_others c counter")
    were = {}
    for name, line in {"fstab": b"# caf\xe9\r\ntmpfs /nowhere tmpfs noauto 0 0", "subuid": b"it-me:100000:65536\x0c", "subgid": b"it-me:100000:65536"}.items():
        path = pathlib.Path("/etc", name)
        were[path] = path.read_bytes()
        path.write_bytes(were[path] + line + b"\n")
    os.chmod("/etc/fstab", 0o600)
    before, theirs = comparable(everything()), {path: path.read_bytes() for path in were}
    foretold()
    assert all(path.read_bytes().startswith(text) for path, text in theirs.items())
    assert any(entry.get("table", {}).get("name") == "it_others" for entry in rules())
    foretold(state="absent")
    assert comparable(everything()) == before and {path: path.read_bytes() for path in were} == theirs
    kit.run("nft", "delete table inet it_others")
    os.chmod("/etc/fstab", 0o644)
    for path, text in were.items():
        path.write_bytes(text)


def test_what_the_machine_had_already_is_not_taken_away():
    pathlib.Path("/proc/sys/vm/max_map_count").write_text("1000000", encoding="ascii")
    with open("/etc/subuid", "a", encoding="utf-8") as file:
        file.write(f"{IDS}\n")
    try:
        assert not {"subuid", "sysctl vm.max_map_count"} & changed(foretold())
        foretold(state="absent")
        assert sysctl("vm.max_map_count") == 1_000_000 and IDS in lines("/etc/subuid")
    finally:
        pathlib.Path("/proc/sys/vm/max_map_count").write_text("65530", encoding="ascii")
        pathlib.Path("/etc/subuid").write_text("".join(f"{line}\n" for line in lines("/etc/subuid") if line != IDS), encoding="utf-8")


@pytest.mark.parametrize(
    ("option", "spoil", "repaired"),
    [
        ("firewall", lambda: kit.run("nft", "delete table inet mainline_vps"), lambda: "mainline_vps" in json.dumps(rules())),
        ("firewall", lambda: kit.run("nft", "flush chain inet mainline_vps prerouting"), lambda: '"vps*"' in json.dumps(rules())),
        ("sysctl kernel.keys.maxkeys", lambda: kit.run("sysctl", "kernel.keys.maxkeys=100"), lambda: sysctl("kernel.keys.maxkeys") == 2000),
        ("lxcfs", lambda: kit.run("umount", "--lazy", "/var/lib/lxcfs") or time.sleep(1), lambda: os.path.isdir("/var/lib/lxcfs/proc")),
        ("pool", lambda: kit.run("umount", POOL), lambda: f"{POOL} btrfs" in mounts()),
        ("pool", lambda: kit.run("btrfs", "quota", "disable", POOL), lambda: kit.run("btrfs", "qgroup", "show", POOL)),
        ("seccomp_file", lambda: os.unlink("/etc/vps/seccomp"), lambda: os.path.exists("/etc/vps/seccomp")),
        ("lxc_folder", lambda: os.chmod("/var/lib/lxc", 0o700), lambda: os.stat("/var/lib/lxc").st_mode & 0o777 == 0o711),
    ],
)
def test_what_somebody_spoiled_is_repaired_and_nothing_else(option, spoil, repaired):
    node()
    spoil()
    assert changed(foretold()) == {option}
    assert repaired()


def test_a_killed_lxcfs_is_started_again():
    node()
    os.kill(int(pathlib.Path("/run/lxcfs.pid").read_text(encoding="ascii")), signal.SIGKILL)
    kit.until("it is gone", lambda: not os.path.isdir("/var/lib/lxcfs/proc"))
    assert changed(foretold()) == {"lxcfs"}


# -- refused ------------------------------------------------------------------------------------------------------------


def test_a_machine_in_use_is_not_pulled_from_under_its_vpss():
    node()
    kit.ok("vps_template", name="it-minimal", source="minimal")
    assert "template it-minimal" in refused(state="absent")
    kit.ok("vps_container", name="ap-web", state="present", template="it-minimal", addresses=["10.91.0.9"])
    assert "VPS ap-web and template it-minimal" in refused(state="absent")
    assert "10.91.0.9" in refused(networks=["10.92.0.0/16"])
    assert "ap-web" in refused(id_start=65536 * 20000)
    assert "state: absent" in refused(pool="/mnt/other", pool_file="/mnt/other.img")
    assert changed(foretold(networks=["10.91.0.0/24"])) >= {"networks"}
    kit.run("umount", POOL)
    assert "is not mounted" in refused(state="absent")
    assert "is not mounted" in refused(networks=["10.92.0.0/16"])
    assert changed(foretold(networks=["10.91.0.0/24"])) == {"pool"}


def test_where_neither_pool_nor_rules_came_back_both_do_with_what_its_vpss_have():
    """After a boot without systemd, and where a run was killed before it had mounted the pool."""
    node()
    kit.ok("vps_template", name="it-minimal", source="minimal")
    kit.ok("vps_container", name="ap-web", state="present", template="it-minimal", addresses=["10.91.0.9"], publish=[{"host": 8080, "guest": 80}])
    kit.run("umount", POOL)
    kit.run("nft", "delete", "table", "inet", "mainline_vps")
    os.unlink("/etc/vps/network.nft")
    assert changed(foretold()) == {"pool", "firewall"}
    assert "8080" in kit.run("nft", "list", "table", "inet", "mainline_vps")
    kit.ok("vps_container", name="ap-web", state="absent")


def test_what_killed_runs_left_in_the_pool_does_not_keep_the_node():
    node()
    for kind in ("vps", "templates"):
        left = pathlib.Path(POOL, kind, ".new-it-left")
        left.mkdir()
        kit.run("btrfs", "subvolume", "create", str(left / "rootfs"))
    node(state="absent")


@pytest.mark.parametrize(
    ("option", "params"),
    [
        ("pool", {"pool": "relative"}),
        ("pool", {"pool": "/etc"}),
        ("pool", {"pool": "/mnt/not/there/vps", "pool_file": "/mnt/x.img"}),
        ("pool", {"pool": "/etc/passwd"}),
        ("pool_file", {"pool_file": "/mnt/vps/inside.img"}),
        ("pool_file", {"pool_file": "/mnt/not/there.img"}),
        ("pool_file", {"pool_file": "/etc/passwd"}),
        ("pool_size", {"pool_size": "1M"}),
        ("pool_size", {"pool_size": "unlimited"}),
        ("pool_size", {"pool_size": "1P"}),
        ("id_start", {"id_start": 5}),
        ("id_count", {"id_count": 65536 * 65536}),
        ("networks", {"networks": ["10.91.0.1/16"]}),
        ("networks", {"networks": ["10.78.0.0/16"]}),
        ("networks", {"networks": ["10.91.0.0/16", "10.91.1.0/24"]}),
    ],
)
def test_a_mistake_is_a_sentence_and_touches_nothing(option, params):
    assert refused(**params).startswith(f"{option}: ")


def test_ids_of_somebody_else_are_refused():
    with open("/etc/subgid", "a", encoding="utf-8") as file:
        file.write("it-me:704643071:2\n")
    assert "it-me:704643071:2" in refused()
    pathlib.Path("/etc/subgid").write_text("".join(f"{line}\n" for line in lines("/etc/subgid")[:-1]), encoding="utf-8")


# -- killed -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["present", "absent"])
def test_killed_at_any_moment_the_next_run_converges(state):
    other = {"present": "absent", "absent": "present"}[state]
    node(state=other)
    started = time.monotonic()
    node(state=state)
    whole = time.monotonic() - started
    for step in range(12):
        node(state=other)
        process = kit.launch("vps_node", state=state, **SMALL)
        time.sleep(whole * step / 12)
        process.kill()
        process.communicate()
        node(state=state)
        assert not node(state=state)["changed"]
        assert not [name for name in os.listdir("/mnt") if name.endswith((".new", ".del"))]
    # The other way round as well: whoever killed it may have changed his mind.
    for step in range(6):
        process = kit.launch("vps_node", state=state, **SMALL)
        time.sleep(whole * step / 6)
        process.kill()
        process.communicate()
        node(state=other)
        assert not node(state=other)["changed"]
