#!/usr/bin/env bash
# The node that this machine is goes on beside these tests, which stop and remove all VPSs of a node that they do not list: theirs is their own.
set -eu
exec ../../kit/apart ../../kit/run-pytest "$@"
