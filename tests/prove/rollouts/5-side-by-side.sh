#!/usr/bin/env bash
# Figure 5, by simulation of the judge that ships; RUNS bounds it (default 10,000 of each case).
set -euo pipefail
cargo build --locked --release --quiet -p neuroca-judging >&2
echo "prove: ${RUNS:-10000} runs of each case" >&2
exec "${CARGO_TARGET_DIR:-target}/release/judging" 5 --runs "${RUNS:-10000}" --seed "$SEED"
