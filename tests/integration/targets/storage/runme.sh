#!/usr/bin/env bash
# The tests of the storage drivers; all operations on each storage, on a node of its own beside the one that this machine is, with a pool on btrfs;
# then what of the contract suite has to do with disks, on this machine with VPSs that have storage image, as the target `contract` has it for btrfs.
# With VPS_TEST_LONG=1 the operations in a pool that is a plain directory, too, and all of the contract.
set -euo pipefail
../../kit/run-pytest "$@"
for kind in btrfs ${VPS_TEST_LONG:+dir}; do
    VPS_TEST_POOL=$kind ../../kit/apart ../../kit/run-pytest test_operations.py
done
which="real-image and (limits or usage or drift or roots or snapshots)"
if [ -n "${VPS_TEST_LONG:-}" ]; then which=real-image; fi
exec ../../kit/run-contract "$which"
