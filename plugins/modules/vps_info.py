#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_info
short_description: Read the VPSs and templates of a node
version_added: 0.1.0
description:
  - Returns every VPS of the node as it is now, its limits as the kernel holds them, what it uses, and the node's templates. Changes nothing.
  - A VPS that cannot be read, because its record is damaged for example, is left out of RV(vpss) and of C(used_by) in RV(templates), and a
    warning says why. It does not hide the others.
  - All VPSs are read at one look. What filters leave out is not read any further, and neither is what O(fields) does not name.
  - A filter is one of O(name), O(hostname), O(description), O(template), O(plan), O(labels), O(addresses), O(outdated), O(state) and O(above). All that are
    given have to hold; of the values of one, any. An empty list takes no VPS. RV(reverse) is of the same VPSs as RV(vpss); RV(templates), RV(building)
    and RV(node) are of all.
  - A pattern is one of the shell's, C(web*), C(web?) or C(web[0-9]), upper and lower case told apart; a name alone is that name.
options:
  name:
    description:
      - Only VPSs of these names, or patterns of them. One that does not exist is none, and not an error; one that cannot be read is an error if
        it stands here by its very name.
    type: list
    elements: str
  state:
    description:
      - Only those that are in one of these states - V(started), V(stopped), V(frozen), or V(rescue).
    type: list
    elements: str
  template:
    description: Only those that came from one of these templates; names or patterns.
    type: list
    elements: str
  plan:
    description: Only those that have their limits from one of these plans; names or patterns. An empty text is no plan.
    type: list
    elements: str
  hostname:
    description: Only those with one of these host names; names or patterns.
    type: list
    elements: str
  description:
    description:
      - Only those whose description is one of these patterns, as a whole - C(*shop*) where the word is in it. One with a comma has to be written as a list.
    type: list
    elements: str
  labels:
    description:
      - Only those that have all these labels. A value is a pattern, or a list of them; V(*) takes any.
    type: dict
  addresses:
    description:
      - Only those that have one of these addresses, or one in these networks, by what is recorded of them; those in bridged networks are meant too.
    type: list
    elements: str
  outdated:
    description:
      - Only those whose template has been built anew since they were made, or with V(false) only the others.
    type: bool
  above:
    description:
      - Only those that use more than so many percent of their limit of one of these resources. What has no limit is never meant.
      - They are rows of RV(vpss[].usage.rows) with a C(held) and a C(limit) - V(memory), V(swap), V(processes), V(diskspace), V(diskinodes), V(kmemsize),
        V(lockedpages), V(shmpages), V(numproc), V(physpages), V(swappages) and V(dcachesize).
    type: dict
  fields:
    description:
      - What to tell of each VPS, by the keys of RV(vpss); C(name) is always told. Without this it is everything but C(disk_exclusive).
      - What has no name here is not read. What takes longest to read is C(usage), then C(limits), C(traffic), C(disk_used) and C(snapshots); and
        C(usage) is half of what is sent back.
    type: list
    elements: str
  exclusive:
    description:
      - Tell what each VPS alone takes of the pool, too (C(disk_exclusive)). It takes a while where VPSs have large images or, with storage
        V(dir), many files. The same as to name it in O(fields).
    type: bool
    default: false
  since:
    description:
      - What an earlier run of this module has returned as RV(vpss). Each row of RV(vpss[].usage.rows) then has RV(vpss[].usage.rows[].failcnt_since).
      - A VPS that was not in it, or that has been restarted, counts from zero, as its counters do; and so does a counter that has fallen. Of a VPS that was
        told without C(pid) it is not known whether it has been restarted.
    type: list
    elements: dict
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
  platform:
    description: Linux nodes with LXC 5 or newer that the role P(mainline.vps.node#role) has prepared.
    support: full
    platforms: linux
requirements:
  - root on the node (C(become))
seealso:
  - module: mainline.vps.vps_container
  - plugin: mainline.vps.vps_beancounters
    plugin_type: filter
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: Everything on this node
  mainline.vps.vps_info:
  register: node

- name: One VPS
  mainline.vps.vps_info:
    name: web1
  register: web

- name: What vzlist shows, of those that run
  mainline.vps.vps_info:
    state: started
    fields: [hostname, addresses, state, uptime]

- name: Web servers of plan small whose disk or memory is nearly full
  mainline.vps.vps_info:
    labels: {tier: web}
    plan: small
    above: {diskspace: 80, memory: 90}
    fields: [limits, usage]

- name: Whoever has an address in this network, and was made from an old build of its template
  mainline.vps.vps_info:
    name: ["web*", "mail*"]
    addresses: [203.0.113.0/24]
    template: "debian*"
    outdated: true
    fields: [template_build]

- name: What has been refused to it since then
  mainline.vps.vps_info:
    name: web1
    since: "{{ web.vpss }}"
  register: later
"""

RETURN = r"""
vpss:
  description: The VPSs, sorted by name, each as M(mainline.vps.vps_container) returns it, and what it uses besides.
  returned: success
  type: list
  elements: dict
  sample: [{name: web1, state: started, addresses: [10.90.0.10], limits: {memory: 512M}}]
  contains:
    uptime:
      description: Seconds since its init was started, by a reboot from inside too; null where it does not run.
      type: int
      sample: 86400
    outdated:
      description: Whether its template has been built anew since it was made.
      type: bool
      sample: false
    device:
      description: The node's loop device that the image with its disk is mounted from; null where it is not mounted, or its storage is another one.
      type: str
      sample: /dev/loop7
    disk_exclusive:
      description: Bytes of the pool that the VPS alone takes, and that would be free without it.
      returned: with O(exclusive), or where O(fields) names it
      type: int
      sample: 1048576
    traffic:
      description:
        - What its link has carried since the VPS was made, over all its starts - C(bytes_in) and C(packets_in) that it was sent, C(bytes_out) and
          C(packets_out) that it has sent. What the link of a VPS had carried whose node lost its power, or whose monitor was killed, is missing.
      type: dict
      sample: {bytes_in: 1609, packets_in: 21, bytes_out: 2280, packets_out: 20}
    snapshots:
      description: Its snapshots, the oldest first, each as M(mainline.vps.vps_snapshot) returns it.
      type: list
      elements: dict
      sample: [{name: before-upgrade, created: "2026-11-26T22:10:27+00:00", expires: null, size: 16384, state: started}]
    previous:
      description:
        - The C(template) of the root file system before its last reinstall, where it is kept, C(since) when, and C(disk_used), the bytes that
          the pool would have without it; null where there is none.
      type: dict
      sample: {template: debian, since: "2026-01-31T12:00:00+00:00", disk_used: 41943040}
    usage:
      description:
        - What it uses, as the kernel counts it. Null is a number that this kernel does not have. All counters restart with the VPS,
          with a reboot from inside too. A stopped VPS has the rows C(diskspace) and C(diskinodes), and null elsewhere.
      type: dict
      contains:
        rows:
          description:
            - One for each of OpenVZ's 21 beancounters, in the order of C(/proc/user_beancounters), and then C(memory), C(swap), C(processes),
              C(cpu), C(diskspace), C(diskinodes), C(io_read) and C(io_write). The filter P(mainline.vps.vps_beancounters#filter) makes a table of them.
          type: list
          elements: dict
          sample:
            - {resource: numproc, unit: count, held: 17, peak: 20, barrier: 20, limit: 20, failcnt: 1}
          contains:
            resource:
              description: Its name.
              type: str
            unit:
              description:
                - Of C(held), C(peak), C(barrier) and C(limit) - C(bytes), C(count), C(pages of 4096 bytes), C(percent of one CPU) or C(bytes per second).
              type: str
            held:
              description:
                - How much the VPS has now. C(oomguarpages) is memory and swap together, C(shmpages) shared memory and tmpfs, C(lockedpages)
                  all that cannot be reclaimed, C(dcachesize) the kernel's objects that can (cgroup v2), C(diskspace) the template's data
                  included, C(diskinodes) its files too, which are counted in an image alone (O(mainline.vps.vps_container#module:storage)).
              type: int
            peak:
              description:
                - How much it has had at most. On cgroup v2, C(memory) from Linux 5.19 on and C(swap) from 6.5 on; C(processes) from 6.1 on.
              type: int
            barrier:
              description: The barrier in force; as C(limit) where there is only one value. Null is no limit.
              type: int
            limit:
              description: The limit in force. Null is no limit.
              type: int
            failcnt:
              description:
                - How often more than that was refused. For C(memory) and C(physpages), allocations that failed (cgroup v2), or all that met the
                  limit, or that of memory and swap together, those included for which the page cache then made room (cgroup v1).
                - For C(oomguarpages), processes that were killed; for C(processes) and C(numproc), refused forks; for C(cpu), periods of 100 ms
                  in which the VPS had to wait for the next.
                - On cgroup v1, and for forks on cgroup v2 up to Linux 6.10, forks and killed processes are summed over the VPS's cgroup and those that
                  the guest has made in it, so that they rise by limits that it sets for itself too, and fall when it removes one.
                - Null for C(diskspace) and C(diskinodes), and for C(swap) on the cgroup v1 of Linux 6.18; the kernel does not count what it refuses there.
              type: int
            failcnt_since:
              description: How much C(failcnt) has risen since the reading in O(since).
              returned: with O(since)
              type: int
        memory:
          description:
            - What the memory is used for, in bytes - C(anon), C(file) (page cache), C(shmem), C(kernel) and C(sock) (buffers of sockets);
              and how often the VPS was slowed down at its high mark (C(high)), met its limit (C(max)), failed to get memory (C(oom)), and
              had a process killed (C(oom_kill)).
          type: dict
          sample: {anon: 61440, file: 36253696, shmem: 5246976, kernel: 532480, sock: 0, high: 0, max: 514, oom: 1, oom_kill: 1}
        cpu:
          description:
            - CPU time in microseconds, C(usage_usec), C(user_usec) and C(system_usec); periods of a CPU limit, C(nr_periods), those in which it
              was reached, C(nr_throttled), and the time in microseconds that was waited for the next, C(throttled_usec).
          type: dict
          sample: {usage_usec: 139046, user_usec: 12000, system_usec: 111971, nr_periods: 10, nr_throttled: 0, throttled_usec: 0}
        io:
          description: Bytes and operations to and from the pool's disk; what the page cache has spared is not among them.
          type: dict
          sample: {read_bytes: 3964928, written_bytes: 1884160, reads: 9, writes: 130}
        pressure:
          description:
            - For C(cpu), C(memory) and C(io), the share of time, in percent over the last 10, 60 and 300 seconds, in which some of its
              processes, or all of them (C(full)), had to wait for it; and C(total) in microseconds. Null where the kernel has no PSI.
          type: dict
          sample:
            cpu: {some: {avg10: 0.87, avg60: 0.32, avg300: 0.07, total: 333925}, full: {avg10: 0.87, avg60: 0.32, avg300: 0.07, total: 323032}}
reverse:
  description: What reverse DNS is to say of the addresses of these VPSs.
  returned: success
  type: list
  elements: dict
  sample: [{record: 10.0.90.10.in-addr.arpa, address: 10.90.0.10, name: www.example.com, vps: web1}]
  contains:
    record:
      description: The name of the PTR record, without a dot at its end.
      type: str
      sample: 10.0.90.10.in-addr.arpa
    address:
      description: The address.
      type: str
      sample: 10.90.0.10
    name:
      description: The host name of the VPS.
      type: str
      sample: www.example.com
    vps:
      description: Its name.
      type: str
      sample: web1
templates:
  description: The templates, sorted by name, each as M(mainline.vps.vps_template) returns it.
  returned: success
  type: list
  elements: dict
  sample: [{name: minimal, source: minimal, used_by: [web1]}]
building:
  description:
    - The templates that are being built or imported just now, by whichever run. What a killed run has left is not among them.
  returned: success
  type: list
  elements: dict
  sample: [{name: debian, since: "2026-11-26T22:10:27+00:00", step: building, line: "I: downloading packages with apt..."}]
  contains:
    name:
      description: The template.
      type: str
    since:
      description: When it was begun, UTC, ISO 8601.
      type: str
    step:
      description: What is being done - C(building), C(fetching), C(unpacking), C(checking) (its content is written down) or C(making an image).
      type: str
    line:
      description: The last line that its builder has printed, or how many bytes have been fetched; null where there is nothing to tell.
      type: str
node:
  description: The node.
  returned: success
  type: dict
  contains:
    pool:
      description: Where its pool is mounted.
      type: str
      sample: /var/lib/vps
    pool_size:
      description: Bytes of the pool's file system.
      type: int
      sample: 21474836480
    pool_used:
      description: Bytes of it that are in use, by templates and by what the file system itself needs, too.
      type: int
      sample: 4294967296
    pool_free:
      description:
        - Bytes that the pool can still take. Less than C(pool_warning) of M(mainline.vps.vps_node) is a warning of this module, and of those that
          make and change VPSs.
      type: int
      sample: 17179869184
    pool_unpromised:
      description:
        - Bytes of the pool that are left beside what is promised to all VPSs by C(diskspace), less than 0 where more is promised than there is. A VPS
          without that limit is promised nothing. Null where the record of a VPS cannot be read.
      type: int
      sample: 10737418240
    networks:
      description: Its networks, as M(mainline.vps.vps_network) returns them, without who uses them; C(default) is the one that the role gave it.
      type: list
      elements: dict
      sample: [{name: default, subnets: [10.90.0.0/16], nat: true, nat_addresses: [], uplink: null, pools: {}}]
    cgroup_version:
      description: 1 or 2.
      type: int
      sample: 2
    fleets:
      description:
        - The runs of M(mainline.vps.vps_fleet) that are at work on this node now - how many VPSs they have C(done), out of how many (C(of)),
          how many C(failed), since when in UTC, and the process.
      type: list
      elements: dict
      sample: [{done: 120, of: 300, failed: 1, since: "2026-01-31T12:00:00+00:00", pid: 4711}]
    capacity:
      description:
        - What there is of each resource that VPSs are promised, what is promised to all of them, and what is used - V(memory) and
          V(swap) in bytes, V(cpu) in percent of one CPU, V(disk), which is the pool, in bytes, V(processes) as a number, threads included.
        - What each VPS is promised is its limit as the playbook set it.
      type: dict
      contains:
        memory:
          description: Of memory; V(swap), V(cpu), V(disk) and V(processes) have the same keys.
          type: dict
          contains:
            present:
              description: What the node has.
              type: int
              sample: 8589934592
            promised:
              description: The sum of all VPSs' limits; null where the record of one of them cannot be read.
              type: int
              sample: 6442450944
            unlimited:
              description: How many VPSs have no such limit. They are not counted in the sum.
              type: int
              sample: 0
            commitment:
              description: What is promised, in percent of what there is; null where that is unknown, or there is nothing.
              type: float
              sample: 75.0
            used:
              description: What is used now, by the node itself too; null where that is unknown, as with V(cpu).
              type: int
              sample: 2147483648
            utilisation:
              description: What is used, in percent of what there is.
              type: float
              sample: 25.0
            overcommit:
              description: The most that may be promised, in percent, by O(mainline.vps.vps_node#module:overcommit); null without such a bound.
              type: int
              sample: 100
"""

from ansible_collections.mainline.vps.plugins.module_utils.runner import run_info
from ansible_collections.mainline.vps.plugins.module_utils.subjects import read_info


def main() -> None:
    """Run the module."""
    words = ("name", "state", "template", "plan", "hostname", "description", "addresses", "fields")
    run_info(
        read_info,
        {
            **{name: {"type": "list", "elements": "str"} for name in words},
            "labels": {"type": "dict"},
            "outdated": {"type": "bool"},
            "above": {"type": "dict"},
            "exclusive": {"type": "bool", "default": False},
            "since": {"type": "list", "elements": "dict"},
        },
        bulky=("since",),
    )


if __name__ == "__main__":
    main()
