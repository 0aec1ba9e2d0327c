#!/usr/bin/env bash
# The contract suite against this machine's real node; the unit tests run the same one against its twin in memory.
set -euo pipefail

# This target is run in a copy of its own folder: the suite and the code that it tests are in the collection itself.
suite=
IFS=: read -ra roots <<<"${ANSIBLE_COLLECTIONS_PATH:-}"
for root in "${roots[@]}"; do
    if [ -f "$root/ansible_collections/mainline/vps/tests/contract/conftest.py" ]; then
        suite=$root/ansible_collections/mainline/vps/tests/contract
        break
    fi
done
if [ -z "$suite" ]; then
    echo "contract: ANSIBLE_COLLECTIONS_PATH (${ANSIBLE_COLLECTIONS_PATH:-}) does not lead to mainline.vps" >&2
    exit 1
fi

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
exec python -m pytest -c /dev/null --rootdir "$suite" -p no:pytest-ansible -p no:cacheprovider \
    -ra --durations=5 --durations-min=3 --color=no --real-node -k "${CONTRACT_ON:-real and not real-image}" "$suite" "$@"
