#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_backup
short_description: Back up a VPS, restore it, and try its backups out
version_added: 0.1.0
description:
  - Makes backups of a VPS with restic, in a directory, on another machine over SSH, or in a store like S3. They are encrypted, and what is there
    already is not stored twice, whichever VPS it is from.
  - A backup has all files of the VPS's root file system, with the ids that they have inside, and the VPS's record - limits, addresses, labels and
    all. Another node needs nothing but the repository to make the same VPS of it.
  - It is read from a snapshot, all of one moment, while the VPS goes on. What a program in the VPS has not written to its files by then is not in
    it, as after a power cut; O(before) is for what has to be written first. A VPS with storage C(dir) that runs stands still as long as it takes to
    copy what it has changed.
  - Each run with O(state=present) makes one more backup, unless O(max_age) says that there is one that is young enough.
options:
  name:
    description:
      - The name of the VPS whose backups it is about. It need not exist on this node any more to be restored.
    type: str
    required: true
  state:
    description:
      - V(present) makes a backup, then removes those that O(keep) does not keep. It makes the repository too, where there is none.
      - V(restored) makes a VPS of a backup, stopped, or gives O(paths) back to the one that there is. Where O(target) is there already and was made of
        that very backup, nothing is done, whatever has become of it since; with O(replace) or O(paths), each run restores.
      - V(tested) makes a VPS of a backup that talks to nobody, compares all files with the repository, has it boot, and removes it. An error says
        that the backup cannot be relied upon.
      - V(verified) looks whether the repository is whole.
      - V(absent) removes one backup, which O(backup) names, or all that O(keep) does not keep. The VPS itself may be gone.
    type: str
    choices: [present, absent, restored, tested, verified]
    default: present
  repository:
    description:
      - Where backups are. An absolute path on the node; C(sftp:user@host:/path) or C(sftp://user@host:port//path) for another machine, which needs
        an SSH server and nothing else; C(s3:https://host/bucket/path), or another store that restic knows - C(rest:), C(b2:), C(azure:), C(gs:), C(swift:).
      - A password in the address, as in C(rest:https://user:password@host/), is in no result and in no command line on the node; better is O(environment).
      - Several nodes and all their VPSs can share one. Whoever has its password, such as root on each of those nodes, can read and remove all that is in it.
    type: str
    required: true
  password:
    description:
      - The password of the repository, one line. Without it nobody can restore anything, so keep it elsewhere too.
      - Either this or O(password_file) is required.
    type: str
  password_file:
    description:
      - A file on the node that has the password, one line. A warning says so if every user of the node can read it.
    type: str
  environment:
    description:
      - Credentials of a store, and the way to it, as restic takes them from its environment - C(AWS_ACCESS_KEY_ID), C(AWS_SECRET_ACCESS_KEY), C(HTTPS_PROXY).
    type: dict
  ssh_arguments:
    description:
      - Arguments for C(ssh), for a repository over SSH, such as C(-i) and a key. Without them it is root's own C(~/.ssh) on the node. The host's key has
        to be known, for nobody is asked.
    type: list
    elements: str
  max_age:
    description:
      - How old the newest backup may be for no other one to be made - a number with C(s), C(m), C(h), C(d) or C(w) for seconds, minutes, hours,
        days or weeks, as in V(20h).
    type: str
  keep:
    description:
      - Which backups of this VPS stay, those before each run included; the others are removed once the new one is made. Without it, all stay.
      - Complete backups are counted alone. Those that lack files which could not be read go as soon as there is a newer, complete one.
      - A backup stays if any of these keeps it. V(last) is a number of the newest ones; V(hourly), V(daily), V(weekly), V(monthly) and V(yearly) are
        numbers of hours, days and so on, in UTC, of which the newest one stays; V(within) is a time before the newest one, as in V(14d) or V(1y6m).
      - With O(state=present) it is for a VPS that there is, and with O(state=absent) for any, so that backups of one that is gone expire too. The newest
        one always stays; O(backup) removes that.
    type: dict
  prune:
    description:
      - Whether what no backup needs any more is deleted, where this task or an earlier one of this node with O(prune=false) has removed backups. Where none
        has, there is nothing to do. Nobody else can work in the repository meanwhile, so where many VPSs share one, this may be for one of them, or for
        a task of its own.
      - It is done too where a backup is young enough for O(max_age).
    type: bool
    default: true
  exclude:
    description:
      - Paths in the VPS that are left out, absolute ones; V(*) and V(?) fit any text in a name, V(**) any number of directories.
    type: list
    elements: str
  before:
    description:
      - A program, and its arguments, that root of the VPS runs first, such as a dump of a database. If it fails, no backup is made.
    type: list
    elements: str
  verify:
    description:
      - Whether the repository is verified after the backup, its structure and what it says of itself.
    type: bool
    default: false
  verify_data:
    description:
      - How much of the data is read and compared too, as in V(5%) of it at random, V(100%), or V(1/7) for the first seventh. Implies O(verify).
    type: str
  backup:
    description:
      - Which backup to restore, test or remove - V(latest), or the start of an id, eight digits or more. RV(backups) has them.
      - V(latest) where it is not given, but for O(state=absent), which needs an id.
    type: str
  target:
    description:
      - The name of the VPS to make. One with another name than O(name) gets a machine-id and SSH host keys of its own, and its name as host name if it had
        its name as that.
      - O(name) where it is not given, and for O(state=tested) that with V(-test) at its end.
    type: str
    aliases: [as]
  replace:
    description:
      - With O(state=restored), allows that O(target) exists. Its disk is exchanged with the backup's, all at once, once that is complete; what is on it is
        lost. It keeps its addresses, limits and all other options. A running one is stopped for that moment, and started again; a frozen one is frozen
        again then. One that is C(protected) is an error; see M(mainline.vps.vps_container).
    type: bool
    default: false
  addresses:
    description:
      - With O(state=restored), the addresses that the VPS gets instead of those of the backup, as in M(mainline.vps.vps_container); an entry with
        a C(pool) is one out of that. It then gets neither the interfaces nor the published ports of the backup, which are the original's.
      - Without it, the VPS gets those of the backup, and an error says who has one of them already.
    type: list
    elements: raw
  paths:
    description:
      - With O(state=restored), files and directories that go back into the VPS, over what is there, and nothing else; the VPS may run.
      - They are unpacked by C(tar) in the VPS. That of busybox does not know extended attributes.
    type: list
    elements: str
  timeout:
    description:
      - Seconds, up to a day, for each program that moves data; it is then ended, and the task fails.
    type: int
    default: 86400
  wait_timeout:
    description:
      - Seconds that a VPS has to boot, with O(state=tested).
    type: int
    default: 120
  stop_timeout:
    description:
      - Seconds that a VPS has to stop, after which it is killed.
    type: int
    default: 60
  lock_timeout:
    description:
      - Seconds to wait for another run that is changing the VPS or makes a backup of it, and for one that works in the repository. The error then names it.
    type: int
    default: 120
attributes:
  check_mode:
    description:
      - Says whether a backup would be made, which ones would be removed, and what stands in the way of a restore. RV(backups) are those that there are.
        Writes nothing, neither on the node nor in the repository.
      - V(tested) and V(verified) of O(state) are C(skipped).
    support: full
  diff_mode:
    description: Shows the backups that are made and removed, and the VPS or files that are restored; nothing of what is in them.
    support: full
  platform:
    description: Linux nodes with LXC 5 or newer that the role P(mainline.vps.node#role) has prepared.
    support: full
    platforms: linux
requirements:
  - root on the node (C(become))
  - restic 0.14 or newer on the node, which the role P(mainline.vps.node#role) installs on Debian and Ubuntu
notes:
  - Sockets are not in a backup; programs make them anew. Holes in files are holes again, and so is whatever else has been zeros.
  - Where restic is older than 0.15, as in Debian 12, a restore needs room in the pool for all that the files have, their holes included, until it is done.
seealso:
  - module: mainline.vps.vps_container
  - module: mainline.vps.vps_command
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: Back up each night, and keep a week and two months
  mainline.vps.vps_backup:
    name: web1
    repository: /srv/backups
    password_file: /etc/vps/backup-password
    max_age: 20h
    keep:
      last: 3
      daily: 7
      weekly: 8
    before: [sh, -c, "echo the dump of a database >/root/dump.sql"]
    exclude: [/var/cache/apt/archives]

- name: Let the backups of a VPS expire that is gone
  mainline.vps.vps_backup:
    name: web0
    state: absent
    repository: /srv/backups
    password_file: /etc/vps/backup-password
    keep: {within: 1y}

- name: Try the newest backup out
  mainline.vps.vps_backup:
    name: web1
    state: tested
    repository: /srv/backups
    password_file: /etc/vps/backup-password

- name: Give one directory back
  mainline.vps.vps_backup:
    name: web1
    state: restored
    repository: /srv/backups
    password_file: /etc/vps/backup-password
    paths: [/root]

- name: Make a copy of it as it was
  mainline.vps.vps_backup:
    name: web1
    state: restored
    repository: /srv/backups
    password_file: /etc/vps/backup-password
    target: web1-copy
    addresses: []

- name: Read a tenth of all that is in the repository
  mainline.vps.vps_backup:
    name: web1
    state: verified
    repository: /srv/backups
    password_file: /etc/vps/backup-password
    verify_data: 10%
"""

RETURN = r"""
backup:
  description:
    - The backup that was made, restored or tested, or the newest one, where that was young enough.
    - Of one that was just made also its C(size), and what it has C(added) to the repository before compression, in bytes, and C(files), C(files_new) and
      C(files_changed), numbers of them.
  returned: but for O(state=absent) and O(state=verified), where there is one
  type: dict
  sample:
    id: 4f8e3c0db3f2c9a47a9a5c1f6f0d7f2c3d1e5b6a7988f0e1d2c3b4a5968778a9
    time: "2026-01-31T03:00:12+00:00"
    complete: true
    size: 1288490188
    added: 7340032
    files: 21034
    files_new: 12
    files_changed: 90
backups:
  description: All backups of the VPS in the repository, the oldest first. One of which C(complete) is false lacks files that could not be read.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 4f8e3c0db3f2c9a47a9a5c1f6f0d7f2c3d1e5b6a7988f0e1d2c3b4a5968778a9
      time: "2026-01-31T03:00:12+00:00"
      complete: true
changes:
  description: What was, or in check mode would be, otherwise - C(option), C(before), C(after) and C(effect) of each.
  returned: success
  type: list
  elements: dict
  sample:
    - option: backups.4f8e3c0db3f2c9a47a9a5c1f6f0d7f2c3d1e5b6a7988f0e1d2c3b4a5968778a9
      before: absent
      after: present
      effect: live
pruned:
  description: Whether what no backup needs any more was deleted from the repository.
  returned: for O(state=present) and O(state=absent)
  type: bool
  sample: false
removed:
  description: The ids of the backups that were removed.
  returned: for O(state=present) and O(state=absent)
  type: list
  elements: str
  sample: []
target:
  description: The VPS that was made, or replaced.
  returned: for O(state=restored) without O(paths)
  type: str
  sample: web1-copy
boot:
  description: How the VPS of a test has booted, as in M(mainline.vps.vps_container).
  returned: for O(state=tested)
  type: str
  sample: running
rc:
  description: The exit code of the program of O(before), or of the shell that has ended it.
  returned: where that program failed
  type: int
  sample: 1
stderr:
  description: What the program of O(before) said on its standard error, bounded as in M(mainline.vps.vps_command).
  returned: where that program failed
  type: str
  sample: "pg_dump: error: connection to server failed"
output:
  description: What restic, or tar in the VPS, said; the end of it.
  returned: where one of them failed
  type: str
  sample: "Fatal: unable to open config file"
"""

from ansible_collections.mainline.vps.plugins.module_utils.backup_subject import BACKUP
from ansible_collections.mainline.vps.plugins.module_utils.runner import run_action


def main() -> None:
    """Run the module."""
    run_action(
        BACKUP,
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent", "restored", "tested", "verified"], "default": "present"},
            "repository": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "password_file": {"type": "str", "no_log": False},
            "environment": {"type": "dict", "no_log": True},
            "ssh_arguments": {"type": "list", "elements": "str"},
            "max_age": {"type": "str"},
            "keep": {"type": "dict"},
            "prune": {"type": "bool", "default": True},
            "exclude": {"type": "list", "elements": "str"},
            "before": {"type": "list", "elements": "str"},
            "verify": {"type": "bool", "default": False},
            "verify_data": {"type": "str"},
            "backup": {"type": "str"},
            "target": {"type": "str", "aliases": ["as"]},
            "replace": {"type": "bool", "default": False},
            "addresses": {"type": "list", "elements": "raw"},
            "paths": {"type": "list", "elements": "str"},
            "timeout": {"type": "int", "default": 86400},
            "wait_timeout": {"type": "int", "default": 120},
            "stop_timeout": {"type": "int", "default": 60},
        },
    )


if __name__ == "__main__":
    main()
