#!/usr/bin/env bash
# Figures from an optimised build: each is printed from a run, beside its goal. BENCH_CALLS, BENCH_PROBES.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
calls=${BENCH_CALLS:-2000} probes=${BENCH_PROBES:-2000}
work=$(mktemp -d -p /var/tmp)
trap 'stop_all; rm -rf "$work"' EXIT

probe=$(scripts/probe.sh | tail -1)
cargo build --release --locked --workspace --bins
cargo build --release --locked -p legator-store --example bench -p legator-testkit --example swarm -p legator-probe --example cage_cost
built=${CARGO_TARGET_DIR:-target}/release

kilobytes() { awk '/^VmRSS/ {print $2}' "/proc/$1/status"; }
megabytes() { awk '/^VmRSS/ {printf "%.1f MB", $2 * 1.024 / 1000}' "/proc/$1/status"; }
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }

echo "machine: $(nproc) cores,$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2), Linux $(uname -r), data on $(stat -f -c %T "$work"), load $(cut -d' ' -f1 /proc/loadavg)"
stat -c %s "$probe" | awk '{printf "probe, one static file: %.2f MB (goal 6)\n", $1 / 1e6}'

echo "legatorctl --version, 50 starts (goal 15 ms):"
for _ in $(seq 50); do
    begun=$(date +%s%N); "$built/legatorctl" --version >/dev/null; echo $((($(date +%s%N) - begun) / 1000))
done | sort -n | awk '{a[NR] = $1} END {printf "  p50 %.1f ms, p98 %.1f ms\n", a[25] / 1000, a[49] / 1000}'

echo "one host, its own server:"
start_server "$built/legator" "$work/one" 127.0.0.1:18080
start_probe "$probe" "$work/probe" "$url" bench
wait_for 30 host_online "$url" bench
sleep 10
echo "  idle: probe $(megabytes "$probe_pid") (goal 9), server $(megabytes "$server_pid")"
python3 scripts/bench.py "$url" bench "$calls"
echo "  after: probe $(megabytes "$probe_pid"), server $(megabytes "$server_pid")"
stop_all

echo "$probes simulated probes, a heartbeat every 30 s:"
start_server "$built/legator" "$work/many" 127.0.0.1:18080
sleep 3
before=$(kilobytes "$server_pid")
token=$(curl -sf -X POST "$url/api/v1/tokens" -H 'content-type: application/json' -d "{\"uses\": $probes}" | jq -er .token)
mkfifo "$work/hold"
"$built/examples/swarm" "$url" "$token" "$probes" <"$work/hold" >"$work/swarm.log" &
started+=("$!")
exec 9>"$work/hold"
wait_for 300 grep -q connected "$work/swarm.log"
sed 's/^/  /' "$work/swarm.log"
sleep 30
used=$(ticks "$server_pid"); sleep 30; used=$(($(ticks "$server_pid") - used))
after=$(kilobytes "$server_pid")
online=$(curl -sf "$url/api/v1/fleet" | jq -c .)
echo "  fleet: $online"
echo "  server: $before KB before, $after KB with them: $(((after - before) * 100 / probes)) hundredths of a KB a probe; CPU $(awk "BEGIN {print $used / 30}") % of a core"
exec 9>&-
stop_all

echo "store:"
"$built/examples/bench" | sed 's/^/  /'
echo "cage (goal p99 5 ms):"
"$built/examples/cage_cost" | sed 's/^/  /'
