# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each task's result as a line of JSON in the file that RESULTS names, for tests/node/play.py."""

from __future__ import annotations

DOCUMENTATION = """
name: results
type: aggregate
short_description: Results as JSON lines
description: Writes each task's result as a line of JSON into the file that the environment variable RESULTS names.
requirements: [enabled with ANSIBLE_CALLBACKS_ENABLED]
"""

import json
import os

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """One line a task, a loop's tasks together."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "results"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, result: object, *_args: object, **_kwargs: object) -> None:
        task = getattr(result, "task", None) or result._task
        data = getattr(result, "result", None) or result._result
        with open(os.environ["RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps({"task": task.get_name(), "result": data}, default=str) + "\n")

    v2_runner_on_ok = v2_runner_on_failed = v2_runner_on_skipped = v2_runner_on_unreachable = _write
