#!/usr/bin/env bash
# The tests of the storage drivers; then what of the contract suite has to do with disks, with VPSs that have storage image, as the target
# `contract` has it for btrfs. With VPS_TEST_LONG=1 all of the contract.
set -euo pipefail
../../kit/run-pytest "$@"
which="real-image and (limits or usage or drift or roots or snapshots)"
if [ -n "${VPS_TEST_LONG:-}" ]; then which=real-image; fi
exec ../../kit/run-contract "$which"
