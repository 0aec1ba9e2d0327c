# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`oci`: an image in an OCI image layout, a directory of the node's or an archive of one, its layers put one over the other.

Every blob is copied before it is read, and is what its digest says. Nothing of a VPS's is run for it, and no program that could be misled.
Documents: image-layout.md, manifest.md, layer.md of the OCI image specification 1.1.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.errors import NOT_OURS, VpsError, shown
from ...core.model import REFUSE, Template
from . import fetching
from .archive import stream_limit, told
from .lxc_images import ARCHITECTURES
from .streams import decompressed
from .unpack import Unpacker

_MOST_DOCUMENT = 16 << 20  # bytes of a manifest or an index
_MOST_LAYERS = 512
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_TAG = "org.opencontainers.image.ref.name"
_OTHER_WORDS = {"armhf": "arm", "i386": "386", "ppc64el": "ppc64le"}  # where OCI has other words than Debian


def build(template: Template, root: str, scratch: str) -> None:
    """Fill an empty directory."""
    layout = _layout(template, scratch)
    descriptor = choose(_document(template, layout, "index.json", scratch), template)
    for _depth in range(4):
        document = _blob_document(template, layout, descriptor, scratch)
        if "layers" in document:
            break
        descriptor = choose(document, replace(template, image=None))
    else:
        raise VpsError(f"path: {template.path} has indexes of indexes, and no image.")
    layers = document["layers"]
    if len(layers) > _MOST_LAYERS:
        raise VpsError(f"path: the image in {template.path} has {len(layers)} layers, and may have {_MOST_LAYERS}.")
    blob = os.path.join(scratch, "layer")
    with Unpacker(root, template, layered=True) as unpacker:
        for number, layer in enumerate(layers):
            _fetch_blob(template, layout, layer, blob, template.max_size)
            with told("path", what=f"layer {number} of the image"):
                with decompressed(blob, stream_limit(template)) as read:
                    unpacker.remove_hidden(read)
                with decompressed(blob, stream_limit(template)) as read:
                    unpacker.unpack(read)
            os.unlink(blob)


def choose(index: Mapping[str, Any], template: Template) -> Mapping[str, Any]:
    """The descriptor of the image that is asked for, by its digest or its tag, and then for this machine. Raises VpsError where that is not one."""
    try:
        found = [one for one in index["manifests"] if isinstance(one, Mapping) and isinstance(one["digest"], str)]
        tags = {str((one.get("annotations") or {}).get(_TAG)) for one in found} - {"None"}
        if template.image:
            found = [one for one in found if template.image in (one["digest"], (one.get("annotations") or {}).get(_TAG))]
            if not found:
                known = f"it has {', '.join(sorted(tags))[:200]}" if tags else "it has no tags"
                raise VpsError(f"image: there is no {shown(template.image)} in {template.path}; {known}.")
        machine = platform.machine()
        wanted = template.architecture or ARCHITECTURES.get(machine, machine)
        fits = [one for one in found if (one.get("platform") or {}).get("architecture") in (wanted, _OTHER_WORDS.get(wanted))]
        fits = [one for one in fits if (one.get("platform") or {}).get("os", "linux") == "linux"]
        bare = [one for one in found if not one.get("platform")]
    except NOT_OURS:
        raise _damaged(template) from None
    found = fits or bare
    if not found:
        raise VpsError(f"architecture: {template.path} has no image for {shown(wanted)}; give one that it has.")
    if len({one["digest"] for one in found}) > 1:
        raise VpsError(f"image: {template.path} has {len(found)} images ({', '.join(sorted(tags))[:200] or 'without tags'}); say which by its tag or digest.")
    return found[0]


def _layout(template: Template, scratch: str) -> str:
    """The layout's directory: an archive is unpacked, of which nothing but plain files is taken."""
    path = template.path or ""
    if os.path.isdir(path):
        if template.sha256:
            raise VpsError("sha256: is that of an archive, and 'path' is a directory; name the image by its digest: 'image: sha256:…'.")
        return path
    archive, layout = os.path.join(scratch, "archive"), os.path.join(scratch, "layout")
    digest = fetching.fetch(path, archive, option="path", limit=template.max_size)
    if template.sha256:
        fetching.verify(digest, template.sha256, path)
    os.mkdir(layout, 0o700)
    strict = replace(template, special_files=REFUSE)
    with told("path"), decompressed(archive, stream_limit(template)) as read, Unpacker(layout, strict, plain=True) as unpacker:
        unpacker.unpack(read)
    os.unlink(archive)
    return layout


def _document(template: Template, layout: str, name: str, scratch: str) -> Mapping[str, Any]:
    into = os.path.join(scratch, "document")
    if not os.path.exists(os.path.join(layout, name)):
        raise VpsError(f"path: {template.path} is no OCI image layout, it has no {name}; skopeo copy makes one: skopeo copy SOURCE oci:DIRECTORY:TAG.")
    fetching.fetch(_plain(template, layout, name), into, option="path", limit=_MOST_DOCUMENT)
    return _read(template, into)


def _blob_document(template: Template, layout: str, descriptor: Mapping[str, Any], scratch: str) -> Mapping[str, Any]:
    into = os.path.join(scratch, "document")
    _fetch_blob(template, layout, descriptor, into, _MOST_DOCUMENT)
    return _read(template, into)


def _read(template: Template, into: str) -> Mapping[str, Any]:
    try:
        with open(into, encoding="utf-8") as file:
            document = json.load(file)
        if not isinstance(document, Mapping) or not isinstance(document.get("layers", []), list):
            raise TypeError("it is no index and no manifest")
        return document
    except NOT_OURS:
        raise _damaged(template) from None
    finally:
        os.unlink(into)


def _fetch_blob(template: Template, layout: str, descriptor: Mapping[str, Any], into: str, limit: int) -> None:
    """Into a file that nobody else writes to, and there it has to be what it is called."""
    match = _DIGEST.fullmatch(str(descriptor.get("digest"))) if isinstance(descriptor, Mapping) else None
    if match is None:
        raise VpsError(f"path: the image in {template.path} has a part without a SHA-256 digest, which nobody vouches for.")
    name = f"blobs/sha256/{match[1]}"
    if not os.path.exists(os.path.join(layout, name)):
        raise VpsError(f"path: {template.path} lacks {name} of the image; copy it whole.")
    digest = fetching.fetch(_plain(template, layout, name), into, option="path", limit=limit)
    fetching.verify(digest, match[1], f"{name} in {template.path}", option="path")


def _plain(template: Template, layout: str, name: str) -> str:
    """A file of the layout, which an archive may have made a link to one of the node's."""
    path = os.path.join(layout, name)
    if os.path.realpath(path) != os.path.join(os.path.realpath(layout), name):
        raise VpsError(f"path: {name} in {template.path} is a link, and leads out of it.")
    return path


def _damaged(template: Template) -> VpsError:
    return VpsError(f"path: {template.path} is no OCI image layout as it should be; copy it anew, with skopeo for example.")
