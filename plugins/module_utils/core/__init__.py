# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides, and touches nothing. It is imported before all else: from here on the rest is loaded faster."""

from ..loading import install

install(__name__.rpartition(".")[0])
