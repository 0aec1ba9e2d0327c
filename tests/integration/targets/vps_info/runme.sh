#!/usr/bin/env bash
# The node that this machine is goes on beside these tests, which ask for all VPSs of a node: theirs is their own.
set -eu
exec ../../kit/apart ../../kit/run-pytest "$@"
