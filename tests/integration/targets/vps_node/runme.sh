#!/usr/bin/env bash
# The node that this machine is goes on beside these tests: they run where /etc, /run, the network and the pool are their own.
set -euo pipefail
kit=$(cd ../../kit && pwd)
export PYTHONPATH="$kit${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
../../kit/apart --stock python -m pytest -c /dev/null --rootdir . -p no:pytest-ansible -p no:cacheprovider -ra --durations=8 --durations-min=2 --color=no "$@"
