# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a template can be made from: which options belong to which source, and what they may say.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import parse, units
from .errors import VpsError, shown
from .locations import lasting
from .model import ALLOW, MOST_ENTRIES, REFUSE, SKIP, Repository, Template

LXC_SERVER = "https://images.linuxcontainers.org"
# What the source's packages are in where the playbook does not say; Ubuntu keeps half of what a server needs in universe.
COMPONENTS = {"debian": ("main",), "ubuntu": ("main", "universe")}
SUITES = {"debian": "bookworm", "ubuntu": "noble"}

_DISTRIBUTION = ("suite", "packages", "mirror", "components", "keyring", "repositories", "customise")
_IMPORTED = ("special_files", "setid_files", "max_size", "max_entries")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "minimal": (),
    "debian": _DISTRIBUTION,
    "ubuntu": _DISTRIBUTION,
    "tarball": ("path", "url", "sha256", "signature", "keyring", "ca_path", *_IMPORTED),
    "directory": ("path", *_IMPORTED),
    "lxc": ("url", "distribution", "release", "architecture", "variant", "sha256", "ca_path", *_IMPORTED),
    "oci": ("path", "image", "architecture", "sha256", *_IMPORTED),
    "vps": ("vps",),
}

_SUITE = re.compile(r"[a-z][a-z0-9-]{0,40}")
_REPOSITORY_SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,80}/?|\./")
_COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,60}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?")
_MIRROR = re.compile(r"(?:https?|file|copy)://?[^\s\[\]'\"]+")
_URL = re.compile(r"https?://[^\s/?#@\\\"']+(?:/[^\s\"'\\]*)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,60}")
_IMAGE = re.compile(r"sha256:[0-9a-f]{64}|[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,254}")
_KEY = re.compile(r"-----BEGIN PGP PUBLIC KEY BLOCK-----\n[\x20-\x7e\n]+\n-----END PGP PUBLIC KEY BLOCK-----")


def refuse_options(params: Mapping[str, Any], known: tuple[str, ...] = ()) -> None:
    """Raise VpsError for an option that belongs to a source, where a task names none."""
    for option in dict.fromkeys(option for options in OPTIONS.values() for option in options):
        if option not in known and params.get(option) not in (None, "", []):
            raise VpsError(f"{option}: it goes with a source, and this task names none; leave it out, or give the source too.")


def parse_bounds(name: str, state: str, params: Mapping[str, Any]) -> tuple[Template, str | None]:
    """The file that a template is kept in, as that of a template, with how much of it is borne; and its SHA-256, where somebody vouches for it."""
    known = ("path", "sha256", "setid_files", "max_size", "max_entries") if state == "imported" else ("path",)
    refuse_options(params, known)
    fields = {option: _READ[option](params[option]) for option in known if params.get(option) not in (None, "")}
    if "path" not in fields:
        raise VpsError(f"path: needed with state {state}; give the file on the node that the template is kept in.")
    digest = fields.pop("sha256", None)
    return Template(name, state, **fields), digest


def parse_source(name: str, params: Mapping[str, Any]) -> Template:
    """What the template is to be made from."""
    source = params.get("source")
    if source is None:
        raise VpsError("source: needed to make a template; 'minimal' needs no network, 'debian' is a whole system.")
    options = OPTIONS[source]
    everything = dict.fromkeys(option for known in OPTIONS.values() for option in known)
    for option in everything:
        if option not in options and params.get(option) not in (None, "", []):
            raise VpsError(f"{option}: a template of source '{source}' has none; leave it out, or use another source.")
    given = {option: params.get(option) for option in options}
    fields = {option: read(given[option]) for option, read in _READ.items() if given.get(option) not in (None, "", [])}
    _REQUIRE.get(source, _nothing)(source, fields)
    return Template(name, source, **fields)


def _nothing(_source: str, _fields: dict[str, Any]) -> None:
    """Nothing is required of it."""


def _distribution(source: str, fields: dict[str, Any]) -> None:
    fields.setdefault("suite", SUITES[source])
    if fields.get("components") == COMPONENTS[source]:
        del fields["components"]  # the same with and without the words


def _tarball(_source: str, fields: dict[str, Any]) -> None:
    if ("path" in fields) == ("url" in fields):
        raise VpsError("path: a tarball is either at a 'path' on the node or at a 'url'; give one of them.")
    if "signature" in fields and "keyring" not in fields:
        raise VpsError("keyring: needed to verify a 'signature'; give the file on the node with the keys that may have made it.")
    if "keyring" in fields and "signature" not in fields:
        raise VpsError("signature: needed with a 'keyring'; give the address or the path of the detached signature.")
    if "sha256" not in fields and "signature" not in fields:
        raise VpsError("sha256: needed, for nothing else says that the tarball is the right one; or give 'signature' and 'keyring'.")


def _directory(_source: str, fields: dict[str, Any]) -> None:
    if "path" not in fields:
        raise VpsError("path: needed with source 'directory'; give the tree on the node that the template is to be a copy of.")
    if not fields["path"].strip("/"):
        raise VpsError("path: the node's own root directory is no source of a template; give the tree of another system.")


def _lxc(_source: str, fields: dict[str, Any]) -> None:
    for option, example in (("distribution", "debian"), ("release", "bookworm")):
        if option not in fields:
            raise VpsError(f"{option}: needed with source 'lxc'; write for example {example}.")
    if fields.get("url", LXC_SERVER).startswith("http:") and "sha256" not in fields:
        raise VpsError("url: nobody vouches for what a server says without TLS; write https://, or give the 'sha256' of the root file system.")
    if set(fields.get("url", "")) & set("?#"):
        raise VpsError(f"url: {shown(lasting(fields['url']))} has something behind a ? or #, and an image server has many files; give its address alone.")
    if fields.get("url") == LXC_SERVER:
        del fields["url"]
    fields.setdefault("special_files", SKIP)  # device nodes below /dev, which LXC covers with its own


def _oci(_source: str, fields: dict[str, Any]) -> None:
    if "path" not in fields:
        raise VpsError("path: needed with source 'oci'; give the image layout on the node, a directory or an archive of one.")


def _vps(_source: str, fields: dict[str, Any]) -> None:
    if "vps" not in fields:
        raise VpsError("vps: needed with source 'vps'; give the name of a VPS of this node.")


_REQUIRE: Mapping[str, Callable[[str, dict[str, Any]], None]] = {
    "debian": _distribution, "ubuntu": _distribution, "tarball": _tarball, "directory": _directory, "lxc": _lxc, "oci": _oci, "vps": _vps,
}


def _matching(option: str, form: re.Pattern, what: str, example: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not form.fullmatch(str(value)):
            raise VpsError(f"{option}: {shown(value)} is not {what}; write for example {example}.")
        return str(value)

    return read


def _packages(values: Iterable[Any]) -> tuple[str, ...]:
    for value in values:
        if not _PACKAGE.fullmatch(str(value)):
            raise VpsError(f"packages: {shown(value)} is not the name of a Debian package.")
    return tuple(sorted(set(values)))


def _components(values: Iterable[Any], option: str = "components") -> tuple[str, ...]:
    for value in values:
        if not _COMPONENT.fullmatch(str(value)):
            raise VpsError(f"{option}: {shown(value)} is not a component of a repository; write for example main.")
    return tuple(dict.fromkeys(values))


def _mirror(value: str, option: str = "mirror") -> str:
    if not _MIRROR.fullmatch(value):
        raise VpsError(f"{option}: {shown(value)} is not the address of a Debian mirror; write for example http://mirror.example.org/debian.")
    if value.startswith("file:"):
        raise VpsError(f"{option}: the new system cannot read {shown(value)} on the node; write copy:// in place of file://.")
    return value


def _repositories(values: Iterable[Mapping[str, Any]]) -> tuple[Repository, ...]:
    found = []
    for number, one in enumerate(values):
        option = f"repositories[{number}]"
        suite, components = str(one["suite"]), _components(one.get("components") or (), f"{option}.components")
        if not _REPOSITORY_SUITE.fullmatch(suite) or ".." in suite:
            raise VpsError(f"{option}.suite: {shown(suite)} is not the name of a suite; write for example bookworm.")
        if suite.endswith("/") == bool(components):
            raise VpsError(f"{option}.components: needed, for example [main]; a suite that ends with a slash has none.")
        key = "\n".join(line.rstrip() for line in str(one["key"]).strip().splitlines())
        if not _KEY.fullmatch(key):
            raise VpsError(f"{option}.key: this is no public key in ASCII armour (-----BEGIN PGP PUBLIC KEY BLOCK-----); gpg --armor --export makes one.")
        found.append(Repository(_mirror(str(one["url"]), f"{option}.url"), suite, components, key))
    return tuple(found)


def _customise(values: Iterable[Any]) -> tuple[tuple[str, ...], ...]:
    found = []
    for number, step in enumerate(values):
        if not isinstance(step, (list, tuple)) or not step:
            raise VpsError(f"customise[{number}]: {shown(step)} is no list of a program and its arguments; write for example [systemctl, enable, nginx].")
        words = tuple(str(word) for word in step)
        if len(words) == 1 and len(words[0].split()) > 1:  # of a text Ansible makes a list of one word
            told = f"{shown(words[0])} is a text, and no shell reads it"
            raise VpsError(f"customise[{number}]: {told}; write a list of a program and its arguments, as in [apt-get, update].")
        if not words[0] or any("\0" in word for word in words):
            raise VpsError(f"customise[{number}]: {shown(words)} cannot be run; the program has a name, and no argument has a NUL in it.")
        found.append(words)
    return tuple(found)


def _path(option: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not str(value).startswith("/") or "\0" in str(value):
            raise VpsError(f"{option}: {shown(value)} is not a path on the node; it starts with a slash.")
        return str(value)

    return read


def _url(value: Any) -> str:
    if not _URL.fullmatch(str(value)):
        raise VpsError(f"url: {shown(value)} is not an address that can be fetched; write https://host/path, without a user or a password in it.")
    return str(value).rstrip("/")


def _signature(value: Any) -> str:
    if not str(value).startswith("/") and not _URL.fullmatch(str(value)):
        raise VpsError(f"signature: {shown(value)} is neither a path on the node nor an address; write for example https://host/file.asc.")
    return str(value)


def _sha256(value: Any) -> str:
    text = str(value).lower().removeprefix("sha256:")
    if not _SHA256.fullmatch(text):
        raise VpsError(f"sha256: {shown(value)} is not a SHA-256; it has 64 digits of 0-9 and a-f.")
    return text


def _choice(option: str, *choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise VpsError(f"{option}: {shown(value)} is none of {', '.join(choices)}.")
        return str(value)

    return read


def _most_size(value: Any) -> int:
    size = units.parse_size(value, option="max_size", minimum=1 << 20)
    return units.LARGEST_SIZE if size is None else size


def _most_entries(value: Any) -> int:
    if not 1 <= int(value) <= 100_000_000:
        raise VpsError(f"max_entries: {value} is not between 1 and 100000000; without it, {MOST_ENTRIES} files are the most.")
    return int(value)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "suite": _matching("suite", _SUITE, "the name of a suite", "bookworm"),
    "packages": _packages,
    "mirror": _mirror,
    "components": _components,
    "keyring": _path("keyring"),
    "repositories": _repositories,
    "customise": _customise,
    "path": _path("path"),
    "url": _url,
    "sha256": _sha256,
    "signature": _signature,
    "ca_path": _path("ca_path"),
    "image": _matching("image", _IMAGE, "a tag or a digest of an image", "latest"),
    "distribution": _matching("distribution", _WORD, "the name of a distribution", "debian"),
    "release": _matching("release", _WORD, "the name of a release", "bookworm"),
    "architecture": _matching("architecture", _WORD, "the name of an architecture", "amd64"),
    "variant": _matching("variant", _WORD, "the name of a variant", "default"),
    "vps": lambda value: parse.parse_name(str(value), option="vps"),
    "special_files": _choice("special_files", REFUSE, SKIP),
    "setid_files": _choice("setid_files", ALLOW, REFUSE),
    "max_size": _most_size,
    "max_entries": _most_entries,
}
