#!/usr/bin/env bash
# Long runs: Schemathesis over the API of a real server. SOAK_MINUTES bounds it (default 10).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
minutes=${SOAK_MINUTES:-10}
work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT

cargo build --release --bins --locked
[ -x "$work/venv/bin/schemathesis" ] || { python3 -m venv "$work/venv"; "$work/venv/bin/pip" install -q 'schemathesis>=4,<5'; }
start_server target/release/legator "$work/data" 127.0.0.1:18080
set +e
timeout --signal=INT "$((minutes * 60))" "$work/venv/bin/schemathesis" run "$url/openapi.json" --url "$url" --checks all --workers 1 \
    --request-timeout 20 --suppress-health-check all 2>&1 | tee "$work/schemathesis.log"
set -e
curl -sf "$url/readyz" >/dev/null || { echo "soak: the server is not ready any more" >&2; exit 1; }
if grep -q "panicked" "$work/data/legator.log"; then echo "soak: a panic" >&2; exit 1; fi
if grep -qE '^\s*- Server error' "$work/schemathesis.log"; then echo "soak: a server error" >&2; exit 1; fi
echo "soak: no server error, no panic, no hang in at most $minutes min"
