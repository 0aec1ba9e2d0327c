# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`lxc`: the newest image of a product of an LXC image server, found by its simplestreams index and verified by the checksum that it gives.

The index is believed as far as TLS vouches for the server; the content, because its SHA-256 is the index's, and the playbook's where that has one.
Document: doc/rest of simplestreams; https://images.linuxcontainers.org/streams/v1/.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from typing import Any

from ...core.errors import NOT_OURS, VpsError, shown
from ...core.model import Template
from ...core.template_sources import LXC_SERVER
from . import fetching
from .archive import stream_limit, told
from .streams import decompressed
from .unpack import Unpacker

_MOST_INDEX = 128 << 20  # bytes; the largest public one has 5 MiB
# As the servers name them; others are called as the kernel calls them.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el"}
_ROOT_FILES = ("root.tar.xz", "root.tar.zst", "root.tar.gz", "root.tar")


def build(template: Template, root: str, scratch: str) -> None:
    """Fill an empty directory."""
    server = template.url or LXC_SERVER
    index = _json(template, server, "streams/v1/index.json", os.path.join(scratch, "index.json"))
    listed = [one for one in _mappings(index, "index") if one.get("datatype", "image-downloads") == "image-downloads"]
    paths = [one["path"] for one in listed if isinstance(one.get("path"), str)]
    if not paths:
        raise VpsError(f"url: {server} has no images in its index; give the address of an LXC image server.")
    item, known = None, 0
    for number, path in enumerate(paths[:8]):
        products = _json(template, server, path, os.path.join(scratch, f"images{number}.json"))
        known += len(_mappings(products, "products"))
        try:
            item = item or root_file(products, template)
        except NOT_OURS:
            raise VpsError(f"url: what {server} says of its images cannot be read; look whether the address is right.") from None
    if item is None:
        wanted = f"{template.distribution}:{template.release}:{architecture(template)}:{template.variant or 'default'}"
        raise VpsError(f"release: {server} has no image {wanted} with a root file system as a tar archive, of the {known} products that it has.")
    if template.sha256:
        fetching.verify(item["sha256"], template.sha256, f"the newest image of {server}")
    image = os.path.join(scratch, "archive")
    digest = fetching.fetch(_below(server, item["path"]), image, option="url", limit=template.max_size, ca_path=template.ca_path)
    fetching.verify(digest, item["sha256"], f"{item['path']} of {server}", option="url")
    with told("url", what="the image"), decompressed(image, stream_limit(template)) as read, Unpacker(root, template) as unpacker:
        unpacker.unpack(read)


def architecture(template: Template) -> str:
    """The one that is asked for, or the node's."""
    machine = platform.machine()
    return template.architecture or ARCHITECTURES.get(machine, machine)


def root_file(products: Mapping[str, Any], template: Template) -> dict[str, str] | None:
    """Path and SHA-256 of the newest root file system of what is asked for; None where these products have none."""
    wanted = (template.distribution, template.release, architecture(template), template.variant or "default")
    for name, product in products["products"].items():
        if tuple(name.rsplit(":", 4)[-4:]) != wanted:
            continue
        for version in sorted(product["versions"], reverse=True):
            items = product["versions"][version]["items"].values()
            for kind in _ROOT_FILES:
                for item in items:
                    if item.get("ftype") == kind and isinstance(item["path"], str) and len(item["sha256"]) == 64:
                        return {"path": item["path"], "sha256": item["sha256"].lower()}
    return None


def _mappings(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return [one for one in document.get(key, {}).values() if isinstance(one, Mapping)]


def _json(template: Template, server: str, path: str, into: str) -> Mapping[str, Any]:
    address = _below(server, path)
    fetching.fetch(address, into, option="url", limit=_MOST_INDEX, ca_path=template.ca_path)
    try:
        with open(into, encoding="utf-8") as file:
            document = json.load(file)
        _mappings(document, "index")
        _mappings(document, "products")
        return document
    except NOT_OURS:
        raise VpsError(f"url: {address} is no index of an image server; look whether the address is right.") from None


def _below(server: str, path: str) -> str:
    strange = any(not character.isprintable() or character == " " for character in path)
    if strange or path.startswith("/") or ".." in path.split("/") or ":" in path.split("/")[0]:
        raise VpsError(f"url: the index of {server} leads to {shown(path)}, which is not on it.")
    return f"{server}/{path}"
