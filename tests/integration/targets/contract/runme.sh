#!/usr/bin/env bash
set -eu
exec ../../kit/run-contract "real and not real-image" "$@"
