# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that make, change, run and delete a VPS, each in the order that a killed run can be finished from."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace

from ..core import capacity, interfaces, networks, pools
from ..core import plan as steps
from ..core.addresses import is_ipv6
from ..core.builds import Build
from ..core.errors import GuestInTheWay, NothingDone, VpsError
from ..core.firewall import refuse_published
from ..core.model import ID_RANGE, Actual, Vps
from ..core.places import PACKET_FILTER
from . import again, cgroup, configuration, controls, engine, files, filtering, guest, locks, network, probe, processes, rates, roots, traffic, tree, waiting
from . import interfaces as ports
from .holding import status
from .parts import Parts, node_nameservers
from .sweep import erase_vps, protecting

_PROTECTED = re.compile(r'"protected":\s*true')


def status_of_many(name: str) -> engine.Status:
    """Whether a VPS runs, without a program where it is in no state between two."""
    found = engine.ask(name)
    if found is None or (processes.is_ending(found.pid) if found.pid is not None else engine.is_in_hand(name) or cgroup.is_watched(name)):
        return status(name)
    return found


def create(parts: Parts, step: steps.Create) -> None:
    """Make it from its template, or as a copy of another VPS."""
    make(parts, of_build(parts, step), filler(parts, step))


def of_build(parts: Parts, step: steps.Create) -> Vps:
    """With the build of its template that there is now: nobody takes that for one that is not used."""
    manifest = parts.templates.load(step.vps.template) if step.source is None else None
    return step.vps if manifest is None else replace(step.vps, build=manifest.build)


def filler(parts: Parts, step: steps.Create) -> Callable[[Vps, str], Build | None]:
    """What makes its root file system."""

    def fill(vps: Vps, root: str) -> Build | None:
        return roots.fill(parts, vps, root) if step.source is None else roots.copy(parts, vps, step.source, root)

    return fill


def make(parts: Parts, vps: Vps, fill: Callable[[Vps, str], Build | None]) -> Vps:
    """Make a VPS in a staging directory; one rename makes it real. Gives it as it is then.

    `fill(vps, root)` makes its root file system, by its driver, and gives the build of a template that it was made from, if it was.
    """
    vps, directory = _reserve(parts, vps)
    vps = build(parts, vps, directory, fill)
    with protecting(parts, parts.keepable(vps)), filtering.following(parts, bridged=vps.interfaces != ()):
        parts.vps.commit(vps.name)
        parts.storage.sync()  # before anybody works with it: a power cut must not make remains of it again
    return vps


def build(parts: Parts, vps: Vps, directory: str, fill: Callable[[Vps, str], Build | None]) -> Vps:
    """Fill the staging directory of a VPS that has its ids and addresses; what cannot be made leaves nothing. Gives it as it is then."""
    root = os.path.join(directory, "rootfs")
    try:
        kept, driver = parts.keepable(vps), parts.driver(vps)
        made_from = fill(kept, root)
        if made_from not in (None, vps.build):  # built anew meanwhile
            vps, kept = replace(vps, build=made_from), replace(kept, build=made_from)
            parts.vps.store(vps, directory)
        driver.limit(root, kept.limits)
        configuration.write(kept, parts.vps.path(vps.name), parts.startup(kept, made_in=root), parts.networks, into=directory)
        # Before it is real: from the rename on, a boot of the node starts it by this link.
        engine.register(vps.name, parts.vps.path(vps.name))
    except BaseException:
        erase_vps(parts, vps.name, directory)
        raise
    return vps


def _reserve(parts: Parts, vps: Vps) -> tuple[Vps, str]:
    """Take an id range and the addresses, in the record of a VPS in the making: from here on nobody else gets them."""
    with locks.hold("node", "allocation", timeout=parts.lock_timeout):
        others = parts.reserved()
        return claim(parts, vps, others, free_ranges(parts, others), lambda given: refuse_promised(parts, None, given))


def free_ranges(parts: Parts, vpss: Iterable[Vps]) -> Iterator[int]:
    """The first ids of the node's ranges that none of these VPSs has."""
    used, settings = {vps.id_base for vps in vpss}, parts.settings
    return (base for base in range(settings.id_start, settings.id_start + settings.id_count, ID_RANGE) if base not in used)


def claim(parts: Parts, vps: Vps, others: list[Vps], free: Iterator[int], refuse: Callable[[Vps], None]) -> tuple[Vps, str]:
    """Give a new VPS the next id range and its addresses beside those of others, and its staging directory with that in its record.

    `refuse(vps)` raises VpsError where what it is promised is too much. Under the lock of those who give away.
    """
    base = next(free, None)
    if base is None:
        raise VpsError("name: all id ranges of the node are in use; give the role mainline.vps.node a larger node_id_count.")
    vps = allocate(parts, replace(vps, id_base=base), others)
    refuse_taken(vps, others)
    refuse_answered(parts, vps, vps.all_addresses)
    refuse(vps)
    directory = parts.vps.begin(vps.name)
    parts.vps.store(vps, directory)
    return vps, directory


def refuse_taken(vps: Vps, others: list[Vps]) -> None:
    """Addresses and ports may have been given away since they were compared."""
    refuse_published(vps.publish, {other.name: other.publish for other in others if other.name != vps.name}, vps=vps.name)
    for other in others:
        for address in set(vps.all_addresses) & other.claimed:
            if other.name != vps.name:
                option = "addresses" if address in vps.addresses else "interfaces"
                raise VpsError(f"{option}: {address} belongs to VPS {other.name}; give '{vps.name}' another one.")
    interfaces.check(vps.interfaces, vps.name, others, own={one.host_name for one in vps.interfaces})


def allocate(parts: Parts, vps: Vps, others: list[Vps]) -> Vps:
    """What a pool was to give may have been given away since it was compared: then it gives another one. What nobody chose is chosen."""
    taken = {address for other in others if other.name != vps.name for address in other.claimed}
    pooled, found = dict(vps.pooled), list(vps.all_addresses)
    for number, address in enumerate(found):
        if address in taken and address in pooled:
            wish = pools.Wanted(pooled.pop(address), 6 if is_ipv6(address) else 4)
            out = {*network.own_addresses(), *networks.reserved(parts.networks)}
            found[number] = pools.free(wish, networks.pools_of(parts.networks), {*taken, *found, *out})
            pooled[found[number]] = wish.pool
    given = dict(zip(vps.all_addresses, found))
    links = tuple(one._replace(addresses=tuple(given[address] for address in one.addresses)) for one in vps.interfaces)
    vps = replace(
        vps, addresses=tuple(given[address] for address in vps.addresses), interfaces=links, pooled=tuple(sorted(pooled.items()))
    )
    return replace(vps, interfaces=interfaces.choose(vps, others, ports.links())) if links else vps


def refuse_answered(parts: Parts, vps: Vps, new: Collection[str]) -> None:
    """Somebody may have an address who is no VPS of this node."""
    uplinks = {address: uplink for address, uplink in parts.uplinks(vps).items() if address in new}
    bridges = networks.bridges_of(parts.networks)
    uplinks.update({address: bridges[one.network] for one in vps.interfaces for address in one.addresses if address in new and one.vlan is None})
    for uplink in sorted(set(uplinks.values())):
        for address, hardware in probe.holders(uplink, [one for one in uplinks if uplinks[one] == uplink]).items():
            option = "addresses" if address in vps.addresses else "interfaces"
            raise VpsError(f"{option}: {address} belongs to somebody at {uplink} who answers from {hardware}; give '{vps.name}' another one.")


def refuse_promised(parts: Parts, before: Vps | None, vps: Vps) -> None:
    """More may have been promised to others since it was compared, too."""
    limits = None if before is None else before.limits
    if capacity.raised(parts.settings.overcommit, limits, vps.limits):
        capacity.check(parts.room(parts.others(vps.name)), limits, vps.limits, vps=vps.name)


def update(parts: Parts, step: steps.Update) -> None:
    """First the record, with what is still to be done; then the kernel, the guest and the configuration; then the rest.

    A run that is killed on the way leaves a record that says what it had not finished. One that is refused puts the old
    record back: what was asked and cannot be must not be tried again at the next start.
    """
    vps, before = step.vps, parts.vps.known(step.vps.name)
    if vps.build is None and before.build is not None:  # a plan that makes its disk anew does not know of what it will be
        vps = replace(vps, build=before.build)
        step = replace(step, vps=vps)
    filters = bool(step.options & filtering.OPTIONS)
    following = filtering.following(parts, when=filters, bridged=vps.interfaces != ())
    with protecting(parts, parts.keepable(vps), parts.keepable(before)), following, ExitStack() as allocation:
        allocation.enter_context(locks.hold("node", "allocation", timeout=parts.lock_timeout, again=True))
        if step.takes:
            others = parts.reserved()
            vps = allocate(parts, vps, others)
            step = replace(step, vps=vps)
            refuse_taken(vps, others)
            refuse_answered(parts, vps, set(vps.all_addresses) - before.claimed)
        if "limits" in step.options:
            refuse_promised(parts, before, vps)
        leaving = tuple(sorted(before.claimed - set(vps.all_addresses)))
        mine = step.options & set(guest.IDENTITY)
        # While the node writes to its disk the VPS may have more of it: whoever is killed there leaves that to be set again.
        unfinished = step.options - configuration.STALE - {PACKET_FILTER} | ({"limits"} if mine else set())
        parts.vps.store(replace(vps, unfinished=tuple(sorted(unfinished)), leaving=leaving))
        if not _gives_back(parts, before, vps):
            allocation.close()
        disk = parts.disk(vps)
        _bring_into_force(parts, step, before, leaving)
        if mine or before.unfinished or parts.disk(vps) != disk:
            # The guest's files, and its disk's limit, before the record that says that they are so; all that others have written
            # goes to the disk with it, which may take a while.
            if parts.together is not None:
                parts.together.records.append(replace(vps, unfinished=(), leaving=()))
                return
            parts.storage.sync()
        parts.vps.store(replace(vps, unfinished=(), leaving=()))


def _gives_back(parts: Parts, before: Vps, after: Vps) -> bool:
    """Whether somebody else may be promised something of it, which is nobody's before the kernel has taken it.

    But for the disk: an image may take minutes to become smaller, and everybody else would wait for that.
    """
    return bool(set(capacity.raised(parts.settings.overcommit, after.limits, before.limits)) - {"disk"})


def _bring_into_force(parts: Parts, step: steps.Update, before: Vps, leaving: tuple[str, ...]) -> None:
    """Do it, and record what has become of it where it cannot be done."""
    vps, unfinished = step.vps, {*before.unfinished, *(step.options - configuration.STALE - {PACKET_FILTER})}
    try:
        _apply(parts, parts.keepable(replace(vps, leaving=leaving)), step.options, force=step.force)
    except NothingDone:
        parts.vps.store(before)
        raise
    except GuestInTheWay:
        # Tried again when a task names it again, and not before: a guest must not keep its node from stopping or limiting it.
        parts.vps.store(replace(before, unfinished=tuple(sorted(unfinished - set(guest.IDENTITY) - {"interfaces"}))))
        raise
    except Exception:
        # Addresses that it may have got already are its own until the next run has taken them back.
        back = tuple(sorted(vps.claimed - set(before.all_addresses)))
        parts.vps.store(replace(before, unfinished=tuple(sorted(unfinished)), leaving=back))
        raise


def _apply(parts: Parts, vps: Vps, options: frozenset[str], *, force: bool) -> None:
    found = status(vps.name, before=parts.found)
    root, driver = parts.root(vps.name), parts.driver(vps)
    if "limits" in options:  # first of all: where memory is refused, nothing else has been done
        if found.pid is not None:
            _limit_running(parts, vps, found.pid, force=force)
        driver.limit(root, vps.limits)  # before the guest's files: a disk that grows must have grown
    mine = options & frozenset(guest.IDENTITY)
    if mine:
        with driver.opened(root), tree.Tree(root) as inside:
            guest.apply(inside, vps, mine, node_nameservers())
    stays = replace(vps, leaving=())
    configuration.write(stays, parts.vps.path(vps.name), parts.startup(vps), parts.networks)
    if options & filtering.OPTIONS and parts.together is None:  # before it has an address that the rules do not know
        filtering.refresh(parts, bridged=vps.interfaces != ())
    if found.pid is not None:
        if "interfaces" in options:
            _let_go(parts, vps, found.pid)
        if "addresses" in options:
            network.set_addresses(vps, found.pid)
            network.answer(parts.uplinks(vps), parts.uplinks(replace(vps, leaving=())))
        if "interfaces" in options or ("addresses" in options and vps.interfaces):  # which may be its way out
            ports.bring(vps, found.pid, parts.networks)
        if "rates" in options or (options & {"addresses", "interfaces"} and rates.read(vps) != vps.rates):  # new links, and networks with others
            rates.write(vps)
        if "hostname" in options:
            guest.set_hostname(found.pid, vps.hostname)
    elif "rates" in options:
        rates.forget(vps)  # what its last start has left: the next one would find a rate that it is not to have


def _let_go(parts: Parts, vps: Vps, pid: int) -> None:
    """Of the links that it is not to have, or to have otherwise."""
    gone = ports.taken_away(vps, pid, parts.networks)
    if gone:
        traffic.keep(parts.vps.path(vps.name), gone)
        ports.remove(gone)


def _limit_running(parts: Parts, vps: Vps, pid: int, *, force: bool) -> None:
    """Its cgroups, then its processes."""
    folders, raises = cgroup.find(vps.name, pid), parts.abilities.raises
    spare = raises and (force or processes.is_spared(pid))
    with processes.sparing_init(pid, lambda: cgroup.members(folders)) if spare else nullcontext():
        controls.write(vps, folders, parts.abilities_of(vps).io_device, force=force)
    try:
        processes.write(vps, pid, lambda: cgroup.members(folders), raises=raises)
    except (FileNotFoundError, ProcessLookupError):  # less memory may have ended all that it was about
        raise VpsError(f"state: VPS '{vps.name}' ended while its limits were changed; run this again.") from None


def start(parts: Parts, step: steps.Start) -> None:
    """Start it, in cgroups of its own name."""
    again.start(parts, step.name, parts.lock)


def stop(parts: Parts, step: steps.Stop) -> None:
    """Stop it, and wait until LXC is through with it."""
    engine.stop(step.name, timeout=step.timeout, keep_open=parts.lock, thaw=lambda: cgroup.thaw(step.name))
    status(step.name)


def freeze(_parts: Parts, step: steps.Freeze) -> None:
    """Take the CPU from it."""
    engine.freeze(step.name)


def thaw(_parts: Parts, step: steps.Thaw) -> None:
    """Give it back."""
    engine.thaw(step.name)


def read_damaged(parts: Parts, name: str) -> Actual | None:
    """A VPS whose record cannot be read, for who removes it; None where it can, or there is none. Raises VpsError where it may be somebody else's.

    Its place and its name are known, and so is whether it runs. It is protected for as long as anything in the record says so.
    """
    try:
        parts.vps.load(name)
    except VpsError as error:
        directory = parts.vps.path(name)
        strange = engine.foreign(name, directory)
        if strange or os.path.islink(directory):
            raise VpsError(f"name: {strange}" if strange else str(error)) from None
        if not engine.linked(name, directory) and engine.has_monitor(name):
            raise  # nobody knows what it is that runs under this name
        try:
            text = files.read(os.path.join(directory, parts.vps.record)) or ""
        except OSError:
            text = ""
        if _PROTECTED.search(text):
            place = os.path.join(directory, parts.vps.record)
            raise VpsError(
                f"protected: VPS '{name}' is, as far as its damaged record can be read; put {place} back, or take \"protected\": true out of it first."
            ) from None
        found = status(name)
        return Actual(run=found.run, pid=found.pid, damaged=str(error))
    return None


def destroy(parts: Parts, step: steps.Destroy) -> None:
    """One rename, and it is gone; then its remains."""
    vps = None if step.unread else parts.keepable(parts.vps.known(step.name))
    again.forget(parts, step.name)
    with protecting(parts, vps), filtering.following(parts):
        remains = parts.vps.discard(step.name)
        parts.sync()  # what is told to be gone does not start at the next boot
    if vps is not None:
        rates.forget(vps)
    erase_vps(parts, step.name, remains)


APPLY: Mapping[type, Callable] = {
    steps.Create: create,
    steps.Update: update,
    steps.Start: start,
    steps.Stop: stop,
    steps.Freeze: freeze,
    steps.Thaw: thaw,
    steps.Wait: waiting.wait,
    steps.Destroy: destroy,
}
