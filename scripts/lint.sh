#!/usr/bin/env bash
# Formatting, clippy, licences. Prints what it does not check.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
if command -v cargo-deny >/dev/null; then
    cargo deny --locked check
else
    echo "lint: cargo-deny is not installed: licences and advisories were NOT checked" >&2
fi
