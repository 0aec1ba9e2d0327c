#!/usr/bin/env bash
set -eu
exec ../../kit/run-pytest "$@"
