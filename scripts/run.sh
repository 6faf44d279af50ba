#!/usr/bin/env bash
# Builds, starts Legator and one probe on this machine, prints what to try. Ctrl-C ends both; the data stays.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

data=${RUN_DIR:-$PWD/run}
address=${LEGATOR_LISTEN:-127.0.0.1:8080}
cargo build --bins --locked
trap stop_all EXIT
trap 'exit 0' INT TERM

begun=$(date +%s%N)
start_server target/debug/legator "$data/server" "$address"
name=$(hostname)
if [ -e "$data/probe/key" ]; then
    target/debug/legator-probe run --server "$url" --state-dir "$data/probe" >>"$data/probe/probe.log" 2>&1 &
    started+=("$!")
else
    start_probe target/debug/legator-probe "$data/probe" "$url" "$name"
fi
probe_begun=$(date +%s%N)
wait_for 30 host_online "$url" "$name"
echo "host $name online $((($(date +%s%N) - probe_begun) / 1000000)) ms after its probe started ($((($(date +%s%N) - begun) / 1000000)) ms in all)"

ctl="target/debug/legatorctl --server $url"
authority=$(curl -sf "$url/version" | jq -r .fingerprint)
cat <<TXT

Legator runs at $url, its data is in $data. Try, in another terminal, from this folder:

  $ctl hosts list
  $ctl exec $name -- uname -a
  $ctl exec $name -- touch /etc/legator-was-here        # the kernel refuses
  $ctl do service.restart $name name=nginx              # waits for approval
  $ctl approvals list
  $ctl approvals approve PLAN
  $ctl audit export $data/log && $ctl audit verify $data/log --key $authority

Ctrl-C ends it.
TXT
[ -z "${RUN_ONCE:-}" ] || exit 0
wait
