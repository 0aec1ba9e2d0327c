# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task inside a VPS costs through the connection plugin, as a ratio to ssh straight into the same VPS, in the same run.

Run as root on a node, with openssh-server installed. An SSH server of the benchmark's own on 127.0.0.1 is the node from afar. ssh into the
VPS has pipelining too, and a connection that stays, which is the best that it can do; so what differs is the way. Each kind of task stands
many times in a playbook of its own, less what the first costs, and the ways take turns, so that a machine that gets slower gets slower for
all. Makes a template `benchmark-debian` where there is none, and a VPS `benchmark-connection`, which it removes.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TASKS, ROUNDS = 10, 3
NAME, TEMPLATE = "benchmark-connection", "benchmark-debian"
LARGE = 100 << 20  # bytes
SSH, HERE, AFAR = "ssh into the VPS", "plugin, on the node", "plugin, ssh to node"
BUILTIN = "ansible.builtin."
PYTHON = {"ansible_python_interpreter": "/usr/bin/python3"}


def run(hosts: dict[str, dict], tasks: list[dict], folder: pathlib.Path) -> float:
    """How many seconds a playbook takes; a failure ends the benchmark."""
    inventory, book = folder / "inventory.json", folder / "play.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    started = time.perf_counter()
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), str(book)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_PIPELINING": "1"},
    )
    took = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return took


def module(noun: str, folder: pathlib.Path, **options: object) -> None:
    """A task on the node itself."""
    run({"localhost": {"ansible_connection": "local", **PYTHON}}, [{f"mainline.vps.{noun}": options}], folder)


def serve(folder: pathlib.Path) -> tuple[subprocess.Popen, int]:
    """An SSH server that is the node from afar, and its port. What root's shell reads at a login here is none of what is measured."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nAuthorizedKeysFile {folder}/user.pub\nStrictModes no\n"
        f"PermitRootLogin yes\nSubsystem sftp internal-sftp\nSetEnv HOME={folder}\n", encoding="utf-8",
    )
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    return subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", str(folder / "config")], stderr=subprocess.DEVNULL), port


def ways(folder: pathlib.Path, port: int, address: str) -> dict[str, dict]:
    """The variables of each way into the VPS."""
    ssh = {
        "ssh_private_key_file": str(folder / "user"), "control_path_dir": str(folder / "cp"), "user": "root",
        "ssh_args": "-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR",
    }
    plugin = {"ansible_connection": "mainline.vps.vps", **PYTHON}
    node = {f"ansible_vps_node_{name}": value for name, value in {**ssh, "host": "127.0.0.1", "port": port}.items()}
    return {
        SSH: {"ansible_host": address, **PYTHON, **{f"ansible_{name}": value for name, value in ssh.items()}},
        HERE: plugin,
        AFAR: {**plugin, **node},
    }


def _copy(**options: str) -> dict:
    return {f"{BUILTIN}copy": options}


def measure(folder: pathlib.Path, routes: dict[str, dict]) -> None:
    """Measure in turn, and show."""
    small, large = folder / "small", folder / "large"
    small.write_text("content\n", encoding="utf-8")
    large.write_bytes(os.urandom(LARGE))
    ping, nothing = {f"{BUILTIN}ping": {}}, {f"{BUILTIN}raw": "rm -f /root/put"}
    # What is measured, and what a playbook costs besides.
    kinds = {
        "ping": ([ping] * (TASKS + 1), [ping]),
        "copy, unchanged": ([_copy(src=str(small), dest="/root/same")] * (TASKS + 1), [_copy(src=str(small), dest="/root/same")]),
        "copy, changed": ([_copy(content=f"{turn}", dest="/root/other") for turn in range(TASKS + 1)], [_copy(content="", dest="/root/other")]),
        "copy of 100 MiB": ([nothing, _copy(src=str(large), dest="/root/put")], [nothing]),
        "fetch of 100 MiB": ([nothing, {f"{BUILTIN}fetch": {"src": "/root/large", "dest": f"{folder}/back", "flat": True}}], [nothing]),
    }
    print(f"{f'seconds, median of {ROUNDS}':20}" + "".join(f"{way:>22}" for way in routes) + f"{'ratios to the first':>22}")
    for kind, (tasks, besides) in kinds.items():
        times: dict[str, list[float]] = {way: [] for way in routes}
        for _round in range(ROUNDS):
            for way, variables in routes.items():
                (folder / "back").unlink(missing_ok=True)
                less = run({NAME: variables}, besides, folder)
                times[way].append((run({NAME: variables}, tasks, folder) - less) / (len(tasks) - 1))
        ratios = [statistics.median(own / other for own, other in zip(times[way], times[SSH])) for way in routes]
        print(f"{kind:20}" + "".join(f"{statistics.median(taken):22.3f}" for taken in times.values()) + "".join(f"{ratio:8.2f}" for ratio in ratios[1:]))


def main() -> None:
    """Make what is measured, measure it, and remove it."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        folder = pathlib.Path(name)
        network = json.loads(pathlib.Path("/etc/vps/node.json").read_text(encoding="utf-8"))["networks"][0]
        address = network.split("/")[0].rpartition(".")[0] + ".249"
        server, port = serve(folder)
        try:
            module("vps_template", folder, name=TEMPLATE, source="debian", suite="bookworm", packages=["openssh-server", "python3"])
            keys = [(folder / "user.pub").read_text(encoding="utf-8").strip()]
            module("vps_container", folder, name=NAME, template=TEMPLATE, addresses=[address], authorized_keys=keys, wait="booted", wait_timeout=180)
            routes = ways(folder, port, address)
            for variables in routes.values():
                run({NAME: variables}, [{"ansible.builtin.ping": {}}, {"ansible.builtin.raw": "head -c 104857600 /dev/urandom >/root/large"}], folder)
            measure(folder, routes)
        finally:
            module("vps_container", folder, name=NAME, state="absent")
            server.terminate()


if __name__ == "__main__":
    main()
