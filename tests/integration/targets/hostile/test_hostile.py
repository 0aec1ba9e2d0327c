# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong values, wrong times, wrong machines: one sentence that names the option, and nothing touched."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest
import vps_kit as kit

SHARED = "it-there"


@pytest.fixture(scope="module", autouse=True)
def there(minimal):
    """A VPS that exists, with an address, a limit, and everything to lose."""
    kit.container(SHARED, template=minimal, addresses=[kit.address(40)], limits={"memory": "64M"}, wait="booted")


def refused(module: str = "vps_container", *, names: str, says: str = "", **params) -> str:
    """A task that is refused, in check mode with the same words, and that touches nothing."""
    with kit.Untouched():
        foretold = kit.fails(module, check=True, **params)
        message = kit.fails(module, **params)
    assert foretold == message
    assert message.startswith(f"{names}: "), f"it should name {names}: {message}"
    assert says in message
    assert len(message) < 500
    return message


# -- values -----------------------------------------------------------------------------------------------------------------

NAMES = [
    "it/slash", "../it-up", "..", ".", "", "it-" + "n" * 197, "it space", "it-ümlaut", "IT-UPPER", "-it", "it-", "it_under", "it\nnewline", "it\0nul",
    "it-$(reboot)", "it-;reboot", "it-%s", "it@x", "it-١", "it..dots", ".new-it", "/etc", "it-a/../../etc",
]


@pytest.mark.parametrize("name", NAMES, ids=[repr(name)[1:20].replace("/", "|") for name in NAMES])
def test_a_name_that_is_none(minimal, name):
    """Refused by every module, in every state."""
    refused(names="name", name=name, template=minimal)
    refused(names="name", name=name, state="absent")
    refused("vps_limits", names="name", name=name, memory="64M")
    refused("vps_template", names="name", name=name, source="minimal")


VALUES = {
    "limits.memory": ["12Q", "-1", "0", "", "1M", "1e9", "64 M B", "99999999999999999999999", "٦٤M", "64M\n#", "0x40"],
    "limits.swap": ["-1", "much"],
    "limits.cpuunits": ["0", "9", "100001", "1.5", "-5"],
    "limits.cpulimit": ["0", "-50", "half", "50%%", "1000001"],
    "limits.cpus": ["0", "1.5", "-1", "9999"],
    "limits.processes": ["0", "7", "-1", "lots", "4194305"],
    "limits.diskspace": ["0", "-1G", "12Q", "1K"],
}


@pytest.mark.parametrize(("option", "value"), [(option, value) for option, values in VALUES.items() for value in values])
def test_a_limit_that_is_none(option, value):
    """Refused, with the option and an example."""
    limit = option.split(".")[1]
    refused(names=option, name=SHARED, limits={**({"memory": "64M"} if limit == "swap" else {}), limit: value})
    refused("vps_limits", names=limit, name=SHARED, **{**({"memory": "64M"} if limit == "swap" else {}), limit: value})


OTHERS = {
    "hostname": ["", "under_score", "a" * 65, "new\nline", "-dash", "ümlaut", "../x"],
    "addresses": [["10.90.0.300"], ["fe80::1"], ["127.0.0.1"], ["0.0.0.0"], ["224.0.0.1"], ["10.90.0.0/24"], ["one"], [""], ["10.90.0.9 dev lo"]],
    "nameservers": [["one"], ["192.0.2.1"] * 4, ["192.0.2.1\nsearch evil"]],
    "root_password_hash": ["clear", "", "$6$x:y$0000000000", "$6$salt$" + "a" * 20 + "\nroot2::0:0::/:/bin/sh"],
    "authorized_keys": [["not a key"], ["ssh-ed25519 AAAA\nssh-rsa evil"], [""]],
    "description": ["two\nlines", "x" * 256],
    "template": ["it-nowhere", "../minimal", "", "/etc"],
}


@pytest.mark.parametrize("option", OTHERS)
def test_a_value_that_is_none(minimal, option):
    """Refused for a VPS that exists and for one that does not; a password is not repeated."""
    for value in OTHERS[option]:
        message = refused(names=option, name="it-new", **{"template": minimal, option: value})
        if option != "template":
            assert refused(names=option, name=SHARED, **{option: value}) == message
        if option == "root_password_hash" and value:
            assert value not in message


def test_an_address_that_is_somebody_elses(minimal):
    """Another VPS's, the node's own, one outside of the node's networks, one twice."""
    mine = kit.address(40)
    refused(names="addresses", says=f"VPS {SHARED}", name="it-new", template=minimal, addresses=[mine])
    refused(names="addresses", says="twice", name="it-new", template=minimal, addresses=[kit.address(41)] * 2)
    refused(names="addresses", says="network", name="it-new", template=minimal, addresses=["198.51.100.7"])
    own = kit.run("hostname", "-I").split()
    for address in [address for address in own if ":" not in address]:
        refused(names="addresses", says=address, name="it-new", template=minimal, addresses=[address])
    assert own, "this node has no address, so that was not tried"
    kit.container("it-second", template=minimal, state="present", addresses=[kit.address(41)])
    refused(names="addresses", says=f"VPS {SHARED}", name="it-second", addresses=[kit.address(41), mine])


def test_a_template_that_a_vps_was_not_made_from(minimal):
    """Refused; the same one is no change; and a new VPS needs one."""
    kit.ok("vps_template", name="it-another", source="minimal")
    try:
        refused(names="template", says=minimal, name=SHARED, template="it-another")
    finally:
        kit.ok("vps_template", name="it-another", state="absent")
    assert not kit.ok("vps_container", name=SHARED, template=minimal)["changed"]
    refused(names="template", says="needed", name="it-new")


def test_a_template_that_cannot_be_built():
    """No source, options that do not go together, words that are no package, suite or mirror."""
    refused("vps_template", names="source", name="it-new")
    refused("vps_template", names="packages", name="it-new", source="minimal", packages=["nginx"])
    for package in ("", "a b", "--help", "nginx;reboot", "../x", "Nginx", "nginx/../x"):
        refused("vps_template", names="packages", name="it-new", source="debian", packages=[package])
    for suite in ("../etc", "Bookworm", "book worm", "--mode=root"):
        refused("vps_template", names="suite", name="it-new", source="debian", suite=suite)
    for mirror in ("mirror", "ftp://x", "http://x y", "http://x] deb evil", "--help"):
        refused("vps_template", names="mirror", name="it-new", source="debian", mirror=mirror)


@pytest.mark.parametrize("option", ["wait_timeout", "stop_timeout", "lock_timeout"])
def test_seconds_that_are_none(option):
    """Below zero, above a day."""
    for value in (-1, 86_401):
        refused(names=option, name=SHARED, **{option: value})


# -- whose it is --------------------------------------------------------------------------------------------------------------


def test_without_root_nothing_is_done(minimal):
    """One sentence that names become, from each module."""
    for module, params in {
        "vps_container": {"name": SHARED, "state": "absent"}, "vps_limits": {"name": SHARED}, "vps_info": {},
        "vps_template": {"name": minimal, "state": "absent"},
    }.items():
        with kit.Untouched():
            assert kit.fails(module, uid=65534, **params).startswith("become: ")


def test_a_foreign_container_of_that_name_is_not_touched(minimal):
    """Made by lxc-create or by hand: no state, not even absent, is granted; it is not in vps_info."""
    foreign = kit.LXC / "it-foreign"
    foreign.mkdir()
    try:
        (foreign / "config").write_text("lxc.uts.name = foreign\n", encoding="ascii")
        for state in ("present", "started", "stopped", "restarted", "frozen", "absent"):
            refused(names="name", says="it-foreign", name="it-foreign", template=minimal, state=state)
        refused("vps_limits", names="name", says="it-foreign", name="it-foreign", memory="64M")
        assert (foreign / "config").read_text(encoding="ascii") == "lxc.uts.name = foreign\n" and os.listdir(foreign) == ["config"]
        assert kit.info("it-foreign") is None
    finally:
        shutil.rmtree(foreign)
    kit.container("it-foreign", template=minimal)


# -- at once --------------------------------------------------------------------------------------------------------------


def test_two_playbooks_at_once_make_one_vps(minimal, tmp_path):
    """Both succeed; one of them made it, and it is whole."""
    task = {"name": "A VPS", "mainline.vps.vps_container": {"name": "it-once", "template": minimal, "limits": {"memory": "64M"}, "wait": "booted"}}
    plays = [kit.playbook(tmp_path, [task]) for _number in range(2)]
    outputs = [play.communicate(timeout=120)[0] for play in plays]
    assert [play.returncode for play in plays] == [0, 0], "\n".join(outputs)
    assert sorted("changed=1" in output for output in outputs) == [False, True], "\n".join(outputs)
    assert kit.info("it-once")["state"] == "started" and kit.kernel_limits("it-once") == kit.limit_files(memory=64 << 20)


def test_locks_are_where_root_alone_makes_files(minimal):
    """Elsewhere somebody may have made the folder before, and has root write to what its links lead to."""
    kit.container("it-locks", template=minimal, state="stopped")
    for folder in (kit.LOCKS, *kit.LOCKS.parents):
        status = folder.stat()
        assert status.st_uid == 0 and not status.st_mode & 0o022, folder


def test_a_login_that_lets_nobody_read_its_files_makes_the_same(minimal):
    """What a guest's users may read is not for the node's umask to say."""
    private = ["sh", "-c", 'umask 077; exec "$@"', "sh"]
    told = kit.call("vps_template", wrap=private, name="it-private", source="minimal")
    try:
        assert told["changed"]
        kit.call("vps_container", wrap=private, name="it-private", template="it-private", hostname="private", nameservers=["192.0.2.1"], state="stopped")
        kit.container("it-public", template=minimal, hostname="public", nameservers=["192.0.2.1"], state="stopped")
        modes = [
            {str(path.relative_to(kit.rootfs(name))): oct(path.lstat().st_mode) for path in (kit.rootfs(name), *kit.rootfs(name).rglob("*"))}
            for name in ("it-private", "it-public")
        ]
        assert modes[0] == modes[1] and modes[0]["."] == oct(0o40755)
    finally:
        kit.call("vps_container", name="it-private", state="absent")
        kit.call("vps_template", name="it-private", state="absent")


def test_a_vps_that_another_run_works_on(minimal):
    """With lock_timeout 0 one sentence that names who; with patience it waits; check mode and others are not kept waiting."""
    kit.container("it-busy", template=minimal, state="present")
    (kit.rootfs("it-busy") / "etc/inittab").write_text("::sysinit:/bin/true\n", encoding="ascii")  # it never says that it has booted
    first = kit.launch("vps_container", name="it-busy", wait="booted", wait_timeout=8)
    kit.until("it has the lock", lambda: (kit.LOCKS / "vps-it-busy").exists() and kit.pid("it-busy"))
    started = time.monotonic()
    message = kit.fails("vps_limits", name="it-busy", memory="64M", lock_timeout=0)
    assert message.startswith("lock_timeout: ") and f"process {first.pid}" in message and "vps_container" in message
    assert kit.ok("vps_limits", name="it-busy", memory="64M", lock_timeout=0, check=True)["changed"]
    assert kit.ok("vps_container", name="it-else", template=minimal, state="present")["changed"]
    assert first.poll() is None and time.monotonic() - started < 6
    assert kit.ok("vps_limits", name="it-busy", memory="64M", lock_timeout=30)["changed"]
    assert kit.result(first)["failed"]


# -- a machine that is not as it should be ----------------------------------------------------------------------------------


@pytest.fixture
def other_machine(tmp_path):
    """A mount namespace that this test can change as it likes; gives what runs a command in it."""
    holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "--", "sleep", "600"])
    wrap = ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--"]
    own = os.readlink("/proc/self/ns/mnt")
    kit.until("the namespace is there", lambda: os.readlink(f"/proc/{holder.pid}/ns/mnt") != own)

    def run(*argv: str) -> str:
        return kit.run(*wrap, *argv)

    run.wrap = wrap
    run.folder = tmp_path
    yield run
    holder.kill()
    holder.wait()


def hide(machine, *programs: str) -> None:
    """Take programs off a machine: an overlay over each folder in which they are removed."""
    for number, folder in enumerate(("/usr/bin", "/usr/sbin")):
        upper, work = machine.folder / f"upper{number}", machine.folder / f"work{number}"
        machine("mkdir", str(upper), str(work))
        machine("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={folder},upperdir={upper},workdir={work}", folder)
        machine("rm", "-f", *(f"{folder}/{program}" for program in programs))


def test_a_machine_that_is_no_node(other_machine, minimal):
    """One sentence that names the role that makes it one."""
    other_machine("mount", "-t", "tmpfs", "none", "/etc/vps")
    for module, params in {
        "vps_container": {"name": SHARED, "state": "absent"}, "vps_limits": {"name": SHARED}, "vps_info": {},
        "vps_template": {"name": minimal, "state": "absent"},
    }.items():
        with kit.Untouched():
            message = kit.fails(module, wrap=other_machine.wrap, **params)
        assert message.startswith("node: ") and "mainline.vps.node" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pool": 5}'])
def test_settings_that_cannot_be_read(other_machine, text):
    """One sentence that names the file."""
    other_machine("mount", "-t", "tmpfs", "none", "/etc/vps")
    subprocess.run([*other_machine.wrap, "tee", "/etc/vps/node.json"], input=text, text=True, check=True, stdout=subprocess.DEVNULL)
    told = kit.call("vps_info", wrap=other_machine.wrap)
    assert told.get("failed") and "/etc/vps/node.json" in told["msg"] and "Traceback" not in str(told) and told["msg"].endswith(".")


def test_a_pool_that_is_not_mounted(other_machine):
    """Nothing is made in the empty folder below it."""
    other_machine("umount", "--lazy", str(kit.pool()))
    message = kit.fails("vps_container", wrap=other_machine.wrap, name=SHARED, state="absent")
    assert message.startswith("pool: ") and str(kit.pool()) in message


@pytest.mark.parametrize(
    ("program", "module", "params"),
    [
        ("mmdebstrap", "vps_template", {"name": "it-new", "source": "debian"}),
        ("busybox", "vps_template", {"name": "it-new", "source": "minimal"}),
        ("btrfs", "vps_container", {"name": "it-new", "state": "present"}),
        ("lxc-info", "vps_container", {"name": SHARED, "hostname": "x"}),
    ],
)
def test_a_program_that_is_missing(other_machine, minimal, program, module, params):
    """One sentence that names the program, and nothing made by halves."""
    hide(other_machine, program)
    if module == "vps_container" and params["name"] == "it-new":
        params = {**params, "template": minimal}
    with kit.Untouched():
        message = kit.fails(module, wrap=other_machine.wrap, **params)
    assert program in message and "mainline.vps.node" in message


def test_a_vps_whose_engine_is_missing_is_made_but_not_started(other_machine, minimal):
    """Without lxc-start: an error that names it; when it is back, the same task starts what is there."""
    hide(other_machine, "lxc-start")
    assert "lxc-start" in kit.fails("vps_container", wrap=other_machine.wrap, name="it-unstarted", template=minimal)
    assert kit.ok("vps_container", name="it-unstarted", template=minimal, wait="booted")["changed"]


@pytest.fixture
def tiny_pool(other_machine):
    """The same machine with a pool of 1 GiB of its own, in which there is a template and nothing else."""
    image, pool = other_machine.folder / "tiny.img", other_machine.folder / "pool"
    with image.open("wb") as file:
        file.truncate(1 << 30)
    pool.mkdir()
    kit.run("mkfs.btrfs", "--quiet", str(image))
    other_machine("mount", "-o", "loop", str(image), str(pool))
    other_machine("btrfs", "quota", "enable", str(pool))
    other_machine("mkdir", "-m", "711", f"{pool}/vps", f"{pool}/templates")
    settings = other_machine.folder / "node.json"
    settings.write_text(json.dumps({**kit.settings(), "pool": str(pool), "id_start": 500_000_000, "id_count": 3 * 65536}), encoding="utf-8")
    other_machine("mount", "--bind", str(settings), "/etc/vps/node.json")
    other_machine("mount", "-t", "tmpfs", "none", str(kit.LXC))
    other_machine.pool = pool
    kit.ok("vps_template", wrap=other_machine.wrap, name="it-tiny", source="minimal")
    yield other_machine
    for vps in kit.ok("vps_info", wrap=other_machine.wrap)["vpss"]:
        kit.ok("vps_container", wrap=other_machine.wrap, name=vps["name"], state="absent")
    other_machine("umount", str(pool))


def listing(machine) -> str:
    """All that is in a tiny pool, and its quota limits."""
    return machine("find", str(machine.pool), "-printf", "%P %y %s\\n") + machine("btrfs", "qgroup", "show", "-r", "--raw", str(machine.pool)).replace(" ", "")


def fill(machine) -> None:
    """Take all the room that there is, in pieces that become smaller."""
    for size in (256, 64, 16, 4, 1):
        for number in range(100):
            file = f"{machine.pool}/fill/{size}-{number}"
            if subprocess.run([*machine.wrap, "fallocate", "-l", f"{size}M", file], stderr=subprocess.DEVNULL, check=False).returncode != 0:
                break
    machine("btrfs", "filesystem", "sync", str(machine.pool))


def test_a_full_pool(tiny_pool):
    """Too little room for a VPS is said before anything is made; no room at all is a sentence, whatever is asked."""
    wrap = tiny_pool.wrap
    kit.ok("vps_container", wrap=wrap, name="it-small", template="it-tiny", state="present")
    tiny_pool("mkdir", f"{tiny_pool.pool}/fill")
    fill(tiny_pool)
    names = tiny_pool("find", str(tiny_pool.pool), "-maxdepth", "3", "-printf", "%P %y\\n")
    message = kit.fails("vps_container", wrap=wrap, name="it-late", template="it-tiny", state="present")
    assert message.startswith("name: the pool is full")
    assert tiny_pool("find", str(tiny_pool.pool), "-maxdepth", "3", "-printf", "%P %y\\n") == names

    told = kit.fails("vps_template", wrap=wrap, name="it-more", source="minimal")
    assert told.startswith("pool: ") and "No space left" in told
    told = kit.call("vps_container", wrap=wrap, name="it-small", state="present", description="x" * 250)
    assert "No space left" in told["msg"] if told.get("failed") else told["changed"]
    assert kit.ok("vps_info", wrap=wrap, name="it-small")["vpss"], "a full pool has damaged a record"
    kit.ok("vps_container", wrap=wrap, name="it-small", state="absent")  # a full pool can be emptied

    tiny_pool("rm", "-r", f"{tiny_pool.pool}/fill")
    tiny_pool("btrfs", "filesystem", "sync", str(tiny_pool.pool))
    assert kit.ok("vps_template", wrap=wrap, name="it-more", source="minimal")["template"]
    kit.ok("vps_container", wrap=wrap, name="it-late", template="it-more", state="present")
    assert not [line for line in tiny_pool("find", str(tiny_pool.pool), "-mindepth", "2", "-maxdepth", "2", "-name", ".*").splitlines() if line]


def test_no_id_range_left(tiny_pool):
    """The fourth VPS on a node with three ranges is refused; when one is gone, its range is used again."""
    made = [kit.ok("vps_container", wrap=tiny_pool.wrap, name=f"it-r{n}", template="it-tiny", state="present")["vps"]["id_base"] for n in range(3)]
    assert len(set(made)) == 3
    before = listing(tiny_pool)
    message = kit.fails("vps_container", wrap=tiny_pool.wrap, name="it-r3", template="it-tiny", state="present")
    assert message.startswith("name: ") and "id range" in message and listing(tiny_pool) == before
    kit.ok("vps_container", wrap=tiny_pool.wrap, name="it-r1", state="absent")
    again = kit.ok("vps_container", wrap=tiny_pool.wrap, name="it-r3", template="it-tiny", state="present")["vps"]["id_base"]
    assert again == made[1]


# -- guests ---------------------------------------------------------------------------------------------------------------

# What a guest's root does to its own tree; {outside} is a folder of the node's that it would like the node to write to.
TRAPS = {
    "shadow is a link to the node's": "ln -sf {outside}/shadow /etc/shadow",
    "shadow is a link far up": "ln -sf ../../../../../../../../../../{outside}/shadow /etc/shadow",
    "shadow is a link to itself": "ln -sf shadow /etc/shadow",
    "shadow is a folder": "rm /etc/shadow; mkdir /etc/shadow",
    "shadow is endless": "rm -f /etc/shadow; ln -s /dev/zero /etc/shadow",
    "shadow is huge": "dd if=/dev/zero of=/etc/shadow bs=1M count=64 2>/dev/null",
    "etc is a link to the root": "mv /etc /etc2; ln -s / /etc",
    "etc is a link outside": "mv /etc /etc2; ln -s {outside} /etc",
    "etc is a link outside through proc": "mv /etc /etc2; ln -s /proc/1/root{outside} /etc",
    "etc is a file": "mv /etc /etc2; echo > /etc",
    "etc is gone": "mv /etc /etc2",
    ".ssh is a link outside": "rm -rf /root/.ssh; ln -s {outside} /root/.ssh",
    "root is a link outside": "mv /root /root2; ln -s {outside} /root",
    "root is a link to itself": "mv /root /root2; ln -s root /root",
    "authorized_keys is a link outside": "mkdir -p /root/.ssh; ln -sf {outside}/keys /root/.ssh/authorized_keys",
    "authorized_keys is a full folder": "mkdir -p /root/.ssh/authorized_keys/x",
    "hosts is a fifo": "rm -f /etc/hosts; mkfifo /etc/hosts",
    "hosts is a link outside": "ln -sf {outside}/hosts /etc/hosts",
    "hosts is a socket": "rm -f /etc/hosts; (nc -lU /etc/hosts & sleep 0.3; kill $!)",
    "hosts is not text": "dd if=/dev/urandom of=/etc/hosts bs=4096 count=8 2>/dev/null",
    "resolv.conf is a link outside": "ln -sf {outside}/resolv.conf /etc/resolv.conf",
    "the staging names are taken": "for n in hostname hosts shadow resolv.conf; do ln -sf {outside}/$n /etc/.$n.vps-new; done",
    "the staging names are folders": "for n in hostname hosts shadow resolv.conf; do mkdir -p /etc/.$n.vps-new/x; done",
    "everything is immutable": "chattr +i /etc/hostname /etc/hosts /etc/shadow; chmod 0 /etc /root",
}
IDENTITY = {
    "hostname": "trapped.example.com", "nameservers": ["192.0.2.66"], "root_password_hash": "$6$saltsalt$" + "t" * 86,
    "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv8BqGkzvUNdUuyRAVUXZbkRpTlmJgsHtN1qKHf4Oyk trapped@example.com"],
}


@pytest.fixture(scope="module")
def outside():
    """A folder of the node's root, with files that nobody may change, at a path that a guest can guess."""
    folder = pathlib.Path("/srv/it-outside")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("shadow", "hosts", "hostname", "resolv.conf", "keys", "machine-id", "authorized_keys"):
        (folder / name).write_text(f"the node's {name}\n", encoding="ascii")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_in_the_guests_tree(minimal, outside, trap):
    """The node's files stay as they are, whether the task succeeds or says what is in the way; and it ends soon."""
    name = "it-trap"
    kit.container(name, template=minimal, wait="booted")
    kit.shell(name, TRAPS[trap].format(outside=outside), check=False)
    precious = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in outside.iterdir()}
    mine = kit.node_files()
    for running in (True, False):
        if not running:
            kit.ok("vps_container", name=name, state="stopped", stop_timeout=0)
        started = time.monotonic()
        told = kit.call("vps_container", name=name, state="present", **IDENTITY)
        assert time.monotonic() - started < 10
        if told.get("failed"):
            assert told["msg"].startswith("guest: ") and "\n" not in told["msg"] and told["msg"].endswith("."), told["msg"]
        assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in outside.iterdir()} == precious
        assert kit.node_files() == mine
    assert kit.ok("vps_container", name=name, state="absent")["changed"]


def test_a_trap_that_is_set_while_the_node_works(minimal, outside):
    """The guest swaps its /etc for a link as fast as it can, while the node writes into it again and again."""
    name = "it-race"
    kit.container(name, template=minimal, wait="booted")
    kit.shell(name, "cp -a /etc /etc.real; ln -s %s /etc.link" % outside)
    loop = kit.background(
        name, "while :; do mv /etc /etc.away; mv -T /etc.link /etc; mv -T /etc /etc.link; mv -T /etc.away /etc; done"
    )
    precious = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in outside.iterdir()}
    mine = kit.node_files()
    try:
        for number in range(10):
            told = kit.call("vps_container", name=name, state="present", hostname=f"race{number}", nameservers=[f"192.0.2.{number}"])
            assert not told.get("failed") or told["msg"].startswith("guest: "), told["msg"]
            assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in outside.iterdir()} == precious
            assert kit.node_files() == mine
    finally:
        kit.end(loop)


def test_a_guest_that_talks_too_much(minimal):
    """Output without end on its console, and from the programs that it is asked to run: bounded in memory and on disk."""
    name = "it-loud"
    kit.container(name, template=minimal, state="present")
    (kit.rootfs(name) / "etc/inittab").write_text("::sysinit:/bin/sh -c 'yes too much talk > /dev/console &'\n", encoding="ascii")
    message = kit.fails("vps_container", name=name, wait="booted", wait_timeout=4)
    assert "wait_timeout" in message
    log = kit.pool() / "vps" / name / "console.log"
    assert not log.exists() or log.stat().st_size < 64 << 20, "its console fills the node's disk"


def test_nothing_of_all_this_is_left():
    """Of what was refused, raced, and made on other machines: nothing."""
    kit.remove_all(keep=[SHARED])
    assert [line for line in kit.remains() if SHARED not in line] == []
