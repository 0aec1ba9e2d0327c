#!/usr/bin/python
# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vps_template
short_description: Build and remove the templates that VPSs are made from
version_added: 0.1.0
description:
  - A template is a read-only root file system in the node's pool, with a manifest of what it was made from. A VPS is a
    copy-on-write clone of it.
  - The same inputs do nothing the second time. Other inputs build the template anew beside the old one, which it then
    replaces in one step; VPSs keep what they were made of.
  - A template has no machine-id and no SSH host keys. Each VPS gets its own.
options:
  name:
    description:
      - The name of the template. Up to 63 characters of C(a-z), C(0-9), C(-) and C(.).
    type: str
    required: true
  state:
    description:
      - V(absent) removes the template; while a VPS that was made from it exists, that is an error.
    type: str
    choices: [present, absent]
    default: present
  source:
    description:
      - V(minimal) is a static busybox as init, built from the node's own in a moment, without a network.
      - V(debian) is a Debian with systemd, built by mmdebstrap; takes about half a minute.
      - Needed with O(state=present).
    type: str
    choices: [minimal, debian]
  suite:
    description:
      - With O(source=debian), the release. Bookworm where it is not given.
    type: str
  packages:
    description:
      - With O(source=debian), packages besides systemd and the basic tools of a network.
    type: list
    elements: str
  mirror:
    description:
      - With O(source=debian), the mirror to build from. The mirrors of the node's own apt where it is not given.
    type: str
extends_documentation_fragment:
  - mainline.vps.common
seealso:
  - module: mainline.vps.vps_container
author:
  - mainline.vps contributors (@mainline-vps)
"""

EXAMPLES = r"""
- name: A template for first steps, without a network
  mainline.vps.vps_template:
    name: minimal
    source: minimal

- name: Debian with a web server and SSH
  mainline.vps.vps_template:
    name: debian
    source: debian
    suite: bookworm
    packages: [nginx-light, openssh-server]

- name: Remove it
  mainline.vps.vps_template:
    name: debian
    state: absent
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be; empty where nothing is.
  returned: success
  type: list
  elements: dict
  contains:
    option:
      description: The option.
      type: str
      sample: suite
    before:
      description: What was there.
      type: raw
      sample: bookworm
    after:
      description: What is there now.
      type: raw
      sample: trixie
    effect:
      description: When it is felt - C(live), for what is made of it from now on.
      type: str
      sample: live
restart_required:
  description: Never, for a template.
  returned: success
  type: bool
  sample: false
template:
  description: The template after the task; null where there is none. In check mode, as it is now.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: debian
    source:
      description: What it was made by.
      type: str
      sample: debian
    suite:
      description: The release; null where it has none.
      type: str
      sample: bookworm
    packages:
      description: The packages that were asked for.
      type: list
      elements: str
      sample: [nginx-light, openssh-server]
    mirror:
      description: The mirror that was asked for; null where it was the node's own.
      type: str
      sample: http://deb.debian.org/debian
    init:
      description: Which init it boots - C(systemd), C(busybox) or C(other).
      type: str
      sample: systemd
    checksum:
      description: SHA-256 of its inputs.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    size:
      description: Bytes on disk when it was made.
      type: int
      sample: 223346688
    created:
      description: When it was made, UTC, ISO 8601.
      type: str
      sample: "2026-11-23T22:10:27+00:00"
    used_by:
      description: The VPSs of this node that were made from it.
      type: list
      elements: str
      sample: [web1, web2]
"""

from ansible_collections.mainline.vps.plugins.module_utils.runner import run
from ansible_collections.mainline.vps.plugins.module_utils.template_subject import TEMPLATE


def main() -> None:
    """Run the module."""
    run(
        TEMPLATE,
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "source": {"type": "str", "choices": ["minimal", "debian"]},
            "suite": {"type": "str"},
            "packages": {"type": "list", "elements": "str"},
            "mirror": {"type": "str"},
        },
    )


if __name__ == "__main__":
    main()
