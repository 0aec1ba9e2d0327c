#!/usr/bin/env bash
# The tests of the storage drivers; all operations on each storage, on nodes of their own beside the one that this machine is, with a pool on btrfs
# and with VPS_TEST_LONG=1 one that is a plain directory, too; then the contract suite on this machine with VPSs that have storage image, as the target `contract` has it for btrfs.
set -euo pipefail
../../kit/run-pytest "$@"
for kind in btrfs ${VPS_TEST_LONG:+dir}; do
    VPS_TEST_POOL=$kind ../../kit/apart ../../kit/run-pytest test_operations.py
done
exec ../../kit/run-contract real-image
