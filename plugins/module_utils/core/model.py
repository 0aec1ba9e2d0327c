# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VPS, a template and a node are: frozen data that the rest of the collection passes around.

Pure. Nothing here reads or writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from .beancounters import BTRFS, STORAGES
from .builds import Build, read_build
from .capacity import Room
from .disk import Disk
from .errors import VpsError, shown
from .firewall import Firewall, Publish, parse_firewall, parse_publish
from .fidelity import Abilities, Held
from .interfaces import Bridge, Interface, read_interfaces
from .limits import Limits
from .live import Live
from .locations import lasting
from .parse import parse_labels
from .rates import Rates, parse_rates
from .units import format_size

STOPPED, RUNNING, FROZEN = "stopped", "running", "frozen"

# The kinds of init that the collection knows how to stop and how to ask whether it has booted.
SYSTEMD, BUSYBOX, OTHER_INIT = "systemd", "busybox", "other"
BOOTED_MARK = "/run/booted"  # made in a guest by the minimal template's init when it is through

ID_RANGE = 65536  # the uids and gids of one VPS
# What is written into the guest's own files, and is the guest's from then on.
IDENTITY = ("hostname", "nameservers", "search_domains", "root_password_hash", "authorized_keys")


@dataclass(frozen=True)
class Rescue:
    """What a VPS boots in place of its own disk: a copy of a template, in which its own disk is mounted at `place`."""

    template: str
    init: str
    place: str


@dataclass(frozen=True)
class Kept:
    """A root file system that a reinstall has put aside: the template that it came from; `since` is UTC in ISO 8601."""

    template: str
    init: str
    since: str
    build: Build | None = None

    @classmethod
    def from_record(cls, record: Mapping) -> Kept:
        """From plain data; raises one of errors.NOT_OURS for what is none."""
        kept = cls(**{**record, "build": read_build(record.get("build"))})
        datetime.fromisoformat(kept.since)
        return kept


@dataclass(frozen=True)
class Vps:
    """Everything about a VPS that outlives its restart; its record on disk is this and nothing else.

    `boot_order` is its place among those that start with the node, the lowest first.
    `id_base` is the first uid and gid of its own range of 65536 on the node; it also numbers its host interface.
    `storage` is the driver that its disk is on, chosen when it is made.
    `plan` is the one that its limits were made from, under those that it was given besides.
    `unfinished` names options that were being applied when the record was last written; `leaving` are addresses that it
    gives up with that, and that nobody else may have before.
    `interfaces` are its links in bridged networks, besides the routed one.
    `pooled` are those addresses that a pool has given, with its name. `isolated`: its neighbours get to it by a rule of its `firewall` only.
    `protected`: neither it nor its root file system is deleted. `rescue` is what it boots as long as it is in rescue.
    `build` is that of its template which its root file system was made from; None where an older release has made it.
    """

    name: str
    template: str
    init: str
    hostname: str
    addresses: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    root_password_hash: str | None = field(default=None, repr=False)
    authorized_keys: tuple[str, ...] = ()
    onboot: bool = False
    boot_order: int = 0
    description: str = ""
    privileged: bool = False
    limits: Limits = Limits()
    plan: str | None = None
    id_base: int | None = None
    unfinished: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    storage: str = BTRFS
    search_domains: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    isolated: bool = True
    firewall: Firewall = Firewall()
    publish: tuple[Publish, ...] = ()
    rates: Rates = Rates()
    pooled: tuple[tuple[str, str], ...] = ()
    interfaces: tuple[Interface, ...] = ()
    protected: bool = False
    rescue: Rescue | None = None
    build: Build | None = None

    @property
    def boots(self) -> str:
        """The kind of the init that it is started with."""
        return self.init if self.rescue is None else self.rescue.init

    @property
    def all_addresses(self) -> tuple[str, ...]:
        """Those that are routed to it, and then those of its interfaces."""
        return (*self.addresses, *(address for one in self.interfaces for address in one.addresses))

    @property
    def claimed(self) -> frozenset[str]:
        """The addresses that nobody else can have."""
        return frozenset(self.all_addresses) | frozenset(self.leaving)

    def to_record(self) -> dict:
        """As plain data, for JSON."""
        sections = {name: show(getattr(self, name)) for name, show in SECTIONS.items()}
        return {**{name: value for name, value in asdict(self).items() if name not in sections}, **sections}

    @classmethod
    def from_record(cls, record: Mapping) -> Vps:
        """From what `to_record` gave; raises one of errors.NOT_OURS for anything else."""
        data = dict(record)
        data["limits"] = Limits.from_record(data["limits"])
        for name, read in _SECTIONS.items():
            if name in data:
                try:
                    data[name] = read(data[name])
                except VpsError as error:
                    raise ValueError(str(error)) from None
        for name in _LISTS:
            data[name] = _texts(name, data.get(name, ()))
        for name, value in data.items():
            if name in _PLAIN and type(value) not in _PLAIN[name]:
                raise TypeError(f"{name}: {shown(value)} is none")
        if data.get("storage", BTRFS) not in STORAGES:
            raise ValueError(f"storage: there is no {shown(data['storage'])}")
        return cls(**data)


def _pooled(record: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What pools have given, as it was recorded."""
    return tuple(sorted((address, pool) for address, pool in record.items()))


def _rescue(record: Mapping[str, str] | None) -> Rescue | None:
    """What a VPS boots in rescue, as it was recorded."""
    if record is None:
        return None
    rescue = Rescue(**record)
    if not all(isinstance(text, str) for text in (rescue.template, rescue.init, rescue.place)):
        raise TypeError(f"rescue: {shown(record)} is none")
    return rescue


# How the sections of a VPS are written as plain data, for its record and for people.
SECTIONS: Mapping[str, Callable[[Any], Any]] = {
    "limits": lambda limits: limits.named,
    "labels": dict,
    "pooled": dict,
    "firewall": lambda firewall: firewall.named,
    "publish": lambda published: [one.named for one in published],
    "interfaces": lambda interfaces: [one.named for one in interfaces],
    "rates": lambda rates: rates.named,
}
_SECTIONS: Mapping[str, Callable[[Any], Any]] = {
    "labels": parse_labels, "pooled": _pooled, "firewall": parse_firewall, "publish": parse_publish, "rates": parse_rates,
    "interfaces": read_interfaces, "rescue": _rescue, "build": read_build,
}
# What the fields of a VPS's record are. Each record is read by every task, and anybody's mistake in one must not stand in the way of the others.
_NONE = type(None)
_LISTS = ("addresses", "nameservers", "search_domains", "authorized_keys", "unfinished", "leaving")
_PLAIN: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "template", "init", "hostname", "description", "storage"), (str,)),
    **dict.fromkeys(("root_password_hash", "plan"), (str, _NONE)),
    **dict.fromkeys(("onboot", "privileged", "isolated", "protected"), (bool,)),
    "boot_order": (int,),
    "id_base": (int, _NONE),
}


def _texts(name: str, values: object) -> tuple[str, ...]:
    """A list of texts of a record; raises TypeError for something else."""
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name}: {shown(values)} is no list of texts")
    return tuple(values)


@dataclass(frozen=True)
class NodeFacts:
    """What the node says that decides whether a wish can be granted.

    `taken` maps an address to who has it: another VPS or the node. `networks` are the subnets it routes to VPSs, `bridges` those of its bridged
    networks, by their names, for who asks. `linked` are the other VPSs that have interfaces, or any for who asks for some; `hardware`
    are the addresses of the node's links, likewise.
    `templates` maps a template's name to the kind of its init, `images` to the bytes that an image of it has at least. `plans` are the
    named sets of limits of this node; `room` is what it may promise besides what the other VPSs have. `published` are the ports of the node that
    lead to other VPSs, by their names; `listening` those at which the node itself does, as in C(tcp/22). `neighbours` are all other VPSs.
    `source` is the VPS that a new one is to be copied from, for who asks, and `source_size` the bytes that a copy of its disk has at least.
    `storages` are those of its pool, the first of them that of who does not ask for another. `pool_warning` is the percent of the pool below
    which what is free there is to be told.
    """

    templates: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, int] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    abilities: Abilities = Abilities()
    plans: Mapping[str, Limits] = field(default_factory=dict)
    room: Room = Room()
    free_bytes: int = 1 << 62
    pool_warning: int = 0
    storages: tuple[str, ...] = STORAGES
    free_id_ranges: int = 1
    foreign: str | None = None  # why the asked name is not ours to touch
    pools: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    published: Mapping[str, tuple[Publish, ...]] = field(default_factory=dict)
    listening: frozenset[str] = frozenset()
    neighbours: tuple[str, ...] = ()
    bridges: Mapping[str, Bridge] = field(default_factory=dict)
    linked: tuple[Vps, ...] = ()
    hardware: frozenset[str] = frozenset()
    damaged: str | None = None  # why it is unknown which addresses and ids are taken
    source: Vps | None = None
    source_size: int = 0


@dataclass(frozen=True)
class Actual:
    """A VPS as it is: its record, corrected by what the kernel holds; None where there is none.

    `pid` is its init's on the node. `recorded` is the record itself, where that may say something else: what an unrelated change must leave as it is.
    `stale` names options whose files or kernel settings do not say what the record says; they are applied again.
    `at_restart` names options that the running VPS will only take at its next start.
    `held` is what the kernel holds for each limit, and where; `disk` what its storage does. `live` is all that was read of a running one.
    `previous` is the root file system that it had before its last reinstall, where that is kept, and `previous_becomes`
    the name of the snapshot that it becomes when another one is kept in its place.
    `damaged` says why the record of one that is to be removed cannot be read: then all that is known besides is whether it runs.
    """

    vps: Vps | None = None
    run: str = STOPPED
    pid: int | None = None
    stale: frozenset[str] = frozenset()
    at_restart: frozenset[str] = frozenset()
    node: NodeFacts = NodeFacts()
    recorded: Vps | None = None
    held: Mapping[str, Held] = field(default_factory=dict)
    disk: Disk = Disk()
    live: Live = Live()
    previous: Kept | None = None
    previous_becomes: str | None = None
    damaged: str | None = None


ALLOW, REFUSE, SKIP = "allow", "refuse", "skip"
MOST_SIZE, MOST_ENTRIES = 16 << 30, 1_000_000  # bytes and files of what is imported, where the playbook does not say


@dataclass(frozen=True)
class Repository:
    """A package repository besides the distribution's own. `key` is what it is signed with, in ASCII armour."""

    url: str
    suite: str
    components: tuple[str, ...]
    key: str


@dataclass(frozen=True)
class Template:
    """What a template is made from: the same inputs make the same template. `mirror` None: the node's own sources.

    `path`, `keyring` and `ca_path` are files of the node's; `image` is a tag, or a digest, in an OCI layout; `vps` is one of this node.
    `special_files` and `setid_files` say what becomes of such files of what is imported, `max_size` (bytes) and `max_entries` how much it may be.
    """

    name: str
    source: str
    suite: str | None = None
    packages: tuple[str, ...] = ()
    mirror: str | None = None
    components: tuple[str, ...] = ()
    keyring: str | None = None
    repositories: tuple[Repository, ...] = ()
    customise: tuple[tuple[str, ...], ...] = ()
    path: str | None = None
    url: str | None = None
    sha256: str | None = None
    signature: str | None = None
    ca_path: str | None = None
    image: str | None = None
    distribution: str | None = None
    release: str | None = None
    architecture: str | None = None
    variant: str | None = None
    vps: str | None = None
    special_files: str = REFUSE
    setid_files: str = ALLOW
    max_size: int = MOST_SIZE
    max_entries: int = MOST_ENTRIES

    @property
    def lasting(self) -> Template:
        """As it is kept, told and compared: without the queries of its addresses."""
        kept: dict[str, Any] = {name: lasting(value) for name, value in (("url", self.url), ("signature", self.signature)) if value is not None}
        return replace(self, **kept)

    def inputs(self) -> dict:
        """What its content depends on, as plain data; of what an older release did not know, nothing where it is not asked."""
        data = asdict(self.lasting)
        for name in ("name", *_NO_INPUTS, *(("path", "url", "signature", "keyring") if self.sha256 and self.source == "tarball" else ())):
            del data[name]
        return {name: value for name, value in data.items() if name in _ALWAYS or value != Template.__dataclass_fields__[name].default}

    @property
    def named(self) -> dict[str, Any]:
        """The options that a task gives to have it made, and nothing that it may leave out."""
        found = {name: plain(value) for name, value in asdict(self.lasting).items() if value != Template.__dataclass_fields__[name].default}
        del found["name"]
        return {name: format_size(value) if name == "max_size" else value for name, value in found.items()}

    @classmethod
    def from_record(cls, record: Mapping) -> Template:
        """From plain data; raises one of errors.NOT_OURS for what is none."""
        data = dict(record)
        for name in ("packages", "components"):
            data[name] = _texts(name, data.get(name, ()))
        data["customise"] = tuple(_texts("customise", step) for step in data.get("customise", ()))
        data["repositories"] = tuple(
            Repository(**{**one, "components": _texts("components", one["components"])}) for one in data.get("repositories", ())
        )
        template = cls(**data)
        for name, value in data.items():
            wanted = (int,) if name in ("max_size", "max_entries") else (str,) if name in _TEMPLATE_TEXTS else (str, _NONE)
            if not isinstance(value, tuple) and type(value) not in wanted:
                raise TypeError(f"{name}: {shown(value)} is none")
        for one in template.repositories:
            _texts("repositories", (one.url, one.suite, one.key))
        return template


def plain(value: Any) -> Any:
    """Lists in place of tuples, all the way down."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


# Who vouches for a content, and how much of it is borne, is not what it is; what came of a checksum is the same wherever it was found.
_NO_INPUTS = ("ca_path", "max_size", "max_entries")
_ALWAYS = ("source", "suite", "packages", "mirror")
_TEMPLATE_TEXTS = ("name", "source", "special_files", "setid_files")


@dataclass(frozen=True)
class Manifest:
    """A finished template: what it was made from, when, and what came out.

    `checksum` is the SHA-256 of its inputs as JSON, `size` its bytes, `created` UTC in ISO 8601. `version` counts the builds of its name;
    `content` is the SHA-256 of the listing beside it (core/content.py), None where an older release has made it. `imported`: what it was made
    from is the word of whoever has exported it.
    """

    template: Template
    init: str
    checksum: str
    size: int
    created: str
    version: int = 1
    content: str | None = None
    imported: bool = False

    @property
    def build(self) -> Build:
        """Which of the builds of its name it is."""
        return Build(self.version, self.created, self.content)

    @classmethod
    def from_record(cls, record: Mapping) -> Manifest:
        """From plain data; raises one of errors.NOT_OURS for what is none."""
        manifest = cls(**{**record, "template": Template.from_record(record["template"])})
        for name in ("init", "checksum", "created"):
            if not isinstance(getattr(manifest, name), str):
                raise TypeError(f"{name}: {shown(getattr(manifest, name))} is none")
        for name, value in (("size", manifest.size), ("version", manifest.version)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name}: {shown(value)} is none")
        if not isinstance(manifest.content, (str, _NONE)):
            raise TypeError(f"content: {shown(manifest.content)} is none")
        if not isinstance(manifest.imported, bool):
            raise TypeError(f"imported: {shown(manifest.imported)} is none")
        return manifest
