# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests on a real node need: calling modules as Ansible does, looking into guests and into the kernel, waiting.

A module runs in a process of its own, by the node's interpreter, with its arguments as JSON, as under Ansible and many
times faster. Everything that a test makes has a name that starts with `it-`, or under kit/apart with
`ap-`; nothing else is touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import ipaddress
import json
import os
import pathlib
import random
import re
import select
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ansible

NODE_PYTHON = "/usr/bin/python3"
PREFIX = os.environ.get("VPS_TEST_PREFIX", "it-")  # another one, for a run of a target that has its names from here, beside others on one machine
CGROUPS = pathlib.Path("/sys/fs/cgroup")
V2 = (CGROUPS / "cgroup.controllers").exists()
SWAP = V2 or (CGROUPS / "memory/memory.memsw.limit_in_bytes").exists()
SYSTEMD = pathlib.Path("/run/systemd/system").exists()
LOCKS = pathlib.Path("/run/vps.lock")
LXC = pathlib.Path("/var/lib/lxc")
OFFLINE = pathlib.Path("/run/vps.offline")

# A process for one module. It is imported before the uid changes, so that a test without root needs no readable checkout.
_LAUNCHER = """
import importlib, os, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = 'legacy'
module = importlib.import_module('ansible_collections.mainline.vps.plugins.modules.' + sys.argv[1])
import ansible_collections.mainline.vps.plugins.module_utils.node.node
uid, sys.argv = int(sys.argv[2]), sys.argv[1:2]
if uid:
    try:
        import pkgutil
        from ansible.module_utils._internal._json import _profiles
        for found in pkgutil.iter_modules(_profiles.__path__):
            importlib.import_module(_profiles.__name__ + '.' + found.name)
    except ImportError:
        pass
    os.setgroups([]), os.setgid(uid), os.setuid(uid)
module.main()
"""

# A process that has imported them all, and forks for each call: what is tested is the same, without the interpreter's start.
_SERVER = """
import importlib, json, os, sys, traceback
from ansible.module_utils import basic
basic._ANSIBLE_PROFILE = 'legacy'
import ansible_collections.mainline.vps.plugins.module_utils.node.node
modules = {name: importlib.import_module('ansible_collections.mainline.vps.plugins.modules.' + name) for name in sys.argv[1:]}
for line in sys.stdin:
    name, arguments, output, errors = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(output, os.O_WRONLY | os.O_TRUNC), 1)
        os.dup2(os.open(errors, os.O_WRONLY | os.O_TRUNC), 2)
        sys.argv = [name]
        basic._ANSIBLE_ARGS = json.dumps(arguments).encode()
        try:
            modules[name].main()
        except SystemExit:
            pass
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(0)
    os.waitpid(child, 0)
    print('done', flush=True)
"""
_MODULES = (
    "vps_backup", "vps_command", "vps_container", "vps_fleet", "vps_info", "vps_limits", "vps_metrics", "vps_network", "vps_node", "vps_snapshot",
    "vps_template",
)


# -- modules ------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _python_path() -> str:
    """A folder with `ansible` and `ansible_collections` in it and nothing else, for the node's interpreter."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="it-python-"))
    (folder / "ansible").symlink_to(pathlib.Path(ansible.__file__).parent)
    (folder / "ansible_collections").symlink_to(collections_folder() / "ansible_collections")
    (folder / "cache").mkdir()
    folder.chmod(0o755)  # a test without root reads it
    return str(folder)


def collections_folder() -> pathlib.Path:
    """The folder that this collection is in, for Python, too."""
    for folder in os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":"):
        path = pathlib.Path(folder)
        if (path / "ansible_collections/mainline/vps/galaxy.yml").exists():
            return path
    raise AssertionError("ANSIBLE_COLLECTIONS_PATH does not lead to mainline.vps")


def _environment() -> dict[str, str]:
    folder = _python_path()
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "PYTHONPATH": folder, "PYTHONPYCACHEPREFIX": f"{folder}/cache"}


def _arguments(check: bool, params: dict) -> dict:
    return {"ANSIBLE_MODULE_ARGS": {**params, "_ansible_check_mode": check, "_ansible_diff": True}}


def launch(module: str, *, check: bool = False, wrap: Iterable[str] = (), uid: int = 0, **params: Any) -> subprocess.Popen:
    """Start a module; its process is the module's own, so that it can be killed. `wrap` is a command to run it with."""
    process = subprocess.Popen(
        [*wrap, NODE_PYTHON, "-c", _LAUNCHER, module, str(uid)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment(),
    )
    process.stdin.write(json.dumps(_arguments(check, params)))
    process.stdin.close()
    process.stdin = None  # so that communicate() does not flush it
    return process


@functools.lru_cache(maxsize=None)
def _server() -> subprocess.Popen:
    return subprocess.Popen(
        [NODE_PYTHON, "-c", _SERVER, *_MODULES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=_environment()
    )


def kills(few: int) -> int:
    """How many runs a test kills: few, so that all targets together are through in time, or as many as VPS_TEST_KILLS says.

    ansible-test passes no such variable on; ../../kit/run-pytest does, in the folder of a target.
    """
    return int(os.environ.get("VPS_TEST_KILLS") or few)


def moments(count: int, first: float, last: float, *, seed: int) -> list[float]:
    """Random moments between two, one in each of as many equal parts of the time: few of them are not all early or all late."""
    chance = random.Random(seed)
    return [first + (last - first) * (number + chance.random()) / count for number in range(count)]


def kill_when(happened: Callable[[], Any], module: str, **params: Any) -> None:
    """Start a module and kill its process as soon as something has happened, where random moments seldom hit; or when it has ended."""
    run = launch(module, **params)
    while run.poll() is None and not happened():
        pass
    run.send_signal(signal.SIGKILL)
    run.communicate()


def result(process: subprocess.Popen, *, timeout: float = 600) -> dict:
    """What a module printed, which is JSON and nothing else."""
    return _told(*process.communicate(timeout=timeout))


def _told(output: str, errors: str) -> dict:
    assert "Traceback" not in errors and output, f"the module broke: {errors or 'it said nothing'}"
    told = json.loads(output)
    if "warnings" in told:  # which ansible-core 2.19 wraps for its way to the controller
        told["warnings"] = [warning if isinstance(warning, str) else warning["event"]["msg"] for warning in told["warnings"]]
    return told


def call(module: str, *, check: bool = False, wrap: Iterable[str] = (), uid: int = 0, **params: Any) -> dict:
    """Run a module; its result, good or bad. One at a time; `launch` for several at once."""
    if wrap or uid:
        return result(launch(module, check=check, wrap=wrap, uid=uid, **params))
    server, files = _server(), [pathlib.Path(_python_path()) / name for name in ("output", "errors")]
    for file in files:
        file.write_text("", encoding="utf-8")
    server.stdin.write(json.dumps([module, _arguments(check, params), *map(str, files)]) + "\n")
    assert select.select([server.stdout], [], [], 600)[0], f"{module} {params} does not end"
    assert server.stdout.readline() == "done\n"
    return _told(*(file.read_text(encoding="utf-8") for file in files))


def ok(module: str, **params: Any) -> dict:
    """Run a module that is to succeed."""
    told = call(module, **params)
    assert not told.get("failed"), f"{module} {params}: {told['msg']}"
    return told


def fails(module: str, **params: Any) -> str:
    """Run a module that is to fail; its message, which is one sentence for a person that starts with what it is about."""
    told = call(module, **params)
    assert told.get("failed"), f"{module} {params} succeeded: {told}"
    message = told["msg"]
    option = r"[a-z0-9_.]+(\[[0-9]+\][a-z_.]*)?"
    assert re.match(rf"{option}( \([a-zA-Z0-9.-]+\): {option})?: \S", message), f"it does not name an option: {message}"
    assert "\n" not in message and "Traceback" not in message and "Errno" not in message, f"this is no sentence: {message}"
    assert message.endswith("."), f"this is no sentence: {message}"
    return message


def foretold(module: str, *, settles: bool = True, **params: Any) -> dict:
    """Check mode writes nothing and says what the run then does; the run's result. A second run has nothing to do."""
    before = written()
    told = ok(module, check=True, **params)
    after = written()
    assert after == before, f"check mode wrote: {differences(before, after)}"
    done = ok(module, **params)
    for key in ("changed", "diff", "changes", "restart_required"):
        assert told[key] == done[key], f"{key}: check mode said {told[key]}, the run {done[key]}"
    if settles:
        again = ok(module, **params)
        assert not again["changed"], f"twice is not the same as once: {again['changes']}"
        assert again["diff"] in ({"before": {}, "after": {}}, [])
    return done


def container(name: str, **params: Any) -> dict:
    """Run vps_container, with no patience for a guest that does not stop; the VPS as it returns it."""
    return ok("vps_container", **{"name": name, "stop_timeout": 0, **params})["vps"]


BESIDES = ("usage", "traffic", "snapshots", "uptime", "outdated", "device")  # what vps_info tells besides what vps_container does


def info(name: str) -> dict | None:
    """A VPS as vps_info tells it, as vps_container does."""
    found = ok("vps_info", name=name)["vpss"]
    return {key: value for key, value in found[0].items() if key not in BESIDES} if found else None


@functools.lru_cache(maxsize=None)
def settings() -> dict:
    """The node's settings."""
    return json.loads(pathlib.Path("/etc/vps/node.json").read_text(encoding="utf-8"))


def pool() -> pathlib.Path:
    """The node's pool."""
    return pathlib.Path(settings()["pool"])


def address(number: int) -> str:
    """The node's routed address of that number, 0 to 49, from the end of its first network that others hardly use."""
    return str(ipaddress.ip_network(settings()["networks"][0])[-60 + number])


# -- cleaning up --------------------------------------------------------------------------------------------------------


def own_names() -> list[str]:
    """The VPSs on this node that tests made."""
    return sorted(path.name for path in (pool() / "vps").iterdir() if path.name.startswith(PREFIX))


def remove_all(keep: Iterable[str] = ()) -> None:
    """Remove the VPSs that tests made."""
    for name in own_names():
        if name not in keep:
            ok("vps_container", name=name, state="absent")


# -- inside a guest -----------------------------------------------------------------------------------------------------


def inside(name: str, *argv: str, timeout: float = 30, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess:
    """Run a program in a guest, as its root."""
    return subprocess.run(
        ["lxc-attach", "-n", name, "--clear-env", "--set-var=PATH=/usr/sbin:/usr/bin:/sbin:/bin", "--", *argv],
        input=stdin, capture_output=True, text=True, timeout=timeout, check=check,
    )


def said(name: str, *argv: str) -> str:
    """What a program in a guest printed."""
    return inside(name, *argv).stdout.strip()


def shell(name: str, script: str, *, check: bool = True, timeout: float = 30) -> subprocess.CompletedProcess:
    """Run a shell script in a guest."""
    return inside(name, "/bin/sh", "-c", script, check=check, timeout=timeout)


def background(name: str, script: str, *, core: int | None = None) -> subprocess.Popen:
    """Start a shell script in a guest, and leave it running; on one CPU only, if asked."""
    pin = [] if core is None else ["taskset", "-c", str(core)]
    return subprocess.Popen(
        [*pin, "lxc-attach", "-n", name, "--clear-env", "--set-var=PATH=/usr/sbin:/usr/bin:/sbin:/bin", "--", "/bin/sh", "-c", script],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )


# What comes in by lxc-attach has the node's limits of a process. This runs what it finds as a child of the guest's own init.
_WORKER = """
while :; do
    if [ -e /run/todo ]; then mv /run/todo /run/doing; sh /run/doing >/run/doing.out 2>&1; mv /run/doing.out /run/done; fi
    sleep 0.05
done
"""


def give_perl(name: str) -> None:
    """Put the node's Perl, and what it is linked with, into a stopped minimal guest; and what it is to try there."""
    with open(rootfs(name) / "etc/inittab", "a", encoding="ascii") as inittab:
        inittab.write("::respawn:/bin/sh /worker\n")
    (rootfs(name) / "worker").write_text(_WORKER, encoding="ascii")
    perl = os.path.realpath("/usr/bin/perl")
    libraries = re.findall(r"(/\S+) \(0x", run("ldd", perl))
    attempts = pathlib.Path(__file__).parent / "attempts.pl"
    for source, place in ((perl, "/bin/perl"), *((library, library) for library in libraries), (attempts, "/attempts.pl")):
        target = pathlib.Path(f"{rootfs(name)}{place}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(pathlib.Path(source).read_bytes())
        target.chmod(0o755)


def attempt(name: str, what: str, *arguments: int) -> tuple[int, int]:
    """Have a guest with a Perl take one more of something until it is refused: how many it got, and the error's number."""
    told = by_init(name, f"/bin/perl /attempts.pl {what} {' '.join(str(each) for each in arguments)}")
    count, number = told.split()
    return int(count), int(number)


def by_init(name: str, script: str) -> str:
    """What a script printed that a child of the guest's init ran."""
    inside(name, "/bin/sh", "-c", "rm -f /run/done; cat >/run/todo.new; mv /run/todo.new /run/todo", stdin=script)
    return until("it is done", lambda: inside(name, "cat", "/run/done", check=False).stdout)


def rootfs(name: str) -> pathlib.Path:
    """A VPS's tree, as the node sees it."""
    return pool() / "vps" / name / "rootfs"


def pid(name: str) -> int | None:
    """The pid of a VPS's init on the node; None where it does not run."""
    done = subprocess.run(["lxc-info", "-n", name, "-p", "-H"], capture_output=True, text=True, check=False)
    return int(done.stdout) if done.stdout.strip().isdigit() else None


def boot_id() -> str:
    """The node's boot."""
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


# -- the kernel ---------------------------------------------------------------------------------------------------------


def cgroup(name: str, file: str) -> pathlib.Path:
    """A file of a running VPS's cgroup, found without the code that is tested: the one folder of its name in the hierarchy."""
    controller = file.removeprefix("guest/").split(".")[0]
    top = CGROUPS if V2 else CGROUPS / controller
    found = [pathlib.Path(folder) for folder, _names, _files in os.walk(top) if folder.endswith(f"/vps/{name}")]
    assert len(found) == 1, f"cgroups of {name} in {top}: {found}"
    return found[0] / file


def held(name: str, file: str) -> str:
    """What a file of a running VPS's cgroup holds."""
    return cgroup(name, file).read_text(encoding="ascii").strip()


def cpu_seconds(name: str) -> float:
    """CPU time that a VPS has used."""
    if V2:
        return int(re.search(r"usage_usec (\d+)", held(name, "cpu.stat")).group(1)) / 1e6
    return int(held(name, "cpuacct.usage")) / 1e9


def pool_disk() -> str:
    """The number of the pool's disk, as MAJOR:MINOR, found without the code that is tested."""
    source = run("findmnt", "-n", "-o", "SOURCE", "-T", str(pool())).strip()
    return run("lsblk", "-n", "-d", "-o", "MAJ:MIN", source).strip()


def throttles(name: str) -> str:
    """What the kernel throttles of a VPS, as it tells it."""
    files = ["io.max"] if V2 else [f"guest/blkio.throttle.{way}_{what}_device" for way in ("read", "write") for what in ("bps", "iops")]
    return "".join(held(name, file) for file in files)


def cpu_counters(name: str) -> dict[str, int]:
    """The counters of a VPS's cpu.stat."""
    return {line.split()[0]: int(line.split()[1]) for line in held(name, "cpu.stat").splitlines()}


def rlimit(process: int, title: str) -> tuple[str, str]:
    """The soft and the hard limit of a process."""
    line = next(line for line in pathlib.Path(f"/proc/{process}/limits").read_text(encoding="ascii").splitlines() if line.startswith(title))
    return tuple(line.removeprefix(title).split()[:2])


@contextlib.contextmanager
def plans(wanted: dict) -> Iterator[None]:
    """Give the node plans, and back those that it had."""
    def give(these: dict) -> None:
        known = json.loads(pathlib.Path("/etc/vps/node.json").read_text(encoding="utf-8"))
        same = {name: known[name] for name in ("pool", "id_start", "id_count", "networks", "nat")}
        file = known["made"]["pool_file"]
        ok("vps_node", **same, **({"pool_file": file} if file else {}), plans=these)

    give(wanted)
    try:
        yield
    finally:
        give({})


def limit_files(**limits: int | None) -> dict[str, str]:
    """What the kernel's files must hold; keys memory, swap (bytes), cpuunits, cpulimit (percent), processes. Written
    down from the kernel's documents, and independent of the code that is tested."""
    memory, swap = limits.get("memory"), limits.get("swap")
    units, percent, processes = limits.get("cpuunits"), limits.get("cpulimit"), limits.get("processes")
    pids = {"pids.max": "max" if processes is None else str(processes)}
    if V2:
        return {
            "memory.max": "max" if memory is None else str(memory),
            "memory.swap.max": "max" if swap is None else str(swap),
            "cpu.weight": "100" if units is None else str(units // 10),
            "cpu.max": "max 100000" if percent is None else f"{percent * 1000} 100000",
            **pids,
        }
    none = str((1 << 63) - 4096)
    return {
        "memory.limit_in_bytes": none if memory is None else str(memory),
        "memory.memsw.limit_in_bytes": none if memory is None or swap is None else str(memory + swap),
        "cpu.shares": "1024" if units is None else str(units * 1024 // 1000),
        "cpu.cfs_quota_us": "-1" if percent is None else str(percent * 1000),
        **pids,
    }


def kernel_limits(name: str) -> dict[str, str]:
    """What those files hold now."""
    return {file: held(name, file) for file in limit_files()}


def _counted(name: str, file: str, pattern: str) -> int:
    """The sum of a counter over a VPS's cgroup and those below: v1, and older v2, count where it happened only."""
    texts = (path.read_text(encoding="ascii") for path in [cgroup(name, file), *cgroup(name, file).parent.glob(f"*/**/{file}")])
    return sum(int(re.search(pattern, text).group(1)) for text in texts)


def pids_refused(name: str) -> int:
    """How often the kernel has refused a fork to a VPS."""
    return _counted(name, "pids.events", r"max (\d+)")


def oom_kills(name: str) -> int:
    """How many processes of a VPS the kernel has killed for its memory limit."""
    return _counted(name, "memory.events" if V2 else "memory.oom_control", r"oom_kill (\d+)")


def run(*argv: str) -> str:
    """What a program on the node printed."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def until(what: str, condition: Callable[[], Any], *, seconds: float = 30) -> Any:
    """Wait for something; its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} seconds: {what}"
        time.sleep(0.05)


# -- everything that a run could touch -----------------------------------------------------------------------------------


def _fingerprint(path: str | pathlib.Path) -> tuple:
    status = os.lstat(path)
    return status.st_ino, status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _tree(top: pathlib.Path) -> dict[str, tuple]:
    found = {str(top): _fingerprint(top)}
    for folder, folders, files in os.walk(top):
        for entry in (*folders, *files):
            path = os.path.join(folder, entry)
            # A guest may write to its console, and to an image that is mounted, at any time.
            if not path.endswith(".log") and not (entry == "root.img" and os.path.ismount(os.path.join(folder, "rootfs"))):
                found[path] = _fingerprint(path)
    return found


def _ours(folder: pathlib.Path) -> list[pathlib.Path]:
    """Entries of a folder that belong to tests, whatever state they are in."""
    return sorted(path for path in folder.iterdir() if PREFIX in path.name) if folder.is_dir() else []


def cgroup_folders() -> list[str]:
    """The control groups of the tests' VPSs and of their monitors."""
    found = []
    for folder, names, _files in os.walk(CGROUPS):
        if os.path.basename(folder) in ("vps", "vps.monitor"):
            found += [os.path.join(folder, name) for name in names if name.lstrip(".").startswith(PREFIX)]
            names.clear()  # what is below is the guests', and may be deeper than a walk bears
    return sorted(found)


def written(*, inodes: bool = True) -> dict[str, Any]:
    """Everything of the tests' VPSs on disk and in the kernel that a run could write, in a form that can be compared.

    Without `inodes`, a record that was written and put back counts as untouched.
    """
    state: dict[str, Any] = {}
    for path in _ours(pool() / "vps"):
        state.update(_tree(path))
        if not inodes and (path / "vps.json").exists():
            del state[str(path)]
            state[str(path / "vps.json")] = (path / "vps.json").read_text(encoding="utf-8")
    for path in _ours(pool() / "templates"):
        state.update(_tree(path))
    for folder in (LXC, LOCKS, OFFLINE, pathlib.Path("/run/lxc/lock/var/lib/lxc")):
        state.update({str(path): _fingerprint(path) if path.is_symlink() else "there" for path in _ours(folder)})
    for folder in cgroup_folders():
        state[folder] = {file: _content(os.path.join(folder, file)) for file in limit_files()}
    state["links"] = {name: _carried(link) for name, link in running_links().items()}
    state["nft"] = run("nft", "--stateless", "list", "ruleset") if os.path.exists("/usr/sbin/nft") else ""
    state["quota"] = sorted(_quota())
    state["settings"] = _fingerprint("/etc/vps/node.json")
    state["pids"] = {name: pid(name) for name in own_names()}
    return state


def _carried(link: str) -> list[str]:
    """What is routed to the node's end of a link, and what it waits in on its way there."""
    words = (["ip", "-4", "route"], ["ip", "-6", "route"], ["tc", "qdisc"])
    return [line for each in words for line in sorted(run(*each, "show", "dev", link).splitlines())]


def _content(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return None


def running_links() -> dict[str, str]:
    """The running VPSs of the tests, and the node's end of each one's link."""
    return {name: _link(pool() / "vps" / name / "vps.json") for name in own_names() if pid(name) is not None}


def _link(record: pathlib.Path) -> str:
    return f"vps{json.loads(record.read_text(encoding='utf-8'))['id_base'] >> 16}"


def is_locked(kind: str, name: str) -> bool:
    """Whether somebody holds the lock of a VPS or template, be it a run's last child on its way out."""
    try:
        with open(LOCKS / f"{kind}-{name}", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def subvolumes() -> dict[int, str]:
    """Number → path of the subvolumes of the pool; none where that is a plain directory."""
    if not on_btrfs():
        return {}
    lines = run("btrfs", "subvolume", "list", str(pool())).splitlines()
    return {int(line.split()[1]): line.split(" path ", 1)[1] for line in lines}


def on_btrfs() -> bool:
    """Whether the pool is."""
    return run("stat", "--file-system", "--format=%T", str(pool())).strip() == "btrfs"


def _quota() -> list[str]:
    """The limits of the tests' subvolumes, where the pool has some."""
    if not on_btrfs():
        return []
    lines = run("btrfs", "qgroup", "show", "-r", "--raw", str(pool())).splitlines()
    limits = {line.split()[0]: line.split()[3] for line in lines if line.startswith("0/")}
    return [f"{path} {limits.get(f'0/{number}')}" for number, path in subvolumes().items() if PREFIX in path]


def qgroups() -> set[int]:
    """The numbers of the level-0 qgroups."""
    lines = run("btrfs", "qgroup", "show", str(pool())).splitlines()
    return {int(line.split()[0][2:]) for line in lines if line.startswith("0/")}


def differences(before: dict, after: dict) -> dict:
    """What differs between two of those, for a message."""
    keys = sorted(set(before) | set(after))
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


class Untouched:
    """`with Untouched():` nothing of the tests' VPSs, templates, links, cgroups, limits and rules is other than before."""

    def __init__(self, *, inodes: bool = True) -> None:
        self._inodes = inodes

    def __enter__(self) -> Untouched:
        self._before = written(inodes=self._inodes)
        return self

    def __exit__(self, kind: type | None, *_exception: object) -> None:
        if kind is None:
            after = written(inodes=self._inodes)
            assert after == self._before, f"touched: {differences(self._before, after)}"


def remains() -> list[str]:
    """What is left of VPSs that tests have removed. Call it when there is none any more."""
    found = [str(path) for folder in (pool() / "vps", LXC, LOCKS, OFFLINE, pathlib.Path("/run/lxc/lock/var/lib/lxc")) for path in _ours(folder)]
    found += cgroup_folders()
    found += [f"subvolume {path}" for path in subvolumes().values() if path.startswith("vps/") and PREFIX in path]
    expected = {_link(record) for record in (pool() / "vps").glob("*/vps.json")}  # also of VPSs that no test has made
    found += [f"link {name}" for name in os.listdir("/sys/class/net") if name.startswith("vps") and name not in expected]
    monitors = run("ps", "-eo", "args").splitlines()
    found += [line for line in monitors if line.startswith("[lxc monitor]") and f" {PREFIX}" in line]
    found += [f"mount {point}" for point in mounts()] + [f"loop device of {file}" for file in loops()]
    return found + (["a pool that counts no disk use"] if lost_count() else [])


def nothing_remains(*, seconds: float = 30) -> None:
    """Wait for that, and tell what does."""
    deadline = time.monotonic() + seconds
    while found := remains():
        assert time.monotonic() < deadline, f"after {seconds} seconds there are still: {'; '.join(found)}"
        time.sleep(0.05)


def mounts() -> list[str]:
    """Where images of the tests' VPSs, or what is left of them, are mounted on the node."""
    points = [line.split(" ")[4] for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    return [point for point in points if point.startswith(f"{pool()}/vps/") and PREFIX in point]


def loops() -> list[str]:
    """The files of the tests' VPSs that loop devices have, deleted ones included."""
    found = [path.read_text(encoding="utf-8").strip() for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file")]
    return [file for file in found if file.startswith(f"{pool()}/vps/") and PREFIX in file]


def lost_count() -> bool:
    """Whether the kernel has given up counting what is in the pool, or is at it from the start: it holds nobody to a disk limit then."""
    said = run("sh", "-c", f"btrfs qgroup show {pool()} 2>&1") if on_btrfs() else ""
    return "inconsistent" in said or "rescan is running" in said


def stray_qgroups() -> set[int]:
    """Qgroups whose subvolume is gone. The kernel drops them itself some time after it has cleaned the subvolume."""
    run("btrfs", "filesystem", "sync", str(pool()))
    return {number for number in qgroups() - set(subvolumes()) if number > 5}


def node_files() -> dict[str, str]:
    """Fingerprints and contents of the files that a hostile guest would like the node to write."""
    found = {}
    for path in ("/etc/shadow", "/etc/passwd", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/root/.ssh/authorized_keys", "/etc/machine-id"):
        try:
            found[path] = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() + str(_fingerprint(path))
        except FileNotFoundError:
            found[path] = "absent"
    for folder in ("/", "/etc", "/root"):
        found[folder] = str((sorted(os.listdir(folder)), stat.filemode(os.stat(folder).st_mode)))
    return found


# -- playbooks ----------------------------------------------------------------------------------------------------------


def playbook(folder: pathlib.Path, tasks: list[dict], *options: str) -> subprocess.Popen:
    """Start ansible-playbook with tasks on this node."""
    play = [{"name": "Test", "hosts": "localhost", "gather_facts": False, "become": False, "tasks": tasks}]
    book = pathlib.Path(tempfile.mkstemp(suffix=".yml", dir=folder)[1])
    book.write_text(json.dumps(play), encoding="utf-8")
    inventory = folder / "inventory.json"
    node = {"ansible_connection": "local", "ansible_python_interpreter": NODE_PYTHON}
    inventory.write_text(json.dumps({"all": {"hosts": {"localhost": node}}}), encoding="utf-8")
    return subprocess.Popen(
        ["ansible-playbook", "-i", str(inventory), *options, str(book)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )


def _source(module: str) -> str:
    return (collections_folder() / f"ansible_collections/mainline/vps/plugins/modules/{module}.py").read_text(encoding="utf-8")


def examples(module: str) -> list[dict]:
    """The tasks in a module's documentation."""
    import yaml

    tasks = yaml.safe_load(re.search(r'EXAMPLES = r"""(.*?)"""', _source(module), re.DOTALL).group(1))
    assert tasks and all(isinstance(task, dict) for task in tasks)
    return tasks


def play(folder: pathlib.Path, tasks: list[dict], *options: str) -> str:
    """Run tasks through ansible-playbook, which is to succeed; what it printed."""
    process = playbook(folder, tasks, *options)
    output, _none = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def documented_result(module: str) -> dict:
    """What a module's documentation says that it returns."""
    import yaml

    return yaml.safe_load(re.search(r'RETURN = r"""(.*?)"""', _source(module), re.DOTALL).group(1))


# -- measuring ----------------------------------------------------------------------------------------------------------


def disk_limit(name: str, root: str = "rootfs") -> int | None:
    """The limit of a VPS's qgroup, in bytes, as btrfs-progs tells it."""
    number = next(number for number, path in subvolumes().items() if path == f"vps/{name}/{root}")
    lines = run("btrfs", "qgroup", "show", "-r", "--raw", str(pool())).splitlines()
    text = next(line.split()[3] for line in lines if line.split()[0] == f"0/{number}")
    return None if text == "none" else int(text)


def cpus() -> set[int]:
    """The CPUs that this process may use."""
    return os.sched_getaffinity(0)


def cpu_rate(name: str, *, seconds: float) -> float:
    """How many CPUs a VPS uses, measured over some time."""
    used, started = cpu_seconds(name), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(name) - used) / (time.monotonic() - started)


def cpu_idle(cpu: int) -> float:
    """For how long, in seconds since the boot, a CPU has had nothing to do (proc(5), /proc/stat)."""
    row = next(line for line in pathlib.Path("/proc/stat").read_text(encoding="ascii").splitlines() if line.startswith(f"cpu{cpu} "))
    return int(row.split()[4]) / os.sysconf("SC_CLK_TCK")


def cpu_ratio(first: str, second: str, *, seconds: float) -> float:
    """How much more CPU time one VPS gets than another, measured over the same time."""
    before = cpu_seconds(first), cpu_seconds(second)
    time.sleep(seconds)
    return (cpu_seconds(first) - before[0]) / max(0.001, cpu_seconds(second) - before[1])


def settle(measure: Callable[[], float], *, near: float, within: float) -> bool:
    """Whether a measurement is near a value; once more, and then once more, where a busy machine disturbed it."""
    measured = []
    for _attempt in range(3):
        measured.append(measure())
        if abs(measured[-1] - near) <= within * near:
            return True
    raise AssertionError(f"measured {measured}, expected {near} give or take {within:.0%}")


def end(started: subprocess.Popen) -> None:
    """End what was started in a guest, and all that came of it."""
    parents = {number: parent for number in processes() if (parent := _parent(number))}
    family = {started.pid}
    while more := {number for number, parent in parents.items() if parent in family} - family:
        family |= more
    for number in family:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            pass
    started.wait(10)


def _parent(number: int) -> int | None:
    try:
        return int(pathlib.Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return None


def processes() -> set[int]:
    """The pids of the node."""
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}


def pid_namespace(number: int) -> str | None:
    """The pid namespace of a process; None where it has ended."""
    try:
        return os.readlink(f"/proc/{number}/ns/pid")
    except OSError:
        return None
