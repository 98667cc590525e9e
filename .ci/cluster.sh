#!/usr/bin/env bash
# Builds what the test clusters take, once; `make test` starts them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The programs stay; what they are compiled from is several gigabytes, and goes.
GOCACHE=$(mktemp -d "${TMPDIR:-/tmp}/neuroca-go.XXXXXX")
export GOCACHE
trap 'rm -rf "$GOCACHE"' EXIT

tests/cluster/cluster.sh build light
# shellcheck source=scripts/cluster.sh
source scripts/cluster.sh
if cluster_possible; then
    tests/cluster/cluster.sh build sealed
else
    echo "this machine can hold no cluster with pods; make test says what it leaves out"
fi
