#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_snapshot
short_description: Take and remove snapshots of a VPS, and roll it back to one
version_added: 0.1.0
description:
  - A snapshot keeps the disk of a VPS and what is recorded of it (limits, addresses, host name and so on) as they are at one instant, whether
    the VPS runs or not. It takes a moment, and space for what changes afterwards only; with storage C(dir) a VPS that runs stands still until
    what it has changed is copied, which shares blocks where the file system can.
  - What a running VPS has written by then is in it, as after a power cut of its own; databases recover from that. It is no backup - it lies in
    the same pool, and M(mainline.vps.vps_container) with O(mainline.vps.vps_container#module:state=absent) removes it with its VPS.
  - Each run on a VPS also removes those of its snapshots which have expired, and RV(changes) says which.
options:
  vps:
    description:
      - The name of an existing VPS.
    type: str
    required: true
  name:
    description:
      - The name of the snapshot. Up to 63 characters of C(a-z), C(0-9), C(-) and C(.).
      - Without it, and with O(state=present), nothing is taken; O(keep) and what has expired are seen to.
    type: str
  state:
    description:
      - V(present) takes the snapshot, unless the VPS has one of that name. One that has expired is taken anew.
      - V(absent) removes it.
      - V(rolled_back) gives the VPS a copy of the snapshot as its disk, each time that it is asked for. A VPS that runs is stopped for
        that (O(stop_timeout)) and started again, one that is stopped stays so. What it has written since the snapshot is gone, unless
        O(keep_current) keeps it. The snapshot stays, and so do all others. Should the run be killed, the VPS has the old or the new disk.
        Of a VPS that is C(protected) it is an error; see M(mainline.vps.vps_container).
      - After V(rolled_back) the guest has the host name, nameservers, password and keys that are recorded of the VPS, where these have
        changed since the snapshot.
    type: str
    choices: [present, absent, rolled_back]
    default: present
  description:
    description:
      - One line of text for people.
    type: str
  series:
    description:
      - A word under which snapshots are counted by O(keep), V(daily) for example. As O(name) is written; an empty one is none.
    type: str
  expires:
    description:
      - How long after it was taken the snapshot is to be removed, by whatever run of this module on this VPS comes then. A number with C(s),
        C(m), C(h), C(d) or C(w) for seconds, minutes, hours, days or weeks, or V(never), which is what a new one has.
      - Of a snapshot that exists it is changed, counted from when that was taken.
    type: str
  keep:
    description:
      - How many snapshots are left of the task's O(series), or of those without one, when the task is through; the oldest go. Those that the task
        itself is about are among those that stay.
    type: int
  frozen:
    description:
      - Whether a running VPS is frozen for the instant in which a new snapshot is taken. All that its processes have written is in it then, and
        nothing of what they would have written next.
    type: bool
    default: false
  restore_configuration:
    description:
      - With O(state=rolled_back), whether the VPS also gets back what was recorded of it when the snapshot was taken - all options of
        M(mainline.vps.vps_container) but O(mainline.vps.vps_container#module:template) and O(mainline.vps.vps_container#module:storage). What cannot
        be had any more, an address that is somebody else's by now for example, refuses the task before anything is touched.
    type: bool
    default: false
  keep_current:
    description:
      - With O(state=rolled_back), the name of a snapshot that is taken of what the VPS has before. O(description), O(series) and O(expires) are this one's.
      - Where there is one of that name, it stays, and the new one is called after it with C(-2), C(-3) and so on.
    type: str
  stop_timeout:
    description:
      - With O(state=rolled_back), seconds that the VPS's init has for stopping before what is left is killed; V(0) kills at once.
    type: int
    default: 60
  wait:
    description:
      - With O(state=rolled_back), what a VPS that ran is waited for to be afterwards; as O(mainline.vps.vps_container#module:wait).
    type: str
    choices: [running, network, booted]
    default: running
  wait_timeout:
    description:
      - Seconds to wait for that.
    type: int
    default: 120
extends_documentation_fragment:
  - mainline.vps.common
seealso:
  - module: mainline.vps.vps_container
  - module: mainline.vps.vps_info
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: Before an upgrade
  mainline.vps.vps_snapshot:
    vps: web1
    name: before-upgrade
    description: nginx 1.22
    expires: 7d

- name: Back to it, with what there is now kept for a day
  mainline.vps.vps_snapshot:
    vps: web1
    name: before-upgrade
    state: rolled_back
    keep_current: after-upgrade
    expires: 1d

- name: Back to it once more, with the limits and addresses of then
  mainline.vps.vps_snapshot:
    vps: web1
    name: before-upgrade
    state: rolled_back
    restore_configuration: true
    stop_timeout: 20

- name: One each day, a week of them
  mainline.vps.vps_snapshot:
    vps: web1
    name: "daily-{{ '%Y%m%d' | strftime }}"
    series: daily
    keep: 7

- name: Only remove what has expired
  mainline.vps.vps_snapshot:
    vps: web1

- name: Not needed any more
  mainline.vps.vps_snapshot:
    vps: web1
    name: before-upgrade
    state: absent
"""

RETURN = r"""
boot:
  description: What the VPS's init said of its boot, after a roll back with O(wait=booted) - C(running), or C(degraded) where a unit has failed.
  returned: where it was waited for
  type: str
  sample: running
changes:
  description: What was changed, or in check mode would be; empty where nothing is.
  returned: success
  type: list
  elements: dict
  contains:
    option:
      description: The option; C(snapshots.NAME) for another snapshot than that of O(name).
      type: str
      sample: snapshots.daily-20261119
    before:
      description: What was there; of a snapshot that goes why, C(expired) or C(beyond keep).
      type: raw
      sample: beyond keep
    after:
      description: What is there now.
      type: raw
      sample: absent
    effect:
      description: When it is felt - C(live) at once, C(start) when the stopped VPS starts, C(none) never, for this node cannot keep a limit.
      type: str
      sample: live
restart_required:
  description: Never; a roll back restarts a VPS that runs.
  returned: success
  type: bool
  sample: false
snapshots:
  description: The snapshots of the VPS after the task, the oldest first. In check mode, as they are now.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: before-upgrade
    created:
      description: When it was taken, UTC, ISO 8601.
      type: str
      sample: "2026-11-26T22:10:27+00:00"
    expires:
      description: When it expires, likewise; null where it does not.
      type: str
      sample: "2026-12-03T22:10:27+00:00"
    description:
      description: The text that it was given.
      type: str
      sample: nginx 1.22
    series:
      description: The series that it counts in; null where it has none.
      type: str
      sample: daily
    size:
      description:
        - Bytes of the pool that would be free without it; what two snapshots share and the VPS has no more is in neither. The file system counts
          with up to half a minute's delay. Null where it cannot be told.
      type: int
      sample: 16384
    state:
      description: What the VPS was doing when it was taken - C(started), C(stopped) or C(frozen).
      type: str
      sample: started
    template:
      description: The template that the VPS was made from.
      type: str
      sample: debian
    storage:
      description: The VPS's storage.
      type: str
      sample: btrfs
"""

from ansible_collections.mainline.vps.plugins.module_utils.runner import run
from ansible_collections.mainline.vps.plugins.module_utils.snapshot_subject import SNAPSHOT


def main() -> None:
    """Run the module."""
    run(
        SNAPSHOT,
        {
            "vps": {"type": "str", "required": True},
            "name": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent", "rolled_back"], "default": "present"},
            "description": {"type": "str"},
            "series": {"type": "str"},
            "expires": {"type": "str"},
            "keep": {"type": "int"},
            "frozen": {"type": "bool", "default": False},
            "restore_configuration": {"type": "bool", "default": False},
            "keep_current": {"type": "str"},
            "stop_timeout": {"type": "int", "default": 60},
            "wait": {"type": "str", "choices": ["running", "network", "booted"], "default": "running"},
            "wait_timeout": {"type": "int", "default": 120},
        },
    )


if __name__ == "__main__":
    main()
