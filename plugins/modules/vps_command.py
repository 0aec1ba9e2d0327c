#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_command
short_description: Run a program in a VPS
version_added: 0.1.0
description:
  - Runs a program, or a script, in a VPS, and returns its exit code and what it printed. No network, no sshd and no Python are needed in the VPS.
  - In a running VPS the program runs beside all the others, within the VPS's limits. No lock is held, however long it takes.
  - In a stopped VPS it runs in the VPS's root file system, with its ids and its limits, and without a network and services. All that it leaves
    running ends with it. As long as it takes, the VPS stays stopped, and whoever wants to start, change or remove it waits. It needs C(/bin/sh)
    in the VPS.
  - For other modules in a VPS there is the connection plugin C(mainline.vps.vps).
options:
  name:
    description:
      - The name of an existing VPS. One that is frozen is an error.
    type: str
    required: true
  argv:
    description:
      - The program and its arguments. No shell is involved. A program without a C(/) is looked up in C(PATH).
      - Either this or O(script) is required.
    type: list
    elements: str
  script:
    description:
      - A script, up to 128 KiB, which O(executable) runs.
    type: str
  executable:
    description:
      - What runs O(script), as C(EXECUTABLE -c SCRIPT); an absolute path in the VPS. V(/bin/sh) where it is not given.
    type: str
  chdir:
    description:
      - The directory to run in, an absolute path in the VPS; V(/) where it is not given. Needs C(/bin/sh) in the VPS.
    type: str
  environment:
    description:
      - Variables of the environment, besides C(PATH), C(HOME), C(USER), C(LOGNAME), C(SHELL), C(LANG), C(LC_ALL) and C(container), which they may replace.
      - On the node they are in the process list for as long as the program runs, and Ansible shows them with C(-v). What is secret belongs in
        O(stdin), of a task with C(no_log).
    type: dict
    default: {}
  user:
    description:
      - Who runs it, a name or a number in the VPS, as its C(/etc/passwd) and C(/etc/group) say; with its groups and its home directory in C(HOME).
      - A user with more groups than one needs the C(chroot) of GNU coreutils in the VPS. A number that is no user's is its group as well.
    type: str
    default: root
  stdin:
    description:
      - What the program reads from its standard input; nothing where it is not given.
    type: str
  stdin_add_newline:
    description:
      - Whether a line break is added to O(stdin).
    type: bool
    default: true
  timeout:
    description:
      - Seconds, up to a day, after which the program is killed, and with it all that it has started; the task then fails. Without it, it may
        take as long as it does.
      - In a running VPS, what the VPS's init has been asked to run, as by C(systemctl) and C(systemd-run), is not among that.
    type: int
  creates:
    description:
      - A path in the VPS. If there is something, the program does not run. Links are followed within the VPS; wildcards are not looked up.
    type: str
  removes:
    description:
      - A path in the VPS. If there is nothing, the program does not run.
    type: str
  lock_timeout:
    description:
      - Seconds to wait for another run that is changing the VPS, or for another program in the same stopped VPS. The error then names it.
    type: int
    default: 120
attributes:
  check_mode:
    description: Runs nothing. Is changed unless O(creates) or O(removes) say that there is nothing to do.
    details:
      - In a stopped VPS whose disk is in a file (O(mainline.vps.vps_container#module:storage=image)), nobody looks for them, for that would write
        to the disk.
    support: partial
  diff_mode:
    description: Has nothing to show.
    support: none
  platform:
    description: Linux nodes with LXC 5 or newer that the role P(mainline.vps.node#role) has prepared.
    support: full
    platforms: linux
requirements:
  - root on the node (C(become))
notes:
  - The node has the script C(/etc/vps/enter) for the same by hand - C(/etc/vps/enter web1 -- /bin/sh).
seealso:
  - module: mainline.vps.vps_container
  - module: ansible.builtin.command
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: What a VPS runs on
  mainline.vps.vps_command:
    name: web1
    argv: [uname, -r]
  register: kernel
  changed_when: false

- name: Make something that is missing
  mainline.vps.vps_command:
    name: web1
    script: |
      set -e
      mkdir -p /srv/www
      echo "$GREETING" >/srv/www/index.html
    environment:
      GREETING: hello
    creates: /srv/www/index.html

- name: As somebody else, from a directory, and not for long
  mainline.vps.vps_command:
    name: web1
    argv: [wc, -l]
    user: "1000"
    chdir: /tmp
    stdin: |
      one
      two
    stdin_add_newline: false
    timeout: 30
"""

RETURN = r"""
rc:
  description: The exit code; 128 and its number for a signal. Anything but 0 fails the task.
  returned: always, where it ran
  type: int
  sample: 0
stdout:
  description: What it printed, as UTF-8, without line breaks at the end; the first MiB of it.
  returned: always, where it ran
  type: str
  sample: 6.1.0-18-amd64
stderr:
  description: What it printed to standard error, likewise.
  returned: always, where it ran
  type: str
  sample: ""
stdout_lines:
  description: RV(stdout), line by line.
  returned: always, where it ran
  type: list
  elements: str
  sample: [6.1.0-18-amd64]
stderr_lines:
  description: RV(stderr), line by line.
  returned: always, where it ran
  type: list
  elements: str
  sample: []
truncated:
  description: Which of V(stdout) and V(stderr) were longer than 1 MiB, and are not complete.
  returned: always, where it ran
  type: list
  elements: str
  sample: []
start:
  description: When it was started.
  returned: always, where it ran
  type: str
  sample: "2026-01-31 12:00:00.000000"
end:
  description: When it had ended.
  returned: always, where it ran
  type: str
  sample: "2026-01-31 12:00:00.012345"
delta:
  description: How long it took.
  returned: always, where it ran
  type: str
  sample: "0:00:00.012345"
msg:
  description: Why it did not run, or how it failed.
  returned: where it did not run, or failed
  type: str
  sample: Did not run since '/srv/www/index.html' exists in the VPS.
"""

from ansible_collections.mainline.vps.plugins.module_utils.command_subject import COMMAND
from ansible_collections.mainline.vps.plugins.module_utils.runner import run_action


def main() -> None:
    """Run the module."""
    run_action(
        COMMAND,
        {
            "name": {"type": "str", "required": True},
            "argv": {"type": "list", "elements": "str"},
            "script": {"type": "str"},
            "executable": {"type": "str"},
            "chdir": {"type": "str"},
            "environment": {"type": "dict", "default": {}},
            "user": {"type": "str", "default": "root"},
            "stdin": {"type": "str"},
            "stdin_add_newline": {"type": "bool", "default": True},
            "timeout": {"type": "int"},
            "creates": {"type": "str"},
            "removes": {"type": "str"},
        },
    )


if __name__ == "__main__":
    main()
