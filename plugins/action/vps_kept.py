# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs all modules of this collection (meta/runtime.yml): by the code that the node has kept, or else as Ansible does, and the node keeps it.

Ansible reads and packs all that a module imports at each run of a playbook, and sends it with each task: with a hundred files that takes longer than the
task does. Here a small module goes first, M(vps_kept), with the task's own options and the hash of the code; it becomes the module where the node
has that code. Where it has not, nothing has happened, and the whole module follows, once for each module, release and boot of a node.
"""

from __future__ import annotations

from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible_collections.mainline.vps.plugins.module_utils.loading import ASKED
from ansible_collections.mainline.vps.plugins.plugin_utils import kept_code

KEPT = "mainline.vps.vps_kept"


class ActionModule(ActionBase):
    """As Ansible's action for modules that have none, but for what is sent."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result."""
        result = super().run(tmp, task_vars)
        later = bool(self._task.async_val) and not self._connection.has_native_async
        result.update(self._execute(task_vars, later))
        if not later:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _execute(self, task_vars: dict[str, Any] | None, later: bool) -> dict[str, Any]:
        name = self._task.resolved_action or self._task.action
        # A task that goes on by itself cannot tell us that it has not got the code; what is left to be looked into should be all there.
        if later or constants.DEFAULT_KEEP_REMOTE_FILES or name == KEPT:
            return self._execute_module(task_vars=task_vars, wrap_async=later)
        environment, module = self._task.environment, name.rpartition(".")[2]
        self._task.environment = [*(environment or []), {ASKED: kept_code.name(module)}]
        try:
            told = self._execute_module(KEPT, task_vars=task_vars)
            if not told.get("code_missing"):
                return told
            self._task.environment = [*(environment or []), {ASKED: kept_code.with_digests(module)}]
            return self._execute_module(task_vars=task_vars)
        finally:
            self._task.environment = environment  # the task may run again, for a loop or for `until`
