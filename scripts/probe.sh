#!/usr/bin/env bash
# The probe as it is shipped: one static file, small. Prints its path.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(uname -m)-unknown-linux-gnu
# Packed relocations: a third of a megabyte less, and still loaded at a random address.
export RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
# This profile never unwinds, so nobody reads the index of the frames; equal functions are kept once.
cargo rustc --profile probe --locked --target "$target" -p legator-probe --bin legator-probe -- \
    -C link-arg=-Wl,--no-eh-frame-hdr -C link-arg=-Wl,--icf=all
echo "${CARGO_TARGET_DIR:-target}/$target/probe/legator-probe"
