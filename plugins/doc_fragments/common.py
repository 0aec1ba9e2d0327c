# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""What all changing modules have in common, for their documentation."""


class ModuleDocFragment:
    """Options, attributes and return values of every module that goes through the runner."""

    DOCUMENTATION = r"""
options:
  lock_timeout:
    description:
      - Seconds to wait for another run that is changing the same thing. The error then names that run.
    type: int
    default: 120
attributes:
  check_mode:
    description: Says what would change, with the same RV(ignore:changes) and diff as the run that follows, and writes nothing.
    support: full
  diff_mode:
    description: Shows every changed option before and after.
    support: full
  platform:
    description: Linux nodes with LXC 5 or newer that the role P(mainline.vps.node#role) has prepared.
    support: full
    platforms: linux
requirements:
  - root on the node (C(become))
"""
