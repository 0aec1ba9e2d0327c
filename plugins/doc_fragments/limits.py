# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of limits that every module that sets them shares. The table behind it is core/beancounters.py."""

from __future__ import annotations


class ModuleDocFragment:
    """C(limits) has the keys, C(policy) what to do about those that a node cannot keep."""

    DOCUMENTATION = r"""
options:
  plan:
    description:
      - The name of a plan of this node (see M(mainline.vps.vps_node)). Its limits hold where the task names no key for the same;
        V(unlimited) lifts one of them.
      - The same are O(memory), O(physpages) and O(privvmpages); O(swap) and O(swappages); O(memory_guarantee) and O(oomguarpages);
        O(cpulimit) and O(cpus); O(processes) and O(numproc); O(iolimit) and what O(iolimit_read) and O(iolimit_write) are, and so for
        operations; O(memory_high) and the barrier of O(privvmpages).
    type: str
  memory:
    description:
      - RAM in bytes, or with one of vzctl's suffixes K, M, G, T (powers of 1024; V(512M), V(512MB) and V(512MiB) are the same),
        P (pages of 4096 bytes) and B (bytes). At least 4M, and less than 1 EiB, as every size.
      - Less than the VPS uses and the kernel cannot reclaim is refused; see O(force).
    type: str
    aliases: [ram, mem]
  swap:
    description:
      - Swap in bytes, besides O(memory), which it needs. V(0) forbids swapping.
    type: str
  memory_guarantee:
    description:
      - Bytes of RAM that are not taken from the VPS when the node runs short.
    type: str
  memory_high:
    description:
      - Bytes of RAM above which the VPS is slowed down and has to give back, before anything is killed. At least 1M. Not on cgroup v1.
    type: str
  cpuunits:
    description:
      - Share of the CPU under contention, 10 to 100000; a VPS without has 1000.
    type: str
  cpulimit:
    description:
      - CPU time in percent of one CPU, V(50) or V(50%) is half of one.
    type: str
  cpus:
    description:
      - CPU time in whole CPUs; the lesser of this and O(cpulimit) counts.
    type: str
  cpuburst:
    description:
      - CPU time, in percent of one CPU for a tenth of a second, that is saved up while the VPS is idle and may then be used
        beyond O(cpulimit) or O(cpus), one of which it needs and which it may not exceed.
    type: str
  cpumask:
    description:
      - The CPUs that the VPS may run on, as V(0-3,5), or V(all).
    type: str
  nodemask:
    description:
      - The NUMA nodes that its memory may come from, as V(0-1), or V(all).
    type: str
  processes:
    description:
      - Processes and threads, at least 8.
    type: str
  diskspace:
    description:
      - Bytes that the root file system refers to, its template's data included. At least 1M. A soft and a hard limit are written
        V(9G:10G) where the storage has both; O(unsupported) V(warn) keeps the hard one alone where it has not. A number needs its suffix,
        for vzctl takes one without for KiB.
      - With storage V(image) it is the size of the file system, at least 64M, and 10G where nothing is asked. It is made smaller only
        while the VPS is stopped, or by a task that stops or restarts it.
    type: str
  diskinodes:
    description:
      - Files, directories and other inodes, at least 1000, soft and hard limit as with O(diskspace). On a node whose kernel has no
        C(quota_v2) an image has as many when it is made, and keeps them.
    type: str
  quotatime:
    description:
      - Grace time - seconds for which a soft limit of the disk may be exceeded.
    type: str
  quotaugidlimit:
    description:
      - User and group quota inside the VPS, on where it is above 0.
    type: str
  ioprio:
    description:
      - Share of the pool's disk under contention, 0 to 7; a VPS without has 4.
    type: str
  iolimit:
    description:
      - Bytes per second to the pool's disk, and as many from it. At least 4K. A number needs its suffix, for vzctl takes one without
        for MiB.
    type: str
  iolimit_read:
    description:
      - Bytes per second from the pool's disk, at least 4K; the lesser of this and O(iolimit) counts.
    type: str
  iolimit_write:
    description:
      - Bytes per second to the pool's disk, at least 4K; the lesser of this and O(iolimit) counts.
    type: str
  iopslimit:
    description:
      - Writes per second at the pool's disk, and as many reads.
    type: str
  iopslimit_read:
    description:
      - Reads per second from the pool's disk; the lesser of this and O(iopslimit) counts.
    type: str
  iopslimit_write:
    description:
      - Writes per second to the pool's disk; the lesser of this and O(iopslimit) counts.
    type: str
  kmemsize:
    description:
      - Kernel memory in bytes.
      - No kernel keeps it; see O(unsupported).
    type: str
  lockedpages:
    description:
      - Pages of memory that a process may lock in RAM.
    type: str
  privvmpages:
    description:
      - Pages of private memory, counted when they are touched. The least of this, O(physpages) and O(memory) counts.
      - A barrier below the limit is a mark as O(memory_high) is, and has no effect on cgroup v1.
    type: str
  shmpages:
    description:
      - Pages of System V shared memory.
    type: str
  numproc:
    description:
      - Processes and threads; the lesser of this and O(processes) counts.
    type: str
  physpages:
    description:
      - Pages of RAM.
    type: str
  vmguarpages:
    description:
      - Pages of memory that are kept for the VPS as long as possible; the barrier counts.
    type: str
  oomguarpages:
    description:
      - Pages of memory that are not taken from the VPS when the node runs short; the barrier counts, and is at most O(memory).
    type: str
  numtcpsock:
    description:
      - TCP sockets.
      - No kernel keeps it; see O(unsupported).
    type: str
  numflock:
    description:
      - File locks.
      - No kernel keeps it; see O(unsupported).
    type: str
  numpty:
    description:
      - Pseudo-terminals. Takes effect at a restart.
    type: str
  numsiginfo:
    description:
      - Queued signals of a user.
    type: str
  tcpsndbuf:
    description:
      - Bytes of buffers of TCP sockets, to send from.
      - No kernel keeps it; see O(unsupported).
    type: str
  tcprcvbuf:
    description:
      - Bytes of buffers of TCP sockets, to receive into.
      - No kernel keeps it; see O(unsupported).
    type: str
  othersockbuf:
    description:
      - Bytes of buffers of other sockets, to send from.
      - No kernel keeps it; see O(unsupported).
    type: str
  dgramrcvbuf:
    description:
      - Bytes of buffers of datagram sockets, to receive into.
      - No kernel keeps it; see O(unsupported).
    type: str
  numothersock:
    description:
      - Sockets other than TCP.
      - No kernel keeps it; see O(unsupported).
    type: str
  dcachesize:
    description:
      - Bytes of cached names and inodes.
      - No kernel keeps it; see O(unsupported).
    type: str
  numfile:
    description:
      - Open files of a process.
    type: str
  numiptent:
    description:
      - Rules of the packet filter inside.
      - No kernel keeps it; see O(unsupported).
    type: str
  swappages:
    description:
      - Pages of swap; the lesser of this and O(swap) counts.
    type: str
notes:
  - Every limit may be V(unlimited), which is the same as leaving it out, but for one that the plan has.
  - From O(kmemsize) on the keys are OpenVZ's user beancounters, each as C(barrier:limit), or one value for both. Those whose name
    ends in C(pages) count pages of 4096 bytes, or take a size with a suffix. What each means to the kernel, and how near that comes
    to OpenVZ, is in the return value RV(fidelity), and for all of them in C(docs/limits.md) of the collection.
  - Write such pairs in quotes - YAML takes V(16:32) without for a time of day, and makes 992 of it.
"""

    POLICY = r"""
options:
  unsupported:
    description:
      - What to do about a limit that this node cannot keep. V(fail) refuses the task before anything is touched; V(warn) and
        V(ignore) keep the limit in the record of the VPS, where it has no effect.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  force:
    description:
      - Lower the memory of a running VPS even below what it uses and the kernel cannot reclaim. The kernel then kills processes
        in it, but not its init. On cgroup v1 the kernel refuses that all the same.
    type: bool
    default: false
"""
