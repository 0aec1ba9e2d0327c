# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How this collection's code comes out of the archive that Ansible sends to a node: compiled once, and only where it is used.

Most of what a task on one VPS costs is Python reading source. zipimport compiles a module to tell its file's name, throws that
away, and compiles it again to run it (CPython's zipimport.get_filename); and a task that changes a limit needs no code that builds
templates. So a module imported as a whole, `from . import tree`, is read when something of it is first used; one of which a name is
imported, at once. benchmarks/ has what that gives. Outside an archive, in tests and filters, nothing of this happens.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import LazyLoader
from types import ModuleType
from zipimport import zipimporter


class Importer(zipimporter):
    """Finds the modules of one folder of the archive."""

    def get_filename(self, fullname: str) -> str:
        """Where a module is in the archive, which has nothing but sources."""
        end = "/__init__.py" if self.is_package(fullname) else ".py"
        return f"{self.archive}/{self.prefix}{fullname.rpartition('.')[2]}{end}"

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """A module, which is read when it is used; None where there is none."""
        spec = super().find_spec(fullname, target)
        if spec is not None and spec.loader is not None and spec.submodule_search_locations is None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def install(package: str) -> None:
    """Have what is below a package's folder found by this from now on, where that is in an archive and Python 3.10 or later."""
    folder = sys.modules[package].__path__[0]
    if not isinstance(sys.modules[package].__loader__, zipimporter) or not hasattr(zipimporter, "find_spec"):
        return

    def hook(path: str) -> Importer:
        if not f"{path}/".startswith(f"{folder}/"):
            raise ImportError(path)
        return Importer(path)

    sys.path_importer_cache.pop(folder, None)
    sys.path_hooks.insert(0, hook)
