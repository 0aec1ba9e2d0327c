#!/usr/bin/env bash
# All operations on each storage, on a node of its own beside the one that this machine is, with a pool on btrfs.
# With VPS_TEST_LONG=1 in a pool that is a plain directory, too.
set -euo pipefail
for kind in btrfs ${VPS_TEST_LONG:+dir}; do
    VPS_TEST_POOL=$kind ../../kit/apart ../../kit/run-pytest "$@"
done
