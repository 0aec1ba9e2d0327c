# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest of busybox alone needs to try something."""

from __future__ import annotations


def give_perl(root: str) -> str:
    """A script for the node that copies its Perl, without modules, into a root file system; the shell is left there."""
    return f"""
cd {root}
cp /usr/bin/perl bin/perl
for library in $(ldd /usr/bin/perl | grep -o '/[^ ]* (0x' | cut -d ' ' -f 1); do mkdir -p .$(dirname $library); cp -L $library .$library; done
"""
