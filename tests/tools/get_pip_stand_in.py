"""Stand in for get-pip.py: unpack the pip that comes with Python, then install the versions asked for with it.

Called as get-pip.py is: packages (pip==24.2) and pip's own options; --no-setuptools and --no-wheel are get-pip's alone.
"""

from __future__ import annotations

import subprocess
import sys

packages = [argument for argument in sys.argv[1:] if not argument.startswith('-')]
subprocess.check_call([sys.executable, '-m', 'ensurepip'], stdout=subprocess.DEVNULL)
subprocess.check_call([sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--upgrade', *packages])
