#!/usr/bin/env bash
# The node that this machine is goes on beside these tests, which make bridges and change the packet filter: theirs are their own.
set -eu
exec ../../kit/apart ../../kit/run-pytest "$@"
