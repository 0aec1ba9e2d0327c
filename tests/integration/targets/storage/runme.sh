#!/usr/bin/env bash
# The tests of the storage drivers; then the contract suite on this machine with VPSs that have storage image, as the target
# `contract` has it for btrfs.
set -euo pipefail
../../kit/run-pytest "$@"
exec ../../kit/run-contract real-image
