#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_metrics
short_description: Have a node tell Prometheus of its VPSs
version_added: 0.1.0
description:
  - Puts a program on the node that writes what each VPS has, may have, was refused and did, and what the node has left, into one file that
    Prometheus's node_exporter reads (its textfile collector), and has a systemd timer run it. The role P(mainline.vps.metrics#role) does
    this and installs node_exporter.
  - The program is made of this collection's own code, so it reads as the modules do. It needs the node's Python and nothing else; run the module again
    after an upgrade of the collection.
  - On a node without systemd nothing runs the program again; run C(/usr/local/lib/mainline-vps/metrics) there yourself.
options:
  state:
    description:
      - Whether the node tells. V(absent) takes away what was made, the file included.
    type: str
    choices: [present, absent]
    default: present
  file:
    description:
      - Where the metrics are written, in a folder that root alone may write to; it is made where it is missing. The default is in the folder
        that Debian's node_exporter reads. An alert rule finds it by the name C(vps.prom).
    type: str
    default: /var/lib/prometheus/node-exporter/vps.prom
  labels:
    description:
      - The keys of those labels of VPSs (O(mainline.vps.vps_container#module:labels)) that go along, at most 10, on the metric C(vps_info); C(tier)
        is C(label_tier) there. Name those with few values.
    type: list
    elements: str
    default: []
  interval:
    description:
      - How often the file is written, in seconds, 15 to 3600.
    type: int
    default: 60
extends_documentation_fragment:
  - mainline.vps.common
attributes:
  check_mode:
    description: Tells what would be changed.
    support: full
  diff_mode:
    description: Shows what differs.
    support: full
seealso:
  - module: mainline.vps.vps_info
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: Tell Prometheus of the VPSs, with the label tier of each
  mainline.vps.vps_metrics:
    labels: [tier]

- name: Half as often
  mainline.vps.vps_metrics:
    labels: [tier]
    interval: 120

- name: Tell nothing any more
  mainline.vps.vps_metrics:
    state: absent
"""

RETURN = r"""
changes:
  description: What was different, option by option; C(file), C(labels), C(interval), C(program), C(service_unit), C(timer_unit), C(running) or C(written).
  returned: success
  type: list
  elements: dict
  sample: [{option: interval, before: 60, after: 120, effect: live}]
restart_required:
  description: Always false.
  returned: success
  type: bool
  sample: false
metrics:
  description: What the node tells after the task; null where it tells nothing. In check mode, as it is now.
  returned: success
  type: dict
  contains:
    file:
      description: Where the metrics are.
      type: str
      sample: /var/lib/prometheus/node-exporter/vps.prom
    labels:
      description: The VPSs' labels that go along.
      type: list
      elements: str
      sample: [tier]
    interval:
      description: How often they are written, in seconds.
      type: int
      sample: 60
    program:
      description: What writes them.
      type: str
      sample: /usr/local/lib/mainline-vps/metrics
    scheduled:
      description: Whether a timer runs it.
      type: bool
      sample: true
"""

from ansible_collections.mainline.vps.plugins.module_utils.metrics_subject import METRICS
from ansible_collections.mainline.vps.plugins.module_utils.runner import run


def main() -> None:
    """Run the module."""
    run(
        METRICS,
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "file": {"type": "str", "default": "/var/lib/prometheus/node-exporter/vps.prom"},
            "labels": {"type": "list", "elements": "str", "default": []},
            "interval": {"type": "int", "default": 60},
        },
    )


if __name__ == "__main__":
    main()
