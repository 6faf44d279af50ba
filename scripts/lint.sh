#!/usr/bin/env bash
# Formatting and clippy. Licences and sources of dependencies are checked by tests/house.rs, by cargo-deny in `make soak`.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
