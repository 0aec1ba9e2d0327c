# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Integration targets, which run on the machine that they are called on: here on one with systemd, cgroup v2 and AppArmor."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sysconfig

import pytest

from ansible_collections.mainline.vps.tests.node.image import USER
from ansible_collections.mainline.vps.tests.node.machine import SLOW

ROOT = pathlib.Path(__file__).parents[2]
PLACE = "/opt/suite"
# What the targets need besides the distribution's Python, without what is compiled for ours: all of these can do without.
PACKAGES = (
    "_hypothesis_*.py", "_pytest", "ansible", "attr", "attrs", "hypothesis", "iniconfig", "jinja2", "markupsafe", "packaging", "pluggy",
    "pluggy-*.dist-info", "py.py", "pygments", "pytest", "resolvelib", "sortedcontainers", "yaml",
)
PREPARE = f"""
mkdir -p {PLACE}/bin
ln -sfn /usr/bin/python3 {PLACE}/bin/python
printf '%s\\n' '#!/usr/bin/python3' 'from ansible.cli.playbook import main' 'main()' > {PLACE}/bin/ansible-playbook
chmod 755 {PLACE}/bin/ansible-playbook
DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends fio perl >/dev/null
"""
ENVIRONMENT = f"PATH={PLACE}/bin:$PATH PYTHONPATH={PLACE}/site ANSIBLE_COLLECTIONS_PATH={PLACE} LC_ALL=C.UTF-8"


@pytest.fixture(scope="module")
def suite(node):
    """A node with this collection and what its integration targets need."""
    send(node, sorted(path for name in PACKAGES for path in pathlib.Path(sysconfig.get_path("purelib")).glob(name)), f"{PLACE}/site")
    send(node, [ROOT / name for name in ("galaxy.yml", "meta", "plugins", "roles", "playbooks", "tests")], f"{PLACE}/ansible_collections/mainline/vps")
    node.root(PREPARE, timeout=100 * SLOW)
    yield node
    node.root(f"rm -rf {PLACE}")


def send(node, paths: list[pathlib.Path], folder: str) -> None:
    """Copy files and folders to a machine."""
    names = [path.name for path in paths]
    pack = ["tar", "--create", "--exclude=__pycache__", "--exclude=*.so", "--exclude=output", "--directory", str(paths[0].parent), *names]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as archive:
        unpack = f"sudo mkdir -p {folder}; sudo tar --extract --no-same-owner --directory={folder}"
        subprocess.run(["ssh", *node.ssh_options(), f"{USER}@127.0.0.1", unpack], stdin=archive.stdout, check=True, timeout=100 * SLOW)
    assert archive.returncode == 0


# What of each; all of the contract would take an hour there, for each storage, and is tried on a machine without systemd.
TARGETS = {
    "contract": "../../kit/run-contract 'real and not real-image and (limits or usage or drift)'",
    "storage": "../../kit/run-pytest",
    "vps_command": "../../kit/run-pytest -k 'not groups_needs and not examples'",
    "vps_limits": "../../kit/run-pytest",
    "vps_reinstall": "../../kit/run-pytest -k 'not killed'",
    "vps_snapshot": "../../kit/run-pytest -k 'not killed'",
}


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_a_target_passes(suite, target):
    folder = f"{PLACE}/ansible_collections/mainline/vps/tests/integration/targets/{target}"
    said = suite.root(f"cd {folder}; env {ENVIRONMENT} bash {TARGETS[target]} 2>&1", timeout=600 * SLOW, check=False)
    print(said)
    assert re.search(r"^=+ \d+ passed[^\n]*=+$", said.splitlines()[-1]), said[-6000:]
