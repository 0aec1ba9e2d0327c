# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bench to try tasks on: a node, a template to make VPSs from, and the rules that every single task must keep."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.controls import cgroup_files
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.tests.contract import modules

PREFIX = "contract-"
TEMPLATE = f"{PREFIX}minimal"
A, B = f"{PREFIX}a", f"{PREFIX}b"
BESIDES = ("usage", "traffic", "snapshots", "uptime", "outdated", "device")  # what vps_info tells besides what vps_container does
PREDICTED = ("changed", "diff", "changes", "restart_required")


class Bench:
    """`node` is what the modules work on; `world` is whoever else is at the machine, and what they see of it.

    `storage` is that of the VPSs that are made; the one that modules choose themselves is not named.
    """

    def __init__(self, node: Any, world: Any, storage: str | None = None) -> None:
        self.node = node
        self.world = world
        self.storage = storage

    @property
    def grows_only(self) -> bool:
        """Whether the disks of running VPSs may be made larger, but not smaller."""
        return self.storage == "image"

    def enlarge_running(self) -> None:
        """Said by a test that makes the disk of a running VPS larger, which this machine may not be able to."""
        if self.grows_only and not self.node.read_vps(A).node.abilities.raises:
            pytest.skip("root of this machine lacks CAP_SYS_RESOURCE, and may not enlarge an ext4 that is mounted")

    def check(self, module: str, **given: object) -> dict[str, Any]:
        """A task in check mode. Whatever it says, it may not have written."""
        before = self.world.snapshot()
        self.world.read_only(True)
        try:
            return modules.reconcile(self.node, module, check=True, **given)
        finally:
            self.world.read_only(False)
            assert self.world.snapshot() == before, "check mode has written"

    def once(self, module: str, **given: object) -> dict[str, Any]:
        """A task, after its prediction: check mode must have said just what then happens."""
        predicted = self.check(module, **given)
        result = modules.reconcile(self.node, module, **given)
        assert {key: result[key] for key in PREDICTED} == {key: predicted[key] for key in PREDICTED}
        return result

    def converge(self, module: str, **given: object) -> dict[str, Any]:
        """A task, after its prediction, and then again: the second time it must find nothing to do."""
        result = self.once(module, **given)
        before = self.world.snapshot()
        again = modules.reconcile(self.node, module, **given)
        assert again["changes"] == []
        assert not again["changed"]
        assert self.world.snapshot() == before, "a task that found nothing to do has written"
        return result

    def vps(self, name: str = A, **given: object) -> dict[str, Any]:
        """vps_container, twice."""
        return self.converge("vps_container", name=name, **given)

    def new(self, name: str = A, **given: object) -> dict[str, Any]:
        """vps_container for a VPS that is not there yet, twice."""
        return self.vps(name, template=TEMPLATE, **({"storage": self.storage} if self.storage else {}), **given)

    def limits(self, name: str = A, **given: object) -> dict[str, Any]:
        """vps_limits, twice."""
        return self.converge("vps_limits", name=name, **given)

    def template(self, name: str = TEMPLATE, **given: object) -> dict[str, Any]:
        """vps_template, twice."""
        return self.converge("vps_template", name=name, **given)

    def state(self, name: str = A) -> str:
        """What the node says of a VPS now: absent, stopped, started or frozen."""
        told = modules.subjects.describe_vps(self.node, self.node.read_vps(name))
        return told["state"] if told else "absent"

    def seen(self, name: str = A) -> dict[str, Any]:
        """A VPS as one sees it who never looks at its record."""
        return self.world.witness(name)

    def files(self, **limits: int) -> dict[str, str]:
        """What the cgroup of a VPS with these limits, and no others, holds on this node."""
        return cgroup_files(Limits(**limits), version=self.node.summary()["cgroup_version"])


def options(result: dict[str, Any]) -> list[str]:
    """The options that a result says were changed."""
    return [change["option"] for change in result["changes"]]
