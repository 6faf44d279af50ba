#!/usr/bin/env bash
# Figures from an optimised build: each is printed from a run, with what bounds it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
work=$(mktemp -d -p /var/tmp)
trap 'stop_all; rm -rf "$work"' EXIT
calls=${BENCH_CALLS:-2000}

RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target x86_64-unknown-linux-gnu -p legator-probe
cargo build --release --locked --bins
probe=target/x86_64-unknown-linux-gnu/release/legator-probe
echo "machine: $(nproc) cores, $(uname -r), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2)"
echo "probe, static: $(stat -c %s "$probe" | awk '{printf "%.2f MB", $1 / 1e6}') (goal 6)"

rss() { awk '/^VmRSS/ {printf "%.1f MB", $2 / 1024}' "/proc/$1/status"; }
start_server target/release/legator "$work/data" 127.0.0.1:18080
start_probe "$probe" "$work/probe" "$url" bench
wait_for 30 host_online "$url" bench
sleep 5
echo "idle: probe $(rss "$probe_pid") (goal 9), server $(rss "$server_pid")"
python3 scripts/bench.py "$url" bench "$calls"
echo "after: probe $(rss "$probe_pid"), server $(rss "$server_pid")"
stop_all

echo "legatorctl --version, 50 starts:"
for _ in $(seq 50); do
    begun=$(date +%s%N); target/release/legatorctl --version >/dev/null; echo $((($(date +%s%N) - begun) / 1000))
done | sort -n | awk '{a[NR] = $1} END {printf "  p50 %.1f ms, p98 %.1f ms (goal 15)\n", a[25] / 1000, a[49] / 1000}'

cargo run --release --locked -q -p legator-store --example bench
