#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_fleet
short_description: All VPSs of a node in one task
version_added: 0.1.0
description:
  - Makes, changes, starts, stops and removes the VPSs of a node as M(mainline.vps.vps_container) does, all in one task. The node is read once, all
    VPSs are compared, and those that differ are changed side by side.
  - Everything is checked before anything is touched, each VPS against what the others will have by then - an address or a port that one VPS
    of the list gives up another may have, and memory that one gives back. Who takes comes after who gives, whatever the order of the list is. Where each
    of two VPSs is to have what the other one has, the task is refused.
  - A VPS that fails does not stop the others. RV(failed_vpss) has what was and what was not done of it, and the task fails in the end. Run again, it
    does what is left.
  - VPSs that are to start do so in the order of O(vps[].boot_order), those of one number side by side, the next when the init of each of those runs. What
    is waited for (O(vps[].wait)) is waited for together. A VPS that has to be restarted is stopped and started in one go, in its place in that order.
options:
  plans:
    description:
      - Named sets of limits for the key C(plan) of a VPS's limits, in this task only, as in O(mainline.vps.vps_node#module:plans). One that the node has
        too is this one here.
    type: dict
    default: {}
  unlisted:
    description:
      - What to do about VPSs of the node that are not in O(vps). RV(unlisted) has their names whatever this is.
      - V(ignore) leaves them alone; V(report) does so, with a warning; V(stop) stops those that run, which does not keep them from starting with the node
        (O(vps[].onboot)); V(absent) removes them with all their data, no more than O(unlisted_max) of them.
    type: str
    choices: [ignore, report, stop, absent]
    default: ignore
  unlisted_max:
    description:
      - How many VPSs V(absent) may remove. Where there are more, the task is refused before anything is touched. Needed with O(unlisted=absent).
      - With O(unlisted=report), which removes none, it may stand there for the day on which that becomes V(absent). With the others it is refused, for it
        bounds nothing.
    type: int
  parallel:
    description:
      - How many VPSs are worked on at a time, 1 to 256. Four for each CPU of the node, up to 64, when this is not given; for starting and stopping one is
        more waiting than work.
    type: int
  batch:
    description:
      - Change that many VPSs, wait until they are well, then change the next. Those that are as asked do not count. A VPS is well when it is what
        O(vps[].wait) says and O(health), if any, ends well in it. All at once, when this is not given.
      - Those that run and are as asked already have to be well before the first is changed.
    type: int
  max_failures:
    description:
      - With how many failed VPSs the task goes on to the next batch. With more it stops; RV(not_begun) has the rest. V(0) with O(batch), when
        this is not given. A VPS that is as asked already and not well is a failure, too; with more of those nothing is changed. Refused without O(batch)
        and O(health), where it would bound nothing.
    type: int
  health:
    description:
      - A program that says by its exit code, 0, that a VPS is well. It runs in each changed one that runs, as with M(mainline.vps.vps_command), when
        that is what O(vps[].wait) says.
      - Before anything is changed, and where nothing is to be changed, it runs in those of O(vps) that run and are as asked already, so that a task that
        is run again does not go past what it has left ill. In check mode it does not run.
    type: dict
    suboptions:
      argv:
        description:
          - The program and its arguments. Either this or O(health.script) is required.
        type: list
        elements: str
      script:
        description:
          - A script, which C(/bin/sh) of the VPS runs.
        type: str
      user:
        description:
          - Who runs it.
        type: str
        default: root
      timeout:
        description:
          - Seconds after which one run of it is ended, and has not ended well.
        type: int
        default: 30
      retries:
        description:
          - How often it is run again where it does not end well.
        type: int
        default: 0
      delay:
        description:
          - Seconds between two runs.
        type: int
        default: 5
  describe:
    description:
      - Which VPSs RV(vpss) describes as M(mainline.vps.vps_container) does - V(none), those that were V(changed), or V(all) of the list. A thousand
        VPSs are some megabytes; M(mainline.vps.vps_info) tells more.
    type: str
    choices: [none, changed, all]
    default: none
extends_documentation_fragment:
  - mainline.vps.fleet
  - mainline.vps.common
notes:
  - All VPSs that are to be changed are locked until the run ends, those of later batches included. Other tasks that are to change one of them wait
    for their O(lock_timeout), and fail then.
  - A file says how far a run is that takes long. RV(mainline.vps.vps_info#module:node.fleets) has it, also as an ad hoc command from another terminal;
    in a playbook, run the task with C(async) and C(poll=0), and ask M(mainline.vps.vps_info) until it is through.
seealso:
  - module: mainline.vps.vps_container
  - module: mainline.vps.vps_info
  - module: mainline.vps.vps_node
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: The whole node
  mainline.vps.vps_fleet:
    defaults:
      template: minimal
      onboot: true
      wait: booted
      labels: {customer: example}
      limits: {plan: small}
    plans:
      small: {memory: 64M, processes: 100, diskspace: 200M}
      large: {plan: small, memory: 128M}
    vps:
      - name: db1
        boot_order: 10
        limits: {plan: large}
        labels: {tier: db}
      - name: web1
        boot_order: 20
        addresses: [{pool: default}]
      - name: web2
        boot_order: 20
        addresses: [{pool: default}]
        limits: {processes: 200}

- name: One change for all web servers, two at a time, as long as each is well afterwards
  mainline.vps.vps_fleet:
    defaults:
      limits: {memory: 96M, processes: 100, diskspace: 200M}
      restart_policy: if_needed
      wait: booted
    vps:
      - name: web1
      - name: web2
    batch: 2
    health:
      argv: ["true"]
      timeout: 10
      retries: 3
      delay: 1

- name: See which VPSs nobody has listed, in check mode; nothing is removed
  mainline.vps.vps_fleet:
    vps:
      - name: web1
      - name: web2
    unlisted: report
  check_mode: true
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be, in the order of the list, and then of those that are not listed; empty where nothing is.
  returned: always, but where the task is refused
  type: list
  elements: dict
  contains:
    vps:
      description: The VPS.
      type: str
      sample: web1
    option:
      description: The option, a limit as C(limits.NAME).
      type: str
      sample: limits.memory
    before:
      description: What was there.
      type: raw
      sample: 64M
    after:
      description: What is there now.
      type: raw
      sample: 96M
    effect:
      description: When it is felt, as in RV(mainline.vps.vps_container#module:changes).
      type: str
      sample: live
failed_vpss:
  description:
    - The VPSs that failed, and those that are as asked already and are not well. Each has what the error of M(mainline.vps.vps_container) would have
      besides (C(console), C(log)).
  returned: always, but where the task is refused
  type: list
  elements: dict
  contains:
    vps:
      description: The VPS.
      type: str
      sample: web2
    msg:
      description: Why it failed.
      type: str
      sample: "wait: VPS 'web2' was started and has stopped again; its init ended. The result's console has its last words."
    done:
      description: Which of its changes were done, each as in RV(changes).
      type: list
      elements: dict
      sample: [{option: limits.memory, before: 64M, after: 96M, effect: live}]
    not_done:
      description: Which were not.
      type: list
      elements: dict
      sample: [{option: state, before: stopped, after: started, effect: live}]
not_begun:
  description: The VPSs that were left as they were, because more failed before them than O(max_failures).
  returned: always, but where the task is refused
  type: list
  elements: str
  sample: [web7, web8]
unlisted:
  description: The VPSs that were on the node and are not in O(vps).
  returned: always, but where the task is refused
  type: list
  elements: str
  sample: [test1]
restart_required:
  description: Whether a running VPS must be restarted before all of it is felt.
  returned: always, but where the task is refused
  type: bool
  sample: false
to_restart:
  description: Which those are.
  returned: always, but where the task is refused
  type: list
  elements: str
  sample: []
summary:
  description: How many VPSs were C(listed), C(changed), C(failed) and C(not_begun).
  returned: always, but where the task is refused
  type: dict
  sample: {listed: 100, changed: 3, failed: 0, not_begun: 0}
boot:
  description: What the init of VPSs said that were awaited as booted, C(running) or C(degraded), by their names.
  returned: where there are such, and none has failed
  type: dict
  sample: {web1: running}
refused:
  description:
    - What is wrong with the VPSs, and with what they have in common (C(defaults.limits.memry)), for whose sake the task is refused, each thing once;
      RV(ignore:msg) is the first.
    - Words and types are looked at first, then values, the first bad one of each VPS, then what cannot be on this node. What is wrong in one look
      is told together.
  returned: where the task is refused because of VPSs
  type: list
  elements: str
  sample: ["vps[3] (web7): limits.physpages: 'many' is not a size; write for example 512M, 2G or unlimited."]
vpss:
  description: VPSs after the task, as O(describe) says, in the order of the list, each as in RV(mainline.vps.vps_container#module:vps).
  returned: where O(describe) is not V(none)
  type: list
  elements: dict
  sample: [{name: web1, state: started}]
"""

from ansible_collections.mainline.vps.plugins.module_utils import fleet_subject
from ansible_collections.mainline.vps.plugins.module_utils.options import FLEET
from ansible_collections.mainline.vps.plugins.module_utils.runner import run_fleet


def main() -> None:
    """Run the module."""
    run_fleet(fleet_subject.reconcile, FLEET)


if __name__ == "__main__":
    main()
