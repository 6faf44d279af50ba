#!/usr/bin/env bash
# Fuzzes every reader of foreign bytes with libFuzzer, the time split equally: scripts/fuzz.sh MINUTES [TARGET...].
# Prints executions and coverage of each target; fails on a broken promise, a panic, a hang, too much memory. An input that breaks one
# is kept in fuzz/found/<target>/: mend the defect, then move it to fuzz/seeds/<target>/, where every test run replays it.
# What is merely new goes to fuzz/target/corpus and stays out of the seeds; FUZZ_KEEP=1 merges the smallest of it into them.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:?usage: scripts/fuzz.sh MINUTES [TARGET...]}; shift
triple=$(uname -m)-unknown-linux-gnu
corpus=fuzz/target/corpus

build() {
    # The versions are those of the product; only libFuzzer itself comes on top.
    cp Cargo.lock fuzz/targets/Cargo.lock
    local llvm=-Cllvm-args=-sanitizer-coverage
    CARGO_TARGET_DIR=$PWD/fuzz/target CARGO_INCREMENTAL=0 \
        RUSTFLAGS="-Cpasses=sancov-module $llvm-level=4 $llvm-inline-8bit-counters $llvm-pc-table $llvm-trace-compares --cfg fuzzing" \
        nice -n "${FUZZ_NICE:-10}" cargo build --release --quiet --target "$triple" --manifest-path fuzz/targets/Cargo.toml
}

run() { # TARGET SECONDS: one line of figures; the log when it fails
    local name=$1 seconds=$2 log=fuzz/target/$1.log
    mkdir -p "$corpus/$name" "fuzz/found/$name"
    # The words that libFuzzer puts in are those of the replay's mutations.
    "$bin" --words "$name" >"fuzz/target/$name.words"
    local dictionary=()
    [ ! -s "fuzz/target/$name.words" ] || dictionary=("-dict=fuzz/target/$name.words")
    if ! FUZZ_TARGET=$name nice -n 10 "$bin" "$corpus/$name" "fuzz/seeds/$name" -artifact_prefix="fuzz/found/$name/" \
        "${dictionary[@]}" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 >"$log" 2>&1; then
        echo "$name: FAILED, see $log and fuzz/found/$name" >&2
        grep -E "panicked at|ERROR: libFuzzer|SUMMARY" -A 3 "$log" | head -20 >&2
        failed=$((failed + 1))
    fi
    local runs cov
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    cov=$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -1 || true)
    total=$((total + ${runs:-0}))
    printf '%-16s %4d s  %9s runs  %s\n' "$name" "$seconds" "${runs:-0}" "$cov"
    rmdir --ignore-fail-on-non-empty "fuzz/found/$name" fuzz/found 2>/dev/null || true
    [ -z "${FUZZ_KEEP:-}" ] || FUZZ_TARGET=$name "$bin" -merge=1 -max_len=4096 "fuzz/seeds/$name" "$corpus/$name" >/dev/null 2>&1
}

# FUZZ_BUILT=1: the program of the last run, without looking for changes.
[ -n "${FUZZ_BUILT:-}" ] || build
bin=fuzz/target/$triple/release/fuzz
mapfile -t targets < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else "$bin" --targets; fi)
each=$((minutes * 60 / ${#targets[@]}))
[ "$each" -gt 0 ] || each=1
begun=$SECONDS failed=0 total=0
for name in "${targets[@]}"; do run "$name" "$each"; done
echo "fuzz: ${#targets[@]} targets, $total executions in $((SECONDS - begun)) s, $failed failed"
[ "$failed" = 0 ]
