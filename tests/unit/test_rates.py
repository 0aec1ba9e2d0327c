# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a link goes, as playbooks have it and as they should not."""

from __future__ import annotations

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import rates
from ansible_collections.mainline.vps.tests.unit.reading import sentence


@pytest.mark.parametrize(
    ("text", "rate", "shown"),
    [
        ("100M", 100_000_000, "100M"),
        ("1.5G", 1_500_000_000, "1500M"),
        ("64K", 64_000, "64K"),
        (8000, 8_000, "8K"),
        ("20mbit", 20_000_000, "20M"),
        ("10 Mbit/s", 10_000_000, "10M"),
    ],
)
def test_a_rate_is_bits_per_second_in_powers_of_a_thousand(text, rate, shown):
    parsed = rates.parse_rates({"in": text})
    assert parsed == rates.Rates(rate) and parsed.named == {"in": shown} and rates.parse_rates(parsed.named) == parsed


def test_what_is_not_said_is_not_named_and_unlimited_is_said():
    parsed = rates.parse_rates({"in": "unlimited", "out": "10M", "burst": "1M"})
    assert parsed == rates.Rates(rates.UNLIMITED, 10_000_000, 1 << 20)
    assert parsed.named == {"in": "unlimited", "out": "10M", "burst": "1M"} and rates.parse_rates(parsed.named) == parsed
    assert rates.parse_rates({}).named == {}


@pytest.mark.parametrize(
    ("own", "defaults", "held"),
    [
        ({}, [], {}),
        ({"in": "unlimited"}, [], {}),
        ({}, [{"in": "10M"}, {"in": "20M", "out": "5M", "burst": "1M"}], {"in": "10M", "out": "5M", "burst": "1M"}),
        ({"in": "50M"}, [{"in": "10M", "out": "5M"}], {"in": "50M", "out": "5M"}),
        ({"in": "unlimited"}, [{"in": "10M", "out": "5M"}], {"out": "5M"}),
        ({"in": "unlimited"}, [{"in": "10M", "burst": "1M"}], {}),
        ({}, [{"in": "unlimited"}, {"in": "10M"}], {"in": "10M"}),
    ],
)
def test_what_a_vps_does_not_say_its_networks_do(own, defaults, held):
    assert rates.parse_rates(own).over(map(rates.parse_rates, defaults)) == rates.parse_rates(held)


@pytest.mark.parametrize(
    ("section", "option"),
    [
        ("100M", "rates"),
        ({"up": "1M"}, "rates"),
        ({"in": "fast"}, "rates.in"),
        ({"out": "-1"}, "rates.out"),
        ({"out": "1T"}, "rates.out"),
        ({"out": "7"}, "rates.out"),
        ({"in": "1M", "burst": "1B"}, "rates.burst"),
        ({"in": "1M", "burst": "2G"}, "rates.burst"),
        ({"burst": "1M"}, "rates.burst"),
        ({"in": "unlimited", "burst": "1M"}, "rates.burst"),
        ({"in": "١M"}, "rates.in"),
        ({"in": "9" * 5000}, "rates.in"),
        ({"in": "1M", "burst": "unlimited"}, "rates.burst"),
    ],
)
def test_rates_may_not_be_like_this(section, option):
    sentence(lambda: rates.parse_rates(section), option)


def test_a_bucket_holds_a_large_packet_at_least():
    assert rates.bucket(1_000_000, None) == (125_000, 65_536)
    assert rates.bucket(1_000_000_000, None) == (125_000_000, 2_500_000)
    assert rates.bucket(1_000_000, 10_000) == (125_000, 10_000)


def test_what_the_kernel_holds_is_read_back():
    asked = rates.Rates(100_000_000, 20_000_000)
    assert rates.observe((12_500_000, 250_000), (2_500_000, 65_530), asked) == asked
    assert rates.observe((12_500_000, 250_000), None, asked) == rates.Rates(100_000_000)
    assert rates.observe((12_500_000, 4096), (2_500_000, 65_536), asked) == rates.Rates(100_000_000, 20_000_000, 4096)
    assert rates.observe(None, None, rates.Rates(1, 2, 3)) == rates.Rates()
    asked = rates.Rates(100_000_000, None, 1 << 20)
    assert rates.observe((12_500_000, 1_048_570), None, asked) == asked
