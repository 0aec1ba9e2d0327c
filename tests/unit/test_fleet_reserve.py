# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many new VPSs get their ids and addresses one after the other, beside what others have been given since all of it was planned."""

from __future__ import annotations

import os

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core.capacity import Present
from ansible_collections.mainline.vps.plugins.module_utils.core.firewall import Publish
from ansible_collections.mainline.vps.plugins.module_utils.core.interfaces import Interface
from ansible_collections.mainline.vps.plugins.module_utils.core.limits import Limits
from ansible_collections.mainline.vps.plugins.module_utils.core.model import ID_RANGE, Vps
from ansible_collections.mainline.vps.plugins.module_utils.core.networks import Network
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import Create
from ansible_collections.mainline.vps.plugins.module_utils.core.settings import Settings
from ansible_collections.mainline.vps.plugins.module_utils.node import fleet_steps, locks, probe, vps_steps
from ansible_collections.mainline.vps.plugins.module_utils.node.parts import Parts

GIB = 1 << 30
FIRST = 65536


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A node's parts over an empty pool: ids for eight VPSs, 8 GiB of memory that are promised once, addresses 10.0.0.1 to .9."""
    for folder in ("vps", "templates"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(locks, "FOLDER", str(tmp_path / "locks"))
    monkeypatch.setattr(probe, "holders", lambda uplink, addresses: {})
    network = Network(name="routed", subnets=("10.0.0.0/24",), pools=(("few", ("10.0.0.1-10.0.0.9",)),))
    made = Parts.of(Settings(str(tmp_path), FIRST, 8 * ID_RANGE, (), others=(network,), overcommit={"memory": 100}))
    made.present = Present(memory=8 * GIB, swap=0, cpu=400, disk=100 * GIB, processes=32768)
    return made


def vps(name: str, number: int | None = None, gib: int = 1, **given) -> Vps:
    base = None if number is None else FIRST + number * ID_RANGE
    return Vps(name, "minimal", "busybox", name, limits=Limits(memory=gib * GIB), id_base=base, **given)


def reserve(parts: Parts, *new: Vps, known: tuple[Vps, ...] = ()) -> tuple[dict[str, Vps], dict[str, str]]:
    """Those that were made, and the errors of those that were not."""
    made, errors = fleet_steps.reserve(parts, {one.name: Create(one) for one in new}, {one.name: one for one in known})
    assert all(os.path.isfile(os.path.join(directory, "vps.json")) for _vps, directory in made.values())
    assert not [name for name in errors if os.path.exists(parts.vps.staging(name))]
    return {name: one for name, (one, _directory) in made.items()}, {name: str(error) for name, error in errors.items()}


def test_each_gets_ids_that_nobody_has(parts):
    made, errors = reserve(parts, vps("b"), vps("c"), vps("d"), known=(vps("a", 1),))
    assert {name: (one.id_base - FIRST) // ID_RANGE for name, one in made.items()} == {"b": 0, "c": 2, "d": 3}
    assert not errors


def test_the_one_for_which_there_are_no_ids_is_told_so(parts):
    made, errors = reserve(parts, *(vps(f"n{number}", gib=0) for number in range(9)))
    assert list(made) == [f"n{number}" for number in range(8)] and errors["n8"].startswith("name: all id ranges of the node are in use")


def test_an_address_that_somebody_has_got_since_is_refused(parts):
    known = vps("a", 0, addresses=("10.0.0.5",), leaving=("10.0.0.6",))
    made, errors = reserve(parts, vps("b", addresses=("10.0.0.5",)), vps("c", addresses=("10.0.0.6",)), vps("d", addresses=("10.0.0.7",)), known=(known,))
    assert list(made) == ["d"]
    assert errors == {name: f"addresses: {address} belongs to VPS a; give '{name}' another one." for name, address in (("b", "10.0.0.5"), ("c", "10.0.0.6"))}


def test_a_pool_gives_another_one_and_those_that_come_after_get_none_that_has_been_given(parts):
    def pooled(name: str, address: str) -> Vps:
        return vps(name, addresses=(address,), pooled=((address, "few"),))

    made, errors = reserve(parts, pooled("b", "10.0.0.1"), pooled("c", "10.0.0.2"), pooled("d", "10.0.0.3"), known=(vps("a", 0, addresses=("10.0.0.1",)),))
    assert not errors
    assert {name: one.addresses for name, one in made.items()} == {"b": ("10.0.0.2",), "c": ("10.0.0.3",), "d": ("10.0.0.4",)}
    assert all(dict(one.pooled) == {one.addresses[0]: "few"} for one in made.values())


def test_an_address_at_which_somebody_answers_is_refused(parts, monkeypatch):
    asked: list[str] = []

    def holders(uplink, addresses):
        asked.extend(addresses)
        return {address: "02:00:00:00:00:01" for address in addresses if address == "10.0.0.5"}

    monkeypatch.setattr(probe, "holders", holders)
    monkeypatch.setattr(Parts, "uplinks", lambda self, one: dict.fromkeys(one.claimed, "eth0"))
    made, errors = reserve(parts, vps("b", addresses=("10.0.0.5",)), vps("c", addresses=("10.0.0.6",)), vps("d", addresses=("10.0.0.5",)))
    assert list(made) == ["c"] and asked == ["10.0.0.5", "10.0.0.6", "10.0.0.5"]
    assert errors == {
        name: f"addresses: 10.0.0.5 belongs to somebody at eth0 who answers from 02:00:00:00:00:01; give '{name}' another one." for name in ("b", "d")
    }


def test_a_port_that_somebody_has_got_since_is_refused_and_the_same_port_of_another_address_is_not(parts):
    known = vps("a", 0, publish=(Publish("tcp", 80, 80, "192.0.2.1"),))
    ports = {"b": Publish("tcp", 80, 8080), "c": Publish("tcp", 80, 80, "192.0.2.2"), "d": Publish("udp", 80, 80)}
    made, errors = reserve(parts, *(vps(name, publish=(port,)) for name, port in ports.items()), known=(known,))
    assert list(made) == ["c", "d"] and errors["b"].startswith("publish: tcp port 80 leads to VPS a;")


def test_of_two_of_the_list_the_second_is_refused_what_the_first_has_got(parts):
    made, errors = reserve(parts, vps("a", addresses=("10.0.0.5",)), vps("b", addresses=("10.0.0.5",)))
    assert list(made) == ["a"] and errors["b"].startswith("addresses: 10.0.0.5 belongs to VPS a;")


def test_names_and_hardware_addresses_of_interfaces_are_chosen_beside_all_others(parts, monkeypatch):
    monkeypatch.setattr(vps_steps.ports, "links", dict)
    own = "02:76:00:03:00:01"  # what the third would get
    known = vps("a", 1, interfaces=(Interface(name="lan", network="x", mac=own, host_name="lan0"),))
    made, errors = reserve(parts, *(vps(name, interfaces=(Interface(name="lan", network="x"),)) for name in "bcd"), known=(known,))
    assert not errors
    macs = [one.interfaces[0].mac for one in made.values()]
    assert own not in macs and len(set(macs)) == 3


def test_what_has_been_promised_since_is_not_promised_twice_and_a_smaller_one_still_is(parts):
    made, errors = reserve(parts, vps("b", gib=3), vps("c", gib=2), vps("d", gib=1), known=(vps("a", 0, gib=4),))
    assert list(made) == ["b", "d"]
    assert errors["c"].startswith("limits.memory: with 2G for VPS 'c' this node would have promised 9G of memory, 7G of it to the others")


def test_as_long_as_nothing_of_it_is_anybodys_no_other_vps_is_looked_at(parts, monkeypatch):
    """With a thousand new ones it was the most of the time that the node's ids were locked, most of all where a policy bounds what is promised."""
    looked: list[str] = []
    original = vps_steps.refuse_taken
    monkeypatch.setattr(vps_steps, "refuse_taken", lambda one, others: (looked.extend(other.name for other in others), original(one, others)))
    monkeypatch.setattr(parts.vps, "all", lambda unread=None: pytest.fail("all records were read again"))
    new = [vps(f"n{number}", gib=1, addresses=(f"10.0.0.{number + 1}",), publish=(Publish("tcp", 8000 + number, 80),)) for number in range(6)]
    made, errors = reserve(parts, *new, known=(vps("a", 0, gib=1, addresses=("10.0.0.99",)),))
    assert (len(made), errors, looked) == (6, {}, [])
