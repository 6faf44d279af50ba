#!/usr/bin/env bash
# Builds, starts Legator and one probe on this machine, prints what to try. Ctrl-C ends both; the data stays.
# BIN_DIR: use the programs there instead of building. RUN_DIR: where the data is. RUN_ONCE: end after the printing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

data=${RUN_DIR:-$PWD/run}
address=${LEGATOR_LISTEN:-127.0.0.1:8080}
if [ -z "${BIN_DIR:-}" ]; then
    cargo build --workspace --bins --locked
    BIN_DIR=target/debug
fi
trap stop_all EXIT
trap 'exit 0' INT TERM

begun=$(date +%s%N)
start_server "$BIN_DIR/legator" "$data/server" "$address"
name=$(hostname)
probe_begun=$(date +%s%N)
if [ -e "$data/probe/key" ]; then
    "$BIN_DIR/legator-probe" run --server "$url" --state-dir "$data/probe" >>"$data/probe/probe.log" 2>&1 &
    started+=("$!")
else
    start_probe "$BIN_DIR/legator-probe" "$data/probe" "$url" "$name"
fi
wait_for 30 host_online "$url" "$name" || { tail -20 "$data/probe/probe.log" >&2; exit 1; }
echo "host $name online $((($(date +%s%N) - probe_begun) / 1000000)) ms after its probe started ($((($(date +%s%N) - begun) / 1000000)) ms in all)"

ctl="$BIN_DIR/legatorctl"
[ "$url" = http://127.0.0.1:8080 ] || ctl="$ctl --server $url"
authority=$(curl -sf "$url/version" | jq -r .fingerprint)
cat <<TXT

Legator runs at $url, its data is in $data. Try, in another terminal, from this folder:

  $ctl hosts list
  $ctl exec $name -- uname -a                           # a read runs at once
  $ctl exec $name -- touch /etc/legator-was-here        # the kernel refuses: exit code 1
  $ctl do service.restart $name name=nginx              # a plan waits for approval: exit code 5
  $ctl approvals list
  $ctl why PLAN
  $ctl approvals approve PLAN                           # shows what would run, then asks
  $ctl plans watch PLAN
  $ctl audit export $data/log
  $ctl audit verify $data/log --key $authority

Ctrl-C ends it.
TXT
[ -z "${RUN_ONCE:-}" ] || exit 0
wait
