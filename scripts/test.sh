#!/usr/bin/env bash
# Everything CI runs, in the order in which it fails fastest.
set -euo pipefail
cd "$(dirname "$0")/.."
begun=$SECONDS
step() { printf '\n== %s (%d s)\n' "$1" "$((SECONDS - begun))"; }

step "lint"
scripts/lint.sh
step "build"
# Every binary: tests start the real ones.
cargo build --workspace --bins --locked
step "test"
cargo nextest run --workspace --locked --no-fail-fast
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
step "done"
