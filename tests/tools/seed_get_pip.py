"""Put get_pip_stand_in.py into ansible-test's cache, for machines that reach a package index but not the bootstrap host.

ansible-test makes virtual environments without pip and then downloads get-pip.py, unless its cache has it. A script that
is already in the cache is left alone.
"""

from __future__ import annotations

import importlib.util
import pathlib
import re
import shutil
import sys


def main() -> int:
    """Find the pip version that the installed ansible-test wants, and cache the stand-in under its name."""
    spec = importlib.util.find_spec('ansible_test')

    if spec is None or not spec.submodule_search_locations:
        print('seed_get_pip.py: this Python has no ansible-test', file=sys.stderr)
        return 1

    source = pathlib.Path(spec.submodule_search_locations[0], '_internal', 'python_requirements.py').read_text(encoding='utf-8')
    versions = set(re.findall(r"""\bpip=['"]([0-9.]+)['"]""", source))

    if not versions:
        print('seed_get_pip.py: this ansible-test does not say which pip it wants; left to itself', file=sys.stderr)

    cache = pathlib.Path('~/.ansible/test/cache').expanduser()
    cache.mkdir(parents=True, exist_ok=True)

    for version in versions:
        script = cache / f'get_pip_{version.replace(".", "_")}.py'

        if not script.exists():
            shutil.copyfile(pathlib.Path(__file__).with_name('get_pip_stand_in.py'), script)

    return 0


if __name__ == '__main__':
    sys.exit(main())
