# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every test file, whether it is run alone or after others: the examples that hypothesis tries are those of reading.py's profile."""

from __future__ import annotations

from ansible_collections.mainline.vps.tests.unit import reading  # noqa: F401  # pylint: disable=unused-import
