#!/usr/bin/env bash
# Everything CI runs, in the order in which it fails fastest. At its end: each suite with the number of its cases.
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
report=target/nextest/default/junit.xml
rm -f "$report"
failed=0
cargo nextest run --workspace --locked --no-fail-fast || failed=$?
step "suites and their cases"
python3 scripts/cases.py "$report"
[ "$failed" = 0 ] || exit "$failed"
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
step "done"
