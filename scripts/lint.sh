#!/usr/bin/env bash
# Everything that can be judged without running the program, as `make lint` runs it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

say "cargo fmt --all --check"
cargo fmt --all --check

say "cargo clippy --workspace --all-targets -- -D warnings"
cargo clippy --locked --workspace --all-targets -- -D warnings

say "cargo deny check bans licenses sources"
if ! command -v cargo-deny >/dev/null; then
    echo "lint: cargo-deny is missing; install it with: cargo install cargo-deny --locked" >&2
    exit 1
fi
cargo deny --locked check bans licenses sources
