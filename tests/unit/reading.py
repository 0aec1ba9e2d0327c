# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One way to read what people write, for every test of a parser: a value, or one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import HealthCheck, settings

from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError

# Fast, the same every time, and nothing written beside the tests.
settings.register_profile(
    "fixed", database=None, deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fixed")

LONGEST_SENTENCE = 400


def sentence(call: Callable[[], object], option: str) -> str:
    """The error of a call that must be refused; checked to be one line of bounded length that names the option first."""
    try:
        value = call()
    except VpsError as error:
        text = str(error)
        assert text.startswith(f"{option}: "), text
        assert re.search(r"[.!)]$", text), text
        assert text.isprintable(), text
        assert len(text) < LONGEST_SENTENCE, text
        return text
    raise AssertionError(f"accepted as {value!r}")


def value_or_sentence(call: Callable[[], object], option: str) -> object | None:
    """What a call gives; None if it was refused, and then in a sentence."""
    try:
        return call()
    except VpsError:
        sentence(call, option)
        return None
