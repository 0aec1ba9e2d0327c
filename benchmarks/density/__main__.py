# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many VPSs this machine holds: boots them, measures what each takes, and asks every one of them.

Run as root on a node, `make benchmark-density ARGS="1000"`: so many Debians with systemd, nginx and sshd, from the quickstart's template, which is
built where it is missing; then as many `minimal` ones. Stops before the machine's memory runs out. Makes and removes VPSs named
`benchmark-density-...`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import http.client
import ipaddress
import json
import os
import pathlib
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..kit import addresses, machine
from ..kit.drawing import Plot, draw
from ..kit.figures import Curve
from ..kit.playing import Failed, Stage
from ..kit.vpss import apply, own_names, remove
from . import kernel
from .report import MIB, Batch, Bound, Census, Outlook, outlook, report

NAME = "benchmark-density-"
SETTINGS = pathlib.Path("/etc/vps/node.json")
WEB = {"name": "quickstart-debian", "source": "debian", "suite": "bookworm", "packages": ["nginx-light", "openssh-server"]}
GUESS = 32 << 20  # bytes that a VPS may take, until some have been measured
ID_RANGE = 65536


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make benchmark-density ARGS=...", description=str(__doc__).partition("\n")[0])
    parser.add_argument("number", metavar="NUMBER", type=int, nargs="?", default=20, help="of VPSs of each kind (20)")
    parser.add_argument("--kinds", default="debian,minimal", help="which kinds, with commas between (debian,minimal)")
    parser.add_argument("--batch", type=int, default=50, help="how many are made before the memory is looked at again (50)")
    parser.add_argument("--reserve", type=float, default=1.5, help="GiB of memory that are left in any case (1.5)")
    parser.add_argument("--storage", default="btrfs", help="of the VPSs; with dir they share what they have read of the template (btrfs)")
    parser.add_argument("--settle", type=float, default=30, help="seconds between the last answer and the measurement (30)")
    parser.add_argument("--idle", type=float, default=60, help="seconds over which idle CPU is measured (60)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(".build/benchmark/density"), help="the folder for what is written")
    asked = parser.parse_args()
    if asked.number < 1 or asked.batch < 1 or asked.idle <= 0:
        parser.error("numbers are 1 or more")
    return asked


# -- asking -------------------------------------------------------------------------------------------------------------


def web(address: str) -> bool:
    """Whether a web server there has a page for us."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def ssh(address: str) -> bool:
    """Whether an SSH server there says so."""
    try:
        with socket.create_connection((address, 22), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def answering(places: Sequence[str], ask: Callable[[str], bool], patience: float) -> int:
    """How many answer, as soon as all do or patience (s) is over."""
    until, silent = time.monotonic() + patience, list(places)
    with ThreadPoolExecutor(8) as pool:
        while True:
            silent = [address for address, answers in zip(silent, pool.map(ask, silent)) if not answers]
            if not silent or time.monotonic() > until:
                return len(places) - len(silent)
            time.sleep(0.2)


# -- the VPSs -----------------------------------------------------------------------------------------------------------


def census(stage: Stage, asked: argparse.Namespace, kind: str, common: dict, addressed: Sequence[str], servers: dict) -> Census:
    """Boot as many as there are to be, and measure."""
    reserve = int(asked.reserve * 2**30)
    empty = kernel.machine_cpu()
    time.sleep(min(asked.idle, 20))
    empty_rate = (kernel.machine_cpu() - empty) / min(asked.idle, 20)
    before, stopped = machine.memory("MemAvailable"), ""
    names: list[str] = []
    batches: list[Batch] = []
    started = time.monotonic()
    while len(names) < asked.number and not stopped:
        more = [f"{NAME}{kind}-{place + 1:04}" for place in range(len(names), min(asked.number, len(names) + asked.batch))]
        available = machine.memory("MemAvailable")
        each = max((before - available) / len(names), 1 << 20) if names else GUESS
        if available - each * len(more) < reserve:
            stopped = f"{available / 2**30:.1f} GiB are left, and {len(more)} more would leave less than {asked.reserve}."
            break
        places = addressed[len(names) : len(names) + len(more)]
        try:
            apply(stage, [{"name": name, "addresses": [address]} for name, address in zip(more, places)], common)
        except Failed as error:  # what bounds them is what this looks for
            stopped = f"of {len(more)} more not all started: {error}"
            break
        for ask in servers.values():
            answering(places, ask, 300)
        names += more
        batches.append(Batch(len(names), time.monotonic() - started, machine.memory("MemAvailable")))
        print(f"{kind}: {len(names)} run after {batches[-1].seconds:.0f} s, {batches[-1].available / 2**30:.2f} GiB left", file=sys.stderr, flush=True)
    time.sleep(asked.settle)
    used, busy, began = {name: kernel.cpu(name) for name in names}, kernel.machine_cpu(), time.monotonic()
    time.sleep(asked.idle)
    idle = time.monotonic() - began
    return Census(
        kind=kind, wanted=asked.number, batches=tuple(batches), before=before, after=machine.memory("MemAvailable"), samples=kernel.samples(names), idle=idle,
        idle_cpu={name: kernel.cpu(name) - used[name] for name in names}, idle_machine=kernel.machine_cpu() - busy - empty_rate * idle,
        answers={server: answering(addressed[: len(names)], ask, 30) for server, ask in servers.items()}, asked=len(names), stopped=stopped,
    )


@contextlib.contextmanager
def removed(stage: Stage, pool: pathlib.Path) -> Iterator[None]:
    """None of our VPSs are there before, and none afterwards."""
    remove(stage, own_names(pool, NAME))
    try:
        yield
    finally:
        remove(stage, own_names(pool, NAME))


def main() -> None:
    """Boot, measure, show, remove."""
    asked = arguments()
    if os.geteuid() != 0 or not SETTINGS.exists():
        sys.exit("benchmark-density runs as root, on a machine that is a node.")
    settings = json.loads(SETTINGS.read_text(encoding="utf-8"))
    pool, load = pathlib.Path(settings["pool"]), machine.load()
    places = addresses.free(settings, asked.number)
    room = ipaddress.ip_network(settings["networks"][0]).num_addresses
    kinds: dict[str, tuple[dict, dict[str, Callable[[str], bool]]]] = {
        "debian": (WEB, {"web server": web, "SSH server": ssh}),
        "minimal": ({"name": "minimal", "source": "minimal"}, {}),
    }
    found: list[Census] = []
    outlooks: list[Outlook] = []
    users: list[Bound] = []
    try:
        with machine.orderly(), tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
            stage = Stage(pathlib.Path(scratch))
            for kind in asked.kinds.split(","):
                template, servers = kinds[kind]
                stage.play([{"mainline.vps.vps_template": template}])
                with removed(stage, pool):
                    bounds = kernel.bounds(pool, (_ranges(pool), settings["id_count"] // ID_RANGE), room)
                    found.append(census(stage, asked, kind, {"template": template["name"], "storage": asked.storage}, places, servers))
                    if not outlooks:  # by the first kind, which takes most
                        now = kernel.bounds(pool, (_ranges(pool), settings["id_count"] // ID_RANGE), room)
                        outlooks, users = outlook(bounds, now, found[0].running), kernel.per_user()
    finally:  # what was measured before something went wrong was measured
        if found:
            finish(asked, found, report(found, outlooks, users, machine=machine.described(load), reserve=int(asked.reserve * 2**30), plot="density.svg"))


def finish(asked: argparse.Namespace, found: Sequence[Census], text: str) -> None:
    """Write and show the report."""
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "data.json").write_text(json.dumps([dataclasses.asdict(each) for each in found], indent=1), encoding="utf-8")
    draw([_memory(found), _times(found)], asked.output / "density.svg")
    (asked.output / "report.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"In {asked.output}: report.md, density.svg, data.json", file=sys.stderr)


def _ranges(pool: pathlib.Path) -> int:
    """The VPSs that there are, each with a range of ids."""
    return sum(1 for _path in (pool / "vps").glob("*/vps.json"))


def _memory(found: Sequence[Census]) -> Plot:
    lines = [_curve(each.kind, [(batch.running, (each.before - batch.available) / MIB) for batch in each.batches]) for each in found if each.batches]
    return Plot("memory", "VPSs", "MiB less than with none", lines, logarithmic=False)


def _times(found: Sequence[Census]) -> Plot:
    lines = [_curve(each.kind, [(batch.running, batch.seconds) for batch in each.batches]) for each in found if each.batches]
    return Plot("until all answer", "VPSs", "seconds", lines, logarithmic=False)


def _curve(name: str, points: Sequence[tuple[int, float]]) -> Curve:
    """A line of what was measured once, and so has no spread."""
    return Curve(name, tuple((float(across), up, up, up) for across, up in points))


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(f"benchmark-density: {error}")
