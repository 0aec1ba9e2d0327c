# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has the tests of this target find the collection's own code."""

from __future__ import annotations

import sys

import vps_kit as kit

sys.path.append(str(kit.collections_folder()))
