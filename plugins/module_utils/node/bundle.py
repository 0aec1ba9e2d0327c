# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program out of this collection's own code: its sources that one of them needs, in an archive that Python runs.

As with `python -m zipapp`, but from the code that is running, wherever that came from (a checkout, or the archive that Ansible has sent), and
the same bytes from the same code. Document: zipapp of Python's library.
"""

from __future__ import annotations

import ast
import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator

from .. import core

PACKAGE = "mainline_vps"  # that this code is in the archive
_ALWAYS = ("loading",)  # which compiles the rest once
_MOMENT = (1980, 1, 1, 0, 0, 0)
_Source = Callable[[str], "bytes | None"]


def build(module: str) -> bytes:
    """The archive that runs C(main) of one of our modules, and ends with what that returns."""
    files = {f"{PACKAGE}/{path}": source for path, source in closure(module, source_of).items()}
    files["__main__.py"] = f"import sys\n\nfrom {PACKAGE}.{module} import main\n\nsys.exit(main())\n".encode()
    packed = io.BytesIO()
    packed.write(f"#!{interpreter()}\n".encode())
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            info = zipfile.ZipInfo(path, _MOMENT)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, files[path])
    return packed.getvalue()


def interpreter() -> str:
    """The Python that runs it: the one that this runs by, by the name that outlives its next release."""
    return "/usr/bin/python3" if os.path.realpath("/usr/bin/python3") == os.path.realpath(sys.executable) else sys.executable


def source_of(path: str) -> bytes | None:
    """The source of a file of this house, by its path in it; None where there is none."""
    house = os.path.dirname(next(iter(core.__path__)))
    try:
        return core.__loader__.get_data(os.path.join(house, path))  # type: ignore[union-attr]
    except OSError:
        return None


def closure(module: str, source: _Source) -> dict[str, bytes]:
    """The files that a module of the house needs, by their paths in it; wherever in a file they are imported."""
    found: dict[str, bytes] = {"__init__.py": b""}
    waiting = [module, *_ALWAYS]
    while waiting:
        name = waiting.pop()
        path, text = _file(name, source)
        if text is None or path in found:
            continue
        found[path] = text
        waiting += [*_folders(name), *_imports(name, path, text)]
    return found


def _file(name: str, source: _Source) -> tuple[str, bytes | None]:
    """The file of a module, or of a package."""
    for path in (f"{name}.py", f"{name}/__init__.py"):
        text = source(path)
        if text is not None:
            return path, text
    return name, None


def _folders(name: str) -> Iterator[str]:
    """The packages around a module."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _imports(name: str, path: str, text: bytes) -> Iterator[str]:
    """What a file imports of the house, and what might be a module or a name in one."""
    around = name if path.endswith("/__init__.py") else name.rpartition("/")[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = around.split("/") if around else []
            parts = parts[: len(parts) - node.level + 1] + (node.module.split(".") if node.module else [])
            yield "/".join(parts)
            yield from ("/".join([*parts, alias.name]) for alias in node.names)
