#!/usr/bin/env bash
# The node that this machine is goes on beside these tests, which flush the packet filter and change the network: theirs are their own.
set -eu
exec ../../kit/apart ../../kit/run-pytest "$@"
